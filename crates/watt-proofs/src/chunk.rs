//! One KiB of a slot against the slot's root: the BLAKE3 tree of `watt_primitives::slot_tree`, four levels further down
//! (`docs/spec/proofs.md` §5).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use alloc::vec::Vec;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use watt_primitives::Hash;

/// Bytes in a chunk: BLAKE3's own leaf, the least that proves itself.
pub(crate) const CHUNK_BYTES: usize = 1024;

/// The chaining value of chunk `index` of a slot of at least two chunks. With it `slot_tree::path` and
/// `slot_tree::root_of_groups` work on chunks as they do on groups.
pub(crate) fn digest(index: u64, bytes: &[u8]) -> Hash {
    let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(index.saturating_mul(chunk)).update(bytes);
    Hash(hasher.finalize_non_root())
}

/// For each step from the root down to chunk `index` of `n_chunks`, whether it goes left.
fn sides(n_chunks: u64, index: u64) -> Vec<bool> {
    let (mut sides, mut width, mut at) = (Vec::new(), n_chunks, index);
    while width > 1 {
        let left = width.next_power_of_two() >> 1;
        let is_left = at < left;
        sides.push(is_left);
        if is_left {
            width = left;
        } else {
            (width, at) = (width.saturating_sub(left), at.saturating_sub(left));
        }
    }
    sides
}

/// Siblings that prove chunk `index` of `n_chunks`.
pub(crate) fn path_len(n_chunks: u64, index: u64) -> usize {
    sides(n_chunks, index).len()
}

/// The root of a slot of `n_chunks` ≥ 2 chunks in which `bytes` are chunk `index`, with these siblings from the chunk up;
/// `None` if the siblings are too few or too many.
pub(crate) fn root(n_chunks: u64, index: u64, bytes: &[u8], path: &[Hash]) -> Option<Hash> {
    let sides = sides(n_chunks, index);
    if sides.len() != path.len() {
        return None;
    }
    let mut below = digest(index, bytes);
    let (top, lower) = path.split_last()?;
    let mut steps = sides.iter().rev();
    for (sibling, is_left) in lower.iter().zip(&mut steps) {
        let (left, right) = if *is_left {
            (&below, sibling)
        } else {
            (sibling, &below)
        };
        below = Hash(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash));
    }
    let (left, right) = if *steps.next()? {
        (&below, top)
    } else {
        (top, &below)
    };
    Some(Hash(merge_subtrees_root(&left.0, &right.0, Mode::Hash).into()))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )]

    use super::*;
    use crate::params::number;
    use watt_primitives::slot_tree;

    /// A chunk proves itself to the plain BLAKE3 hash of the slot, at its place only. Covers: C2, D1.
    #[test]
    fn a_chunk_proves_itself_alone() {
        for n_groups in [1usize, 2, 3, 5, 7] {
            let slot: Vec<u8> = (0..n_groups * 16 * CHUNK_BYTES)
                .map(|i| u8::try_from(i * 31 % 251).unwrap())
                .collect();
            let expected = Hash::of_content(&slot);
            let chunks: Vec<&[u8]> = slot.chunks(CHUNK_BYTES).collect();
            let n = number(chunks.len());
            let digests: Vec<Hash> = (0u64..).zip(&chunks).map(|(i, c)| digest(i, c)).collect();
            for (i, chunk) in chunks.iter().enumerate().step_by(5) {
                let path = slot_tree::path(&digests, i).unwrap();
                assert_eq!(path.len(), path_len(n, number(i)));
                assert_eq!(root(n, number(i), chunk, &path), Some(expected));
                assert_ne!(root(n, number(i ^ 1), chunk, &path), Some(expected));
                assert_ne!(root(n, number(i), chunks[i ^ 1], &path), Some(expected));
                assert_eq!(root(n, number(i), chunk, &path[1..]), None);
            }
        }
    }
}
