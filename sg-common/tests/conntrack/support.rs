//! A connection table in memory, a clock that the tests move, and packets of one connection.

use std::cell::Cell;

use sg_common::conntrack::{
    Key, Opened, Opening, Place, Sender, State, Table, WORDS, admits, find, open, opening, update,
};
use sg_common::packet::{Address, Packet, protocol};
use sg_common::tables::{Timeouts, WAYS};
use sg_common::verdict::Direction;
use sg_common::word::Word;

/// Zone of the connections.
pub(crate) const ZONE: u32 = 7;
/// The side that opens.
pub(crate) const OPENER: Address = Address { high: 0, low: 0x0a00_0001 };
/// The side that answers.
pub(crate) const OTHER: Address = Address { high: 0, low: 0x0a00_0002 };

/// The table that the kernel has in two array maps.
pub(crate) struct Memory {
    seed: u64,
    buckets: Vec<[Word; WORDS]>,
    entries: Vec<[Word; WORDS]>,
}

impl Memory {
    pub(crate) fn new(seed: u64, buckets: u32) -> Self {
        let lines = |count: u32| (0..count).map(|_| Default::default()).collect();
        Self { seed, buckets: lines(buckets), entries: lines(buckets * WAYS) }
    }

    /// Every place, in the order of the entries.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.buckets.iter().flatten().map(|word| Place(word.load())).collect()
    }

    pub(crate) fn set(&self, entry: u32, place: Place) {
        self.buckets[(entry / WAYS) as usize][(entry % WAYS) as usize].store(place.0);
    }

    /// Live places that hold the words which `entry` holds.
    pub(crate) fn copies(&self, entry: u32, now: u32) -> usize {
        let words = |entry: usize| self.entries[entry].each_ref().map(Word::load);
        let places = self.places().into_iter().enumerate();
        places.filter(|(at, place)| place.lives(now) && words(*at) == words(entry as usize)).count()
    }
}

impl Table for Memory {
    fn seed(&self) -> u64 {
        self.seed
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

/// A table in which another CPU changes a place just before an entry is first looked at.
pub(crate) struct Raced {
    pub(crate) memory: Memory,
    /// The entry and what its place becomes.
    pub(crate) change: Cell<Option<(u32, Place)>>,
}

impl Table for Raced {
    fn seed(&self) -> u64 {
        self.memory.seed()
    }

    fn buckets(&self) -> u32 {
        self.memory.buckets()
    }

    fn bucket(&self, bucket: u32) -> Option<&[Word; WORDS]> {
        self.memory.bucket(bucket)
    }

    fn entry(&self, entry: u32) -> Option<&[Word; WORDS]> {
        if let Some((changed, place)) = self.change.take() {
            self.memory.set(changed, place);
        }
        self.memory.entry(entry)
    }
}

/// A filter whose rules let the opener's side start connections and the other side only answer.
pub(crate) struct Filter {
    pub(crate) table: Memory,
    pub(crate) timeouts: Timeouts,
    pub(crate) now: u32,
}

impl Filter {
    pub(crate) fn new() -> Self {
        Self { table: Memory::new(0x5eed, 16), timeouts: Timeouts::default(), now: 1000 }
    }

    /// The place of the connection that a packet of `sender` is part of.
    pub(crate) fn place(&self, packet: &Packet, sender: Sender) -> Option<Place> {
        find(&self.table, &key(packet, sender), self.now).map(|found| found.place)
    }

    /// Sends a packet. Returns the state after it, or `None` if it is part of no connection.
    pub(crate) fn send(&self, packet: &Packet, sender: Sender) -> Option<State> {
        let key = key(packet, sender);
        if let Some(found) = find(&self.table, &key, self.now) {
            if sender == Sender::Other && !admits(found.place.state(), packet) {
                return None;
            }
            let marked = found.place.marked();
            update(&self.table, &found, packet, sender, &self.timeouts, self.now, marked);
        } else if let (Opening::Opens(state), Sender::Opener) = (opening(packet), sender) {
            let kind = packet.kind();
            let opened = open(&self.table, &key, state, kind, &self.timeouts, self.now, false);
            assert_eq!(opened, Opened::Free);
        }
        self.place(packet, sender).map(Place::state)
    }

    /// Checks that the connection of `packet` goes on for `timeout` idle seconds and, as a place is
    /// not written with every packet, ends at most a sixty-fourth later.
    #[track_caller]
    pub(crate) fn idles_for(&mut self, packet: &Packet, sender: Sender, timeout: u32) {
        let last = self.now;
        self.now = last + timeout - 1;
        assert!(self.place(packet, sender).is_some(), "ends before {timeout} s");
        self.now = last + timeout + 1 + timeout / 64;
        assert!(self.place(packet, sender).is_none(), "outlives {timeout} s");
        self.now = last;
    }
}

/// The key under which a packet is looked for: the opener's leave the protected side.
pub(crate) fn key(packet: &Packet, sender: Sender) -> Key {
    match sender {
        Sender::Opener => Key::of_opener(packet, ZONE, Direction::Egress),
        Sender::Other => Key::of_answered(packet, ZONE, Direction::Ingress),
    }
}

/// A packet between the two sides, without ports.
pub(crate) fn other(sender: Sender, number: u8) -> Packet {
    let (source, destination) = match sender {
        Sender::Opener => (OPENER, OTHER),
        Sender::Other => (OTHER, OPENER),
    };
    let key = u16::from(number);
    Packet { source, destination, family: 4, protocol: number, key, ..Packet::default() }
}

/// A packet between port 40000 of the opener and port 443.
fn with_ports(sender: Sender, number: u8, detail: u8) -> Packet {
    let (source_port, key) = match sender {
        Sender::Opener => (40_000, 443),
        Sender::Other => (443, 40_000),
    };
    Packet { source_port, key, detail, ..other(sender, number) }
}

pub(crate) fn tcp(sender: Sender, flags: u8) -> Packet {
    with_ports(sender, protocol::TCP, flags)
}

pub(crate) fn udp(sender: Sender) -> Packet {
    with_ports(sender, protocol::UDP, 0)
}

pub(crate) fn sctp(sender: Sender, chunk: u8) -> Packet {
    with_ports(sender, protocol::SCTP, chunk)
}

/// An ICMP message with identifier 77.
pub(crate) fn icmp(sender: Sender, family: u8, icmp_type: u8) -> Packet {
    let number = if family == 4 { protocol::ICMP } else { protocol::ICMPV6 };
    let key = u16::from(icmp_type) << 8;
    Packet { family, source_port: 77, key, ..other(sender, number) }
}
