//! Verified streaming: plain BLAKE3, checked every 16 KiB (`docs/spec/encoding.md` §6).
//!
//! A slot's root is the ordinary BLAKE3 hash of its bytes. Cut into groups of 16 KiB, each group has a chaining value; the
//! list of them (32 bytes per group, the *outboard*) merges to the root. So a reader who has the outboard and knows the root
//! checks each group as it arrives, in any order, and one group with its path to the root proves itself alone.
//!
//! Source: BLAKE3 paper §2.1 (tree shape), `blake3::hazmat`.

use crate::Hash;
use alloc::vec::Vec;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes in a group: 16 chunks of 1 KiB, one cell of the erasure code.
pub const GROUP_BYTES: usize = 16 * 1024;

/// Number of groups in `len` bytes; an empty slot has one empty group.
#[must_use]
pub fn group_count(len: u64) -> u64 {
    let group = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
    len.div_ceil(group).max(1)
}

/// The chaining value of group `index`, or the root itself if it is the only group.
///
/// `bytes` is at most [`GROUP_BYTES`] long and shorter only for the last group.
#[must_use]
pub fn group_digest(index: u64, n_groups: u64, bytes: &[u8]) -> Hash {
    if n_groups <= 1 {
        return Hash::of_content(bytes);
    }
    let offset = index.saturating_mul(u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX));
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset).update(bytes);
    Hash(hasher.finalize_non_root())
}

/// The root over the digests of all groups: the BLAKE3 hash of the whole.
#[must_use]
pub fn root_of_groups(groups: &[Hash]) -> Hash {
    match groups {
        [] => Hash::of_content(&[]),
        [only] => *only,
        _ => {
            let (left, right) = groups.split_at(left_len(groups.len()));
            Hash(merge_subtrees_root(&subtree(left).0, &subtree(right).0, Mode::Hash).into())
        }
    }
}

fn subtree(groups: &[Hash]) -> Hash {
    match groups {
        [] => Hash::ZERO,
        [only] => *only,
        _ => {
            let (left, right) = groups.split_at(left_len(groups.len()));
            Hash(merge_subtrees_non_root(
                &subtree(left).0,
                &subtree(right).0,
                Mode::Hash,
            ))
        }
    }
}

/// Groups in the left subtree of `n` ≥ 2: the largest power of two below `n`.
const fn left_len(n: usize) -> usize {
    n.next_power_of_two() >> 1
}

/// The siblings from group `index` up to the root, lowest first; `None` if there is no such group.
#[must_use]
pub fn path(groups: &[Hash], index: usize) -> Option<Vec<Hash>> {
    groups.get(index)?;
    let mut siblings = Vec::new();
    let (mut below, mut at) = (groups, index);
    while below.len() > 1 {
        let (left, right) = below.split_at(left_len(below.len()));
        if at < left.len() {
            siblings.push(subtree(right));
            below = left;
        } else {
            siblings.push(subtree(left));
            at -= left.len();
            below = right;
        }
    }
    siblings.reverse();
    Some(siblings)
}

/// Whether `bytes` are group `index` of the `len`-byte slot with this root.
#[must_use]
pub fn verify_group(root: &Hash, len: u64, index: u64, bytes: &[u8], path: &[Hash]) -> bool {
    let n_groups = group_count(len);
    if index >= n_groups || u64::try_from(bytes.len()).ok() != Some(group_len(len, index)) {
        return false;
    }
    let digest = group_digest(index, n_groups, bytes);
    // Sides from the root down, as `path` walks; then fold from the group up.
    let (mut sides, mut width, mut at) = (Vec::new(), n_groups, index);
    while width > 1 {
        let left = width.next_power_of_two() >> 1;
        let is_left = at < left;
        sides.push(is_left);
        (width, at) = if is_left {
            (left, at)
        } else {
            (width - left, at - left)
        };
    }
    if sides.len() != path.len() {
        return false;
    }
    let last = path.len().saturating_sub(1);
    let mut digest = digest;
    for (depth, (sibling, is_left)) in path.iter().zip(sides.iter().rev()).enumerate() {
        let (left, right) = if *is_left {
            (&digest, sibling)
        } else {
            (sibling, &digest)
        };
        digest = if depth == last {
            Hash(merge_subtrees_root(&left.0, &right.0, Mode::Hash).into())
        } else {
            Hash(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash))
        };
    }
    digest == *root
}

/// Length of group `index` in a slot of `len` bytes.
#[must_use]
pub fn group_len(len: u64, index: u64) -> u64 {
    let group = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
    len.saturating_sub(index.saturating_mul(group)).min(group)
}

/// Hashes a slot as it streams by and keeps its outboard.
#[derive(Debug, Default)]
pub struct SlotHasher {
    groups: Vec<Hash>,
    pending: Vec<u8>,
}

impl SlotHasher {
    /// Begins an empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes at the end.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full group is hashed only when more follows: alone it would be the root.
            if self.pending.len() == GROUP_BYTES {
                self.close_group();
            }
            if self.pending.is_empty() && bytes.len() > GROUP_BYTES {
                let (group, rest) = bytes.split_at(GROUP_BYTES);
                let index = u64::try_from(self.groups.len()).unwrap_or(u64::MAX);
                self.groups.push(group_digest(index, u64::MAX, group));
                bytes = rest;
                continue;
            }
            let take = bytes.len().min(GROUP_BYTES - self.pending.len());
            let (now, rest) = bytes.split_at(take);
            self.pending.extend_from_slice(now);
            bytes = rest;
        }
    }

    fn close_group(&mut self) {
        let index = u64::try_from(self.groups.len()).unwrap_or(u64::MAX);
        self.groups.push(group_digest(index, u64::MAX, &self.pending));
        self.pending.clear();
    }

    /// The outboard; its root is [`root_of_groups`].
    #[must_use]
    pub fn finish(mut self) -> Vec<Hash> {
        if self.groups.is_empty() {
            return alloc::vec![Hash::of_content(&self.pending)];
        }
        if !self.pending.is_empty() {
            self.close_group();
        }
        self.groups
    }
}

#[cfg(test)]
#[allow(clippy::as_conversions, reason = "tests")]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
    }

    /// The slot root is plain BLAKE3, however the bytes arrive. Covers: C2.
    #[test]
    fn root_equals_blake3_for_all_shapes() {
        for len in [
            0,
            1,
            1024,
            GROUP_BYTES - 1,
            GROUP_BYTES,
            GROUP_BYTES + 1,
            3 * GROUP_BYTES,
            7 * GROUP_BYTES + 5,
        ] {
            let data = bytes(len);
            for step in [1_000, GROUP_BYTES, 5 * GROUP_BYTES] {
                let mut hasher = SlotHasher::new();
                data.chunks(step).for_each(|chunk| hasher.update(chunk));
                let groups = hasher.finish();
                assert_eq!(groups.len() as u64, group_count(len as u64));
                assert_eq!(
                    root_of_groups(&groups),
                    Hash::of_content(&data),
                    "len {len} step {step}"
                );
            }
        }
    }

    /// One flipped bit in a group, its place or its path is caught. Covers: C2, C5.
    #[test]
    fn a_group_proves_itself_alone() {
        for n in [1usize, 2, 3, 5, 8, 13] {
            let len = n * GROUP_BYTES - 7;
            let data = bytes(len);
            let mut hasher = SlotHasher::new();
            hasher.update(&data);
            let groups = hasher.finish();
            let root = root_of_groups(&groups);
            for (i, group) in data.chunks(GROUP_BYTES).enumerate() {
                let path = path(&groups, i).unwrap();
                assert!(verify_group(&root, len as u64, i as u64, group, &path));
                let mut bad = group.to_vec();
                bad[0] ^= 1;
                assert!(!verify_group(&root, len as u64, i as u64, &bad, &path));
                assert!(!verify_group(&root, len as u64, (i as u64 + 1) % n as u64, group, &path) || n == 1);
                assert!(!verify_group(&root, len as u64 + 1, i as u64, group, &path) || i + 1 < n);
            }
        }
    }
}
