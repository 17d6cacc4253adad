//! `[options]`.

use sg_common::tables::ETHER_TYPES;

use super::super::model::{Options, Timeouts};
use super::super::serial::PASS_KINDS;
use super::super::text::{Malformed, quoted};
use super::diagnostic::Severity;
use super::draft::Draft;
use super::reader::{Reader, Shape, plain};
use super::tree::{Entry, Node, Value, find};

/// The keys of the options.
pub(super) const KEYS: [&str; 5] =
    ["conntrack-max", "established", "timeouts", "always-pass", "ethertypes"];

/// Fewest connections that the table can be set to hold.
pub const CONNTRACK_LEAST: u32 = 1024;
/// Most connections that the table can be set to hold.
pub const CONNTRACK_MOST: u32 = 4_000_000;
/// Longest timeout in seconds: 31 days.
pub const TIMEOUT_MOST: u32 = 31 * 86_400;

/// EtherTypes that have a name in policy files.
pub const ETHERTYPE_NAMES: [(&str, u16); 4] =
    [("lldp", 0x88cc), ("eapol", 0x888e), ("ptp", 0x88f7), ("lacp", 0x8809)];

/// The names of the timeouts with the way to each.
#[must_use]
pub fn timeouts(timeouts: &mut Timeouts) -> [(&'static str, &mut u32); 8] {
    [
        ("tcp-opening", &mut timeouts.tcp_opening),
        ("tcp-established", &mut timeouts.tcp_established),
        ("tcp-closing", &mut timeouts.tcp_closing),
        ("udp-one-way", &mut timeouts.udp_one_way),
        ("udp-answered", &mut timeouts.udp_answered),
        ("icmp", &mut timeouts.icmp),
        ("sctp-established", &mut timeouts.sctp_established),
        ("other", &mut timeouts.other),
    ]
}

/// Reads the options of one file into the draft; several files may each set some.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>, draft: &mut Draft) {
    let help = "write [options] and its keys below";
    let Some(table) = reader.table(node, "`options`", help) else { return };
    let shape = Shape::new("`options`", &KEYS).later(&["conntrack-zone"]);
    reader.known_keys(table, &shape);
    for entry in table {
        let place = reader.here(entry.key_span);
        if let Some(first) = draft.options.insert(entry.key.to_string(), place) {
            let message = format!("the option `{}` is set in two files", entry.key);
            let others = vec![(first, "the first one".into())];
            reader.report(Severity::Error, place, message, "keep one of them", others);
            continue;
        }
        let options = &mut draft.policy.options;
        match &*entry.key {
            "conntrack-max" => {
                if let Some(n) = reader.number(entry, CONNTRACK_LEAST, CONNTRACK_MOST) {
                    options.conntrack_max = n;
                }
            }
            "established" => established(reader, entry),
            "timeouts" => read_timeouts(reader, entry, options),
            "always-pass" => always_pass(reader, entry, options),
            "ethertypes" => ethertypes(reader, entry, options),
            _ => {}
        }
    }
}

fn established(reader: &mut Reader<'_>, entry: &Entry<'_>) {
    match reader.text(entry, "\"recheck\"") {
        None | Some("recheck") => {}
        Some("keep") => reader.error(
            entry.node.span,
            "this version does not have established = \"keep\"",
            "write \"recheck\", or leave it out: every packet is judged by the rules of now",
        ),
        Some(text) => reader.error(
            entry.node.span,
            format!("{} is not a value of `established`", quoted(text)),
            "write \"recheck\"",
        ),
    }
}

fn read_timeouts(reader: &mut Reader<'_>, entry: &Entry<'_>, options: &mut Options) {
    let help = "write timeouts = { tcp-established = 432000 }";
    let Some(table) = reader.table(&entry.node, "`timeouts`", help) else { return };
    let mut places = timeouts(&mut options.timeouts);
    let keys = places.each_ref().map(|(key, _)| *key);
    reader.known_keys(table, &Shape::new("`timeouts`", &keys));
    for (key, value) in &mut places {
        if let Some(entry) = find(table, key)
            && let Some(seconds) = reader.number(entry, 1, TIMEOUT_MOST)
        {
            **value = seconds;
        }
    }
}

fn always_pass(reader: &mut Reader<'_>, entry: &Entry<'_>, options: &mut Options) {
    let help = "write always-pass = { dhcp = false }";
    let Some(table) = reader.table(&entry.node, "`always-pass`", help) else { return };
    let kinds = PASS_KINDS.map(|(kind, _)| kind);
    reader.known_keys(table, &Shape::new("`always-pass`", &kinds));
    for (kind, bit) in PASS_KINDS {
        match find(table, kind).and_then(|entry| reader.switch(entry)) {
            Some(true) => options.pass |= bit,
            Some(false) => options.pass &= !bit,
            None => {}
        }
    }
}

fn ethertypes(reader: &mut Reader<'_>, entry: &Entry<'_>, options: &mut Options) {
    let Some(items) = reader.list(entry, "\"lldp\", 0x88cc") else { return };
    let mut types: Vec<u16> = Vec::new();
    for item in items {
        let parsed = match &item.value {
            Value::Text(text) => ethertype(text),
            Value::Number(raw) => ethertype(&plain(raw)),
            _ => {
                let help = "write \"lldp\" or 0x88cc";
                reader.wrong_type(item, "an EtherType", "a text or a number", help);
                continue;
            }
        };
        types.extend(reader.parsed(item.span, parsed).filter(|t| !types.contains(t)));
    }
    if types.len() > ETHER_TYPES {
        let message = format!("{} EtherTypes, the limit is {ETHER_TYPES}", types.len());
        reader.error(entry.node.span, message, "name fewer");
        return;
    }
    options.ether_types = types;
}

fn ethertype(text: &str) -> Result<u16, Malformed> {
    if let Some((_, number)) = ETHERTYPE_NAMES.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    let message = format!("{} is not an EtherType", quoted(text));
    let help = "write \"lldp\", \"eapol\", \"ptp\", \"lacp\" or a number such as 0x88cc";
    let number = match text.strip_prefix("0x") {
        Some(hex) if hex.len() <= 4 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u16::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => super::super::text::number(text, "an EtherType", 0, 65535)
            .ok()
            .and_then(|n| u16::try_from(n).ok()),
    };
    match number {
        None => Err(Malformed::new(message, help)),
        Some(0..0x600) => Err(Malformed::new(message, "below 0x0600 the field is a length")),
        Some(number @ (0x0800 | 0x86dd | 0x0806 | 0x8100 | 0x88a8)) => Err(Malformed::new(
            format!("0x{number:04x} is judged by its own rules and cannot be listed"),
            "IP is judged by the rules of the groups, ARP by `always-pass`, VLAN tags are \
             looked through",
        )),
        Some(number) => Ok(number),
    }
}
