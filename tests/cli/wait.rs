//! Waiting for a condition, with a limit that a loaded two-core machine keeps.

use std::time::{Duration, Instant};

/// What any single step of a test may take at most. Reached only when something is wrong.
pub const LIMIT: Duration = Duration::from_secs(40);

/// The one place where a test sleeps: between two looks at a condition nobody announces.
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Asks until `look` finds something; panics with `what` when the limit has passed.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, look)
}

/// As `until`, with a limit of its own.
pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited in vain: {what}");
        pause();
    }
}

/// As `until`, for a plain condition.
pub fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}
