//! One host, or one network namespace of it: its desired state, its kernel, and every operation on
//! them that the command line offers.
//!
//! The command line calls this module alone; it prints, this module does.

mod bench;
mod block;
mod enforcer;
mod explain;
mod facts;
mod guard;
mod open;
mod placement;
mod restore;
mod status;
mod write;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sg_common::tables::{Counter, RuleCounter};
use sg_common::verdict::{Direction, Reason};

use crate::policy::block::Block;
use crate::policy::model::{Hook, Mode, Name, Policy, Rule, RuleId, Side};

pub use bench::{BenchRequest, Measured};
pub use block::Blocked;
pub(crate) use enforcer::Failure;
pub use open::Host;

/// Where a host's state and pins lie.
#[derive(Clone, Debug)]
pub struct Location {
    /// Network namespace to work in, by name or path; `None` = the caller's.
    pub netns: Option<String>,
    /// State directory, before the part that a namespace adds; `None` = the default.
    pub state_dir: Option<PathBuf>,
    /// Directory of pins, likewise.
    pub bpffs: Option<PathBuf>,
    /// How long to wait for another writer.
    pub lock_timeout: Duration,
}

/// How a write is done.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Refuse if the generation is another one.
    pub if_generation: Option<u64>,
    /// Do everything but change anything.
    pub dry_run: bool,
    /// Carry on where a guard would refuse (SSH connection lost).
    pub force: bool,
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// Generation in force now.
    pub generation: u64,
    /// False if the state was that already: no new generation was made.
    pub changed: bool,
    /// For the person at the terminal: fallbacks taken, empty deny rules, unused sources.
    pub warnings: Vec<String>,
}

/// What the kernel enforces and holds.
#[derive(Clone, Debug)]
pub struct Status {
    /// Generation in force.
    pub generation: u64,
    /// Whether what is stored is what is enforced.
    pub health: Health,
    /// Attached interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Rules of all groups.
    pub rules: usize,
    /// Groups.
    pub groups: usize,
    /// Prefix lists and their entries.
    pub prefix_lists: usize,
    /// Entries of all prefix lists.
    pub prefix_entries: usize,
    /// Addresses and networks that are blocked by themselves.
    pub blocked_addresses: usize,
    /// Prefix lists that are blocked.
    pub blocked_lists: usize,
    /// Memory of images in bytes.
    pub image_bytes: u64,
    /// Memory of counters, directory and connection table in bytes.
    pub map_bytes: u64,
    /// Connections that the table holds now, and may hold.
    pub connections: u64,
    /// `conntrack-max`.
    pub connections_max: u64,
}

/// Whether stored and enforced state agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do, and every program is in its place.
    Good,
    /// They do, but something needs a look; one sentence each.
    Degraded(Vec<String>),
    /// Interfaces of the state are not filtered; one sentence each.
    NotEnforced(Vec<String>),
}

/// One interface of the state.
#[derive(Clone, Debug)]
pub struct InterfaceStatus {
    /// Name in the policy.
    pub name: Arc<str>,
    /// Name of the device now, if it has another; `None` without a device.
    pub device: Option<String>,
    /// Index of the device.
    pub index: Option<u32>,
    /// Its groups.
    pub groups: Vec<Name>,
    /// Enforce or monitor.
    pub mode: Mode,
    /// Host or guest.
    pub side: Side,
    /// Hook as asked for.
    pub hook: Hook,
    /// Where ingress and egress of the device are judged now (`xdp`, `xdp-generic`, `tcx`,
    /// `clsact`); `None` = not attached.
    pub device_ingress: Option<&'static str>,
    /// As above, for what the host sends.
    pub device_egress: Option<&'static str>,
    /// Rules of its policy.
    pub rules: usize,
    /// One sentence for each thing that needs a look (foreign program in front, hook missing).
    pub notes: Vec<String>,
}

/// Counters of the whole host.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Generation at the time of reading.
    pub generation: u64,
    /// Each rule with what it decided.
    pub rules: Vec<RuleStats>,
    /// Each direction of each block with what it dropped.
    pub blocks: Vec<BlockStats>,
    /// Each interface, direction and reason that counted something.
    pub interfaces: Vec<ReasonStats>,
}

/// Counter of one direction of one block.
#[derive(Clone, Debug)]
pub struct BlockStats {
    /// What is blocked.
    pub block: Block,
    /// How many addresses and networks that are.
    pub entries: usize,
    /// The direction.
    pub direction: Direction,
    /// Identity of its rule.
    pub id: RuleId,
    /// What it dropped, enforced and in monitor mode.
    pub counter: RuleCounter,
}

/// Counter of one rule.
#[derive(Clone, Debug)]
pub struct RuleStats {
    /// Its group.
    pub group: Name,
    /// Its direction.
    pub direction: Direction,
    /// Its identity.
    pub id: RuleId,
    /// What it decided, enforced and in monitor mode.
    pub counter: RuleCounter,
}

/// Counter of one reason on one interface.
#[derive(Clone, Debug)]
pub struct ReasonStats {
    /// Name in the policy.
    pub interface: Arc<str>,
    /// Direction as the policy sees it.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
    /// Monitor mode let these pass; enforced they would have been dropped.
    pub would: bool,
    /// How much.
    pub counter: Counter,
}

/// A packet to explain.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Interface by its name in the policy.
    pub interface: String,
    /// Direction as the policy sees it.
    pub direction: Direction,
    /// IP protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port; for ICMP queries the identifier.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// TCP flags, as in the header's byte.
    pub tcp_flags: u8,
    /// Look at the connection table.
    pub with_state: bool,
}

/// What the kernel's code says of a probe, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The verdict's reason.
    pub reason: Reason,
    /// Whether the packet passes on this interface as it is (in monitor mode everything does).
    pub passes: bool,
    /// Whether it would pass if the mode were `enforce`.
    pub allowed: bool,
    /// The interface's mode.
    pub mode: Mode,
    /// The rule that decided; `None` = no rule did.
    pub deciding: Option<ExplainedRule>,
    /// Other rules that match the packet, in the order in which they would decide.
    pub others: Vec<ExplainedRule>,
    /// For a deny: the nearest rule that would have allowed it, and what differs.
    pub near_miss: Option<(ExplainedRule, String)>,
    /// What the other direction's rules say of the mirrored packet: allowed or not, by which rule.
    pub reverse: Option<(bool, Option<ExplainedRule>)>,
    /// Generation that was asked; `None` = a candidate file.
    pub generation: Option<u64>,
    /// Further sentences (the connection table was not looked at, answer to multicast, …).
    pub notes: Vec<String>,
}

/// A rule in an explanation.
#[derive(Clone, Debug)]
pub struct ExplainedRule {
    /// Its group; `None` = it is a block.
    pub group: Option<Name>,
    /// Its direction.
    pub direction: Direction,
    /// Its identity.
    pub id: RuleId,
    /// The rule as entered; of blocked addresses those that hold the peer.
    pub rule: Rule,
}

/// What `restore` did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Generation in force now.
    pub generation: u64,
    /// Interfaces attached by this call.
    pub attached: Vec<Arc<str>>,
    /// Interfaces of the state without a device yet.
    pub absent: Vec<Arc<str>>,
    /// Interfaces whose device is there and could not be attached; a warning says why.
    pub failed: Vec<Arc<str>>,
    /// As in [`Written::warnings`].
    pub warnings: Vec<String>,
}

/// The state as a reader sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// Generation of the state.
    pub generation: u64,
    /// The desired policy.
    pub policy: Policy,
    /// Member addresses of each group as enforced.
    pub members: BTreeMap<Name, Vec<ipnet::IpNet>>,
}
