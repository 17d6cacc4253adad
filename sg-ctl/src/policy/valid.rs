//! What a single rule must fulfil, wherever it comes from.

use ipnet::IpNet;

use super::model::{Protocol, Rule};
use super::text::{Malformed, check_description};

/// The part of a rule that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The protocol.
    Protocol,
    /// The ports.
    Ports,
    /// The ICMP type.
    IcmpType,
    /// The ICMP code.
    IcmpCode,
    /// The CIDR with this index.
    Cidr(usize),
    /// The description.
    Description,
}

/// A contradiction inside a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Fault {
    /// Where it is.
    pub field: Field,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Fault {
    fn new(field: Field, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field, message: message.into(), help: help.into() }
    }
}

/// Everything that is wrong with a rule by itself.
#[must_use]
pub fn faults(rule: &Rule) -> Vec<Fault> {
    let mut out = Vec::new();
    if !rule.ports.is_empty() && !rule.protocol.has_ports() {
        out.push(ports_without_protocol(rule.protocol));
    }
    if rule.icmp_type.is_some() && !rule.protocol.is_icmp() {
        let message = match rule.protocol {
            Protocol::All => "an ICMP type in a rule for all protocols".into(),
            other => format!("an ICMP type in a rule for protocol {other}"),
        };
        let help = "write protocol \"icmp\" for IPv4 or \"icmpv6\" for IPv6";
        out.push(Fault::new(Field::IcmpType, message, help));
    }
    if rule.icmp_code.is_some() && rule.icmp_type.is_none() {
        let message = "an ICMP code without an ICMP type";
        out.push(Fault::new(
            Field::IcmpCode,
            message,
            "name the type that the code belongs to (`icmp-type`)",
        ));
    }
    dead_peers(rule, &mut out);
    if let Err(Malformed { message, help }) = check_description(&rule.description) {
        out.push(Fault { field: Field::Description, message, help });
    }
    out
}

fn ports_without_protocol(protocol: Protocol) -> Fault {
    match protocol {
        Protocol::All => Fault::new(
            Field::Ports,
            "ports in a rule for all protocols",
            "write protocol \"tcp\", \"udp\" or \"sctp\": only these have ports",
        ),
        Protocol::Number(1 | 58) => Fault::new(
            Field::Ports,
            format!("protocol {protocol} has no ports"),
            "select messages by their ICMP type, or leave the ports out",
        ),
        Protocol::Number(_) => Fault::new(
            Field::Ports,
            format!("rules for protocol {protocol} cannot name ports"),
            "leave the ports out: only tcp, udp and sctp have them here",
        ),
    }
}

/// ICMP exists in one family only: prefixes of the other never match.
fn dead_peers(rule: &Rule, out: &mut Vec<Fault>) {
    let (family, other) = match rule.protocol {
        Protocol::ICMP => ("IPv4", "icmpv6"),
        Protocol::ICMPV6 => ("IPv6", "icmp"),
        _ => return,
    };
    let dead = |cidr: &IpNet| matches!(cidr, IpNet::V4(_)) != (family == "IPv4");
    let all_dead = rule.cidrs.iter().all(dead)
        && rule.prefix_lists.is_empty()
        && rule.groups.is_empty()
        && !rule.cidrs.is_empty();
    let protocol = rule.protocol;
    if all_dead {
        out.push(Fault::new(
            Field::Protocol,
            format!("the rule can never match: {protocol} exists in {family} only"),
            format!("write \"{other}\", or name {family} peers"),
        ));
        return;
    }
    for (index, cidr) in rule.cidrs.iter().enumerate().filter(|(_, cidr)| dead(cidr)) {
        out.push(Fault::new(
            Field::Cidr(index),
            format!("{cidr} can never match: {protocol} exists in {family} only"),
            format!("remove it, and write a second rule with protocol \"{other}\" for it"),
        ));
    }
}
