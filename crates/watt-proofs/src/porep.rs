//! The prover's side of proof-of-replication (`docs/spec/proofs.md` §6).
//!
//! Nothing is kept from sealing: the openings are computed again from the replica alone, so a provider that was killed at any
//! moment after it wrote its replica can still answer.

use crate::challenge::{ChunkPlace, PorepChallenges};
use crate::chunk::{self, CHUNK_BYTES};
use crate::graph::Graph;
use crate::label::Label;
use crate::layer::label_layers;
use crate::octal::{REPLICA_LEVELS, Tree, leaf_digests};
use crate::openings::{PorepOpenings, element_bytes, to_bytes};
use crate::params::{LEAF_BYTES, ProofParams};
use crate::poseidon::Tag;
use crate::seal::{Columns, Progress, SealError, apply_key, check_len};
use crate::sector::{PieceTable, ReplicaId, extent};
use crate::verify::PorepStatement;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use watt_primitives::terms::Piece;
use watt_primitives::{Hash, codec, slot_tree};

/// Why no openings came out that a verifier would accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Labelling did not end.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The replica is of other provider, sector or pieces, or its columns were committed wrongly.
    #[error("the statement's comm_c is not that of its replica")]
    OtherColumns,
    /// The replica has changed since it was committed.
    #[error("the replica is not the one under comm_r")]
    ReplicaChanged,
    /// What is sealed in the place of a slot is not the slot.
    #[error("piece {piece} does not hold the slot that the table names")]
    SlotChanged {
        /// Index of the piece in the table.
        piece: usize,
    },
}

/// Computes the openings of `statement` from `replica`. Takes as long as sealing.
///
/// # Errors
/// See [`OpenError`]; the result is checked against the statement's roots, so an honest prover never sends a bad proof.
pub fn open(
    params: &ProofParams,
    statement: &PorepStatement<'_>,
    replica: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<u8>, OpenError> {
    open_as(
        params,
        statement,
        &statement.replica_id(),
        statement.pieces,
        replica,
        progress,
    )
}

/// Computes openings for a replica sealed as `replica_id` from what `pieces` says: the statement's, unless one lies.
pub(crate) fn open_as(
    params: &ProofParams,
    statement: &PorepStatement<'_>,
    replica_id: &ReplicaId,
    pieces: &PieceTable,
    mut replica: &[u8],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<u8>, OpenError> {
    let size = pieces.size();
    check_len(size, replica)?;
    let replica_tree = Tree::build(Tag::Node, REPLICA_LEVELS, leaf_digests(replica));
    if replica_tree.root() != statement.comm_r {
        return Err(OpenError::ReplicaChanged);
    }
    let challenges = PorepChallenges::draw(params, statement, pieces, &Graph::new(size));
    let leaf_siblings = replica_tree
        .siblings(&challenges.leaves)
        .ok_or(OpenError::ReplicaChanged)?;
    drop(replica_tree);
    let mut columns = Columns::new(params);
    let mut opened = alloc::vec![Vec::new(); challenges.columns.len()];
    let mut each = |layer, below: &[Label], labels: &[Label]| {
        columns.absorb(layer, below, labels);
        for (column, node) in opened.iter_mut().zip(&challenges.columns) {
            column.extend_from_slice(&labels[*node]);
        }
    };
    let layers = label_layers(params, size, replica_id, progress, &mut each)?;
    let column_tree = columns.tree(&layers);
    if column_tree.root() != statement.comm_c {
        return Err(OpenError::OtherColumns);
    }
    let column_siblings = column_tree.siblings(&challenges.columns, |node| columns.digest(&layers, node));
    drop((columns, layers.below));
    let payload = apply_key(layers.top, size, &mut replica)?;
    let leaf = |at: &usize| &replica[at * LEAF_BYTES..][..LEAF_BYTES];
    Ok(codec::encode(&PorepOpenings {
        columns: opened.concat(),
        column_siblings: to_bytes(&column_siblings),
        leaves: challenges.leaves.iter().flat_map(leaf).copied().collect(),
        leaf_siblings: element_bytes(&leaf_siblings),
        chunks: open_chunks(pieces, &challenges.chunks, &payload)?,
    }))
}

/// The chunks at `places`, each with its path to the slot's root.
pub(crate) fn open_chunks(
    table: &PieceTable,
    places: &[ChunkPlace],
    payload: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    for of_piece in places.chunk_by(|a, b| a.piece == b.piece) {
        let piece = of_piece[0].piece;
        let changed = OpenError::SlotChanged { piece };
        let Some(entry @ Piece::Slot { root, .. }) = table.pieces().get(piece) else {
            return Err(changed);
        };
        let (Ok(from), Ok(len)) = (usize::try_from(extent(entry).0), usize::try_from(extent(entry).1)) else {
            return Err(changed);
        };
        let chunks: Vec<&[u8]> = payload[from..][..len].chunks_exact(CHUNK_BYTES).collect();
        let digests: Vec<Hash> = (0..)
            .zip(&chunks)
            .map(|(at, chunk)| chunk::digest(at, chunk))
            .collect();
        if slot_tree::root_of_groups(&digests) != *root {
            return Err(changed);
        }
        for place in of_piece {
            let at = usize::try_from(place.chunk).map_err(|_| changed)?;
            bytes.extend_from_slice(chunks[at]);
            bytes.extend(to_bytes(&slot_tree::path(&digests, at).ok_or(changed)?));
        }
    }
    Ok(bytes)
}
