//! Planted trouble for tests with real processes, and rules that the simulator bends to prove that it notices; compiled only
//! with the feature `testing`.

use crate::apply::BlockOutcome;
use crate::rows::{self, DutyCountsRow, StandingRow};
use crate::state::{MemoryState, Writes};
use crate::tree;
use std::cell::Cell;
use watt_light::Backbone;
use watt_light::operation::VOUCHERS;
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, BoundedBytes, Hash, LedgerTime, Term, TrustLevel};
use watt_trust::Circle;
use watt_trust::standby::SHADOW_TERMS_MIN;

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
    /// The first block of a term can be executed: under version 1 it panics, whatever its body.
    BrokenTerms,
}

/// The panic of [`Rule::BrokenTerms`].
///
/// # Panics
/// That is its purpose.
#[expect(clippy::panic, reason = "what a rescue release is for (TC7)")]
pub(crate) fn break_term(version: u32) {
    if version == 1 && is_bent(Rule::BrokenTerms) {
        panic!("planted: the first block of a term");
    }
}

thread_local! {
    static BENT: Cell<Option<Rule>> = const { Cell::new(None) };
}

/// Makes the rule straight again, also when what was done with it panics.
struct Straighten(Option<Rule>);

impl Drop for Straighten {
    fn drop(&mut self) {
        BENT.set(self.0);
    }
}

/// Does `work` with `rule` bent, on this thread.
pub fn bend<T>(rule: Rule, work: impl FnOnce() -> T) -> T {
    let _straighten = Straighten(BENT.replace(Some(rule)));
    work()
}

pub(crate) fn is_bent(rule: Rule) -> bool {
    BENT.get() == Some(rule)
}

/// Block 0 with the backbones of later terms written in advance, as if elections had made them: no genesis document can say that.
///
/// # Panics
/// If `genesis` is no block 0.
#[must_use]
pub fn elect_in_advance(genesis: &BlockOutcome, backbones: &[(Term, Backbone)]) -> BlockOutcome {
    with_entries(genesis, |writes| {
        for (term, backbone) in backbones {
            writes.insert(rows::backbone(*term), Some(rows::encode(backbone)));
        }
        // With seats the ledger's own elections would write them again.
        writes.remove(rows::SEATS);
    })
}

/// Trust and work of before block 0, which no genesis document can say.
#[derive(Clone, Debug, Default)]
pub struct Grown {
    /// Whose circle, and who has been in it for half a year, closely: at most five each.
    pub circles: Vec<(AccountId, Vec<AccountId>)>,
    /// Who stands for a seat, named by whom, and has worked in shadow for as many terms as the gate asks for. Whether they have the
    /// rank and whether those they name will do is looked at when the first term begins, and on the list they have stood for no time.
    pub standing: Vec<(AccountId, [AccountId; VOUCHERS])>,
}

/// Days for which trust that was there before block 0 has stood by then.
const GROWN_DAYS: u64 = 180;

/// Block 0 of a network that people have grown into.
///
/// # Panics
/// If `genesis` is no block 0, or a circle breaks its rules.
#[must_use]
#[expect(clippy::expect_used, reason = "only in tests")]
pub fn grow_in_advance(genesis: &BlockOutcome, grown: &Grown) -> BlockOutcome {
    let begin = LedgerTime(
        genesis
            .header
            .close_time
            .0
            .saturating_sub(DAY_MS.saturating_mul(GROWN_DAYS)),
    );
    with_entries(genesis, |writes| {
        for (owner, members) in &grown.circles {
            let mut circle = Circle::default();
            for (week, member) in (0u64..).zip(members) {
                // No more than two in seven days.
                let at = begin.plus(DAY_MS.saturating_mul(7).saturating_mul(week));
                circle
                    .add(owner, *member, TrustLevel::Close, at)
                    .expect("a circle has five different people");
            }
            writes.insert(rows::circle(owner), Some(rows::encode(&circle)));
        }
        for (person, vouchers) in &grown.standing {
            let row = StandingRow {
                vouchers: *vouchers,
                since: Term(0),
                ranked_since: None,
                outside_terms: 0,
                shadow_terms: SHADOW_TERMS_MIN,
                listed_since: None,
            };
            writes.insert(rows::standing(person), Some(rows::encode(&row)));
        }
        let counts = DutyCountsRow {
            n_standing: u64::try_from(grown.standing.len()).unwrap_or(u64::MAX),
            ..DutyCountsRow::default()
        };
        writes.insert(rows::DUTY_COUNTS.to_vec(), Some(rows::encode(&counts)));
    })
}

/// Block 0 with other entries.
#[expect(clippy::expect_used, reason = "only in tests")]
fn with_entries(genesis: &BlockOutcome, change: impl FnOnce(&mut Writes)) -> BlockOutcome {
    let is_entry = |key: &Vec<u8>| key.first() == Some(&tree::ENTRY_ROW);
    let mut writes = genesis.writes.clone();
    writes.retain(|key, _| key.first() != Some(&tree::TREE_ROW));
    change(&mut writes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// A planted panic leaves no bent rule behind on its thread: what runs there next is bound by all of them. Covers: A11.
    #[test]
    fn a_rule_is_straight_again_after_a_panic() {
        let planted = catch_unwind(|| bend(Rule::BrokenTerms, || break_term(1)));
        assert!(planted.is_err());
        assert!(!is_bent(Rule::BrokenTerms));
        break_term(1);
    }
}
