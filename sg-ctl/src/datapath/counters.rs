//! Counters, summed over their shards.

use sg_common::tables::{Counter, ENDPOINTS, RULE_SLOTS, RuleCounter, reason_index};
use sg_common::verdict::{Direction, REASONS};

use super::maps::Maps;

fn add(sum: &mut Counter, one: Counter) {
    sum.packets = sum.packets.wrapping_add(one.packets);
    sum.bytes = sum.bytes.wrapping_add(one.bytes);
}

impl Maps {
    /// What a rule decided, by its slot.
    pub(super) fn rule_counter(&self, slot: u32) -> RuleCounter {
        let mut sum = RuleCounter::default();
        if slot >= RULE_SLOTS {
            return sum;
        }
        for shard in 0..self.shards() {
            let one = self.rule_counters.get(shard * RULE_SLOTS + slot);
            add(&mut sum.decided, one.decided);
            add(&mut sum.would_deny, one.would_deny);
        }
        sum
    }

    /// Packets of an endpoint by reason; `would` selects those that monitor mode let pass.
    pub(super) fn reason_counter(
        &self,
        endpoint: u32,
        direction: Direction,
        would: bool,
        reason: u32,
    ) -> Counter {
        let mut sum = Counter::default();
        if endpoint >= ENDPOINTS || reason >= REASONS {
            return sum;
        }
        for shard in 0..self.shards() {
            let index = reason_index(shard, endpoint, direction as u32, would.into(), reason);
            add(&mut sum, self.reason_counters.get(index));
        }
        sum
    }

    /// Sets a rule's counter to zero. Only for a slot that no packet can reach.
    pub(super) fn clear_rule(&self, slot: u32) {
        for shard in 0..self.shards() {
            self.rule_counters.set(shard * RULE_SLOTS + slot, RuleCounter::default());
        }
    }

    /// Sets an endpoint's counters to zero. Only for an endpoint that no program has.
    pub(super) fn clear_endpoint(&self, endpoint: u32) {
        for shard in 0..self.shards() {
            for direction in 0..2 {
                for would in 0..2 {
                    for reason in 0..REASONS {
                        let index = reason_index(shard, endpoint, direction, would, reason);
                        self.reason_counters.set(index, Counter::default());
                    }
                }
            }
        }
    }
}
