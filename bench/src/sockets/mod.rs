//! What real sockets reach behind filters as hosts have them: with connections that are let pass
//! before any rule is asked, at local input.
//!
//! ```text
//! client (one CPU) -> veth -> a lane for each filter: the filter, the stack, a server (another CPU)
//! ```
//! All filters are loaded with the same rules and take turns, workload by workload.

mod report;
mod workload;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::{Args, progress};
use crate::clock::Cpu;
use crate::measure::{Effort, Placed, place};
use crate::peers::{self, Judges, Peer, floors, sg};
use crate::report::Report;
use crate::ruleset::Ruleset;
use crate::sender::Sender;
use crate::styles::Style;

use workload::{Figures, Workload};

/// The port that is served, for which every ruleset has a rule.
const PORT: u16 = 5201;

/// Names that are measured whatever `--peer` says.
const ALWAYS: [&str; 2] = [floors::NONE, sg::AUTO];

/// How long an answer may take that has to come.
const ANSWER: Duration = Duration::from_secs(5);

/// How long it takes to believe that none comes.
const SILENCE: Duration = Duration::from_millis(300);

/// What was found of one filter with one workload.
#[derive(Clone, Debug)]
struct Found {
    workload: Workload,
    peer: &'static str,
    /// Round by round, or why it was not measured.
    rounds: Result<Vec<Figures>, String>,
}

/// Measures and writes.
///
/// # Errors
/// Where something fails that should not, or a filter passes what it should not.
pub(crate) fn run(args: &Args) -> Result<()> {
    let peers = args.chosen(peers::hosts(), &ALWAYS)?;
    let effort = args.effort([1, 2], [3, 5], [100, 200]);
    let cpus = Cpu::last()?;
    let mut report = Report::new(args.command(), effort.loads * effort.rounds);
    for size in args.sizes(&[10], &[10, 1000, 10_000]) {
        let title = format!("sockets, {size} rules");
        let set = Ruleset::serving(Style::Random, size, PORT);
        let mut found: Vec<Found> = Vec::new();
        for load in 1..=effort.loads {
            let mut say = |what: &str| progress(&title, &format!("load {load}, {what}"));
            loaded(&peers, &set, effort, cpus, &mut found, &mut say)?;
        }
        progress("", "");
        let lines = report::lines(size, &found);
        println!("{title}\n{}", report::tables(&lines.iter().collect::<Vec<_>>()));
        report.results.extend(lines);
    }
    report.write(&args.out, "sockets", &report::markdown(&report, &peers))
}

/// Loads filters once, checks them, and lets them take turns.
fn loaded(
    peers: &[Box<dyn Peer>],
    set: &Ruleset,
    effort: Effort,
    cpus: [Cpu; 2],
    found: &mut Vec<Found>,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    // Lanes end in its namespace, so it is dropped last.
    let sender = &mut Sender::new()?;
    let mut all: Vec<Placed<'_>> = Vec::new();
    for peer in peers {
        say(&format!("loading {}", peer.name()));
        match place(sender, &**peer, set)? {
            Ok(placed) => {
                check(sender, &placed, set)?;
                all.push(placed);
            }
            Err(reason) => {
                for workload in Workload::ALL {
                    *rounds(found, workload, peer.name()) = Err(reason.clone());
                }
            }
        }
    }
    // The first round only warms up.
    for round in 0..=effort.rounds {
        for workload in Workload::ALL {
            say(&format!("round {round} of {}, {}", effort.rounds, workload.name()));
            // Whoever comes first does so in one round.
            for placed in all.iter().cycle().skip(round).take(all.len()) {
                let name = placed.peer.name();
                let figures = workload
                    .turn(&sender.namespace, &placed.lane, cpus, effort)
                    .with_context(|| format!("{} through {name}", workload.name()))?;
                if let (1.., Ok(rounds)) = (round, rounds(found, workload, name)) {
                    rounds.push(figures);
                }
            }
        }
    }
    Ok(())
}

/// Where the rounds of a filter with a workload are kept.
fn rounds<'f>(
    found: &'f mut Vec<Found>,
    workload: Workload,
    peer: &'static str,
) -> &'f mut Result<Vec<Figures>, String> {
    let known = found.iter().position(|each| each.workload == workload && each.peer == peer);
    let place = known.unwrap_or_else(|| {
        found.push(Found { workload, peer, rounds: Ok(Vec::new()) });
        found.len() - 1
    });
    &mut found[place].rounds
}

/// Checks before anything is timed that a filter lets clients come to the served port, and to no
/// port that no rule allows.
fn check(sender: &Sender, placed: &Placed<'_>, set: &Ruleset) -> Result<()> {
    let Placed { peer, lane, .. } = placed;
    let client = Ipv4Addr::from(u32::from(lane.address) - 1);
    let closed = (1024..=u16::MAX).find(|port| !set.allows(client, 6, *port));
    let closed = closed.context("these rules allow the client every port")?;
    for (port, passes) in [(PORT, true), (closed, peer.judges() == Judges::Nothing)] {
        let address = SocketAddr::from((lane.address, port));
        let listener = lane.namespace.run(|| TcpListener::bind(address))?;
        let patience = if passes { ANSWER } else { SILENCE };
        let answer = sender.namespace.run(|| TcpStream::connect_timeout(&address, patience));
        drop(listener);
        if answer.is_ok() != passes {
            bail!(
                "{} with {} rules: a connection to port {port} should {}, and {}",
                peer.name(),
                set.size,
                if passes { "pass" } else { "be dropped" },
                answer.map_or_else(|error| error.to_string(), |_| "passed".to_owned()),
            );
        }
    }
    Ok(())
}
