//! The compiled image against the linear reference.

mod cases;
mod damage;
mod explained;
mod linear;
mod random;
mod size;
mod styles;
mod trees;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sg_common::classifier::{Kind, Reverse};

use super::elements::KINDS;
use super::{Image, Peers, reference};
use crate::policy::model::{Action, PortRange, Protocol, RuleId};

/// Rules of tests own what they name.
type Rule = super::Rule<'static>;

/// A rule in a few words; its slot and id come from [`number`].
fn rule(action: Action, protocol: Protocol, ports: &[(u16, u16)], peers: &[&str]) -> Rule {
    let nets: Vec<IpNet> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    Rule {
        id: RuleId(0),
        slot: 0,
        block: false,
        action,
        priority: 1000,
        protocol,
        ports: ports.iter().map(|(first, last)| PortRange { first: *first, last: *last }).collect(),
        icmp: None,
        peers: (!peers.is_empty()).then(|| one_list(nets)).flatten(),
    }
}

fn allow(protocol: u8, ports: &[(u16, u16)], peers: &[&str]) -> Rule {
    rule(Action::Allow, Protocol::Number(protocol), ports, peers)
}

fn deny(protocol: u8, ports: &[(u16, u16)], peers: &[&str]) -> Rule {
    rule(Action::Deny, Protocol::Number(protocol), ports, peers)
}

fn allow_all() -> Rule {
    Rule { priority: 65535, ..rule(Action::Allow, Protocol::All, &[], &[]) }
}

fn number(mut rules: Vec<Rule>) -> Vec<Rule> {
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.slot = index as u32 + 1;
        rule.id = RuleId(1000 + index as u128);
    }
    rules
}

fn one_list(nets: impl IntoIterator<Item = IpNet>) -> Option<Peers<'static>> {
    Some(vec![nets.into_iter().collect()].into())
}

/// Types that a mirrored ICMP packet has.
fn counterpart(v6: bool, icmp: u16) -> Option<u16> {
    Some(match (v6, icmp) {
        (false, 0) => 8,
        (false, 8) => 0,
        (false, 13 | 15 | 17) => icmp + 1,
        (false, 14 | 16 | 18) => icmp - 1,
        (true, 128 | 139) => icmp + 1,
        (true, 129 | 140) => icmp - 1,
        _ => return None,
    })
}

/// Keys at every edge of every rule, one before and one after.
fn keys(rules: &[Rule], kind: Kind) -> Vec<u16> {
    let mut keys = vec![0, 1, u16::MAX - 1, u16::MAX];
    match kind {
        Kind::Tcp | Kind::Udp | Kind::Sctp => {
            for range in rules.iter().flat_map(|rule| rule.ports.iter()) {
                keys.extend([
                    range.first.saturating_sub(1),
                    range.first,
                    range.first.saturating_add(1),
                    range.last.saturating_sub(1),
                    range.last,
                    range.last.saturating_add(1),
                ]);
            }
        }
        Kind::Icmp => {
            for (icmp, code) in rules.iter().filter_map(|rule| rule.icmp) {
                let first = u16::from(icmp) << 8 | u16::from(code.unwrap_or(0));
                let last = u16::from(icmp) << 8 | u16::from(code.unwrap_or(255));
                keys.extend([first.saturating_sub(1), first, first.saturating_add(1)]);
                keys.extend([last.saturating_sub(1), last, last.saturating_add(1)]);
            }
            let mirrored = [0, 8, 13, 14, 15, 16, 17, 18, 128, 129, 139, 140, 255];
            keys.extend(mirrored.map(|icmp: u16| icmp << 8));
        }
        Kind::Other => {
            keys = vec![0, 1, 6, 17, 58, 132, 255];
            for rule in rules {
                if let Protocol::Number(number) = rule.protocol {
                    let number = u16::from(number);
                    keys.extend([number.saturating_sub(1), number, (number + 1).min(255)]);
                }
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Addresses at every edge of every prefix, one before and one after.
fn addresses(rules: &[Rule]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = ["0.0.0.0", "255.255.255.255", "192.0.2.1", "::", "::ffff:10.1.2.3"]
        .into_iter()
        .chain(["2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
        .map(|address| address.parse().unwrap())
        .collect();
    for net in rules.iter().flat_map(|rule| &rule.peers).flat_map(Peers::parts).flatten() {
        match net {
            IpNet::V4(net) => {
                for edge in [net.network().to_bits(), net.broadcast().to_bits()] {
                    let around = [edge.wrapping_sub(1), edge, edge.wrapping_add(1)];
                    all.extend(around.map(|address| IpAddr::V4(address.into())));
                }
            }
            IpNet::V6(net) => {
                for edge in [net.network().to_bits(), net.broadcast().to_bits()] {
                    let around = [edge.wrapping_sub(1), edge, edge.wrapping_add(1)];
                    all.extend(around.map(|address| IpAddr::V6(address.into())));
                }
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn allows(rules: &[Rule], peer: IpAddr, kind: Kind, key: u16) -> bool {
    reference::decide(rules, peer, kind, key).is_some_and(|rule| rule.action == Action::Allow)
}

/// Verdict and deciding rule of one packet.
fn check(image: &Image, own: &[Rule], peer: IpAddr, kind: Kind, key: u16) {
    let found = image.decide(peer, kind, key);
    let expected = reference::decide(own, peer, kind, key);
    let what = || format!("{peer} {kind:?} {key}: {found:?}, expected {expected:?}");
    assert_eq!(found.slot(), expected.map_or(0, |rule| rule.slot), "{}", what());
    assert_eq!(found.is_rule(), expected.is_some(), "{}", what());
    let allowed = expected.is_some_and(|rule| rule.action == Action::Allow);
    assert_eq!(found.allows(), allowed, "{}", what());
}

/// The hints at an address, for these keys of a kind.
fn check_hints(
    image: &Image,
    own: &[Rule],
    other: &[Rule],
    peer: IpAddr,
    kind: Kind,
    keys: &[u16],
) {
    let every = |rules, allowed| {
        super::tests::keys(rules, kind)
            .into_iter()
            .all(|key| allows(rules, peer, kind, key) == allowed)
    };
    let (whole, open, closed) = (every(own, true), every(other, true), every(other, false));
    for key in keys {
        let found = image.decide(peer, kind, *key);
        let what = || format!("{peer} {kind:?} {key}: {found:?}");
        match kind {
            // Of a protocol without ports a packet is the whole.
            Kind::Other => assert_eq!(found.whole_kind_allowed(), found.allows(), "{}", what()),
            _ => assert!(!found.whole_kind_allowed() || whole, "{}", what()),
        }
        let open = match kind {
            Kind::Icmp => match counterpart(peer.is_ipv6(), key >> 8) {
                Some(mirrored) => allows(other, peer, kind, mirrored << 8),
                None => continue,
            },
            Kind::Other => allows(other, peer, kind, *key),
            _ => open,
        };
        let closed = if matches!(kind, Kind::Icmp | Kind::Other) { !open } else { closed };
        match found.reverse() {
            Reverse::Open => assert!(open, "{}", what()),
            Reverse::Closed => assert!(closed, "{}", what()),
            Reverse::Depends => {}
        }
    }
}

/// Everything at every edge.
fn check_all(image: &Image, own: &[Rule], other: &[Rule]) {
    let both: Vec<Rule> = own.iter().chain(other).cloned().collect();
    let keys = KINDS.map(|kind| keys(own, kind));
    for peer in addresses(&both) {
        // Rules of other addresses take no part.
        let here = |rules: &[Rule]| -> Vec<Rule> {
            let here = |rule: &&Rule| reference::holds(rule, peer);
            rules.iter().filter(here).cloned().collect()
        };
        let (own, other) = (here(own), here(other));
        for (kind, keys) in KINDS.into_iter().zip(&keys) {
            for key in keys {
                check(image, &own, peer, kind, *key);
            }
            check_hints(image, &own, &other, peer, kind, keys);
        }
    }
}
