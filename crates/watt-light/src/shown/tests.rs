#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::backbone::{BackboneEntry, Terms};
use crate::finality::DecisionProof;
use crate::proposal::{Header, PROTOCOL_VERSION_MAX, Proposal};
use crate::state_proof::{BucketProof, Leaf, bucket_hash_of, root_hash, tree_key, value_hash};
use alloc::vec;
use watt_primitives::{AccountId, BlockHeight, Hash, SecretKey, SlotIndex, Timestamp, codec};
use watt_scp::{Ballot, Envelope, Pledges, QuorumSet, Statement};

const NETWORK: NetworkId = NetworkId::new([7; 32]);

fn keys(n: u8) -> Vec<SecretKey> {
    (1..=n).map(|seed| SecretKey::from_seed([seed; 32])).collect()
}

fn backbone(keys: &[SecretKey]) -> Backbone {
    let seat = |(seat, key): (u8, &SecretKey)| BackboneEntry {
        account: AccountId([seat; 20]),
        key: key.node_id(),
        cold_key: None,
    };
    Backbone::new((0..).zip(keys).map(seat).collect()).unwrap()
}

fn quorum_set(keys: &[SecretKey]) -> QuorumSet {
    backbone(keys).quorum_set()
}

/// Terms in the first of which everything happens.
fn begin(keys: &[SecretKey]) -> Walk {
    Walk::begin(NETWORK, Terms::of_slots(1_000), backbone(keys))
}

/// Header 41 with this state root, made final by those of the keys whose places are given.
fn finality(keys: &[SecretKey], state_root: Hash, signers: &[usize]) -> FinalityProof {
    let quorum_set = quorum_set(keys);
    let header = Header {
        version: PROTOCOL_VERSION_MAX,
        network: NETWORK,
        parent: Hash([1; 32]),
        value: Hash([2; 32]),
        height: BlockHeight(41),
        is_empty: false,
        close_time: Timestamp(1_000),
        state_root,
        receipts_root: Hash([4; 32]),
        rank_root: Hash([6; 32]),
        next_backbone: quorum_set.hash(&NETWORK),
        history_root: Hash([5; 32]),
    };
    let proposal = Proposal {
        network: NETWORK,
        slot: SlotIndex(42),
        version: PROTOCOL_VERSION_MAX,
        parent: header.hash(),
        close_time: Timestamp(2_000),
        body_root: Hash::ZERO,
        n_transactions: 0,
        body_bytes: 1,
        proposer: keys[0].node_id(),
    }
    .sign(&keys[0]);
    let (slot, value) = (SlotIndex(42), proposal.proposal.value());
    let envelopes: Vec<Envelope> = signers
        .iter()
        .map(|at| {
            let statement = Statement {
                node: keys[*at].node_id(),
                slot,
                quorum_set: quorum_set.hash(&NETWORK),
                pledges: Pledges::Externalize {
                    commit: Ballot { counter: 1, value },
                    h_counter: 1,
                },
            };
            Envelope::sign(statement, &keys[*at], &NETWORK)
        })
        .collect();
    let decision =
        DecisionProof::from_envelopes(&NETWORK, &quorum_set, slot, value, &envelopes, &[]).unwrap();
    FinalityProof {
        header,
        proposal,
        decision,
    }
}

/// An entry in a state of three, and its root.
fn entry() -> (ShownEntry, Hash) {
    let mut leaves: Vec<Leaf> = [b"Ea1", b"Ea2", b"Ea3"]
        .iter()
        .map(|key| Leaf {
            key: tree_key(*key),
            value: value_hash(b"100 WATT"),
        })
        .collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    let index = leaves
        .iter()
        .position(|leaf| leaf.key == tree_key(b"Ea2"))
        .unwrap();
    let hashes: Vec<Hash> = leaves.iter().map(Leaf::hash).collect();
    let proof = StateProof {
        leaf_count: 3,
        siblings: BoundedVec::empty(),
        bucket: BucketProof::Member {
            count: 3,
            index: u8::try_from(index).unwrap(),
            path: BoundedVec::new(watt_primitives::merkle::path(&hashes, index).unwrap()).unwrap(),
        },
    };
    let entry = ShownEntry {
        key: BoundedBytes::new(b"Ea2".to_vec()).unwrap(),
        value: Some(BoundedBytes::new(b"100 WATT".to_vec()).unwrap()),
        proof,
    };
    (entry, root_hash(3, &bucket_hash_of(&leaves).unwrap()))
}

/// Whoever changes any byte of what is shown shows nothing any more. Covers: B7.
#[test]
fn a_tampered_byte_anywhere_is_caught() {
    let keys = keys(4);
    let (entry, root) = entry();
    let shown = Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::empty(),
        finality: finality(&keys, root, &[0, 1, 2]),
        entry: Some(entry),
    };
    assert_eq!(shown.verify(begin(&keys)), Ok(backbone(&keys)));
    let bytes = codec::encode(&shown);
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut tampered = bytes.clone();
            tampered[at] ^= bit;
            let is_good = codec::decode::<Shown>(&tampered, bytes.len())
                .is_ok_and(|shown| shown.verify(begin(&keys)).is_ok());
            assert!(!is_good, "byte {at}");
        }
    }
}

/// With the largest backbone the proof of a block fits in 4 KB. Covers: B7.
#[test]
fn a_backbone_of_61_fits_in_4_kb() {
    let keys = keys(61);
    let shown = Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::empty(),
        finality: finality(&keys, Hash::ZERO, &(0..61).collect::<Vec<_>>()),
        entry: None,
    };
    assert!(shown.verify(begin(&keys)).is_ok());
    let n_bytes = codec::encode(&shown).len();
    assert!(n_bytes <= 4_096, "{n_bytes} bytes");
}

/// Two proofs that hold for two blocks of one height name who signed both, and nobody else. Covers: A1, B7.
#[test]
fn contradicting_proofs_name_who_signed_both() {
    let keys = keys(4);
    let set = quorum_set(&keys);
    let one = finality(&keys, Hash([1; 32]), &[0, 1, 2]);
    let other = finality(&keys, Hash([2; 32]), &[1, 2, 3]);
    assert!(one.verify(&NETWORK, &set).is_ok() && other.verify(&NETWORK, &set).is_ok());
    let mut culprits = contradictors(&one, &other, &NETWORK, &set);
    culprits.sort_unstable();
    let mut liars = vec![keys[1].node_id(), keys[2].node_id()];
    liars.sort_unstable();
    assert_eq!(culprits, liars);
    let same = finality(&keys, Hash([1; 32]), &[1, 2, 3]);
    assert_eq!(
        contradictors(&one, &same, &NETWORK, &set),
        [],
        "one block, two proofs"
    );
}

/// Of whoever signed both there is evidence that the ledger takes. Covers: B7.
#[test]
fn contradicting_proofs_are_evidence_against_who_signed_both() {
    let keys = keys(4);
    let shown = |state_root, signers: &[usize]| Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::empty(),
        finality: finality(&keys, state_root, signers),
        entry: None,
    };
    let one = shown(Hash([1; 32]), &[0, 1, 2]);
    let other = shown(Hash([2; 32]), &[1, 2, 3]);
    let evidence = one.evidence(&other, begin(&keys)).unwrap();
    let mut culprits: Vec<NodeId> = evidence
        .iter()
        .map(|piece| piece.verify(&NETWORK).unwrap().key)
        .collect();
    culprits.sort_unstable();
    let mut liars = vec![keys[1].node_id(), keys[2].node_id()];
    liars.sort_unstable();
    assert_eq!(culprits, liars);
    assert_eq!(one.evidence(&one, begin(&keys)), None);
}
