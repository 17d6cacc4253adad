//! What identifies a connection, and where it is looked for.

use super::table::WORDS;
use crate::classifier::Kind;
use crate::packet::{Address, Packet};
use crate::verdict::Direction;

/// Identity of a connection: its packets as the opener sends them, the zone, and the direction that
/// it was opened in.
///
/// ```text
/// word 0, 1   opener's address
/// word 2, 3   the other address
/// word 4      zone << 32 | opener's port << 16 | other port
/// word 5      direction << 16 | family << 8 | protocol
/// ```
/// ICMP queries have the identifier and the type of the query for ports; protocols without ports
/// have zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Key {
    pub(super) words: [u64; 6],
}

/// The type that answers an ICMP query, and the query that a type answers (spec §1).
#[inline(always)]
#[must_use]
pub(crate) const fn icmp_counterpart(family: u8, icmp_type: u8) -> Option<u8> {
    match (family, icmp_type) {
        (4, 0) => Some(8),
        (4, 8) => Some(0),
        (4, 13..=18) => Some(((icmp_type - 13) ^ 1) + 13),
        (6, 128 | 129) => Some(icmp_type ^ 1),
        (6, 139) => Some(140),
        (6, 140) => Some(139),
        _ => None,
    }
}

/// Whether an ICMP type asks for an answer.
#[inline(always)]
#[must_use]
pub(crate) const fn is_icmp_query(family: u8, icmp_type: u8) -> bool {
    match family {
        4 => matches!(icmp_type, 8 | 13 | 15 | 17),
        _ => matches!(icmp_type, 128 | 139),
    }
}

impl Key {
    /// A key from its parts. Ports are the opener's and the other's.
    #[inline(always)]
    #[must_use]
    pub const fn new(
        zone: u32,
        opened: Direction,
        protocol: (u8, u8),
        addresses: (Address, Address),
        ports: (u16, u16),
    ) -> Self {
        let (family, number) = protocol;
        let (from, to) = addresses;
        let ports = (ports.0 as u64) << 16 | ports.1 as u64;
        Self {
            words: [
                from.high,
                from.low,
                to.high,
                to.low,
                (zone as u64) << 32 | ports,
                (opened as u64) << 16 | (family as u64) << 8 | number as u64,
            ],
        }
    }

    /// The connection that `packet` opens, or goes on with as its opener, in `direction`.
    #[inline(always)]
    #[must_use]
    pub fn of_opener(packet: &Packet, zone: u32, direction: Direction) -> Self {
        let ports = match packet.kind() {
            Kind::Icmp => (packet.source_port, u16::from(packet.icmp_type())),
            Kind::Other => (0, 0),
            _ => (packet.source_port, packet.key),
        };
        let protocol = (packet.family, packet.protocol);
        Self::new(zone, direction, protocol, (packet.source, packet.destination), ports)
    }

    /// The connection that `packet`, going in `direction`, answers.
    #[inline(always)]
    #[must_use]
    pub fn of_answered(packet: &Packet, zone: u32, direction: Direction) -> Self {
        let ports = match packet.kind() {
            Kind::Icmp => {
                // A query answers nothing: type 256 belongs to no key.
                let query = match icmp_counterpart(packet.family, packet.icmp_type()) {
                    Some(query) if is_icmp_query(packet.family, query) => u16::from(query),
                    _ => 256,
                };
                (packet.source_port, query)
            }
            Kind::Other => (0, 0),
            _ => (packet.key, packet.source_port),
        };
        let protocol = (packet.family, packet.protocol);
        let addresses = (packet.destination, packet.source);
        Self::new(zone, direction.reverse(), protocol, addresses, ports)
    }

    /// Where the key is looked for in a table of `buckets`.
    ///
    /// A sum of products of 32-bit halves, each with a secret added first (NH of UMAC, RFC 4418
    /// section 5.2): unlike a chain of multiplications it leaves who chooses addresses and ports no
    /// differences that cancel whatever the secret is.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: u64, buckets: u32) -> Hash {
        let mut sum = 0_u64;
        let mut secret = seed;
        for word in self.words {
            // Weyl sequence through a multiplication: a secret of its own for each half.
            secret = secret.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (secret ^ secret >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let low = (word as u32).wrapping_add(mixed as u32);
            let high = ((word >> 32) as u32).wrapping_add((mixed >> 32) as u32);
            sum = sum.wrapping_add(u64::from(low).wrapping_mul(u64::from(high)));
        }
        let first = finish(sum ^ seed);
        let second = finish(first ^ secret);
        let buckets = u64::from(buckets);
        Hash {
            buckets: [
                ((first >> 32).wrapping_mul(buckets) >> 32) as u32,
                ((second >> 32).wrapping_mul(buckets) >> 32) as u32,
            ],
            fingerprint: first as u32 & super::place::FINGERPRINT,
        }
    }

    /// The words of an entry.
    #[inline(always)]
    pub(super) const fn words(&self) -> [u64; WORDS] {
        let [a, b, c, d, e, f] = self.words;
        [a, b, c, d, e, f, 0, 0]
    }
}

/// The finaliser of splitmix64: every bit of the result depends on every bit of the value.
#[inline(always)]
const fn finish(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Where a key is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The two buckets; they may be the same.
    pub buckets: [u32; 2],
    /// What tells the key from most others in its bucket.
    pub fingerprint: u32,
}
