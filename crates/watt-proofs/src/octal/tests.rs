//! Trees by repetition against trees written out, and openings of many leaves at once.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

use super::*;
use watt_primitives::Hash;

fn element(name: usize) -> Element {
    Element::of_hash(&Hash::of_content(&name.to_be_bytes()))
}

fn leaves(n: usize) -> Vec<Element> {
    (0..n).map(element).collect()
}

/// The root of a tree whose places are all written out.
fn written_out(tag: Tag, levels: u32, leaves: &[Element]) -> Element {
    let mut poseidon = Poseidon::new();
    let mut nodes: Vec<F> = (0..8usize.pow(levels))
        .map(|place| leaves[place % leaves.len()].0)
        .collect();
    while nodes.len() > 1 {
        let families = nodes.as_chunks::<8>().0.iter();
        nodes = families.map(|family| poseidon.eight(tag, family)).collect();
    }
    Element(nodes[0])
}

/// Whatever the number of leaves, the tree is that with every place filled by repetition, and every way leads to its root.
/// Covers: D2.
#[test]
fn repetition_fills_every_place() {
    for n in [1, 2, 3, 7, 8, 9, 12, 16, 24, 40, 63, 64, 65, 100, 511, 512] {
        let leaves = leaves(n);
        let tree = Tree::build(Tag::Node, 3, leaves.clone());
        assert_eq!(tree.root(), written_out(Tag::Node, 3, &leaves), "{n}");
        let mut poseidon = Poseidon::new();
        for place in [0, 1, 8, 77, 511u32] {
            let mut node = leaves[index(place) % n].0;
            for (level, family) in (0u32..).zip(tree.path(place)) {
                assert_eq!(family[index((place >> (3 * level)) % 8)], node);
                node = poseidon.eight(Tag::Node, &family);
            }
            assert_eq!(Element(node), tree.root());
        }
    }
}

fn picked(leaves: &[Element], indices: &[usize]) -> Vec<(usize, Element)> {
    indices.iter().map(|at| (*at, leaves[*at])).collect()
}

/// Sets of leaves prove themselves to the root, whole trees and repeated ones, and nothing shorter, longer or changed does.
/// Covers: C5, D1.
#[test]
fn every_set_proves_itself() {
    for n in [1, 8, 16, 24, 40, 64, 128, 192, 512] {
        let leaves = leaves(n);
        let tree = Tree::build(Tag::Node, 3, leaves.clone());
        let root = tree.root();
        let sets = [
            Vec::from([0]),
            Vec::from([n - 1]),
            (0..n).collect(),
            (0..n).step_by(5).collect(),
            (0..n.min(9)).collect(),
            [0, n / 3, n / 2, n - 1]
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        ];
        for indices in sets {
            let (proof, picked) = (tree.siblings(&indices).unwrap(), picked(&leaves, &indices));
            assert_eq!(batch_root(3, n, &picked, &proof), Some(root), "{n} {indices:?}");
            let longer = [proof.as_slice(), &[Element::default()]].concat();
            assert_eq!(batch_root(3, n, &picked, &longer), None);
            if let Some((_, shorter)) = proof.split_last() {
                assert_eq!(batch_root(3, n, &picked, shorter), None);
            }
            for at in 0..proof.len() {
                let mut other = proof.clone();
                other[at] = element(9999);
                assert_ne!(batch_root(3, n, &picked, &other), Some(root));
            }
            for at in [0, picked.len() / 2, picked.len() - 1] {
                let mut other = picked.clone();
                other[at].1 = element(9999);
                assert_ne!(batch_root(3, n, &other, &proof), Some(root));
            }
        }
    }
    assert_eq!(batch_root(1, 8, &[], &[]), None);
    assert_eq!(batch_root(1, 8, &[(8, Element::default())], &leaves(7)), None);
    let twice = [(0, Element::default()); 2];
    assert_eq!(batch_root(1, 8, &twice, &leaves(7)), None);
}

/// A single leaf of a main sector has seven siblings in each of six levels; a set has those that don't follow from it.
/// Covers: D1.
#[test]
fn numbers_of_siblings() {
    let units = |n: usize| n << 12;
    let count = |n: usize, indices: &[usize]| needed(REPLICA_LEVELS, units(n), indices).len();
    assert_eq!(count(64, &[5]), 42);
    assert_eq!((count(64, &[]), count(3, &[])), (0, 0));
    assert_eq!(count(64, &[0, 7]), 6 + 35);
    assert_eq!(count(64, &[0, 8]), 14 + 6 + 28);
    // Below a unit as above; above it what one unit repeated, three, twelve or sixteen of them add.
    assert_eq!(count(1, &[5]), 28);
    assert_eq!(count(3, &[5]), 28 + 2);
    assert_eq!(count(12, &[5]), 28 + 11);
    assert_eq!(count(16, &[5]), 28 + 7 + 1);
    assert_eq!(count(24, &[5]), 28 + 7 + 2);
}

/// A tree that is no repetition can't be opened as one: whatever its places beyond the leaves hold, where a level has a
/// period that isn't a multiple of eight all nodes above it are computed. Covers: D2.
#[test]
fn openings_show_the_repetition() {
    for n in [1usize, 8, 16, 24, 40] {
        let honest: Vec<Element> = (0..512).map(|place| element(place % n)).collect();
        for other_place in [n, 2 * n, 300, 511] {
            let mut places = honest.clone();
            places[other_place] = element(9999);
            let cheat = Tree::build(Tag::Node, 3, places);
            // The nodes that the cheat's tree has where an opening asks for them.
            for leaf in [0, n - 1] {
                let proof: Vec<Element> = needed(3, n, &[leaf])
                    .into_iter()
                    .map(|(level, at)| cheat.node(level, at).unwrap())
                    .collect();
                assert_ne!(
                    batch_root(3, n, &[(leaf, element(leaf))], &proof),
                    Some(cheat.root())
                );
            }
        }
    }
}
