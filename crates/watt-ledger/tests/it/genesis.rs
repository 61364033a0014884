//! What a network can start with.

use crate::world::{World, genesis, id, key};
use watt_ledger::block::BODY_BYTES_MAX;
use watt_ledger::genesis::{
    AUDIT_WINDOWS_MAIN, DISPUTE_SLOTS_MAIN, DISPUTE_SLOTS_MAX, FAILED_WINDOW_COST_MAIN,
    FAILED_WINDOW_COST_MAX, GRACE_WINDOWS_MAX, GRACE_WINDOWS_MIN, GenesisAccount, InvalidGenesis,
    RefusedGenesis, SETTLEMENT_WINDOWS_MAIN, SETTLEMENT_WINDOWS_MAX, SLOT_MS_MAIN, STANDBY_POWER_MAIN_MIN,
    TERM_WINDOWS_MAIN, WINDOW_SLOTS_MAIN,
};
use watt_ledger::{Genesis, genesis_block, query};
use watt_light::BackboneEntry;
use watt_primitives::amount::SUPPLY_MAX;
use watt_primitives::{Amount, BlockHeight, BoundedVec, Hash, NodeId, Term};

/// Block 0 holds the accounts, the rules and the backbone, and is the same on every machine. Covers: I1.
#[test]
fn genesis_is_block_zero() {
    let document = genesis("test");
    let world = World::of(&document);
    let head = query::head(&world.state).unwrap();
    assert_eq!(head.header.height, BlockHeight(0));
    assert_eq!((head.header.parent, head.header.value), (Hash::ZERO, Hash::ZERO));
    assert_eq!(head.supply.supply, Amount(50 * crate::world::START.0));
    assert_eq!(head.rules.network, document.network());
    assert_eq!(
        head.header.next_backbone,
        document.quorum_set().hash(&document.network())
    );
    assert_eq!(
        query::account(&world.state, &id(49)).unwrap().keys[0].key,
        key(49).public()
    );
    assert_eq!(genesis_block(&document), genesis_block(&document));
    assert_ne!(
        genesis_block(&genesis("other")).unwrap().header,
        world.last.header
    );
}

/// Each rule that a document can break, those of main networks among them. Covers: D1, I1, I4.
#[test]
fn senseless_networks_are_refused() {
    let refused = |change: &dyn Fn(&mut Genesis)| {
        let mut document = genesis("test");
        change(&mut document);
        match genesis_block(&document) {
            Err(RefusedGenesis::Document(why)) => why,
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!(refused(&|g| g.is_main = true), InvalidGenesis::InsecureProofs);
    let secure_main = |g: &mut Genesis| {
        (g.is_main, g.parameters.insecure_proofs) = (true, false);
        g.parameters.porep_committee = 15;
    };
    let enough_seeds = |g: &mut Genesis, n: u8| {
        secure_main(g);
        let accounts = (0..n).map(|n| GenesisAccount {
            key: key(n).public(),
            balance: Amount::ZERO,
        });
        g.accounts = BoundedVec::new(accounts.collect()).unwrap();
        g.trust_seeds = BoundedVec::new((0..n).map(id).collect()).unwrap();
        g.council = BoundedVec::new((0..7).map(id).collect()).unwrap();
        g.council_until = Term(730);
        g.parameters.standby_power_bytes = STANDBY_POWER_MAIN_MIN;
        g.parameters.slot_ms = SLOT_MS_MAIN;
        g.parameters.window_slots = WINDOW_SLOTS_MAIN;
        g.parameters.commit_slots = 4 * WINDOW_SLOTS_MAIN;
        g.parameters.term_windows = TERM_WINDOWS_MAIN;
        g.parameters.settlement_windows = SETTLEMENT_WINDOWS_MAIN;
        g.parameters.failed_window_cost = FAILED_WINDOW_COST_MAIN;
        g.parameters.dispute_slots = DISPUTE_SLOTS_MAIN;
        g.parameters.audit_windows = AUDIT_WINDOWS_MAIN;
    };
    let nobody_looks = |g: &mut Genesis| g.parameters.audit_windows = 1;
    assert_eq!(refused(&nobody_looks), InvalidGenesis::AuditWindows);
    let no_time = |g: &mut Genesis| {
        (g.parameters.audit_windows, g.parameters.porep_committee) = (1, 4);
        g.parameters.dispute_slots = 2 * g.parameters.window_slots - 1;
    };
    assert_eq!(refused(&no_time), InvalidGenesis::AuditWindows);
    for windows in [0, AUDIT_WINDOWS_MAIN + 1] {
        let seldom = |g: &mut Genesis| {
            enough_seeds(g, 101);
            g.parameters.audit_windows = windows;
        };
        assert_eq!(refused(&seldom), InvalidGenesis::AuditWindows);
    }
    for slots in [0, DISPUTE_SLOTS_MAX + 1] {
        let change = |g: &mut Genesis| g.parameters.dispute_slots = slots;
        assert_eq!(refused(&change), InvalidGenesis::DisputeSlots);
    }
    for windows in [GRACE_WINDOWS_MIN - 1, GRACE_WINDOWS_MAX + 1] {
        let change = |g: &mut Genesis| g.parameters.grace_windows.daily = windows;
        assert_eq!(refused(&change), InvalidGenesis::GraceWindows);
    }
    let hurried = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.dispute_slots -= 1;
    };
    assert_eq!(refused(&hurried), InvalidGenesis::DisputeSlots);
    let lenient = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.grace_windows.always_on += 1;
    };
    assert_eq!(refused(&lenient), InvalidGenesis::GraceWindows);
    let settled_by_the_hour = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.settlement_windows = 6;
    };
    let not_in_time = InvalidGenesis::SettlementWindows;
    assert_eq!(refused(&settled_by_the_hour), not_in_time);
    for windows in [0, SETTLEMENT_WINDOWS_MAX + 1] {
        assert_eq!(
            refused(&|g| g.parameters.settlement_windows = windows),
            not_in_time
        );
    }
    let cheap = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.failed_window_cost = 0;
    };
    assert_eq!(refused(&cheap), InvalidGenesis::FailedWindowCost);
    let dear = |g: &mut Genesis| g.parameters.failed_window_cost = FAILED_WINDOW_COST_MAX + 1;
    assert_eq!(refused(&dear), InvalidGenesis::FailedWindowCost);
    let weak_candidates = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.standby_power_bytes -= 1;
    };
    assert_eq!(refused(&weak_candidates), InvalidGenesis::Power);
    assert_eq!(
        refused(&|g| g.parameters.power_unit_bytes = 0),
        InvalidGenesis::Power
    );
    let without_council = |g: &mut Genesis| {
        enough_seeds(g, 101);
        (g.council, g.council_until) = (BoundedVec::empty(), Term(0));
    };
    assert_eq!(refused(&without_council), InvalidGenesis::Council);
    assert_eq!(refused(&|g| enough_seeds(g, 100)), InvalidGenesis::TrustSeeds);
    let mut main = genesis("main");
    enough_seeds(&mut main, 101);
    assert!(genesis_block(&main).is_ok());
    for seeds in [vec![id(1), id(2), id(1)], vec![id(60)]] {
        let change = |g: &mut Genesis| g.trust_seeds = BoundedVec::new(seeds.clone()).unwrap();
        assert_eq!(refused(&change), InvalidGenesis::TrustSeeds);
    }
    assert_eq!(refused(&|g| g.parameters.slot_ms = 0), InvalidGenesis::SlotTime);
    for slots in [0, 1, 1025] {
        let why = InvalidGenesis::WindowSlots;
        assert_eq!(refused(&|g| g.parameters.window_slots = slots), why);
    }
    for slots in [19, 2049] {
        let why = InvalidGenesis::CommitSlots { min: 20, max: 2048 };
        assert_eq!(refused(&|g| g.parameters.commit_slots = slots), why);
    }
    assert_eq!(
        refused(&|g| g.parameters.certify_slots = 0),
        InvalidGenesis::CertifySlots
    );
    for found in [0, 10_001] {
        assert_eq!(
            refused(&|g| g.parameters.block_transactions_max = found),
            InvalidGenesis::BlockTransactions { found }
        );
    }
    // Too small for some transaction, too large for a message between nodes.
    for found in [600_000, u32::try_from(BODY_BYTES_MAX).unwrap() + 1] {
        assert!(matches!(
            refused(&|g| g.parameters.block_bytes_max = found),
            InvalidGenesis::BlockBytes { found: told, .. } if told == found
        ));
    }
    let mut largest = genesis("test");
    largest.parameters.block_transactions_max = 10_000;
    largest.parameters.block_bytes_max = u32::try_from(BODY_BYTES_MAX).unwrap();
    assert_eq!(largest.check(), Ok(()));
    let twice = |n: usize| {
        let account = |balance| GenesisAccount {
            key: key(1).public(),
            balance,
        };
        BoundedVec::new(vec![account(SUPPLY_MAX); n]).unwrap()
    };
    assert_eq!(
        refused(&|g| g.accounts = twice(2)),
        InvalidGenesis::Account { index: 1 }
    );
    let mut two = twice(2).into_inner();
    two[1].key = key(2).public();
    let two = BoundedVec::new(two).unwrap();
    assert_eq!(refused(&|g| g.accounts = two.clone()), InvalidGenesis::Supply);
    for windows in [0, 1, 4097] {
        let change = |g: &mut Genesis| g.parameters.term_windows = windows;
        assert_eq!(refused(&change), InvalidGenesis::TermWindows);
    }
    let too_short = |g: &mut Genesis| (g.parameters.window_slots, g.parameters.term_windows) = (5, 3);
    assert_eq!(refused(&too_short), InvalidGenesis::TermWindows);
    let short_main = |g: &mut Genesis| {
        enough_seeds(g, 101);
        g.parameters.term_windows = 143;
    };
    assert_eq!(refused(&short_main), InvalidGenesis::TermWindows);
    // A day is one by the clock too: of a main network's 160 windows of 108 slots of 5 s.
    assert_eq!(SLOT_MS_MAIN * DISPUTE_SLOTS_MAIN, 86_400_000);
    for ms in [SLOT_MS_MAIN - 1, 60_000] {
        let other_pace = |g: &mut Genesis| {
            enough_seeds(g, 101);
            g.parameters.slot_ms = ms;
        };
        assert_eq!(refused(&other_pace), InvalidGenesis::SlotTime);
    }
    for slots in [WINDOW_SLOTS_MAIN - 1, 1000] {
        let other_windows = |g: &mut Genesis| {
            enough_seeds(g, 101);
            (g.parameters.window_slots, g.parameters.commit_slots) = (slots, 2000);
        };
        assert_eq!(refused(&other_windows), InvalidGenesis::WindowSlots);
    }
    let seat = crate::world::seat(0);
    let other = |account, key| BackboneEntry {
        account,
        key,
        cold_key: None,
    };
    let (stranger, unsafe_key) = (other(id(60), seat.key), other(id(1), NodeId([0; 32])));
    let (same_key, same_account) = (other(id(1), seat.key), other(seat.account, key(1).node_id()));
    for backbone in [
        vec![],
        vec![seat, same_key],
        vec![seat, same_account],
        vec![stranger],
        vec![unsafe_key],
    ] {
        let backbone = BoundedVec::new(backbone).unwrap();
        assert_eq!(
            refused(&|g| g.backbone = backbone.clone()),
            InvalidGenesis::Backbone
        );
    }
}
