//! The only door the ledger uses (`docs/spec/proofs.md` §8). Nothing here calls proving code; everything read here is hostile.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::challenge::{HeavyChallenges, NodePlace, PorepChallenges};
use crate::chunk::{self, CHUNK_BYTES};
use crate::element::Element;
use crate::graph::Graph;
use crate::label::{Label, Labeler, NO_PARENT, column_digest, parents};
use crate::octal::{self, REPLICA_LEVELS};
pub use crate::openings::Part;
use crate::openings::{self, FRAME_BYTES_MAX, PorepOpenings, check_len, decode, digests, elements};
use crate::params::{LEAF_BYTES, NODE_BYTES, ProofParams, index};
use crate::poseidon::Poseidon;
use crate::sector::{PieceTable, ReplicaId, extent, filler};
use crate::shape::Shape;
use crate::tree;
use crate::window::{Window, WrongStep};
use alloc::vec::Vec;
use watt_primitives::codec::InvalidEncoding;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, Hash, NetworkId, SectorNumber};

/// What a PoRep says: this provider has sealed these pieces into this sector.
#[derive(Clone, Copy, Debug)]
pub struct PorepStatement<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// Whose sector.
    pub provider: &'a AccountId,
    /// Which of its sectors.
    pub sector: SectorNumber,
    /// What lies in it, and with that its size.
    pub pieces: &'a PieceTable,
    /// Root over the columns.
    pub comm_c: Hash,
    /// Root over the replica.
    pub comm_r: Element,
    /// Seed of the replica's id ([`crate::challenge::seal_seed`]).
    pub seal_seed: Hash,
    /// Seed of the challenges ([`crate::challenge::porep_seed`]).
    pub challenge_seed: Hash,
    /// How many heavy challenges there are.
    pub heavy: HeavyChallenges,
}

impl PorepStatement<'_> {
    /// The replica that the statement is about.
    #[must_use]
    pub fn replica_id(&self) -> ReplicaId {
        let comm_d = self.pieces.comm_d(self.network);
        ReplicaId::derive(self.network, self.provider, self.sector, &comm_d, &self.seal_seed)
    }
}

/// Why a proof is refused: one variant per rule, in the order they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// Too long, or not the canonical encoding.
    #[error("openings: {0}")]
    Encoding(InvalidEncoding),
    /// More or less was opened than was asked.
    #[error("{part:?}: {found} bytes where the challenge asks for {expected}")]
    WrongLength {
        /// Which string.
        part: Part,
        /// Bytes asked for.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A node of a replica's tree that is no element of the field: 32 bytes at or above the modulus.
    #[error("{part:?}: a node at or above the modulus")]
    NotAnElement {
        /// Which string.
        part: Part,
    },
    /// The opened columns are not those of `comm_c`.
    #[error("the opened columns are not under comm_c")]
    ColumnsNotInCommC,
    /// A label is not the hash of its parents: this is no replica of this provider, sector and data.
    #[error("the label of node {node} in layer {layer} is not the hash of its parents")]
    WrongLabel {
        /// The node.
        node: u32,
        /// The layer, from 1.
        layer: u8,
    },
    /// The opened leaves are not those of `comm_r`.
    #[error("the opened replica leaves are not under comm_r")]
    LeavesNotInCommR,
    /// The opened data is not that of the slot.
    #[error("chunk {chunk} of piece {piece} is not under its slot root")]
    DataNotInSlot {
        /// Index of the piece in the table.
        piece: usize,
        /// Index of the chunk in the slot.
        chunk: u64,
    },
    /// The replica does not hold the data under the node's key.
    #[error("the replica at node {node} is not its data under the node's key")]
    WrongEncoding {
        /// The node.
        node: u32,
    },
    /// The openings of a window don't show that it was answered from what is stored.
    #[error(transparent)]
    Window(#[from] WrongStep),
}

/// The digest of a leaf of a replica's tree.
pub(crate) fn leaf_digest(leaf: &[u8; LEAF_BYTES]) -> Element {
    Element(Poseidon::new().leaf(leaf))
}

/// Checks that the sector holds the statement's data, sealed for this provider, up to the gap of `docs/spec/proofs.md` §9.
///
/// # Errors
/// See [`InvalidProof`].
pub fn porep(
    params: &ProofParams,
    statement: &PorepStatement<'_>,
    openings: &[u8],
) -> Result<(), InvalidProof> {
    let graph = Graph::new(statement.pieces.size());
    let challenges = PorepChallenges::draw(params, statement, statement.pieces, &graph);
    let openings = decode_porep(params, statement.pieces, &challenges, openings)?;
    let columns = open_columns(params, statement, &challenges, &openings)?;
    let mut labeler = Labeler::new(&statement.replica_id());
    for node in &challenges.heavy {
        check_labels(params, &graph, &mut labeler, &columns, *node)?;
    }
    let leaves = open_leaves(statement, &challenges, &openings)?;
    let chunks = open_chunks(statement.pieces, &challenges, &openings)?;
    for node in &challenges.encoded {
        check_encoding(statement.pieces, &columns, &leaves, &chunks, *node)
            .filter(|is_right| *is_right)
            .ok_or(InvalidProof::WrongEncoding { node: *node })?;
    }
    Ok(())
}

/// The most bytes that the openings of this statement have: their strings' exact lengths, with room for the encoding around them.
#[must_use]
pub fn porep_bytes_max(params: &ProofParams, statement: &PorepStatement<'_>) -> usize {
    let graph = Graph::new(statement.pieces.size());
    let challenges = PorepChallenges::draw(params, statement, statement.pieces, &graph);
    let lengths = porep_lengths(params, statement.pieces, &challenges);
    lengths
        .iter()
        .fold(FRAME_BYTES_MAX, |sum, bytes| sum.saturating_add(*bytes))
}

/// Number of chunks in the slot that is piece `index`.
fn n_chunks(pieces: &PieceTable, index: usize) -> u64 {
    pieces
        .pieces()
        .get(index)
        .map_or(0, |piece| extent(piece).1 >> 10)
}

/// Lengths of the five strings that are opened, in their order.
fn porep_lengths(params: &ProofParams, pieces: &PieceTable, challenges: &PorepChallenges) -> [usize; 5] {
    let size = pieces.size();
    let times = |n: usize, bytes: usize| n.saturating_mul(bytes);
    let columns = times(
        challenges.columns.len(),
        times(usize::from(params.layers), NODE_BYTES),
    );
    let column_siblings = times(
        tree::needed(index(size.nodes()), &challenges.columns).len(),
        Hash::LEN,
    );
    let leaves = times(challenges.leaves.len(), LEAF_BYTES);
    let leaf_siblings = times(
        octal::needed(REPLICA_LEVELS, index(size.leaves()), &challenges.leaves).len(),
        Element::LEN,
    );
    let chunks = challenges
        .chunks
        .iter()
        .map(|place| chunk::path_len(n_chunks(pieces, place.piece), place.chunk))
        .fold(times(challenges.chunks.len(), CHUNK_BYTES), |sum, path| {
            sum.saturating_add(times(path, Hash::LEN))
        });
    [columns, column_siblings, leaves, leaf_siblings, chunks]
}

fn decode_porep(
    params: &ProofParams,
    pieces: &PieceTable,
    challenges: &PorepChallenges,
    bytes: &[u8],
) -> Result<PorepOpenings, InvalidProof> {
    let expected = porep_lengths(params, pieces, challenges);
    let [columns, column_siblings, leaves, leaf_siblings, chunks] = expected;
    let openings: PorepOpenings = decode(bytes, expected.iter().fold(0, |sum, n| n.saturating_add(sum)))?;
    check_len(Part::Columns, &openings.columns, columns)?;
    check_len(Part::ColumnSiblings, &openings.column_siblings, column_siblings)?;
    check_len(Part::Leaves, &openings.leaves, leaves)?;
    check_len(Part::LeafSiblings, &openings.leaf_siblings, leaf_siblings)?;
    check_len(Part::Chunks, &openings.chunks, chunks)?;
    Ok(openings)
}

/// Opened items in ascending order of their places, found by place.
struct Opened<'a, P, T: ?Sized>(Vec<(P, &'a T)>);

impl<'a, P: Ord + Copy, T: ?Sized> Opened<'a, P, T> {
    fn get(&self, place: P) -> Option<&'a T> {
        let at = self.0.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.0.get(at).map(|(_, item)| *item)
    }
}

type Columns<'a> = Opened<'a, usize, [u8]>;
type Leaves<'a> = Opened<'a, usize, [u8; LEAF_BYTES]>;
type Chunks<'a> = Opened<'a, crate::challenge::ChunkPlace, [u8]>;

fn label_at<'a>(columns: &Columns<'a>, layer: u8, node: u32) -> Option<&'a Label> {
    let column = columns.get(index(node))?;
    let labels = column.as_chunks::<NODE_BYTES>().0;
    labels.get(usize::from(layer.checked_sub(1)?))
}

fn open_columns<'a>(
    params: &ProofParams,
    statement: &PorepStatement<'_>,
    challenges: &PorepChallenges,
    openings: &'a PorepOpenings,
) -> Result<Columns<'a>, InvalidProof> {
    let column_bytes = usize::from(params.layers).saturating_mul(NODE_BYTES).max(1);
    let columns = openings.columns.chunks_exact(column_bytes);
    let opened: Vec<(usize, &[u8])> = challenges.columns.iter().copied().zip(columns).collect();
    let digest = |column: &[u8]| column_digest(column.as_chunks::<NODE_BYTES>().0);
    let leaves: Vec<(usize, Hash)> = opened
        .iter()
        .map(|(node, column)| (*node, digest(column)))
        .collect();
    let siblings = digests(&openings.column_siblings);
    let root = tree::batch_root(index(statement.pieces.size().nodes()), &leaves, &siblings);
    if root == Some(statement.comm_c) {
        Ok(Opened(opened))
    } else {
        Err(InvalidProof::ColumnsNotInCommC)
    }
}

/// Checks the labels of `node` in all layers from those of its parents.
fn check_labels(
    params: &ProofParams,
    graph: &Graph,
    labeler: &mut Labeler,
    columns: &Columns<'_>,
    node: u32,
) -> Result<(), InvalidProof> {
    for layer in 1..=params.layers {
        let wrong = InvalidProof::WrongLabel { node, layer };
        for (at, parent) in parents(graph, layer, node).into_iter().enumerate() {
            let label = match parent {
                Some(place) => label_at(columns, place.layer, place.node).ok_or(wrong)?,
                None => &NO_PARENT,
            };
            labeler.set_parent(at, label);
        }
        if label_at(columns, layer, node) != Some(&labeler.label(layer, node)) {
            return Err(wrong);
        }
    }
    Ok(())
}

fn open_leaves<'a>(
    statement: &PorepStatement<'_>,
    challenges: &PorepChallenges,
    openings: &'a PorepOpenings,
) -> Result<Leaves<'a>, InvalidProof> {
    if challenges.leaves.is_empty() {
        return Ok(Opened(Vec::new()));
    }
    let leaves = openings.leaves.as_chunks::<LEAF_BYTES>().0;
    let opened: Vec<(usize, &[u8; LEAF_BYTES])> = challenges.leaves.iter().copied().zip(leaves).collect();
    let leaves: Vec<(usize, Element)> = opened.iter().map(|(at, leaf)| (*at, leaf_digest(leaf))).collect();
    let siblings = elements(Part::LeafSiblings, &openings.leaf_siblings)?;
    let n_leaves = index(statement.pieces.size().leaves());
    let root = octal::batch_root(REPLICA_LEVELS, n_leaves, &leaves, &siblings);
    if root == Some(statement.comm_r) {
        Ok(Opened(opened))
    } else {
        Err(InvalidProof::LeavesNotInCommR)
    }
}

fn open_chunks<'a>(
    pieces: &PieceTable,
    challenges: &PorepChallenges,
    openings: &'a PorepOpenings,
) -> Result<Chunks<'a>, InvalidProof> {
    let (mut opened, mut rest) = (
        Vec::with_capacity(challenges.chunks.len()),
        openings.chunks.as_slice(),
    );
    for place in &challenges.chunks {
        let refused = InvalidProof::DataNotInSlot {
            piece: place.piece,
            chunk: place.chunk,
        };
        let Some(Piece::Slot { root, .. }) = pieces.pieces().get(place.piece) else {
            return Err(refused);
        };
        let n_chunks = n_chunks(pieces, place.piece);
        let path_bytes = chunk::path_len(n_chunks, place.chunk).saturating_mul(Hash::LEN);
        let (data, after) = rest.split_at_checked(CHUNK_BYTES).ok_or(refused)?;
        let (path, after) = after.split_at_checked(path_bytes).ok_or(refused)?;
        if chunk::root(n_chunks, place.chunk, data, &digests(path)) != Some(*root) {
            return Err(refused);
        }
        opened.push((*place, data));
        rest = after;
    }
    Ok(Opened(opened))
}

/// Whether the replica at `node` is the data there under the node's label in the last layer; `None` if not all was opened.
fn check_encoding(
    pieces: &PieceTable,
    columns: &Columns<'_>,
    leaves: &Leaves<'_>,
    chunks: &Chunks<'_>,
    node: u32,
) -> Option<bool> {
    let place = NodePlace::of(pieces, node);
    let key = columns.get(index(node))?.last_chunk::<NODE_BYTES>()?;
    let last = if place.last_leaf == place.leaf {
        [].as_slice()
    } else {
        leaves.get(place.last_leaf)?.as_slice()
    };
    let first = leaves.get(place.leaf)?.get(place.leaf_offset..)?;
    let replica = first.iter().chain(last);
    let mut filling = [0; NODE_BYTES];
    let data = if let Some(at) = place.chunk {
        chunks
            .get(at)?
            .get(place.chunk_offset..)?
            .first_chunk::<NODE_BYTES>()?
    } else {
        filler(place.offset, &mut filling);
        &filling
    };
    let expected = key.iter().zip(data).map(|(key, data)| key ^ data);
    Some(replica.take(NODE_BYTES).copied().eq(expected))
}

/// Checks the openings of one window, which a provider began in `state` and of which `window` is all that the ledger knows: that
/// every sampled leaf is the one asked for under the set's root, and that the answer which follows from it was committed to.
///
/// # Errors
/// See [`InvalidProof`].
pub fn window(shape: Shape, state: Element, window: &Window, openings: &[u8]) -> Result<(), InvalidProof> {
    let step = openings::to_step(shape, state, *window, openings)?;
    Ok(step.check(shape, state)?)
}
