//! A word of shared memory.

use core::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit word that other CPUs and processes change at any time.
///
/// In the kernel plain loads and stores of a word are atomic and the compiler has no other ones
/// (LLVM selects no atomic load below CPU v4), so they are volatile there.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// A word.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Its value at this moment.
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        #[cfg(target_arch = "bpf")]
        // SAFETY: the pointer comes from a reference, and the word may be changed by others: the
        // read is volatile.
        return unsafe { self.0.as_ptr().read_volatile() };
        #[cfg(not(target_arch = "bpf"))]
        self.0.load(Ordering::Acquire)
    }

    /// Replaces its value.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: as in `load`.
        unsafe {
            self.0.as_ptr().write_volatile(value);
        };
        #[cfg(not(target_arch = "bpf"))]
        self.0.store(value, Ordering::Relaxed);
    }

    /// Replaces `old` by `new`, and orders everything before it before everything behind it. False
    /// if it is not `old` any more.
    #[inline(always)]
    #[must_use]
    pub fn replace(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
