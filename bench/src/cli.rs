//! The command line.

use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use aya::sys::{Stats, enable_stats};
use clap::Parser;

use crate::machine;
use crate::measure::{Effort, measure};
use crate::peers::{self, Peer, floors, sg};
use crate::plot::{self, Curve};
use crate::report::{self, Line, Report};
use crate::ruleset::Ruleset;
use crate::stats::Spread;
use crate::styles::Style;

/// What a packet costs: this filter and its peers, over the number of rules.
#[derive(Debug, Parser)]
#[command(name = "sg-bench")]
struct Args {
    /// Fewer rounds and, unless they are named, only 10 and 1000 rules of the first style
    #[arg(long)]
    quick: bool,
    /// Numbers of rules [default: 10,100,1000,10000,100000]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    rules: Vec<usize>,
    /// Styles: random, web, blocklist, acl, fw, ipc [default: all]
    #[arg(long, value_name = "STYLE,…", value_delimiter = ',')]
    style: Vec<Style>,
    /// Filters besides this one and the floors [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peer: Vec<String>,
    /// Folder for the table, JSON and plots
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    out: PathBuf,
    /// The command to name in the report
    #[arg(long, hide = true, value_name = "TEXT")]
    command: Option<String>,
}

/// Parses the command line of this process and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("cause: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Names that are measured whatever `--peer` says.
const ALWAYS: [&str; 2] = [floors::EMPTY, floors::PARSE];

fn chosen(args: &Args) -> Result<Vec<Box<dyn Peer>>> {
    let all = peers::all();
    for name in &args.peer {
        if !all.iter().any(|peer| peer.name() == name) {
            let known: Vec<&str> = all.iter().map(|peer| peer.name()).collect();
            bail!("there is no filter \"{name}\"; known: {}", known.join(", "));
        }
    }
    let ways: Vec<_> =
        all.iter().filter(|p| args.peer.iter().any(|n| n == p.name())).map(|p| p.way()).collect();
    let wanted = |peer: &dyn Peer| {
        let name = peer.name();
        let floor = [floors::NETDEV, floors::INET].contains(&name) && ways.contains(&peer.way());
        args.peer.is_empty()
            || floor
            || name == sg::NAME
            || ALWAYS.contains(&name)
            || args.peer.iter().any(|asked| asked == name)
    };
    Ok(all.into_iter().filter(|peer| wanted(&**peer)).collect())
}

fn run(arguments: Vec<OsString>) -> Result<()> {
    let shown = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let args = Args::parse_from(arguments);
    if !rustix::process::geteuid().is_root() {
        bail!("measuring takes root: it makes network namespaces and loads programs");
    }
    if std::env::var_os("SG_CTL").is_none() {
        bail!("SG_CTL has to name the program sg-ctl; `cargo xtask bench` sees to all that");
    }
    let peers = chosen(&args)?;
    let styles = match (&args.style[..], args.quick) {
        ([], true) => vec![Style::Random],
        ([], false) => Style::ALL.to_vec(),
        (asked, _) => asked.to_vec(),
    };
    let sizes = match (&args.rules[..], args.quick) {
        ([], true) => vec![10, 1000],
        ([], false) => vec![10, 100, 1000, 10_000, 100_000],
        (asked, _) => asked.to_vec(),
    };
    let effort = Effort {
        loads: if args.quick { 1 } else { 5 },
        rounds: 5,
        milliseconds: if args.quick { 100 } else { 200 },
        wall: machine::softirqs_apart(),
    };
    let mut report = Report {
        machine: machine::look(),
        command: args.command.clone().unwrap_or(shown),
        rounds: effort.loads * effort.rounds,
        results: Vec::new(),
    };
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

/// Says on a terminal what is being done, each time in place of the last.
fn progress(title: &str, what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let separator = if title.is_empty() { "" } else { ": " };
        let _ = write!(stderr, "\r\x1b[K{title}{separator}{what}");
        let _ = stderr.flush();
    }
}

/// Writes everything, and says where.
fn write(report: &Report, peers: &[Box<dyn Peer>], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let save = |name: &str, content: &str| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("{} not written", path.display()))?;
        println!("wrote {}", path.display());
        Ok(())
    };
    let mut plots = Vec::new();
    for style in Style::ALL {
        let curves = curves(report, style);
        if let Some(svg) = plot::draw(&format!("{style}: {}", style.about()), &curves) {
            let name = format!("{style}.svg");
            save(&name, &svg)?;
            plots.push(name);
        }
    }
    save("results.json", &format!("{}\n", serde_json::to_string_pretty(report)?))?;
    save("results.md", &report.markdown(peers, &plots))
}

/// What each filter cost with the rules of a style, this one first.
fn curves(report: &Report, style: Style) -> Vec<Curve> {
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
