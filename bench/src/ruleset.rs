//! Rules in the form that the peers' own languages are written from.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use sg_ctl::bench::generate::group;
use sg_ctl::compile::Rule as Resolved;
use sg_ctl::policy::model::{Action, Policy, PortRange, Protocol, Rule};

use crate::styles::Style;

/// Packets of a protocol to a range of ports, from the addresses of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// Where they come from.
    pub net: Ipv4Net,
    /// What they are for.
    pub service: Service,
}

/// A protocol and a range of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    /// Number of the protocol; `None` = any.
    pub protocol: Option<u8>,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl Service {
    fn holds(self, protocol: u8, port: u16) -> bool {
        self.protocol.is_none_or(|own| own == protocol) && (self.first..=self.last).contains(&port)
    }

    /// Whether it says nothing about ports.
    #[must_use]
    pub fn all_ports(self) -> bool {
        (self.first, self.last) == (0, u16::MAX)
    }

    /// `80`, or `1024-2047`.
    #[must_use]
    pub fn ports(self, between: char) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}{between}{}", self.first, self.last)
        }
    }
}

/// The ingress rules of a generated policy: some addresses are denied everything, then the rest is
/// a union of what is allowed. All styles are of this form, so the order of rules has no meaning.
#[derive(Debug)]
pub struct Ruleset {
    /// Style.
    pub style: Style,
    /// Rules asked for.
    pub size: usize,
    /// The policy, for sg itself.
    pub policy: Policy,
    /// Its ingress rules, for the reference.
    pub rules: Vec<Resolved<'static>>,
    /// What is denied first.
    pub denied: Vec<Ipv4Net>,
    /// What is allowed then, in the order of the rules.
    pub allowed: Vec<Element>,
    /// What is allowed by prefix, and the lengths of prefixes that there are.
    services: HashMap<Ipv4Net, Vec<Service>>,
    lengths: Vec<u8>,
    denied_set: std::collections::HashSet<Ipv4Net>,
    denied_lengths: Vec<u8>,
}

/// The whole Internet.
#[must_use]
pub fn anywhere() -> Ipv4Net {
    Ipv4Net::default()
}

impl Ruleset {
    /// Makes the rules of a style.
    #[must_use]
    pub fn new(style: Style, size: usize) -> Self {
        Self::of(style, size, style.policy(size))
    }

    /// The rules of a style, and besides one for each of TCP and UDP that allows everybody a port.
    #[must_use]
    pub fn serving(style: Style, size: usize, port: u16) -> Self {
        let mut policy = style.policy(size);
        let served = [Protocol::TCP, Protocol::UDP].map(|protocol| Rule {
            protocol,
            ports: vec![PortRange::one(port)],
            ..Rule::default()
        });
        let rules = &mut policy.groups.entry(group()).or_default().ingress;
        served.into_iter().for_each(|rule| rules.push(rule));
        Self::of(style, size, policy)
    }

    fn of(style: Style, size: usize, policy: Policy) -> Self {
        let rules = sg_ctl::bench::generate::resolved(&policy).ingress;
        let rules: Vec<_> = rules.into_iter().map(Resolved::into_owned).collect();
        let (mut denied, mut allowed) = (Vec::new(), Vec::new());
        for rule in &rules {
            let nets: Vec<Ipv4Net> = match &rule.peers {
                None => vec![anywhere()],
                Some(peers) => peers
                    .parts()
                    .flatten()
                    .filter_map(|net| match net {
                        IpNet::V4(net) => Some(*net),
                        IpNet::V6(_) => None,
                    })
                    .collect(),
            };
            if rule.action == Action::Deny {
                denied.extend(nets);
                continue;
            }
            let protocol = match rule.protocol {
                Protocol::All => None,
                Protocol::Number(number) => Some(number),
            };
            for net in nets {
                if rule.ports.is_empty() {
                    let service = Service { protocol, first: 0, last: u16::MAX };
                    allowed.push(Element { net, service });
                }
                allowed.extend(rule.ports.iter().map(|ports| Element {
                    net,
                    service: Service { protocol, first: ports.first, last: ports.last },
                }));
            }
        }
        let mut services: HashMap<Ipv4Net, Vec<Service>> = HashMap::new();
        for element in &allowed {
            services.entry(element.net).or_default().push(element.service);
        }
        let lengths = lengths(services.keys());
        let denied_lengths = lengths_of(&denied);
        let denied_set = denied.iter().copied().collect();
        Self {
            style,
            size,
            policy,
            rules,
            denied,
            allowed,
            services,
            lengths,
            denied_set,
            denied_lengths,
        }
    }

    /// Whether an address is denied everything.
    #[must_use]
    pub fn denies(&self, address: Ipv4Addr) -> bool {
        prefixes(address, &self.denied_lengths).any(|net| self.denied_set.contains(&net))
    }

    /// Whether a packet passes. The reference says the same (see the tests), rule by rule.
    #[must_use]
    pub fn allows(&self, address: Ipv4Addr, protocol: u8, port: u16) -> bool {
        let holds = |services: &Vec<Service>| services.iter().any(|s| s.holds(protocol, port));
        !self.denies(address)
            && prefixes(address, &self.lengths)
                .any(|net| self.services.get(&net).is_some_and(holds))
    }

    /// What is allowed, without what a prefix repeats of a shorter one around it, port by port: sets
    /// refuse elements that overlap in part. Two elements hold the same packet only where the one of
    /// the longer prefix is for any protocol.
    #[must_use]
    pub fn disjoint(&self) -> Vec<Element> {
        let mut found = Vec::new();
        for (net, own) in &self.services {
            let outer: Vec<Service> = prefixes(net.addr(), &self.lengths)
                .filter(|outer| outer.prefix_len() < net.prefix_len())
                .filter_map(|outer| self.services.get(&outer))
                .flatten()
                .copied()
                .collect();
            found.extend(
                without(own, &outer).into_iter().map(|service| Element { net: *net, service }),
            );
        }
        found.sort_unstable();
        found
    }

    /// The services of each prefix, those of the prefixes around it included.
    #[must_use]
    pub fn flattened(&self) -> BTreeMap<Ipv4Net, Vec<Service>> {
        let all = |net: &Ipv4Net| {
            let inside: Vec<Service> = prefixes(net.addr(), &self.lengths)
                .filter(|outer| outer.prefix_len() <= net.prefix_len())
                .filter_map(|outer| self.services.get(&outer))
                .flatten()
                .copied()
                .collect();
            without(&inside, &[])
        };
        self.services.keys().map(|net| (*net, all(net))).collect()
    }

    /// Prefixes by what is allowed to them.
    #[must_use]
    pub fn by_service(&self) -> BTreeMap<Service, Vec<Ipv4Net>> {
        let mut groups: BTreeMap<Service, Vec<Ipv4Net>> = BTreeMap::new();
        for element in &self.allowed {
            groups.entry(element.service).or_default().push(element.net);
        }
        groups
    }
}

fn lengths<'a>(nets: impl Iterator<Item = &'a Ipv4Net>) -> Vec<u8> {
    let mut lengths: Vec<u8> = nets.map(Ipv4Net::prefix_len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

fn lengths_of(nets: &[Ipv4Net]) -> Vec<u8> {
    lengths(nets.iter())
}

/// The prefixes of an address that have these lengths.
fn prefixes(address: Ipv4Addr, lengths: &[u8]) -> impl Iterator<Item = Ipv4Net> {
    lengths.iter().map(move |length| Ipv4Net::new_assert(address, *length).trunc())
}

/// The ports of `own` that are not in `outer`, as disjoint ranges. What is for any protocol has all
/// ports and hides every other service; it is not cut where `outer` has one of a protocol.
fn without(own: &[Service], outer: &[Service]) -> Vec<Service> {
    let everything = |services: &[Service]| services.iter().any(|s| s.protocol.is_none());
    if everything(outer) {
        return Vec::new();
    }
    if everything(own) {
        return vec![Service { protocol: None, first: 0, last: u16::MAX }];
    }
    let mut found = Vec::new();
    let mut protocols: Vec<u8> = own.iter().filter_map(|service| service.protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();
    for protocol in protocols {
        let ranges = |services: &[Service]| {
            let mut ranges: Vec<(u32, u32)> = services
                .iter()
                .filter(|service| service.protocol == Some(protocol))
                .map(|service| (u32::from(service.first), u32::from(service.last)))
                .collect();
            ranges.sort_unstable();
            ranges
        };
        let holes = ranges(outer);
        // Of the ranges in order, each from the first port that no earlier one has.
        let mut next = 0;
        for (first, last) in ranges(own) {
            let mut at = first.max(next);
            next = next.max(last + 1);
            for (from, to) in &holes {
                if *to < at || *from > last {
                    continue;
                }
                if *from > at {
                    found.push((protocol, at, from - 1));
                }
                at = at.max(to + 1);
            }
            if at <= last {
                found.push((protocol, at, last));
            }
        }
    }
    found
        .into_iter()
        .map(|(protocol, first, last)| Service {
            protocol: Some(protocol),
            first: first as u16,
            last: last as u16,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sg_common::classifier::Kind;
    use sg_common::verdict::Direction;
    use sg_ctl::bench::trace::{Mix, draw};
    use sg_ctl::compile::reference;

    use super::*;

    const EVERYTHING: Mix = Mix { hits: 400, edges: 400 };

    /// Packets of which about half pass.
    fn sample(set: &Ruleset) -> Vec<(Ipv4Addr, u8, u16)> {
        draw(&set.rules, Direction::Ingress, EVERYTHING, 3000, 5)
            .into_iter()
            .filter_map(|probe| match probe.source {
                std::net::IpAddr::V4(source) => {
                    Some((source, probe.protocol, probe.destination_port))
                }
                std::net::IpAddr::V6(_) => None,
            })
            .filter(|(_, protocol, _)| matches!(protocol, 6 | 17))
            .collect()
    }

    fn sets() -> Vec<Ruleset> {
        Style::ALL.into_iter().map(|style| Ruleset::new(style, 400)).collect()
    }

    #[test]
    fn every_form_says_what_the_reference_says() {
        for set in sets() {
            let disjoint = set.disjoint();
            let flattened = set.flattened();
            for (address, protocol, port) in sample(&set) {
                let kind = if protocol == 6 { Kind::Tcp } else { Kind::Udp };
                let said = reference::decide(&set.rules, address.into(), kind, port)
                    .is_some_and(|rule| rule.action == Action::Allow);
                let packet = format!("{}: {address} {protocol} {port}", set.style);
                assert_eq!(set.allows(address, protocol, port), said, "{packet}");

                let denied = set.denies(address);
                let holding: Vec<&Element> = disjoint
                    .iter()
                    .filter(|e| e.net.contains(&address) && e.service.holds(protocol, port))
                    .collect();
                assert_eq!(!holding.is_empty() && !denied, said, "{packet}");
                let of_one = holding.iter().filter(|one| one.service.protocol.is_some());
                assert!(of_one.count() <= 1, "{packet}: {holding:?}");

                let longest = flattened
                    .iter()
                    .filter(|(net, _)| net.contains(&address))
                    .max_by_key(|(net, _)| net.prefix_len());
                let holds = longest
                    .is_some_and(|(_, services)| services.iter().any(|s| s.holds(protocol, port)));
                assert_eq!(holds && !denied, said, "{packet}");
            }
        }
    }

    #[test]
    fn everybody_is_allowed_the_served_port() {
        let (bare, serving) =
            (Ruleset::new(Style::Random, 100), Ruleset::serving(Style::Random, 100, 5201));
        assert_eq!(serving.rules.len(), bare.rules.len() + 2);
        let address = Ipv4Addr::new(10, 77, 1, 1);
        for protocol in [6, 17] {
            assert!(serving.allows(address, protocol, 5201));
            assert!(!bare.allows(address, protocol, 5201));
        }
    }

    #[test]
    fn ranges_are_cut_where_others_have_the_ports() {
        let tcp = |first, last| Service { protocol: Some(6), first, last };
        assert_eq!(without(&[tcp(10, 20), tcp(15, 30)], &[]), [tcp(10, 20), tcp(21, 30)]);
        assert_eq!(
            without(&[tcp(10, 30)], &[tcp(12, 14), tcp(30, 40)]),
            [tcp(10, 11), tcp(15, 29)]
        );
        assert_eq!(without(&[tcp(10, 30)], &[tcp(0, u16::MAX)]), []);
    }
}
