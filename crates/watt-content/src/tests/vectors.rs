//! Golden encodings: `vectors/content.json`, which other implementations check too.

use super::*;
use crate::ShareLink;
use crate::cipher::{Cipher, RecordCipher};
use crate::erasure::Code;
use crate::layout::padded_len;
use serde_json::{Value, json};
use std::format;
use std::string::String;
use watt_primitives::{Hash, NetworkId};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/content.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn row(k: u8, indices: &[u8]) -> Value {
    let data: Vec<Vec<u8>> = (0..k)
        .map(|i| vec![i.wrapping_mul(37).wrapping_add(1), i, 0xff - i])
        .collect();
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut shares = vec![vec![0; 3]; indices.len()];
    let mut outputs: Vec<&mut [u8]> = shares.iter_mut().map(Vec::as_mut_slice).collect();
    Code::new(k)
        .unwrap()
        .encode_row(&inputs, indices, &mut outputs)
        .unwrap();
    let shares = indices
        .iter()
        .zip(&shares)
        .map(|(index, share)| json!({"index": index, "cell": hex(share)}));
    json!({
        "k": k,
        "data": data.iter().map(|cell| hex(cell)).collect::<Vec<_>>(),
        "shares": shares.collect::<Vec<_>>(),
    })
}

fn file(len: usize, rows_max: u64) -> Value {
    let stored = put(&sample(len), rows_max, 100_000);
    let bundles = stored.roots.iter().zip(&stored.slots).map(|(roots, slots)| {
        json!({
            "header": hex(&roots.header.encode()),
            "header_cid": format!("{}", roots.header.cid()),
            "slot_roots": roots.slot_roots.as_slice().iter().map(|root| format!("{root}")).collect::<Vec<_>>(),
            "slot_roots_cid": format!("{}", roots.slot_roots.cid()),
            "first_bytes_of_slots": slots.iter().map(|slot| hex(&slot[..8])).collect::<Vec<_>>(),
        })
    });
    json!({
        "len": len,
        "rows_max": rows_max,
        "bundles": bundles.collect::<Vec<_>>(),
        "manifest": hex(&stored.manifest.encode()),
        "manifest_cid": format!("{}", stored.manifest.cid()),
        "link": ShareLink::new(stored.manifest.cid(), &NetworkId::new([0xab; 32]), key()).to_text(&NetworkId::new([0xab; 32])),
    })
}

fn record(index: u64, is_last: bool) -> Value {
    let mut bytes = sample(20);
    RecordCipher::new(Cipher::ChaCha20Poly1305, &key()).seal(index, is_last, &mut bytes);
    json!({"index": index, "is_last": is_last, "sealed": hex(&bytes)})
}

/// The bytes on disk and on the wire are those of version 1. Covers: C2.
#[test]
fn golden_vectors_hold() {
    let lengths = [
        0,
        1,
        4096,
        4097,
        204_800,
        204_801,
        1_000_000,
        1 << 30,
        (1 << 40) + 1,
    ];
    let vectors = json!({
        "about": "plaintext byte i is (31 i + floor(i / 251)) mod 251; file key 0x42 32 times; name holiday.jpg, mtime 1700000000000; class devnet, bundles of at most rows_max rows; network id 0xab 32 times",
        "key_commitment": format!("{}", key().commitment()),
        "padded_len": lengths.iter().map(|len| json!([len, padded_len(*len)])).collect::<Vec<_>>(),
        "records_of_20_bytes": [record(0, false), record(0, true), record(1 << 40, false)],
        "rows": [row(1, &[0, 1, 255]), row(4, &[0, 3, 4, 9, 13, 255]), row(32, &[31, 32, 79, 111, 159])],
        "files": [file(0, 1984), file(100_000, 1984), file(200_000, 1)],
        "sample_200000": format!("{}", Hash::of_content(&sample(200_000))),
    });
    let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    #[allow(
        clippy::disallowed_methods,
        reason = "rewriting the vectors is a person's decision, given by the environment"
    )]
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(PATH, &text).unwrap();
    }
    let golden = std::fs::read_to_string(PATH).unwrap_or_default();
    assert_eq!(
        text, golden,
        "the format changed; UPDATE_VECTORS=1 rewrites vectors/content.json"
    );
}
