//! The circuit says exactly what the code beside it computes.

use super::hash::library_hash;
use super::*;
use crate::fixture::{Provider, element};
use core::ops::{ControlFlow, Range};
use nova_snark::frontend::shape_cs::ShapeCS;
use nova_snark::frontend::test_cs::TestConstraintSystem;
use nova_snark::provider::PallasEngine;
use watt_primitives::{Hash, SectorNumber};
use watt_proofs::element::LEAF_BYTES;
use watt_proofs::poseidon::Poseidon;
use watt_proofs::post::{self, Answers, Asked, ReplicaRead};
use watt_proofs::window::{Window, initial_state};
use watt_proofs::{PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorEntry, SectorSet, SectorSize};

/// State, count and constraint system after one step.
fn run(shape: Shape, step: &Step, state: Element, n_good: u64) -> (TestConstraintSystem<F>, [Element; 2]) {
    let mut cs = TestConstraintSystem::new();
    let z = [state.0, F::from(n_good)].map(|value| value);
    let z: Vec<Num> = z
        .iter()
        .enumerate()
        .map(|(at, value)| Num::alloc(cs.namespace(|| format!("z {at}")), || Ok(*value)).unwrap())
        .collect();
    let circuit = WindowCircuit::with_step(shape, step);
    let next = circuit.synthesize(&mut cs, &z).unwrap();
    let next = [0, 1].map(|at| Element(next[at].get_value().unwrap()));
    (cs, next)
}

/// The constraint that a step breaks, by the innermost part of its name.
pub(crate) fn broken(shape: Shape, step: &Step, state: Element) -> Option<String> {
    let name = run(shape, step, state, 0).0.which_is_unsatisfied()?.to_owned();
    Some(name)
}

/// The hash is the library's own, and the same outside and inside of circuits, for every tag, over a hundred inputs.
#[test]
fn native_hash_and_gadget_agree() {
    let mut poseidon = Poseidon::new();
    for round in 0..100 {
        let inputs: [F; 8] = core::array::from_fn(|at| element(&format!("{round} {at}")));
        let [a, b, c, ..] = inputs;
        let mut cs = TestConstraintSystem::<F>::new();
        let n: Vec<Num> = inputs
            .iter()
            .enumerate()
            .map(|(at, input)| Num::alloc(cs.namespace(|| format!("in {at}")), || Ok(*input)).unwrap())
            .collect();
        let three = [n[0].clone(), n[1].clone(), n[2].clone()];
        let mut gadget = |tag: Tag| {
            let cs = &mut cs.namespace(|| format!("{tag:?}"));
            let digest = match tag {
                Tag::Node | Tag::Leaf | Tag::ResponseNode => hash_eight(cs, tag, &n),
                Tag::Challenge | Tag::State | Tag::Response => hash_three(cs, tag, &three),
                Tag::Index => hash_two(cs, &[n[0].clone(), n[1].clone()]),
            };
            let digest = digest.unwrap().get_value().unwrap();
            let n_inputs = usize::try_from(tag.inputs()).unwrap();
            assert_eq!(library_hash(tag, &inputs[..n_inputs]), digest);
            digest
        };
        for tag in [Tag::Node, Tag::Leaf, Tag::ResponseNode] {
            assert_eq!(gadget(tag), poseidon.eight(tag, &inputs));
        }
        assert_eq!(gadget(Tag::Challenge), poseidon.challenge(a, b, c));
        assert_eq!(gadget(Tag::State), poseidon.state(a, b, c));
        assert_eq!(gadget(Tag::Response), poseidon.response(a, b, c));
        assert_eq!(gadget(Tag::Index), poseidon.index(a, b));
        assert!(cs.is_satisfied());
    }
}

/// Honest steps satisfy the circuit, which computes the state that the ledger folds and counts good steps.
#[test]
fn honest_steps_satisfy_the_circuit() {
    for leaves in [&[8][..], &[8, 8, 8]] {
        let mut provider = Provider::new(Shape::TINY, leaves);
        for window in 0..4 {
            let state = provider.state;
            let step = provider.step(window);
            assert!(step.is_good && step.has_shape(Shape::TINY));
            let (cs, next) = run(Shape::TINY, &step, state, 5);
            assert_eq!(cs.which_is_unsatisfied(), None);
            assert_eq!(next, [provider.state, Element(F::from(6))]);
        }
    }
}

/// A step may say of itself that it failed: it satisfies the circuit, and isn't counted.
#[test]
fn a_failed_step_is_not_counted() {
    let mut provider = Provider::new(Shape::TINY, &[8]);
    let state = provider.state;
    let step = Step::failed(Shape::TINY, provider.step(0).window);
    let (cs, next) = run(Shape::TINY, &step, state, 5);
    assert_eq!(cs.which_is_unsatisfied(), None);
    assert_eq!(next, [provider.state, Element(F::from(5))]);
}

/// What is opened has to be what was stored and what was answered: a change of any part breaks the constraint that speaks
/// of it. Covers: D2.
#[test]
fn tampered_openings_break_the_circuit() {
    let mut provider = Provider::new(Shape::TINY, &[8, 8, 8]);
    let state = provider.state;
    let step = provider.step(0);
    let with = |change: &dyn Fn(&mut Step)| {
        let mut step = step.clone();
        change(&mut step);
        broken(Shape::TINY, &step, state)
    };
    let other = Element(element("other"));
    let answered = Some("sample 0/answered/equal if set".to_owned());
    let stored = Some("sample 0/stored/equal if set".to_owned());

    assert_eq!(with(&|_| {}), None);
    assert_eq!(with(&|step| step.openings[0].leaf[3] = other), answered);
    // The child on the way is not read: both places of every family that are off it are.
    let sample = watt_proofs::window::samples(Shape::TINY, state, &step.window)[0].0;
    let beside = usize::try_from(sample ^ 1).unwrap();
    assert_eq!(
        with(&|step| step.openings[0].answer_path[0][beside] = other),
        answered
    );
    assert_eq!(with(&|step| step.openings[0].set_path[0][beside] = other), stored);
    let families = (0..8).filter(|at| with(&|step| step.openings[0].leaf_path[0][*at] = other) == stored);
    assert_eq!(families.count(), 7);
    // Another set, other answers: the sample and the leaf asked for change with them, or the roots don't fit.
    assert!(with(&|step| step.window.set = other).is_some());
    assert!(with(&|step| step.window.answers = other).is_some());
}

/// Another beacon asks for another leaf: the opening of the one that was asked for doesn't do. Covers: D2.
#[test]
fn an_opening_of_another_leaf_breaks_the_circuit() {
    let mut provider = Provider::new(Shape::TINY, &[8]);
    let state = provider.state;
    let step = provider.step(0);
    // The answer given for the right leaf, and a real leaf beside it opened instead.
    let n_leaves = provider.replicas[0].len() / LEAF_BYTES;
    let leaves = watt_proofs::octal::leaf_digests(&provider.replicas[0]);
    let asked = (0..n_leaves).find(|at| {
        watt_proofs::element::leaf_elements(&provider.replicas[0].as_chunks().0[*at]).map(Element)
            == step.openings[0].leaf
    });
    assert!(asked.is_some() && leaves.len() == n_leaves);
    for at in (0..n_leaves).filter(|at| Some(*at) != asked) {
        let mut wrong = step.clone();
        wrong.openings[0].leaf =
            watt_proofs::element::leaf_elements(&provider.replicas[0].as_chunks().0[at]).map(Element);
        assert!(broken(Shape::TINY, &wrong, state).is_some());
    }
}

/// A step of a provider without the data can't be good, whatever it opens: answers of zero are no answers.
#[test]
fn answers_without_data_are_not_good() {
    let mut provider = Provider::new(Shape::TINY, &[8]);
    let honest = provider.step(0);
    let state = initial_state(&crate::fixture::NETWORK, &crate::fixture::PROVIDER);
    let beacon = crate::fixture::beacon;
    let answers = Answers::compute(Shape::TINY, state, &provider.set, beacon(0), |_, _| None);
    let step = answers.step(beacon(1), &provider.set, |_, _| None);
    assert!(!step.is_good);
    let window: Window = step.window;
    let claimed = Step { window, ..honest };
    assert!(broken(Shape::TINY, &claimed, state).is_some());
}

impl WindowCircuit {
    /// Constraints and variables.
    pub(crate) fn size(&self) -> (usize, usize) {
        let mut cs = ShapeCS::<PallasEngine>::new();
        let value = self.step.as_ref().map(|_| F::ONE);
        let z: Vec<Num> = (0..ARITY_Z)
            .map(|_| Num::alloc(&mut cs, || value.ok_or(SynthesisError::AssignmentMissing)).unwrap())
            .collect();
        self.synthesize(&mut cs, &z).unwrap();
        (cs.num_constraints(), cs.num_aux())
    }
}

/// The form of the circuit is the same with and without a step.
#[test]
fn the_form_does_not_depend_on_the_step() {
    let mut provider = Provider::new(Shape::TINY, &[8]);
    let step = provider.step(0);
    let form = WindowCircuit::form(Shape::TINY).size();
    assert_eq!(form, WindowCircuit::with_step(Shape::TINY, &step).size());
}

/// Sealed replicas in memory.
struct Disk(Vec<(ReplicaTree, Vec<u8>)>);

impl ReplicaRead for Disk {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let (tree, replica) = self.0.get(usize::try_from(sector.0).ok()? - 1)?;
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        Some((tree, replica.get(from.ok()?..to.ok()?)?.to_vec()))
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
    let entries = (1..).zip(&sealed).map(|(number, sealed)| SectorEntry {
        number: SectorNumber(number),
        size,
        comm_r: sealed.comm_r,
    });
    let sectors = SectorSet::check(entries.collect()).unwrap();
    let mut disk = Disk(sealed.map(|sealed| (sealed.replica_tree, sealed.replica)).into());
    let state = initial_state(&crate::fixture::NETWORK, &crate::fixture::PROVIDER);
    let asked = Asked {
        sectors: &sectors,
        left_out: &[],
        state,
        beacon: crate::fixture::beacon(0),
    };
    let responses = post::respond(&asked, &[], &mut disk);
    let step = post::step(&asked, &responses, crate::fixture::beacon(1), &mut disk).unwrap();
    assert_eq!(step.check(Shape::SMALL, state), Ok(()));
    assert_eq!(broken(Shape::SMALL, &step, state), None);
    let mut other = step;
    other.openings[0].leaf[7] = Element::default();
    assert!(broken(Shape::SMALL, &other, state).is_some());
}
