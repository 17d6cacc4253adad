//! The meaning of rules, rule by rule: slow, and so plain that it can be read beside the
//! specification (§2). The compiler is tested against it, and explanations are made of it.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;
use sg_common::classifier::Kind;

use super::{Peers, Rule};
use crate::policy::model::{Action, Protocol};

/// The rule that decides a packet, if any matches.
///
/// `key` is that of the kind: see [`Kind`].
#[must_use]
pub fn decide<'r, 'p>(
    rules: &'r [Rule<'p>],
    peer: IpAddr,
    kind: Kind,
    key: u16,
) -> Option<&'r Rule<'p>> {
    matches(rules, peer, kind, key).min_by_key(|(order, _)| *order).map(|(_, rule)| rule)
}

/// All rules that match a packet, the deciding one first.
#[must_use]
pub fn matching<'r, 'p>(
    rules: &'r [Rule<'p>],
    peer: IpAddr,
    kind: Kind,
    key: u16,
) -> Vec<&'r Rule<'p>> {
    let mut found: Vec<_> = matches(rules, peer, kind, key).collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, rule)| rule).collect()
}

/// How far a rule is from matching a packet. Smaller is nearer: fewer differences first, then a
/// wrong peer before a wrong port or ICMP type before a wrong protocol (a rule for the service that
/// was asked for says more than one for the peer that asked), then by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance {
    /// In how many of the three that follow it differs.
    pub differences: u8,
    /// The protocol differs. Ports are not compared then.
    pub protocol: bool,
    /// No port range holds the port: the distance to the nearest. For ICMP: 1 if only the code
    /// differs, 256 if the type does.
    pub key: Option<u16>,
    /// No peer of the rule holds the address: how many leading bits of the nearest peer differ from
    /// it (its prefix length less the bits in common), or 129 if the rule has no peer of this
    /// family.
    pub peer: Option<u8>,
}

/// The allow rule that comes nearest to matching a packet which no allow rule matches. A rule that
/// differs in everything is not near.
#[must_use]
pub fn near_miss<'r, 'p>(
    rules: &'r [Rule<'p>],
    peer: IpAddr,
    kind: Kind,
    key: u16,
) -> Option<(&'r Rule<'p>, Distance)> {
    let allows = rules.iter().filter(|rule| rule.action == Action::Allow);
    let near = allows.map(|rule| (distance(rule, peer, kind, key), rule));
    let near = near.filter(|(distance, _)| matches!(distance.differences, 1 | 2));
    let nearest = near.min_by_key(|(distance, rule)| (*distance, rule.priority, rule.id));
    nearest.map(|(distance, rule)| (rule, distance))
}

/// How far a rule is from matching a packet; without a difference it matches.
#[must_use]
pub fn distance(rule: &Rule<'_>, peer: IpAddr, kind: Kind, key: u16) -> Distance {
    let protocol = !protocol_matches(rule, peer.is_ipv6(), kind, key);
    let peer = (prefix(rule, peer).is_none()).then(|| peer_distance(rule, peer));
    let key = if protocol { None } else { key_distance(rule, kind, key) };
    let differences = u8::from(protocol) + u8::from(peer.is_some()) + u8::from(key.is_some());
    Distance { differences, protocol, peer, key }
}

/// What decides among matching rules: the least.
type Order = (bool, u16, bool, Reverse<u8>, bool, u8, u16, crate::policy::model::RuleId);

fn matches<'r, 'p>(
    rules: &'r [Rule<'p>],
    peer: IpAddr,
    kind: Kind,
    key: u16,
) -> impl Iterator<Item = (Order, &'r Rule<'p>)> {
    rules.iter().filter_map(move |rule| {
        let prefix = prefix(rule, peer)?;
        if !protocol_matches(rule, peer.is_ipv6(), kind, key) {
            return None;
        }
        let width = match kind {
            Kind::Tcp | Kind::Udp | Kind::Sctp => ports(rule, key)?,
            Kind::Icmp if key_distance(rule, kind, key).is_some() => return None,
            Kind::Icmp | Kind::Other => u16::MAX,
        };
        let icmp = match rule.icmp {
            Some((_, Some(_))) => 0,
            Some((_, None)) => 1,
            None => 2,
        };
        let allow = rule.action == Action::Allow;
        let all = rule.protocol == Protocol::All;
        let order = (!rule.block, rule.priority, allow, Reverse(prefix), all, icmp, width, rule.id);
        Some((order, rule))
    })
}

/// Whether one of the rule's peers holds the address.
#[must_use]
pub fn holds(rule: &Rule<'_>, peer: IpAddr) -> bool {
    prefix(rule, peer).is_some()
}

/// Length of the longest peer that holds the address.
fn prefix(rule: &Rule<'_>, peer: IpAddr) -> Option<u8> {
    let Some(peers) = &rule.peers else { return Some(0) };
    let nets = peers.parts().flatten();
    nets.filter(|net| net.contains(&peer)).map(IpNet::prefix_len).max()
}

/// Width less one of the narrowest port range that holds the port; all ports if the rule has none.
fn ports(rule: &Rule<'_>, port: u16) -> Option<u16> {
    if rule.ports.is_empty() {
        return Some(u16::MAX);
    }
    let around = rule.ports.iter().filter(|range| (range.first..=range.last).contains(&port));
    around.map(|range| range.last - range.first).min()
}

fn protocol_matches(rule: &Rule<'_>, v6: bool, kind: Kind, key: u16) -> bool {
    let Protocol::Number(number) = rule.protocol else { return true };
    match kind {
        Kind::Tcp => number == 6,
        Kind::Udp => number == 17,
        Kind::Sctp => number == 132,
        Kind::Icmp => number == if v6 { 58 } else { 1 },
        // ICMP over IPv6 and ICMPv6 over IPv4 are matched by `all` alone.
        Kind::Other => u16::from(number) == key && !matches!(number, 1 | 6 | 17 | 58 | 132),
    }
}

fn key_distance(rule: &Rule<'_>, kind: Kind, key: u16) -> Option<u16> {
    match (kind, rule.icmp) {
        (Kind::Tcp | Kind::Udp | Kind::Sctp, _) => {
            let far = |first: u16, last: u16| {
                if key < first { first - key } else { key.saturating_sub(last) }
            };
            let nearest = rule.ports.iter().map(|range| far(range.first, range.last)).min();
            nearest.filter(|distance| *distance != 0)
        }
        (Kind::Icmp, Some((icmp, code))) => {
            if key >> 8 != u16::from(icmp) {
                Some(256)
            } else {
                code.filter(|code| u16::from(*code) != key & 0xff).map(|_| 1)
            }
        }
        (Kind::Icmp | Kind::Other, _) => None,
    }
}

fn peer_distance(rule: &Rule<'_>, peer: IpAddr) -> u8 {
    let nets = rule.peers.iter().flat_map(Peers::parts).flatten();
    let common = |net: &IpNet| match (net, peer) {
        (IpNet::V4(net), IpAddr::V4(peer)) => {
            let same = (net.network().to_bits() ^ peer.to_bits()).leading_zeros() as u8;
            Some(net.prefix_len().saturating_sub(same))
        }
        (IpNet::V6(net), IpAddr::V6(peer)) => {
            let same = (net.network().to_bits() ^ peer.to_bits()).leading_zeros() as u8;
            Some(net.prefix_len().saturating_sub(same))
        }
        _ => None,
    };
    nets.filter_map(common).min().unwrap_or(129)
}
