//! Whole proofs, from windows to verdict, at a shape that is small enough for tests.

mod dishonest;

use super::*;
use crate::backend::{Curve, InvalidPost, Part};
use crate::fixture::{NETWORK, PROVIDER, Provider};
use crate::nova::proof::{Proof, decode_proof};
use nova_snark::r1cs::R1CSShape;
use watt_primitives::{AccountId, NetworkId};
use watt_proofs::window::{WrongStep, initial_state};

type F2 = <E2 as nova_snark::traits::Engine>::Scalar;

/// Everything that is costly to make, made once.
struct World {
    backend: NovaPasta,
    steps: Vec<Step>,
    running: Running,
    settlement: Settlement,
    proofs: [Vec<u8>; 2],
}

/// Three windows of an honest provider with three sectors, in the second of which it says that it failed.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let backend = NovaPasta::derive(Shape::TINY).unwrap();
        let mut provider = Provider::new(Shape::TINY, &[8, 8, 8]);
        let from = provider.state;
        let mut steps: Vec<Step> = (0..3).map(|window| provider.step(window)).collect();
        steps[1] = Step::failed(Shape::TINY, steps[1].window);
        let running = backend.recover(from, &steps, None).unwrap();
        let settlement = backend.shown(&running);
        let proofs = [(); 2].map(|()| backend.compress(&running).unwrap());
        World {
            backend,
            steps,
            running,
            settlement,
            proofs,
        }
    })
}

fn verdict(settlement: Settlement, proof: &[u8]) -> Result<(), InvalidPost> {
    world()
        .backend
        .verify(&[(settlement, proof)], None)
        .map_err(|refused| refused.why)
}

/// What the library's verifier says.
fn library(settlement: &Settlement, proof: &[u8]) -> bool {
    world().backend.verify_as_library(settlement, proof)
}

/// A proof of changed parts.
fn changed(change: impl Fn(&mut Proof)) -> Vec<u8> {
    let mut proof: Proof = decode_proof(&world().proofs[0]).unwrap();
    change(&mut proof);
    encode_proof(&proof).unwrap()
}

/// Windows are folded, compressed and verified, by us and by the library; the proof says how many were good. Covers: D2, D3.
#[test]
fn folded_windows_are_proven() {
    let world = world();
    let Settlement {
        from,
        to,
        n_windows,
        n_good,
    } = world.settlement;
    assert_eq!(from, initial_state(&NETWORK, &PROVIDER));
    assert_eq!(
        to,
        world
            .steps
            .iter()
            .fold(from, |state, step| step.window.next_state(state))
    );
    assert_eq!((n_windows, n_good), (3, 2));
    for proof in &world.proofs {
        assert!(library(&world.settlement, proof));
        assert_eq!(verdict(world.settlement, proof), Ok(()));
        assert!(proof.len() < 11_000, "{}", proof.len());
    }
    assert_ne!(world.proofs[0], world.proofs[1]);
    assert_eq!(world.backend.verify(&[], None), Ok(()));
}

/// A batch is valid as a whole, and one bad proof in it is named, whichever it is. Covers: D3.
#[test]
fn batches_name_their_culprit() {
    let world = world();
    let [one, other] = &world.proofs;
    let good: Vec<(Settlement, &[u8])> = [one, other, one, other, one]
        .iter()
        .map(|proof| (world.settlement, proof.as_slice()))
        .collect();
    assert_eq!(world.backend.verify(&good, None), Ok(()));
    let bad_primary = changed(|proof| proof.spartan_primary.opening.a_hat += F::ONE);
    let bad_secondary = changed(|proof| proof.spartan_secondary.opening.a_hat += F2::ONE);
    for at in [0, 3, 4] {
        for (bad, curve) in [(&bad_primary, Curve::Primary), (&bad_secondary, Curve::Secondary)] {
            let mut batch = good.clone();
            batch[at].1 = bad;
            let why = InvalidPost::Opening(curve);
            assert_eq!(world.backend.verify(&batch, None), Err(Refused { at, why }));
        }
    }
}

/// Each way of claiming something else than what was proven is refused for its own reason: another network, provider,
/// period, number of windows or of good ones. Covers: D2, D3.
#[test]
fn other_claims_are_refused() {
    let world = world();
    let proof = &world.proofs[0];
    let claim = |change: &dyn Fn(&mut Settlement)| {
        let mut settlement = world.settlement;
        change(&mut settlement);
        assert!(!library(&settlement, proof));
        verdict(settlement, proof)
    };
    let elsewhere = initial_state(&NetworkId::new([8; 32]), &PROVIDER);
    let another = initial_state(&NETWORK, &AccountId([10; 20]));
    let later = world.steps[0].window.next_state(world.settlement.from);
    for from in [elsewhere, another, later] {
        assert_eq!(
            claim(&|settlement| settlement.from = from),
            Err(InvalidPost::Statement)
        );
    }
    for n_windows in [2, 4] {
        assert_eq!(
            claim(&|settlement| settlement.n_windows = n_windows),
            Err(InvalidPost::Statement)
        );
    }
    assert_eq!(
        claim(&|settlement| settlement.to = later),
        Err(InvalidPost::EndState)
    );
    assert_eq!(
        claim(&|settlement| settlement.n_good = 3),
        Err(InvalidPost::GoodWindows)
    );
    assert_eq!(
        claim(&|settlement| settlement.n_good = 1),
        Err(InvalidPost::GoodWindows)
    );
    let windows = |n_windows, n_good| Err(InvalidPost::Windows { n_windows, n_good });
    assert_eq!(
        verdict(
            Settlement {
                n_windows: 0,
                n_good: 0,
                ..world.settlement
            },
            proof
        ),
        windows(0, 0)
    );
    assert_eq!(
        verdict(
            Settlement {
                n_good: 4,
                ..world.settlement
            },
            proof
        ),
        windows(3, 4)
    );
    // The outputs changed along with the claim: the statement is hashed into the last instance.
    let three = changed(|proof| proof.outputs[1] = F::from(3));
    let settlement = Settlement {
        n_good: 3,
        ..world.settlement
    };
    assert!(!library(&settlement, &three));
    assert_eq!(verdict(settlement, &three), Err(InvalidPost::Statement));
}

/// A good proof is none under other parameters, even of the same circuit: all that differs here is the length of a commitment
/// key, and with it the digest. Covers: D2, D3.
#[test]
fn proofs_of_other_parameters_are_refused() {
    let world = world();
    let longer_key = |form: &R1CSShape<E1>| 2 * form.num_cons().max(form.num_vars()).next_power_of_two();
    let circuit = WindowCircuit::form(Shape::TINY);
    let params = Params::setup(&circuit, &longer_key, &*default_ck_hint()).unwrap();
    let bytes = bincode::serde::encode_to_vec(&params, ENCODING).unwrap();
    let digest = Element(params.digest());
    assert_ne!(digest, world.backend.digest());
    let others = Verifier::load(digest, &bytes).unwrap();
    let proof = world.proofs[0].as_slice();
    let why = InvalidPost::Statement;
    assert_eq!(
        others.verify(&[(world.settlement, proof)], None),
        Err(Refused { at: 0, why })
    );
}

/// Malformed proofs are refused, also those on which the library would stop the program.
#[test]
fn malformed_proofs_are_refused() {
    let settlement = world().settlement;
    let proof = &world().proofs[0];
    assert_eq!(verdict(settlement, &[]), Err(InvalidPost::Encoding));
    assert_eq!(
        verdict(settlement, &proof[..proof.len() - 1]),
        Err(InvalidPost::Encoding)
    );
    let with_more = [proof.as_slice(), &[0]].concat();
    assert_eq!(verdict(settlement, &with_more), Err(InvalidPost::Encoding));
    let endless = vec![0xff; crate::backend::PROOF_BYTES_MAX];
    assert_eq!(verdict(settlement, &endless), Err(InvalidPost::Encoding));
    let found = crate::backend::PROOF_BYTES_MAX + 1;
    assert_eq!(
        verdict(settlement, &vec![0; found]),
        Err(InvalidPost::TooLong { found })
    );

    let part = |change: &dyn Fn(&mut Proof), part| {
        assert_eq!(
            verdict(settlement, &changed(change)),
            Err(InvalidPost::Length(part))
        );
    };
    part(
        &|proof| proof.spartan_primary.outer.rounds[0].coefficients.clear(),
        Part::Rounds,
    );
    part(
        &|proof| proof.spartan_primary.inner.rounds.truncate(3),
        Part::Rounds,
    );
    part(
        &|proof| proof.spartan_secondary.joint.rounds[1].coefficients.push(F2::ONE),
        Part::Rounds,
    );
    part(
        &|proof| proof.spartan_secondary.evals_joint.truncate(1),
        Part::Evaluations,
    );
    part(
        &|proof| proof.spartan_primary.opening.left.truncate(3),
        Part::Halvings,
    );
    part(&|proof| proof.outputs.push(F::ONE), Part::Outputs);
}

/// A changed part of a proof fails the check that is about it.
#[test]
fn changed_parts_fail_their_check() {
    let settlement = world().settlement;
    let refused = |change: &dyn Fn(&mut Proof)| {
        let proof = changed(change);
        assert!(!library(&settlement, &proof));
        verdict(settlement, &proof).unwrap_err()
    };
    let sum = |curve| InvalidPost::SumCheck(curve);
    assert_eq!(
        refused(&|proof| proof.salt_primary += F::ONE),
        InvalidPost::Statement
    );
    assert_eq!(
        refused(&|proof| proof.salt_secondary += F2::ONE),
        InvalidPost::Statement
    );
    assert_eq!(
        refused(&|proof| proof.spartan_primary.claims_outer.2 += F::ONE),
        sum(Curve::Primary)
    );
    assert_eq!(
        refused(&|proof| proof.spartan_secondary.eval_error += F2::ONE),
        sum(Curve::Secondary)
    );
    assert_eq!(
        refused(&|proof| proof.blinds_primary.0 += F::ONE),
        sum(Curve::Primary)
    );
}

/// Two dozen changes of one bit of a whole proof: none is valid, and the library agrees.
#[test]
fn changed_bits_of_whole_proofs_are_refused() {
    let world = world();
    let proof = &world.proofs[1];
    for at in 0..24 {
        let bit = (at * 8 * proof.len() / 24) + at % 8;
        let mut changed = proof.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let verdict = verdict(world.settlement, &changed).unwrap_err();
        // What the library's verifier would stop the program on is not given to it.
        let is_malformed = matches!(verdict, InvalidPost::Length(_));
        assert!(
            is_malformed || !library(&world.settlement, &changed),
            "bit {bit}: {verdict}"
        );
    }
}

/// Steps that can't be proven are refused before they are folded, and leave the running proof as it was. Covers: D2.
#[test]
fn wrong_steps_are_not_folded() {
    let world = world();
    let from = world.settlement.from;
    let mut running = Some(world.running.clone());
    // The step of the first window once more: asked for in another state.
    let again = world.backend.fold(from, &mut running, &world.steps[0]);
    assert!(matches!(
        again,
        Err(PostError::WrongStep(
            WrongStep::NotStored { sample: 0 } | WrongStep::NotAnswered { sample: 0 }
        ))
    ));
    let mut misshapen = world.steps[0].clone();
    misshapen.openings.clear();
    let misshapen = world.backend.fold(from, &mut running, &misshapen);
    assert_eq!(misshapen, Err(PostError::WrongStep(WrongStep::Shape)));
    let elsewhere = initial_state(&NETWORK, &AccountId([10; 20]));
    assert_eq!(
        world.backend.fold(elsewhere, &mut running, &world.steps[2]),
        Err(PostError::Running)
    );
    assert_eq!(world.backend.shown(&running.unwrap()), world.settlement);
    assert!(matches!(
        world.backend.recover(from, &[], None),
        Err(PostError::NoWindows)
    ));
}

/// What was saved is used as far as it goes with the log, whatever instant the process was killed at: nothing, a torn or a
/// changed file, or another provider's is folded again. Covers: D2.
#[test]
fn running_proofs_are_recovered_from_the_log() {
    let world = world();
    let (backend, from) = (&world.backend, world.settlement.from);
    let early = backend.recover(from, &world.steps[..2], None).unwrap();
    let saved = backend.save_running(&early).unwrap();
    assert_eq!(
        backend.shown(&backend.load_running(&saved).unwrap()),
        backend.shown(&early)
    );

    let recovered = backend.recover(from, &world.steps, Some(&saved)).unwrap();
    assert_eq!(backend.shown(&recovered), world.settlement);
    let proof = backend.compress(&recovered).unwrap();
    assert_eq!(verdict(world.settlement, &proof), Ok(()));

    for len in [0, 10, 48, 80, saved.len() / 2, saved.len() - 1] {
        assert_eq!(
            backend.load_running(&saved[..len]).err(),
            Some(PostError::Running)
        );
    }
    for at in [3, 20, 60, 100, saved.len() - 1] {
        let mut changed = saved.clone();
        changed[at] ^= 1;
        assert_eq!(backend.load_running(&changed).err(), Some(PostError::Running));
    }
    let from_scratch = backend
        .recover(from, &world.steps[..1], Some(&saved[..1000]))
        .unwrap();
    assert_eq!(backend.shown(&from_scratch).n_windows, 1);
    // A save of more windows than the log has, or of another beginning, isn't used.
    let behind = backend.recover(from, &world.steps[..1], Some(&saved)).unwrap();
    assert_eq!(backend.shown(&behind).n_windows, 1);
}

/// Parameters are the same wherever they are derived, and changed ones are not read. Covers: D2.
#[test]
fn parameters_are_pinned_by_their_digest() {
    let world = world();
    let bytes = world.backend.save().unwrap();
    let digest = world.backend.digest();
    assert_eq!(
        NovaPasta::load(Shape::TINY, digest, &bytes).unwrap().digest(),
        digest
    );
    let is_refused = |digest, bytes: &[u8]| {
        let verifier = Verifier::load(digest, bytes).err();
        verifier == Some(PostError::Params)
            && NovaPasta::load(Shape::TINY, digest, bytes).err() == Some(PostError::Params)
    };
    assert!(is_refused(Element::default(), &bytes));
    assert!(is_refused(digest, &bytes[..bytes.len() - 1]));
    assert!(is_refused(digest, &[bytes.as_slice(), &[0]].concat()));
    for at in [bytes.len() / 10, bytes.len() / 2, bytes.len() - 8] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(is_refused(digest, &changed), "{at}");
    }
}

/// With what the proof system adds, both real shapes stay within 2^15 constraints and variables: above, proving and
/// verifying would cost twice as much.
#[test]
fn real_shapes_stay_within_their_size() {
    let own = |shape| crate::circuit::WindowCircuit::form(shape).size();
    let (constraints, variables) = world().backend.size();
    let tiny = own(Shape::TINY);
    for shape in [Shape::SMALL, Shape::LARGE] {
        let own = own(shape);
        let all = (constraints + own.0 - tiny.0, variables + own.1 - tiny.1);
        assert!(all.0 <= 1 << 15 && all.1 <= 1 << 15, "{shape:?}: {all:?}");
    }
}

/// A hint saves the evaluation of matrices; a wrong, foreign or reordered one changes no verdict. Covers: D3.
#[test]
fn no_verdict_depends_on_a_hint() {
    let backend = &world().backend;
    let [one, other] = &world().proofs;
    let batch = |proofs: &[&Vec<u8>]| -> Vec<(Settlement, Vec<u8>)> {
        proofs
            .iter()
            .map(|proof| (world().settlement, (*proof).clone()))
            .collect()
    };
    let verify = |batch: &[(Settlement, Vec<u8>)], hint: &[u8]| {
        let batch: Vec<_> = batch
            .iter()
            .map(|(settlement, proof)| (*settlement, proof.as_slice()))
            .collect();
        backend.verify(&batch, Some(hint))
    };
    let good = batch(&[one, other, one]);
    let borrowed: Vec<_> = good
        .iter()
        .map(|(settlement, proof)| (*settlement, proof.as_slice()))
        .collect();
    let hint = backend.hint(&borrowed).unwrap();
    assert!(hint.len() < 4_400, "{}", hint.len());
    assert_eq!(verify(&good, &hint), Ok(()));
    assert!(backend.verifier.is_shown(&borrowed, &hint));

    let mut flipped = hint.clone();
    flipped[100] ^= 1;
    for (batch, hint) in [
        (batch(&[one, other, one]), flipped.as_slice()),
        (batch(&[other, one, one]), &hint),
        (batch(&[one, other]), &hint),
        (batch(&[one, other, one]), &[]),
        (batch(&[one, other, one]), &hint[..hint.len() - 1]),
    ] {
        let borrowed: Vec<_> = batch
            .iter()
            .map(|(settlement, proof)| (*settlement, proof.as_slice()))
            .collect();
        assert!(!backend.verifier.is_shown(&borrowed, hint));
        assert_eq!(verify(&batch, hint), Ok(()));
    }
    let bad = changed(|proof| proof.spartan_secondary.opening.a_hat += F2::ONE);
    let refused = verify(&batch(&[one, &bad, one]), &hint).unwrap_err();
    assert_eq!(
        refused,
        Refused {
            at: 1,
            why: InvalidPost::Opening(Curve::Secondary)
        }
    );
}

/// The parameters of the real shapes are the pinned ones: what changes a circuit or the library changes the protocol.
#[test]
fn real_parameters_are_the_pinned_ones() {
    let digest = |shape| {
        let params = Params::setup(
            &WindowCircuit::form(shape),
            &*default_ck_hint(),
            &*default_ck_hint(),
        )
        .unwrap();
        Some(Element(params.digest()).to_bytes())
    };
    let pinned = |shape| params_digest(shape).map(Element::to_bytes);
    let shapes = [Shape::SMALL, Shape::LARGE];
    assert_eq!(shapes.map(digest), shapes.map(pinned));
}
