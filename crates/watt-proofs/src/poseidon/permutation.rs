//! The permutation, and its constants derived from nothing but its dimensions (`docs/spec/proofs.md` §5).
//!
//! A round adds constants, raises to the fifth power and multiplies by a matrix. In partial rounds only the first element is
//! raised, so all that concerns the others can be moved: constants forward into the next round, and of each matrix the part
//! that leaves the first element alone backward into the round before. What is left of a partial round is one constant and a
//! matrix with one full row, one full column and ones on the diagonal: 17 products in place of 81 for a width of nine. Sums of
//! products are reduced once (`limbs`).

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "field arithmetic can't overflow, and all indices are below the width"
)]

use super::limbs::{Limbs, Sum, add, multiply as times, normal, of_element, to_element};
use crate::element::F;
use alloc::vec::Vec;
use ff::{Field, PrimeField};

/// Rounds in which every element is raised: half of them first, half of them last.
const FULL_ROUNDS: usize = 8;

type Vector<const T: usize> = [F; T];
type Matrix<const T: usize> = [[F; T]; T];

/// The permutation of `T` elements, at most nine; all numbers below the modulus, in the form in which they are multiplied.
pub(super) struct Permutation<const T: usize> {
    first: [[Limbs; T]; FULL_ROUNDS / 2],
    matrix: [[Limbs; T]; T],
    /// The matrix of the last of the first rounds, with what was moved out of the partial ones.
    into_partial: [[Limbs; T]; T],
    partial: Vec<PartialRound<Limbs, T>>,
    last: [[Limbs; T]; FULL_ROUNDS / 2],
}

struct PartialRound<E, const T: usize> {
    constant: E,
    row: [E; T],
    /// The first column; its first element is the row's.
    column: [E; T],
}

impl<const T: usize> Permutation<T> {
    /// The permutation with so many partial rounds.
    pub(super) fn derive(partial_rounds: u16) -> Self {
        let mut constants = round_constants::<T>(partial_rounds);
        let matrix = cauchy();
        let n_partial = usize::from(partial_rounds);
        let (half, after) = (FULL_ROUNDS / 2, FULL_ROUNDS / 2 + n_partial);
        let mut into_partial = matrix;
        let mut partial: Vec<PartialRound<F, T>> = Vec::with_capacity(n_partial);
        for _ in 0..n_partial {
            let (round, rest) = split(&into_partial);
            partial.push(round);
            into_partial = product(&rest, &matrix);
        }
        partial.reverse();
        for (at, round) in (half..).zip(&mut partial) {
            let mut moved = constants[at];
            round.constant = moved[0];
            moved[0] = F::ZERO;
            let moved = apply(&matrix, &moved);
            for (constant, moved) in constants[at + 1].iter_mut().zip(moved) {
                *constant += moved;
            }
        }
        let of_partial = |round: &PartialRound<F, T>| PartialRound {
            constant: of_element(&round.constant),
            row: limbs(&round.row),
            column: limbs(&round.column),
        };
        Self {
            first: core::array::from_fn(|at| limbs(&constants[at])),
            matrix: matrix.each_ref().map(limbs),
            into_partial: into_partial.each_ref().map(limbs),
            partial: partial.iter().map(of_partial).collect(),
            last: core::array::from_fn(|at| limbs(&constants[after + at])),
        }
    }

    /// The second element after the permutation of `state`.
    pub(super) fn hash(&self, state: &Vector<T>) -> F {
        let mut state = limbs(state);
        for (at, constants) in self.first.iter().enumerate() {
            let is_last = at + 1 == self.first.len();
            full_round(
                &mut state,
                constants,
                if is_last { &self.into_partial } else { &self.matrix },
            );
        }
        for round in &self.partial {
            let first = fifth(&state[0], &round.constant);
            let mut sum = Sum::of(&first, &round.row[0]);
            let products = round.row.iter().zip(&round.column);
            for (element, (row, column)) in state.iter_mut().zip(products).skip(1) {
                sum.add(element, row);
                *element = normal(add(element, &times(&first, column)));
            }
            state[0] = normal(sum.reduce());
        }
        for constants in &self.last {
            full_round(&mut state, constants, &self.matrix);
        }
        to_element(&state[1])
    }
}

fn limbs<const T: usize>(elements: &Vector<T>) -> [Limbs; T] {
    elements.each_ref().map(of_element)
}

fn full_round<const T: usize>(state: &mut [Limbs; T], constants: &[Limbs; T], matrix: &[[Limbs; T]; T]) {
    for (element, constant) in state.iter_mut().zip(constants) {
        *element = fifth(element, constant);
    }
    let raised = *state;
    for (element, row) in state.iter_mut().zip(matrix) {
        let mut sum = Sum::of(&row[0], &raised[0]);
        for (factor, raised) in row.iter().zip(&raised).skip(1) {
            sum.add(factor, raised);
        }
        *element = normal(sum.reduce());
    }
}

/// The fifth power of an element with a constant added.
#[inline(always)]
fn fifth(element: &Limbs, constant: &Limbs) -> Limbs {
    let x = normal(add(element, constant));
    let square = times(&x, &x);
    normal(times(&x, &times(&square, &square)))
}

fn apply<const T: usize>(matrix: &Matrix<T>, vector: &Vector<T>) -> Vector<T> {
    core::array::from_fn(|row| dot(&matrix[row], vector))
}

fn dot(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::ZERO, |sum, (a, b)| sum + *a * b)
}

fn product<const T: usize>(a: &Matrix<T>, b: &Matrix<T>) -> Matrix<T> {
    core::array::from_fn(|row| {
        core::array::from_fn(|column| (0..T).fold(F::ZERO, |sum, at| sum + a[row][at] * b[at][column]))
    })
}

/// The matrix `1 / (row + T + column)`.
fn cauchy<const T: usize>() -> Matrix<T> {
    let mut sum = F::from(u64::try_from(T).unwrap_or(0));
    let inverses: Vec<F> = (0..2 * T)
        .map(|_| {
            let inverse = sum.invert().unwrap_or(F::ZERO);
            sum += F::ONE;
            inverse
        })
        .collect();
    core::array::from_fn(|row| core::array::from_fn(|column| inverses[row + column]))
}

/// A matrix as the product of a partial round's and of one that leaves the first element alone and is applied before it.
fn split<const T: usize>(matrix: &Matrix<T>) -> (PartialRound<F, T>, Matrix<T>) {
    let mut rest = *matrix;
    rest[0] = [F::ZERO; T];
    for row in &mut rest {
        row[0] = F::ZERO;
    }
    rest[0][0] = F::ONE;
    let inverse = invert(&rest);
    let mut row = matrix[0];
    row[0] = F::ZERO;
    let mut row: Vector<T> =
        core::array::from_fn(|column| (0..T).fold(F::ZERO, |sum, at| sum + row[at] * inverse[at][column]));
    row[0] = matrix[0][0];
    let column = core::array::from_fn(|at| matrix[at][0]);
    let constant = F::ZERO;
    (
        PartialRound {
            constant,
            row,
            column,
        },
        rest,
    )
}

/// The inverse by elimination, of a matrix that has one.
fn invert<const T: usize>(matrix: &Matrix<T>) -> Matrix<T> {
    let (mut from, mut to) = (*matrix, [[F::ZERO; T]; T]);
    for (at, row) in to.iter_mut().enumerate() {
        row[at] = F::ONE;
    }
    for at in 0..T {
        let pivot = (at..T).find(|row| from[*row][at] != F::ZERO).unwrap_or(at);
        from.swap(at, pivot);
        to.swap(at, pivot);
        let scale = from[at][at].invert().unwrap_or(F::ZERO);
        for matrix in [&mut from, &mut to] {
            matrix[at].iter_mut().for_each(|element| *element *= scale);
        }
        for row in (0..T).filter(|row| *row != at) {
            let factor = from[row][at];
            for matrix in [&mut from, &mut to] {
                let pivot = matrix[at];
                for (element, pivot) in matrix[row].iter_mut().zip(pivot) {
                    *element -= pivot * factor;
                }
            }
        }
    }
    to
}

/// Constants of all rounds.
fn round_constants<const T: usize>(partial_rounds: u16) -> Vec<Vector<T>> {
    let mut grain = Grain::new(T, partial_rounds);
    (0..FULL_ROUNDS + usize::from(partial_rounds))
        .map(|_| core::array::from_fn(|_| grain.element()))
        .collect()
}

/// The generator of constants that the authors of the hash name: a register of 80 bits, shrinking itself.
struct Grain(u128);

impl Grain {
    fn new(width: usize, partial_rounds: u16) -> Self {
        let width = u128::try_from(width).unwrap_or(0);
        let full_rounds = u128::try_from(FULL_ROUNDS).unwrap_or(0);
        // A prime field, the fifth power, bits of the modulus, width, rounds; the rest are ones.
        let head = [
            (1, 2),
            (1, 4),
            (u128::from(F::NUM_BITS), 12),
            (width, 12),
            (full_rounds, 10),
            (u128::from(partial_rounds), 10),
            ((1 << 30) - 1, 30),
        ];
        let written = head.iter().fold(0, |bits, (value, len)| (bits << len) | value);
        let mut grain = Self(written);
        for _ in 0..160 {
            grain.raw_bit();
        }
        grain
    }

    /// The next bit of the register, whose oldest bit is its highest.
    fn raw_bit(&mut self) -> u128 {
        let tap = |at: u32| self.0 >> (79 - at);
        let bit = (tap(62) ^ tap(51) ^ tap(38) ^ tap(23) ^ tap(13) ^ tap(0)) & 1;
        self.0 = ((self.0 << 1) | bit) & ((1 << 80) - 1);
        bit
    }

    /// A bit that follows a one; one that follows a zero is left out.
    fn bit(&mut self) -> u8 {
        loop {
            let (is_taken, bit) = (self.raw_bit() == 1, self.raw_bit());
            if is_taken {
                return u8::from(bit == 1);
            }
        }
    }

    /// The next number of as many bits as the modulus has that is below it.
    fn element(&mut self) -> F {
        loop {
            let mut bytes = [0u8; 32];
            for at in (0..F::NUM_BITS).rev() {
                let byte = &mut bytes[crate::params::index(at / 8)];
                *byte |= self.bit() << (at % 8);
            }
            if let Some(element) = Option::from(F::from_repr(bytes.into())) {
                return element;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permutation by its definition: every round with all its constants and the one matrix.
    fn plain<const T: usize>(partial_rounds: u16, mut state: Vector<T>) -> F {
        let matrix = cauchy();
        let partial = FULL_ROUNDS / 2..FULL_ROUNDS / 2 + usize::from(partial_rounds);
        for (at, constants) in round_constants::<T>(partial_rounds).iter().enumerate() {
            for (place, (element, constant)) in state.iter_mut().zip(constants).enumerate() {
                *element += constant;
                if place == 0 || !partial.contains(&at) {
                    *element = element.pow([5]);
                }
            }
            state = apply(&matrix, &state);
        }
        state[1]
    }

    fn agrees<const T: usize>(partial_rounds: u16) {
        let permutation = Permutation::<T>::derive(partial_rounds);
        for first in 0..20u64 {
            let state = core::array::from_fn(|at| -F::from(first * 10 + u64::try_from(at).unwrap()));
            assert_eq!(permutation.hash(&state), plain(partial_rounds, state));
        }
    }

    /// What was moved between rounds changes no result. Covers: D2.
    #[test]
    fn rounds_are_those_of_the_definition() {
        agrees::<3>(55);
        agrees::<4>(56);
        agrees::<9>(57);
    }
}
