//! Inner-product arguments, many checked at once (`docs/spec/proofs.md` §12).
//!
//! Each argument comes down to one equation between group elements, in which the generators of the commitments are multiplied
//! by scalars that follow from the challenges. Equations are added with weights that nobody can choose, so that the
//! generators have to be multiplied once for all arguments.

use super::proof::{Group, InnerProduct};
use crate::backend::InvalidPost;
use ff::Field;
use nova_snark::provider::pedersen::CommitmentKey;
use nova_snark::provider::pedersen::{Commitment, CommitmentKeyExtTrait};
use nova_snark::provider::traits::{DlogGroup, DlogGroupExt};
use nova_snark::spartan::batch_invert;
use nova_snark::traits::{Engine, TranscriptEngineTrait, TranscriptReprTrait};

/// A generator of commitments.
pub(crate) type Affine<E> = <<E as Engine>::GE as DlogGroup>::AffineGroupElement;

/// The claim that a committed vector, read as a polynomial, has a value at a point.
pub(crate) struct Evaluation<E: Group> {
    pub(crate) commitment: Commitment<E>,
    pub(crate) point: Vec<E::Scalar>,
    pub(crate) value: E::Scalar,
}

impl<E: Group> TranscriptReprTrait<E::GE> for Evaluation<E> {
    fn to_transcript_bytes(&self) -> Vec<u8> {
        [
            TranscriptReprTrait::<E::GE>::to_transcript_bytes(&self.commitment),
            TranscriptReprTrait::<E::GE>::to_transcript_bytes(&self.value),
        ]
        .concat()
    }
}

/// An argument whose equation is still to be checked.
pub(crate) struct Opening<E: Group> {
    /// Challenges of the halvings, first first, and their inverses.
    challenges: Vec<(E::Scalar, E::Scalar)>,
    a_hat: E::Scalar,
    /// Factor of the generator that inner products are committed with.
    product: E::Scalar,
    /// The argument's own points with their factors.
    scalars: Vec<E::Scalar>,
    points: Vec<Affine<E>>,
}

impl<E: Group> Opening<E> {
    /// Runs the transcript of an argument.
    pub(crate) fn new(
        claim: &Evaluation<E>,
        argument: &InnerProduct<E>,
        transcript: &mut E::TE,
    ) -> Result<Self, InvalidPost> {
        let fails = |_| InvalidPost::Opening(E::CURVE);
        transcript.dom_sep(b"IPA");
        transcript.absorb(b"U", claim);
        let base = transcript.squeeze(b"r").map_err(fails)?;
        let mut challenges = Vec::with_capacity(argument.left.len());
        for (left, right) in argument.left.iter().zip(&argument.right) {
            transcript.absorb(b"L", left);
            transcript.absorb(b"R", right);
            challenges.push(transcript.squeeze(b"r").map_err(fails)?);
        }
        let inverses = batch_invert(&challenges).map_err(|_| InvalidPost::ZeroChallenge(E::CURVE))?;
        let challenges: Vec<_> = challenges.into_iter().zip(inverses).collect();

        // The folded weights of the point, without writing them out.
        let b_hat = challenges.iter().zip(&claim.point).fold(
            E::Scalar::ONE,
            |product, ((challenge, inverse), coordinate)| {
                product * (*inverse + *coordinate * (*challenge - *inverse))
            },
        );
        let squares = challenges.iter().map(|(challenge, _)| challenge.square());
        let inverse_squares = challenges.iter().map(|(_, inverse)| inverse.square());
        let scalars = squares.chain(inverse_squares).chain([E::Scalar::ONE]).collect();
        let points: Vec<Commitment<E>> =
            [argument.left.as_slice(), &argument.right, &[claim.commitment]].concat();
        let points = CommitmentKey::<E>::reinterpret_commitments_as_ck(&points).map_err(fails)?;
        Ok(Self {
            challenges,
            a_hat: argument.a_hat,
            product: (claim.value - argument.a_hat * b_hat) * base,
            scalars,
            points: points.generators().to_vec(),
        })
    }

    /// Adds the factors of the generators to `sums`, times `weight`. They are products over the halvings, so the upper and
    /// the lower half of the bits of a generator's number are worked out apart.
    fn add_generators(&self, weight: E::Scalar, sums: &mut [E::Scalar]) {
        let (upper, lower) = self.challenges.split_at(self.challenges.len() / 2);
        let upper = tensor::<E>(upper, -(weight * self.a_hat));
        let lower = tensor::<E>(lower, E::Scalar::ONE);
        for (sums, upper) in sums.chunks_mut(lower.len()).zip(upper) {
            for (sum, lower) in sums.iter_mut().zip(&lower) {
                *sum += upper * lower;
            }
        }
    }
}

/// All products of one of each pair, the inverse where the bit isn't set, highest bit first.
fn tensor<E: Group>(pairs: &[(E::Scalar, E::Scalar)], scale: E::Scalar) -> Vec<E::Scalar> {
    pairs.iter().fold(vec![scale], |products, (challenge, inverse)| {
        products
            .iter()
            .flat_map(|product| [*product * inverse, *product * challenge])
            .collect()
    })
}

/// Whether all these arguments hold. `weights` has one for each that its maker couldn't know before.
pub(crate) fn all_hold<E: Group>(
    generators: &[Affine<E>],
    product_generator: &Affine<E>,
    openings: &[Opening<E>],
    weights: &[E::Scalar],
) -> bool {
    let mut scalars = vec![E::Scalar::ZERO; generators.len()];
    let mut bases = generators.to_vec();
    let mut product = E::Scalar::ZERO;
    for (opening, weight) in openings.iter().zip(weights) {
        opening.add_generators(*weight, &mut scalars);
    }
    for (opening, weight) in openings.iter().zip(weights) {
        product += opening.product * weight;
        scalars.extend(opening.scalars.iter().map(|scalar| *scalar * weight));
        bases.extend_from_slice(&opening.points);
    }
    scalars.push(product);
    bases.push(*product_generator);
    openings.len() == weights.len() && E::GE::vartime_multiscalar_mul(&scalars, &bases) == E::GE::zero()
}
