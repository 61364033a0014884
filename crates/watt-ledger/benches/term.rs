//! What the first block of a term does beside its transactions: ranking as many people as the rules allow, from the rows of
//! their circles to the root in the header.
//!
//! Prints one JSON object per line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it"
)]

use std::time::Instant;
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::{MemoryState, Writes, query};
use watt_primitives::{
    AccountId, BlockHeight, BoundedVec, Hash, LedgerTime, NetworkId, Term, Timestamp, TrustLevel, codec,
};
use watt_trust::Circle;
use watt_trust::circle::{CIRCLE_MAX, NEW_PERIOD_MS};
use watt_trust::ranking::PEOPLE_MAX;

fn id(n: usize) -> AccountId {
    let digest = Hash::of_content(&n.to_be_bytes());
    AccountId(digest.as_ref()[..20].try_into().unwrap())
}

fn main() {
    for n_people in [10_000, PEOPLE_MAX] {
        let state = state(n_people);
        let start = Instant::now();
        let ranking = query::ranking(&state);
        let root = ranking.root(&NetworkId::new([1; 32]), Term(1));
        let seconds = start.elapsed().as_secs_f64();
        assert!(ranking.people().len() == n_people && root != Hash::ZERO);
        println!(
            r#"{{"bench":"term","case":"{n_people} people","metric":"rank","value":{seconds:.3},"unit":"s"}}"#
        );
    }
}

/// Everybody trusts the next, and four people anywhere.
fn state(n_people: usize) -> MemoryState {
    let mut writes = Writes::new();
    let chain = ChainRow {
        height: BlockHeight(1),
        close_time: Timestamp(10 * NEW_PERIOD_MS),
        halted_ms: 0,
        windows_counted: 0,
        history: BoundedVec::empty(),
        history_len: 0,
        rank_root: Hash::ZERO,
    };
    writes.insert(rows::CHAIN.to_vec(), Some(codec::encode(&chain)));
    let mut seeds: Vec<AccountId> = (0..100).map(id).collect();
    seeds.sort_unstable();
    writes.insert(rows::TRUST_SEEDS.to_vec(), Some(codec::encode(&seeds)));
    for person in 0..n_people {
        let mut circle = Circle::default();
        for k in 0..CIRCLE_MAX {
            let to = (person * (1 + k * 7_919) + 1 + k) % n_people;
            let at = LedgerTime(NEW_PERIOD_MS * k as u64);
            if to != person {
                circle.add(&id(person), id(to), TrustLevel::InPerson, at).unwrap();
            }
        }
        writes.insert(rows::circle(&id(person)), Some(codec::encode(&circle)));
    }
    let mut state = MemoryState::default();
    state.write(&writes);
    state
}
