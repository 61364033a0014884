//! Plain Merkle trees over a list of digests: body roots, slot-root lists, piece tables, responses, headers
//! (`docs/spec/encoding.md` §5).
//!
//! A level's last node without a sibling is promoted, never duplicated. Leaves are digests that their owner made under a
//! domain of their own; inner nodes are `BLAKE3(len(domain) || "watt/1/merkle-node" || l || r)`. The empty tree has the root
//! [`Hash::ZERO`]; the number of leaves is not in the root, so whoever commits to a root commits to the count beside it.

use crate::Hash;
use crate::hash::{Domain, DomainHasher};
use alloc::vec::Vec;

/// The inner node over two nodes.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    DomainHasher::without_network(Domain::MerkleNode)
        .bytes(left.as_ref())
        .bytes(right.as_ref())
        .finish()
}

fn level_above(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            [single] => *single,
            _ => Hash::ZERO,
        })
        .collect()
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_above(&level);
    }
    level.first().copied().unwrap_or(Hash::ZERO)
}

/// The siblings from leaf `index` up; `None` if there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    leaves.get(index)?;
    let mut siblings = Vec::new();
    let mut level = leaves.to_vec();
    let mut at = index;
    while level.len() > 1 {
        siblings.extend(level.get(at ^ 1));
        level = level_above(&level);
        at >>= 1;
    }
    Some(siblings)
}

/// The root of the tree of `n_leaves` in which `leaf` stands at `index` beside `path`; `None` unless the path has exactly the
/// length that this place has.
#[must_use]
pub fn root_of_path(n_leaves: usize, index: usize, leaf: &Hash, path: &[Hash]) -> Option<Hash> {
    if index >= n_leaves {
        return None;
    }
    let (mut at, mut width, mut digest) = (index, n_leaves, *leaf);
    let mut siblings = path.iter();
    while width > 1 {
        let has_sibling = (at ^ 1) < width;
        if has_sibling {
            let sibling = siblings.next()?;
            digest = if at & 1 == 0 {
                node(&digest, sibling)
            } else {
                node(sibling, &digest)
            };
        }
        at >>= 1;
        width = width.div_ceil(2);
    }
    siblings.next().is_none().then_some(digest)
}

/// Whether `leaf` stands at `index` among `n_leaves` under `root`.
#[must_use]
pub fn verify(root: &Hash, n_leaves: usize, index: usize, leaf: &Hash, path: &[Hash]) -> bool {
    root_of_path(n_leaves, index, leaf, path).as_ref() == Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_proves_at_its_place_and_nowhere_else() {
        for n in 0..20u8 {
            let leaves: Vec<Hash> = (0..n).map(|i| Hash::of_content(&[i])).collect();
            let root = root(&leaves);
            for (i, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, i).unwrap();
                assert!(verify(&root, leaves.len(), i, leaf, &path));
                for j in (0..leaves.len()).filter(|j| *j != i) {
                    assert!(
                        !verify(&root, leaves.len(), j, leaf, &path),
                        "{n} leaves: {i} passed as {j}"
                    );
                }
                let longer = [path.as_slice(), &[Hash::ZERO]].concat();
                assert!(!verify(&root, leaves.len(), i, leaf, &longer));
            }
            assert!(path(&leaves, leaves.len()).is_none());
        }
    }
}
