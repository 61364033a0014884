//! Roots of trees and proofs against them.

use crate::Vector;
use crate::encoding::key as signing_key;
use crate::encoding::{genesis, header, network, proposal};
use std::collections::BTreeMap;
use watt_ledger::state::{MemoryState, Writes};
use watt_ledger::tree;
use watt_light::{DecisionProof, FinalityProof, Header, History, HistoryProof};
use watt_primitives::slot_tree::SlotHasher;
use watt_primitives::time::DAY_MS;
use watt_primitives::{
    AccountId, BlockHeight, Hash, LedgerTime, SlotIndex, Term, TrustLevel, merkle, slot_tree,
};
use watt_scp::{Ballot, Envelope, Pledges, Statement};
use watt_trust::circle::{Circle, NEW_PERIOD_MS, TRUST_MS};
use watt_trust::{Neighbourhood, TrustEdge};

/// All vectors of this file.
pub(crate) fn all() -> Vec<Vector> {
    [
        merkle_roots(),
        slot_roots(),
        state_roots(),
        state_proofs(),
        history(),
        finality(),
        rankings(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn merkle_roots() -> Vec<Vector> {
    (0..8u8)
        .map(|count| {
            let leaves: Vec<Hash> = (1..=count).map(|n| Hash([n; 32])).collect();
            Vector::new("MerkleTree", &format!("{count} leaves"), &leaves)
                .derived("root", &merkle::root(&leaves))
        })
        .collect()
}

/// Content whose byte `i` is `31 i mod 251`.
fn slot_roots() -> Vec<Vector> {
    [0u64, 1, 16_384, 16_385, 40_000]
        .into_iter()
        .map(|len| {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let mut hasher = SlotHasher::new();
            hasher.update(&bytes);
            let root = slot_tree::root_of_groups(&hasher.finish());
            Vector::new("Slot", &format!("{len} bytes"), &len).derived("root", &root)
        })
        .collect()
}

fn entry(n: u64) -> (Vec<u8>, Vec<u8>) {
    (
        [b"E", n.to_be_bytes().as_slice()].concat(),
        n.to_be_bytes().to_vec(),
    )
}

/// A state of entries `'E' || n` with value `n`, eight bytes big-endian each.
fn state(count: u64) -> (MemoryState, Hash) {
    let mut state = MemoryState::default();
    let writes: Writes = (0..count)
        .map(entry)
        .map(|(key, value)| (key, Some(value)))
        .collect();
    let update = tree::update(&state, &writes).unwrap();
    state.write(&writes);
    state.write(&update.rows);
    (state, update.root)
}

fn state_roots() -> Vec<Vector> {
    [0u64, 1, 2, 3, 64, 65, 200, 1_000]
        .into_iter()
        .map(|count| {
            Vector::new("State", &format!("{count} entries"), &count).derived("root", &state(count).1)
        })
        .collect()
}

fn state_proofs() -> Vec<Vector> {
    [
        ("present", 200, 7),
        ("absent", 200, 200),
        ("only entry", 1, 0),
        ("empty state", 0, 0),
    ]
    .into_iter()
    .map(|(detail, count, n)| {
        let (state, root) = state(count);
        let (key, value) = entry(n);
        let proof = tree::prove(&state, &key).unwrap();
        let value = (n < count).then_some(value);
        assert_eq!(proof.verify(&root, &key, value.as_deref()), Ok(()));
        let values: Vec<_> = value.iter().map(|value| serde_bytes::Bytes::new(value)).collect();
        Vector::new("StateProof", detail, &proof)
            .input("entry_key", serde_bytes::Bytes::new(&key))
            .input("entry_value", &values)
            .derived("root", &root)
    })
    .collect()
}

fn history() -> Vec<Vector> {
    let (mut history, mut nodes, mut headers) = (History::default(), BTreeMap::new(), Vec::new());
    for height in 0..12 {
        let header = Header {
            height: BlockHeight(height),
            history_root: history.root(),
            ..header()
        };
        for node in history.append(header.hash()) {
            nodes.insert((node.level, node.index), node.digest);
        }
        headers.push(header);
    }
    let node = |level, index| nodes.get(&(level, index)).copied();
    [(11usize, 0usize), (11, 10), (8, 7), (1, 0)]
        .into_iter()
        .map(|(later, earlier)| {
            let (later, earlier) = (&headers[later], &headers[earlier]);
            let proof = HistoryProof::new(later.height.0, earlier.height, &node).unwrap();
            assert_eq!(proof.verify(later, earlier), Ok(()));
            let detail = format!(
                "block {} in the history of block {}",
                earlier.height, later.height
            );
            Vector::new("HistoryProof", &detail, &proof)
                .input("later", later)
                .input("earlier", earlier)
                .derived("history_root", &later.history_root)
        })
        .collect()
}

fn finality() -> Vec<Vector> {
    let (network, set, proposal) = (network(), genesis().quorum_set(), proposal());
    let (slot, value) = (SlotIndex(42), proposal.proposal.value());
    let pledges = [
        Pledges::Confirm {
            ballot: Ballot { counter: 3, value },
            prepared_counter: 3,
            c_counter: 1,
            h_counter: 2,
        },
        Pledges::Externalize {
            commit: Ballot { counter: 2, value },
            h_counter: 2,
        },
        Pledges::Externalize {
            commit: Ballot { counter: 1, value },
            h_counter: 3,
        },
    ];
    let envelopes: Vec<Envelope> = (11..14)
        .zip(pledges)
        .map(|(seed, pledges)| {
            let key = signing_key(seed);
            let statement = Statement {
                node: key.node_id(),
                slot,
                quorum_set: set.hash(&network),
                pledges,
            };
            Envelope::sign(statement, &key, &network)
        })
        .collect();
    let decision = DecisionProof::from_envelopes(&network, &set, slot, value, &envelopes, &[]).unwrap();
    let proof = FinalityProof {
        header: header(),
        proposal,
        decision,
    };
    assert!(proof.verify(&network, &set).is_ok());
    vec![
        Vector::new("FinalityProof", "three of four votes", &proof)
            .input("network", &network)
            .input("quorum_set", &set)
            .derived("header", &proof.header.hash())
            .derived("value", &value),
    ]
}

/// Circles, and the ranks that follow: forty people, of whom some trust nobody, some are reached from no seed, and some of whose
/// trust has ended.
fn rankings() -> Vec<Vector> {
    let person = |n: u64| AccountId([(n * 7 % 251) as u8; 20]);
    let now = LedgerTime(1_000 * DAY_MS);
    let circles: Vec<(AccountId, Circle)> = (0..40u64)
        .map(|from| {
            let mut circle = Circle::default();
            let age = if from % 5 == 0 {
                TRUST_MS + 2 * NEW_PERIOD_MS
            } else {
                20 * NEW_PERIOD_MS
            };
            for k in (0..from % 6).filter(|k| (from * from + 11 * k) % 37 != from) {
                let to = person((from * from + 11 * k) % 37);
                let level = TrustLevel::of_weight((k % 3 + 1) as u8).unwrap();
                let at = LedgerTime(now.0 - age + k * NEW_PERIOD_MS);
                circle.add(&person(from), to, level, at).unwrap();
            }
            (person(from), circle)
        })
        .collect();
    let n_ended = circles.iter().flat_map(|(_, circle)| circle.edges.iter());
    assert!(n_ended.filter(|edge: &&TrustEdge| !edge.is_live(now)).count() > 3);
    let find = |id: &AccountId| {
        let found = circles.iter().find(|(person, _)| person == id);
        found.map(|(_, circle)| circle.clone()).unwrap_or_default()
    };
    [vec![], vec![3], vec![3, 14, 15, 39]]
        .into_iter()
        .map(|seeds| {
            let seeds: Vec<AccountId> = seeds.into_iter().map(person).collect();
            let ranking = Neighbourhood::find(&seeds, 1 << 18, now, find).rank();
            let root = ranking.root(&network(), Term(9));
            Vector::new("Circles", &format!("{} seeds", seeds.len()), &circles)
                .input("network", &network())
                .input("seeds", &seeds)
                .input("now", &now)
                .input("term", &Term(9))
                .derived("ranks", &ranking.people().to_vec())
                .derived("root", &root)
        })
        .collect()
}
