//! The sender: each run of a test with live frames becomes a packet on a device.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;

use crate::bench::next_header;
use crate::frame::Xdp;

/// Index of the device that the packets leave by.
#[btf_map]
static PEER_DEVICE: Array<u32, 1> = Array::new();

/// Writes the next header of the trace into the frame and sends it.
#[xdp]
fn peer_generate(ctx: XdpContext) -> u32 {
    if next_header(Xdp(ctx.ctx)).is_none() {
        return xdp_action::XDP_DROP;
    }
    match PEER_DEVICE.get(0) {
        // SAFETY: the helper takes two numbers.
        Some(device) => unsafe { bpf_redirect(*device, 0) as u32 },
        None => xdp_action::XDP_DROP,
    }
}
