//! The stacked graph: a depth-robust graph in every layer, an expander between layers (`docs/spec/proofs.md` §4).
//!
//! Integers only. The same for all replicas of a size, so it is drawn from a constant and the number of nodes; it has to look
//! random, not to be secret, hence a fast mixer and no cryptographic one.

use crate::params::{DRG_DEGREE, EXPANDER_DEGREE, SectorSize};
use watt_primitives::hash::scale;

/// Key of the stream that the graph's constants are read from: these letters, then zeros.
const GRAPH_KEY: [u8; 32] = *b"WATT/graph/1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// 2^64 divided by the golden ratio, odd: the step of the SplitMix64 sequence.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Draws per node: five parents besides the one before it.
const SAMPLED: u64 = 5;

/// The graph of one sector size.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    n_edges: u64,
    drg_key: u64,
    round_keys: [u64; 3],
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
}

impl Graph {
    /// The graph of sectors of `size`.
    pub(crate) fn new(size: SectorSize) -> Self {
        let mut stream = blake3::Hasher::new_keyed(&GRAPH_KEY)
            .update(&size.nodes().to_be_bytes())
            .finalize_xof();
        let mut key = || {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        let n_edges = u64::from(size.nodes()) * 8;
        let width = n_edges.next_power_of_two().trailing_zeros();
        let high_bits = width / 2;
        let low_bits = width - high_bits;
        Self {
            n_edges,
            drg_key: key(),
            round_keys: [key(), key(), key()],
            low_bits,
            low_mask: (1 << low_bits) - 1,
            high_mask: (1 << high_bits) - 1,
        }
    }

    /// Parents within the layer: the node before first, then five by bucket sampling in the graph where every node stands
    /// for five. Node 0 has none; its six parents are given as 0 and their labels read as zero.
    pub(crate) fn drg_parents(&self, node: u32) -> [u32; DRG_DEGREE] {
        let mut parents = [node.saturating_sub(1); DRG_DEGREE];
        if node < 2 {
            return parents;
        }
        let meta = u64::from(node) * SAMPLED;
        let n_buckets = u64::from(u64::BITS - (meta - 1).leading_zeros());
        let mut state = mix(self.drg_key ^ u64::from(node));
        let mut next = || {
            state = state.wrapping_add(GOLDEN_STEP);
            mix(state)
        };
        for parent in &mut parents[1..] {
            let bucket = scale(next(), n_buckets) + 1;
            let far = meta.min(1 << bucket);
            let near = (far >> 1).max(2);
            let distance = near + scale(next(), far - near + 1);
            let sampled = u32::try_from((meta - distance) / SAMPLED).unwrap_or(0);
            *parent = sampled.min(node - 1);
        }
        parents
    }

    /// Parents in the layer below: edges 8·node to 8·node+7 through a permutation of all edges, so that every node is a
    /// parent exactly eight times.
    pub(crate) fn expander_parents(&self, node: u32) -> [u32; EXPANDER_DEGREE] {
        let mut parents = [0; EXPANDER_DEGREE];
        for (edge, parent) in (u64::from(node) * 8..).zip(&mut parents) {
            *parent = u32::try_from(self.permute(edge) / 8).unwrap_or(0);
        }
        parents
    }

    /// A Feistel permutation of three rounds, walked until it lands on an edge.
    fn permute(&self, edge: u64) -> u64 {
        let mut at = edge;
        loop {
            let (mut high, mut low) = (at >> self.low_bits, at & self.low_mask);
            high ^= mix(self.round_keys[0] ^ low) & self.high_mask;
            low ^= mix(self.round_keys[1] ^ high) & self.low_mask;
            high ^= mix(self.round_keys[2] ^ low) & self.high_mask;
            at = (high << self.low_bits) | low;
            if at < self.n_edges {
                return at;
            }
        }
    }
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `x`.
const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{ProofParams, index};
    use alloc::vec;

    /// Parents precede their nodes, the node before comes first, and every node below is a parent exactly eight times,
    /// for sizes that are and are not powers of two. Covers: D1, D2.
    #[test]
    fn shape() {
        for units in [1, 2, 3] {
            let size = SectorSize::new(&ProofParams::DEVNET, units).unwrap();
            let graph = Graph::new(size);
            let mut uses = vec![0u32; index(size.nodes())];
            for node in 0..size.nodes() {
                let drg = graph.drg_parents(node);
                assert_eq!(drg[0], node.saturating_sub(1));
                assert!(drg.iter().all(|parent| *parent < node || node == 0));
                for parent in graph.expander_parents(node) {
                    uses[index(parent)] += 1;
                }
            }
            assert!(uses.iter().all(|n| *n == 8), "{units} units");
        }
    }

    /// Distances within a layer are spread over all scales: every bucket between 2^3 and 2^14 is drawn about alike.
    /// Covers: D2.
    #[test]
    fn distances_fill_all_buckets() {
        let graph = Graph::new(SectorSize::new(&ProofParams::DEVNET, 1).unwrap());
        let mut buckets = [0u32; 16];
        for node in 1u32 << 14..1 << 15 {
            for parent in &graph.drg_parents(node)[1..] {
                buckets[index((node - parent).ilog2())] += 1;
            }
        }
        let expected = (5u32 << 14) / 17;
        for (log2, n) in buckets.iter().enumerate().take(14).skip(3) {
            assert!(n.abs_diff(expected) < expected / 4, "2^{log2}: {n} of {expected}");
        }
    }
}
