//! Connections: keys, places, the life of a connection, and what a full table does.

mod full;
mod keys;
mod lives;
mod model;
mod places;
mod seeds;
mod support;
mod threads;

use std::cell::Cell;
use std::collections::HashMap;

use proptest::prelude::*;
use sg_common::classifier::Kind;
use sg_common::conntrack::{
    Key, Opened, Opening, Place, Seed, Sender, State, find, open, opening, refresh, search, seed,
    timeout,
};
use sg_common::packet::tcp::{ACK, FIN, RST, SYN};
use sg_common::packet::{Address, GROUP, NO_SCTP_CHUNK, Packet, protocol};
use sg_common::tables::{Timeouts, WAYS, buckets_for};
use sg_common::verdict::Direction;
use support::{Filter, Memory, Raced, ZONE, icmp, key, other, sctp, tcp, udp};

use Sender::{Opener, Other};

const STATES: [State; 15] = [
    State::Free,
    State::Busy,
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinOpener,
    State::FinOther,
    State::Closing,
    State::OneWay,
    State::Answered,
    State::SctpOpening,
    State::SctpEstablished,
    State::SctpClosing,
    State::IcmpOneWay,
    State::OtherOneWay,
];

/// A key that differs from others in one port.
fn numbered(port: u16) -> Key {
    let addresses = (support::OPENER, support::OTHER);
    Key::new(ZONE, Direction::Egress, (4, protocol::TCP), addresses, (port, 443))
}

/// Seconds of a clock, often near its start, its end and each other.
fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..40, 900_u32..2100, any::<u32>(), u32::MAX - 40..=u32::MAX]
}

/// A table of one bucket that holds these states, each a second younger than the one before.
fn filled(states: &[State]) -> (Memory, Timeouts, u32) {
    let (table, timeouts) = (Memory::new(1, 1), Timeouts::default());
    let mut now = 1000;
    for (port, state) in (0..).zip(states) {
        let kind = match state {
            State::OneWay | State::Answered => Kind::Udp,
            State::IcmpOneWay => Kind::Icmp,
            State::OtherOneWay => Kind::Other,
            State::SctpOpening | State::SctpEstablished | State::SctpClosing => Kind::Sctp,
            _ => Kind::Tcp,
        };
        let opened = open(&table, &numbered(port), *state, kind, &timeouts, now, false);
        assert_eq!(opened, Opened::Free);
        now += 1;
    }
    (table, timeouts, now)
}

fn open_tcp(table: &Memory, port: u16, timeouts: &Timeouts, now: u32) -> Opened {
    open(table, &numbered(port), State::Established, Kind::Tcp, timeouts, now, false)
}
