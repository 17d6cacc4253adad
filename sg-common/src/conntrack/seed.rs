//! Connections that the controller knows from elsewhere (spec §2.12).

use super::key::Key;
use super::place::State;
use super::table::{ATTEMPTS, Opened, Table, find, open, refresh};
use super::timeout;
use crate::classifier::Kind;
use crate::packet::{Address, protocol};
use crate::tables::Timeouts;
use crate::verdict::Direction;

/// A connection as its opener's packets show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Zone.
    pub zone: u32,
    /// Direction of the opener's packets.
    pub opened: Direction,
    /// 4 or 6.
    pub family: u8,
    /// Protocol number.
    pub protocol: u8,
    /// The opener's address and the other one, host byte order.
    pub addresses: (Address, Address),
    /// The opener's port and the other one; 0 for protocols without ports.
    pub ports: (u16, u16),
}

impl Seed {
    /// The state of a connection that has been seen both ways.
    const fn state(&self) -> State {
        match self.protocol {
            protocol::TCP => State::Established,
            protocol::SCTP => State::SctpEstablished,
            _ => State::Answered,
        }
    }

    const fn kind(&self) -> Kind {
        match (self.protocol, self.family) {
            (protocol::TCP, _) => Kind::Tcp,
            (protocol::UDP, _) => Kind::Udp,
            (protocol::SCTP, _) => Kind::Sctp,
            (protocol::ICMP, 4) | (protocol::ICMPV6, 6) => Kind::Icmp,
            _ => Kind::Other,
        }
    }
}

/// Inserts a connection, or gives the entry that it has its full time. Returns false if no place
/// could be had.
///
/// `now` is in seconds of `CLOCK_MONOTONIC`. Safe beside programs that use the same table.
pub fn seed<T: Table>(table: &T, timeouts: &Timeouts, seed: &Seed, now: u32) -> bool {
    let protocol = (seed.family, seed.protocol);
    let key = Key::new(seed.zone, seed.opened, protocol, seed.addresses, seed.ports);
    let (state, kind) = (seed.state(), seed.kind());
    if let Some(found) = find(table, &key, now) {
        refresh(table, &found, state, timeout(timeouts, state, kind), false, now);
        return true;
    }
    (0..ATTEMPTS).any(|_| {
        let opened = open(table, &key, state, kind, timeouts, now, false);
        matches!(opened, Opened::Free | Opened::Evicted)
    })
}
