//! `[groups.NAME]`.

use std::collections::HashMap;

use super::super::cidr;
use super::super::egress::gets_default;
use super::super::model::{Direction, Group, Name, Rule, RuleId};
use super::diagnostic::Severity;
use super::draft::Draft;
use super::reader::{Place, Reader, Shape};
use super::rule;
use super::tree::{Entry, Node, Value, find};

/// The keys of a group.
pub(super) const KEYS: [&str; 5] =
    ["description", "members", "ingress", "egress", "default-egress"];

/// Reads one group into the draft.
pub(super) fn read(reader: &mut Reader<'_>, name: &Name, entry: &Entry<'_>, draft: &mut Draft) {
    let what = format!("the group \"{name}\"");
    let help = "write [groups.NAME] and its keys below";
    let Some(table) = reader.table(&entry.node, &what, help) else { return };
    let shape = Shape::new("a group", &KEYS).named("groups", name.as_str());
    reader.known_keys(table, &shape);
    let mut group = Group { description: reader.description(table), ..Group::default() };
    if let Some(entry) = find(table, "members") {
        for item in reader.list(entry, "\"192.0.2.10\"").unwrap_or(&[]) {
            let help = "write \"192.0.2.10\" or \"192.0.2.0/24\"";
            let text = reader.item(item, "a member", "a text", help);
            let net = text.and_then(|t| reader.parsed(item.span, cidr::parse(t)));
            group.members.extend(net.filter(|net| !group.members.contains(net)));
        }
    }
    let mut seen = HashMap::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let Some(entry) = find(table, direction.name()) else { continue };
        let mut places = Vec::new();
        let mut rules = Vec::new();
        for node in rule_nodes(reader, name, direction, entry) {
            let what = format!("a rule of the group \"{name}\"");
            let read = rule::read(reader, node, &what, &mut draft.references);
            let Some(rule) = read else { continue };
            let place = reader.here(node.span);
            let id = RuleId::of(name, direction, &rule);
            if let Some(first) = seen.insert(id, place) {
                equal_rules(reader, name, place, first);
                continue;
            }
            places.push(place);
            rules.push(rule);
        }
        match direction {
            Direction::Ingress => group.ingress = rules.into(),
            Direction::Egress => group.egress = rules.into(),
        }
        draft.rules.insert((name.clone(), direction), places);
    }
    default_egress(reader, name, table, &mut group, draft);
    draft.policy.groups.insert(name.clone(), group);
}

fn rule_nodes<'t, 's>(
    reader: &mut Reader<'_>,
    name: &Name,
    direction: Direction,
    entry: &'t Entry<'s>,
) -> &'t [Node<'s>] {
    match &entry.node.value {
        Value::List(items) => items,
        _ => {
            let direction = direction.name();
            let help = format!("write [[groups.{name}.{direction}]], with double brackets");
            reader.wrong_type(&entry.node, &format!("`{direction}`"), "a list of rules", &help);
            &[]
        }
    }
}

fn equal_rules(reader: &mut Reader<'_>, name: &Name, place: Place, first: Place) {
    reader.report(
        Severity::Error,
        place,
        format!("the group \"{name}\" has this rule already"),
        "remove one of the two: a rule is the same whatever its description and spelling",
        vec![(first, "the first one".into())],
    );
}

/// Adds the default egress rule where the group gets it.
fn default_egress(
    reader: &mut Reader<'_>,
    name: &Name,
    table: &[Entry<'_>],
    group: &mut Group,
    draft: &Draft,
) {
    let entry = find(table, "default-egress");
    let said = entry.and_then(|entry| reader.switch(entry));
    let listed = find(table, "egress").map(|_| &group.egress);
    let explicit = group.egress.iter().position(Rule::is_default_egress);
    if let (Some(entry), Some(false), Some(index)) = (entry, said, explicit) {
        let places = draft.rules.get(&(name.clone(), Direction::Egress));
        let place = places.and_then(|places| places.get(index)).copied();
        reader.report(
            Severity::Error,
            reader.here(entry.key_span),
            format!("the group \"{name}\" has no default egress, and a rule that is just that"),
            "remove the rule, or write default-egress = true",
            place.map(|place| (place, "the rule".into())).into_iter().collect(),
        );
        return;
    }
    if explicit.is_none() && gets_default(listed, said) {
        group.egress.push(Rule::default_egress());
    }
}
