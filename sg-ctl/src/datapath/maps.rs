//! The pinned maps of one network namespace: made once, opened by every process, mapped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use sg_common::tables::{
    Control, Counter, DirectoryEntry, ENDPOINTS, IMAGE_CLASSES, IMAGES_PER_CLASS, LAYOUT_VERSION,
    MAX_SHARDS, REASON_COUNTERS_PER_SHARD, RULE_SLOTS, RuleCounter, Settings, WAYS, buckets_for,
    pin,
};

use super::error::{DatapathError, io_context};
use super::mapped::Mapped;
use super::sys::{self, F_MMAPABLE, MAP_TYPE_ARRAY, MAP_TYPE_ARRAY_OF_MAPS, MapShape};

/// The maps that packets are judged with.
#[derive(Debug)]
pub(super) struct Maps {
    directory: PathBuf,
    pub(super) control: Mapped<Control>,
    pub(super) entries: Mapped<DirectoryEntry>,
    pub(super) settings: Mapped<Settings>,
    pub(super) rule_counters: Mapped<RuleCounter>,
    pub(super) reason_counters: Mapped<Counter>,
    pub(super) buckets: Pinned,
    pub(super) connections: Pinned,
    pub(super) images: Vec<OwnedFd>,
    shards: u32,
    /// Kernel's identifier of the control map, by which a set is known again.
    id: u32,
}

/// An array of 64-byte lines that is open and not mapped: mapping the connection table takes
/// milliseconds, and few changes look at it.
#[derive(Debug)]
pub(super) struct Pinned {
    fd: OwnedFd,
    path: PathBuf,
    len: u32,
}

impl Pinned {
    fn open(path: PathBuf) -> Result<Self, DatapathError> {
        let fd = open(&path)?;
        let len = array_of::<[u64; 8]>(&fd, &path)?;
        Ok(Self { fd, path, len })
    }

    /// Maps all of it.
    pub(super) fn map(&self) -> Result<Mapped<[u64; 8]>, DatapathError> {
        Mapped::new(self.fd.as_fd(), self.len).map_err(io_context("map", &self.path))
    }

    fn bytes(&self) -> usize {
        self.len as usize * 64
    }
}

/// Shards of the counters on a host with so many possible CPUs: one each, up to the bound.
#[must_use]
pub(super) fn shards_for(cpus: u32) -> u32 {
    cpus.max(1).next_power_of_two().min(MAX_SHARDS)
}

fn array(value_size: usize, entries: u32) -> MapShape {
    MapShape { kind: MAP_TYPE_ARRAY, value_size: value_size as u32, entries, flags: F_MMAPABLE }
}

/// Shape of the inner maps of an image class.
pub(super) fn image_shape(class: usize) -> MapShape {
    array(IMAGE_CLASSES.get(class).copied().unwrap_or_default() as usize, 1)
}

fn outer_shape() -> MapShape {
    MapShape { kind: MAP_TYPE_ARRAY_OF_MAPS, value_size: 4, entries: IMAGES_PER_CLASS, flags: 0 }
}

/// Name of the outer image map of a class.
pub(super) fn images_pin(class: usize) -> String {
    format!("{}{class}", pin::IMAGES)
}

/// Names and shapes of the plain arrays, for a number of shards and buckets.
fn shapes(shards: u32, buckets: u32) -> [(&'static str, MapShape); 7] {
    [
        (pin::CONTROL, array(size_of::<Control>(), 1)),
        (pin::DIRECTORY, array(size_of::<DirectoryEntry>(), 2 * ENDPOINTS)),
        (pin::SETTINGS, array(size_of::<Settings>(), 2)),
        (pin::RULE_COUNTERS, array(size_of::<RuleCounter>(), shards * RULE_SLOTS)),
        (pin::REASON_COUNTERS, array(size_of::<Counter>(), shards * REASON_COUNTERS_PER_SHARD)),
        (pin::BUCKETS, array(64, buckets)),
        (pin::CONNECTIONS, array(64, buckets * WAYS)),
    ]
}

fn create(
    path: &Path,
    name: &str,
    shape: MapShape,
    inner: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, DatapathError> {
    let fd = sys::map_create(name, shape, inner).map_err(|source| DatapathError::CreateMap {
        name: name.to_owned(),
        bytes: u64::from(shape.value_size) * u64::from(shape.entries),
        source,
    })?;
    sys::pin(fd.as_fd(), path).map_err(io_context("pin a map at", path))?;
    Ok(fd)
}

fn open(path: &Path) -> Result<OwnedFd, DatapathError> {
    sys::get(path).map_err(io_context("open the pinned map", path))
}

/// Length of an array that can be mapped as values of `T`.
fn array_of<T>(fd: &OwnedFd, path: &Path) -> Result<u32, DatapathError> {
    let shape = sys::map_shape(fd.as_fd()).map_err(io_context("ask for the shape of", path))?;
    let same = shape.kind == MAP_TYPE_ARRAY
        && shape.value_size as usize == size_of::<T>()
        && shape.flags & F_MMAPABLE != 0;
    if same { Ok(shape.entries) } else { Err(DatapathError::ForeignPin { path: path.to_owned() }) }
}

fn map_array<T: bytemuck::Pod>(fd: &OwnedFd, path: &Path) -> Result<Mapped<T>, DatapathError> {
    let len = array_of::<T>(fd, path)?;
    Mapped::new(fd.as_fd(), len).map_err(io_context("map", path))
}

fn map_id(fd: &OwnedFd, path: &Path) -> Result<u32, DatapathError> {
    sys::map_id(fd.as_fd()).map_err(io_context("ask for the identifier of", path))
}

impl Maps {
    /// Makes and pins all maps. `directory` exists and lies on a bpffs. The control word is
    /// written last, so a half-made set is never taken for a whole one.
    pub(super) fn create(
        directory: &Path,
        cpus: u32,
        conntrack_max: u32,
        hash_seed: u64,
    ) -> Result<Self, DatapathError> {
        Self::remove(directory)?;
        let shards = shards_for(cpus);
        let buckets = buckets_for(conntrack_max);
        for class in 0..IMAGE_CLASSES.len() {
            let name = images_pin(class);
            let template =
                sys::map_create("sg_image", image_shape(class), None).map_err(|source| {
                    DatapathError::CreateMap {
                        name: name.clone(),
                        bytes: u64::from(image_shape(class).value_size),
                        source,
                    }
                })?;
            create(&directory.join(&name), &name, outer_shape(), Some(template.as_fd()))?;
        }
        for (name, shape) in shapes(shards, buckets) {
            create(&directory.join(name), name, shape, None)?;
        }
        let maps = Self::map_all(directory)?;
        for place in 0..2 {
            maps.settings.set(place, Settings::default());
        }
        maps.control.set(
            0,
            Control {
                generation: super::directory::NEVER,
                hash_seed,
                buckets,
                version: LAYOUT_VERSION,
                conntrack_max,
                reserved: [0; 9],
            },
        );
        Ok(maps)
    }

    /// Opens what [`Maps::create`] pinned; `None` if nothing is pinned there, or if its making did
    /// not end.
    pub(super) fn open(directory: &Path) -> Result<Option<Self>, DatapathError> {
        let control = directory.join(pin::CONTROL);
        if !control.try_exists().map_err(io_context("look at", &control))? {
            return Ok(None);
        }
        for (name, _) in shapes(1, 1) {
            let path = directory.join(name);
            if !path.try_exists().map_err(io_context("look at", &path))? {
                return Ok(None);
            }
        }
        let maps = Self::map_all(directory)?;
        let version = maps.control.get(0).version;
        match version {
            0 => Ok(None),
            LAYOUT_VERSION => Ok(Some(maps)),
            found => Err(DatapathError::LayoutVersion { found, expected: LAYOUT_VERSION }),
        }
    }

    fn map_all(directory: &Path) -> Result<Self, DatapathError> {
        fn one<T: bytemuck::Pod>(directory: &Path, name: &str) -> Result<Mapped<T>, DatapathError> {
            let path = directory.join(name);
            map_array(&open(&path)?, &path)
        }
        let images = (0..IMAGE_CLASSES.len())
            .map(|class| {
                let path = directory.join(images_pin(class));
                let fd = open(&path)?;
                let shape = sys::map_shape(fd.as_fd())
                    .map_err(io_context("ask for the shape of", &path))?;
                if shape.kind == MAP_TYPE_ARRAY_OF_MAPS && shape.entries == IMAGES_PER_CLASS {
                    Ok(fd)
                } else {
                    Err(DatapathError::ForeignPin { path })
                }
            })
            .collect::<Result<_, _>>()?;
        let rule_counters: Mapped<RuleCounter> = one(directory, pin::RULE_COUNTERS)?;
        let control_path = directory.join(pin::CONTROL);
        let control = open(&control_path)?;
        Ok(Self {
            directory: directory.to_owned(),
            id: map_id(&control, &control_path)?,
            control: map_array(&control, &control_path)?,
            entries: one(directory, pin::DIRECTORY)?,
            settings: one(directory, pin::SETTINGS)?,
            reason_counters: one(directory, pin::REASON_COUNTERS)?,
            buckets: Pinned::open(directory.join(pin::BUCKETS))?,
            connections: Pinned::open(directory.join(pin::CONNECTIONS))?,
            shards: rule_counters.len() / RULE_SLOTS,
            rule_counters,
            images,
        })
    }

    /// Unpins every map. Programs that still run keep theirs until they are detached.
    pub(super) fn remove(directory: &Path) -> Result<(), DatapathError> {
        // The control map first: without it nobody takes the rest for a whole set.
        let names = shapes(1, 1).map(|(name, _)| name.to_owned());
        for name in names.into_iter().chain((0..IMAGE_CLASSES.len()).map(images_pin)) {
            let path = directory.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_context("remove the pin", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether what is pinned now is still this set. Where that cannot be told, it is not.
    pub(super) fn is_current(&self) -> bool {
        let path = self.directory.join(pin::CONTROL);
        open(&path).and_then(|fd| map_id(&fd, &path)).is_ok_and(|id| id == self.id)
    }

    /// Path of the pin of a map.
    pub(super) fn pin_path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Shards of the counters.
    pub(super) fn shards(&self) -> u32 {
        self.shards
    }

    /// Memory of the arrays in bytes; images are not in it.
    pub(super) fn bytes(&self) -> usize {
        self.control.bytes()
            + self.entries.bytes()
            + self.settings.bytes()
            + self.rule_counters.bytes()
            + self.reason_counters.bytes()
            + self.buckets.bytes()
            + self.connections.bytes()
    }
}
