//! A place of the table: one word that says whether and how long an entry counts.
//!
//! ```text
//! bits  0..32   end of life, seconds of CLOCK_MONOTONIC
//! bits 32..56   fingerprint
//! bits 56..61   state
//! bit  63       marked: opened by a packet that enforcing would have denied
//! ```

use crate::tables::Timeouts;

/// Bits of a fingerprint.
pub(super) const FINGERPRINT: u32 = 0x00ff_ffff;

const MARKED: u64 = 1 << 63;

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No entry.
    Free = 0,
    /// Being written.
    Busy = 1,
    /// TCP: the opener's SYN is unanswered.
    SynSent = 2,
    /// TCP: it was answered.
    SynReceived = 3,
    /// TCP after the handshake.
    Established = 4,
    /// TCP: the opener sends no more.
    FinOpener = 5,
    /// TCP: the other side sends no more.
    FinOther = 6,
    /// TCP after a FIN of both sides or a RST.
    Closing = 7,
    /// UDP: unanswered.
    OneWay = 8,
    /// Protocols without a handshake: answered.
    Answered = 9,
    /// SCTP before the end of the handshake.
    SctpOpening = 10,
    /// SCTP after it.
    SctpEstablished = 11,
    /// SCTP after an abort or a shutdown.
    SctpClosing = 12,
    /// ICMP: the query is unanswered.
    IcmpOneWay = 13,
    /// Protocols without ports: unanswered.
    OtherOneWay = 14,
}

impl State {
    /// The state of a number; unknown ones count as free.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u64) -> Self {
        match number {
            1 => Self::Busy,
            2 => Self::SynSent,
            3 => Self::SynReceived,
            4 => Self::Established,
            5 => Self::FinOpener,
            6 => Self::FinOther,
            7 => Self::Closing,
            8 => Self::OneWay,
            9 => Self::Answered,
            10 => Self::SctpOpening,
            11 => Self::SctpEstablished,
            12 => Self::SctpClosing,
            13 => Self::IcmpOneWay,
            14 => Self::OtherOneWay,
            _ => Self::Free,
        }
    }
}

/// The word of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Place(pub u64);

impl Place {
    /// A word.
    #[inline(always)]
    #[must_use]
    pub const fn new(state: State, fingerprint: u32, ends: u32, marked: bool) -> Self {
        let marked = if marked { MARKED } else { 0 };
        Self(marked | (state as u64) << 56 | (fingerprint as u64) << 32 | ends as u64)
    }

    /// State of the connection.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> State {
        State::of(self.0 >> 56 & 31)
    }

    /// Fingerprint of its key.
    #[inline(always)]
    #[must_use]
    pub const fn fingerprint(self) -> u32 {
        (self.0 >> 32) as u32 & FINGERPRINT
    }

    /// Second in which it ends.
    #[inline(always)]
    #[must_use]
    pub const fn ends(self) -> u32 {
        self.0 as u32
    }

    /// Whether a packet opened it that enforcing would have denied.
    #[inline(always)]
    #[must_use]
    pub const fn marked(self) -> bool {
        self.0 & MARKED != 0
    }

    /// Whether it holds an entry that counts at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn lives(self, now: u32) -> bool {
        self.0 >> 56 & 31 > State::Busy as u64 && self.ends() > now
    }

    /// 1 if it has this fingerprint and [lives](Self::lives), else 0.
    #[inline(always)]
    #[must_use]
    pub(super) const fn may_hold(self, fingerprint: u32, now: u32) -> u32 {
        let differs = ((self.0 >> 32) as u32 ^ fingerprint) & FINGERPRINT;
        let same = (differs as u64).wrapping_sub(1) >> 63;
        (same & self.is_entry() & later(self.ends(), now)) as u32
    }

    /// 1 if it is more than free and busy.
    #[inline(always)]
    const fn is_entry(self) -> u64 {
        (State::Busy as u64).wrapping_sub(self.0 >> 56 & 31) >> 63
    }

    /// The second in which it was last used, for who looks for a place: 0 if it is free or its time
    /// is over (a place whose writer died half-way becomes free in the same manner), at least
    /// [`FIRST_SECOND`] if it is evictable, [`NO_CANDIDATE`] if it must stay.
    #[inline(always)]
    #[must_use]
    pub(super) const fn used(self, timeouts: &Timeouts, now: u32) -> u32 {
        let state = self.0 >> 56 & 31;
        let opening = is(state, State::SynSent) | is(state, State::SynReceived);
        let (udp, icmp) = (is(state, State::OneWay), is(state, State::IcmpOneWay));
        let other = is(state, State::OtherOneWay) | is(state, State::SctpOpening);
        let idle = idle(timeouts.tcp_opening) & opening
            | idle(timeouts.udp_one_way) & udp
            | idle(timeouts.icmp) & icmp
            | idle(timeouts.other) & other;
        // The difference, or the first second where that is earlier.
        let first = FIRST_SECOND as u64;
        let beyond = (self.ends() as u64).wrapping_sub(idle).wrapping_sub(first);
        let since = first.wrapping_add(beyond & (beyond >> 63).wrapping_sub(1));
        let evictable = opening | udp | icmp | other;
        let available = is(state, State::Free) | later(self.ends(), now).wrapping_sub(1);
        ((since & evictable | NO_CANDIDATE as u64 & !evictable) & !available) as u32
    }
}

/// All ones if `state` is the number of `which`, else 0.
#[inline(always)]
const fn is(state: u64, which: State) -> u64 {
    ((state ^ which as u64).wrapping_sub(1) >> 63).wrapping_neg()
}

/// 1 if a second comes after another, else 0.
#[inline(always)]
const fn later(second: u32, other: u32) -> u64 {
    (other as u64).wrapping_sub(second as u64) >> 63
}

/// Time from the last use of an entry to its end.
#[inline(always)]
const fn idle(timeout: u32) -> u64 {
    timeout as u64 + slack(timeout) as u64
}

/// How long after its timeout an entry may end: its place is written anew only when less than the
/// timeout is left, so a busy connection writes once in this time and not with every packet.
#[inline(always)]
pub(super) const fn slack(timeout: u32) -> u32 {
    1 + timeout / 64
}

/// The earliest second of use that is told: smaller numbers are for available places.
pub(super) const FIRST_SECOND: u32 = crate::tables::WAYS;

/// Of a place that cannot be taken.
pub(super) const NO_CANDIDATE: u32 = u32::MAX;
