//! Updates that are torn on purpose, so that the test of atomic updates can be shown to fail. Only in
//! builds with `fault-injection`; `SG_FAULT` arms one with the time between the two halves:
//! `split-interfaces:sleep=1`, `split-directions:sleep=1`, `split-image:sleep=1`.

use sg_common::tables::{ENDPOINTS, directory_index};

use super::enforcement::NewImage;
use super::error::DatapathError;
use super::maps::Maps;
use crate::fault;

/// With `split-image` armed no image is placed before the flip. Their places are emptied, since what
/// is left there from an earlier change may be the same.
pub(super) fn hold_back<'a>(
    maps: &Maps,
    images: &'a [NewImage],
    late: &mut Vec<NewImage>,
) -> Result<&'a [NewImage], DatapathError> {
    if !fault::is_armed("split-image") {
        return Ok(images);
    }
    late.extend_from_slice(images);
    let empty: Vec<(u32, &[u8])> = images.iter().map(|image| (image.slot, &[][..])).collect();
    maps.place_images(&empty)?;
    Ok(&[])
}

/// With `split-interfaces` or `split-directions` armed, writes into the directory that is in force.
pub(super) fn before_flip(maps: &Maps, generation: u64) -> Result<(), DatapathError> {
    let former = generation.wrapping_sub(1);
    let change = |endpoint: u32, direction: Option<usize>| {
        let new = maps.entries.get(directory_index(generation, endpoint));
        let mut old = maps.entries.get(directory_index(former, endpoint));
        let before = old;
        match direction {
            None => old = new,
            Some(index) => {
                if let (Some(to), Some(from)) = (old.images.get_mut(index), new.images.get(index)) {
                    *to = *from;
                }
            }
        }
        maps.entries.set(directory_index(former, endpoint), old);
        old != before
    };
    if fault::is_armed("split-interfaces") {
        for endpoint in 0..ENDPOINTS {
            if change(endpoint, None) {
                fault::point("split-interfaces")?;
            }
        }
    }
    if fault::is_armed("split-directions") {
        for direction in [0, 1] {
            let mut any = false;
            for endpoint in 0..ENDPOINTS {
                any |= change(endpoint, Some(direction));
            }
            if any {
                fault::point("split-directions")?;
            }
        }
    }
    Ok(())
}

/// Places what [`hold_back`] kept.
pub(super) fn after_flip(maps: &Maps, late: &mut Vec<NewImage>) -> Result<(), DatapathError> {
    if late.is_empty() {
        return Ok(());
    }
    fault::point("split-image")?;
    let images: Vec<(u32, &[u8])> = late.iter().map(|i| (i.slot, i.image.bytes())).collect();
    maps.place_images(&images)?;
    late.clear();
    Ok(())
}
