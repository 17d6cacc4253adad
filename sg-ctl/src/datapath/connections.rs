//! The connection table, worked on from the controller by the same code as in the kernel.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use sg_common::classifier::Kind;
use sg_common::conntrack::{Place, Seed, Table, WORDS, seed};
use sg_common::packet::Address;
use sg_common::tables::Timeouts;
use sg_common::verdict::Direction;
use sg_common::word::Word;

use super::directory::monotonic_seconds;
use super::error::{DatapathError, io_context};
use super::kernel::Kernel;
use super::mapped::Mapped;
use super::maps::Maps;
use super::sockets::{Connection, connections};
use crate::compile::Image;

/// The rules by which connections of the host's sockets are seeded: those of a host-side policy.
#[derive(Clone, Debug)]
pub struct SeedRules {
    /// Zone of the interfaces that have the policy.
    pub zone: u32,
    /// Its ingress rules.
    pub ingress: Arc<Image>,
    /// Its egress rules.
    pub egress: Arc<Image>,
}

/// The connection table of the kernel, mapped.
struct MappedTable {
    seed: u64,
    buckets: Mapped<[u64; 8]>,
    entries: Mapped<[u64; 8]>,
}

impl MappedTable {
    fn of(maps: &Maps) -> Result<Self, DatapathError> {
        let control = maps.control.get(0);
        Ok(Self {
            seed: control.hash_seed,
            buckets: maps.buckets.map()?,
            entries: maps.connections.map()?,
        })
    }
}

impl Table for MappedTable {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn buckets(&self) -> u32 {
        self.buckets.len()
    }

    fn bucket(&self, bucket: u32) -> Option<&[Word; WORDS]> {
        // SAFETY: a bucket is eight aligned words of the mapping, which lives as long as self and
        // is only accessed by atomics, here and in the kernel.
        self.buckets.pointer(bucket).map(|at| unsafe { at.cast().as_ref() })
    }

    fn entry(&self, entry: u32) -> Option<&[Word; WORDS]> {
        // SAFETY: as above.
        self.entries.pointer(entry).map(|at| unsafe { at.cast().as_ref() })
    }
}

fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address { high: 0, low: u32::from(v4).into() },
        IpAddr::V6(v6) => {
            let number = u128::from(v6);
            Address { high: (number >> 64) as u64, low: number as u64 }
        }
    }
}

/// The entry that a connection needs under some rules; `None` if it needs none, or if they would
/// not let it start.
fn needed(rules: &SeedRules, connection: &Connection) -> Option<Seed> {
    let Connection { protocol, local, peer, opened_by_peer } = *connection;
    let kind = if protocol == 6 { Kind::Tcp } else { Kind::Udp };
    let ingress = rules.ingress.decide(peer.ip(), kind, local.port()).allows();
    let egress = rules.egress.decide(peer.ip(), kind, peer.port()).allows();
    let (opened, from, to): (_, SocketAddr, SocketAddr) = match (opened_by_peer, ingress, egress) {
        (true, true, false) => (Direction::Ingress, peer, local),
        (false, false, true) => (Direction::Egress, local, peer),
        _ => return None,
    };
    Some(Seed {
        zone: rules.zone,
        opened,
        family: if peer.is_ipv4() { 4 } else { 6 },
        protocol,
        addresses: (address(from.ip()), address(to.ip())),
        ports: (from.port(), to.port()),
    })
}

impl Kernel {
    /// Enters the connections of the host's sockets that need an entry under rules which are about
    /// to be put in force. Returns what people should know.
    ///
    /// # Errors
    /// Where the sockets cannot be listed.
    pub fn seed(
        &self,
        rules: &[SeedRules],
        timeouts: &Timeouts,
    ) -> Result<Vec<String>, DatapathError> {
        let Some(maps) = self.maps().filter(|_| !rules.is_empty()) else { return Ok(Vec::new()) };
        let open = connections().map_err(io_context("list", Path::new("the sockets")))?;
        let needed: Vec<Seed> =
            open.iter().flat_map(|one| rules.iter().filter_map(|r| needed(r, one))).collect();
        if needed.is_empty() {
            return Ok(Vec::new());
        }
        let (table, now) = (MappedTable::of(maps)?, monotonic_seconds());
        let without = needed.iter().filter(|entry| !seed(&table, timeouts, entry, now)).count();
        if without == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "the connection table has no place for {without} open connections, which may stall"
        )])
    }

    /// Connections that the table holds.
    ///
    /// # Errors
    /// Where the table cannot be mapped.
    pub fn connections(&self) -> Result<u64, DatapathError> {
        let Some(maps) = self.maps() else { return Ok(0) };
        let (buckets, now) = (maps.buckets.map()?, monotonic_seconds());
        let lines = (0..buckets.len()).map(|bucket| buckets.get(bucket));
        Ok(lines
            .map(|line| line.iter().filter(|word| Place(**word).lives(now)).count() as u64)
            .sum())
    }
}
