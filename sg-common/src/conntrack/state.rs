//! What a packet does to a connection.

use super::key::is_icmp_query;
use super::place::State;
use super::table::{Found, Table, refresh};
use super::{sctp, tcp};
use crate::classifier::Kind;
use crate::packet::{GROUP, Packet, tcp as flags};
use crate::tables::Timeouts;

/// Who sent a packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The side that opened it.
    Opener,
    /// The side that answers.
    Other,
}

/// What a packet without a connection can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It opens one, in this state.
    Opens(State),
    /// It belongs to one or to none, but opens none.
    None,
}

/// Whether and how a packet opens a connection (spec §2.7): TCP with SYN and without ACK, UDP, an
/// ICMP query, SCTP INIT, any other protocol; nothing that is addressed to multicast or broadcast.
#[inline(always)]
#[must_use]
pub fn opening(packet: &Packet) -> Opening {
    if packet.has(GROUP) {
        return Opening::None;
    }
    could_open(packet)
}

/// [`opening`], whatever the address.
#[inline(always)]
#[must_use]
pub(crate) fn could_open(packet: &Packet) -> Opening {
    let state = match packet.kind() {
        Kind::Tcp if packet.detail & (flags::SYN | flags::ACK) == flags::SYN => State::SynSent,
        Kind::Sctp if packet.detail == sctp::INIT => State::SctpOpening,
        Kind::Icmp if is_icmp_query(packet.family, packet.icmp_type()) => State::IcmpOneWay,
        Kind::Udp => State::OneWay,
        Kind::Other => State::OtherOneWay,
        _ => return Opening::None,
    };
    Opening::Opens(state)
}

/// Whether a packet of the side that did not open is part of a connection in `state` (spec §2.9). A
/// packet that could itself open one is an answer only where both sides open at once.
#[inline(always)]
#[must_use]
pub fn admits(state: State, packet: &Packet) -> bool {
    if packet.has(GROUP) {
        return false;
    }
    match packet.kind() {
        Kind::Tcp => {
            packet.detail & (flags::SYN | flags::ACK) != flags::SYN
                || state as u8 == State::SynSent as u8
        }
        Kind::Sctp => packet.detail != sctp::INIT || state as u8 == State::SctpOpening as u8,
        _ => true,
    }
}

/// The state after a packet.
#[inline(always)]
#[must_use]
pub fn next(state: State, packet: &Packet, sender: Sender) -> State {
    match packet.kind() {
        Kind::Tcp => tcp::next(state, packet.detail, sender),
        Kind::Sctp => sctp::next(state, packet.detail, sender),
        _ => match sender {
            Sender::Opener => state,
            Sender::Other => State::Answered,
        },
    }
}

/// Seconds that a connection of this protocol stays idle in `state`.
#[inline(always)]
#[must_use]
pub fn timeout(timeouts: &Timeouts, state: State, kind: Kind) -> u32 {
    match (state, kind) {
        (State::SynSent | State::SynReceived, _) => timeouts.tcp_opening,
        (State::Established | State::FinOpener | State::FinOther, _) => timeouts.tcp_established,
        (State::Closing, _) => timeouts.tcp_closing,
        (State::SctpEstablished, _) => timeouts.sctp_established,
        (State::OneWay, _) => timeouts.udp_one_way,
        (State::IcmpOneWay, _) | (State::Answered, Kind::Icmp) => timeouts.icmp,
        (State::Answered, Kind::Udp) => timeouts.udp_answered,
        _ => timeouts.other,
    }
}

/// Gives a found entry the state and time that a packet of `sender` leaves it with. `marked` is what
/// the mark becomes.
#[inline(always)]
pub fn update<T: Table>(
    table: &T,
    found: &Found,
    packet: &Packet,
    sender: Sender,
    timeouts: &Timeouts,
    now: u32,
    marked: bool,
) {
    let state = next(found.place.state(), packet, sender);
    refresh(table, found, state, timeout(timeouts, state, packet.kind()), marked, now);
}
