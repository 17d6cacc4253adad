//! Frames of both hooks.
//!
//! Headers are read where they lie as long as they lie in the linear part; where they do not, the
//! parser runs once more over a copying access, which finds every byte of the frame.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_MAC;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::{
    bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
};
use sg_common::packet::{Frame, Packet, Start, View};

use crate::hooks::{sg_parse_skb, sg_parse_skb_copied, sg_parse_xdp, sg_parse_xdp_copied};
use crate::repeat::repeat;

/// Offsets above are not looked at: the verifier wants a bound, and no legal chain of headers is
/// longer.
const MAX_OFFSET: u32 = 0x7fff;

/// The context of a hook.
pub(crate) trait Context: Copy {
    /// Whether it is a socket buffer.
    const SOCKET_BUFFER: bool;
    /// First byte of the linear part.
    fn data(self) -> usize;
    /// End of the linear part.
    fn data_end(self) -> usize;
    /// Bytes in the whole frame.
    fn length(self) -> u32;
    /// VLAN tags that were taken off.
    fn tags(self) -> u32;
    /// On an Ethernet device: what the header held, packed as [`unpack_start`] reads it, if the frame begins
    /// behind it; else 0.
    fn lost_header(self) -> u32;
    /// Payload of each segment and number of segments; 0 where it is no merged packet.
    fn segments(self) -> (u32, u32);
    /// Copies bytes from anywhere in the frame; false if they are not there.
    fn load(self, offset: u32, to: *mut u8, bytes: u32) -> bool;
    /// Runs the parser over the linear part.
    fn parse_linear(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32;
    /// Runs the parser over the whole frame.
    fn parse_copied(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32;
}

/// An Ethernet header that is out of sight, in a word.
const LOST: u32 = 1 << 16;
const LOST_GROUP: u32 = 1 << 17;

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: u32 = 14;

/// `PACKET_BROADCAST` and `PACKET_MULTICAST` of linux/if_packet.h.
const GROUP_TYPES: [u32; 2] = [1, 2];

/// What a frame of an Ethernet device begins with.
#[inline(always)]
pub(crate) fn unpack_start(lost: u32) -> Start {
    if lost & LOST == 0 {
        return Start::Ethernet;
    }
    Start::BehindEthernet { ether_type: lost as u16, group: lost & LOST_GROUP != 0 }
}

/// An XDP buffer.
#[derive(Clone, Copy)]
pub(crate) struct Xdp(pub(crate) *mut xdp_md);

impl Context for Xdp {
    const SOCKET_BUFFER: bool = false;

    #[inline(always)]
    fn data(self) -> usize {
        // SAFETY: the kernel's context is valid for the whole run.
        unsafe { (*self.0).data as usize }
    }

    #[inline(always)]
    fn data_end(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.0).data_end as usize }
    }

    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: as above.
        unsafe { bpf_xdp_get_buff_len(self.0) as u32 }
    }

    #[inline(always)]
    fn tags(self) -> u32 {
        0
    }

    #[inline(always)]
    fn lost_header(self) -> u32 {
        0
    }

    #[inline(always)]
    fn segments(self) -> (u32, u32) {
        (0, 0)
    }

    #[inline(always)]
    fn load(self, offset: u32, to: *mut u8, bytes: u32) -> bool {
        // SAFETY: `to` has room for `bytes`; the helper checks the offset.
        unsafe { bpf_xdp_load_bytes(self.0, offset, to.cast::<c_void>(), bytes) == 0 }
    }

    #[inline(always)]
    fn parse_linear(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32 {
        sg_parse_xdp(self.0, length, lost, packet, quoted)
    }

    #[inline(always)]
    fn parse_copied(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32 {
        sg_parse_xdp_copied(self.0, length, lost, packet, quoted)
    }
}

/// A socket buffer.
#[derive(Clone, Copy)]
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

impl Context for Skb {
    const SOCKET_BUFFER: bool = true;

    #[inline(always)]
    fn data(self) -> usize {
        // SAFETY: the kernel's context is valid for the whole run.
        unsafe { (*self.0).data as usize }
    }

    #[inline(always)]
    fn data_end(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.0).data_end as usize }
    }

    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn tags(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).vlan_present & 1 }
    }

    /// The kernel shows a program at TC ingress the frame from `skb->mac_len` bytes before its
    /// network header on. Generic XDP forgets that number where it copies a frame (Linux 6.9 and
    /// later), so that a program behind it, be it on the same device or on the VLAN device or bond
    /// above, would take the IP header for an Ethernet header, and addresses for an EtherType.
    #[inline(always)]
    fn lost_header(self) -> u32 {
        // SAFETY: as above.
        let (length, on_wire) = unsafe { ((*self.0).len, (*self.0).wire_len) };
        // What was in sight before the kernel went back to the Ethernet header, plus, from Linux
        // 6.19 on, the headers that segments of a merged packet would have.
        if length.wrapping_sub(on_wire) == ETHERNET_HEADER {
            return 0;
        }
        let linear = (self.data_end() - self.data()) as u32;
        let mut byte = 0_u8;
        // SAFETY: `byte` has room for the one byte.
        let beyond = unsafe {
            bpf_skb_load_bytes_relative(
                self.0.cast::<c_void>(),
                linear,
                (&raw mut byte).cast::<c_void>(),
                1,
                BPF_HDR_START_MAC,
            )
        };
        // From the Ethernet header on there are as many bytes as in sight, if it is in sight.
        if beyond != 0 {
            return 0;
        }
        // SAFETY: as above. The EtherType is in network byte order.
        let (protocol, kind) = unsafe { ((*self.0).protocol, (*self.0).pkt_type) };
        let group = if GROUP_TYPES.contains(&kind) { LOST_GROUP } else { 0 };
        LOST | group | u32::from(u16::from_be(protocol as u16))
    }

    #[inline(always)]
    fn segments(self) -> (u32, u32) {
        // SAFETY: as above.
        unsafe { ((*self.0).gso_size, (*self.0).gso_segs) }
    }

    #[inline(always)]
    fn load(self, offset: u32, to: *mut u8, bytes: u32) -> bool {
        // SAFETY: `to` has room for `bytes`; the helper checks the offset.
        unsafe {
            bpf_skb_load_bytes(self.0.cast::<c_void>(), offset, to.cast::<c_void>(), bytes) == 0
        }
    }

    #[inline(always)]
    fn parse_linear(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32 {
        sg_parse_skb(self.0, length, lost, packet, quoted)
    }

    #[inline(always)]
    fn parse_copied(self, length: u32, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32 {
        sg_parse_skb_copied(self.0, length, lost, packet, quoted)
    }
}

/// The same value, of which the compiler knows nothing. (`black_box` does that by way of the stack,
/// which costs a load's latency at each place.)
#[inline(always)]
fn opaque(mut value: u64) -> u64 {
    // SAFETY: a move of a register to itself; a program without an instruction for a line of its
    // debug information would not load.
    unsafe { asm!("{0} |= 0", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

#[inline(always)]
fn opaque_pointer(mut value: usize) -> usize {
    // SAFETY: a move of a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The same value, of which the verifier knows nothing: it does not relate the two exclusive ors
/// with a value that it does not know.
#[inline(always)]
pub(crate) fn settle(value: u32, unknown: u32) -> u32 {
    opaque(u64::from(value ^ unknown)) as u32 ^ unknown
}

/// A frame as the parser sees it: a context, and a way to the bytes.
pub(crate) struct Bytes<C, A> {
    context: C,
    access: A,
    length: u32,
}

/// A way to the bytes of a frame.
pub(crate) trait Access<C> {
    /// What a view of `N` bytes is.
    type View<const N: usize>: View;

    fn view<const N: usize>(&self, context: C, offset: u32) -> Option<Self::View<N>>;
}

impl<C: Context> Bytes<C, Linear> {
    /// The linear part, where it lies.
    #[inline(always)]
    pub(crate) fn linear(context: C, length: u32) -> Self {
        let access = Linear { data: context.data(), data_end: context.data_end() };
        Self { context, access, length }
    }
}

impl<C: Context> Bytes<C, Copied> {
    /// Every byte, by copying.
    #[inline(always)]
    pub(crate) fn copied(context: C, length: u32) -> Self {
        Self { context, access: Copied, length }
    }
}

impl<C: Context, A: Access<C>> Frame for Bytes<C, A> {
    type View<const N: usize> = A::View<N>;

    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn is_socket_buffer(&self) -> bool {
        C::SOCKET_BUFFER
    }

    #[inline(always)]
    fn tags_taken_off(&self) -> u32 {
        self.context.tags()
    }

    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        settle(value, self.length)
    }

    #[inline(always)]
    fn repeat<S, F>(&self, times: u32, state: &mut S, step: F)
    where
        F: Fn(&Self, &mut S) -> bool + Copy,
    {
        repeat(self, times, state, step);
    }

    #[inline(always)]
    fn view<const N: usize>(&self, offset: u32) -> Option<A::View<N>> {
        self.access.view(self.context, offset)
    }
}

/// Direct access to the linear part.
pub(crate) struct Linear {
    data: usize,
    data_end: usize,
}

impl<C> Access<C> for Linear {
    type View<const N: usize> = Pointer;

    #[inline(always)]
    fn view<const N: usize>(&self, _: C, offset: u32) -> Option<Pointer> {
        // The compiler may not know more of the offset than the verifier does, or it drops the
        // comparison that the verifier wants; nor may it compare anything but this pointer.
        let offset = opaque(u64::from(offset));
        if offset > u64::from(MAX_OFFSET) {
            return None;
        }
        let start = opaque_pointer(self.data + offset as usize);
        if start + N > self.data_end {
            return None;
        }
        Some(Pointer(start as *const u8))
    }
}

/// Bytes of the linear part, whose bounds [`Linear`] compared.
pub(crate) struct Pointer(*const u8);

impl View for Pointer {
    #[inline(always)]
    fn u8(&self, at: usize) -> u8 {
        // SAFETY: inside the bounds that were compared when the view was made.
        unsafe { self.0.add(at).read() }
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> u16 {
        // SAFETY: as above.
        u16::from_be(unsafe { self.0.add(at).cast::<u16>().read_unaligned() })
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> u32 {
        // SAFETY: as above.
        u32::from_be(unsafe { self.0.add(at).cast::<u32>().read_unaligned() })
    }

    #[inline(always)]
    fn u64(&self, at: usize) -> u64 {
        // SAFETY: as above.
        u64::from_be(unsafe { self.0.add(at).cast::<u64>().read_unaligned() })
    }
}

/// Access to every byte of a frame, by copying.
pub(crate) struct Copied;

impl<C: Context> Access<C> for Copied {
    type View<const N: usize> = [u8; N];

    #[inline(always)]
    fn view<const N: usize>(&self, context: C, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        if context.load(offset, bytes.as_mut_ptr(), N as u32) { Some(bytes) } else { None }
    }
}
