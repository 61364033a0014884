//! The matrices of the constraints, arranged for evaluation at a point: two thirds of a verifier's work in a batch.

use ff::PrimeField;
use nova_snark::r1cs::SparseMatrix;

/// One matrix, row by row. Coefficients of plus and minus one, of which there are many, cost no multiplication.
#[derive(Clone, Debug)]
pub(crate) struct Matrix<S> {
    rows: Vec<Row>,
    plus: Vec<u32>,
    minus: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<S>,
}

/// Where the entries of a row end.
#[derive(Clone, Copy, Debug)]
struct Row {
    plus: u32,
    minus: u32,
    values: u32,
}

impl Row {
    const START: Self = Self {
        plus: 0,
        minus: 0,
        values: 0,
    };
}

impl<S: PrimeField> Matrix<S> {
    pub(crate) fn new(matrix: &SparseMatrix<S>) -> Self {
        let mut arranged = Self {
            rows: Vec::new(),
            plus: Vec::new(),
            minus: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
        };
        for row in matrix.indptr.windows(2) {
            let [first, end] = row else { continue };
            let values = matrix.data.get(*first..*end).unwrap_or_default();
            let columns = matrix.indices.get(*first..*end).unwrap_or_default();
            for (value, column) in values.iter().zip(columns) {
                arranged.push(*value, u32::try_from(*column).unwrap_or(u32::MAX));
            }
            arranged.rows.push(Row {
                plus: len(&arranged.plus),
                minus: len(&arranged.minus),
                values: len(&arranged.values),
            });
        }
        arranged
    }

    fn push(&mut self, value: S, column: u32) {
        if value == S::ONE {
            self.plus.push(column);
        } else if value == -S::ONE {
            self.minus.push(column);
        } else {
            self.columns.push(column);
            self.values.push(value);
        }
    }

    /// The sum over all entries of row weight, entry and column weight.
    pub(crate) fn evaluate(&self, rows: &[S], columns: &[S]) -> S {
        let sums = self.row_sums(columns).zip(rows);
        sums.map(|(sum, weight)| sum * weight).sum()
    }

    /// For each row the sum of entry and column weight.
    pub(crate) fn row_sums<'a>(&'a self, columns: &'a [S]) -> impl Iterator<Item = S> + 'a {
        let weight = |column: &u32| columns.get(crate::index(*column)).copied().unwrap_or(S::ZERO);
        let mut from = Row::START;
        self.rows.iter().map(move |to| {
            let mut row = S::ZERO;
            for column in part(&self.plus, from.plus, to.plus) {
                row += weight(column);
            }
            for column in part(&self.minus, from.minus, to.minus) {
                row -= weight(column);
            }
            let values = part(&self.values, from.values, to.values);
            for (column, value) in part(&self.columns, from.values, to.values).iter().zip(values) {
                row += weight(column) * value;
            }
            from = *to;
            row
        })
    }

    /// For each of `n` columns the sum of entry and row weight.
    pub(crate) fn column_sums(&self, rows: &[S], n: usize) -> Vec<S> {
        let mut sums = vec![S::ZERO; n];
        let mut add = |column: &u32, value: S| {
            if let Some(sum) = sums.get_mut(crate::index(*column)) {
                *sum += value;
            }
        };
        let mut from = Row::START;
        for (to, weight) in self.rows.iter().zip(rows) {
            for column in part(&self.plus, from.plus, to.plus) {
                add(column, *weight);
            }
            for column in part(&self.minus, from.minus, to.minus) {
                add(column, -*weight);
            }
            let values = part(&self.values, from.values, to.values);
            for (column, value) in part(&self.columns, from.values, to.values).iter().zip(values) {
                add(column, *weight * value);
            }
            from = *to;
        }
        sums
    }
}

fn len<T>(entries: &[T]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}

fn part<T>(entries: &[T], from: u32, to: u32) -> &[T] {
    entries
        .get(crate::index(from)..crate::index(to))
        .unwrap_or_default()
}

/// The weights of all corners of the cube at a point: entry `i` is the product, over the bits of `i` from the highest, of the
/// coordinate where the bit is set and of one less the coordinate where it isn't, times `scale`.
pub(crate) fn corners<S: PrimeField>(point: &[S], scale: S) -> Vec<S> {
    let mut weights = Vec::with_capacity(1 << point.len().min(24));
    weights.push(scale);
    for coordinate in point {
        weights = weights
            .iter()
            .flat_map(|weight| {
                let set = *weight * coordinate;
                [*weight - set, set]
            })
            .collect();
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::element;
    use ff::Field;
    use nova_snark::spartan::polys::eq::EqPolynomial;
    use watt_proofs::element::F;

    /// Evaluation over the arranged matrix is that of the definition.
    #[test]
    fn evaluation_is_by_definition() {
        let entries: Vec<(usize, usize, F)> = (0..200)
            .map(|at| {
                let value = match at % 3 {
                    0 => F::ONE,
                    1 => -F::ONE,
                    _ => element(&format!("value {at}")),
                };
                (at / 13, (at % 13) * 2, value)
            })
            .collect();
        let matrix = SparseMatrix::new(&entries, 16, 32);
        let rows: Vec<F> = (0..16).map(|at| element(&format!("row {at}"))).collect();
        let columns: Vec<F> = (0..32).map(|at| element(&format!("column {at}"))).collect();
        let expected: F = matrix
            .iter()
            .map(|(row, column, value)| rows[row] * columns[column] * value)
            .sum();
        let arranged = Matrix::new(&matrix);
        assert_eq!(arranged.evaluate(&rows, &columns), expected);
        let sums = arranged.column_sums(&rows, 32);
        assert_eq!(
            sums.iter()
                .zip(&columns)
                .map(|(sum, weight)| *sum * weight)
                .sum::<F>(),
            expected
        );
    }

    /// Corners are in the order of the library's.
    #[test]
    fn corners_are_those_of_the_library() {
        let point: Vec<F> = (0..5).map(|at| element(&format!("coordinate {at}"))).collect();
        assert_eq!(corners(&point, F::ONE), EqPolynomial::new(point.clone()).evals());
    }
}
