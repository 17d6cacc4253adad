//! Policies for measurements, of a few styles and of any size.
//!
//! The same style, family, number of rules and seed give the same policy, in every process and on
//! every host. Rules lie in one group, [`group`]; no interface has it yet.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::policy::model::{
    Action, Group, Name, Policy, PortRange, PrefixList, Protocol, Rule, RuleId,
};
use crate::policy::resolve::{Resolved, resolve};

/// What the ingress rules of a policy look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Every rule allows a CIDR and a port range of its own, of TCP or UDP.
    Random,
    /// Many CIDRs, which share a few combinations of TCP ports.
    Web,
    /// One prefix list is denied everything, before everybody is allowed HTTP and HTTPS. Each of
    /// its entries counts as a rule.
    Blocklist,
    /// Nested prefixes with deny and allow by turns, several priorities, protocols and ranges.
    Mixed,
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 4] = [Self::Random, Self::Web, Self::Blocklist, Self::Mixed];

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Web => "web",
            Self::Blocklist => "blocklist",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Style {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|style| style.name() == text);
        found.ok_or_else(|| format!("there is no style \"{text}\""))
    }
}

/// The addresses that a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: prefixes of 24 to 32 bits in 1.0.0.0 to 223.255.255.255.
    V4,
    /// IPv6: prefixes of 48 to 64 bits, and whole addresses, in 2000::/3.
    V6,
}

/// Attempts at a rule that is not there yet; after them the policy stays smaller than asked for.
const ATTEMPTS: usize = 1000;

/// Name of the one group.
#[must_use]
pub fn group() -> Name {
    Name("bench".into())
}

/// Name of the prefix list of [`Style::Blocklist`].
#[must_use]
pub fn blocklist() -> Name {
    Name("blocklist".into())
}

/// A policy with so many ingress rules (of [`Style::Blocklist`]: entries), and open egress.
///
/// Time and memory are linear in `rules`. Nothing is checked against the limits of a policy.
#[must_use]
pub fn generate(style: Style, family: Family, rules: usize, seed: u64) -> Policy {
    let mut source = Source { rng: Rng::with_seed(seed), family };
    let mut policy = Policy::default();
    let mut made = Group::default();
    match style {
        Style::Random => {
            made.ingress = distinct(rules, || {
                let net = source.net();
                (net, net)
            })
            .into_iter()
            .map(|net| source.random_rule(net))
            .collect();
        }
        Style::Web => {
            made.ingress = distinct(rules, || {
                let net = source.net();
                (net, net)
            })
            .into_iter()
            .map(|net| source.web_rule(net))
            .collect();
        }
        Style::Blocklist => {
            let mut entries = distinct(rules, || {
                let net = source.net();
                (net, net)
            });
            entries.sort_unstable();
            policy.prefix_lists.insert(
                blocklist(),
                PrefixList { entries: entries.into(), ..PrefixList::default() },
            );
            made.ingress = vec![
                Rule {
                    action: Action::Deny,
                    priority: 10,
                    prefix_lists: vec![blocklist()],
                    ..Rule::default()
                },
                Rule {
                    protocol: Protocol::TCP,
                    ports: vec![PortRange::one(80), PortRange::one(443)],
                    ..Rule::default()
                },
            ]
            .into();
        }
        Style::Mixed => {
            // Places around which prefixes nest; a few rules each.
            let places: Vec<IpNet> = (0..rules / 8 + 1).map(|_| source.host()).collect();
            made.ingress = distinct(rules, || {
                let rule = source.mixed_rule(&places);
                let key = (
                    (rule.action == Action::Deny, rule.priority, rule.protocol),
                    (rule.ports.clone(), rule.icmp_type, rule.cidrs.clone()),
                );
                (key, rule)
            })
            .into();
        }
    }
    policy.groups.insert(group(), made.with_default_egress());
    policy
}

/// The rules of a generated policy as the compiler takes them, with counter slots from 1 on.
#[must_use]
pub fn resolved(policy: &Policy) -> Resolved<'_> {
    let mut resolved = resolve(policy, &[group()], &BTreeMap::new(), |_: RuleId| 0);
    let all = resolved.ingress.iter_mut().chain(&mut resolved.egress);
    for (rule, slot) in all.zip(1..) {
        rule.slot = slot;
    }
    resolved
}

/// So many values whose keys differ.
fn distinct<K, T>(count: usize, mut make: impl FnMut() -> (K, T)) -> Vec<T>
where
    K: Eq + std::hash::Hash,
{
    let mut seen = HashSet::with_capacity(count);
    let mut all = Vec::with_capacity(count);
    let mut failed = 0;
    while all.len() < count && failed < ATTEMPTS {
        let (key, value) = make();
        if seen.insert(key) {
            all.push(value);
            failed = 0;
        } else {
            failed += 1;
        }
    }
    all
}

/// Random parts of rules.
struct Source {
    rng: Rng,
    family: Family,
}

impl Source {
    /// A whole address.
    fn host(&mut self) -> IpNet {
        match self.family {
            Family::V4 => self.v4(32),
            Family::V6 => self.v6(128),
        }
    }

    /// A prefix of one of the usual lengths.
    fn net(&mut self) -> IpNet {
        match self.family {
            Family::V4 => {
                let length = self.rng.u8(24..=32);
                self.v4(length)
            }
            Family::V6 => {
                let length = self.rng.u8(48..=65);
                self.v6(if length == 65 { 128 } else { length })
            }
        }
    }

    fn v4(&mut self, length: u8) -> IpNet {
        let bits = self.rng.u32(1 << 24..224 << 24);
        Ipv4Net::new_assert(bits.into(), length).trunc().into()
    }

    fn v6(&mut self, length: u8) -> IpNet {
        let bits = self.rng.u128(..) >> 3 | 1 << 125;
        Ipv6Net::new_assert(bits.into(), length).trunc().into()
    }

    /// One port, or a few in a row.
    fn ports(&mut self) -> PortRange {
        let first = self.rng.u16(1..);
        PortRange { first, last: first.saturating_add(self.rng.u16(0..8)) }
    }

    fn random_rule(&mut self, net: IpNet) -> Rule {
        let protocol = if self.rng.u8(0..4) == 0 { Protocol::UDP } else { Protocol::TCP };
        Rule { protocol, ports: vec![self.ports()], cidrs: vec![net], ..Rule::default() }
    }

    fn web_rule(&mut self, net: IpNet) -> Rule {
        const PORTS: [&[u16]; 5] = [&[80, 443], &[443], &[22], &[8080, 8443], &[22, 80, 443]];
        let ports = PORTS[self.rng.usize(0..PORTS.len())];
        let ports = ports.iter().copied().map(PortRange::one).collect();
        Rule { protocol: Protocol::TCP, ports, cidrs: vec![net], ..Rule::default() }
    }

    fn mixed_rule(&mut self, places: &[IpNet]) -> Rule {
        const V4: [u8; 7] = [8, 12, 16, 20, 24, 28, 32];
        const V6: [u8; 7] = [16, 32, 40, 48, 56, 64, 128];
        let place = places[self.rng.usize(0..places.len())];
        let step = self.rng.usize(0..V4.len());
        let length = if self.family == Family::V4 { V4[step] } else { V6[step] };
        let net = IpNet::new_assert(place.addr(), length).trunc();
        let icmp = if self.family == Family::V4 { Protocol::ICMP } else { Protocol::ICMPV6 };
        let mut rule = Rule {
            action: if self.rng.u8(0..5) == 0 { Action::Deny } else { Action::Allow },
            priority: [100, 500, 1000, 1000, 1000, 2000][self.rng.usize(0..6)],
            cidrs: vec![net],
            ..Rule::default()
        };
        match self.rng.u8(0..20) {
            0 => {}
            1 => rule.protocol = Protocol::Number(47),
            2 => {
                rule.protocol = icmp;
                rule.icmp_type = Some(self.rng.u8(..));
            }
            number => {
                rule.protocol = match number {
                    3..=4 => Protocol::SCTP,
                    5..=8 => Protocol::UDP,
                    _ => Protocol::TCP,
                };
                // Now and then every port, a wide range, or several.
                match self.rng.u8(0..10) {
                    0 => {}
                    1 => rule.ports.push(PortRange { first: 1024, last: u16::MAX }),
                    2..=3 => rule.ports.extend([PortRange::one(80), PortRange::one(443)]),
                    _ => rule.ports.push(self.ports()),
                }
            }
        }
        rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{check, valid};

    #[test]
    fn policies_are_valid_and_as_large_as_asked_for() {
        for style in Style::ALL {
            for family in [Family::V4, Family::V6] {
                for count in [0, 1, 10, 3000] {
                    let policy = generate(style, family, count, 7);
                    assert_eq!(check::errors(&policy), [], "{style} {family:?} {count}");
                    let group = &policy.groups[&group()];
                    assert!(group.ingress.iter().all(|rule| valid::faults(rule).is_empty()));
                    let entries = policy.prefix_lists.values().map(|list| list.entries.len());
                    let made = match style {
                        Style::Blocklist => entries.sum(),
                        _ => group.ingress.len(),
                    };
                    assert_eq!(made, count);
                    let rules = resolved(&policy);
                    assert_eq!(rules.ingress.len(), group.ingress.len());
                    assert_eq!(rules.egress.len(), 1);
                }
            }
        }
    }

    #[test]
    fn a_seed_makes_one_policy_and_another_seed_another() {
        for style in Style::ALL {
            let make = |seed| generate(style, Family::V4, 100, seed);
            assert_eq!(make(1), make(1));
            assert_ne!(make(1), make(2));
        }
    }

    #[test]
    fn styles_are_known_by_their_names() {
        for style in Style::ALL {
            assert_eq!(style.to_string().parse(), Ok(style));
        }
        assert!("other".parse::<Style>().is_err());
    }
}
