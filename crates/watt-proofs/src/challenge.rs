//! What the beacon asks (`docs/spec/proofs.md` §6, §7): seeds, and everything prover and verifier draw from them.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::Element;
use crate::graph::Graph;
use crate::label::family;
use crate::params::{LEAF_BYTES, NODE_BYTES, ProofParams, index, number};
use crate::sector::{PieceTable, extent};
use crate::verify::PorepStatement;
use alloc::vec::Vec;
use watt_primitives::hash::{Domain, hash};
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, Hash, NetworkId, SectorNumber};

/// At how many nodes of a sector all labels are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeavyChallenges {
    /// Anywhere in the sector.
    pub random: u16,
    /// In each of its slots.
    pub per_slot: u8,
}

impl HeavyChallenges {
    /// Those of a sector that is asked again. One that was never sealed answers none; one with a part `f` of wrong labels all of them with
    /// probability `(1 - f)^8`. None in slots, so that the openings of any sector fit in a block.
    pub const AUDIT: Self = Self {
        random: 8,
        per_slot: 0,
    };

    /// Those of each of `n_sectors` sectors that are asked together: the random ones of one alone, divided among them and rounded up.
    #[must_use]
    pub fn of_batch(params: &ProofParams, n_sectors: usize) -> Self {
        let n_sectors = u16::try_from(n_sectors).unwrap_or(u16::MAX).max(1);
        Self {
            random: params.porep_challenges.div_ceil(n_sectors),
            per_slot: params.heavy_challenges_per_slot,
        }
    }
}

/// The seed that goes into a replica's id, so that nothing can be sealed before the beacon it comes from.
#[must_use]
pub fn seal_seed(network: &NetworkId, beacon: &Hash, provider: &AccountId, sector: SectorNumber) -> Hash {
    let number = sector.0.to_be_bytes();
    let parts: [&[u8]; 4] = [b"seal", beacon.as_ref(), provider.as_ref(), &number];
    hash(Domain::Beacon, network, &parts)
}

/// What a sector's PoRep challenges are drawn from: a beacon younger than the commitments, and the commitments.
#[must_use]
pub fn porep_seed(
    network: &NetworkId,
    beacon: &Hash,
    provider: &AccountId,
    sector: SectorNumber,
    comm_c: &Hash,
    comm_r: &Element,
) -> Hash {
    commitment_seed(b"seed", network, beacon, provider, sector, (comm_c, comm_r))
}

/// As [`porep_seed`], for a live sector that is asked again: no challenge of one is one of the other.
#[must_use]
pub fn audit_seed(
    network: &NetworkId,
    beacon: &Hash,
    provider: &AccountId,
    sector: SectorNumber,
    comm_c: &Hash,
    comm_r: &Element,
) -> Hash {
    commitment_seed(b"audit", network, beacon, provider, sector, (comm_c, comm_r))
}

fn commitment_seed(
    purpose: &[u8],
    network: &NetworkId,
    beacon: &Hash,
    provider: &AccountId,
    sector: SectorNumber,
    (comm_c, comm_r): (&Hash, &Element),
) -> Hash {
    let number = sector.0.to_be_bytes();
    let parts: [&[u8]; 6] = [
        purpose,
        beacon.as_ref(),
        provider.as_ref(),
        &number,
        comm_c.as_ref(),
        &comm_r.to_bytes(),
    ];
    hash(Domain::PorepChallenge, network, &parts)
}

/// One KiB of data to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkPlace {
    /// Index of the slot's piece in the table.
    pub(crate) piece: usize,
    /// Index of the chunk in the slot.
    pub(crate) chunk: u64,
}

/// Everything one sector's challenges ask for. Prover and verifier both draw it, so no position travels.
#[derive(Clone, Debug)]
pub(crate) struct PorepChallenges {
    /// Nodes whose labels are checked in all layers.
    pub(crate) heavy: Vec<u32>,
    /// Nodes whose replica is checked against their data: all light ones and the heavy ones that hold data.
    pub(crate) encoded: Vec<u32>,
    /// Columns to open, ascending.
    pub(crate) columns: Vec<usize>,
    /// Replica leaves to open, ascending.
    pub(crate) leaves: Vec<usize>,
    /// Data to open, ascending; filler needs none.
    pub(crate) chunks: Vec<ChunkPlace>,
}

impl PorepChallenges {
    /// Draws the challenges of a statement for a sector with this piece table: the statement's, unless one lies.
    pub(crate) fn draw(
        params: &ProofParams,
        statement: &PorepStatement<'_>,
        table: &PieceTable,
        graph: &Graph,
    ) -> Self {
        let (size, network, seed) = (table.size(), statement.network, &statement.challenge_seed);
        let draw = |parts: &[&[u8]], n: u64| {
            let drawn = hash(Domain::PorepChallenge, network, parts).below(n);
            u32::try_from(drawn).unwrap_or(u32::MAX)
        };
        let mut heavy: Vec<u32> = (0..statement.heavy.random)
            .map(|t| {
                let parts: [&[u8]; 3] = [b"heavy", seed.as_ref(), &t.to_be_bytes()];
                draw(&parts, u64::from(size.nodes()))
            })
            .collect();
        let mut light = Vec::new();
        for (at, piece) in (0u32..).zip(table.pieces()) {
            let Piece::Slot { offset, len, .. } = piece else {
                continue;
            };
            let first = u32::try_from(offset >> 5).unwrap_or(u32::MAX);
            let first = size.dropped_nodes().saturating_add(first);
            let within = |name: &[u8], t: u8| {
                let parts: [&[u8]; 4] = [name, seed.as_ref(), &at.to_be_bytes(), &[t]];
                first.saturating_add(draw(&parts, len >> 5))
            };
            heavy.extend((0..statement.heavy.per_slot).map(|t| within(b"slot-heavy", t)));
            light.extend((0..params.light_challenges_per_slot).map(|t| within(b"slot-light", t)));
        }
        let has_data = |node: &u32| *node >= size.dropped_nodes();
        let encoded = heavy.iter().copied().filter(has_data).chain(light).collect();
        Self::ask(table, graph, heavy, encoded)
    }

    fn ask(table: &PieceTable, graph: &Graph, heavy: Vec<u32>, encoded: Vec<u32>) -> Self {
        let families = heavy.iter().flat_map(|node| family(graph, *node));
        let columns = ascending(families.chain(encoded.iter().copied()).map(index));
        let places = encoded.iter().map(|node| NodePlace::of(table, *node));
        let leaves = ascending(places.clone().flat_map(|place| [place.leaf, place.last_leaf]));
        let chunks = ascending(places.filter_map(|place| place.chunk));
        Self {
            heavy,
            encoded,
            columns,
            leaves,
            chunks,
        }
    }
}

fn ascending<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Where the 32 bytes of a node that holds data are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodePlace {
    /// First byte in the payload.
    pub(crate) offset: u64,
    /// Leaf of the replica's tree with the first byte.
    pub(crate) leaf: usize,
    /// First byte within that leaf.
    pub(crate) leaf_offset: usize,
    /// Leaf with the last byte: leaves have 7¾ nodes.
    pub(crate) last_leaf: usize,
    /// The chunk of a slot with the data; `None` in filler.
    pub(crate) chunk: Option<ChunkPlace>,
    /// First byte within that chunk.
    pub(crate) chunk_offset: usize,
}

impl NodePlace {
    /// The place of `node`, which is not one of the dropped ones.
    pub(crate) fn of(table: &PieceTable, node: u32) -> Self {
        let at = index(node.saturating_sub(table.size().dropped_nodes())).saturating_mul(NODE_BYTES);
        let offset = number(at);
        let chunk = table.piece_at(offset).and_then(|(piece, entry)| match entry {
            Piece::Slot { .. } => Some(ChunkPlace {
                piece,
                chunk: offset.saturating_sub(extent(entry).0) >> 10,
            }),
            Piece::Filler { .. } => None,
        });
        Self {
            offset,
            leaf: at / LEAF_BYTES,
            leaf_offset: at % LEAF_BYTES,
            last_leaf: at.saturating_add(NODE_BYTES - 1) / LEAF_BYTES,
            chunk,
            chunk_offset: at % crate::chunk::CHUNK_BYTES,
        }
    }
}
