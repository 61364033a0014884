use super::*;
use fold::tests::{Ledger, account};
use watt_ledger::rows;
use watt_proofs::Element;

/// A sector that the provider has sealed.
fn sealed(number: u64) -> LocalSector {
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
