//! What is blocked, and what that dropped.

use std::sync::Arc;

use ipnet::IpNet;
use sg_common::verdict::Direction;

use super::{BlockStats, Host};
use crate::store::State;

/// What is blocked on a host.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// Generation at the time of reading.
    pub generation: u64,
    /// Each direction of each block with what it dropped.
    pub blocks: Vec<BlockStats>,
    /// Addresses and networks that are blocked by themselves.
    pub entries: Arc<[IpNet]>,
}

impl Host {
    /// What is blocked, with its counters.
    ///
    /// # Errors
    /// Where the store or the pins cannot be read.
    pub fn blocked(&mut self) -> anyhow::Result<Blocked> {
        let (generation, state) = self.committed()?;
        let blocks = self.block_stats(&state);
        Ok(Blocked { generation, blocks, entries: state.policy.blocks.entries })
    }

    pub(super) fn block_stats(&self, state: &State) -> Vec<BlockStats> {
        let mut stats = Vec::new();
        for block in state.policy.blocks.each() {
            let entries = block.entries(&state.policy).len();
            for direction in [Direction::Ingress, Direction::Egress] {
                let (id, block) = (block.id(direction), block.clone());
                let counter = self.rule_counter(state, id);
                stats.push(BlockStats { block, entries, direction, id, counter });
            }
        }
        stats
    }
}
