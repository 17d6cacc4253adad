//! Numbers that stand for something in the kernel's tables and outlive a change: rule counters,
//! endpoints, places of images.

use std::hash::Hash;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::quick::{Map, Set};

/// Generations after which a number that became free may stand for something else: packets that
/// were on their way when its last generation ended have left by then.
pub(super) const REST: u64 = 2;

/// Numbers on one page.
pub(super) const PAGE: u32 = 256;

/// Pages at most.
const PAGES: u32 = 1 << 16;

/// Numbers given to keys. A number that becomes free rests for two generations, and goes back
/// to its key if that comes again before another needs it.
///
/// Copies share the pages on which nothing changed.
#[derive(Clone, Debug)]
pub struct Pool<K> {
    pages: Vec<Arc<Page<K>>>,
    /// Numbers in use.
    used: usize,
    index: Index<K>,
}

/// [`PAGE`] numbers one after the other, as far as one of them was ever given away.
pub(super) type Page<K> = Vec<Option<Place<K>>>;

/// What a number stands for, or stood for last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<K> {
    pub(super) key: K,
    /// The first generation without it; 0 while it is in use.
    pub(super) since: u64,
}

impl<K> Place<K> {
    fn is_used(&self) -> bool {
        self.since == 0
    }
}

/// The number of a key that is asked for; and of several that it had, the last one and the first
/// generation without it.
type Found = (Option<u32>, Option<(u32, u64)>);

/// Numbers by key, made when somebody asks for many of them.
#[derive(Debug)]
struct Index<K>(OnceLock<Map<K, u32>>);

impl<K> Clone for Index<K> {
    /// Of a copy it is made anew: most copies are made to be changed.
    fn clone(&self) -> Self {
        Self(OnceLock::new())
    }
}

/// What an assignment changed.
#[derive(Clone, Debug)]
pub struct Assigned<K> {
    /// Keys that got a number which stood for another key before, or for none: what the kernel
    /// counted under it is not theirs.
    pub fresh: Vec<(K, u32)>,
    /// Keys that came back to the number that they had.
    pub returned: Vec<(K, u32)>,
    /// Keys that left.
    pub freed: Vec<(K, u32)>,
    /// The numbers of all keys that were asked for by themselves.
    numbers: Map<K, u32>,
}

impl<K: Eq + Hash> Assigned<K> {
    /// The number of a key that was asked for by itself.
    pub(super) fn number(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }
}

/// More keys than numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} places are needed and there are {capacity}, {resting} of which rest after an earlier use"
)]
pub struct PoolFull {
    /// Keys that are to have a number.
    pub wanted: u32,
    /// Numbers that there are.
    pub capacity: u32,
    /// Numbers that are free only after the next changes.
    pub resting: u32,
}

impl<K> Default for Pool<K> {
    fn default() -> Self {
        Self { pages: Vec::new(), used: 0, index: Index(OnceLock::new()) }
    }
}

impl<K: Eq> PartialEq for Pool<K> {
    fn eq(&self, other: &Self) -> bool {
        // Pages that are shared are not looked at.
        let same = |(a, b): (&Arc<Page<K>>, &Arc<Page<K>>)| Arc::ptr_eq(a, b) || a == b;
        self.pages.len() == other.pages.len() && self.pages.iter().zip(&other.pages).all(same)
    }
}

impl<K: Eq> Eq for Pool<K> {}

impl<K: Ord + Clone + Hash> Pool<K> {
    /// Rebuilds a pool from its pages, each with its number. `None` if there are too many, or if a
    /// page or a key in use appears twice.
    pub(super) fn from_pages(given: impl IntoIterator<Item = (u32, Page<K>)>) -> Option<Self> {
        let mut pages: Vec<Arc<Page<K>>> = Vec::new();
        for (number, page) in given {
            let place = number as usize;
            if number >= PAGES || pages.get(place).is_some_and(|page| !page.is_empty()) {
                return None;
            }
            if pages.len() <= place {
                pages.resize_with(place + 1, Arc::default);
            }
            pages[place] = Arc::new(page);
        }
        let used = || pages.iter().flat_map(|page| page.iter().flatten()).filter(|p| p.is_used());
        let count = used().count();
        let mut keys = Set::default();
        keys.reserve(count);
        let unique = used().all(|place| keys.insert(&place.key));
        unique.then(|| Self { used: count, pages, index: Index(OnceLock::new()) })
    }

    /// Rebuilds a pool from its parts: each number with its key and, if it is free, the first
    /// generation without it. `None` if a number or a key in use appears twice.
    pub(super) fn from_parts(
        parts: impl IntoIterator<Item = (u32, K, Option<u64>)>,
    ) -> Option<Self> {
        let mut pool = Self::default();
        let mut keys = Set::default();
        for (number, key, since) in parts {
            let since = since.unwrap_or(0);
            if number / PAGE >= PAGES
                || pool.place_of(number).is_some()
                || since == 0 && !keys.insert(key.clone())
            {
                return None;
            }
            pool.put(number, Place { key, since });
        }
        pool.used = keys.len();
        Some(pool)
    }

    /// The pages, by number.
    pub(super) fn pages(&self) -> &[Arc<Page<K>>] {
        &self.pages
    }

    /// Numbers that were given away at some time, with what they stand for or stood for last.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &Place<K>)> {
        let numbered = (0..).zip(self.pages.iter());
        numbered.flat_map(|(page, places)| {
            let numbers = page * PAGE..;
            numbers.zip(places.iter()).filter_map(|(number, place)| Some((number, place.as_ref()?)))
        })
    }

    fn place_of(&self, number: u32) -> Option<&Place<K>> {
        self.pages.get((number / PAGE) as usize)?.get((number % PAGE) as usize)?.as_ref()
    }

    fn put(&mut self, number: u32, place: Place<K>) {
        let (page, within) = ((number / PAGE) as usize, (number % PAGE) as usize);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Arc::default);
        }
        let page = Arc::make_mut(&mut self.pages[page]);
        if page.len() <= within {
            page.resize_with(within + 1, || None);
        }
        page[within] = Some(place);
    }

    /// What a number in use stands for.
    #[must_use]
    pub fn key_of(&self, number: u32) -> Option<&K> {
        self.place_of(number).filter(|place| place.is_used()).map(|place| &place.key)
    }

    /// The number of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<u32> {
        let index = self.index.0.get_or_init(|| {
            let used = self.places().filter(|(_, place)| place.is_used());
            used.map(|(number, place)| (place.key.clone(), number)).collect()
        });
        index.get(key).copied()
    }

    /// Keys in use with their numbers, by number.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        let used = self.places().filter(|(_, place)| place.is_used());
        used.map(|(number, place)| (&place.key, number))
    }

    /// Numbers in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no number is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Gives exactly the keys of `wanted` a number, for the state that becomes `generation`. Who has
    /// one keeps it. New keys get the lowest free number of `numbers`.
    ///
    /// # Errors
    /// [`PoolFull`] if there are too few; the pool is then as before.
    pub fn assign(
        &mut self,
        wanted: impl IntoIterator<Item = K>,
        numbers: Range<u32>,
        generation: u64,
    ) -> Result<Assigned<K>, PoolFull> {
        self.assign_besides(std::iter::empty(), wanted, numbers, generation)
    }

    /// [`Pool::assign`] of the keys of `wanted` and of those that the numbers `staying`, which are in
    /// use, stand for.
    ///
    /// # Errors
    /// As [`Pool::assign`].
    pub fn assign_besides(
        &mut self,
        staying: impl IntoIterator<Item = u32>,
        wanted: impl IntoIterator<Item = K>,
        numbers: Range<u32>,
        generation: u64,
    ) -> Result<Assigned<K>, PoolFull> {
        let mut stays = vec![false; self.pages.len() * PAGE as usize];
        let mut count = 0_usize;
        let mut stay = |number: u32| {
            if let Some(stays) = stays.get_mut(number as usize) {
                count += usize::from(!*stays);
                *stays = true;
            }
        };
        staying.into_iter().for_each(&mut stay);
        // Of each key that is asked for: its number, and that of several it had last.
        let mut found: Map<K, Found> = wanted.into_iter().map(|key| (key, (None, None))).collect();
        if !found.is_empty() {
            for (number, place) in self.places() {
                let Some((own, had)) = found.get_mut(&place.key) else { continue };
                if place.is_used() {
                    *own = Some(number);
                    stay(number);
                } else if numbers.contains(&number)
                    && had.is_none_or(|(_, other)| other < place.since)
                {
                    *had = Some((number, place.since));
                }
            }
        }
        let mut new: Vec<(K, Option<u32>)> = found
            .iter()
            .filter(|(_, (own, _))| own.is_none())
            .map(|(key, (_, had))| (key.clone(), had.map(|(number, _)| number)))
            .collect();
        new.sort_unstable();

        let mut assigned = Assigned {
            fresh: Vec::new(),
            returned: Vec::new(),
            freed: Vec::new(),
            numbers: Map::default(),
        };
        let wanted = count + new.len();
        if !new.is_empty() {
            self.place(new, numbers, generation, wanted, &mut assigned)?;
        }
        // Whatever number does not stay.
        if self.used > count {
            let leaves = |number: u32| !stays[number as usize];
            let gone = self.iter().filter(|(_, number)| leaves(*number));
            assigned.freed = gone.map(|(key, number)| (key.clone(), number)).collect();
            assigned.freed.sort_unstable();
        }
        for (key, number) in &assigned.freed {
            self.put(*number, Place { key: key.clone(), since: generation });
        }
        for (key, number) in assigned.fresh.iter().chain(&assigned.returned) {
            self.put(*number, Place { key: key.clone(), since: 0 });
        }
        self.used = wanted;
        self.index = Index(OnceLock::new());
        let kept = found.into_iter().filter_map(|(key, (own, _))| Some((key, own?)));
        assigned.numbers.extend(kept);
        assigned.numbers.extend(assigned.fresh.iter().chain(&assigned.returned).cloned());
        Ok(assigned)
    }

    /// Finds numbers for the keys of `new`, which are sorted, each with the number that it had,
    /// without taking them yet.
    fn place(
        &self,
        new: Vec<(K, Option<u32>)>,
        numbers: Range<u32>,
        generation: u64,
        wanted: usize,
        assigned: &mut Assigned<K>,
    ) -> Result<(), PoolFull> {
        let mut free = vec![true; numbers.len()];
        let mut take = |number: u32| {
            if numbers.contains(&number) {
                free[(number - numbers.start) as usize] = false;
            }
        };
        let mut resting = 0;
        for (number, place) in self.places() {
            if place.is_used() {
                take(number);
            } else if place.since + REST > generation {
                take(number);
                resting += 1;
            }
        }
        new.iter().filter_map(|(_, had)| *had).for_each(&mut take);
        let mut places = numbers.clone().zip(&free).filter_map(|(n, free)| free.then_some(n));
        for (key, had) in new {
            if let Some(number) = had {
                assigned.returned.push((key, number));
            } else if let Some(number) = places.next() {
                assigned.fresh.push((key, number));
            } else {
                return Err(PoolFull {
                    wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
                    capacity: numbers.end.saturating_sub(numbers.start),
                    resting,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places for three keys.
    const THREE: Range<u32> = 1..4;

    fn numbers(pool: &Pool<char>) -> String {
        let mut used: Vec<_> = pool.iter().collect();
        used.sort_unstable();
        used.into_iter().map(|(key, number)| format!("{key}{number}")).collect()
    }

    #[test]
    fn keys_keep_their_numbers_and_free_ones_rest() {
        let mut pool = Pool::default();
        let first = pool.assign("ab".chars(), THREE, 1).unwrap();
        assert_eq!(first.fresh, [('a', 1), ('b', 2)]);
        let second = pool.assign("bc".chars(), THREE, 2).unwrap();
        assert_eq!(second.freed, [('a', 1)]);
        assert_eq!(numbers(&pool), "b2c3");
        // Number 1 rests in generations 2 and 3.
        let before = pool.clone();
        let full = pool.assign("bcd".chars(), THREE, 3).unwrap_err();
        assert_eq!(full, PoolFull { wanted: 3, capacity: 3, resting: 1 });
        assert_eq!(pool, before);
        let fourth = pool.assign("bcd".chars(), THREE, 4).unwrap();
        assert_eq!(fourth.fresh, [('d', 1)]);
    }

    #[test]
    fn a_key_that_comes_back_finds_its_number() {
        let mut pool = Pool::default();
        pool.assign("ab".chars(), THREE, 1).unwrap();
        pool.assign("b".chars(), THREE, 2).unwrap();
        let back = pool.assign("ab".chars(), THREE, 3).unwrap();
        assert_eq!((back.returned, back.fresh), (vec![('a', 1)], vec![]));
        // Also after the rest, and before a key that is new and smaller.
        pool.assign("b".chars(), THREE, 4).unwrap();
        let back = pool.assign("Aab".chars(), THREE, 9).unwrap();
        assert_eq!((back.returned, back.fresh), (vec![('a', 1)], vec![('A', 3)]));
    }

    #[test]
    fn parts_make_the_same_pool() {
        let mut pool = Pool::default();
        pool.assign("abc".chars(), THREE, 1).unwrap();
        pool.assign("c".chars(), THREE, 2).unwrap();
        let parts = pool.places();
        let parts: Vec<_> =
            parts.map(|(n, p)| (n, p.key, (p.since != 0).then_some(p.since))).collect();
        assert_eq!(parts, [(1, 'a', Some(2)), (2, 'b', Some(2)), (3, 'c', None)]);
        assert_eq!(Pool::from_parts(parts), Some(pool.clone()));
        let pages = (0..).zip(pool.pages().iter().map(|page| page.to_vec()));
        assert_eq!(Pool::from_pages(pages), Some(pool));
        assert_eq!(Pool::from_parts([(1, 'a', None), (1, 'b', Some(2))]), None);
        assert_eq!(Pool::from_parts([(1, 'a', None), (2, 'a', None)]), None);
    }
}
