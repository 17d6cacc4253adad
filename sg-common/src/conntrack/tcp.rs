//! TCP connections (RFC 9293), without sequence numbers.

use super::place::State;
use super::state::Sender;
use crate::packet::tcp::{ACK, FIN, RST, SYN};

/// The state after a segment with legal flags.
///
/// ```text
/// SynSent -- SYN or SYN+ACK of the other --> SynReceived -- ACK of the opener --> Established
/// any -- RST --> Closing             Established -- FIN --> FinOpener, FinOther
/// FinOpener, FinOther -- FIN of the other one --> Closing -- SYN of the opener --> SynSent
/// ```
#[inline(always)]
pub(super) fn next(state: State, flags: u8, sender: Sender) -> State {
    if flags & RST != 0 {
        return State::Closing;
    }
    let opener = matches!(sender, Sender::Opener);
    let syn = flags & SYN != 0;
    match state {
        State::SynSent if syn && !opener => State::SynReceived,
        // Ports are used again: a new connection with the timer of one.
        State::Closing if syn && opener && flags & ACK == 0 => State::SynSent,
        State::SynReceived if opener && flags & ACK != 0 => {
            after_fin(State::Established, flags, opener)
        }
        State::SynReceived | State::Established | State::FinOpener | State::FinOther => {
            after_fin(state, flags, opener)
        }
        _ => state,
    }
}

/// The state after a segment that may carry a FIN. One side's FIN, however often repeated, never
/// ends the other side's half.
#[inline(always)]
fn after_fin(state: State, flags: u8, opener: bool) -> State {
    if flags & FIN == 0 {
        return state;
    }
    match (state, opener) {
        (State::FinOther, true) | (State::FinOpener, false) => State::Closing,
        (State::FinOther | State::FinOpener, _) => state,
        (_, true) => State::FinOpener,
        (_, false) => State::FinOther,
    }
}
