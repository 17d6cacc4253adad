//! The table: places in buckets, entries elsewhere.
//!
//! ```text
//! buckets   64 bytes: eight place words                 (place.rs)
//! entries   64 bytes: eight words, six of them a key    (key.rs)
//! ```
//! The entry of way `w` of bucket `b` is number `b * 8 + w`. A key lives in one of two buckets.

use super::key::{Hash, Key};
use super::place::{FIRST_SECOND, NO_CANDIDATE, Place, State, slack};
use super::state::timeout;
use crate::classifier::Kind;
use crate::tables::{Timeouts, WAYS};
use crate::word::Word;

/// Words of a bucket, and of an entry.
pub const WORDS: usize = 8;

/// Seconds after which a place whose writer died half-way is free again.
const BUSY_SECONDS: u32 = 2;

/// Access to the memory of a table. Both kinds of line are 64 bytes, shared with other CPUs.
pub trait Table {
    /// Secret of the hash.
    fn seed(&self) -> u64;
    /// Number of buckets.
    fn buckets(&self) -> u32;
    /// The eight place words of a bucket.
    fn bucket(&self, bucket: u32) -> Option<&[Word; WORDS]>;
    /// The eight words of an entry.
    fn entry(&self, entry: u32) -> Option<&[Word; WORDS]>;
    /// The same value; in the kernel, one that the verifier does not tell from others (see
    /// [`crate::packet::Frame::settle`]).
    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        value
    }
    /// [`search`]; in the kernel as a function of its own.
    #[inline(always)]
    fn find(&self, key: &Key, now: u32) -> Option<Found>
    where
        Self: Sized,
    {
        search(self, key, now)
    }
}

/// A live entry.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its number.
    pub entry: u32,
    /// What its place held.
    pub place: Place,
}

/// The place word of an entry.
#[inline(always)]
fn word<T: Table>(table: &T, entry: u32) -> Option<&Word> {
    table.bucket(entry / WAYS)?.get((entry & (WAYS - 1)) as usize)
}

/// Finds the live entry of a key.
#[inline(always)]
pub fn find<T: Table>(table: &T, key: &Key, now: u32) -> Option<Found> {
    table.find(key, now)
}

/// Looks through both buckets of a key for its live entry.
///
/// Without a branch for each way: the verifier would walk what follows once for each outcome. The
/// ways that may hold the key are gathered first, four bits each, and two of a bucket are looked at:
/// three fingerprints of 24 bits that are the same by chance do not occur.
#[inline(always)]
pub fn search<T: Table>(table: &T, key: &Key, now: u32) -> Option<Found> {
    let hash = key.hash(table.seed(), table.buckets());
    for bucket in hash.buckets {
        let line = table.bucket(bucket)?;
        let mut ways = 0_u32;
        for (way, word) in line.iter().enumerate() {
            // Settled, or the compiler makes a branch of it again.
            let may = table.settle(Place(word.load()).may_hold(hash.fingerprint, now));
            ways = (ways << (may * 4)) | ((way as u32 | WAYS) * may);
        }
        for _ in 0..2 {
            ways = table.settle(ways);
            if ways & WAYS == 0 {
                break;
            }
            let number = table.settle(bucket * WAYS + (ways & (WAYS - 1)));
            ways >>= 4;
            let (entry, word) = (table.entry(number)?, word(table, number)?);
            // The place is read again behind the entry: it may have gone to another connection
            // meanwhile. State and end may differ.
            let same = holds(entry, key);
            let again = Place(word.load());
            if same && again.may_hold(hash.fingerprint, now) != 0 {
                return Some(Found { entry: number, place: again });
            }
        }
    }
    None
}

/// Whether an entry holds a key.
#[inline(always)]
fn holds(entry: &[Word; WORDS], key: &Key) -> bool {
    let [a, b, c, d, e, f, ..] = entry;
    let [ka, kb, kc, kd, ke, kf] = key.words;
    let differs = (a.load() ^ ka)
        | (b.load() ^ kb)
        | (c.load() ^ kc)
        | (d.load() ^ kd)
        | (e.load() ^ ke)
        | (f.load() ^ kf);
    differs == 0
}

/// Gives a found entry the state and time that a packet leaves it with. `marked` is what the mark
/// becomes.
#[inline(always)]
pub fn refresh<T: Table>(
    table: &T,
    found: &Found,
    state: State,
    timeout: u32,
    marked: bool,
    now: u32,
) {
    let place = found.place;
    if place.state() as u8 == state as u8
        && place.marked() == marked
        && place.ends() >= now.saturating_add(timeout)
        && place.ends() <= now.saturating_add(timeout).saturating_add(slack(timeout))
    {
        return;
    }
    let ends = now.saturating_add(timeout).saturating_add(slack(timeout));
    let renewed = Place::new(state, place.fingerprint(), ends, marked);
    // Who comes second loses: the other packet's state is as good.
    if let Some(word) = word(table, found.entry) {
        let _ = word.replace(place.0, renewed.0);
    }
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It took a free or an expired place.
    Free,
    /// It took the place of a half-open or one-way entry.
    Evicted,
    /// There was no place.
    Full,
    /// Another CPU took the place first.
    Lost,
}

/// How often a place is looked for.
pub(crate) const ATTEMPTS: u32 = 3;

/// The best place for an insertion: none, an available one, or the evictable one that was used
/// longest ago.
struct Candidate {
    entry: u32,
    place: Place,
    /// Second of its last use; the number of its way for an available one.
    used: u32,
}

/// Tries once to insert a key that [`find`] did not find. Of two CPUs that insert the same key at once
/// both may succeed; one of the entries counts and the other one ends unused.
#[inline(always)]
pub fn open<T: Table>(
    table: &T,
    key: &Key,
    state: State,
    kind: Kind,
    timeouts: &Timeouts,
    now: u32,
    marked: bool,
) -> Opened {
    let hash = key.hash(table.seed(), table.buckets());
    let timeout = timeout(timeouts, state, kind);
    let ends = now.saturating_add(timeout).saturating_add(slack(timeout));
    let place = Place::new(state, hash.fingerprint, ends, marked);
    let best = candidate(table, &hash, timeouts, now);
    if best.used == NO_CANDIDATE {
        return Opened::Full;
    }
    match (claim(table, &best, key, place, now), best.used < FIRST_SECOND) {
        (false, _) => Opened::Lost,
        (true, true) => Opened::Free,
        (true, false) => Opened::Evicted,
    }
}

/// Chooses a place in the two buckets of a key: an available one, else the evictable one that was
/// used longest ago. Arithmetic for the same reason as in [`search`].
///
/// Ways fill from the first on, so of two available places the one of the lower way is most often in
/// the emptier bucket. Without that choice a table of a million would refuse its 460 000th connection.
#[inline(always)]
fn candidate<T: Table>(table: &T, hash: &Hash, timeouts: &Timeouts, now: u32) -> Candidate {
    let mut best = Candidate { entry: 0, place: Place(0), used: NO_CANDIDATE };
    for bucket in hash.buckets {
        let Some(line) = table.bucket(bucket) else { break };
        for (way, word) in line.iter().enumerate() {
            let place = Place(word.load());
            let used = place.used(timeouts, now);
            // An available place has 0 here.
            let available = (u64::from(used).wrapping_sub(1) >> 63).wrapping_neg() as u32;
            let used = table.settle(used | way as u32 & available);
            let better = u64::from(used).wrapping_sub(u64::from(best.used)) >> 63;
            let better = u64::from(table.settle(better as u32)).wrapping_neg();
            let entry = u64::from(bucket * WAYS + way as u32);
            best.entry = pick(better, entry, best.entry.into()) as u32;
            best.place = Place(pick(better, place.0, best.place.0));
            best.used = pick(better, used.into(), best.used.into()) as u32;
        }
    }
    best.entry = table.settle(best.entry);
    best
}

/// `a` where the mask is all ones, `b` where it is 0.
#[inline(always)]
const fn pick(mask: u64, a: u64, b: u64) -> u64 {
    a & mask | b & !mask
}

/// Takes a place, if it still holds what was seen, and fills it.
#[inline(always)]
fn claim<T: Table>(table: &T, best: &Candidate, key: &Key, place: Place, now: u32) -> bool {
    let Some(word) = word(table, best.entry) else { return false };
    let Some(entry) = table.entry(best.entry) else { return false };
    let busy = Place::new(State::Busy, 0, now.saturating_add(BUSY_SECONDS), false);
    if !word.replace(best.place.0, busy.0) {
        return false;
    }
    for (cell, value) in entry.iter().zip(key.words()) {
        cell.store(value);
    }
    // An exchange and not a store: it orders the entry's words before it on every CPU.
    word.replace(busy.0, place.0)
}
