//! What no filter can be cheaper than.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use sg_common::verdict::Direction;

use crate::bench::touch_memory;
use crate::frame::Xdp;
use crate::hooks::parse_into_scratch;

/// Does nothing.
#[xdp(frags)]
fn peer_empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Parses with the product's parser, and drops.
#[xdp(frags)]
fn peer_parse(ctx: XdpContext) -> u32 {
    parse_into_scratch(Xdp(ctx.ctx), Direction::Ingress);
    xdp_action::XDP_DROP
}

/// Parses, and lets pass. What passes goes through the stack between two batches and takes the
/// caches with it: the difference to [`peer_parse`] is no filter's fault.
#[xdp(frags)]
fn peer_parse_pass(ctx: XdpContext) -> u32 {
    parse_into_scratch(Xdp(ctx.ctx), Direction::Ingress);
    xdp_action::XDP_PASS
}

/// Parses, touches the memory that a classification cannot do without, and drops.
#[xdp(frags)]
fn peer_memory(ctx: XdpContext) -> u32 {
    touch_for(ctx);
    xdp_action::XDP_DROP
}

/// As [`peer_memory`], and lets pass.
#[xdp(frags)]
fn peer_memory_pass(ctx: XdpContext) -> u32 {
    touch_for(ctx);
    xdp_action::XDP_PASS
}

#[inline(always)]
fn touch_for(ctx: XdpContext) {
    if let Some((scratch, _)) = parse_into_scratch(Xdp(ctx.ctx), Direction::Ingress) {
        let packet = &scratch.packet;
        let ports = u32::from(packet.source_port) << 16 | u32::from(packet.key);
        touch_memory((packet.source.low as u32 ^ ports).wrapping_mul(0x9e37_79b9));
    }
}
