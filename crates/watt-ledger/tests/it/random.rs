//! Whatever people send, in whatever order: money is conserved, numbers rise, blocks are the same for all.

use crate::seats::contradiction;
use crate::world::{GROUP, World, ask_terms, bid, bundle, certificate, id, key, pledge, provide, transfer};
use proptest::prelude::*;
use watt_ledger::query;
use watt_light::succession::Claim;
use watt_light::transaction::witness_hash;
use watt_light::{FoldedWindows, KeyRole, Operation, ShownTo, SlotRef, Succession, WindowShape};
use watt_primitives::terms::Piece;
use watt_primitives::{
    Amount, BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Term, TrustLevel, Window,
};
use watt_proofs::Element;

const DAY: u64 = 86_400_000;
const SLOT: u64 = 4 * GROUP;

/// One of every operation there is, whether or not it would succeed; the compiler asks for the next one here.
pub fn one_of_each(world: &World) -> Vec<Operation> {
    let deal = DealId([1; 32]);
    let openings = witness_hash(&world.network, b"openings");
    let list = vec![
        transfer(2, 1),
        Operation::AddKey {
            key: key(9).public(),
            role: KeyRole::Daily,
        },
        Operation::RemoveKey { key_index: 0 },
        pledge(1),
        Operation::PlaceAsk { terms: ask_terms(1) },
        Operation::WithdrawAsk {},
        bid(world, bundle(1, SLOT), 1, DAY),
        Operation::Certify {
            deal,
            acceptances: BoundedVec::empty(),
        },
        Operation::PreCommit {
            sector: SectorNumber(1),
            units: 1,
            seal_window: Window(0),
            pieces: BoundedVec::new(vec![Piece::Filler {
                offset: 0,
                len: 62 * GROUP,
            }])
            .unwrap(),
            comm_c: Hash::ZERO,
            comm_r: Hash::ZERO,
        },
        Operation::CommitSectors {
            batch: SectorNumber(1),
            openings,
        },
        Operation::ProveWindow {
            window: Window(0),
            openings,
        },
        Operation::Claim {
            slots: BoundedVec::empty(),
        },
        Operation::Terminate { deal },
        Operation::Settle { deal },
        Operation::AddTrust {
            to: id(2),
            level: TrustLevel::InPerson,
        },
        Operation::RemoveTrust { to: id(2) },
        Operation::StandForBackbone {
            vouchers: [id(1), id(2), id(3)],
        },
        Operation::WithdrawFromBackbone {},
        Operation::SetColdKey { hash: openings },
        Operation::RegisterVotingKeys {
            first_term: Term(1),
            keys: BoundedVec::empty(),
        },
        Operation::Attend {
            window: Window(0),
            header: openings,
            knows: 1,
            reveal: None,
        },
        Operation::ReportEvidence {
            evidence: Box::new(contradiction(world, 1)),
        },
        Operation::ApproveUpgrade {
            version: 2,
            not_before: Term(2),
        },
        Operation::Succeed {
            succession: Box::new(Succession::sign(
                Claim {
                    term: Term(0),
                    account: id(40),
                    generation: 1,
                    key: key(2).node_id(),
                },
                &key(2),
                &key(3),
                &world.network,
            )),
        },
        Operation::SettleWindows {
            windows: FoldedWindows {
                shape: WindowShape::Small,
                from: openings,
                to: openings,
                n_windows: 2,
                n_good: 1,
            },
            proof: openings,
        },
        Operation::Dispute {
            deal,
            slot: SlotIndexInDeal(0),
            group: 0,
        },
        Operation::AnswerDispute {
            deal,
            slot: SlotIndexInDeal(0),
            group: 0,
            shown: openings,
        },
        Operation::AnswerAudit {
            sector: SectorNumber(1),
            shown_to: ShownTo::Committee,
            openings,
        },
    ];
    assert_eq!(
        list.iter().map(kind).collect::<Vec<_>>(),
        (0..28).collect::<Vec<_>>()
    );
    list
}

fn kind(operation: &Operation) -> u8 {
    match operation {
        Operation::Transfer { .. } => 0,
        Operation::AddKey { .. } => 1,
        Operation::RemoveKey { .. } => 2,
        Operation::Pledge { .. } => 3,
        Operation::PlaceAsk { .. } => 4,
        Operation::WithdrawAsk {} => 5,
        Operation::PlaceBid { .. } => 6,
        Operation::Certify { .. } => 7,
        Operation::PreCommit { .. } => 8,
        Operation::CommitSectors { .. } => 9,
        Operation::ProveWindow { .. } => 10,
        Operation::Claim { .. } => 11,
        Operation::Terminate { .. } => 12,
        Operation::Settle { .. } => 13,
        Operation::AddTrust { .. } => 14,
        Operation::RemoveTrust { .. } => 15,
        Operation::StandForBackbone { .. } => 16,
        Operation::WithdrawFromBackbone {} => 17,
        Operation::SetColdKey { .. } => 18,
        Operation::RegisterVotingKeys { .. } => 19,
        Operation::Attend { .. } => 20,
        Operation::ReportEvidence { .. } => 21,
        Operation::ApproveUpgrade { .. } => 22,
        Operation::Succeed { .. } => 23,
        Operation::SettleWindows { .. } => 24,
        Operation::Dispute { .. } => 25,
        Operation::AnswerDispute { .. } => 26,
        Operation::AnswerAudit { .. } => 27,
    }
}

/// What a person wishes to do; what it comes to depends on the world at that time.
#[derive(Clone, Debug)]
enum Wish {
    Pay(u8, u64),
    Ask(u64),
    Pledge(u64),
    Withdraw,
    Bid(u8, u64, u64),
    Certify(u8),
    Claim(u8, u8),
    Terminate(u8),
    Settle(u8),
    PreCommit(u8, u8),
    Commit(u64),
    Trust(u8, u8),
    Beat,
    Wait(u64),
    Halt,
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => (0u8..14, 0u64..2_000_000_000_000).prop_map(|(to, amount)| Wish::Pay(to, amount)),
        1 => (1u64..2_000_000_000).prop_map(Wish::Ask),
        1 => (0u64..10 * SLOT).prop_map(Wish::Pledge),
        1 => Just(Wish::Withdraw),
        6 => (0u8..8, 1u64..2_000_000_000, 60_000u64..DAY / 12).prop_map(|(seed, price, term)| Wish::Bid(seed, price, term)),
        6 => (0u8..8).prop_map(Wish::Certify),
        3 => (0u8..8, 0u8..11).prop_map(|(deal, slot)| Wish::Claim(deal, slot)),
        2 => (0u8..8).prop_map(Wish::Terminate),
        2 => (0u8..8).prop_map(Wish::Settle),
        2 => (0u8..8, 0u8..11).prop_map(|(deal, slot)| Wish::PreCommit(deal, slot)),
        1 => (0u64..3).prop_map(Wish::Commit),
        2 => (0u8..14, 0u8..4).prop_map(|(to, level)| Wish::Trust(to, level)),
        1 => Just(Wish::Beat),
        4 => (1u64..40).prop_map(Wish::Wait),
        1 => Just(Wish::Halt),
    ]
}

fn operation(world: &World, deals: &[DealId], wish: &Wish) -> Option<Operation> {
    let deal = |n: u8| deals.get(usize::from(n) % deals.len().max(1)).copied();
    Some(match wish {
        Wish::Pay(to, amount) => transfer(*to, *amount),
        Wish::Ask(price) => Operation::PlaceAsk {
            terms: ask_terms(*price),
        },
        Wish::Pledge(bytes) => pledge(*bytes),
        Wish::Withdraw => Operation::WithdrawAsk {},
        Wish::Bid(seed, price, term) => bid(world, bundle(*seed, SLOT), *price, *term),
        Wish::Certify(n) => certificate(world, &deal(*n)?),
        Wish::Claim(n, slot) => Operation::Claim {
            slots: BoundedVec::new(vec![SlotRef {
                deal: deal(*n)?,
                slot: SlotIndexInDeal(*slot),
            }])
            .unwrap(),
        },
        Wish::Terminate(n) => Operation::Terminate { deal: deal(*n)? },
        Wish::Settle(n) => Operation::Settle { deal: deal(*n)? },
        Wish::PreCommit(n, slot) => pre_commit(world, deal(*n)?, *slot),
        Wish::Commit(sector) => Operation::CommitSectors {
            batch: SectorNumber(*sector),
            openings: witness_hash(&world.network, b"openings"),
        },
        Wish::Trust(to, level) => match TrustLevel::of_weight(*level) {
            Some(level) => Operation::AddTrust { to: id(*to), level },
            None => Operation::RemoveTrust { to: id(*to) },
        },
        Wish::Beat | Wish::Wait(_) | Wish::Halt => return None,
    })
}

/// A sector of somebody's slot with made-up roots: taken as a commitment, never provable.
fn pre_commit(world: &World, deal: DealId, slot: u8) -> Operation {
    let seed = world.height();
    let roots = query::deal(&world.state, &deal).map(|deal| deal.row.terms.slot_roots);
    let root = roots
        .and_then(|roots| roots.get(usize::from(slot)).copied())
        .unwrap_or(Hash::ZERO);
    let pieces = vec![
        Piece::Slot {
            deal,
            slot: SlotIndexInDeal(slot),
            root,
            offset: 0,
            len: SLOT,
        },
        Piece::Filler {
            offset: SLOT,
            len: 62 * GROUP - SLOT,
        },
    ];
    Operation::PreCommit {
        sector: SectorNumber(seed % 3),
        units: 1,
        seal_window: Window(world.height() / 10),
        pieces: BoundedVec::new(pieces).unwrap(),
        comm_c: Hash::ZERO,
        comm_r: Hash(Element::of_hash(&Hash::of_content(&seed.to_be_bytes())).to_bytes()),
    }
}

fn all_nonces(world: &World) -> Vec<u64> {
    let rows = (0..14).map(|n| query::account(&world.state, &id(n)).unwrap());
    rows.flat_map(|row| row.keys.iter().map(|key| key.nonce).collect::<Vec<_>>())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Supply, balances, escrow and the state's root agree after every block ([`World::keep`] counts all money again), numbers
    /// never fall, and what clients locked is exactly what was paid, returned or is still locked. Covers: A5, E4, F1.
    #[test]
    fn random_people_never_make_money(wishes in proptest::collection::vec((0u8..14, wish()), 1..60)) {
        let mut world = World::new();
        provide(&mut world, 2..14, 6 * SLOT, 100_000_000);
        let supply = query::head(&world.state).unwrap().supply.supply;
        let mut deals: Vec<DealId> = Vec::new();
        for (person, wish) in wishes {
            let before = all_nonces(&world);
            match wish {
                Wish::Wait(n) => world.skip(n),
                Wish::Halt => {
                    world.step_ms = 5 * DAY;
                    world.skip(1);
                    world.step_ms = 1000;
                }
                Wish::Beat if person >= 2 => {
                    let window = Window((world.height() + 1) / 10);
                    let heartbeat = world.sign_beat(person, window, Hash::ZERO, &[]);
                    let _refused_or_not = world.beat(heartbeat);
                }
                _ => {
                    let Some(operation) = operation(&world, &deals, &wish) else { continue };
                    let witness = operation.witness().map(|_| b"openings".to_vec()).into_iter().collect();
                    let signed = world.sign_with(person, vec![operation], witness);
                    world.block(vec![signed]);
                    for receipt in &world.last.receipts {
                        if let Ok(watt_ledger::Done::BidPlaced { deal, .. }) = crate::world::result(receipt) {
                            deals.push(deal);
                        }
                    }
                }
            }
            prop_assert!(before.iter().zip(all_nonces(&world)).all(|(before, after)| *before <= after));
            prop_assert_eq!(query::head(&world.state).unwrap().supply.supply, supply);
        }
        for deal in &deals {
            check_deal(&world, deal)?;
        }
        // Left alone, every deal ends by itself, and nothing stays locked.
        world.step_ms = 60_000;
        while query::head(&world.state).unwrap().supply.in_escrow > Amount::ZERO && world.height() < 20_000 {
            world.blind_skip(100);
        }
        world.check_invariants();
        prop_assert_eq!(query::head(&world.state).unwrap().supply.in_escrow, Amount::ZERO);
        for deal in &deals {
            check_deal(&world, deal)?;
            let stage = query::deal(&world.state, deal).unwrap().row.stage;
            let is_over = matches!(stage, watt_ledger::rows::DealStage::Ended { .. });
            prop_assert!(is_over);
        }
    }
}

fn check_deal(world: &World, deal: &DealId) -> Result<(), TestCaseError> {
    use watt_ledger::rows::DealStage;
    let found = query::deal(&world.state, deal).unwrap();
    match found.row.stage {
        DealStage::Open { .. } => {}
        DealStage::Matched { .. } | DealStage::Active { .. } | DealStage::Ending { .. } => {
            let shares = found.slots.iter().map(|slot| slot.row.funds.share);
            prop_assert_eq!(Amount::checked_sum(shares), Some(found.row.escrow));
            for slot in &found.slots {
                let funds = &slot.row.funds;
                prop_assert_eq!(
                    funds.share.0,
                    funds.paid.total().0 + funds.refunded.0 + funds.left().0
                );
            }
        }
        DealStage::Ended { paid, refunded, .. } => {
            prop_assert_eq!(paid.total().0 + refunded.0, found.row.escrow.0);
        }
    }
    Ok(())
}
