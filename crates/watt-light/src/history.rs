//! The Merkle mountain range over all headers: any old block is one final header and a few hashes away
//! (`docs/spec/light.md` §4).
//!
//! The ledger keeps only the peaks (one per set bit of the number of headers) and appends. Folded from the right, the peaks
//! give the same root as the plain Merkle tree over all headers, so a proof is a plain Merkle path.

use crate::proposal::Header;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::{BlockHeight, BoundedVec, Hash, merkle};

/// The most peaks, and the most hashes in a proof.
pub const HISTORY_DEPTH_MAX: usize = 64;

/// Peaks over the headers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Headers so far.
    count: u64,
    /// Roots of the full trees, largest first.
    peaks: BoundedVec<Hash, HISTORY_DEPTH_MAX>,
}

/// A node of the range that will never change again: the root over the `2^level` headers from `index * 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryNode {
    /// Height above the headers, which are level 0.
    pub level: u32,
    /// Place on its level.
    pub index: u64,
    /// Digest.
    pub digest: Hash,
}

impl History {
    /// Headers so far, which is also the height of the next.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is no header yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends the next header's hash and returns the nodes that this completes, the header itself first; whoever keeps
    /// them can prove any header.
    pub fn append(&mut self, header: Hash) -> Vec<HistoryNode> {
        let (mut level, mut index, mut digest) = (0, self.count, header);
        let mut completed = alloc::vec![HistoryNode { level, index, digest }];
        let mut peaks = core::mem::take(&mut self.peaks).into_inner();
        while index & 1 == 1
            && let Some(left) = peaks.pop()
        {
            digest = merkle::node(&left, &digest);
            level = level.saturating_add(1);
            index >>= 1;
            completed.push(HistoryNode { level, index, digest });
        }
        peaks.push(digest);
        self.count = self.count.saturating_add(1);
        // A u64 has at most 64 set bits, and there is one peak for each.
        self.peaks = BoundedVec::new(peaks).unwrap_or_default();
        completed
    }

    /// What the next header commits to as `history_root`; zero if there is no header yet. The header's height says how many
    /// headers that are.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| merkle::node(&left, &right))
            .unwrap_or(Hash::ZERO)
    }
}

/// Shows that a header is among those before a later, final one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryProof {
    /// Siblings from the header up.
    pub path: BoundedVec<Hash, HISTORY_DEPTH_MAX>,
}

/// Why a history proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHistory {
    /// The headers are of two networks.
    #[error("the headers belong to different networks")]
    OtherNetwork,
    /// The path has not the length of this place, or the header is not before the later one.
    #[error("block {earlier} has no such place in the history of block {later}")]
    Place {
        /// Height of the header in question.
        earlier: BlockHeight,
        /// Height of the final header.
        later: BlockHeight,
    },
    /// The history of the later header holds another header at this height.
    #[error("another header stands at height {earlier}")]
    OtherHeader {
        /// Height of the header in question.
        earlier: BlockHeight,
    },
}

impl HistoryProof {
    /// Proves header `height` among the first `count`, from the nodes that [`History::append`] returned; `None` if there is
    /// no such header or a node is missing.
    #[must_use]
    pub fn new(count: u64, height: BlockHeight, node: &impl Fn(u32, u64) -> Option<Hash>) -> Option<Self> {
        if height.0 >= count {
            return None;
        }
        let mut path = BoundedVec::empty();
        let (mut level, mut index, mut width) = (0u32, height.0, count);
        while width > 1 {
            let sibling = index ^ 1;
            if sibling < width {
                path.push(subtree(count, level, sibling, node)?).ok()?;
            }
            level = level.checked_add(1)?;
            index >>= 1;
            width = width.div_ceil(2);
        }
        Some(Self { path })
    }

    /// Checks that `earlier` is in the history that `later`, which is final, commits to.
    ///
    /// # Errors
    /// See [`InvalidHistory`].
    pub fn verify(&self, later: &Header, earlier: &Header) -> Result<(), InvalidHistory> {
        if later.network != earlier.network {
            return Err(InvalidHistory::OtherNetwork);
        }
        // The history of block `s` holds the headers 0 to s - 1.
        let places = usize::try_from(later.height.0)
            .ok()
            .zip(usize::try_from(earlier.height.0).ok());
        let top = places
            .and_then(|(count, index)| merkle::root_of_path(count, index, &earlier.hash(), &self.path))
            .ok_or(InvalidHistory::Place {
                earlier: earlier.height,
                later: later.height,
            })?;
        if top == later.history_root {
            Ok(())
        } else {
            Err(InvalidHistory::OtherHeader {
                earlier: earlier.height,
            })
        }
    }
}

/// The digest at a place, put together from completed nodes where it is itself still incomplete.
fn subtree(count: u64, level: u32, index: u64, node: &impl Fn(u32, u64) -> Option<Hash>) -> Option<Hash> {
    let is_complete = index
        .checked_add(1)
        .and_then(|next| next.checked_mul(1u64.checked_shl(level)?))
        .is_some_and(|end| end <= count);
    if is_complete {
        return node(level, index);
    }
    let below = level.checked_sub(1)?;
    let (left, right) = (index.checked_mul(2)?, index.checked_mul(2)?.checked_add(1)?);
    let left_digest = subtree(count, below, left, node)?;
    let right_start = right.checked_mul(1u64.checked_shl(below)?)?;
    if right_start >= count {
        return Some(left_digest);
    }
    Some(merkle::node(&left_digest, &subtree(count, below, right, node)?))
}

#[cfg(test)]
mod tests;
