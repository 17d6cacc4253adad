//! SCTP associations (RFC 9260), each path an entry of its own.

use super::place::State;
use super::state::Sender;
use crate::packet::NO_SCTP_CHUNK;

/// Opens an association.
pub(super) const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN_COMPLETE: u8 = 14;

/// The state after a packet whose first chunk is of this type.
#[inline(always)]
pub(super) fn next(state: State, chunk: u8, sender: Sender) -> State {
    match (state, chunk) {
        (_, ABORT | SHUTDOWN_COMPLETE) => State::SctpClosing,
        (State::SctpClosing, INIT) if matches!(sender, Sender::Opener) => State::SctpOpening,
        // COOKIE ACK, or anything that comes after it where that was lost.
        (State::SctpOpening, chunk)
            if matches!(sender, Sender::Other)
                && !matches!(chunk, INIT | INIT_ACK | NO_SCTP_CHUNK) =>
        {
            State::SctpEstablished
        }
        _ => state,
    }
}
