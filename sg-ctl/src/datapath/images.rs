//! Images in the kernel: made, filled, and put into their places of the outer maps.

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
        for class in 0..IMAGE_CLASSES.len() as u32 {
            let mut places = Vec::new();
            let mut maps = Vec::new();
            for (slot, bytes) in images {
                let (of, place) = split_slot(*slot);
                if of == class {
                    debug_assert_eq!(image_slot(of, place), *slot);
                    places.push(place);
                    maps.push(make(class, bytes)?);
                }
            }
            let Some(outer) = self.images.get(class as usize).filter(|_| !places.is_empty()) else {
                continue;
            };
            let fds: Vec<BorrowedFd<'_>> = maps.iter().map(AsFd::as_fd).collect();
            place_all(outer.as_fd(), &places, &fds)
                .map_err(io_context("place images in", Path::new("the image maps")))?;
        }
        Ok(())
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

fn place_all(
    outer: BorrowedFd<'_>,
    places: &[u32],
    maps: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    if let ([place], [map]) = (places, maps) {
        return sys::place_map(outer, *place, *map);
    }
    if probe::has_cheap_batch() {
        return sys::place_maps(outer, places, maps);
    }
    // Each write waits for a grace period of its own; side by side they wait for the same ones.
    const THREADS: usize = 64;
    let share = places.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| {
        let threads: Vec<_> = places
            .chunks(share)
            .zip(maps.chunks(share))
            .map(|(places, maps)| {
                scope.spawn(move || {
                    places
                        .iter()
                        .zip(maps)
                        .try_for_each(|(place, map)| sys::place_map(outer, *place, *map))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a thread ended early")))
        })
    })
}
