//! Golden vectors: every wire type's bytes, hashes and signatures, recorded in `vectors/` and checked from here and from
//! JavaScript (`vectors/js`). `UPDATE_VECTORS=1` rewrites the files; a difference in review is a change of the format.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

mod encoding;
mod json;
mod proofs;
mod refused;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use watt_primitives::codec;

/// One value of a wire type with everything that follows from it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    /// Type, then what is special about this value.
    name: String,
    /// Type: says how `derived` comes about.
    #[serde(rename = "type")]
    kind: String,
    /// The value in the JSON form of `json`.
    value: Json,
    /// What else is needed to derive: network, seed of the signing key, context.
    inputs: BTreeMap<String, Json>,
    /// Canonical encoding, hexadecimal.
    bytes: String,
    /// Hashes, ids, addresses, roots.
    derived: BTreeMap<String, Json>,
}

impl Vector {
    fn new<T: Serialize + DeserializeOwned + PartialEq>(kind: &str, detail: &str, value: &T) -> Self {
        let bytes = codec::encode(value);
        let name = format!("{kind}: {detail}");
        assert!(
            codec::decode::<T>(&bytes, usize::MAX).as_ref() == Ok(value),
            "{name} does not decode to itself"
        );
        Self {
            kind: kind.to_owned(),
            value: json::of_encoding(&bytes),
            inputs: BTreeMap::new(),
            bytes: json::hex(&bytes),
            derived: BTreeMap::new(),
            name,
        }
    }

    fn input<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let value = json::of_encoding(&codec::encode(value));
        self.inputs.insert(name.to_owned(), value);
        self
    }

    fn derived<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let value = json::of_encoding(&codec::encode(value));
        self.derived.insert(name.to_owned(), value);
        self
    }
}

/// Compares with the recorded file, or rewrites it if the environment asks.
fn compare<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(file: &str, now: &[T]) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "vectors", file]
        .iter()
        .collect();
    #[allow(clippy::disallowed_methods, reason = "a switch for people, not configuration")]
    let is_update = std::env::var_os("UPDATE_VECTORS").is_some();
    if is_update {
        let text = serde_json::to_string_pretty(now).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
        return;
    }
    let recorded: Vec<T> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (recorded, now) in recorded.iter().zip(now) {
        assert_eq!(recorded, now, "UPDATE_VECTORS=1 rewrites vectors/{file}");
    }
    assert_eq!(
        recorded.len(),
        now.len(),
        "UPDATE_VECTORS=1 rewrites vectors/{file}"
    );
}

/// Bytes, ids, hashes, addresses and signatures of every wire type are those recorded. Covers: A5, A6.
#[test]
fn encodings_are_as_recorded() {
    let vectors = encoding::all();
    let names: BTreeSet<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    assert_eq!(names.len(), vectors.len());
    compare("encoding.json", &vectors);
}

/// Roots and proofs are those recorded. Covers: B7.
#[test]
fn proofs_are_as_recorded() {
    compare("light.json", &proofs::all());
}

/// What must be refused is recorded and refused. Covers: A5.
#[test]
fn refusals_are_as_recorded() {
    let refusals = refused::all();
    for refusal in &refusals {
        assert!(refusal.is_refused(), "{} was accepted", refusal.name);
    }
    compare("refused.json", &refusals);
}
