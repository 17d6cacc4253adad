//! The compiled classifier: one immutable image for each policy and direction.
//!
//! The compiler (`sg-ctl`) resolves priorities, denies and overlaps; [`lookup_v4`] and
//! [`lookup_v6`] find the one decision for an address, a protocol and a key.

pub mod layout;
mod lookup;

pub use lookup::{climb, lookup, lookup_v4, lookup_v6};

/// What a rule's protocol is compared with. Each kind has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// TCP; the key is the destination port.
    Tcp = 0,
    /// UDP; the key is the destination port.
    Udp = 1,
    /// SCTP; the key is the destination port.
    Sctp = 2,
    /// ICMP over IPv4 and ICMPv6 over IPv6; the key is `type << 8 | code`.
    Icmp = 3,
    /// Any other protocol, ICMP over IPv6 and ICMPv6 over IPv4 among them; the key is its number.
    Other = 4,
}

impl Kind {
    /// The kind of a number; unknown ones count as [`Kind::Other`].
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Tcp,
            1 => Self::Udp,
            2 => Self::Sctp,
            3 => Self::Icmp,
            _ => Self::Other,
        }
    }
}

/// What the other direction's rules say of the mirrored packet, as far as the compiler knows. For
/// [`Kind::Icmp`] it speaks of the types that have a counterpart; it means nothing for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reverse {
    /// It has to be looked up.
    Depends = 0,
    /// Allowed, whatever the mirrored packet's key.
    Open = 1,
    /// Denied, whatever the mirrored packet's key.
    Closed = 2,
}

/// The decision for one packet: bit 0 allow, bits 1 and 2 [`Reverse`], bit 3 whole kind allowed,
/// bits 4 to 31 the counter slot, bits 32 to 63 the rank (0 of a block, else `priority + 1 << 1 |
/// allow`: the smaller wins, and among equals the longer prefix; all ones = no rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Decision(pub u64);

impl Decision {
    /// No rule matches.
    pub const IMPLICIT_DENY: Self = Self(0xffff_ffff_0000_0000);

    /// Whether the packet is allowed.
    #[inline(always)]
    #[must_use]
    pub const fn allows(self) -> bool {
        self.0 & 1 != 0
    }

    /// What the other direction says of the mirrored packet.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(self) -> Reverse {
        match self.0 >> 1 & 3 {
            1 => Reverse::Open,
            2 => Reverse::Closed,
            _ => Reverse::Depends,
        }
    }

    /// Whether every key of this kind is allowed at this address; of [`Kind::Other`], every key of
    /// this protocol, that is the packet itself (spec §2.14). False where the compiler does not
    /// know.
    #[inline(always)]
    #[must_use]
    pub const fn whole_kind_allowed(self) -> bool {
        self.0 & 8 != 0
    }

    /// Counter slot of the deciding rule; 0 if no rule decides.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> 4 & 0x0fff_ffff) as u32
    }

    /// Whether a block decided: nothing but what always passes goes to or comes from the peer, ICMP
    /// errors included.
    #[inline(always)]
    #[must_use]
    pub const fn is_block(self) -> bool {
        self.0 >> 32 == 0
    }

    /// Whether a rule decided.
    #[inline(always)]
    #[must_use]
    pub const fn is_rule(self) -> bool {
        self.0 >> 32 != 0xffff_ffff
    }
}

/// Read access to an image. Reads are total: an offset outside is masked, so that a damaged image
/// gives a wrong answer and nothing worse.
pub trait Image: Sized {
    /// The aligned 32-bit word at a byte offset.
    fn u32_at(&self, offset: u32) -> u32;
    /// The aligned 64-bit word at a byte offset.
    fn u64_at(&self, offset: u32) -> u64;
    /// The same value; in the kernel, one that the verifier does not tell from others (see
    /// [`crate::packet::Frame::settle`]).
    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        value
    }
    /// [`climb`]. Few packets need it, so the kernel can put it out of the others' way.
    #[inline(always)]
    fn climb(&self, row: u32, asked: u32, best: u64) -> u64 {
        climb(self, row, asked, best)
    }
    /// Calls `step` up to `times` times, until it returns true. (The kernel uses `bpf_loop`, so
    /// that the verifier looks at one step only.)
    ///
    /// `step` is a function item, which has no size: the kernel knows no function pointers.
    fn repeat<S, F>(&self, times: u32, state: &mut S, step: F)
    where
        F: Fn(&Self, &mut S) -> bool + Copy;
}
