//! Labels and columns (`docs/spec/proofs.md` §4): what a node holds in each layer, and what is committed of it.

use crate::graph::Graph;
use crate::params::{DRG_DEGREE, EXPANDER_DEGREE, PARENTS};
use crate::sector::ReplicaId;
use sha2::block_api::compress256;
use watt_primitives::Hash;
use watt_primitives::hash::Domain;

/// A label: the SHA-256 digest of a node in one layer.
pub(crate) type Label = [u8; 32];

/// What node 0 has in place of parents in its layer.
pub(crate) const NO_PARENT: Label = [0; 32];

/// First 32 bytes of every label's preimage.
const PREFIX: [u8; 32] = *b"WATT/porep/1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// First bytes of a label's header.
const HEADER: [u8; 10] = *b"WATT/sdr/1";

/// SHA-256's initial state (FIPS 180-4 §5.3.3).
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Bits hashed for a label: prefix, replica id, header and all parents, 32 bytes each.
const PREIMAGE_BITS: u64 = 8 * 32 * 17;

type Block = [u8; 64];

/// Computes labels of one replica: SHA-256 of prefix, replica id, header and parents. The first block is the same for
/// all labels and hashed once; eight more follow, every one of them after the previous node's label is known.
#[derive(Clone)]
pub(crate) struct Labeler {
    midstate: [u32; 8],
    blocks: [Block; 8],
}

impl Labeler {
    /// For the labels of `replica`.
    pub(crate) fn new(replica: &ReplicaId) -> Self {
        let mut first = [0; 64];
        let (prefix, id) = first.split_at_mut(32);
        prefix.copy_from_slice(&PREFIX);
        id.copy_from_slice(replica.0.as_ref());
        let mut midstate = INITIAL_STATE;
        compress256(&mut midstate, &[first]);
        let mut labeler = Self {
            midstate,
            blocks: [[0; 64]; 8],
        };
        let padding = labeler.half(PARENTS + 1);
        padding[0] = 0x80;
        padding[24..].copy_from_slice(&PREIMAGE_BITS.to_be_bytes());
        labeler.half(0)[..10].copy_from_slice(&HEADER);
        labeler
    }

    /// 32 bytes of the preimage after the first block: 0 is the header, 1 to 14 the parents, 15 SHA-256's padding.
    fn half(&mut self, at: usize) -> &mut [u8] {
        &mut self.blocks[at / 2][at % 2 * 32..][..32]
    }

    /// Sets parent `at` of the label to come.
    #[inline]
    pub(crate) fn set_parent(&mut self, at: usize, label: &Label) {
        self.half(at + 1).copy_from_slice(label);
    }

    /// The label of `node` in `layer` (from 1), all parents having been set.
    #[inline]
    pub(crate) fn label(&mut self, layer: u8, node: u32) -> Label {
        let header = self.half(0);
        header[10] = layer;
        header[11..15].copy_from_slice(&node.to_be_bytes());
        let mut state = self.midstate;
        compress256(&mut state, &self.blocks);
        let mut label = [0; 32];
        for (bytes, word) in label.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        label
    }
}

/// Where the label of a parent is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParentPlace {
    /// Layer, from 1.
    pub(crate) layer: u8,
    /// Node.
    pub(crate) node: u32,
}

/// The parents of `node` in `layer` in preimage order; `None` reads as zero. In layer 1 there is nothing below: the parents
/// within the layer fill those places in turn, so that every label costs the same.
pub(crate) fn parents(graph: &Graph, layer: u8, node: u32) -> [Option<ParentPlace>; PARENTS] {
    let drg = graph.drg_parents(node);
    let within = drg.map(|parent| (node > 0).then_some(ParentPlace { layer, node: parent }));
    let mut places = [None; PARENTS];
    for (place, parent) in places.iter_mut().zip(within.iter().cycle()) {
        *place = *parent;
    }
    if layer > 1 {
        let below = graph.expander_parents(node);
        for (place, parent) in places.iter_mut().skip(DRG_DEGREE).zip(below) {
            *place = Some(ParentPlace {
                layer: layer.saturating_sub(1),
                node: parent,
            });
        }
    }
    places
}

/// All nodes whose columns are needed to check the labels of `node`: itself, then its parents, some maybe twice.
pub(crate) fn family(graph: &Graph, node: u32) -> [u32; 1 + DRG_DEGREE + EXPANDER_DEGREE] {
    let mut family = [node; 1 + DRG_DEGREE + EXPANDER_DEGREE];
    let parents = graph
        .drg_parents(node)
        .into_iter()
        .chain(graph.expander_parents(node));
    for (member, parent) in family.iter_mut().skip(1).zip(parents) {
        *member = parent;
    }
    family
}

const COLUMN_NAME: &[u8] = Domain::Column.as_str().as_bytes();
const COLUMN_PREIMAGE: usize = 8 + COLUMN_NAME.len() + 2 * (8 + 32);

/// Folds the label of one more layer into a column's digest; a column begins as its label of layer 1. Folding lets a sealer
/// keep 32 bytes per node instead of all layers.
#[inline]
pub(crate) fn column_step(below: &Label, label: &Label) -> Label {
    // The bytes that `DomainHasher` would hash, put together in one place: this runs for every node of every layer.
    let mut preimage = [0; COLUMN_PREIMAGE];
    preimage[7] = column_byte(COLUMN_NAME.len());
    preimage[8..8 + COLUMN_NAME.len()].copy_from_slice(COLUMN_NAME);
    for (at, part) in [(8 + COLUMN_NAME.len(), below), (48 + COLUMN_NAME.len(), label)] {
        preimage[at + 7] = 32;
        preimage[at + 8..at + 40].copy_from_slice(part);
    }
    blake3::hash(&preimage).into()
}

/// A length below 256 as its last byte.
fn column_byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// The digest of a whole column: its labels from layer 1 up.
pub(crate) fn column_digest<'a>(labels: impl IntoIterator<Item = &'a Label>) -> Hash {
    let mut labels = labels.into_iter();
    let first = labels.next().copied().unwrap_or(NO_PARENT);
    Hash(labels.fold(first, |digest, label| column_step(&digest, label)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use watt_primitives::hash::DomainHasher;

    /// A label is the plain SHA-256 of its preimage, whatever the shortcut. Covers: D1.
    #[test]
    fn label_is_plain_sha256() {
        let replica = ReplicaId(Hash([9; 32]));
        let mut labeler = Labeler::new(&replica);
        let mut preimage = PREFIX.to_vec();
        preimage.extend([9; 32]);
        preimage.extend(b"WATT/sdr/1\x03\x00\x01\x02\x03");
        preimage.extend([0; 17]);
        for parent in 0..14u8 {
            labeler.set_parent(usize::from(parent), &[parent; 32]);
            preimage.extend([parent; 32]);
        }
        assert_eq!(
            labeler.label(3, 0x0001_0203),
            <[u8; 32]>::from(Sha256::digest(&preimage))
        );
    }

    /// The fold is the domain hash of the specification, whatever the shortcut. Covers: D1.
    #[test]
    fn column_step_is_the_domain_hash() {
        let expected = DomainHasher::without_network(Domain::Column)
            .part(&[1; 32])
            .part(&[2; 32])
            .finish();
        assert_eq!(column_step(&[1; 32], &[2; 32]), expected.0);
        assert_eq!(column_digest([&[1; 32], &[2; 32]]), expected);
    }
}
