//! Sets of sectors, answers, and windows over sealed sectors.

use super::*;
use crate::fixture::{Provider, element};
use core::ops::ControlFlow;
use std::collections::BTreeSet;
use watt_proofs::{PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorSize};

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
    assert_eq!(BTreeSet::from(all).len(), all.len());
    assert_eq!(set(&[]), None);
    assert_eq!(SetTree::build(Shape::TINY, &[Element::default(); 9]), None);
    let tree = SetTree::build(Shape::LARGE, &roots[..3]).unwrap();
    assert_eq!((tree.n_positions(), tree.sector_at(4095)), (4096, 0));
}

/// Answers are the same with one thread and with many.
#[test]
fn threads_make_no_difference() {
    let provider = Provider::new(Shape::SMALL, &[8, 8]);
    let root = |n| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        threads.install(|| provider.answers(0).root())
    };
    assert_eq!(root(1), root(4));
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
    assert_eq!(roots.iter().collect::<BTreeSet<_>>().len(), roots.len());
}

/// Sealed replicas, read by whole blocks.
struct Disk(Vec<(ReplicaTree, Vec<u8>)>);

impl Disk {
    fn block(&self, sector: u32, leaf: u32) -> Option<(&ReplicaTree, &[u8])> {
        let (tree, replica) = self.0.get(index(sector))?;
        let range = ReplicaTree::block_range(leaf);
        let (from, to) = (
            usize::try_from(range.start).ok()?,
            usize::try_from(range.end).ok()?,
        );
        Some((tree, replica.get(from..to)?))
    }
}

impl LeafRead for Disk {
    fn leaf(&self, sector: u32, leaf: u32) -> Option<[u8; watt_proofs::element::LEAF_BYTES]> {
        let (tree, block) = self.block(sector, leaf)?;
        Some(tree.open(leaf, block)?.leaf)
    }
}

/// The `comm_r` that sealing gives, which the ledger keeps and direct openings are checked against, is the root that windows
/// are folded over: the same sectors serve both. Covers: D1, D2.
#[test]
fn sealed_sectors_are_folded_as_they_are() {
    let params = ProofParams::DEVNET;
    let size = SectorSize::new(&params, 1).unwrap();
    let mut payload = vec![0; usize::try_from(size.payload_bytes()).unwrap()];
    PieceTable::filler_only(size).fill(&mut payload);
    let seal = |number: u8| {
        let id = ReplicaId(Hash([number; 32]));
        let go = &mut |_| ControlFlow::Continue(());
        watt_proofs::seal::seal(&params, size, &id, &payload, go).unwrap()
    };
    let sealed = [seal(1), seal(2), seal(3)];
    let set = SetTree::build(Shape::SMALL, &sealed.each_ref().map(|sealed| sealed.comm_r)).unwrap();
    let disk = Disk(sealed.map(|sealed| (sealed.replica_tree, sealed.replica)).into());
    let state = initial_state(&crate::fixture::NETWORK, &crate::fixture::PROVIDER);
    let (beacon, next) = (crate::fixture::beacon(0), crate::fixture::beacon(1));
    let answers = Answers::compute(Shape::SMALL, state, &set, beacon, &|_| size.leaves(), &disk);
    let step = answers.step(next, &set, &|sector, place| {
        let (tree, block) = disk.block(sector, place % size.leaves())?;
        tree.open_place(place, block)
    });
    assert!(step.is_good);
    assert_eq!(step.check(Shape::SMALL, state), Ok(()));
    assert_eq!(crate::circuit::broken_by(Shape::SMALL, &step, state), None);
    let mut other = step;
    other.openings[0].leaf[7] = Element::default();
    assert!(crate::circuit::broken_by(Shape::SMALL, &other, state).is_some());
}
