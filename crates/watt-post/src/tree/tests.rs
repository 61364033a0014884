//! Trees by repetition against trees written out, and the sector trees above them.

use super::*;
use crate::element::Element;
use crate::fixture::{Provider, bytes, element};
use crate::replica::{ReplicaTree, SetTree};
use crate::shape::Shape;

/// The root of a tree whose places are all written out.
fn written_out(tag: Tag, levels: u32, leaves: &[F]) -> F {
    let mut poseidon = Poseidon::new();
    let mut nodes: Vec<F> = (0..8usize.pow(levels))
        .map(|place| leaves[place % leaves.len()])
        .collect();
    while nodes.len() > 1 {
        nodes = nodes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|family| poseidon.eight(tag, family))
            .collect();
    }
    nodes[0]
}

/// Whatever the number of leaves, the tree is that with every place filled by repetition, and every way leads to its root.
/// Covers: D2.
#[test]
fn repetition_fills_every_place() {
    for n in [1, 2, 3, 7, 8, 9, 12, 16, 24, 40, 63, 64, 65, 100, 511, 512] {
        let leaves: Vec<F> = (0..n).map(|leaf| element(&format!("leaf {leaf}"))).collect();
        let tree = Tree::build(Tag::Node, 3, leaves.clone());
        assert_eq!(tree.root(), written_out(Tag::Node, 3, &leaves), "{n}");
        let mut poseidon = Poseidon::new();
        for place in [0, 1, 8, 77, 511u32] {
            let mut node = leaves[usize::try_from(place).unwrap() % n];
            for (level, family) in (0u32..).zip(tree.path(place)) {
                assert_eq!(family[usize::try_from((place >> (3 * level)) % 8).unwrap()], node);
                node = poseidon.eight(Tag::Node, &family);
            }
            assert_eq!(node, tree.root());
        }
    }
}

/// A set of few sectors takes few hashes, and has a root of its own: one sector claimed at all positions is another set
/// than two. Covers: D2.
#[test]
fn sets_differ_by_their_sectors() {
    let roots: Vec<Element> = (0..4)
        .map(|sector| Element(element(&format!("root {sector}"))))
        .collect();
    let set = |roots: &[Element]| SetTree::build(Shape::LARGE, roots).map(|set| set.root());
    let all =
        [&roots[..1], &roots[..2], &roots[..3], &roots[..4], &roots[1..3]].map(|roots| set(roots).unwrap());
    assert_eq!(std::collections::BTreeSet::from(all).len(), all.len());
    assert_eq!(set(&[]), None);
    assert_eq!(SetTree::build(Shape::TINY, &[Element::default(); 9]), None);
    let tree = SetTree::build(Shape::LARGE, &roots[..3]).unwrap();
    assert_eq!((tree.n_positions(), tree.sector_at(4095)), (4096, 0));
}

/// Trees are the same with one thread and with many.
#[test]
fn threads_make_no_difference() {
    let leaves: Vec<F> = (0..4096u64).map(F::from).collect();
    let build = |n| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        threads.install(|| Tree::build(Tag::Leaf, 4, leaves.clone()))
    };
    assert_eq!(build(1), build(4));
}

/// A replica of whole blocks has a tree; a changed byte has another root, and a changed block is noticed when it is opened.
#[test]
fn replicas_are_opened_by_block() {
    let shape = Shape::LARGE;
    let range = ReplicaTree::block_range(shape, 600);
    assert_eq!((range.start, range.end), (512 * 248, 1024 * 248));
    let mut replica = bytes("replica", 1024 * LEAF_BYTES);
    let tree = ReplicaTree::build(shape, &replica).unwrap();
    let block = &replica[512 * LEAF_BYTES..];
    assert_eq!(tree.path(shape, 600, block).map(|path| path.len()), Some(6));
    // Place 1624 holds leaf 600 once more.
    assert_eq!(tree.path(shape, 1624, block).map(|path| path.len()), Some(6));
    assert_eq!(tree.path(shape, 600, &replica[..512 * LEAF_BYTES]), None);
    assert_eq!(tree.path(shape, 600, &block[1..]), None);
    assert_eq!(ReplicaTree::build(shape, &replica[1..]), None);
    assert_eq!(ReplicaTree::build(shape, &[]), None);
    replica[700 * LEAF_BYTES] ^= 1;
    assert_eq!(tree.path(shape, 600, &replica[512 * LEAF_BYTES..]), None);
    assert_ne!(ReplicaTree::build(shape, &replica).unwrap().root(), tree.root());
}

/// Answers depend on state, set, beacon and data: another of any has another root. Covers: D2.
#[test]
fn answers_depend_on_everything() {
    let mut provider = Provider::new(Shape::TINY, &[8, 8]);
    let mut roots = vec![provider.answers(0).root(), provider.answers(1).root()];
    provider.step(0);
    roots.push(provider.answers(1).root());
    provider.replicas[1].iter_mut().for_each(|byte| *byte ^= 1);
    roots.push(provider.answers(1).root());
    let other = Provider::new(Shape::TINY, &[8, 8, 8]);
    roots.push(other.answers(0).root());
    assert_eq!(
        roots.iter().collect::<std::collections::BTreeSet<_>>().len(),
        roots.len()
    );
}
