use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use watt_primitives::class::Class;
use watt_primitives::codec::{InvalidEncoding, decode, encode, zero_or_one};
use watt_primitives::terms::{AskTerms, BundleTerms, Endpoint, Piece};
use watt_primitives::{
    AccountId, Amount, BoundedBytes, BoundedString, BoundedVec, Cid, DealId, Hash, PublicKey, SecretKey,
    Signature, SlotIndexInDeal,
};

/// Everything that WATT's encodings are made of, in one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everything {
    bundle: BundleTerms,
    ask: AskTerms,
    endpoint: Endpoint,
    pieces: BoundedVec<Piece, 4>,
    account: AccountId,
    key: PublicKey,
    signature: Signature,
    memo: BoundedBytes<8>,
    #[serde(with = "zero_or_one")]
    maybe: Option<Hash>,
}

fn everything() -> Everything {
    let key = SecretKey::from_seed([1; 32]).public();
    Everything {
        bundle: BundleTerms {
            class: Class::Devnet,
            header: Cid::of_block(b"header"),
            manifest: Cid::of_block(b"manifest"),
            slot_bytes: 300,
            slot_roots: BoundedVec::new(vec![Hash([1; 32]), Hash([2; 32])]).unwrap(),
        },
        ask: AskTerms {
            price: Amount(u64::MAX),
            slot_bytes_min: 0,
            slot_bytes_max: 23,
            term_ms_max: 24,
            hot: false,
        },
        endpoint: Endpoint {
            peer_id: BoundedString::new("peer".to_owned()).unwrap(),
            addresses: BoundedVec::new(vec![BoundedString::new("/ip4/127.0.0.1".to_owned()).unwrap()])
                .unwrap(),
        },
        pieces: BoundedVec::new(vec![
            Piece::Slot {
                deal: DealId([3; 32]),
                slot: SlotIndexInDeal(1),
                root: Hash([4; 32]),
                offset: 0,
                len: 16_384,
            },
            Piece::Filler {
                offset: 16_384,
                len: 1 << 20,
            },
        ])
        .unwrap(),
        account: AccountId::of_first_key(&key),
        key,
        signature: Signature([5; 64]),
        memo: BoundedBytes::new(vec![0, 0xff]).unwrap(),
        maybe: Some(Hash([6; 32])),
    }
}

/// The rule that ids and signatures rest on: whatever decodes has exactly one encoding, the one it came from.
fn has_one_encoding<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
) -> Result<(), TestCaseError> {
    if let Ok(value) = decode::<T>(bytes, 1 << 20) {
        prop_assert_eq!(encode(&value), bytes);
    }
    Ok(())
}

/// Bytes as an attacker would change them: flipped, cut out, put in, repeated, or a head replaced by an indefinite one.
fn mutate(mut bytes: Vec<u8>, mutations: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    for (kind, at, byte) in mutations {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match kind % 6 {
            0 => bytes[at] = *byte,
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, *byte),
            3 => bytes = [&bytes[..at], &bytes[at / 2..]].concat(),
            4 => bytes[at] |= 0x1f,
            _ => bytes.insert(at, 0xff),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_have_one_encoding(bytes in vec(any::<u8>(), 0..80)) {
        has_one_encoding::<Everything>(&bytes)?;
        has_one_encoding::<PublicKey>(&bytes)?;
        has_one_encoding::<Cid>(&bytes)?;
        has_one_encoding::<Piece>(&bytes)?;
        has_one_encoding::<BoundedVec<u64, 4>>(&bytes)?;
        has_one_encoding::<BoundedBytes<16>>(&bytes)?;
        has_one_encoding::<BoundedString<16>>(&bytes)?;
        has_one_encoding::<u64>(&bytes)?;
    }

    #[test]
    fn changed_bytes_have_one_encoding(mutations in vec(any::<(u8, prop::sample::Index, u8)>(), 1..4)) {
        let all = everything();
        has_one_encoding::<Everything>(&mutate(encode(&all), &mutations))?;
        has_one_encoding::<BundleTerms>(&mutate(encode(&all.bundle), &mutations))?;
        has_one_encoding::<Cid>(&mutate(encode(&all.bundle.header), &mutations))?;
        has_one_encoding::<PublicKey>(&mutate(encode(&all.key), &mutations))?;
        has_one_encoding::<BoundedVec<Piece, 4>>(&mutate(encode(&all.pieces), &mutations))?;
        has_one_encoding::<Endpoint>(&mutate(encode(&all.endpoint), &mutations))?;
    }
}

#[test]
fn every_type_round_trips() {
    let all = everything();
    assert_eq!(decode(&encode(&all), 4_096), Ok(all));
}

/// The two holes of the decoder below, and floats that are whole numbers: all have a second encoding and are refused.
#[test]
fn known_second_encodings_are_refused() {
    let cid = Cid::of_block(b"block");
    let good = encode(&cid);
    assert_eq!(good[..4], [0xd8, 0x2a, 0x58, 0x25]);
    // Tag 42 around bytes of indefinite length.
    let indefinite = [&[0xd8, 0x2a, 0x5f], &good[2..], &[0xff]].concat();
    assert!(decode::<Cid>(&indefinite, 100).is_err());
    let in_two = [&[0xd8, 0x2a, 0x5f, 0x41, 0x00, 0x58, 0x24], &good[5..], &[0xff]].concat();
    assert!(decode::<Cid>(&in_two, 100).is_err());
    // A key of indefinite length.
    let ask = encode(&everything().ask);
    assert_eq!(ask[1..5], *b"\x63hot");
    let indefinite = [&ask[..1], &[0x7f], &ask[1..5], &[0xff], &ask[5..]].concat();
    assert!(decode::<AskTerms>(&indefinite, 1_000).is_err());
    // 1.0 is not 1.
    for one in [&[0xf9, 0x3c, 0x00][..], &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]] {
        assert!(decode::<u64>(one, 10).is_err());
    }
}

#[test]
fn zero_or_one_is_a_list_and_never_null() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Maybe(#[serde(with = "zero_or_one")] Option<u8>);
    assert_eq!(decode(&[0x80], 10), Ok(Maybe(None)));
    assert_eq!(decode(&[0x81, 0x07], 10), Ok(Maybe(Some(7))));
    for other in [&[0xf6][..], &[0x07], &[0x82, 0x07, 0x07], &[0x81, 0xf6]] {
        assert_eq!(
            decode::<Maybe>(other, 10),
            Err(InvalidEncoding::Malformed),
            "{other:x?}"
        );
    }
}

/// Lists, bytes and texts hold as many as their type says and not one more, made or decoded.
#[test]
fn bounds_hold_at_the_limit_and_one_above() {
    let of = |len: usize| vec![7u8; len];
    assert!(BoundedVec::<u8, 4>::new(of(4)).is_ok() && BoundedVec::<u8, 4>::new(of(5)).is_err());
    assert!(BoundedBytes::<4>::new(of(4)).is_ok() && BoundedBytes::<4>::new(of(5)).is_err());
    assert!(BoundedString::<4>::new("four".to_owned()).is_ok());
    assert!(BoundedString::<4>::new("fiver".to_owned()).is_err());
    // Two letters of three bytes each: the bound counts bytes.
    assert!(BoundedString::<5>::new("記憶".to_owned()).is_err());
    let mut list = BoundedVec::<u8, 4>::new(of(3)).unwrap();
    assert!(list.push(1).is_ok() && list.push(2).is_err());
    assert_eq!(list.len(), 4);

    assert!(decode::<BoundedVec<u8, 4>>(&encode(&of(4)), 100).is_ok());
    assert!(decode::<BoundedVec<u8, 4>>(&encode(&of(5)), 100).is_err());
    let wide = |len: usize| encode(&BoundedBytes::<100>::new(of(len)).unwrap());
    assert!(decode::<BoundedBytes<4>>(&wide(4), 100).is_ok());
    assert!(decode::<BoundedBytes<4>>(&wide(5), 100).is_err());
    assert!(decode::<BoundedString<4>>(&encode("four"), 100).is_ok());
    assert!(decode::<BoundedString<4>>(&encode("fiver"), 100).is_err());
    assert!(decode::<Hash>(&wide(31), 100).is_err() && decode::<Hash>(&wide(33), 100).is_err());
}

/// A length that promises more than any memory holds is an error, not an allocation; so is deep nesting.
#[test]
fn promised_lengths_are_not_believed() {
    for head in [0x9bu8, 0x5b, 0x7b, 0xbb] {
        let bytes = [head, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<BoundedVec<u64, 1_000_000>>(&bytes, 100).is_err());
        assert!(decode::<BoundedBytes<1_000_000>>(&bytes, 100).is_err());
        assert!(decode::<BoundedString<1_000_000>>(&bytes, 100).is_err());
        assert!(decode::<AskTerms>(&bytes, 100).is_err());
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nested(BoundedVec<Self, 1>);
    let deep = [vec![0x81; 100_000], vec![0x80]].concat();
    assert_eq!(decode::<Nested>(&deep, 1 << 20), Err(InvalidEncoding::Malformed));
}
