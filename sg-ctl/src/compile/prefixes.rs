//! The address space, cut at every edge of every prefix: which row belongs to which address.

use super::elements::{Elements, KINDS, peers};
use super::family::Address;
use super::rows::{self, Rows};
use super::sections::{self, Map, Sections};
use super::{Rule, TooLarge, Tuning};

/// What one direction's rules say of every address, protocol and key.
pub(super) struct Space {
    /// The rows that the intervals refer to.
    pub(super) rows: Rows,
    /// First address and row of each interval, ascending from the first address of all.
    pub(super) v4: Vec<(u32, rows::Id)>,
    /// Likewise.
    pub(super) v6: Vec<(u128, rows::Id)>,
}

impl Space {
    /// Cuts both families. Stops when the rules alone need more sections than `limit` bytes hold.
    pub(super) fn new(rules: &[Rule], tuning: Tuning, limit: u32) -> Result<Self, TooLarge> {
        let most = limit as usize / size_of::<u64>();
        let mut sections = Sections::new();
        let v4 = Prefixes::<u32>::new(rules, &mut sections, most)?;
        let v6 = Prefixes::<u128>::new(rules, &mut sections, most)?;
        let budget = tuning.flatten.of(sections.total()).min(most - sections.total());
        let mut rows = Rows::new(sections, budget);
        let v4 = v4.cut(&mut rows);
        let v6 = v6.cut(&mut rows);
        Ok(Self { rows, v4, v6 })
    }
}

/// The prefixes of a family in the order of a walk through their tree, each with the sections of
/// the rules that name it.
struct Prefixes<A> {
    prefixes: Vec<(A, u8, u32)>,
    own: Vec<[sections::Id; KINDS.len()]>,
}

impl<A: Address> Prefixes<A> {
    fn new(rules: &[Rule], sections: &mut Sections, most: usize) -> Result<Self, TooLarge> {
        let lists = peers(rules);
        let elements = Elements::new(rules, A::V6);
        let mut named = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            if list.anywhere {
                named.push((A::FIRST, 0, number as u32));
            }
            let networks = list.networks.iter().filter_map(A::network);
            named.extend(networks.map(|(first, length)| (first, length, number as u32)));
        }
        named.sort_unstable();
        named.dedup();

        let mut sets = Sets { elements: &elements, keys: Default::default() };
        let mut known: Map<Vec<u32>, u32> = Map::default();
        let mut alone = vec![u32::MAX; lists.len()];
        let mut own: Vec<[sections::Id; KINDS.len()]> = Vec::new();
        let mut prefixes = Vec::new();
        for same in named.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let next = own.len() as u32;
            let set = match same {
                [(.., list)] => {
                    let place = &mut alone[*list as usize];
                    if *place == u32::MAX {
                        *place = next;
                    }
                    *place
                }
                _ => *known.entry(same.iter().map(|(.., list)| *list).collect()).or_insert(next),
            };
            if set == next {
                let rules = same.iter().flat_map(|(.., list)| &lists[*list as usize].rules);
                own.push(sets.resolve(rules, sections));
                if sections.total() > most {
                    return Err(TooLarge((sections.total() * size_of::<u64>()) as u64));
                }
            }
            prefixes.push((same[0].0, same[0].1, set));
        }
        Ok(Self { prefixes, own })
    }

    /// Walks through the tree.
    fn cut(self, rows: &mut Rows) -> Vec<(A, rows::Id)> {
        let mut cuts = vec![(A::FIRST, Rows::EMPTY)];
        // Prefixes around the present one: last address and row.
        let mut around: Vec<(A, rows::Id)> = Vec::new();
        let row = |around: &[(A, rows::Id)]| around.last().map_or(Rows::EMPTY, |(_, row)| *row);
        for (first, length, set) in &self.prefixes {
            while let Some((last, _)) = around.pop_if(|(last, _)| *last < *first) {
                if let Some(next) = last.next() {
                    cut(&mut cuts, next, row(&around));
                }
            }
            let own = rows.child(self.own[*set as usize], row(&around));
            cut(&mut cuts, *first, own);
            around.push((first.last(*length), own));
        }
        while let Some((last, _)) = around.pop() {
            if let Some(next) = last.next() {
                cut(&mut cuts, next, row(&around));
            }
        }
        cuts
    }
}

/// From `first` on it is `row`.
fn cut<A: Address>(cuts: &mut Vec<(A, rows::Id)>, first: A, row: rows::Id) {
    cuts.pop_if(|(start, _)| *start == first);
    if cuts.last().is_none_or(|(_, before)| *before != row) {
        cuts.push((first, row));
    }
}

/// Makes sections of sets of rules.
struct Sets<'a> {
    elements: &'a Elements,
    keys: [Vec<(u16, u16, u32)>; KINDS.len()],
}

impl Sets<'_> {
    fn resolve<'r>(
        &mut self,
        rules: impl Iterator<Item = &'r u32>,
        sections: &mut Sections,
    ) -> [sections::Id; KINDS.len()] {
        for keys in &mut self.keys {
            keys.clear();
        }
        for place in rules.flat_map(|rule| self.elements.of_rule(*rule as usize)) {
            let selector = self.elements.all[*place as usize].selector;
            for (keys, kind) in self.keys.iter_mut().zip(KINDS) {
                keys.extend(selector.keys(kind).map(|(first, last)| (first, last, *place)));
            }
        }
        let mut ids = [Sections::EMPTY; KINDS.len()];
        for (id, keys) in ids.iter_mut().zip(&mut self.keys) {
            *id = sections.resolve(keys, &self.elements.all);
        }
        ids
    }
}
