//! What a packet costs: this filter and its peers, over the number of rules.

use std::path::Path;

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};

use crate::cli::{Args, progress};
use crate::measure::measure;
use crate::peers::{self, Peer, floors, sg};
use crate::plot::{self, Curve};
use crate::report::packets::{self as report, Line};
use crate::report::{Report, save};
use crate::ruleset::Ruleset;
use crate::stats::Spread;
use crate::styles::Style;

/// Names that are measured whatever `--peer` says.
const ALWAYS: [&str; 3] = [floors::EMPTY, floors::PARSE, sg::NAME];

/// Measures and writes.
///
/// # Errors
/// Where something fails that should not, or a filter passes the wrong packets.
pub(crate) fn run(args: &Args) -> Result<()> {
    let peers = args.chosen(peers::all(), &ALWAYS)?;
    let styles = match (&args.style[..], args.quick) {
        ([], true) => vec![Style::Random],
        ([], false) => Style::ALL.to_vec(),
        (asked, _) => asked.to_vec(),
    };
    let sizes = args.sizes(&[10, 1000], &[10, 100, 1000, 10_000, 100_000]);
    let effort = args.effort([1, 5], [5, 5], [100, 200]);
    let mut report = Report::new(args.command(), effort.loads * effort.rounds);
    let _statistics = enable_stats(Stats::RunTime).context("the kernel counts no run times")?;
    for style in &styles {
        for size in &sizes {
            let title = format!("{style}, {size} rules");
            let set = Ruleset::new(*style, *size);
            let measured = measure(&peers, &set, effort, &mut |what| progress(&title, what))?;
            progress("", "");
            let lines = report::lines(*style, *size, &measured);
            let shown: Vec<&Line> = lines.iter().collect();
            println!("{title}\n{}\n{}", report::table(&shown), report::absent(&shown));
            report.results.extend(lines);
        }
    }
    write(&report, &peers, &args.out)
}

/// Writes everything, and says where.
fn write(report: &Report<Line>, peers: &[Box<dyn Peer>], folder: &Path) -> Result<()> {
    let mut plots = Vec::new();
    for style in Style::ALL {
        let curves = curves(report, style);
        if let Some(svg) = plot::draw(&format!("{style}: {}", style.about()), &curves) {
            let name = format!("{style}.svg");
            save(folder, &name, &svg)?;
            plots.push(name);
        }
    }
    report.write(folder, "results", &report.markdown(peers, &plots))
}

/// What each filter cost with the rules of a style, this one first.
fn curves(report: &Report<Line>, style: Style) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for line in report.results.iter().filter(|line| line.style == style.name()) {
        let Line { filter, rules, cost: Some(Spread { median, low, high }), .. } = line else {
            continue;
        };
        // Around nothing, and all the louder on a logarithmic axis.
        if *filter == floors::PARSE_PASS {
            continue;
        }
        let point = (*rules as f64, [*median, *low, *high]);
        match curves.iter_mut().find(|curve| curve.name == *filter) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name: (*filter).to_owned(), points: vec![point] }),
        }
    }
    curves.sort_by_key(|curve| curve.name != sg::NAME);
    curves
}
