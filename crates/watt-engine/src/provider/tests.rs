use super::*;
use fold::tests::{Ledger, account};
use watt_ledger::rows::{
    self, AskRow, ChainRow, DealRow, DealStage, ProviderRow, SectorRow, SectorStage, SlotRow,
};
use watt_market::SlotFunds;
use watt_primitives::class::Class;
use watt_primitives::terms::BundleTerms;
use watt_primitives::{Amount, Cid, LedgerTime};
use watt_proofs::Element;

/// A sector that the provider has sealed.
pub(super) fn sealed(number: u64) -> LocalSector {
    LocalSector {
        job: SealJob {
            provider: account(),
            sector: SectorNumber(number),
            units: 1,
            pieces: Vec::new(),
            seal_window: Window(5),
            seal_seed: Hash::ZERO,
        },
        roots: SealedRoots {
            comm_c: Hash::ZERO,
            comm_r: Element::default(),
        },
    }
}

/// A provider with these sectors on its disk, in window 5.
fn provider_of(ledger: &mut Ledger, sectors: impl Iterator<Item = u64>) -> Provider {
    ledger.enter(5);
    let mut provider = ledger.provider(Settle::Windows);
    let local = sectors.map(|number| (SectorNumber(number), sealed(number)));
    provider.local.extend(local);
    provider
}

/// Sectors to which each transaction of a look at this height commits, if none of those before landed.
fn pre_committed(ledger: &Ledger, provider: &mut Provider, height: u64) -> Vec<Vec<u64>> {
    let mut view = View::read(&ledger.state, provider.network, provider.account).unwrap();
    view.height = BlockHeight(height);
    provider.submitter.settle(&ledger.state, view.height, |_| false);
    let mut out = Vec::new();
    provider.pre_commit(&view, &mut out);
    let sectors_of = |signed: &SignedTransaction| {
        let operations = signed.transaction.operations.iter();
        let sectors = operations.map(|operation| {
            let Operation::PreCommit { sector, .. } = operation else {
                unreachable!("{operation:?}")
            };
            sector.0
        });
        sectors.collect()
    };
    out.iter().map(sectors_of).collect()
}

/// Sectors that are ready at once are committed to together; if that comes to nothing, each alone, so that one that is refused does not
/// keep the others back. Covers: D1 (K3).
#[test]
fn what_is_ready_is_committed_to_together() {
    let mut ledger = Ledger::new();
    let mut provider = provider_of(&mut ledger, 1..=10);
    let together = vec![(1..=8).collect::<Vec<_>>(), vec![9, 10]];
    assert_eq!(pre_committed(&ledger, &mut provider, 100), together);
    assert!(
        pre_committed(&ledger, &mut provider, 101).is_empty(),
        "on their way"
    );
    provider.local.insert(SectorNumber(11), sealed(11));
    let mut alone = pre_committed(&ledger, &mut provider, 110);
    assert_eq!(alone.len(), 11);
    alone.sort_unstable();
    assert_eq!(alone, (1..=11).map(|number| vec![number]).collect::<Vec<_>>());
}

/// All sectors of a batch are opened together, in its order, at so many places each; with one that is not on the disk none is.
/// Covers: D1 (K3).
#[test]
fn a_batch_is_opened_whole() {
    let mut ledger = Ledger::new();
    let mut provider = provider_of(&mut ledger, 1..=3);
    let row = BatchRow {
        sectors: BoundedVec::new(vec![SectorNumber(3), SectorNumber(1)]).unwrap(),
        challenge_window: Window(5),
        deadline: BlockHeight(1_000),
    };
    ledger.write(rows::batch(&account(), SectorNumber(3)), &row);
    let opened = |ledger: &Ledger, provider: &mut Provider| {
        let view = View::read(&ledger.state, provider.network, provider.account).unwrap();
        assert_eq!(view.batches.len(), 1);
        let job = provider.open_job(SectorNumber(3), &row, &view)?;
        let sectors = job.sectors.iter().map(|asked| asked.job.sector.0);
        Some((sectors.collect::<Vec<_>>(), job.heavy.random))
    };
    assert_eq!(opened(&ledger, &mut provider), None, "its beacon is not made yet");
    ledger.make_beacon(5);
    assert_eq!(opened(&ledger, &mut provider), Some((vec![3, 1], 4)));
    provider.local.remove(&SectorNumber(1));
    assert_eq!(opened(&ledger, &mut provider), None);
    assert!(
        provider
            .work()
            .trouble
            .unwrap()
            .contains("sector 1 is not on this disk")
    );
}

/// A price at which a slot of 16 KiB earns something every millisecond, per 10^9 bytes and day.
const PRICE: u64 = 100_000_000_000_000;

/// What is paid for.
const TERM_MS: u64 = 60_000;

/// The provider holds slot 0 of deal `n`, whose term runs; it lies in this sector.
fn hold(ledger: &mut Ledger, n: u8, sector: Option<u64>, last_claim: Option<u64>) {
    let deal = DealId([n; 32]);
    let slot_bytes = 16 << 10;
    let row = DealRow {
        client: account(),
        terms: BundleTerms {
            class: Class::Devnet,
            header: Cid(Hash::ZERO),
            manifest: Cid(Hash::ZERO),
            slot_bytes,
            slot_roots: BoundedVec::new(vec![Hash([n; 32])]).unwrap(),
        },
        price_max: Amount(1),
        term_ms: 1,
        reservation_ms_max: 1,
        bid_height: BlockHeight(1),
        escrow: Amount(1),
        stage: DealStage::Active {
            height: BlockHeight(1),
            at: LedgerTime(0),
            ends_at: LedgerTime(1),
        },
        lost: BoundedVec::empty(),
    };
    ledger.write(rows::deal(&deal), &row);
    let slot = SlotRow {
        provider: account(),
        funds: SlotFunds::open(Amount(PRICE), slot_bytes, TERM_MS, TERM_MS).unwrap(),
        accepted_height: BlockHeight(1),
        sector: sector.map(SectorNumber),
        device: Device::AlwaysOn,
        dispute: None,
        last_claim: last_claim.map(Window),
    };
    ledger.write(rows::slot(&deal, SlotIndexInDeal(0)), &slot);
    ledger.write(rows::indexed_slot(&account(), &deal, SlotIndexInDeal(0)), &());
}

fn look(ledger: &Ledger, provider: &mut Provider) -> (Vec<Effect>, Vec<SignedTransaction>) {
    let chain: ChainRow = rows::read(&ledger.state, rows::CHAIN).unwrap();
    let mut effects = Vec::new();
    let said = provider.look(&ledger.state, chain.height, |_| true, &mut effects);
    (effects, said.transactions)
}

/// The slots that are to be sealed now, by the number of their deal.
fn to_seal(effects: &[Effect]) -> Option<(SectorNumber, Vec<u8>)> {
    effects.iter().find_map(|effect| {
        let Effect::Seal(job) = effect else { return None };
        Some((job.sector, slots_of(job).map(|(deal, _)| deal.0[0]).collect()))
    })
}

/// A share that can't be read keeps no other from being sealed: those that were in a sector that failed come after all others, alone and
/// not at once. Covers: D1.
#[test]
fn a_share_that_cannot_be_read_keeps_no_other_back() {
    let mut ledger = Ledger::new();
    ledger.make_beacon(5);
    ledger.enter(5);
    [1, 2].into_iter().for_each(|n| hold(&mut ledger, n, None, None));
    let mut provider = ledger.provider(Settle::Windows);
    let (sector, together) = to_seal(&look(&ledger, &mut provider).0).unwrap();
    assert_eq!(together, [1, 2]);
    provider.sealed(sector, Err("share 1 can't be read".to_owned()));
    assert_eq!(to_seal(&look(&ledger, &mut provider).0), None, "not at once");
    hold(&mut ledger, 3, None, None);
    let (mut sealed, first) = (Vec::new(), sector);
    // Windows of four slots; 24 blocks.
    for window in [11, 17, 23, 29] {
        ledger.enter(window);
        ledger.make_beacon(window);
        let (sector, slots) = to_seal(&look(&ledger, &mut provider).0).unwrap();
        let result = if slots == [1] {
            Err("share 1 can't be read".to_owned())
        } else {
            Ok(super::tests::sealed(0).roots)
        };
        assert_ne!(sector, first, "its number may not be free");
        provider.sealed(sector, result);
        sealed.push(slots);
    }
    assert_eq!(sealed, [vec![3], vec![1], vec![2], vec![1]]);
}

/// What the disk refuses is not tried again with the next event, but some blocks later. Covers: D1, D2.
#[test]
fn what_failed_waits() {
    let mut pauses = Pauses::default();
    let waits = [
        (Job::Seal, 24),
        (Job::Open(SectorNumber(1)), 24),
        (Job::Respond(Window(5)), 3),
        (Job::OpenWindow(Window(5)), 3),
        (Job::Log(Window(5)), 3),
    ];
    for (job, blocks) in waits {
        pauses.enter(BlockHeight(100));
        pauses.begin(job);
        pauses.enter(BlockHeight(100 + blocks - 1));
        assert!(pauses.has(job), "{job:?}");
        pauses.enter(BlockHeight(100 + blocks));
        assert!(!pauses.has(job), "{job:?}");
    }
    let mut ledger = Ledger::new();
    let mut provider = provider_of(&mut ledger, 1..=1);
    look(&ledger, &mut provider);
    provider.batch_opened(SectorNumber(1), Err("a group is damaged".to_owned()));
    provider.responded(Window(5), Err("the disk is full".to_owned()));
    assert!(provider.pauses.has(Job::Open(SectorNumber(1))));
    assert!(provider.pauses.has(Job::Respond(Window(5))));
    let row = BatchRow {
        sectors: BoundedVec::new(vec![SectorNumber(1)]).unwrap(),
        challenge_window: Window(5),
        deadline: BlockHeight(1_000),
    };
    ledger.write(rows::batch(&account(), SectorNumber(1)), &row);
    ledger.make_beacon(5);
    let opens = |effects: &[Effect]| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::OpenBatch(_)))
    };
    assert!(!opens(&look(&ledger, &mut provider).0), "not at once");
    ledger.enter(11);
    assert!(opens(&look(&ledger, &mut provider).0), "24 blocks later");
}

/// Proven time is claimed in a transaction of its own, when nothing that has a deadline is on its way, and again only a quarter of a
/// period later; so a proof is nothing but a duty, for which blocks keep room. Covers: E4, A7.
#[test]
fn claims_keep_no_proof_back() {
    let mut ledger = Ledger::new();
    let mut provider = provider_of(&mut ledger, std::iter::empty());
    hold(&mut ledger, 1, Some(7), None);
    hold(&mut ledger, 2, Some(7), Some(4));
    hold(&mut ledger, 3, Some(7), Some(10));
    let sector = SectorRow {
        units: 1,
        comm_d: Hash::ZERO,
        comm_c: Hash::ZERO,
        comm_r: Element::default(),
        seal_seed: Hash::ZERO,
        stage: SectorStage::Active { from: Window(4) },
        n_slots: 3,
        proven_ms_start: Some(0),
        faulty_ms: 0,
        last_fault: None,
        unpaid: None,
    };
    ledger.write(rows::sector(&account(), SectorNumber(7)), &sector);
    let claimed = |ledger: &Ledger, provider: &mut Provider| {
        let out = look(ledger, provider).1;
        let claims = out.iter().flat_map(|signed| {
            let operations = &signed.transaction.operations;
            operations.iter().filter_map(|operation| {
                let Operation::Claim { slots } = operation else {
                    return None;
                };
                Some((operations.len(), slots.clone()))
            })
        });
        let claims: Vec<_> = claims.collect();
        let [(n_operations, slots)] = claims.as_slice() else {
            return Vec::new();
        };
        assert_eq!(*n_operations, 1);
        slots.iter().map(|slot| slot.deal.0[0]).collect()
    };
    let mut row = ProviderRow::new(account(), BlockHeight(0));
    (row.capacity_bytes, row.person, row.heartbeat_key) =
        (provider.config.capacity_bytes, account(), OWN_KEY);
    row.device = provider.config.device;
    let (terms, since) = (provider.config.ask.clone(), BlockHeight(0));
    ledger.write(rows::ask(&account()), &AskRow { terms, since });
    ledger.write(rows::provider(&account()), &row);
    assert!(claimed(&ledger, &mut provider).is_empty(), "nothing is proven");
    row.proven_ms = 1_000;
    ledger.write(rows::provider(&account()), &row);
    let head = BlockHeight(21);
    let proof = provider
        .submitter
        .make(Purpose::Prove(Window(4)), Vec::new(), Vec::new(), head);
    assert!(proof.is_some());
    assert!(
        claimed(&ledger, &mut provider).is_empty(),
        "a proof is on its way"
    );
    ledger.enter(10);
    assert_eq!(
        claimed(&ledger, &mut provider),
        [1, 2],
        "3 was paid in this window"
    );
    assert!(claimed(&ledger, &mut provider).is_empty(), "it is on its way");
}
