#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::proposal::Proposal;
use alloc::vec;
use watt_primitives::{BlockHeight, SecretKey, Timestamp};

const NETWORK: NetworkId = NetworkId::new([7; 32]);

/// Four nodes of which three decide, and a block that they made final.
struct Scene {
    keys: Vec<SecretKey>,
    quorum_set: QuorumSet,
    header: Header,
    proposal: SignedProposal,
}

fn scene() -> Scene {
    let keys: Vec<SecretKey> = (1..=4).map(|seed| SecretKey::from_seed([seed; 32])).collect();
    let quorum_set = QuorumSet::flat(3, keys.iter().map(SecretKey::node_id).collect());
    let header = Header {
        version: PROTOCOL_VERSION_MAX,
        network: NETWORK,
        parent: Hash([1; 32]),
        value: Hash([2; 32]),
        height: BlockHeight(41),
        is_empty: false,
        close_time: Timestamp(1_000),
        state_root: Hash([3; 32]),
        receipts_root: Hash([4; 32]),
        rank_root: Hash::ZERO,
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
    Scene {
        keys,
        quorum_set,
        header,
        proposal,
    }
}

impl Scene {
    fn value(&self) -> Value {
        self.proposal.proposal.value()
    }

    fn envelope(&self, node: usize, slot: SlotIndex, pledges: Pledges) -> Envelope {
        let key = &self.keys[node];
        let statement = Statement {
            node: key.node_id(),
            slot,
            quorum_set: self.quorum_set.hash(&NETWORK),
            pledges,
        };
        Envelope::sign(statement, key, &NETWORK)
    }

    fn envelopes(&self, slot: SlotIndex, value: Value) -> Vec<Envelope> {
        let confirm = Pledges::Confirm {
            ballot: Ballot { counter: 3, value },
            prepared_counter: 3,
            c_counter: 1,
            h_counter: 2,
        };
        let externalize = Pledges::Externalize {
            commit: Ballot { counter: 2, value },
            h_counter: 2,
        };
        vec![
            self.envelope(0, slot, confirm.clone()),
            self.envelope(1, slot, externalize.clone()),
            self.envelope(2, slot, externalize),
            self.envelope(3, slot, confirm),
        ]
    }

    fn decision(&self, slot: SlotIndex, value: Value) -> DecisionProof {
        DecisionProof::from_envelopes(
            &NETWORK,
            &self.quorum_set,
            slot,
            value,
            &self.envelopes(slot, value),
            &[],
        )
        .unwrap()
    }

    fn proof(&self) -> FinalityProof {
        FinalityProof {
            header: self.header.clone(),
            proposal: self.proposal.clone(),
            decision: self.decision(SlotIndex(42), self.value()),
        }
    }
}

/// A phone with the network's id and the quorum set alone learns the final header. Covers: B7.
#[test]
fn decided_successor_makes_the_header_final() {
    let scene = scene();
    let proof = scene.proof();
    assert_eq!(proof.verify(&NETWORK, &scene.quorum_set), Ok(&scene.header));
    let bytes = codec::encode(&proof);
    assert!(bytes.len() < 1_600, "{} bytes", bytes.len());
    assert_eq!(FinalityProof::decode(&bytes, &NETWORK), Ok(proof));
}

/// The fallback has the same parent, so deciding it makes the same header final.
#[test]
fn decided_fallback_makes_the_header_final() {
    let scene = scene();
    let mut proof = scene.proof();
    proof.decision = scene.decision(SlotIndex(42), empty_value(&NETWORK, &scene.value()));
    assert_eq!(proof.verify(&NETWORK, &scene.quorum_set), Ok(&scene.header));
}

/// TC6: agreement on the slot before says nothing about this state root, and a forged one is refused. Covers: B7.
#[test]
fn forged_state_root_is_refused() {
    let scene = scene();
    let mut forged = scene.proof();
    forged.header.state_root = Hash([0xee; 32]);
    assert_eq!(
        forged.verify(&NETWORK, &scene.quorum_set),
        Err(InvalidFinality::OtherParent)
    );
    // A liar who also makes a proposal for the forged header has no votes for it.
    forged.proposal.proposal.parent = forged.header.hash();
    forged.proposal = forged.proposal.proposal.clone().sign(&scene.keys[0]);
    assert_eq!(
        forged.verify(&NETWORK, &scene.quorum_set),
        Err(InvalidFinality::OtherValue)
    );
    forged.decision.value = forged.proposal.proposal.value();
    assert_eq!(
        forged.verify(&NETWORK, &scene.quorum_set),
        Err(InvalidFinality::Signature)
    );
}

/// No byte of a proof can be changed, removed or added. Covers: B7.
#[test]
fn tampered_byte_anywhere_is_refused() {
    let scene = scene();
    let bytes = codec::encode(&scene.proof());
    let is_accepted = |bytes: &[u8]| {
        FinalityProof::decode(bytes, &NETWORK)
            .is_ok_and(|proof| proof.verify(&NETWORK, &scene.quorum_set).is_ok())
    };
    assert!(is_accepted(&bytes));
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0x80, 0xff] {
            let mut tampered = bytes.clone();
            tampered[at] ^= flip;
            assert!(!is_accepted(&tampered), "byte {at} ^ {flip:#x}");
        }
        assert!(!is_accepted(&bytes[..at]), "cut at {at}");
    }
    assert!(!is_accepted(&[bytes.as_slice(), &[0]].concat()));
}

/// Each way in which the parts don't belong together has its own name.
#[test]
fn each_broken_link_is_named() {
    let scene = scene();
    let good = scene.proof();
    let error = |change: &dyn Fn(&mut FinalityProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof.verify(&NETWORK, &scene.quorum_set).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        error(&|p| p.header.network = NetworkId::new([8; 32])),
        InvalidFinality::OtherNetwork
    );
    assert_eq!(
        error(&|p| p.header.version = PROTOCOL_VERSION_MAX + 1),
        InvalidFinality::UnknownVersion {
            version: PROTOCOL_VERSION_MAX + 1
        }
    );
    assert_eq!(
        error(&|p| p.header.next_backbone = Hash::ZERO),
        InvalidFinality::OtherBackbone
    );
    assert_eq!(
        error(&|p| p.header.height = BlockHeight(40)),
        InvalidFinality::NotNext {
            proposal: SlotIndex(42),
            header: SlotIndex(40)
        }
    );
    assert_eq!(
        error(&|p| p.header.close_time = Timestamp(0)),
        InvalidFinality::OtherParent
    );
    assert_eq!(
        error(&|p| p.decision = scene.decision(SlotIndex(43), scene.value())),
        InvalidFinality::OtherSlot {
            decision: SlotIndex(43),
            proposal: SlotIndex(42)
        }
    );
    assert_eq!(
        error(&|p| p.decision = scene.decision(SlotIndex(42), Value(Hash::ZERO))),
        InvalidFinality::OtherValue
    );
    assert_eq!(
        error(&|p| p.proposal.signature.0[0] ^= 1),
        InvalidFinality::Signature
    );
    let decision = |change: &dyn Fn(&mut Vec<Vote>)| {
        error(&|p| {
            let mut votes = p.decision.votes.to_vec();
            change(&mut votes);
            p.decision.votes = BoundedVec::new(votes).unwrap();
        })
    };
    assert_eq!(
        decision(&|votes| votes[2].member = 4),
        InvalidFinality::Decision(InvalidDecision::UnknownMember {
            member: 4,
            members: 4
        })
    );
    assert_eq!(
        decision(&|votes| votes[1] = votes[0]),
        InvalidFinality::Decision(InvalidDecision::Unordered { index: 1 })
    );
    assert_eq!(
        decision(&|votes| votes.truncate(2)),
        InvalidFinality::Decision(InvalidDecision::NotDecided {
            slot: SlotIndex(42),
            votes: 2
        })
    );
    assert_eq!(
        decision(&|votes| votes[0].signature.0[40] ^= 1),
        InvalidFinality::Signature
    );
}

/// Votes count only for the network and the quorum set that they were made in (TC19).
#[test]
fn proof_is_bound_to_network_and_quorum_set() {
    let scene = scene();
    let proof = scene.proof();
    assert_eq!(
        proof.verify(&NetworkId::new([8; 32]), &scene.quorum_set),
        Err(InvalidFinality::OtherNetwork)
    );
    let larger = QuorumSet::flat(
        3,
        (1..=5)
            .map(|seed| SecretKey::from_seed([seed; 32]).node_id())
            .collect(),
    );
    assert_eq!(
        proof.verify(&NETWORK, &larger),
        Err(InvalidFinality::OtherBackbone)
    );
    assert_eq!(
        proof.decision.verify(&NETWORK, &larger),
        Err(InvalidDecision::VoteSignature)
    );
    assert_eq!(
        proof.decision.verify(&NetworkId::new([8; 32]), &scene.quorum_set),
        Err(InvalidDecision::VoteSignature)
    );
    assert_eq!(proof.decision.verify(&NETWORK, &scene.quorum_set), Ok(()));
}

/// A proof from many envelopes keeps only as many as decide, passes over what is beside the point, and gives the envelopes
/// back.
#[test]
fn proof_keeps_what_it_needs() {
    let scene = scene();
    let (slot, value) = (SlotIndex(42), scene.value());
    let mut envelopes = scene.envelopes(slot, value);
    let proof = scene.decision(slot, value);
    assert_eq!(proof.votes.len(), 3);
    for envelope in proof.envelopes(&NETWORK, &scene.quorum_set).unwrap() {
        assert!(envelopes.contains(&envelope));
    }
    let build = |envelopes: &[Envelope]| {
        DecisionProof::from_envelopes(&NETWORK, &scene.quorum_set, slot, value, envelopes, &[])
    };
    assert_eq!(build(&envelopes[..2]), None);
    envelopes.truncate(3);
    envelopes.extend(scene.envelopes(SlotIndex(41), value));
    envelopes.extend(scene.envelopes(slot, Value(Hash::ZERO)));
    envelopes.push(Envelope::sign(
        Statement {
            node: SecretKey::from_seed([9; 32]).node_id(),
            ..envelopes[0].statement.clone()
        },
        &SecretKey::from_seed([9; 32]),
        &NETWORK,
    ));
    let proof = build(&envelopes).unwrap();
    assert_eq!(proof.verify(&NETWORK, &scene.quorum_set), Ok(()));
}

/// A straggler that still confirms lower counters than the others is left out: votes decide at one common counter.
#[test]
fn votes_decide_at_one_common_counter() {
    let scene = scene();
    let (slot, value) = (SlotIndex(42), scene.value());
    let straggler = Pledges::Confirm {
        ballot: Ballot { counter: 1, value },
        prepared_counter: 1,
        c_counter: 1,
        h_counter: 1,
    };
    let mut envelopes = scene.envelopes(slot, value);
    envelopes[0] = scene.envelope(0, slot, straggler.clone());
    let externalize = Pledges::Externalize {
        commit: Ballot { counter: 2, value },
        h_counter: 2,
    };
    envelopes[3] = scene.envelope(3, slot, externalize);
    let build = |envelopes: &[Envelope]| {
        DecisionProof::from_envelopes(&NETWORK, &scene.quorum_set, slot, value, envelopes, &[])
    };
    let mut proof = build(&envelopes).unwrap();
    assert_eq!(proof.verify(&NETWORK, &scene.quorum_set), Ok(()));
    // Three votes of which no counter lies in all.
    envelopes[1] = scene.envelope(1, slot, straggler);
    assert_eq!(build(&envelopes), None);
    let mut votes = proof.votes.to_vec();
    votes[0].word = Word::Confirm {
        ballot_counter: 1,
        prepared_counter: 1,
        c_counter: 1,
        h_counter: 1,
    };
    proof.votes = BoundedVec::new(votes).unwrap();
    assert_eq!(
        proof.verify(&NETWORK, &scene.quorum_set),
        Err(InvalidDecision::NotDecided { slot, votes: 3 })
    );
}

/// An old program says "update me" of a header from the future, and "no proof" of rubbish (TC6).
#[test]
fn newer_rules_are_not_taken_for_a_forgery() {
    #[derive(Serialize)]
    struct FutureHeader {
        version: u32,
        network: NetworkId,
        parent: Hash,
        value: Hash,
        more: u8,
    }
    #[derive(Serialize)]
    struct FutureProof {
        header: FutureHeader,
        other: u8,
    }
    let future = |version, network| {
        codec::encode(&FutureProof {
            header: FutureHeader {
                version,
                network,
                parent: Hash::ZERO,
                value: Hash::ZERO,
                more: 1,
            },
            other: 2,
        })
    };
    let newer = PROTOCOL_VERSION_MAX + 1;
    assert_eq!(
        FinalityProof::decode(&future(newer, NETWORK), &NETWORK),
        Err(InvalidFinality::UnknownVersion { version: newer })
    );
    for bytes in [
        future(1, NETWORK),
        future(newer, NetworkId::new([8; 32])),
        vec![0xff],
    ] {
        assert_eq!(
            FinalityProof::decode(&bytes, &NETWORK),
            Err(InvalidFinality::Encoding(InvalidEncoding::Malformed))
        );
    }
}
