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

#[inline(always)]
fn drive<C: Context>(context: C) {
    let Some(next) = SG_BENCH_NEXT.get_ptr_mut(0) else { return };
    // SAFETY: the value is this CPU's own, and a word.
    let number = unsafe {
        let next = next.cast::<u32>();
        let number = next.read();
        next.write(number.wrapping_add(1));
        number
    };
    let Some(header) = SG_TRACE.get_ptr(number & (TRACE_HEADERS - 1)) else { return };
    let (data, data_end) = (context.data(), context.data_end());
    if data + TRACE_BYTES as usize > data_end {
        return;
    }
    let (from, to) = (header.cast::<u64>(), data as *mut u64);
    for word in 0..TRACE_BYTES as usize / 8 {
        // SAFETY: a value of the trace has `TRACE_BYTES`, and the frame was just compared.
        unsafe { to.add(word).write_unaligned(from.add(word).read_volatile()) };
    }
    let direction = Direction::from_bit(BENCH_DIRECTION.load());
    match BENCH_STAGE.load() {
        bench::PARSE => {
            parse_into_scratch(context, direction);
        }
        bench::MEMORY => {
            // Two dependent lines of the image, and a counter, all three at random.
            let found = touch(BENCH_SLOT.load(), number.wrapping_mul(0x9e37_79b9));
            let rule = (u64::from(found.wrapping_mul(0x85eb_ca6b)) * u64::from(BENCH_RULES.load())
                >> 32) as u32;
            counters::add_rule((1 + rule) & (RULE_SLOTS - 1), Weight { packets: 1, bytes: 60 });
        }
        bench::WHOLE => {
            passes(context, direction);
        }
        _ => {}
    }
}
