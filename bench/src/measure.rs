//! Filters take turns: each round sends the same packets through every one of them, twice, and reads
//! what the second time cost.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use sg_common::tables::TRACE_HEADERS;

use crate::guard;
use crate::kernel::{self, Runs};
use crate::lane::{Lane, Way};
use crate::peers::{Keep, Loaded, Peer, Reading};
use crate::ruleset::Ruleset;
use crate::sender::Sender;
use crate::trace::{self, Packet};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Times that everything is loaded anew. Where the kernel happens to put a program is worth some
    /// nanoseconds, and is chosen again each time.
    pub loads: usize,
    /// Rounds that count after each of them.
    pub rounds: usize,
    /// Milliseconds that a filter has in a round at most, as far as that leaves enough packets to read a cost from.
    pub milliseconds: u32,
    /// Whether whole runs are read from the clock on the wall, not from threads' times.
    pub wall: bool,
}

/// Packets of a filter in a round, at least.
const FEWEST: u32 = 2048;

/// Times that a run is repeated of which packets were lost.
pub(crate) const PATIENCE: usize = 20;

/// What was found of one filter with one ruleset.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Name of the filter.
    pub peer: &'static str,
    /// How packets come to it.
    pub way: Way,
    /// How its cost is read.
    pub reading: Reading,
    /// What it cost, or why that was not measured.
    pub result: Result<Rounds, String>,
}

/// Nanoseconds for each packet, round by round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// Packets of all rounds.
    pub packets: u64,
    /// Of the XDP program on the device.
    pub program: Vec<f64>,
    /// Of the whole run.
    pub run: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, more: Self) {
        self.packets += more.packets;
        self.program.extend(more.program);
        self.run.extend(more.run);
    }
}

/// A filter in place.
pub(crate) struct Placed<'p> {
    /// The filter.
    pub(crate) peer: &'p dyn Peer,
    // Dropped before the lane that it lies on.
    _keep: Keep,
    /// The lane that it lies on.
    pub(crate) lane: Lane,
}

/// Puts a filter in place, on a lane of its own; or says why it cannot hold these rules.
///
/// # Errors
/// Where something fails that should not.
pub(crate) fn place<'p>(
    sender: &mut Sender,
    peer: &'p dyn Peer,
    set: &Ruleset,
) -> Result<Result<Placed<'p>, String>> {
    let lane = sender.lane(peer.way())?;
    let loaded = peer
        .load(sender, &lane, set)
        .with_context(|| format!("{} with {} {} rules", peer.name(), set.size, set.style))?;
    Ok(match loaded {
        Loaded::Yes(keep) => Ok(Placed { peer, _keep: keep, lane }),
        Loaded::No(reason) => Err(reason),
    })
}

/// A filter that takes turns.
struct Timed<'p> {
    placed: Placed<'p>,
    program: OwnedFd,
    count: u32,
    rounds: Rounds,
}

/// Measures filters with one ruleset. `say` is told what is being done.
///
/// # Errors
/// Where something fails that should not, or a filter passes the wrong packets.
pub fn measure(
    peers: &[Box<dyn Peer>],
    set: &Ruleset,
    effort: Effort,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Measured>> {
    let packets = Packets { sample: trace::sample(set)?, timed: trace::timed(set) };
    let mut all: Vec<Measured> = Vec::new();
    for load in 0..effort.loads {
        let mut say = |what: &str| say(&format!("load {} of {}, {what}", load + 1, effort.loads));
        let found = loaded(peers, set, &packets, effort, &mut say)?;
        if all.is_empty() {
            all = found;
            continue;
        }
        for (all, found) in all.iter_mut().zip(found) {
            match (&mut all.result, found.result) {
                (Ok(rounds), Ok(more)) => rounds.add(more),
                (result, Err(reason)) => *result = Err(reason),
                (Err(_), Ok(_)) => {}
            }
        }
    }
    Ok(all)
}

/// The packets of a ruleset.
struct Packets {
    sample: [Vec<Packet>; 2],
    timed: Vec<Packet>,
}

/// Loads filters once, and lets them take turns.
fn loaded(
    peers: &[Box<dyn Peer>],
    set: &Ruleset,
    packets: &Packets,
    effort: Effort,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Measured>> {
    // Lanes end in its namespace, so it is dropped last.
    let sender = &mut Sender::new()?;
    let mut timed: Vec<Timed<'_>> = Vec::new();
    let mut results = Vec::new();
    for peer in peers {
        say(&format!("loading {}", peer.name()));
        let unfit = match place(sender, &**peer, set)? {
            Err(reason) => Some(reason),
            Ok(placed) => {
                guard::check(sender, &placed, set, &packets.sample)?;
                let program = kernel::program(placed.lane.xdp()?)?;
                timed.push(Timed { placed, program, count: 0, rounds: Rounds::default() });
                None
            }
        };
        results.push(Measured {
            peer: peer.name(),
            way: peer.way(),
            reading: peer.reading(),
            result: unfit.map_or(Ok(Rounds::default()), Err),
        });
    }
    sender.fill(&packets.timed)?;
    for each in &mut timed {
        let (_, run) = turn(sender, each, FEWEST, effort)?;
        let fitting = f64::from(effort.milliseconds) * 1e6 / run.max(1.0);
        each.count = (fitting as u32).clamp(FEWEST, TRACE_HEADERS);
    }
    // The first round only warms up.
    for round in 0..=effort.rounds {
        say(&format!("round {round} of {}", effort.rounds));
        for each in &mut timed {
            let (program, run) = turn(sender, each, each.count, effort)?;
            if round > 0 {
                each.rounds.packets += u64::from(each.count);
                each.rounds.program.push(program);
                each.rounds.run.push(run);
            }
        }
    }
    for each in timed {
        let name = each.placed.peer.name();
        if let Some(found) = results.iter_mut().find(|found| found.peer == name) {
            found.result = Ok(each.rounds);
        }
    }
    Ok(results)
}

/// One filter's turn: nanoseconds for each packet, of its program and of the run.
fn turn(sender: &mut Sender, timed: &Timed<'_>, count: u32, effort: Effort) -> Result<(f64, f64)> {
    for _ in 0..PATIENCE {
        // The others have filled the caches with theirs. A filter that is in use finds its own there.
        sender.send(&timed.placed.lane, count)?;
        sender.settle();
        let before = kernel::runs(timed.program.as_fd())?;
        let took = sender.send(&timed.placed.lane, count)?;
        let Runs { runs, nanoseconds } = kernel::runs(timed.program.as_fd())?.since(before);
        // Where the CPU was taken away for long, the ring of the device overflowed.
        if runs == u64::from(count) {
            let run = if effort.wall { took.wall } else { took.cpu };
            return Ok((nanoseconds as f64 / runs as f64, run / f64::from(count)));
        }
        sender.settle();
    }
    bail!("{}: packets were lost {PATIENCE} times in a row", timed.placed.peer.name())
}
