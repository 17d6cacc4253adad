//! `[[groups.NAME.ingress]]` and `[[groups.NAME.egress]]`.

use super::super::cidr;
use super::super::model::{DEFAULT_PRIORITY, Name, PortRange, Protocol, Rule};
use super::super::text::{Malformed, number};
use super::super::valid::{self, Field};
use super::diagnostic::Severity;
use super::draft::{Kind, Reference};
use super::reader::{Reader, Shape, plain};
use super::tree::{Entry, Node, Value, find};

/// The keys of a rule.
pub(super) const KEYS: [&str; 10] = [
    "action",
    "protocol",
    "port",
    "icmp-type",
    "icmp-code",
    "cidr",
    "prefix-list",
    "group",
    "priority",
    "description",
];

const PORT_HELP: &str = "write 443, \"8000-8100\", or a list of both";
const CIDR_HELP: &str = "write \"203.0.113.0/24\", or a list of such texts";

/// Reads one rule. References to groups and prefix lists are noted for a later check.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    what: &str,
    references: &mut Vec<Reference>,
) -> Option<Rule> {
    let table = reader.table(node, what, "write [[groups.NAME.ingress]] and its keys below")?;
    let before = reader.error_count();
    reader.known_keys(table, &Shape::new("a rule", &KEYS));
    let mut rule = Rule { description: reader.description(table), ..Rule::default() };
    if let Some(action) = find(table, "action").and_then(|e| reader.word(e, "\"deny\"")) {
        rule.action = action;
    }
    if let Some(entry) = find(table, "priority") {
        rule.priority = reader
            .number(entry, 0, 65535)
            .and_then(|n| u16::try_from(n).ok())
            .unwrap_or(DEFAULT_PRIORITY);
    }
    if let Some(protocol) = find(table, "protocol").and_then(|e| self::protocol(reader, e)) {
        rule.protocol = protocol;
    }
    if let Some(entry) = find(table, "port") {
        let help = "leave `port` out for all ports";
        for item in reader.one_or_list(entry, help) {
            rule.ports.extend(port(reader, item));
        }
    }
    rule.icmp_type = find(table, "icmp-type").and_then(|e| reader.byte(e));
    rule.icmp_code = find(table, "icmp-code").and_then(|e| reader.byte(e));
    let mut cidr_nodes: &[Node<'_>] = &[];
    if let Some(entry) = find(table, "cidr") {
        cidr_nodes = reader.one_or_list(entry, "leave all peers out for anywhere");
        for item in cidr_nodes {
            let text = reader.item(item, "`cidr`", "a text or a list of texts", CIDR_HELP);
            if let Some(address @ ("0.0.0.0" | "::")) = text {
                let message = format!("the peer {address} is one address, not all of them");
                let help = format!("write \"{address}/0\" for every address of the family");
                let place = reader.here(item.span);
                reader.report(Severity::Warning, place, message, help, Vec::new());
            }
            rule.cidrs.extend(text.and_then(|t| reader.parsed(item.span, peer_cidr(t))));
        }
    }
    rule.prefix_lists = names(reader, table, "prefix-list", Kind::PrefixList, references);
    rule.groups = names(reader, table, "group", Kind::Group, references);
    // What is left out because it is wrong would make the rest look wrong, too.
    if reader.error_count() != before {
        return None;
    }
    for fault in valid::faults(&rule) {
        let key = |key: &str| find(table, key).map(|e| e.key_span);
        let value = |key: &str| find(table, key).map(|e| e.node.span);
        let span = match fault.field {
            Field::Protocol => value("protocol"),
            Field::Ports => key("port"),
            Field::IcmpType => key("icmp-type"),
            Field::IcmpCode => key("icmp-code"),
            Field::Cidr(index) => cidr_nodes.get(index).map(|n| n.span),
            Field::Description => value("description"),
        };
        reader.error(span.unwrap_or(node.span), fault.message, fault.help);
    }
    (reader.error_count() == before).then_some(rule)
}

fn protocol(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Protocol> {
    const HELP: &str =
        "write \"tcp\", \"udp\", \"sctp\", \"icmp\", \"icmpv6\", \"all\" or a number from 0 to 255";
    let parsed = match &entry.node.value {
        Value::Text(text) => text.parse(),
        Value::Number(raw) => number(&plain(raw), "`protocol`", 0, 255)
            .and_then(|n| Protocol::from_number(u8::try_from(n).unwrap_or(u8::MAX))),
        _ => {
            reader.wrong_type(&entry.node, "`protocol`", "a text or a number", HELP);
            return None;
        }
    };
    reader.parsed(entry.node.span, parsed)
}

fn port(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<PortRange> {
    let parsed = match &node.value {
        Value::Text(text) => text.parse(),
        Value::Number(raw) => number(&plain(raw), "a port", 0, 65535)
            .map(|n| PortRange::one(u16::try_from(n).unwrap_or(u16::MAX))),
        _ => {
            reader.wrong_type(node, "`port`", "a number, a text or a list of both", PORT_HELP);
            return None;
        }
    };
    reader.parsed(node.span, parsed)
}

fn peer_cidr(text: &str) -> Result<ipnet::IpNet, Malformed> {
    cidr::parse(text).map_err(|error| match text {
        "any" | "*" | "all" | "0/0" => Malformed::new(
            error.message,
            "leave all peers out for anywhere, or write [\"0.0.0.0/0\", \"::/0\"]",
        ),
        _ => error,
    })
}

fn names(
    reader: &mut Reader<'_>,
    table: &[Entry<'_>],
    key: &str,
    kind: Kind,
    references: &mut Vec<Reference>,
) -> Vec<Name> {
    let Some(entry) = find(table, key) else { return Vec::new() };
    let what = format!("`{key}`");
    let help = "write its name, or a list of names";
    let mut names = Vec::new();
    for item in reader.one_or_list(entry, "leave it out, or name one") {
        let text = reader.item(item, &what, "a text or a list of texts", help);
        let name = text.and_then(|text| reader.parsed(item.span, text.parse::<Name>()));
        if let Some(name) = name {
            references.push(Reference { kind, name: name.clone(), place: reader.here(item.span) });
            names.push(name);
        }
    }
    names
}
