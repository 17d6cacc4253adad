//! The search in an image: address -> row -> section -> decision.
//!
//! Written for the kernel's verifier: every read goes through [`Image`], every loop has a constant
//! bound, and comparisons are arithmetic, so that a search is one path and not 2^n.

use super::layout::{
    ADDRESS_BITS, AT_V4, AT_V6, LINE_ENDS, MAX_WALK, Narrow, Reference, SECTION, TREE_CHILDREN,
    TREE_ENDS, section_log, section_offset,
};
use super::{Decision, Image, Kind};

/// The decision for an IPv4 address (host byte order).
#[inline(always)]
pub fn lookup_v4<I: Image>(image: &I, address: u32, kind: Kind, key: u16) -> Decision {
    lookup(image, false, 0, u64::from(address), kind as u32, u32::from(key))
}

/// The decision for an IPv6 address (upper and lower half, host byte order).
#[inline(always)]
pub fn lookup_v6<I: Image>(image: &I, high: u64, low: u64, kind: Kind, key: u16) -> Decision {
    lookup(image, true, high, low, kind as u32, u32::from(key))
}

/// The decision for an address of either family (host byte order; of IPv4 in `low`), the number of
/// a [`Kind`], and a key of 16 bits.
///
/// The kernel uses this form: one copy of the code for both families, and numbers that need no
/// check, because the verifier would walk the rest once for each outcome. Numbers that are none of
/// a kind, and keys of more bits, get any answer.
#[inline(always)]
pub fn lookup<I: Image>(image: &I, v6: bool, high: u64, low: u64, kind: u32, key: u32) -> Decision {
    let mut found = Reference(image.u32_at(if v6 { AT_V6 } else { AT_V4 }));
    let first = if v6 { high } else { low };
    if found.form() == Reference::ROOT {
        let place = first.wrapping_shr(found.root_shift()) as u32;
        found = Reference(image.u32_at(found.offset().wrapping_add(place.wrapping_mul(4))));
    }
    if found.form() == Reference::NODE {
        let log = found.node_log();
        let at = search_16(image, found.offset(), log, low as u32 & 0xffff);
        found = Reference(image.u32_at(found.offset().wrapping_add(8 << log).wrapping_add(at * 4)));
    } else if found.form() == Reference::LIST {
        if found.is_line() {
            found = in_line(image, found.offset(), low & 0xffff_ffff);
        } else {
            found = search_64(image, found, first);
            if found.form() == Reference::LIST {
                found = search_64(image, found, low);
            }
        }
    }
    let found = Reference(image.settle(found.0));
    if found.is_narrow() {
        narrow(image, found.offset(), kind, key)
    } else {
        decide(image, found.offset(), kind, key)
    }
}

/// The decision of the narrow row at `row`: without a branch, whatever is in it.
#[inline(always)]
fn narrow<I: Image>(image: &I, row: u32, kind: u32, key: u32) -> Decision {
    let head = image.u64_at(row);
    // The word after the last one of ends is a decision: then what is counted there does not count.
    let words = (head >> Narrow::AT_WORDS) as u32;
    let (first, second) = (words & 1, words >> 1 & 1);
    let below_first = below_4(image.u64_at(row.wrapping_add(8)), u64::from(key));
    let below_second = below_4(image.u64_at(row.wrapping_add(16)), u64::from(key));
    let below = below_first.wrapping_mul(first).wrapping_add(below_second.wrapping_mul(second));
    // All ones if this is the kind that tells keys apart.
    let keyed = ((head >> Narrow::AT_KIND) as u32 & 7 ^ kind).wrapping_sub(1) as i32 >> 31;
    let keyed = keyed as u32;
    let of_kind = kind.wrapping_mul(3).wrapping_add(Narrow::AT_KINDS);
    let of_interval = below.wrapping_mul(3).wrapping_add(Narrow::AT_INTERVALS);
    let index = head.wrapping_shr(of_interval & keyed | of_kind & !keyed) as u32 & 7;
    let place = first.wrapping_add(second).wrapping_add(index);
    let word = image.u64_at(row.wrapping_add(place.wrapping_mul(8)));
    // All ones if there is a decision, and not the word before the first one.
    let is_rule = 0u64.wrapping_sub(u64::from(index.wrapping_add(7) >> 3));
    let decision = word & is_rule | Decision::IMPLICIT_DENY.0 & !is_rule;
    let hint = head.wrapping_shr(kind.wrapping_mul(2)) & 3;
    // Of a protocol without ports a whole kind is the protocol, so the decision itself says it.
    let keyed = u64::from(keyed);
    let whole = head >> Narrow::AT_WHOLE & keyed | decision & (!keyed | u64::from(kind) >> 2);
    Decision(decision & !ADDRESS_BITS | hint << 1 | (whole & 1) << 3)
}

/// The decision of the row at `row` and those above it.
#[inline(always)]
fn decide<I: Image>(image: &I, row: u32, kind: u32, key: u32) -> Decision {
    let descriptor = descriptor(image, row, kind);
    let mut best = in_row(image, descriptor, key);
    let parent = image.u64_at(row);
    if rank(best) > rank(parent) {
        best = image.climb(parent as u32, kind << 16 | key, best);
    }
    // Of a protocol without ports a whole kind is the protocol, so the decision itself says it.
    let whole = (u64::from(kind) >> 2 & best & 1) << 3;
    Decision(best & !ADDRESS_BITS | descriptor & ADDRESS_BITS | whole)
}

/// The best of a decision and those of the rows at `row` and above. `asked` holds kind and key in 16
/// bits each.
#[inline(always)]
pub fn climb<I: Image>(image: &I, row: u32, asked: u32, best: u64) -> u64 {
    let mut walk = Walk { best, row, kind: asked >> 16, key: asked & 0xffff };
    image.repeat(MAX_WALK, &mut walk, step);
    walk.best
}

/// State of the walk over the rows of shorter and shorter prefixes.
struct Walk {
    best: u64,
    row: u32,
    kind: u32,
    key: u32,
}

/// Looks at one row on the way up. At an equal rank the longer prefix, which came first, stays.
fn step<I: Image>(image: &I, walk: &mut Walk) -> bool {
    let found = in_row(image, descriptor(image, walk.row, walk.kind), walk.key);
    if rank(found) < rank(walk.best) {
        walk.best = found;
    }
    let parent = image.u64_at(walk.row);
    walk.row = parent as u32;
    rank(walk.best) <= rank(parent)
}

/// The upper half: rank of a decision, or best rank above a row.
#[inline(always)]
const fn rank(word: u64) -> u32 {
    (word >> 32) as u32
}

#[inline(always)]
fn descriptor<I: Image>(image: &I, row: u32, kind: u32) -> u64 {
    image.u64_at(row.wrapping_add(8).wrapping_add(kind.wrapping_mul(8)))
}

/// What a descriptor says of a key: a decision whose [`ADDRESS_BITS`] mean nothing.
#[inline(always)]
fn in_row<I: Image>(image: &I, descriptor: u64, key: u32) -> u64 {
    if rank(descriptor) != SECTION {
        return descriptor;
    }
    let (offset, log) = (section_offset(descriptor), section_log(descriptor));
    let at = search_16(image, offset, log, key);
    image.u64_at(offset.wrapping_add(8 << log).wrapping_add(at * 8))
}

/// One set bit in each 16-bit field: the lowest, the highest.
const LOWEST: u64 = 0x0001_0001_0001_0001;
const HIGHEST: u64 = 0x8000_8000_8000_8000;

/// The number of ends below `key` among `4 << log`, which are the lowest 16 bits of a word first.
#[inline(always)]
fn search_16<I: Image>(image: &I, offset: u32, log: u32, key: u32) -> u32 {
    let key = u64::from(key);
    let mut at = offset;
    let mut left = log & 15;
    for _ in 0..15 {
        if left == 0 {
            break;
        }
        left = left.wrapping_sub(1);
        let half = 8u32 << (left & 15);
        // The last end is the highest part of its word; what is below it does not matter.
        let ends = image.u64_at(at.wrapping_add(half - 8));
        at = image.settle(at.wrapping_add(half * below_32(ends >> 48, key)));
        left = image.settle(left);
    }
    (at.wrapping_sub(offset) >> 1).wrapping_add(below_4(image.u64_at(at), key))
}

/// The number of ends below `key` among the four of a word.
#[inline(always)]
fn below_4(ends: u64, key: u64) -> u32 {
    // Four comparisons at once. The highest bits are kept out of the subtraction, so that no field
    // borrows from its neighbour, and compared apart.
    let keys = key.wrapping_mul(LOWEST);
    let lower = (ends | HIGHEST).wrapping_sub(keys & !HIGHEST);
    let not_below = ends & !keys | !(ends ^ keys) & lower;
    let below = (!not_below & HIGHEST) >> 15;
    (below.wrapping_mul(LOWEST) >> 48) as u32
}

/// The reference for `key` in a list or tree.
#[inline(always)]
fn search_64<I: Image>(image: &I, list: Reference, key: u64) -> Reference {
    let levels = list.levels();
    let mut ends = list.offset();
    let mut references = ends.wrapping_add(8 << list.list_log());
    let mut node = 0u32;
    if levels != 0 {
        let mut header = ends;
        let mut left = levels;
        for _ in 0..7 {
            if left == 0 {
                break;
            }
            left = image.settle(left.wrapping_sub(1));
            let line = image.u32_at(header).wrapping_add(node.wrapping_mul(TREE_ENDS * 8));
            node = node.wrapping_mul(TREE_CHILDREN).wrapping_add(count_64(image, line, 3, key));
            node = image.settle(node);
            header = image.settle(header.wrapping_add(4));
        }
        ends = image.u32_at(header).wrapping_add(node.wrapping_mul(TREE_ENDS * 8));
        references = image.u32_at(header.wrapping_add(4));
    }
    let at = node.wrapping_mul(TREE_ENDS).wrapping_add(count_64(image, ends, list.list_log(), key));
    Reference(image.settle(image.u32_at(references.wrapping_add(at.wrapping_mul(4)))))
}

/// The number of ends below `key` among `1 << log`, at most eight: all eight are compared, which is
/// faster than to choose, and those that are none do not count.
#[inline(always)]
fn count_64<I: Image>(image: &I, offset: u32, log: u32, key: u64) -> u32 {
    let ends = 1u32 << (log & 3);
    let mut count = 0;
    for place in 0..TREE_ENDS {
        let end = image.u64_at(offset.wrapping_add(place * 8));
        count += below_64(end, key) & place.wrapping_sub(ends) >> 31;
    }
    count
}

/// The reference for an IPv4 address in a cache line.
#[inline(always)]
fn in_line<I: Image>(image: &I, offset: u32, key: u64) -> Reference {
    let mut count = 0;
    for pair in 0..LINE_ENDS / 2 {
        let ends = image.u64_at(offset.wrapping_add(pair * 8));
        count += below_32(ends & 0xffff_ffff, key) + below_32(ends >> 32, key);
    }
    let references = offset.wrapping_add(LINE_ENDS * 4);
    Reference(image.u32_at(references.wrapping_add(count * 4)))
}

/// 1 if `a < b`, else 0, for numbers of 32 bits. Any bit of the difference's upper half would do: of
/// the highest the compiler knows that it is a comparison, and makes it a branch.
#[inline(always)]
const fn below_32(a: u64, b: u64) -> u32 {
    (a.wrapping_sub(b) >> 40) as u32 & 1
}

/// 1 if `a < b`, else 0.
#[inline(always)]
const fn below_64(a: u64, b: u64) -> u32 {
    ((!a & b | (!a | b) & a.wrapping_sub(b)) >> 63) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words at offset 0.
    struct Words([u64; 8]);

    impl Image for Words {
        fn u32_at(&self, offset: u32) -> u32 {
            (self.u64_at(offset) >> ((offset & 4) * 8)) as u32
        }

        fn u64_at(&self, offset: u32) -> u64 {
            self.0[(offset / 8) as usize % 8]
        }

        fn repeat<S, F>(&self, _: u32, _: &mut S, _: F)
        where
            F: Fn(&Self, &mut S) -> bool + Copy,
        {
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn comparison_is_that_of_unsigned_numbers(a: u64, b: u64, bit in 0u32..64) {
            for (a, b) in [(a, b), (a, a), (a, a ^ 1 << bit), (0, u64::MAX), (u64::MAX, 0)] {
                prop_assert_eq!(below_64(a, b), u32::from(a < b));
            }
        }

        #[test]
        fn ends_of_16_bits_are_counted(mut ends in prop::array::uniform32(any::<u16>()), any: u16) {
            ends.sort_unstable();
            let mut words = [0; 8];
            for (place, end) in ends.iter().enumerate() {
                words[place / 4] |= u64::from(*end) << (place % 4 * 16);
            }
            let near = ends.iter().flat_map(|e| [e.wrapping_sub(1), *e, e.wrapping_add(1)]);
            for key in near.chain([0, u16::MAX, any]) {
                for log in 0..=3 {
                    let below = ends[..4 << log].iter().filter(|end| **end < key).count() as u32;
                    prop_assert_eq!(search_16(&Words(words), 0, log, u32::from(key)), below);
                }
            }
        }

        #[test]
        fn ends_of_64_bits_are_counted(mut ends: [u64; 8], any: u64) {
            ends.sort_unstable();
            let near = ends.iter().flat_map(|e| [e.wrapping_sub(1), *e, e.wrapping_add(1)]);
            for key in near.chain([0, u64::MAX, any]) {
                for log in 0..=3 {
                    let below = ends[..1 << log].iter().filter(|end| **end < key).count() as u32;
                    prop_assert_eq!(count_64(&Words(ends), 0, log, key), below);
                }
            }
        }
    }
}
