//! What `apply` makes of the host's policy and the files', and what stands in the way of a removal.

use std::fmt;
use std::sync::Arc;

use super::check::rules;
use super::model::{Direction, Name, Policy, RuleId};

/// What has a name in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A group.
    Group,
    /// A prefix list.
    PrefixList,
    /// An interface.
    Interface,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::PrefixList => "prefix list",
            Self::Interface => "interface",
        })
    }
}

/// Something that the host has and the files do not name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unnamed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} \"{}\" is not in the files", self.kind, self.name)
    }
}

/// Everything that `current` has and `file` does not name.
#[must_use]
pub fn unnamed(current: &Policy, file: &Policy) -> Vec<Unnamed> {
    let groups = current.groups.keys().filter(|name| !file.groups.contains_key(*name));
    let lists = current.prefix_lists.keys().filter(|name| !file.prefix_lists.contains_key(*name));
    let interfaces = current.interfaces.keys().filter(|name| !file.interfaces.contains_key(*name));
    let group = |name: &Name| Unnamed { kind: Kind::Group, name: name.0.clone() };
    let list = |name: &Name| Unnamed { kind: Kind::PrefixList, name: name.0.clone() };
    let interface = |name: &Arc<str>| Unnamed { kind: Kind::Interface, name: name.clone() };
    groups.map(group).chain(lists.map(list)).chain(interfaces.map(interface)).collect()
}

/// The policy after `apply`: what the files say of everything that they name. Blocks stay.
///
/// # Errors
/// Without `prune`, everything that the host has and the files do not name: it would vanish.
pub fn merge(current: &Policy, file: Policy, prune: bool) -> Result<Policy, Vec<Unnamed>> {
    let unnamed = unnamed(current, &file);
    if !prune && !unnamed.is_empty() {
        return Err(unnamed);
    }
    Ok(Policy { blocks: current.blocks.clone(), ..file })
}

/// Something that refers to a group or prefix list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referrer {
    /// A rule that names it as its peer.
    Rule {
        /// The rule's group.
        group: Name,
        /// Its direction.
        direction: Direction,
        /// Its id.
        id: RuleId,
        /// Its place in the list of its direction, from 0.
        index: usize,
    },
    /// An interface that has the group.
    Interface(Arc<str>),
    /// A block of the prefix list.
    Block,
}

impl fmt::Display for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { group, direction, id, index } => {
                let (direction, number) = (direction.name(), index + 1);
                write!(f, "{id}, {direction} rule {number} of the group \"{group}\", names it")
            }
            Self::Interface(name) => write!(f, "the interface {name} has it"),
            Self::Block => f.write_str("it is blocked"),
        }
    }
}

/// What keeps a group from being deleted: rules of other groups, and interfaces. Its own rules that
/// name it go with it.
#[must_use]
pub fn group_referrers(policy: &Policy, group: &Name) -> Vec<Referrer> {
    let mut out =
        referring_rules(policy, |owner, rule| owner != group && rule.groups.contains(group));
    let has = policy.interfaces.iter().filter(|(_, interface)| interface.groups.contains(group));
    out.extend(has.map(|(name, _)| Referrer::Interface(name.clone())));
    out
}

/// What keeps a prefix list from being deleted: rules, and that it is blocked.
#[must_use]
pub fn prefix_list_referrers(policy: &Policy, list: &Name) -> Vec<Referrer> {
    let mut out = referring_rules(policy, |_, rule| rule.prefix_lists.contains(list));
    out.extend(policy.blocks.lists.contains(list).then_some(Referrer::Block));
    out
}

fn referring_rules(
    policy: &Policy,
    refers: impl Fn(&Name, &super::model::Rule) -> bool,
) -> Vec<Referrer> {
    let mut out = Vec::new();
    for (name, group) in &policy.groups {
        for (direction, index, rule) in rules(group).filter(|(_, _, rule)| refers(name, rule)) {
            let id = RuleId::of(name, direction, rule);
            out.push(Referrer::Rule { group: name.clone(), direction, id, index });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::{Group, Interface, PrefixList, Rule};
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn host() -> Policy {
        let peer = |group: &str| Rule { groups: vec![name(group)], ..Rule::default() };
        let listed = Rule { prefix_lists: vec![name("office")], ..Rule::default() };
        let mut policy = Policy::default();
        policy
            .groups
            .insert(name("web"), Group { ingress: vec![peer("web")].into(), ..Group::default() });
        let db = Group { ingress: vec![listed, peer("web")].into(), ..Group::default() };
        policy.groups.insert(name("db"), db);
        policy.prefix_lists.insert(name("office"), PrefixList::default());
        let interface = Interface { groups: vec![name("web")], ..Interface::default() };
        policy.interfaces.insert("eth0".into(), interface);
        policy
    }

    #[test]
    fn what_the_files_do_not_name_is_refused_without_prune() {
        let mut file = host();
        file.groups.remove(&name("db"));
        file.prefix_lists.clear();
        file.interfaces.clear();
        let unnamed = merge(&host(), file.clone(), false).unwrap_err();
        let shown: Vec<String> = unnamed.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "the group \"db\" is not in the files",
                "the prefix list \"office\" is not in the files",
                "the interface \"eth0\" is not in the files",
            ]
        );
        assert_eq!(merge(&host(), file.clone(), true), Ok(file.clone()));
        let mut blocked = host();
        blocked.blocks.lists.insert(name("office"));
        assert_eq!(merge(&blocked, file, true).map(|p| p.blocks), Ok(blocked.blocks));
        // New things in the file need no prune.
        assert_eq!(merge(&Policy::default(), host(), false), Ok(host()));
    }

    #[test]
    fn referrers_are_named_one_by_one_and_never_the_group_itself() {
        let shown = |referrers: Vec<Referrer>| -> Vec<String> {
            referrers.iter().map(ToString::to_string).collect()
        };
        let id =
            RuleId::of(&name("db"), Direction::Ingress, &host().groups[&name("db")].ingress[1]);
        assert_eq!(
            shown(group_referrers(&host(), &name("web"))),
            [
                format!("{id}, ingress rule 2 of the group \"db\", names it"),
                "the interface eth0 has it".into(),
            ]
        );
        assert_eq!(group_referrers(&host(), &name("db")), []);
        assert_eq!(prefix_list_referrers(&host(), &name("office")).len(), 1);
        let mut host = host();
        host.blocks.lists.insert(name("office"));
        assert_eq!(
            shown(prefix_list_referrers(&host, &name("office"))).last(),
            Some(&"it is blocked".into())
        );
    }
}
