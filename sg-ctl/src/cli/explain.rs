//! `sg-ctl explain`.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use sg_common::verdict::Reason;

use super::context::{Context, Reply};
use super::files::load_one;
use super::listing::{Colour, Listing, Style};
use super::report::wrong_usage;
use super::rule_view::RuleView;
use super::table::pairs;
use super::words;
use crate::host::{Explanation, Probe};
use crate::policy::cidr;
use crate::policy::model::{Direction, Mode, Protocol};
use crate::policy::text::{self, Malformed, number, quoted};

/// Say what happens to a packet, and which rule decides
///
/// The very code that judges packets in the kernel is asked, on the tables that it uses. It counts
/// nothing and learns nothing. The packet is taken for the first of its connection, unless --state
/// has the connection table looked at.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl explain eth0 ingress --protocol tcp --source 203.0.113.9 --destination 192.0.2.1:22
  sg-ctl explain eth0 ingress --protocol udp --source '[2001:db8::9]:5353' \\
      --destination '[2001:db8::1]:53' --exit-code
  sg-ctl explain eth0 ingress --protocol icmp --icmp-type 8 --source 203.0.113.9 \\
      --destination 192.0.2.1
  sg-ctl explain eth0 egress -f new.toml --protocol tcp --source 192.0.2.1 \\
      --destination 198.51.100.7:443")]
pub(crate) struct Args {
    /// The interface, by its name in the policy
    #[arg(value_name = "IFACE", value_parser = text::interface_name)]
    interface: Arc<str>,

    /// Whether the packet goes to the protected side, or comes from it
    #[arg(value_parser = words::direction())]
    direction: Direction,

    /// tcp, udp, sctp, icmp, icmpv6, or a number
    #[arg(long, value_name = "PROTOCOL", value_parser = one_protocol)]
    protocol: Protocol,

    /// Where it comes from: ADDR, ADDR:PORT or [V6ADDR]:PORT
    #[arg(long, value_name = "ADDR[:PORT]")]
    source: Endpoint,

    /// Where it goes to: ADDR, ADDR:PORT or [V6ADDR]:PORT
    #[arg(long, value_name = "ADDR[:PORT]")]
    destination: Endpoint,

    /// TCP flags, with commas: fin, syn, rst, psh, ack, urg, ece, cwr; or none
    #[arg(long, value_name = "FLAG,…", value_parser = tcp_flags, default_value = "syn")]
    tcp_flags: u8,

    /// ICMP type [default: that of an echo request]
    #[arg(long, value_name = "N", value_parser = words::icmp)]
    icmp_type: Option<u8>,

    /// ICMP code
    #[arg(long, value_name = "N", value_parser = words::icmp, default_value = "0")]
    icmp_code: u8,

    /// Look at the connection table as well
    #[arg(long)]
    state: bool,

    /// Ask a policy file instead of what is in force
    #[arg(short, long = "file", value_name = "FILE")]
    file: Option<PathBuf>,

    /// End with 3 if the packet is denied, or would be but for monitor mode
    #[arg(long)]
    exit_code: bool,
}

/// A port of a client that nobody named: the first of those that are never registered.
const CLIENT_PORT: u16 = 49152;

/// An address with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    port: Option<u16>,
}

impl FromStr for Endpoint {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let port = |port: &str| {
            number(port, "port", 0, 65535).map(|n| Some(u16::try_from(n).unwrap_or(u16::MAX)))
        };
        if let Some(rest) = text.strip_prefix('[') {
            let (address, behind) = rest.split_once(']').ok_or_else(|| {
                Malformed::new(format!("{} has no `]`", quoted(text)), "write [2001:db8::7]:443")
            })?;
            let address: Ipv6Addr = address.parse().map_err(|_| {
                let message = format!("{} is not an IPv6 address", quoted(address));
                Malformed::new(message, "in brackets stands an IPv6 address: [2001:db8::7]:443")
            })?;
            let port = match behind.strip_prefix(':') {
                Some(behind) => port(behind)?,
                None if behind.is_empty() => None,
                None => {
                    let message = format!("{} has more text behind the `]`", quoted(text));
                    return Err(Malformed::new(message, "write [2001:db8::7]:443"));
                }
            };
            return Ok(Self { address: address.into(), port });
        }
        match text.split_once(':') {
            // One colon: IPv4 with a port. More: an IPv6 address without one.
            Some((address, behind)) if !behind.contains(':') => {
                Ok(Self { address: cidr::address(address)?, port: port(behind)? })
            }
            _ => Ok(Self { address: cidr::address(text)?, port: None }),
        }
    }
}

fn one_protocol(text: &str) -> Result<Protocol, Malformed> {
    match text.parse()? {
        Protocol::All => Err(Malformed::new(
            "a packet has one protocol, not all",
            "write \"tcp\", \"udp\", \"sctp\", \"icmp\", \"icmpv6\" or a number",
        )),
        one => Ok(one),
    }
}

/// Names of TCP flags, from the lowest bit (RFC 9293 section 3.1).
const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

fn tcp_flags(text: &str) -> Result<u8, Malformed> {
    if text == "none" {
        return Ok(0);
    }
    let mut flags = 0;
    for word in text.split(',') {
        let Some(bit) = TCP_FLAGS.iter().position(|flag| *flag == word) else {
            let message = format!("{} is not a TCP flag", quoted(word));
            return Err(Malformed::new(message, format!("write {} or none", TCP_FLAGS.join(", "))));
        };
        flags |= 1 << bit;
    }
    Ok(flags)
}

fn flag_names(flags: u8) -> String {
    let set = TCP_FLAGS.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 != 0);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

impl Args {
    /// The packet that is asked about.
    fn probe(&self) -> anyhow::Result<Probe> {
        let Protocol::Number(protocol) = self.protocol else {
            return Err(wrong_usage("a packet has one protocol", "name it with --protocol"));
        };
        let (source, destination) = (self.source, self.destination);
        if source.address.is_ipv4() != destination.address.is_ipv4() {
            return Err(wrong_usage(
                format!("{} and {} are not of one family", source.address, destination.address),
                "name two IPv4 or two IPv6 addresses",
            ));
        }
        let ports = self.protocol.has_ports();
        if ports && destination.port.is_none() {
            return Err(wrong_usage(
                format!("a {} packet has a destination port", self.protocol),
                match destination.address {
                    IpAddr::V4(address) => format!("write --destination {address}:PORT"),
                    IpAddr::V6(address) => format!("write --destination '[{address}]:PORT'"),
                },
            ));
        }
        let icmp = self.protocol.is_icmp();
        if !ports && destination.port.is_some() || !ports && !icmp && source.port.is_some() {
            return Err(wrong_usage(
                format!("protocol {} has no ports", self.protocol),
                "leave the ports out",
            ));
        }
        if self.icmp_type.is_some() && !icmp {
            return Err(wrong_usage(
                format!("protocol {} has no ICMP type", self.protocol),
                "leave --icmp-type out, or say --protocol icmp or icmpv6",
            ));
        }
        let echo_request = if self.protocol == Protocol::ICMPV6 { 128 } else { 8 };
        let source_port = if ports { CLIENT_PORT } else { 0 };
        Ok(Probe {
            interface: self.interface.to_string(),
            direction: self.direction,
            protocol,
            source: source.address,
            destination: destination.address,
            source_port: source.port.unwrap_or(source_port),
            destination_port: destination.port.unwrap_or_default(),
            icmp_type: if icmp { self.icmp_type.unwrap_or(echo_request) } else { 0 },
            icmp_code: if icmp { self.icmp_code } else { 0 },
            tcp_flags: self.tcp_flags,
            with_state: self.state,
        })
    }
}

/// The answer of `explain`.
#[derive(Debug, Serialize)]
struct Answer {
    interface: String,
    direction: &'static str,
    /// The generation that was asked; `null` = a policy file.
    generation: Option<u64>,
    mode: &'static str,
    packet: Packet,
    /// `allow` or `deny`, as in mode `enforce`.
    verdict: &'static str,
    /// Whether the packet passes, in the mode that the interface has.
    passes: bool,
    reason: &'static str,
    sentence: &'static str,
    /// The deciding rule; `null` if no rule decided.
    rule: Option<RuleView>,
    /// Other rules that match, in the order in which they would decide.
    others: Vec<RuleView>,
    /// For a deny: the nearest rule that would have allowed the packet.
    nearest: Option<Nearest>,
    /// What the other direction's rules say of the mirrored packet.
    reverse: Option<Reverse>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Packet {
    protocol: String,
    source: IpAddr,
    source_port: Option<u16>,
    destination: IpAddr,
    destination_port: Option<u16>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    tcp_flags: Option<String>,
}

#[derive(Debug, Serialize)]
struct Nearest {
    rule: RuleView,
    differs: String,
}

#[derive(Debug, Serialize)]
struct Reverse {
    allowed: bool,
    rule: Option<RuleView>,
}

impl Answer {
    fn new(probe: &Probe, explanation: Explanation) -> Self {
        let protocol = Protocol::Number(probe.protocol);
        let (ports, icmp) = (protocol.has_ports(), protocol.is_icmp());
        // What no rule decided has none, whatever lookup found on its way there.
        let by_rule = !matches!(
            explanation.reason,
            Reason::ImplicitDeny | Reason::ImplicitDenyGroup | Reason::Always | Reason::NoPolicy
        );
        Self {
            interface: probe.interface.clone(),
            direction: probe.direction.name(),
            generation: explanation.generation,
            mode: explanation.mode.name(),
            packet: Packet {
                protocol: protocol.to_string(),
                source: probe.source,
                source_port: ports.then_some(probe.source_port),
                destination: probe.destination,
                destination_port: ports.then_some(probe.destination_port),
                icmp_type: icmp.then_some(probe.icmp_type),
                icmp_code: icmp.then_some(probe.icmp_code),
                tcp_flags: (protocol == Protocol::TCP).then(|| flag_names(probe.tcp_flags)),
            },
            verdict: if explanation.allowed { "allow" } else { "deny" },
            passes: explanation.passes,
            reason: explanation.reason.name(),
            sentence: explanation.reason.sentence(),
            rule: explanation.deciding.as_ref().filter(|_| by_rule).map(RuleView::from),
            others: explanation.others.iter().map(RuleView::from).collect(),
            nearest: explanation
                .near_miss
                .as_ref()
                .map(|(rule, differs)| Nearest { rule: rule.into(), differs: differs.clone() }),
            reverse: explanation.reverse.as_ref().map(|(allowed, rule)| Reverse {
                allowed: *allowed,
                rule: rule.as_ref().map(RuleView::from),
            }),
            notes: explanation.notes,
        }
    }

    /// What decided, in words: a rule, or the reason (`implicit deny`).
    fn decided(&self) -> String {
        match &self.rule {
            Some(rule) => rule.sentence(),
            None => self.reason.replace('-', " "),
        }
    }
}

impl Packet {
    fn line(&self) -> String {
        let end = |address: &IpAddr, port: Option<u16>| match (address, port) {
            (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
            (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
            (address, None) => address.to_string(),
        };
        let mut line = format!(
            "{} {} -> {}",
            self.protocol,
            end(&self.source, self.source_port),
            end(&self.destination, self.destination_port)
        );
        if let (Some(kind), Some(code)) = (self.icmp_type, self.icmp_code) {
            line.push_str(&format!(", type {kind} code {code}"));
        }
        if let Some(flags) = &self.tcp_flags {
            line.push_str(&format!(", flags {flags}"));
        }
        line
    }
}

impl Listing for Answer {
    fn text(&self, style: &Style) -> String {
        let verdict = match (self.verdict, self.mode == Mode::Monitor.name()) {
            ("allow", _) => style.paint(Colour::Green, "allow"),
            (_, false) => style.paint(Colour::Red, "deny"),
            (_, true) => format!(
                "{} in mode enforce; it passes in mode monitor",
                style.paint(Colour::Yellow, "deny")
            ),
        };
        let asked = match self.generation {
            Some(generation) => format!("generation {generation}"),
            None => "a policy file".to_owned(),
        };
        let mut lines = vec![
            ("verdict", verdict),
            ("decided by", self.decided()),
            ("reason", format!("{}: {}", self.reason, self.sentence)),
            ("packet", self.packet.line()),
            (
                "judged on",
                format!("{} {}, mode {}, {asked}", self.interface, self.direction, self.mode),
            ),
        ];
        for other in &self.others {
            lines.push(("also matches", other.sentence()));
        }
        if let Some(Nearest { rule, differs }) = &self.nearest {
            lines.push(("nearest allow", format!("{}; but {differs}", rule.sentence())));
        }
        if let Some(Reverse { allowed, rule }) = &self.reverse {
            let by = rule.as_ref().map_or_else(|| "no rule".to_owned(), RuleView::sentence);
            let word = if *allowed { "allowed" } else { "denied" };
            lines.push(("other direction", format!("{word} by {by}")));
        }
        for note in &self.notes {
            lines.push(("note", note.clone()));
        }
        pairs(&lines)
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let probe = args.probe()?;
    let candidate = args.file.as_deref().map(|path| load_one(context, path)).transpose()?;
    let explanation = context.host()?.explain(&probe, candidate.as_ref())?;
    let denied = !explanation.allowed;
    let reply = context.reply(&Answer::new(&probe, explanation))?;
    Ok(Reply { code: if args.exit_code && denied { 3 } else { 0 }, ..reply })
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
