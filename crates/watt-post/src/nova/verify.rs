//! Verifies compressed proofs, many at once (`docs/spec/proofs.md` §12).
//!
//! What is checked is what `nova-snark`'s verifier checks, equation by equation; tests compare the two. Apart from that one
//! multi-scalar multiplication serves a whole batch, and that malformed proofs are refused instead of stopping the program.

use super::curve::CurveVerifier;
use super::hint::{CurveHint, MatrixClaim};
use super::opening::Opening;
use super::proof::{E1, E2, ENCODING, Proof, Sizes, decode_proof, encode_proof};
use crate::backend::{Curve, InvalidPost, Part, PostError, Refused, Settlement};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use ff::Field;
use nova_snark::constants::NUM_HASH_BITS;
use nova_snark::digest::{DigestComputer, Digestible};
use nova_snark::gadgets::utils::{base_as_scalar, scalar_as_base};
use nova_snark::provider::pedersen::CommitmentKey;
use nova_snark::r1cs::R1CSShape;
use nova_snark::traits::{AbsorbInROTrait, Engine, ROConstants, ROConstantsCircuit, ROTrait};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;
use watt_proofs::element::{Element, F};

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
            return Err(InvalidPost::Length(Part::Outputs));
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
            return Err(InvalidPost::Length(Part::PublicValues));
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
