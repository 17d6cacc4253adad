//! How long the kernel holds a CPU while the largest images are placed and freed: threads that run
//! before all others wake up ten thousand times a second on each CPU, and see how late they are.

use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sg_tests::net::Net;
use sg_tests::realtime;
use sg_tests::rng::Rng;

use super::{BLOCKED, report};

/// Runs of each figure.
const RUNS: usize = 11;
/// Time from one waking to the next.
const PACE: Duration = Duration::from_micros(100);
/// How long the kernel may take after a command to free what it replaced.
const AFTER: Duration = Duration::from_secs(1);

/// Milliseconds by which the latest waking on any CPU came too late during the work.
fn latest(work: impl FnOnce()) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let watchers: Vec<_> = (0..cpus)
        .map(|cpu| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                realtime::pin(cpu);
                realtime::first();
                let mut latest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    std::thread::sleep(PACE);
                    latest = latest.max(start.elapsed().saturating_sub(PACE));
                }
                latest
            })
        })
        .collect();
    work();
    std::thread::sleep(AFTER);
    stop.store(true, Ordering::Relaxed);
    let late = watchers.into_iter().map(|watcher| watcher.join().expect("a watcher"));
    late.max().unwrap_or_default().as_secs_f64() * 1e3
}

pub(crate) fn held() {
    let mut rng = Rng::new(1);
    let mut text = String::new();
    // One network more stays within the limit.
    for _ in 1..BLOCKED {
        let address = u128::from(rng.draw()) << 64 | u128::from(rng.draw());
        let _ = writeln!(text, "{}", Ipv6Addr::from(address));
    }
    let net = Net::new();
    net.sg.apply("[interfaces.nic0]\ngroups = [\"g\"]\n[[groups.g.ingress]]\n").ok();
    let path = net.sg.file("blocked.txt", &text);
    let (block, unblock) =
        (format!("block --file {}", path.display()), format!("unblock --file {}", path.display()));
    let [mut quiet, mut placing, mut changing, mut freeing] = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        quiet.push(latest(|| ()));
        placing.push(latest(|| drop(net.sg.run(&block).ok())));
        changing.push(latest(|| drop(net.sg.run("block 192.0.2.0/24").ok())));
        net.sg.run("unblock 192.0.2.0/24").ok();
        freeing.push(latest(|| drop(net.sg.run(&unblock).ok())));
    }
    report("latest waking, nothing happens", "ms", quiet);
    report(&format!("latest waking, {BLOCKED} IPv6 addresses blocked"), "ms", placing);
    report("latest waking, one network more, the images replaced", "ms", changing);
    report("latest waking, all unblocked, the images freed", "ms", freeing);
}
