//! Ids derived from content: the same on every host and after every re-apply.
//!
//! A rule's id is a hash of its group, its direction and its canonical form, in this encoding
//! (integers big-endian, texts and lists with their length as `u32` in front):
//!
//! | field | bytes |
//! | --- | --- |
//! | group | text |
//! | direction | `u8`: 0 ingress, 1 egress |
//! | action | `u8`: 0 allow, 1 deny |
//! | priority | `u16` |
//! | protocol | `u16`: the number, or 256 for all |
//! | ports | list of (`u16` first, `u16` last) |
//! | ICMP type, ICMP code | `u16` each: the number, or 256 for absent |
//! | CIDRs | list of (`u8` 4 or 6, the address, `u8` prefix length) |
//! | prefix lists, groups | lists of texts |
//!
//! That of a block is a hash of its direction and, if it is one of a prefix list, the list's name.
//!
//! The hash is BLAKE3 in key-derivation mode, its context naming what is identified. An id is its
//! first 68 bits.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::canonical;
use super::model::{Action, Direction, Name, Protocol, Rule, RuleId};
use super::text::{Malformed, quoted, serde_as_text};

/// Hexadecimal digits of an id.
const DIGITS: usize = 17;

/// `sg-` and 17 hexadecimal digits, derived from a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u128);

/// `pl-` and 17 hexadecimal digits, derived from a prefix list's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixListId(pub u128);

impl RuleId {
    /// The id of a rule of a group.
    #[must_use]
    pub fn of(group: &Name, direction: Direction, rule: &Rule) -> Self {
        let parts = canonical::parts(rule);
        let mut bytes = Vec::with_capacity(128);
        text(&mut bytes, group.as_str());
        bytes.push(match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        });
        bytes.push(match rule.action {
            Action::Allow => 0,
            Action::Deny => 1,
        });
        bytes.extend(rule.priority.to_be_bytes());
        let protocol = match rule.protocol {
            Protocol::All => 256,
            Protocol::Number(n) => u16::from(n),
        };
        bytes.extend(protocol.to_be_bytes());
        length(&mut bytes, parts.ports.len());
        for range in parts.ports.iter() {
            bytes.extend(range.first.to_be_bytes());
            bytes.extend(range.last.to_be_bytes());
        }
        for icmp in [rule.icmp_type, rule.icmp_code] {
            bytes.extend(icmp.map_or(256, u16::from).to_be_bytes());
        }
        length(&mut bytes, parts.cidrs.len());
        for cidr in parts.cidrs.iter() {
            match cidr.addr() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend(ip.octets());
                }
            }
            bytes.push(cidr.prefix_len());
        }
        for names in [&parts.prefix_lists, &parts.groups] {
            length(&mut bytes, names.len());
            for name in names.iter() {
                text(&mut bytes, name.as_str());
            }
        }
        // The context is the same for all rules: its hash is made once.
        static CONTEXT: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("sg 2026 rule identity 1"));
        let hash = blake3::Hasher::new_from_context_key(&CONTEXT).update(&bytes).finalize();
        Self(first_digits(hash.as_bytes()))
    }

    /// The id of a block's rule: of a blocked prefix list, or of all blocked addresses together.
    #[must_use]
    pub fn of_block(list: Option<&Name>, direction: Direction) -> Self {
        let mut bytes = vec![match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        }];
        if let Some(name) = list {
            text(&mut bytes, name.as_str());
        }
        Self(digest("sg 2026 block identity 1", &bytes))
    }
}

impl GroupId {
    /// The id of the group of this name.
    #[must_use]
    pub fn of(name: &Name) -> Self {
        Self(digest("sg 2026 group identity 1", name.as_str().as_bytes()))
    }
}

impl PrefixListId {
    /// The id of the prefix list of this name.
    #[must_use]
    pub fn of(name: &Name) -> Self {
        Self(digest("sg 2026 prefix list identity 1", name.as_str().as_bytes()))
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    length(bytes, text.len());
    bytes.extend(text.as_bytes());
}

fn length(bytes: &mut Vec<u8>, length: usize) {
    // No list or text of a policy comes near 2^32 (limits are far below).
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn digest(context: &str, bytes: &[u8]) -> u128 {
    first_digits(&blake3::derive_key(context, bytes))
}

fn first_digits(hash: &[u8; 32]) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(first) >> (128 - 4 * DIGITS)
}

macro_rules! id_text {
    ($($type:ident, $prefix:literal, $what:literal;)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{:017x}"), self.0))
            }
        }

        impl FromStr for $type {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == DIGITS)
                    .filter(|hex| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|hex| u128::from_str_radix(hex, 16).ok())
                    .map(Self)
                    .ok_or_else(|| Malformed::new(
                        format!(concat!("{} is not the id of ", $what), quoted(text)),
                        concat!("an id is `", $prefix, "` and 17 digits of 0-9 and a-f"),
                    ))
            }
        }
    )*};
}

id_text! {
    RuleId, "sgr-", "a rule";
    GroupId, "sg-", "a group";
    PrefixListId, "pl-", "a prefix list";
}

serde_as_text!(RuleId, GroupId, PrefixListId);

#[cfg(test)]
mod tests {
    use super::super::model::PortRange;
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn https() -> Rule {
        Rule {
            protocol: Protocol::TCP,
            ports: vec![PortRange::one(443)],
            cidrs: vec!["0.0.0.0/0".parse().unwrap()],
            ..Rule::default()
        }
    }

    #[test]
    fn ids_never_change() {
        // Counters and references live on from version to version: these values are a contract.
        let id = RuleId::of(&name("web"), Direction::Ingress, &https());
        assert_eq!(id.to_string(), "sgr-6148e4656271076e6");
        assert_eq!(GroupId::of(&name("web")).to_string(), "sg-93336816c850f1d76");
        assert_eq!(PrefixListId::of(&name("web")).to_string(), "pl-d750f208aaae845a0");
    }

    #[test]
    fn every_field_but_the_description_counts() {
        let base = RuleId::of(&name("web"), Direction::Ingress, &https());
        let described = Rule { description: "x".into(), ..https() };
        assert_eq!(RuleId::of(&name("web"), Direction::Ingress, &described), base);

        let changed = [
            Rule { action: Action::Deny, ..https() },
            Rule { priority: 0, ..https() },
            Rule { protocol: Protocol::UDP, ..https() },
            Rule { protocol: Protocol::All, ports: vec![], ..https() },
            Rule { ports: vec![], ..https() },
            Rule { ports: vec![PortRange { first: 443, last: 444 }], ..https() },
            Rule { icmp_type: Some(0), ..https() },
            Rule { icmp_type: Some(0), icmp_code: Some(0), ..https() },
            Rule { cidrs: vec![], ..https() },
            Rule { cidrs: vec!["::/0".parse().unwrap()], ..https() },
            Rule { cidrs: vec!["0.0.0.0/1".parse().unwrap()], ..https() },
            Rule { prefix_lists: vec![name("a")], ..https() },
            Rule { groups: vec![name("a")], ..https() },
        ];
        let mut ids: Vec<_> = changed
            .iter()
            .map(|rule| RuleId::of(&name("web"), Direction::Ingress, rule))
            .chain([
                base,
                RuleId::of(&name("web"), Direction::Egress, &https()),
                RuleId::of(&name("web2"), Direction::Ingress, &https()),
            ])
            .collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn spelling_and_order_do_not_count() {
        let id = |rule: &Rule| RuleId::of(&name("g"), Direction::Ingress, rule);
        let ports = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
        let a = Rule { ports: ports(&["80", "81"]), ..https() };
        let b = Rule { ports: ports(&["80-81"]), ..https() };
        assert_eq!(id(&a), id(&b));
        let a = Rule { groups: vec![name("a"), name("b"), name("a")], ..https() };
        let b = Rule { groups: vec![name("b"), name("a")], ..https() };
        assert_eq!(id(&a), id(&b));
    }

    #[test]
    fn texts_of_ids_are_strict() {
        let id = RuleId(0xf_ffff_0000_1111_2222);
        assert_eq!(id.to_string(), "sgr-fffff000011112222");
        assert_eq!(id.to_string().parse::<RuleId>().unwrap(), id);
        assert_eq!(RuleId(1).to_string(), "sgr-00000000000000001");
        for bad in [
            "",
            "sgr-",
            "sg-00000000000000001",
            "sgr-0000000000000001",
            "sgr-0000000000000000A",
            "sgr-+0000000000000001",
            "SGR-00000000000000001",
        ] {
            assert!(bad.parse::<RuleId>().is_err(), "{bad}");
        }
    }
}
