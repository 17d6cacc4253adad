//! The parser: one code for XDP frames, socket buffers and byte slices.
//!
//! ```text
//! parse -> ethernet (tags, LLC) -> ipv4 | ipv6 -> transport
//!                                        quote -> the packet inside an ICMP error
//! ```
//!
//! Every read names the bytes that it needs and fails where the packet ends before them, so a cut
//! frame ends in a [`Reason`] and never in a guess. The end of a packet is that of its IP header's
//! length, not that of the frame: padding is no header.

mod ethernet;
mod ipv4;
mod ipv6;
mod quote;
mod transport;

pub use quote::parse_quote;
pub use transport::NO_CHUNK as NO_SCTP_CHUNK;

use crate::classifier::Kind;
use crate::verdict::Reason;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;

/// IP protocol numbers that have a meaning here.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// TCP flags (RFC 9293 section 3.1).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset.
    pub const RST: u8 = 4;
    /// The acknowledgement is valid.
    pub const ACK: u8 = 16;

    /// Whether no connection sends this combination: SYN with FIN or RST, or none of SYN, ACK and
    /// RST (RFC 9293 section 3.10.7: such a segment is answered by none of the states).
    #[inline(always)]
    #[must_use]
    pub const fn illegal(flags: u8) -> bool {
        flags & (SYN | ACK | RST) == 0 || flags & SYN != 0 && flags & (FIN | RST) != 0
    }
}

/// Access to the bytes of a frame.
pub trait Frame {
    /// `N` bytes of a frame.
    type View<const N: usize>: View;

    /// Bytes in the whole frame, link-layer header included.
    fn length(&self) -> u32;

    /// Whether the frame is a socket buffer, where segmentation offload makes lengths of 0 legal.
    fn is_socket_buffer(&self) -> bool;

    /// VLAN tags that hardware or the sender's stack took off.
    fn tags_taken_off(&self) -> u32;

    /// The same value. The kernel's verifier would walk what follows once for each value that it
    /// can tell apart; where ways join, this makes it forget them.
    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        value
    }

    /// Calls `step` up to `times` times, until it returns true. The kernel uses `bpf_loop`, so that
    /// the verifier looks at one step only; `step` is a function item and leaves in `state` nothing
    /// that is not settled.
    #[inline(always)]
    fn repeat<S, F>(&self, times: u32, state: &mut S, step: F)
    where
        F: Fn(&Self, &mut S) -> bool + Copy,
    {
        for _ in 0..times {
            if step(self, state) {
                break;
            }
        }
    }

    /// `N` bytes from `offset` on; `None` if they cannot be read.
    fn view<const N: usize>(&self, offset: u32) -> Option<Self::View<N>>;
}

/// Some bytes of a frame. `at` is a constant smaller than their number less the width read.
pub trait View {
    /// The byte at `at`.
    fn u8(&self, at: usize) -> u8;
    /// The big-endian number at `at`.
    fn u16(&self, at: usize) -> u16;
    /// The big-endian number at `at`.
    fn u32(&self, at: usize) -> u32;
    /// The big-endian number at `at`.
    fn u64(&self, at: usize) -> u64;
}

/// An address in host byte order. An IPv4 address is the lower 32 bits of `low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Address {
    /// Upper half of an IPv6 address.
    pub high: u64,
    /// Lower half.
    pub low: u64,
}

/// It is addressed to multicast or broadcast, by its IP or its link-layer address.
pub const GROUP: u32 = 1;
/// It is a fragment with more behind it, and the first one.
pub const FIRST_FRAGMENT: u32 = 2;
/// It is a fragment other than the first; nothing behind the IP headers is known.
pub const LATER_FRAGMENT: u32 = 4;
/// An 802.3 frame; [`Packet::ether_type`] holds DSAP and SSAP.
pub const LLC: u32 = 8;
/// An ICMP error that holds a quoted packet.
pub const ICMP_ERROR: u32 = 16;
/// An IPv6 packet whose length is in a jumbo option or not there at all (BIG TCP).
pub const JUMBO: u32 = 32;
/// The IP header was read: addresses and lengths are valid.
pub const IP: u32 = 64;
/// It has an IPv6 fragment header, be it that of an atomic fragment.
pub const FRAGMENT_HEADER: u32 = 128;

/// What the parser found. All numbers are in host byte order; what a packet does not have is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Bytes from the network header on.
    pub length: u32,
    /// Offset of the transport header.
    pub transport: u32,
    /// Offset of the packet's end.
    pub end: u32,
    /// [`GROUP`] and so on.
    pub flags: u32,
    /// Bytes of network and transport headers, which every segment of a merged packet has.
    pub headers: u32,
    /// EtherType behind all tags; for 802.3 frames DSAP and SSAP.
    pub ether_type: u16,
    /// Source port; the identifier of an ICMP query.
    pub source_port: u16,
    /// Key for the classifier: destination port, or `type << 8 | code` of ICMP.
    pub key: u16,
    /// 4, 6, or 0 for anything but IP.
    pub family: u8,
    /// Protocol number behind the extension headers.
    pub protocol: u8,
    /// TCP flags, or the type of the first SCTP chunk (255: none).
    pub detail: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Zero.
    pub reserved: u16,
}

impl Packet {
    /// Makes the verifier forget which way the parser took.
    #[inline(always)]
    fn settle<F: Frame>(&mut self, frame: &F) {
        self.flags = frame.settle(self.flags);
        self.family = frame.settle(u32::from(self.family)) as u8;
        self.protocol = frame.settle(u32::from(self.protocol)) as u8;
    }

    /// What a rule compares the protocol with.
    #[inline(always)]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match (self.protocol, self.family) {
            (protocol::TCP, _) => Kind::Tcp,
            (protocol::UDP, _) => Kind::Udp,
            (protocol::SCTP, _) => Kind::Sctp,
            (protocol::ICMP, 4) | (protocol::ICMPV6, 6) => Kind::Icmp,
            _ => Kind::Other,
        }
    }

    /// Type of an ICMP message.
    #[inline(always)]
    #[must_use]
    pub const fn icmp_type(&self) -> u8 {
        (self.key >> 8) as u8
    }

    /// Whether all of `flags` are set.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Whether it is a fragment of any kind.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.has(FIRST_FRAGMENT | LATER_FRAGMENT)
    }
}

/// `N` bytes at `at` that end before `end`.
#[inline(always)]
fn view<F: Frame, const N: usize>(frame: &F, at: u32, end: u32) -> Option<F::View<N>> {
    if at + N as u32 > end {
        return None;
    }
    frame.view::<N>(at)
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// An Ethernet header.
    Ethernet,
    /// An IP header, on a device that has no link layer.
    Ip,
    /// What was behind an Ethernet header that is out of sight.
    BehindEthernet {
        /// That header's EtherType.
        ether_type: u16,
        /// Whether it was addressed to a group.
        group: bool,
    },
}

/// Parses a frame into `packet`, which is all zero before.
///
/// # Errors
/// The reason why a packet that cannot be judged is dropped. What was found before stays in
/// `packet`; its length is always set.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F, start: Start, packet: &mut Packet) -> Result<(), Reason> {
    packet.length = frame.length();
    let mut at = 0;
    if start == Start::Ip {
        let first = frame.view::<1>(0).ok_or(Reason::Truncated)?;
        packet.ether_type = match first.u8(0) >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return Err(Reason::BadIpHeader),
        };
    } else {
        at = ethernet::parse(frame, start, packet)?;
        packet.flags = frame.settle(packet.flags);
    }
    if packet.has(LLC) {
        return Ok(());
    }
    let at = frame.settle(at);
    match packet.ether_type {
        IPV4 => ipv4::parse(frame, at, packet)?,
        IPV6 => ipv6::parse(frame, at, packet)?,
        _ => return Ok(()),
    }
    packet.settle(frame);
    let parsed = transport::parse(frame, at, packet);
    packet.settle(frame);
    parsed
}

/// Access to a frame that lies in memory as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The frame.
    pub bytes: &'a [u8],
    /// Whether lengths of 0 are legal, as on a socket buffer.
    pub socket_buffer: bool,
    /// VLAN tags that were taken off.
    pub tags: u32,
}

impl<'a> Bytes<'a> {
    /// A frame as the wire carries it.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, socket_buffer: false, tags: 0 }
    }
}

impl Frame for Bytes<'_> {
    type View<const N: usize> = [u8; N];

    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn is_socket_buffer(&self) -> bool {
        self.socket_buffer
    }

    fn tags_taken_off(&self) -> u32 {
        self.tags
    }

    fn view<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.bytes.get(offset as usize..)?.first_chunk::<N>().copied()
    }
}

impl<const N: usize> View for [u8; N] {
    #[inline(always)]
    fn u8(&self, at: usize) -> u8 {
        self.get(at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> u16 {
        (View::u8(self, at) as u16) << 8 | View::u8(self, at + 1) as u16
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> u32 {
        (View::u16(self, at) as u32) << 16 | View::u16(self, at + 2) as u32
    }

    #[inline(always)]
    fn u64(&self, at: usize) -> u64 {
        (View::u32(self, at) as u64) << 32 | View::u32(self, at + 4) as u64
    }
}
