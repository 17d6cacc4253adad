//! Long lists (rules, prefix-list entries) as chunks, so that one changed item rewrites one chunk.
//!
//! A chunk ends after an item whose bytes hash to the chunk's mark, so its borders depend on content
//! alone: an item that is added, removed or moved leaves the other chunks as they are. A chunk's key
//! is a digest of its bytes, and the list's own document names its chunks in order. So nothing has
//! to be remembered between two writes of a list; what is known of it anyway saves work
//! ([`Divider::add_chunk`]).

/// Bytes of the digest in a chunk's key: 96 bits.
const DIGEST: usize = 12;

/// How a list is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    /// Mean number of items in a chunk; a power of two.
    pub(super) mean: u64,
    /// Largest number of items in a chunk.
    pub(super) most: usize,
}

/// Rules: about 5 KiB a chunk.
pub(super) const RULES: Division = Division { mean: 128, most: 512 };
/// Networks: about 20 KiB a chunk.
pub(super) const NETS: Division = Division { mean: 4096, most: 16384 };

/// Divides the list of `items`, each written by `put`, and gives each chunk's key and bytes to
/// `emit`. Returns the keys in order.
pub(super) fn divide<T>(
    items: &[T],
    division: Division,
    mut put: impl FnMut(&mut Vec<u8>, &T),
    mut emit: impl FnMut(&str, Vec<u8>),
) -> Vec<String> {
    let mut divider = Divider::new(division);
    for item in items {
        divider.add(|out| put(out, item), &mut emit);
    }
    divider.end(&mut emit)
}

/// A list that is divided while it is gone through.
pub(super) struct Divider {
    division: Division,
    keys: Vec<String>,
    chunk: Vec<u8>,
    count: usize,
}

impl Divider {
    /// At the start of a list.
    pub(super) fn new(division: Division) -> Self {
        Self { division, keys: Vec::new(), chunk: Vec::new(), count: 0 }
    }

    /// Whether the next item is the first of a chunk.
    pub(super) fn is_at_border(&self) -> bool {
        self.count == 0
    }

    /// Adds an item, and gives the chunk to `emit` if it is the last one in it.
    pub(super) fn add(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>),
        emit: &mut impl FnMut(&str, Vec<u8>),
    ) {
        let start = self.chunk.len();
        put(&mut self.chunk);
        self.count += 1;
        let Division { mean, most } = self.division;
        if hash(&self.chunk[start..]).is_multiple_of(mean) || self.count == most {
            self.close(emit);
        }
    }

    /// Adds a whole chunk, at a border: one that this division would make of its items.
    pub(super) fn add_chunk(&mut self, key: &str) {
        debug_assert!(self.is_at_border());
        self.keys.push(key.to_owned());
    }

    /// The keys of all chunks.
    pub(super) fn end(mut self, emit: &mut impl FnMut(&str, Vec<u8>)) -> Vec<String> {
        if !self.is_at_border() {
            self.close(emit);
        }
        self.keys
    }

    fn close(&mut self, emit: &mut impl FnMut(&str, Vec<u8>)) {
        let key = key(&self.chunk);
        emit(&key, std::mem::take(&mut self.chunk));
        self.keys.push(key);
        self.count = 0;
    }
}

/// The key of a chunk.
fn key(chunk: &[u8]) -> String {
    blake3::hash(chunk).to_hex()[..2 * DIGEST].to_owned()
}

/// A quick hash with well-mixed lower bits. Where chunks end may change with it, what they mean does
/// not.
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = (state ^ word).wrapping_mul(FACTOR);
        product ^ product >> 29
    };
    let mut words = bytes.chunks_exact(8);
    let mut state = words.by_ref().fold(bytes.len() as u64, |state, word| {
        mix(state, word.try_into().map_or(0, u64::from_le_bytes))
    });
    let mut tail = [0; 8];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    state = mix(state, u64::from_le_bytes(tail));
    mix(state, 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chunks(items: &[u32]) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
        let mut chunks = BTreeMap::new();
        let keys = divide(
            items,
            RULES,
            |out, item| out.extend_from_slice(&item.to_be_bytes()),
            |key, chunk| {
                chunks.insert(key.to_owned(), chunk);
            },
        );
        (keys, chunks)
    }

    #[test]
    fn the_chunks_in_order_are_the_list() {
        for length in [0, 1, 127, 5000] {
            let items: Vec<u32> = (0..length).collect();
            let (keys, chunks) = chunks(&items);
            let bytes: Vec<u8> = keys.iter().flat_map(|key| chunks[key].clone()).collect();
            let whole: Vec<u8> = items.iter().flat_map(|item| item.to_be_bytes()).collect();
            assert_eq!(bytes, whole);
        }
    }

    #[test]
    fn chunks_have_the_size_that_was_asked_for() {
        let items: Vec<u32> = (0..100_000).collect();
        let (keys, chunks) = chunks(&items);
        let expected = 100_000 / RULES.mean as usize;
        assert!((expected * 8 / 10..expected * 12 / 10).contains(&keys.len()), "{}", keys.len());
        assert!(chunks.values().all(|chunk| chunk.len() <= RULES.most * 4));
        // Items that all hash alike cannot make one chunk of everything.
        let (keys, _) = super::tests::chunks(&vec![7; 100_000]);
        assert!(keys.len() >= 100_000 / RULES.most);
    }

    #[test]
    fn one_item_changes_two_chunks_at_most() {
        let items: Vec<u32> = (0..10_000).collect();
        let (_, before) = chunks(&items);
        for position in [0, 1, 4_999, 9_998, 9_999] {
            for edit in 0..3 {
                let mut edited = items.clone();
                match edit {
                    0 => edited.insert(position, 1_000_000),
                    1 => edited[position] = 1_000_000,
                    _ => drop(edited.remove(position)),
                }
                let (_, after) = chunks(&edited);
                let new = after.keys().filter(|key| !before.contains_key(*key)).count();
                assert!(new <= 2, "{new} chunks for edit {edit} at {position}");
            }
        }
    }
}
