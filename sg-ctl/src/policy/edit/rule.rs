//! Rules: add, modify, remove.

use ipnet::IpNet;

use super::super::canonical;
use super::super::check::rules;
use super::super::model::{
    Action, Direction, Group, Name, Policy, PortRange, Protocol, Rule, RuleId, Rules,
};
use super::super::valid;
use super::{EditError, unknown_group, unknown_list};

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Its group.
    pub group: Name,
    /// Its direction.
    pub direction: Direction,
    /// Its place in the list of that direction.
    pub index: usize,
}

/// A part of a rule that `rule modify` can take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// The ports: all of them match then.
    Port,
    /// ICMP type and code.
    IcmpType,
    /// The ICMP code.
    IcmpCode,
    /// Peers by address.
    Cidr,
    /// Peers by prefix list.
    PrefixList,
    /// Peers by group.
    Group,
    /// The description.
    Description,
}

/// What `rule modify` changes; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct RuleChange {
    /// Parts that are taken away before anything else is set.
    pub clear: Vec<Clear>,
    /// Another action.
    pub action: Option<Action>,
    /// Another priority.
    pub priority: Option<u16>,
    /// Another protocol.
    pub protocol: Option<Protocol>,
    /// Other ports.
    pub ports: Vec<PortRange>,
    /// Another ICMP type.
    pub icmp_type: Option<u8>,
    /// Another ICMP code.
    pub icmp_code: Option<u8>,
    /// Anywhere: no peers at all.
    pub anywhere: bool,
    /// Other peers by address.
    pub cidrs: Vec<IpNet>,
    /// Other peers by prefix list.
    pub prefix_lists: Vec<Name>,
    /// Other peers by group.
    pub groups: Vec<Name>,
    /// Another description.
    pub description: Option<String>,
}

/// Adds a rule to a group; its id.
///
/// # Errors
/// An unknown group or prefix list, a rule that contradicts itself, or one that the group has.
pub fn add_rule(
    policy: &mut Policy,
    group: &Name,
    direction: Direction,
    rule: Rule,
) -> Result<RuleId, EditError> {
    let Some(own) = policy.groups.get(group) else { return Err(unknown_group(policy, group)) };
    check(policy, &rule)?;
    let id = RuleId::of(group, direction, &rule);
    if rules(own).any(|(d, _, other)| d == direction && canonical::same(other, &rule)) {
        return Err(duplicate(group, id));
    }
    let Some(own) = policy.groups.get_mut(group) else { return Err(unknown_group(policy, group)) };
    let list = list_mut(own, direction);
    // The default egress rule stays at the end, where a reader of the listing looks for it.
    let end = match list.last() {
        Some(last) if direction == Direction::Egress && last.is_default_egress() => list.len() - 1,
        _ => list.len(),
    };
    list.insert(end, rule);
    Ok(id)
}

/// Changes a rule in its place; its new id.
///
/// # Errors
/// An unknown id; a result that contradicts itself, that the group has already, or that has lost all
/// its peers without being told to match anywhere.
pub fn modify_rule(
    policy: &mut Policy,
    id: RuleId,
    change: &RuleChange,
) -> Result<RuleId, EditError> {
    let place = find_rule(policy, id)?;
    let Some(old) = rule_at(policy, &place) else { return Err(unknown_rule(id)) };
    let rule = changed(old, change);
    let had_peers = has_peers(old);
    if had_peers && !has_peers(&rule) && !change.anywhere {
        return Err(EditError::new(
            format!("rule {id} would have no peers left and match packets of anybody"),
            "name a peer, or `--cidr any` if that is meant",
        ));
    }
    check(policy, &rule)?;
    let RulePlace { group, direction, index } = place;
    let new = RuleId::of(&group, direction, &rule);
    let Some(own) = policy.groups.get_mut(&group) else { return Err(unknown_rule(id)) };
    let same =
        |(d, _, other): (Direction, usize, &Rule)| d == direction && canonical::same(other, &rule);
    if new != id && rules(own).any(same) {
        return Err(duplicate(&group, new));
    }
    list_mut(own, direction).replace(index, rule);
    Ok(new)
}

/// Removes a rule, whatever its group.
///
/// # Errors
/// No group has a rule of this id.
pub fn remove_rule(policy: &mut Policy, id: RuleId) -> Result<(RulePlace, Rule), EditError> {
    let place = find_rule(policy, id)?;
    let Some(group) = policy.groups.get_mut(&place.group) else { return Err(unknown_rule(id)) };
    let rule = list_mut(group, place.direction).remove(place.index);
    rule.map(|rule| (place, rule)).ok_or_else(|| unknown_rule(id))
}

/// Finds a rule by its id.
///
/// # Errors
/// No group has it.
pub fn find_rule(policy: &Policy, id: RuleId) -> Result<RulePlace, EditError> {
    for (name, group) in &policy.groups {
        for (direction, list) in group.lists() {
            if let Some(index) = list.ids(name, direction).position(|own| own == id) {
                return Ok(RulePlace { group: name.clone(), direction, index });
            }
        }
    }
    if let Some(block) = policy.blocks.each().find(|block| {
        [Direction::Ingress, Direction::Egress].iter().any(|way| block.id(*way) == id)
    }) {
        let what = block.list().map_or("ADDR", Name::as_str);
        return Err(EditError::new(
            format!("{id} is a block, and no rule of a group"),
            format!("`sg-ctl unblock {what}` ends it"),
        ));
    }
    Err(unknown_rule(id))
}

fn rule_at<'p>(policy: &'p Policy, place: &RulePlace) -> Option<&'p Rule> {
    let group = policy.groups.get(&place.group)?;
    match place.direction {
        Direction::Ingress => group.ingress.get(place.index),
        Direction::Egress => group.egress.get(place.index),
    }
}

fn list_mut(group: &mut Group, direction: Direction) -> &mut Rules {
    match direction {
        Direction::Ingress => &mut group.ingress,
        Direction::Egress => &mut group.egress,
    }
}

fn has_peers(rule: &Rule) -> bool {
    !(rule.cidrs.is_empty() && rule.prefix_lists.is_empty() && rule.groups.is_empty())
}

fn changed(old: &Rule, change: &RuleChange) -> Rule {
    let mut rule = old.clone();
    for part in &change.clear {
        match part {
            Clear::Port => rule.ports.clear(),
            Clear::IcmpType => (rule.icmp_type, rule.icmp_code) = (None, None),
            Clear::IcmpCode => rule.icmp_code = None,
            Clear::Cidr => rule.cidrs.clear(),
            Clear::PrefixList => rule.prefix_lists.clear(),
            Clear::Group => rule.groups.clear(),
            Clear::Description => rule.description.clear(),
        }
    }
    if change.anywhere {
        rule.cidrs.clear();
        rule.prefix_lists.clear();
        rule.groups.clear();
    }
    rule.action = change.action.unwrap_or(rule.action);
    rule.priority = change.priority.unwrap_or(rule.priority);
    rule.protocol = change.protocol.unwrap_or(rule.protocol);
    rule.icmp_type = change.icmp_type.or(rule.icmp_type);
    rule.icmp_code = change.icmp_code.or(rule.icmp_code);
    let replace = |own: &mut Vec<Name>, new: &Vec<Name>| {
        if !new.is_empty() {
            own.clone_from(new);
        }
    };
    replace(&mut rule.prefix_lists, &change.prefix_lists);
    replace(&mut rule.groups, &change.groups);
    if !change.ports.is_empty() {
        rule.ports.clone_from(&change.ports);
    }
    if !change.cidrs.is_empty() {
        rule.cidrs.clone_from(&change.cidrs);
    }
    if let Some(description) = &change.description {
        rule.description.clone_from(description);
    }
    rule
}

/// Refuses what a rule may not be, and references to nothing.
fn check(policy: &Policy, rule: &Rule) -> Result<(), EditError> {
    let mut faults = valid::faults(rule).into_iter();
    if let Some(first) = faults.next() {
        let others = faults.map(|fault| fault.message);
        return Err(EditError::new(first.message, first.help).because(others));
    }
    for group in &rule.groups {
        if !policy.groups.contains_key(group) {
            return Err(unknown_group(policy, group));
        }
    }
    for list in &rule.prefix_lists {
        if !policy.prefix_lists.contains_key(list) {
            return Err(unknown_list(policy, list));
        }
    }
    Ok(())
}

fn duplicate(group: &Name, id: RuleId) -> EditError {
    EditError::new(
        format!("the group \"{group}\" has this rule already: {id}"),
        format!("nothing is to be done; its description is changed by `sg-ctl rule modify {id}`"),
    )
}

fn unknown_rule(id: RuleId) -> EditError {
    EditError::new(format!("no group has a rule {id}"), "`sg-ctl rule list` prints all rules")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::edit::testing::{name, policy};

    const POLICY: &str = "[prefix-lists.office]\nentries = []\n[groups.db]\n\
        [groups.web]\n[[groups.web.ingress]]\nprotocol = \"tcp\"\nport = 443\n\
        cidr = [\"0.0.0.0/0\", \"::/0\"]\ndescription = \"HTTPS\"\n\
        [[groups.web.ingress]]\nprotocol = \"tcp\"\nport = [80, 81]\n";

    fn tcp(first: u16, last: u16) -> Rule {
        Rule { protocol: Protocol::TCP, ports: vec![PortRange { first, last }], ..Rule::default() }
    }

    fn id(policy: &Policy, index: usize) -> RuleId {
        RuleId::of(&name("web"), Direction::Ingress, &policy.groups["web"].ingress[index])
    }

    #[test]
    fn a_rule_that_the_group_has_is_refused_by_its_id_however_it_is_written() {
        let mut policy = policy(POLICY);
        let before = policy.clone();
        let again = Rule { description: "other words".into(), ..tcp(80, 81) };
        let error = add_rule(&mut policy, &name("web"), Direction::Ingress, again).unwrap_err();
        assert!(error.message.contains(&id(&policy, 1).to_string()), "{error}");
        // Anywhere is both families.
        let error = add_rule(&mut policy, &name("web"), Direction::Ingress, tcp(443, 443));
        assert!(error.unwrap_err().message.contains(&id(&policy, 0).to_string()));
        assert_eq!(policy, before);
        // The other direction and another group have rules of their own.
        add_rule(&mut policy, &name("web"), Direction::Egress, tcp(443, 443)).unwrap();
        add_rule(&mut policy, &name("db"), Direction::Ingress, tcp(443, 443)).unwrap();
    }

    #[test]
    fn the_default_egress_rule_stays_last() {
        let mut policy = policy(POLICY);
        add_rule(&mut policy, &name("web"), Direction::Egress, tcp(25, 25)).unwrap();
        let egress = &policy.groups["web"].egress;
        assert_eq!(egress.len(), 2);
        assert!(egress[1].is_default_egress() && !egress[0].is_default_egress());
    }

    #[test]
    fn a_rule_that_contradicts_itself_or_names_nothing_is_refused() {
        let mut policy = policy(POLICY);
        let mut add = |rule| add_rule(&mut policy, &name("web"), Direction::Ingress, rule);
        let ports = Rule { protocol: Protocol::All, ..tcp(1, 2) };
        assert!(add(ports).unwrap_err().message.contains("ports"));
        let group = Rule { groups: vec![name("wbe")], ..Rule::default() };
        assert!(add(group).unwrap_err().help.contains("web"));
        let list = Rule { prefix_lists: vec![name("offices")], ..Rule::default() };
        assert!(add(list).unwrap_err().message.contains("no prefix list"));
        let control = Rule { description: "a\u{1b}b".into(), ..tcp(1, 2) };
        assert!(add(control).unwrap_err().message.contains("control character"));
    }

    #[test]
    fn modify_keeps_what_is_not_named_and_the_place() {
        let mut policy = policy(POLICY);
        let old = id(&policy, 0);
        let change = RuleChange { priority: Some(5), ..RuleChange::default() };
        let new = modify_rule(&mut policy, old, &change).unwrap();
        assert_ne!(new, old);
        let rule = &policy.groups["web"].ingress[0];
        assert_eq!((rule.priority, rule.description.as_str()), (5, "HTTPS"));
        assert_eq!(rule.ports, [PortRange::one(443)]);
        assert_eq!(new, id(&policy, 0));
        // Back again: the same id as before.
        let change = RuleChange { priority: Some(1000), ..RuleChange::default() };
        assert_eq!(modify_rule(&mut policy, new, &change).unwrap(), old);
    }

    #[test]
    fn modify_does_not_make_two_rules_one() {
        let mut policy = policy(POLICY);
        let before = policy.clone();
        let change =
            RuleChange { ports: vec![PortRange { first: 80, last: 81 }], ..RuleChange::default() };
        let (first, second) = (id(&policy, 0), id(&policy, 1));
        let error = modify_rule(&mut policy, first, &change).unwrap_err();
        assert!(error.message.contains(&second.to_string()));
        assert_eq!(policy, before);
        // A description alone changes no id.
        let change = RuleChange { description: Some("plain".into()), ..RuleChange::default() };
        assert_eq!(modify_rule(&mut policy, second, &change).unwrap(), second);
    }

    #[test]
    fn the_last_peer_does_not_go_unnoticed() {
        let mut policy = policy(POLICY);
        let rule = Rule { prefix_lists: vec![name("office")], ..tcp(22, 22) };
        let added = add_rule(&mut policy, &name("web"), Direction::Ingress, rule).unwrap();
        let clear = RuleChange { clear: vec![Clear::PrefixList], ..RuleChange::default() };
        assert!(modify_rule(&mut policy, added, &clear).unwrap_err().help.contains("--cidr any"));
        let any = RuleChange { anywhere: true, ..RuleChange::default() };
        modify_rule(&mut policy, added, &any).unwrap();
        assert!(!has_peers(&policy.groups["web"].ingress[2]));
    }

    #[test]
    fn rules_are_removed_by_id_from_any_group() {
        let mut policy = policy(POLICY);
        let second = id(&policy, 1);
        let (place, rule) = remove_rule(&mut policy, second).unwrap();
        assert_eq!((place.group, place.index), (name("web"), 1));
        assert_eq!(rule.ports.len(), 2);
        let error = remove_rule(&mut policy, second).unwrap_err();
        assert!(error.message.contains(&second.to_string()));
        let default = RuleId::of(&name("db"), Direction::Egress, &Rule::default_egress());
        remove_rule(&mut policy, default).unwrap();
        assert!(policy.groups["db"].egress.is_empty() && !policy.groups["web"].egress.is_empty());
    }
}
