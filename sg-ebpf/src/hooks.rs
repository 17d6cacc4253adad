//! The hooks.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action, xdp_md};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use sg_common::judge::{Verdict, Weight, judge};
use sg_common::packet::{self, Frame, ICMP_ERROR, Packet, Start};
use sg_common::tables::{
    EXPLAIN_FORWARD, EXPLAIN_HIT, EXPLAIN_MONITOR, EXPLAIN_REVERSE, EXPLAIN_WRITTEN, Explanation,
};
use sg_common::verdict::{Direction, Reason};

use crate::constants::{ETHERNET, READ_ONLY};
use crate::counters;
use crate::env::Kernel;
use crate::frame::{Bytes, Context, Skb, Xdp, unpack_start};
use crate::maps::{SG_EXPLAIN, SG_SCRATCH};

/// Judges what a NIC's driver receives.
#[xdp(frags)]
fn sg_xdp(ctx: XdpContext) -> u32 {
    if passes(Xdp(ctx.ctx), Direction::Ingress) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// Judges what an interface receives.
#[classifier]
fn sg_tc_ingress(ctx: TcContext) -> i32 {
    traffic_control(&ctx, Direction::Ingress)
}

/// Judges what an interface sends.
#[classifier]
fn sg_tc_egress(ctx: TcContext) -> i32 {
    traffic_control(&ctx, Direction::Egress)
}

/// `TC_ACT_UNSPEC` is `TCX_NEXT` too: the next program sees what passes.
#[inline(always)]
fn traffic_control(ctx: &TcContext, hook: Direction) -> i32 {
    if passes(Skb(ctx.as_ptr().cast()), hook) { TC_ACT_UNSPEC } else { TC_ACT_SHOT }
}

/// What one run works on. It lies in a map of this CPU, because the kernel gives a program and all
/// functions that it calls 512 bytes of stack together. Programs of network hooks run with softirqs
/// off and are not interrupted by one another on a CPU.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) packet: Packet,
    quoted: Packet,
    verdict: Verdict,
}

/// Parses a frame into what this CPU works on.
#[inline(always)]
pub(crate) fn parse_into_scratch<C: Context>(
    context: C,
    hook: Direction,
) -> Option<(&'static mut Scratch, u32)> {
    let scratch = SG_SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the value is this CPU's own and large enough, and any bits are plain data, all of
    // which is written before it is read.
    let scratch = unsafe { &mut *scratch.cast::<Scratch>() };
    let Scratch { packet, quoted, verdict } = scratch;
    // What is quoted is cleared where there is any.
    *packet = Packet::default();
    *verdict = Verdict::NONE;
    let length = context.length();
    let ingress = matches!(hook, Direction::Ingress);
    let lost = if ingress && ETHERNET.load() != 0 { context.lost_header() } else { 0 };
    let mut code = context.parse_linear(length, lost, packet, quoted);
    let incomplete = code >= REASON || packet.has(ICMP_ERROR) && code != QUOTES;
    if incomplete && ((context.data_end() - context.data()) as u32) < length {
        *packet = Packet::default();
        code = context.parse_copied(length, lost, packet, quoted);
    }
    Some((scratch, code))
}

/// Judges a frame, and counts the verdict.
#[inline(always)]
pub(crate) fn passes<C: Context>(context: C, hook: Direction) -> bool {
    let Some((Scratch { packet, quoted, verdict }, code)) = parse_into_scratch(context, hook)
    else {
        return false;
    };
    let parsed = if code < REASON {
        Ok(())
    } else {
        Err(Reason::from_number(code - REASON).unwrap_or(Reason::NoPolicy))
    };
    let quoted = if code == QUOTES { Some(&*quoted) } else { None };
    judge(&Kernel::new(), hook, parsed, packet, quoted, verdict);
    let (size, segments) = context.segments();
    let weight = Weight::of(packet, size, segments);
    if READ_ONLY.load() == 0 {
        counters::count(verdict, weight);
    } else {
        explain(verdict, weight);
    }
    verdict.passes()
}

/// What the parser's functions return: parsed,
const PARSED: u32 = 0;
/// parsed, and so is the packet that it quotes,
const QUOTES: u32 = 1;
/// or this and the number of a reason.
const REASON: u32 = 2;

/// The parser is a global function for each kind of frame: the verifier looks at it once and by
/// itself. The same goes for every other `sg_` function. Their pointers are never null, but the
/// verifier wants to see that.
macro_rules! parser {
    ($name:ident, $context:ty, $hook:ident, $access:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $name(
            context: *mut $context,
            length: u32,
            lost: u32,
            packet: *mut Packet,
            quoted: *mut Packet,
        ) -> u32 {
            // SAFETY: the caller's variables, or null.
            let (Some(packet), Some(quoted)) = (unsafe { (packet.as_mut(), quoted.as_mut()) })
            else {
                return REASON + Reason::NoPolicy as u32;
            };
            parse(&Bytes::$access($hook(context), length), lost, packet, quoted)
        }
    };
}

parser!(sg_parse_xdp, xdp_md, Xdp, linear);
parser!(sg_parse_xdp_copied, xdp_md, Xdp, copied);
parser!(sg_parse_skb, __sk_buff, Skb, linear);
parser!(sg_parse_skb_copied, __sk_buff, Skb, copied);

#[inline(always)]
fn parse<F: Frame>(frame: &F, lost: u32, packet: &mut Packet, quoted: &mut Packet) -> u32 {
    let start = if ETHERNET.load() != 0 { unpack_start(lost) } else { Start::Ip };
    match packet::parse(frame, start, packet) {
        Ok(()) if packet::parse_quote(frame, packet, quoted) => QUOTES,
        Ok(()) => PARSED,
        Err(reason) => REASON + reason as u32,
    }
}

/// Leaves the verdict for who asked for it.
#[inline(always)]
fn explain(verdict: &Verdict, weight: Weight) {
    let Some(value) = SG_EXPLAIN.get_ptr_mut(0) else { return };
    let mut flags = EXPLAIN_WRITTEN;
    if verdict.forward.is_rule() {
        flags |= EXPLAIN_FORWARD;
    }
    if verdict.reverse.is_rule() {
        flags |= EXPLAIN_REVERSE;
    }
    if verdict.hit {
        flags |= EXPLAIN_HIT;
    }
    if verdict.monitor {
        flags |= EXPLAIN_MONITOR;
    }
    let explanation = Explanation {
        forward: verdict.forward.0,
        reverse: verdict.reverse.0,
        reason: verdict.reason as u32,
        direction: verdict.direction as u32,
        flags,
        packets: weight.packets as u32,
        bytes: weight.bytes,
        reserved: 0,
    };
    // SAFETY: the value has the size of an explanation and is this load's own.
    unsafe { value.cast::<Explanation>().write(explanation) };
}

const _: () = assert!(size_of::<Scratch>() <= 24 * 8);
