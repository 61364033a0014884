use super::{BACKBONE_BYTES_MAX, Backbone, BackboneEntry, InvalidBackbone, SEATS_MAX, Terms};
use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::{AccountId, BlockHeight, NodeId, Term, codec};

fn entry(account: u8, key: u8) -> BackboneEntry {
    BackboneEntry {
        account: AccountId([account; 20]),
        key: NodeId([key; 32]),
        cold_key: None,
    }
}

/// Entries come in any order and stand ascending; none, too many, and the same twice are refused, also as bytes.
#[test]
fn a_backbone_has_every_account_and_key_once() {
    let backbone = Backbone::new(vec![entry(3, 7), entry(1, 9), entry(2, 8)]).unwrap();
    assert_eq!(backbone.entries(), [entry(1, 9), entry(2, 8), entry(3, 7)]);
    assert_eq!(backbone.of_account(&AccountId([2; 20])), Some(&entry(2, 8)));
    assert_eq!(backbone.of_key(&NodeId([9; 32])), Some(&entry(1, 9)));
    assert_eq!(backbone.of_key(&NodeId([1; 32])), None);
    assert_eq!(Backbone::decode(&codec::encode(&backbone)), Ok(backbone));
    let n = |n: usize| (0..).map(|n| entry(n, n)).take(n).collect::<Vec<_>>();
    let bytes = codec::encode(&Backbone::new(n(SEATS_MAX)).unwrap());
    assert!(bytes.len() <= BACKBONE_BYTES_MAX, "{}", bytes.len());
    for bad in [
        vec![],
        n(SEATS_MAX + 1),
        vec![entry(1, 1), entry(1, 2)],
        vec![entry(1, 1), entry(2, 1)],
    ] {
        assert_eq!(Backbone::new(bad.clone()), Err(InvalidBackbone::Entries));
        assert!(Backbone::decode(&codec::encode(&bad)).is_err());
    }
    let backwards = codec::encode(&vec![entry(2, 1), entry(1, 2)]);
    assert_eq!(Backbone::decode(&backwards), Err(InvalidBackbone::Entries));
}

/// The quorum set is `k - f` of `k`.
#[test]
fn quorum_sets_bear_a_third() {
    for (k, threshold) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (13, 9), (61, 41)] {
        let backbone = Backbone::new((0..k).map(|n| entry(n, 100 + n)).collect()).unwrap();
        let set = backbone.quorum_set();
        assert_eq!((set.threshold, set.nodes.len()), (threshold, usize::from(k)));
        assert!(set.is_sane());
    }
}

/// Heights, terms, and from where on the next backbone stands.
#[test]
fn terms_divide_heights() {
    let terms = Terms::of_slots(17_280);
    assert_eq!(terms.of_height(BlockHeight(17_279)), Term(0));
    assert_eq!(terms.of_height(BlockHeight(17_280)), Term(1));
    assert_eq!(terms.first_height(Term(2)), BlockHeight(34_560));
    assert_eq!(terms.final_from(Term(2)), BlockHeight(34_560 - 720));
    assert_eq!(terms.final_from(Term(0)), BlockHeight(0));
    assert_eq!(Terms::of_slots(100).final_from(Term(1)), BlockHeight(75));
    assert_eq!(Terms::of_slots(0).slots(), 16);
}
