//! Proofs on one curve: everything that a Spartan proof shows by itself, and the batches of what is left of many.

use super::hint::{CurveHint, Matrices, MatrixClaim};
use super::matrix::Matrix;
use super::opening::{Affine, Evaluation, Opening, all_hold};
use super::proof::{Group, Spartan, SumCheck};
use crate::backend::{InvalidPost, Part, PostError};
use ff::Field;
use nova_snark::digest::{DigestComputer, SimpleDigestible};
use nova_snark::provider::pedersen::{CommitmentEngine, CommitmentKey, DerandKey};
use nova_snark::r1cs::{R1CSShape, RelaxedR1CSInstance};
use nova_snark::spartan::polys::eq::EqPolynomial;
use nova_snark::spartan::polys::multilinear::SparsePolynomial;
use nova_snark::traits::commitment::CommitmentEngineTrait;
use nova_snark::traits::{PrimeFieldExt, TranscriptEngineTrait};
use rayon::prelude::*;
use serde::Serialize;
use watt_primitives::Hash;

/// Label of the library's generator for inner products.
const PRODUCT_LABEL: &[u8] = b"ipa";

/// The library's verifier key of one curve, in the order in which it writes it.
#[derive(Serialize)]
#[serde(bound = "")]
struct CurveKey<'a, E: Group> {
    key: &'a CommitmentKey<E>,
    product_key: &'a CommitmentKey<E>,
    form: &'a R1CSShape<E>,
}

impl<E: Group> SimpleDigestible for CurveKey<'_, E> {}

/// What is needed for the proofs on one curve.
pub(crate) struct CurveVerifier<E: Group> {
    /// Logarithm of the padded number of constraints, and of variables.
    pub(crate) size: usize,
    digest: E::Scalar,
    generators: Vec<Affine<E>>,
    product_generator: Affine<E>,
    pub(crate) blinding: DerandKey<E>,
    pub(crate) matrices: Matrices<E::Scalar>,
}

impl<E: Group> CurveVerifier<E> {
    pub(crate) fn new(key: &CommitmentKey<E>, form: &R1CSShape<E>) -> Result<Self, PostError> {
        let params = |_| PostError::Params;
        let form = form.pad();
        let product_key = CommitmentEngine::<E>::setup(PRODUCT_LABEL, 1).map_err(params)?;
        let curve_key = CurveKey {
            key,
            product_key: &product_key,
            form: &form,
        };
        let digest = DigestComputer::new(&curve_key)
            .digest()
            .map_err(|_| PostError::Params)?;
        let n = form.num_cons();
        let generators = key.generators().get(..n).ok_or(PostError::Params)?;
        let product_generator = product_key.generators().first().ok_or(PostError::Params)?;
        if form.num_vars() != n || !n.is_power_of_two() {
            return Err(PostError::Params);
        }
        Ok(Self {
            size: crate::index(n.ilog2()),
            digest,
            generators: generators.to_vec(),
            product_generator: *product_generator,
            blinding: CommitmentEngine::<E>::derand_key(key),
            matrices: Matrices {
                a: Matrix::new(form.A()),
                b: Matrix::new(form.B()),
                c: Matrix::new(form.C()),
            },
        })
    }

    /// Everything about a proof but its claim about the matrices and its opening.
    pub(crate) fn check(
        &self,
        proof: &Spartan<E>,
        instance: &RelaxedR1CSInstance<E>,
    ) -> Result<(MatrixClaim<E>, Opening<E>), InvalidPost> {
        let fails = |_| InvalidPost::SumCheck(E::CURVE);
        let mut transcript = E::TE::new(b"RelaxedR1CSSNARK");
        transcript.absorb(b"vk", &self.digest);
        transcript.absorb(b"U", instance);

        let mut tau = Vec::with_capacity(self.size);
        for _ in 0..self.size {
            tau.push(transcript.squeeze(b"t").map_err(fails)?);
        }
        let (value, r_x) = run(&proof.outer, E::Scalar::ZERO, &mut transcript)?;
        let (claim_a, claim_b, claim_c) = proof.claims_outer;
        let constraint = claim_a * claim_b - instance.u() * claim_c - proof.eval_error;
        sum_holds::<E>(value == EqPolynomial::new(tau).evaluate(&r_x) * constraint)?;
        transcript.absorb(
            b"claims_outer",
            &[claim_a, claim_b, claim_c, proof.eval_error].as_slice(),
        );

        let r = transcript.squeeze(b"r").map_err(fails)?;
        let (value, r_y) = run(
            &proof.inner,
            claim_a + r * claim_b + r.square() * claim_c,
            &mut transcript,
        )?;
        let Some((first, rest)) = r_y.split_first() else {
            return Err(InvalidPost::SumCheck(E::CURVE));
        };
        let public: Vec<E::Scalar> = core::iter::once(instance.u())
            .chain(instance.X().iter().copied())
            .collect();
        let eval_public = SparsePolynomial::new(self.size, public).evaluate(rest);
        let eval_assignment = (E::Scalar::ONE - first) * proof.eval_witness + *first * eval_public;
        let inverse: Option<E::Scalar> = eval_assignment.invert().into();
        let matrices = value * inverse.ok_or(InvalidPost::ZeroChallenge(E::CURVE))?;
        transcript.absorb(b"w", &[proof.eval_witness].as_slice());

        let rho = transcript.squeeze(b"r").map_err(fails)?;
        let (value, point) = run(
            &proof.joint,
            proof.eval_witness + rho * proof.eval_error,
            &mut transcript,
        )?;
        let at_point = EqPolynomial::new(point.clone());
        let [witness, error] = proof.evals_joint.as_slice() else {
            return Err(InvalidPost::Length(Part::Evaluations));
        };
        sum_holds::<E>(value == at_point.evaluate(rest) * witness + rho * at_point.evaluate(&r_x) * error)?;
        transcript.absorb(b"l", &proof.evals_joint.as_slice());
        let weight = transcript.squeeze(b"c").map_err(fails)?;
        let evaluation = Evaluation {
            commitment: *instance.comm_W() + *instance.comm_E() * weight,
            point,
            value: *witness + weight * error,
        };
        let opening = Opening::new(&evaluation, &proof.opening, &mut transcript)?;
        let claim = MatrixClaim {
            rows: r_x,
            columns: r_y,
            r,
            value: matrices,
        };
        Ok((claim, opening))
    }

    /// The first of these claims about the matrices that is false.
    pub(crate) fn first_false_claim(
        &self,
        seed: &Hash,
        claims: &[MatrixClaim<E>],
        hint: Option<&CurveHint<E>>,
    ) -> Option<usize> {
        if hint.is_some_and(|hint| hint.shows(&self.matrices, self.size, seed, claims)) {
            return None;
        }
        claims
            .par_iter()
            .position_first(|claim| !claim.holds(&self.matrices))
    }

    /// The first of these openings that doesn't hold.
    pub(crate) fn first_false(&self, seed: &Hash, openings: &[Opening<E>]) -> Option<usize> {
        if openings.is_empty() || self.all_hold(seed, openings) {
            return None;
        }
        let (mut first, mut rest) = (0usize, openings);
        while rest.len() > 1 {
            let (left, right) = rest.split_at(rest.len() / 2);
            rest = if self.all_hold(seed, left) {
                first = first.saturating_add(left.len());
                right
            } else {
                left
            };
        }
        Some(first)
    }

    fn all_hold(&self, seed: &Hash, openings: &[Opening<E>]) -> bool {
        let weight = |at: u64| {
            let half = |half: u8| Hash::of_content(&[seed.as_ref(), &at.to_be_bytes(), &[half]].concat()).0;
            E::Scalar::from_uniform(&[half(0), half(1)].concat())
        };
        let weights: Vec<E::Scalar> = (0u64..).take(openings.len()).map(weight).collect();
        all_hold(&self.generators, &self.product_generator, openings, &weights)
    }
}

/// The claim that is left of a sum-check, and the point that it is about.
pub(super) fn run<E: Group>(
    sum: &SumCheck<E>,
    claim: E::Scalar,
    transcript: &mut E::TE,
) -> Result<(E::Scalar, Vec<E::Scalar>), InvalidPost> {
    let (mut claim, mut point) = (claim, Vec::with_capacity(sum.rounds.len()));
    for round in &sum.rounds {
        let Some((constant, higher)) = round.coefficients.split_first() else {
            return Err(InvalidPost::Length(Part::Rounds));
        };
        // The linear coefficient is what makes the values at zero and one add up to the claim.
        let linear = claim - constant.double() - higher.iter().sum::<E::Scalar>();
        transcript.absorb(b"p", &round.coefficients.as_slice());
        let challenge = transcript
            .squeeze(b"c")
            .map_err(|_| InvalidPost::SumCheck(E::CURVE))?;
        let tail = higher.iter().rev().fold(E::Scalar::ZERO, |value, coefficient| {
            value * challenge + coefficient
        });
        claim = *constant + challenge * (linear + challenge * tail);
        point.push(challenge);
    }
    Ok((claim, point))
}

fn sum_holds<E: Group>(holds: bool) -> Result<(), InvalidPost> {
    if holds {
        Ok(())
    } else {
        Err(InvalidPost::SumCheck(E::CURVE))
    }
}

#[cfg(test)]
mod tests;
