//! `sg-ctl stats`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use sg_common::tables::Counter;
use sg_common::verdict::{Direction, Reason};

use super::block_view::{BlockView, blocks_table};
use super::context::{Context, Reply};
use super::listing::{Listing, Style};
use super::rule_view::RuleView;
use super::table::{Column, table};
use crate::host;
use crate::policy::model::{Name, Policy, RuleId};

/// Show packets and bytes per rule, per block, per interface and per reason
///
/// Packets are those of the wire, bytes those of layer 3. "Would deny" is what an interface in
/// monitor mode let pass and would have dropped in mode `enforce`. What the reasons mean is in
/// docs/operations.md and in the JSON form.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl stats
  sg-ctl stats -o json | jq '.rules[] | select(.packets == 0) | .id'")]
pub(crate) struct Args {}

/// The answer of `stats`.
#[derive(Debug, Serialize)]
struct Stats {
    generation: u64,
    rules: Vec<RuleRow>,
    blocks: Vec<BlockView>,
    /// What each interface counted, by direction and reason.
    interfaces: Vec<ReasonRow>,
    /// The same without reasons.
    totals: Vec<TotalRow>,
    /// The same without interfaces.
    reasons: Vec<ReasonTotal>,
}

#[derive(Debug, Serialize)]
struct RuleRow {
    id: RuleId,
    group: Name,
    direction: &'static str,
    packets: u64,
    bytes: u64,
    would_deny_packets: u64,
    would_deny_bytes: u64,
    /// The rule, in one line.
    rule: String,
    description: String,
}

#[derive(Debug, Serialize)]
struct ReasonRow {
    interface: Arc<str>,
    direction: &'static str,
    reason: &'static str,
    /// Whether packets with this reason pass (in mode `enforce`).
    passes: bool,
    /// Monitor mode let these pass; in mode `enforce` they would have been dropped.
    would: bool,
    packets: u64,
    bytes: u64,
    sentence: &'static str,
}

#[derive(Debug, Default, Serialize)]
struct TotalRow {
    interface: Arc<str>,
    direction: &'static str,
    passed_packets: u64,
    passed_bytes: u64,
    dropped_packets: u64,
    dropped_bytes: u64,
    would_deny_packets: u64,
    would_deny_bytes: u64,
}

#[derive(Debug, Serialize)]
struct ReasonTotal {
    reason: &'static str,
    passes: bool,
    packets: u64,
    bytes: u64,
    would_deny_packets: u64,
    would_deny_bytes: u64,
    sentence: &'static str,
}

impl Stats {
    fn new(stats: host::Stats, policy: &Policy) -> Self {
        let mut views: HashMap<RuleId, RuleView> = HashMap::new();
        for (name, group) in &policy.groups {
            views.extend(RuleView::of_group(name, group).into_iter().map(|view| (view.id, view)));
        }
        let rules = stats.rules.into_iter().map(|row| {
            let view = views.get(&row.id);
            RuleRow {
                id: row.id,
                group: row.group,
                direction: row.direction.name(),
                packets: row.counter.decided.packets,
                bytes: row.counter.decided.bytes,
                would_deny_packets: row.counter.would_deny.packets,
                would_deny_bytes: row.counter.would_deny.bytes,
                rule: view.map(|view| view.line().to_owned()).unwrap_or_default(),
                description: view.map(|view| view.description.clone()).unwrap_or_default(),
            }
        });
        Self {
            generation: stats.generation,
            rules: rules.collect(),
            blocks: stats.blocks.into_iter().map(BlockView::from).collect(),
            totals: totals(&stats.interfaces, policy),
            reasons: reasons(&stats.interfaces),
            interfaces: stats.interfaces.into_iter().map(ReasonRow::from).collect(),
        }
    }
}

impl From<host::ReasonStats> for ReasonRow {
    fn from(row: host::ReasonStats) -> Self {
        Self {
            interface: row.interface,
            direction: row.direction.name(),
            reason: row.reason.name(),
            passes: row.reason.passes(),
            would: row.would,
            packets: row.counter.packets,
            bytes: row.counter.bytes,
            sentence: row.reason.sentence(),
        }
    }
}

fn add(packets: &mut u64, bytes: &mut u64, counter: Counter) {
    *packets = packets.saturating_add(counter.packets);
    *bytes = bytes.saturating_add(counter.bytes);
}

/// One row for each direction of each interface, also of those that saw no packet.
fn totals(rows: &[host::ReasonStats], policy: &Policy) -> Vec<TotalRow> {
    const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];
    let known = policy.interfaces.keys().flat_map(|name| BOTH.map(|d| (name.clone(), d)));
    let row = |name: &Arc<str>, direction: Direction| TotalRow {
        interface: name.clone(),
        direction: direction.name(),
        ..TotalRow::default()
    };
    let mut totals: BTreeMap<(Arc<str>, Direction), TotalRow> =
        known.map(|(name, d)| ((name.clone(), d), row(&name, d))).collect();
    for host::ReasonStats { interface, direction, reason, would, counter } in rows {
        let total = totals
            .entry((interface.clone(), *direction))
            .or_insert_with(|| row(interface, *direction));
        if *would {
            // These passed, and are told apart.
            add(&mut total.would_deny_packets, &mut total.would_deny_bytes, *counter);
            add(&mut total.passed_packets, &mut total.passed_bytes, *counter);
        } else if reason.passes() {
            add(&mut total.passed_packets, &mut total.passed_bytes, *counter);
        } else {
            add(&mut total.dropped_packets, &mut total.dropped_bytes, *counter);
        }
    }
    totals.into_values().collect()
}

fn reasons(rows: &[host::ReasonStats]) -> Vec<ReasonTotal> {
    let mut totals: BTreeMap<Reason, ReasonTotal> = BTreeMap::new();
    for row in rows {
        let total = totals.entry(row.reason).or_insert_with(|| ReasonTotal {
            reason: row.reason.name(),
            passes: row.reason.passes(),
            packets: 0,
            bytes: 0,
            would_deny_packets: 0,
            would_deny_bytes: 0,
            sentence: row.reason.sentence(),
        });
        let (packets, bytes) = match row.would {
            true => (&mut total.would_deny_packets, &mut total.would_deny_bytes),
            false => (&mut total.packets, &mut total.bytes),
        };
        add(packets, bytes, row.counter);
    }
    totals.into_values().collect()
}

impl Listing for Stats {
    fn text(&self, style: &Style) -> String {
        let mut out = String::from("Rules\n");
        out.push_str(&table(style, &RULES, self.rules.iter().map(RuleRow::cells)));
        if !self.blocks.is_empty() {
            out.push_str("\nBlocks\n");
            out.push_str(&blocks_table(style, &self.blocks));
        }
        out.push_str("\nInterfaces\n");
        out.push_str(&table(style, &TOTALS, self.totals.iter().map(TotalRow::cells)));
        out.push_str("\nReasons\n");
        out.push_str(&table(style, &REASONS, self.interfaces.iter().map(ReasonRow::cells)));
        out
    }
}

const RULES: [Column; 8] = [
    Column::Text("ID"),
    Column::Text("GROUP"),
    Column::Text("DIRECTION"),
    Column::Number("PACKETS"),
    Column::Number("BYTES"),
    Column::Number("WOULD-DENY"),
    Column::Text("RULE"),
    Column::Text("DESCRIPTION"),
];

impl RuleRow {
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.group.to_string(),
            self.direction.to_owned(),
            self.packets.to_string(),
            self.bytes.to_string(),
            self.would_deny_packets.to_string(),
            self.rule.clone(),
            self.description.clone(),
        ]
    }
}

const TOTALS: [Column; 8] = [
    Column::Text("INTERFACE"),
    Column::Text("DIRECTION"),
    Column::Number("PASSED"),
    Column::Number("BYTES"),
    Column::Number("DROPPED"),
    Column::Number("BYTES"),
    Column::Number("WOULD-DENY"),
    Column::Number("BYTES"),
];

impl TotalRow {
    fn cells(&self) -> Vec<String> {
        vec![
            self.interface.to_string(),
            self.direction.to_owned(),
            self.passed_packets.to_string(),
            self.passed_bytes.to_string(),
            self.dropped_packets.to_string(),
            self.dropped_bytes.to_string(),
            self.would_deny_packets.to_string(),
            self.would_deny_bytes.to_string(),
        ]
    }
}

const REASONS: [Column; 6] = [
    Column::Text("INTERFACE"),
    Column::Text("DIRECTION"),
    Column::Text("REASON"),
    Column::Text("VERDICT"),
    Column::Number("PACKETS"),
    Column::Number("BYTES"),
];

impl ReasonRow {
    fn cells(&self) -> Vec<String> {
        let verdict = match (self.passes, self.would) {
            (_, true) => "would-deny",
            (true, false) => "passed",
            (false, false) => "dropped",
        };
        vec![
            self.interface.to_string(),
            self.direction.to_owned(),
            self.reason.to_owned(),
            verdict.to_owned(),
            self.packets.to_string(),
            self.bytes.to_string(),
        ]
    }
}

pub(crate) fn run(context: &Context, _: &Args) -> anyhow::Result<Reply> {
    let mut host = context.host()?;
    let stats = host.stats()?;
    let view = host.view()?;
    context.reply(&Stats::new(stats, &view.policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};
    use crate::policy::block::Block;
    use sg_common::tables::RuleCounter;

    fn counter(packets: u64, bytes: u64) -> Counter {
        Counter { packets, bytes }
    }

    fn sample() -> host::Stats {
        let row = |interface: &str, direction, reason, would, packets| host::ReasonStats {
            interface: interface.into(),
            direction,
            reason,
            would,
            counter: counter(packets, packets * 100),
        };
        let policy = view().policy;
        let name: Name = "web".parse().unwrap();
        let rule = |index: usize, decided, would_deny| host::RuleStats {
            group: name.clone(),
            direction: Direction::Ingress,
            id: RuleId::of(&name, Direction::Ingress, &policy.groups[&name].ingress[index]),
            counter: RuleCounter { decided, would_deny },
        };
        host::Stats {
            generation: 4,
            rules: vec![
                rule(0, counter(1000, 64_000), Counter::default()),
                rule(1, Counter::default(), counter(3, 252)),
            ],
            blocks: vec![host::BlockStats {
                id: Block::Addresses.id(Direction::Ingress),
                block: Block::Addresses,
                entries: 3,
                direction: Direction::Ingress,
                counter: RuleCounter { decided: counter(8, 480), ..RuleCounter::default() },
            }],
            interfaces: vec![
                row("eth0", Direction::Ingress, Reason::Rule, false, 1000),
                row("eth0", Direction::Ingress, Reason::Always, false, 5),
                row("eth0", Direction::Ingress, Reason::ImplicitDeny, false, 7),
                row("tap7", Direction::Egress, Reason::ImplicitDeny, true, 9),
            ],
        }
    }

    #[test]
    fn counters_of_rules_interfaces_and_reasons() {
        golden("stats", &Stats::new(sample(), &view().policy));
    }

    #[test]
    fn a_fresh_host_lists_empty_lists() {
        let none = host::Stats {
            generation: 0,
            rules: Vec::new(),
            blocks: Vec::new(),
            interfaces: Vec::new(),
        };
        golden("stats_fresh", &Stats::new(none, &Policy::default()));
    }

    #[test]
    fn what_monitor_mode_let_pass_is_told_apart() {
        let stats = Stats::new(sample(), &view().policy);
        let total = |interface: &str, direction: &str| {
            let found = stats
                .totals
                .iter()
                .find(|t| &*t.interface == interface && t.direction == direction);
            found.map(|t| (t.passed_packets, t.dropped_packets, t.would_deny_packets)).unwrap()
        };
        assert_eq!(total("eth0", "ingress"), (1005, 7, 0));
        assert_eq!(total("eth0", "egress"), (0, 0, 0));
        assert_eq!(total("tap7", "egress"), (9, 0, 9));
        let denied = stats.reasons.iter().find(|r| r.reason == "implicit-deny").unwrap();
        assert_eq!((denied.packets, denied.would_deny_packets), (7, 9));
    }
}
