//! Narrow rows: see [`layout::Narrow`]. Most rows of large policies are narrow: a kind with a few
//! ranges of keys, and the same for all of each other kind.

use sg_common::classifier::layout::{self, Narrow};
use sg_common::classifier::{Decision, Kind};

use super::elements::KINDS;
use super::hints::Hints;
use super::rows::{self, Rows, Whole};

/// Most words of ends.
const WORDS: usize = (Narrow::INTERVALS - 1) / ENDS;
/// Ends in a word.
const ENDS: usize = 4;

/// The words of a narrow row.
pub(super) struct Words {
    words: [u64; 1 + WORDS + Narrow::DECISIONS],
    count: usize,
}

impl Words {
    /// The words, in their order.
    pub(super) fn as_slice(&self) -> &[u64] {
        &self.words[..self.count]
    }
}

/// The decisions of a row, each once.
#[derive(Default)]
struct Decisions {
    list: [u64; Narrow::DECISIONS],
    count: usize,
}

impl Decisions {
    /// The index of a decision: 0 of that of no rule, else its place from 1 on. `None` if there is
    /// no place left.
    fn index(&mut self, decision: u64) -> Option<u64> {
        if decision == Decision::IMPLICIT_DENY.0 {
            return Some(0);
        }
        let known = &self.list[..self.count];
        let place = known.iter().position(|one| *one == decision).unwrap_or(self.count);
        *self.list.get_mut(place)? = decision;
        self.count = self.count.max(place + 1);
        Some(place as u64 + 1)
    }
}

/// A row with hints in the narrow form, if it has one.
pub(super) fn words(rows: &Rows, id: rows::Id, hints: Hints) -> Option<Words> {
    let row = rows.row(id);
    if row.parent.is_some() {
        return None;
    }
    let mut decisions = Decisions::default();
    let mut head = 0;
    let mut keyed = None;
    for (kind, section) in KINDS.into_iter().zip(row.sections) {
        let number = kind as u32;
        head |= hints.of(kind) << (2 * number);
        match rows.sections.pieces(section) {
            [piece] => head |= decisions.index(piece.decision)? << (Narrow::AT_KINDS + 3 * number),
            pieces if keyed.is_none() && pieces.len() <= Narrow::INTERVALS => {
                keyed = Some((kind, pieces));
            }
            _ => return None,
        }
    }
    let mut words = [0; 1 + WORDS + Narrow::DECISIONS];
    let mut count = 1;
    if let Some((kind, pieces)) = keyed {
        head |= u64::from(kind as u32) << Narrow::AT_KIND;
        // Of a protocol without ports the decision itself says it.
        let whole = kind != Kind::Other && rows.whole(id, kind) == Whole::Allowed;
        head |= u64::from(whole) << Narrow::AT_WHOLE;
        for (place, piece) in pieces.iter().enumerate() {
            head |= decisions.index(piece.decision)? << (Narrow::AT_INTERVALS + 3 * place as u32);
        }
        // The last interval ends at the largest key, which is what places without an end hold.
        let mut ends = pieces[..pieces.len() - 1].iter().map(|piece| piece.end);
        let used = (pieces.len() - 1).div_ceil(ENDS).max(1);
        for word in 0..used {
            head |= 1 << (Narrow::AT_WORDS + word as u32);
            words[count] = (0..ENDS).fold(0, |all, place| {
                all | u64::from(ends.next().unwrap_or(u16::MAX)) << (16 * place)
            });
            count += 1;
        }
    } else {
        head |= u64::from(Narrow::NO_KIND) << Narrow::AT_KIND;
    }
    words[0] = head;
    debug_assert!(decisions.list.iter().all(|one| one & layout::ADDRESS_BITS == 0));
    words[count..count + decisions.count].copy_from_slice(&decisions.list[..decisions.count]);
    Some(Words { words, count: count + decisions.count })
}
