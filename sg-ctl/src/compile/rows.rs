//! Rows: what the rules say of every kind and key at an address.
//!
//! A row holds what its own prefix says, and a pointer to the row of the next shorter prefix. What
//! that row says is copied into it while this fits a budget; then its pointer leads one prefix
//! further up, or nowhere. Without a budget the pointers keep memory linear.

use std::hash::Hasher;

use hashbrown::HashTable;
use sg_common::classifier::{Decision, Kind};

use super::elements::KINDS;
use super::sections::{self, Sections, rank};
use crate::quick::{Map, Mix};

/// A row's number.
pub(super) type Id = u32;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// For each kind.
    pub(super) sections: [sections::Id; KINDS.len()],
    /// The row further up, of which nothing is in the sections.
    pub(super) parent: Option<Id>,
    /// Best rank that a row further up gives.
    pub(super) above: u32,
}

impl Row {
    fn hash_code(&self) -> u64 {
        let mut hash = Mix::default();
        let [a, b, c, d, e] = self.sections.map(u64::from);
        hash.add(a << 32 | b);
        hash.add(c << 32 | d);
        hash.add(e << 32 | u64::from(self.above));
        hash.add(self.parent.map_or(u64::MAX, u64::from));
        hash.finish()
    }
}

/// What all keys of a kind have in common, at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Every key is allowed.
    Allowed,
    /// No key is allowed.
    Denied,
    /// Some are, or it is not known.
    Mixed,
}

/// What the rows from one row on up say of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    allows: bool,
    denies: bool,
    full: bool,
}

/// All rows.
pub(super) struct Rows {
    /// Their sections.
    pub(super) sections: Sections,
    rows: Vec<Row>,
    reach: Vec<[Reach; KINDS.len()]>,
    by_content: HashTable<Id>,
    /// Rows that could not copy what is further up.
    lean: Map<([sections::Id; KINDS.len()], Id), Id>,
    budget: usize,
}

impl Rows {
    /// The row in which no rule decides anything.
    pub(super) const EMPTY: Id = 0;

    /// Only [`Self::EMPTY`].
    pub(super) fn new(sections: Sections, budget: usize) -> Self {
        // Most rows are made for a section of their own.
        let room = sections.len();
        let mut rows = Self {
            sections,
            rows: Vec::with_capacity(room),
            reach: Vec::with_capacity(room),
            by_content: HashTable::with_capacity(room),
            lean: Map::default(),
            budget,
        };
        rows.intern(Row {
            sections: [Sections::EMPTY; KINDS.len()],
            parent: None,
            above: rank(Decision::IMPLICIT_DENY.0),
        });
        rows
    }

    /// A row.
    pub(super) fn row(&self, id: Id) -> &Row {
        &self.rows[id as usize]
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn intern(&mut self, row: Row) -> Id {
        let next = self.rows.len() as Id;
        let rows = &self.rows;
        let place = self.by_content.entry(
            row.hash_code(),
            |id| rows[*id as usize] == row,
            |id| rows[*id as usize].hash_code(),
        );
        let id = *place.or_insert(next).get();
        if id == next {
            let mut reach = row.parent.map_or_else(Default::default, |up| self.reach[up as usize]);
            for (reach, section) in reach.iter_mut().zip(row.sections) {
                let summary = self.sections.summary(section);
                reach.allows |= summary.allows;
                reach.denies |= summary.denies;
                reach.full |= summary.full();
            }
            self.rows.push(row);
            self.reach.push(reach);
        }
        id
    }

    /// The row of a prefix whose own rules make these sections, inside a prefix with that row.
    pub(super) fn child(&mut self, own: [sections::Id; KINDS.len()], up: Id) -> Id {
        if own == [Sections::EMPTY; KINDS.len()] {
            return up;
        }
        // What was copied once costs nothing now, so only these would come out otherwise.
        if !self.lean.is_empty()
            && let Some(id) = self.lean.get(&(own, up))
        {
            return *id;
        }
        let parent = self.rows[up as usize];
        let cost: usize =
            own.iter().zip(parent.sections).map(|(own, far)| self.sections.cost(*own, far)).sum();
        let mut row = Row { sections: own, ..parent };
        let lean = cost > self.budget;
        if !lean {
            self.budget -= cost;
            for (near, far) in row.sections.iter_mut().zip(parent.sections) {
                *near = self.sections.merge(*near, far);
            }
        } else {
            row.parent = Some(up);
            for (near, far) in row.sections.iter_mut().zip(parent.sections) {
                row.above = row.above.min(self.sections.summary(far).best);
                if *near == Sections::EMPTY {
                    *near = far;
                }
            }
        }
        let id = self.intern(row);
        if lean {
            self.lean.insert((own, up), id);
        }
        id
    }

    /// What a row and those above it say of one key.
    pub(super) fn decide(&self, id: Id, kind: Kind, key: u16) -> u64 {
        let mut best = Decision::IMPLICIT_DENY.0;
        let mut next = Some(id);
        while let Some(id) = next {
            let row = self.row(id);
            let found = self.sections.decide(row.sections[kind as usize], key);
            if rank(found) < rank(best) {
                best = found;
            }
            next = row.parent;
        }
        best
    }

    /// What is known of all keys of a kind; exact where nothing is further up.
    pub(super) fn whole(&self, id: Id, kind: Kind) -> Whole {
        let reach = self.reach[id as usize][kind as usize];
        if !reach.allows {
            Whole::Denied
        } else if reach.full && !reach.denies {
            Whole::Allowed
        } else {
            Whole::Mixed
        }
    }
}
