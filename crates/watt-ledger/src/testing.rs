//! Planted trouble for tests with real processes, and rules that the simulator bends to prove that it notices; compiled only
//! with the feature `testing`.

use std::cell::Cell;
use watt_primitives::BoundedBytes;
use watt_primitives::Hash;

/// Hashes that a `slow` transfer computes: about 20 s on a slow core.
const SLOW_HASHES: u32 = 1 << 28;

/// A transfer with memo `boom` panics in apply, one with memo `slow` burns time.
///
/// # Panics
/// On memo `boom`: that is its purpose.
#[allow(
    clippy::panic,
    reason = "the poison transaction of TC7, planted in test builds"
)]
pub fn obey(memo: &BoundedBytes<64>) {
    let text: &[u8] = memo;
    match text {
        b"boom" => panic!("planted: memo boom"),
        b"slow" => {
            let mut digest = Hash::ZERO;
            for _ in 0..SLOW_HASHES {
                digest = std::hint::black_box(Hash::of_content(digest.as_ref()));
            }
        }
        _ => {}
    }
}

/// A rule that can be bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A window can be proven only in the window after it.
    LateProof,
    /// A window counts once.
    WindowTwice,
}

thread_local! {
    static BENT: Cell<Option<Rule>> = const { Cell::new(None) };
}

/// Does `work` with `rule` bent, on this thread.
pub fn bend<T>(rule: Rule, work: impl FnOnce() -> T) -> T {
    let before = BENT.replace(Some(rule));
    let outcome = work();
    BENT.set(before);
    outcome
}

pub(crate) fn is_bent(rule: Rule) -> bool {
    BENT.get() == Some(rule)
}
