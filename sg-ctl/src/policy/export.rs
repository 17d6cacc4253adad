//! A policy as a policy file: what this version reads gives the same policy again.
//!
//! `default-egress` is always written, because what a group has without it depends on its rules.

use std::fmt::Write as _;

use super::file::options::{ETHERTYPE_NAMES, timeouts};
use super::file::source::Format;
use super::model::{
    Action, DEFAULT_PRIORITY, Group, Interface, Options, Policy, Protocol, Rule, Rules,
};
use super::serial::PASS_KINDS;

/// A value of the file. Both forms are written from it, so that they cannot differ.
enum Value {
    Text(String),
    Number(u32),
    Bool(bool),
    List(Vec<Value>),
    /// Tables that stand in a list.
    Tables(Vec<Table>),
    Table(Table),
}

type Table = Vec<(String, Value)>;

/// Writes a policy as a file.
#[must_use]
pub fn export(policy: &Policy, format: Format) -> String {
    let file = file(policy);
    let mut out = String::new();
    match format {
        Format::Toml => {
            for (key, value) in &file {
                if let Value::Table(table) = value {
                    toml_section(&mut out, key, table);
                }
            }
        }
        Format::Json => {
            json_table(&mut out, &file, 0);
            out.push('\n');
        }
    }
    out
}

fn text<T: ToString + ?Sized>(text: &T) -> Value {
    Value::Text(text.to_string())
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(|item| text(&item)).collect())
}

fn described(description: &str) -> Table {
    match description {
        "" => Vec::new(),
        some => vec![("description".into(), text(some))],
    }
}

fn file(policy: &Policy) -> Table {
    let mut file: Table = vec![("options".into(), Value::Table(options(&policy.options)))];
    let mut section = |key: &str, tables: Table| {
        if !tables.is_empty() {
            file.push((key.into(), Value::Table(tables)));
        }
    };
    let list = |(name, list): (&super::model::Name, &super::model::PrefixList)| {
        let mut table = described(&list.description);
        table.push(("entries".into(), texts(list.entries.iter())));
        (name.to_string(), Value::Table(table))
    };
    section("prefix-lists", policy.prefix_lists.iter().map(list).collect());
    let groups = policy.groups.iter();
    section("groups", groups.map(|(n, g)| (n.to_string(), Value::Table(group(g)))).collect());
    let interfaces = policy.interfaces.iter();
    let interfaces = interfaces.map(|(n, i)| (n.to_string(), Value::Table(interface(i))));
    section("interfaces", interfaces.collect());
    file
}

fn options(options: &Options) -> Table {
    let mut times = options.timeouts;
    let timeouts = timeouts(&mut times).map(|(key, value)| (key.into(), Value::Number(*value)));
    let pass = PASS_KINDS.map(|(kind, bit)| (kind.into(), Value::Bool(options.pass & bit != 0)));
    let ethertype = |number: &u16| match ETHERTYPE_NAMES.iter().find(|(_, n)| n == number) {
        Some((name, _)) => text(*name),
        None => text(&format!("0x{number:04x}")),
    };
    vec![
        ("conntrack-max".into(), Value::Number(options.conntrack_max)),
        ("ethertypes".into(), Value::List(options.ether_types.iter().map(ethertype).collect())),
        ("timeouts".into(), Value::Table(timeouts.into())),
        ("always-pass".into(), Value::Table(pass.into())),
    ]
}

fn group(group: &Group) -> Table {
    let mut table = described(&group.description);
    if !group.members.is_empty() {
        table.push(("members".into(), texts(&group.members)));
    }
    table.push(("default-egress".into(), Value::Bool(group.has_default_egress())));
    let mut list = |key: &str, rules: &Rules, count: usize| {
        if count > 0 {
            let rules = rules.iter().take(count).map(rule);
            table.push((key.into(), Value::Tables(rules.collect())));
        }
    };
    list("ingress", &group.ingress, group.ingress.len());
    // The default rule where the reader would put it is said by `default-egress` alone.
    let last_is_default = group.egress.last().is_some_and(|last| *last == Rule::default_egress());
    list("egress", &group.egress, group.egress.len() - usize::from(last_is_default));
    table
}

fn rule(rule: &Rule) -> Table {
    let mut table = Vec::new();
    let mut put = |key: &str, value: Value| table.push((key.to_owned(), value));
    if rule.action != Action::Allow {
        put("action", text(&rule.action));
    }
    if rule.priority != DEFAULT_PRIORITY {
        put("priority", Value::Number(rule.priority.into()));
    }
    if rule.protocol != Protocol::All {
        put("protocol", text(&rule.protocol));
    }
    if !rule.ports.is_empty() {
        let port = |range: &super::model::PortRange| match range.first == range.last {
            true => Value::Number(range.first.into()),
            false => text(range),
        };
        put("port", Value::List(rule.ports.iter().map(port).collect()));
    }
    if let Some(kind) = rule.icmp_type {
        put("icmp-type", Value::Number(kind.into()));
    }
    if let Some(code) = rule.icmp_code {
        put("icmp-code", Value::Number(code.into()));
    }
    if !rule.cidrs.is_empty() {
        put("cidr", texts(&rule.cidrs));
    }
    if !rule.prefix_lists.is_empty() {
        put("prefix-list", texts(&rule.prefix_lists));
    }
    if !rule.groups.is_empty() {
        put("group", texts(&rule.groups));
    }
    table.extend(described(&rule.description));
    table
}

fn interface(interface: &Interface) -> Table {
    let mut table: Table = vec![
        ("groups".into(), texts(&interface.groups)),
        ("mode".into(), text(&interface.mode)),
        ("side".into(), text(&interface.side)),
        ("hook".into(), text(&interface.hook)),
    ];
    if !interface.addresses.is_empty() {
        table.push(("addresses".into(), texts(&interface.addresses)));
    }
    if interface.guest_servers {
        table.push(("guest-servers".into(), Value::Bool(true)));
    }
    if interface.wait {
        table.push(("when-absent".into(), text("wait")));
    }
    table
}

/// A text in double quotes, with the escapes that TOML and JSON share.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Lists up to this number of values stand in one line.
const IN_ONE_LINE: usize = 8;

fn toml_section(out: &mut String, path: &str, table: &Table) {
    let simple = |value: &Value| !matches!(value, Value::Table(_) | Value::Tables(_));
    // A table of tables alone needs no header of its own.
    if table.iter().any(|(_, value)| simple(value)) {
        toml_header(out, &format!("[{path}]"));
        toml_pairs(out, table);
    }
    for (key, value) in table {
        let mut below = path.to_owned();
        below.push('.');
        toml_key(&mut below, key);
        match value {
            Value::Table(table) => toml_section(out, &below, table),
            Value::Tables(tables) => {
                for table in tables {
                    toml_header(out, &format!("[[{below}]]"));
                    toml_pairs(out, table);
                }
            }
            _ => {}
        }
    }
}

fn toml_header(out: &mut String, header: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(header);
    out.push('\n');
}

fn toml_key(out: &mut String, key: &str) {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if key.bytes().all(bare) && !key.is_empty() {
        out.push_str(key);
    } else {
        quote(out, key);
    }
}

fn toml_pairs(out: &mut String, table: &Table) {
    for (key, value) in table {
        if matches!(value, Value::Table(_) | Value::Tables(_)) {
            continue;
        }
        toml_key(out, key);
        out.push_str(" = ");
        scalar_or_list(out, value, "    ", "");
        out.push('\n');
    }
}

fn scalar_or_list(out: &mut String, value: &Value, indent: &str, outer: &str) {
    match value {
        Value::Text(text) => quote(out, text),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::List(items) if items.len() <= IN_ONE_LINE => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                scalar_or_list(out, item, indent, outer);
            }
            out.push(']');
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "\n" });
                out.push_str(indent);
                scalar_or_list(out, item, indent, outer);
            }
            out.push('\n');
            out.push_str(outer);
            out.push(']');
        }
        Value::Table(_) | Value::Tables(_) => {}
    }
}

fn json_table(out: &mut String, table: &Table, depth: usize) {
    let (outer, indent) = ("  ".repeat(depth), "  ".repeat(depth + 1));
    if table.is_empty() {
        out.push_str("{}");
        return;
    }
    out.push('{');
    for (i, (key, value)) in table.iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        out.push_str(&indent);
        quote(out, key);
        out.push_str(": ");
        match value {
            Value::Table(table) => json_table(out, table, depth + 1),
            Value::Tables(tables) => {
                out.push('[');
                let inner = "  ".repeat(depth + 2);
                for (i, table) in tables.iter().enumerate() {
                    out.push_str(if i > 0 { ",\n" } else { "\n" });
                    out.push_str(&inner);
                    json_table(out, table, depth + 2);
                }
                out.push('\n');
                out.push_str(&indent);
                out.push(']');
            }
            value => scalar_or_list(out, value, &"  ".repeat(depth + 2), &indent),
        }
    }
    out.push('\n');
    out.push_str(&outer);
    out.push('}');
}
