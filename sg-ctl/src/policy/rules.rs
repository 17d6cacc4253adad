//! The rules of one direction of a group, in pieces that copies of the list share.
//!
//! A policy of 100 000 rules is copied, compared, named and stored again for one rule that changes.
//! What is shared is known to be the same without a look at it, and what was found out about it once
//! (the ids of its rules, the numbers of their counters) is known of every copy.

use std::fmt;
use std::ops::Index;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::{Direction, Name, Rule, RuleId};
use crate::quick::Set;

/// Rules of a piece that is filled one by one.
const PIECE: usize = 256;

/// Rules in the order in which they were entered.
///
/// Into which pieces they are cut makes no difference to what the list means: lists are equal whose
/// rules are.
#[derive(Clone, Default)]
pub struct Rules {
    /// None is empty.
    pieces: Vec<Arc<Piece>>,
    len: usize,
}

/// Some rules of a list, side by side, and what is known of them. It never changes while it is
/// shared.
#[derive(Debug, Default)]
pub struct Piece {
    rules: Vec<Rule>,
    /// The list that it was found in, and the ids that its rules have there.
    ids: OnceLock<(Name, Direction, Box<[RuleId]>)>,
    /// Counter slots that the rules had when somebody looked.
    slots: OnceLock<Box<[u32]>>,
}

impl Piece {
    /// A piece of which nothing is known yet.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// A piece of a list whose rules were named and numbered before: `ids` and `slots` in the order
    /// of the rules.
    ///
    /// Ids come from content. Who gives others here breaks the identity of rules, so the caller
    /// knows them from where they were made; a debug build makes them again and compares.
    #[must_use]
    pub fn known(
        rules: Vec<Rule>,
        group: &Name,
        direction: Direction,
        ids: Box<[RuleId]>,
        slots: Box<[u32]>,
    ) -> Self {
        debug_assert_eq!((ids.len(), slots.len()), (rules.len(), rules.len()));
        let ids = OnceLock::from((group.clone(), direction, ids));
        Self { rules, ids, slots: OnceLock::from(slots) }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The ids of the rules, if this is a piece of a list of that group and direction. Made at most
    /// once.
    fn ids_in(&self, group: &Name, direction: Direction) -> Option<&[RuleId]> {
        let make = || {
            let of = |rule| RuleId::of(group, direction, rule);
            (group.clone(), direction, self.rules.iter().map(of).collect())
        };
        let (of_group, of_direction, ids) = self.ids.get_or_init(make);
        let here = of_group == group && *of_direction == direction;
        // What is remembered is what would be found out.
        #[cfg(debug_assertions)]
        if here {
            assert_eq!(**ids, *make().2, "ids of other rules than these");
        }
        here.then_some(ids)
    }

    /// The counter slot of each rule as it was noted last, which need not be right any more.
    #[must_use]
    pub fn slots(&self) -> Option<&[u32]> {
        self.slots.get().map(|slots| &**slots)
    }

    /// Notes the counter slot of each rule, unless some are noted.
    pub fn note_slots(&self, slots: Box<[u32]>) {
        debug_assert_eq!(slots.len(), self.rules.len());
        let _ = self.slots.set(slots);
    }
}

impl Rules {
    /// No rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A list of these pieces; empty ones are left out.
    #[must_use]
    pub fn from_pieces(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.rules.is_empty());
        let pieces: Vec<Arc<Piece>> = pieces.map(Arc::new).collect();
        let len = pieces.iter().map(|piece| piece.rules.len()).sum();
        Self { pieces, len }
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Arc<Piece>] {
        &self.pieces
    }

    /// The pieces, each with the place of its first rule.
    pub fn numbered_pieces(&self) -> impl Iterator<Item = (usize, &Arc<Piece>)> {
        self.pieces.iter().scan(0, |next, piece| {
            let first = *next;
            *next += piece.rules.len();
            Some((first, piece))
        })
    }

    /// Its pieces, to be told from others.
    pub(crate) fn piece_set(&self) -> Set<*const Piece> {
        self.pieces.iter().map(Arc::as_ptr).collect()
    }

    /// Whether both lists are made of the same pieces, so that they are equal. Equal lists need not
    /// be.
    #[must_use]
    pub fn shares_all(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Piece>, &Arc<Piece>)| Arc::ptr_eq(a, b);
        self.pieces.len() == other.pieces.len() && self.pieces.iter().zip(&other.pieces).all(same)
    }

    /// The rules, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Rule> + Clone {
        self.pieces.iter().flat_map(|piece| &piece.rules)
    }

    /// The ids of the rules, in order, as those of a list of that group and direction.
    pub fn ids(&self, group: &Name, direction: Direction) -> impl Iterator<Item = RuleId> {
        self.pieces.iter().flat_map(move |piece| {
            let known = piece.ids_in(group, direction);
            piece.rules.iter().enumerate().map(move |(place, rule)| match known {
                Some(ids) => ids[place],
                None => RuleId::of(group, direction, rule),
            })
        })
    }

    /// Makes sure that every piece belongs to this list: afterwards [`Self::piece_ids`] has the ids
    /// of each.
    pub fn own(&mut self, group: &Name, direction: Direction) {
        for piece in &mut self.pieces {
            if piece.ids_in(group, direction).is_none() {
                *piece = Arc::new(Piece::new(piece.rules.clone()));
            }
        }
    }

    /// The pieces with the ids of their rules, made now where [`Self::own`] was not called.
    pub fn piece_ids(
        &self,
        group: &Name,
        direction: Direction,
    ) -> impl Iterator<Item = (&Arc<Piece>, std::borrow::Cow<'_, [RuleId]>)> {
        self.pieces.iter().map(move |piece| {
            let ids = match piece.ids_in(group, direction) {
                Some(ids) => ids.into(),
                None => piece.rules.iter().map(|rule| RuleId::of(group, direction, rule)).collect(),
            };
            (piece, ids)
        })
    }

    /// Forgets the slots that were noted of the pieces for which `wrong` says so. Other lists that
    /// share them still know.
    pub fn forget_slots(&mut self, wrong: &[bool]) {
        for (piece, _) in self.pieces.iter_mut().zip(wrong).filter(|(_, wrong)| **wrong) {
            let (rules, ids) = (piece.rules.clone(), piece.ids.clone());
            *piece = Arc::new(Piece { rules, ids, slots: OnceLock::new() });
        }
    }

    /// A rule by its place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Rule> {
        let (piece, place) = self.find(place)?;
        self.pieces[piece].rules.get(place)
    }

    /// The last rule.
    #[must_use]
    pub fn last(&self) -> Option<&Rule> {
        self.pieces.last()?.rules.last()
    }

    /// Appends a rule.
    pub fn push(&mut self, rule: Rule) {
        match self.pieces.last() {
            Some(last) if last.rules.len() < PIECE => {
                let last = self.pieces.len() - 1;
                self.edit(last).push(rule);
            }
            _ => self.pieces.push(Arc::new(Piece::new(vec![rule]))),
        }
        self.len += 1;
    }

    /// Puts a rule before the one at `place`, or at the end if there is none.
    pub fn insert(&mut self, place: usize, rule: Rule) {
        match self.find(place) {
            Some((piece, place)) => {
                self.edit(piece).insert(place, rule);
                self.len += 1;
            }
            None => self.push(rule),
        }
    }

    /// Takes the rule at `place` out, if there is one.
    pub fn remove(&mut self, place: usize) -> Option<Rule> {
        let (piece, place) = self.find(place)?;
        let rules = self.edit(piece);
        let rule = rules.remove(place);
        if rules.is_empty() {
            self.pieces.remove(piece);
        }
        self.len -= 1;
        Some(rule)
    }

    /// Puts another rule in the place of one, if there is one.
    pub fn replace(&mut self, place: usize, rule: Rule) {
        if let Some((piece, place)) = self.find(place) {
            self.edit(piece)[place] = rule;
        }
    }

    /// Keeps the rules that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&Rule) -> bool) {
        for piece in 0..self.pieces.len() {
            if !self.pieces[piece].rules.iter().all(&keep) {
                self.edit(piece).retain(&keep);
            }
        }
        self.pieces.retain(|piece| !piece.rules.is_empty());
        self.len = self.pieces.iter().map(|piece| piece.rules.len()).sum();
    }

    /// Piece of a rule, and place in it.
    fn find(&self, mut place: usize) -> Option<(usize, usize)> {
        for (number, piece) in self.pieces.iter().enumerate() {
            if place < piece.rules.len() {
                return Some((number, place));
            }
            place -= piece.rules.len();
        }
        None
    }

    /// The rules of a piece, which is no longer shared and of which nothing is known any more.
    fn edit(&mut self, piece: usize) -> &mut Vec<Rule> {
        let piece = &mut self.pieces[piece];
        if Arc::get_mut(piece).is_none() {
            *piece = Arc::new(Piece::new(piece.rules.clone()));
        }
        // Nobody shares it: it is the copy, or was alone before.
        let own = Arc::get_mut(piece);
        let own = own.unwrap_or_else(|| unreachable!("a fresh copy is shared"));
        (own.ids, own.slots) = (OnceLock::new(), OnceLock::new());
        &mut own.rules
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len {
            return false;
        }
        let same = |(a, b): (&Arc<Piece>, &Arc<Piece>)| Arc::ptr_eq(a, b) || a.rules == b.rules;
        let alike = self.pieces.len() == other.pieces.len();
        alike && self.pieces.iter().zip(&other.pieces).all(same) || self.iter().eq(other.iter())
    }
}

impl Eq for Rules {}

impl<const N: usize> PartialEq<[Rule; N]> for Rules {
    fn eq(&self, other: &[Rule; N]) -> bool {
        self.len == N && self.iter().eq(other)
    }
}

impl Index<usize> for Rules {
    type Output = Rule;

    fn index(&self, place: usize) -> &Rule {
        match self.get(place) {
            Some(rule) => rule,
            None => panic!("rule {place} of {}", self.len),
        }
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let mut rules = rules.into_iter();
        Self::from_pieces(std::iter::from_fn(|| {
            let piece: Vec<Rule> = rules.by_ref().take(PIECE).collect();
            (!piece.is_empty()).then(|| Piece::new(piece))
        }))
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        rules.into_iter().collect()
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(priority: u16) -> Rule {
        Rule { priority, ..Rule::default() }
    }

    fn group(name: &str) -> Name {
        name.parse().unwrap()
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Push(u16),
        Insert(prop::sample::Index, u16),
        Remove(prop::sample::Index),
        Replace(prop::sample::Index, u16),
        Retain(u16),
        Name(bool),
        Copy,
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            any::<u16>().prop_map(Edit::Push),
            (place(), any::<u16>()).prop_map(|(at, rule)| Edit::Insert(at, rule)),
            place().prop_map(Edit::Remove),
            (place(), any::<u16>()).prop_map(|(at, rule)| Edit::Replace(at, rule)),
            (2..9_u16).prop_map(Edit::Retain),
            any::<bool>().prop_map(Edit::Name),
            Just(Edit::Copy),
        ]
    }

    proptest! {
        /// Also while ids are made between the edits and other lists share the pieces.
        #[test]
        fn a_list_in_pieces_is_a_list(
            start in prop::collection::vec(any::<u16>(), 0..700),
            edits in prop::collection::vec(edit(), 0..30),
        ) {
            let mut plain: Vec<Rule> = start.into_iter().map(rule).collect();
            let mut rules = Rules::from(plain.clone());
            let mut copies = Vec::new();
            for edit in edits {
                match edit {
                    Edit::Push(n) => {
                        plain.push(rule(n));
                        rules.push(rule(n));
                    }
                    Edit::Insert(at, n) => {
                        let at = at.index(plain.len() + 1);
                        plain.insert(at, rule(n));
                        rules.insert(at, rule(n));
                    }
                    Edit::Remove(at) if !plain.is_empty() => {
                        let at = at.index(plain.len());
                        prop_assert_eq!(rules.remove(at), Some(plain.remove(at)));
                    }
                    Edit::Replace(at, n) if !plain.is_empty() => {
                        let at = at.index(plain.len());
                        plain[at] = rule(n);
                        rules.replace(at, rule(n));
                    }
                    Edit::Retain(n) => {
                        plain.retain(|rule| rule.priority % n != 0);
                        rules.retain(|rule| rule.priority % n != 0);
                    }
                    Edit::Name(first) => {
                        let name = group(if first { "a" } else { "b" });
                        rules.own(&name, Direction::Egress);
                        let ids: Vec<RuleId> = rules.ids(&name, Direction::Egress).collect();
                        let of = |rule| RuleId::of(&name, Direction::Egress, rule);
                        prop_assert_eq!(ids, plain.iter().map(of).collect::<Vec<_>>());
                    }
                    Edit::Copy => copies.push((rules.clone(), plain.clone())),
                    Edit::Remove(_) | Edit::Replace(..) => {}
                }
                prop_assert_eq!(rules.len(), plain.len());
                prop_assert_eq!(rules.last(), plain.last());
                prop_assert!(rules.iter().eq(&plain));
                prop_assert!(rules.pieces().iter().all(|piece| !piece.rules().is_empty()));
                prop_assert_eq!(&rules, &Rules::from(plain.clone()));
            }
            for (copy, plain) in copies {
                prop_assert!(copy.iter().eq(&plain));
            }
        }
    }

    #[test]
    fn a_piece_in_another_list_has_other_ids() {
        let rules: Rules = (0..300).map(rule).collect();
        let (a, b) = (group("a"), group("b"));
        let of = |name: &Name, way| -> Vec<RuleId> { rules.ids(name, way).collect() };
        let expected = |name: &Name, way| -> Vec<RuleId> {
            rules.iter().map(|rule| RuleId::of(name, way, rule)).collect()
        };
        for (name, way) in
            [(&a, Direction::Ingress), (&b, Direction::Ingress), (&a, Direction::Egress)]
        {
            assert_eq!(of(name, way), expected(name, way));
            let mut own = rules.clone();
            own.own(name, way);
            let ids = own.piece_ids(name, way).flat_map(|(_, ids)| ids.into_owned());
            assert_eq!(ids.collect::<Vec<_>>(), expected(name, way));
        }
    }
}
