//! Nobody is timed while doing something else: before it, every filter shows on a sample of packets
//! that it passes what it should and nothing else.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::kernel;
use crate::lane::{Lane, Way};
use crate::measure::Placed;
use crate::peers::Judges;
use crate::ruleset::Ruleset;
use crate::sender::Sender;
use crate::trace::Packet;

/// Packets that are sent at once: half of what the ring of a veth device holds.
const AT_ONCE: u32 = 128;

/// How long they may take to arrive.
const PATIENCE: Duration = Duration::from_secs(1);

/// Checks a filter.
///
/// # Errors
/// If it passes too many or too few packets.
pub(crate) fn check(
    sender: &mut Sender,
    placed: &Placed<'_>,
    set: &Ruleset,
    sample: &[Vec<Packet>; 2],
) -> Result<()> {
    let Placed { peer, lane, .. } = placed;
    let program = kernel::program(lane.xdp()?)?;
    for (verdict, packets) in ["pass", "be dropped"].into_iter().zip(sample) {
        let expected = match (peer.judges(), verdict) {
            (Judges::DropsAll, _) => None,
            (Judges::Nothing, _) | (_, "pass") => Some(true),
            _ => Some(false),
        };
        let chosen: Vec<Packet> = packets
            .iter()
            .filter(|packet| {
                peer.judges() != Judges::DeniedSources
                    || verdict == "pass"
                    || set.denies(packet.source)
            })
            .cloned()
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let passed = passed(sender, lane, program.as_fd(), &chosen)?;
        let wanted = if expected == Some(true) { chosen.len() as u64 } else { 0 };
        if passed != wanted {
            bail!(
                "{} with {} {} rules: {passed} of {} packets passed that should {verdict}",
                peer.name(),
                set.size,
                set.style,
                chosen.len(),
            );
        }
    }
    Ok(())
}

/// How many of some packets come through a filter.
fn passed(
    sender: &mut Sender,
    lane: &Lane,
    program: BorrowedFd<'_>,
    packets: &[Packet],
) -> Result<u64> {
    sender.fill(packets)?;
    let counter = if lane.way == Way::Xdp { Some(sender.count_behind(lane)?) } else { None };
    let count = |sender: &mut Sender| match lane.way {
        Way::Xdp => sender.counted(),
        Way::Netdev | Way::Inet | Way::Host => lane.passed(),
    };
    let before = count(sender)?;
    let mut left = packets.len() as u32;
    while left > 0 {
        let now = left.min(AT_ONCE);
        let runs = kernel::runs(program)?.runs;
        sender.send(lane, now)?;
        let start = Instant::now();
        while kernel::runs(program)?.runs < runs + u64::from(now) && start.elapsed() < PATIENCE {
            sender.settle();
        }
        left -= now;
    }
    sender.settle();
    let after = count(sender)?;
    drop(counter);
    Ok(after - before)
}
