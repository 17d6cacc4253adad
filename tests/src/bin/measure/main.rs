//! Measures what users wait for: attaching and applying, one rule more, a large policy, the
//! throughput of a TCP stream with and without the filter, many blocked addresses, what packets
//! notice of changes, and how long the kernel holds a CPU for one.
//!
//! `cargo run --release --package sg-tests --bin measure` on a quiet machine, as root; behind `--` a
//! word selects a part (`processes`, `throughput`, `blocks`,
//! `changes`, `held`). Times are of
//! whole processes; each figure is the median of its runs, with the smallest and largest.

mod changes;
mod held;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use sg_tests::namespace::Namespace;
use sg_tests::net::{Net, host, peer};
use sg_tests::report::number;
use sg_tests::rng::Rng;

/// Runs of each figure that takes a process.
const RUNS: usize = 11;
/// Rules of a policy at most.
const LIMIT: u32 = 100_000;
/// Addresses that are blocked at once.
const BLOCKED: u32 = 1_000_000;
/// Pairs of throughput measurements.
const PAIRS: usize = 10;
/// How long a stream is measured.
const STREAM: Duration = Duration::from_secs(1);

/// A policy of so many rules, each with a CIDR and ports of its own, on `nic0`.
fn policy(rules: u32) -> String {
    let mut text = String::from("[interfaces.nic0]\ngroups = [\"g\"]\n[groups.g]\n");
    for rule in 0..rules {
        let port = 1024 + rule % 60_000;
        let (a, b, c) = (rule >> 16 & 255, rule >> 8 & 255, rule & 255);
        let _ = write!(
            text,
            "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = {port}\ncidr = \"20.{a}.{b}.{c}\"\n"
        );
    }
    text
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Median, smallest and largest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

fn report(what: &str, unit: &str, values: Vec<f64>) {
    let (median, low, high) = spread(values);
    println!("{what:<58} {median:>9.2} {unit} ({low:.2} to {high:.2})");
}

/// Gigabits a second of one TCP stream.
fn stream(server: &Namespace, client: &Namespace, address: SocketAddr) -> f64 {
    let listener = server.run(|| TcpListener::bind(address)).expect("listen");
    let receiver = server.spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return 0.0 };
        let mut buffer = vec![0; 1 << 17];
        let (start, mut bytes) = (Instant::now(), 0_usize);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes += count;
        }
        bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
    });
    client.run(|| {
        let mut stream = TcpStream::connect(address).expect("connect");
        let (buffer, start) = (vec![0; 1 << 17], Instant::now());
        while start.elapsed() < STREAM {
            stream.write_all(&buffer).expect("send");
        }
    });
    receiver.join().expect("receiver")
}

/// Attaches and applies so many rules on a host of its own.
fn first_apply(rules: u32, times: &mut Vec<f64>) -> Net {
    let net = Net::new();
    let file = net.sg.file("policy.toml", policy(rules));
    let line = format!("apply -f {}", file.display());
    times.push(1e3 * seconds(|| drop(net.sg.run(&line).ok())));
    net
}

fn processes() {
    for rules in [10, 1000, 99_000, 100_000] {
        let mut first = Vec::new();
        let mut net = first_apply(rules, &mut first);
        for _ in 1..RUNS {
            net = first_apply(rules, &mut first);
        }
        report(&format!("attach and first apply of {rules} rules"), "ms", first);
        if rules == LIMIT {
            continue;
        }
        let mut added = Vec::new();
        for port in 1..=RUNS {
            let line = format!("rule add g ingress --protocol udp --port {port} --cidr any");
            added.push(1e3 * seconds(|| drop(net.sg.run(&line).ok())));
        }
        report(&format!("one rule added to {rules}"), "ms", added);
    }
}

fn throughput() {
    let net = Net::new();
    let web = "[interfaces.nic0]\ngroups = [\"g\"]\n[groups.g]\n[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 5201\n";
    for (what, to_host) in [("TCP stream to the host", true), ("TCP stream from the host", false)] {
        let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let measure = || {
                if to_host {
                    stream(&net.host, net.peer(), host(5201))
                } else {
                    stream(net.peer(), &net.host, peer(5201))
                }
            };
            let bare = measure();
            net.sg.apply(web).ok();
            let filtered = measure();
            net.sg.run("detach nic0").ok();
            without.push(bare);
            with.push(filtered);
            ratios.push(filtered / bare);
        }
        report(&format!("{what}, no filter"), "Gbit/s", without);
        report(&format!("{what}, hook auto"), "Gbit/s", with);
        report(&format!("{what}, with over without"), "", ratios);
    }
}

/// Blocking so many addresses on a host with one interface, and one more.
fn blocks() {
    let file = {
        let mut rng = Rng::new(1);
        let mut text = String::new();
        for _ in 0..BLOCKED {
            let _ = writeln!(text, "{}", Ipv4Addr::from(rng.draw() as u32));
        }
        text
    };
    let line = |command: &str, path: &Path| format!("{command} --file {}", path.display());
    let [mut all, mut more, mut less, mut lists, mut none] = [const { Vec::new() }; 5];
    let mut images = 0;
    for _ in 0..RUNS {
        let net = Net::new();
        net.sg.apply("[interfaces.nic0]\ngroups = [\"g\"]\n[[groups.g.ingress]]\n").ok();
        let path = net.sg.file("blocked.txt", &file);
        let time = |times: &mut Vec<f64>, line: &str| {
            times.push(1e3 * seconds(|| drop(net.sg.run(line).ok())));
        };
        time(&mut all, &line("block", &path));
        images = number(&net.sg.status(), "image_bytes");
        time(&mut more, "block 192.0.2.0/31");
        time(&mut less, "unblock 192.0.2.0/31");
        time(&mut lists, "block");
        time(&mut none, &line("unblock", &path));
    }
    report(&format!("block --file with {BLOCKED} addresses"), "ms", all);
    report("one network more", "ms", more);
    report("one network less", "ms", less);
    report("the list of what is blocked", "ms", lists);
    report("unblock --file with the same addresses", "ms", none);
    let memory = |what, mebibytes: f64| println!("{what:<58} {mebibytes:>9.2} MiB");
    memory("images of both directions", images as f64 / f64::from(1 << 20));
    memory("the largest of these commands", largest() / 1024.0);
}

/// Kibibytes that the largest process of those that ended had at a time.
fn largest() -> f64 {
    // SAFETY: all bits zero are a value of the structure, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    usage.ru_maxrss as f64
}

fn main() {
    let only = std::env::args().nth(1);
    let parts = [
        ("processes", processes as fn()),
        ("throughput", throughput),
        ("blocks", blocks),
        ("changes", changes::changes),
        ("held", held::held),
    ];
    for (name, part) in parts {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
}
