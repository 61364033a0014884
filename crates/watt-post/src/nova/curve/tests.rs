//! The proofs on one curve, over a small set of constraints: our verifier beside the library's, and provers who lie.

use super::*;
use crate::backend::Curve;
use crate::fixture;
use crate::nova::proof::{E1, ENCODING, decode_proof, encode_proof};
use nova_snark::provider::ipa_pc::EvaluationEngine;
use nova_snark::r1cs::{RelaxedR1CSWitness, SparseMatrix};
use nova_snark::spartan::snark::RelaxedR1CSSNARK;
use nova_snark::traits::Engine;
use nova_snark::traits::evaluation::EvaluationEngineTrait;
use nova_snark::traits::snark::{RelaxedR1CSSNARKTrait, default_ck_hint};
use watt_proofs::element::F;

type Engine1 = EvaluationEngine<E1>;
type Stock = RelaxedR1CSSNARK<E1, Engine1>;
type Instance = RelaxedR1CSInstance<E1>;
type Witness = RelaxedR1CSWitness<E1>;

const N: usize = 32;

/// Thirty-two constraints over as many variables; `first` is the first coefficient.
fn form(first: F) -> R1CSShape<E1> {
    let coefficient = |name: &str, at: usize| match at {
        0 if name == "a" => first,
        at if at.is_multiple_of(5) => fixture::element(&format!("{name} {at}")),
        at if at.is_multiple_of(2) => -F::ONE,
        _ => F::ONE,
    };
    let matrix = |name: &str, step: usize| {
        let entries: Vec<(usize, usize, F)> = (0..N)
            .flat_map(|at| [(at, (at * step + 1) % N), (at, N + at % 3)])
            .map(|(row, column)| (row, column, coefficient(name, row)))
            .collect();
        SparseMatrix::new(&entries, N, N + 3)
    };
    R1CSShape::new(N, N, 2, matrix("a", 3), matrix("b", 5), matrix("c", 7)).unwrap()
}

struct Bench {
    form: R1CSShape<E1>,
    key: CommitmentKey<E1>,
    prover: <Stock as RelaxedR1CSSNARKTrait<E1>>::ProverKey,
    stock: <Stock as RelaxedR1CSSNARKTrait<E1>>::VerifierKey,
    ours: CurveVerifier<E1>,
}

impl Bench {
    fn new() -> Self {
        let form = form(F::from(3));
        let key = R1CSShape::commitment_key(&[&form], &[&*default_ck_hint()]).unwrap();
        let (prover, stock) = Stock::setup(&key, &form).unwrap();
        let ours = CurveVerifier::new(&key, &form).unwrap();
        Self {
            form,
            key,
            prover,
            stock,
            ours,
        }
    }

    /// An instance that satisfies `form`, with its witness.
    fn satisfying(&self, form: &R1CSShape<E1>) -> (Instance, Witness) {
        let (instance, witness) = form.sample_random_instance_witness(&self.key).unwrap();
        let (witness, blind_witness, blind_error) = witness.derandomize();
        let instance = instance.derandomize(&self.ours.blinding, &blind_witness, &blind_error);
        (instance, witness)
    }

    /// What the library's prover makes of it with these constraints, the transcript being that of the real ones.
    fn prove(&self, form: &R1CSShape<E1>, instance: &Instance, witness: &Witness) -> Vec<u8> {
        encode_proof(&Stock::prove(&self.key, &self.prover, form, instance, witness).unwrap()).unwrap()
    }

    fn ours(&self, proof: &[u8], instance: &Instance) -> Result<Opening<E1>, InvalidPost> {
        let (claim, opening) = self.claims(proof, instance)?;
        let is_false = self.ours.first_false_claim(&Hash::ZERO, &[claim], None).is_some();
        if is_false {
            Err(InvalidPost::Matrices(Curve::Primary))
        } else {
            Ok(opening)
        }
    }

    fn claims(
        &self,
        proof: &[u8],
        instance: &Instance,
    ) -> Result<(MatrixClaim<E1>, Opening<E1>), InvalidPost> {
        let proof: Spartan<E1> = decode_proof(proof)?;
        proof.check_lengths(self.ours.size)?;
        self.ours.check(&proof, instance)
    }

    fn is_valid(&self, proof: &[u8], instance: &Instance) -> bool {
        let opening = self.ours(proof, instance);
        opening.is_ok_and(|opening| self.ours.all_hold(&Hash::of_content(b"seed"), &[opening]))
    }

    fn is_valid_for_library(&self, proof: &[u8], instance: &Instance) -> bool {
        decode_proof::<Stock>(proof).is_ok_and(|proof| proof.verify(&self.stock, instance).is_ok())
    }
}

/// Our verifier takes what the library's prover makes, and its key has the same digest.
#[test]
fn honest_proofs_are_valid() {
    let bench = Bench::new();
    for _ in 0..3 {
        let (instance, witness) = bench.satisfying(&bench.form);
        let proof = bench.prove(&bench.form, &instance, &witness);
        assert!(bench.is_valid_for_library(&proof, &instance));
        assert!(bench.is_valid(&proof, &instance));
        let (other, _) = bench.satisfying(&bench.form);
        assert!(!bench.is_valid(&proof, &other));
    }
}

/// Fifteen hundred changes of one bit: our verifier and the library's say the same of every one.
#[test]
fn changed_bits_are_judged_as_by_the_library() {
    let bench = Bench::new();
    let (instance, witness) = bench.satisfying(&bench.form);
    let proof = bench.prove(&bench.form, &instance, &witness);
    let (mut n_undecodable, mut n_openings) = (0, 0);
    for at in 0..1_500 {
        let bit = usize::try_from(low_bits(&format!("flip {at}"))).unwrap() % (proof.len() * 8);
        let mut changed = proof.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // What the library's verifier would stop the program on is not given to it.
        let judged = bench.ours(&changed, &instance);
        let is_valid = bench.is_valid(&changed, &instance);
        assert!(!is_valid, "bit {bit}");
        match judged {
            Err(InvalidPost::Length(_)) => continue,
            Err(InvalidPost::Encoding) => n_undecodable += 1,
            Err(_) => {}
            Ok(_) => n_openings += 1,
        }
        assert_eq!(
            bench.is_valid_for_library(&changed, &instance),
            is_valid,
            "bit {bit}"
        );
    }
    assert!(
        n_undecodable > 0 && n_openings > 30,
        "{n_undecodable} {n_openings}"
    );
}

fn low_bits(name: &str) -> u32 {
    watt_proofs::element::low_bits(&fixture::element(name), 0, 32)
}

/// A prover whose witness satisfies other constraints, one coefficient apart, and whose transcript is consistent.
#[test]
fn a_false_claim_about_the_matrices_is_refused() {
    let bench = Bench::new();
    let other = form(F::from(4));
    let (instance, witness) = bench.satisfying(&other);
    let proof = bench.prove(&other, &instance, &witness);
    let refused = bench.ours(&proof, &instance).err();
    assert_eq!(refused, Some(InvalidPost::Matrices(Curve::Primary)));
    assert!(!bench.is_valid_for_library(&proof, &instance));
}

/// A prover whose witness does not satisfy the constraints, and whose transcript is consistent.
#[test]
fn a_witness_that_does_not_satisfy_is_refused() {
    let bench = Bench::new();
    let (instance, _) = bench.satisfying(&bench.form);
    let (_, witness) = bench.satisfying(&bench.form);
    let proof = bench.prove(&bench.form, &instance, &witness);
    assert_eq!(
        bench.ours(&proof, &instance).err(),
        Some(InvalidPost::SumCheck(Curve::Primary))
    );
    assert!(!bench.is_valid_for_library(&proof, &instance));
}

/// A prover who claims false values of the witness that satisfy all sums, and goes on with a consistent transcript: only
/// the inner product is false.
#[test]
fn a_false_inner_product_is_refused() {
    let bench = Bench::new();
    let (instance, witness) = bench.satisfying(&bench.form);
    let honest = bench.prove(&bench.form, &instance, &witness);
    let false_proof = with_false_inner_product(&bench, &honest, &instance, &witness);
    // Every check but the last equation is passed.
    let opening = bench.ours(&false_proof, &instance).unwrap();
    let seed = Hash::of_content(b"seed");
    assert!(!bench.ours.all_hold(&seed, &[opening]));
    assert!(!bench.is_valid_for_library(&false_proof, &instance));

    // Among honest ones it is found, wherever it is; and weights let no two false ones make up for each other.
    for at in 0..5 {
        let proofs: Vec<&[u8]> = (0..5)
            .map(|one| if one == at { &*false_proof } else { &*honest })
            .collect();
        let openings: Vec<_> = proofs
            .iter()
            .map(|proof| bench.ours(proof, &instance).unwrap())
            .collect();
        assert_eq!(bench.ours.first_false(&seed, &openings), Some(at));
    }
    let twice: Vec<_> = [&false_proof, &false_proof]
        .map(|proof| bench.ours(proof, &instance).unwrap())
        .into();
    assert_eq!(bench.ours.first_false(&seed, &twice), Some(0));
    let none: Vec<_> = [&honest, &honest, &honest]
        .map(|proof| bench.ours(proof, &instance).unwrap())
        .into();
    assert_eq!(bench.ours.first_false(&seed, &none), None);
}

/// Runs the transcript up to the two claimed values, changes them so that the sum over both still holds, and lets the
/// library's prover argue for the joint value that follows.
fn with_false_inner_product(bench: &Bench, honest: &[u8], instance: &Instance, witness: &Witness) -> Vec<u8> {
    let mut proof: Spartan<E1> = decode_proof(honest).unwrap();
    let size = bench.ours.size;
    let mut transcript = <E1 as Engine>::TE::new(b"RelaxedR1CSSNARK");
    transcript.absorb(b"vk", &bench.ours.digest);
    transcript.absorb(b"U", instance);
    for _ in 0..size {
        transcript.squeeze(b"t").unwrap();
    }
    let (_, r_x) = run::<E1>(&proof.outer, F::ZERO, &mut transcript).unwrap();
    let (a, b, c) = proof.claims_outer;
    transcript.absorb(b"claims_outer", &[a, b, c, proof.eval_error].as_slice());
    let r = transcript.squeeze(b"r").unwrap();
    let (_, r_y) = run::<E1>(&proof.inner, a + r * b + r.square() * c, &mut transcript).unwrap();
    transcript.absorb(b"w", &[proof.eval_witness].as_slice());
    let rho = transcript.squeeze(b"r").unwrap();
    let (_, point) = run::<E1>(
        &proof.joint,
        proof.eval_witness + rho * proof.eval_error,
        &mut transcript,
    )
    .unwrap();

    let at_point = EqPolynomial::new(point.clone());
    let (witness_factor, error_factor) = (at_point.evaluate(&r_y[1..]), rho * at_point.evaluate(&r_x));
    proof.evals_joint[0] += error_factor;
    proof.evals_joint[1] -= witness_factor;
    transcript.absorb(b"l", &proof.evals_joint.as_slice());
    let weight = transcript.squeeze(b"c").unwrap();

    let joint: Vec<F> = witness
        .W()
        .iter()
        .zip(witness.E())
        .map(|(w, e)| *w + weight * e)
        .collect();
    let commitment = *instance.comm_W() + *instance.comm_E() * weight;
    let value = proof.evals_joint[0] + weight * proof.evals_joint[1];
    let (key, _) = Engine1::setup(&bench.key).unwrap();
    let argument = Engine1::prove(
        &bench.key,
        &key,
        &mut transcript,
        &commitment,
        &joint,
        &point,
        &value,
    )
    .unwrap();
    let argument = bincode::serde::encode_to_vec(&argument, ENCODING).unwrap();
    proof.opening = bincode::serde::decode_from_slice(&argument, ENCODING).unwrap().0;
    encode_proof(&proof).unwrap()
}

/// A hint shows true claims, however many, and no false one: not of a prover with other matrices, not one made with other
/// matrices, not for other claims. Covers: D3.
#[test]
fn hints_show_true_claims_only() {
    let bench = Bench::new();
    let other = form(F::from(4));
    let claim = |form: &R1CSShape<E1>| {
        let (instance, witness) = bench.satisfying(form);
        bench
            .claims(&bench.prove(form, &instance, &witness), &instance)
            .unwrap()
            .0
    };
    let (matrices, seed) = (&bench.ours.matrices, Hash::of_content(b"seed"));
    let shows = |hint: &CurveHint<E1>, claims: &[MatrixClaim<E1>]| {
        hint.shows(matrices, bench.ours.size, &seed, claims)
    };
    for n in [1, 2, 5] {
        let honest: Vec<_> = (0..n).map(|_| claim(&bench.form)).collect();
        let hint = CurveHint::make(matrices, &seed, &honest).unwrap();
        assert!(shows(&hint, &honest));
        assert!(!hint.shows(matrices, bench.ours.size, &Hash::ZERO, &honest));
        let foreign = CurveVerifier::new(&bench.key, &other).unwrap();
        assert!(!shows(
            &CurveHint::make(&foreign.matrices, &seed, &honest).unwrap(),
            &honest
        ));

        // A prover with other matrices among them, with hints made with either.
        let mut with_false = honest.clone();
        with_false[n - 1] = claim(&other);
        assert!(!shows(&hint, &with_false));
        assert!(!shows(
            &CurveHint::make(matrices, &seed, &with_false).unwrap(),
            &with_false
        ));
        assert!(!shows(
            &CurveHint::make(&foreign.matrices, &seed, &with_false).unwrap(),
            &with_false
        ));
        assert_eq!(
            bench.ours.first_false_claim(&seed, &with_false, Some(&hint)),
            Some(n - 1)
        );
    }
}
