//! Blocks: addresses and prefix lists with which nothing is exchanged, on any interface (spec §5,
//! `block`).
//!
//! They belong to the host and stand outside of policy files. In the classifier they are deny rules
//! of their own: one for each direction for all blocked addresses together, and one for each
//! direction of each blocked prefix list, so their counters do not depend on what is blocked.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::model::{Action, Direction, Name, Policy, Rule, RuleId};
use crate::compile;

/// What is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Addresses and networks, sorted, without doubles; overlaps stay.
    pub entries: Arc<[IpNet]>,
    /// Prefix lists, with the entries that they have at the time.
    pub lists: BTreeSet<Name>,
}

/// What has counters of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// All addresses and networks that are blocked by themselves.
    Addresses,
    /// A prefix list.
    List(Name),
}

/// Priority of a block, for people: no rule has precedence over it.
const PRIORITY: u16 = 0;

impl Blocks {
    /// Whether nothing is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.lists.is_empty()
    }

    /// The blocks: that of the addresses, if there are any, then the prefix lists by name.
    pub fn each(&self) -> impl Iterator<Item = Block> {
        let addresses = (!self.entries.is_empty()).then_some(Block::Addresses);
        addresses.into_iter().chain(self.lists.iter().cloned().map(Block::List))
    }
}

impl Block {
    /// The id of its rule in a direction.
    #[must_use]
    pub fn id(&self, direction: Direction) -> RuleId {
        RuleId::of_block(self.list(), direction)
    }

    /// The prefix list, if it is one.
    #[must_use]
    pub fn list(&self) -> Option<&Name> {
        match self {
            Self::Addresses => None,
            Self::List(name) => Some(name),
        }
    }

    /// What it blocks at the time.
    #[must_use]
    pub fn entries(&self, policy: &Policy) -> Arc<[IpNet]> {
        match self {
            Self::Addresses => Arc::clone(&policy.blocks.entries),
            Self::List(name) => policy
                .prefix_lists
                .get(name)
                .map(|list| Arc::clone(&list.entries))
                .unwrap_or_default(),
        }
    }

    /// The rule that stands for it in explanations; of the addresses it names those networks that
    /// hold `peer`.
    #[must_use]
    pub fn shown(&self, policy: &Policy, peer: std::net::IpAddr) -> Rule {
        let (mut cidrs, mut prefix_lists) = (Vec::new(), Vec::new());
        match self {
            Self::Addresses => {
                cidrs.extend(policy.blocks.entries.iter().filter(|net| net.contains(&peer)));
            }
            Self::List(name) => prefix_lists.push(name.clone()),
        }
        Rule { action: Action::Deny, priority: PRIORITY, cidrs, prefix_lists, ..Rule::default() }
    }

    /// The rule of a direction, for the compiler.
    pub(super) fn rule(
        &self,
        policy: &Policy,
        direction: Direction,
        slot: impl Fn(RuleId) -> u32,
    ) -> compile::Rule<'static> {
        let id = self.id(direction);
        compile::Rule {
            id,
            slot: slot(id),
            block: true,
            action: Action::Deny,
            priority: PRIORITY,
            protocol: super::model::Protocol::All,
            ports: Cow::Borrowed(&[]),
            icmp: None,
            peers: Some(vec![self.entries(policy)].into()),
        }
    }
}

/// The ids of all blocks' rules.
pub fn ids(blocks: &Blocks) -> impl Iterator<Item = RuleId> {
    blocks.each().flat_map(|block| {
        [Direction::Ingress, Direction::Egress].map(|direction| block.id(direction))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::PrefixList;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn nets(texts: &[&str]) -> Arc<[IpNet]> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ids_never_change_and_do_not_depend_on_what_is_blocked() {
        // Counters live on from version to version: these values are a contract.
        let shown = |block: &Block| {
            [Direction::Ingress, Direction::Egress].map(|way| block.id(way).to_string())
        };
        assert_eq!(shown(&Block::Addresses), ["sgr-47d3f3d5c594954d2", "sgr-0d5e8a9773d2b5fa9"]);
        assert_eq!(
            shown(&Block::List(name("office"))),
            ["sgr-070acfa655795a662", "sgr-ee2bb6bf24eb69722"]
        );
    }

    #[test]
    fn an_empty_set_of_addresses_is_no_block_and_an_empty_list_is_one() {
        let mut blocks = Blocks::default();
        assert!(blocks.is_empty());
        assert_eq!(ids(&blocks).count(), 0);
        blocks.lists.insert(name("office"));
        assert_eq!(blocks.each().collect::<Vec<_>>(), [Block::List(name("office"))]);
        blocks.entries = nets(&["192.0.2.1/32"]);
        assert_eq!(blocks.each().next(), Some(Block::Addresses));
        assert_eq!(ids(&blocks).count(), 4);
    }

    #[test]
    fn a_list_is_blocked_with_the_entries_that_it_has() {
        let mut policy = Policy::default();
        let block = Block::List(name("office"));
        assert!(block.entries(&policy).is_empty());
        let entries = nets(&["192.0.2.0/24"]);
        let list = PrefixList { entries: Arc::clone(&entries), ..PrefixList::default() };
        policy.prefix_lists.insert(name("office"), list);
        assert!(Arc::ptr_eq(&block.entries(&policy), &entries));
        let rule = block.rule(&policy, Direction::Egress, |_| 7);
        assert!(rule.block && rule.slot == 7 && rule.id == block.id(Direction::Egress));
    }

    #[test]
    fn the_rule_that_is_shown_names_what_holds_the_peer() {
        let entries = nets(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"]);
        let policy =
            Policy { blocks: Blocks { entries, ..Blocks::default() }, ..Policy::default() };
        let rule = Block::Addresses.shown(&policy, "10.1.2.3".parse().unwrap());
        assert_eq!(*rule.cidrs, *nets(&["10.0.0.0/8", "10.1.0.0/16"]));
    }
}
