//! What every implementation must refuse.

use crate::json::hex;
use serde::{Deserialize, Serialize};
use watt_primitives::id::AddressKind;
use watt_primitives::key::Ed25519Key;
use watt_primitives::{AccountId, Cid, PublicKey, codec};
use watt_scp::Ballot;

/// Something that looks like a value of a type and is none.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// What is wrong with it.
    pub(crate) name: String,
    /// `Ballot`, `Cid` (encodings), `Ed25519Key` (for registration) or `Address` (of a test network).
    #[serde(rename = "type")]
    kind: String,
    /// Hexadecimal, or the text of an address.
    input: String,
    /// Whether any strict DAG-CBOR reader refuses it; otherwise knowing the type is needed.
    is_generic: bool,
}

impl Refusal {
    pub(crate) fn is_refused(&self) -> bool {
        match self.kind.as_str() {
            "Ballot" => codec::decode::<Ballot>(&bytes(&self.input), 1_000).is_err(),
            "Cid" => codec::decode::<Cid>(&bytes(&self.input), 1_000).is_err(),
            "Ed25519Key" => {
                let key = Ed25519Key(bytes(&self.input).try_into().unwrap());
                !PublicKey::Ed25519(key).is_registrable()
            }
            "Address" => AccountId::parse_address(&self.input, AddressKind::Test).is_err(),
            other => panic!("no type {other}"),
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// All refusals.
pub(crate) fn all() -> Vec<Refusal> {
    [ballots(), cids(), keys(), addresses()]
        .into_iter()
        .flatten()
        .collect()
}

fn ballots() -> Vec<Refusal> {
    let digest = "77".repeat(32);
    let (value_key, counter_key) = ("6576616c7565", "67636f756e746572");
    let good = format!("a2{value_key}5820{digest}{counter_key}01");
    assert!(codec::decode::<Ballot>(&bytes(&good), 1_000).is_ok());
    let refuse = |is_generic, name: &str, input: String| Refusal {
        name: name.to_owned(),
        kind: "Ballot".to_owned(),
        input,
        is_generic,
    };
    vec![
        refuse(
            true,
            "keys in another order",
            format!("a2{counter_key}01{value_key}5820{digest}"),
        ),
        refuse(
            true,
            "a key twice",
            format!("a3{value_key}5820{digest}{counter_key}01{counter_key}01"),
        ),
        refuse(
            true,
            "integer longer than needed",
            format!("a2{value_key}5820{digest}{counter_key}1801"),
        ),
        refuse(
            true,
            "length longer than needed",
            format!("a2{value_key}590020{digest}{counter_key}01"),
        ),
        refuse(
            true,
            "map of indefinite length",
            format!("bf{value_key}5820{digest}{counter_key}01ff"),
        ),
        refuse(
            true,
            "key of indefinite length",
            format!("a2{value_key}5820{digest}7f{counter_key}ff01"),
        ),
        refuse(
            true,
            "bytes of indefinite length",
            format!("a2{value_key}5f5820{digest}ff{counter_key}01"),
        ),
        refuse(
            true,
            "half-precision float",
            format!("a2{value_key}5820{digest}{counter_key}f93c00"),
        ),
        refuse(
            true,
            "undefined",
            format!("a2{value_key}5820{digest}{counter_key}f7"),
        ),
        refuse(
            true,
            "a tag other than 42",
            format!("a2{value_key}5820{digest}{counter_key}c101"),
        ),
        refuse(true, "a byte too many", format!("{good}00")),
        refuse(true, "a byte too few", good[..good.len() - 2].to_owned()),
        refuse(
            false,
            "fraction for an integer",
            format!("a2{value_key}5820{digest}{counter_key}fb3ff8000000000000"),
        ),
        refuse(
            false,
            "negative number",
            format!("a2{value_key}5820{digest}{counter_key}20"),
        ),
        refuse(
            false,
            "number out of range",
            format!("a2{value_key}5820{digest}{counter_key}1b0000000100000000"),
        ),
        refuse(false, "null", format!("a2{value_key}5820{digest}{counter_key}f6")),
        refuse(
            false,
            "digest of 31 bytes",
            format!("a2{value_key}581f{}{counter_key}01", &digest[2..]),
        ),
        refuse(
            false,
            "digest as text",
            format!("a2{value_key}7820{digest}{counter_key}01"),
        ),
        refuse(false, "a field missing", format!("a1{value_key}5820{digest}")),
        refuse(
            false,
            "an unknown field",
            format!("a3617801{value_key}5820{digest}{counter_key}01"),
        ),
    ]
}

fn cids() -> Vec<Refusal> {
    let digest = "77".repeat(32);
    assert!(codec::decode::<Cid>(&bytes(&format!("d82a58250001711e20{digest}")), 100).is_ok());
    [
        (
            true,
            "bytes of indefinite length under tag 42",
            format!("d82a5f58250001711e20{digest}ff"),
        ),
        (true, "no leading zero", format!("d82a582401711e20{digest}")),
        (
            true,
            "tag longer than needed",
            format!("d9002a58250001711e20{digest}"),
        ),
        (false, "codec raw", format!("d82a58250001551e20{digest}")),
        (false, "hash SHA-256", format!("d82a58250001711220{digest}")),
        (
            false,
            "digest of 31 bytes",
            format!("d82a58240001711e1f{}", &digest[2..]),
        ),
        (false, "not tagged", format!("58250001711e20{digest}")),
    ]
    .into_iter()
    .map(|(is_generic, name, input)| Refusal {
        name: name.to_owned(),
        kind: "Cid".to_owned(),
        input,
        is_generic,
    })
    .collect()
}

fn keys() -> Vec<Refusal> {
    let refuse = |name: String, input: String| Refusal {
        name,
        kind: "Ed25519Key".to_owned(),
        input,
        is_generic: false,
    };
    let order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
    ];
    let small = [
        ("order 1", format!("01{}", "00".repeat(31))),
        ("order 2", format!("ec{}7f", "ff".repeat(30))),
        ("order 4, positive", "00".repeat(32)),
        ("order 4, negative", format!("{}80", "00".repeat(31))),
        ("order 8, first, positive", format!("{}05", order_8[0])),
        ("order 8, first, negative", format!("{}85", order_8[0])),
        ("order 8, second, positive", format!("{}7a", order_8[1])),
        ("order 8, second, negative", format!("{}fa", order_8[1])),
        ("order 1, sign of zero", format!("01{}80", "00".repeat(30))),
        ("order 2, sign of zero", format!("ec{}", "ff".repeat(31))),
    ];
    let mut all: Vec<Refusal> = small
        .into_iter()
        .map(|(name, input)| refuse(format!("small order: {name}"), input))
        .collect();
    // y from p to 2^255 - 1 has a second, smaller spelling.
    for low in 0xed..=0xffu8 {
        for high in [0x7f, 0xffu8] {
            let name = format!("not canonical: y = p + {}, sign {}", low - 0xed, high >> 7);
            all.push(refuse(name, format!("{low:02x}{}{high:02x}", "ff".repeat(30))));
        }
    }
    all.push(refuse(
        "not on the curve: y = 2".to_owned(),
        format!("02{}", "00".repeat(31)),
    ));
    all
}

fn addresses() -> Vec<Refusal> {
    let id = AccountId([0x5a; 20]);
    let good = id.to_address(AddressKind::Test);
    let refuse = |name: &str, input: String| Refusal {
        name: name.to_owned(),
        kind: "Address".to_owned(),
        input,
        is_generic: false,
    };
    let mut swapped = good.clone().into_bytes();
    swapped.swap(8, 10);
    assert!(swapped != good.as_bytes(), "{}", hex(&swapped));
    vec![
        refuse("of the main network", id.to_address(AddressKind::Main)),
        refuse("two letters swapped", String::from_utf8(swapped).unwrap()),
        refuse("last letter missing", good[..good.len() - 1].to_owned()),
        refuse("mixed case", format!("T{}", &good[1..])),
        refuse("blank in front", format!(" {good}")),
        refuse("empty", String::new()),
        // Bech32 (not bech32m) checksum and a witness program of another kind of ledger.
        refuse(
            "another currency's",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".to_owned(),
        ),
    ]
}
