//! Two things at once.

use std::{panic, thread};

/// Two results, the second one by a thread of its own. A panic in either is one here.
pub(crate) fn both<A, B: Send>(
    here: impl FnOnce() -> A,
    aside: impl FnOnce() -> B + Send,
) -> (A, B) {
    thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let here = here();
        (here, aside.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
    })
}
