//! The policy model: groups, rules, prefix lists, interfaces and options.
//!
//! Values of these types are valid by construction where a type can say so; what spans several of
//! them (unknown references, equal rules) is checked by validation. Their serde form is what the
//! store keeps: the names of the policy file, defaults left out, unknown fields refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
pub use sg_common::tables::Timeouts;
pub use sg_common::verdict::Direction;

use super::block::Blocks;
pub use super::rules::Rules;
use super::serial;

/// Name of a group or prefix list: `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(crate) Arc<str>);

/// `sgr-` and 17 hexadecimal digits, derived from the rule's content (68 bits; compares as its text
/// does).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u128);

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The packet passes.
    #[default]
    Allow,
    /// The packet is dropped.
    Deny,
}

/// Protocol of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Every protocol.
    #[default]
    All,
    /// An IP protocol number. 6, 17 and 132 have ports; 1 is ICMP (IPv4 only), 58 ICMPv6 (IPv6
    /// only).
    Number(u8),
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, not before the first.
    pub last: u16,
}

/// Priority of a rule that names none.
pub const DEFAULT_PRIORITY: u16 = 1000;

/// One rule of a group, as it was entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rule {
    /// Allow or deny.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub action: Action,
    /// The lowest number decides.
    #[serde(skip_serializing_if = "serial::is_default_priority")]
    pub priority: u16,
    /// Protocol.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub protocol: Protocol,
    /// Destination ports; empty = all.
    #[serde(rename = "port", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortRange>,
    /// ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// ICMP code; only with a type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// Peers by address. All three peer lists empty = anywhere, both families.
    #[serde(rename = "cidr", skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<IpNet>,
    /// Peers by prefix list.
    #[serde(rename = "prefix-list", skip_serializing_if = "Vec::is_empty")]
    pub prefix_lists: Vec<Name>,
    /// Peers by group.
    #[serde(rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Name>,
    /// For people; not part of the rule's identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Group {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Static members, besides the addresses of its interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<IpNet>,
    /// Rules for packets towards the protected side, as entered.
    #[serde(skip_serializing_if = "Rules::is_empty")]
    pub ingress: Rules,
    /// Rules for packets away from it, as entered; the default egress rule, if the group has one, is
    /// an ordinary rule at the end.
    #[serde(skip_serializing_if = "Rules::is_empty")]
    pub egress: Rules,
}

/// A named set of CIDRs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PrefixList {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Entries, sorted, without doubles; overlaps stay.
    pub entries: Arc<[IpNet]>,
}

/// Whether packets are dropped or only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Verdicts are carried out.
    #[default]
    Enforce,
    /// Nothing is dropped; what would be is counted so.
    Monitor,
}

/// Which end of the interface is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// The host: ingress is what arrives at the interface.
    #[default]
    Host,
    /// The guest at the other end: ingress is what the host sends to it.
    Guest,
}

/// Where ingress packets are judged. Egress is always judged by TC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hook {
    /// The best that the device offers.
    #[default]
    Auto,
    /// XDP in the driver.
    Xdp,
    /// XDP on the socket buffer.
    XdpGeneric,
    /// Traffic control.
    Tc,
}

/// An interface of the policy, keyed by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Interface {
    /// Its groups; none = only always-passed traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Name>,
    /// Enforce or monitor.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub mode: Mode,
    /// Host or guest.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub side: Side,
    /// Requested hook.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub hook: Hook,
    /// Addresses of the guest (guest side only): its contribution to group members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Guest side: router advertisements and DHCP server messages from the guest are judged by the
    /// rules instead of dropped.
    #[serde(skip_serializing_if = "serial::is_default")]
    pub guest_servers: bool,
    /// The interface need not exist yet (`when-absent = "wait"`).
    #[serde(skip_serializing_if = "serial::is_default")]
    pub wait: bool,
}

/// `[options]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Connections that the table holds.
    pub conntrack_max: u32,
    /// Idle times in seconds.
    #[serde(with = "serial::timeouts")]
    pub timeouts: Timeouts,
    /// Always-passed kinds: bits of [`sg_common::tables::pass`].
    #[serde(rename = "always-pass", with = "serial::pass_kinds")]
    pub pass: u32,
    /// EtherTypes that pass; at most [`sg_common::tables::ETHER_TYPES`].
    #[serde(rename = "ethertypes")]
    pub ether_types: Vec<u16>,
}

/// Everything that a host is asked to enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `[options]`.
    pub options: Options,
    /// Prefix lists by name.
    pub prefix_lists: BTreeMap<Name, PrefixList>,
    /// Groups by name.
    pub groups: BTreeMap<Name, Group>,
    /// Interfaces by name.
    pub interfaces: BTreeMap<Arc<str>, Interface>,
    /// What is blocked. No file says it: it belongs to the host, whatever is applied.
    pub blocks: Blocks,
}

impl Group {
    /// Its two lists of rules.
    #[must_use]
    pub fn lists(&self) -> [(Direction, &Rules); 2] {
        [(Direction::Ingress, &self.ingress), (Direction::Egress, &self.egress)]
    }

    /// Its rules of a direction.
    #[must_use]
    pub fn list(&self, direction: Direction) -> &Rules {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Its two lists of rules, to be changed.
    pub fn lists_mut(&mut self) -> [(Direction, &mut Rules); 2] {
        [(Direction::Ingress, &mut self.ingress), (Direction::Egress, &mut self.egress)]
    }

    /// The ids of its rules, ingress first; `name` is its name.
    pub fn ids<'g>(&'g self, name: &'g Name) -> impl Iterator<Item = (Direction, RuleId)> {
        let lists = self.lists().into_iter();
        lists.flat_map(move |(way, list)| list.ids(name, way).map(move |id| (way, id)))
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            action: Action::Allow,
            priority: DEFAULT_PRIORITY,
            protocol: Protocol::All,
            ports: Vec::new(),
            icmp_type: None,
            icmp_code: None,
            cidrs: Vec::new(),
            prefix_lists: Vec::new(),
            groups: Vec::new(),
            description: String::new(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            conntrack_max: 1_000_000,
            timeouts: Timeouts::default(),
            pass: sg_common::tables::pass::ALL,
            ether_types: sg_common::tables::DEFAULT_ETHER_TYPES.to_vec(),
        }
    }
}
