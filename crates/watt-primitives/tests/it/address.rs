use proptest::prelude::*;
use watt_primitives::id::{AddressKind, InvalidAddress};
use watt_primitives::{AccountId, Cid};

const KINDS: [AddressKind; 2] = [AddressKind::Main, AddressKind::Test];

proptest! {
    /// An address names its account on its kind of network and nowhere else. Covers: B6.
    #[test]
    fn addresses_round_trip_on_their_own_network(id in any::<[u8; 20]>()) {
        let id = AccountId(id);
        let (main, test) = (id.to_address(AddressKind::Main), id.to_address(AddressKind::Test));
        prop_assert_eq!(AccountId::parse_address(&main, AddressKind::Main), Ok(id));
        prop_assert_eq!(AccountId::parse_address(&test, AddressKind::Test), Ok(id));
        prop_assert_eq!(AccountId::parse_address(&main, AddressKind::Test), Err(InvalidAddress::OtherNetwork));
        prop_assert_eq!(AccountId::parse_address(&test, AddressKind::Main), Err(InvalidAddress::OtherNetwork));
    }

    /// No text of printable characters that differs from an address in one to four places is an address.
    #[test]
    fn up_to_four_typing_errors_are_caught(
        id in any::<[u8; 20]>(),
        typos in proptest::collection::btree_map(5..43usize, 33..127u8, 1..=4),
    ) {
        let good = AccountId(id).to_address(AddressKind::Main);
        let mut text = good.clone().into_bytes();
        for (at, typo) in typos {
            if let Some(letter) = text.get_mut(at) {
                *letter = typo;
            }
        }
        let text = String::from_utf8(text).unwrap();
        prop_assume!(text != good);
        prop_assert!(AccountId::parse_address(&text, AddressKind::Main).is_err(), "{}", text);
    }

    #[test]
    fn random_text_is_no_address(text in ".{0,60}") {
        for kind in KINDS {
            prop_assert!(AccountId::parse_address(&text, kind).is_err());
        }
    }
}

/// Every single-character substitution, deletion and swap of neighbours is refused. Covers: B6.
#[test]
fn every_single_typing_error_is_caught() {
    for (kind, id) in KINDS
        .into_iter()
        .zip([AccountId([0x5a; 20]), AccountId([0xff; 20])])
    {
        let good = id.to_address(kind);
        let is_refused = |text: &[u8]| {
            let text = core::str::from_utf8(text).unwrap();
            text == good || AccountId::parse_address(text, kind).is_err()
        };
        for at in 0..good.len() {
            for letter in 0..128u8 {
                let mut text = good.clone().into_bytes();
                text[at] = letter;
                assert!(is_refused(&text), "{good}: {at} -> {letter}");
            }
            let mut shorter = good.clone().into_bytes();
            shorter.remove(at);
            assert!(is_refused(&shorter), "{good}: without {at}");
            if at > 0 {
                let mut swapped = good.clone().into_bytes();
                swapped.swap(at - 1, at);
                assert!(is_refused(&swapped), "{good}: swapped {at}");
            }
        }
    }
}

/// One CID has one spelling: other bases and versions of the same digest are refused. Covers: C2.
#[test]
fn cid_has_one_spelling() {
    let cid = Cid::of_block(b"block");
    let text = cid.to_string();
    assert_eq!(text.parse(), Ok(cid));
    for other in [
        text.to_uppercase(),
        format!(" {text}"),
        format!("ipfs://{text}"),
        text[1..].to_owned(),
    ] {
        assert!(other.parse::<Cid>().is_err(), "{other}");
    }
}
