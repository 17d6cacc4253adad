//! Bytes of one rule.
//!
//! ```text
//! flags      1   1 deny, 2 protocol number, 4 ICMP type, 8 ICMP code, 16 slot
//! priority   2
//! protocol   1   only with flag 2
//! ICMP type  1   only with flag 4
//! ICMP code  1   only with flag 8
//! ports          count, then first (2) and last (2) of each
//! CIDRs          count, then each network
//! prefix lists   count, then each name
//! groups         count, then each name
//! description    text
//! slot       4   only with flag 16: the rule's counter slot
//! ```
//!
//! Through its slot a rule finds its id, which the slots' documents have, without a hash of what it
//! says. Stores of format 1 and 2 have no slots here.

use super::bytes::{Malformed, Reader, net, put_count, put_net, put_text};
use super::name;
use crate::policy::model::{Action, PortRange, Protocol, Rule};

const DENY: u8 = 1;
const NUMBER: u8 = 2;
const ICMP_TYPE: u8 = 4;
const ICMP_CODE: u8 = 8;
const SLOT: u8 = 16;

/// Appends a rule with its counter slot, if it has one.
pub(super) fn put_rule(out: &mut Vec<u8>, rule: &Rule, slot: Option<u32>) {
    let Rule {
        action,
        priority,
        protocol,
        ports,
        icmp_type,
        icmp_code,
        cidrs,
        prefix_lists,
        groups,
        description,
    } = rule;
    let mut flags = 0;
    let mut bytes = [0; 3];
    let mut used = 0;
    let mut optional = |flag, value: Option<u8>| {
        if let Some(value) = value {
            flags |= flag;
            bytes[used] = value;
            used += 1;
        }
    };
    optional(
        NUMBER,
        match protocol {
            Protocol::All => None,
            Protocol::Number(number) => Some(*number),
        },
    );
    optional(ICMP_TYPE, *icmp_type);
    optional(ICMP_CODE, *icmp_code);
    if *action == Action::Deny {
        flags |= DENY;
    }
    if slot.is_some() {
        flags |= SLOT;
    }
    out.push(flags);
    out.extend_from_slice(&priority.to_be_bytes());
    out.extend_from_slice(&bytes[..used]);
    put_count(out, ports.len() as u64);
    for range in ports {
        out.extend_from_slice(&range.first.to_be_bytes());
        out.extend_from_slice(&range.last.to_be_bytes());
    }
    put_count(out, cidrs.len() as u64);
    cidrs.iter().for_each(|net| put_net(out, net));
    for names in [prefix_lists, groups] {
        put_count(out, names.len() as u64);
        names.iter().for_each(|name| put_text(out, &name.0));
    }
    put_text(out, description);
    out.extend(slot.iter().flat_map(|slot| slot.to_be_bytes()));
}

/// Whether a chunk of rules has their counter slots: if the first one has, all have that have one.
pub(super) fn has_slots(chunk: &[u8]) -> bool {
    chunk.first().is_some_and(|flags| flags & SLOT != 0)
}

/// Reads a rule and its counter slot.
pub(super) fn rule(reader: &mut Reader<'_>) -> Result<(Rule, Option<u32>), Malformed> {
    let flags = reader.byte()?;
    if flags & !(DENY | NUMBER | ICMP_TYPE | ICMP_CODE | SLOT) != 0 {
        return Err(Malformed("a rule with unknown flags"));
    }
    let priority = reader.u16()?;
    let mut optional = |flag| if flags & flag == 0 { Ok(None) } else { reader.byte().map(Some) };
    let protocol = optional(NUMBER)?.map_or(Protocol::All, Protocol::Number);
    let icmp_type = optional(ICMP_TYPE)?;
    let icmp_code = optional(ICMP_CODE)?;
    let ports = reader.list(|reader| {
        let range = PortRange { first: reader.u16()?, last: reader.u16()? };
        if range.first > range.last {
            return Err(Malformed("a port range that ends before it begins"));
        }
        Ok(range)
    })?;
    let rule = Rule {
        action: if flags & DENY == 0 { Action::Allow } else { Action::Deny },
        priority,
        protocol,
        ports,
        icmp_type,
        icmp_code,
        cidrs: reader.list(net)?,
        prefix_lists: reader.list(|reader| reader.text().map(name))?,
        groups: reader.list(|reader| reader.text().map(name))?,
        description: reader.text()?.to_owned(),
    };
    let slot = if flags & SLOT == 0 { None } else { Some(reader.array().map(u32::from_be_bytes)?) };
    Ok((rule, slot))
}
