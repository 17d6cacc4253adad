//! A change acts on all groups, interfaces and both directions at one instant, whatever the rate of
//! packets; and the check that says so fails on programs that split a change in two.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sg_tests::net::{End, Net, at, host, v4};
use sg_tests::report::{Stats, list, number, text};
use sg_tests::{HOOKS, services, wait};

/// Port that both policies allow.
const BOTH: u16 = 1000;
/// Port that neither allows.
const NEITHER: u16 = 3000;
/// Port that only policy A, only policy B allows.
const ONLY: [u16; 2] = [1001, 999];
/// How long a packet may be under way on a busy machine before it counts as lost.
const LOST: Duration = Duration::from_secs(12);

/// Policy A (0) or B (1) on two interfaces, the rules of both in store, so that both can be counted.
fn policy(which: usize, hook: &str) -> String {
    let mut text = String::new();
    for (group, ports) in [("a", "1000-1001"), ("b", "999-1000")] {
        for direction in ["ingress", "egress"] {
            text += &format!(
                "[[groups.{group}.{direction}]]\nprotocol = \"udp\"\nport = \"{ports}\"\n\
                 description = \"{group} {direction}\"\n"
            );
        }
    }
    for interface in ["nic0", "nic1"] {
        let group = ["a", "b"][which];
        text += &format!("[interfaces.{interface}]\ngroups = [\"{group}\"]\nhook = \"{hook}\"\n");
    }
    text
}

/// One of the four places: interface and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    link: u8,
    ingress: bool,
}

const PLACES: [Place; 4] = [
    Place { link: 0, ingress: true },
    Place { link: 1, ingress: true },
    Place { link: 0, ingress: false },
    Place { link: 1, ingress: false },
];

impl Place {
    fn destination(self, port: u16) -> SocketAddr {
        at(v4(if self.ingress { End::Host } else { End::Peer }, self.link), port)
    }

    fn source(self) -> SocketAddr {
        at(v4(if self.ingress { End::Peer } else { End::Host }, self.link), 0)
    }

    /// A socket that sends through the place.
    fn sender(self, net: &Net) -> UdpSocket {
        let namespace = if self.ingress { &net.peers[self.link as usize] } else { &net.host };
        namespace.run(|| UdpSocket::bind(self.source())).expect("a socket")
    }

    /// A socket that gets what is sent to a port through the place, without waiting.
    fn receiver(self, net: &Net, port: u16) -> UdpSocket {
        let namespace = if self.ingress { &net.host } else { &net.peers[self.link as usize] };
        let socket = namespace.run(|| UdpSocket::bind(self.destination(port))).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket
    }
}

/// The next datagram that is already there.
fn take(socket: &UdpSocket) -> Option<u64> {
    let mut buffer = [0; 8];
    match socket.recv_from(&mut buffer) {
        Ok((8, _)) => Some(u64::from_be_bytes(buffer)),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// What was seen that must not be.
type Violations = Arc<Mutex<Vec<String>>>;

/// Packets through all four places as fast as they come back, half of them allowed by both
/// policies, half by neither.
struct Streams {
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Streams {
    fn start(net: &Net, violations: &Violations) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let packets = Arc::new(AtomicU64::new(0));
        let threads = PLACES
            .into_iter()
            .map(|place| {
                let (sender, allowed, denied) =
                    (place.sender(net), place.receiver(net, BOTH), place.receiver(net, NEITHER));
                let (stop, packets) = (Arc::clone(&stop), Arc::clone(&packets));
                let violations = Arc::clone(violations);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        if let Err(what) = burst(place, &sender, &allowed, &denied) {
                            violations.lock().expect("not poisoned").push(what);
                            return;
                        }
                        packets.fetch_add(2 * BURST, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self { stop, packets, threads }
    }

    fn await_more(&self, count: u64, violations: &Violations) {
        let goal = self.packets.load(Ordering::Relaxed) + count;
        wait::until("the streams go on", || {
            self.packets.load(Ordering::Relaxed) >= goal
                || !violations.lock().expect("not poisoned").is_empty()
        });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Datagrams in flight: few enough that no queue on the way overflows.
const BURST: u64 = 32;

fn burst(
    place: Place,
    sender: &UdpSocket,
    allowed: &UdpSocket,
    denied: &UdpSocket,
) -> Result<(), String> {
    for number in 0..BURST {
        for port in [BOTH, NEITHER] {
            sender
                .send_to(&number.to_be_bytes(), place.destination(port))
                .map_err(|error| format!("{place:?}: {error}"))?;
        }
    }
    let start = Instant::now();
    let mut arrived = 0;
    while arrived < BURST {
        if take(allowed).is_some() {
            arrived += 1;
        } else if start.elapsed() > LOST {
            return Err(format!("{place:?}: lost {} that both allow", BURST - arrived));
        } else {
            std::thread::yield_now();
        }
    }
    if take(denied).is_some() {
        return Err(format!("{place:?}: one passed that neither allows"));
    }
    Ok(())
}

/// The sockets of causal pairs at all four places, for what only A and what only B allows.
struct Pairs {
    senders: Vec<UdpSocket>,
    receivers: Vec<[UdpSocket; 2]>,
}

impl Pairs {
    fn new(net: &Net) -> Self {
        Self {
            senders: PLACES.iter().map(|place| place.sender(net)).collect(),
            receivers: PLACES
                .iter()
                .map(|place| ONLY.map(|port| place.receiver(net, port)))
                .collect(),
        }
    }

    /// Sends a datagram that only policy `which` allows through a place.
    fn send(&self, place: usize, which: usize, number: u64) {
        self.senders[place]
            .send_to(&number.to_be_bytes(), PLACES[place].destination(ONLY[which]))
            .expect("send");
    }

    fn arrived(&self, place: usize, which: usize, number: u64) -> bool {
        std::iter::from_fn(|| take(&self.receivers[place][which])).any(|got| got == number)
    }

    /// While the change to policy `which` is under way: as soon as one place shows the new policy,
    /// every other has to.
    fn watch(&self, first: usize, which: usize, number: u64) -> Result<(), String> {
        let start = Instant::now();
        loop {
            self.send(first, which, number);
            if self.arrived(first, which, number) {
                break;
            }
            if start.elapsed() > wait::LIMIT {
                return Err(format!("{:?}: the new policy never came", PLACES[first]));
            }
        }
        let others: Vec<usize> = (0..PLACES.len()).filter(|place| *place != first).collect();
        for place in &others {
            self.send(*place, which, number);
        }
        for place in others {
            let start = Instant::now();
            while !self.arrived(place, which, number) {
                if start.elapsed() > LOST / 3 {
                    return Err(format!(
                        "{:?} had the new policy, {:?} not yet",
                        PLACES[first], PLACES[place]
                    ));
                }
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// Waits until every program run that began before has ended: `membarrier` with its global command
/// waits for such a grace period.
fn grace_period() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes integers alone.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    assert_eq!(result, 0, "membarrier: {}", std::io::Error::last_os_error());
}

/// Packets of each rule by description.
fn counters(stats: &Stats, names: &[(String, String)]) -> Vec<(String, u64)> {
    names.iter().map(|(name, id)| (name.clone(), stats.rule(id))).collect()
}

/// Changes from one policy to the other `flips` times under load and returns what went wrong;
/// ends early with the first.
fn flip(hook: &str, flips: u64, fault: Option<&str>) -> Vec<String> {
    let net = Net::with_peers(2);
    let files = [0, 1].map(|which| net.sg.file(&format!("{which}.toml"), policy(which, hook)));
    net.sg.apply(&policy(0, hook));
    let names: Vec<_> = net.sg.rules_by_description().into_iter().collect();
    let violations = Violations::default();
    let pairs = Pairs::new(&net);
    let streams = Streams::start(&net, &violations);
    let mut last = counters(&net.sg.stats(), &names);
    for number in 1..=flips {
        let which = (number % 2) as usize;
        let line = format!("apply --prune -f {}", files[which].display());
        let variables: Vec<_> = fault.iter().map(|fault| ("SG_FAULT", *fault)).collect();
        let running = net.sg.start(&variables, &line);
        let watched = pairs.watch(number as usize / 2 % PLACES.len(), which, number);
        running.wait().ok();
        if let Err(what) = watched {
            violations.lock().expect("not poisoned").push(what);
        }
        if number % 25 == 0 {
            grace_period();
            let before = counters(&net.sg.stats(), &names);
            streams.await_more(1_000, &violations);
            let mut after = counters(&net.sg.stats(), &names);
            let former = ["b", "a"][which];
            // A stream may starve for a while on a busy machine.
            let start = Instant::now();
            let silent = |after: &[(String, u64)]| {
                let mut pairs = before.iter().zip(after);
                pairs.any(|(a, b)| !a.0.starts_with(former) && a.1 == b.1)
            };
            while silent(&after) && start.elapsed() < wait::LIMIT {
                streams.await_more(1_000, &violations);
                after = counters(&net.sg.stats(), &names);
            }
            let mut wrong = violations.lock().expect("not poisoned");
            for (((name, old), (_, before)), (_, after)) in last.iter().zip(&before).zip(&after) {
                if name.starts_with(former) && before != after {
                    wrong.push(format!("{name} still counts: {before} to {after}"));
                }
                if before < old {
                    wrong.push(format!("{name} went back from {old} to {before}"));
                }
                if !name.starts_with(former) && before == after {
                    wrong.push(format!("{name} does not count"));
                }
            }
            last = after;
        }
        let seen = violations.lock().expect("not poisoned");
        if !seen.is_empty() {
            return seen.clone();
        }
    }
    streams.await_more(1, &violations);
    drop(streams);
    let seen = violations.lock().expect("not poisoned");
    seen.clone()
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn no_packet_sees_half_of_a_change() {
    for hook in HOOKS {
        assert_eq!(flip(hook, 340, None), Vec::<String>::new(), "{hook}");
    }
}

/// A build that splits the change must be found out.
fn found_out(fault: &str) {
    let seen = flip("tc", 400, Some(fault));
    assert!(!seen.is_empty(), "{fault} was not noticed");
    println!("{fault}: {seen:?}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_change_split_between_interfaces_is_found_out() {
    found_out("split-interfaces:sleep=1");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_change_split_between_directions_is_found_out() {
    found_out("split-directions:sleep=1");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_change_split_between_directory_and_image_is_found_out() {
    found_out("split-image:sleep=1");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn counters_of_rules_that_stay_never_go_back() {
    let net = Net::new();
    let _server = services::udp_echo(&net.host, host(7));
    let with = |extra: u16| {
        format!(
            "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\ndescription = \"kept\"\n\
             [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = {extra}\n\
             [interfaces.nic0]\ngroups = [\"g\"]\n"
        )
    };
    net.sg.apply(&with(1));
    let id = net.sg.rules_by_description()["kept"].clone();
    let mut count = 0;
    for extra in 2..40 {
        assert!(services::udp_works(net.peer(), host(7)));
        net.sg.apply(&with(extra));
        let now = net.sg.stats().rule(&id);
        count += 1;
        assert_eq!(now, count, "after change {extra}");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn one_change_is_one_generation() {
    let net = Net::with_peers(2);
    net.sg.apply(&policy(0, "auto"));
    let before = net.sg.generation();
    net.sg.apply(&policy(1, "auto"));
    assert_eq!(net.sg.generation(), before + 1);
    // The same again is no change.
    net.sg.apply(&policy(1, "auto"));
    assert_eq!(net.sg.generation(), before + 1);
    // Several commands as one.
    let mut batch = String::new();
    for port in 1..=20 {
        writeln_to(
            &mut batch,
            &format!("rule add a ingress --protocol tcp --port {port} --cidr any"),
        );
    }
    writeln_to(&mut batch, "update nic0 --groups a,b");
    net.sg.run_with("batch", &batch).ok();
    assert_eq!(net.sg.generation(), before + 2);
    let rules = net.sg.run("rule list -o json").ok().json();
    assert_eq!(list(&rules, "rules").iter().filter(|rule| text(rule, "group") == "a").count(), 22);
    // One bad line, and none of them is done.
    let bad = "rule add a ingress --protocol tcp --port 99 --cidr any\nrule remove sgr-00000000000000000\n";
    net.sg.run_with("batch", bad).refuses(&["2"]);
    assert_eq!(number(&net.sg.status(), "generation"), before + 2);
}

fn writeln_to(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
