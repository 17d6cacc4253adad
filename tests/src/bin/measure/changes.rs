//! What packets notice of ten changes a second: those lost, those out of turn, and the latency of a
//! ping-pong beside the same without changes.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sg_tests::net::{Net, host};
use sg_tests::numbered::Numbered;
use sg_tests::realtime;
use sg_tests::services::is_timeout;

use super::{policy, report};

/// Rules of the policy that changes.
const RULES: u32 = 1000;
/// Pairs of a quiet run and one with changes.
const PAIRS: usize = 10;
/// How long a run is.
const RUN: Duration = Duration::from_secs(5);
/// Time from one change to the next.
const PACE: Duration = Duration::from_millis(100);
/// Time from one ping to the next.
const PING: Duration = Duration::from_micros(100);
/// How long a ping waits for its answer.
const LOST: Duration = Duration::from_secs(1);

/// Adds a rule and removes it, ten changes a second, until it is told to stop. Returns how many.
fn change(net: &Net, stop: &AtomicBool) -> u64 {
    let (mut count, mut id) = (0, None::<String>);
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        id = match id.take() {
            Some(id) => {
                net.sg.run(&format!("rule remove {id}")).ok();
                None
            }
            None => {
                let add = "rule add g ingress --protocol udp --port 99 --cidr 192.0.2.0/24";
                Some(net.sg.run(add).ok().stdout.trim().to_owned())
            }
        };
        count += 1;
        std::thread::sleep((PACE * count as u32).saturating_sub(start.elapsed()));
    }
    if let Some(id) = id {
        net.sg.run(&format!("rule remove {id}")).ok();
    }
    count
}

/// Microseconds of each ping and its answer, sorted. Both ends share a CPU, and run there before what
/// else does: it is packets that are measured, not the scheduler.
fn ping_pong(net: &Net, port: u16) -> Vec<f64> {
    let server = net.host.run(|| UdpSocket::bind(host(port))).expect("a port");
    let client = net.peer().run(|| UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    client.connect(host(port)).expect("an address");
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(LOST)).expect("a socket");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let pong = std::thread::spawn(move || {
        realtime::pin(0);
        realtime::first();
        let mut buffer = [0; 64];
        while !stopped.load(Ordering::Relaxed) {
            match server.recv_from(&mut buffer) {
                Ok((length, from)) => drop(server.send_to(&buffer[..length], from)),
                Err(error) => assert!(is_timeout(&error), "{error}"),
            }
        }
    });
    let ping = std::thread::spawn(move || {
        realtime::pin(0);
        realtime::first();
        let (mut times, mut number, mut buffer) = (Vec::new(), 0_u64, [0; 8]);
        let start = Instant::now();
        while start.elapsed() < RUN {
            number += 1;
            let sent = Instant::now();
            let _ = client.send(&number.to_be_bytes());
            // An answer that comes after its time is none of the next ping.
            while client.recv(&mut buffer).is_ok_and(|_| buffer != number.to_be_bytes()) {}
            times.push(sent.elapsed().as_secs_f64() * 1e6);
            std::thread::sleep(PING);
        }
        times
    });
    let mut times = ping.join().expect("the client");
    stop.store(true, Ordering::Relaxed);
    pong.join().expect("the server");
    times.sort_by(f64::total_cmp);
    times
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Works while the policy changes. Returns the number of changes, too.
fn while_changing<T>(net: &Net, work: impl FnOnce() -> T) -> (T, u64) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| change(net, &stop));
        let result = work();
        stop.store(true, Ordering::Relaxed);
        (result, changes.join().expect("the changes"))
    })
}

pub(crate) fn changes() {
    let net = Net::new();
    let served = "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = \"7-8\"\n";
    net.sg.apply(&(policy(RULES) + served)).ok();

    let (outcome, count) = while_changing(&net, || {
        let stream = Numbered::start(net.peer(), &net.host, host(8));
        std::thread::sleep(RUN * 2);
        stream.end()
    });
    println!(
        "{count} changes of {RULES} rules under {} datagrams in {:?}: {} lost, {} out of turn",
        outcome.sent,
        RUN * 2,
        outcome.lost,
        outcome.late
    );

    let [mut quiet, mut busy, mut ratios] = [const { Vec::new() }; 3];
    let [mut quiet_largest, mut busy_largest] = [const { Vec::new() }; 2];
    for _ in 0..PAIRS {
        let without = ping_pong(&net, 7);
        let (with, _) = while_changing(&net, || ping_pong(&net, 7));
        let (a, b) = (quantile(&without, 0.999), quantile(&with, 0.999));
        quiet.push(a);
        busy.push(b);
        ratios.push(b / a);
        quiet_largest.push(quantile(&without, 1.0));
        busy_largest.push(quantile(&with, 1.0));
    }
    report("ping-pong, 99.9 %, no changes", "us", quiet);
    report("ping-pong, 99.9 %, ten changes a second", "us", busy);
    report("ping-pong, 99.9 %, with over without", "", ratios);
    report("ping-pong, the largest of a run, no changes", "us", quiet_largest);
    report("ping-pong, the largest of a run, ten changes a second", "us", busy_largest);
}
