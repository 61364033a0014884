//! The beacon of a window: fixed by what was revealed, and by nothing that a proposer can choose.

use crate::seats::{Nodes, short_terms};
use crate::world::{id, transfer};
use watt_ledger::beacon::Beacon;
use watt_ledger::query;
use watt_ledger::{Done, Genesis, Refused};
use watt_light::Operation;
use watt_primitives::{Hash, Window};

/// Windows of eight slots, so that layers count in four blocks.
fn document() -> Genesis {
    let mut document = short_terms();
    document.parameters.window_slots = 8;
    document.parameters.term_windows = 6;
    document
}

const SLOTS: u64 = 8;

fn beacon(nodes: &Nodes, window: u64) -> Option<Hash> {
    let read = Beacon::read_window(&nodes.world.state, &nodes.world.network, Window(window));
    read.map(|beacon| *beacon.value())
}

/// In the first term with keys, the last block of a window.
fn at_window_end(there: std::ops::Range<u8>) -> Nodes {
    let mut nodes = Nodes::of(&document(), there);
    nodes.go_to(10 * SLOTS - 1);
    nodes
}

/// The beacon is made after the fourth block, of the layers of all who revealed.
#[test]
fn a_beacon_is_made_of_layers() {
    let mut nodes = at_window_end(40..44);
    nodes.go_to(10 * SLOTS + 2);
    assert_eq!(beacon(&nodes, 9), None);
    nodes.go_to(10 * SLOTS + 3);
    let network = nodes.world.network;
    let before = Beacon::read_window(&nodes.world.state, &network, Window(8)).unwrap();
    let mut people: Vec<u8> = (40..44).collect();
    people.sort_by_key(|n| id(*n));
    let (term, at) = (watt_primitives::Term(1), 3);
    let layers: Vec<Hash> = people.iter().map(|n| nodes.onion(*n, term).layer(at)).collect();
    let expected = Beacon::of_window(&network, &before, Window(9), &[0b1111], &layers, None);
    assert_eq!(beacon(&nodes, 9), Some(*expected.value()));
}

/// Whatever the proposer of a block puts into it beside the layers, and whenever it closes, moves no beacon; and a beacon that is made
/// never changes (TC13).
#[test]
fn beacon_grinding_nominator() {
    let mut nodes = at_window_end(40..44);
    nodes.go_to(10 * SLOTS);
    // All layers are in; three blocks of the four are to come.
    let mut one = None;
    for grinding in 0..16u8 {
        let mut world = nodes.world.clone();
        for block in 0..3 {
            world.step_ms = 1_000 + u64::from(grinding);
            let body = (0..=grinding % 4)
                .map(|n| world.sign(n, vec![transfer(7, u64::from(grinding) + block)]))
                .collect();
            world.block(body);
        }
        let made = Beacon::read_window(&world.state, &world.network, Window(9)).unwrap();
        assert_eq!(*one.get_or_insert(*made.value()), *made.value(), "{grinding}");
    }
    nodes.go_to(12 * SLOTS);
    assert_eq!(beacon(&nodes, 9), one);
}

/// What withholding can choose: each of those who withhold has two beacons to choose from, by revealing or not, and in no later block of
/// the four more than that. Nobody else's layer is lost while one of the four proposers takes it.
#[test]
fn withholders_choose_between_revealing_and_not() {
    let nodes = at_window_end(40..44);
    let mut found = std::collections::BTreeSet::new();
    for last_reveals in [false, true] {
        for late in 0..4 {
            let mut world = nodes.clone();
            world.there.remove(&43);
            world.go_to(10 * SLOTS - 1 + late);
            if last_reveals {
                world.there.insert(43);
            }
            world.go_to(10 * SLOTS + 3);
            found.insert(beacon(&world, 9).unwrap());
        }
    }
    assert_eq!(found.len(), 2);
}

/// A layer counts in the four blocks after its window, of entries of that window's term, if it is the right one; attendance counts
/// later all the same.
#[test]
fn a_layer_has_its_time() {
    let mut nodes = at_window_end(40..43);
    let duty = query::duties(&nodes.world.state, &id(43)).unwrap();
    assert_eq!(
        duty.windows.last().unwrap().reveal,
        None,
        "no onion was registered"
    );
    nodes.there.insert(43);
    nodes.go_to(16 * SLOTS - 1);
    nodes.there.remove(&43);
    let duty = query::duties(&nodes.world.state, &id(43)).unwrap().windows[0];
    assert_eq!(duty.window, Window(15));
    let (term, at) = duty.reveal.unwrap();
    let attend = |reveal| Operation::Attend {
        window: duty.window,
        header: nodes.headers[usize::try_from(duty.asked.0).unwrap()],
        knows: 1,
        reveal,
    };
    let (wrong, right) = (
        nodes.onion(43, term).layer(at + 1),
        nodes.onion(43, term).layer(at),
    );
    let (wrong, right) = (attend(Some(wrong)), attend(Some(right)));
    let window = duty.window;
    assert_eq!(nodes.act(43, wrong), Err(Refused::WrongLayer { window }));
    let signed = nodes.world.sign(43, vec![right.clone()]);
    let outcome = nodes.world.attempt(vec![signed]).unwrap();
    let is_revealed = true;
    let done = crate::world::result(&outcome.receipts[0]);
    assert_eq!(done, Ok(Done::Attended { window, is_revealed }));

    nodes.go_to(16 * SLOTS + 3);
    let is_revealed = false;
    assert_eq!(nodes.act(43, right), Ok(Done::Attended { window, is_revealed }));
    let row = query::voting_key(&nodes.world.state, term, &id(43)).unwrap();
    assert_eq!(row.n_missed, 1);
}

/// A window's layers are of no use before it is over: while heartbeats that they will sample can still come, no block takes one, and
/// once a block does, none of these heartbeats comes any more. Who tells theirs beforehand, as many as may be faulty, tells nobody the
/// beacon: it is another one with the layers of the others than without (TS6). Covers: D3.
#[test]
fn beacon_partial_released_early() {
    let nodes = at_window_end(40..44);
    let (term, at) = (watt_primitives::Term(1), 3);
    let reveal = |nodes: &Nodes, header: u64| Operation::Attend {
        window: Window(9),
        header: nodes.headers[usize::try_from(header).unwrap()],
        knows: 1,
        reveal: Some(nodes.onion(43, term).layer(at)),
    };
    let mut early = Nodes::of(&document(), 40..44);
    early.go_to(9 * SLOTS - 1);
    for height in 9 * SLOTS..10 * SLOTS {
        let refused = early.act(43, reveal(&early, height - 1));
        let (window, current) = (Window(9), Window(9));
        assert_eq!(refused, Err(Refused::WrongWindow { window, current }));
    }
    assert_eq!(early.world.height(), 10 * SLOTS - 1);

    let made = |there: &[u8]| {
        let mut nodes = nodes.clone();
        nodes.there = there.iter().copied().collect();
        nodes.go_to(10 * SLOTS + 3);
        beacon(&nodes, 9).unwrap()
    };
    let with_the_early_one = [
        made(&[40, 41, 42, 43]),
        made(&[40, 41, 43]),
        made(&[40, 42, 43]),
        made(&[41, 42, 43]),
    ];
    let different: std::collections::BTreeSet<Hash> = with_the_early_one.into_iter().collect();
    assert_eq!(different.len(), 4, "the early layer alone says nothing");
}

/// Without a quorum there are no blocks, so no layers and no beacon: the window in which the network stands still is void, nobody has
/// failed it, and its beacon is made when blocks come again. If only layers are missing the windows go on, by a filler. Covers: D3, E4.
#[test]
fn beacon_outage_voids_epoch() {
    let mut nodes = at_window_end(40..44);
    nodes.go_to(10 * SLOTS + 1);
    assert_eq!(beacon(&nodes, 9), None);
    nodes.world.step_ms = 3 * 3_600_000;
    nodes.close(Vec::new());
    nodes.world.step_ms = 1_000;
    nodes.go_to(10 * SLOTS + 3);
    assert!(
        beacon(&nodes, 9).is_some(),
        "what was revealed before still counts"
    );
    nodes.go_to(11 * SLOTS);
    let is_void = |nodes: &Nodes, window| query::window(&nodes.world.state, Window(window)).unwrap().is_void;
    assert_eq!([9, 10].map(|window| is_void(&nodes, window)), [false, true]);

    // Whoever could void windows by leaving out layers could spare a provider the windows that it fails.
    nodes.withholding = (40..44).collect();
    nodes.go_to(13 * SLOTS + 4);
    assert!(beacon(&nodes, 12).is_some());
    assert!(!is_void(&nodes, 12));
}

/// If no more revealed than may be faulty, they could have known the beacon long before: then `V` of the window's last block is mixed in,
/// which its proposer can choose but nobody can know before.
#[test]
fn few_layers_are_filled_up() {
    let (alone, nobody) = (at_window_end(40..41), at_window_end(40..40));
    let made = |nodes: &Nodes, more: u64| {
        let mut nodes = nodes.clone();
        nodes.go_to(11 * SLOTS - 2);
        nodes.world.step_ms += more;
        nodes.go_to(11 * SLOTS + 3);
        beacon(&nodes, 10).unwrap()
    };
    assert_ne!(made(&nobody, 0), made(&nobody, 1));
    assert_ne!(made(&alone, 0), made(&alone, 1), "one may be faulty");
    let two = at_window_end(40..42);
    assert_eq!(made(&two, 0), made(&two, 1));
}
