//! Hints: what the other direction says of an address, whatever the key.

use sg_common::classifier::{Decision, Kind, Reverse};

use super::elements::KINDS;
use super::family::Address;
use super::rows::{self, Rows, Whole};

/// ICMP types with a counterpart (spec §1), which are the types of mirrored packets too.
const ICMP_TYPES: [u8; 8] = [0, 8, 13, 14, 15, 16, 17, 18];
const ICMPV6_TYPES: [u8; 4] = [128, 129, 139, 140];

/// A [`Reverse`] for each kind, two bits each from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hints(u16);

impl Hints {
    /// Nothing is known.
    pub(super) const DEPENDS: Self = Self(0);

    /// The hint for a kind, as the number of a [`Reverse`].
    pub(super) const fn of(self, kind: Kind) -> u64 {
        (self.0 >> (2 * kind as u16) & 3) as u64
    }

    /// What a row of the other direction says.
    fn new(rows: &Rows, row: rows::Id, v6: bool) -> Self {
        let types: &[u8] = if v6 { &ICMPV6_TYPES } else { &ICMP_TYPES };
        let mut hints = 0;
        for kind in KINDS {
            let whole = match (rows.whole(row, kind), kind) {
                (Whole::Mixed, Kind::Icmp) => {
                    let allowed = |kind: &&u8| {
                        Decision(rows.decide(row, Kind::Icmp, u16::from(**kind) << 8)).allows()
                    };
                    match types.iter().filter(allowed).count() {
                        0 => Whole::Denied,
                        all if all == types.len() => Whole::Allowed,
                        _ => Whole::Mixed,
                    }
                }
                (whole, _) => whole,
            };
            let hint = match whole {
                Whole::Allowed => Reverse::Open,
                Whole::Denied => Reverse::Closed,
                Whole::Mixed => Reverse::Depends,
            };
            hints |= (hint as u16) << (2 * kind as u16);
        }
        Self(hints)
    }

    /// What both say.
    fn both(self, other: Self) -> Self {
        let differs = self.0 ^ other.0;
        let kinds = (differs | differs >> 1) & 0x155;
        Self(self.0 & !(kinds * 3))
    }
}

/// An interval of addresses, up to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval<A> {
    /// First address.
    pub(super) first: A,
    /// Row of the own direction.
    pub(super) row: rows::Id,
    /// What the other direction says.
    pub(super) hints: Hints,
}

/// Cuts the intervals of one direction where the other direction's hints change, `budget` times at
/// most. An interval that would need more cuts than are left is not cut at all.
pub(super) fn intervals<A: Address>(
    own: &[(A, rows::Id)],
    other: &[(A, rows::Id)],
    rows: &Rows,
    mut budget: usize,
) -> Vec<Interval<A>> {
    let mut hints_of = vec![None; rows.len()];
    let mut cuts: Vec<(A, Hints)> = Vec::new();
    for (first, row) in other {
        let hints = *hints_of[*row as usize].get_or_insert_with(|| Hints::new(rows, *row, A::V6));
        if cuts.last().is_none_or(|(_, before)| *before != hints) {
            cuts.push((*first, hints));
        }
    }

    let mut intervals: Vec<Interval<A>> = Vec::with_capacity(own.len());
    let mut add = |first, row, hints| {
        if intervals.last().is_none_or(|last| (last.row, last.hints) != (row, hints)) {
            intervals.push(Interval { first, row, hints });
        }
    };
    let mut cut = 0;
    for (index, (first, row)) in own.iter().enumerate() {
        let end = own.get(index + 1).map(|(next, _)| *next);
        // `cut` is the last one that starts at or before `first`.
        while cuts.get(cut + 1).is_some_and(|(start, _)| *start <= *first) {
            cut += 1;
        }
        let inside = &cuts[cut..];
        let count = end.map_or(inside.len(), |end| {
            inside.iter().skip(1).take_while(|(start, _)| *start < end).count() + 1
        });
        let inside = &inside[..count.min(inside.len())];
        if count <= budget.saturating_add(1) {
            budget -= count.saturating_sub(1);
            for (start, hints) in inside {
                add((*start).max(*first), *row, *hints);
            }
        } else {
            let common = inside.iter().map(|(_, hints)| *hints).reduce(Hints::both);
            add(*first, *row, common.unwrap_or(Hints::DEPENDS));
        }
        cut += count.saturating_sub(1);
    }
    intervals
}
