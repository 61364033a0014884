//! The parts of a compressed proof, in the order in which `nova-snark` 0.76.0 writes them.
//!
//! The library keeps its fields to itself, and its verifier stops the program on some malformed proofs. So a proof is read
//! into these types first: every length is checked here, before anything is computed from it.

use crate::backend::{Curve, InvalidPost, PROOF_BYTES_MAX, Part};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use nova_snark::nova::nifs::{NIFS, NIFSRelaxed};
use nova_snark::provider::pedersen::Commitment;
use nova_snark::provider::{PallasEngine, VestaEngine};
use nova_snark::r1cs::{R1CSInstance, RelaxedR1CSInstance};
use nova_snark::traits::Engine;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use watt_proofs::element::F;

/// The engine on which windows are proven.
pub(crate) type E1 = PallasEngine;
/// The engine on which folding is proven.
pub(crate) type E2 = VestaEngine;

/// An engine with the commitments of this proof system.
pub(crate) trait Group:
    Engine<
        CE = nova_snark::provider::pedersen::CommitmentEngine<Self>,
        GE: nova_snark::provider::traits::DlogGroupExt,
    >
{
    /// Which of the two.
    const CURVE: Curve;
}

impl Group for E1 {
    const CURVE: Curve = Curve::Primary;
}

impl Group for E2 {
    const CURVE: Curve = Curve::Secondary;
}

/// How parameters, running proofs and proofs are written.
pub(crate) const ENCODING: Configuration<LittleEndian, Fixint> =
    bincode::config::standard().with_fixed_int_encoding();

const PROOF_ENCODING: Configuration<LittleEndian, bincode::config::Varint, Limit<PROOF_BYTES_MAX>> =
    bincode::config::standard().with_limit();

/// Encodes a proof, the library's or ours.
pub(crate) fn encode_proof<T: Serialize>(proof: &T) -> Result<Vec<u8>, bincode::error::EncodeError> {
    bincode::serde::encode_to_vec(proof, PROOF_ENCODING)
}

/// Decodes a proof from its one encoding.
pub(crate) fn decode_proof<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidPost> {
    if bytes.len() > PROOF_BYTES_MAX {
        return Err(InvalidPost::TooLong { found: bytes.len() });
    }
    let decoded = bincode::serde::decode_from_slice(bytes, PROOF_ENCODING);
    let (proof, _) = decoded.map_err(|_| InvalidPost::Encoding)?;
    let is_canonical = encode_proof(&proof).is_ok_and(|again| again == bytes);
    if is_canonical {
        Ok(proof)
    } else {
        Err(InvalidPost::Encoding)
    }
}

/// A round's polynomial without its linear coefficient.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Round<E: Engine> {
    pub(crate) coefficients: Vec<E::Scalar>,
}

/// A sum-check.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct SumCheck<E: Engine> {
    pub(crate) rounds: Vec<Round<E>>,
}

/// An argument for an inner product.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct InnerProduct<E: Group> {
    pub(crate) left: Vec<Commitment<E>>,
    pub(crate) right: Vec<Commitment<E>>,
    pub(crate) a_hat: E::Scalar,
}

/// A proof that a relaxed instance is satisfied.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Spartan<E: Group> {
    pub(crate) outer: SumCheck<E>,
    pub(crate) claims_outer: (E::Scalar, E::Scalar, E::Scalar),
    pub(crate) eval_error: E::Scalar,
    pub(crate) inner: SumCheck<E>,
    pub(crate) eval_witness: E::Scalar,
    pub(crate) joint: SumCheck<E>,
    pub(crate) evals_joint: Vec<E::Scalar>,
    pub(crate) opening: InnerProduct<E>,
}

/// A compressed proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Proof {
    pub(crate) running_secondary: RelaxedR1CSInstance<E2>,
    pub(crate) salt_secondary: <E2 as Engine>::Scalar,
    pub(crate) last_secondary: R1CSInstance<E2>,
    pub(crate) fold_last: NIFS<E2>,
    pub(crate) blind_secondary: RelaxedR1CSInstance<E2>,
    pub(crate) fold_blind_secondary: NIFSRelaxed<E2>,
    pub(crate) running_primary: RelaxedR1CSInstance<E1>,
    pub(crate) salt_primary: F,
    pub(crate) blind_primary: RelaxedR1CSInstance<E1>,
    pub(crate) fold_blind_primary: NIFSRelaxed<E1>,
    pub(crate) blinds_primary: (F, F),
    pub(crate) blinds_secondary: (<E2 as Engine>::Scalar, <E2 as Engine>::Scalar),
    pub(crate) spartan_primary: Spartan<E1>,
    pub(crate) spartan_secondary: Spartan<E2>,
    pub(crate) outputs: Vec<F>,
}

/// Logarithms of the padded numbers of constraints and variables, which are equal, on both curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) primary: usize,
    pub(crate) secondary: usize,
}

impl Proof {
    /// Reads a proof of a shape with these sizes.
    pub(crate) fn decode(bytes: &[u8], sizes: Sizes) -> Result<Self, InvalidPost> {
        let proof: Self = decode_proof(bytes)?;
        proof.check_lengths(sizes)?;
        Ok(proof)
    }

    fn check_lengths(&self, sizes: Sizes) -> Result<(), InvalidPost> {
        let public = [
            self.running_secondary.X().len(),
            self.last_secondary.X().len(),
            self.blind_secondary.X().len(),
            self.running_primary.X().len(),
            self.blind_primary.X().len(),
        ];
        check(public.iter().all(|len| *len == 2), Part::PublicValues)?;
        check(self.outputs.len() == crate::circuit::ARITY_Z, Part::Outputs)?;
        self.spartan_primary.check_lengths(sizes.primary)?;
        self.spartan_secondary.check_lengths(sizes.secondary)
    }
}

impl<E: Group> Spartan<E> {
    pub(crate) fn check_lengths(&self, size: usize) -> Result<(), InvalidPost> {
        let sums = [
            (&self.outer, size, 3),
            (&self.inner, size.saturating_add(1), 2),
            (&self.joint, size, 2),
        ];
        for (sum, n_rounds, degree) in sums {
            let has_degree = |round: &Round<E>| (1..=degree).contains(&round.coefficients.len());
            check(
                sum.rounds.len() == n_rounds && sum.rounds.iter().all(has_degree),
                Part::Rounds,
            )?;
        }
        check(self.evals_joint.len() == 2, Part::Evaluations)?;
        let halvings = [self.opening.left.len(), self.opening.right.len()];
        check(halvings == [size, size], Part::Halvings)
    }
}

fn check(holds: bool, part: Part) -> Result<(), InvalidPost> {
    if holds {
        Ok(())
    } else {
        Err(InvalidPost::Length(part))
    }
}
