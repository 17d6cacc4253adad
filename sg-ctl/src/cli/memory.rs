//! How the process gets its memory.

/// Keeps memory that was given back for the next use.
///
/// A command works for a fraction of a second and goes through a large policy several times. By
/// default glibc gives large blocks back to the kernel each time, which then has to clear every page
/// again: a quarter of the time of a change of 100 000 rules.
pub(super) fn keep() {
    #[cfg(target_env = "gnu")]
    {
        /// Blocks up to this size come from the heap: 32 MiB, the most that glibc accepts.
        const FROM_HEAP: libc::c_int = 32 << 20;
        /// Free memory at the end of the heap that is not given back: 1 GiB.
        const KEPT: libc::c_int = 1 << 30;
        /// How much the heap grows at once: 4 MiB.
        const STEP: libc::c_int = 4 << 20;
        // SAFETY: these change only how memory is managed, before other threads are started. Where
        // one is refused, memory is managed as usual.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, FROM_HEAP);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TOP_PAD, STEP);
        }
    }
}
