//! Sections: what one row says of one kind, as disjoint intervals of keys. Equal sections are kept
//! once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hasher;

use hashbrown::HashTable;
use sg_common::classifier::Decision;

use super::elements::Element;
use crate::quick::{Map, Mix};

/// An interval of keys, from the end of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Last key.
    pub(super) end: u16,
    /// See [`Decision`]; the bits that speak of the address are zero.
    pub(super) decision: u64,
}

/// Keys that an element matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Keys {
    first: u16,
    last: u16,
    precedence: u128,
    decision: u64,
}

impl Keys {
    /// Keys `first` to `last` of an element.
    pub(super) fn new(first: u16, last: u16, element: &Element) -> Self {
        let Element { precedence, decision, .. } = *element;
        Self { first, last, precedence, decision }
    }
}

/// The rank of a decision: the smaller wins.
pub(super) const fn rank(decision: u64) -> u32 {
    (decision >> 32) as u32
}

/// What is known of all intervals of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Smallest rank.
    pub(super) best: u32,
    /// Largest rank; that of no rule if there is a gap.
    pub(super) worst: u32,
    /// A rule allows some key.
    pub(super) allows: bool,
    /// A rule denies some key.
    pub(super) denies: bool,
}

impl Summary {
    /// Whether a rule decides every key.
    pub(super) const fn full(self) -> bool {
        self.worst != rank(Decision::IMPLICIT_DENY.0)
    }
}

/// A section's number.
pub(super) type Id = u32;

/// All sections.
pub(super) struct Sections {
    pieces: Vec<Piece>,
    /// For each section the end of its pieces, its summary, and its hash.
    entries: Vec<(usize, Summary, u64)>,
    by_hash: HashTable<Id>,
    merged: Map<(Id, Id), Id>,
    scratch: Vec<Piece>,
    /// Precedence, last key and decision of what is open: see [`Self::sweep`].
    open: BinaryHeap<Reverse<(u128, u16, u64)>>,
}

impl Sections {
    /// The section in which no rule decides anything.
    pub(super) const EMPTY: Id = 0;

    /// Only [`Self::EMPTY`], with room for those of so many elements as are usual.
    pub(super) fn new(elements: usize) -> Self {
        let mut sections = Self {
            pieces: Vec::with_capacity(3 * elements),
            entries: Vec::with_capacity(elements),
            by_hash: HashTable::with_capacity(elements),
            merged: Map::default(),
            scratch: Vec::new(),
            open: BinaryHeap::new(),
        };
        let empty = [Piece { end: u16::MAX, decision: Decision::IMPLICIT_DENY.0 }];
        sections.intern(&empty);
        sections
    }

    /// The intervals of a section, ascending; the last ends at the largest key.
    pub(super) fn pieces(&self, id: Id) -> &[Piece] {
        let first = if id == 0 { 0 } else { self.entries[id as usize - 1].0 };
        &self.pieces[first..self.entries[id as usize].0]
    }

    /// What is known of a section.
    pub(super) fn summary(&self, id: Id) -> Summary {
        self.entries[id as usize].1
    }

    /// Intervals of all sections.
    pub(super) fn total(&self) -> usize {
        self.pieces.len()
    }

    /// Number of sections.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What a section says of a key.
    pub(super) fn decide(&self, id: Id, key: u16) -> u64 {
        let pieces = self.pieces(id);
        let at = pieces.partition_point(|piece| piece.end < key);
        pieces.get(at).map_or(Decision::IMPLICIT_DENY.0, |piece| piece.decision)
    }

    fn intern(&mut self, pieces: &[Piece]) -> Id {
        let mut hash = Mix::default();
        for piece in pieces {
            hash.add(piece.decision);
            hash.add(u64::from(piece.end));
        }
        let hash = hash.finish();
        let known = self.by_hash.find(hash, |id| self.pieces(*id) == pieces);
        if let Some(id) = known {
            return *id;
        }
        let id = self.entries.len() as Id;
        self.pieces.extend_from_slice(pieces);
        let ranks = pieces.iter().map(|piece| rank(piece.decision));
        let rule = |piece: &&Piece| Decision(piece.decision).is_rule();
        let summary = Summary {
            best: ranks.clone().min().unwrap_or(u32::MAX),
            worst: ranks.max().unwrap_or(u32::MAX),
            allows: pieces.iter().filter(rule).any(|piece| Decision(piece.decision).allows()),
            denies: pieces.iter().filter(rule).any(|piece| !Decision(piece.decision).allows()),
        };
        self.entries.push((self.pieces.len(), summary, hash));
        let entries = &self.entries;
        self.by_hash.insert_unique(hash, id, |id| entries[*id as usize].2);
        id
    }

    /// The section of what matches at one prefix.
    pub(super) fn resolve(&mut self, keys: &mut [Keys]) -> Id {
        if keys.is_empty() {
            return Self::EMPTY;
        }
        let mut pieces = std::mem::take(&mut self.scratch);
        pieces.clear();
        if let [Keys { first, last, decision, .. }] = *keys {
            if first > 0 {
                push(&mut pieces, first - 1, Decision::IMPLICIT_DENY.0);
            }
            push(&mut pieces, last, decision);
            if last < u16::MAX {
                push(&mut pieces, u16::MAX, Decision::IMPLICIT_DENY.0);
            }
        } else {
            self.sweep(keys, &mut pieces);
        }
        let id = self.intern(&pieces);
        self.scratch = pieces;
        id
    }

    /// Goes through the keys from the lowest to the highest; of what is open the first decides.
    fn sweep(&mut self, keys: &mut [Keys], pieces: &mut Vec<Piece>) {
        keys.sort_unstable();
        let open = &mut self.open;
        open.clear();
        let mut coming = keys.iter().peekable();
        let mut position = 0u32;
        while position <= u32::from(u16::MAX) {
            while let Some(keys) = coming.next_if(|keys| u32::from(keys.first) <= position) {
                open.push(Reverse((keys.precedence, keys.last, keys.decision)));
            }
            while open.peek().is_some_and(|Reverse((_, last, _))| u32::from(*last) < position) {
                open.pop();
            }
            let before_next =
                coming.peek().map_or(u32::from(u16::MAX), |keys| u32::from(keys.first) - 1);
            let (end, decision) = match open.peek() {
                Some(Reverse((_, last, decision))) => {
                    (before_next.min(u32::from(*last)), *decision)
                }
                None => (before_next, Decision::IMPLICIT_DENY.0),
            };
            push(pieces, end as u16, decision);
            position = end + 1;
        }
    }

    /// Intervals that [`Self::merge`] would write, or 0 if it needs none of its own.
    pub(super) fn cost(&self, near: Id, far: Id) -> usize {
        if self.easy(near, far).is_some() || self.merged.contains_key(&(near, far)) {
            return 0;
        }
        self.pieces(near).len() + self.pieces(far).len()
    }

    /// What `near` says where it ranks as well as `far` or better, else what `far` says.
    pub(super) fn merge(&mut self, near: Id, far: Id) -> Id {
        if let Some(id) = self.easy(near, far) {
            return id;
        }
        if let Some(id) = self.merged.get(&(near, far)) {
            return *id;
        }
        let mut pieces = std::mem::take(&mut self.scratch);
        pieces.clear();
        let (mut a, mut b) = (self.pieces(near).iter(), self.pieces(far).iter());
        let (mut x, mut y) = (a.next(), b.next());
        while let (Some(p), Some(q)) = (x, y) {
            let wins = rank(q.decision) < rank(p.decision);
            let end = p.end.min(q.end);
            push(&mut pieces, end, if wins { q.decision } else { p.decision });
            if p.end == end {
                x = a.next();
            }
            if q.end == end {
                y = b.next();
            }
        }
        let id = self.intern(&pieces);
        self.scratch = pieces;
        self.merged.insert((near, far), id);
        id
    }

    /// The merged section where it is one of the two.
    fn easy(&self, near: Id, far: Id) -> Option<Id> {
        if far == Self::EMPTY {
            return Some(near);
        }
        if near == Self::EMPTY {
            return Some(far);
        }
        let (n, f) = (self.summary(near), self.summary(far));
        if n.worst <= f.best {
            Some(near)
        } else if f.worst < n.best {
            Some(far)
        } else {
            None
        }
    }
}

/// Appends an interval, or prolongs the last.
fn push(pieces: &mut Vec<Piece>, end: u16, decision: u64) {
    match pieces.last_mut() {
        Some(last) if last.decision == decision => last.end = end,
        _ => pieces.push(Piece { end, decision }),
    }
}
