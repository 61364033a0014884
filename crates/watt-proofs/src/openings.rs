//! What travels as a proof (`docs/spec/proofs.md` §6, §7): byte strings whose lengths both sides know beforehand.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::{ARITY, CHUNK_BYTES, Element, LEAF_BYTES, leaf_elements};
use crate::params::index;
use crate::shape::Shape;
use crate::verify::InvalidProof;
use crate::window::{Opening, Step, Window, samples, ways_up};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use watt_primitives::{Hash, codec};

/// Bytes that CBOR adds to the strings of one proof: map and string heads and five names.
pub(crate) const FRAME_BYTES_MAX: usize = 128;

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

/// Openings of one window's sample, one sample after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowOpenings {
    /// The leaves.
    #[serde(with = "serde_bytes")]
    leaves: Vec<u8>,
    /// The siblings of all nodes on the ways from the leaf to its replica's root, on to the set's, and from the answer to the
    /// root of answers, lowest first. What lies on the ways follows from the leaves.
    #[serde(with = "serde_bytes")]
    siblings: Vec<u8>,
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
    /// Siblings on the ways of a window's sample.
    Siblings,
}

/// The openings of a good step that was taken from `state`: what the ledger does not know itself.
pub(crate) fn of_step(shape: Shape, state: Element, step: &Step) -> Vec<u8> {
    let (mut leaves, mut siblings) = (Vec::new(), Vec::new());
    for (opening, (position, place)) in step.openings.iter().zip(samples(shape, state, &step.window)) {
        let chunks = opening.leaf.map(Element::to_bytes);
        leaves.extend(chunks.iter().flat_map(|chunk| chunk.iter().take(CHUNK_BYTES)));
        let ways = [
            (&opening.leaf_path, place),
            (&opening.set_path, position),
            (&opening.answer_path, position),
        ];
        for (path, place) in ways {
            for (family, on_way) in path.iter().zip(ways_up(place)) {
                let (before, after) = (family.iter().take(on_way), family.iter().skip(on_way).skip(1));
                siblings.extend(before.chain(after).flat_map(|element| element.to_bytes()));
            }
        }
    }
    codec::encode(&WindowOpenings { leaves, siblings })
}

/// The step that these openings are of, if they are of a good one taken from `state`; nodes on the ways are left zero.
pub(crate) fn to_step(
    shape: Shape,
    state: Element,
    window: Window,
    bytes: &[u8],
) -> Result<Step, InvalidProof> {
    let times = |n: u32, bytes: usize| index(n).saturating_mul(bytes);
    let levels = shape
        .set_levels()
        .saturating_mul(2)
        .saturating_add(shape.leaf_levels());
    let expected_leaves = times(shape.samples(), LEAF_BYTES);
    let family_bytes = Element::LEN.saturating_mul(ARITY.saturating_sub(1));
    let expected_siblings = times(shape.samples(), times(levels, family_bytes));
    let openings: WindowOpenings = decode(bytes, expected_leaves.saturating_add(expected_siblings))?;
    check_len(Part::Leaves, &openings.leaves, expected_leaves)?;
    check_len(Part::Siblings, &openings.siblings, expected_siblings)?;

    let siblings = elements(Part::Siblings, &openings.siblings)?;
    let mut siblings = siblings.into_iter();
    let mut climb = |place: u32, levels: u32| -> Vec<[Element; ARITY]> {
        let ways = ways_up(place).take(index(levels));
        ways.map(|on_way| {
            let mut family = [Element::default(); ARITY];
            let places = family
                .iter_mut()
                .enumerate()
                .filter(|(child, _)| *child != on_way);
            for (_, node) in places {
                *node = siblings.next().unwrap_or_default();
            }
            family
        })
        .collect()
    };
    let leaves = openings.leaves.as_chunks::<LEAF_BYTES>().0.iter();
    let openings = leaves
        .zip(samples(shape, state, &window))
        .map(|(leaf, (position, place))| Opening {
            leaf: leaf_elements(leaf).map(Element),
            leaf_path: climb(place, shape.leaf_levels()),
            set_path: climb(position, shape.set_levels()),
            answer_path: climb(position, shape.set_levels()),
        });
    Ok(Step {
        window,
        is_good: true,
        openings: openings.collect(),
    })
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
