//! The rules of one policy (all groups of an interface, and the blocks) with their peers resolved: what the
//! compiler works on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::canonical::{self, Parts};
use super::check::rules;
use super::model::{Direction, Group, Name, Policy, RuleId};
use crate::compile;

/// The two halves of one policy.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Rules for packets towards the protected side.
    pub ingress: Vec<compile::Rule>,
    /// Rules for packets away from it.
    pub egress: Vec<compile::Rule>,
}

impl Resolved {
    /// How many of both are rules of groups, not blocks.
    #[must_use]
    pub fn of_groups(&self) -> usize {
        self.ingress.iter().chain(&self.egress).filter(|rule| !rule.block).count()
    }

    /// The rules of a direction.
    #[must_use]
    pub fn of(&self, direction: Direction) -> &[compile::Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// The ids of all rules of a policy. They are dear, so a command makes them once.
#[derive(Clone, Debug, Default)]
pub struct RuleIds {
    /// Ids of the rules as they stand: group by group, ingress first.
    ids: Vec<RuleId>,
    /// For each group the place of its first rule.
    first: BTreeMap<Name, usize>,
    /// Places by id.
    sorted: Vec<u32>,
}

impl RuleIds {
    /// The ids of the rules of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self::of_groups(policy.groups.iter())
    }

    fn of_groups<'p>(groups: impl Iterator<Item = (&'p Name, &'p Group)>) -> Self {
        let mut all = Self::default();
        for (name, group) in groups {
            all.first.insert(name.clone(), all.ids.len());
            let of_rule = |(direction, _, rule)| RuleId::of(name, direction, rule);
            all.ids.extend(rules(group).map(of_rule));
        }
        let mut sorted: Vec<(RuleId, u32)> = all.ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        all.sorted = sorted.into_iter().map(|(_, place)| place).collect();
        all
    }

    /// All of them, ascending.
    pub fn sorted(&self) -> impl Iterator<Item = RuleId> {
        self.sorted.iter().map(|place| self.ids[*place as usize])
    }

    /// The counter slot of each rule, by its place; 0 where `slots`, which ascend by id, have none.
    fn slots<'s>(&self, slots: impl Iterator<Item = (&'s RuleId, u32)>) -> Vec<u32> {
        let mut of_rule = vec![0; self.ids.len()];
        let mut slots = slots.peekable();
        for place in &self.sorted {
            let id = self.ids[*place as usize];
            while slots.next_if(|(other, _)| **other < id).is_some() {}
            if let Some((_, slot)) = slots.peek().filter(|(other, _)| **other == id) {
                of_rule[*place as usize] = *slot;
            }
        }
        of_rule
    }
}

/// Puts the rules of `groups` and the blocks together. `members` holds the addresses of every group's members,
/// `slot` gives the counter slot of a rule. A group or prefix list that does not exist stands for
/// no address, never for any.
#[must_use]
pub fn resolve(
    policy: &Policy,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    slot: impl Fn(RuleId) -> u32,
) -> Resolved {
    let known = groups.iter().filter_map(|name| policy.groups.get_key_value(name));
    let ids = RuleIds::of_groups(known);
    let slots: Vec<u32> = ids.ids.iter().map(|id| slot(*id)).collect();
    put_together(policy, &ids, groups, members, &slots, slot)
}

/// [`resolve`] with the ids of the policy's rules, which it then does not have to make, and with
/// counter slots that ascend by id. `slot` is asked for those of blocks.
#[must_use]
pub fn resolve_known<'s>(
    policy: &Policy,
    ids: &RuleIds,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    slots: impl Iterator<Item = (&'s RuleId, u32)>,
    slot: impl Fn(RuleId) -> u32,
) -> Resolved {
    put_together(policy, ids, groups, members, &ids.slots(slots), slot)
}

/// The rules in the order in which they stand: walking through them in another one would take
/// longer than everything else here.
fn put_together(
    policy: &Policy,
    ids: &RuleIds,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    slots: &[u32],
    slot: impl Fn(RuleId) -> u32,
) -> Resolved {
    let mut resolved = Resolved::default();
    for block in policy.blocks.each() {
        resolved.ingress.push(block.rule(policy, Direction::Ingress, &slot));
        resolved.egress.push(block.rule(policy, Direction::Egress, &slot));
    }
    for name in groups {
        let (Some(group), Some(first)) = (policy.groups.get(name), ids.first.get(name)) else {
            continue;
        };
        resolved.ingress.reserve(group.ingress.len());
        resolved.egress.reserve(group.egress.len());
        for ((direction, _, rule), place) in rules(group).zip(*first..) {
            let parts = canonical::parts(rule);
            let of = match direction {
                Direction::Ingress => &mut resolved.ingress,
                Direction::Egress => &mut resolved.egress,
            };
            of.push(compile::Rule {
                id: ids.ids[place],
                slot: slots[place],
                block: false,
                action: rule.action,
                priority: rule.priority,
                protocol: rule.protocol,
                icmp: rule.icmp_type.map(|kind| (kind, rule.icmp_code)),
                peers: peers(policy, members, &parts),
                ports: parts.ports.into_owned(),
            });
        }
    }
    resolved
}

fn peers(
    policy: &Policy,
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    rule: &Parts<'_>,
) -> Option<Vec<Arc<[IpNet]>>> {
    if rule.cidrs.is_empty() && rule.prefix_lists.is_empty() && rule.groups.is_empty() {
        return None;
    }
    let mut peers = Vec::new();
    if !rule.cidrs.is_empty() {
        peers.push(Arc::from(&*rule.cidrs));
    }
    let lists = rule.prefix_lists.iter().filter_map(|name| policy.prefix_lists.get(name));
    peers.extend(lists.map(|list| Arc::clone(&list.entries)));
    peers.extend(rule.groups.iter().filter_map(|name| members.get(name)).map(Arc::clone));
    Some(peers)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Action, PrefixList, Protocol, Rule};
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn nets(texts: &[&str]) -> Arc<[IpNet]> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Two groups with the same rule, one with peers of every kind.
    fn policy() -> Policy {
        let same = || Rule { protocol: Protocol::TCP, ..Rule::default() };
        let peers = Rule {
            action: Action::Deny,
            cidrs: nets(&["10.128.0.0/9", "10.0.0.0/9"]).to_vec(),
            prefix_lists: vec![name("list"), name("missing")],
            groups: vec![name("a"), name("missing")],
            icmp_type: Some(0),
            protocol: Protocol::ICMP,
            ..Rule::default()
        };
        let mut policy = Policy::default();
        let a = Group { ingress: vec![same()], egress: vec![same()], ..Group::default() };
        let b = Group { ingress: vec![same(), peers], ..Group::default() };
        policy.groups.insert(name("a"), a);
        policy.groups.insert(name("b"), b);
        let list = PrefixList { entries: nets(&["192.0.2.0/24"]), ..PrefixList::default() };
        policy.prefix_lists.insert(name("list"), list);
        policy
    }

    #[test]
    fn groups_add_up_and_the_same_rule_in_two_is_two() {
        let members = BTreeMap::new();
        let both = resolve(&policy(), &[name("a"), name("b"), name("missing")], &members, |_| 1);
        assert_eq!((both.ingress.len(), both.egress.len()), (3, 1));
        let ids: std::collections::BTreeSet<RuleId> =
            both.ingress.iter().chain(&both.egress).map(|rule| rule.id).collect();
        assert_eq!(ids.len(), 4);
        // Without the first group the second keeps its rule and its id.
        let one = resolve(&policy(), &[name("b")], &members, |_| 1);
        let of = |resolved: &Resolved| -> std::collections::BTreeSet<RuleId> {
            resolved.ingress.iter().map(|rule| rule.id).collect()
        };
        assert_eq!(one.ingress.len(), 2);
        assert!(of(&one).is_subset(&of(&both)));
    }

    #[test]
    fn peers_are_put_together_and_lists_are_shared() {
        let policy = policy();
        let members = BTreeMap::from([(name("a"), nets(&["2001:db8::1/128"]))]);
        let resolved = resolve(&policy, &[name("b")], &members, |id| (id.0 & 0xffff) as u32);
        let ingress = resolved.of(Direction::Ingress);
        let (Some(anywhere), Some(peers)) = (
            ingress.iter().find(|rule| rule.peers.is_none()),
            ingress.iter().find(|rule| rule.peers.is_some()),
        ) else {
            panic!()
        };
        assert!(anywhere.peers.is_none());
        assert_eq!(peers.slot, (peers.id.0 & 0xffff) as u32);
        assert_eq!(peers.icmp, Some((0, None)));
        let lists = peers.peers.as_ref().unwrap();
        assert_eq!(*lists[0], *nets(&["10.0.0.0/8"]));
        assert!(Arc::ptr_eq(&lists[1], &policy.prefix_lists[&name("list")].entries));
        assert!(Arc::ptr_eq(&lists[2], &members[&name("a")]));
        assert_eq!(lists.len(), 3);
    }

    #[test]
    fn blocks_are_in_both_directions_of_every_policy_also_of_one_without_groups() {
        let mut policy = policy();
        policy.blocks.entries = nets(&["192.0.2.1/32"]);
        policy.blocks.lists.insert(name("list"));
        for groups in [vec![], vec![name("a")]] {
            let resolved = resolve(&policy, &groups, &BTreeMap::new(), |_| 1);
            for direction in [Direction::Ingress, Direction::Egress] {
                let rules = resolved.of(direction);
                assert_eq!(rules.iter().filter(|rule| rule.block).count(), 2);
                assert_eq!(rules.len() - 2, groups.len());
            }
            assert_eq!(resolved.of_groups(), 2 * groups.len());
        }
    }

    #[test]
    fn a_peer_without_addresses_matches_nothing_and_never_anything() {
        let mut policy = policy();
        let rule = Rule { groups: vec![name("a")], ..Rule::default() };
        policy.groups.insert(name("c"), Group { ingress: vec![rule], ..Group::default() });
        let resolved = resolve(&policy, &[name("c")], &BTreeMap::new(), |_| 1);
        assert_eq!(resolved.ingress[0].peers.as_ref().map(Vec::len), Some(0));
    }
}
