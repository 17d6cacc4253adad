//! What packets cost, as JSON and as tables.

use std::fmt::Write as _;

use comfy_table::Table;
use serde::Serialize;

use super::{Report, filters, number_of, spread, with_columns};
use crate::lane::Way;
use crate::measure::{Measured, Rounds};
use crate::peers::{Peer, Reading, floors, sg};
use crate::stats::Spread;
use crate::styles::Style;

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
    let run = |of: &Rounds, way: Way| over(&of.run, rounds(floors::of(way)).map(|f| &*f.run));
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

/// The table of one ruleset.
#[must_use]
pub fn table(lines: &[&Line]) -> Table {
    let mut table = with_columns(
        &["filter", "read by"],
        &["ns a packet over the floor", "times sg", "whole run, ns over no rules"],
    );
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

/// Why filters are not in the table of a ruleset.
#[must_use]
pub fn absent(lines: &[&Line]) -> String {
    super::absent(lines.iter().filter_map(|line| Some((line.skipped.as_deref()?, line.filter))))
}

impl Report<Line> {
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
        let mut text = self.heading("Against others", "against-others");
        text.push_str(&self.figures());
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
        text.push_str(&filters(peers));
        text
    }
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
}
