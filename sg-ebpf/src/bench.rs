//! Drivers of `sg-ctl bench`: each run takes the next header of a trace, writes it into the frame of
//! the test run, and does with it what `BENCH_STAGE` says. They are never attached.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{TC_ACT_SHOT, xdp_action};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use sg_common::judge::Weight;
use sg_common::tables::{RULE_SLOTS, TRACE_BYTES, TRACE_HEADERS, bench};
use sg_common::verdict::Direction;

use crate::constants::{BENCH_DIRECTION, BENCH_RULES, BENCH_SLOT, BENCH_STAGE};
use crate::counters;
use crate::frame::{Context, Skb, Xdp};
use crate::hooks::{parse_into_scratch, passes};
use crate::image::touch;
use crate::maps::{SG_BENCH_NEXT, SG_TRACE};

/// As [`crate::hooks`]'s XDP program, over the trace.
#[xdp(frags)]
fn sg_bench_xdp(ctx: XdpContext) -> u32 {
    drive(Xdp(ctx.ctx));
    xdp_action::XDP_DROP
}

/// As [`crate::hooks`]'s TC programs, over the trace.
#[classifier]
fn sg_bench_tc(ctx: TcContext) -> i32 {
    drive(Skb(ctx.as_ptr().cast()));
    TC_ACT_SHOT
}

/// Writes the next header of the trace into a frame, and returns its number.
#[inline(always)]
pub(crate) fn next_header<C: Context>(context: C) -> Option<u32> {
    let next = SG_BENCH_NEXT.get_ptr_mut(0)?;
    // SAFETY: the value is this CPU's own, and a word.
    let number = unsafe {
        let next = next.cast::<u32>();
        let number = next.read();
        next.write(number.wrapping_add(1));
        number
    };
    let header = SG_TRACE.get_ptr(number & (TRACE_HEADERS - 1))?;
    let (data, data_end) = (context.data(), context.data_end());
    if data + TRACE_BYTES as usize > data_end {
        return None;
    }
    let (from, to) = (header.cast::<u64>(), data as *mut u64);
    for word in 0..TRACE_BYTES as usize / 8 {
        // SAFETY: a value of the trace has `TRACE_BYTES`, and the frame was just compared.
        unsafe { to.add(word).write_unaligned(from.add(word).read_volatile()) };
    }
    Some(number)
}

/// Touches what a classification cannot do without: two dependent lines of the image, and a
/// counter, all three at random.
#[inline(always)]
pub(crate) fn touch_memory(random: u32) {
    let found = touch(BENCH_SLOT.load(), random);
    let rule =
        (u64::from(found.wrapping_mul(0x85eb_ca6b)) * u64::from(BENCH_RULES.load()) >> 32) as u32;
    counters::add_rule((1 + rule) & (RULE_SLOTS - 1), Weight { packets: 1, bytes: 60 });
}

#[inline(always)]
fn drive<C: Context>(context: C) {
    let Some(number) = next_header(context) else { return };
    let direction = Direction::from_bit(BENCH_DIRECTION.load());
    match BENCH_STAGE.load() {
        bench::PARSE => {
            parse_into_scratch(context, direction);
        }
        bench::MEMORY => touch_memory(number.wrapping_mul(0x9e37_79b9)),
        bench::WHOLE => {
            passes(context, direction);
        }
        _ => {}
    }
}
