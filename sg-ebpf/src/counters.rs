//! Counting.

use core::sync::atomic::{AtomicU64, Ordering};

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use sg_common::judge::{Verdict, Weight};
use sg_common::tables::{ENDPOINTS, EVICTIONS, RULE_SLOTS, reason_index};
use sg_common::verdict::Direction;

use crate::constants::{ATOMIC_COUNTERS, ENDPOINT, SHARDS};
use crate::maps::{SG_REASON_COUNTERS, SG_RULE_COUNTERS};

#[inline(always)]
fn shard() -> u32 {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    cpu & SHARDS.load().wrapping_sub(1)
}

/// Adds to two words of a counter.
#[inline(always)]
fn add(packets: *mut u64, weight: Weight) {
    // SAFETY: `packets` points to a counter: two aligned words in the value of a map. Where shards
    // are shared everybody adds atomically; else this CPU alone adds, and nothing interrupts it
    // that adds here too.
    unsafe {
        let bytes = packets.add(1);
        if ATOMIC_COUNTERS.load() == 0 {
            packets.write_volatile(packets.read_volatile().wrapping_add(weight.packets));
            bytes.write_volatile(bytes.read_volatile().wrapping_add(weight.bytes));
        } else {
            // Results are not used, and relaxed additions become single instructions.
            AtomicU64::from_ptr(packets).fetch_add(weight.packets, Ordering::Relaxed);
            AtomicU64::from_ptr(bytes).fetch_add(weight.bytes, Ordering::Relaxed);
        }
    }
}

#[inline(always)]
fn add_reason(shard: u32, direction: Direction, would: bool, reason: u32, weight: Weight) {
    let endpoint = ENDPOINT.load() & (ENDPOINTS - 1);
    let index = reason_index(shard, endpoint, direction as u32, u32::from(would), reason);
    if let Some(counter) = SG_REASON_COUNTERS.get_ptr_mut(index) {
        add(counter.cast(), weight);
    }
}

/// Counts a verdict for its reason and for the rule that decided.
#[inline(always)]
pub(crate) fn count(verdict: &Verdict, weight: Weight) {
    let shard = shard();
    let would = verdict.would_drop();
    add_reason(shard, verdict.direction, would, verdict.reason as u32, weight);
    let slot = verdict.rule_slot();
    if slot != 0 && slot < RULE_SLOTS {
        add_rule_of(shard, slot, would, weight);
    }
}

#[inline(always)]
fn add_rule_of(shard: u32, slot: u32, would: bool, weight: Weight) {
    if let Some(counter) = SG_RULE_COUNTERS.get_ptr_mut(shard * RULE_SLOTS + slot) {
        // `decided` is first, `would_deny` second.
        let words = counter.cast::<u64>().wrapping_add(if would { 2 } else { 0 });
        add(words, weight);
    }
}

/// Counts for a rule alone, as the memory floor of `sg-ctl bench` does.
#[inline(always)]
pub(crate) fn add_rule(slot: u32, weight: Weight) {
    add_rule_of(shard(), slot, false, weight);
}

/// Counts a connection whose place another one took.
#[inline(always)]
pub(crate) fn evicted(direction: Direction) {
    let weight = Weight { packets: 1, bytes: 0 };
    add_reason(shard(), direction, false, EVICTIONS, weight);
}
