//! Attacks on proofs of storage that the ledger alone can refuse, each with its own reason. Those on the proofs themselves are in
//! `watt-proofs`, those that take a whole network are scenarios of the simulator.

use crate::miner::{Miner, PARAMS};
use crate::sectors::{certified, load_of, ten_providers};
use crate::windows::Stored;
use crate::world::id;
use std::collections::BTreeSet;
use watt_ledger::{Done, Refused, query};
use watt_light::Operation;
use watt_light::transaction::witness_hash;
use watt_primitives::{BoundedVec, Hash, SectorNumber, Window};
use watt_proofs::challenge::ProvingWindow;
use watt_proofs::post::{LeafOpening, LeafRead, open, respond};
use watt_proofs::{FaultBitmap, SectorEntry, SectorSet, SectorSize};

/// The same pre-commitment with the replica root of another.
fn with_root_of(mut operation: Operation, other: &Operation) -> Operation {
    if let (Operation::PreCommit { comm_r, .. }, Operation::PreCommit { comm_r: stolen, .. }) =
        (&mut operation, other)
    {
        *comm_r = *stolen;
    }
    operation
}

/// Two providers claim one replica: whoever committed to its root second is refused, with whatever piece table. Covers: D2.
#[test]
fn post_same_comm_r_two_providers() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let first = Miner::new(10).seal(&world, 1, &[load_of(&world, deal, 1, 10)]);
    world.act(10, first.clone()).unwrap();
    let mut thief = Miner::new(11);
    for load in [vec![], vec![load_of(&world, deal, 1, 11)]] {
        let stolen = with_root_of(thief.seal(&world, 1, &load), &first);
        assert_eq!(world.act(11, stolen), Err(Refused::ReplicaUsed));
    }
}

/// One sector claimed many times: under another number it is refused, and answers for a set of one's own making, in which it stands
/// twice as large, do not verify: the set is the ledger's. Covers: D2, D3.
#[test]
fn post_duplicate_sectors_in_c() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let first = query::sector(&world.state, &id(10), SectorNumber(1)).unwrap();
    let mut again = Miner::new(10).seal(world, 2, &[]);
    if let Operation::PreCommit { comm_r, .. } = &mut again {
        *comm_r = Hash(first.comm_r.to_bytes());
    }
    assert_eq!(world.act(10, again), Err(Refused::ReplicaUsed));

    let (network, window) = (world.network, world.height() / 10);
    let view = query::provider_window(&world.state, &id(10), Window(window)).unwrap();
    let entry = |number, comm_r| SectorEntry {
        number: SectorNumber(number),
        size: SectorSize::new(&PARAMS, 1).unwrap(),
        comm_r,
    };
    let twice = SectorSet::check(vec![entry(1, first.comm_r), entry(2, first.comm_r)]);
    assert!(twice.is_err(), "not even the prover makes such a set");
    // Beside it one with a root that belongs to nobody, answered from the same disk.
    let other = query::sector(&world.state, &id(11), SectorNumber(1)).unwrap();
    let set = SectorSet::check(vec![entry(1, first.comm_r), entry(2, other.comm_r)]).unwrap();
    let asked = ProvingWindow::new(&network, &set, &view.post_state, &view.beacon);
    let miner = &stored.miners[0];
    let mut disk = OneSector(miner);
    let responses = respond(&asked, &FaultBitmap::none(), &mut disk);
    let heartbeat = Operation::Heartbeat {
        window: Window(window),
        response_root: responses.root(),
        faults: BoundedVec::empty(),
    };
    assert!(world.act(10, heartbeat).is_ok(), "a root says nothing yet");
    world.open_next_window();
    let sample = query::provider_window(&world.state, &id(10), Window(window))
        .and_then(|view| view.sample_beacon)
        .unwrap();
    let openings = open(&PARAMS, &asked, &responses, &sample, &mut disk).unwrap();
    let prove = Operation::ProveWindow {
        window: Window(window),
        openings: witness_hash(&world.network, &openings),
    };
    let window = Window(window);
    assert_eq!(
        world.act_with(10, prove, vec![openings]),
        Err(Refused::WindowProof { window })
    );
}

/// Answers every position from a provider's first sector.
struct OneSector<'a>(&'a Miner);

impl LeafRead for OneSector<'_> {
    fn leaf(&mut self, _position: u32, leaf_index: u32) -> Option<LeafOpening> {
        let (sealed, _) = self.0.sectors.values().next()?;
        let range = watt_proofs::ReplicaTree::block_range(leaf_index);
        let from = usize::try_from(range.start).ok()?;
        let to = usize::try_from(range.end).ok()?.min(sealed.replica.len());
        sealed
            .replica_tree
            .open(leaf_index, sealed.replica.get(from..to)?)
    }
}

/// Many heartbeats for one window, so that the sample, which depends on the root, falls well for one of them: the first counts, all
/// others are refused, before the sample and after it. Covers: D3.
#[test]
fn heartbeat_variants_grind_sample() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let window = Window(world.height() / 10);
    let first = stored.miners[0].heartbeat(world, window.0, &[]);
    world.act(10, first).unwrap();
    let root = |world: &crate::world::World| {
        let view = query::provider_window(&world.state, &id(10), window).unwrap();
        view.heartbeat.unwrap().response_root
    };
    let recorded = root(world);
    let variant = |byte: u8| Operation::Heartbeat {
        window,
        response_root: Hash([byte; 32]),
        faults: BoundedVec::empty(),
    };
    for byte in 1..4 {
        assert_eq!(
            world.act(10, variant(byte)),
            Err(Refused::HeartbeatTwice { window })
        );
    }
    world.open_next_window();
    let current = window.next();
    assert_eq!(
        world.act(10, variant(4)),
        Err(Refused::WrongWindow { window, current })
    );
    assert_eq!(root(world), recorded);
}

/// After the sample is known a provider that can't open it keeps silent: the window counts as missed and is not paid, as if it had not
/// been there at all, and what it said in it can't be taken back. Covers: D3, E4.
#[test]
fn heartbeat_selective_amnesia() {
    let mut stored = Stored::new();
    stored.live(10);
    let window = Window(stored.window());
    let heartbeats: Vec<_> = stored
        .miners
        .iter_mut()
        .map(|miner| {
            let operation = miner.heartbeat(&stored.world, window.0, &[]);
            stored.world.sign(miner.person, vec![operation])
        })
        .collect();
    stored.world.block(heartbeats);
    stored.world.open_next_window();
    let proofs = stored.miners[1..]
        .iter()
        .map(|miner| miner.signed_proof(&stored.world, window.0))
        .collect();
    stored.world.block(proofs);
    stored.world.go_to_window_end();
    stored.world.skip(1);
    let provider = |n| query::provider(&stored.world.state, &id(n)).unwrap();
    assert_eq!((provider(10).proofs_missed, provider(11).proofs_missed), (1, 0));
    assert_eq!(
        (stored.slot(10).proven_ms, stored.slot(11).proven_ms),
        (10_000, 20_000)
    );
}

/// Answers for a window can't be made before it is open, whenever they are handed in: what it asks for is not known before.
/// Covers: D3.
#[test]
fn heartbeat_before_the_beacon() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let next = Window(world.height() / 10 + 1);
    let early = Operation::Heartbeat {
        window: next,
        response_root: Hash::ZERO,
        faults: BoundedVec::empty(),
    };
    world.go_to_height(next.0 * 10);
    assert!(query::provider_window(&world.state, &id(10), next).is_none());
    assert_eq!(world.act(10, early), Err(Refused::WindowNotOpen { window: next }));
    world.open_window();
    let heartbeat = stored.miners[0].heartbeat(world, next.0, &[]);
    assert_eq!(
        world.act(10, heartbeat),
        Ok(Done::HeartbeatRecorded { window: next })
    );
}

/// Whoever throws sectors away and declares them faulty, all of them, is paid for none; and can't declare what it doesn't have.
/// Covers: C5, E4.
#[test]
fn declared_faults_hide_nothing() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let window = Window(world.height() / 10);
    let declare = |numbers: &[u64]| Operation::Heartbeat {
        window,
        response_root: Hash::ZERO,
        faults: BoundedVec::new(numbers.iter().copied().map(SectorNumber).collect()).unwrap(),
    };
    assert_eq!(world.act(10, declare(&[1, 2])), Err(Refused::Faults));
    let all = stored.miners[0].heartbeat(world, window.0, &[1]);
    world.act(10, all).unwrap();
    let faulty: BTreeSet<_> = query::sectors(&world.state, &id(10))
        .into_iter()
        .filter(|(_, row)| row.last_fault == Some(window))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(faulty, [SectorNumber(1)].into());
    world.open_next_window();
    let proof = stored.miners[0].signed_proof(world, window.0);
    world.block(vec![proof]);
    assert_eq!(stored.slot(10).proven_ms, 0);
}
