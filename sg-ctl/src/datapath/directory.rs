//! The two directories and the word that chooses between them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::time::{ClockId, clock_gettime};
use sg_common::tables::{
    DirectoryEntry, ENDPOINTS, ENTRY_ACTIVE, ENTRY_LEARN_OWN, ENTRY_LEARN_PEER, directory_index,
};

use super::enforcement::Enforcement;
use super::maps::Maps;

/// Time for which connections are learned after an attach or a change (spec §2.12), in seconds.
const LEARN_SECONDS: u32 = 120;

/// Set in the word of maps that were made and never flipped to.
pub(super) const NEVER: u64 = 1 << 63;
/// Set besides [`NEVER`] where the directory is in force, but is that of no generation of a store.
pub(super) const CLOSED: u64 = 1 << 62;

/// Seconds of `CLOCK_MONOTONIC`, which the programs compare with.
pub(super) fn monotonic_seconds() -> u32 {
    u32::try_from(clock_gettime(ClockId::Monotonic).tv_sec).unwrap_or(u32::MAX)
}

impl Maps {
    fn word(&self) -> Option<&AtomicU64> {
        // `generation` is the first word of `Control`.
        self.control.atomic(0)
    }

    pub(super) fn generation(&self) -> Option<u64> {
        self.word().map(|word| word.load(Ordering::Acquire))
    }

    pub(super) fn set_generation(&self, generation: u64) {
        if let Some(word) = self.word() {
            word.store(generation, Ordering::SeqCst);
        }
    }

    /// Copies the directory in force over the idle one.
    pub(super) fn copy_directory(&self, word: u64) {
        for endpoint in 0..ENDPOINTS {
            let entry = self.entries.get(directory_index(word, endpoint));
            self.entries.set(directory_index(word ^ 1, endpoint), entry);
        }
        self.settings.set((word & 1 ^ 1) as u32, self.settings.get((word & 1) as u32));
        fence(Ordering::SeqCst);
    }

    /// Fills the directory that `wanted.generation` will put in force.
    pub(super) fn write_directory(&self, wanted: &Enforcement, attached_now: &BTreeSet<u32>) {
        let now = monotonic_seconds();
        let former = wanted.generation.wrapping_sub(1);
        let mut entries = vec![DirectoryEntry::default(); ENDPOINTS as usize];
        for interface in &wanted.interfaces {
            let old = self.entries.get(directory_index(former, interface.endpoint));
            let fresh = attached_now.contains(&interface.endpoint) || old.flags & ENTRY_ACTIVE == 0;
            if let Some(entry) = entries.get_mut(interface.endpoint as usize) {
                *entry = with_learning(interface.entry, old, fresh, now);
            }
        }
        for (endpoint, entry) in (0..).zip(entries) {
            self.entries.set(directory_index(wanted.generation, endpoint), entry);
        }
        self.settings.set((wanted.generation & 1) as u32, wanted.settings);
        fence(Ordering::SeqCst);
    }
}

/// Adds what is to be learned, and until when: after an attach from both sides, after a change of
/// the rules from the peer's side, else as before. A change ends what an attach began: connections
/// that the new rules deny would otherwise pass for older ones.
fn with_learning(
    mut entry: DirectoryEntry,
    old: DirectoryEntry,
    fresh: bool,
    now: u32,
) -> DirectoryEntry {
    const LEARN: u32 = ENTRY_LEARN_OWN | ENTRY_LEARN_PEER;
    if fresh {
        entry.flags |= LEARN;
        entry.learn_until = now.saturating_add(LEARN_SECONDS);
    } else if old.images != entry.images {
        entry.flags |= ENTRY_LEARN_PEER;
        entry.learn_until = now.saturating_add(LEARN_SECONDS);
    } else if old.learn_until > now {
        entry.flags |= old.flags & LEARN;
        entry.learn_until = old.learn_until;
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1000;

    fn entry(image: u32) -> DirectoryEntry {
        DirectoryEntry { flags: ENTRY_ACTIVE, images: [image; 2], ..DirectoryEntry::default() }
    }

    #[test]
    fn an_attach_learns_from_both_sides_and_a_change_from_the_peer() {
        let attached = with_learning(entry(1), DirectoryEntry::default(), true, NOW);
        assert_eq!(attached.flags, ENTRY_ACTIVE | ENTRY_LEARN_OWN | ENTRY_LEARN_PEER);
        assert_eq!(attached.learn_until, NOW + LEARN_SECONDS);
        // A change learns from the peer alone, from its own time on.
        let later = with_learning(entry(3), attached, false, NOW + 100);
        assert_eq!(later.flags, ENTRY_ACTIVE | ENTRY_LEARN_PEER);
        assert_eq!(later.learn_until, NOW + 100 + LEARN_SECONDS);
        // Nothing changed for this interface: nothing is prolonged.
        let same = with_learning(entry(3), later, false, NOW + 150);
        assert_eq!(same.learn_until, later.learn_until);
        let over = with_learning(entry(3), later, false, NOW + 500);
        assert_eq!((over.flags, over.learn_until), (ENTRY_ACTIVE, 0));
    }
}
