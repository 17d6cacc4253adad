//! The compiler: resolved rules of one direction -> classifier image. Pure, no I/O.

use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::model::{Action, PortRange, Protocol, RuleId};

/// A rule with its peers resolved: what the compiler works on.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Identity; the last tie-break.
    pub id: RuleId,
    /// Counter slot, 1 to [`sg_common::tables::RULE_SLOTS`] - 1.
    pub slot: u32,
    /// Allow or deny.
    pub action: Action,
    /// The lowest number decides.
    pub priority: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination ports, sorted and merged; empty = all.
    pub ports: Vec<PortRange>,
    /// ICMP type, with its code if that is compared too.
    pub icmp: Option<(u8, Option<u8>)>,
    /// Peers; `None` = anywhere, both families. `Some` with nothing inside matches nothing.
    pub peers: Option<Vec<Arc<[IpNet]>>>,
}
