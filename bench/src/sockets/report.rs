//! What sockets reached, as JSON and as tables.

use std::fmt::Write as _;

use serde::Serialize;

use super::workload::{Figures, Workload};
use super::{Found, PORT};
use crate::peers::{Peer, floors};
use crate::report::{Report, absent, filters, number_of, ratio, spread, with_columns};
use crate::stats::Spread;

/// What sockets reached behind one filter.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// Rules, without those for the served port.
    rules: usize,
    /// What client and server did.
    workload: &'static str,
    /// Filter.
    filter: &'static str,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    /// Unit of the rate.
    rate_in: &'static str,
    /// What came to its end in a second.
    rate: Option<Spread>,
    /// The rate over that without a filter in the same round.
    rate_over_none: Option<Spread>,
    /// What the CPU time is for.
    cpu_for: &'static str,
    /// Nanoseconds of CPU time for each of it.
    cpu: Option<Spread>,
    /// The CPU time over that without a filter in the same round.
    cpu_over_none: Option<Spread>,
    /// Share of the datagrams that were sent and did not arrive.
    lost: Option<Spread>,
}

/// The lines of one ruleset.
pub(super) fn lines(rules: usize, found: &[Found]) -> Vec<Line> {
    let of = |rounds: &[Figures], what: fn(&Figures) -> f64| -> Vec<f64> {
        rounds.iter().map(what).collect()
    };
    found
        .iter()
        .map(|each| {
            let Found { workload, peer, rounds } = each;
            let none = found
                .iter()
                .find(|other| other.workload == *workload && other.peer == floors::NONE)
                .and_then(|none| none.rounds.as_deref().ok())
                .unwrap_or_default();
            let own = rounds.as_deref().unwrap_or_default();
            let figure = |what| Spread::of(&of(own, what));
            let over =
                |what| Spread::paired(&of(own, what), &of(none, what), |own, none| own / none);
            Line {
                rules,
                workload: workload.name(),
                filter: peer,
                skipped: rounds.as_ref().err().cloned(),
                rate_in: workload.rate(),
                rate: figure(|figures| figures.rate),
                rate_over_none: over(|figures| figures.rate),
                cpu_for: workload.unit(),
                cpu: figure(|figures| figures.cost),
                cpu_over_none: over(|figures| figures.cost),
                lost: if *workload == Workload::Datagrams {
                    figure(|figures| figures.lost)
                } else {
                    None
                },
            }
        })
        .collect()
}

/// A table for each workload.
pub(super) fn tables(lines: &[&Line]) -> String {
    let mut text = String::new();
    for workload in Workload::ALL {
        let cost = format!("CPU ns a {}", workload.unit());
        let mut figures = vec![workload.rate(), "over none", &cost, "over none"];
        if workload == Workload::Datagrams {
            figures.push("lost, %");
        }
        let mut table = with_columns(&[workload.name()], &figures);
        for line in lines.iter().filter(|line| line.workload == workload.name()) {
            if line.skipped.is_some() {
                continue;
            }
            let mut row = vec![
                line.filter.to_owned(),
                spread(line.rate),
                ratio(line.rate_over_none),
                spread(line.cpu),
                ratio(line.cpu_over_none),
            ];
            row.extend(line.lost.map(|lost| {
                let [median, low, high] = [lost.median, lost.low, lost.high].map(|it| it * 100.0);
                spread(Some(Spread { median, low, high }))
            }));
            table.add_row(row);
        }
        let _ = write!(text, "{table}\n\n");
    }
    // A filter that cannot hold the rules lacks in every table.
    let first = Workload::ALL[0].name();
    let skipped = lines.iter().filter(|line| line.workload == first);
    text + &absent(skipped.filter_map(|line| Some((line.skipped.as_deref()?, line.filter))))
}

/// The whole report as Markdown.
pub(super) fn markdown(report: &Report<Line>, peers: &[Box<dyn Peer>]) -> String {
    let mut text = report.heading("Behind stateful filters, with sockets", "with-sockets");
    text.push_str(&report.figures());
    let mut sizes: Vec<usize> = report.results.iter().map(|line| line.rules).collect();
    sizes.dedup();
    for rules in sizes {
        let lines: Vec<&Line> = report.results.iter().filter(|line| line.rules == rules).collect();
        let _ = write!(
            text,
            "\n## random, {} rules and port {PORT} for everybody\n\n{}",
            number_of(rules),
            tables(&lines)
        );
    }
    text + &filters(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds = |rate: f64, cost: f64| {
            let one = Figures { rate, cost, lost: 0.0 };
            // The second of three rounds was disturbed, for all alike.
            Ok(vec![one, Figures { rate: rate / 4.0, cost: cost * 2.0, lost: 0.01 }, one])
        };
        let workload = Workload::Datagrams;
        let found = [
            Found { workload, peer: floors::NONE, rounds: rounds(1000.0, 500.0) },
            Found { workload, peer: "other", rounds: rounds(500.0, 1500.0) },
            Found { workload, peer: "slow", rounds: Err("too slow".into()) },
        ];
        let lines = lines(10, &found);
        let exact = |value| Some(Spread { median: value, low: value, high: value });
        assert_eq!(lines[1].rate_over_none, exact(0.5));
        assert_eq!(lines[1].cpu_over_none, exact(3.0));
        let shown = tables(&lines.iter().collect::<Vec<_>>());
        assert!(shown.contains(" 500 (125 to 500) | 0.50 (0.50 to 0.50) |"), "{shown}");
        assert!(shown.contains("- not measured: slow: too slow\n"), "{shown}");
    }
}
