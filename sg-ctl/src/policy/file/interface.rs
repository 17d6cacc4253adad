//! `[interfaces.NAME]`.

use std::sync::Arc;

use super::super::cidr;
use super::super::model::{Interface, Name, Side};
use super::super::text::quoted;
use super::diagnostic::Severity;
use super::draft::{Draft, Kind, Reference};
use super::reader::{Reader, Shape};
use super::tree::{Entry, find};

/// The keys of an interface.
pub(super) const KEYS: [&str; 7] =
    ["groups", "mode", "side", "hook", "addresses", "guest-servers", "when-absent"];

/// Reads one interface into the draft.
pub(super) fn read(reader: &mut Reader<'_>, name: &Arc<str>, entry: &Entry<'_>, draft: &mut Draft) {
    let what = format!("the interface \"{name}\"");
    let help = "write [interfaces.NAME] and its keys below";
    let Some(table) = reader.table(&entry.node, &what, help) else { return };
    let shape = Shape::new("an interface", &KEYS).named("interfaces", name);
    reader.known_keys(table, &shape.later(&["conntrack-zone"]));
    let mut interface = Interface::default();
    match find(table, "groups") {
        Some(entry) => interface.groups = groups(reader, entry, draft),
        None => reader.report(
            Severity::Warning,
            reader.here(entry.key_span),
            format!("{what} names no groups: nothing but always-passed traffic passes"),
            "write groups = [] if that is meant",
            Vec::new(),
        ),
    }
    if let Some(mode) = find(table, "mode").and_then(|e| reader.word(e, "\"enforce\"")) {
        interface.mode = mode;
    }
    if let Some(side) = find(table, "side").and_then(|e| reader.word(e, "\"host\"")) {
        interface.side = side;
    }
    if let Some(hook) = find(table, "hook").and_then(|e| reader.word(e, "\"auto\"")) {
        interface.hook = hook;
    }
    if let Some(entry) = find(table, "addresses") {
        for item in reader.list(entry, "\"10.0.0.7\"").unwrap_or(&[]) {
            let text = reader.item(item, "an address", "a text", "write \"10.0.0.7\"");
            let ip = text.and_then(|t| reader.parsed(item.span, cidr::address(t)));
            interface.addresses.extend(ip.filter(|ip| !interface.addresses.contains(ip)));
        }
        guest_only(reader, entry, interface.side);
    }
    if let Some(entry) = find(table, "guest-servers") {
        interface.guest_servers = reader.switch(entry).unwrap_or_default();
        guest_only(reader, entry, interface.side);
    }
    if let Some(entry) = find(table, "when-absent") {
        match reader.text(entry, "\"wait\"") {
            Some("wait") => interface.wait = true,
            Some(text) => reader.error(
                entry.node.span,
                format!("{} is not a value of `when-absent`", quoted(text)),
                "write \"wait\"; without it an interface that does not exist is an error",
            ),
            None => {}
        }
    }
    draft.policy.interfaces.insert(name.clone(), interface);
}

fn groups(reader: &mut Reader<'_>, entry: &Entry<'_>, draft: &mut Draft) -> Vec<Name> {
    let mut groups: Vec<Name> = Vec::new();
    for item in reader.list(entry, "\"web\"").unwrap_or(&[]) {
        let text = reader.item(item, "a group", "a text", "write its name, such as \"web\"");
        let Some(name) = text.and_then(|t| reader.parsed(item.span, t.parse::<Name>())) else {
            continue;
        };
        let place = reader.here(item.span);
        draft.references.push(Reference { kind: Kind::Group, name: name.clone(), place });
        if groups.contains(&name) {
            reader.error(item.span, format!("the group \"{name}\" is named twice"), "remove one");
        } else {
            groups.push(name);
        }
    }
    groups
}

fn guest_only(reader: &mut Reader<'_>, entry: &Entry<'_>, side: Side) {
    if side == Side::Host {
        let message = format!("`{}` belongs to interfaces of the guest side", entry.key);
        reader.error(entry.key_span, message, "remove it, or write side = \"guest\"");
    }
}
