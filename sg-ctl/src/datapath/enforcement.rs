//! What the kernel is asked to enforce.

use std::sync::Arc;

use sg_common::tables::{DirectoryEntry, Settings};

use crate::compile::Image;
use crate::policy::model::Hook;

/// An image and the place that it goes to.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its slot, of the size class that holds it.
    pub slot: u32,
    /// The image.
    pub image: Arc<Image>,
}

/// One interface as it is to be enforced.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name in the policy.
    pub name: Arc<str>,
    /// Endpoint number.
    pub endpoint: u32,
    /// Requested hook.
    pub hook: Hook,
    /// The interface may be missing.
    pub wait: bool,
    /// What the directory is to say, without the learning part.
    pub entry: DirectoryEntry,
}

/// Everything that the kernel is to enforce from the next flip on.
#[derive(Clone, Debug)]
pub struct Enforcement {
    /// The generation that it becomes.
    pub generation: u64,
    /// Every interface.
    pub interfaces: Vec<Wanted>,
    /// Images that are not in the kernel yet.
    pub images: Vec<NewImage>,
    /// `[options]`.
    pub settings: Settings,
    /// Size of the connection table.
    pub conntrack_max: u32,
    /// Rule counters that begin at zero.
    pub fresh_rules: Vec<u32>,
    /// Endpoints whose counters begin at zero.
    pub fresh_endpoints: Vec<u32>,
}
