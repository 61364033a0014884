//! A part of the state that proves itself under the state root: how a node gets a state from peers that it need not trust
//! (`docs/spec/light.md` §5, TC22).

use super::row::{Place, Row, load, top_row};
use super::{DamagedTree, ENTRY_ROW, INDEX_ROW};
use crate::rows;
use crate::state::{StateRead, Writes};
use serde::{Deserialize, Serialize};
use watt_light::Header;
use watt_light::state_proof::{
    BUCKET_LEAVES_MAX, DEPTH_MAX, Leaf, bit, bucket_hash_of, node_hash, root_hash, tree_key, value_hash,
};
use watt_primitives::{BoundedBytes, BoundedVec, Hash};

/// The most entries in a chunk.
pub const CHUNK_ENTRIES_MAX: usize = 1_024;

/// Bytes of entries above which a chunk is cut further, down to a single bucket.
pub const CHUNK_BYTES_MAX: usize = 512 * 1024;

/// The most bytes of an entry's key.
pub const ENTRY_KEY_BYTES_MAX: usize = 1_024;

/// The most bytes of an entry's value in a chunk.
pub const ENTRY_VALUE_BYTES_MAX: usize = 1 << 20;

/// One entry of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkEntry {
    /// Its key, with the first byte of entry rows.
    pub key: BoundedBytes<ENTRY_KEY_BYTES_MAX>,
    /// Its value.
    pub value: BoundedBytes<ENTRY_VALUE_BYTES_MAX>,
}

/// All entries whose tree keys begin with the same bits, as many bits as there are siblings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateChunk {
    /// Entries in the whole state.
    pub leaf_count: u64,
    /// Digests beside the way from the root (first) down to the chunk (last).
    pub siblings: BoundedVec<Hash, DEPTH_MAX>,
    /// The entries, ascending by tree key.
    pub entries: BoundedVec<ChunkEntry, CHUNK_ENTRIES_MAX>,
}

/// Why a chunk is not part of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChunk {
    /// An entry is out of order, twice there, or belongs elsewhere.
    #[error("entry {index} does not belong where it stands in the chunk")]
    Unordered {
        /// Place of the first such entry.
        index: usize,
    },
    /// A key is not one of an entry.
    #[error("entry {index} has a key that no entry has")]
    NotAnEntry {
        /// Place of the first such entry.
        index: usize,
    },
    /// Everything fits together, but under another root.
    #[error("the chunk is of the state {found}, not of {expected}")]
    Root {
        /// Root that the chunk gives.
        found: Hash,
        /// Root asked about.
        expected: Hash,
    },
}

impl StateChunk {
    /// Checks that these are all entries of the state with this `root` around the tree key `at`, and none other.
    ///
    /// # Errors
    /// See [`InvalidChunk`].
    pub fn verify(&self, root: &Hash, at: &Hash) -> Result<(), InvalidChunk> {
        let mut leaves: Vec<Leaf> = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.key.first() != Some(&ENTRY_ROW) {
                return Err(InvalidChunk::NotAnEntry { index });
            }
            let leaf = Leaf {
                key: tree_key(&entry.key),
                value: value_hash(&entry.value),
            };
            let is_ascending = leaves.last().is_none_or(|previous| previous.key < leaf.key);
            let is_from_here = (0..self.siblings.len()).all(|depth| bit(&leaf.key, depth) == bit(at, depth));
            if !is_ascending || !is_from_here {
                return Err(InvalidChunk::Unordered { index });
            }
            leaves.push(leaf);
        }
        let siblings = self.siblings.iter().enumerate().rev();
        let top = siblings.fold(digest(&leaves, self.siblings.len()), |below, (depth, sibling)| {
            if bit(at, depth) {
                node_hash(sibling, &below)
            } else {
                node_hash(&below, sibling)
            }
        });
        let found = root_hash(self.leaf_count, &top);
        if found == *root {
            Ok(())
        } else {
            Err(InvalidChunk::Root {
                found,
                expected: *root,
            })
        }
    }

    /// The first tree key behind the chunk around `at`; `None` if it is the last of the state.
    #[must_use]
    pub fn next(&self, at: &Hash) -> Option<Hash> {
        let mut key = prefix_of(at, self.siblings.len());
        // Adds one to the number that the prefix's bits are.
        for depth in (0..self.siblings.len()).rev() {
            let mask = 0x80u8.wrapping_shr(u32::try_from(depth % 8).unwrap_or(0));
            let byte = key.0.get_mut(depth / 8)?;
            *byte ^= mask;
            if *byte & mask != 0 {
                return Some(key);
            }
        }
        None
    }

    /// The first tree key of the chunk around `at`.
    #[must_use]
    pub fn first(&self, at: &Hash) -> Hash {
        prefix_of(at, self.siblings.len())
    }

    /// The entry rows.
    #[must_use]
    pub fn writes(&self) -> Writes {
        let rows = self.entries.iter();
        rows.map(|entry| (entry.key.to_vec(), Some(entry.value.to_vec())))
            .collect()
    }
}

/// `key` with all bits from `depth` on zero.
fn prefix_of(key: &Hash, depth: usize) -> Hash {
    let mut prefix = *key;
    for at in depth..DEPTH_MAX {
        let mask = 0x80u8.wrapping_shr(u32::try_from(at % 8).unwrap_or(0));
        if let Some(byte) = prefix.0.get_mut(at / 8) {
            *byte &= !mask;
        }
    }
    prefix
}

/// The digest of the subtree at `depth` over these leaves, ascending.
fn digest(leaves: &[Leaf], depth: usize) -> Hash {
    if let Some(bucket) = bucket_hash_of(leaves) {
        return bucket;
    }
    // Distinct keys part before their last bit, so this ends.
    let (zeros, ones) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
    let below = depth.saturating_add(1);
    node_hash(&digest(zeros, below), &digest(ones, below))
}

/// Rows beside the state, in no root, that lead from tree keys to entry keys: to write together with `writes`, by a store that
/// serves chunks. An entry's row is the same whatever its value is.
pub fn index(writes: &Writes) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
    let entries = writes.iter().filter(|(key, _)| key.first() == Some(&ENTRY_ROW));
    entries.map(|(key, value)| (index_key(&tree_key(key)), value.as_ref().map(|_| key.clone())))
}

/// All rows beside the tree that follow from entries that came in chunks: [`index`], and the ledger's own.
#[must_use]
pub fn beside(entries: &Writes) -> Writes {
    let mut beside = rows::indexes_of(entries);
    beside.extend(index(entries));
    beside
}

/// The rows that follow from the header of a state that came in: the last to write.
#[must_use]
pub fn finish(header: &Header) -> Writes {
    Writes::from([(rows::HEAD.to_vec(), Some(rows::encode(header)))])
}

fn index_key(key: &Hash) -> Vec<u8> {
    std::iter::once(INDEX_ROW).chain(key.0).collect()
}

/// The chunk of `state` around the tree key `at`; `None` if its index rows or entries are not all there, or it is larger than
/// a chunk may be.
///
/// # Errors
/// [`DamagedTree`] if a row of the tree on the way is missing or malformed.
pub fn chunk(state: &impl StateRead, at: &Hash) -> Result<Option<StateChunk>, DamagedTree> {
    let (mut place, mut row) = (Place::TOP, top_row(state)?);
    let leaf_count = row.count();
    let mut siblings = BoundedVec::empty();
    loop {
        let is_last = matches!(row, Row::Bucket(_));
        let count = usize::try_from(row.count()).unwrap_or(usize::MAX);
        if is_last || count <= CHUNK_ENTRIES_MAX {
            let (entries, bytes) = collect(state, at, place.depth, count);
            if is_last || bytes <= CHUNK_BYTES_MAX {
                let is_whole = entries.len() == count;
                return Ok(BoundedVec::new(entries)
                    .ok()
                    .filter(|_| is_whole)
                    .map(|entries| StateChunk {
                        leaf_count,
                        siblings,
                        entries,
                    }));
            }
        }
        let Row::Node(node) = row else { return Ok(None) };
        let is_one = bit(at, place.depth);
        let (child, sibling) = if is_one {
            (node.one, node.zero)
        } else {
            (node.zero, node.one)
        };
        siblings.push(sibling.digest).map_err(|_| place.damaged())?;
        place = place.child(is_one)?;
        row = load(state, place, child)?;
    }
}

/// At most `count` entries around `at` that share its first `depth` bits, ascending by tree key, and their bytes.
fn collect(state: &impl StateRead, at: &Hash, depth: usize, count: usize) -> (Vec<ChunkEntry>, usize) {
    let first = prefix_of(at, depth);
    let whole_bytes: Vec<u8> = first.0.iter().take(depth / 8).copied().collect();
    let prefix = [&[INDEX_ROW], whole_bytes.as_slice()].concat();
    // Shorter than every index key, so it stands before the first of them.
    let start: Vec<u8> = first.0.iter().take(depth.div_ceil(8)).copied().collect();
    let after = [&[INDEX_ROW], start.as_slice()].concat();
    let (mut entries, mut bytes) = (Vec::with_capacity(count.min(CHUNK_ENTRIES_MAX)), 0usize);
    for (_, key) in state.scan(&prefix, Some(&after), count) {
        let is_from_here = |key: &Hash| (0..depth).all(|depth| bit(key, depth) == bit(at, depth));
        let Some(value) = state.get(&key).filter(|_| is_from_here(&tree_key(&key))) else {
            break;
        };
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        let (Ok(key), Ok(value)) = (BoundedBytes::new(key), BoundedBytes::new(value)) else {
            break;
        };
        entries.push(ChunkEntry { key, value });
    }
    (entries, bytes)
}

const _: () = assert!(BUCKET_LEAVES_MAX <= CHUNK_ENTRIES_MAX, "a bucket is a chunk");

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::state::MemoryState;
    use crate::tree;

    /// A state of `n` entries, with its tree and index.
    fn state(n: u32) -> MemoryState {
        let entries: Writes = (0..n)
            .map(|n| {
                (
                    [&[ENTRY_ROW], n.to_be_bytes().as_slice()].concat(),
                    Some(vec![7; 50]),
                )
            })
            .collect();
        let mut state = MemoryState::default();
        state.write(&entries);
        state.write(&tree::update(&MemoryState::default(), &entries).unwrap().rows);
        state.write(&index(&entries).collect());
        state
    }

    /// All chunks, from the first tree key on, each with where it is.
    fn chunks(state: &MemoryState) -> Vec<(Hash, StateChunk)> {
        let (mut found, mut at) = (Vec::new(), Some(Hash::ZERO));
        while let Some(here) = at {
            let chunk = chunk(state, &here).unwrap().unwrap();
            at = chunk.next(&here);
            found.push((here, chunk));
        }
        found
    }

    /// Whatever its size, a state comes over chunk by chunk, each checked by itself, and its tree is the same. Covers: A1.
    #[test]
    fn chunks_make_the_same_state() {
        for n in [0, 1, 64, 65, 1_024, 1_025, 20_000] {
            let served = state(n);
            let root = tree::root(&served).unwrap();
            let mut made = MemoryState::default();
            for (at, chunk) in chunks(&served) {
                assert_eq!(chunk.verify(&root, &at), Ok(()), "{n} entries");
                let entries = chunk.writes();
                let rows = tree::update(&made, &entries).unwrap().rows;
                made.write(&entries);
                made.write(&rows);
                made.write(&index(&entries).collect());
            }
            assert_eq!(made, served, "{n} entries");
        }
    }

    /// A chunk with an entry changed, left out, put in, moved, or of another place or state is refused by itself (TC22).
    /// Covers: A5.
    #[test]
    fn a_changed_chunk_is_refused() {
        let served = state(5_000);
        let root = tree::root(&served).unwrap();
        let found = chunks(&served);
        assert!(found.len() > 4);
        let (at, chunk) = found[2].clone();
        let refuses = |change: &dyn Fn(&mut StateChunk, &mut Vec<ChunkEntry>)| {
            let (mut changed, mut entries) = (chunk.clone(), chunk.entries.to_vec());
            change(&mut changed, &mut entries);
            changed.entries = BoundedVec::new(entries).unwrap();
            changed.verify(&root, &at).is_err()
        };
        assert!(!refuses(&|_, _| {}));
        assert!(refuses(
            &|_, entries| entries[3].value = BoundedBytes::new(vec![8; 50]).unwrap()
        ));
        assert!(refuses(&|_, entries| drop(entries.remove(3))));
        assert!(refuses(&|_, entries| entries.insert(3, entries[3].clone())));
        assert!(refuses(&|_, entries| entries.swap(3, 4)));
        assert!(refuses(&|_, entries| entries.clear()));
        assert!(refuses(&|chunk, _| chunk.leaf_count += 1));
        assert!(refuses(&|chunk, _| chunk.siblings = BoundedVec::empty()));
        let mut key = chunk.entries[3].key.to_vec();
        key[0] = b'X';
        assert!(refuses(
            &|_, entries| entries[3].key = BoundedBytes::new(key.clone()).unwrap()
        ));
        assert!(chunk.verify(&root, &found[3].0).is_err(), "of another place");
        let other = tree::root(&state(4_999)).unwrap();
        assert!(chunk.verify(&other, &at).is_err(), "of another state");
    }

    /// A store that lacks an index row serves nothing rather than a part.
    #[test]
    fn a_gap_in_the_index_is_not_served() {
        let mut served = state(100);
        let (at, whole) = chunks(&served).swap_remove(0);
        let entry = &whole.entries[0].key;
        served.write(&Writes::from([(index_key(&tree_key(entry)), None)]));
        assert_eq!(chunk(&served, &at), Ok(None));
    }
}
