//! Hints: what lets a verifier evaluate the matrices once for a whole batch (`docs/spec/proofs.md` §12).
//!
//! Every proof leaves a claim about the matrices at a point of its own. Anybody may run two sum-checks over all claims of a
//! batch, one over rows and one over columns, after which one claim at one point is left. A wrong hint is noticed, and the
//! claims are then checked one by one: no verdict depends on a hint.

use super::curve::run;
use super::matrix::{Matrix, corners};
use super::proof::{Group, Round, SumCheck};
use ff::{Field, PrimeField};
use nova_snark::spartan::polys::eq::EqPolynomial;
use nova_snark::traits::{Engine, TranscriptEngineTrait};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;

/// The matrices of one curve's constraints.
pub(crate) struct Matrices<S> {
    pub(crate) a: Matrix<S>,
    pub(crate) b: Matrix<S>,
    pub(crate) c: Matrix<S>,
}

impl<S: PrimeField> Matrices<S> {
    const fn each(&self) -> [&Matrix<S>; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// All three at a point.
    pub(crate) fn evaluate(&self, rows: &[S], columns: &[S]) -> [S; 3] {
        let (rows, columns) = (corners(rows, S::ONE), corners(columns, S::ONE));
        self.each().map(|matrix| matrix.evaluate(&rows, &columns))
    }
}

/// The claim that the matrices, joined by powers of `r`, have a value at a point.
#[derive(Clone, Debug)]
pub(crate) struct MatrixClaim<E: Engine> {
    pub(crate) rows: Vec<E::Scalar>,
    pub(crate) columns: Vec<E::Scalar>,
    pub(crate) r: E::Scalar,
    pub(crate) value: E::Scalar,
}

impl<E: Engine> MatrixClaim<E> {
    /// Whether the claim is true, checked alone.
    pub(crate) fn holds(&self, matrices: &Matrices<E::Scalar>) -> bool {
        join(matrices.evaluate(&self.rows, &self.columns), self.r) == self.value
    }
}

/// `a + r b + r^2 c`.
fn join<S: PrimeField>([a, b, c]: [S; 3], r: S) -> S {
    a + r * (b + r * c)
}

/// A hint for one curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct CurveHint<E: Engine> {
    rows: SumCheck<E>,
    columns: SumCheck<E>,
}

/// The transcript of a batch's claims, and the weight of the first of them.
fn begin<E: Group>(seed: &Hash, claims: &[MatrixClaim<E>]) -> Option<(E::TE, E::Scalar)> {
    let mut transcript = E::TE::new(b"watt/1/matrix-hint");
    let halves = seed.0.as_chunks::<16>().0.iter();
    let halves: Vec<E::Scalar> = halves
        .map(|half| E::Scalar::from_u128(u128::from_be_bytes(*half)))
        .collect();
    transcript.absorb(b"s", &halves.as_slice());
    for claim in claims {
        transcript.absorb(b"x", &claim.rows.as_slice());
        transcript.absorb(b"y", &claim.columns.as_slice());
        transcript.absorb(b"v", &[claim.r, claim.value].as_slice());
    }
    let weight = transcript.squeeze(b"w").ok()?;
    Some((transcript, weight))
}

/// The claims' weights: powers of the first.
fn weights<S: PrimeField>(first: S, n: usize) -> Vec<S> {
    core::iter::successors(Some(first), |weight| Some(*weight * first))
        .take(n)
        .collect()
}

/// The sum over columns: for each matrix a weight of every claim.
fn column_weights<E: Engine>(claims: &[MatrixClaim<E>], weights: &[E::Scalar]) -> Vec<[E::Scalar; 3]> {
    let powers = |(claim, weight): (&MatrixClaim<E>, &E::Scalar)| {
        let once = *weight * claim.r;
        [*weight, once, once * claim.r]
    };
    claims.iter().zip(weights).map(powers).collect()
}

impl<E: Group> CurveHint<E> {
    /// Whether the hint's lengths are those of matrices of this size.
    fn has_size(&self, size: usize) -> bool {
        let is_quadratic = |round: &Round<E>| (1..=2).contains(&round.coefficients.len());
        self.rows.rounds.len() == size
            && self.columns.rounds.len() == size.saturating_add(1)
            && self
                .rows
                .rounds
                .iter()
                .chain(&self.columns.rounds)
                .all(is_quadratic)
    }

    /// Whether all these claims are true. `false` may mean that the hint is wrong.
    pub(crate) fn shows(
        &self,
        matrices: &Matrices<E::Scalar>,
        size: usize,
        seed: &Hash,
        claims: &[MatrixClaim<E>],
    ) -> bool {
        self.has_size(size) && self.check(matrices, seed, claims).unwrap_or(false)
    }

    fn check(&self, matrices: &Matrices<E::Scalar>, seed: &Hash, claims: &[MatrixClaim<E>]) -> Option<bool> {
        let (mut transcript, first) = begin(seed, claims)?;
        let weights = weights(first, claims.len());
        let sum = claims
            .iter()
            .zip(&weights)
            .map(|(claim, weight)| claim.value * weight)
            .sum();
        let (value, rows) = run(&self.rows, sum, &mut transcript).ok()?;
        let at_rows = EqPolynomial::new(rows.clone());
        let weights: Vec<E::Scalar> = claims
            .iter()
            .zip(weights)
            .map(|(claim, weight)| weight * at_rows.evaluate(&claim.rows))
            .collect();
        let (value, columns) = run(&self.columns, value, &mut transcript).ok()?;
        let at_columns = EqPolynomial::new(columns.clone());
        let mut factors = [E::Scalar::ZERO; 3];
        for (claim, powers) in claims.iter().zip(column_weights(claims, &weights)) {
            let corner = at_columns.evaluate(&claim.columns);
            for (factor, power) in factors.iter_mut().zip(powers) {
                *factor += power * corner;
            }
        }
        let values = matrices.evaluate(&rows, &columns);
        let expected: E::Scalar = values
            .iter()
            .zip(factors)
            .map(|(value, factor)| *value * factor)
            .sum();
        Some(value == expected)
    }

    /// Makes the hint for these claims, all of which have to be true for it to show them.
    pub(crate) fn make(
        matrices: &Matrices<E::Scalar>,
        seed: &Hash,
        claims: &[MatrixClaim<E>],
    ) -> Option<Self> {
        let (mut transcript, first) = begin(seed, claims)?;
        let all_weights = weights(first, claims.len());

        // Over rows: for each claim the weights of its point, and what each row of the matrices is worth.
        let products = claims
            .par_iter()
            .zip(&all_weights)
            .map(|(claim, weight)| {
                let columns = corners(&claim.columns, E::Scalar::ONE);
                let [a, b, c] = matrices.each().map(|matrix| matrix.row_sums(&columns));
                let mut rows: Vec<E::Scalar> = a
                    .zip(b)
                    .zip(c)
                    .map(|((a, b), c)| join([a, b, c], claim.r))
                    .collect();
                let weights = corners(&claim.rows, *weight);
                rows.resize(weights.len(), E::Scalar::ZERO);
                (weights, rows)
            })
            .collect();
        let (rows, point) = prove::<E>(products, &mut transcript)?;

        // Over columns: for each matrix its columns at that point, and the weights of all claims.
        let at_rows = EqPolynomial::new(point.clone());
        let corner_rows = corners(&point, E::Scalar::ONE);
        let weights: Vec<E::Scalar> = claims
            .iter()
            .zip(all_weights)
            .map(|(claim, weight)| weight * at_rows.evaluate(&claim.rows))
            .collect();
        let n_columns = claims
            .first()
            .map_or(0, |claim| 1usize << claim.columns.len().min(24));
        let powers = column_weights(claims, &weights);
        let sums = |matrix: usize| {
            let mut sums = vec![E::Scalar::ZERO; n_columns];
            for (claim, powers) in claims.iter().zip(&powers) {
                let scale = powers.get(matrix).copied().unwrap_or(E::Scalar::ZERO);
                for (sum, corner) in sums.iter_mut().zip(corners(&claim.columns, scale)) {
                    *sum += corner;
                }
            }
            sums
        };
        let products = matrices
            .each()
            .into_par_iter()
            .enumerate()
            .map(|(at, matrix)| (matrix.column_sums(&corner_rows, n_columns), sums(at)))
            .collect();
        let (columns, _) = prove::<E>(products, &mut transcript)?;
        Some(Self { rows, columns })
    }
}

/// Two tables whose products are summed.
type Product<S> = (Vec<S>, Vec<S>);

/// Runs a sum-check over the sum of all products, entry by entry.
fn prove<E: Group>(
    mut products: Vec<Product<E::Scalar>>,
    transcript: &mut E::TE,
) -> Option<(SumCheck<E>, Vec<E::Scalar>)> {
    let n = products.first().map_or(1, |(left, _)| left.len());
    let (mut rounds, mut point) = (Vec::new(), Vec::new());
    for _ in 0..n.ilog2() {
        // The polynomial's constant and quadratic coefficient.
        let sums = products.par_iter().map(|(left, right)| coefficients(left, right));
        let [constant, quadratic] = sums.reduce(|| [E::Scalar::ZERO; 2], |[a, b], [c, d]| [a + c, b + d]);
        let round = Round {
            coefficients: vec![constant, quadratic],
        };
        transcript.absorb(b"p", &round.coefficients.as_slice());
        let challenge = transcript.squeeze(b"c").ok()?;
        products.par_iter_mut().for_each(|(left, right)| {
            bind(left, challenge);
            bind(right, challenge);
        });
        rounds.push(round);
        point.push(challenge);
    }
    Some((SumCheck { rounds }, point))
}

/// Constant and quadratic coefficient of the sum over a product, as a polynomial in the highest bit of the entries.
fn coefficients<S: PrimeField>(left: &[S], right: &[S]) -> [S; 2] {
    let (left_low, left_high) = left.split_at(left.len() / 2);
    let (right_low, right_high) = right.split_at(right.len() / 2);
    let (mut constant, mut quadratic) = (S::ZERO, S::ZERO);
    let pairs = left_low
        .iter()
        .zip(left_high)
        .zip(right_low.iter().zip(right_high));
    for ((left_low, left_high), (right_low, right_high)) in pairs {
        constant += *left_low * right_low;
        quadratic += (*left_high - left_low) * (*right_high - right_low);
    }
    [constant, quadratic]
}

/// Sets the highest bit of the entries to a value.
fn bind<S: PrimeField>(table: &mut Vec<S>, value: S) {
    let half = table.len() / 2;
    let (low, high) = table.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += value * (*high - *low);
    }
    table.truncate(half);
}
