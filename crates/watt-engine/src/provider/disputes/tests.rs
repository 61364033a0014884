use super::*;
use crate::provider::Settle;
use crate::provider::fold::tests::{Ledger, account};
use watt_ledger::rows::{self, ChainRow, SlotRow};
use watt_market::SlotFunds;
use watt_primitives::terms::Device;
use watt_primitives::{Amount, BlockHeight, DealId, SectorNumber, SlotIndexInDeal};

fn slot(n: u8) -> SlotRef {
    SlotRef {
        deal: DealId([n; 32]),
        slot: SlotIndexInDeal(n),
    }
}

/// The provider holds the slot; group `group` of it is asked for until `answer_by`, or nothing is.
fn hold(ledger: &mut Ledger, slot: SlotRef, asked: Option<(u32, u64)>) {
    let row = SlotRow {
        provider: account(),
        funds: SlotFunds::open(Amount(1), 1 << 20, 1, 1).unwrap(),
        accepted_height: BlockHeight(1),
        sector: Some(SectorNumber(1)),
        device: Device::AlwaysOn,
        dispute: asked.map(|(group, answer_by)| DisputeRow {
            by: account(),
            group,
            fee: Amount(1),
            since: BlockHeight(1),
            counted_before: 0,
            answer_by: BlockHeight(answer_by),
        }),
        last_claim: None,
    };
    ledger.write(rows::slot(&slot.deal, slot.slot), &row);
    ledger.write(rows::indexed_slot(&account(), &slot.deal, slot.slot), &());
}

/// Groups that are to be read, and slots that are answered for.
fn look(ledger: &Ledger, provider: &mut Provider) -> (Vec<(SlotRef, u32)>, Vec<SlotRef>) {
    let chain: ChainRow = rows::read(&ledger.state, rows::CHAIN).unwrap();
    let mut effects = Vec::new();
    let out = provider.look(&ledger.state, chain.height, |_| true, &mut effects);
    let mut read = Vec::new();
    for effect in effects {
        if let Effect::ShowGroup { slot, group } = effect {
            read.push((slot, group));
        }
    }
    let mut answered = Vec::new();
    let said = out.transactions.iter();
    for operation in said.flat_map(|signed| signed.transaction.operations.iter()) {
        if let Operation::AnswerDispute { deal, slot, .. } = operation {
            answered.push(SlotRef {
                deal: *deal,
                slot: *slot,
            });
        }
    }
    (read, answered)
}

/// What is asked for is read at once, the most urgent first, and shown as soon as it is read; a new life reads it again; what is closed
/// is forgotten, and asked for anew it is read anew. Covers: C5.
#[test]
fn what_is_asked_for_is_shown() {
    let mut ledger = Ledger::new();
    ledger.enter(5);
    hold(&mut ledger, slot(1), Some((7, 90)));
    hold(&mut ledger, slot(2), Some((3, 60)));
    hold(&mut ledger, slot(3), None);
    let mut provider = ledger.provider(Settle::Windows);
    let both = vec![(slot(2), 3), (slot(1), 7)];
    assert_eq!(look(&ledger, &mut provider), (both.clone(), vec![]));
    assert_eq!(look(&ledger, &mut provider), (vec![], vec![]), "it is being read");
    provider.group_shown(slot(1), 6, Ok(vec![1]));
    assert_eq!(look(&ledger, &mut provider), (vec![], vec![]), "another group");
    provider.group_shown(slot(1), 7, Ok(vec![1]));
    assert_eq!(look(&ledger, &mut provider), (vec![], vec![slot(1)]));
    assert_eq!(look(&ledger, &mut provider), (vec![], vec![]), "it is on its way");

    let mut reborn = ledger.provider(Settle::Windows);
    assert_eq!(look(&ledger, &mut reborn), (both, vec![]));

    hold(&mut ledger, slot(1), None);
    look(&ledger, &mut provider);
    hold(&mut ledger, slot(1), Some((7, 120)));
    assert_eq!(look(&ledger, &mut provider).0, [(slot(1), 7)]);
}

/// What can't be read is said, and tried again after a while: it may come back with the disk. Covers: C5.
#[test]
fn what_cannot_be_read_is_tried_again() {
    let mut ledger = Ledger::new();
    ledger.enter(5);
    hold(&mut ledger, slot(1), Some((7, 900)));
    let mut provider = ledger.provider(Settle::Windows);
    look(&ledger, &mut provider);
    provider.group_shown(slot(1), 7, Err("the disk is gone".to_owned()));
    assert!(
        provider
            .work()
            .trouble
            .is_some_and(|said| said.contains("the disk is gone"))
    );
    assert_eq!(look(&ledger, &mut provider).0, []);
    // Windows of four slots.
    ledger.enter(7);
    assert_eq!(look(&ledger, &mut provider).0, []);
    ledger.enter(8);
    assert_eq!(look(&ledger, &mut provider).0, [(slot(1), 7)]);
}
