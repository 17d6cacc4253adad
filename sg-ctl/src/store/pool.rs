//! Numbers that stand for something in the kernel's tables and outlive a change: rule counters,
//! endpoints, places of images.

use std::collections::BTreeMap;
use std::ops::Range;

/// Generations after which a number that became free may stand for something else: packets that
/// were on their way when its last generation ended have left by then.
pub(super) const REST: u64 = 2;

/// Numbers given to keys. A number that becomes free rests for two generations, and goes back
/// to its key if that comes again before another needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool<K> {
    /// Numbers in use.
    used: BTreeMap<K, u32>,
    /// Numbers that became free, with their last key and the first generation without it.
    left: BTreeMap<u32, (K, u64)>,
}

/// What an assignment changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned<K> {
    /// Keys that got a number which stood for another key before, or for none: what the kernel
    /// counted under it is not theirs.
    pub fresh: Vec<(K, u32)>,
    /// Keys that came back to the number that they had.
    pub returned: Vec<(K, u32)>,
    /// Keys that left.
    pub freed: Vec<(K, u32)>,
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
        Self { used: BTreeMap::new(), left: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// Rebuilds a pool from its parts: each number with its key and, if it is free, the first
    /// generation without it. `None` if a number or a key in use appears twice.
    pub(super) fn from_parts(
        parts: impl IntoIterator<Item = (u32, K, Option<u64>)>,
    ) -> Option<Self> {
        let mut used = Vec::new();
        let mut left = BTreeMap::new();
        let mut numbers = Vec::new();
        for (number, key, since) in parts {
            numbers.push(number);
            match since {
                None => used.push((key, number)),
                Some(since) => {
                    left.insert(number, (key, since));
                }
            }
        }
        numbers.sort_unstable();
        let count = used.len();
        let used: BTreeMap<K, u32> = used.into_iter().collect();
        let unique = numbers.windows(2).all(|pair| pair[0] != pair[1]) && used.len() == count;
        unique.then_some(Self { used, left })
    }

    /// The parts of [`Pool::from_parts`], by number.
    pub(super) fn parts(&self) -> Vec<(u32, &K, Option<u64>)> {
        let used = self.used.iter().map(|(key, number)| (*number, key, None));
        let left = self.left.iter().map(|(number, (key, since))| (*number, key, Some(*since)));
        let mut parts: Vec<_> = used.chain(left).collect();
        parts.sort_unstable_by_key(|part| part.0);
        parts
    }

    /// The number of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<u32> {
        self.used.get(key).copied()
    }

    /// Keys in use with their numbers, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        self.used.iter().map(|(key, number)| (key, *number))
    }

    /// Numbers in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether no number is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
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
        let mut wanted: Vec<K> = wanted.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut assigned = Assigned { fresh: Vec::new(), returned: Vec::new(), freed: Vec::new() };
        let mut new = Vec::new();
        let mut old = self.used.iter().peekable();
        for key in &wanted {
            while let Some((gone, number)) = old.next_if(|(used, _)| *used < key) {
                assigned.freed.push((gone.clone(), *number));
            }
            if old.next_if(|(used, _)| *used == key).is_none() {
                new.push(key.clone());
            }
        }
        assigned.freed.extend(old.map(|(gone, number)| (gone.clone(), *number)));

        if !new.is_empty() {
            self.place(new, numbers, generation, wanted.len(), &mut assigned)?;
        }
        for (key, number) in &assigned.freed {
            self.used.remove(key);
            self.left.insert(*number, (key.clone(), generation));
        }
        for (key, number) in assigned.fresh.iter().chain(&assigned.returned) {
            self.left.remove(number);
            self.used.insert(key.clone(), *number);
        }
        Ok(assigned)
    }

    /// Finds numbers for the keys of `new`, which are sorted, without taking them yet.
    fn place(
        &self,
        new: Vec<K>,
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
        self.used.values().copied().for_each(&mut take);
        let mut back = BTreeMap::new();
        let mut resting = 0;
        for (number, (key, since)) in &self.left {
            if numbers.contains(number) && new.binary_search(key).is_ok() {
                // Of several numbers that the key had, the last one.
                match back.get(key) {
                    Some((_, other)) if other >= since => {}
                    _ => {
                        back.insert(key.clone(), (*number, *since));
                    }
                }
            }
            if since + REST > generation {
                take(*number);
                resting += 1;
            }
        }
        back.values().for_each(|(number, _)| take(*number));
        let mut places = numbers.clone().zip(&free).filter_map(|(n, free)| free.then_some(n));
        for key in new {
            if let Some((number, _)) = back.get(&key) {
                assigned.returned.push((key, *number));
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
        pool.iter().map(|(key, number)| format!("{key}{number}")).collect()
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
        let parts: Vec<_> = pool.parts().into_iter().map(|(n, k, s)| (n, *k, s)).collect();
        assert_eq!(parts, [(1, 'a', Some(2)), (2, 'b', Some(2)), (3, 'c', None)]);
        assert_eq!(Pool::from_parts(parts), Some(pool));
        assert_eq!(Pool::from_parts([(1, 'a', None), (1, 'b', Some(2))]), None);
        assert_eq!(Pool::from_parts([(1, 'a', None), (2, 'a', None)]), None);
    }
}
