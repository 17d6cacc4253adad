//! Writing the image: see `docs/image.md` and [`sg_common::classifier::layout`].
//!
//! Nodes come in the order of addresses, and behind each node come the rows and sections that it
//! is the first to use, so that one lookup touches neighbouring cache lines.

use sg_common::classifier::Kind;
use sg_common::classifier::layout::{self, Reference};
use sg_common::tables::LAYOUT_VERSION;

use super::elements::KINDS;
use super::family::Address;
use super::hints::{Hints, Interval, intervals};
use super::narrow;
use super::prefixes::Space;
use super::rows::{self, Rows, Whole};
use super::sections;
use super::{Image, NO_ROOTS, TooLarge, Tuning};
use crate::quick::Map;

type Written<T> = Result<T, TooLarge>;

/// Writes the image of one direction.
pub(super) fn emit(own: &Space, other: &Space, tuning: Tuning, limit: u32) -> Written<Image> {
    let mut out = Writer {
        bytes: Vec::new(),
        limit: u64::from(limit),
        rows: &own.rows,
        row_places: vec![None; own.rows.len()],
        more_places: Map::default(),
        parents: vec![0; own.rows.len()],
        lower: Vec::new(),
        section_offsets: vec![0; own.rows.sections.len()],
    };
    out.allocate(u64::from(layout::HEADER), 64)?;
    out.put_u32(layout::AT_MAGIC, layout::MAGIC);
    out.put_u32(layout::AT_VERSION, LAYOUT_VERSION);

    let budget = |needed: usize| tuning.split.of(needed);
    let v4 = intervals(&own.v4, &other.v4, &other.rows, budget(own.v4.len()));
    let v4 = out.v4(&v4, tuning.root)?;
    out.put_u32(layout::AT_V4, v4.0);
    let v6 = intervals(&own.v6, &other.v6, &other.rows, budget(own.v6.len()));
    let v6 = out.v6(&v6, tuning.root != NO_ROOTS)?;
    out.put_u32(layout::AT_V6, v6.0);

    let length = out.bytes.len() as u32;
    out.put_u32(layout::AT_LENGTH, length);
    Ok(Image::from_bytes(out.bytes))
}

/// Bits of the IPv6 root: a place for each end, of which an eighth is used, as all addresses lie in
/// 2000::/3. More places would be faster, and make the image larger than 64 bytes a rule.
const ROOT_V6_BITS: std::ops::RangeInclusive<u32> = 8..=15;

/// What an interval leads to: a row with hints, or another list.
#[derive(Clone, Copy, Debug)]
enum Target {
    Row(rows::Id, Hints),
    /// A range of [`Writer::lower`].
    Low(u32, u32),
}

/// The last address of each interval.
fn ends<A: Address>(list: &[Interval<A>]) -> impl Iterator<Item = (A, Target)> {
    let after = list.iter().skip(1).map(|next| next.first.previous()).chain([A::LAST]);
    list.iter().zip(after).map(|(one, end)| (end, Target::Row(one.row, one.hints)))
}

struct Writer<'a> {
    bytes: Vec<u8>,
    limit: u64,
    rows: &'a Rows,
    /// For each row the first hints with which it was written.
    row_places: Vec<Option<(Hints, Reference)>>,
    /// Rows with further hints.
    more_places: Map<(rows::Id, Hints), Reference>,
    /// For each row the offset of its wide form, with whatever hints; 0 if it has none yet.
    parents: Vec<u32>,
    section_offsets: Vec<u32>,
    /// Intervals of lower halves: what [`Target::Low`] refers to.
    lower: Vec<(u64, Target)>,
}

impl Writer<'_> {
    /// Zeroed bytes at the end; returns their offset.
    fn allocate(&mut self, bytes: u64, align: u64) -> Written<u32> {
        let offset = (self.bytes.len() as u64).next_multiple_of(align);
        let end = (offset + bytes).next_multiple_of(u64::from(layout::UNIT));
        if end > self.limit {
            return Err(TooLarge(end));
        }
        self.bytes.resize(end as usize, 0);
        Ok(offset as u32)
    }

    fn put_u32(&mut self, offset: u32, word: u32) {
        let at = offset as usize;
        self.bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }

    fn put_u64(&mut self, offset: u32, word: u64) {
        let at = offset as usize;
        self.bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }

    /// Writes `4 << log` ends of 16 bits.
    fn put_ends(&mut self, offset: u32, log: u32, mut ends: impl Iterator<Item = u16>) {
        for place in 0..4 << log {
            let at = (offset + place * 2) as usize;
            let end = ends.next().unwrap_or(u16::MAX);
            // The lowest end is the lowest part of its word.
            let at = if cfg!(target_endian = "big") { at ^ 6 } else { at };
            self.bytes[at..at + 2].copy_from_slice(&end.to_ne_bytes());
        }
    }

    /// IPv4: a line, or a root with what is in each of its places.
    fn v4(&mut self, list: &[Interval<u32>], large: usize) -> Written<Reference> {
        let all: Vec<(u32, Target)> = ends(list).collect();
        let bits = match all.len() {
            count if count >= large => 16,
            count if count >= large / 16 => 12,
            count if count > layout::LINE_ENDS as usize && large != NO_ROOTS => 8,
            _ => return self.part(&all),
        };
        let shift = 32 - bits;
        let root = self.allocate(4 << bits, 64)?;
        let mut from = 0;
        for place in 0..1u32 << bits {
            let last = place << shift | ((1 << shift) - 1);
            let count = all[from..].iter().take_while(|(end, _)| *end < last).count() + 1;
            let inside = &all[from..from + count];
            let found = if bits == 16 { self.node(inside)? } else { self.part(inside)? };
            self.put_u32(root + place * 4, found.0);
            // The last interval goes on into the next place unless it ends here.
            from += count - usize::from(inside[count - 1].0 != last);
        }
        Ok(Reference::new(Reference::ROOT, root, shift))
    }

    /// The intervals inside a place of a small root: one, a line, or a list.
    fn part(&mut self, inside: &[(u32, Target)]) -> Written<Reference> {
        let last = inside.len().max(1) - 1;
        match inside {
            [] | [_] => return self.node(inside),
            // The last interval needs no end.
            _ if last < layout::LINE_ENDS as usize => {}
            _ => {
                let wide = inside.iter().enumerate().map(|(place, (end, target))| {
                    (if place == last { u64::MAX } else { u64::from(*end) }, *target)
                });
                return self.list(&wide.collect::<Vec<_>>());
            }
        }
        let offset = self.allocate(u64::from(layout::LINE_ENDS) * 8, 64)?;
        for place in 0..layout::LINE_ENDS {
            let end = inside[..last].get(place as usize).map_or(u32::MAX, |(end, _)| *end);
            // The lower end of a pair is in the lower half of its word.
            let at = if cfg!(target_endian = "big") { place ^ 1 } else { place };
            self.put_u32(offset + at * 4, end);
        }
        let references = offset + layout::LINE_ENDS * 4;
        self.targets(references, inside.iter().map(|(_, target)| target))?;
        Ok(Reference::new(Reference::LIST, offset, Reference::LINE))
    }

    /// The intervals inside one /16.
    fn node(&mut self, inside: &[(u32, Target)]) -> Written<Reference> {
        if let [(_, target)] = inside {
            return self.target(*target);
        }
        let log = key_words_log(inside.len() - 1);
        let bytes = (8u64 << log) + inside.len() as u64 * 4;
        let offset = self.allocate(bytes, 8)?;
        let ends = inside[..inside.len() - 1].iter().map(|(end, _)| *end as u16);
        self.put_ends(offset, log, ends);
        self.targets(offset + (8 << log), inside.iter().map(|(_, target)| target))?;
        Ok(Reference::new(Reference::NODE, offset, log))
    }

    fn targets<'t>(
        &mut self,
        offset: u32,
        targets: impl Iterator<Item = &'t Target>,
    ) -> Written<()> {
        for (place, target) in targets.enumerate() {
            let found = self.target(*target)?;
            self.put_u32(offset + place as u32 * 4, found.0);
        }
        Ok(())
    }

    fn target(&mut self, target: Target) -> Written<Reference> {
        match target {
            Target::Row(row, hints) => self.row(row, hints),
            Target::Low(first, end) => {
                let list = self.lower[first as usize..end as usize].to_vec();
                self.list(&list)
            }
        }
    }

    /// IPv6: a root over the upper halves, where that tells them apart, and lists in its places.
    fn v6(&mut self, list: &[Interval<u128>], root: bool) -> Written<Reference> {
        let upper = self.halves(list);
        let bits = (upper.len() as u64).next_power_of_two().trailing_zeros();
        let bits = bits.clamp(*ROOT_V6_BITS.start(), *ROOT_V6_BITS.end());
        let shift = 64 - bits;
        let last_of = |place: u64| place << shift | u64::MAX >> bits;
        let few = upper.len() <= layout::TREE_ENDS as usize + 1;
        // Where most are in one place (all of a site's addresses), the root would be in the way.
        let most = upper.chunk_by(|a, b| a.0 >> shift == b.0 >> shift).map(<[_]>::len).max();
        if few || !root || most.is_some_and(|most| most > upper.len() / 2) {
            return self.list(&upper);
        }
        let root = self.allocate(4 << bits, 64)?;
        let mut from = 0;
        for place in 0..1u64 << bits {
            let last = last_of(place);
            let count = upper[from..].iter().take_while(|(end, _)| *end < last).count() + 1;
            let inside = &upper[from..from + count];
            let found = self.list(inside)?;
            self.put_u32(root + place as u32 * 4, found.0);
            // The last interval goes on into the next place unless it ends here.
            from += count - usize::from(inside[count - 1].0 != last);
        }
        Ok(Reference::new(Reference::ROOT, root, shift))
    }

    /// Intervals by upper half, and ranges of lower halves for those that hold several.
    fn halves(&mut self, list: &[Interval<u128>]) -> Vec<(u64, Target)> {
        let mut upper: Vec<(u64, Target)> = Vec::new();
        let mut all = ends(list).peekable();
        // Upper half from which on nothing is written yet.
        let mut from = 0u64;
        while let Some((end, target)) = all.next() {
            let (high, low) = ((end >> 64) as u64, end as u64);
            if low == u64::MAX {
                upper.push((high, target));
                from = high.wrapping_add(1);
                continue;
            }
            if from < high {
                upper.push((high - 1, target));
            }
            let first = self.lower.len() as u32;
            self.lower.push((low, target));
            // The rest of this upper half, of which the last interval may go on.
            while let Some((end, target)) = all.peek() {
                let inside = (end >> 64) as u64 == high;
                let low = if inside { *end as u64 } else { u64::MAX };
                self.lower.push((low, *target));
                if inside {
                    all.next();
                }
                if low == u64::MAX {
                    break;
                }
            }
            upper.push((high, Target::Low(first, self.lower.len() as u32)));
            from = high.wrapping_add(1);
        }
        upper
    }

    /// A list, or a tree if it is long; its last end is `u64::MAX`.
    fn list(&mut self, list: &[(u64, Target)]) -> Written<Reference> {
        if let [(_, target)] = list {
            return self.target(*target);
        }
        let ends: Vec<u64> = list.iter().map(|(end, _)| *end).collect();
        let targets = list.iter().map(|(_, target)| target);
        if ends.len() - 1 > layout::TREE_ENDS as usize {
            return self.tree(ends, targets);
        }
        let log = (ends.len() - 1).next_power_of_two().trailing_zeros();
        let offset = self.allocate((8u64 << log) + ends.len() as u64 * 4, 8)?;
        for place in 0..1 << log {
            // The last interval needs no end; places after it are never below a key.
            let end = ends[..ends.len() - 1].get(place as usize).copied().unwrap_or(u64::MAX);
            self.put_u64(offset + place * 8, end);
        }
        self.targets(offset + (8 << log), targets)?;
        Ok(Reference::new(Reference::LIST, offset, Reference::list_size(0, log)))
    }

    /// A tree of cache lines with eight ends each.
    fn tree<'t>(
        &mut self,
        ends: Vec<u64>,
        targets: impl Iterator<Item = &'t Target>,
    ) -> Written<Reference> {
        let count = ends.len() as u64;
        // Ends of each level, the leaves first, and the last end below each node of the topmost.
        let mut last: Vec<u64> = ends
            .chunks(layout::TREE_ENDS as usize)
            .map(|node| node.last().copied().unwrap_or(u64::MAX))
            .collect();
        let mut levels = vec![ends];
        while last.len() > 1 {
            levels.push(parents(&last));
            last = last
                .chunks(layout::TREE_CHILDREN as usize)
                .map(|group| group.last().copied().unwrap_or(u64::MAX))
                .collect();
        }
        let header = self.allocate((levels.len() as u64 + 1) * 4, 8)?;
        for (level, ends) in levels.iter().rev().enumerate() {
            let bytes = (ends.len() as u64 * 8).next_multiple_of(64);
            let offset = self.allocate(bytes, 64)?;
            self.put_u32(header + level as u32 * 4, offset);
            let padded = ends.iter().copied().chain(std::iter::repeat(u64::MAX));
            for (place, end) in padded.take(bytes as usize / 8).enumerate() {
                self.put_u64(offset + place as u32 * 8, end);
            }
        }
        let references = self.allocate(count * 4, 8)?;
        self.put_u32(header + levels.len() as u32 * 4, references);
        self.targets(references, targets)?;
        let size = Reference::list_size(levels.len() as u32 - 1, 3);
        Ok(Reference::new(Reference::LIST, header, size))
    }

    /// A row with hints, and what it refers to.
    fn row(&mut self, id: rows::Id, hints: Hints) -> Written<Reference> {
        let place = id as usize;
        match self.row_places[place] {
            Some((known, found)) if known == hints => return Ok(found),
            Some(_) => {
                if let Some(found) = self.more_places.get(&(id, hints)) {
                    return Ok(*found);
                }
            }
            None => {}
        }
        let found = match narrow::words(self.rows, id, hints) {
            Some(words) => {
                let words = words.as_slice();
                let offset = self.allocate(words.len() as u64 * 8, 8)?;
                for (place, word) in words.iter().enumerate() {
                    self.put_u64(offset + place as u32 * 8, *word);
                }
                Reference::new(Reference::ROW, offset, 1)
            }
            None => Reference::new(Reference::ROW, self.wide(id, hints)?, 0),
        };
        if self.row_places[place].is_none() {
            self.row_places[place] = Some((hints, found));
        } else {
            self.more_places.insert((id, hints), found);
        }
        Ok(found)
    }

    /// A row in the wide form, and those above it.
    fn wide(&mut self, id: rows::Id, hints: Hints) -> Written<u32> {
        let row = *self.rows.row(id);
        // Parents come first. There are at most as many as a prefix has lengths.
        let parent = match row.parent {
            None => 0,
            Some(up) if self.parents[up as usize] != 0 => self.parents[up as usize],
            Some(up) => self.wide(up, Hints::DEPENDS)?,
        };
        let offset = self.allocate(u64::from(layout::ROW_WORDS) * 8, 8)?;
        self.put_u64(offset, u64::from(row.above) << 32 | u64::from(parent));
        for (place, (kind, section)) in KINDS.iter().zip(row.sections).enumerate() {
            let whole = *kind != Kind::Other && self.rows.whole(id, *kind) == Whole::Allowed;
            let bits = hints.of(*kind) << 1 | u64::from(whole) << 3;
            let descriptor = self.descriptor(section)? | bits;
            self.put_u64(offset + 8 + place as u32 * 8, descriptor);
        }
        self.parents[id as usize] = offset;
        Ok(offset)
    }

    /// A section's descriptor; one with a single interval is its decision.
    fn descriptor(&mut self, id: sections::Id) -> Written<u64> {
        let rows = self.rows;
        let pieces = rows.sections.pieces(id);
        if let [piece] = pieces {
            return Ok(piece.decision);
        }
        let log = key_words_log(pieces.len() - 1);
        if self.section_offsets[id as usize] == 0 {
            let offset = self.allocate((8u64 << log) + pieces.len() as u64 * 8, 8)?;
            self.put_ends(offset, log, pieces[..pieces.len() - 1].iter().map(|piece| piece.end));
            for (place, piece) in pieces.iter().enumerate() {
                self.put_u64(offset + (8 << log) + place as u32 * 8, piece.decision);
            }
            self.section_offsets[id as usize] = offset;
        }
        Ok(layout::section(self.section_offsets[id as usize], log))
    }
}

/// Ends of the nodes above `nodes`, of which the last end of each is given: that of every child
/// but the ninth.
fn parents(nodes: &[u64]) -> Vec<u64> {
    let (ends, children) = (layout::TREE_ENDS as usize, layout::TREE_CHILDREN as usize);
    let mut above = Vec::with_capacity(nodes.len().div_ceil(children) * ends);
    for group in nodes.chunks(children) {
        let given = group.iter().take(ends).copied();
        above.extend(given.chain(std::iter::repeat(u64::MAX)).take(ends));
    }
    above
}

/// Binary logarithm of the words for this many ends of 16 bits, at least one word.
fn key_words_log(ends: usize) -> u32 {
    ends.div_ceil(4).max(1).next_power_of_two().trailing_zeros()
}
