//! What was found, as JSON and as tables.

use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::lane::Way;
use crate::machine::Machine;
use crate::measure::{Measured, Rounds};
use crate::peers::{Peer, Reading, floors, sg};
use crate::stats::Spread;
use crate::styles::Style;

/// Everything of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was measured on.
    pub machine: Machine,
    /// The command.
    pub command: String,
    /// Rounds of each figure.
    pub rounds: usize,
    /// Results, one for each style, number of rules and filter.
    pub results: Vec<Line>,
}

/// What one filter cost with one ruleset.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Style.
    pub style: &'static str,
    /// Rules.
    pub rules: usize,
    /// Filter.
    pub filter: &'static str,
    /// `program` = the kernel's statistics of its program, `run` = time of whole runs.
    pub read_by: &'static str,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Packets of all rounds.
    pub packets: u64,
    /// Nanoseconds a packet over its floor: of programs over parse-and-drop, of runs over the same
    /// run without rules.
    pub cost: Option<Spread>,
    /// That cost as a multiple of this filter's, read the same way.
    pub times_sg: Option<Spread>,
    /// Nanoseconds of its program, without anything subtracted.
    pub program: Option<Spread>,
    /// Nanoseconds of whole runs over the same run without rules. Also for programs.
    pub run: Option<Spread>,
}

/// The lines of one ruleset.
#[must_use]
pub fn lines(style: Style, rules: usize, measured: &[Measured]) -> Vec<Line> {
    let rounds = |name: &str| -> Option<&Rounds> {
        measured.iter().find(|each| each.peer == name)?.result.as_ref().ok()
    };
    let over = |own: &[f64], floor: Option<&[f64]>| -> Vec<f64> {
        own.iter().zip(floor.unwrap_or_default()).map(|(own, floor)| own - floor).collect()
    };
    let program = |of: &Rounds| over(&of.program, rounds(floors::PARSE).map(|f| &*f.program));
    let run = |of: &Rounds, way: Way| {
        let floor = match way {
            Way::Xdp => floors::EMPTY,
            Way::Netdev => floors::NETDEV,
            Way::Inet => floors::INET,
        };
        over(&of.run, rounds(floor).map(|f| &*f.run))
    };
    let own_program = rounds(sg::NAME).map(program).unwrap_or_default();
    let own_run = rounds(sg::NAME).map(|of| run(of, Way::Xdp)).unwrap_or_default();
    measured
        .iter()
        .map(|each| {
            let mut line = Line {
                style: style.name(),
                rules,
                filter: each.peer,
                read_by: if each.reading == Reading::Program { "program" } else { "run" },
                skipped: each.result.as_ref().err().cloned(),
                packets: 0,
                cost: None,
                times_sg: None,
                program: None,
                run: None,
            };
            if let Ok(found) = &each.result {
                let (cost, own) = match each.reading {
                    Reading::Program => (program(found), &own_program),
                    Reading::Run => (run(found, each.way), &own_run),
                };
                line.packets = found.packets;
                line.cost = Spread::of(&cost);
                if !floors::is(each.peer) {
                    line.times_sg = Spread::paired(&cost, own, |cost, own| cost / own);
                }
                line.program = Spread::of(&found.program);
                line.run = Spread::of(&run(found, each.way));
            }
            line
        })
        .collect()
}

/// A number of nanoseconds or a ratio, with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.1}"),
        ..10_000.0 => format!("{value:.0}"),
        _ => {
            let text = format!("{:.0}", value.abs());
            let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
            for (place, digit) in text.chars().enumerate() {
                if place > 0 && (text.len() - place).is_multiple_of(3) {
                    grouped.push(' ');
                }
                grouped.push(digit);
            }
            grouped
        }
    }
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |Spread { median, low, high }| {
        // A floor over itself.
        if low == 0.0 && high == 0.0 {
            return "0".to_owned();
        }
        format!("{} ({} to {})", number(median), number(low), number(high))
    })
}

/// The table of one ruleset.
#[must_use]
pub fn table(lines: &[&Line]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "filter",
        "read by",
        "ns a packet over the floor",
        "times sg",
        "whole run, ns over no rules",
    ]);
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in lines {
        if line.skipped.is_some() {
            continue;
        }
        table.add_row([
            line.filter.to_owned(),
            line.read_by.to_owned(),
            spread(line.cost),
            spread(line.times_sg),
            spread(line.run),
        ]);
    }
    table
}

/// Why filters are not in the table of a ruleset, those with the same reason together.
#[must_use]
pub fn absent(lines: &[&Line]) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines {
        let Some(reason) = line.skipped.as_deref() else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, filters)) => filters.push(line.filter),
            None => reasons.push((reason, vec![line.filter])),
        }
    }
    let mut text = String::new();
    for (reason, filters) in reasons {
        let _ = writeln!(text, "- not measured: {}: {reason}", filters.join(", "));
    }
    text
}

impl Report {
    /// The lines of each ruleset.
    pub fn rulesets(&self) -> Vec<Vec<&Line>> {
        let mut sets: Vec<Vec<&Line>> = Vec::new();
        for line in &self.results {
            match sets.last_mut() {
                Some(set)
                    if set
                        .first()
                        .is_some_and(|f| f.style == line.style && f.rules == line.rules) =>
                {
                    set.push(line);
                }
                _ => sets.push(vec![line]),
            }
        }
        sets
    }

    /// The whole report as Markdown.
    #[must_use]
    pub fn markdown(&self, peers: &[Box<dyn Peer>], plots: &[String]) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "# Against others\n\nWritten by `{}`. What it means: [performance](../performance.md#against-others).\n\n\
             {} ({} CPUs), Linux {}, commit {}, {}. {}.\n\
             Each figure is the median of {} rounds with the smallest and the largest.\n",
            self.command,
            machine.cpu,
            machine.cpus,
            machine.kernel,
            machine.commit,
            machine.date,
            machine.versions.join(", "),
            self.rounds
        );
        for plot in plots {
            let _ = write!(text, "\n![{plot}]({plot})\n");
        }
        for set in self.rulesets() {
            if let Some(first) = set.first() {
                let _ = write!(
                    text,
                    "\n## {}, {} rules\n\n{}\n\n{}",
                    first.style,
                    number_of(first.rules),
                    table(&set),
                    absent(&set)
                );
            }
        }
        text.push_str("\n## Filters\n\n");
        for peer in peers {
            let _ = writeln!(text, "- **{}**: {}.", peer.name(), peer.about());
        }
        text
    }
}

/// A number with its thousands apart.
fn number_of(count: usize) -> String {
    if count < 10_000 { count.to_string() } else { number(count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(
        peer: &'static str,
        way: Way,
        reading: Reading,
        program: f64,
        run: f64,
    ) -> Measured {
        // The second of three rounds was disturbed, for all alike.
        let rounds = |value: f64| vec![value, value + 100.0, value];
        let rounds = Rounds { packets: 64, program: rounds(program), run: rounds(run) };
        Measured { peer, way, reading, result: Ok(rounds) }
    }

    #[test]
    fn costs_are_over_the_floor_of_the_same_round() {
        let all = [
            measured(floors::EMPTY, Way::Xdp, Reading::Program, 10.0, 200.0),
            measured(floors::PARSE, Way::Xdp, Reading::Program, 40.0, 150.0),
            measured(floors::INET, Way::Inet, Reading::Run, 10.0, 300.0),
            measured(sg::NAME, Way::Xdp, Reading::Program, 60.0, 250.0),
            measured("other", Way::Inet, Reading::Run, 10.0, 800.0),
            Measured {
                peer: "slow",
                way: Way::Inet,
                reading: Reading::Run,
                result: Err("too slow".into()),
            },
        ];
        let lines = lines(Style::Random, 10, &all);
        let exact = |value| Some(Spread { median: value, low: value, high: value });
        assert_eq!(lines[3].cost, exact(20.0));
        assert_eq!(lines[3].run, exact(50.0));
        assert_eq!(lines[4].cost, exact(500.0));
        assert_eq!(lines[4].times_sg, exact(10.0));
        assert_eq!(lines[5].skipped.as_deref(), Some("too slow"));
        let shown = table(&lines.iter().collect::<Vec<_>>()).to_string();
        assert!(shown.contains(" 500 (500 to 500) |") && !shown.contains("slow"), "{shown}");
        let absent = absent(&lines.iter().collect::<Vec<_>>());
        assert_eq!(absent, "- not measured: slow: too slow\n");
    }

    #[test]
    fn numbers_have_the_digits_that_they_deserve() {
        assert_eq!(number(2.06), "2.1");
        assert_eq!(number(-41.6), "-42");
        assert_eq!(number(27_700.4), "27 700");
        assert_eq!(number_of(100_000), "100 000");
    }
}
