use super::*;
use crate::backbone::BackboneEntry;
use alloc::vec;
use watt_primitives::Timestamp;

const NETWORK: NetworkId = NetworkId::new([7; 32]);

fn key(n: u64) -> SecretKey {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    SecretKey::from_seed(seed)
}

fn plan(network: NetworkId, restart_no: u64, height: u64, n_seats: u64) -> RestartPlan {
    let seat = |n| BackboneEntry {
        account: AccountId::of_first_key(&key(n).public()),
        key: key(1_000_000 | n).node_id(),
        cold_key: Some(Hash([9; 32])),
    };
    RestartPlan {
        network,
        restart_no,
        base: Header {
            network,
            height: BlockHeight(height),
            version: u32::MAX,
            parent: Hash([1; 32]),
            value: Hash([2; 32]),
            is_empty: false,
            close_time: Timestamp(u64::MAX),
            state_root: Hash([3; 32]),
            receipts_root: Hash([4; 32]),
            rank_root: Hash([5; 32]),
            next_backbone: Hash([6; 32]),
            history_root: Hash([7; 32]),
        },
        backbone: Backbone::new((0..n_seats).map(seat).collect()).unwrap(),
        reason: BoundedString::new("x".repeat(REASON_BYTES_MAX)).unwrap(),
    }
}

/// Plans follow one another by network, number and base; what does not, names no network. Covers: A1.
#[test]
fn plans_name_a_network_in_their_order() {
    let one = plan(NETWORK, 1, 10, 4);
    let two = plan(one.network_after(), 2, 20, 4);
    let after = |plans: &[&RestartPlan]| network_after(NETWORK, plans.iter().copied());
    assert_eq!(after(&[]), Some(NETWORK));
    assert_eq!(after(&[&one]), Some(one.network_after()));
    assert_eq!(after(&[&one, &two]), Some(two.network_after()));
    let beside = plan(one.network_after(), 2, 10, 4);
    let skipped = plan(one.network_after(), 3, 20, 4);
    let foreign = plan(NetworkId::new([8; 32]), 1, 10, 4);
    for wrong in [
        &[&two][..],
        &[&one, &one],
        &[&two, &one],
        &[&one, &beside],
        &[&one, &skipped],
        &[&foreign],
    ] {
        assert_eq!(after(wrong), None);
    }
}

/// The largest plan and the largest restart fit into what they are given, and nobody reads more of them than a network can have.
#[test]
fn the_largest_fit_and_one_more_is_refused() {
    let plan = plan(NETWORK, 1, u64::MAX - 1, u64::try_from(SEATS_MAX).unwrap());
    let plan = RestartPlan {
        network: plan.network_after(),
        ..plan
    };
    assert!(codec::encode(&plan).len() <= PLAN_BYTES_MAX);
    let assent = Assent {
        account: AccountId::of_first_key(&key(0).public()),
        key_index: u16::MAX,
        key: key(0).public(),
        signature: plan.sign(&key(0)),
    };
    let largest = Restart {
        voters: BoundedVec::new(vec![assent.signature; SEATS_MAX]).unwrap(),
        people: BoundedVec::new(vec![assent; ASSENTS_MAX]).unwrap(),
        plan,
    };
    assert!(codec::encode(&largest).len() <= RESTART_BYTES_MAX);

    let all = |n| codec::encode(&vec![largest.plan.clone(); n]);
    let bytes_max = (RESTARTS_MAX + 1) * PLAN_BYTES_MAX;
    let read = |n| codec::decode::<Plans>(&all(n), bytes_max).map(|plans| plans.len());
    assert_eq!(read(RESTARTS_MAX), Ok(RESTARTS_MAX));
    assert!(read(RESTARTS_MAX + 1).is_err());
}
