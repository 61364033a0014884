//! DAG-CBOR in a JSON form that people can read and any language can read back without loss:
//! bytes are `{"$bytes": hex}`, CIDs `{"$cid": text}`, integers beyond 2^53 `{"$int": decimal}`.

use serde_json::{Map, Value as Json, json};

/// Largest integer that every JSON reader keeps exactly.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON form of one canonical encoding. Reads the bytes, not the value, so that it shows what is really on the wire.
pub(crate) fn of_encoding(bytes: &[u8]) -> Json {
    let mut rest = bytes;
    let json = item(&mut rest);
    assert!(rest.is_empty(), "trailing bytes");
    json
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> &'a [u8] {
    let (taken, after) = rest.split_at(usize::try_from(len).unwrap());
    *rest = after;
    taken
}

/// Major type and argument.
fn head(rest: &mut &[u8]) -> (u8, u64) {
    let [first] = *take(rest, 1) else {
        unreachable!("one byte was taken")
    };
    let argument = match first & 0x1f {
        small @ 0..=23 => u64::from(small),
        size @ 24..=27 => {
            let bytes = take(rest, 1 << (size - 24));
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
        other => panic!("argument {other}"),
    };
    (first >> 5, argument)
}

fn text(rest: &mut &[u8], len: u64) -> String {
    String::from_utf8(take(rest, len).to_vec()).unwrap()
}

fn item(rest: &mut &[u8]) -> Json {
    match head(rest) {
        (0, number) if number <= SAFE_INTEGER_MAX => json!(number),
        (0, number) => json!({ "$int": number.to_string() }),
        (2, len) => json!({ "$bytes": hex(take(rest, len)) }),
        (3, len) => json!(text(rest, len)),
        (4, len) => (0..len).map(|_| item(rest)).collect(),
        (5, len) => {
            let entries = (0..len).map(|_| {
                let (major, len) = head(rest);
                assert_eq!(major, 3, "keys are text");
                (text(rest, len), item(rest))
            });
            Json::Object(entries.collect::<Map<_, _>>())
        }
        (6, 42) => {
            let (major, len) = head(rest);
            assert_eq!(major, 2, "tag 42 holds bytes");
            let bytes = take(rest, len);
            let cid = watt_primitives::Cid(watt_primitives::Hash(bytes[5..].try_into().unwrap()));
            json!({ "$cid": cid.to_string() })
        }
        (7, 20) => json!(false),
        (7, 21) => json!(true),
        (major, argument) => panic!("major type {major} with {argument} is in no wire type"),
    }
}
