//! Windows settled by folded proofs. What a proof shows is checked before a block is applied, and here by nobody: these tests are
//! about what the ledger makes of it.

use crate::miner::live_one_window;
use crate::sectors::{SLOT, certified, load_of};
use crate::windows::{Stored, reservation};
use crate::world::{AnyFolded, START, WATT, World, id, key};
use watt_ledger::fee::FAILED_PROOF_PENALTY;
use watt_ledger::folded::FOLDED_PER_BLOCK_MAX;
use watt_ledger::query::{self, WaitingWindows};
use watt_ledger::rows::{self, DealStage, PowerRow};
use watt_ledger::{Done, InvalidBlock, NoFolded, Refused, UncheckedBlock, admit};
use watt_light::transaction::witness_hash;
use watt_light::{FoldedWindows, Heartbeats, Operation, SignedTransaction, WindowShape};
use watt_market::deal::pay;
use watt_primitives::{Amount, Hash, SectorNumber, SlotIndexInDeal, Window};

/// Windows of a period in these worlds.
const PERIOD: u64 = 3;

const PROOF: &[u8] = b"checked before";

impl Stored {
    /// All answer a window, and all but the first prove it.
    fn answer(&mut self) {
        self.answer_declaring(&[]);
    }

    pub fn answer_declaring(&mut self, faults: &[u64]) {
        let window = self.window();
        let beat = self.miners[0].heartbeat(&self.world, window, faults);
        self.world.beat(beat).unwrap();
        let mut others: Vec<_> = self.miners.iter_mut().skip(1).collect();
        live_one_window(&mut self.world, &mut others);
    }

    /// The first answers windows until a period of it is due in all of whose windows it was present.
    fn answer_a_whole_period(&mut self) -> WaitingWindows {
        for _ in 0..4 * PERIOD {
            self.answer();
            let due = query::due_windows(&self.world.state, &id(10));
            if let Some(due) = due.filter(|due| u64::from(due.period.n_windows) == PERIOD) {
                return due;
            }
        }
        unreachable!("no period came due");
    }

    fn operation(&self, windows: FoldedWindows) -> Operation {
        settlement(&self.world, windows).0
    }

    fn signed(&self, windows: FoldedWindows) -> SignedTransaction {
        self.world
            .sign_with(10, vec![self.operation(windows)], vec![PROOF.to_vec()])
    }

    fn settle(&mut self, windows: FoldedWindows) -> Result<Done, Refused> {
        let operation = self.operation(windows);
        self.world.act_with(10, operation, vec![PROOF.to_vec()])
    }
}

/// A settlement with its witness.
pub fn settlement(world: &World, windows: FoldedWindows) -> (Operation, Vec<u8>) {
    let operation = Operation::SettleWindows {
        windows,
        proof: witness_hash(&world.network, PROOF),
    };
    (operation, PROOF.to_vec())
}

fn settled(due: &WaitingWindows, n_good: u32) -> Done {
    Done::WindowsSettled {
        first: due.period.first,
        last: due.period.last,
        n_windows: due.period.n_windows,
        n_good,
        proven_ms: u64::from(n_good) * 10_000,
        withheld_ms: 0,
    }
}

fn missed(stored: &Stored) -> u64 {
    query::provider(&stored.world.state, &id(10))
        .unwrap()
        .proofs_missed
}

/// Windows that were answered and not opened wait for a folded proof, which pays for them as much as openings, and once. Those that
/// it says were bad are not paid, and missed. Covers: D3, E4.
#[test]
fn a_folded_proof_pays_for_its_windows() {
    let mut stored = Stored::new();
    let first = Window(stored.window());
    let due = stored.answer_a_whole_period();
    assert!(due.period.first >= first);
    assert_eq!(due.period.shape, WindowShape::Small);
    assert_eq!((due.period.n_windows, due.period.ms), (3, 30_000));
    assert_eq!((stored.slot(10).proven_ms, missed(&stored)), (0, 0), "they wait");

    let mut all_good = stored.clone();
    assert_eq!(all_good.settle(due.period.shown(3)), Ok(settled(&due, 3)));
    assert_eq!(all_good.slot(10).proven_ms, 30_000);
    let pay_of = |ms| pay(Amount(WATT), SLOT, ms).unwrap();
    assert_eq!(all_good.slot(10).due, pay_of(30_000));
    assert_eq!(
        all_good.settle(due.period.shown(3)),
        Err(Refused::NothingToSettle),
        "settled already"
    );
    let n_before = missed(&all_good);

    let mut one_bad = stored.clone();
    assert_eq!(one_bad.settle(due.period.shown(2)), Ok(settled(&due, 2)));
    assert_eq!(one_bad.slot(10).proven_ms, 20_000);
    assert_eq!(missed(&one_bad), n_before + 1);
}

/// A proof about other windows than the ledger's, of which nobody knows better, settles nothing and costs what a bad proof costs; a
/// pool does not look at it. Covers: D3.
#[test]
fn two_settlements_other_windows_and_none() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    let good = due.period.shown(3);
    let other = Hash([1; 32]);
    let wrong = [
        FoldedWindows { from: other, ..good },
        FoldedWindows { to: other, ..good },
        FoldedWindows { n_windows: 4, ..good },
        FoldedWindows {
            n_windows: 2,
            n_good: 2,
            ..good
        },
        FoldedWindows { n_good: 0, ..good },
        FoldedWindows { n_good: 4, ..good },
        FoldedWindows {
            shape: WindowShape::Large,
            ..good
        },
    ];
    for windows in wrong {
        let signed = stored.signed(windows);
        assert_eq!(admit(&stored.world.state, &signed), Err(Refused::OtherWindows));
        let before = stored.world.balance(10);
        assert_eq!(stored.settle(windows), Err(Refused::OtherWindows));
        assert_eq!(
            stored.world.balance(10),
            Amount(before.0 - FAILED_PROOF_PENALTY.0)
        );
    }
    let provider = query::provider(&stored.world.state, &id(10)).unwrap();
    assert_eq!(provider.row.proofs_failed, 7);
    assert_eq!(stored.slot(10).proven_ms, 0);

    let twice = stored
        .world
        .draft(10, vec![stored.operation(good), stored.operation(good)]);
    let witness = vec![PROOF.to_vec(), PROOF.to_vec()];
    let twice = twice.sign(&key(10), &stored.world.network, witness).unwrap();
    assert_eq!(admit(&stored.world.state, &twice), Err(Refused::Malformed));
    assert!(admit(&stored.world.state, &stored.signed(good)).is_ok());
    assert!(stored.settle(good).is_ok());
    let nobody = stored
        .world
        .sign_with(11, vec![stored.operation(good)], vec![PROOF.to_vec()]);
    assert_eq!(admit(&stored.world.state, &nobody), Err(Refused::NothingToSettle));
}

/// What is not settled in its time lapses: it is not paid, and its windows are missed. Covers: D3, C5.
#[test]
fn a_period_lapses() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    stored.world.go_to_height(due.lapses_at.0 * 10 - 2);
    let mut last = stored.clone();
    assert!(last.settle(due.period.shown(3)).is_ok());
    stored.world.skip(2);
    let refused = stored.settle(due.period.shown(3)).unwrap_err();
    assert!(
        matches!(refused, Refused::NothingToSettle | Refused::OtherWindows),
        "{refused}"
    );
    assert_eq!(stored.slot(10).proven_ms, 0);
    assert!(missed(&stored) >= 3);
}

/// Time is proven in its order: whoever opens a later window gives up what waits from before it. Else a sector that came in between
/// would be paid for windows from before it was there. Covers: D3, E4.
#[test]
fn windows_are_settled_in_their_order() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    assert!(stored.live(10)[0].is_ok());
    assert_eq!(stored.slot(10).proven_ms, 10_000);
    assert_eq!(stored.settle(due.period.shown(3)), Err(Refused::NothingToSettle));
    assert_eq!(query::waiting_windows(&stored.world.state, &id(10)), []);
    assert!(missed(&stored) >= 3);
}

/// A sector counts from the first period that began with it in the set, and what it was declared faulty in a period is left out of
/// what the period pays for it. Covers: C5, E4.
#[test]
fn sectors_count_from_their_first_whole_period() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    stored.settle(due.period.shown(3)).unwrap();
    // A second sector comes into the set inside of a period, which still pays for the first one alone.
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    let other = |stored: &Stored| {
        let slot = query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1));
        slot.unwrap().proven_ms
    };
    stored.miners[0]
        .add_sector(&mut stored.world, 2, &[load])
        .unwrap();
    let from = stored.window() + 1;
    stored.world.open_next_window();
    loop {
        let due = stored.answer_a_whole_period();
        let (before, n) = (stored.slot(10).proven_ms, due.period.n_windows);
        stored.settle(due.period.shown(n)).unwrap();
        assert_eq!(stored.slot(10).proven_ms, before + due.period.ms);
        if due.period.first >= Window(from) {
            assert_eq!(other(&stored), due.period.ms);
            break;
        }
        assert_eq!(other(&stored), 0);
    }
    // The owner declares the second one in one window of the next period; it is left out of the one after, too.
    let mut n_declared = 0;
    let due = loop {
        let due = query::due_windows(&stored.world.state, &id(10));
        if let Some(due) = due.filter(|due| !due.period.faulty.is_empty() && due.period.n_windows == 3) {
            break due;
        }
        let is_first = stored.window().is_multiple_of(3) && n_declared == 0;
        n_declared += u32::from(is_first);
        stored.answer_declaring(if is_first { &[2] } else { &[] });
    };
    let ms = due.period.faulty[0].1;
    assert_eq!(due.period.faulty[..], [(SectorNumber(2), ms)]);
    let (first, second) = (stored.slot(10).proven_ms, other(&stored));
    stored.settle(due.period.shown(3)).unwrap();
    assert_eq!(stored.slot(10).proven_ms, first + 30_000);
    assert_eq!(other(&stored), second + 30_000 - ms);
}

/// A deal whose term is over waits until the windows of its term are settled or have lapsed. Covers: E4, E5.
#[test]
fn a_deal_waits_for_its_last_windows() {
    for does_settle in [true, false] {
        let mut stored = Stored::with_term(60_000);
        let mut n_waited = 0;
        let paid = loop {
            stored.answer();
            if let Some(due) = query::due_windows(&stored.world.state, &id(10)).filter(|_| does_settle) {
                stored.settle(due.period.shown(due.period.n_windows)).unwrap();
            }
            match query::deal(&stored.world.state, &stored.deal).unwrap().row.stage {
                DealStage::Ending { .. } => n_waited += 1,
                DealStage::Ended { .. } => break stored.world.balance(10).0 - START.0,
                DealStage::Active { .. } | DealStage::Open { .. } | DealStage::Matched { .. } => {}
            }
            assert!(n_waited <= 2 * PERIOD + 2);
        };
        let others = stored.world.balance(11).0 - START.0;
        assert!(n_waited >= 2, "{n_waited}");
        if does_settle {
            assert!(paid > reservation(), "{paid}");
        } else {
            assert_eq!(paid, reservation());
        }
        assert!(paid <= others);
    }
}

/// A client that ends a deal early pays for windows that are answered and not settled yet: ending in time doesn't get them for
/// nothing. Covers: E4.
#[test]
fn ending_early_pays_for_waiting_windows() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    let stage = query::deal(&stored.world.state, &stored.deal).unwrap().row.stage;
    let DealStage::Active { ends_at, .. } = stage else {
        unreachable!()
    };
    let waiting: u64 = query::waiting_windows(&stored.world.state, &id(10))
        .iter()
        .map(|waiting| waiting.period.ms)
        .sum();
    assert!(waiting >= due.period.ms);
    let deal = stored.deal;
    stored.world.act(1, Operation::Terminate { deal }).unwrap();
    let now = query::head(&stored.world.state).unwrap().ledger_time;
    // The newest window can still be opened.
    let rest = ends_at.0 - now.0 + waiting + 10_000;
    let earned = stored.world.balance(10).0 - START.0;
    let owed = reservation() + pay(Amount(WATT), SLOT, rest).unwrap().0;
    assert_eq!(earned, owed);
}

/// What is settled is power in the term of its last window, in proportion to the good windows. Covers: D5.
#[test]
fn settled_windows_are_power() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    let bytes = |stored: &Stored| {
        let person = query::provider(&stored.world.state, &id(10)).unwrap().row.person;
        let row: Option<PowerRow> = rows::read(&stored.world.state, &rows::power(&person));
        row.unwrap_or_default().byte_windows
    };
    assert_eq!(due.period.byte_windows, 3 << 20);
    let of_others = bytes(&stored);
    stored.settle(due.period.shown(2)).unwrap();
    assert_eq!(bytes(&stored), of_others + (2 << 20));
}

/// A block with a folded proof that does not hold is invalid, and so is one with more of them than can be verified in time.
/// Covers: A6.
#[test]
fn a_block_with_a_bad_folded_proof_is_refused() {
    let mut stored = Stored::new();
    let due = stored.answer_a_whole_period();
    let signed = stored.signed(due.period.shown(3));
    let unchecked = |transactions: Vec<SignedTransaction>| UncheckedBlock {
        proposal: stored.world.proposal(&transactions).sign(&key(200)),
        is_empty: false,
        transactions,
        heartbeats: Heartbeats::empty(),
    };
    let refused = unchecked(vec![signed.clone()]).check(&stored.world.network, &NoFolded);
    assert_eq!(refused, Err(InvalidBlock::FoldedProof));
    assert!(
        unchecked(vec![signed])
            .check(&stored.world.network, &AnyFolded)
            .is_ok()
    );
    let many = |n: usize| {
        let operations = vec![stored.operation(due.period.shown(3)); n];
        let signed = stored.world.sign_with(10, operations, vec![PROOF.to_vec(); n]);
        unchecked(vec![signed]).check(&stored.world.network, &AnyFolded)
    };
    assert!(many(FOLDED_PER_BLOCK_MAX).is_ok());
    let (found, max) = (FOLDED_PER_BLOCK_MAX + 1, FOLDED_PER_BLOCK_MAX);
    assert_eq!(many(found), Err(InvalidBlock::TooManyProofs { found, max }));
}
