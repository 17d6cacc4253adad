//! What the kernel enforces, changed as one: images and links first, then a directory, then the
//! word that all packets read.
//!
//! ```text
//! prepare   images -> free places        (waits for a grace period after the last flip)
//!           links  -> new devices        (their endpoints are not in force: everything passes)
//!           seeds  -> connection table
//!           the idle directory <- every endpoint
//! flip      control.generation <- N      (one atomic store)
//! finish    links of endpoints that left are taken off
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sg_common::tables::{Counter, RuleCounter};
use sg_common::verdict::{Direction, Reason};

use super::attaching::{Attaching, Outcome};
use super::devices::{self, Device};
use super::directory::{CLOSED, NEVER, monotonic_seconds};
use super::enforcement::{Enforcement, NewImage};
use super::error::{DatapathError, io_context};
use super::maps::Maps;
use super::programs::{Attachment, Found, Programs};
use super::{bpffs, probe};
use crate::fault;

/// Directories below that of the pins.
const MAPS: &str = "maps";
const LINKS: &str = "links";

/// The kernel's side of one network namespace.
#[derive(Debug)]
pub struct Kernel {
    directory: PathBuf,
    maps: Option<Maps>,
    programs: Programs,
    /// Images that a torn update places only after its flip.
    #[cfg(feature = "fault-injection")]
    late: Vec<NewImage>,
}

fn random_seed() -> u64 {
    // Keyed by the system's random numbers for each process, and by the time of the call.
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(monotonic_seconds());
    hasher.finish() | 1
}

impl Kernel {
    /// Opens what is pinned below a directory, if anything is.
    ///
    /// # Errors
    /// Where pins are of another version or of another program.
    pub fn open(directory: &Path) -> Result<Self, DatapathError> {
        Ok(Self { maps: Maps::open(&directory.join(MAPS))?, ..Self::unloaded(directory) })
    }

    /// A kernel in which nothing is pinned, as there is no file system for pins yet.
    #[must_use]
    pub fn unloaded(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            maps: None,
            programs: Programs::new(directory.join(LINKS)),
            #[cfg(feature = "fault-injection")]
            late: Vec::new(),
        }
    }

    /// Opens again what is pinned by now, if another process made or removed it since.
    ///
    /// # Errors
    /// As [`Kernel::open`].
    pub fn reopen(&mut self) -> Result<(), DatapathError> {
        if self.maps.as_ref().is_some_and(Maps::is_current) {
            return Ok(());
        }
        let directory = std::mem::take(&mut self.directory);
        *self = if bpffs::is_mounted(&directory) {
            Self::open(&directory)?
        } else {
            Self::unloaded(&directory)
        };
        Ok(())
    }

    /// The generation in force; `None` if nothing is pinned, or if what is was never put in force.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.maps.as_ref().and_then(Maps::generation).filter(|word| word & NEVER == 0)
    }

    /// Size of the connection table as it was made.
    #[must_use]
    pub fn conntrack_max(&self) -> Option<u32> {
        self.maps.as_ref().map(|maps| maps.control.get(0).conntrack_max)
    }

    /// Memory of directory, counters and connection table in bytes; 0 if nothing is pinned.
    #[must_use]
    pub fn map_bytes(&self) -> u64 {
        self.maps.as_ref().map_or(0, |maps| maps.bytes() as u64)
    }

    /// What a rule decided, by its slot.
    #[must_use]
    pub fn rule_counter(&self, slot: u32) -> RuleCounter {
        self.maps.as_ref().map(|maps| maps.rule_counter(slot)).unwrap_or_default()
    }

    /// Packets of an endpoint by reason; `would` selects those that monitor mode let pass.
    #[must_use]
    pub fn reason_counter(
        &self,
        endpoint: u32,
        direction: Direction,
        would: bool,
        reason: Reason,
    ) -> Counter {
        self.maps
            .as_ref()
            .map(|maps| maps.reason_counter(endpoint, direction, would, reason as u32))
            .unwrap_or_default()
    }

    pub(super) fn maps(&self) -> Option<&Maps> {
        self.maps.as_ref()
    }

    /// Everything that is attached.
    ///
    /// # Errors
    /// Where pins cannot be read.
    pub fn attachments(&self) -> Result<Vec<Found>, DatapathError> {
        self.programs.list()
    }

    /// Does everything but the flip. Returns warnings for people. With `lenient` an interface that
    /// cannot be attached is one of them.
    ///
    /// # Errors
    /// Any; then [`Kernel::retain`] takes back what was done.
    pub fn prepare(
        &mut self,
        wanted: &Enforcement,
        lenient: bool,
    ) -> Result<Vec<String>, DatapathError> {
        probe::require_kernel()?;
        bpffs::prepare(&self.directory)?;
        for child in [MAPS, LINKS] {
            bpffs::prepare(&self.directory.join(child))?;
        }
        if self.maps.is_none() {
            self.maps = Some(Maps::create(
                &self.directory.join(MAPS),
                probe::possible_cpus()?,
                wanted.conntrack_max,
                random_seed(),
            )?);
        }
        let Some(maps) = &self.maps else { return Ok(Vec::new()) };
        if let Some(word) = maps.generation().filter(|word| word & NEVER != 0)
            && word & 1 == wanted.generation & 1
        {
            // The directory in force must not be the one that is filled.
            maps.copy_directory(word);
            maps.set_generation(word ^ 1);
        }

        let images: &[NewImage] = &wanted.images;
        #[cfg(feature = "fault-injection")]
        let images = super::torn::hold_back(maps, images, &mut self.late)?;
        let images: Vec<(u32, &[u8])> =
            images.iter().map(|image| (image.slot, image.image.bytes())).collect();
        maps.place_images(&images)?;
        fault::point("images-loaded")?;

        let all = devices::devices().map_err(io_context("list", Path::new("the devices")))?;
        let attached = self.programs.list()?;
        let hooks = hooks_of(&attached, &all);
        let (programs, hooks) = (&self.programs, &hooks);
        let attaching = Attaching { programs, maps, all: &all, attached: &attached, hooks };
        let Outcome { fresh, warnings } = attaching.all(&wanted.interfaces, lenient)?;
        fault::point("links-attached")?;

        // Nobody reads the idle directory, and no packet counts for a rule that left two
        // generations ago, once those that entered before the last flip are through.
        if images.is_empty() {
            maps.wait_for_readers()?;
        }
        wanted.fresh_rules.iter().for_each(|slot| maps.clear_rule(*slot));
        wanted.fresh_endpoints.iter().for_each(|endpoint| maps.clear_endpoint(*endpoint));
        maps.write_directory(wanted, &fresh);
        fault::point("directory-written")?;
        Ok(warnings)
    }

    /// A kernel of its own below this one's pins, with nothing in it yet.
    pub(super) fn aside(&self) -> Result<Self, DatapathError> {
        let beside = self.directory.join(format!("candidate_{}", std::process::id()));
        bpffs::prepare(&beside.join(MAPS))?;
        Self::open(&beside)
    }

    /// Removes the directory of pins if nothing is pinned in it.
    pub(super) fn remove_if_empty(&self) -> Result<(), DatapathError> {
        bpffs::remove_empty(&self.directory, &[]).map_err(io_context("remove", &self.directory))
    }

    /// Fills the maps of a kernel of its own and puts them in force, attached to nothing.
    pub(super) fn fill(
        &mut self,
        wanted: &Enforcement,
        cpus: u32,
        conntrack_max: u32,
    ) -> Result<(), DatapathError> {
        let maps = Maps::create(&self.directory.join(MAPS), cpus, conntrack_max, random_seed())?;
        let images: Vec<(u32, &[u8])> =
            wanted.images.iter().map(|image| (image.slot, image.image.bytes())).collect();
        maps.place_images(&images)?;
        maps.write_directory(wanted, &BTreeSet::new());
        maps.set_generation(wanted.generation);
        self.maps = Some(maps);
        Ok(())
    }

    /// Puts a prepared generation in force: from this store on every packet, on every interface and
    /// in both directions, is judged by it.
    ///
    /// # Errors
    /// A fault point's.
    pub fn flip(&mut self, generation: u64) -> Result<(), DatapathError> {
        let Some(maps) = &self.maps else { return Ok(()) };
        #[cfg(feature = "fault-injection")]
        super::torn::before_flip(maps, generation)?;
        maps.set_generation(generation);
        #[cfg(feature = "fault-injection")]
        super::torn::after_flip(maps, &mut self.late)?;
        Ok(())
    }

    /// Puts a prepared directory in force that belongs to no generation of a store.
    pub fn flip_without_generation(&mut self, generation: u64) {
        if let Some(maps) = &self.maps {
            maps.set_generation(NEVER | CLOSED | generation & 1);
        }
    }

    /// Whether nothing is attached or pinned that [`Kernel::retain`] would remove.
    ///
    /// # Errors
    /// Where pins cannot be read.
    pub fn holds_only(&self, endpoints: &BTreeSet<u32>) -> Result<bool, DatapathError> {
        let word = self.maps.as_ref().and_then(Maps::generation);
        if endpoints.is_empty() && word.is_some_and(|word| word & CLOSED != 0) {
            return Ok(true);
        }
        let pinned = || [MAPS, LINKS].iter().any(|child| self.directory.join(child).exists());
        let strays = self.programs.list()?.iter().any(|f| !endpoints.contains(&f.endpoint));
        Ok(!(strays || endpoints.is_empty() && pinned()))
    }

    /// Takes off what is not among `endpoints`; with none left, everything is unpinned.
    ///
    /// # Errors
    /// Where a link or a pin cannot be removed; calling again goes on.
    pub fn retain(&mut self, endpoints: &BTreeSet<u32>) -> Result<(), DatapathError> {
        let word = self.maps.as_ref().and_then(Maps::generation);
        if endpoints.is_empty() && word.is_some_and(|word| word & CLOSED != 0) {
            // What closes the interfaces of a lost state stays until a state takes its place.
            return Ok(());
        }
        self.programs.detach_where(|endpoint| !endpoints.contains(&endpoint))?;
        if endpoints.is_empty() {
            self.maps = None;
            Maps::remove(&self.directory.join(MAPS))?;
            bpffs::remove_empty(&self.directory, &[MAPS, LINKS])
                .map_err(io_context("remove", &self.directory))?;
        }
        Ok(())
    }

    /// Where each attached endpoint is judged, by its device's hooks.
    ///
    /// # Errors
    /// Where pins or devices cannot be read.
    pub fn hooks(&self, all: &[Device]) -> Result<BTreeMap<u32, Hooks>, DatapathError> {
        Ok(hooks_of(&self.programs.list()?, all))
    }
}

/// Where each attached endpoint is judged.
fn hooks_of(attached: &[Found], all: &[Device]) -> BTreeMap<u32, Hooks> {
    let mut hooks: BTreeMap<u32, Hooks> = BTreeMap::new();
    for found in attached {
        let entry = hooks.entry(found.endpoint).or_default();
        let device = all.iter().find(|d| d.index == found.device);
        if let Some(device) = device {
            entry.device = Some(device.index);
        }
        let attachment = device.map(|device| match (found.link, device.xdp) {
            (false, _) => Attachment::Clsact,
            (true, Some(xdp)) if xdp.id == found.program && xdp.native => Attachment::XdpNative,
            (true, Some(xdp)) if xdp.id == found.program => Attachment::XdpGeneric,
            (true, _) => Attachment::Tcx,
        });
        match found.hook {
            Direction::Ingress => entry.ingress = attachment,
            Direction::Egress => entry.egress = attachment,
        }
    }
    hooks
}

/// Where an endpoint's device is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    /// Index of the device; `None` if it is gone.
    pub device: Option<u32>,
    /// What arrives at it.
    pub ingress: Option<Attachment>,
    /// What leaves by it.
    pub egress: Option<Attachment>,
}
