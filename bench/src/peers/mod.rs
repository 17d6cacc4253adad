//! The filters that are compared, one file each.

pub mod floors;
pub mod sg;

use std::any::Any;

use anyhow::Result;

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
            Way::Netdev | Way::Inet => Reading::Run,
        }
    }

    /// Puts it in place.
    ///
    /// # Errors
    /// Where something fails that should not.
    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded>;
}

/// Every filter, floors first.
#[must_use]
pub fn all() -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = floors::all();
    all.push(Box::new(sg::Sg));
    all
}
