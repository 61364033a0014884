//! The one way to wait: look again and again, until it is so or the deadline has passed.

use std::time::{Duration, Instant};

/// Far longer than anything takes, even on a busy machine: reaching it is a failure, never a way to wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until there is an answer, which it returns.
pub(crate) fn until_some<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Looks until it is so.
pub(crate) fn until(what: &str, deadline: Duration, mut is_so: impl FnMut() -> bool) {
    until_some(what, deadline, || is_so().then_some(()));
}

/// Looks until the answer has been the same for as long as `calm`, and returns it.
pub(crate) fn until_calm<T: PartialEq>(what: &str, calm: Duration, mut look: impl FnMut() -> T) -> T {
    let (mut last, mut since) = (look(), Instant::now());
    until(what, PATIENCE, || {
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() >= calm
    });
    last
}

/// Lets `pause` pass: for kills at moments that differ, never to wait for something.
pub(crate) fn vary(pause: Duration) {
    std::thread::sleep(pause);
}
