#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::backbone::BackboneEntry;
use crate::finality::DecisionProof;
use crate::proposal::{Header, PROTOCOL_VERSION_MAX, Proposal};
use crate::shown::{InvalidShown, Shown};
use crate::state_proof::{BucketProof, Leaf, bucket_hash_of, root_hash, tree_key, value_hash};
use crate::succession::{Claim, Succession};
use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, SecretKey, SlotIndex, Timestamp};
use watt_scp::{Ballot, Envelope, Pledges, Statement};

const NETWORK: NetworkId = NetworkId::new([7; 32]);

/// Terms of 100 slots, so the next backbone is final from 25 slots before it on.
fn terms() -> Terms {
    Terms::of_slots(100)
}

/// The voting keys of a term: nobody keeps one.
fn keys(term: u8, n: u8) -> Vec<SecretKey> {
    (0..n)
        .map(|seat| {
            let mut seed = [term; 32];
            seed[0] = seat;
            SecretKey::from_seed(seed)
        })
        .collect()
}

fn backbone(term: u8, n: u8) -> Backbone {
    let seat = |(seat, key): (u8, &SecretKey)| BackboneEntry {
        account: AccountId([seat; 20]),
        key: key.node_id(),
        cold_key: Some(Hash([seat; 32])),
    };
    Backbone::new((0..).zip(&keys(term, n)).map(seat).collect()).unwrap()
}

/// A state of one entry: the next backbone.
fn state(term: Term, value: &[u8]) -> (StateProof, Hash) {
    let leaf = Leaf {
        key: tree_key(&backbone_key(term)),
        value: value_hash(value),
    };
    let proof = StateProof {
        leaf_count: 1,
        siblings: BoundedVec::empty(),
        bucket: BucketProof::Member {
            count: 1,
            index: 0,
            path: BoundedVec::empty(),
        },
    };
    (proof, root_hash(1, &bucket_hash_of(&[leaf]).unwrap()))
}

/// That the backbone of `term`, by those of its `n` keys that `signers` names, made the header at `height` final, in whose state `next`
/// is the backbone of the term after.
fn hand_over(term: u8, n: u8, height: u64, next: Backbone, signers: &[usize]) -> HandOver {
    let (keys, quorum_set) = (keys(term, n), backbone(term, n).quorum_set());
    let (proof, state_root) = state(Term(u64::from(term) + 1), &codec::encode(&next));
    let header = Header {
        version: PROTOCOL_VERSION_MAX,
        network: NETWORK,
        parent: Hash([1; 32]),
        value: Hash([2; 32]),
        height: BlockHeight(height),
        is_empty: false,
        close_time: Timestamp(1_700_000_000_000),
        state_root,
        receipts_root: Hash([4; 32]),
        rank_root: Hash([6; 32]),
        next_backbone: quorum_set.hash(&NETWORK),
        history_root: Hash([5; 32]),
    };
    let slot = SlotIndex(height + 1);
    let proposal = Proposal {
        network: NETWORK,
        slot,
        version: PROTOCOL_VERSION_MAX,
        parent: header.hash(),
        close_time: Timestamp(1_700_000_005_000),
        body_root: Hash::ZERO,
        n_transactions: 10_000,
        body_bytes: 1 << 20,
        proposer: keys[0].node_id(),
    }
    .sign(&keys[0]);
    let value = proposal.proposal.value();
    let envelope = |at: &usize| {
        let pledges = Pledges::Confirm {
            ballot: Ballot { counter: 300, value },
            prepared_counter: 300,
            c_counter: 1,
            h_counter: 300,
        };
        let statement = Statement {
            node: keys[*at].node_id(),
            slot,
            quorum_set: quorum_set.hash(&NETWORK),
            pledges,
        };
        Envelope::sign(statement, &keys[*at], &NETWORK)
    };
    let envelopes: Vec<Envelope> = signers.iter().map(envelope).collect();
    let decision =
        DecisionProof::from_envelopes(&NETWORK, &quorum_set, slot, value, &envelopes, &[]).unwrap();
    let finality = FinalityProof {
        header,
        proposal,
        decision,
    };
    HandOver {
        finality,
        backbone: next,
        proof,
    }
}

fn begin() -> Walk {
    Walk::begin(NETWORK, terms(), backbone(0, 4))
}

/// From term 0 over three hand-overs, each by the backbone before, to term 3, of which genesis says nothing. Covers: B7.
#[test]
fn a_walk_leads_from_genesis_to_the_newest_backbone() {
    let way = [
        hand_over(0, 4, 75, backbone(1, 7), &[0, 1, 2]),
        hand_over(1, 7, 198, backbone(2, 4), &[0, 2, 3, 4, 6]),
        hand_over(2, 4, 280, backbone(3, 4), &[0, 1, 3]),
    ];
    let reached = walk(begin(), &way).unwrap();
    assert_eq!((reached.term(), reached.backbone()), (Term(3), &backbone(3, 4)));
    assert!(walk(begin(), &way[1..]).is_err(), "the first step is missing");
    let skipped = [way[0].clone(), way[2].clone()];
    assert!(walk(begin(), &skipped).is_err(), "a step is missing");
}

/// A header hands over only where its own term's backbone makes it final and the next one can't change any more.
#[test]
fn a_hand_over_lies_in_the_last_stretch_of_its_term() {
    let at = |height| begin().step(&hand_over(0, 4, height, backbone(1, 4), &[0, 1, 2]));
    for height in [75, 98] {
        assert_eq!(at(height), Ok(()), "{height}");
    }
    for height in [0, 74, 99, 100, 175] {
        assert_eq!(at(height), Err(InvalidHandOver::Height { height, term: 0 }));
    }
}

/// The keys of another term, also of the one before, hand nothing over: who bought them has no way from genesis. Covers: B7.
#[test]
fn keys_of_other_terms_hand_nothing_over() {
    let mut walk = begin();
    walk.step(&hand_over(0, 4, 75, backbone(1, 4), &[0, 1, 2]))
        .unwrap();
    let mut forged = hand_over(0, 4, 75, backbone(9, 4), &[0, 1, 2]);
    forged.finality.header.height = BlockHeight(175);
    let before = walk.clone();
    assert!(walk.step(&forged).is_err());
    let mut by_old_keys = hand_over(1, 4, 175, backbone(9, 4), &[0, 1, 2]);
    by_old_keys.finality.decision = forged.finality.decision;
    assert!(walk.step(&by_old_keys).is_err());
    let other = hand_over(9, 4, 175, backbone(2, 4), &[0, 1, 2]);
    assert!(matches!(walk.step(&other), Err(InvalidHandOver::Finality(_))));
    assert_eq!(walk, before, "it stays where it was");
}

/// Whoever changes any byte of a hand-over hands nothing over. Covers: B7.
#[test]
fn a_tampered_byte_anywhere_is_caught() {
    let good = hand_over(0, 4, 80, backbone(1, 4), &[0, 1, 2]);
    let bytes = codec::encode(&good);
    let reached = walk(begin(), &[good]).unwrap();
    for at in 0..bytes.len() {
        let mut tampered = bytes.clone();
        tampered[at] ^= 1;
        let Ok(tampered) = codec::decode::<HandOver>(&tampered, HAND_OVER_BYTES_MAX) else {
            continue;
        };
        // A changed header may only be about what it was, or nothing.
        let is_caught = walk(begin(), &[tampered]).is_err();
        assert!(is_caught, "byte {at} of {}", bytes.len());
    }
    assert_eq!(reached.term(), Term(1));
}

/// With the largest backbone, in a state of four thousand million entries, a hand-over has less than 12 KiB, and it fits with a successor
/// for each seat. Covers: B7.
#[test]
fn the_largest_hand_over_fits() {
    let signers: Vec<usize> = (20..61).collect();
    let mut largest = hand_over(0, 61, 80, backbone(1, 61), &signers);
    assert!(
        Walk::begin(NETWORK, terms(), backbone(0, 61))
            .step(&largest)
            .is_ok()
    );
    largest.proof.leaf_count = 1 << 32;
    largest.proof.siblings = BoundedVec::new(vec![Hash([1; 32]); 32]).unwrap();
    largest.proof.bucket = BucketProof::Member {
        count: 64,
        index: 63,
        path: BoundedVec::new(vec![Hash([1; 32]); 6]).unwrap(),
    };
    let bytes = codec::encode(&largest).len();
    assert!(bytes < 12 << 10, "{bytes}");
    let (key, cold_key) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let claim = Claim {
        term: Term(u64::MAX >> 1),
        account: AccountId([9; 20]),
        generation: 8,
        key: key.node_id(),
    };
    let successions = vec![Succession::sign(claim, &key, &cold_key, &NETWORK); 61];
    largest.finality.decision.successions = BoundedVec::new(successions).unwrap();
    let bytes = codec::encode(&largest).len();
    assert!(bytes <= HAND_OVER_BYTES_MAX, "{bytes}");
}

/// A block of term 1, and the way there.
fn shown(way: HandOver, last: HandOver) -> Shown {
    Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::new(vec![way]).unwrap(),
        finality: last.finality,
        entry: None,
    }
}

/// What is shown holds only with the whole way, no longer and no shorter. Covers: B7.
#[test]
fn what_is_shown_stands_at_the_end_of_its_way() {
    let way = hand_over(0, 4, 75, backbone(1, 4), &[0, 1, 2]);
    let good = shown(way, hand_over(1, 4, 150, backbone(2, 4), &[0, 1, 3]));
    assert_eq!(good.verify(begin()), Ok(backbone(1, 4)));
    let mut short = good.clone();
    short.hand_overs = BoundedVec::empty();
    let (found, wanted) = (0, 1);
    assert_eq!(short.verify(begin()), Err(InvalidShown::Term { found, wanted }));
    let mut long = good.hand_overs.to_vec();
    long.push(hand_over(1, 4, 175, backbone(2, 4), &[0, 1, 2]));
    let long = Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::new(long).unwrap(),
        ..good
    };
    let (found, wanted) = (2, 1);
    assert_eq!(long.verify(begin()), Err(InvalidShown::Term { found, wanted }));
}

/// Of two that hold and contradict each other, in what they show or on their ways, those are named who signed both at one height; where
/// a backbone hands over to two at different heights nobody can be named, and neither is to be believed. Covers: A1, B7.
#[test]
fn ways_that_split_contradict_each_other() {
    let way = |height, next, signers| hand_over(0, 4, height, backbone(next, 4), signers);
    let block = |term, root, signers| hand_over(term, 4, 150, backbone(root, 4), signers);
    let named = |term: u8, seats: &[usize]| {
        let mut names: Vec<_> = seats.iter().map(|seat| keys(term, 4)[*seat].node_id()).collect();
        names.sort_unstable();
        Some(names)
    };
    let one = shown(way(75, 1, &[0, 1, 2]), block(1, 2, &[0, 1, 2]));
    let between = |other: &Shown| {
        assert!(other.verify(begin()).is_ok());
        let names = one.contradictors(other, begin());
        names.map(|mut names| {
            names.sort_unstable();
            names
        })
    };
    assert_eq!(
        between(&shown(way(75, 1, &[1, 2, 3]), block(1, 2, &[1, 2, 3]))),
        None
    );
    let other_block = shown(way(75, 1, &[0, 1, 2]), block(1, 3, &[1, 2, 3]));
    assert_eq!(between(&other_block), named(1, &[1, 2]));
    // Another way, by the same keys of term 0, to a backbone of somebody's own.
    let other = |height| Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::new(vec![way(height, 9, &[0, 2, 3])]).unwrap(),
        finality: hand_over(9, 4, 150, backbone(2, 4), &[0, 1, 2]).finality,
        entry: None,
    };
    assert_eq!(between(&other(75)), named(0, &[0, 2]));
    assert_eq!(between(&other(80)), Some(Vec::new()));
}

/// A walk takes the voters of a plan in its term, and from there on believes only what is of the new network; whoever began again in the
/// last height of a term hands over with that. Covers: A1.
#[test]
fn a_walk_goes_over_a_restart() {
    let restart = |height| {
        let base = Header {
            height: BlockHeight(height),
            ..hand_over(1, 4, 180, backbone(2, 4), &[0, 1, 2]).finality.header
        };
        crate::RestartPlan {
            network: NETWORK,
            restart_no: 1,
            base,
            backbone: backbone(7, 4),
            reason: Default::default(),
        }
    };
    let begin = || Walk::begin(NETWORK, terms(), backbone(0, 4));
    let given = restart(150);
    let mut walk = begin().following([given.clone()]);
    assert_eq!((walk.network(), walk.term()), (&NETWORK, Term(0)));
    walk.step(&hand_over(0, 4, 80, backbone(1, 4), &[0, 1, 2]))
        .unwrap();
    assert_eq!(walk.backbone(), &backbone(7, 4));
    assert_eq!(*walk.network(), given.network_after());
    assert!(
        walk.step(&hand_over(1, 4, 180, backbone(2, 4), &[0, 1, 2]))
            .is_err()
    );
    let known = begin().following([given.clone()]).at(Term(2), backbone(2, 4));
    assert_eq!(*known.network(), given.network_after());
    assert_eq!((known.term(), known.backbone()), (Term(2), &backbone(2, 4)));

    let last = begin().following([restart(198)]).at(Term(1), backbone(1, 4));
    assert_eq!(last.backbone(), &backbone(7, 4));
    assert_eq!(last.hands_over_from(Term(1)), BlockHeight(199));
    assert_eq!(last.term_handing_over(BlockHeight(199)), Term(1));
    assert_eq!(last.term_handing_over(BlockHeight(200)), Term(2));
}
