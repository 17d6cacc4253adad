//! Awaiting conditions with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Asks again until there is an answer.
///
/// # Panics
/// After `limit`, naming `what`.
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "did not happen in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a condition.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(LIMIT, what, || condition().then_some(()));
}
