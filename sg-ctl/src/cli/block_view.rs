//! A block in listings: the same fields wherever one is shown.

use serde::Serialize;

use super::listing::Style;
use super::table::{Column, table};
use crate::host::BlockStats;
use crate::policy::model::{Name, RuleId};

/// One direction of one block with what it dropped.
#[derive(Debug, Serialize)]
pub(crate) struct BlockView {
    id: RuleId,
    /// `addresses`: all that are blocked by themselves; else `prefix-list`.
    block: &'static str,
    /// The prefix list; `null` if it is none.
    prefix_list: Option<Name>,
    direction: &'static str,
    entry_count: usize,
    packets: u64,
    bytes: u64,
    would_deny_packets: u64,
    would_deny_bytes: u64,
}

impl From<BlockStats> for BlockView {
    fn from(stats: BlockStats) -> Self {
        let prefix_list = stats.block.list().cloned();
        Self {
            id: stats.id,
            block: if prefix_list.is_some() { "prefix-list" } else { "addresses" },
            prefix_list,
            direction: stats.direction.name(),
            entry_count: stats.entries,
            packets: stats.counter.decided.packets,
            bytes: stats.counter.decided.bytes,
            would_deny_packets: stats.counter.would_deny.packets,
            would_deny_bytes: stats.counter.would_deny.bytes,
        }
    }
}

/// Blocks as a table.
pub(crate) fn blocks_table(style: &Style, blocks: &[BlockView]) -> String {
    const COLUMNS: [Column; 7] = [
        Column::Text("ID"),
        Column::Text("BLOCK"),
        Column::Text("DIRECTION"),
        Column::Number("ENTRIES"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
        Column::Number("WOULD-DENY"),
    ];
    table(
        style,
        &COLUMNS,
        blocks.iter().map(|block| {
            vec![
                block.id.to_string(),
                match &block.prefix_list {
                    Some(name) => format!("prefix list {name}"),
                    None => block.block.to_owned(),
                },
                block.direction.to_owned(),
                block.entry_count.to_string(),
                block.packets.to_string(),
                block.bytes.to_string(),
                block.would_deny_packets.to_string(),
            ]
        }),
    )
}
