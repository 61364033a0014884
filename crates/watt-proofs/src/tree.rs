//! Merkle trees over many leaves by the rule of `watt_primitives::merkle`, and one proof for several leaves at once
//! (`docs/spec/proofs.md` §5).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use watt_primitives::Hash;
use watt_primitives::hash::Domain;

/// Leaves below a kept node: a tree keeps its nodes from this level up and computes the rest again from 128 leaves.
pub(crate) const BLOCK_LEAVES: usize = 1 << BLOCK_LEVEL;
const BLOCK_LEVEL: usize = 7;

const NODE_NAME: &[u8] = Domain::MerkleNode.as_str().as_bytes();
const NODE_PREIMAGE: usize = 8 + NODE_NAME.len() + 64;

/// An inner node, as `watt_primitives::merkle` makes it, without its streaming hasher: trees here have millions of nodes.
fn node(left: &Hash, right: &Hash) -> Hash {
    let mut preimage = [0; NODE_PREIMAGE];
    let name_len = u64::try_from(NODE_NAME.len()).unwrap_or(u64::MAX).to_be_bytes();
    let bytes = name_len.iter().chain(NODE_NAME).chain(&left.0).chain(&right.0);
    for (to, from) in preimage.iter_mut().zip(bytes) {
        *to = *from;
    }
    Hash(blake3::hash(&preimage).into())
}

fn level_above(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            rest => rest.first().copied(),
        })
        .collect()
}

/// All levels of the tree over `leaves`, from the leaves up to the root.
fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = alloc::vec![leaves];
    while let Some(top) = levels.last().filter(|top| top.len() > 1) {
        levels.push(level_above(top));
    }
    levels
}

/// The siblings that prove leaves `indices` (ascending, distinct) of `n_leaves`, as (level, index): level by level from the
/// leaves, from left to right, each once, and none that follows from the leaves themselves.
pub(crate) fn needed(n_leaves: usize, indices: &[usize]) -> Vec<(usize, usize)> {
    let (mut known, mut width, mut level) = (indices.to_vec(), n_leaves, 0usize);
    let mut siblings = Vec::new();
    while width > 1 {
        let mut above: Vec<usize> = Vec::with_capacity(known.len());
        let mut at = known.iter().copied().peekable();
        while let Some(index) = at.next() {
            let sibling = index ^ 1;
            if sibling > index && at.peek() == Some(&sibling) {
                at.next();
            } else if sibling < width {
                siblings.push((level, sibling));
            }
            above.push(index >> 1);
        }
        known = above;
        width = width.div_ceil(2);
        level = level.saturating_add(1);
    }
    siblings
}

/// The root that `leaves` (ascending, distinct, at least one) of `n_leaves` have with these siblings; `None` if siblings are
/// missing or left over.
pub(crate) fn batch_root(n_leaves: usize, leaves: &[(usize, Hash)], siblings: &[Hash]) -> Option<Hash> {
    if leaves.last()?.0 >= n_leaves {
        return None;
    }
    let (mut known, mut width, mut siblings) = (leaves.to_vec(), n_leaves, siblings.iter());
    while width > 1 {
        let mut above = Vec::with_capacity(known.len());
        let mut at = known.iter().peekable();
        while let Some((index, digest)) = at.next() {
            let sibling = index ^ 1;
            let parent =
                if let Some((_, right)) = at.next_if(|(next, _)| sibling > *index && *next == sibling) {
                    node(digest, right)
                } else if sibling >= width {
                    *digest
                } else if sibling > *index {
                    node(digest, siblings.next()?)
                } else {
                    node(siblings.next()?, digest)
                };
            above.push((index >> 1, parent));
        }
        known = above;
        width = width.div_ceil(2);
    }
    match known.as_slice() {
        [(_, root)] if siblings.next().is_none() => Some(*root),
        _ => None,
    }
}

/// The siblings that prove `indices` in the tree over all of `leaves`.
#[cfg(test)]
pub(crate) fn siblings(leaves: &[Hash], indices: &[usize]) -> Vec<Hash> {
    let levels = levels(leaves.to_vec());
    needed(leaves.len(), indices)
        .into_iter()
        .filter_map(|(level, index)| levels.get(level)?.get(index).copied())
        .collect()
}

/// A tree over a whole number of blocks of 128 leaves, of which only the nodes above the blocks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockTree {
    blocks: Vec<Hash>,
}

impl BlockTree {
    /// From the digests of all leaves in order; a last block of fewer leaves is left out.
    pub(crate) fn build(leaves: impl Iterator<Item = Hash>) -> Self {
        let (mut blocks, mut block) = (Vec::new(), Vec::with_capacity(BLOCK_LEAVES));
        for leaf in leaves {
            block.push(leaf);
            if block.len() == BLOCK_LEAVES {
                blocks.push(block_root(&mut block));
                block.clear();
            }
        }
        Self { blocks }
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        watt_primitives::merkle::root(&self.blocks)
    }

    /// The siblings that prove `indices` (ascending, distinct), computing leaves again where needed.
    pub(crate) fn siblings(&self, indices: &[usize], leaf: impl Fn(usize) -> Hash) -> Vec<Hash> {
        let upper = levels(self.blocks.clone());
        let mut lower: BTreeMap<usize, Vec<Vec<Hash>>> = BTreeMap::new();
        let n_leaves = self.blocks.len().saturating_mul(BLOCK_LEAVES);
        let find = |(level, index): (usize, usize)| {
            let Some(below) = BLOCK_LEVEL.checked_sub(level).filter(|below| *below > 0) else {
                return upper.get(level.checked_sub(BLOCK_LEVEL)?)?.get(index).copied();
            };
            let block = index >> below;
            let levels = lower.entry(block).or_insert_with(|| {
                let first = block.saturating_mul(BLOCK_LEAVES);
                levels((first..first.saturating_add(BLOCK_LEAVES)).map(&leaf).collect())
            });
            levels.get(level)?.get(index & !(usize::MAX << below)).copied()
        };
        needed(n_leaves, indices).into_iter().filter_map(find).collect()
    }
}

/// The root of a block, computed in place.
fn block_root(block: &mut Vec<Hash>) -> Hash {
    while block.len() > 1 {
        let above = block.len() >> 1;
        for at in 0..above {
            let left = at << 1;
            if let (Some(l), Some(r)) = (block.get(left).copied(), block.get(left | 1).copied())
                && let Some(to) = block.get_mut(at)
            {
                *to = node(&l, &r);
            }
        }
        block.truncate(above);
    }
    block.first().copied().unwrap_or(Hash::ZERO)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )]

    use super::*;
    use watt_primitives::merkle;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| Hash::of_content(&i.to_be_bytes())).collect()
    }

    fn picked(leaves: &[Hash], indices: &[usize]) -> Vec<(usize, Hash)> {
        indices.iter().map(|i| (*i, leaves[*i])).collect()
    }

    /// Every subset of a small tree proves itself to the root of the plain rule, and nothing shorter or longer does.
    /// Covers: C5, D1.
    #[test]
    fn every_subset_proves_itself() {
        for n in 1..10usize {
            let leaves = leaves(n);
            let root = merkle::root(&leaves);
            for subset in 1..1usize << n {
                let indices: Vec<usize> = (0..n).filter(|i| subset >> i & 1 == 1).collect();
                let proof = siblings(&leaves, &indices);
                assert_eq!(proof.len(), needed(n, &indices).len());
                let picked = picked(&leaves, &indices);
                assert_eq!(batch_root(n, &picked, &proof), Some(root), "{n} {indices:?}");
                let longer = [proof.as_slice(), &[Hash::ZERO]].concat();
                assert_eq!(batch_root(n, &picked, &longer), None);
                if let Some((_, shorter)) = proof.split_last() {
                    assert_eq!(batch_root(n, &picked, shorter), None);
                }
            }
        }
        assert_eq!(batch_root(4, &[], &[]), None);
        assert_eq!(batch_root(4, &[(4, Hash::ZERO)], &[]), None);
    }

    /// A tree that keeps only its upper nodes agrees with the plain rule, for counts of blocks that are no power of two.
    /// Covers: C5, D1.
    #[test]
    fn block_tree_is_the_plain_tree() {
        for n_blocks in [1usize, 2, 3, 5] {
            let leaves = leaves(n_blocks * BLOCK_LEAVES);
            let tree = BlockTree::build(leaves.iter().copied());
            assert_eq!(tree.root(), merkle::root(&leaves));
            for indices in [
                Vec::from([0]),
                Vec::from([1, 2, 127]),
                Vec::from([5, leaves.len() - 1]),
            ] {
                let indices = indices.as_slice();
                let proof = tree.siblings(indices, |i| leaves[i]);
                assert_eq!(proof, siblings(&leaves, indices));
                let picked = picked(&leaves, indices);
                assert_eq!(batch_root(leaves.len(), &picked, &proof), Some(tree.root()));
            }
        }
    }
}
