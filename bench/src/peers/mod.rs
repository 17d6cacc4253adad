//! The filters that are compared, one file each.

mod bpfilter;
pub mod floors;
mod iptables;
mod nftables;
pub mod sg;
mod trie;
mod xdp_filter;

use std::any::Any;

use anyhow::Result;

use crate::command::PATIENCE;
use crate::lane::{Lane, Way};
use crate::ruleset::Ruleset;
use crate::sender::Sender;

/// What of a packet a filter looks at, and so what it is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// Everything that a rule says.
    Everything,
    /// Whether its source is denied.
    DeniedSources,
    /// Nothing: every packet passes.
    Nothing,
    /// Nothing: every packet is dropped.
    DropsAll,
}

/// How the cost of a filter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// By the kernel's statistics of the BPF program on the device.
    Program,
    /// By the time of whole runs, less that of runs without rules.
    Run,
}

/// A filter that is in place until this is dropped.
pub type Keep = Box<dyn Any>;

/// What came of putting a filter in place.
pub enum Loaded {
    /// It is in place.
    Yes(Keep),
    /// It cannot hold these rules; why.
    No(String),
}

/// A filter.
pub trait Peer {
    /// Name in tables.
    fn name(&self) -> &'static str;

    /// What it is, in a sentence.
    fn about(&self) -> &'static str;

    /// How packets come to it.
    fn way(&self) -> Way {
        Way::Xdp
    }

    /// What it looks at.
    fn judges(&self) -> Judges {
        Judges::Everything
    }

    /// How its cost is read.
    fn reading(&self) -> Reading {
        match self.way() {
            Way::Xdp => Reading::Program,
            Way::Netdev | Way::Inet | Way::Host => Reading::Run,
        }
    }

    /// Puts it in place.
    ///
    /// # Errors
    /// Where something fails that should not.
    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded>;
}

/// Every filter in front of sockets, the floors first.
#[must_use]
pub fn hosts() -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = Vec::from(floors::hosts());
    all.extend(sg::hosts());
    all.push(nftables::host());
    all.push(Box::new(iptables::Ipset { way: Way::Host }));
    all
}

/// Every filter of single packets, the floors first.
#[must_use]
pub fn all() -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = floors::all();
    all.push(sg::packets());
    all.push(Box::new(trie::Trie));
    all.extend(nftables::all());
    all.push(Box::new(iptables::Linear));
    all.push(Box::new(iptables::Ipset { way: Way::Inet }));
    all.push(Box::new(xdp_filter::XdpFilter));
    all.push(Box::new(bpfilter::Bpfilter));
    all
}

/// Rules that are loaded one after the other, at most: a packet takes some 30 ns for each of them.
const LINEAR: usize = 1000;

fn too_many(rules: usize) -> String {
    format!("too slow to run: {rules} rules one after the other (bound: {LINEAR} rules)")
}

fn too_slow() -> String {
    format!("too slow to load: more than {} s", PATIENCE.as_secs())
}
