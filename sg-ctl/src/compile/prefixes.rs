//! The address space, cut at every edge of every prefix: which row belongs to which address.

use super::elements::{Elements, KINDS, Peers, Selector};
use super::family::Address;
use super::rows::{self, Rows};
use super::sections::{self, Keys, Sections};
use super::{Rule, TooLarge, Tuning};
use crate::quick::Map;

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
    pub(super) fn new(rules: &[Rule<'_>], tuning: Tuning, limit: u32) -> Result<Self, TooLarge> {
        let most = limit as usize / size_of::<u64>();
        let (peers, elements) = (Peers::new(rules), Elements::new(rules));
        let mut sections = Sections::new(elements.len());
        let v4 = Prefixes::<u32>::new(&peers, &elements, &mut sections, most)?;
        let v6 = Prefixes::<u128>::new(&peers, &elements, &mut sections, most)?;
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
    fn new(
        peers: &Peers<'_>,
        elements: &Elements,
        sections: &mut Sections,
        most: usize,
    ) -> Result<Self, TooLarge> {
        let lists = &peers.lists;
        let mut named = Vec::with_capacity(lists.len());
        for (number, list) in lists.iter().enumerate() {
            if list.anywhere {
                named.push((A::FIRST, 0, number as u32));
            }
            let networks = list.networks.iter().filter_map(A::network);
            named.extend(networks.map(|(first, length)| (first, length, number as u32)));
        }
        named.sort_unstable();
        named.dedup();

        let mut sets = Sets { elements, v6: A::V6, keys: Default::default() };
        let mut known: Map<Vec<u32>, u32> = Map::default();
        let mut alone = vec![u32::MAX; lists.len()];
        let mut own: Vec<[sections::Id; KINDS.len()]> = Vec::with_capacity(lists.len());
        let mut prefixes = Vec::with_capacity(named.len());
        for same in named.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let next = own.len() as u32;
            let set = match same {
                // A network that only one list holds, which holds no other, comes once.
                [(.., list)] if lists[*list as usize].networks.len() == 1 => next,
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
                let rules = same.iter().flat_map(|(.., list)| peers.rules(*list));
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
        let mut cuts = Vec::with_capacity(2 * self.prefixes.len() + 1);
        cuts.push((A::FIRST, Rows::EMPTY));
        // For each set the row that it made last, and of which row around it.
        let mut made = vec![(rows::Id::MAX, Rows::EMPTY); self.own.len()];
        // Prefixes around the present one: last address and row.
        let mut around: Vec<(A, rows::Id)> = Vec::new();
        let row = |around: &[(A, rows::Id)]| around.last().map_or(Rows::EMPTY, |(_, row)| *row);
        for (first, length, set) in &self.prefixes {
            while let Some((last, _)) = around.pop_if(|(last, _)| *last < *first) {
                if let Some(next) = last.next() {
                    cut(&mut cuts, next, row(&around));
                }
            }
            let up = row(&around);
            let (last_up, last) = &mut made[*set as usize];
            if *last_up != up {
                (*last_up, *last) = (up, rows.child(self.own[*set as usize], up));
            }
            let own = *last;
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
    v6: bool,
    keys: [Vec<Keys>; KINDS.len()],
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
        for element in rules.flat_map(|rule| self.elements.of_rule(*rule as usize)) {
            if !element.is_of(self.v6) {
                continue;
            }
            match element.selector {
                Selector::One(kind, first, last) => {
                    self.keys[kind as usize].push(Keys::new(first, last, element));
                }
                Selector::All => {
                    let every = Keys::new(0, u16::MAX, element);
                    self.keys.iter_mut().for_each(|keys| keys.push(every));
                }
            }
        }
        let mut ids = [Sections::EMPTY; KINDS.len()];
        for (id, keys) in ids.iter_mut().zip(&mut self.keys) {
            *id = sections.resolve(keys);
        }
        ids
    }
}
