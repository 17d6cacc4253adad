//! A host in memory: rules as two closures, a small connection table, a clock, and packets.

use std::cell::Cell;
use std::net::IpAddr;

use sg_common::classifier::{Decision, Kind, Reverse};
use sg_common::conntrack::{Place, State, Table, WORDS};
use sg_common::judge::{Env, Verdict, judge};
use sg_common::packet::{Address, Bytes, Packet, Start, parse, parse_quote};
use sg_common::tables::{
    Control, DirectoryEntry, ENTRY_ACTIVE, LAYOUT_VERSION, Settings, WAYS, buckets_for,
};
use sg_common::verdict::Direction;
use sg_common::word::Word;

/// The protected side, and the one at the other end.
pub(crate) const OWN: &str = "192.0.2.1";
pub(crate) const PEER: &str = "198.51.100.2";
pub(crate) const OWN6: &str = "2001:db8::1";
pub(crate) const PEER6: &str = "2001:db8::2";

pub(crate) struct Memory {
    buckets: Vec<[Word; WORDS]>,
    entries: Vec<[Word; WORDS]>,
}

impl Memory {
    pub(crate) fn new(connections: u32) -> Self {
        let buckets = buckets_for(connections);
        let lines = |count: u32| (0..count).map(|_| Default::default()).collect();
        Self { buckets: lines(buckets), entries: lines(buckets * WAYS) }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.buckets.iter().flatten().map(|word| Place(word.load()))
    }
}

impl Table for Memory {
    fn seed(&self) -> u64 {
        0x1234_5678_9abc_def1
    }

    fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bucket(&self, bucket: u32) -> Option<&[Word; WORDS]> {
        self.buckets.get(bucket as usize)
    }

    fn entry(&self, entry: u32) -> Option<&[Word; WORDS]> {
        self.entries.get(entry as usize)
    }
}

/// What the rules of one direction say of a packet to or from a peer.
pub(crate) type Rules = Box<dyn Fn(&Address, Kind, u16) -> Decision>;

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) entry: DirectoryEntry,
    pub(crate) settings: Settings,
    pub(crate) ingress: Rules,
    pub(crate) egress: Rules,
    pub(crate) table: Memory,
    pub(crate) now: Cell<u32>,
    pub(crate) evictions: Cell<u32>,
    /// How often the table was asked for.
    pub(crate) looks: Cell<u32>,
}

pub(crate) const INGRESS_IMAGE: u32 = 7;
pub(crate) const EGRESS_IMAGE: u32 = 9;

/// An allow rule's decision.
pub(crate) fn allow(slot: u32) -> Decision {
    Decision((1000 << 1 | 1) << 32 | u64::from(slot) << 4 | 1)
}

/// A deny rule's decision.
pub(crate) fn deny(slot: u32) -> Decision {
    Decision((1000 << 1) << 32 | u64::from(slot) << 4)
}

/// A block's decision.
pub(crate) fn block(slot: u32) -> Decision {
    Decision(u64::from(slot) << 4)
}

pub(crate) const NO_RULE: Decision = Decision::IMPLICIT_DENY;

/// The same, with the compiler's hint.
pub(crate) fn hinted(decision: Decision, reverse: Reverse) -> Decision {
    Decision(decision.0 & !6 | (reverse as u64) << 1)
}

/// Rules that say the same of every packet.
pub(crate) fn always(decision: Decision) -> Rules {
    Box::new(move |_, _, _| decision)
}

impl World {
    /// An attached interface of the host side whose rules say the same of every packet.
    pub(crate) fn new(ingress: Decision, egress: Decision) -> Self {
        Self {
            control: Control { version: LAYOUT_VERSION, ..Control::default() },
            entry: DirectoryEntry {
                flags: ENTRY_ACTIVE,
                zone: 1,
                images: [INGRESS_IMAGE, EGRESS_IMAGE],
                ..DirectoryEntry::default()
            },
            settings: Settings::default(),
            ingress: always(ingress),
            egress: always(egress),
            table: Memory::new(1000),
            now: Cell::new(1000),
            evictions: Cell::new(0),
            looks: Cell::new(0),
        }
    }

    /// What becomes of a packet without a link-layer header, at the hook of a direction.
    pub(crate) fn at_hook(&self, hook: Direction, bytes: &[u8]) -> Verdict {
        self.judged(hook, bytes, false)
    }

    pub(crate) fn frame(&self, hook: Direction, bytes: &[u8]) -> Verdict {
        self.judged(hook, bytes, true)
    }

    fn judged(&self, hook: Direction, bytes: &[u8], ethernet: bool) -> Verdict {
        let (mut packet, mut quoted) = (Packet::default(), Packet::default());
        let frame = Bytes::new(bytes);
        let start = if ethernet { Start::Ethernet } else { Start::Ip };
        let parsed = parse(&frame, start, &mut packet);
        let quotes = parsed.is_ok() && parse_quote(&frame, &packet, &mut quoted);
        let mut verdict = Verdict::NONE;
        judge(self, hook, parsed, &packet, quotes.then_some(&quoted), &mut verdict);
        verdict
    }

    /// What arrives at a host-side interface.
    pub(crate) fn receives(&self, bytes: &[u8]) -> Verdict {
        self.at_hook(Direction::Ingress, bytes)
    }

    /// What leaves by it.
    pub(crate) fn sends(&self, bytes: &[u8]) -> Verdict {
        self.at_hook(Direction::Egress, bytes)
    }

    pub(crate) fn wait(&self, seconds: u32) {
        self.now.set(self.now.get() + seconds);
    }

    /// Entries that live.
    pub(crate) fn entries(&self) -> Vec<(State, bool)> {
        let now = self.now.get();
        let live = self.table.places().filter(|place| place.lives(now));
        live.map(|place| (place.state(), place.marked())).collect()
    }
}

impl Env for World {
    type Table = Memory;

    fn control(&self) -> Option<&Control> {
        Some(&self.control)
    }

    fn entry(&self, generation: u64) -> Option<&DirectoryEntry> {
        assert_eq!(generation, self.control.generation);
        Some(&self.entry)
    }

    fn settings(&self, _: u64) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn classify(&self, slot: u32, _: u8, peer: &Address, kind: Kind, key: u16) -> Option<Decision> {
        match slot {
            INGRESS_IMAGE => Some((self.ingress)(peer, kind, key)),
            EGRESS_IMAGE => Some((self.egress)(peer, kind, key)),
            _ => None,
        }
    }

    fn table(&self) -> Option<&Memory> {
        self.looks.set(self.looks.get() + 1);
        Some(&self.table)
    }

    fn writes(&self) -> bool {
        true
    }

    fn now(&self) -> u32 {
        self.now.get()
    }

    fn evicted(&self, _: Direction) {
        self.evictions.set(self.evictions.get() + 1);
    }
}

/// An IP packet; the family is that of the addresses.
pub(crate) fn ip(from: &str, to: &str, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut bytes = vec![0x45, 0];
            bytes.extend((20 + payload.len() as u16).to_be_bytes());
            bytes.extend([0, 0, 0, 0, hop_limit, protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(payload);
            bytes
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, hop_limit]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(payload);
            bytes
        }
        _ => panic!("{from} and {to} are of two families"),
    }
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

pub(crate) fn tcp(from: (&str, u16), to: (&str, u16), flags: u8) -> Vec<u8> {
    let mut segment = ports(from.1, to.1);
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    ip(from.0, to.0, 6, 64, &segment)
}

pub(crate) fn udp(from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    ip(from.0, to.0, 17, 64, &[ports(from.1, to.1), vec![0, 8, 0, 0]].concat())
}

pub(crate) fn sctp(from: (&str, u16), to: (&str, u16), chunk: u8) -> Vec<u8> {
    let rest = vec![0, 0, 0, 0, 0, 0, 0, 0, chunk, 0, 0, 4];
    ip(from.0, to.0, 132, 64, &[ports(from.1, to.1), rest].concat())
}

/// ICMP over IPv4 or ICMPv6, by the addresses.
pub(crate) fn icmp(from: &str, to: &str, kind: u8, code: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 1]);
    message.extend(body);
    ip(from, to, if from.contains(':') { 58 } else { 1 }, 64, &message)
}
