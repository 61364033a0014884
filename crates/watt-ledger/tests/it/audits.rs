//! Live sectors that are asked again (`docs/spec/ledger.md` 9.15).

use crate::miner::{Miner, PARAMS, live_one_window};
use crate::sectors::SLOT;
use crate::windows::Stored;
use crate::world::{WATT, World, genesis, id, key, provide, result};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::OnceLock;
use watt_ledger::apply::AUDITS_PER_WINDOW_MAX;
use watt_ledger::genesis::GraceWindows;
use watt_ledger::query::{self, Shown};
use watt_ledger::rows::{self, AuditRow, DealStage, Loss, LotRow, LotsRow, SectorStage};
use watt_ledger::{Asking, Done, Event, Refused, StateRead as _};
use watt_light::transaction::witness_hash;
use watt_light::{BatchOpenings, Operation, ShownTo, SignedTransaction, Verdict, Verdicts};
use watt_primitives::terms::Device;
use watt_primitives::{AccountId, Amount, BoundedVec, Hash, SectorNumber, Window};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::verify::PorepStatement;
use watt_proofs::{ReplicaTree, porep};

const DAY: u64 = 86_400_000;

/// Slots to answer: more than two windows.
const ANSWER_SLOTS: u64 = 23;

pub const SECTOR: SectorNumber = SectorNumber(1);

/// The client of all deals here.
const CLIENT: u8 = 1;

/// Ten providers on a network of four seats, where each sector is asked again once in so many windows.
fn world(audit_windows: u64) -> World {
    let mut genesis = genesis("audits");
    genesis.parameters.porep_committee = 15;
    genesis.parameters.audit_windows = audit_windows;
    genesis.parameters.dispute_slots = ANSWER_SLOTS;
    genesis.parameters.grace_windows = GraceWindows {
        always_on: 2,
        daily: 60,
        phone: 70,
    };
    let mut world = World::of(&genesis);
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    world
}

/// Ten holders with a sector each, which is asked again once in so many windows.
pub fn stored(audit_windows: u64) -> Stored {
    static OFTEN: OnceLock<Stored> = OnceLock::new();
    static NEVER: OnceLock<Stored> = OnceLock::new();
    let cell = if audit_windows == 0 { &NEVER } else { &OFTEN };
    cell.get_or_init(|| Stored::of(world(audit_windows), DAY)).clone()
}

fn shown(world: &World, person: u8, sector: u64) -> Option<Shown> {
    query::shown_batch(&world.state, &id(person), SectorNumber(sector))
}

fn audit(world: &World, person: u8) -> Option<AuditRow> {
    query::audit(&world.state, &id(person), SECTOR)
}

/// The verdicts of three members on openings with this hash, whatever they saw.
fn verdicts(world: &World, shown: &Shown, openings: Hash) -> Vec<u8> {
    let given = (0..3).map(|place| {
        let member = shown.committee.member(place).unwrap();
        let own = (200..204).find(|n| key(*n).node_id() == member.key).unwrap();
        let said = shown.challenged.verdict(openings);
        let signature = said.sign(&key(own), &world.network);
        Verdict {
            member: place,
            signature,
        }
    });
    let given = BoundedVec::new(given.collect()).unwrap();
    Verdicts { openings, given }.encode()
}

/// What a provider hands in, to commit a sector or to answer for it, if its committee believes it.
pub fn believed(world: &World, person: u8, sector: u64, openings: Hash) -> (Operation, Vec<u8>) {
    let shown = shown(world, person, sector).unwrap();
    let witness = verdicts(world, &shown, openings);
    let (number, openings) = (SectorNumber(sector), witness_hash(&world.network, &witness));
    let operation = match shown.challenged.question.asking {
        Asking::ToCommit => Operation::CommitSectors {
            batch: number,
            openings,
        },
        Asking::Again => Operation::AnswerAudit {
            sector: number,
            shown_to: ShownTo::Committee,
            openings,
        },
    };
    (operation, witness)
}

/// What a provider can show of its sector; `None` if its replica is another.
fn openings(world: &World, miner: &Miner) -> Option<Vec<u8>> {
    let row = query::sector(&world.state, &id(miner.person), SECTOR).unwrap();
    let challenged = shown(world, miner.person, 1).unwrap().challenged;
    let asked = &challenged.sectors[0];
    let (sealed, table) = &miner.sectors[&1];
    let statement = PorepStatement {
        network: &world.network,
        provider: &id(miner.person),
        sector: SECTOR,
        pieces: table,
        comm_c: row.comm_c,
        comm_r: row.comm_r,
        seal_seed: row.seal_seed,
        challenge_seed: asked.challenge_seed,
        heavy: asked.heavy,
    };
    let opened = porep::open(&PARAMS, &statement, &sealed.replica, &mut |_| {
        ControlFlow::Continue(())
    });
    Some(BatchOpenings::new(vec![opened.ok()?]).unwrap().encode())
}

/// An honest committee looks; what the provider hands in if it is asked and believed.
pub fn signed_answer(world: &World, miner: &Miner) -> Option<SignedTransaction> {
    let challenged = shown(world, miner.person, 1)?.challenged;
    let openings = openings(world, miner).unwrap_or_else(|| vec![7; 1000]);
    challenged.verify(&openings).ok()?;
    let hash = witness_hash(&world.network, &openings);
    let (operation, witness) = believed(world, miner.person, 1, hash);
    Some(world.sign_with(miner.person, vec![operation], vec![witness]))
}

/// All of these who are asked answer, in one block; how many did.
fn answer<'a>(world: &mut World, miners: impl IntoIterator<Item = &'a Miner>) -> usize {
    let signed = miners.into_iter().filter_map(|miner| signed_answer(world, miner));
    let signed: Vec<SignedTransaction> = signed.collect();
    let n = signed.len();
    world.block(signed);
    for receipt in &world.last.receipts {
        assert_eq!(result(receipt), Ok(Done::AuditAnswered { sector: SECTOR }));
    }
    n
}

fn lots(world: &World) -> u64 {
    rows::read::<LotsRow>(&world.state, rows::LOTS).map_or(0, |row| row.n)
}

/// Every live sector has one lot, and there is no other.
fn check_lots(world: &World) {
    let number = |at: u64| rows::read::<LotRow>(&world.state, &rows::lot(at));
    let all: Vec<LotRow> = (0..lots(world)).map(|at| number(at).unwrap()).collect();
    assert_eq!(number(lots(world)), None);
    let live: BTreeSet<AccountId> = (10..20).filter(|n| is_live(world, *n)).map(id).collect();
    let of_lots: BTreeSet<AccountId> = all.iter().map(|lot| lot.provider).collect();
    assert_eq!(of_lots, live);
    assert_eq!(all.len(), live.len());
    for (at, lot) in (0u64..).zip(&all) {
        let own: Option<u64> = rows::read(&world.state, &rows::lot_of(&lot.provider, lot.sector));
        assert_eq!(own, Some(at));
    }
    let audits = world.state.scan(rows::AUDITS, None, usize::MAX).len();
    let asked = (10..20).filter(|n| audit(world, *n).is_some()).count();
    assert_eq!(audits, asked);
    assert!((10..20).all(|n| audit(world, n).is_none() || is_live(world, n)));
}

fn is_live(world: &World, person: u8) -> bool {
    query::sector(&world.state, &id(person), SECTOR)
        .is_some_and(|row| matches!(row.stage, SectorStage::Active { .. }))
}

/// Closes windows, with everybody alive and answering whose sector is theirs, until `person` is asked; the deadline.
pub fn until_asked(stored: &mut Stored, person: u8) -> AuditRow {
    for _ in 0..200 {
        if let Some(row) = audit(&stored.world, person) {
            return row;
        }
        let mut all: Vec<&mut Miner> = stored.miners.iter_mut().collect();
        live_one_window(&mut stored.world, &mut all);
        let others = stored.miners.iter().filter(|miner| miner.person != person);
        answer(&mut stored.world, others);
    }
    unreachable!("person {person} was never asked")
}

/// A provider that let garbage be committed by a committee of its own is paid window after window, for it answers from its garbage. Asked
/// again it has nothing to show to an honest committee, and its sector is lost: what it was paid until then it has, the client has the
/// rest. Without the rule it is paid until its deal ends. Covers: D2, D1 (TS4).
#[test]
fn porep_reaudit_finds_fake() {
    for audit_windows in [3, 0] {
        let mut world = world(audit_windows);
        let deal = crate::sectors::certified(&mut world, 1);
        let load = crate::sectors::load_of(&world, deal, 1, 10);
        let mut miner = Miner::new(10);
        let Operation::PreCommit {
            units,
            seal_window,
            pieces,
            comm_c,
            ..
        } = miner.seal(&world, 1, &[load])
        else {
            unreachable!()
        };
        let (sealed, _) = miner.sectors.get_mut(&1).unwrap();
        sealed.replica.fill(7);
        sealed.replica_tree = ReplicaTree::build(&sealed.replica);
        let operation = Operation::PreCommit {
            sector: SECTOR,
            units,
            seal_window,
            pieces,
            comm_c,
            comm_r: Hash(sealed.replica_tree.root().to_bytes()),
        };
        world.act(10, operation).unwrap();
        world.open_next_window();
        assert_eq!(
            openings(&world, &miner),
            None,
            "nothing opens what was never sealed"
        );
        let (operation, witness) = believed(&world, 10, 1, Hash([9; 32]));
        let done = world.act_with(10, operation, vec![witness]);
        assert!(matches!(done, Ok(Done::SectorsCommitted { .. })), "{done:?}");
        world.open_next_window();
        let mut lost = None;
        for window in 0..60 {
            let done = live_one_window(&mut world, &mut [&mut miner]);
            if !is_live(&world, 10) {
                lost = Some(window);
                break;
            }
            assert!(done.iter().all(Result::is_ok), "its windows are good: {done:?}");
            let answered = signed_answer(&world, &miner);
            assert_eq!(answered, None, "no honest committee believes it");
        }
        let row = query::deal(&world.state, &deal).unwrap().row;
        let provider = query::provider(&world.state, &id(10)).unwrap().row;
        if audit_windows == 0 {
            assert_eq!(
                (lost, row.lost.len()),
                (None, 0),
                "paid for as long as the deal runs"
            );
            assert!(provider.proven_ms > 500_000);
        } else {
            assert!(lost.is_some_and(|window| window < 60), "{lost:?}");
            let [note] = &row.lost[..] else { unreachable!() };
            assert_eq!(note.why, Loss::AuditUnanswered {});
            assert!(note.refunded > Amount::ZERO && note.paid.total() > Amount::ZERO);
            assert_eq!((provider.slots_lost, provider.n_active), (1, 0));
            assert_eq!(lots(&world), 0);
        }
    }
}

/// Who has sealed what it holds is asked again, shows fresh openings to a fresh committee, and goes on; more than once. A sector that is
/// declared faulty is asked like any other. Covers: D2, D1 (TS4).
#[test]
fn honest_sectors_pass() {
    let mut stored = stored(3);
    check_lots(&stored.world);
    let mut n_answered = 0;
    for _ in 0..12 {
        let mut all: Vec<&mut Miner> = stored.miners.iter_mut().collect();
        let done = live_one_window(&mut stored.world, &mut all);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        n_answered += answer(&mut stored.world, &stored.miners);
        check_lots(&stored.world);
    }
    assert!(n_answered >= 20, "{n_answered} of about 40 answers");
    assert_eq!(lots(&stored.world), 10);
    let deal = query::deal(&stored.world.state, &stored.deal).unwrap();
    assert_eq!((deal.slots.len(), deal.row.lost.len()), (10, 0));
}

/// What is not answered is lost with all that lies in it, when its time is over and not before; money comes back as from any lost slot.
/// Covers: D2, C5, E4 (TS4).
#[test]
fn audit_unanswered_ends_the_sector() {
    let mut stored = stored(3);
    let asked = until_asked(&mut stored, 10);
    assert_eq!(asked.answer_by.0, asked.since.0 + ANSWER_SLOTS);
    let (slot, used) = (stored.slot(10).index, |stored: &Stored| {
        query::provider(&stored.world.state, &id(10))
            .unwrap()
            .row
            .used_bytes
    });
    let used_before = used(&stored);
    // Meanwhile it lives, and so does everybody.
    while stored.world.height() + 10 < asked.answer_by.0 {
        stored.live(10);
    }
    stored.world.go_to_height(asked.answer_by.0);
    assert!(is_live(&stored.world, 10), "not before");
    let before = stored.world.balance(CLIENT);
    stored.world.skip(1);
    let (provider, sector, why) = (id(10), SECTOR, Loss::AuditUnanswered {});
    let row = query::deal(&stored.world.state, &stored.deal).unwrap().row;
    let note = row.lost.iter().find(|lost| lost.slot == slot).unwrap();
    assert_eq!((note.provider, note.why), (provider, why));
    assert!(note.refunded > Amount::ZERO && note.paid.total() > Amount::ZERO);
    // Others who were asked in the same window are lost in the same block.
    let refunded: u64 = row.lost.iter().map(|lost| lost.refunded.0).sum();
    assert_eq!(stored.world.balance(CLIENT).0, before.0 + refunded);
    let of_slot = Event::SlotLost {
        deal: stored.deal,
        slot,
        client: id(CLIENT),
        provider,
        why,
        refunded: note.refunded,
    };
    let of_sector = Event::SectorLost {
        provider,
        sector,
        why,
    };
    let events = &stored.world.last.events;
    assert!(
        events.contains(&of_slot) && events.contains(&of_sector),
        "{events:?}"
    );
    assert_eq!(used(&stored), used_before - SLOT);
    assert!(!is_live(&stored.world, 10) && audit(&stored.world, 10).is_none());
    check_lots(&stored.world);
    let late = stored.world.act_with(
        10,
        Operation::AnswerAudit {
            sector: SECTOR,
            shown_to: ShownTo::Committee,
            openings: witness_hash(&stored.world.network, b"late"),
        },
        vec![b"late".to_vec()],
    );
    assert_eq!(late, Err(Refused::NotAudited { sector: SECTOR }));
}

/// What a committee said of a sector when it came in says nothing of it now, nor does what it said of another audit; who was not asked
/// has nothing to answer. Covers: D2 (TS4).
#[test]
fn verdicts_of_the_commitment_are_none() {
    let mut world = world(1);
    let deal = crate::sectors::certified(&mut world, 1);
    let load = crate::sectors::load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[load]);
    world.act(10, operation).unwrap();
    world.open_next_window();
    let first = openings(&world, &miner).unwrap();
    let hash = witness_hash(&world.network, &first);
    let (operation, said) = believed(&world, 10, 1, hash);
    world.act_with(10, operation, vec![said.clone()]).unwrap();
    let hand_in = |world: &mut World, witness: &[u8]| {
        let operation = Operation::AnswerAudit {
            sector: SECTOR,
            shown_to: ShownTo::Committee,
            openings: witness_hash(&world.network, witness),
        };
        world.act_with(10, operation, vec![witness.to_vec()])
    };
    assert_eq!(
        hand_in(&mut world, &said),
        Err(Refused::NotAudited { sector: SECTOR })
    );

    // With one sector and a rate of one window, the next one asks.
    world.open_next_window();
    let asked = audit(&world, 10).unwrap();
    assert_eq!(asked.window, Window(world.height() / 10));
    let seen = shown(&world, 10, 1).unwrap();
    assert_eq!(seen.challenged.sectors[0].heavy, HeavyChallenges::AUDIT);
    assert!(
        seen.challenged.verify(&first).is_err(),
        "other places are asked for"
    );
    let none = Err(Refused::VerdictSignature { batch: SECTOR });
    assert_eq!(hand_in(&mut world, &said), none);
    assert_eq!(
        query::provider(&world.state, &id(10)).unwrap().row.proofs_failed,
        0,
        "verdicts that are none cost no penalty"
    );
    let fresh = openings(&world, &miner).unwrap();
    assert_eq!(seen.challenged.verify(&fresh), Ok(()));
    assert!(fresh.len() <= seen.challenged.openings_bytes_max());
    let (operation, said) = believed(&world, 10, 1, witness_hash(&world.network, &fresh));
    world.act_with(10, operation, vec![said.clone()]).unwrap();
    assert_eq!(
        hand_in(&mut world, &said),
        Err(Refused::NotAudited { sector: SECTOR })
    );
    world.open_next_window();
    assert!(audit(&world, 10).is_some());
    assert_eq!(hand_in(&mut world, &said), none, "of the audit before");
    // A commitment is none of its answers.
    let (_, said) = believed(&world, 10, 1, Hash::ZERO);
    let operation = Operation::CommitSectors {
        batch: SECTOR,
        openings: witness_hash(&world.network, &said),
    };
    let done = world.act_with(10, operation, vec![said]);
    assert_eq!(done, Err(Refused::NotPreCommitted { batch: SECTOR }));
}

/// Members who keep quiet, because they are away or want a sector lost, have no sector lost: when half of the time is over a block takes
/// the openings themselves, and everybody looks. What does not hold costs there what any wrong proof costs. Covers: D2 (TS4).
#[test]
fn a_quiet_committee_has_no_sector_lost() {
    let mut stored = stored(3);
    let asked = until_asked(&mut stored, 10);
    let miner = stored.miners.iter().find(|miner| miner.person == 10).unwrap();
    let whole = openings(&stored.world, miner).unwrap();
    let world = &mut stored.world;
    let hand_in = |world: &mut World, witness: &[u8]| {
        let operation = Operation::AnswerAudit {
            sector: SECTOR,
            shown_to: ShownTo::Everybody,
            openings: witness_hash(&world.network, witness),
        };
        world.act_with(10, operation, vec![witness.to_vec()])
    };
    let from = asked.shown_to_everybody_from();
    assert_eq!(from.0, asked.since.0 + ANSWER_SLOTS / 2);
    let early = Err(Refused::CommitteeFirst { sector: SECTOR, from });
    assert_eq!(hand_in(world, &whole), early);
    world.go_to_height(from.0 - 1);
    let failed = |world: &World| query::provider(&world.state, &id(10)).unwrap().row.proofs_failed;
    let n_failed = failed(world);
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(hand_in(world, &other), Err(Refused::Porep { batch: SECTOR }));
    assert_eq!(failed(world), n_failed + 1);
    assert_eq!(hand_in(world, &whole), Ok(Done::AuditAnswered { sector: SECTOR }));
    assert_eq!(audit(world, 10), None);
    assert!(is_live(world, 10));
}

/// Members find live sectors that are asked after those that are pre-committed, a bounded number of rows at a time. Covers: D2 (TS4).
#[test]
fn committees_find_audits() {
    let mut stored = stored(3);
    until_asked(&mut stored, 10);
    let (mut found, mut after, mut n_looks) = (Vec::new(), None::<Vec<u8>>, 0);
    loop {
        let (sectors, go_on) = query::waiting_batches(&stored.world.state, after.as_deref(), 2);
        assert!(sectors.len() <= 2);
        found.extend(sectors);
        n_looks += 1;
        if go_on.is_none() || n_looks > 100 {
            break;
        }
        after = go_on;
    }
    let asked = (10..20).filter(|n| audit(&stored.world, *n).is_some());
    let asked: BTreeSet<_> = asked.map(|n| (id(n), SECTOR)).collect();
    let is_asked =
        |key: &(AccountId, SectorNumber)| query::audit(&stored.world.state, &key.0, key.1).is_some();
    let found: BTreeSet<_> = found.into_iter().filter(is_asked).collect();
    assert!(!asked.is_empty());
    assert_eq!(found, asked);
}

/// What is drawn is fixed by the window's beacon and the lots that there were when the window began: sectors that come or go in the blocks
/// in which the beacon is made move nothing. Covers: D2 (TS4, TS6).
#[test]
fn draws_cannot_be_chosen() {
    let stored = stored(3);
    let mut differs = 0;
    for skip in 0..12 {
        let mut quiet = stored.clone();
        quiet.world.skip(10 * skip);
        quiet.world.go_to_window_end();
        let mut busy = quiet.clone();
        let deal = busy.deal;
        quiet.world.skip(1);
        busy.world.skip(1);
        quiet.world.skip(1);
        // All sectors end in the second block of the window: none of the draws falls on another lot, they only fall on nothing.
        busy.world.act(CLIENT, Operation::Terminate { deal }).unwrap();
        assert_eq!(lots(&busy.world), 0);
        quiet.world.open_window();
        busy.world.open_window();
        let asked = |world: &World| -> Vec<u8> { (10..20).filter(|n| audit(world, *n).is_some()).collect() };
        assert_eq!(asked(&busy.world), Vec::<u8>::new());
        differs += usize::from(!asked(&quiet.world).is_empty());
        check_lots(&busy.world);
    }
    assert!(differs > 0);
}

/// Draws reach every lot; lots go with their sectors, and what is asked for goes with them. Covers: D2 (TS4).
#[test]
fn every_sector_is_asked() {
    let mut stored = stored(3);
    let mut asked = BTreeSet::new();
    for _ in 0..40 {
        let mut all: Vec<&mut Miner> = stored.miners.iter_mut().collect();
        live_one_window(&mut stored.world, &mut all);
        for n in 10..20 {
            if shown(&stored.world, n, 1).is_some() {
                asked.insert(n);
                let (operation, witness) = believed(&stored.world, n, 1, Hash([n; 32]));
                stored.world.act_with(n, operation, vec![witness]).unwrap();
            }
        }
        if asked.len() == 10 {
            break;
        }
    }
    assert_eq!(asked.len(), 10);
    until_asked(&mut stored, 10);
    let deal = stored.deal;
    stored.world.act(CLIENT, Operation::Terminate { deal }).unwrap();
    check_lots(&stored.world);
    assert_eq!(lots(&stored.world), 0);
    stored.world.skip(2 * ANSWER_SLOTS);
    let lost = query::deal(&stored.world.state, &deal).unwrap().row.lost;
    assert!(lost.is_empty());
}

/// A window asks so many sectors and no more. Covers: D2, A7.
#[test]
fn audits_of_a_window_are_bounded() {
    let mut world = world(1);
    let n = AUDITS_PER_WINDOW_MAX + 40;
    // Lots as if so many more sectors were live: what counts is how many draws fall on rows.
    let mut writes = watt_ledger::Writes::new();
    let lots = LotsRow {
        n,
        changed: Window(0),
        n_before: 0,
    };
    writes.insert(rows::LOTS.to_vec(), Some(watt_primitives::codec::encode(&lots)));
    for at in 0..n {
        let lot = LotRow {
            provider: id(10),
            sector: SectorNumber(at),
        };
        writes.insert(rows::lot(at), Some(watt_primitives::codec::encode(&lot)));
    }
    world.state.write(&writes);
    let mut n_asked = Vec::new();
    for _ in 0..3 {
        world.go_to_window_end();
        world.skip(4);
        let asked = world.last.events.iter();
        let asked = asked.filter(|event| matches!(event, Event::SectorAsked { .. }));
        n_asked.push(u64::try_from(asked.count()).unwrap());
    }
    assert!(n_asked.iter().all(|n| *n <= AUDITS_PER_WINDOW_MAX), "{n_asked:?}");
    assert!(n_asked[0] > 30, "64 draws of 104 lots: {n_asked:?}");
}

/// Windows in which the network stood still ask nobody, and void ones give who was asked their time back. Covers: D2, A7.
#[test]
fn a_halt_asks_nobody() {
    let mut stored = stored(3);
    let asked_in = |world: &World| -> BTreeSet<Window> {
        (10..20)
            .filter_map(|n| audit(world, n))
            .map(|row| row.window)
            .collect()
    };
    for _ in 0..6 {
        stored.world.go_to_window_end();
        stored.world.skip(1);
        stored.world.step_ms = 5 * 60_000;
        stored.world.skip(1);
        stored.world.step_ms = 1000;
        stored.world.open_window();
        let window = Window(stored.window());
        assert!(!asked_in(&stored.world).contains(&window));
    }
    let asked = until_asked(&mut stored, 10);
    // Everybody is away: the windows are void, and what is asked waits.
    stored.world.go_to_height(asked.answer_by.0 + 30);
    assert!(is_live(&stored.world, 10));
    let later = audit(&stored.world, 10).unwrap();
    assert!(later.answer_by > asked.answer_by && later.since == asked.since);
    assert_eq!(answer(&mut stored.world, stored.miners.first()), 1);
}

/// Who said at the match that it may be away for long has that long to answer, and is asked anew by another committee when the first is
/// forgotten: what that one said is worth nothing any more. Covers: D2, C5 (TS4).
#[test]
fn a_phone_has_its_time() {
    let mut genesis = genesis("phones");
    genesis.parameters.porep_committee = 15;
    genesis.parameters.audit_windows = 1;
    genesis.parameters.dispute_slots = ANSWER_SLOTS;
    genesis.parameters.term_windows = 10;
    genesis.parameters.grace_windows = GraceWindows {
        always_on: 5,
        daily: 30,
        phone: 40,
    };
    let mut world = World::of(&genesis);
    provide(&mut world, 11..20, 100 * SLOT, WATT);
    let pledge = crate::world::pledge_on(100 * SLOT, Device::Phone);
    let ask = Operation::PlaceAsk {
        terms: crate::world::ask_terms(WATT),
    };
    let signed = world.sign(10, vec![pledge, ask]);
    world.block(vec![signed]);
    assert!(result(&world.last.receipts[0]).is_ok());
    let deal = crate::sectors::certified(&mut world, 1);
    let load = crate::sectors::load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[load]);
    world.act(10, operation).unwrap();
    world.open_next_window();
    let (operation, witness) = believed(&world, 10, 1, Hash::ZERO);
    world.act_with(10, operation, vec![witness]).unwrap();
    world.open_next_window();
    let asked = audit(&world, 10).unwrap();
    assert_eq!(asked.answer_by.0, asked.since.0 + 400);
    let (_, old) = believed(&world, 10, 1, Hash::ZERO);
    // Nobody but it has a sector: windows count as void, its time grows, and terms go by.
    let term = |world: &World| world.height() / 100;
    let begun = term(&world);
    while term(&world) < begun + 2 {
        world.skip(1);
        let is_known = shown(&world, 10, 1).is_some();
        let (place, same) = (
            world.height() % 100,
            audit(&world, 10).unwrap().window == asked.window,
        );
        assert!(is_known || !(4..90).contains(&place), "at {}", world.height());
        assert!(same || term(&world) > begun, "asked anew at {}", world.height());
    }
    world.skip(6);
    let now = audit(&world, 10).unwrap();
    assert!(now.window > asked.window && now.since == asked.since, "{now:?}");
    let operation = Operation::AnswerAudit {
        sector: SECTOR,
        shown_to: ShownTo::Committee,
        openings: witness_hash(&world.network, &old),
    };
    let done = world.act_with(10, operation, vec![old]);
    assert_eq!(done, Err(Refused::VerdictSignature { batch: SECTOR }));
    assert_eq!(answer(&mut world, [&miner]), 1);
}

/// What somebody may wish to do.
#[derive(Clone, Debug)]
enum Wish {
    Live(usize, usize),
    Answer(u8),
    Wrong(u8),
    Claim(u8),
    Terminate,
    Halt,
    Wait(u64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => (0usize..10, 1usize..11).prop_map(|(from, n)| Wish::Live(from, n)),
        4 => (10u8..20).prop_map(Wish::Answer),
        2 => (10u8..20).prop_map(Wish::Wrong),
        2 => (10u8..20).prop_map(Wish::Claim),
        1 => Just(Wish::Terminate),
        1 => Just(Wish::Halt),
        4 => (1u64..40).prop_map(Wish::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However sectors are asked, answered for, lost, claimed and ended: all money is somewhere after every block, every live sector has
    /// one lot, and in the end nothing is locked and nobody is asked. Covers: D2, E4 (TS4).
    #[test]
    fn audits_never_make_money(wishes in proptest::collection::vec(wish(), 1..24)) {
        let mut stored = stored(3);
        let deal = stored.deal;
        for wish in wishes {
            match wish {
                Wish::Live(from, n) => {
                    let world = &stored.world;
                    let live: Vec<u8> = (10..20).filter(|n| is_live(world, *n)).collect();
                    let mut some: Vec<&mut Miner> = stored
                        .miners
                        .iter_mut()
                        .skip(from)
                        .take(n)
                        .filter(|miner| live.contains(&miner.person))
                        .collect();
                    if !some.is_empty() {
                        live_one_window(&mut stored.world, &mut some);
                    }
                }
                Wish::Answer(n) => {
                    if shown(&stored.world, n, 1).is_some() {
                        let (operation, witness) = believed(&stored.world, n, 1, Hash::ZERO);
                        prop_assert!(stored.world.act_with(n, operation, vec![witness]).is_ok());
                    }
                }
                Wish::Wrong(n) => {
                    let operation = Operation::AnswerAudit {
                        sector: SECTOR,
                        shown_to: ShownTo::Committee,
                        openings: witness_hash(&stored.world.network, b"nothing"),
                    };
                    prop_assert!(stored.world.act_with(n, operation, vec![b"nothing".to_vec()]).is_err());
                }
                Wish::Claim(n) => {
                    let found = query::deal(&stored.world.state, &deal).unwrap();
                    let Some(slot) = found.slots.iter().find(|slot| slot.row.provider == id(n)) else { continue };
                    let slot = watt_light::SlotRef { deal, slot: slot.index };
                    let slots = BoundedVec::new(vec![slot]).unwrap();
                    let _ = stored.world.act(n, Operation::Claim { slots });
                }
                Wish::Terminate => {
                    let _ = stored.world.act(CLIENT, Operation::Terminate { deal });
                }
                Wish::Halt => {
                    stored.world.step_ms = 600_000;
                    stored.world.skip(1);
                    stored.world.step_ms = 1000;
                }
                Wish::Wait(n) => stored.world.skip(n),
            }
            check_lots(&stored.world);
        }
        stored.world.step_ms = 60_000;
        let is_over = |world: &World| {
            matches!(query::deal(&world.state, &deal).unwrap().row.stage, DealStage::Ended { .. })
        };
        while !is_over(&stored.world) && stored.world.height() < 4_000 {
            stored.world.blind_skip(50);
        }
        stored.world.check_invariants();
        check_lots(&stored.world);
        prop_assert_eq!(lots(&stored.world), 0);
        prop_assert_eq!(query::head(&stored.world.state).unwrap().supply.in_escrow, Amount::ZERO);
    }
}
