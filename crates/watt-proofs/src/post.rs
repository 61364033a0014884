//! The prover's side of proof-of-spacetime (`docs/spec/proofs.md` §7): answer every window for every sector, then open what
//! is sampled.

use crate::challenge::{FAULT_RESPONSE, ProvingWindow};
use crate::element::Element;
use crate::octal::{self, REPLICA_LEVELS};
use crate::openings::{WindowOpenings, element_bytes, to_bytes};
use crate::params::{LEAF_BYTES, ProofParams, index};
use crate::sector_set::{FaultBitmap, SectorEntry};
use crate::tree;
use crate::verify::leaf_digest;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::{Hash, codec, merkle};

/// A leaf of a replica with its siblings up to `comm_r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafOpening {
    /// The leaf's bytes.
    pub leaf: [u8; LEAF_BYTES],
    /// Its siblings, lowest first.
    pub path: Vec<Element>,
}

impl LeafOpening {
    /// The digest of the leaf, if it is leaf `leaf_index` under the sector's `comm_r`.
    fn digest_in(&self, sector: &SectorEntry, leaf_index: u32) -> Option<Element> {
        let digest = leaf_digest(&self.leaf);
        let (n_leaves, leaf) = (index(sector.size.leaves()), (index(leaf_index), digest));
        let root = octal::batch_root(REPLICA_LEVELS, n_leaves, &[leaf], &self.path);
        (root == Some(sector.comm_r)).then_some(digest)
    }
}

/// Where the prover reads its replicas ([`crate::ReplicaTree::open`] makes the answer from 15.5 KiB of the replica).
pub trait LeafRead {
    /// Leaf `leaf_index` of the sector at `position` in the set; `None` if it can't be read or has changed.
    fn leaf(&mut self, position: u32, leaf_index: u32) -> Option<LeafOpening>;
}

/// A provider's answers to one window: what the openings are made from once the next beacon is known. To be on disk before
/// the root is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responses {
    /// Sectors declared faulty: those the provider declared, and those whose leaf could not be read.
    pub faults: FaultBitmap,
    /// One answer per position.
    pub responses: Vec<Hash>,
}

impl Responses {
    /// The root that is committed.
    #[must_use]
    pub fn root(&self) -> Hash {
        merkle::root(&self.responses)
    }
}

/// Answers `window` for every sector. A sector whose leaf is missing or is not the one committed is declared faulty rather
/// than answered wrongly: a declared fault is unpaid, an undeclared one is punished.
pub fn respond(window: &ProvingWindow<'_>, declared: &FaultBitmap, leaves: &mut impl LeafRead) -> Responses {
    let mut answer = |position: u32, sector: &SectorEntry| {
        if declared.is_declared(position) {
            return None;
        }
        let leaf_index = window.leaf_index(position, sector.size);
        let digest = leaves.leaf(position, leaf_index)?.digest_in(sector, leaf_index)?;
        Some(window.response(position, &digest))
    };
    let answers: Vec<(u32, Option<Hash>)> = window
        .sectors()
        .iter()
        .map(|(position, sector)| (position, answer(position, sector)))
        .collect();
    let faulty = answers.iter().filter(|(_, answer)| answer.is_none());
    Responses {
        faults: FaultBitmap::from_positions(faulty.map(|(position, _)| *position)),
        responses: answers
            .iter()
            .map(|(_, answer)| answer.unwrap_or(FAULT_RESPONSE))
            .collect(),
    }
}

/// A sampled sector's leaf was there when the window was answered and is gone now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sampled leaf {leaf_index} of the sector at position {position} can no longer be read")]
pub struct LeafLost {
    /// Position in the sector set.
    pub position: u32,
    /// The leaf.
    pub leaf_index: u32,
}

/// Opens the answers that `sample_beacon` selects.
///
/// # Errors
/// [`LeafLost`] if a replica was damaged since.
pub fn open(
    params: &ProofParams,
    window: &ProvingWindow<'_>,
    responses: &Responses,
    sample_beacon: &Hash,
    leaves: &mut impl LeafRead,
) -> Result<Vec<u8>, LeafLost> {
    let sampled = window.sample(params, &responses.faults, &responses.root(), sample_beacon);
    let mut opened = Vec::new();
    for position in &sampled {
        let Some(sector) = window.sectors().get(*position) else {
            continue;
        };
        let leaf_index = window.leaf_index(*position, sector.size);
        let opening = leaves
            .leaf(*position, leaf_index)
            .filter(|opening| opening.digest_in(sector, leaf_index).is_some())
            .ok_or(LeafLost {
                position: *position,
                leaf_index,
            })?;
        opened.extend_from_slice(&opening.leaf);
        opened.extend(element_bytes(&opening.path));
    }
    let positions: Vec<usize> = sampled.iter().map(|position| index(*position)).collect();
    Ok(codec::encode(&WindowOpenings {
        leaves: opened,
        response_siblings: to_bytes(&tree::siblings(&responses.responses, &positions)),
    }))
}
