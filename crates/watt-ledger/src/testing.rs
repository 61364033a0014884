//! Planted trouble for tests with real processes, and rules that the simulator bends to prove that it notices; compiled only
//! with the feature `testing`.

use crate::apply::BlockOutcome;
use crate::rows;
use crate::state::{MemoryState, Writes};
use crate::tree;
use std::cell::Cell;
use watt_light::Backbone;
use watt_primitives::{BoundedBytes, Hash, Term};

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

/// Block 0 with the backbones of later terms written in advance, as if elections had made them: no genesis document can say that.
///
/// # Panics
/// If `genesis` is no block 0.
#[must_use]
#[expect(clippy::expect_used, reason = "only in tests")]
pub fn elect_in_advance(genesis: &BlockOutcome, backbones: &[(Term, Backbone)]) -> BlockOutcome {
    let is_entry = |key: &Vec<u8>| key.first() == Some(&tree::ENTRY_ROW);
    let mut writes = genesis.writes.clone();
    writes.retain(|key, _| key.first() != Some(&tree::TREE_ROW));
    for (term, backbone) in backbones {
        writes.insert(rows::backbone(*term), Some(rows::encode(backbone)));
    }
    // With seats the ledger's own elections would write them again.
    writes.remove(rows::SEATS);
    let entries: Writes = writes
        .iter()
        .filter(|(key, _)| is_entry(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let tree = tree::update(&MemoryState::default(), &entries).expect("nothing is below block 0");
    let mut header = genesis.header.clone();
    header.state_root = tree.root;
    writes.extend(tree.rows);
    writes.insert(rows::HEAD.to_vec(), Some(rows::encode(&header)));
    BlockOutcome {
        header,
        writes,
        ..genesis.clone()
    }
}
