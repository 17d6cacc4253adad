//! Values of the maps that the controller and the kernel programs share.
//!
//! All integers are in host byte order. Every map is a `BPF_MAP_TYPE_ARRAY` with
//! `BPF_F_MMAPABLE`, except the outer image maps, so the controller works on them through `mmap`.
//! Names of the pins are the `pin` constants.

use bytemuck::{Pod, Zeroable};

use crate::verdict::REASONS;

/// Version of everything in this file and of the image layout. A controller refuses maps of
/// another version.
pub const LAYOUT_VERSION: u32 = 2;

/// Names of the pinned maps, which are also their names in the eBPF object.
pub mod pin {
    /// One [`super::Control`].
    pub const CONTROL: &str = "SG_CONTROL";
    /// Two directories of [`super::ENDPOINTS`] entries.
    pub const DIRECTORY: &str = "SG_DIRECTORY";
    /// Two [`super::Settings`], one for each directory.
    pub const SETTINGS: &str = "SG_SETTINGS";
    /// [`super::RuleCounter`]s: shard times [`super::RULE_SLOTS`] plus slot.
    pub const RULE_COUNTERS: &str = "SG_RULE_COUNTERS";
    /// [`super::Counter`]s: see [`super::reason_index`].
    pub const REASON_COUNTERS: &str = "SG_REASON_COUNTERS";
    /// Connection table: one 64-byte line of eight words for each bucket.
    pub const BUCKETS: &str = "SG_CT_BUCKETS";
    /// Connection table: eight 64-byte entries for each bucket.
    pub const CONNECTIONS: &str = "SG_CT_ENTRIES";
    /// Prefix of the outer image maps; the size class follows (`SG_IMAGES_0`).
    pub const IMAGES: &str = "SG_IMAGES_";
    /// One [`super::Explanation`]. Not pinned: every load of the programs has its own.
    pub const EXPLAIN: &str = "SG_EXPLAIN";
    /// [`super::TRACE_HEADERS`] headers for the drivers of `sg-ctl bench`. Not pinned either.
    pub const TRACE: &str = "SG_TRACE";
}

/// Attached interfaces that one set of maps holds.
pub const ENDPOINTS: u32 = 1024;

/// Size classes of images: the bytes of one value of the inner maps of each outer map.
pub const IMAGE_CLASSES: [u32; 6] = [4 << 10, 32 << 10, 256 << 10, 2 << 20, 16 << 20, 128 << 20];

/// Places in each outer image map.
pub const IMAGES_PER_CLASS: u32 = 4096;

/// Where an image lies: its size class in the upper and its place in the lower 16 bits.
#[inline(always)]
#[must_use]
pub const fn image_slot(class: u32, place: u32) -> u32 {
    class << 16 | place
}

/// Places for counters of rules on one host. Place 0 belongs to no rule.
pub const RULE_SLOTS: u32 = 1 << 18;

/// Largest number of shards of the counters; a power of two. CPUs share a shard by
/// `cpu & (shards - 1)`, and where shards are fewer than CPUs additions are atomic.
pub const MAX_SHARDS: u32 = 16;

/// What every run of a program reads first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Control {
    /// The generation in force. Its lowest bit names the directory in force. Flipped by one
    /// atomic store.
    pub generation: u64,
    /// Seed of the connection table's hash; random, never zero.
    pub hash_seed: u64,
    /// Buckets of the connection table.
    pub buckets: u32,
    /// [`LAYOUT_VERSION`] of the controller that made the maps.
    pub version: u32,
    /// Connections that the user asked the table to hold.
    pub conntrack_max: u32,
    /// Zero.
    pub reserved: [u32; 9],
}

/// The entry is in force. Without this flag the interface is being attached: everything passes,
/// and connections are learned.
pub const ENTRY_ACTIVE: u32 = 1;
/// Nothing is dropped; what would be is counted so.
pub const ENTRY_MONITOR: u32 = 2;
/// The protected side is the guest at the other end.
pub const ENTRY_GUEST: u32 = 4;
/// A guest may send router advertisements and DHCP server messages.
pub const ENTRY_GUEST_SERVERS: u32 = 8;
/// Until [`DirectoryEntry::learn_until`] a TCP packet towards the protected side, without SYN and
/// RST, with F allow and R deny opens an entry as opened by the peer (spec §2.12).
pub const ENTRY_LEARN_PEER: u32 = 16;
/// Likewise with F deny and R allow, as opened by the protected side.
pub const ENTRY_LEARN_OWN: u32 = 32;

/// What the directory in force says of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DirectoryEntry {
    /// `ENTRY_*` flags; 0 = no such endpoint, or attach pending.
    pub flags: u32,
    /// Zone of the connections (spec §2.8).
    pub zone: u32,
    /// [`image_slot`] of the ingress and of the egress image.
    pub images: [u32; 2],
    /// `CLOCK_MONOTONIC` seconds at which learning ends.
    pub learn_until: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// Index into the directory map.
#[inline(always)]
#[must_use]
pub const fn directory_index(generation: u64, endpoint: u32) -> u32 {
    (generation & 1) as u32 * ENDPOINTS + endpoint
}

/// Idle times after which an entry of the connection table ends, in seconds (spec §2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Timeouts {
    /// TCP before the handshake ends.
    pub tcp_opening: u32,
    /// TCP after it.
    pub tcp_established: u32,
    /// TCP after a FIN of both sides or a RST.
    pub tcp_closing: u32,
    /// UDP that was not answered.
    pub udp_one_way: u32,
    /// UDP that was.
    pub udp_answered: u32,
    /// ICMP queries.
    pub icmp: u32,
    /// SCTP associations.
    pub sctp_established: u32,
    /// Any other protocol, and SCTP before its handshake ends.
    pub other: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_opening: 60,
            tcp_established: 432_000,
            tcp_closing: 120,
            udp_one_way: 30,
            udp_answered: 180,
            icmp: 30,
            sctp_established: 432_000,
            other: 600,
        }
    }
}

/// Always-passed kinds (spec §2.18), as bits of [`Settings::pass`].
pub mod pass {
    /// ARP.
    pub const ARP: u32 = 1;
    /// Neighbour discovery: ICMPv6 133 to 136.
    pub const ND: u32 = 2;
    /// Multicast listener discovery.
    pub const MLD: u32 = 4;
    /// IGMP.
    pub const IGMP: u32 = 8;
    /// DHCP and DHCPv6 client traffic.
    pub const DHCP: u32 = 16;
    /// Spanning tree over LLC (802.3 length field, DSAP and SSAP 0x42).
    pub const STP: u32 = 32;
    /// All of them.
    pub const ALL: u32 = 63;
}

/// Places for EtherTypes in [`Settings`].
pub const ETHER_TYPES: usize = 16;

/// `[options]` of the policy, changed together with the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// Idle times.
    pub timeouts: Timeouts,
    /// Bits of [`pass`].
    pub pass: u32,
    /// Used places of `ether_types`.
    pub ether_type_count: u32,
    /// EtherTypes that pass, host byte order; default LLDP, EAPOL, PTP, LACP.
    pub ether_types: [u16; ETHER_TYPES],
    /// Zero.
    pub reserved: [u32; 6],
}

/// EtherTypes that pass unless `[options]` says otherwise: LLDP, EAPOL, PTP, slow protocols.
pub const DEFAULT_ETHER_TYPES: [u16; 4] = [0x88cc, 0x888e, 0x88f7, 0x8809];

impl Default for Settings {
    fn default() -> Self {
        let mut ether_types = [0; ETHER_TYPES];
        ether_types[..4].copy_from_slice(&DEFAULT_ETHER_TYPES);
        Self {
            timeouts: Timeouts::default(),
            pass: pass::ALL,
            ether_type_count: 4,
            ether_types,
            reserved: [0; 6],
        }
    }
}

/// Packets and bytes; bytes are those of layer 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Counter {
    /// Packets as on the wire (GSO segments).
    pub packets: u64,
    /// Bytes from the network header on.
    pub bytes: u64,
}

/// Counter of one rule. What a rule of an interface in monitor mode would have dropped is counted
/// apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RuleCounter {
    /// What it decided and what was enforced.
    pub decided: Counter,
    /// What it would have dropped if the mode were not `monitor`.
    pub would_deny: Counter,
}

/// Index of a reason's counter: `would` (0 enforced, 1 monitor) and the reason for each direction
/// of each endpoint of each shard.
#[inline(always)]
#[must_use]
pub const fn reason_index(
    shard: u32,
    endpoint: u32,
    direction: u32,
    would: u32,
    reason: u32,
) -> u32 {
    (((shard * ENDPOINTS + endpoint) * 2 + direction) * 2 + would) * REASONS + reason
}

/// The place in the reason counters that no reason has. Its packets are connections whose place a
/// new one took (spec §2.11).
pub const EVICTIONS: u32 = REASONS - 1;

/// Reason counters of one shard.
pub const REASON_COUNTERS_PER_SHARD: u32 = ENDPOINTS * 2 * 2 * REASONS;

/// Entries for each bucket of the connection table.
pub const WAYS: u32 = 8;

/// Buckets for a table that is to hold `connections`: half as many places again, so that two
/// choices of a bucket of eight practically always have one.
#[must_use]
pub const fn buckets_for(connections: u32) -> u32 {
    (connections as u64 * 3 / 2).div_ceil(WAYS as u64) as u32
}

/// [`Explanation::flags`]: F was asked for.
pub const EXPLAIN_FORWARD: u32 = 1;
/// [`Explanation::flags`]: R was asked for.
pub const EXPLAIN_REVERSE: u32 = 2;
/// [`Explanation::flags`]: an entry of the connection table was found.
pub const EXPLAIN_HIT: u32 = 4;
/// [`Explanation::flags`]: the interface is in monitor mode.
pub const EXPLAIN_MONITOR: u32 = 8;
/// [`Explanation::flags`]: a run wrote this. It is written last, so a value without it is none.
pub const EXPLAIN_WRITTEN: u32 = 16;

/// What a run of the programs that may not write leaves of its verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Explanation {
    /// [`crate::classifier::Decision`] of the packet's own direction.
    pub forward: u64,
    /// [`crate::classifier::Decision`] of the other direction on the mirrored packet.
    pub reverse: u64,
    /// Number of the [`crate::verdict::Reason`].
    pub reason: u32,
    /// Number of the [`crate::verdict::Direction`].
    pub direction: u32,
    /// `EXPLAIN_*` flags.
    pub flags: u32,
    /// Packets that the frame counts for.
    pub packets: u32,
    /// Bytes that the frame counts for.
    pub bytes: u64,
    /// Zero.
    pub reserved: u64,
}

/// Headers of the trace that the drivers of `sg-ctl bench` go through; a power of two.
pub const TRACE_HEADERS: u32 = 1 << 16;

/// Bytes of each: Ethernet, IPv6, and an SCTP header with the beginning of its first chunk.
pub const TRACE_BYTES: u32 = 96;

/// What the drivers of `sg-ctl bench` do with a header, after they wrote it into the frame.
pub mod bench {
    /// Nothing.
    pub const HEADER: u32 = 0;
    /// Parse it.
    pub const PARSE: u32 = 1;
    /// Touch the memory that a classification cannot do without, and nothing else: two dependent
    /// lines of the image and the counter of a rule.
    pub const MEMORY: u32 = 2;
    /// All that is done with a packet.
    pub const WHOLE: u32 = 3;
}

const _: () = assert!(TRACE_BYTES.is_multiple_of(8) && TRACE_HEADERS.is_power_of_two());
const _: () = assert!(size_of::<Explanation>() == 48);
const _: () = assert!(size_of::<Control>() == 64);
const _: () = assert!(size_of::<DirectoryEntry>() == 32);
const _: () = assert!(size_of::<Settings>() == 96 && size_of::<RuleCounter>() == 32);
