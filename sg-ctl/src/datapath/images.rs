//! Images in the kernel: made, filled, and put into their places of the outer maps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use sg_common::tables::{IMAGE_CLASSES, image_slot};

use super::error::{DatapathError, io_context};
use super::mapped::Mapped;
use super::maps::{Maps, image_shape};
use super::{probe, sys};

/// Size class and place of a slot.
#[must_use]
pub const fn split_slot(slot: u32) -> (u32, u32) {
    (slot >> 16, slot & 0xffff)
}

/// Memory that an image of a slot takes, in bytes.
#[must_use]
pub fn slot_bytes(slot: u32) -> u64 {
    IMAGE_CLASSES.get(split_slot(slot).0 as usize).copied().unwrap_or_default().into()
}

fn make(class: u32, bytes: &[u8]) -> Result<OwnedFd, DatapathError> {
    let shape = image_shape(class as usize);
    let fd =
        sys::map_create("sg_image", shape, None).map_err(|source| DatapathError::CreateMap {
            name: "sg_image".to_owned(),
            bytes: shape.value_size.into(),
            source,
        })?;
    let mapped = Mapped::<u64>::over_value(fd.as_fd(), shape.value_size)
        .map_err(io_context("map", Path::new("a new image")))?;
    mapped.fill(bytes);
    Ok(fd)
}

impl Maps {
    /// Makes images and puts each into its place. Returns after a grace period that began after
    /// the call, if there was at least one.
    pub(super) fn place_images(&self, images: &[(u32, &[u8])]) -> Result<(), DatapathError> {
        let mut classes: Vec<(&OwnedFd, Vec<u32>, Vec<OwnedFd>)> =
            self.images.iter().map(|outer| (outer, Vec::new(), Vec::new())).collect();
        for (slot, bytes) in images {
            let (class, place) = split_slot(*slot);
            debug_assert_eq!(image_slot(class, place), *slot);
            if let Some((_, places, maps)) = classes.get_mut(class as usize) {
                places.push(place);
                maps.push(make(class, bytes)?);
            }
        }
        classes.retain(|(_, places, _)| !places.is_empty());
        // The classes wait for their grace periods side by side.
        side_by_side(classes.iter(), |(outer, places, maps)| {
            let fds: Vec<BorrowedFd<'_>> = maps.iter().map(AsFd::as_fd).collect();
            place_all(outer.as_fd(), places, &fds)
        })
        .map_err(io_context("place images in", Path::new("the image maps")))
    }

    /// Waits until no packet that entered before the call is being judged any more.
    pub(super) fn wait_for_readers(&self) -> Result<(), DatapathError> {
        if sys::grace_period() {
            return Ok(());
        }
        // Every write to an outer map waits for a grace period. The last place is kept for this.
        let place = sg_common::tables::IMAGES_PER_CLASS - 1;
        self.place_images(&[(image_slot(0, place), &[])])
    }
}

fn place_all(outer: BorrowedFd<'_>, places: &[u32], maps: &[BorrowedFd<'_>]) -> io::Result<()> {
    if let ([place], [map]) = (places, maps) {
        return sys::place_map(outer, *place, *map);
    }
    if probe::has_cheap_batch() {
        return sys::place_maps(outer, places, maps);
    }
    // Each write waits for a grace period of its own; side by side they wait for the same ones.
    const THREADS: usize = 64;
    let share = places.len().div_ceil(THREADS).max(1);
    side_by_side(places.chunks(share).zip(maps.chunks(share)), |(places, maps)| {
        places.iter().zip(*maps).try_for_each(|(place, map)| sys::place_map(outer, *place, *map))
    })
}

/// Does some work for each item, in a thread for each if there are several.
fn side_by_side<T: Send + Sync>(
    items: impl ExactSizeIterator<Item = T>,
    work: impl Fn(&T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    if items.len() == 1 {
        return items.into_iter().try_for_each(|item| work(&item));
    }
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(&item))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early")))
        })
    })
}
