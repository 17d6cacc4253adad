//! The rules of one policy (all groups of an interface, and the blocks) with their peers resolved: what the
//! compiler works on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::canonical::{self, Parts};
use super::model::{Direction, Name, Policy, RuleId};
use crate::compile::{self, Peers};

/// The two halves of one policy. They refer to its rules, and copy only what is not in canonical
/// form.
#[derive(Clone, Debug, Default)]
pub struct Resolved<'p> {
    /// Rules for packets towards the protected side.
    pub ingress: Vec<compile::Rule<'p>>,
    /// Rules for packets away from it.
    pub egress: Vec<compile::Rule<'p>>,
}

impl<'p> Resolved<'p> {
    /// How many of both are rules of groups, not blocks.
    #[must_use]
    pub fn of_groups(&self) -> usize {
        self.ingress.iter().chain(&self.egress).filter(|rule| !rule.block).count()
    }

    /// The rules of a direction.
    #[must_use]
    pub fn of(&self, direction: Direction) -> &[compile::Rule<'p>] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// Puts the rules of `groups` and the blocks together. `members` holds the addresses of every group's members,
/// `slot` gives the counter slot of a rule. A group or prefix list that does not exist stands for
/// no address, never for any.
#[must_use]
pub fn resolve<'p>(
    policy: &'p Policy,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    slot: impl Fn(RuleId) -> u32,
) -> Resolved<'p> {
    resolve_noted(policy, groups, members, |id, _| slot(id))
}

/// [`resolve`]; `slot` is also given the slot that was noted with the rule, which need not be right.
#[must_use]
pub fn resolve_noted<'p>(
    policy: &'p Policy,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
    slot: impl Fn(RuleId, Option<u32>) -> u32,
) -> Resolved<'p> {
    let mut resolved = Resolved::default();
    for block in policy.blocks.each() {
        let slot = |id| slot(id, None);
        resolved.ingress.push(block.rule(policy, Direction::Ingress, slot));
        resolved.egress.push(block.rule(policy, Direction::Egress, slot));
    }
    for name in groups {
        let Some((name, group)) = policy.groups.get_key_value(name) else { continue };
        for (direction, list) in group.lists() {
            let of = match direction {
                Direction::Ingress => &mut resolved.ingress,
                Direction::Egress => &mut resolved.egress,
            };
            of.reserve(list.len());
            // In the order in which they stand: walking through them in another one would take
            // longer than everything else here.
            for (piece, ids) in list.piece_ids(name, direction) {
                for (place, (rule, id)) in piece.rules().iter().zip(&*ids).enumerate() {
                    let Parts { ports, cidrs, prefix_lists, groups } = canonical::parts(rule);
                    let anywhere = cidrs.is_empty() && prefix_lists.is_empty() && groups.is_empty();
                    let lists = prefix_lists.iter().filter_map(|name| {
                        policy.prefix_lists.get(name).map(|list| Arc::clone(&list.entries))
                    });
                    let lists = lists
                        .chain(groups.iter().filter_map(|name| members.get(name)).map(Arc::clone));
                    let lists = lists.collect();
                    of.push(compile::Rule {
                        id: *id,
                        slot: slot(*id, piece.slots().map(|slots| slots[place])),
                        block: false,
                        action: rule.action,
                        priority: rule.priority,
                        protocol: rule.protocol,
                        icmp: rule.icmp_type.map(|kind| (kind, rule.icmp_code)),
                        peers: (!anywhere).then_some(Peers { own: cidrs, lists }),
                        ports,
                    });
                }
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::super::model::{Action, Group, PrefixList, Protocol, Rule};
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
        let a =
            Group { ingress: vec![same()].into(), egress: vec![same()].into(), ..Group::default() };
        let b = Group { ingress: vec![same(), peers].into(), ..Group::default() };
        policy.groups.insert(name("a"), a);
        policy.groups.insert(name("b"), b);
        let list = PrefixList { entries: nets(&["192.0.2.0/24"]), ..PrefixList::default() };
        policy.prefix_lists.insert(name("list"), list);
        policy
    }

    #[test]
    fn groups_add_up_and_the_same_rule_in_two_is_two() {
        let members = BTreeMap::new();
        let policy = policy();
        let both = resolve(&policy, &[name("a"), name("b"), name("missing")], &members, |_| 1);
        assert_eq!((both.ingress.len(), both.egress.len()), (3, 1));
        let ids: std::collections::BTreeSet<RuleId> =
            both.ingress.iter().chain(&both.egress).map(|rule| rule.id).collect();
        assert_eq!(ids.len(), 4);
        // Without the first group the second keeps its rule and its id.
        let one = resolve(&policy, &[name("b")], &members, |_| 1);
        let of = |resolved: &Resolved<'_>| -> std::collections::BTreeSet<RuleId> {
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
        let Peers { own, lists } = peers.peers.as_ref().unwrap();
        assert_eq!(**own, *nets(&["10.0.0.0/8"]));
        assert!(Arc::ptr_eq(&lists[0], &policy.prefix_lists[&name("list")].entries));
        assert!(Arc::ptr_eq(&lists[1], &members[&name("a")]));
        assert_eq!(lists.len(), 2);
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
        policy.groups.insert(name("c"), Group { ingress: vec![rule].into(), ..Group::default() });
        let resolved = resolve(&policy, &[name("c")], &BTreeMap::new(), |_| 1);
        assert_eq!(resolved.ingress[0].peers.as_ref().map(|peers| peers.parts().count()), Some(0));
    }
}
