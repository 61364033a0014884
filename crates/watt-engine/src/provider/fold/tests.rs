use super::*;
use crate::effect::AnsweredWindow;
use crate::provider::tests::sealed;
use crate::provider::{LocalSector, ProviderConfig, Settle};
use watt_ledger::genesis::{self, GenesisAccount};
use watt_ledger::rows::{self, ChainRow, DutyWindowRow, HeartbeatRow, Period, PeriodsRow, ProviderRow};
use watt_ledger::state::Writes;
use watt_ledger::{Genesis, MemoryState, NetworkParameters};
use watt_light::{BackboneEntry, WindowShape};
use watt_primitives::terms::{AskTerms, Device, Endpoint};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedString, BoundedVec, Hash, SecretKey, SectorNumber, Term,
    Timestamp, codec,
};
use watt_proofs::Element;

const WINDOW_SLOTS: u64 = 4;

pub(in crate::provider) fn key() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

pub(in crate::provider) fn account() -> AccountId {
    AccountId::of_first_key(&key().public())
}

/// The provider and others, as many as a council takes.
fn people() -> impl Iterator<Item = SecretKey> {
    (1..=7).map(|seed| SecretKey::from_seed([seed; 32]))
}

pub(in crate::provider) fn genesis() -> Genesis {
    let funded = |key: SecretKey| GenesisAccount {
        key: key.public(),
        balance: Amount::from_watt(1_000).unwrap(),
    };
    Genesis {
        name: BoundedString::new("folding".to_owned()).unwrap(),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        parameters: NetworkParameters {
            slot_ms: 1_000,
            window_slots: WINDOW_SLOTS,
            term_windows: 144,
            settlement_windows: 4,
            failed_window_cost: 9,
            block_transactions_max: 500,
            block_bytes_max: 2 << 20,
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
            restart_windows: 4,
        },
        accounts: BoundedVec::new(people().map(funded).collect()).unwrap(),
        protocol: 1,
        council: BoundedVec::new(
            people()
                .map(|key| AccountId::of_first_key(&key.public()))
                .collect(),
        )
        .unwrap(),
        council_until: Term(1_000),
        trust_seeds: BoundedVec::empty(),
        backbone: BoundedVec::new(vec![BackboneEntry {
            account: account(),
            key: key().node_id(),
            cold_key: None,
        }])
        .unwrap(),
    }
}

/// A ledger with one provider, whose rows a test writes.
pub(in crate::provider) struct Ledger {
    pub(in crate::provider) state: MemoryState,
    genesis: Genesis,
}

impl Ledger {
    pub(in crate::provider) fn new() -> Self {
        Self::of(genesis())
    }

    pub(in crate::provider) fn of(genesis: Genesis) -> Self {
        let mut state = MemoryState::default();
        state.write(&genesis::genesis_block(&genesis).unwrap().writes);
        Self { state, genesis }
    }

    pub(in crate::provider) fn write<T: serde::Serialize>(&mut self, key: Vec<u8>, row: &T) {
        self.state.write(&Writes::from([(key, Some(codec::encode(row)))]));
    }

    /// The head is the second block of this window.
    pub(in crate::provider) fn enter(&mut self, window: u64) {
        let mut chain: ChainRow = rows::read(&self.state, rows::CHAIN).unwrap();
        chain.height = BlockHeight(window * WINDOW_SLOTS + 1);
        self.write(rows::CHAIN.to_vec(), &chain);
    }

    /// What `window` asks with is made.
    pub(in crate::provider) fn make_beacon(&mut self, window: u64) {
        let row = DutyWindowRow {
            asked: BlockHeight(0),
            header: None,
            beacon: Some(Hash::of_content(&window.to_be_bytes())),
            is_filled: false,
        };
        self.write(rows::duty_window(Window(window - 1)), &row);
    }

    fn answer(&mut self, window: u64) {
        let row = HeartbeatRow {
            state: element("state"),
            set: element("set"),
            answers: element("answers"),
            n_sectors: 1,
            bytes: 1,
            left_out: BoundedVec::empty(),
            faults: BoundedVec::empty(),
            is_proven: false,
        };
        self.write(rows::heartbeat(&account(), Window(window)), &row);
        self.note(|provider| provider.last_heartbeat = Some(Window(window)));
    }

    fn note(&mut self, change: impl FnOnce(&mut ProviderRow)) {
        let row = rows::read(&self.state, &rows::provider(&account()));
        let mut row = row.unwrap_or_else(|| ProviderRow::new(account(), BlockHeight(0)));
        change(&mut row);
        self.write(rows::provider(&account()), &row);
    }

    fn wait(&mut self, waiting: Vec<Period>) {
        let row = PeriodsRow {
            taken_to: Some(Window(100)),
            waiting: BoundedVec::new(waiting).unwrap(),
        };
        self.write(rows::periods(&account()), &row);
    }

    pub(in crate::provider) fn provider(&self, settle: Settle) -> Provider {
        self.provider_with(settle, Vec::new())
    }

    /// A provider that finds these sectors on its disk.
    pub(in crate::provider) fn provider_with(&self, settle: Settle, local: Vec<LocalSector>) -> Provider {
        let config = ProviderConfig {
            account_key: key(),
            capacity_bytes: 1 << 30,
            endpoint: Endpoint::default(),
            person: None,
            device: Device::default(),
            ask: AskTerms {
                price: Amount(1),
                slot_bytes_min: 1,
                slot_bytes_max: 1 << 20,
                term_ms_max: 1,
                hot: false,
            },
            units: (1, 64),
            settle,
        };
        Provider::new(config, self.genesis.network(), &self.genesis.parameters, local)
    }

    /// What the provider wants done, and the settlements that it hands in.
    fn look(&self, provider: &mut Provider) -> (Vec<Effect>, Vec<SignedTransaction>) {
        let chain: ChainRow = rows::read(&self.state, rows::CHAIN).unwrap();
        let mut effects = Vec::new();
        let said = provider.look(&self.state, chain.height, |_| true, &mut effects);
        let mut out = said.transactions;
        let settles = |operation: &Operation| matches!(operation, Operation::SettleWindows { .. });
        out.retain(|signed| signed.transaction.operations.iter().any(settles));
        (effects, out)
    }
}

fn element(name: &str) -> Element {
    Element::of_hash(&Hash::of_content(name.as_bytes()))
}

fn period(number: u64, first: u64, last: u64) -> Period {
    Period {
        number,
        shape: WindowShape::Small,
        first: Window(first),
        last: Window(last),
        from: element("from"),
        to: element("to"),
        n_windows: 3,
        n_void: 0,
        n_asked: 0,
        ms: 0,
        asked_ms: 0,
        byte_windows: 0,
        faulty: BoundedVec::empty(),
    }
}

fn logged(effects: Vec<Effect>) -> Vec<AnsweredWindow> {
    let mut logged = Vec::new();
    for effect in effects {
        if let Effect::LogWindow { answered, .. } = effect {
            logged.push(*answered);
        }
    }
    logged
}

/// An answered window is logged once, when its sample is known; if that never is, with the zero that stands for it on the ledger. Who
/// settles window by window logs nothing. Covers: D2, D3.
#[test]
fn a_window_is_logged_when_its_sample_is_known() {
    let mut ledger = Ledger::new();
    ledger.make_beacon(5);
    ledger.answer(5);
    ledger.enter(5);
    let mut provider = ledger.provider(Settle::Folded);
    assert_eq!(
        logged(ledger.look(&mut provider).0),
        [],
        "it may still be answered"
    );
    ledger.enter(6);
    assert_eq!(
        logged(ledger.look(&mut provider).0),
        [],
        "its sample is not known"
    );
    let mut never_drawn = ledger.provider(Settle::Folded);

    ledger.make_beacon(6);
    let [answered] = logged(ledger.look(&mut provider).0).try_into().unwrap();
    assert_eq!((answered.window, answered.state), (Window(5), element("state")));
    assert_eq!(answered.shown.answers, element("answers"));
    assert_ne!(answered.shown.next_beacon, Element::default());
    provider.window_logged(Window(5), Ok(()));
    assert_eq!(logged(ledger.look(&mut provider).0), [], "once");
    assert_eq!(logged(ledger.look(&mut ledger.provider(Settle::Windows)).0), []);
    let mut second_life = ledger.provider(Settle::Folded);
    assert_eq!(
        logged(ledger.look(&mut second_life).0),
        [answered],
        "whatever it knew"
    );

    ledger
        .state
        .write(&Writes::from([(rows::duty_window(Window(5)), None)]));
    ledger.enter(7);
    let [late] = logged(ledger.look(&mut never_drawn).0).try_into().unwrap();
    assert_eq!(late.shown.next_beacon, Element::default());
}

/// Windows that wait are folded ahead; those that are due are proven once, and handed in until they are settled, which is then said.
/// Covers: D3, D4.
#[test]
fn what_is_due_is_proven_once_and_handed_in() {
    let mut ledger = Ledger::new();
    ledger.note(|_| {});
    ledger.wait(vec![period(0, 0, 2), period(100, 3, 4)]);
    ledger.enter(5);
    let mut provider = ledger.provider(Settle::Folded);
    let (effects, out) = ledger.look(&mut provider);
    let [Effect::FoldAhead(ahead), Effect::FoldWindows(due)] = effects.as_slice() else {
        unreachable!("{effects:?}");
    };
    assert_eq!((ahead.first, due.first, out.len()), (Window(3), Window(0), 0));
    assert_eq!(
        (due.from, due.to, due.n_windows),
        (element("from"), element("to"), 3)
    );
    assert!(ledger.look(&mut provider).0.is_empty(), "each once");

    let windows = period(0, 0, 2).shown(2);
    provider.windows_folded(Window(0), Window(5), Ok((windows, b"proof".to_vec())));
    assert!(provider.folding.work().is_proven);
    let [signed] = ledger.look(&mut provider).1.try_into().unwrap();
    let [proof] = signed.folded_proofs().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        (proof.windows, proof.proof.as_slice()),
        (windows, b"proof".as_slice())
    );
    assert!(ledger.look(&mut provider).1.is_empty(), "it is on its way");

    ledger.wait(vec![period(100, 3, 4)]);
    ledger.note(|row| row.last_proven = Some(Window(2)));
    assert!(ledger.look(&mut provider).1.is_empty());
    let settled = SettledPeriod {
        first: Window(0),
        last: Window(2),
        n_windows: 3,
        end: PeriodEnd::Settled { n_good: 2 },
    };
    assert_eq!(provider.folding.work().last, Some(settled));
    assert_eq!(provider.folding.work().settling, None);
}

/// What can't be proven is said, and tried again in the next window and not before; when it lapses that is said, too. Covers: D4.
#[test]
fn what_can_not_be_proven_is_tried_once_a_window() {
    let mut ledger = Ledger::new();
    ledger.note(|_| {});
    ledger.wait(vec![period(0, 0, 2)]);
    ledger.enter(5);
    let mut provider = ledger.provider(Settle::Folded);
    let folds = |effects: &[Effect]| {
        let is_fold = |effect: &&Effect| matches!(effect, Effect::FoldWindows(_));
        effects.iter().filter(is_fold).count()
    };
    assert_eq!(folds(&ledger.look(&mut provider).0), 1);
    provider.windows_folded(Window(0), Window(5), Err("the log is lost".to_owned()));
    let trouble = provider.work().trouble.unwrap();
    assert_eq!(trouble, "windows 0 to 2 can't be settled: the log is lost");
    assert_eq!(folds(&ledger.look(&mut provider).0), 0);
    // Periods begin elsewhere for every provider: the next window may be too late for this one.
    ledger.wait(vec![period(1, 0, 2)]);
    ledger.enter(9);
    assert_eq!(folds(&ledger.look(&mut provider).0), 1);
    provider.windows_folded(Window(9), Window(9), Err("of other windows".to_owned()));
    ledger.wait(Vec::new());
    assert_eq!(folds(&ledger.look(&mut provider).0), 0);
    assert_eq!(
        provider.folding.work().last.unwrap().end,
        PeriodEnd::Lapsed,
        "it has lapsed"
    );
}

/// A proof that was handed in by an earlier life, and lands in this one before it has made its own, is no loss. Covers: D3.
#[test]
fn what_an_earlier_life_handed_in_is_settled() {
    let mut ledger = Ledger::new();
    ledger.note(|_| {});
    ledger.wait(vec![period(0, 0, 2)]);
    ledger.enter(5);
    let mut provider = ledger.provider(Settle::Folded);
    ledger.look(&mut provider);
    ledger.wait(Vec::new());
    ledger.note(|row| row.last_proven = Some(Window(2)));
    ledger.look(&mut provider);
    let last = provider.folding.work().last.unwrap();
    assert_eq!((last.last, last.end), (Window(2), PeriodEnd::SettledBefore));
}

/// A window that the disk did not take is logged again a few blocks later; until the log has it nothing is removed that its step is
/// made from. Covers: D2, D3.
#[test]
fn a_window_that_was_not_logged_is_logged_again() {
    let mut ledger = Ledger::new();
    ledger.make_beacon(5);
    ledger.make_beacon(6);
    ledger.answer(5);
    ledger.enter(6);
    // Of a number that was used, and no sector of the ledger any more.
    ledger.write(rows::used_sector(&account(), SectorNumber(1)), &());
    let mut provider = ledger.provider_with(Settle::Folded, vec![sealed(1)]);
    let removed = |effects: &[Effect]| {
        let is_removal = |effect: &&Effect| matches!(effect, Effect::RemoveSector { .. });
        effects.iter().filter(is_removal).count()
    };
    let effects = ledger.look(&mut provider).0;
    assert_eq!((removed(&effects), logged(effects).len()), (0, 1));
    provider.window_logged(Window(5), Err("the disk is full".to_owned()));
    assert_eq!(logged(ledger.look(&mut provider).0).len(), 0, "not at once");
    // Windows of four slots.
    ledger.enter(7);
    let effects = ledger.look(&mut provider).0;
    assert_eq!((removed(&effects), logged(effects).len()), (0, 1));
    provider.window_logged(Window(5), Ok(()));
    let effects = ledger.look(&mut provider).0;
    assert_eq!((removed(&effects), logged(effects).len()), (1, 0));
}
