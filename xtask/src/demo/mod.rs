//! `cargo xtask demo`.

mod place;
mod product;
mod report;
mod traffic;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::place::{NIC, Place, SERVER, WORLD, join};
use self::product::Product;
use self::report::Row;
use self::traffic::{Attempt, Download, Kind, Probe};
use crate::{build, provision, workspace};

/// Show sg filtering real traffic.
///
/// Installs what is missing, builds sg-ctl and the kernel programs, and creates two network
/// namespaces that a pair of virtual interfaces joins: a web server and the rest of the world. The
/// filter is attached natively (XDP) to the server's interface with the policy of examples/; then
/// real clients try what it allows and what it denies, and a rule is added and removed while
/// traffic flows. The report says what passed, what was dropped, and by which rule.
///
/// Nothing outside these namespaces is touched, and everything is removed in the end, also when it
/// is interrupted. Takes root.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The server's addresses.
const SERVER_ADDRESSES: [&str; 2] = ["192.0.2.1", "2001:db8:0:1::1"];
/// An ordinary client's.
const CLIENT: [&str; 2] = ["192.0.2.100", "2001:db8:0:1::100"];
/// Of a client that `examples/blocklist.txt` names.
const BLOCKED: [&str; 2] = ["192.0.2.66", "2001:db8:0:1::66"];
/// The port that is opened for a while.
const ADDED_PORT: u16 = 8080;

/// Runs the verb.
pub(crate) fn run(_: &Args) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the demonstration creates network namespaces and loads programs into the kernel, which \
         takes root"
    );
    provision::for_build()?;
    provision::for_demo()?;
    println!("Building sg-ctl and the kernel programs …");
    let program = build::sg_ctl(false)?;

    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("no signal handler")?;
    }
    let network =
        |addresses: [&str; 2]| [format!("{}/24", addresses[0]), format!("{}/64", addresses[1])];
    let server = network(SERVER_ADDRESSES);
    let world = [network(CLIENT), network(BLOCKED)].concat();
    let place = Place::new(
        &server.iter().map(String::as_str).collect::<Vec<_>>(),
        &world.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    let product = Product::new(program, &place);
    let result = Story { product, interrupted: Arc::clone(&interrupted) }.tell();
    drop(place);
    println!("\nNamespaces, filter and state of the demonstration are removed.");
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    result
}

struct Story {
    product: Product,
    interrupted: Arc<AtomicBool>,
}

impl Story {
    fn tell(&self) -> Result<()> {
        traffic::serve(SERVER, &[80, 443, ADDED_PORT], &[443, 5300])?;
        traffic::serve(WORLD, &[80], &[])?;

        self.settle()?;
        println!("\n1. Before: nothing is filtered");
        self.try_added_port()?;

        println!("\n2. The policy is loaded and the filter attached to the server's {NIC}");
        let policy = workspace::root().join("examples/web.toml");
        let policy = policy.to_str().context("the path of the workspace is not valid UTF-8")?;
        self.product.run(&["apply", "-f", policy])?;
        self.product
            .run(&["attach", NIC, "--group", "web", "--group", "admin", "--hook", "xdp"])?;

        println!("\n3. What clients get now");
        let rows = self.rows()?;
        print!("{}", report::table(&rows));
        let wrong = rows.iter().filter(|row| !row.as_expected()).count();

        println!("\n4. A rule is added and removed while traffic flows");
        for family in 0..2 {
            self.live_change(family)?;
        }

        println!("\n5. What the counters say");
        let (statistics, _) = self.product.run(&["stats"])?;
        print!("{}", report::indented(&statistics));

        println!("\n6. The filter is taken off");
        self.product.run(&["detach", NIC])?;
        self.try_added_port()?;

        ensure!(wrong == 0, "{wrong} answers were not as the policy says");
        println!("\nAll answers were as the policy says.");
        Ok(())
    }

    /// Ends the story early if somebody asked for that.
    fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Waits until every client reaches the server: an interface that has just come up loses the
    /// first multicasts, so addresses are not resolved at once. It also shows that what gets no
    /// answer later was not lost for another reason.
    fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        for clients in [CLIENT, BLOCKED] {
            for family in 0..2 {
                while self.probe(Kind::Ping, clients[family], SERVER_ADDRESSES[family])?.is_none() {
                    ensure!(Instant::now() < deadline, "the namespaces cannot reach each other");
                }
            }
        }
        Ok(())
    }

    /// Sends one probe from the world and returns what came back, if something did.
    fn probe(&self, kind: Kind, from: &str, to: &str) -> Result<Option<String>> {
        self.go_on()?;
        let probe = Probe { kind, from: parse(from)?, to: parse(to)? };
        let answer = join(place::inside(WORLD, move || traffic::send(WORLD, probe)))?;
        Ok(answer.got)
    }

    fn try_added_port(&self) -> Result<()> {
        let got = self.probe(Kind::Http(ADDED_PORT), CLIENT[0], SERVER_ADDRESSES[0])?;
        println!("  port {ADDED_PORT} of the server: {}", got.as_deref().unwrap_or("no answer"));
        Ok(())
    }

    /// Sends all the probes side by side, and asks for each which rule decides on it.
    fn rows(&self) -> Result<Vec<Row>> {
        let mut threads = Vec::new();
        for family in 0..2 {
            let server = SERVER_ADDRESSES[family];
            for (kind, from, to, allowed) in [
                (Kind::Http(80), CLIENT[family], server, true),
                (Kind::Http(443), CLIENT[family], server, true),
                (Kind::Udp(443), CLIENT[family], server, true),
                (Kind::Ping, CLIENT[family], server, true),
                (Kind::Http(ADDED_PORT), CLIENT[family], server, false),
                (Kind::Udp(5300), CLIENT[family], server, false),
                (Kind::Http(80), BLOCKED[family], server, false),
                (Kind::Ping, BLOCKED[family], server, false),
                // The server may open connections, and their answers come back in.
                (Kind::Http(80), server, CLIENT[family], true),
            ] {
                let probe = Probe { kind, from: parse(from)?, to: parse(to)? };
                let side = if from == server { SERVER } else { WORLD };
                let thread = place::inside(side, move || traffic::send(side, probe));
                threads.push((probe, side, allowed, thread));
            }
        }
        let mut rows = Vec::new();
        for (probe, side, allowed, thread) in threads {
            let answer = join(thread)?;
            self.go_on()?;
            let direction = if side == SERVER { "egress" } else { "ingress" };
            let decided = self.deciding_rule(direction, probe, answer.port)?;
            rows.push(Row { probe, allowed, got: answer.got, decided });
        }
        Ok(rows)
    }

    /// What `sg-ctl explain` says of a probe's first packet.
    fn deciding_rule(&self, direction: &str, probe: Probe, port: u16) -> Result<String> {
        let mut arguments = vec!["explain", NIC, direction];
        let (protocol, ports) = match probe.kind {
            Kind::Http(to) => ("tcp", Some(to)),
            Kind::Udp(to) => ("udp", Some(to)),
            Kind::Ping if probe.to.is_ipv4() => ("icmp", None),
            Kind::Ping => ("icmpv6", None),
        };
        let (source, destination) = match ports {
            Some(to) => (
                SocketAddr::new(probe.from, port).to_string(),
                SocketAddr::new(probe.to, to).to_string(),
            ),
            None => (probe.from.to_string(), probe.to.to_string()),
        };
        arguments.extend(["--protocol", protocol, "--source", &source]);
        arguments.extend(["--destination", &destination]);
        if protocol == "icmp" {
            arguments.extend(["--icmp-type", "8"]);
        } else if protocol == "icmpv6" {
            arguments.extend(["--icmp-type", "128"]);
        }
        Ok(report::deciding_rule(&self.product.json(&arguments)?))
    }

    /// Opens a port for a while, under a client that knocks at it all the time and beside a
    /// download that must not notice.
    fn live_change(&self, family: usize) -> Result<()> {
        /// The client's attempts that each phase waits for.
        const ATTEMPTS: u8 = 10;
        self.go_on()?;
        let (from, to) = (parse(CLIENT[family])?, parse(SERVER_ADDRESSES[family])?);
        let download = Download::start(from, SocketAddr::new(to, 443))?;

        // 0: closed, 1: open, 2: closed again, 3: over. The client counts what it sees of each.
        let phase = Arc::new(AtomicU8::new(0));
        let seen = Arc::new(AtomicU8::new(0));
        let client = traffic::knock(from, SocketAddr::new(to, ADDED_PORT), {
            let (phase, seen) = (Arc::clone(&phase), Arc::clone(&seen));
            let interrupted = Arc::clone(&self.interrupted);
            move |attempt: &Attempt| {
                let now = phase.load(Ordering::Relaxed);
                if attempt.open == (now == 1) {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
                now == 3 || interrupted.load(Ordering::Relaxed)
            }
        });
        let wait = || {
            seen.store(0, Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(10);
            while seen.load(Ordering::Relaxed) < ATTEMPTS {
                self.go_on()?;
                ensure!(!client.is_finished(), "the client ended early");
                ensure!(Instant::now() < deadline, "the client did not see the change within 10 s");
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        };

        let result: Result<[Instant; 4]> = (|| {
            wait()?;
            let port = ADDED_PORT.to_string();
            let adding = Instant::now();
            let (id, _) = self.product.run(&[
                "rule",
                "add",
                "web",
                "ingress",
                "--protocol",
                "tcp",
                "--port",
                &port,
                "--cidr",
                "any",
                "--description",
                "opened for a while",
            ])?;
            let added = Instant::now();
            phase.store(1, Ordering::Relaxed);
            wait()?;
            let removing = Instant::now();
            self.product.run(&["rule", "remove", id.trim()])?;
            let removed = Instant::now();
            phase.store(2, Ordering::Relaxed);
            wait()?;
            Ok([adding, added, removing, removed])
        })();
        phase.store(3, Ordering::Relaxed);
        let attempts = join(client)?;
        let [adding, added, removing, removed] = result?;
        let (bytes, gap) = download.so_far()?;

        let name = ["IPv4", "IPv6"][family];
        let count = |from: Option<Instant>, to: Option<Instant>| {
            let all = attempts.iter().filter(|attempt| {
                from.is_none_or(|from| attempt.begun >= from)
                    && to.is_none_or(|to| attempt.over < to)
            });
            (all.clone().filter(|attempt| attempt.open).count(), all.count())
        };
        let before = count(None, Some(adding));
        let during = count(Some(added), Some(removing));
        let after = count(Some(removed), None);
        println!(
            "  {name}: connections to port {ADDED_PORT}: {} of {} before, {} of {} with the rule, \
             {} of {} after its removal",
            before.0, before.1, during.0, during.1, after.0, after.1
        );
        println!(
            "  {name}: a download from port 443 went on meanwhile: {} KiB, longest pause {} ms",
            bytes >> 10,
            gap.as_millis()
        );
        ensure!(
            before.0 == 0 && after.0 == 0 && during.0 == during.1,
            "the rule did not act on every packet from the moment that the command ended"
        );
        Ok(())
    }
}

fn parse(address: &str) -> Result<IpAddr> {
    address.parse().with_context(|| format!("{address} is no address"))
}
