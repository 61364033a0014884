//! Heartbeats on their way from providers into blocks (TS9): every node passes them on, every proposer may take them.

use crate::world::{World, key};
use watt_engine::Event;
use watt_engine::message::{HEARTBEATS_PER_MESSAGE_MAX, Message};
use watt_ledger::query;
use watt_ledger::rows::{self, ProviderRow, SectorRow, SectorStage};
use watt_ledger::state::Writes;
use watt_light::{Heartbeat, ProviderNumber, SignedHeartbeat};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, SectorNumber, Window, codec};
use watt_proofs::Element;

/// The seeds of the keys of the providers, which are numbered in this order.
const PROVIDERS: [u8; 10] = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];

/// Blocks of a window after which it is open.
const OPEN_AFTER: u64 = 4;

fn account(seed: u8) -> AccountId {
    AccountId::of_first_key(&key(seed).public())
}

/// A world in which ten accounts are providers of one sector each, in the middle of a window, which is not open yet.
fn world(n_followers: u8, seed: u64) -> World {
    let mut world = World::new(4, n_followers, seed);
    let mut rows = Writes::new();
    for (number, seed) in (0..).map(ProviderNumber).zip(PROVIDERS) {
        let id = account(seed);
        let provider = ProviderRow {
            number,
            n_sectors: 1,
            n_active: 1,
            ..ProviderRow::new(id, BlockHeight(0))
        };
        let sector = SectorRow {
            units: 1,
            comm_d: Hash::ZERO,
            comm_c: Hash::ZERO,
            comm_r: Element::of_hash(&Hash::of_content(&[seed])),
            seal_seed: Hash::ZERO,
            stage: SectorStage::Active { from: Window(0) },
            n_slots: 1,
            proven_ms_start: None,
            faulty_ms: 0,
            last_fault: None,
            unpaid: None,
        };
        rows.insert(rows::provider(&id), Some(codec::encode(&provider)));
        rows.insert(rows::provider_number(number), Some(codec::encode(&id)));
        rows.insert(rows::sector(&id, SectorNumber(1)), Some(codec::encode(&sector)));
    }
    world.write_everywhere(&rows);
    let nodes: Vec<usize> = (0..4 + usize::from(n_followers)).collect();
    let first = world.genesis.parameters.window_slots;
    assert!(world.reach(&nodes, first + 1, 60_000));
    world.run_for(50);
    world
}

/// The window that the next block lies in.
fn window(world: &World) -> Window {
    Window((world.height(0) + 1) / world.genesis.parameters.window_slots)
}

fn beat(world: &World, seed: u8, window: Window, root: u8) -> SignedHeartbeat {
    let heartbeat = Heartbeat {
        account: account(seed),
        window,
        response_root: Hash([root; 32]),
        faults: BoundedVec::empty(),
    };
    let number = ProviderNumber(u32::from(seed - PROVIDERS[0]));
    heartbeat.sign(number, &key(seed), &world.network)
}

fn hand_in(world: &mut World, node: usize, window: Window, heartbeat: SignedHeartbeat) {
    let heartbeat = Box::new(heartbeat);
    world.handle(node, Event::HeartbeatSubmitted { window, heartbeat });
}

fn message(window: Window, heartbeats: Vec<SignedHeartbeat>) -> Vec<u8> {
    Message::Heartbeats {
        window,
        heartbeats: BoundedVec::new(heartbeats).unwrap(),
    }
    .encode()
}

/// The root that the ledger of node 0 has of this provider.
fn recorded(world: &World, seed: u8, window: Window) -> Option<Element> {
    query::heartbeat(&world.disk(0).state, &account(seed), window).map(|row| row.answers)
}

fn refused(world: &World, node: usize, why: &str) -> u64 {
    world.engine(node).refused().get(why).copied().unwrap_or(0)
}

/// Heartbeats that a follower hears reach the ledger in their window, each once, also before the window is open. Covers: D3.
#[test]
fn heartbeats_reach_the_ledger() {
    let mut world = world(1, 51);
    let at = window(&world);
    for seed in PROVIDERS {
        let heartbeat = beat(&world, seed, at, 0);
        hand_in(&mut world, 4, at, heartbeat);
    }
    let last = (at.0 + 1) * world.genesis.parameters.window_slots - 1;
    assert!(world.reach(&[0, 1, 2, 3, 4], last, 60_000));
    assert!(
        PROVIDERS
            .into_iter()
            .all(|seed| recorded(&world, seed, at).is_some())
    );
    let blocks = world.disk(0).blocks.iter();
    let n_said: usize = blocks.map(|(block, _)| block.heartbeats.len()).sum();
    assert_eq!(
        n_said,
        PROVIDERS.len(),
        "no proposer takes one that is on the ledger"
    );
}

/// A proposer that leaves heartbeats out delays them by its own block: the next honest one takes them. Covers: D3.
#[test]
fn heartbeat_censored_by_one_nominator() {
    let (mut n_censored, mut longest) = (0, 0);
    for seed in 0..8 {
        let mut world = world(0, 60 + seed);
        let censor = world.disk(0).blocks.len() % 4;
        world.censors.insert(censor);
        let at = window(&world);
        let open = at.0 * world.genesis.parameters.window_slots + OPEN_AFTER;
        assert!(world.reach(&[0, 1, 2, 3], open - 1, 60_000));
        for provider in PROVIDERS {
            let heartbeat = beat(&world, provider, at, 0);
            hand_in(&mut world, (censor + 1) % 4, at, heartbeat);
        }
        let last = (at.0 + 1) * world.genesis.parameters.window_slots - 1;
        assert!(world.reach(&[0, 1, 2, 3], last, 60_000));
        let by_censor = key(u8::try_from(censor).unwrap() + 1).node_id();
        let blocks = world.disk(0).blocks.iter();
        let from_open = blocks.filter(|(_, header)| header.height.0 >= open);
        let left_out = from_open.take_while(|(block, _)| block.heartbeats.is_empty());
        let left_out: Vec<_> = left_out
            .map(|(block, _)| block.proposal.proposal.proposer)
            .collect();
        // The first block may have been chosen before they came.
        assert!(left_out.iter().skip(1).all(|proposer| *proposer == by_censor));
        n_censored += left_out.iter().filter(|proposer| **proposer == by_censor).count();
        longest = longest.max(left_out.len());
        assert!(
            PROVIDERS
                .into_iter()
                .all(|seed| recorded(&world, seed, at).is_some()),
            "seed {seed}"
        );
    }
    assert!(longest <= 3, "delayed by {longest} blocks, {n_censored} censored");
}

/// Of two that a provider signed for a window the first that a node hears is kept and passed on, and the other is not. Covers: D3.
#[test]
fn the_first_of_a_provider_is_kept() {
    let mut world = world(0, 52);
    let at = window(&world);
    let (first, second) = (beat(&world, 100, at, 1), beat(&world, 100, at, 2));
    world.inject(1, 0, message(at, vec![first]));
    world.run_for(200);
    for node in 0..4 {
        let from = (node + 1) % 4;
        world.inject(from, node, message(at, vec![second.clone()]));
    }
    let last = (at.0 + 1) * world.genesis.parameters.window_slots - 1;
    assert!(world.reach(&[0, 1, 2, 3], last, 60_000));
    assert_eq!(recorded(&world, 100, at), Element::from_bytes([1; 32]));
}

/// What is of another window, of nobody, or signed by another is not taken, not passed on, and disconnects nobody. Covers: A5, D3.
#[test]
fn wrong_heartbeats_are_counted_and_dropped() {
    let mut world = world(0, 53);
    let at = window(&world);
    let mut of_nobody = beat(&world, 100, at, 1);
    of_nobody.provider = ProviderNumber(77);
    let mut stolen = beat(&world, 100, at, 1);
    stolen.provider = ProviderNumber(1);
    let late = beat(&world, 101, at.next(), 1);
    world.inject(1, 0, message(at.next(), vec![late.clone()]));
    world.inject(1, 0, message(at, vec![of_nobody, stolen, late]));
    world.run_for(100);
    assert_eq!(refused(&world, 0, "refused heartbeat"), 2);
    assert_eq!(refused(&world, 0, "bad heartbeat signature"), 2);
    assert!((1..4).all(|node| refused(&world, node, "refused heartbeat") == 0));
    assert_eq!(world.hang_ups, []);
}

/// A peer that sends heartbeats without end costs no more than its quota, and the honest ones of others get through. Covers: A5, D3.
#[test]
fn a_flood_of_heartbeats_is_bounded() {
    let mut world = world(0, 54);
    let at = window(&world);
    let mut forged = beat(&world, 101, at, 1);
    forged.signature.0[5] ^= 1;
    let flood = message(at, vec![forged; HEARTBEATS_PER_MESSAGE_MAX]);
    for _ in 0..200 {
        world.inject(1, 0, flood.clone());
    }
    let n_busy = refused(&world, 0, "too busy");
    assert!(n_busy > 0, "no more than 1,024 signatures of a peer wait");
    assert!(refused(&world, 0, "over quota") > 0);
    let heartbeat = beat(&world, 100, at, 1);
    world.inject(2, 0, message(at, vec![heartbeat]));
    let last = (at.0 + 1) * world.genesis.parameters.window_slots - 1;
    assert!(world.reach(&[0, 1, 2, 3], last, 60_000));
    assert!(recorded(&world, 100, at).is_some());
    assert!(recorded(&world, 101, at).is_none());
}
