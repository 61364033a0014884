use super::*;
use crate::config::{ApiAddresses, Role};
use std::path::Path;
use watt_engine::{Refuted, RestartLog};
use watt_ledger::Body;
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{NetworkParameters, NoFolded, Rescues, UncheckedBlock};
use watt_light::{BackboneEntry, Proposal, Restart, RestartPlan};
use watt_primitives::{
    AccountId, Amount, BoundedString, BoundedVec, Hash, NetworkId, SecretKey, SlotIndex, Term, Timestamp,
};

fn validator() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

fn config(dir: &Path) -> NodeConfig {
    let genesis = Genesis {
        name: BoundedString::new("test".to_owned()).unwrap(),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        parameters: NetworkParameters {
            slot_ms: 1_000,
            window_slots: 8,
            term_windows: 144,
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
        accounts: BoundedVec::new(vec![GenesisAccount {
            key: SecretKey::from_seed([1; 32]).public(),
            balance: Amount(1_000),
        }])
        .unwrap(),
        protocol: 1,
        council: BoundedVec::empty(),
        council_until: Term(0),
        trust_seeds: BoundedVec::empty(),
        backbone: BoundedVec::new(vec![BackboneEntry {
            account: AccountId::of_first_key(&SecretKey::from_seed([1; 32]).public()),
            key: validator().node_id(),
            cold_key: None,
        }])
        .unwrap(),
    };
    NodeConfig {
        data_dir: dir.to_owned(),
        was_moved: false,
        restarts: Vec::new(),
        genesis,
        role: Role::Follower,
        seat_account_key: None,
        owner: None,
        circle_in_quorum: false,
        network_key: None,
        listen: Vec::new(),
        bootstrap: Vec::new(),
        checkpoint_blocks: 720,
        protocol: 1,
        rescues: Rescues::of_program(),
        record_scp: None,
        api: ApiAddresses {
            public: "127.0.0.1:0".parse().unwrap(),
            owner: "127.0.0.1:0".parse().unwrap(),
            owner_hosts: Vec::new(),
        },
        provider: None,
    }
}

fn open(config: &NodeConfig) -> Storage {
    Storage::open(config, &config.genesis).unwrap()
}

/// The next block, without transactions, and what applying it gives.
fn next_block(storage: &Storage) -> (DecidedBlock, Arc<BlockOutcome>) {
    let head = storage.head();
    let (body_root, n_transactions, body_bytes) = Body::empty(&head.network).description();
    let proposal = Proposal {
        network: head.network,
        slot: SlotIndex(head.height.0 + 1),
        version: 1,
        parent: head.hash(),
        close_time: head.close_time.plus(1_000),
        body_root,
        n_transactions,
        body_bytes,
        proposer: validator().node_id(),
    };
    let block = DecidedBlock {
        proposal: proposal.sign(&validator()),
        is_empty: false,
        transactions: BoundedVec::empty(),
        heartbeats: BoundedVec::empty(),
        decision: BoundedVec::empty(),
        successions: BoundedVec::empty(),
    };
    let unchecked: UncheckedBlock = block.to_block();
    let outcome = storage
        .snapshot()
        .read(|rows| try_block(rows, unchecked, Some(&NoFolded), &Rescues::of_program()));
    (block, outcome.unwrap().unwrap())
}

/// Stores the next block, as a node does that decided it or fetched it.
fn grow(storage: &mut Storage) {
    let (block, outcome) = next_block(storage);
    let (header, snapshot) = storage.committer().commit(&[block], &[outcome]).unwrap();
    storage.advance(header, snapshot).unwrap();
}

/// Flips a bit of the block at `height` in the log.
fn rot(storage: Storage, height: u64) {
    let stored = storage.blocks.get(BlockHeight(height)).unwrap().unwrap();
    let dir = storage.folder.blocks_dir();
    drop(storage);
    let path = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "log"))
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(stored.block.len())
        .position(|window| window == stored.block)
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

/// A block that rotted while the state is behind it does not keep the node from starting: the block and those above it are
/// taken from peers again, and the log is whole afterwards. Covers: A1.
#[test]
fn a_damaged_block_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut storage = open(&config);
    (0..5).for_each(|_| grow(&mut storage));
    let agreed = storage.head().clone();
    let state_dir = storage.folder.state_dir();
    rot(storage, 3);
    std::fs::remove_dir_all(state_dir).unwrap();

    let mut storage = open(&config);
    assert_eq!(storage.head().height, BlockHeight(2));
    assert_eq!(storage.voted_to(), BlockHeight(5));
    assert!(read_block(&storage.blocks, BlockHeight(3)).is_err());
    (0..3).for_each(|_| grow(&mut storage));
    assert_eq!(*storage.head(), agreed);
    for height in 1..=5 {
        assert!(
            read_block(&storage.blocks, BlockHeight(height))
                .unwrap()
                .is_some()
        );
    }
    grow(&mut storage);
    let head = storage.head().clone();
    drop(storage);
    assert_eq!(*open(&config).head(), head);
}

/// The last block of the log rotted, and the state stands above it: the state goes back, and the block is fetched again.
/// Covers: A1.
#[test]
fn a_state_above_a_rotted_log_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut storage = open(&config);
    (0..5).for_each(|_| grow(&mut storage));
    let agreed = storage.head().clone();
    storage.flush();
    rot(storage, 5);

    let mut storage = open(&config);
    assert_eq!(storage.head().height, BlockHeight(4));
    assert_eq!(storage.voted_to(), BlockHeight(5));
    grow(&mut storage);
    assert_eq!(*storage.head(), agreed);
    drop(storage);
    assert_eq!(*open(&config).head(), agreed);
}

/// A state comes in part by part, over restarts after each; a false part leaves nothing behind; when it is whole it takes the place
/// of genesis, also if the power fails in between, and the node goes on from there without the blocks below (TC22). Covers: A1.
#[test]
fn a_state_comes_in_part_by_part_over_restarts() {
    let (served_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut serving, mut config) = (config(served_dir.path()), config(dir.path()));
    let account = |n: u8, m: u8| GenesisAccount {
        key: SecretKey::from_seed([[n; 16], [m; 16]].concat().try_into().unwrap()).public(),
        balance: Amount(1_000),
    };
    let accounts: Vec<_> = (0..10)
        .flat_map(|n| (0..250).map(move |m| account(n, m)))
        .collect();
    serving.genesis.accounts = BoundedVec::new(accounts).unwrap();
    config.genesis = serving.genesis.clone();
    let mut served = open(&serving);
    (0..5).for_each(|_| grow(&mut served));
    let header = served.head().clone();

    let mut storage = open(&config);
    let (mut incoming, mut at, mut n_parts) = (Incoming::new(header.clone()), Some(Hash::ZERO), 0);
    while let Some(here) = at {
        let part = served.snapshot().read(|rows| chunk::chunk(rows, &here));
        let part = part.unwrap().unwrap().unwrap();
        let then = incoming.after(part.first(&here), part.next(&here));
        let mut forged = part.clone();
        forged.leaf_count += 1;
        assert!(!storage.receiver().take(&here, &forged, &then).unwrap());
        assert!(storage.receiver().take(&here, &part, &then).unwrap());
        (at, incoming, n_parts) = (part.next(&here), then, n_parts + 1);
        drop(storage);
        storage = open(&config);
        assert_eq!(
            storage.head().height,
            BlockHeight(0),
            "not shown before it is whole"
        );
        assert_eq!(storage.incoming(), Some(incoming.clone()));
    }
    assert!(n_parts > 2 && incoming.is_complete());

    let (state, snapshot) = storage.receiver().finish(&header).unwrap();
    storage.adopt(state, header.clone(), snapshot).unwrap();
    let state_dir = storage.folder.state_dir();
    drop(storage);
    // As if the power had failed just before it was put in place.
    std::fs::rename(&state_dir, state_dir.with_extension("incoming")).unwrap();
    let mut storage = open(&config);
    assert_eq!(*storage.head(), header);
    (0..2).for_each(|_| grow(&mut storage));
    (0..2).for_each(|_| grow(&mut served));
    assert_eq!(storage.head(), served.head());
    drop(storage);
    // The file of the state is lost: it is made anew from the checkpoint that came in and the blocks above it.
    std::fs::remove_file(state_dir.join("state.redb")).unwrap();
    let storage = open(&config);
    assert_eq!(storage.head(), served.head());
    assert!(read_block(&storage.blocks, BlockHeight(5)).unwrap().is_none());
}

/// A plan that the only validator signed.
fn restart(network: NetworkId, restart_no: u64, base: &Header, genesis: &Genesis) -> Restart {
    let plan = RestartPlan {
        network,
        restart_no,
        base: base.clone(),
        backbone: genesis.first_backbone().unwrap(),
        reason: BoundedString::default(),
    };
    Restart {
        voters: BoundedVec::new(vec![plan.sign(&validator())]).unwrap(),
        people: BoundedVec::empty(),
        plan,
    }
}

/// Whoever sets up a node names the restarts of its network beside the genesis; a node that has blocks looks at a plan first, and one that
/// was shown a later block never follows. Covers: A1.
#[test]
fn a_node_without_blocks_follows_the_restarts_that_its_owner_names() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (genesis, first) = (&config.genesis, config.genesis.network());
    let mut storage = open(&config);
    for _ in 0..3 {
        grow(&mut storage);
    }
    let base = storage.head().clone();
    drop(storage);
    let one = restart(first, 1, &base, genesis);
    let later = Header {
        height: BlockHeight(9),
        ..base.clone()
    };
    let two = restart(one.plan.network_after(), 2, &later, genesis);
    let begin = |dir: &Path, restarts: &[&Restart]| {
        let config = NodeConfig {
            data_dir: dir.to_owned(),
            restarts: restarts.iter().copied().cloned().collect(),
            ..config.clone()
        };
        let storage = Storage::open(&config, genesis)?;
        storage.restarts().network(genesis)
    };
    let why_not = |dir: &Path, restarts: &[&Restart]| begin(dir, restarts).unwrap_err();
    assert_eq!(why_not(dir.path(), &[&one]).kind, ErrorKind::NotAllowed);
    assert_eq!(begin(dir.path(), &[]).unwrap(), first);

    let fresh = tempfile::tempdir().unwrap();
    let mut forged = one.clone();
    forged.plan.restart_no = 2;
    let foreign = restart(NetworkId::new([8; 32]), 1, &base, genesis);
    let wrong: [&[&Restart]; 4] = [&[&forged], &[&foreign], &[&two], &[&two, &one]];
    for restarts in wrong {
        assert_eq!(
            why_not(fresh.path(), restarts).kind,
            ErrorKind::VerificationFailed
        );
        assert_eq!(begin(fresh.path(), &[]).unwrap(), first, "nothing was changed");
    }
    let after = two.plan.network_after();
    assert_eq!(begin(fresh.path(), &[&one, &two]).unwrap(), after);
    // They are remembered, and may be named again.
    assert_eq!(begin(fresh.path(), &[]).unwrap(), after);
    assert_eq!(begin(fresh.path(), &[&one]).unwrap(), after);

    let refuting = tempfile::tempdir().unwrap();
    let log = RestartLog {
        looked_at: None,
        refuted: BoundedVec::new(vec![Refuted {
            plan: one.plan.hash(),
            base: base.height,
            height: base.height.next(),
        }])
        .unwrap(),
    };
    let storage = open(&NodeConfig {
        data_dir: refuting.path().to_owned(),
        ..config.clone()
    });
    storage.restarts().keep_log(&log).unwrap();
    drop(storage);
    let refused = why_not(refuting.path(), &[&one]);
    assert!(
        refused.message.contains("refused for ever"),
        "{}",
        refused.message
    );
}
