//! The state tree: a Merkle tree over hashed keys whose buckets split when they overflow (`docs/spec/light.md` §2, TC21).
//!
//! Hash rules and proofs are `watt_light::state_proof`'s; here is how the tree lies in rows and how a block changes it.
//! Every node has at most one row, named by its place, and only the rows on changed paths are read or written:
//!
//! - a bucket: its leaves, ascending, 64 bytes each (1 to 64 of them);
//! - an inner node: digest and number of leaves of both children (80 bytes, so never mistaken for a bucket);
//! - an empty bucket has no row.

use crate::state::{StateRead, Writes};
use row::{NODE_BYTES, Node, Place, Row, encode_bucket, load, top_row};
use watt_light::state_proof::{
    BUCKET_LEAVES_MAX, BucketProof, Leaf, StateProof, bit, bucket_hash_of, root_hash, tree_key, value_hash,
};
use watt_primitives::{BoundedVec, Hash, merkle};

pub mod chunk;
mod row;

/// First byte of the key of every row that is an entry of the state.
pub const ENTRY_ROW: u8 = b'E';

/// First byte of the key of every row that belongs to the tree.
pub const TREE_ROW: u8 = b'T';

/// First byte of the key of every row that leads from a tree key to an entry key ([`chunk::index`]).
pub const INDEX_ROW: u8 = b'K';

const BUCKET_LEAVES_MAX_U64: u64 = 64;

/// What a block does to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeUpdate {
    /// Root of the state after it.
    pub root: Hash,
    /// Rows of the tree to write beside the entry rows.
    pub rows: Writes,
}

/// A row of the tree is missing or damaged: this store can't be trusted and is rebuilt from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state tree is damaged at depth {depth}")]
pub struct DamagedTree {
    /// Depth of the node whose row is wrong.
    pub depth: usize,
}

/// The tree's root and rows after `writes`, which hold entry rows only, on top of `below`.
///
/// # Errors
/// [`DamagedTree`] if a row of the tree is missing or malformed.
pub fn update(below: &impl StateRead, writes: &Writes) -> Result<TreeUpdate, DamagedTree> {
    let mut changes: Vec<Change> = writes
        .iter()
        .map(|(key, value)| Change {
            key: tree_key(key),
            value: value.as_deref().map(value_hash),
        })
        .collect();
    changes.sort_unstable_by_key(|change| change.key);
    let mut updater = Updater {
        below,
        rows: Writes::new(),
    };
    let before = top_row(below)?;
    let after = match updater.apply(Place::TOP, before, &changes)? {
        Some(changed) => updater.settle(Place::TOP, changed)?,
        None => top_row(below)?.summary(),
    };
    Ok(TreeUpdate {
        root: root_hash(after.count, &after.digest),
        rows: updater.rows,
    })
}

/// The root of the state as its rows have it.
///
/// # Errors
/// [`DamagedTree`] if the topmost row is malformed.
pub fn root(state: &impl StateRead) -> Result<Hash, DamagedTree> {
    let top = top_row(state)?.summary();
    Ok(root_hash(top.count, &top.digest))
}

/// Proves under the state's root that the entry under `entry_key` has its value, or that there is none.
///
/// # Errors
/// [`DamagedTree`] if a row on the way is missing or malformed.
pub fn prove(state: &impl StateRead, entry_key: &[u8]) -> Result<StateProof, DamagedTree> {
    let key = tree_key(entry_key);
    let mut place = Place::TOP;
    let mut row = top_row(state)?;
    let leaf_count = row.count();
    let mut siblings = BoundedVec::empty();
    let leaves = loop {
        let node = match row {
            Row::Bucket(leaves) => break leaves,
            Row::Node(node) => node,
        };
        let is_one = bit(&key, place.depth);
        let (child, sibling) = if is_one {
            (node.one, node.zero)
        } else {
            (node.zero, node.one)
        };
        siblings.push(sibling.digest).map_err(|_| place.damaged())?;
        place = place.child(is_one)?;
        row = load(state, place, child)?;
    };
    let bucket = prove_in_bucket(leaves, &key).ok_or_else(|| place.damaged())?;
    Ok(StateProof {
        leaf_count,
        siblings,
        bucket,
    })
}

/// `None` only for a bucket with more leaves than a bucket has.
fn prove_in_bucket(leaves: Vec<Leaf>, key: &Hash) -> Option<BucketProof> {
    let Ok(index) = leaves.binary_search_by_key(key, |leaf| leaf.key) else {
        return BoundedVec::new(leaves)
            .ok()
            .map(|leaves| BucketProof::Absent { leaves });
    };
    let digests: Vec<Hash> = leaves.iter().map(Leaf::hash).collect();
    Some(BucketProof::Member {
        count: u8::try_from(leaves.len()).ok()?,
        index: u8::try_from(index).ok()?,
        path: BoundedVec::new(merkle::path(&digests, index)?).ok()?,
    })
}

/// What becomes of one leaf; `None` removes it.
struct Change {
    key: Hash,
    value: Option<Hash>,
}

/// What a node is to the one above it.
#[derive(Clone, Copy)]
struct Summary {
    digest: Hash,
    count: u64,
}

/// A subtree that a block changed. A small one has no digest yet: it may still be merged with its neighbour.
enum Changed {
    Small(Vec<Leaf>),
    Large(Summary),
}

/// One side of an inner node after the block.
enum Side {
    Unchanged(Summary),
    Changed(Changed),
}

impl Side {
    fn count(&self) -> u64 {
        match self {
            Self::Unchanged(summary) | Self::Changed(Changed::Large(summary)) => summary.count,
            Self::Changed(Changed::Small(leaves)) => count_of(leaves),
        }
    }
}

struct Updater<'a, S> {
    below: &'a S,
    rows: Writes,
}

impl<S: StateRead> Updater<'_, S> {
    /// The subtree at `place` after `changes`, which are sorted and all lie in it; `None` if it stays as it is.
    fn apply(&mut self, place: Place, row: Row, changes: &[Change]) -> Result<Option<Changed>, DamagedTree> {
        let node = match row {
            Row::Bucket(leaves) => {
                return match merge(&leaves, changes) {
                    Some(leaves) => self.build(place, leaves).map(Some),
                    None => Ok(None),
                };
            }
            Row::Node(node) => node,
        };
        let (zeros, ones) =
            changes.split_at(changes.partition_point(|change| !bit(&change.key, place.depth)));
        let zero = self.apply_side(place.child(false)?, node.zero, zeros)?;
        let one = self.apply_side(place.child(true)?, node.one, ones)?;
        match (&zero, &one) {
            (Side::Unchanged(_), Side::Unchanged(_)) => Ok(None),
            (Side::Unchanged(_) | Side::Changed(_), Side::Changed(_))
            | (Side::Changed(_), Side::Unchanged(_)) => self.join(place, zero, one).map(Some),
        }
    }

    fn apply_side(&mut self, place: Place, before: Summary, changes: &[Change]) -> Result<Side, DamagedTree> {
        if changes.is_empty() {
            return Ok(Side::Unchanged(before));
        }
        let row = load(self.below, place, before)?;
        Ok(match self.apply(place, row, changes)? {
            Some(changed) => Side::Changed(changed),
            None => Side::Unchanged(before),
        })
    }

    /// Puts two sides together: one bucket if they fit, else an inner node.
    fn join(&mut self, place: Place, zero: Side, one: Side) -> Result<Changed, DamagedTree> {
        let (zero_place, one_place) = (place.child(false)?, place.child(true)?);
        if zero.count().saturating_add(one.count()) > BUCKET_LEAVES_MAX_U64 {
            let zero = self.settle_side(zero_place, zero)?;
            let one = self.settle_side(one_place, one)?;
            return Ok(Changed::Large(self.write_node(place, Node { zero, one })));
        }
        let mut leaves = self.take_leaves(zero_place, zero)?;
        leaves.extend(self.take_leaves(one_place, one)?);
        Ok(Changed::Small(leaves))
    }

    /// The leaves of a side that becomes part of the bucket above, whose own row goes.
    fn take_leaves(&mut self, place: Place, side: Side) -> Result<Vec<Leaf>, DamagedTree> {
        self.rows.insert(place.row_key(), None);
        match side {
            Side::Changed(Changed::Small(leaves)) => Ok(leaves),
            Side::Changed(Changed::Large(_)) => Err(place.damaged()),
            Side::Unchanged(summary) => match load(self.below, place, summary)? {
                Row::Bucket(leaves) => Ok(leaves),
                Row::Node(_) => Err(place.damaged()),
            },
        }
    }

    /// A subtree of these leaves, sorted, with everything below its topmost node written.
    fn build(&mut self, place: Place, mut leaves: Vec<Leaf>) -> Result<Changed, DamagedTree> {
        if leaves.len() <= BUCKET_LEAVES_MAX {
            return Ok(Changed::Small(leaves));
        }
        let ones = leaves.split_off(leaves.partition_point(|leaf| !bit(&leaf.key, place.depth)));
        let (zero_place, one_place) = (place.child(false)?, place.child(true)?);
        let zero = self.build(zero_place, leaves)?;
        let zero = self.settle(zero_place, zero)?;
        let one = self.build(one_place, ones)?;
        let one = self.settle(one_place, one)?;
        Ok(Changed::Large(self.write_node(place, Node { zero, one })))
    }

    fn settle_side(&mut self, place: Place, side: Side) -> Result<Summary, DamagedTree> {
        match side {
            Side::Unchanged(summary) => Ok(summary),
            Side::Changed(changed) => self.settle(place, changed),
        }
    }

    /// Writes the topmost node of a changed subtree that stays a node of its own.
    fn settle(&mut self, place: Place, changed: Changed) -> Result<Summary, DamagedTree> {
        let leaves = match changed {
            Changed::Large(summary) => return Ok(summary),
            Changed::Small(leaves) => leaves,
        };
        let row = (!leaves.is_empty()).then(|| encode_bucket(&leaves));
        self.rows.insert(place.row_key(), row);
        let digest = bucket_hash_of(&leaves).ok_or_else(|| place.damaged())?;
        Ok(Summary {
            digest,
            count: count_of(&leaves),
        })
    }

    fn write_node(&mut self, place: Place, node: Node) -> Summary {
        let mut row = Vec::with_capacity(NODE_BYTES);
        for side in [node.zero, node.one] {
            row.extend_from_slice(side.digest.as_ref());
            row.extend_from_slice(&side.count.to_be_bytes());
        }
        self.rows.insert(place.row_key(), Some(row));
        node.summary()
    }
}

/// `leaves` after `changes`, both sorted; `None` if nothing changes.
fn merge(leaves: &[Leaf], changes: &[Change]) -> Option<Vec<Leaf>> {
    let mut merged = Vec::with_capacity(leaves.len().saturating_add(changes.len()));
    let mut old = leaves.iter().copied().peekable();
    let mut is_changed = false;
    for change in changes {
        while let Some(leaf) = old.next_if(|leaf| leaf.key < change.key) {
            merged.push(leaf);
        }
        let before = old.next_if(|leaf| leaf.key == change.key).map(|leaf| leaf.value);
        is_changed |= before != change.value;
        merged.extend(change.value.map(|value| Leaf {
            key: change.key,
            value,
        }));
    }
    merged.extend(old);
    is_changed.then_some(merged)
}

fn count_of(leaves: &[Leaf]) -> u64 {
    u64::try_from(leaves.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
