//! What a second CPU gains: the trace is sent on one CPU, on another, and on both at once, to one
//! device with a queue for each CPU. Program, rules and counters are the same for both.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use aya::sys::{Stats, enable_stats};
use comfy_table::Table;
use serde::Serialize;
use sg_common::tables::TRACE_HEADERS;

use crate::cli::{Args, progress};
use crate::clock::Cpu;
use crate::guard;
use crate::measure::{Effort, PATIENCE, Placed, place};
use crate::peers::{self, Peer, floors, sg};
use crate::report::{Report, filters, number_of, ratio, with_columns};
use crate::ruleset::Ruleset;
use crate::sender::{Sender, Took};
use crate::stats::Spread;
use crate::styles::Style;
use crate::trace;

/// What is measured: this filter, and what cannot but scale.
const MEASURED: [&str; 3] = [floors::PARSE, floors::PARSE_PASS, sg::NAME];

/// Which packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    /// One packet again and again: every CPU reads the same lines and counts for the same rule.
    Hot,
    /// The whole trace.
    Many,
}

impl Traffic {
    const ALL: [Self; 2] = [Self::Hot, Self::Many];

    const fn name(self) -> &'static str {
        match self {
            Self::Hot => "one hot rule",
            Self::Many => "many rules",
        }
    }
}

/// Which clock packets are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// The one on the wall, until the last CPU is done.
    Wall,
    /// Each CPU's own: the time of its sender, softirqs included. What somebody else takes of the
    /// CPU is not in it, what CPUs take from each other by sharing lines of memory is.
    Cpu,
}

impl Clock {
    const ALL: [Self; 2] = [Self::Wall, Self::Cpu];

    const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "CPU",
        }
    }

    /// Million packets in a second, if each CPU sent so many.
    fn rate(self, took: &[Took], count: u32) -> f64 {
        let count = f64::from(count) * 1e3;
        match self {
            Self::Wall => count * took.len() as f64 / slowest(took),
            Self::Cpu => took.iter().map(|took| count / took.cpu.max(1.0)).sum(),
        }
    }
}

/// Million packets in a second, round by round.
#[derive(Clone, Debug, Default)]
struct Rounds {
    /// On one CPU: the mean of each of them alone.
    one: Vec<f64>,
    /// On both at once.
    both: Vec<f64>,
}

impl Rounds {
    /// What the second CPU gains: 2 is all of it.
    fn gain(&self) -> Vec<f64> {
        self.both.iter().zip(&self.one).map(|(both, one)| both / one).collect()
    }
}

/// How one program scales with one kind of traffic.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// Rules.
    rules: usize,
    /// Traffic.
    traffic: &'static str,
    /// Program.
    filter: &'static str,
    /// Clock: `wall` or `CPU`.
    clock: &'static str,
    /// Million packets in a second on one CPU.
    one: Option<Spread>,
    /// On both.
    both: Option<Spread>,
    /// Both over one.
    gain: Option<Spread>,
    /// The gain over that of parse-and-drop in the same round.
    gain_over_parse: Option<Spread>,
    /// The gain over that of parse-and-pass, which like this filter hands packets to the stack.
    gain_over_parse_pass: Option<Spread>,
}

/// Measures and writes.
///
/// # Errors
/// Where something fails that should not, or this filter passes the wrong packets.
pub(crate) fn run(args: &Args) -> Result<()> {
    let peers: Vec<_> =
        peers::all().into_iter().filter(|peer| MEASURED.contains(&peer.name())).collect();
    let effort = args.effort([1, 3], [3, 5], [50, 200]);
    let cpus = Cpu::last()?;
    let mut report = Report::new(args.command(), effort.loads * effort.rounds);
    for size in args.sizes(&[1000], &[10_000]) {
        let title = format!("scaling, {size} rules");
        let set = Ruleset::new(Style::Random, size);
        let mut found =
            Traffic::ALL.map(|_| Clock::ALL.map(|_| vec![Rounds::default(); peers.len()]));
        for load in 1..=effort.loads {
            let mut say = |what: &str| progress(&title, &format!("load {load}, {what}"));
            loaded(&peers, &set, effort, cpus, &mut found, &mut say)?;
        }
        progress("", "");
        let clocks = if effort.wall { &Clock::ALL[..1] } else { &Clock::ALL };
        let lines = lines(size, &peers, clocks, &found);
        println!("{title}\n{}", table(&lines.iter().collect::<Vec<_>>()));
        report.results.extend(lines);
    }
    report.write(&args.out, "scaling", &markdown(&report, &peers))
}

/// Rounds by traffic, clock and program.
type Found = [[Vec<Rounds>; 2]; 2];

/// Loads all once, checks them, and lets them take turns.
fn loaded(
    peers: &[Box<dyn Peer>],
    set: &Ruleset,
    effort: Effort,
    cpus: [Cpu; 2],
    found: &mut Found,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    // Lanes end in its namespace, so it is dropped last.
    let sender = &mut Sender::new()?;
    let sample = trace::sample(set)?;
    let timed = trace::timed(set);
    let mut all = Vec::new();
    {
        // Only for the check: reading a clock for each packet would blur what a CPU gains.
        let _statistics = enable_stats(Stats::RunTime).context("the kernel counts no run times")?;
        for peer in peers {
            say(&format!("loading {}", peer.name()));
            let placed = match place(sender, &**peer, set)? {
                Ok(placed) => placed,
                Err(reason) => bail!("{}: {reason}", peer.name()),
            };
            guard::check(sender, &placed, set, &sample)?;
            all.push(placed);
        }
    }
    for (traffic, found) in Traffic::ALL.into_iter().zip(found) {
        sender.fill(if traffic == Traffic::Hot { &timed[..1] } else { &timed })?;
        // The first round only warms up.
        for round in 0..=effort.rounds {
            say(&format!("round {round} of {}, {}", effort.rounds, traffic.name()));
            // Whoever comes first does so in one round.
            for (place, placed) in all.iter().enumerate().cycle().skip(round).take(all.len()) {
                let [one, other] = cpus;
                let first = turn(sender, placed, &[one], effort)?;
                let second = turn(sender, placed, &[other], effort)?;
                let both = turn(sender, placed, &cpus, effort)?;
                if round == 0 {
                    continue;
                }
                for (clock, found) in found.iter_mut().enumerate() {
                    found[place].one.push(f64::midpoint(first[clock], second[clock]));
                    found[place].both.push(both[clock]);
                }
            }
        }
    }
    Ok(())
}

/// Million packets in a second, by each clock, that come to a program from some CPUs.
fn turn(
    sender: &mut Sender,
    placed: &Placed<'_>,
    cpus: &[Cpu],
    effort: Effort,
) -> Result<[f64; 2]> {
    let lane = &placed.lane;
    // A trace finds out how fast it is here and now, and warms the caches.
    let trial = slowest(&sender.send_on(lane, cpus, TRACE_HEADERS)?);
    let fitting = f64::from(effort.milliseconds) * 1e6 / trial * f64::from(TRACE_HEADERS);
    let count = (fitting as u32).max(TRACE_HEADERS);
    for _ in 0..PATIENCE {
        sender.settle();
        let before = lane.received()?;
        let took = sender.send_on(lane, cpus, count)?;
        sender.settle();
        let sent = u64::from(count) * cpus.len() as u64;
        // Where a CPU was taken away for long, the ring of a queue overflowed.
        if lane.received()? - before == sent {
            return Ok(Clock::ALL.map(|clock| clock.rate(&took, count)));
        }
    }
    bail!("{}: packets were lost {PATIENCE} times in a row", placed.peer.name())
}

/// Nanoseconds until the last CPU was done.
fn slowest(took: &[Took]) -> f64 {
    took.iter().map(|took| took.wall).fold(1.0, f64::max)
}

fn lines(rules: usize, peers: &[Box<dyn Peer>], clocks: &[Clock], found: &Found) -> Vec<Line> {
    let mut lines = Vec::new();
    for (traffic, found) in Traffic::ALL.into_iter().zip(found) {
        for (clock, found) in clocks.iter().zip(found) {
            let gain = |name: &str| {
                let place = peers.iter().position(|peer| peer.name() == name);
                place.and_then(|place| found.get(place)).map(Rounds::gain).unwrap_or_default()
            };
            for (peer, rounds) in peers.iter().zip(found) {
                let over =
                    |floor| Spread::paired(&rounds.gain(), &gain(floor), |own, floor| own / floor);
                lines.push(Line {
                    rules,
                    traffic: traffic.name(),
                    filter: peer.name(),
                    clock: clock.name(),
                    one: Spread::of(&rounds.one),
                    both: Spread::of(&rounds.both),
                    gain: Spread::of(&rounds.gain()),
                    gain_over_parse: over(floors::PARSE),
                    gain_over_parse_pass: over(floors::PARSE_PASS),
                });
            }
        }
    }
    lines
}

fn table(lines: &[&Line]) -> Table {
    let mut table = with_columns(
        &["traffic", "clock", "filter"],
        &["one CPU, M/s", "two CPUs, M/s", "gain", "over parse's", "over parse-pass's"],
    );
    for line in lines {
        table.add_row([
            line.traffic.to_owned(),
            line.clock.to_owned(),
            line.filter.to_owned(),
            ratio(line.one),
            ratio(line.both),
            ratio(line.gain),
            ratio(line.gain_over_parse),
            ratio(line.gain_over_parse_pass),
        ]);
    }
    table
}

fn markdown(report: &Report<Line>, peers: &[Box<dyn Peer>]) -> String {
    let mut text = report.heading("A second CPU", "a-second-cpu");
    text.push_str(&report.figures());
    let mut sizes: Vec<usize> = report.results.iter().map(|line| line.rules).collect();
    sizes.dedup();
    for rules in sizes {
        let lines: Vec<&Line> = report.results.iter().filter(|line| line.rules == rules).collect();
        let _ = write!(text, "\n## random, {} rules\n\n{}\n", number_of(rules), table(&lines));
    }
    text + &filters(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_where_somebody_else_had_a_cpu() {
        // A thousand packets on each of two CPUs; the second was taken away for as long again.
        let took = [Took { cpu: 1e5, wall: 1e5 }, Took { cpu: 1e5, wall: 2e5 }];
        assert!((Clock::Wall.rate(&took, 1000) - 10.0).abs() < 1e-9);
        assert!((Clock::Cpu.rate(&took, 1000) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn gains_are_compared_round_by_round() {
        let peers: Vec<_> =
            peers::all().into_iter().filter(|peer| MEASURED.contains(&peer.name())).collect();
        // In the second round somebody else had half of a CPU.
        let rounds = |one: f64, gain: f64| Rounds {
            one: vec![one, one],
            both: vec![one * gain, one * gain * 0.75],
        };
        let all = vec![rounds(5.0, 2.0), rounds(2.0, 1.8), rounds(3.0, 1.9)];
        let found = [(); 2].map(|()| [all.clone(), all.clone()]);
        let lines = lines(10, &peers, &Clock::ALL, &found);
        assert_eq!(lines[2].filter, sg::NAME);
        let over = lines[2].gain_over_parse.unwrap();
        assert!((over.low - 0.95).abs() < 1e-9 && (over.high - 0.95).abs() < 1e-9, "{over:?}");
        let shown = table(&lines.iter().collect::<Vec<_>>()).to_string();
        assert!(shown.contains(" 0.95 (0.95 to 0.95) |"), "{shown}");
    }
}
