//! What differs between two policies, in meaning: order and spelling do not count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::check::rules;
use super::file::options::timeouts;
use super::model::{Direction, Group, Interface, Name, Options, Policy, PrefixList, Rule, RuleId};
use super::render::OneLine;
use super::serial::PASS_KINDS;

/// One difference. Each is one line of `plan`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// An option, or a timeout as `timeouts.NAME`, or an always-passed kind as `always-pass.NAME`.
    Option {
        /// Key in the policy file.
        key: String,
        /// Value before.
        from: String,
        /// Value after.
        to: String,
    },
    /// A new prefix list.
    PrefixListAdded {
        /// Its name.
        name: Name,
        /// Its entries.
        entries: usize,
    },
    /// A prefix list that goes.
    PrefixListRemoved {
        /// Its name.
        name: Name,
        /// Its entries.
        entries: usize,
    },
    /// Other entries in a prefix list.
    PrefixListEntries {
        /// Its name.
        name: Name,
        /// New entries.
        added: usize,
        /// Entries that go.
        removed: usize,
        /// Entries after.
        entries: usize,
    },
    /// Another description of a prefix list.
    PrefixListDescription {
        /// Its name.
        name: Name,
        /// Description before.
        from: String,
        /// Description after.
        to: String,
    },
    /// A new group; its rules follow one by one.
    GroupAdded {
        /// Its name.
        name: Name,
        /// Its static members.
        members: Vec<IpNet>,
    },
    /// A group that goes; its rules follow one by one.
    GroupRemoved {
        /// Its name.
        name: Name,
    },
    /// Another description of a group.
    GroupDescription {
        /// Its name.
        name: Name,
        /// Description before.
        from: String,
        /// Description after.
        to: String,
    },
    /// Other static members of a group.
    GroupMembers {
        /// Its name.
        name: Name,
        /// New members.
        added: Vec<IpNet>,
        /// Members that go.
        removed: Vec<IpNet>,
    },
    /// A new rule.
    RuleAdded {
        /// Its group.
        group: Name,
        /// Its direction.
        #[serde(serialize_with = "direction_name")]
        direction: Direction,
        /// Its id.
        id: RuleId,
        /// The rule.
        rule: Rule,
    },
    /// A rule that goes.
    RuleRemoved {
        /// Its group.
        group: Name,
        /// Its direction.
        #[serde(serialize_with = "direction_name")]
        direction: Direction,
        /// Its id.
        id: RuleId,
        /// The rule.
        rule: Rule,
    },
    /// Another description of a rule.
    RuleDescription {
        /// Its group.
        group: Name,
        /// Its direction.
        #[serde(serialize_with = "direction_name")]
        direction: Direction,
        /// Its id.
        id: RuleId,
        /// Description before.
        from: String,
        /// Description after.
        to: String,
    },
    /// Other blocked addresses.
    BlockedAddresses {
        /// Addresses and networks that are blocked now.
        added: usize,
        /// Addresses and networks that are blocked no more.
        removed: usize,
        /// All that are blocked after.
        entries: usize,
    },
    /// A prefix list that is blocked now.
    PrefixListBlocked {
        /// Its name.
        name: Name,
        /// Its entries.
        entries: usize,
    },
    /// A prefix list that is blocked no more.
    PrefixListUnblocked {
        /// Its name.
        name: Name,
    },
    /// A new interface.
    InterfaceAdded {
        /// Its name.
        name: Arc<str>,
        /// What it is to be.
        interface: Interface,
    },
    /// An interface that goes: its filter is removed.
    InterfaceRemoved {
        /// Its name.
        name: Arc<str>,
        /// What it was.
        interface: Interface,
    },
    /// Another value of one key of an interface.
    Interface {
        /// Its name.
        name: Arc<str>,
        /// Key in the policy file.
        key: &'static str,
        /// Value before.
        from: String,
        /// Value after.
        to: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn direction_name<S: Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.name())
}

impl Change {
    /// `+` for what comes, `-` for what goes, `~` for what changes.
    #[must_use]
    pub const fn sign(&self) -> char {
        match self {
            Self::PrefixListAdded { .. }
            | Self::GroupAdded { .. }
            | Self::RuleAdded { .. }
            | Self::PrefixListBlocked { .. }
            | Self::InterfaceAdded { .. } => '+',
            Self::PrefixListRemoved { .. }
            | Self::GroupRemoved { .. }
            | Self::RuleRemoved { .. }
            | Self::PrefixListUnblocked { .. }
            | Self::InterfaceRemoved { .. } => '-',
            _ => '~',
        }
    }
}

impl fmt::Display for Change {
    /// One line with its sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.sign())?;
        match self {
            Self::Option { key, from, to } => write!(f, "option {key}: {from} -> {to}"),
            Self::PrefixListAdded { name, entries } | Self::PrefixListRemoved { name, entries } => {
                write!(f, "prefix list {name}: {}", count(*entries, "entry", "entries"))
            }
            Self::PrefixListEntries { name, added, removed, entries } => {
                let entries = count(*entries, "entry", "entries");
                write!(f, "prefix list {name}: {added} added, {removed} removed, now {entries}")
            }
            Self::PrefixListDescription { name, from, to } => {
                write!(f, "prefix list {name}: description {from:?} -> {to:?}")
            }
            Self::GroupAdded { name, members } if members.is_empty() => write!(f, "group {name}"),
            Self::GroupAdded { name, members } => {
                write!(f, "group {name}: members {}", join(members))
            }
            Self::GroupRemoved { name } => write!(f, "group {name}"),
            Self::GroupDescription { name, from, to } => {
                write!(f, "group {name}: description {from:?} -> {to:?}")
            }
            Self::GroupMembers { name, added, removed } => {
                write!(f, "group {name}: members")?;
                if !added.is_empty() {
                    write!(f, " added {}", join(added))?;
                }
                if !removed.is_empty() {
                    let and = if added.is_empty() { "" } else { "," };
                    write!(f, "{and} removed {}", join(removed))?;
                }
                Ok(())
            }
            Self::RuleAdded { group, direction, id, rule }
            | Self::RuleRemoved { group, direction, id, rule } => {
                let (name, rule) = (direction.name(), OneLine(*direction, rule));
                write!(f, "rule {id} of group {group}, {name}: {rule}")
            }
            Self::RuleDescription { group, direction, id, from, to } => {
                let name = direction.name();
                write!(f, "rule {id} of group {group}, {name}: description {from:?} -> {to:?}")
            }
            Self::BlockedAddresses { added, removed, entries } => {
                let entries = count(*entries, "entry", "entries");
                write!(f, "blocked addresses: {added} added, {removed} removed, now {entries}")
            }
            Self::PrefixListBlocked { name, entries } => {
                let entries = count(*entries, "entry", "entries");
                write!(f, "block of prefix list {name}: {entries}")
            }
            Self::PrefixListUnblocked { name } => write!(f, "block of prefix list {name}"),
            Self::InterfaceAdded { name, interface }
            | Self::InterfaceRemoved { name, interface } => {
                let Interface { mode, side, hook, .. } = interface;
                let groups = names(&interface.groups);
                write!(
                    f,
                    "interface {name}: groups {groups}; mode {mode}, side {side}, hook {hook}"
                )
            }
            Self::Interface { name, key, from, to } => {
                write!(f, "interface {name}: {key} {from} -> {to}")
            }
        }
    }
}

/// The differences between two policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// One by one: options, prefix lists, groups with their rules, interfaces, blocks.
    pub changes: Vec<Change>,
}

impl Diff {
    /// What leads from one policy to another.
    #[must_use]
    pub fn between(from: &Policy, to: &Policy) -> Self {
        let mut changes = Vec::new();
        options(&from.options, &to.options, &mut changes);
        for (name, pair) in pairs(&from.prefix_lists, &to.prefix_lists) {
            prefix_list(name, pair, &mut changes);
        }
        for (name, pair) in pairs(&from.groups, &to.groups) {
            group(name, pair, &mut changes);
        }
        for (name, pair) in pairs(&from.interfaces, &to.interfaces) {
            interface(name, pair, &mut changes);
        }
        blocks(from, to, &mut changes);
        Self { changes }
    }

    /// Whether both policies mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, change) in self.changes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{change}")?;
        }
        Ok(())
    }
}

type Pair<'v, V> = (Option<&'v V>, Option<&'v V>);

/// Every key of either map with its values.
fn pairs<'m, K: Ord, V>(
    from: &'m BTreeMap<K, V>,
    to: &'m BTreeMap<K, V>,
) -> impl Iterator<Item = (&'m K, Pair<'m, V>)> {
    let keys: BTreeSet<&K> = from.keys().chain(to.keys()).collect();
    keys.into_iter().map(|key| (key, (from.get(key), to.get(key))))
}

fn options(from: &Options, to: &Options, out: &mut Vec<Change>) {
    let mut changed = |key: String, from: String, to: String| {
        if from != to {
            out.push(Change::Option { key, from, to });
        }
    };
    let connections = |options: &Options| options.conntrack_max.to_string();
    changed("conntrack-max".into(), connections(from), connections(to));
    let (mut before, mut after) = (from.timeouts, to.timeouts);
    for ((key, from), (_, to)) in timeouts(&mut before).into_iter().zip(timeouts(&mut after)) {
        changed(format!("timeouts.{key}"), from.to_string(), to.to_string());
    }
    for (kind, bit) in PASS_KINDS {
        let state = |options: &Options| (options.pass & bit != 0).to_string();
        changed(format!("always-pass.{kind}"), state(from), state(to));
    }
    let types = |options: &Options| {
        let types: BTreeSet<u16> = options.ether_types.iter().copied().collect();
        let types: Vec<String> = types.iter().map(|t| format!("0x{t:04x}")).collect();
        format!("[{}]", types.join(", "))
    };
    changed("ethertypes".into(), types(from), types(to));
}

fn prefix_list(name: &Name, pair: Pair<'_, PrefixList>, out: &mut Vec<Change>) {
    let name = name.clone();
    match pair {
        (None, Some(to)) => {
            out.push(Change::PrefixListAdded { name, entries: to.entries.len() });
        }
        (Some(from), None) => {
            out.push(Change::PrefixListRemoved { name, entries: from.entries.len() });
        }
        (Some(from), Some(to)) => {
            if from.description != to.description {
                let (from, to) = (from.description.clone(), to.description.clone());
                out.push(Change::PrefixListDescription { name: name.clone(), from, to });
            }
            let (added, removed) = count_entries(&from.entries, &to.entries);
            if added + removed > 0 {
                let entries = to.entries.len();
                out.push(Change::PrefixListEntries { name, added, removed, entries });
            }
        }
        (None, None) => {}
    }
}

/// Entries that only the second, and only the first of two sorted lists has.
fn count_entries(from: &Arc<[IpNet]>, to: &Arc<[IpNet]>) -> (usize, usize) {
    if Arc::ptr_eq(from, to) {
        return (0, 0);
    }
    let (mut a, mut b) = (from.iter().peekable(), to.iter().peekable());
    let (mut added, mut removed) = (0, 0);
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) if x < y => {
                removed += 1;
                a.next();
            }
            (Some(_), None) => {
                removed += 1;
                a.next();
            }
            (_, Some(_)) => {
                added += 1;
                b.next();
            }
            (None, None) => return (added, removed),
        }
    }
}

fn group(name: &Name, (from, to): Pair<'_, Group>, out: &mut Vec<Change>) {
    if from == to {
        return;
    }
    match (from, to) {
        (None, Some(to)) => {
            let members = to.members.clone();
            out.push(Change::GroupAdded { name: name.clone(), members });
        }
        (Some(_), None) => out.push(Change::GroupRemoved { name: name.clone() }),
        (Some(from), Some(to)) => {
            if from.description != to.description {
                let (from, to) = (from.description.clone(), to.description.clone());
                out.push(Change::GroupDescription { name: name.clone(), from, to });
            }
            let before: BTreeSet<IpNet> = from.members.iter().copied().collect();
            let after: BTreeSet<IpNet> = to.members.iter().copied().collect();
            if before != after {
                let added = after.difference(&before).copied().collect();
                let removed = before.difference(&after).copied().collect();
                out.push(Change::GroupMembers { name: name.clone(), added, removed });
            }
        }
        (None, None) => {}
    }
    let empty = Group::default();
    rules_of(name, from.unwrap_or(&empty), to.unwrap_or(&empty), out);
}

fn rules_of(name: &Name, from: &Group, to: &Group, out: &mut Vec<Change>) {
    let with_id = |(direction, _, rule)| (RuleId::of(name, direction, rule), (direction, rule));
    let before: Vec<(RuleId, (Direction, &Rule))> = rules(from).map(with_id).collect();
    let mut old: HashMap<RuleId, (Direction, &Rule)> = before.iter().copied().collect();
    let mut added = Vec::new();
    let mut described = Vec::new();
    for (direction, index, rule) in rules(to) {
        let (id, _) = with_id((direction, index, rule));
        let group = name.clone();
        match old.remove(&id) {
            None => added.push(Change::RuleAdded { group, direction, id, rule: rule.clone() }),
            Some((_, was)) if was.description != rule.description => {
                let (from, to) = (was.description.clone(), rule.description.clone());
                described.push(Change::RuleDescription { group, direction, id, from, to });
            }
            Some(_) => {}
        }
    }
    for (id, (direction, rule)) in before.into_iter().filter(|(id, _)| old.contains_key(id)) {
        let (group, rule) = (name.clone(), rule.clone());
        out.push(Change::RuleRemoved { group, direction, id, rule });
    }
    out.append(&mut described);
    out.append(&mut added);
}

fn interface(name: &Arc<str>, pair: Pair<'_, Interface>, out: &mut Vec<Change>) {
    let (from, to) = match pair {
        (None, Some(interface)) => {
            let (name, interface) = (name.clone(), interface.clone());
            out.push(Change::InterfaceAdded { name, interface });
            return;
        }
        (Some(interface), None) => {
            let (name, interface) = (name.clone(), interface.clone());
            out.push(Change::InterfaceRemoved { name, interface });
            return;
        }
        (Some(from), Some(to)) => (from, to),
        (None, None) => return,
    };
    for ((key, from), (_, to)) in keys(from).into_iter().zip(keys(to)) {
        if from != to {
            out.push(Change::Interface { name: name.clone(), key, from, to });
        }
    }
}

fn blocks(from: &Policy, to: &Policy, out: &mut Vec<Change>) {
    let (added, removed) = count_entries(&from.blocks.entries, &to.blocks.entries);
    if added + removed > 0 {
        let entries = to.blocks.entries.len();
        out.push(Change::BlockedAddresses { added, removed, entries });
    }
    for name in from.blocks.lists.difference(&to.blocks.lists).cloned() {
        out.push(Change::PrefixListUnblocked { name });
    }
    for name in to.blocks.lists.difference(&from.blocks.lists).cloned() {
        let entries = to.prefix_lists.get(&name).map_or(0, |list| list.entries.len());
        out.push(Change::PrefixListBlocked { name, entries });
    }
}

/// The keys of an interface with their values as text, lists sorted.
fn keys(interface: &Interface) -> [(&'static str, String); 7] {
    let Interface { groups, mode, side, hook, addresses, guest_servers, wait } = interface;
    let addresses: BTreeSet<_> = addresses.iter().collect();
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "none".into() } else { addresses.join(", ") };
    [
        ("groups", names(groups)),
        ("mode", mode.to_string()),
        ("side", side.to_string()),
        ("hook", hook.to_string()),
        ("addresses", addresses),
        ("guest-servers", guest_servers.to_string()),
        ("when-absent", if *wait { "wait" } else { "error" }.into()),
    ]
}

fn names(names: &[Name]) -> String {
    let names: BTreeSet<&str> = names.iter().map(Name::as_str).collect();
    if names.is_empty() {
        return "none".into();
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn join(nets: &[IpNet]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
