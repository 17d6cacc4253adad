//! A change happens or does not, whenever the process is killed or the disk is full, and filtering
//! is never open meanwhile.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use sg_tests::net::{End, Net, at, host, v4};
use sg_tests::probe::Probe;
use sg_tests::report::{list, text};
use sg_tests::rng::Rng;
use sg_tests::sg::Answer;
use sg_tests::wait;

/// The named steps of a change at which a build with fault points can be stopped.
const STEPS: [&str; 12] = [
    "stage",
    "staged",
    "images-loaded",
    "links-attached",
    "directory-written",
    "prepared",
    "flip",
    "flipped",
    "detached",
    "commit",
    "committed",
    "recorded",
];

/// The smaller state: `nic0` lets port 7 in, `nic1` is not filtered.
const SMALL: &str = "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n\
                     [interfaces.nic0]\ngroups = [\"g\"]\n";
/// The larger state: `nic0` lets port 8 in besides, and `nic1` is filtered likewise.
const LARGE: &str = "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n\
                     [[groups.g.ingress]]\nprotocol = \"udp\"\nport = 8\n\
                     [interfaces.nic0]\ngroups = [\"g\"]\n[interfaces.nic1]\ngroups = [\"g\"]\n";
/// A port that both deny on `nic0`.
const DENIED: u16 = 9;

/// A host that goes back and forth between two states, with datagrams to a denied port all the
/// while.
struct Bench {
    net: Net,
    probe: Probe,
    receivers: Vec<UdpSocket>,
    senders: Vec<UdpSocket>,
    exports: [String; 2],
    now: usize,
    marks: u32,
}

impl Bench {
    fn new() -> Self {
        let net = Net::with_peers(2);
        let exports = [LARGE, SMALL].map(|policy| {
            net.sg.apply(policy);
            net.sg.run("export").ok().stdout
        });
        let [large, small] = exports;
        assert_ne!(small, large);
        let probe = Probe::start(net.peer(), &net.host, host(DENIED), Duration::from_micros(300));
        let receivers = [(0, 7), (0, 8), (1, 7), (1, 10)]
            .map(|(link, port)| {
                let address = at(v4(End::Host, link), port);
                let socket = net.host.run(|| UdpSocket::bind(address)).expect("a socket");
                socket.set_nonblocking(true).expect("a socket");
                socket
            })
            .into();
        let senders = net
            .peers
            .iter()
            .map(|peer| peer.run(|| UdpSocket::bind(("0.0.0.0", 0))).expect("a socket"))
            .collect();
        Self { net, probe, receivers, senders, exports: [small, large], now: 0, marks: 0 }
    }

    /// Whether port 8 of `nic0` is open, and whether all of `nic1` is, as packets experience it.
    fn experience(&mut self) -> (bool, bool) {
        self.marks += 1;
        let mark = self.marks.to_be_bytes();
        let got = |index: usize| {
            let mut buffer = [0; 4];
            std::iter::from_fn(|| self.receivers[index].recv_from(&mut buffer).ok().map(|_| buffer))
                .any(|got| got == mark)
        };
        let mut open = [false; 2];
        // Port 7 is open in both states; what was sent before it has arrived before it.
        for (link, port, first, second) in [(0, 8, 1, 0), (1, 10, 3, 2)] {
            for port in [port, 7] {
                self.senders[link]
                    .send_to(&mark, at(v4(End::Host, link as u8), port))
                    .expect("send");
            }
            wait::until("the allowed datagram arrives", || got(second));
            open[link] = got(first);
        }
        (open[0], open[1])
    }

    /// What a change to the other state is called with.
    fn target(&self) -> (usize, String) {
        let target = 1 - self.now;
        let path = self.net.sg.file("target.toml", [SMALL, LARGE][target]);
        (target, format!("apply --prune -f {}", path.display()))
    }

    /// The next look: the old state or the new one, the same in store and kernel. Returns whether it
    /// is the new one.
    fn look(&mut self, target: usize, context: &str) -> bool {
        let seen = self.net.sg.run("export").ok().stdout;
        let state = self
            .exports
            .iter()
            .position(|export| *export == seen)
            .unwrap_or_else(|| panic!("{context}: neither state:\n{seen}"));
        let expected = if state == 0 { (false, true) } else { (true, false) };
        assert_eq!(self.experience(), expected, "{context}: the kernel has another state");
        let status = self.net.sg.status();
        assert_eq!(text(&status, "health"), "good", "{context}: {status}");
        let attached = list(&status, "interfaces").len();
        assert_eq!(attached, state + 1, "{context}: {status}");
        assert_eq!(self.probe.arrived(), 0, "{context}: the filter was open");
        self.now = state;
        state == target
    }

    fn change_with(&mut self, fault: &str) -> (usize, Answer) {
        let (target, line) = self.target();
        let answer = self.net.sg.run_env(&[("SG_FAULT", fault)], &line, None);
        (target, answer)
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_kill_at_any_step_leaves_the_old_or_the_new_state() {
    let mut bench = Bench::new();
    let mut late = Vec::new();
    for step in STEPS {
        let (mut kills, mut changes) = (0, 0);
        let mut news = 0;
        while kills < 20 {
            let (target, answer) = bench.change_with(&format!("{step}:kill"));
            changes += 1;
            if answer.code.is_none() {
                kills += 1;
            } else {
                // Some steps belong to one of the two changes alone.
                answer.ok();
            }
            news += u32::from(bench.look(target, &format!("killed at {step}")));
            assert!(changes < 100, "no change passes the step {step}");
        }
        if news > changes / 2 + 1 {
            late.push(step);
        }
    }
    assert!(!late.is_empty(), "no step is behind the point of no return");
    assert!(bench.probe.sent() > 1_000);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_kill_at_any_time_leaves_the_old_or_the_new_state() {
    let mut bench = Bench::new();
    let mut random = Rng::new(Rng::seed());
    let (_, line) = bench.target();
    let whole = bench.net.sg.run(&line).ok().took;
    bench.now = 1;
    let (mut kills, mut changed, mut tries) = (0, 0, 0);
    while kills < 100 {
        let (target, line) = bench.target();
        let mut running = bench.net.sg.start(&[], &line);
        let delay = random.below(whole.as_micros() as u64 + 1);
        std::thread::sleep(Duration::from_micros(delay));
        running.kill();
        kills += u32::from(running.wait().code.is_none());
        changed += u32::from(bench.look(target, &format!("killed after {delay} µs")));
        tries += 1;
        assert!(tries < 1_000, "processes are over before they can be killed");
    }
    println!("{kills} kills, {changed} of {tries} changes done");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_full_disk_at_any_step_is_a_failure_without_a_change() {
    let mut bench = Bench::new();
    for step in STEPS {
        let mut failed = 0;
        // Both changes, and each from where the other left.
        for _ in 0..4 {
            let (target, answer) = bench.change_with(&format!("{step}:enospc"));
            let context = format!("disk full at {step}: {}", answer.stderr);
            let done = match answer.code {
                Some(0) => true,
                Some(1) => {
                    answer.refuses(&["no space left"]);
                    failed += 1;
                    false
                }
                other => panic!("{context}: ended with {other:?}"),
            };
            assert_eq!(bench.look(target, &context), done, "{context}");
            if !done {
                // Once there is room again it works.
                let (target, line) = bench.target();
                bench.net.sg.run(&line).ok();
                assert!(bench.look(target, &context));
            }
        }
        println!("{step}: {failed} of 4 failed");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn parallel_writers_lose_no_change() {
    let net = Net::new();
    net.sg.run("group create g").ok();
    net.sg.run("attach nic0 --group g").ok();
    let before = net.sg.generation();
    let running: Vec<_> = (1..=30)
        .map(|port| {
            let line = format!("rule add g ingress --protocol udp --port {port} --cidr any");
            net.sg.start(&[], &line)
        })
        .collect();
    for one in running {
        one.wait().ok();
    }
    assert_eq!(net.sg.generation(), before + 30);
    let rules = net.sg.run("rule list -o json").ok().json();
    let ports = list(&rules, "rules").iter().filter(|rule| rule["direction"] == "ingress").count();
    assert_eq!(ports, 30);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn only_one_of_many_writers_has_the_generation_it_asked_for() {
    let net = Net::new();
    net.sg.run("group create g").ok();
    let generation = net.sg.generation();
    let add = |port| {
        format!(
            "rule add g ingress --protocol udp --port {port} --cidr any --if-generation {generation}"
        )
    };
    let running: Vec<_> = (1..=8).map(|port| net.sg.start(&[], &add(port))).collect();
    let codes: Vec<_> = running.into_iter().map(|one| one.wait().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(1)).count(), 7, "{codes:?}");
    net.sg.run(&add(9)).refuses(&["generation", &(generation + 1).to_string()]);
    assert_eq!(net.sg.generation(), generation + 1);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_busy_writer_is_waited_for_and_named_and_its_death_frees_the_way() {
    let net = Net::new();
    net.sg.run("group create g").ok();
    let mut holder = net.sg.start(&[("SG_FAULT", "staged:sleep=60000")], "group create slow");
    // Its name is in the lock's file once it has it.
    let name = format!("{} ", holder.id());
    wait::until("the holder has the lock", || {
        std::fs::read_to_string(net.sg.state().join("lock"))
            .is_ok_and(|text| text.starts_with(&name))
    });
    let mut second = net.sg.start(&[], "group create fast");
    second.await_stderr(&holder.id().to_string());
    assert!(!second.ended());
    // Readers do not wait.
    net.sg.run("group list").ok();
    holder.kill();
    second.wait().ok();
    let groups = net.sg.run("group list -o json").ok().stdout;
    assert!(groups.contains("\"fast\""), "{groups}");
    drop(holder);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn restore_brings_back_what_was_enforced() {
    for hook in sg_tests::HOOKS {
        let net = Net::with_peers(2);
        net.sg.apply(
            &LARGE.replace("groups = [\"g\"]", &format!("groups = [\"g\"]\nhook = \"{hook}\"")),
        );
        let before = net.sg.run("export").ok().stdout;
        net.sg.lose_pins();
        let probe = Probe::start(net.peer(), &net.host, host(DENIED), Duration::from_micros(300));
        probe.await_arrival();
        let status = net.sg.run("status -o json").json();
        assert_ne!(text(&status, "health"), "good", "{status}");
        net.sg.run("restore").ok();
        let arrived = probe.arrived();
        probe.send_more(50);
        // One may have been in its socket's queue.
        assert!(probe.arrived() <= arrived + 1, "{hook}: open after the restore");
        assert_eq!(net.sg.run("export").ok().stdout, before);
        assert_eq!(text(&net.sg.status(), "health"), "good");
        // Again changes nothing.
        net.sg.run("restore").ok();
        net.sg.run("restore nic0").ok();
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_interface_that_comes_late_is_restored_alone() {
    let net = Net::with_peers(1);
    net.sg.apply(
        "[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\n\
         [interfaces.late0]\ngroups = [\"g\"]\nwhen-absent = \"wait\"\n",
    );
    net.sg.lose_pins();
    net.sg.run("restore").ok();
    let peer = sg_tests::namespace::Namespace::create();
    net.link(&peer, 1, "late0", "peer1");
    let probe = Probe::start(&peer, &net.host, at(v4(End::Host, 1), 5), Duration::from_micros(300));
    probe.await_arrival();
    net.sg.run("restore late0").ok();
    let arrived = probe.arrived();
    probe.send_more(50);
    assert!(probe.arrived() <= arrived + 1, "open after the restore");
    net.sg.run("restore no-such0").exits(0);
}

/// The files of the store itself.
fn store_files(net: &Net) -> Vec<std::path::PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the state directory").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), found);
            } else if std::fs::read(entry.path())
                .is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
            {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(net.sg.state(), &mut found);
    assert!(!found.is_empty(), "no store in {:?}", net.sg.state());
    found
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_store_that_cannot_be_read_leaves_the_kernel_as_it_is() {
    for damage in ["garbage", "newer"] {
        let mut bench = Bench::new();
        for path in store_files(&bench.net) {
            let mut bytes = std::fs::read(&path).unwrap();
            if damage == "garbage" {
                for byte in &mut bytes[..] {
                    *byte ^= 0x5a;
                }
            } else {
                // `user_version` of SQLite's header: the store's format.
                bytes[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
            }
            std::fs::write(&path, bytes).unwrap();
        }
        for line in ["export", "rule list", "group create other", "detach nic0"] {
            bench.net.sg.run(line).refuses(&["help:"]);
        }
        assert_eq!(bench.experience(), (false, true), "{damage}: the filter changed");
        assert_eq!(bench.probe.arrived(), 0, "{damage}: the filter was open");
    }
}
