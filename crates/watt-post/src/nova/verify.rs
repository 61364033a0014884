//! Verifies compressed proofs, many at once (`docs/spec/proofs.md` §12).
//!
//! What is checked is what `nova-snark`'s verifier checks, equation by equation; `tests` compares the two. Apart from that one
//! multi-scalar multiplication serves a whole batch, and that malformed proofs are refused instead of stopping the program.

use super::hint::{CurveHint, Matrices, MatrixClaim};
use super::matrix::Matrix;
use super::opening::{Affine, Evaluation, Opening, all_hold};
use super::proof::{E1, E2, ENCODING, Group, Proof, Sizes, Spartan, SumCheck, decode_proof, encode_proof};
use crate::backend::{Curve, InvalidPost, PostError, Refused, Settlement};
use crate::element::{Element, F};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use ff::Field;
use nova_snark::constants::NUM_HASH_BITS;
use nova_snark::digest::{DigestComputer, Digestible, SimpleDigestible};
use nova_snark::gadgets::utils::{base_as_scalar, scalar_as_base};
use nova_snark::provider::pedersen::{CommitmentEngine, CommitmentKey, DerandKey};
use nova_snark::r1cs::{R1CSShape, RelaxedR1CSInstance};
use nova_snark::spartan::polys::eq::EqPolynomial;
use nova_snark::spartan::polys::multilinear::SparsePolynomial;
use nova_snark::traits::commitment::CommitmentEngineTrait;
use nova_snark::traits::{
    AbsorbInROTrait, Engine, PrimeFieldExt, ROConstants, ROConstantsCircuit, ROTrait, TranscriptEngineTrait,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;

/// Label of the library's generator for inner products.
const PRODUCT_LABEL: &[u8] = b"ipa";

/// The library's parameters, in the order in which it writes them.
#[derive(Deserialize)]
#[serde(bound = "")]
#[expect(dead_code, reason = "read to get past them")]
struct Parameters {
    arity: usize,
    consts_primary: ROConstants<E1>,
    consts_circuit_primary: ROConstantsCircuit<E2>,
    consts_secondary: ROConstants<E2>,
    consts_circuit_secondary: ROConstantsCircuit<E1>,
    key_primary: CommitmentKey<E1>,
    form_primary: R1CSShape<E1>,
    key_secondary: CommitmentKey<E2>,
    form_secondary: R1CSShape<E2>,
}

/// Parameters as they are written, which is also how the library writes them into their digest.
struct Written<'a>(&'a [u8]);

impl Digestible for Written<'_> {
    fn write_bytes<W: Writer>(&self, sink: &mut W) -> Result<(), EncodeError> {
        sink.write(self.0)
    }
}

/// The digest of written parameters: known before anything is read from them.
pub(super) fn digest_of(parameters: &[u8]) -> Result<Element, PostError> {
    let digest = DigestComputer::new(&Written(parameters)).digest();
    digest.map(Element).map_err(|_| PostError::Params)
}

/// The library's verifier key of one curve, in the order in which it writes it.
#[derive(Serialize)]
#[serde(bound = "")]
struct CurveKey<'a, E: Group> {
    key: &'a CommitmentKey<E>,
    product_key: &'a CommitmentKey<E>,
    form: &'a R1CSShape<E>,
}

impl<E: Group> SimpleDigestible for CurveKey<'_, E> {}

/// What is needed to verify proofs of one shape.
pub struct Verifier {
    digest: F,
    consts_primary: ROConstants<E1>,
    consts_secondary: ROConstants<E2>,
    primary: CurveVerifier<E1>,
    secondary: CurveVerifier<E2>,
}

/// A proof as far as it is checked alone: what is left are claims about the matrices, and two equations between group
/// elements.
struct Checked {
    primary: (MatrixClaim<E1>, Opening<E1>),
    secondary: (MatrixClaim<E2>, Opening<E2>),
}

/// A hint for a batch.
#[derive(Serialize, Deserialize)]
struct Hint {
    primary: CurveHint<E1>,
    secondary: CurveHint<E2>,
}

/// The claims and equations that a batch leaves.
struct Left {
    seed: Hash,
    claims_primary: Vec<MatrixClaim<E1>>,
    claims_secondary: Vec<MatrixClaim<E2>>,
    openings_primary: Vec<Opening<E1>>,
    openings_secondary: Vec<Opening<E2>>,
}

impl Verifier {
    /// The verifier of kept parameters, which have to have this digest.
    ///
    /// # Errors
    /// [`PostError::Params`] for other ones, and for such as were changed.
    pub fn load(digest: Element, bytes: &[u8]) -> Result<Self, PostError> {
        if digest_of(bytes)? != digest {
            return Err(PostError::Params);
        }
        let decoded = bincode::serde::decode_from_slice(bytes, ENCODING);
        let (parameters, n_read): (Parameters, usize) = decoded.map_err(|_| PostError::Params)?;
        if parameters.arity != crate::circuit::ARITY_Z || n_read != bytes.len() {
            return Err(PostError::Params);
        }
        Ok(Self {
            digest: digest.0,
            consts_primary: parameters.consts_primary,
            consts_secondary: parameters.consts_secondary,
            primary: CurveVerifier::new(&parameters.key_primary, &parameters.form_primary)?,
            secondary: CurveVerifier::new(&parameters.key_secondary, &parameters.form_secondary)?,
        })
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            primary: self.primary.size,
            secondary: self.secondary.size,
        }
    }

    /// Verifies a batch of proofs, all of them or none. With a hint for this batch it is cheaper; with a wrong one, a little
    /// dearer.
    ///
    /// # Errors
    /// The first proof that fails by itself; if none does, the first with a false claim about the matrices; and then the
    /// first whose opening fails, found by halving the batch.
    pub fn verify(&self, batch: &[(Settlement, &[u8])], hint: Option<&[u8]>) -> Result<(), Refused> {
        let left = self.check_all(batch)?;
        self.check_matrices(&left, hint)?;
        let (primary, secondary) = rayon::join(
            || self.primary.first_false(&left.seed, &left.openings_primary),
            || self.secondary.first_false(&left.seed, &left.openings_secondary),
        );
        first(primary, secondary, InvalidPost::Opening)
    }

    /// Makes a hint for a batch: about the work of verifying it twice, and megabytes of memory for each proof.
    ///
    /// # Errors
    /// The first proof that fails by itself. Claims about the matrices and openings are not checked: a hint for a batch with
    /// a false one shows nothing.
    pub fn hint(&self, batch: &[(Settlement, &[u8])]) -> Result<Vec<u8>, Refused> {
        let left = self.check_all(batch)?;
        let hint = || {
            let hint = Hint {
                primary: CurveHint::make(&self.primary.matrices, &left.seed, &left.claims_primary)?,
                secondary: CurveHint::make(&self.secondary.matrices, &left.seed, &left.claims_secondary)?,
            };
            encode_proof(&hint).ok()
        };
        Ok(hint().unwrap_or_default())
    }

    /// Checks each proof alone.
    fn check_all(&self, batch: &[(Settlement, &[u8])]) -> Result<Left, Refused> {
        let checked: Vec<Result<Checked, InvalidPost>> = batch
            .par_iter()
            .map(|(settlement, proof)| self.check(settlement, proof))
            .collect();
        let mut left = Left {
            seed: self.seed(batch),
            claims_primary: Vec::with_capacity(checked.len()),
            claims_secondary: Vec::with_capacity(checked.len()),
            openings_primary: Vec::with_capacity(checked.len()),
            openings_secondary: Vec::with_capacity(checked.len()),
        };
        for (at, checked) in checked.into_iter().enumerate() {
            let checked = checked.map_err(|why| Refused { at, why })?;
            left.claims_primary.push(checked.primary.0);
            left.openings_primary.push(checked.primary.1);
            left.claims_secondary.push(checked.secondary.0);
            left.openings_secondary.push(checked.secondary.1);
        }
        Ok(left)
    }

    /// Checks the claims about the matrices, by the hint if it shows them.
    fn check_matrices(&self, left: &Left, hint: Option<&[u8]>) -> Result<(), Refused> {
        let hint: Option<Hint> = hint.and_then(|hint| decode_proof(hint).ok());
        let (primary, secondary) = rayon::join(
            || {
                let hint = hint.as_ref().map(|hint| &hint.primary);
                self.primary
                    .first_false_claim(&left.seed, &left.claims_primary, hint)
            },
            || {
                let hint = hint.as_ref().map(|hint| &hint.secondary);
                self.secondary
                    .first_false_claim(&left.seed, &left.claims_secondary, hint)
            },
        );
        first(primary, secondary, InvalidPost::Matrices)
    }

    /// Whether a hint shows all claims of a batch about the matrices.
    #[cfg(test)]
    pub(super) fn is_shown(&self, batch: &[(Settlement, &[u8])], hint: &[u8]) -> bool {
        let hint: Result<Hint, _> = decode_proof(hint);
        let (Ok(left), Ok(hint)) = (self.check_all(batch), hint) else {
            return false;
        };
        let (primary, secondary) = (&self.primary, &self.secondary);
        hint.primary
            .shows(&primary.matrices, primary.size, &left.seed, &left.claims_primary)
            && hint.secondary.shows(
                &secondary.matrices,
                secondary.size,
                &left.seed,
                &left.claims_secondary,
            )
    }

    /// What the weights of a batch follow from: everything in it.
    fn seed(&self, batch: &[(Settlement, &[u8])]) -> Hash {
        let digests = batch.iter().flat_map(|(settlement, proof)| {
            let counts = [settlement.n_windows, settlement.n_good]
                .map(u32::to_be_bytes)
                .concat();
            let states = [settlement.from, settlement.to].map(Element::to_bytes).concat();
            Hash::of_content(&[counts.as_slice(), &states, proof].concat()).0
        });
        let digests: Vec<u8> = Element(self.digest)
            .to_bytes()
            .into_iter()
            .chain(digests)
            .collect();
        Hash::of_content(&digests)
    }

    /// Everything that one proof shows by itself.
    fn check(&self, settlement: &Settlement, bytes: &[u8]) -> Result<Checked, InvalidPost> {
        let (n_windows, n_good) = (settlement.n_windows, settlement.n_good);
        if n_windows == 0 || n_good > n_windows {
            return Err(InvalidPost::Windows { n_windows, n_good });
        }
        let proof = Proof::decode(bytes, self.sizes())?;
        let [to, good] = proof.outputs.as_slice() else {
            return Err(InvalidPost::Length(crate::backend::Part::Outputs));
        };
        if Element(*to) != settlement.to {
            return Err(InvalidPost::EndState);
        }
        if *good != F::from(u64::from(n_good)) {
            return Err(InvalidPost::GoodWindows);
        }
        self.check_statement(settlement, &proof)?;

        let fails = |_| InvalidPost::Statement;
        let digest_as_base = scalar_as_base::<E1>(self.digest);
        let folded = proof
            .fold_last
            .verify(
                &self.consts_secondary,
                &digest_as_base,
                &proof.running_secondary,
                &proof.last_secondary,
            )
            .map_err(fails)?;
        let secondary = proof
            .fold_blind_secondary
            .verify(
                &self.consts_secondary,
                &digest_as_base,
                &folded,
                &proof.blind_secondary,
            )
            .map_err(fails)?;
        let primary = proof
            .fold_blind_primary
            .verify(
                &self.consts_primary,
                &self.digest,
                &proof.running_primary,
                &proof.blind_primary,
            )
            .map_err(fails)?;
        let (witness, error) = &proof.blinds_primary;
        let primary = primary.derandomize(&self.primary.blinding, witness, error);
        let (witness, error) = &proof.blinds_secondary;
        let secondary = secondary.derandomize(&self.secondary.blinding, witness, error);
        Ok(Checked {
            primary: self.primary.check(&proof.spartan_primary, &primary)?,
            secondary: self.secondary.check(&proof.spartan_secondary, &secondary)?,
        })
    }

    /// Whether the last instance speaks of these windows and of the running instances given.
    fn check_statement(&self, settlement: &Settlement, proof: &Proof) -> Result<(), InvalidPost> {
        let mut primary = <E2 as Engine>::RO::new(self.consts_secondary.clone());
        primary.absorb(self.digest);
        primary.absorb(F::from(u64::from(settlement.n_windows)));
        for input in [settlement.from.0, F::ZERO].iter().chain(&proof.outputs) {
            primary.absorb(*input);
        }
        proof.running_secondary.absorb_in_ro(&mut primary);
        primary.absorb(proof.salt_primary);

        let mut secondary = <E1 as Engine>::RO::new(self.consts_primary.clone());
        secondary.absorb(scalar_as_base::<E1>(self.digest));
        secondary.absorb(<E2 as Engine>::Scalar::from(u64::from(settlement.n_windows)));
        secondary.absorb(<E2 as Engine>::Scalar::ZERO);
        secondary.absorb(<E2 as Engine>::Scalar::ZERO);
        proof.running_primary.absorb_in_ro(&mut secondary);
        secondary.absorb(proof.salt_secondary);

        let [found_primary, found_secondary] = proof.last_secondary.X() else {
            return Err(InvalidPost::Length(crate::backend::Part::PublicValues));
        };
        let primary = primary.squeeze(NUM_HASH_BITS, false);
        let secondary = secondary.squeeze(NUM_HASH_BITS, false);
        let is_said = primary == base_as_scalar::<E1>(*found_primary) && secondary == *found_secondary;
        if is_said {
            Ok(())
        } else {
            Err(InvalidPost::Statement)
        }
    }
}

/// What is needed for the proofs on one curve.
struct CurveVerifier<E: Group> {
    /// Logarithm of the padded number of constraints, and of variables.
    size: usize,
    digest: E::Scalar,
    generators: Vec<Affine<E>>,
    product_generator: Affine<E>,
    blinding: DerandKey<E>,
    matrices: Matrices<E::Scalar>,
}

impl<E: Group> CurveVerifier<E> {
    fn new(key: &CommitmentKey<E>, form: &R1CSShape<E>) -> Result<Self, PostError> {
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
    fn check(
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
            return Err(InvalidPost::Length(crate::backend::Part::Evaluations));
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
    fn first_false_claim(
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
    fn first_false(&self, seed: &Hash, openings: &[Opening<E>]) -> Option<usize> {
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
            return Err(InvalidPost::Length(crate::backend::Part::Rounds));
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

/// The first refusal on either curve.
fn first(
    primary: Option<usize>,
    secondary: Option<usize>,
    why: fn(Curve) -> InvalidPost,
) -> Result<(), Refused> {
    let primary = primary.map(|at| (at, why(Curve::Primary)));
    let secondary = secondary.map(|at| (at, why(Curve::Secondary)));
    let first = primary.into_iter().chain(secondary).min_by_key(|(at, _)| *at);
    first.map_or(Ok(()), |(at, why)| Err(Refused { at, why }))
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
