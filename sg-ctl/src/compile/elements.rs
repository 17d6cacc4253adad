//! Elements: one for each port range of each rule, in the order in which they decide at one
//! prefix.

use ipnet::IpNet;
use sg_common::classifier::Kind;

use super::Rule;
use super::sections::Map;
use crate::policy::model::{Action, PortRange, Protocol};

/// Protocol numbers that have kinds of their own.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Every kind, in the order of its number.
pub(super) const KINDS: [Kind; 5] = [Kind::Tcp, Kind::Udp, Kind::Sctp, Kind::Icmp, Kind::Other];

/// What an element matches besides addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Selector {
    /// Keys `first` to `last` of one kind.
    One(Kind, u16, u16),
    /// Everything.
    All,
}

impl Selector {
    /// The keys of a kind that this selects.
    pub(super) fn keys(self, kind: Kind) -> Option<(u16, u16)> {
        match self {
            Self::All => Some((0, u16::MAX)),
            Self::One(own, first, last) => (own == kind).then_some((first, last)),
        }
    }
}

/// What a rule selects: one selector for each port range. None if it matches no packet of this
/// family.
pub(super) fn selectors(rule: &Rule, v6: bool) -> Vec<Selector> {
    let ports = |kind| {
        if rule.ports.is_empty() {
            vec![Selector::One(kind, 0, u16::MAX)]
        } else {
            let one = |range: &PortRange| Selector::One(kind, range.first, range.last);
            rule.ports.iter().map(one).collect()
        }
    };
    let icmp = || {
        vec![match rule.icmp {
            None => Selector::One(Kind::Icmp, 0, u16::MAX),
            Some((kind, None)) => {
                Selector::One(Kind::Icmp, u16::from(kind) << 8, u16::from(kind) << 8 | 0xff)
            }
            Some((kind, Some(code))) => {
                let key = u16::from(kind) << 8 | u16::from(code);
                Selector::One(Kind::Icmp, key, key)
            }
        }]
    };
    match rule.protocol {
        Protocol::All => vec![Selector::All],
        Protocol::Number(TCP) => ports(Kind::Tcp),
        Protocol::Number(UDP) => ports(Kind::Udp),
        Protocol::Number(SCTP) => ports(Kind::Sctp),
        Protocol::Number(ICMP) if !v6 => icmp(),
        Protocol::Number(ICMPV6) if v6 => icmp(),
        Protocol::Number(ICMP | ICMPV6) => Vec::new(),
        Protocol::Number(number) => {
            vec![Selector::One(Kind::Other, u16::from(number), u16::from(number))]
        }
    }
}

/// Pairs of prefix and port range of a rule.
pub(super) fn count(rule: &Rule) -> u64 {
    let ranges = rule.ports.len().max(1) as u64;
    let prefixes =
        rule.peers.as_ref().map_or(1, |lists| lists.iter().map(|list| list.len() as u64).sum());
    ranges * prefixes
}

/// Priority and action as one number; the lowest decides. The rank of a decision: 0 is a block's
/// alone.
pub(super) fn rank(rule: &Rule) -> u32 {
    if rule.block {
        return 0;
    }
    (u32::from(rule.priority) + 1) << 1 | u32::from(rule.action == Action::Allow)
}

/// Order of elements that match at prefixes of the same length (spec §2.3): the least decides.
pub(super) fn order(rule: &Rule, selector: Selector) -> impl Ord + use<> {
    let icmp = match rule.icmp {
        Some((_, Some(_))) => 0u8,
        Some((_, None)) => 1,
        None => 2,
    };
    let width = match selector {
        Selector::One(Kind::Tcp | Kind::Udp | Kind::Sctp, first, last) => last.wrapping_sub(first),
        _ => u16::MAX,
    };
    (rank(rule), rule.protocol == Protocol::All, icmp, width, rule.id, rule.slot, selector)
}

/// One port range of one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    /// What it matches.
    pub(super) selector: Selector,
    /// The decision: see [`sg_common::classifier::Decision`].
    pub(super) decision: u64,
}

/// The elements of all rules that match packets of a family.
pub(super) struct Elements {
    /// In deciding order.
    pub(super) all: Vec<Element>,
    /// For each rule the places of its elements in `all`.
    of_rule: Vec<(u32, u32)>,
    places: Vec<u32>,
}

impl Elements {
    /// Elements of these rules.
    pub(super) fn new(rules: &[Rule], v6: bool) -> Self {
        let mut sorted = Vec::with_capacity(rules.len());
        let mut of_rule = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let first = sorted.len() as u32;
            for selector in selectors(rule, v6) {
                sorted.push((order(rule, selector), index as u32, sorted.len() as u32, selector));
            }
            of_rule.push((first, sorted.len() as u32));
        }
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut places = vec![0; sorted.len()];
        let mut all = Vec::with_capacity(sorted.len());
        for (_, index, place, selector) in sorted {
            places[place as usize] = all.len() as u32;
            all.push(Element { selector, decision: decision(&rules[index as usize]) });
        }
        Self { all, of_rule, places }
    }

    /// Places in [`Self::all`] of the elements of a rule.
    pub(super) fn of_rule(&self, rule: usize) -> &[u32] {
        let (first, end) = self.of_rule[rule];
        &self.places[first as usize..end as usize]
    }
}

/// The decision that a rule makes.
fn decision(rule: &Rule) -> u64 {
    let allow = u64::from(rule.action == Action::Allow);
    u64::from(rank(rule)) << 32 | u64::from(rule.slot & 0x0fff_ffff) << 4 | allow
}

/// Networks that rules have in common.
pub(super) struct Peers<'a> {
    /// The networks; empty slice stands for anywhere if `anywhere`.
    pub(super) networks: &'a [IpNet],
    /// Every address of both families.
    pub(super) anywhere: bool,
    /// The rules, ascending.
    pub(super) rules: Vec<u32>,
}

/// Puts rules together that share a list of networks, so that its entries are looked at once.
pub(super) fn peers(rules: &[Rule]) -> Vec<Peers<'_>> {
    let mut places: Map<(usize, usize), usize> = Map::default();
    let mut lists: Vec<Peers<'_>> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let anywhere = rule.peers.is_none();
        let networks = rule.peers.iter().flatten().map(|list| &list[..]);
        for networks in networks.filter(|list| !list.is_empty()).chain(anywhere.then_some(&[][..]))
        {
            let address = if anywhere { 0 } else { networks.as_ptr() as usize };
            let next = lists.len();
            let place = *places.entry((address, networks.len())).or_insert(next);
            if place == next {
                lists.push(Peers { networks, anywhere, rules: Vec::new() });
            }
            if lists[place].rules.last() != Some(&(index as u32)) {
                lists[place].rules.push(index as u32);
            }
        }
    }
    lists
}
