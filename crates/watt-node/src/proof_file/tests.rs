#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use watt_engine::Backbones;
use watt_engine::message::DecidedBlock;
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{MemoryState, NetworkParameters, NoFolded, apply_block, genesis_block, tree};
use watt_light::{BackboneEntry, HandOver, Proposal, ShownEntry};
use watt_primitives::{Amount, BlockHeight, BoundedBytes, BoundedVec, SecretKey, SlotIndex, Term, Timestamp};
use watt_scp::{Ballot, Envelope, Pledges, Statement};

/// Slots of a term.
const TERM: u64 = 16;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn account(seed: u8) -> AccountId {
    AccountId::of_first_key(&key(seed).public())
}

/// Four validators, terms of 16 slots.
fn genesis() -> Genesis {
    let account_of = |seed| GenesisAccount {
        key: key(seed).public(),
        balance: Amount(1_000),
    };
    let seat = |seed| BackboneEntry {
        account: account(seed),
        key: key(10 + seed).node_id(),
        cold_key: None,
    };
    Genesis {
        name: BoundedString::new("test".to_owned()).unwrap(),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        parameters: NetworkParameters {
            slot_ms: 1_000,
            window_slots: 8,
            term_windows: 2,
            settlement_windows: 8,
            failed_window_cost: 9,
            block_transactions_max: 100,
            block_bytes_max: 1 << 20,
            certify_slots: 60,
            certify_slots_per_gb: 60,
            commit_slots: 60,
            dispute_slots: 60,
            grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1 << 20,
            standby_power_bytes: 0,
            insecure_proofs: true,
            porep_committee: 0,
            audit_windows: 0,
            restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
        },
        accounts: BoundedVec::new((1..=4).map(account_of).collect()).unwrap(),
        protocol: 1,
        council: BoundedVec::empty(),
        council_until: Term(0),
        trust_seeds: BoundedVec::empty(),
        backbone: BoundedVec::new((1..=4).map(seat).collect()).unwrap(),
    }
}

/// The empty block above `head`, decided by those whose seats are given.
fn decided(genesis: &Genesis, head: &Header, signers: &[u8]) -> DecidedBlock {
    let network = genesis.network();
    let (body_root, n_transactions, body_bytes) = watt_ledger::Body::empty(&network).description();
    let slot = SlotIndex(head.height.0 + 1);
    let proposal = Proposal {
        network,
        slot,
        version: 1,
        parent: head.hash(),
        close_time: head.close_time.plus(1_000),
        body_root,
        n_transactions,
        body_bytes,
        proposer: key(11).node_id(),
    };
    let value = proposal.value();
    let says = |seat: &u8| {
        let statement = Statement {
            node: key(10 + seat).node_id(),
            slot,
            quorum_set: genesis.quorum_set().hash(&network),
            pledges: Pledges::Externalize {
                commit: Ballot { counter: 1, value },
                h_counter: 1,
            },
        };
        Envelope::sign(statement, &key(10 + seat), &network)
    };
    DecidedBlock {
        proposal: proposal.sign(&key(11)),
        is_empty: false,
        transactions: BoundedVec::empty(),
        heartbeats: BoundedVec::empty(),
        decision: BoundedVec::new(signers.iter().map(says).collect()).unwrap(),
        successions: BoundedVec::empty(),
    }
}

/// What account 1 is after block `height`, and the way there.
fn shown_at(genesis: &Genesis, height: u64) -> Shown {
    let first = genesis_block(genesis).unwrap();
    let mut state = MemoryState::default();
    state.write(&first.writes);
    let (mut head, mut way) = (first.header, Vec::new());
    loop {
        let above = decided(genesis, &head, &[1, 2, 3]);
        let backbones = Backbones::in_state(&state);
        let deciders = backbones.of_slot(above.proposal.proposal.slot).unwrap();
        let finality = above.proves(head.clone(), &deciders.quorum_set).unwrap();
        let next = Term(deciders.term.0 + 1);
        if head.height == backbones.terms().final_from(next) {
            way.push(HandOver {
                finality: finality.clone(),
                backbone: watt_ledger::query::backbone_of_term(&state, next).unwrap(),
                proof: tree::prove(&state, &rows::backbone(next)).unwrap(),
            });
        }
        if head.height == BlockHeight(height) {
            way.truncate(usize::try_from(deciders.term.0).unwrap());
            let key = rows::account(&account(1));
            let value = watt_ledger::StateRead::get(&state, &key).unwrap();
            let entry = ShownEntry {
                proof: tree::prove(&state, &key).unwrap(),
                key: BoundedBytes::new(key).unwrap(),
                value: Some(BoundedBytes::new(value).unwrap()),
            };
            return Shown {
                plans: BoundedVec::empty(),
                hand_overs: BoundedVec::new(way).unwrap(),
                finality,
                entry: Some(entry),
            };
        }
        let block = above.to_block().check(&genesis.network(), &NoFolded).unwrap();
        let outcome = apply_block(&state, &block).unwrap();
        state.write(&outcome.writes);
        head = outcome.header;
    }
}

/// A file about a block of term 2 holds two hand-overs and is checked from genesis; no byte of it can be another. A block of the first
/// term needs none, and the last block of a term is made final by the next one. Covers: B7.
#[test]
fn a_file_shows_the_way_from_genesis() {
    let genesis = genesis();
    let network = genesis.network();
    for (height, n_hand_overs) in [(5, 0), (TERM - 2, 0), (TERM - 1, 1), (2 * TERM, 2)] {
        let bytes = encode(genesis.clone(), shown_at(&genesis, height));
        let verified = verify(&bytes, &network).unwrap();
        assert_eq!(verified.header.height, BlockHeight(height));
        assert_eq!((verified.n_hand_overs, verified.n_entries), (n_hand_overs, 4));
        let (of, row) = verified.account.unwrap();
        assert_eq!((of, row.unwrap().balance), (account(1), Amount(1_000)));
    }
    let bytes = encode(genesis.clone(), shown_at(&genesis, 2 * TERM));
    for at in 0..bytes.len() {
        let mut tampered = bytes.clone();
        tampered[at] ^= 1;
        assert!(
            verify(&tampered, &network).is_err(),
            "byte {at} of {}",
            bytes.len()
        );
    }
}

/// A file from a network with newer rules is no forgery to an old program, whether it can read the rest or not; rubbish that only says
/// so of another network is. Covers: A11, B7.
#[test]
fn a_file_of_newer_rules_asks_for_an_update() {
    #[derive(Serialize)]
    struct FutureHeader {
        version: u32,
        network: NetworkId,
        more: u8,
    }
    #[derive(Serialize)]
    struct FutureProof {
        header: FutureHeader,
        decision: u8,
    }
    #[derive(Serialize)]
    struct FutureShown {
        finality: FutureProof,
        way: u8,
    }
    #[derive(Serialize)]
    struct FutureFile {
        format: u8,
        shown: FutureShown,
    }
    let genesis = genesis();
    let network = genesis.network();
    let newer = PROTOCOL_VERSION_MAX + 1;
    let mut shown = shown_at(&genesis, 5);
    shown.finality.header.version = newer;
    let bytes = encode(genesis, shown);
    let is_newer = |bytes: &[u8]| matches!(verify(bytes, &network), Err(InvalidProofFile::Newer { version }) if version == newer);
    assert!(is_newer(&bytes));
    let future = |version, network| {
        let header = FutureHeader {
            version,
            network,
            more: 1,
        };
        let finality = FutureProof { header, decision: 2 };
        let shown = FutureShown { finality, way: 3 };
        codec::encode(&FutureFile { format: 4, shown })
    };
    assert!(is_newer(&future(newer, network)));
    for bytes in [
        future(1, network),
        future(newer, NetworkId::new([9; 32])),
        vec![0xff],
    ] {
        assert!(matches!(
            verify(&bytes, &network),
            Err(InvalidProofFile::Encoding(_))
        ));
    }
}
