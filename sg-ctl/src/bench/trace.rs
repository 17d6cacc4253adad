//! Packets drawn from the rules of a policy: hits, misses, and what lies at the edges of rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use ipnet::IpNet;
use sg_common::verdict::Direction;

use crate::compile::{Peers, Rule};
use crate::host::Probe;
use crate::policy::model::Protocol;

/// The protected side: of the addresses for documentation (RFC 5737, RFC 3849).
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// TCP's ACK, as every packet of an open connection has it.
const ACK: u8 = 16;

/// First port of those that clients take (RFC 6335 section 6).
const FIRST_CLIENT_PORT: u16 = 49152;

/// How many of a thousand packets are of which kind; the rest are misses: any address, any port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// An address and a port that a rule names.
    pub hits: u32,
    /// The first or last of them, or the next one outside.
    pub edges: u32,
}

impl Mix {
    /// What a busy interface sees: mostly what its rules are for.
    pub const USUAL: Self = Self { hits: 800, edges: 100 };
    /// Nothing but hits.
    pub const HITS: Self = Self { hits: 1000, edges: 0 };
}

/// Draws `count` packets in one direction. Rules are chosen evenly, and so are the prefixes of a
/// rule. Without rules all packets are misses.
#[must_use]
pub fn draw(
    rules: &[Rule<'_>],
    direction: Direction,
    mix: Mix,
    count: usize,
    seed: u64,
) -> Vec<Probe> {
    let mut random = Rng::with_seed(seed);
    let v6 = rules.iter().any(|rule| peers(rule).any(|net| net.addr().is_ipv6()));
    let v4 = !v6 || rules.iter().any(|rule| peers(rule).any(|net| net.addr().is_ipv4()));
    (0..count)
        .map(|_| {
            let kind = random.u32(0..1000);
            let probe = match random.choice(rules) {
                Some(rule) if kind < mix.hits => hit(rule, false, &mut random),
                Some(rule) if kind < mix.hits + mix.edges => hit(rule, true, &mut random),
                _ => None,
            };
            let drawn = probe.unwrap_or_else(|| Drawn {
                address: anywhere(if v4 && v6 { random.bool() } else { v6 }, &mut random),
                protocol: if random.bool() { 6 } else { 17 },
                port: random.u16(..),
                icmp: (8, 0),
            });
            drawn.probe(direction, &mut random)
        })
        .collect()
}

fn peers<'r>(rule: &'r Rule<'_>) -> impl Iterator<Item = &'r IpNet> {
    rule.peers.iter().flat_map(Peers::parts).flatten()
}

/// What a rule speaks of.
struct Drawn {
    address: IpAddr,
    protocol: u8,
    port: u16,
    icmp: (u8, u8),
}

fn anywhere(v6: bool, random: &mut Rng) -> IpAddr {
    if v6 {
        // Global unicast (RFC 4291 section 2.4).
        IpAddr::V6((1 << 125 | random.u128(..) >> 3).into())
    } else {
        // Neither of this network nor loopback nor multicast: those never come to the rules.
        let mut address = random.u32(0x0100_0000..0xe000_0000);
        if address >> 24 == 127 {
            address += 1 << 24;
        }
        IpAddr::V4(address.into())
    }
}

/// An address of a prefix; at the edge, its first or last, or the one before or behind.
fn address_in(net: &IpNet, edge: bool, random: &mut Rng) -> IpAddr {
    let step = |first: u128, last: u128, random: &mut Rng| match random.u8(0..4) {
        0 => first,
        1 => last,
        2 => first.saturating_sub(1),
        _ => last.saturating_add(1),
    };
    match net {
        IpNet::V4(net) => {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            let address = match edge {
                false => random.u32(first..=last),
                true => step(first.into(), last.into(), random).min(u32::MAX.into()) as u32,
            };
            IpAddr::V4(address.into())
        }
        IpNet::V6(net) => {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            let address = match edge {
                false => random.u128(first..=last),
                true => step(first, last, random),
            };
            IpAddr::V6(address.into())
        }
    }
}

/// A packet that a rule is for, or one at its edge. `None` for a rule whose peers are nobody.
fn hit(rule: &Rule<'_>, edge: bool, random: &mut Rng) -> Option<Drawn> {
    let v6_only = matches!(rule.protocol, Protocol::Number(58));
    let address = match &rule.peers {
        None => anywhere(v6_only, random),
        Some(peers) => {
            let total: usize = peers.parts().map(<[_]>::len).sum();
            let mut place = random.usize(0..total.max(1));
            let net = peers.parts().find_map(|part| {
                let found = part.get(place);
                place = place.wrapping_sub(part.len());
                found
            })?;
            address_in(net, edge && random.bool(), random)
        }
    };
    let protocol = match rule.protocol {
        Protocol::Number(number) => number,
        Protocol::All => *random.choice(&[6, 17])?,
    };
    let port = match random.choice(rule.ports.iter()) {
        None => random.u16(..),
        Some(range) if !edge => random.u16(range.first..=range.last),
        Some(range) => *random.choice(&[
            range.first,
            range.last,
            range.first.saturating_sub(1),
            range.last.saturating_add(1),
        ])?,
    };
    let echo = if v6_only { 128 } else { 8 };
    let icmp = rule.icmp.map_or((echo, 0), |(kind, code)| (kind, code.unwrap_or(0)));
    Some(Drawn { address, protocol, port, icmp })
}

impl Drawn {
    fn probe(&self, direction: Direction, random: &mut Rng) -> Probe {
        let local = if self.address.is_ipv6() { LOCAL6.into() } else { LOCAL.into() };
        let (source, destination) = match direction {
            Direction::Ingress => (self.address, local),
            Direction::Egress => (local, self.address),
        };
        Probe {
            interface: String::new(),
            direction,
            protocol: self.protocol,
            source,
            destination,
            source_port: random.u16(FIRST_CLIENT_PORT..),
            destination_port: self.port,
            icmp_type: self.icmp.0,
            icmp_code: self.icmp.1,
            tcp_flags: ACK,
            with_state: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sg_common::classifier::Kind;

    use super::*;
    use crate::compile::reference;
    use crate::policy::model::{Action, PortRange, RuleId};

    fn rule(net: &str, first: u16, last: u16) -> Rule<'static> {
        Rule {
            id: RuleId(1),
            slot: 1,
            action: Action::Allow,
            priority: 100,
            protocol: Protocol::Number(6),
            ports: vec![PortRange { first, last }].into(),
            icmp: None,
            block: false,
            peers: Some(vec![Arc::from([net.parse().unwrap()])].into()),
        }
    }

    #[test]
    fn hits_hit_and_edges_do_both() {
        for net in ["198.51.100.0/24", "2001:db8:1::/48", "0.0.0.0/0", "255.255.255.255/32"] {
            let rules = [rule(net, 1000, 2000)];
            let matched = |probe: &Probe| {
                let peer = probe.source;
                reference::decide(&rules, peer, Kind::Tcp, probe.destination_port).is_some()
            };
            let hits = draw(&rules, Direction::Ingress, Mix::HITS, 500, 1);
            assert!(hits.iter().all(matched), "{net}");
            let edges = draw(&rules, Direction::Ingress, Mix { hits: 0, edges: 1000 }, 500, 1);
            let inside = edges.iter().filter(|probe| matched(probe)).count();
            assert!((50..450).contains(&inside), "{net}: {inside}");
        }
    }

    #[test]
    fn the_peer_is_at_the_far_end() {
        let rules = [rule("198.51.100.7/32", 80, 80)];
        let peer: IpAddr = "198.51.100.7".parse().unwrap();
        for (direction, own) in [(Direction::Ingress, 0), (Direction::Egress, 1)] {
            for probe in draw(&rules, direction, Mix::HITS, 20, 1) {
                let ends = [probe.source, probe.destination];
                assert_eq!((ends[own], ends[1 - own]), (peer, LOCAL.into()));
                assert_eq!(probe.destination_port, 80);
            }
        }
    }

    #[test]
    fn without_rules_everything_is_a_miss_and_a_seed_gives_one_trace() {
        let draw = |seed| -> Vec<(IpAddr, u16)> {
            let probes = draw(&[], Direction::Ingress, Mix::USUAL, 300, seed);
            probes.iter().map(|probe| (probe.source, probe.destination_port)).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let IpAddr::V4(first) = draw(1)[0].0 else { panic!("no IPv4 address") };
        assert!(!first.is_loopback() && !first.is_multicast());
    }
}
