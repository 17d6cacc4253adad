//! Where a filter judges the frames of a table, and how a table is held against it.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sg_tests::HOOKS;
use sg_tests::frame::{self, V4, V6};
use sg_tests::net::{End, Net, v4, v6};
use sg_tests::report::Stats;
use sg_tests::wire::{self, Wire};

/// A hardware address that is nobody's: no stack answers what is sent there.
pub(crate) const NOBODY: [u8; 6] = [2, 0, 0, 0, 0x99, 0x99];

/// One way through a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Hook of what arrives from the wire.
    pub(crate) hook: &'static str,
    /// Whether the other end of the interface is the protected side.
    pub(crate) guest: bool,
    /// Direction as the policy sees it: `ingress` or `egress`.
    pub(crate) direction: &'static str,
    /// Whether the interface drops nothing.
    pub(crate) monitor: bool,
}

impl Way {
    /// Every way that can give another verdict.
    pub(crate) fn all() -> Vec<Self> {
        let mut ways = Vec::new();
        for guest in [false, true] {
            for direction in ["ingress", "egress"] {
                for hook in HOOKS {
                    let way = Self { hook, guest, direction, monitor: false };
                    // What is sent is judged by TC whatever the hook.
                    if way.is_from_wire() || hook == "tc" {
                        ways.push(way);
                    }
                }
            }
        }
        ways
    }

    /// Whether the frames arrive at the interface.
    pub(crate) fn is_from_wire(&self) -> bool {
        (self.direction == "ingress") != self.guest
    }

    /// The protected side's address.
    pub(crate) fn local(&self) -> Ipv4Addr {
        v4(if self.guest { End::Peer } else { End::Host }, 0)
    }

    /// The protected side's IPv6 address.
    pub(crate) fn local6(&self) -> Ipv6Addr {
        v6(if self.guest { End::Peer } else { End::Host }, 0)
    }

    /// A packet between the protected side and `remote` in the direction of the way.
    pub(crate) fn v4(&self, remote: [u8; 4], protocol: u8) -> V4 {
        let remote = Ipv4Addr::from(remote);
        if self.direction == "ingress" {
            V4::new(remote, self.local(), protocol)
        } else {
            V4::new(self.local(), remote, protocol)
        }
    }

    /// Likewise over IPv6.
    pub(crate) fn v6(&self, remote: &str, protocol: u8) -> V6 {
        let remote: Ipv6Addr = remote.parse().expect("an address");
        if self.direction == "ingress" {
            V6::new(remote, self.local6(), protocol)
        } else {
            V6::new(self.local6(), remote, protocol)
        }
    }
}

/// What has to happen to a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The rule with this description lets it pass.
    Rule(&'static str),
    /// The deny rule with this description drops it.
    Deny(&'static str),
    /// It passes with this reason.
    Pass(&'static str),
    /// It is dropped with one of these reasons.
    Drop(&'static [&'static str]),
    /// Either: the deciding rule's verdict, or a drop with this reason.
    RuleOr(&'static str, &'static str),
    /// Likewise with a deny rule.
    DenyOr(&'static str, &'static str),
}

impl Expect {
    /// No rule matches it.
    pub(crate) const IMPLICIT: Self = Self::Drop(&["implicit-deny"]);
    /// No rule matches it, and many are meant.
    pub(crate) const IMPLICIT_GROUP: Self = Self::Drop(&["implicit-deny-multicast"]);
    /// A kind that networks need.
    pub(crate) const ALWAYS: Self = Self::Pass("always-passed");
}

/// A frame and what has to happen to it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    /// The frame.
    pub(crate) frame: Vec<u8>,
    /// What has to happen.
    pub(crate) expect: Expect,
}

/// An IPv4 frame.
pub(crate) fn ip4(name: impl Into<String>, packet: &[u8], expect: Expect) -> Case {
    Case { name: name.into(), frame: frame::ethernet(NOBODY, frame::IPV4, packet), expect }
}

/// An IPv6 frame.
pub(crate) fn ip6(name: impl Into<String>, packet: &[u8], expect: Expect) -> Case {
    Case { name: name.into(), frame: frame::ethernet(NOBODY, frame::IPV6, packet), expect }
}

/// An attached interface with a place to send frames and one to see what passed.
pub(crate) struct Bench {
    pub(crate) net: Net,
    pub(crate) way: Way,
    near: Wire,
    far: Wire,
    tap: Wire,
    rules: HashMap<String, String>,
}

impl Bench {
    /// Attaches `nic0` with a group `g` whose rules are `policy`, the text below `[groups.g]`.
    pub(crate) fn new(way: Way, policy: &str) -> Self {
        let net = Net::new();
        let interface = format!(
            "[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"{}\"\nside = \"{}\"\nmode = \"{}\"\n",
            way.hook,
            if way.guest { "guest" } else { "host" },
            if way.monitor { "monitor" } else { "enforce" },
        );
        // After an attach connections are learned for a while; a change of the rules ends that.
        net.sg.apply(&format!("[groups.g]\n[[groups.g.ingress]]\nprotocol = 253\n{interface}"));
        net.sg.apply(&format!("[groups.g]\n{policy}\n{interface}"));
        let tap = wire::behind(&net.host, "nic0", way.hook);
        let near = Wire::open(&net.host, "nic0");
        let far = Wire::open(net.peer(), "peer0");
        let rules = net.sg.rules_by_description();
        Self { net, way, near, far, tap, rules }
    }

    /// Sends frames the bench's way and tells which of them passed.
    pub(crate) fn passed(&self, frames: &[Vec<u8>]) -> Vec<bool> {
        if self.way.is_from_wire() {
            wire::passed(&self.far, &self.tap, frames)
        } else {
            wire::passed(&self.near, &self.far, frames)
        }
    }

    /// Sends frames the other way.
    pub(crate) fn passed_back(&self, frames: &[Vec<u8>]) -> Vec<bool> {
        if self.way.is_from_wire() {
            wire::passed(&self.near, &self.far, frames)
        } else {
            wire::passed(&self.far, &self.tap, frames)
        }
    }

    /// Holds every case against the filter: whether the frame passes, and the one counter that
    /// moves.
    #[track_caller]
    pub(crate) fn check(&self, cases: &[Case]) {
        let mut wrong = String::new();
        let mut before = self.net.sg.stats();
        for case in cases {
            let passed = self.passed(std::slice::from_ref(&case.frame))[0];
            let after = self.net.sg.stats();
            if let Err(found) = self.check_one(case, passed, &before, &after) {
                let _ = writeln!(wrong, "  {}: expected {:?}, {found}", case.name, case.expect);
            }
            before = after;
        }
        assert!(wrong.is_empty(), "{:?}:\n{wrong}", self.way);
    }

    fn check_one(
        &self,
        case: &Case,
        passed: bool,
        before: &Stats,
        after: &Stats,
    ) -> Result<(), String> {
        let direction = self.way.direction;
        // In monitor mode a drop is counted as what would have been.
        let read = |stats: &Stats, reason: &str, drops: bool| {
            if drops && self.way.monitor {
                stats.would("nic0", direction, reason)
            } else {
                stats.reason("nic0", direction, reason)
            }
        };
        let moved = |reason: &str, drops| read(after, reason, drops) - read(before, reason, drops);
        let rule = |description: &str| {
            let id = self.rules.get(description).unwrap_or_else(|| panic!("rule {description}"));
            let (a, b) = (after.rule(id), before.rule(id));
            let (c, d) = (after.rule_would_deny(id), before.rule_would_deny(id));
            (a - b) + (c - d)
        };
        let dropped = |reasons: &[&str]| reasons.iter().map(|r| moved(r, true)).sum::<u64>() == 1;
        let goes = passed || self.way.monitor;
        let right = match &case.expect {
            Expect::Rule(name) => passed && rule(name) == 1,
            Expect::Deny(name) => {
                passed == self.way.monitor && rule(name) == 1 && dropped(&["deny-rule"])
            }
            // The frame that ends a run is counted as always passed, and stacks send such ones too.
            Expect::Pass("always-passed") => passed && moved("always-passed", false) >= 2,
            Expect::Pass(reason) => passed && moved(reason, false) == 1,
            Expect::Drop(reasons) => passed == self.way.monitor && dropped(reasons),
            Expect::RuleOr(name, reason) => {
                passed && rule(name) == 1 || passed == self.way.monitor && dropped(&[reason])
            }
            Expect::DenyOr(name, reason) => {
                passed == self.way.monitor
                    && goes == passed
                    && (rule(name) == 1 || dropped(&[reason]))
            }
        };
        if right {
            return Ok(());
        }
        let moved: Vec<_> = after
            .all(direction)
            .into_iter()
            .filter_map(|(name, count)| {
                let old = before.all(direction).iter().find(|(n, _)| *n == name).map_or(0, |e| e.1);
                (count > old).then(|| format!("{name}+{}", count - old))
            })
            .collect();
        Err(format!("{} ({})", if passed { "passed" } else { "dropped" }, moved.join(" ")))
    }
}

/// A multicast or other address as text.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
