//! Windows: heartbeats, proofs, proven time, and what it pays.

use crate::miner::{Miner, live_one_window};
use crate::sectors::{SLOT, certified, load_of, ten_providers};
use crate::world::{START, WATT, World, bid, bundle, certificate, id, place, pledge_on, result};
use std::sync::OnceLock;
use watt_ledger::query::SlotCondition;
use watt_ledger::rows::{DealEnd, DealStage};
use watt_ledger::{Done, Event, InvalidBlock, Refused, query};
use watt_light::transaction::witness_hash;
use watt_light::{Operation, SlotRef};
use watt_market::Paid;
use watt_market::deal::{RESERVATION_MS_MIN, TERMINATION_MS_MAX, pay};
use watt_primitives::terms::Device;
use watt_primitives::{Amount, BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Window};

const DAY: u64 = 86_400_000;

/// A world with one certified deal, of which persons 10 to 19 have sealed their slots, at the beginning of the first window in
/// which all of these sectors are in the sets.
#[derive(Clone)]
pub struct Stored {
    pub world: World,
    pub deal: DealId,
    pub miners: Vec<Miner>,
}

impl Stored {
    /// Sealed once for all tests, which each go on from a copy.
    pub fn new() -> Self {
        static STORED: OnceLock<Stored> = OnceLock::new();
        STORED.get_or_init(|| Self::with_term(DAY)).clone()
    }

    pub fn with_term(term_ms: u64) -> Self {
        Self::of(ten_providers(), term_ms)
    }

    /// In a world in which persons 10 to 19 offer space.
    pub fn of(mut world: World, term_ms: u64) -> Self {
        let operation = bid(&world, bundle(1, SLOT), WATT, term_ms);
        let deal = place(&mut world, 1, operation);
        let operation = certificate(&world, &deal);
        world.act(2, operation).unwrap();
        let mut miners: Vec<Miner> = (10..20).map(Miner::new).collect();
        let sealed = miners.iter_mut().map(|miner| {
            let load = load_of(&world, deal, 1, miner.person);
            let operation = miner.seal(&world, 1, &[load]);
            world.sign(miner.person, vec![operation])
        });
        let sealed = sealed.collect();
        world.block(sealed);
        world.open_next_window();
        let has_committees = query::rules(&world.state).unwrap().parameters.porep_committee > 0;
        let answers = miners.iter().map(|miner| {
            let (operation, witness) = match has_committees {
                true => crate::audits::believed(&world, miner.person, 1, Hash::ZERO),
                false => miner.commit(&world, 1),
            };
            world.sign_with(miner.person, vec![operation], vec![witness])
        });
        let answers = answers.collect();
        world.block(answers);
        assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
        world.open_next_window();
        Self { world, deal, miners }
    }

    pub fn window(&self) -> u64 {
        self.world.height() / 10
    }

    pub fn live(&mut self, n: usize) -> Vec<Result<Done, Refused>> {
        let mut first: Vec<&mut Miner> = self.miners.iter_mut().take(n).collect();
        live_one_window(&mut self.world, &mut first)
    }

    pub fn slot(&self, holder: u8) -> query::Slot {
        let deal = query::deal(&self.world.state, &self.deal).unwrap();
        deal.slots
            .into_iter()
            .find(|slot| slot.row.provider == id(holder))
            .unwrap()
    }

    fn claim(&mut self, holder: u8) -> Result<Done, Refused> {
        let slot = SlotRef {
            deal: self.deal,
            slot: self.slot(holder).index,
        };
        let slots = BoundedVec::new(vec![slot]).unwrap();
        self.world.act(holder, Operation::Claim { slots })
    }
}

pub fn reservation() -> u64 {
    pay(Amount(WATT), SLOT, RESERVATION_MS_MIN).unwrap().0
}

/// Window after window is proven, and every proof pays exactly its time at the deal's own price, however often it is claimed.
/// Covers: D3, E4.
#[test]
fn proven_time_is_paid() {
    let mut stored = Stored::new();
    let mut paid = 0;
    for n in 1..4u64 {
        let window = Window(stored.window());
        let done = stored.live(10);
        let proven = Done::WindowProven {
            window,
            proven_ms: 10_000,
            withheld_ms: 0,
        };
        assert!(done.iter().all(|done| *done == Ok(proven)), "{done:?}");
        let slot = stored.slot(10);
        assert_eq!(slot.proven_ms, n * 10_000);
        assert!(matches!(
            slot.condition,
            SlotCondition::Proving { last_proven, .. } if last_proven == Some(window)
        ));
        if n == 2 {
            continue;
        }
        let Ok(Done::Claimed { amount }) = stored.claim(10) else {
            unreachable!()
        };
        paid += amount.0;
        assert_eq!(paid, pay(Amount(WATT), SLOT, n * 10_000).unwrap().0);
        assert_eq!(stored.claim(10), Ok(Done::Claimed { amount: Amount::ZERO }));
        assert_eq!(stored.world.balance(10), Amount(START.0 + reservation() + paid));
    }
    let provider = query::provider(&stored.world.state, &id(10)).unwrap();
    assert_eq!((provider.row.windows_proven, provider.proofs_missed), (3, 0));
}

/// The first heartbeat of a window counts, in its window only; its proof counts once, in the next only. Covers: D3.
#[test]
fn one_heartbeat_one_proof_at_their_time() {
    let mut stored = Stored::new();
    let window = stored.window();
    let heartbeat = stored.miners[0].heartbeat(&stored.world, window, &[]);
    let wrong = |given| Refused::WrongWindow {
        window: Window(given),
        current: Window(window),
    };
    let at = Window(window);
    let number = stored.world.number(10);
    for given in [window - 1, window + 1] {
        let other = stored
            .world
            .sign_beat(10, Window(given), heartbeat.response_root, &[]);
        let refused = stored.world.attempt_with(Vec::new(), vec![other]);
        assert_eq!(refused, Err(InvalidBlock::Heartbeat { provider: number }));
    }
    assert_eq!(stored.world.beat(heartbeat.clone()), Ok(()));
    // A variant whose sample might be friendlier.
    assert_eq!(
        stored.world.beat(heartbeat),
        Err(Refused::HeartbeatTwice { window: at })
    );
    let junk = b"openings".to_vec();
    let prove = |world: &World, window: u64| Operation::ProveWindow {
        window: Window(window),
        openings: witness_hash(&world.network, &junk),
    };
    let early = prove(&stored.world, window);
    assert_eq!(
        stored.world.act_with(10, early, vec![junk.clone()]),
        Err(wrong(window))
    );
    let too_early = prove(&stored.world, window);
    stored.world.go_to_height((window + 1) * 10);
    let refused = stored.world.act_with(10, too_early, vec![junk.clone()]);
    let next = Window(window + 1);
    assert_eq!(refused, Err(Refused::WindowNotOpen { window: next }));
    stored.world.open_window();
    let none = prove(&stored.world, window);
    let refused = stored.world.act_with(11, none, vec![junk.clone()]);
    assert_eq!(refused, Err(Refused::NoHeartbeat { window: at }));
    let bad = prove(&stored.world, window);
    let refused = stored.world.act_with(10, bad, vec![junk]);
    assert_eq!(refused, Err(Refused::WindowProof { window: at }));
    let (operation, openings) = stored.miners[0].proof(&stored.world, window);
    let prove_again = |stored: &mut Stored| {
        stored
            .world
            .act_with(10, operation.clone(), vec![openings.clone()])
    };
    assert!(prove_again(&mut stored).is_ok());
    assert_eq!(prove_again(&mut stored), Err(Refused::ProvenTwice { window: at }));
    stored.world.go_to_height((window + 2) * 10);
    let late = Refused::WrongWindow {
        window: at,
        current: Window(window + 2),
    };
    assert_eq!(prove_again(&mut stored), Err(late));
    let provider = query::provider(&stored.world.state, &id(10)).unwrap();
    assert_eq!(
        (
            provider.row.proofs_failed,
            provider.row.windows_proven + provider.row.void_windows_proven
        ),
        (1, 1)
    );
}

/// A provider without sectors has nothing to prove. Covers: D3.
#[test]
fn no_sectors_no_heartbeat() {
    let mut world = ten_providers();
    let heartbeat = world.sign_beat(10, Window(0), Hash::ZERO, &[]);
    assert_eq!(
        world.beat(heartbeat),
        Err(Refused::NoSectors { window: Window(0) })
    );
}

/// Somebody keeps nothing, and seals everything anew for one window now and then, since a core that has to keep up with few windows
/// covers many sectors: each window pays for itself and for no other, whatever the provider says it runs on. So one window of sixteen
/// is a sixteenth of the pay, and of the power (TS13). Covers: D3, D5, E4.
#[test]
fn daily_proof_regeneration_farm() {
    const WINDOWS: u64 = 16;
    for device in [Device::AlwaysOn, Device::Phone] {
        let mut world = ten_providers();
        world.act(10, pledge_on(100 * SLOT, device)).unwrap();
        let mut stored = Stored::of(world, DAY);
        stored.live(10);
        let mut others = stored.miners.split_off(1);
        for _ in 1..WINDOWS {
            let mut others: Vec<&mut Miner> = others.iter_mut().collect();
            let done = live_one_window(&mut stored.world, &mut others);
            assert!(done.iter().all(Result::is_ok), "{done:?}");
        }
        let ms = |holder| stored.slot(holder).proven_ms;
        assert_eq!((ms(10), ms(11)), (10_000, WINDOWS * 10_000));
        let due = |holder| stored.slot(holder).due.0;
        assert!(due(10).abs_diff(due(11) / WINDOWS) <= 1);
    }
}

/// A missed window is not paid and is counted; the next one is paid again. Covers: D3, E4.
#[test]
fn a_missed_window_is_not_paid() {
    let mut stored = Stored::new();
    stored.live(10);
    let first = stored.miners.remove(0);
    stored.live(9);
    stored.miners.insert(0, first);
    stored.live(10);
    assert_eq!(stored.slot(10).proven_ms, 20_000);
    assert_eq!(stored.slot(11).proven_ms, 30_000);
    stored.world.go_to_window_end();
    stored.world.skip(1);
    let missed = |n| {
        query::provider(&stored.world.state, &id(n))
            .unwrap()
            .proofs_missed
    };
    assert_eq!((missed(10), missed(11)), (1, 0));
}

/// A window in which fewer than two thirds showed up is void: nobody has missed it, and who proves it is paid. Covers: D3.
#[test]
fn a_void_window_is_nobodys_fault() {
    for (present, is_void) in [(6, true), (7, false)] {
        let mut stored = Stored::new();
        let window = stored.window();
        stored.live(present);
        let row = query::window(&stored.world.state, Window(window)).unwrap();
        assert_eq!(
            (row.n_expected, row.n_heartbeats, row.is_void),
            (10, u64::try_from(present).unwrap(), is_void)
        );
        assert_eq!(stored.slot(10).proven_ms, 10_000);
        stored.live(10);
        stored.world.go_to_window_end();
        stored.world.skip(1);
        let missed = query::provider(&stored.world.state, &id(19))
            .unwrap()
            .proofs_missed;
        assert_eq!(missed, u64::from(!is_void));
    }
}

/// A sector declared faulty is unpaid for that window and left out of the next, the provider's other sectors are paid, and the slot says so.
/// Covers: C5, E4.
#[test]
fn declared_fault_is_unpaid() {
    let mut stored = Stored::new();
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    stored.miners[0]
        .add_sector(&mut stored.world, 2, &[load])
        .unwrap();
    stored.world.open_next_window();
    let window = stored.window();
    let beat = stored.miners[0].heartbeat(&stored.world, window, &[1]);
    assert_eq!(beat.faults[..], [SectorNumber(1)]);
    for wrong in [vec![3], vec![2, 1], vec![1, 1]] {
        let root = beat.response_root;
        let wrong = stored.world.sign_beat(10, Window(window), root, &wrong);
        assert_eq!(stored.world.beat(wrong), Err(Refused::Faults));
    }
    stored.world.beat(beat).unwrap();
    let faulty = SlotCondition::Faulty {
        window: Window(window),
    };
    assert_eq!(stored.slot(10).condition, faulty);
    stored.world.open_next_window();
    let proof = stored.miners[0].signed_proof(&stored.world, window);
    stored.world.block(vec![proof]);
    assert!(result(&stored.world.last.receipts[0]).is_ok());
    assert_eq!(stored.slot(10).proven_ms, 0);
    let other = query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).unwrap();
    assert_eq!(other.proven_ms, 10_000);
    // It is left out of the next window, which finds that it can be read again; the one after counts for both.
    assert!(stored.live(1)[0].is_ok());
    assert_eq!(stored.slot(10).proven_ms, 0);
    assert!(stored.live(1)[0].is_ok());
    assert_eq!(stored.slot(10).proven_ms, 10_000);
    let other = query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).unwrap();
    assert_eq!(other.proven_ms, 30_000);
}

/// A dear deal that begins just before a proof is not paid for time before its own sector was proven: there is no rate to jump.
/// Covers: E4, F1.
#[test]
fn rate_jump_before_settlement() {
    let mut stored = Stored::new();
    stored.live(10);
    stored.live(10);
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    let window = stored.window();
    let beat = stored.miners[0].heartbeat(&stored.world, window, &[]);
    stored.world.beat(beat).unwrap();
    let operation = stored.miners[0].seal(&stored.world, 2, &[load]);
    stored.world.act(10, operation).unwrap();
    stored.world.open_next_window();
    let (operation, openings) = stored.miners[0].commit(&stored.world, 2);
    let committed = stored.world.act_with(10, operation, vec![openings]);
    assert!(committed.is_ok(), "{committed:?}");
    let in_set_from = stored.window() + 1;
    let proof = stored.miners[0].signed_proof(&stored.world, window);
    stored.world.block(vec![proof]);
    assert!(result(&stored.world.last.receipts[0]).is_ok());
    let slot = |stored: &Stored| query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).unwrap();
    assert_eq!((slot(&stored).proven_ms, slot(&stored).due), (0, Amount::ZERO));
    stored.world.go_to_height(in_set_from * 10);
    stored.live(1);
    assert_eq!(slot(&stored).proven_ms, 10_000);
}

/// The term ends, the proofs of the last window still come, then everything is settled by itself: what was proven is paid, the
/// rest returns, the sectors end, the deal's row stays. Covers: E4, E5.
#[test]
fn term_ends_and_settles_itself() {
    let mut stored = Stored::with_term(60_000);
    let escrow = query::deal(&stored.world.state, &stored.deal).unwrap().row.escrow;
    let mut proven = 0;
    let settle = Operation::Settle { deal: stored.deal };
    assert_eq!(
        stored.world.act(2, settle.clone()),
        Err(Refused::WrongStage { deal: stored.deal })
    );
    let DealStage::Ended {
        how,
        paid,
        refunded,
        height,
    } = (loop {
        let done = stored.live(10);
        proven += done.iter().filter(|done| done.is_ok()).count();
        match query::deal(&stored.world.state, &stored.deal).unwrap().row.stage {
            DealStage::Ending { settle_height, .. } => {
                let early = Refused::TooEarly {
                    height: settle_height,
                };
                assert_eq!(stored.world.act(2, settle.clone()), Err(early));
            }
            stage @ DealStage::Ended { .. } => break stage,
            DealStage::Active { .. } | DealStage::Open { .. } | DealStage::Matched { .. } => {}
        }
    })
    else {
        unreachable!()
    };
    assert_eq!(how, DealEnd::TermOver);
    assert!(proven >= 30);
    assert_eq!(paid.early_end, Amount::ZERO);
    let paid = paid.total();
    assert_eq!(Amount(paid.0 + refunded.0), escrow);
    assert_eq!(stored.world.balance(1), Amount(START.0 - paid.0));
    let each = (stored.world.balance(10).0 - START.0) as u128;
    assert_eq!(each * 10, u128::from(paid.0));
    assert!(each > u128::from(reservation()) && each <= u128::from(reservation() * 2));
    assert!(height.0 % 10 == 0);
    let provider = query::provider(&stored.world.state, &id(10)).unwrap();
    assert_eq!((provider.row.used_bytes, provider.row.n_active), (0, 0));
    assert_eq!(
        query::head(&stored.world.state).unwrap().supply.in_escrow,
        Amount::ZERO
    );
    assert_eq!(query::head(&stored.world.state).unwrap().supply.n_providing, 0);
    assert!(
        query::deal(&stored.world.state, &stored.deal)
            .unwrap()
            .slots
            .is_empty()
    );
    let none = BoundedVec::new(vec![SlotRef {
        deal: stored.deal,
        slot: SlotIndexInDeal(0),
    }])
    .unwrap();
    let over = Refused::WrongStage { deal: stored.deal };
    assert_eq!(stored.world.act(10, Operation::Claim { slots: none }), Err(over));
    // The next sector finds the row again, and old ones are forgotten.
    let deal = certified(&mut stored.world, 3);
    let load = load_of(&stored.world, deal, 3, 10);
    stored.miners[0]
        .add_sector(&mut stored.world, 2, &[load])
        .unwrap();
    stored.world.go_to_window_end();
    stored.world.skip(1);
    stored.live(1);
    stored.live(1);
    assert_eq!(query::sectors(&stored.world.state, &id(10)).len(), 1);
    assert_eq!(query::head(&stored.world.state).unwrap().supply.n_providing, 1);
}

/// A client that ends a sealed deal pays what was proven and at most 30 days of the rest, and the receipt tells the two apart.
/// Covers: E4.
#[test]
fn ending_early_pays_for_the_dead_weight() {
    let mut stored = Stored::with_term(100 * DAY);
    stored.live(10);
    let deal = stored.deal;
    let Ok(Done::DealEnded { paid, refunded, .. }) = stored.world.act(1, Operation::Terminate { deal })
    else {
        unreachable!()
    };
    let cost = |ms| pay(Amount(WATT), SLOT, ms).unwrap().0;
    let each = reservation() + cost(10_000) + cost(TERMINATION_MS_MAX);
    let for_each = Paid {
        reserved: Amount(10 * reservation()),
        proven: Amount(10 * cost(10_000)),
        early_end: Amount(10 * cost(TERMINATION_MS_MAX)),
    };
    assert_eq!(paid, for_each);
    assert_eq!(stored.world.balance(10), Amount(START.0 + each));
    assert_eq!(stored.world.balance(1), Amount(START.0 - paid.total().0));
    assert!(refunded > Amount::ZERO);
}

/// Nobody claims for another's slot or for one that is not there, and a wrong one undoes the whole claim. Covers: E4.
#[test]
fn wrong_claims_are_refused() {
    let mut stored = Stored::new();
    stored.live(10);
    let mine = stored.slot(10).index;
    let theirs = stored.slot(11).index;
    let claim = |slots: Vec<(DealId, SlotIndexInDeal)>| Operation::Claim {
        slots: BoundedVec::new(
            slots
                .into_iter()
                .map(|(deal, slot)| SlotRef { deal, slot })
                .collect(),
        )
        .unwrap(),
    };
    let deal = stored.deal;
    let not_mine = Refused::NotTheHolder {
        slot: theirs,
        provider: id(11),
    };
    assert_eq!(
        stored.world.act(10, claim(vec![(deal, mine), (deal, theirs)])),
        Err(not_mine)
    );
    let none = SlotIndexInDeal(10);
    assert_eq!(
        stored.world.act(10, claim(vec![(deal, none)])),
        Err(Refused::UnknownSlot { slot: none })
    );
    let unknown = DealId([1; 32]);
    assert_eq!(
        stored.world.act(10, claim(vec![(unknown, mine)])),
        Err(Refused::UnknownDeal { deal: unknown })
    );
    let Ok(Done::Claimed { amount }) = stored.world.act(10, claim(vec![(deal, mine), (deal, mine)])) else {
        unreachable!()
    };
    assert_eq!(amount, pay(Amount(WATT), SLOT, 10_000).unwrap());
}

/// A halt of the network costs nobody a window or a deal's time. Covers: E4.
#[test]
fn a_halt_punishes_nobody() {
    let mut stored = Stored::new();
    stored.live(10);
    stored.world.step_ms = 10 * DAY;
    stored.world.skip(1);
    stored.world.step_ms = 1000;
    stored.world.go_to_window_end();
    stored.world.skip(1);
    let halted = stored.window() - 1;
    assert!(
        query::window(&stored.world.state, Window(halted))
            .unwrap()
            .is_void
    );
    stored.live(10);
    for person in 10..20 {
        assert_eq!(
            query::provider(&stored.world.state, &id(person))
                .unwrap()
                .proofs_missed,
            0
        );
    }
    assert!(matches!(
        query::deal(&stored.world.state, &stored.deal).unwrap().row.stage,
        DealStage::Active { .. }
    ));
    assert!(
        stored
            .world
            .last
            .events
            .iter()
            .all(|event| !matches!(event, Event::DealEnded { .. }))
    );
}
