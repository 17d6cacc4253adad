//! The policy file: TOML or JSON, one schema, one model of errors.
//!
//! Both forms become one tree of values that know their place (`tree`); one reader takes the
//! policy out of it. Everything that is wrong is gathered before anything is refused.

pub mod diagnostic;
mod draft;
mod group;
mod interface;
mod json;
pub mod list;
pub mod load;
pub mod options;
mod prefix_list;
mod reader;
mod rule;
pub mod source;
mod toml;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{self, Finding, Subject};
use super::model::{Direction, Name, Policy};
use super::text;
use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
use draft::{Draft, Kind};
pub use prefix_list::ReadFile;
use reader::{Place, Reader, Shape};
use source::{Format, Source};
use tree::{Entry, Node, Value, find};

/// A policy that was read from files.
#[derive(Debug)]
pub struct Loaded {
    /// The policy: valid by itself, though not held against a host yet.
    pub policy: Policy,
    /// Warnings and notes.
    pub notes: Vec<Diagnostic>,
    /// Where each interface is named: whether it exists is for the host to say.
    pub interfaces: BTreeMap<Arc<str>, Location>,
}

impl Loaded {
    /// The error for an interface of the files that the host does not have.
    #[must_use]
    pub fn missing_interface(&self, name: &str) -> Diagnostic {
        let mut error = Diagnostic::new(
            Severity::Error,
            format!("there is no interface {name}"),
            "check its name with `ip link`, or write when-absent = \"wait\" if it comes later",
        );
        error.locations.extend(self.interfaces.get(name).cloned());
        error
    }
}

const SECTIONS: [&str; 4] = ["options", "prefix-lists", "groups", "interfaces"];

/// Reads a policy from the texts of one or more files, which are put together. `files` reads the
/// list files that they name.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn read(sources: &[Source], files: &mut ReadFile<'_>) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::new(sources);
    let mut draft = Draft::default();
    let mut broken = false;
    for (index, source) in sources.iter().enumerate() {
        reader.turn_to(index);
        let (root, errors) = match source.format {
            Format::Toml => toml::parse(&source.text),
            Format::Json => json::parse(&source.text),
        };
        let whole = errors.iter().all(|error| error.harmless);
        broken |= !whole;
        for error in errors {
            let place = reader.here(error.span);
            let first = error.first.map(|span| (reader.here(span), "the first one".into()));
            let others = first.into_iter().collect();
            reader.report(Severity::Error, place, error.message, error.help, others);
        }
        if whole {
            document(&mut reader, source, &root, files, &mut draft);
        }
    }
    // What a broken file would have defined is unknown.
    if !broken {
        references(&mut reader, &draft);
    }
    if reader.error_count() == 0 {
        for finding in check::limits(&draft.policy) {
            report(&mut reader, &draft, Severity::Error, finding);
        }
        for finding in check::warnings(&draft.policy) {
            report(&mut reader, &draft, Severity::Warning, finding);
        }
    }
    let notes = reader.finish()?;
    let locate = |(name, place): (Arc<str>, Place)| {
        let source = sources.get(place.source as usize)?;
        Some((name, source.locate(place.span, "")))
    };
    let interfaces = draft.interfaces.into_iter().filter_map(locate).collect();
    Ok(Loaded { policy: draft.policy, notes, interfaces })
}

/// Reads one file into the draft.
fn document(
    reader: &mut Reader<'_>,
    source: &Source,
    root: &Node<'_>,
    files: &mut ReadFile<'_>,
    draft: &mut Draft,
) {
    let help = "write { \"groups\": { … }, \"interfaces\": { … } }";
    let Some(table) = reader.table(root, "a policy file", help) else { return };
    reader.known_keys(table, &Shape::new("a policy file", &SECTIONS));
    if let Some(entry) = find(table, "options") {
        options::read(reader, &entry.node, draft);
    }
    for entry in section(reader, table, "prefix-lists") {
        let Some(name) = own_name(reader, entry) else { continue };
        let place = reader.here(entry.key_span);
        match draft.prefix_lists.get(&name).copied() {
            Some(first) => defined_twice(reader, "prefix list", name.as_str(), place, first),
            None => {
                draft.prefix_lists.insert(name.clone(), place);
                prefix_list::read(reader, source, &name, entry, files, draft);
            }
        }
    }
    for entry in section(reader, table, "groups") {
        let Some(name) = own_name(reader, entry) else { continue };
        let place = reader.here(entry.key_span);
        match draft.groups.get(&name).copied() {
            Some(first) => defined_twice(reader, "group", name.as_str(), place, first),
            None => {
                draft.groups.insert(name.clone(), place);
                group::read(reader, &name, entry, draft);
            }
        }
    }
    for entry in section(reader, table, "interfaces") {
        let Some(name) = reader.parsed(entry.key_span, text::interface_name(&entry.key)) else {
            continue;
        };
        let place = reader.here(entry.key_span);
        match draft.interfaces.get(&name).copied() {
            Some(first) => defined_twice(reader, "interface", &name, place, first),
            None => {
                draft.interfaces.insert(name.clone(), place);
                interface::read(reader, &name, entry, draft);
            }
        }
    }
}

/// The tables of a section, each with its name.
fn section<'t, 's>(reader: &mut Reader<'_>, table: &'t [Entry<'s>], key: &str) -> &'t [Entry<'s>] {
    let Some(entry) = find(table, key) else { return &[] };
    let help = match &entry.node.value {
        Value::List(_) => format!("write [{key}.NAME], with single brackets and a name"),
        _ => format!("write [{key}.NAME] and its keys below"),
    };
    reader.table(&entry.node, &format!("`{key}`"), &help).unwrap_or(&[])
}

fn own_name(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Name> {
    let parsed = entry.key.parse();
    reader.parsed(entry.key_span, parsed)
}

fn defined_twice(reader: &mut Reader<'_>, kind: &str, name: &str, place: Place, first: Place) {
    let message = format!("the {kind} \"{name}\" is defined in two files");
    let others = vec![(first, "the first one".into())];
    reader.report(Severity::Error, place, message, "keep one of them, or rename one", others);
}

fn references(reader: &mut Reader<'_>, draft: &Draft) {
    for reference in &draft.references {
        let name = &reference.name;
        let finding = match reference.kind {
            Kind::Group if !draft.groups.contains_key(name) => {
                check::unknown("group", name, Subject::Policy, draft.groups.keys())
            }
            Kind::PrefixList if !draft.prefix_lists.contains_key(name) => {
                check::unknown("prefix list", name, Subject::Policy, draft.prefix_lists.keys())
            }
            _ => continue,
        };
        let Finding { message, help, .. } = finding;
        reader.report(Severity::Error, reference.place, message, help, Vec::new());
    }
}

/// Gives a finding about the policy its place in the files.
fn report(reader: &mut Reader<'_>, draft: &Draft, severity: Severity, finding: Finding) {
    let Finding { subject, message, help } = finding;
    let place = match &subject {
        Subject::Policy => None,
        Subject::Group(name) => draft.groups.get(name),
        Subject::PrefixList(name) => draft.prefix_lists.get(name),
        Subject::Interface(name) => draft.interfaces.get(name),
        Subject::Rule(group, direction, index) => place_of_rule(draft, group, *direction, *index),
    };
    match place {
        Some(place) => reader.report(severity, *place, message, help, Vec::new()),
        None => reader.adopt([Diagnostic::new(severity, message, help)]),
    }
}

fn place_of_rule<'d>(
    draft: &'d Draft,
    group: &Name,
    direction: Direction,
    index: usize,
) -> Option<&'d Place> {
    let places = draft.rules.get(&(group.clone(), direction));
    places.and_then(|places| places.get(index)).or_else(|| draft.groups.get(group))
}
