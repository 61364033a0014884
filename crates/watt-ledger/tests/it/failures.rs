//! What it costs to answer a window and not to prove it, and what costs nothing.

use crate::sectors::{SLOT, certified, load_of};
use crate::settlements::settlement;
use crate::windows::Stored;
use crate::world::{WATT, World, genesis, id, pledge_on, provide};
use proptest::prelude::*;
use std::sync::OnceLock;
use watt_ledger::genesis::GraceWindows;
use watt_ledger::query::{self, WaitingWindows};
use watt_ledger::rows::{self, PowerRow, ProviderRow};
use watt_ledger::{Done, Genesis, Refused};
use watt_primitives::terms::Device;
use watt_primitives::{DealId, SlotIndexInDeal, Window};

const DAY: u64 = 86_400_000;

/// Windows that a failed one costs besides its own.
const COST: u64 = 9;

/// Windows of a period in these worlds: somewhat more than a failure costs.
const PERIOD: u64 = 12;

/// How long a window is.
const MS: u64 = 10_000;

/// What the first of ten providers does in a window; the others answer, so that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Answers and opens it in the next.
    Open,
    /// Answers and does not open it: it fails, or waits for a folded proof.
    Answer,
    /// Answers, and declares its first sector faulty.
    Declare,
    /// Is not there.
    Sleep,
    /// Answers, but so few others do that the window is void.
    AnswerVoid,
}

fn document(cost: u64) -> Genesis {
    let mut genesis = genesis("failures");
    genesis.parameters.failed_window_cost = u32::try_from(cost).unwrap();
    genesis.parameters.settlement_windows = PERIOD;
    genesis
}

fn world_at(cost: u64) -> Stored {
    let mut world = World::of(&document(cost));
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    Stored::of(world, DAY)
}

/// In a network whose graces are shorter than a day's sleep, or longer; the first of the ten runs on this, the others on phones.
fn running_on(device: Device) -> Stored {
    let mut genesis = document(COST);
    genesis.parameters.grace_windows = GraceWindows {
        always_on: PERIOD / 2,
        daily: 2 * PERIOD,
        phone: 7 * PERIOD,
    };
    let mut world = World::of(&genesis);
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    let devices = std::iter::once(device).chain(std::iter::repeat(Device::Phone));
    for (n, device) in (10..20).zip(devices) {
        world.act(n, pledge_on(100 * SLOT, device)).unwrap();
    }
    Stored::of(world, DAY)
}

fn stored() -> Stored {
    static STORED: OnceLock<Stored> = OnceLock::new();
    STORED.get_or_init(|| world_at(COST)).clone()
}

impl Stored {
    fn row(&self) -> ProviderRow {
        query::provider(&self.world.state, &id(10)).unwrap().row
    }

    /// Windows that failed, what is owed and what was withheld for them, and what counts as proven, in seconds.
    fn books(&self) -> (u64, u64, u64, u64) {
        let row = self.row();
        (
            row.windows_failed,
            row.owed_ms / 1000,
            row.withheld_ms / 1000,
            row.proven_ms / 1000,
        )
    }

    /// Goes through a window and into the next, and says what came of the openings, if there were any.
    fn go_through(&mut self, does: Does) -> Option<Result<Done, Refused>> {
        self.world.open_window();
        let window = self.window();
        let n_others = if does == Does::AnswerVoid { 3 } else { 9 };
        let world = &self.world;
        let mut beats = Vec::new();
        for miner in self.miners.iter_mut().skip(1).take(n_others) {
            beats.push(miner.heartbeat(world, window, &[]));
        }
        match does {
            Does::Open | Does::Answer | Does::AnswerVoid => {
                beats.push(self.miners[0].heartbeat(world, window, &[]));
            }
            Does::Declare => beats.push(self.miners[0].heartbeat(world, window, &[1])),
            Does::Sleep => {}
        }
        assert!(self.world.beats(&beats).iter().all(Result::is_ok));
        self.world.open_next_window();
        (does == Does::Open).then(|| {
            let (operation, openings) = self.miners[0].proof(&self.world, window);
            self.world.act_with(10, operation, vec![openings])
        })
    }

    fn go_through_all(&mut self, all: &[Does]) {
        for does in all {
            let opened = self.go_through(*does);
            assert!(opened.is_none_or(|opened| opened.is_ok()), "{does:?}");
        }
    }

    /// Goes through a window whose answers say nothing of what the first can't read, and into the next; whether it could open it.
    fn conceal_a_window(&mut self) -> bool {
        let window = self.window();
        let world = &self.world;
        let mut beats: Vec<_> = self.miners[1..]
            .iter_mut()
            .map(|miner| miner.heartbeat(world, window, &[]))
            .collect();
        beats.push(self.miners[0].heartbeat_that_conceals(world, window));
        assert!(self.world.beats(&beats).iter().all(Result::is_ok));
        self.world.open_next_window();
        let (operation, openings) = self.miners[0].proof(&self.world, window);
        // Who can't open what is sampled keeps silent.
        let is_good = !openings.is_empty();
        if is_good {
            self.world.act_with(10, operation, vec![openings]).unwrap();
        }
        is_good
    }

    fn due(&self) -> Option<WaitingWindows> {
        query::due_windows(&self.world.state, &id(10))
    }

    fn settle_due(&mut self, due: &WaitingWindows, n_good: u32) -> Done {
        let (operation, proof) = settlement(&self.world, due.period.shown(n_good));
        self.world.act_with(10, operation, vec![proof]).unwrap()
    }

    /// Answers windows until a whole period of them is due; what is due before is settled.
    fn answer_a_period(&mut self) -> WaitingWindows {
        loop {
            self.go_through_all(&[Does::Answer]);
            let Some(due) = self.due() else { continue };
            if u64::from(due.period.n_windows) == PERIOD {
                return due;
            }
            self.settle_due(&due, due.period.n_windows);
        }
    }
}

/// A window that was answered and that a later one overtakes costs ten: its own pay, and that of the nine that are proven next. It
/// counts once; what comes after is paid as ever. Covers: D3, E4.
#[test]
fn an_overtaken_window_costs_ten() {
    let mut stored = stored();
    stored.go_through_all(&[Does::Answer]);
    assert_eq!(stored.books(), (0, 0, 0, 0), "a folded proof may still settle it");
    let done = stored.go_through(Does::Open).unwrap();
    let window = Window(stored.window() - 1);
    let withheld = Done::WindowProven {
        window,
        proven_ms: MS,
        withheld_ms: MS,
    };
    assert_eq!(done, Ok(withheld));
    assert_eq!(stored.books(), (1, 80, 10, 0));
    assert_eq!(stored.slot(10).proven_ms, 0);
    stored.go_through_all(&[Does::Open; 8]);
    assert_eq!(stored.books(), (1, 0, 90, 0));
    stored.go_through_all(&[Does::Open; 2]);
    assert_eq!(stored.books(), (1, 0, 90, 20));
    assert_eq!(stored.slot(10).proven_ms, 20_000);
    let row = stored.row();
    assert_eq!(row.windows_proven, 11, "what is withheld is proven all the same");
}

/// Windows that a folded proof says were bad cost ten each, at once: pay and power for the others are less by the same part.
/// Covers: D3, D5, E4.
#[test]
fn a_folded_proof_pays_for_its_own_failures() {
    let power = |stored: &Stored| {
        let row: Option<PowerRow> = rows::read(&stored.world.state, &rows::power(&stored.row().person));
        row.unwrap_or_default().byte_windows
    };
    let mut stored = stored();
    let due = stored.answer_a_period();
    let (earlier, power_before) = (stored.books().3, power(&stored));
    let done = stored.settle_due(&due, 11);
    let Done::WindowsSettled {
        proven_ms,
        withheld_ms,
        ..
    } = done
    else {
        unreachable!("{done:?}")
    };
    assert_eq!((proven_ms, withheld_ms), (110_000, 90_000));
    let (failed, owed, withheld, proven) = stored.books();
    assert_eq!((failed, owed, withheld, proven - earlier), (1, 0, 90, 20));
    assert_eq!(stored.slot(10).proven_ms, proven * 1000);
    assert_eq!(
        power(&stored) - power_before,
        2 << 20,
        "of eleven windows with 1 MiB"
    );
}

/// What lapses has failed, once: it is said as soon as it has lapsed, and stays what it is when the provider answers again. All of it
/// together costs no more than a period. Covers: D3, E4.
#[test]
fn what_lapses_costs_a_period_at_most() {
    let mut stored = stored();
    let due = stored.answer_a_period();
    let (failed, owed, withheld, earlier) = stored.books();
    assert_eq!((failed, owed, withheld), (0, 0, 0));
    let rest = query::waiting_windows(&stored.world.state, &id(10));
    let rest: u32 = rest.iter().skip(1).map(|waiting| waiting.period.n_asked).sum();
    stored.world.go_to_height(due.lapses_at.0 * 10);
    let (failed, owed, ..) = stored.books();
    assert!(
        failed >= PERIOD && failed <= PERIOD + u64::from(rest) + 1,
        "{failed}"
    );
    assert_eq!(owed, PERIOD * MS / 1000);
    stored.go_through_all(&[Does::Answer, Does::Answer]);
    let again = stored.books();
    assert_eq!((again.0, again.1), (failed, owed));
    // Everything that was answered in vain is counted by then, and nothing twice.
    let before = stored.row().windows_failed;
    stored.go_through_all(&[Does::Open]);
    let (all, owed, withheld, proven) = stored.books();
    assert_eq!((owed, withheld, proven), (110, 10, earlier));
    assert!(all >= before + 2, "the last two, and what still waited");
    stored.go_through_all(&[Does::Open; 12]);
    assert_eq!(stored.books(), (all, 0, 120, earlier + 10));
}

/// A folding provider with a bad window among its good ones does not bring the proof: that costs more than to say so, the pay of all its
/// windows at once and a whole period's of what comes (TS23). Covers: D3, E4.
#[test]
fn skip_settlement_after_bad_sample() {
    let mut stored = stored();
    let due = stored.answer_a_period();
    let n = due.period.n_windows;
    let (mut says, mut skips) = (stored.clone(), stored);
    says.settle_due(&due, n - 1);
    skips.world.go_to_height(due.lapses_at.0 * 10);
    says.world.go_to_height(due.lapses_at.0 * 10);
    let (of_says, of_skips) = (says.books(), skips.books());
    assert_eq!(of_says.3, of_skips.3 + (u64::from(n) - 1 - COST) * MS / 1000);
    assert_eq!(of_skips.1, PERIOD * MS / 1000);
    // Both go on alike, and the one that skipped never catches up.
    for _ in 0..2 * PERIOD {
        says.go_through_all(&[Does::Open]);
        skips.go_through_all(&[Does::Open]);
        assert!(skips.books().3 < says.books().3);
    }
    assert!(skips.books().0 >= of_says.0 + u64::from(n) - 1);
}

/// A phone that is set up anew has its key and its replica, but not the log of what it answered: what waits lapses. That costs the pay of
/// these windows and, at most, as much again of what comes; nothing that it has is taken, its slots stay, and then it is paid as ever
/// (TS23). Covers: D3, E4.
#[test]
fn phone_reinstall_not_slashed() {
    let mut phone = running_on(Device::Phone);
    let due = phone.answer_a_period();
    let (money, earned) = (phone.world.balance(10), phone.books().3);
    phone.world.go_to_height(due.lapses_at.0 * 10);
    phone.go_through_all(&[Does::Open]);
    let (failed, owed, withheld, _) = phone.books();
    assert!(failed >= PERIOD);
    assert!(owed + withheld <= PERIOD * MS / 1000);
    assert_eq!(phone.row().slots_lost, 0);
    assert_eq!(phone.row().proofs_failed, 0);
    assert_eq!(phone.world.balance(10), money);
    while phone.row().owed_ms > 0 {
        phone.go_through_all(&[Does::Open]);
    }
    let again = phone.books();
    assert!(again.2 <= PERIOD * MS / 1000, "once");
    phone.go_through_all(&[Does::Open; 3]);
    assert_eq!(phone.books(), (again.0, 0, again.2, again.3 + 30));
    assert!(phone.books().3 > earned);
    assert_eq!(phone.slot(10).proven_ms, phone.books().3 * 1000);
}

/// A phone that sleeps all day and is awake for some windows of the night answers these, and folds: each is paid, none fails, and its
/// slots stay, as its grace is that of a phone. What says that it is always on and sleeps so loses them (TS13). Covers: D3, E4.
#[test]
fn phone_doze_night_session_paid() {
    const AWAKE: usize = 4;
    let asleep = usize::try_from(PERIOD).unwrap() - AWAKE;
    let nights = |device, n: usize| {
        let mut stored = running_on(device);
        let mut settled_ms = 0;
        for _ in 0..n {
            for _ in 0..AWAKE {
                stored.go_through_all(&[Does::Answer]);
                if let Some(due) = stored.due() {
                    let done = stored.settle_due(&due, due.period.n_windows);
                    let Done::WindowsSettled {
                        withheld_ms: 0,
                        proven_ms,
                        ..
                    } = done
                    else {
                        unreachable!("{done:?}")
                    };
                    settled_ms += proven_ms;
                }
            }
            stored.go_through_all(&vec![Does::Sleep; asleep]);
            if stored.row().slots_lost > 0 {
                return (stored, None);
            }
        }
        (stored, Some(settled_ms))
    };
    let (phone, settled_ms) = nights(Device::Phone, 6);
    let (failed, owed, withheld, proven) = phone.books();
    assert_eq!((failed, owed, withheld), (0, 0, 0));
    assert_eq!(settled_ms, Some(proven * 1000));
    // What waits of the newest night, and nothing else, is not settled yet.
    assert!(settled_ms >= Some(5 * u64::try_from(AWAKE).unwrap() * MS - MS));
    assert!(phone.slot(10).proven_ms > 0);
    let (_, settled_ms) = nights(Device::AlwaysOn, 6);
    assert_eq!(settled_ms, None, "half a period is its grace");
}

/// The network stands still for three hours after a provider has answered, and after others have not: the window is void, so nobody has
/// missed it and nobody has failed it, and no deal, grace or debt counts the time (TS23). Covers: C5, D3, E4.
#[test]
fn ledger_halt_three_hours_no_fault() {
    let mut stored = stored();
    stored.go_through_all(&[Does::Open]);
    let before = stored.books();
    let missed = |stored: &Stored, n| {
        query::provider(&stored.world.state, &id(n))
            .unwrap()
            .proofs_missed
    };
    let clock = |stored: &Stored| query::head(&stored.world.state).unwrap().ledger_time;
    let window = Window(stored.window());
    let beat = stored.miners[0].heartbeat(&stored.world, window.0, &[]);
    stored.world.beat(beat).unwrap();
    let since = clock(&stored);
    stored.world.step_ms = 3 * 3_600_000;
    stored.world.skip(1);
    stored.world.step_ms = 1000;
    assert!(
        clock(&stored).0 - since.0 <= 60_000,
        "as long as the longest pause that is none"
    );
    stored.world.open_next_window();
    let row = query::window(&stored.world.state, window).unwrap();
    assert!(row.is_void && row.n_heartbeats == 1);
    // The one who answered does not open it; the next window, which counts, is proven by all.
    stored.go_through_all(&[Does::Open; 2]);
    let after = stored.books();
    assert_eq!((after.0, after.1, after.2), (before.0, 0, 0));
    assert_eq!(after.3, before.3 + 20);
    assert_eq!([10, 11, 19].map(|n| missed(&stored, n)), [0; 3]);
    assert_eq!(
        query::deal(&stored.world.state, &stored.deal)
            .unwrap()
            .row
            .lost
            .len(),
        0
    );
}

/// Void windows, windows in which nothing was left to prove, windows in which the provider was away, and declared faults cost nothing
/// beyond their own pay. Covers: D3, E4.
#[test]
fn void_windows_are_free() {
    let mut stored = stored();
    stored.go_through_all(&[Does::AnswerVoid, Does::Open]);
    assert_eq!(stored.books(), (0, 0, 0, 10));
    stored.go_through_all(&[Does::Sleep, Does::Sleep, Does::Open]);
    assert_eq!(stored.books(), (0, 0, 0, 20));
    // Its only sector is declared in one window, and left out of the next.
    stored.go_through_all(&[Does::Declare]);
    let opened = {
        let (operation, openings) = stored.miners[0].proof(&stored.world, stored.window() - 1);
        stored.world.act_with(10, operation, vec![openings])
    };
    assert!(opened.is_ok(), "{opened:?}");
    stored.go_through_all(&[Does::Answer, Does::Open]);
    let (failed, owed, withheld, _) = stored.books();
    assert_eq!((failed, owed, withheld), (0, 0, 0), "there was nothing to prove");
    // In a folded proof the void ones are taken for the bad ones first.
    let mut folded = self::stored();
    folded.go_through_all(&[Does::Answer, Does::AnswerVoid, Does::AnswerVoid]);
    let due = loop {
        if let Some(due) = folded.due().filter(|due| due.period.n_void > 0) {
            break due;
        }
        folded.go_through_all(&[Does::Answer]);
    };
    let (n, n_void) = (due.period.n_windows, due.period.n_void);
    let before = folded.row().windows_failed;
    folded.settle_due(&due, n - n_void);
    assert_eq!(folded.row().windows_failed, before);
    assert_eq!(folded.row().withheld_ms, 0);
}

/// A laptop that folds closes its lid after a heartbeat, for some windows, and when its period is due; it settles when it is open
/// again, and nothing is lost. One that opens its windows loses ten for each time. Covers: D3.
#[test]
fn a_laptop_that_folds_loses_nothing_by_sleeping() {
    let mut laptop = stored();
    let nap = [Does::Answer, Does::Sleep, Does::Sleep];
    let (mut n_settled, mut n_answered) = (0, 0);
    while n_settled < 2 * PERIOD {
        laptop.go_through_all(&nap);
        n_answered += 1;
        if let Some(due) = laptop.due() {
            laptop.go_through_all(&[Does::Sleep; 3]);
            let n = due.period.n_windows;
            laptop.settle_due(&due, n);
            n_settled += PERIOD;
        }
    }
    let (failed, owed, withheld, proven) = laptop.books();
    assert_eq!((failed, owed, withheld), (0, 0, 0));
    assert!(proven > 0 && proven <= n_answered * 10);

    let mut opens = stored();
    opens.go_through_all(&nap);
    opens.go_through_all(&[Does::Open]);
    assert_eq!(opens.books(), (1, 80, 10, 0));
}

/// A provider with eight sectors drops one of them and says nothing, because others would pay five times as much for the space. With
/// ten windows for each that fails it loses more than that; without, it would gain. Covers: C5, D3, E4.
#[test]
fn dropping_costs_more_than_it_saves() {
    const SECTORS: u64 = 8;
    const WINDOWS: u64 = 24;
    const WORTH: u64 = 5;
    let many = |cost: u64| {
        let mut stored = world_at(cost);
        for number in 2..=SECTORS {
            stored.miners[0]
                .add_sector(&mut stored.world, number, &[])
                .unwrap();
        }
        stored.world.open_next_window();
        stored
    };
    let earned = |mut stored: Stored, drops: bool| {
        if drops {
            stored.miners[0].sectors.remove(&SECTORS);
        }
        for _ in 0..WINDOWS {
            stored.conceal_a_window();
        }
        stored.slot(10).proven_ms / MS
    };
    let saves = WORTH * WINDOWS / SECTORS;
    let priced = many(COST);
    assert_eq!(earned(priced.clone(), false), WINDOWS);
    let (with, without) = (earned(priced, true), earned(many(0), true));
    assert!(WINDOWS - without < saves, "{without} of {WINDOWS} are paid");
    assert!(WINDOWS - with > saves, "{with} of {WINDOWS} are paid");
}

/// Half of the data is missing, and enough windows might be good by luck to make a day of them if some were enough: here each window
/// stands for itself, a good one among bad ones pays for these first, and nothing is left (TS13). Covers: C5, D3, E4.
#[test]
fn window_min_heartbeats_with_half_data() {
    let (mut stored, ..) = two_sectors();
    stored.world.open_next_window();
    stored.miners[0].sectors.remove(&2);
    let before = stored.books().3;
    // Four samples of two sectors all miss the one that is gone once in sixteen windows.
    let (mut n_before, mut n_bad, mut n_lucky) = (0, 0, 0);
    while n_lucky == 0 {
        match (stored.conceal_a_window(), n_bad) {
            (true, 0) => n_before += 1,
            (true, _) => n_lucky += 1,
            (false, _) => n_bad += 1,
        }
        assert!(n_bad < 20 * PERIOD, "luck never comes");
    }
    // What waits lapses.
    stored.world.skip(3 * PERIOD * 10);
    let (failed, owed, withheld, proven) = stored.books();
    assert_eq!((failed, withheld), (n_bad, n_lucky * MS / 1000));
    assert_eq!(proven, before + n_before * MS / 1000);
    assert!(owed > 0);
}

/// A provider of two sectors, of which the second came later.
fn two_sectors() -> (Stored, DealId, SlotIndexInDeal) {
    static STORED: OnceLock<(Stored, DealId, SlotIndexInDeal)> = OnceLock::new();
    let made = STORED.get_or_init(|| {
        let mut stored = stored();
        let deal = certified(&mut stored.world, 2);
        let load = load_of(&stored.world, deal, 2, 10);
        stored.miners[0]
            .add_sector(&mut stored.world, 2, &[load])
            .unwrap();
        (stored, deal, SlotIndexInDeal(load.1))
    });
    made.clone()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Go(Does),
    /// Settles what is due, with so many windows bad.
    Settle(u32),
    /// Nobody does anything for so many windows: they are void.
    Pause(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Go(Does::Open)),
        5 => Just(Step::Go(Does::Answer)),
        2 => Just(Step::Go(Does::Declare)),
        2 => Just(Step::Go(Does::Sleep)),
        1 => Just(Step::Go(Does::AnswerVoid)),
        3 => (0u32..4).prop_map(Step::Settle),
        1 => (1u8..16).prop_map(Step::Pause),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whatever a provider does: what counts and what was withheld is what was proven; no sector's time falls, or grows by more than
    /// its provider's; what failed is neither forgotten nor counted twice; and no money comes or goes ([`World::keep`] counts it).
    /// Covers: E4, F1.
    #[test]
    fn what_is_credited_is_proven(steps in proptest::collection::vec(step(), 10..60)) {
        let (mut stored, deal, index) = two_sectors();
        let times = |stored: &Stored| {
            let other = query::slot(&stored.world.state, &deal, index).unwrap().proven_ms;
            [stored.row().proven_ms, stored.slot(10).proven_ms, other]
        };
        let (mut proven, mut withheld, mut n_answered, mut n_proven) = (0, 0, 0, 0);
        for step in steps {
            let before = times(&stored);
            let done = match step {
                Step::Go(does) => {
                    n_answered += u64::from(does != Does::Sleep);
                    stored.go_through(does).and_then(Result::ok)
                }
                Step::Settle(bad) => stored.due().and_then(|due| {
                    let good = due.period.n_windows.checked_sub(bad).filter(|good| *good > 0)?;
                    Some(stored.settle_due(&due, good))
                }),
                Step::Pause(windows) => {
                    stored.world.go_to_height(stored.world.height() + 10 * u64::from(windows));
                    None
                }
            };
            match done {
                Some(Done::WindowProven { proven_ms, withheld_ms, .. }) => {
                    (proven, withheld) = (proven + proven_ms, withheld + withheld_ms);
                    n_proven += 1;
                }
                Some(Done::WindowsSettled { proven_ms, withheld_ms, n_good, .. }) => {
                    (proven, withheld) = (proven + proven_ms, withheld + withheld_ms);
                    n_proven += u64::from(n_good);
                }
                _ => {}
            }
            let (row, after) = (stored.row(), times(&stored));
            prop_assert_eq!((row.proven_ms + row.withheld_ms, row.withheld_ms), (proven, withheld));
            prop_assert!(row.owed_ms <= PERIOD * MS);
            prop_assert!(row.owed_ms + row.withheld_ms <= COST * row.windows_failed * MS);
            prop_assert!(row.windows_failed + n_proven <= n_answered);
            let grown = after[0] - before[0];
            for (before, after) in before.iter().zip(after) {
                prop_assert!(*before <= after && after - before <= grown);
            }
        }
    }
}
