//! Heartbeats in blocks: what makes a block invalid, what does nothing, and what a proposer takes. What they answer is in `windows`
//! and `attacks`.

use crate::windows::Stored;
use crate::world::{World, genesis, id, ignored, key, pledge, provide, result};
use watt_ledger::fee::{block_bytes_min, heartbeat_bytes_max};
use watt_ledger::select::{HeartbeatCandidate, fill_heartbeats};
use watt_ledger::{Done, HeartbeatAdmission, InvalidBlock, Refused, admit_heartbeat, query};
use watt_light::heartbeat::section_hash;
use watt_light::transaction::{body_root, body_root_of};
use watt_light::{Heartbeat, KeyRole, Operation, ProviderNumber, SignedHeartbeat};
use watt_primitives::terms::Device;
use watt_primitives::{BoundedVec, Hash, NetworkId, SecretKey, Signature, Window, codec, merkle};

/// The heartbeat of person `n`, made by whoever holds `key`, for this network.
fn beat_by(world: &World, n: u8, key: &SecretKey, network: &NetworkId) -> SignedHeartbeat {
    let heartbeat = Heartbeat {
        account: id(n),
        window: Window(world.height() / 10),
        response_root: Hash::ZERO,
        faults: BoundedVec::empty(),
    };
    heartbeat.sign(world.number(n), key, network)
}

/// A block with this heartbeat is invalid because of it.
fn is_refused(world: &World, heartbeat: SignedHeartbeat) -> bool {
    let provider = heartbeat.provider;
    let outcome = world.attempt_with(Vec::new(), vec![heartbeat]);
    outcome == Err(InvalidBlock::Heartbeat { provider })
}

/// A heartbeat of another network is worth nothing here, with the same keys, numbers and windows (TS36). Covers: D3.
#[test]
fn testnet_heartbeat_on_main() {
    let stored = Stored::new();
    let mut other = genesis("test");
    other.time.0 += 1;
    let there = beat_by(&stored.world, 10, &key(10), &other.network());
    assert!(is_refused(&stored.world, there));
    let here = beat_by(&stored.world, 10, &key(10), &stored.world.network);
    assert!(stored.world.attempt_with(Vec::new(), vec![here]).is_ok());
}

/// A heartbeat is its provider's, for its window, and nobody else's. Covers: D3.
#[test]
fn heartbeat_of_another_window_or_provider() {
    let mut stored = Stored::new();
    let window = stored.window();
    let good = stored.miners[0].heartbeat(&stored.world, window, &[]);
    let world = &stored.world;
    for other in [window - 1, window + 1] {
        let other = world.sign_beat(10, Window(other), good.response_root, &[]);
        assert!(is_refused(world, other));
    }
    let mut stolen = good.clone();
    stolen.provider = world.number(11);
    assert!(is_refused(world, stolen));
    let mut of_nobody = good.clone();
    of_nobody.provider = ProviderNumber(10_000);
    assert!(is_refused(world, of_nobody));
    assert!(is_refused(world, beat_by(world, 10, &key(11), &world.network)));
    let mut declared = good.clone();
    declared.faults = BoundedVec::new(vec![watt_primitives::SectorNumber(1)]).unwrap();
    assert!(is_refused(world, declared), "faults are signed as well");
    assert_eq!(stored.world.beat(good), Ok(()));
}

/// Heartbeats ascend, each provider's once, and every signature holds: a block is invalid if one is wrong, and says which.
/// Covers: A6, D3.
#[test]
fn a_block_with_a_bad_heartbeat_is_invalid() {
    let stored = Stored::new();
    let world = &stored.world;
    let window = Window(stored.window());
    let mut beats: Vec<SignedHeartbeat> = (10..20)
        .map(|n| world.sign_beat(n, window, Hash::ZERO, &[]))
        .collect();
    beats.sort_by_key(|beat| beat.provider);
    assert!(world.attempt_with(Vec::new(), beats.clone()).is_ok());
    let order = Err(InvalidBlock::HeartbeatOrder);
    let mut swapped = beats.clone();
    swapped.swap(3, 4);
    assert_eq!(world.attempt_with(Vec::new(), swapped), order);
    let mut twice = beats.clone();
    twice.insert(3, beats[3].clone());
    assert_eq!(world.attempt_with(Vec::new(), twice), order);
    let mut forged = beats.clone();
    forged[6].signature = Signature([7; 64]);
    let provider = forged[6].provider;
    assert_eq!(
        world.attempt_with(Vec::new(), forged),
        Err(InvalidBlock::Heartbeat { provider })
    );
    let other_body = world.proposal_with(&[], &beats[1..]);
    assert_ne!(other_body.body_root, world.proposal_with(&[], &beats).body_root);
}

/// Whoever fills a block can't put answers of its own making at somebody's place, so that they fail the window and pay for it: neither
/// its own, nor another provider's, nor the provider's of another window, nor the provider's with faults added. The block is invalid,
/// and says whose (TS9). Covers: A6, D3.
#[test]
fn h_e_with_foreign_leaf_rejected() {
    let stored = Stored::new();
    let world = &stored.world;
    let window = Window(stored.window());
    let honest: Vec<SignedHeartbeat> = (10..20)
        .map(|n| world.sign_beat(n, window, Hash([n; 32].map(|byte| byte / 8)), &[]))
        .collect();
    let victim = honest[4].provider;
    let with_leaf = |leaf: SignedHeartbeat| {
        let mut beats = honest.clone();
        beats[4] = leaf;
        beats.sort_by_key(|beat| beat.provider);
        world.attempt_with(Vec::new(), beats)
    };
    assert!(with_leaf(honest[4].clone()).is_ok());
    let at_place = |mut leaf: SignedHeartbeat| {
        leaf.provider = victim;
        leaf
    };
    let mut other_root = honest[4].clone();
    other_root.response_root = Hash::ZERO;
    let mut with_fault = honest[4].clone();
    with_fault.faults = BoundedVec::new(vec![watt_primitives::SectorNumber(1)]).unwrap();
    let foreign = [
        other_root,
        with_fault,
        at_place(honest[5].clone()),
        at_place(world.sign_beat(10, window, honest[4].response_root, &[])),
        at_place(world.sign_beat(14, Window(window.0 - 1), honest[4].response_root, &[])),
    ];
    for leaf in foreign {
        let refused = with_leaf(leaf);
        assert_eq!(refused, Err(InvalidBlock::Heartbeat { provider: victim }));
    }
}

/// Somebody moves to another phone with the same key and leaves the old one on: both answer a window, differently. The first answer
/// counts, the other does nothing, and nobody is punished; once the new phone has a key of its own, no block takes the old one's
/// answers any more (TS24). Covers: D3, E4.
#[test]
fn migrate_with_old_phone_still_on() {
    let mut stored = Stored::new();
    let before = query::provider(&stored.world.state, &id(10)).unwrap().row;
    let money = stored.world.balance(10);
    let window = Window(stored.window());
    let on_new = stored.miners[0].heartbeat(&stored.world, window.0, &[]);
    let on_old = stored.world.sign_beat(10, window, Hash::ZERO, &[]);
    assert_eq!(stored.world.beat(on_new), Ok(()));
    let twice = Err(Refused::HeartbeatTwice { window });
    assert_eq!(stored.world.beat(on_old), twice);
    stored.world.open_next_window();
    let proof = stored.miners[0].signed_proof(&stored.world, window.0);
    stored.world.block(vec![proof]);
    assert!(result(&stored.world.last.receipts[0]).is_ok());
    let after = query::provider(&stored.world.state, &id(10)).unwrap().row;
    assert_eq!(after.proven_ms, before.proven_ms + 10_000);
    assert_eq!(
        (after.proofs_failed, after.windows_failed, after.owed_ms),
        (0, 0, 0)
    );
    assert_eq!(stored.world.balance(10), money);

    // A generation is a key: the pledge names the new phone's.
    let phone = key(99);
    let add = Operation::AddKey {
        key: phone.public(),
        role: KeyRole::Device,
    };
    stored.world.act(10, add).unwrap();
    let migrate = Operation::Pledge {
        capacity_bytes: after.capacity_bytes,
        endpoint: after.endpoint,
        person: after.person,
        heartbeat_key: Some(1),
        device: after.device,
    };
    stored.world.act(10, migrate).unwrap();
    let world = &mut stored.world;
    assert!(is_refused(world, beat_by(world, 10, &key(10), &world.network)));
    let by_new = beat_by(world, 10, &phone, &world.network);
    assert_eq!(world.beat(by_new), Ok(()));
}

/// What is signed and can't count does nothing and is said; the block is valid, and the others in it count. Covers: A6, D3.
#[test]
fn a_heartbeat_that_does_not_count_is_an_event() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    provide(world, 30..31, 1 << 30, 1);
    let window = Window(world.height() / 10);
    let idle = world.sign_beat(30, window, Hash::ZERO, &[]);
    let good = world.sign_beat(10, window, Hash::ZERO, &[]);
    let came_of = world.beats(&[idle, good]);
    assert_eq!(came_of, [Err(Refused::NoSectors { window }), Ok(())]);
    assert_eq!(ignored(&world.last).len(), 1);
    assert_eq!(query::window(&world.state, window).unwrap().n_heartbeats, 1);
}

/// Numbers are given with the first pledge, in their order, and stay; a pledge that fails takes none. Covers: D3.
#[test]
fn numbers_of_providers() {
    let mut world = World::new();
    let unknown_key = Operation::Pledge {
        capacity_bytes: 1,
        endpoint: watt_primitives::terms::Endpoint::default(),
        person: id(1),
        heartbeat_key: Some(1),
        device: Device::AlwaysOn,
    };
    assert_eq!(world.act(1, unknown_key), Err(Refused::UnknownKey));
    for n in [5, 3, 5, 4] {
        world.act(n, pledge(u64::from(n))).unwrap();
    }
    let number = |n| query::provider_of(&world.state, ProviderNumber(n));
    assert_eq!(
        [0, 1, 2, 3].map(number),
        [Some(id(5)), Some(id(3)), Some(id(4)), None]
    );
    assert_eq!(world.number(5), ProviderNumber(0));
}

/// A pledge names the key that signs heartbeats, which may be one of a device, and by default is the one that signs the pledge. When it
/// is removed, no heartbeat is the provider's until another one is named. Covers: D3.
#[test]
fn a_device_key_signs_heartbeats() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let device = key(99);
    let add = Operation::AddKey {
        key: device.public(),
        role: KeyRole::Device,
    };
    assert!(matches!(world.act(10, add), Ok(Done::KeyAdded { key_index: 1 })));
    let network = world.network;
    assert!(is_refused(world, beat_by(world, 10, &device, &network)));
    let row = query::provider(&world.state, &id(10)).unwrap().row;
    let repledge = |heartbeat_key| Operation::Pledge {
        capacity_bytes: row.capacity_bytes,
        endpoint: row.endpoint.clone(),
        person: row.person,
        heartbeat_key,
        device: Device::AlwaysOn,
    };
    world.act(10, repledge(Some(1))).unwrap();
    assert!(is_refused(world, beat_by(world, 10, &key(10), &network)));
    let by_device = beat_by(world, 10, &device, &network);
    // Keys are those of the state below the block: what removes one counts from the next block on.
    let remove = world.sign(10, vec![Operation::RemoveKey { key_index: 1 }]);
    let outcome = world.attempt_with(vec![remove], vec![by_device.clone()]).unwrap();
    assert_eq!(ignored(&outcome).len(), 0);
    world.keep(outcome);
    world.open_next_window();
    let late = beat_by(world, 10, &device, &network);
    assert!(is_refused(world, late));
    world.act(10, repledge(None)).unwrap();
    let own = beat_by(world, 10, &key(10), &network);
    assert_eq!(world.beat(own), Ok(()));
}

/// The section can be pruned and leaves one hash: leaves of transactions still show the body's root, and each is proven in it by its
/// path. Covers: A6, D3.
#[test]
fn a_pruned_section_leaves_one_hash() {
    let stored = Stored::new();
    let world = &stored.world;
    let window = Window(stored.window());
    let beats = vec![world.sign_beat(10, window, Hash::ZERO, &[])];
    let signed: Vec<_> = (1..4)
        .map(|n| world.sign(n, vec![crate::world::transfer(2, 1)]))
        .collect();
    let root = world.proposal_with(&signed, &beats).body_root;
    assert_eq!(root, body_root(&world.network, &signed, &beats));
    let leaves: Vec<Hash> = signed.iter().map(|one| one.body_leaf(&world.network)).collect();
    let section = section_hash(&world.network, &beats);
    assert_eq!(root, body_root_of(leaves.clone(), section));
    let all = [leaves.clone(), vec![section]].concat();
    let path = merkle::path(&all, 1).unwrap();
    assert!(merkle::verify(&root, all.len(), 1, &leaves[1], &path));
    assert_ne!(
        root,
        body_root(&world.network, &signed, &[]),
        "leaving them out shows"
    );
}

fn fill(world: &World, offered: &[(SignedHeartbeat, HeartbeatAdmission)]) -> Vec<SignedHeartbeat> {
    let candidates: Vec<HeartbeatCandidate<'_>> = offered
        .iter()
        .map(|(heartbeat, admission)| HeartbeatCandidate { heartbeat, admission })
        .collect();
    fill_heartbeats(&world.state, &candidates).block.into_inner()
}

/// A proposer takes what would count at its head, and nothing that makes its block invalid since a key has changed. Covers: D3.
#[test]
fn a_proposer_takes_heartbeats_that_count() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let window = Window(world.height() / 10);
    let mut offered: Vec<_> = (10..13)
        .map(|n| {
            let beat = world.sign_beat(n, window, Hash::ZERO, &[]);
            let admission = admit_heartbeat(&world.state, window, &beat).unwrap();
            assert_eq!((admission.account, admission.key), (id(n), key(n).public()));
            (beat, admission)
        })
        .collect();
    offered.sort_by_key(|(beat, _)| beat.provider);
    assert_eq!(fill(world, &offered).len(), 3);
    // Of one provider it is on the ledger by now, another has another key.
    let recorded = offered.iter().find(|(_, admission)| admission.account == id(10));
    world.beat(recorded.unwrap().0.clone()).unwrap();
    let add = Operation::AddKey {
        key: key(99).public(),
        role: KeyRole::Device,
    };
    world.act(11, add).unwrap();
    let row = query::provider(&world.state, &id(11)).unwrap().row;
    let repledge = Operation::Pledge {
        capacity_bytes: row.capacity_bytes,
        endpoint: row.endpoint,
        person: row.person,
        heartbeat_key: Some(1),
        device: Device::AlwaysOn,
    };
    world.act(11, repledge).unwrap();
    let taken = fill(world, &offered);
    let left: Vec<_> = taken.iter().map(|beat| beat.provider).collect();
    assert_eq!(left, [world.number(12)]);
    assert!(world.attempt_with(Vec::new(), taken).is_ok());
    // Nothing of a window that is over.
    world.open_next_window();
    assert_eq!(fill(world, &offered), []);
    let late = admit_heartbeat(&world.state, window, &offered[0].0);
    let current = window.next();
    assert_eq!(late, Err(Refused::WrongWindow { window, current }));
}

/// Heartbeats never take the room that the largest transaction needs, and in the smallest block there is room for 600. Covers: A6.
#[test]
fn heartbeats_leave_room_for_transactions() {
    let mut parameters = genesis("room").parameters;
    let beat = beat_by(&Stored::new().world, 10, &key(10), &genesis("room").network());
    let bytes = u32::try_from(codec::encode(&beat).len()).unwrap();
    parameters.block_bytes_max = block_bytes_min();
    let room = heartbeat_bytes_max(&parameters);
    assert!(room / bytes >= 600, "{room}");
    parameters.block_bytes_max = 3 << 20;
    assert_eq!(heartbeat_bytes_max(&parameters), (3 << 20) / 4);
}
