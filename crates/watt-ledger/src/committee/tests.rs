#![expect(clippy::arithmetic_side_effects, reason = "counting how many ways there are")]

use super::*;
use crate::genesis::{
    DISPUTE_SLOTS_MAIN, GRACE_WINDOWS_MAIN, NetworkParameters, RESTART_WINDOWS_MAIN, SETTLEMENT_WINDOWS_MAIN,
    TERM_WINDOWS_MAIN,
};
use crate::state::{MemoryState, Writes};
use std::collections::BTreeMap;
use watt_light::backbone::BackboneEntry;
use watt_light::transaction::WITNESS_BYTES_MAX;
use watt_light::verdict::{BATCH_MAX, COMMITTEE_MAX, OPENINGS_BYTES_MAX, SECTOR_OPENINGS_BYTES_MAX};
use watt_primitives::terms::{PIECES_MAX, Piece};
use watt_primitives::{BoundedString, DealId, SlotIndexInDeal, codec};

/// Seats of the largest backbone.
const SEATS: u8 = 61;

fn account(n: u8) -> AccountId {
    AccountId([n; 20])
}

/// Rules of a network with the numbers of a main one.
pub(crate) fn rules() -> RulesRow {
    RulesRow {
        network: NetworkId::derive(Hash([7; 32])),
        name: BoundedString::new("test".to_owned()).unwrap(),
        is_main: false,
        parameters: NetworkParameters {
            slot_ms: 5_000,
            window_slots: 120,
            term_windows: TERM_WINDOWS_MAIN,
            settlement_windows: SETTLEMENT_WINDOWS_MAIN,
            failed_window_cost: 9,
            block_transactions_max: 200,
            block_bytes_max: 2 << 20,
            certify_slots: 20,
            certify_slots_per_gb: 10,
            commit_slots: 240,
            dispute_slots: DISPUTE_SLOTS_MAIN,
            grace_windows: GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1,
            standby_power_bytes: 0,
            insecure_proofs: false,
            porep_committee: 15,
            audit_windows: 0,
            restart_windows: RESTART_WINDOWS_MAIN,
        },
    }
}

/// A state of `n` seats.
fn seats(n: u8) -> MemoryState {
    let entry = |n: u8| BackboneEntry {
        account: account(n),
        key: NodeId([n; 32]),
        cold_key: None,
    };
    let backbone = Backbone::new((1..=n).map(entry).collect()).unwrap();
    let term = rules().terms().of_height(BlockHeight(120));
    let mut state = MemoryState::default();
    let row = (rows::backbone(term), Some(codec::encode(&backbone)));
    state.write(&Writes::from([row]));
    state
}

/// One of many beacons.
fn beacon(n: u64) -> Beacon {
    let network = rules().network;
    let layer = Hash::of_content(&n.to_be_bytes());
    Beacon::of_window(
        &network,
        &Beacon::first(&network),
        Window(0),
        &[1],
        &[layer],
        None,
    )
}

fn draw(state: &MemoryState, beacon: &Beacon, provider: u8, sector: u64) -> Committee {
    draw_for(Asking::ToCommit, state, beacon, provider, sector)
}

fn draw_for(asking: Asking, state: &MemoryState, beacon: &Beacon, provider: u8, sector: u64) -> Committee {
    let (provider, sector) = (account(provider), SectorNumber(sector));
    let question = Question {
        asking,
        window: Window(1),
        deadline: BlockHeight(1_000),
    };
    Committee::draw(state, &rules(), beacon, &provider, sector, &question).unwrap()
}

/// Binomial coefficient.
fn choose(n: u128, k: u128) -> u128 {
    (0..k).fold(1, |product, i| product * (n - i) / (i + 1))
}

/// Ways to draw 15 of 61 seats of which `captured` are one attacker's, so that at least 11 are; and all ways.
fn captures(captured: u128) -> (u128, u128) {
    let others = 61 - captured;
    let ways = |own: u128| choose(captured, own) * choose(others, 15 - own);
    ((11..=15).map(ways).sum(), choose(61, 15))
}

/// Of how many draws one has 11 members or more of an attacker with `percent` of very many seats.
fn one_in(percent: u128) -> u128 {
    let ways = |own: u32| choose(15, own.into()) * percent.pow(own) * (100 - percent).pow(15 - own);
    100u128.pow(15) / (11..=15).map(ways).sum::<u128>()
}

/// Who repeats pre-commitments until the committee is theirs needs as many sector numbers, replicas and windows as the table of
/// `proofs.md` 6.13 says: each number draws a committee of its own, by a beacon that is made after the pre-commitment, and the draws come
/// out as chance has it. Covers: D2 (TS4).
#[test]
fn porep_committee_retry_until_captured() {
    let state = seats(SEATS);
    let (first, second) = (beacon(1), beacon(2));
    let committee = draw(&state, &first, 100, 7);
    assert_eq!((committee.members.len(), committee.needed()), (COMMITTEE_MAX, 11));
    assert_eq!(
        committee,
        draw(&state, &first, 100, 7),
        "everybody draws the same"
    );
    assert_ne!(committee, draw(&state, &first, 100, 8), "another number");
    assert_ne!(committee, draw(&state, &first, 101, 7), "another provider");
    assert_ne!(committee, draw(&state, &second, 100, 7), "another beacon");
    let again = draw_for(Asking::Again, &state, &first, 100, 7);
    assert_ne!(committee, again, "another purpose");

    // An attacker with half of the seats, and more than half: what is counted is what chance says.
    for (captured, n_draws) in [(30u8, 4_000u64), (37, 1_000)] {
        let is_captured = |n: &u64| {
            let members = draw(&state, &beacon(*n), 100, 1).members;
            let own = members
                .iter()
                .filter(|member| member.account <= account(captured));
            own.count() >= 11
        };
        let counted = (0..n_draws).filter(is_captured).count();
        let counted = u128::try_from(counted).unwrap();
        let (ways, all) = captures(captured.into());
        let expected = u128::from(n_draws) * ways / all;
        assert!(expected > 20, "{expected}");
        assert!(
            counted * 4 > expected * 3 && counted * 4 < expected * 5,
            "{counted} of {expected}"
        );
    }
    // The table: very many seats, and 61 of which the attacker has 18, 20, 24, 30.
    assert_eq!([30, 33, 40, 50].map(one_in), [1487, 607, 106, 16]);
    let of_61 = [18, 20, 24, 30].map(|captured| {
        let (ways, all) = captures(captured);
        all / ways
    });
    assert_eq!(of_61, [16_938, 3_830, 376, 32]);
}

/// A small backbone looks at a sector whole, with its own quorum; in one of more seats than members the provider's own is left out.
/// Covers: D2.
#[test]
fn committees_of_small_backbones() {
    for (n, needed) in [(1, 1), (4, 3), (7, 5), (13, 9), (15, 11)] {
        let committee = draw(&seats(n), &beacon(1), 1, 1);
        assert_eq!(
            (committee.members.len(), committee.needed()),
            (usize::from(n), needed)
        );
        assert!(committee.members.is_sorted_by_key(|member| member.account));
        assert!(
            committee
                .members
                .iter()
                .any(|member| member.account == account(1))
        );
    }
    let state = seats(16);
    for n in 0..100 {
        let committee = draw(&state, &beacon(n), 1, 1);
        assert_eq!(committee.members.len(), 15);
        assert!(
            committee
                .members
                .iter()
                .all(|member| member.account != account(1))
        );
    }
}

/// A successor's key counts as its seat's, and the lost one no more. Covers: A9, D2.
#[test]
fn a_successor_gives_verdicts() {
    let mut state = seats(4);
    let term = rules().terms().of_height(BlockHeight(120));
    let row = SuccessionRow {
        generation: 1,
        key: NodeId([99; 32]),
    };
    let key = rows::succession(term, &account(2));
    state.write(&Writes::from([(key, Some(codec::encode(&row)))]));
    let committee = draw(&state, &beacon(1), 100, 1);
    assert_eq!(committee.place_of(&NodeId([99; 32])), Some(1));
    assert_eq!(committee.place_of(&NodeId([2; 32])), None);
}

/// How often a network of so many live sectors asks each again: once in so many windows on average, however few there are, and at every
/// lot alike. Covers: D2 (TS4).
#[test]
fn audits_come_at_their_rate() {
    for (n_lots, windows) in [(3u64, 10u64), (10, 10), (25, 10), (7, 1), (1, 4)] {
        let mut asked: BTreeMap<u64, u64> = (0..n_lots).map(|lot| (lot, 0)).collect();
        let n_draws = 4_000;
        for n in 0..n_draws {
            let beacon = beacon(n);
            let n_audits = beacon.audits(n_lots, windows);
            assert!((n_lots / windows..=n_lots.div_ceil(windows)).contains(&n_audits));
            for number in 0..n_audits {
                *asked.get_mut(&beacon.audited_lot(number, n_lots)).unwrap() += 1;
            }
        }
        let expected = n_draws / windows;
        for (lot, n) in &asked {
            assert!(
                n * 5 > expected * 4 && n * 5 < expected * 6,
                "lot {lot} of {n_lots} was asked {n} times, not about {expected}"
            );
        }
    }
    assert_eq!(beacon(1).audits(0, 10), 0, "nothing to ask");
    assert_eq!(beacon(1).audits(10, 0), 0, "a network without audits");
    assert!(beacon(1).audits(u64::MAX, 1) > 0);
}

/// The table of `proofs.md` 6.15: how many draws an attacker needs for a committee of its own is what it has for each audit, so a fake is
/// lost in the first one but for these chances; and of audits that come once in half a year on average, the part of fakes that was not
/// asked yet after so many days. Covers: D2 (TS4).
#[test]
fn how_long_a_captured_committee_pays() {
    let windows = crate::genesis::AUDIT_WINDOWS_MAIN;
    assert_eq!(windows, 28_800);
    // Of a million fakes, in fixed point: those not asked yet after so many days of 160 windows.
    let left_after = |days: u64| {
        (0..days * TERM_WINDOWS_MAIN).fold(1_000_000_000_000u128, |left, _| left - left / u128::from(windows))
            / 1_000_000
    };
    let days = [30, 90, 180, 365, 730].map(left_after);
    assert_eq!(days, [846_479, 606_525, 367_873, 131_623, 17_324]);
}

/// A sector of the main parameters with `n` shares of which none is smaller than it must be, and nothing else.
fn packed(n: u64) -> PieceTable {
    let size = SectorSize::new(&ProofParams::MAIN, ProofParams::MAIN.units_max).unwrap();
    let group = 16 * 1024;
    let len = size.payload_bytes() / group / n * group;
    let slot = |at: u64| Piece::Slot {
        deal: DealId([u8::try_from(at).unwrap(); 32]),
        slot: SlotIndexInDeal(0),
        root: Hash([1; 32]),
        offset: at * len,
        len: if at + 1 == n {
            size.payload_bytes() - at * len
        } else {
            len
        },
    };
    PieceTable::check(size, (0..n).map(slot).collect()).unwrap()
}

/// The most bytes of the openings of a sector, over some challenges.
fn longest(pieces: &PieceTable, heavy: HeavyChallenges) -> usize {
    let params = ProofParams::MAIN;
    let network = NetworkId::derive(Hash([2; 32]));
    let lengths = (0..16).map(|seed| {
        let statement = PorepStatement {
            network: &network,
            provider: &AccountId([3; 20]),
            sector: SectorNumber(1),
            pieces,
            comm_c: Hash::ZERO,
            comm_r: Element::default(),
            seal_seed: Hash::ZERO,
            challenge_seed: Hash([seed; 32]),
            heavy,
        };
        verify::porep_bytes_max(&params, &statement)
    });
    lengths.max().unwrap()
}

/// The most openings that sectors of the main parameters can have, with as many shares as fit in their tables, are above what a
/// transaction takes and below what a member takes from a provider: one that is asked alone, and the largest batch. With two
/// shares in each, a batch of eight shows a quarter more than one sector alone. Covers: D1, D2 (TS4, K3).
#[test]
fn openings_of_main_parameters_fit_the_wire() {
    let full = packed(u64::try_from(PIECES_MAX).unwrap());
    let together = |n_sectors| HeavyChallenges::of_batch(&ProofParams::MAIN, n_sectors);
    let alone = longest(&full, together(1));
    let bound = WITNESS_BYTES_MAX * 3..SECTOR_OPENINGS_BYTES_MAX * 3 / 4;
    assert!(bound.contains(&alone), "{alone}");
    let batch = longest(&full, together(BATCH_MAX)) * BATCH_MAX;
    assert!(
        batch > SECTOR_OPENINGS_BYTES_MAX && batch < OPENINGS_BYTES_MAX * 3 / 4,
        "{batch}"
    );
    // The numbers of `proofs.md` 6.12, in steps of 10 KB.
    let tens = |bytes: usize| (bytes + 5_000) / 10_000;
    let two = packed(2);
    let of_sector = [
        longest(&two, together(1)),
        longest(&two, together(BATCH_MAX)),
        alone,
        longest(&full, together(BATCH_MAX)),
    ];
    assert_eq!(of_sector.map(tens), [173, 27, 211, 71]);
    // Of a live sector that is asked again they fit in a block, however many shares it has (`ledger.md` 9.15 e).
    let again = longest(&full, HeavyChallenges::AUDIT);
    assert!(again < WITNESS_BYTES_MAX / 2, "{again}");
    assert_eq!([longest(&two, HeavyChallenges::AUDIT), again].map(tens), [10, 21]);
}
