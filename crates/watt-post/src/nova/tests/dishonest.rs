//! A prover that lies from end to end: it folds what [`PostBackend::fold`] would not, and compresses it. Nothing stops it before
//! the verifier, which does.

use super::*;
use watt_proofs::element::leaf_elements;

/// Folds a step as the backend does, without having looked at it.
fn fold_unseen(from: Element, running: &mut Option<Running>, step: &Step) {
    let backend = &world().backend;
    let circuit = WindowCircuit::with_step(backend.shape, step);
    let next = running.get_or_insert_with(|| Running {
        from,
        recursive: Recursive::new(&backend.params, &circuit, &[from.0, F::ZERO]).unwrap(),
    });
    next.recursive.prove_step(&backend.params, &circuit).unwrap();
}

/// What a whole proof of these steps is worth, with the statement that the ledger would ask for: all of the windows, as many
/// good ones as the steps say.
fn verdict_of(steps: &[Step]) -> Result<(), InvalidPost> {
    let from = initial_state(&NETWORK, &PROVIDER);
    let mut running = None;
    for step in steps {
        fold_unseen(from, &mut running, step);
    }
    let running = running.unwrap();
    let settlement = world().backend.shown(&running);
    let to = steps
        .iter()
        .fold(from, |state, step| step.window.next_state(state));
    let n_good = steps.iter().filter(|step| step.is_good).count();
    assert_eq!((settlement.from, settlement.to), (from, to));
    assert_eq!(usize::try_from(settlement.n_windows), Ok(steps.len()));
    assert_eq!(usize::try_from(settlement.n_good), Ok(n_good));
    let proof = world().backend.compress(&running).unwrap();
    let verdict = verdict(settlement, &proof);
    assert_eq!(library(&settlement, &proof), verdict.is_ok());
    verdict
}

/// Three windows of an honest provider of one sector of eight leaves, and the state that the window in the middle begins in.
fn honest() -> (Provider, Vec<Step>, Element) {
    let mut provider = Provider::new(Shape::TINY, &[8]);
    let first = provider.step(0);
    let between = provider.state;
    let steps = vec![first, provider.step(1), provider.step(2)];
    (provider, steps, between)
}

/// A step with another leaf of the same sector opened, which is really stored, with the way that really leads
/// from it to the sector's root.
fn with_another_leaf(provider: &Provider, step: &Step) -> Step {
    let mut wrong = step.clone();
    let asked = provider.replicas[0]
        .as_chunks()
        .0
        .iter()
        .position(|leaf| leaf_elements(leaf).map(Element) == step.openings[0].leaf)
        .unwrap();
    let other = (asked + 1) % 8;
    let path = provider.trees[0].path(u32::try_from(other).unwrap());
    wrong.openings[0].leaf = leaf_elements(&provider.replicas[0].as_chunks().0[other]).map(Element);
    wrong.openings[0].leaf_path = path.into_iter().map(|family| family.map(Element)).collect();
    wrong
}

/// Whoever folds past the check proves the same of the same honest steps: what is refused below is refused for the step.
/// Covers: D4.
#[test]
fn honest_steps_folded_unseen_are_proven() {
    assert_eq!(verdict_of(&honest().1), Ok(()));
}

/// A step that opens another leaf than the challenge's makes the whole proof worth nothing, whether it is the first, one in
/// the middle or the last of the period. Covers: D3, D4.
#[test]
fn a_wrong_challenge_index_spoils_the_whole_proof() {
    let (provider, steps, _) = honest();
    for at in 0..steps.len() {
        let mut steps = steps.clone();
        steps[at] = with_another_leaf(&provider, &steps[at]);
        assert_eq!(
            verdict_of(&steps),
            Err(InvalidPost::SumCheck(Curve::Primary)),
            "window {at}"
        );
    }
}

/// A window without data that is said to be good spoils the whole proof. Covers: D3, D4.
#[test]
fn a_failed_window_called_good_spoils_the_whole_proof() {
    let (_, mut steps, between) = honest();
    steps[1] = Step {
        is_good: true,
        ..Step::failed(Shape::TINY, steps[1].window)
    };
    assert!(steps[1].check(Shape::TINY, between).is_err());
    assert_eq!(verdict_of(&steps), Err(InvalidPost::SumCheck(Curve::Primary)));
}
