//! What a whole policy must fulfil: references, equal rules, limits; and what is worth a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::canonical;
use super::model::{Action, Direction, Group, Name, Policy, Rule, RuleId};
use super::rules::Piece;
use crate::quick::{Map, Mix, Set};

/// Groups of one interface.
pub const GROUPS_PER_INTERFACE: usize = 64;
/// Rules of all groups of one interface, both directions; default egress rules do not count.
pub const RULES_PER_POLICY: usize = 100_000;
/// Entries of all prefix lists that the groups of one interface name.
pub const ENTRIES_PER_POLICY: usize = 1_000_000;
/// CIDRs written in the rules of all groups of one interface.
pub const CIDRS_PER_POLICY: usize = 1_000_000;
/// Blocked addresses and networks, together with the entries of all blocked prefix lists.
pub const BLOCKED: usize = 1_000_000;
/// Interfaces.
pub const INTERFACES: usize = 1_000;
/// Rules of all groups of a host: each has a counter.
pub const RULES_PER_HOST: usize = sg_common::tables::RULE_SLOTS as usize - 1;

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The policy as a whole.
    Policy,
    /// A group.
    Group(Name),
    /// A prefix list.
    PrefixList(Name),
    /// An interface.
    Interface(Arc<str>),
    /// A rule: group, direction, place in the list.
    Rule(Name, Direction, usize),
}

/// Something that is wrong with a policy, or odd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Everything that makes a policy impossible: unknown references, equal rules, limits.
///
/// A policy that was read from files has passed this already; a policy that a command changed has
/// not.
#[must_use]
pub fn errors(policy: &Policy) -> Vec<Finding> {
    let mut out = references(policy);
    out.extend(equal_rules(policy));
    out.extend(limits(policy));
    out
}

/// [`errors`] of a policy that was made from `former`, which has none. Rules that the two share are
/// looked at only where others may have made them wrong.
#[must_use]
pub fn errors_since(former: &Policy, policy: &Policy) -> Vec<Finding> {
    fn has_all<K: Ord, V>(new: &BTreeMap<K, V>, old: &BTreeMap<K, V>) -> bool {
        old.keys().all(|name| new.contains_key(name))
    }
    let names_stay = has_all(&policy.groups, &former.groups)
        && has_all(&policy.prefix_lists, &former.prefix_lists);
    let mut out = match names_stay {
        true => references_of(policy, |name, direction| {
            former.groups.get(name).map(|group| group.list(direction).piece_set())
        }),
        false => references(policy),
    };
    out.extend(policy.groups.iter().flat_map(|(name, group)| match former.groups.get(name) {
        Some(former) => equal_rules_since(name, former, group),
        None => equal_rules_of(name, group),
    }));
    out.extend(limits(policy));
    debug_assert_eq!(out, errors(policy));
    out
}

/// Rules that are in a group twice, where in `former` none was.
fn equal_rules_since(name: &Name, former: &Group, group: &Group) -> Vec<Finding> {
    let pieces = || {
        let lists = group.lists().into_iter();
        lists.flat_map(|(way, list)| {
            let old = former.list(way).piece_set();
            let is_new = move |piece: &Arc<Piece>| !old.contains(&Arc::as_ptr(piece));
            list.piece_ids(name, way).map(move |(piece, ids)| (is_new(piece), ids))
        })
    };
    let mut ids: Set<RuleId> = Set::default();
    let new = pieces().filter(|(new, _)| *new).flat_map(|(_, new)| new.into_owned());
    let apart = { new }.all(|id| ids.insert(id))
        && (ids.is_empty()
            || pieces()
                .filter(|(new, _)| !new)
                .all(|(_, old)| old.iter().all(|id| !ids.contains(id))));
    if apart { Vec::new() } else { equal_rules_of(name, group) }
}

/// References to groups and prefix lists that do not exist.
#[must_use]
pub fn references(policy: &Policy) -> Vec<Finding> {
    references_of(policy, |_, _| None)
}

/// [`references`] without those of the pieces of rules that `right` knows to be right.
fn references_of(
    policy: &Policy,
    right: impl Fn(&Name, Direction) -> Option<Set<*const Piece>>,
) -> Vec<Finding> {
    let mut out = Vec::new();
    for (name, group) in &policy.groups {
        let chosen = group.lists().into_iter().flat_map(|(direction, list)| {
            let right = right(name, direction).unwrap_or_default();
            list.numbered_pieces()
                .filter(move |(_, piece)| !right.contains(&Arc::as_ptr(piece)))
                .flat_map(move |(first, piece)| {
                    (first..).zip(piece.rules()).map(move |(index, rule)| (direction, index, rule))
                })
        });
        for (direction, index, rule) in chosen {
            let subject = || Subject::Rule(name.clone(), direction, index);
            for peer in rule.groups.iter().filter(|peer| !policy.groups.contains_key(*peer)) {
                out.push(unknown("group", peer, subject(), policy.groups.keys()));
            }
            let unknown_list = |list: &&Name| !policy.prefix_lists.contains_key(*list);
            for list in rule.prefix_lists.iter().filter(unknown_list) {
                out.push(unknown("prefix list", list, subject(), policy.prefix_lists.keys()));
            }
        }
    }
    for (name, interface) in &policy.interfaces {
        for group in interface.groups.iter().filter(|g| !policy.groups.contains_key(*g)) {
            let subject = Subject::Interface(name.clone());
            out.push(unknown("group", group, subject, policy.groups.keys()));
        }
    }
    for list in policy.blocks.lists.iter().filter(|list| !policy.prefix_lists.contains_key(*list)) {
        out.push(Finding {
            subject: Subject::PrefixList(list.clone()),
            message: format!("the prefix list \"{list}\" is blocked and would be gone"),
            help: format!("keep it, or end the block first: `sg-ctl unblock {list}`"),
        });
    }
    out
}

/// The finding for a name that is not there.
pub(crate) fn unknown<'n>(
    kind: &str,
    name: &Name,
    subject: Subject,
    known: impl Iterator<Item = &'n Name>,
) -> Finding {
    let help = match super::suggest::nearest(name.as_str(), known.map(Name::as_str)) {
        Some(near) => format!("write \"{near}\", or define the {kind} \"{name}\""),
        None => format!("define it, or name a {kind} that exists"),
    };
    Finding { subject, message: format!("there is no {kind} \"{name}\""), help }
}

/// Rules that are in a group twice.
#[must_use]
pub fn equal_rules(policy: &Policy) -> Vec<Finding> {
    policy.groups.iter().flat_map(|(name, group)| equal_rules_of(name, group)).collect()
}

fn equal_rules_of(name: &Name, group: &Group) -> Vec<Finding> {
    let mut out = Vec::new();
    // Ids are dear: they are made only of rules whose quick hashes are equal.
    let mut first: Map<u64, (Direction, &Rule)> = Map::default();
    first.reserve(group.ingress.len() + group.egress.len());
    let mut seen: Set<RuleId> = Set::default();
    for (direction, index, rule) in rules(group) {
        let hash = quick_hash(direction, rule);
        let Some((other_direction, other)) = first.get(&hash) else {
            first.insert(hash, (direction, rule));
            continue;
        };
        seen.insert(RuleId::of(name, *other_direction, other));
        let id = RuleId::of(name, direction, rule);
        if !seen.insert(id) {
            out.push(Finding {
                subject: Subject::Rule(name.clone(), direction, index),
                message: format!("the group \"{name}\" has the rule {id} already"),
                help: "a rule stands in a group once, whatever its description".into(),
            });
        }
    }
    out
}

/// Equal for equal rules of one group.
fn quick_hash(direction: Direction, rule: &Rule) -> u64 {
    let mut hasher = Mix::default();
    (direction, rule.action, rule.priority, rule.protocol).hash(&mut hasher);
    (rule.icmp_type, rule.icmp_code, canonical::parts(rule)).hash(&mut hasher);
    hasher.finish()
}

/// All rules of a group: direction, place in its list, rule.
pub fn rules(group: &Group) -> impl Iterator<Item = (Direction, usize, &Rule)> {
    let ingress = group.ingress.iter().enumerate().map(|(i, r)| (Direction::Ingress, i, r));
    let egress = group.egress.iter().enumerate().map(|(i, r)| (Direction::Egress, i, r));
    ingress.chain(egress)
}

/// What counts towards the limits of a group.
struct Size<'p> {
    rules: usize,
    cidrs: usize,
    lists: BTreeSet<&'p Name>,
}

impl<'p> Size<'p> {
    fn of(group: &'p Group) -> Self {
        let mut size = Self { rules: 0, cidrs: 0, lists: BTreeSet::new() };
        for (_, _, rule) in rules(group).filter(|(_, _, rule)| !rule.is_default_egress()) {
            size.rules += 1;
            size.cidrs += rule.cidrs.len();
            size.lists.extend(&rule.prefix_lists);
        }
        size
    }

    fn add(&mut self, other: &Self) {
        self.rules += other.rules;
        self.cidrs += other.cidrs;
        self.lists.extend(&other.lists);
    }
}

/// What exceeds the limits of the product.
#[must_use]
pub fn limits(policy: &Policy) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut over = |subject, what: &str, count: usize, limit: usize, help: &str| {
        if count > limit {
            let message = format!("{what}: {count}, the limit is {limit}");
            out.push(Finding { subject, message, help: help.into() });
        }
        count > limit
    };
    over(
        Subject::Policy,
        "interfaces",
        policy.interfaces.len(),
        INTERFACES,
        "name fewer interfaces",
    );
    let mut too_long = BTreeSet::new();
    for (name, list) in &policy.prefix_lists {
        let what = format!("entries of the prefix list \"{name}\"");
        let subject = Subject::PrefixList(name.clone());
        let help = "merge neighbouring prefixes, or split the list between interfaces";
        if over(subject, &what, list.entries.len(), ENTRIES_PER_POLICY, help) {
            too_long.insert(name);
        }
    }
    let sizes: BTreeMap<&Name, Size<'_>> =
        policy.groups.iter().map(|(name, group)| (name, Size::of(group))).collect();
    let mut too_big = BTreeSet::new();
    for (name, size) in &sizes {
        let what = format!("rules of the group \"{name}\"");
        let subject = Subject::Group((*name).clone());
        let help = "put prefixes with the same ports into one rule or a prefix list";
        if over(subject, &what, size.rules, RULES_PER_POLICY, help) {
            too_big.insert(*name);
        }
    }
    for (name, interface) in &policy.interfaces {
        let subject = || Subject::Interface(name.clone());
        let what = format!("groups of the interface \"{name}\"");
        over(
            subject(),
            &what,
            interface.groups.len(),
            GROUPS_PER_INTERFACE,
            "put rules that always go together into one group",
        );
        let mut total = Size { rules: 0, cidrs: 0, lists: BTreeSet::new() };
        for group in interface.groups.iter().collect::<BTreeSet<_>>() {
            // Groups and lists that are too big by themselves are named once, above.
            if let Some(size) = sizes.get(group).filter(|_| !too_big.contains(group)) {
                total.add(size);
            }
        }
        let what = format!("rules of all groups of the interface \"{name}\"");
        over(subject(), &what, total.rules, RULES_PER_POLICY, "give it fewer groups");
        let what = format!("CIDRs in the rules of the interface \"{name}\"");
        over(subject(), &what, total.cidrs, CIDRS_PER_POLICY, "use prefix lists");
        let lists = total.lists.iter().filter(|list| !too_long.contains(*list));
        let entries = lists.filter_map(|l| policy.prefix_lists.get(*l)).map(|l| l.entries.len());
        let what = format!("prefix-list entries of all groups of the interface \"{name}\"");
        let help = "give it fewer groups or shorter prefix lists";
        over(subject(), &what, entries.sum(), ENTRIES_PER_POLICY, help);
    }
    let blocked = policy.blocks.each().map(|block| block.entries(policy).len()).sum();
    over(
        Subject::Policy,
        "blocked addresses and networks",
        blocked,
        BLOCKED,
        "block wider networks in place of many addresses",
    );
    let all = policy.groups.values().map(|group| group.ingress.len() + group.egress.len()).sum();
    if too_big.is_empty() {
        let largest = sizes.iter().max_by_key(|(_, size)| size.rules);
        let subject = largest.map_or(Subject::Policy, |(name, _)| Subject::Group((*name).clone()));
        over(subject, "rules of all groups", all, RULES_PER_HOST, "remove groups without use");
    }
    out
}

/// What is accepted, but hardly does what was meant.
#[must_use]
pub fn warnings(policy: &Policy) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut with_interface: BTreeSet<&Name> = BTreeSet::new();
    for (name, interface) in &policy.interfaces {
        with_interface.extend(&interface.groups);
        if let Some(finding) = undone_egress(policy, name, &interface.groups) {
            out.push(finding);
        }
    }
    let empty_list =
        |name: &Name| policy.prefix_lists.get(name).is_some_and(|list| list.entries.is_empty());
    let empty_group = |name: &Name| {
        !with_interface.contains(name)
            && policy.groups.get(name).is_some_and(|group| group.members.is_empty())
    };
    for (name, group) in &policy.groups {
        for (direction, index, rule) in rules(group) {
            let named = !rule.prefix_lists.is_empty() || !rule.groups.is_empty();
            if rule.action == Action::Deny
                && named
                && rule.cidrs.is_empty()
                && rule.prefix_lists.iter().all(empty_list)
                && rule.groups.iter().all(empty_group)
            {
                out.push(Finding {
                    subject: Subject::Rule(name.clone(), direction, index),
                    message: format!(
                        "a deny rule of the group \"{name}\" denies nothing: its peers are empty"
                    ),
                    help: "fill the prefix list or group that it names, or remove the rule".into(),
                });
            }
        }
    }
    out
}

/// Groups add up: the default egress rule of one opens what another keeps closed.
fn undone_egress(policy: &Policy, interface: &Arc<str>, groups: &[Name]) -> Option<Finding> {
    let known = || groups.iter().filter_map(|name| Some((name, policy.groups.get(name)?)));
    let (open, _) = known().find(|(_, group)| group.has_default_egress())?;
    let (closed, group) = known().find(|(_, group)| {
        !group.has_default_egress() && group.egress.iter().all(|r| r.action == Action::Allow)
    })?;
    let kept = if group.egress.is_empty() { "lets nothing out" } else { "limits egress" };
    Some(Finding {
        subject: Subject::Interface(interface.clone()),
        message: format!(
            "on {interface} the group \"{closed}\" {kept}, but the default egress rule of \
             \"{open}\" lets everything out"
        ),
        help: format!("write default-egress = false in the group \"{open}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::super::model::{Interface, PortRange, PrefixList, Protocol};
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_policy_that_a_command_made_is_checked_as_a_file_is() {
        let rule = || Rule { groups: vec![name("wep")], ..Rule::default() };
        let again = Rule { description: "again".into(), ..rule() };
        let listed = Rule { prefix_lists: vec![name("x")], ..Rule::default() };
        let mut policy = Policy::default();
        let web = Group {
            ingress: vec![rule(), again].into(),
            egress: vec![listed].into(),
            ..Group::default()
        };
        policy.groups.insert(name("web"), web);
        let interface = Interface { groups: vec![name("gone")], ..Interface::default() };
        policy.interfaces.insert("eth0".into(), interface);
        let id = RuleId::of(&name("web"), Direction::Ingress, &rule());
        let found: Vec<(Subject, String)> =
            errors(&policy).into_iter().map(|f| (f.subject, f.message)).collect();
        let at = |direction, index| Subject::Rule(name("web"), direction, index);
        assert_eq!(
            found,
            [
                (at(Direction::Ingress, 0), "there is no group \"wep\"".into()),
                (at(Direction::Ingress, 1), "there is no group \"wep\"".into()),
                (at(Direction::Egress, 0), "there is no prefix list \"x\"".into()),
                (Subject::Interface("eth0".into()), "there is no group \"gone\"".into()),
                (at(Direction::Ingress, 1), format!("the group \"web\" has the rule {id} already")),
            ]
        );
        // The same rule in the other direction is another rule.
        let mut policy = Policy::default();
        let web = Group {
            ingress: vec![Rule::default()].into(),
            egress: vec![Rule::default()].into(),
            ..Group::default()
        };
        policy.groups.insert(name("web"), web);
        assert_eq!(errors(&policy), []);
    }

    #[test]
    fn a_blocked_list_may_not_go() {
        let mut policy = Policy::default();
        policy.blocks.lists.insert(name("gone"));
        let finding = errors(&policy).remove(0);
        assert_eq!(finding.message, "the prefix list \"gone\" is blocked and would be gone");
        assert!(finding.help.contains("`sg-ctl unblock gone`"), "{finding}");
    }

    #[test]
    fn blocked_addresses_and_entries_of_blocked_lists_add_up() {
        let nets = |count: u32| -> Arc<[ipnet::IpNet]> {
            let net = |i: u32| ipnet::IpNet::from(std::net::IpAddr::from(i.to_be_bytes()));
            (0..count).map(net).collect()
        };
        let mut policy = Policy::default();
        let list = PrefixList { entries: nets(400_000), ..PrefixList::default() };
        policy.prefix_lists.insert(name("p"), list);
        policy.blocks.lists.insert(name("p"));
        policy.blocks.entries = nets(600_000);
        assert_eq!(limits(&policy), []);
        policy.blocks.entries = nets(600_001);
        let finding = limits(&policy).remove(0);
        assert!(finding.message.ends_with("1000001, the limit is 1000000"), "{finding}");
    }

    #[test]
    fn limits_hold_at_their_figure_and_not_beyond() {
        let numbered = |count: usize| -> Vec<Rule> {
            let priority = |i: usize| u16::try_from(i % 60_000).unwrap();
            let rule = |i: usize| Rule { priority: priority(i), ..Rule::default() };
            (0..count).map(rule).collect()
        };
        let with = |rules: usize| {
            let mut policy = Policy::default();
            let group = Group { ingress: numbered(rules).into(), ..Group::default() };
            policy.groups.insert(name("g"), group.with_default_egress());
            policy
        };
        // The default egress rule does not count.
        assert_eq!(limits(&with(RULES_PER_POLICY)), []);
        assert_eq!(limits(&with(RULES_PER_POLICY + 1)).len(), 1);

        let listed = |entries: u32| {
            let net = |i: u32| ipnet::IpNet::from(std::net::IpAddr::from(i.to_be_bytes()));
            let mut policy = Policy::default();
            let list =
                PrefixList { entries: (0..entries).map(net).collect(), ..PrefixList::default() };
            policy.prefix_lists.insert(name("p"), list);
            policy
        };
        assert_eq!(limits(&listed(1_000_000)), []);
        let finding = limits(&listed(1_000_001)).remove(0);
        assert_eq!(finding.subject, Subject::PrefixList(name("p")));
        assert!(finding.message.ends_with("\"p\": 1000001, the limit is 1000000"), "{finding}");

        // Two groups that no interface joins still share the counters of the host.
        let mut policy = with(RULES_PER_POLICY - 1);
        let rest = RULES_PER_HOST - RULES_PER_POLICY;
        for (other, rules) in [("h", rest / 2), ("j", rest - rest / 2)] {
            policy
                .groups
                .insert(name(other), Group { ingress: numbered(rules).into(), ..Group::default() });
        }
        assert_eq!(limits(&policy), []);
        policy.groups.insert(name("i"), Group { ingress: numbered(1).into(), ..Group::default() });
        assert_eq!(limits(&policy)[0].subject, Subject::Group(name("g")));
    }

    #[test]
    fn what_a_change_makes_wrong_is_found_though_most_is_shared() {
        let port = |n: u16| Rule {
            protocol: Protocol::TCP,
            ports: vec![PortRange::one(n)],
            ..Rule::default()
        };
        let refers = Rule {
            groups: vec![name("peers")],
            prefix_lists: vec![name("list")],
            ..Rule::default()
        };
        let mut former = Policy::default();
        let rules = (0..2000).map(port).chain([refers]);
        former.groups.insert(name("g"), Group { ingress: rules.collect(), ..Group::default() });
        former.groups.insert(name("peers"), Group::default());
        former.prefix_lists.insert(name("list"), PrefixList::default());
        assert_eq!(errors(&former), []);
        let wrong = |edit: &dyn Fn(&mut Policy)| {
            let mut policy = former.clone();
            edit(&mut policy);
            let found = errors_since(&former, &policy);
            assert_eq!(found, errors(&policy));
            found.len()
        };
        let group = |policy: &mut Policy, edit: &dyn Fn(&mut Group)| {
            edit(policy.groups.get_mut(&name("g")).unwrap());
        };
        assert_eq!(wrong(&|_| ()), 0);
        assert_eq!(wrong(&|policy| group(policy, &|g| g.ingress.replace(7, port(3000)))), 0);
        // Equal to a rule of its own piece, of another one, and of the other direction.
        assert_eq!(wrong(&|policy| group(policy, &|g| g.ingress.replace(7, port(9)))), 1);
        assert_eq!(wrong(&|policy| group(policy, &|g| g.ingress.replace(7, port(1999)))), 1);
        assert_eq!(wrong(&|policy| group(policy, &|g| g.egress.push(port(7)))), 0);
        // What rules that stay refer to is gone.
        assert_eq!(wrong(&|policy| drop(policy.groups.remove(&name("peers")))), 1);
        assert_eq!(wrong(&|policy| drop(policy.prefix_lists.remove(&name("list")))), 1);
        let unknown = Rule { groups: vec![name("nobody")], ..Rule::default() };
        assert_eq!(wrong(&|policy| group(policy, &|g| g.ingress.push(unknown.clone()))), 1);
        // A list that another group has too, and twice over in one.
        let copied = |policy: &mut Policy| {
            let list = policy.groups[&name("g")].ingress.clone();
            policy.groups.insert(name("copy"), Group { ingress: list, ..Group::default() });
        };
        assert_eq!(wrong(&copied), 0);
        let twice =
            |g: &mut Group| g.ingress = g.ingress.iter().chain(g.ingress.iter()).cloned().collect();
        assert_eq!(wrong(&|policy| group(policy, &twice)), 2001);
    }
}
