//! `sg-ctl bench`.

use std::sync::Arc;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style as Look};
use super::report::wrong_usage;
use super::table::{Column, table};
use crate::bench::generate::{self, Family, Style, generate};
use crate::bench::trace::Mix;
use crate::datapath::bench::Lap;
use crate::host::{BenchRequest, Measured};
use crate::policy::model::{Interface, Policy};
use crate::policy::text;

/// Measure what a packet costs under this host's policy, or under a generated one
///
/// The very code that judges packets is run in the kernel over 65 536 different headers drawn from
/// the rules: what they are for, what lies at their edges, and what none of them is for. It works on
/// maps of its own: the policy in force, its counters and its connections are not touched. The cost
/// is that over the same run without the filter, on one CPU.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl bench                                        this host's policy, every interface
  sg-ctl bench eth0 -o json
  sg-ctl bench --rules 100000 --style random          a generated policy
  sg-ctl bench --rules 1000000 --style blocklist --family 6")]
pub(crate) struct Args {
    /// Interfaces, by their names in the policy [default: all]
    #[arg(value_name = "IFACE", value_parser = text::interface_name, conflicts_with = "rules")]
    interfaces: Vec<Arc<str>>,

    /// Measure a generated policy of so many rules instead (of a blocklist: entries)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    rules: Option<u32>,

    /// What the generated rules look like
    #[arg(long, value_enum, value_name = "STYLE", requires = "rules", default_value = "random")]
    style: StyleWord,

    /// Their addresses: IPv4 or IPv6
    #[arg(long, value_enum, value_name = "4|6", requires = "rules", default_value = "4")]
    family: FamilyWord,

    /// Times that the trace is run through; the median of them is shown
    #[arg(long, value_name = "N", default_value = "40",
          value_parser = clap::value_parser!(u32).range(3..=10_000))]
    laps: u32,

    /// Packets that match a rule, and those at the edge of one, in a thousand; the rest miss
    #[arg(long, value_name = "HITS,EDGES", value_parser = mix, default_value = "800,100")]
    mix: Mix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StyleWord {
    /// Every rule has a CIDR and ports of its own
    Random,
    /// Many CIDRs, few ports
    Web,
    /// One list of denied prefixes
    Blocklist,
    /// Nested prefixes, deny and allow, every protocol
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyWord {
    /// IPv4
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
}

fn mix(text: &str) -> Result<Mix, text::Malformed> {
    let wrong = || {
        text::Malformed::new(
            format!("{} are no two parts of a thousand", text::quoted(text)),
            "write HITS,EDGES, as in 800,100",
        )
    };
    let (hits, edges) = text.split_once(',').ok_or_else(wrong)?;
    let part = |text| text::number(text, "part", 0, 1000);
    let (hits, edges) = (part(hits)?, part(edges)?);
    if hits + edges > 1000 {
        return Err(wrong());
    }
    Ok(Mix { hits, edges })
}

/// The generated policy, on an interface that is not there.
fn generated(args: &Args, rules: u32) -> Policy {
    let style = match args.style {
        StyleWord::Random => Style::Random,
        StyleWord::Web => Style::Web,
        StyleWord::Blocklist => Style::Blocklist,
        StyleWord::Mixed => Style::Mixed,
    };
    let family = match args.family {
        FamilyWord::V4 => Family::V4,
        FamilyWord::V6 => Family::V6,
    };
    let mut policy = generate(style, family, rules as usize, 1);
    let interface =
        Interface { groups: vec![generate::group()], wait: true, ..Interface::default() };
    policy.interfaces.insert("generated".into(), interface);
    policy
}

/// Speeds of links in Gbit/s.
const LINKS: [u32; 4] = [10, 25, 40, 100];

/// Bytes that a 64-byte frame takes on the wire: with preamble and gap (IEEE 802.3 clause 4).
const WIRE_BYTES: f64 = 84.0;

/// Nanoseconds from one 64-byte frame to the next.
fn budget(gigabits: u32) -> f64 {
    WIRE_BYTES * 8.0 / f64::from(gigabits)
}

/// A cost in nanoseconds a packet, over all laps.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    median: f64,
    smallest: f64,
    largest: f64,
}

impl Cost {
    fn of(laps: &[Lap], cost: impl Fn(&Lap) -> f64) -> Self {
        let mut all: Vec<f64> = laps.iter().map(cost).collect();
        all.sort_by(f64::total_cmp);
        let at = |place: usize| (all.get(place).copied().unwrap_or(0.0) * 10.0).round() / 10.0;
        Self { median: at(all.len() / 2), smallest: at(0), largest: at(all.len().max(1) - 1) }
    }
}

/// What `bench` found.
#[derive(Debug, Serialize)]
struct Report {
    /// `host`, or `generated`.
    policy: &'static str,
    laps: u32,
    headers: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// Interfaces that are judged alike.
    interfaces: Vec<Arc<str>>,
    direction: &'static str,
    program: &'static str,
    rules: usize,
    image_bytes: usize,
    /// The filter as a whole.
    filter_ns: Cost,
    /// Of it, the parser.
    parse_ns: Cost,
    /// What the memory costs that no classification can do without.
    memory_floor_ns: Cost,
    /// Packets a second that one CPU filters if it does nothing else.
    packets_per_second: u64,
    budgets: Vec<Share>,
}

/// The part of a link's budget that the filter takes, with frames of 64 bytes back to back.
#[derive(Debug, Serialize)]
struct Share {
    gigabits: u32,
    budget_ns: f64,
    percent: f64,
}

impl From<Measured> for Row {
    fn from(measured: Measured) -> Self {
        let laps = &measured.laps;
        let filter = Cost::of(laps, |lap| lap.whole - lap.driver);
        let share = |gigabits| Share {
            gigabits,
            budget_ns: (budget(gigabits) * 100.0).round() / 100.0,
            percent: (filter.median / budget(gigabits) * 1000.0).round() / 10.0,
        };
        Self {
            direction: measured.direction.name(),
            program: if measured.xdp { "xdp" } else { "tc" },
            rules: measured.rules,
            image_bytes: measured.image_bytes,
            filter_ns: filter,
            parse_ns: Cost::of(laps, |lap| lap.parse - lap.driver),
            memory_floor_ns: Cost::of(laps, |lap| lap.memory - lap.driver),
            packets_per_second: (1e9 / filter.median.max(1.0)) as u64,
            budgets: LINKS.map(share).into(),
            interfaces: measured.interfaces,
        }
    }
}

const COLUMNS: [Column; 11] = [
    Column::Text("INTERFACE"),
    Column::Text("DIRECTION"),
    Column::Text("PROGRAM"),
    Column::Number("RULES"),
    Column::Number("NS/PACKET"),
    Column::Text("SPREAD"),
    Column::Number("PARSE"),
    Column::Number("10G"),
    Column::Number("25G"),
    Column::Number("40G"),
    Column::Number("100G"),
];

impl Row {
    fn cells(&self) -> Vec<String> {
        let others = match self.interfaces.len() {
            0 | 1 => String::new(),
            more => format!(" +{}", more - 1),
        };
        let first = self.interfaces.first().map_or("", |name| name);
        let Cost { median, smallest, largest } = self.filter_ns;
        let mut cells = vec![
            format!("{first}{others}"),
            self.direction.to_owned(),
            self.program.to_owned(),
            self.rules.to_string(),
            format!("{median:.1}"),
            format!("{smallest:.1} to {largest:.1}"),
            format!("{:.1}", self.parse_ns.median),
        ];
        cells.extend(self.budgets.iter().map(|share| format!("{:.0} %", share.percent)));
        cells
    }
}

impl Listing for Report {
    fn text(&self, look: &Look) -> String {
        let mut out = table(look, &COLUMNS, self.rows.iter().map(Row::cells));
        out.push_str(
            "\n10G to 100G: the share of one CPU's time between two 64-byte frames back to back; \
             over 100 % it takes several CPUs.\n",
        );
        out
    }
}

/// On standard error, and only if that is a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}");
    let bar = ProgressBar::new(0).with_message("measuring");
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    if args.rules.is_some() && !args.interfaces.is_empty() {
        return Err(wrong_usage("a generated policy has no interfaces", "leave them out"));
    }
    let request = BenchRequest {
        policy: args.rules.map(|rules| generated(args, rules)),
        interfaces: args.interfaces.clone(),
        mix: args.mix,
        laps: args.laps,
    };
    let bar = bar();
    let measured = context.host()?.bench(&request, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    context.reply(&Report {
        policy: if args.rules.is_some() { "generated" } else { "host" },
        laps: args.laps,
        headers: sg_common::tables::TRACE_HEADERS,
        rows: measured?.into_iter().map(Row::from).collect(),
    })
}
