//! Data to replica and back (`docs/spec/proofs.md` §4, §5). Slow on purpose: run it where it may take long.
//!
//! Memory while labels are computed: two layers of them, and with more than two layers one digest per node; for a devnet
//! sector of 32 units 64 MiB, for a main one 192 MiB. Nothing else of a sector's size is held until the replica is made, in
//! the place of the last layer: [`seal_from`] reads the payload a piece at a time when it gets there.

use crate::element::Element;
use crate::label::{Label, column_digest, column_step};
use crate::layer::{Layer, Layers, label_layers};
use crate::params::{ProofParams, SectorSize, number};
use crate::replica::ReplicaTree;
use crate::sector::ReplicaId;
use crate::tree::BlockTree;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use watt_primitives::Hash;

/// Bytes of a payload that are asked for at once.
const READ_BYTES: usize = 1 << 20;

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
    pub comm_r: Element,
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
    /// A part of the payload could not be read; why is for the reader to say.
    #[error("the payload could not be read at byte {offset}")]
    Unreadable {
        /// First byte of the part.
        offset: u64,
    },
}

/// Where a payload is read from, a piece at a time.
pub trait PayloadRead {
    /// Fills `into` with the payload's bytes from `offset` on, filler included; `Break` if they can't be read.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> ControlFlow<()>;
}

/// A payload that lies in memory.
impl PayloadRead for &[u8] {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> ControlFlow<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.get(from..).and_then(|rest| rest.get(..into.len())) {
            Some(bytes) => {
                into.copy_from_slice(bytes);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
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
    mut payload: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Sealed, SealError> {
    check_len(size, payload)?;
    seal_from(params, size, replica_id, &mut payload, progress)
}

/// Seals what `payload` reads, once, from its beginning to its end, after all labels are there. Otherwise as [`seal`].
///
/// # Errors
/// See [`SealError`].
pub fn seal_from(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    payload: &mut dyn PayloadRead,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Sealed, SealError> {
    let mut columns = Columns::new(params);
    let layers = label_layers(params, size, replica_id, progress, &mut |layer, below, labels| {
        columns.absorb(layer, below, labels);
    })?;
    let comm_c = columns.tree(&layers).root();
    drop((columns, layers.below));
    let replica = apply_key(layers.top, size, payload)?;
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
    mut replica: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<u8>, SealError> {
    check_len(size, replica)?;
    let layers = label_layers(params, size, replica_id, progress, &mut |_, _, _| {})?;
    drop(layers.below);
    apply_key(layers.top, size, &mut replica)
}

/// What payload and replica differ by: the exclusive or of either with it, byte by byte, is the other, so that any part of one is
/// given back from the same part of the other. Takes as long as sealing.
///
/// # Errors
/// See [`SealError`].
pub fn key(
    params: &ProofParams,
    size: SectorSize,
    replica_id: &ReplicaId,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<u8>, SealError> {
    let layers = label_layers(params, size, replica_id, progress, &mut |_, _, _| {})?;
    drop(layers.below);
    Ok(layers.top.into_key(size.dropped_nodes()))
}

pub(crate) fn check_len(size: SectorSize, bytes: &[u8]) -> Result<(), SealError> {
    let (expected, found) = (size.payload_bytes(), number(bytes.len()));
    if expected == found {
        Ok(())
    } else {
        Err(SealError::WrongLength { expected, found })
    }
}

/// Exclusive-or of what `bytes` reads with the key: the last layer's labels, the first nodes dropped.
pub(crate) fn apply_key(
    top: Layer,
    size: SectorSize,
    bytes: &mut dyn PayloadRead,
) -> Result<Vec<u8>, SealError> {
    let mut key = top.into_key(size.dropped_nodes());
    let mut part = alloc::vec![0; READ_BYTES];
    let mut offset = 0;
    for key in key.chunks_mut(READ_BYTES) {
        let part = &mut part[..key.len()];
        if bytes.read(offset, part).is_break() {
            return Err(SealError::Unreadable { offset });
        }
        for (key, byte) in key.iter_mut().zip(part) {
            *key ^= *byte;
        }
        offset += number(key.len());
    }
    Ok(key)
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
            None => column_digest([&layers.below.labels()[node], &layers.top.labels()[node]]),
        }
    }

    /// The tree over all columns.
    pub(crate) fn tree(&self, layers: &Layers) -> BlockTree {
        BlockTree::build((0..layers.top.labels().len()).map(|node| self.digest(layers, node)))
    }
}

#[cfg(test)]
mod tests;
