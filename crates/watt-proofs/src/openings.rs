//! What travels as a proof (`docs/spec/proofs.md` §6, §7): byte strings whose lengths both sides know beforehand.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::Element;
use crate::verify::InvalidProof;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use watt_primitives::{Hash, codec};

/// Bytes that CBOR adds to the strings of one proof: map and string heads and five names.
const FRAME_BYTES_MAX: usize = 128;

/// Openings of one sector's PoRep challenges; what is opened follows from the challenge seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PorepOpenings {
    /// Labels of the opened columns, layer 1 first.
    #[serde(with = "serde_bytes")]
    pub(crate) columns: Vec<u8>,
    /// Siblings that prove the columns to `comm_c`.
    #[serde(with = "serde_bytes")]
    pub(crate) column_siblings: Vec<u8>,
    /// Opened leaves of the replica.
    #[serde(with = "serde_bytes")]
    pub(crate) leaves: Vec<u8>,
    /// Siblings that prove the leaves to `comm_r`.
    #[serde(with = "serde_bytes")]
    pub(crate) leaf_siblings: Vec<u8>,
    /// Opened data: each chunk of 1 KiB followed by its siblings up to the slot's root.
    #[serde(with = "serde_bytes")]
    pub(crate) chunks: Vec<u8>,
}

/// Openings of one window's sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowOpenings {
    /// For each sampled sector its challenged leaf followed by the leaf's siblings up to `comm_r`.
    #[serde(with = "serde_bytes")]
    pub(crate) leaves: Vec<u8>,
    /// Siblings that prove the responses to their root.
    #[serde(with = "serde_bytes")]
    pub(crate) response_siblings: Vec<u8>,
}

/// A byte string of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Labels of columns.
    Columns,
    /// Siblings up to `comm_c`.
    ColumnSiblings,
    /// Leaves of a replica.
    Leaves,
    /// Siblings up to `comm_r`.
    LeafSiblings,
    /// Data with its siblings up to slot roots.
    Chunks,
    /// Siblings up to the root of responses.
    ResponseSiblings,
}

/// Decodes a proof whose strings have `content_bytes` in all.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    content_bytes: usize,
) -> Result<T, InvalidProof> {
    codec::decode(bytes, content_bytes.saturating_add(FRAME_BYTES_MAX)).map_err(InvalidProof::Encoding)
}

/// Checks the length of one string.
pub(crate) fn check_len(part: Part, bytes: &[u8], expected: usize) -> Result<(), InvalidProof> {
    if bytes.len() == expected {
        Ok(())
    } else {
        Err(InvalidProof::WrongLength {
            part,
            expected,
            found: bytes.len(),
        })
    }
}

/// The digests in a string of whole digests.
pub(crate) fn digests(bytes: &[u8]) -> Vec<Hash> {
    bytes
        .chunks_exact(Hash::LEN)
        .filter_map(|digest| digest.try_into().ok().map(Hash))
        .collect()
}

/// The elements in a string of whole elements.
pub(crate) fn elements(part: Part, bytes: &[u8]) -> Result<Vec<Element>, InvalidProof> {
    let elements = bytes.as_chunks::<{ Element::LEN }>().0.iter();
    elements
        .map(|bytes| Element::from_bytes(*bytes).ok_or(InvalidProof::NotAnElement { part }))
        .collect()
}

/// The string of these elements.
pub(crate) fn element_bytes(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.to_bytes()).collect()
}

/// The string of these digests.
pub(crate) fn to_bytes(digests: &[Hash]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}
