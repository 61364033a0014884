//! A folding provider whose number of sectors goes above 64 and back, so that the shape of its windows changes (`docs/spec/proofs.md`
//! 10.2, 10.3).

use crate::settlements::settlement;
use crate::world::{World, genesis, id, ignored, provide, result};
use watt_ledger::rows::{self, SectorRow, SectorStage};
use watt_ledger::{BlockOutcome, Writes, query};
use watt_primitives::{Hash, SectorNumber, Window, codec};
use watt_proofs::Element;

/// Windows of a period in these worlds.
const PERIOD: u64 = 12;

fn sector(number: u64, stage: SectorStage) -> (Vec<u8>, Option<Vec<u8>>) {
    let row = SectorRow {
        units: 1,
        comm_d: Hash::ZERO,
        comm_c: Hash::ZERO,
        comm_r: Element::of_hash(&Hash::of_content(&number.to_be_bytes())),
        seal_seed: Hash::ZERO,
        stage,
        n_slots: 1,
        proven_ms_start: None,
        faulty_ms: 0,
        last_fault: None,
        unpaid: None,
    };
    let key = rows::sector(&id(10), SectorNumber(number));
    (key, Some(codec::encode(&row)))
}

/// A provider with 64 sectors, and one more in every other run of so many windows. Nobody seals that many for a test, so what is said
/// here is not in the tree, and the world is not counted.
fn world(run: u64) -> World {
    let mut genesis = genesis("shapes");
    genesis.parameters.settlement_windows = PERIOD;
    let mut world = World::of(&genesis);
    provide(&mut world, 10..11, 1 << 40, 1);
    let mut writes = Writes::new();
    writes.extend((1..=64).map(|number| sector(number, SectorStage::Active { from: Window(0) })));
    writes.extend((0..PERIOD).map(|n| {
        let from = (2 * n + 1) * run;
        let (from, last) = (Window(from), Window(from + run - 1));
        sector(65 + n, SectorStage::Ended { from, last })
    }));
    world.state.write(&writes);
    world
}

fn keep(world: &mut World, outcome: BlockOutcome) {
    world.state.write(&outcome.writes);
    world.last = outcome;
}

/// However its sets change shape, whoever answers every window and settles what is due as soon as it is has failed none, and is paid
/// for all. Covers: D3, E4.
#[test]
fn a_change_of_shape_costs_nothing() {
    for run in [1, 3] {
        let mut world = world(run);
        let (mut n_answered, mut n_settled, mut shapes) = (0, 0, Vec::new());
        for window in 1..=PERIOD * 3 + 3 {
            world.blind_skip(window * 10 + 3 - world.height());
            while let Some(due) = query::due_windows(&world.state, &id(10)) {
                let n = due.period.n_windows;
                let (operation, proof) = settlement(&world, due.period.shown(n));
                let signed = world.sign_with(10, vec![operation], vec![proof]);
                let outcome = world.attempt(vec![signed]).unwrap();
                keep(&mut world, outcome);
                assert!(
                    result(&world.last.receipts[0]).is_ok(),
                    "{:?}",
                    world.last.receipts
                );
                n_settled += u64::from(n);
                shapes.push(due.period.shape);
            }
            if window <= PERIOD {
                let beat = world.sign_beat(10, Window(window), Hash::ZERO, &[]);
                let outcome = world.attempt_with(Vec::new(), vec![beat]).unwrap();
                keep(&mut world, outcome);
                assert!(ignored(&world.last).is_empty());
                n_answered += 1;
            }
        }
        let row = query::provider(&world.state, &id(10)).unwrap().row;
        assert_eq!((n_answered, row.windows_failed), (PERIOD, 0));
        assert_eq!((n_settled, row.proven_ms), (PERIOD, PERIOD * 10_000));
        let n_entries = u64::try_from(shapes.len()).unwrap();
        assert!(n_entries >= PERIOD / run, "{n_entries} entries");
        assert!(shapes.windows(2).filter(|two| two[0] != two[1]).count() >= 3);
    }
}
