//! What a phone knows about one row of the state: the hash rules of the state tree and proofs against its root
//! (`docs/spec/light.md` §2, TC21).
//!
//! The tree splits on the bits of hashed keys: a set of more than [`BUCKET_LEAVES_MAX`] leaves is an inner node over the
//! leaves whose next bit is 0 and those whose next bit is 1; a smaller set is a bucket. So the shape depends on the content
//! only. Buckets, inner nodes and the root are hashed in domains of their own: nothing that is one of them can be shown as
//! another. The hashes don't hold the network; the header that holds the root does.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::DomainHasher;
use watt_primitives::{BoundedVec, Domain, Hash, merkle};

/// The most leaves in a bucket; one more and it splits on the next bit.
pub const BUCKET_LEAVES_MAX: usize = 64;

/// Bits in a tree key, and so the most inner nodes above a bucket.
pub const DEPTH_MAX: usize = 256;

/// The most siblings from a leaf to its bucket's root.
pub const BUCKET_PATH_MAX: usize = 6;

/// The most bytes of an encoded proof.
pub const STATE_PROOF_BYTES_MAX: usize = 16 * 1024;

/// Where the entry under `entry_key` stands in the tree.
#[must_use]
pub fn tree_key(entry_key: &[u8]) -> Hash {
    DomainHasher::without_network(Domain::StateKey)
        .part(entry_key)
        .finish()
}

/// What a leaf holds in place of the entry's value.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    DomainHasher::without_network(Domain::StateValue)
        .part(value)
        .finish()
}

/// One entry in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// [`tree_key`] of the entry.
    pub key: Hash,
    /// [`value_hash`] of the entry.
    pub value: Hash,
}

impl Leaf {
    /// The leaf's digest in its bucket.
    #[must_use]
    pub fn hash(&self) -> Hash {
        DomainHasher::without_network(Domain::StateLeaf)
            .part(self.key.as_ref())
            .part(self.value.as_ref())
            .finish()
    }
}

/// The digest of a bucket from the number of its leaves and the Merkle root over them.
#[must_use]
pub fn bucket_hash(count: u8, leaves_root: &Hash) -> Hash {
    DomainHasher::without_network(Domain::StateBucket)
        .part(&[count])
        .part(leaves_root.as_ref())
        .finish()
}

/// The digest of the bucket with these leaves, which are sorted by key; `None` if they are too many for one bucket.
#[must_use]
pub fn bucket_hash_of(leaves: &[Leaf]) -> Option<Hash> {
    if leaves.len() > BUCKET_LEAVES_MAX {
        return None;
    }
    let count = u8::try_from(leaves.len()).ok()?;
    let digests: Vec<Hash> = leaves.iter().map(Leaf::hash).collect();
    Some(bucket_hash(count, &merkle::root(&digests)))
}

/// The digest of an inner node: `zero` over the leaves whose next bit is 0, `one` over the others.
#[must_use]
pub fn node_hash(zero: &Hash, one: &Hash) -> Hash {
    DomainHasher::without_network(Domain::StateNode)
        .part(zero.as_ref())
        .part(one.as_ref())
        .finish()
}

/// The state root from the number of entries and the digest of the topmost node.
#[must_use]
pub fn root_hash(leaf_count: u64, top: &Hash) -> Hash {
    DomainHasher::without_network(Domain::StateRoot)
        .part(&leaf_count.to_be_bytes())
        .part(top.as_ref())
        .finish()
}

/// Bit `depth` of a tree key, most significant first; `false` beyond its end.
#[must_use]
pub fn bit(key: &Hash, depth: usize) -> bool {
    let mask = 0x80u8.wrapping_shr(u32::try_from(depth % 8).unwrap_or(0));
    key.0.get(depth / 8).is_some_and(|byte| byte & mask != 0)
}

/// Shows that an entry has a value, or that there is no such entry, under a state root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Entries in the whole state.
    pub leaf_count: u64,
    /// Digests beside the way from the root (first) down to the bucket (last).
    pub siblings: BoundedVec<Hash, DEPTH_MAX>,
    /// The bucket in which the key stands, or would.
    pub bucket: BucketProof,
}

/// What is shown of the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BucketProof {
    /// The entry stands in it.
    Member {
        /// Leaves in the bucket.
        count: u8,
        /// Place of the entry's leaf among them.
        index: u8,
        /// Siblings from the leaf up to the root over the bucket's leaves.
        path: BoundedVec<Hash, BUCKET_PATH_MAX>,
    },
    /// The entry does not: here are all leaves, ascending by key.
    Absent {
        /// The whole bucket.
        leaves: BoundedVec<Leaf, BUCKET_LEAVES_MAX>,
    },
}

/// Why a state proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStateProof {
    /// It is about presence and the question about absence, or the other way round.
    #[error("the proof answers another question")]
    OtherQuestion,
    /// The place in the bucket and the path do not fit each other.
    #[error("no leaf stands at place {index} of {count} with a path of {path_len}")]
    Place {
        /// Place claimed.
        index: u8,
        /// Leaves claimed.
        count: u8,
        /// Siblings given.
        path_len: usize,
    },
    /// The shown bucket is not ascending or holds keys from elsewhere.
    #[error("leaf {index} does not belong where it stands in the bucket")]
    Unordered {
        /// Place of the first such leaf.
        index: usize,
    },
    /// The key is in the bucket that should show its absence.
    #[error("the entry exists")]
    Present,
    /// Everything fits together, but under another root.
    #[error("the proof is for the state root {found}, not for {expected}")]
    Root {
        /// Root that the proof gives.
        found: Hash,
        /// Root asked about.
        expected: Hash,
    },
}

impl StateProof {
    /// Checks that under `root` the entry under `entry_key` has exactly `value`, or does not exist if that is `None`.
    ///
    /// # Errors
    /// See [`InvalidStateProof`].
    pub fn verify(
        &self,
        root: &Hash,
        entry_key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), InvalidStateProof> {
        let key = tree_key(entry_key);
        let bucket = match (&self.bucket, value) {
            (BucketProof::Member { count, index, path }, Some(value)) => {
                let leaf = Leaf {
                    key,
                    value: value_hash(value),
                };
                member_bucket(*count, *index, path, &leaf)?
            }
            (BucketProof::Absent { leaves }, None) => self.absent_bucket(leaves, &key)?,
            (BucketProof::Member { .. }, None) | (BucketProof::Absent { .. }, Some(_)) => {
                return Err(InvalidStateProof::OtherQuestion);
            }
        };
        let top = self
            .siblings
            .iter()
            .enumerate()
            .rev()
            .fold(bucket, |below, (depth, sibling)| {
                if bit(&key, depth) {
                    node_hash(sibling, &below)
                } else {
                    node_hash(&below, sibling)
                }
            });
        let found = root_hash(self.leaf_count, &top);
        if found == *root {
            Ok(())
        } else {
            Err(InvalidStateProof::Root {
                found,
                expected: *root,
            })
        }
    }

    /// The digest of the shown bucket, if `key` belongs there and is missing.
    fn absent_bucket(
        &self,
        leaves: &BoundedVec<Leaf, BUCKET_LEAVES_MAX>,
        key: &Hash,
    ) -> Result<Hash, InvalidStateProof> {
        let mut previous: Option<&Hash> = None;
        for (index, leaf) in leaves.iter().enumerate() {
            let is_ascending = previous.is_none_or(|previous| *previous < leaf.key);
            let is_from_here = (0..self.siblings.len()).all(|depth| bit(&leaf.key, depth) == bit(key, depth));
            if !is_ascending || !is_from_here {
                return Err(InvalidStateProof::Unordered { index });
            }
            if leaf.key == *key {
                return Err(InvalidStateProof::Present);
            }
            previous = Some(&leaf.key);
        }
        // The bound is in the list's type; the error is never seen.
        bucket_hash_of(leaves).ok_or(InvalidStateProof::Unordered { index: leaves.len() })
    }
}

/// The digest of the bucket of `count` leaves in which `leaf` stands at `index`.
fn member_bucket(count: u8, index: u8, path: &[Hash], leaf: &Leaf) -> Result<Hash, InvalidStateProof> {
    merkle::root_of_path(usize::from(count), usize::from(index), &leaf.hash(), path)
        .filter(|_| usize::from(count) <= BUCKET_LEAVES_MAX)
        .map(|leaves_root| bucket_hash(count, &leaves_root))
        .ok_or(InvalidStateProof::Place {
            index,
            count,
            path_len: path.len(),
        })
}
