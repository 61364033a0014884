//! A replica's tree against the tree over all its leaves.

use super::*;
use alloc::vec;

fn replica(units: usize) -> Vec<u8> {
    let mut bytes = vec![0; units * 4096 * LEAF_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn block(replica: &[u8], leaf_index: u32) -> &[u8] {
    let range = ReplicaTree::block_range(leaf_index);
    let (from, to) = (usize::try_from(range.start), usize::try_from(range.end));
    &replica[from.unwrap()..to.unwrap()]
}

/// A leaf is opened from 15.5 KiB of the replica, for every block, and not from bytes that have changed. Covers: D3.
#[test]
fn leaves_open_from_a_block() {
    let replica = replica(3);
    let tree = ReplicaTree::build(&replica);
    let whole = Tree::build(Tag::Node, REPLICA_LEVELS, leaf_digests(&replica));
    assert_eq!(tree.root(), whole.root());
    let n_leaves = u32::try_from(tree.n_leaves()).unwrap();
    assert_eq!(n_leaves, 3 * 4096);
    for leaf_index in [0, 63, 64, 5000, n_leaves - 1] {
        let block = block(&replica, leaf_index);
        let leaf = *replica.as_chunks().0[..].get(index(leaf_index)).unwrap();
        let mut rotten = block.to_vec();
        rotten[15_000] ^= 1;
        // As circuits see it, there and where repetition puts it again.
        for place in [leaf_index, leaf_index + n_leaves] {
            assert_eq!(tree.leaf(place, block), Some(leaf));
            let placed = tree.open_place(place, block).unwrap();
            assert_eq!((placed.leaf, placed.path), (leaf, whole.path(place)));
            for changed in [rotten.as_slice(), &block[1..], &[]] {
                assert_eq!(tree.leaf(place, changed), None);
                assert_eq!(tree.open_place(place, changed), None);
            }
        }
    }
    assert_eq!(tree.leaf(64, block(&replica, 0)), None);
}

/// Trees that were kept are the same after they were read back; damaged ones open nothing wrong.
#[test]
fn trees_are_kept() {
    let replica = replica(1);
    let tree = ReplicaTree::build(&replica);
    let bytes = watt_primitives::codec::encode(&tree);
    assert!(bytes.len() < 4800, "{}", bytes.len());
    let kept: ReplicaTree = watt_primitives::codec::decode(&bytes, 10_000).unwrap();
    assert_eq!(kept, tree);
    let empty = ReplicaTree::build(&[]);
    assert_eq!(empty.leaf(0, block(&replica, 0)), None);
    assert_eq!(empty.open_place(0, &[]), None);
    let mut short = tree;
    short.blocks.pop();
    assert_eq!(short.leaf(4095, block(&replica, 4095)), None);
}
