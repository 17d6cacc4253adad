//! Elements: one for each port range of each rule, in the order in which they decide at one
//! prefix.

use ipnet::IpNet;
use sg_common::classifier::Kind;

use super::Rule;
use crate::policy::model::{Action, PortRange, Protocol};
use crate::quick::Map;

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

/// Both families.
const BOTH: u8 = 3;

/// Calls `each` with what a rule selects, once for each port range.
fn selectors(rule: &Rule<'_>, mut each: impl FnMut(Selector, u8)) {
    let mut ports = |kind| {
        if rule.ports.is_empty() {
            each(Selector::One(kind, 0, u16::MAX), BOTH);
        }
        for PortRange { first, last } in rule.ports.iter() {
            each(Selector::One(kind, *first, *last), BOTH);
        }
    };
    match rule.protocol {
        Protocol::All => each(Selector::All, BOTH),
        Protocol::Number(TCP) => ports(Kind::Tcp),
        Protocol::Number(UDP) => ports(Kind::Udp),
        Protocol::Number(SCTP) => ports(Kind::Sctp),
        Protocol::Number(number @ (ICMP | ICMPV6)) => {
            let (first, last) = match rule.icmp {
                None => (0, u16::MAX),
                Some((kind, None)) => (u16::from(kind) << 8, u16::from(kind) << 8 | 0xff),
                Some((kind, Some(code))) => {
                    let key = u16::from(kind) << 8 | u16::from(code);
                    (key, key)
                }
            };
            each(Selector::One(Kind::Icmp, first, last), 1 << u8::from(number == ICMPV6));
        }
        Protocol::Number(number) => {
            each(Selector::One(Kind::Other, u16::from(number), u16::from(number)), BOTH);
        }
    }
}

/// Pairs of prefix and port range of a rule.
pub(super) fn count(rule: &Rule<'_>) -> u64 {
    let ranges = rule.ports.len().max(1) as u64;
    let prefixes =
        rule.peers.as_ref().map_or(1, |peers| peers.parts().map(|part| part.len() as u64).sum());
    ranges * prefixes
}

/// Priority and action as one number; the lowest decides. The rank of a decision: 0 is a block's
/// alone.
pub(super) fn rank(rule: &Rule<'_>) -> u32 {
    if rule.block {
        return 0;
    }
    (u32::from(rule.priority) + 1) << 1 | u32::from(rule.action == Action::Allow)
}

/// Order of elements that match at prefixes of the same length (spec §2.3) as far as it is not the
/// rules' ids: the least decides. 37 bits.
fn order(rule: &Rule<'_>, selector: Selector) -> u64 {
    let icmp = match rule.icmp {
        Some((_, Some(_))) => 0u64,
        Some((_, None)) => 1,
        None => 2,
    };
    let width = match selector {
        Selector::One(Kind::Tcp | Kind::Udp | Kind::Sctp, first, last) => last.wrapping_sub(first),
        _ => u16::MAX,
    };
    let all = u64::from(rule.protocol == Protocol::All);
    u64::from(rank(rule)) << 19 | all << 18 | icmp << 16 | u64::from(width)
}

/// Bits of a precedence for a rule's id, which has 68, below the 37 of [`order`].
const ID_BITS: u32 = 88;

const _: () = assert!(ID_BITS + 37 <= u128::BITS);

/// One port range of one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    /// What it matches.
    pub(super) selector: Selector,
    /// The families of whose packets it speaks: bit 0 IPv4, bit 1 IPv6.
    families: u8,
    /// Among elements at prefixes of the same length the least decides. Ranges of one rule, which say
    /// the same, may have the same.
    pub(super) precedence: u128,
    /// The decision: see [`sg_common::classifier::Decision`].
    pub(super) decision: u64,
}

impl Element {
    /// Whether it speaks of packets of a family.
    pub(super) const fn is_of(&self, v6: bool) -> bool {
        self.families >> v6 as u8 & 1 != 0
    }
}

/// The elements of all rules.
pub(super) struct Elements {
    all: Vec<Element>,
    /// For each rule the end of its part of `all`.
    ends: Vec<u32>,
}

impl Elements {
    /// Elements of these rules.
    pub(super) fn new(rules: &[Rule<'_>]) -> Self {
        let mut all = Vec::with_capacity(rules.len());
        let mut ends = Vec::with_capacity(rules.len());
        for rule in rules {
            let decision = decision(rule);
            let id = rule.id.0 & ((1 << ID_BITS) - 1);
            selectors(rule, |selector, families| {
                let precedence = u128::from(order(rule, selector)) << ID_BITS | id;
                all.push(Element { selector, families, precedence, decision });
            });
            ends.push(all.len() as u32);
        }
        Self { all, ends }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The elements of a rule.
    pub(super) fn of_rule(&self, rule: usize) -> &[Element] {
        let first = if rule == 0 { 0 } else { self.ends[rule - 1] };
        &self.all[first as usize..self.ends[rule] as usize]
    }
}

/// The decision that a rule makes.
fn decision(rule: &Rule<'_>) -> u64 {
    let allow = u64::from(rule.action == Action::Allow);
    u64::from(rank(rule)) << 32 | u64::from(rule.slot & 0x0fff_ffff) << 4 | allow
}

/// Networks that rules have in common.
pub(super) struct List<'a> {
    /// The networks; empty if `anywhere`.
    pub(super) networks: &'a [IpNet],
    /// Every address of both families.
    pub(super) anywhere: bool,
    /// The rules as a part of [`Peers::rules`]; a single rule itself, with [`ALONE`].
    rules: (u32, u32),
}

/// Stands for the end of a part that is a single rule.
const ALONE: u32 = u32::MAX;

/// All lists of networks, each with the rules that have it, so that its entries are looked at once.
pub(super) struct Peers<'a> {
    /// The lists, in the order in which rules name them.
    pub(super) lists: Vec<List<'a>>,
    rules: Vec<u32>,
}

impl<'a> Peers<'a> {
    /// The lists of these rules.
    pub(super) fn new(rules: &'a [Rule<'_>]) -> Self {
        let mut places: Map<(usize, usize), u32> = Map::default();
        let mut lists: Vec<List<'a>> = Vec::with_capacity(rules.len());
        // Each list with each rule that has it.
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            // What a rule names itself is no other rule's.
            if let Some(peers) = &rule.peers
                && !peers.own.is_empty()
            {
                pairs.push((lists.len() as u32, index as u32));
                lists.push(List { networks: &peers.own, anywhere: false, rules: (0, 1) });
            }
            let anywhere = rule.peers.is_none();
            let networks = rule.peers.iter().flat_map(|peers| &peers.lists).map(|list| &**list);
            let networks =
                networks.filter(|list| !list.is_empty()).chain(anywhere.then_some(&[][..]));
            for networks in networks {
                let address = if anywhere { 0 } else { networks.as_ptr() as usize };
                let next = lists.len() as u32;
                let place = *places.entry((address, networks.len())).or_insert(next);
                if place == next {
                    lists.push(List { networks, anywhere, rules: (0, 0) });
                }
                lists[place as usize].rules.1 += 1;
                pairs.push((place, index as u32));
            }
        }
        let mut end = 0;
        for list in &mut lists {
            let count = list.rules.1;
            list.rules = (end, end);
            if count == 1 {
                list.rules.1 = ALONE;
            } else {
                end += count;
            }
        }
        let mut of_lists = vec![0; end as usize];
        for (place, rule) in pairs {
            let part = &mut lists[place as usize].rules;
            if part.1 == ALONE {
                part.0 = rule;
            } else {
                of_lists[part.1 as usize] = rule;
                part.1 += 1;
            }
        }
        Self { lists, rules: of_lists }
    }

    /// The rules that have a list, ascending; one that names it twice comes twice.
    pub(super) fn rules(&self, list: u32) -> &[u32] {
        match &self.lists[list as usize].rules {
            (rule, ALONE) => std::slice::from_ref(rule),
            (first, end) => &self.rules[*first as usize..*end as usize],
        }
    }
}
