//! Counts what a filter in XDP let through.

use aya_ebpf::bindings::TC_ACT_SHOT;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;

/// Packets that came so far. Only one CPU sends, so nobody else adds.
#[btf_map]
static PEER_PASSED: Array<u64, 1> = Array::new();

/// Sits behind a filter while its verdicts are checked, and is gone while it is timed.
#[classifier]
fn peer_count(_ctx: TcContext) -> i32 {
    if let Some(passed) = PEER_PASSED.get_ptr_mut(0) {
        // SAFETY: the value is an aligned word.
        unsafe { passed.write_volatile(passed.read_volatile().wrapping_add(1)) };
    }
    TC_ACT_SHOT
}
