//! Data to replica and back (`docs/spec/proofs.md` §4, §5). Slow on purpose: run it where it may take long.
//!
//! Memory beside the caller's payload or replica: two layers of labels, and with more than two layers one digest per node;
//! for a devnet sector of 32 units 64 MiB, for a main one 192 MiB.

use crate::graph::Graph;
use crate::label::{Label, Labeler, NO_PARENT, column_digest, column_step};
use crate::params::{
    DRG_DEGREE, EXPANDER_DEGREE, LEAF_BYTES, NODE_BYTES, ProofParams, SectorSize, index, number,
};
use crate::post::LeafOpening;
use crate::sector::ReplicaId;
use crate::tree::{BLOCK_LEAVES, BlockTree};
use crate::verify::leaf_digest;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;

/// Nodes whose parents in the layer below are fetched together: they lie anywhere in memory, and the machine waits for many
/// at once as long as for one.
const GATHERED: usize = 64;

/// Nodes between two reports of progress.
const REPORTED: u32 = 1 << 14;

/// How far labelling has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Labels computed, in all layers.
    pub labels_done: u64,
    /// Labels to compute in all layers.
    pub labels: u64,
}

/// What [`seal`] makes of a payload.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The replica, as long as the payload: what is kept on disk.
    pub replica: Vec<u8>,
    /// Root over the columns.
    pub comm_c: Hash,
    /// Root over the replica.
    pub comm_r: Hash,
    /// The upper nodes of the replica's tree: kept beside the replica, to answer challenges fast.
    pub replica_tree: ReplicaTree,
}

/// Why sealing, unsealing or opening stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes given are not as long as the sector's payload.
    #[error("{found} bytes given where the sector holds {expected}")]
    WrongLength {
        /// Bytes of the sector's payload.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// The caller asked to stop.
    #[error("stopped on request")]
    Stopped,
}

/// Seals `payload`, filler included, into the replica that `replica_id` names. `progress` is called some times a second and
/// may stop the work.
///
/// # Errors
/// See [`SealError`].
pub fn seal(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    payload: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Sealed, SealError> {
    check_len(size, payload)?;
    let mut columns = Columns::new(params);
    let layers = label_layers(params, size, replica_id, progress, &mut |layer, below, labels| {
        columns.absorb(layer, below, labels);
    })?;
    let comm_c = columns.tree(&layers).root();
    drop((columns, layers.below));
    let replica = apply_key(layers.top, size, payload);
    let replica_tree = ReplicaTree::build(&replica);
    Ok(Sealed {
        comm_c,
        comm_r: replica_tree.root(),
        replica_tree,
        replica,
    })
}

/// Gives the payload back. Takes as long as sealing.
///
/// # Errors
/// See [`SealError`].
pub fn unseal(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    replica: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<u8>, SealError> {
    check_len(size, replica)?;
    let layers = label_layers(params, size, replica_id, progress, &mut |_, _, _| {})?;
    drop(layers.below);
    Ok(apply_key(layers.top, size, replica))
}

pub(crate) fn check_len(size: SectorSize, bytes: &[u8]) -> Result<(), SealError> {
    let (expected, found) = (size.payload_bytes(), number(bytes.len()));
    if expected == found {
        Ok(())
    } else {
        Err(SealError::WrongLength { expected, found })
    }
}

/// Exclusive-or of `bytes` with the key: the last layer's labels, the first nodes dropped.
pub(crate) fn apply_key(top: Vec<Label>, size: SectorSize, bytes: &[u8]) -> Vec<u8> {
    let mut key = top.into_flattened();
    key.drain(..index(size.dropped_nodes()) * NODE_BYTES);
    for (key, byte) in key.iter_mut().zip(bytes) {
        *key ^= byte;
    }
    key
}

/// The last two layers.
pub(crate) struct Layers {
    pub(crate) below: Vec<Label>,
    pub(crate) top: Vec<Label>,
}

/// What is done with each layer once it is there: its number, the layer below (empty under layer 1), its labels.
pub(crate) type EachLayer<'a> = dyn FnMut(u8, &[Label], &[Label]) + 'a;

/// Labels all layers in turn, keeping two.
pub(crate) fn label_layers(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    each: &mut EachLayer<'_>,
) -> Result<Layers, SealError> {
    let graph = Graph::new(size);
    let mut labeler = Labeler::new(replica_id);
    let n_nodes = index(size.nodes());
    let (mut below, mut top) = (Vec::new(), alloc::vec![NO_PARENT; n_nodes]);
    for layer in 1..=params.layers {
        if layer > 1 {
            core::mem::swap(&mut below, &mut top);
            top.resize(n_nodes, NO_PARENT);
        }
        let mut report = |nodes: u32| {
            progress(Progress {
                labels_done: u64::from(layer - 1) * u64::from(size.nodes()) + u64::from(nodes),
                labels: u64::from(params.layers) * u64::from(size.nodes()),
            })
        };
        label_layer(&graph, &mut labeler, layer, &below, &mut top, &mut report)?;
        each(layer, &below, &top);
    }
    Ok(Layers { below, top })
}

/// Labels one layer. `label::parents` says the same rule for one node at a time.
fn label_layer(
    graph: &Graph,
    labeler: &mut Labeler,
    layer: u8,
    below: &[Label],
    labels: &mut [Label],
    report: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<(), SealError> {
    let mut gathered = [[NO_PARENT; EXPANDER_DEGREE]; GATHERED];
    let mut node = 0u32;
    for first in (0..labels.len()).step_by(GATHERED) {
        if layer > 1 {
            for (parents, node) in gathered.iter_mut().zip(node..) {
                *parents = graph.expander_parents(node).map(|parent| below[index(parent)]);
            }
        }
        let batch_len = GATHERED.min(labels.len() - first);
        for (at, below) in gathered[..batch_len].iter().enumerate() {
            let within = if node == 0 {
                [NO_PARENT; DRG_DEGREE]
            } else {
                graph.drg_parents(node).map(|parent| labels[index(parent)])
            };
            let lower = if layer > 1 {
                *below
            } else {
                core::array::from_fn(|at| within[at % DRG_DEGREE])
            };
            for (at, parent) in within.iter().chain(&lower).enumerate() {
                labeler.set_parent(at, parent);
            }
            labels[first + at] = labeler.label(layer, node);
            node += 1;
        }
        if node.is_multiple_of(REPORTED) && report(node).is_break() {
            return Err(SealError::Stopped);
        }
    }
    Ok(())
}

/// Digests of all columns while layers come and go. With two layers nothing needs keeping: both are there at the end.
pub(crate) struct Columns {
    layers: u8,
    digests: Vec<Label>,
}

impl Columns {
    pub(crate) const fn new(params: &ProofParams) -> Self {
        Self {
            layers: params.layers,
            digests: Vec::new(),
        }
    }

    /// Takes in a layer.
    pub(crate) fn absorb(&mut self, layer: u8, below: &[Label], labels: &[Label]) {
        if layer < 2 || self.layers == 2 {
            return;
        }
        if layer == 2 {
            self.digests = below.to_vec();
        }
        for (digest, label) in self.digests.iter_mut().zip(labels) {
            *digest = column_step(digest, label);
        }
    }

    /// The digest of the column of `node`, once all layers are there.
    pub(crate) fn digest(&self, layers: &Layers, node: usize) -> Hash {
        match self.digests.get(node) {
            Some(digest) => Hash(*digest),
            None => column_digest([&layers.below[node], &layers.top[node]]),
        }
    }

    /// The tree over all columns.
    pub(crate) fn tree(&self, layers: &Layers) -> BlockTree {
        BlockTree::build((0..layers.top.len()).map(|node| self.digest(layers, node)))
    }
}

/// The upper nodes of a replica's tree: 1 KiB per unit. Can be built again from the replica at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaTree {
    blocks: Vec<Hash>,
}

impl ReplicaTree {
    /// The tree over `replica`.
    #[must_use]
    pub fn build(replica: &[u8]) -> Self {
        let leaves = replica.chunks_exact(LEAF_BYTES).map(leaf_digest);
        Self {
            blocks: BlockTree::build(leaves).blocks().to_vec(),
        }
    }

    /// The root `comm_r`.
    #[must_use]
    pub fn root(&self) -> Hash {
        watt_primitives::merkle::root(&self.blocks)
    }

    /// Which bytes of the replica [`Self::open`] needs for a leaf: 31 KiB around it.
    #[must_use]
    pub fn block_range(leaf_index: u32) -> Range<u64> {
        let block_bytes = number(BLOCK_LEAVES * LEAF_BYTES);
        let first = u64::from(leaf_index) / number(BLOCK_LEAVES) * block_bytes;
        first..first + block_bytes
    }

    /// Opens a leaf from the replica's bytes in [`Self::block_range`]; `None` if `block` is no such block, or has changed
    /// since it was sealed.
    #[must_use]
    pub fn open(&self, leaf_index: u32, block: &[u8]) -> Option<LeafOpening> {
        let (leaves, []) = block.as_chunks::<LEAF_BYTES>() else {
            return None;
        };
        let leaf_index = index(leaf_index);
        let (block_index, within) = (leaf_index / BLOCK_LEAVES, leaf_index % BLOCK_LEAVES);
        let digests: Vec<Hash> = leaves.iter().map(|leaf| leaf_digest(leaf)).collect();
        let is_intact = digests.len() == BLOCK_LEAVES
            && self.blocks.get(block_index) == Some(&watt_primitives::merkle::root(&digests));
        if !is_intact {
            return None;
        }
        let mut path = watt_primitives::merkle::path(&digests, within)?;
        path.extend(watt_primitives::merkle::path(&self.blocks, block_index)?);
        Some(LeafOpening {
            leaf: *leaves.get(within)?,
            path,
        })
    }

    /// The siblings that prove leaves `indices` of `replica`.
    pub(crate) fn siblings(&self, replica: &[u8], indices: &[usize]) -> Vec<Hash> {
        let leaves = replica.as_chunks::<LEAF_BYTES>().0;
        BlockTree::from_blocks(self.blocks.clone()).siblings(indices, |at| leaf_digest(&leaves[at]))
    }
}

#[cfg(test)]
mod tests;
