//! Images in their maps.

use sg_common::classifier::layout::AT_LENGTH;
use sg_common::classifier::{Decision, Image, Kind, climb, lookup};
use sg_common::packet::Address;
use sg_common::tables::IMAGE_CLASSES;

use crate::frame::settle;
use crate::maps::{SG_IMAGES_0, SG_IMAGES_1, SG_IMAGES_2, SG_IMAGES_3, SG_IMAGES_4, SG_IMAGES_5};
use crate::repeat::repeat;

/// What [`sg_classify`] returns where there is no image; no decision has this slot.
const NO_IMAGE: u64 = 0x0000_0000_ffff_fff0;

/// The value of an inner map. `APART`: rows above that of the address are searched by a call. That
/// takes stack, of which what is called itself has none to spare.
#[derive(Clone, Copy)]
struct Value<const APART: bool> {
    base: *const u8,
    /// Its size, a power of two, less eight: what the compiler knows of an offset's lowest bits must
    /// not let it drop a mask that the verifier needs.
    ///
    /// A full word, since old verifiers forget what they know of half of one that is put on the stack.
    mask: u64,
    /// Of which the verifier knows nothing.
    unknown: u64,
}

impl<const APART: bool> Image for Value<APART> {
    #[inline(always)]
    fn u32_at(&self, offset: u32) -> u32 {
        // SAFETY: the mask keeps the word inside the value, which is never written once a packet
        // can see it.
        unsafe {
            self.base
                .add(((u64::from(offset) & self.mask) + u64::from(offset & 4)) as usize)
                .cast::<u32>()
                .read_volatile()
        }
    }

    #[inline(always)]
    fn u64_at(&self, offset: u32) -> u64 {
        // SAFETY: as above.
        unsafe {
            self.base.add((u64::from(offset) & self.mask) as usize).cast::<u64>().read_volatile()
        }
    }

    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        settle(value, self.unknown as u32)
    }

    #[inline(always)]
    fn climb(&self, row: u32, asked: u32, best: u64) -> u64 {
        if APART { climb_apart(self, row, asked, best) } else { climb(self, row, asked, best) }
    }

    #[inline(always)]
    fn repeat<S, F>(&self, times: u32, state: &mut S, step: F)
    where
        F: Fn(&Self, &mut S) -> bool + Copy,
    {
        repeat(self, times, state, step);
    }
}

#[inline(never)]
fn climb_apart<const APART: bool>(image: &Value<APART>, row: u32, asked: u32, best: u64) -> u64 {
    climb(image, row, asked, best)
}

/// What the image in `slot` decides; `None` if there is none. By a call, so that there is one copy of
/// the code for all that is not on every packet's way.
#[inline(always)]
pub(crate) fn decide(
    slot: u32,
    family: u8,
    peer: &Address,
    kind: Kind,
    key: u16,
) -> Option<Decision> {
    let asked = u32::from(family) << 24 | (kind as u32) << 16 | u32::from(key);
    let decision = sg_classify(slot, asked, peer.high, peer.low);
    if decision == NO_IMAGE { None } else { Some(Decision(decision)) }
}

/// As [`decide`], in place: a return costs some 7 ns where the CPU's return predictor is guarded
/// ("Safe RET").
#[inline(always)]
pub(crate) fn decide_here(
    slot: u32,
    family: u8,
    peer: &Address,
    kind: u32,
    key: u16,
) -> Option<Decision> {
    let asked = u32::from(family) << 24 | kind << 16 | u32::from(key);
    let unknown = peer.low as u32;
    let (slot, asked) = (settle(slot, unknown), settle(asked, unknown));
    let decision = classify::<true>(slot, asked, peer.high, peer.low);
    if decision == NO_IMAGE { None } else { Some(Decision(decision)) }
}

/// `asked` holds family, kind and key in 8, 8 and 16 bits.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_classify(slot: u32, asked: u32, high: u64, low: u64) -> u64 {
    classify::<false>(slot, asked, high, low)
}

/// The value of an image, and its size.
#[inline(always)]
fn value(slot: u32) -> Option<(*const u8, u32)> {
    let place = slot & 0xffff;
    let [c0, c1, c2, c3, c4, c5] = IMAGE_CLASSES;
    match slot >> 16 {
        0 => SG_IMAGES_0.get_value(place, &0).map(|value| (value.as_ptr().cast(), c0)),
        1 => SG_IMAGES_1.get_value(place, &0).map(|value| (value.as_ptr().cast(), c1)),
        2 => SG_IMAGES_2.get_value(place, &0).map(|value| (value.as_ptr().cast(), c2)),
        3 => SG_IMAGES_3.get_value(place, &0).map(|value| (value.as_ptr().cast(), c3)),
        4 => SG_IMAGES_4.get_value(place, &0).map(|value| (value.as_ptr().cast(), c4)),
        _ => SG_IMAGES_5.get_value(place, &0).map(|value| (value.as_ptr().cast(), c5)),
    }
}

#[inline(always)]
fn classify<const APART: bool>(slot: u32, asked: u32, high: u64, low: u64) -> u64 {
    let Some((base, size)) = value(slot) else { return NO_IMAGE };
    let (v6, kind, key) = (asked >> 24 != 4, asked >> 16 & 0xff, asked & 0xffff);
    let image = Value::<APART> { base, mask: u64::from(size - 8), unknown: low };
    lookup(&image, v6, high, low, kind, key).0
}

/// Reads one line of the image in `slot`, and another one whose place depends on it; both of them
/// anywhere in the image. Returns what the second holds.
#[inline(always)]
pub(crate) fn touch(slot: u32, random: u32) -> u32 {
    let Some((base, size)) = value(slot) else { return 0 };
    let image = Value::<false> { base, mask: u64::from(size - 8), unknown: u64::from(random) };
    let length = u64::from(image.u32_at(AT_LENGTH));
    let anywhere = |random: u32| (u64::from(random) * length >> 32) as u32;
    let first = image.u32_at(anywhere(random));
    image.u32_at(anywhere((first ^ random).wrapping_mul(0xc2b2_ae35)))
}
