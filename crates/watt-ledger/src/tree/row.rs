//! Rows of the state tree: where a node lies and how it is read.

use super::{DamagedTree, Summary, TREE_ROW, count_of};
use crate::state::StateRead;
use watt_light::state_proof::{BUCKET_LEAVES_MAX, DEPTH_MAX, Leaf, bucket_hash_of, node_hash};
use watt_primitives::Hash;

const LEAF_BYTES: usize = 64;
const SUMMARY_BYTES: usize = 40;
pub(super) const NODE_BYTES: usize = 2 * SUMMARY_BYTES;

/// The place of a node: the first `depth` bits of every key under it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) depth: usize,
    prefix: [u8; 32],
}

impl Place {
    pub(super) const TOP: Self = Self {
        depth: 0,
        prefix: [0; 32],
    };

    /// One bit further down. Fails below the last bit, where distinct keys never lead.
    pub(super) fn child(mut self, is_one: bool) -> Result<Self, DamagedTree> {
        if self.depth >= DEPTH_MAX {
            return Err(self.damaged());
        }
        let mask = 0x80u8.wrapping_shr(u32::try_from(self.depth % 8).unwrap_or(0));
        if let Some(byte) = self.prefix.get_mut(self.depth / 8)
            && is_one
        {
            *byte |= mask;
        }
        self.depth = self.depth.saturating_add(1);
        Ok(self)
    }

    /// `'T' || depth (2 bytes) || prefix`, the prefix filled up with zero bits to whole bytes.
    pub(super) fn row_key(self) -> Vec<u8> {
        let depth = u16::try_from(self.depth).unwrap_or(u16::MAX);
        let prefix = self.prefix.iter().take(self.depth.div_ceil(8));
        [TREE_ROW]
            .into_iter()
            .chain(depth.to_be_bytes())
            .chain(prefix.copied())
            .collect()
    }

    pub(super) const fn damaged(self) -> DamagedTree {
        DamagedTree { depth: self.depth }
    }
}

/// An inner node as its children.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) zero: Summary,
    pub(super) one: Summary,
}

impl Node {
    pub(super) fn summary(&self) -> Summary {
        Summary {
            digest: node_hash(&self.zero.digest, &self.one.digest),
            count: self.count(),
        }
    }

    const fn count(&self) -> u64 {
        self.zero.count.saturating_add(self.one.count)
    }
}

pub(super) enum Row {
    Bucket(Vec<Leaf>),
    Node(Node),
}

impl Row {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Bucket(leaves) => count_of(leaves),
            Self::Node(node) => node.count(),
        }
    }

    /// Digest and count; hashes a bucket's leaves.
    pub(super) fn summary(&self) -> Summary {
        match self {
            Self::Bucket(leaves) => Summary {
                // Decoding has bounded the bucket.
                digest: bucket_hash_of(leaves).unwrap_or(Hash::ZERO),
                count: count_of(leaves),
            },
            Self::Node(node) => node.summary(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() == NODE_BYTES {
            let (zero, one) = bytes.split_at_checked(SUMMARY_BYTES)?;
            return Some(Self::Node(Node {
                zero: decode_summary(zero)?,
                one: decode_summary(one)?,
            }));
        }
        let leaves: Option<Vec<Leaf>> = bytes.chunks(LEAF_BYTES).map(decode_leaf).collect();
        leaves
            .filter(|leaves| (1..=BUCKET_LEAVES_MAX).contains(&leaves.len()))
            .map(Self::Bucket)
    }
}

pub(super) fn encode_bucket(leaves: &[Leaf]) -> Vec<u8> {
    let mut row = Vec::with_capacity(leaves.len().saturating_mul(LEAF_BYTES));
    for leaf in leaves {
        row.extend_from_slice(leaf.key.as_ref());
        row.extend_from_slice(leaf.value.as_ref());
    }
    row
}

fn decode_leaf(bytes: &[u8]) -> Option<Leaf> {
    let (key, value) = bytes.split_first_chunk()?;
    Some(Leaf {
        key: Hash(*key),
        value: Hash(value.try_into().ok()?),
    })
}

fn decode_summary(bytes: &[u8]) -> Option<Summary> {
    let (digest, count) = bytes.split_first_chunk()?;
    Some(Summary {
        digest: Hash(*digest),
        count: u64::from_be_bytes(count.try_into().ok()?),
    })
}

/// The topmost node; the empty tree is an empty bucket.
pub(super) fn top_row(state: &impl StateRead) -> Result<Row, DamagedTree> {
    state
        .get(&Place::TOP.row_key())
        .map_or(Some(Row::Bucket(Vec::new())), |bytes| Row::decode(&bytes))
        .ok_or(Place::TOP.damaged())
}

/// The node at `place`, of which its parent says `expected`.
pub(super) fn load(state: &impl StateRead, place: Place, expected: Summary) -> Result<Row, DamagedTree> {
    if expected.count == 0 {
        return Ok(Row::Bucket(Vec::new()));
    }
    state
        .get(&place.row_key())
        .and_then(|bytes| Row::decode(&bytes))
        .filter(|row| row.count() == expected.count)
        .ok_or_else(|| place.damaged())
}
