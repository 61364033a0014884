use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// `P(at)` the slow way: the interpolation formula, term by term, with division by search.
fn naive(points: &[(u8, u8)], at: u8) -> u8 {
    let divide = |a: u8, b: u8| (0..=255).find(|q| field::mul(*q, b) == a).unwrap();
    points.iter().fold(0, |sum, (x, y)| {
        let others = points.iter().filter(|(other, _)| other != x);
        let term = others.fold(*y, |term, (other, _)| {
            divide(field::mul(term, at ^ other), x ^ other)
        });
        sum ^ term
    })
}

fn encode(k: u8, data: &[Vec<u8>], indices: &[u8]) -> Vec<Vec<u8>> {
    let mut shares = vec![vec![0xee; data[0].len()]; indices.len()];
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [u8]> = shares.iter_mut().map(Vec::as_mut_slice).collect();
    Code::new(k)
        .unwrap()
        .encode_row(&inputs, indices, &mut outputs)
        .unwrap();
    shares
}

/// The field is the one of 0x11D, not of another polynomial. Covers: C4.
#[test]
fn field_has_the_stated_polynomial() {
    assert_eq!(field::double(0x80), 0x1d);
    assert_eq!(field::mul(0x53, 0xca), 0x8f);
    for a in 1..=255 {
        assert_eq!(field::mul(a, field::invert(a)), 1);
    }
}

fn rows() -> impl Strategy<Value = (u8, Vec<Vec<u8>>)> {
    (1u8..40, 1usize..200).prop_flat_map(|(k, len)| {
        let cells = prop::collection::vec(prop::collection::vec(any::<u8>(), len), usize::from(k));
        (Just(k), cells)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every share of every row is the polynomial's value, data shares are the data, and a longer code begins with the
    /// shorter one. Covers: C4.
    #[test]
    fn shares_are_values_of_the_polynomial((k, data) in rows(), indices in prop::collection::vec(any::<u8>(), 1..9)) {
        let shares = encode(k, &data, &indices);
        for (index, share) in indices.iter().zip(&shares) {
            if *index < k {
                prop_assert_eq!(share, &data[usize::from(*index)]);
            }
            let at = share.len() - 1;
            let points: Vec<(u8, u8)> = (0..k).zip(data.iter().map(|cell| cell[at])).collect();
            prop_assert_eq!(share[at], naive(&points, *index));
        }
    }

    /// Any k of 256 shares rebuild any others, parity from parity too. Covers: C4.
    #[test]
    fn any_k_shares_rebuild(
        (k, data) in rows(),
        order in Just((0..=255u8).collect::<Vec<u8>>()).prop_shuffle(),
    ) {
        let (have, rest) = order.split_at(usize::from(k));
        let wanted = &rest[..5];
        let shares = encode(k, &data, have);
        let given: Vec<(u8, &[u8])> = have.iter().copied().zip(shares.iter().map(Vec::as_slice)).collect();
        let mut rebuilt = vec![vec![0; data[0].len()]; wanted.len()];
        let mut outputs: Vec<&mut [u8]> = rebuilt.iter_mut().map(Vec::as_mut_slice).collect();
        Code::new(k).unwrap().reconstruct_row(&given, wanted, &mut outputs).unwrap();
        prop_assert_eq!(rebuilt, encode(k, &data, wanted));
    }
}

/// A share that lies off the polynomial is named; k shares alone prove nothing. Covers: C5.
#[test]
fn a_false_share_is_found() {
    let data: Vec<Vec<u8>> = (0..4u8).map(|i| vec![i + 1; 70]).collect();
    let code = Code::new(4).unwrap();
    let mut shares = encode(4, &data, &[1, 3, 9, 2, 7, 200]);
    let check = |shares: &[Vec<u8>], n: usize| {
        let given: Vec<(u8, &[u8])> = [1, 3, 9, 2, 7, 200]
            .into_iter()
            .zip(shares.iter().map(Vec::as_slice))
            .take(n)
            .collect();
        code.first_inconsistent(&given)
    };
    assert_eq!(check(&shares, 6), Ok(None));
    shares[5][69] ^= 1;
    assert_eq!(check(&shares, 6), Ok(Some(200)));
    assert_eq!(check(&shares, 4), Ok(None));
    assert_eq!(check(&shares, 3), Err(CodeError::NotEnough { have: 3, need: 4 }));
}

/// Wrong shapes are refused with their numbers, not computed. Covers: C4.
#[test]
fn wrong_shapes_are_refused() {
    let code = Code::new(2).unwrap();
    assert_eq!(Code::new(0), None);
    assert_eq!(
        code.mixing(&[1], &[]).unwrap_err(),
        CodeError::NotEnough { have: 1, need: 2 }
    );
    assert_eq!(
        code.mixing(&[1, 1], &[]).unwrap_err(),
        CodeError::Duplicate { index: 1 }
    );
    assert_eq!(
        code.mixing(&[1, 2, 3], &[]).unwrap_err(),
        CodeError::CellCount { cells: 3, indices: 2 }
    );
    let mixing = code.mixing(&[0, 1], &[2]).unwrap();
    let mut out = vec![0; 3];
    assert_eq!(
        mixing.apply(&[&[1, 2, 3], &[1, 2]], &mut [&mut out]),
        Err(CodeError::CellLength { len: 2, expected: 3 })
    );
    assert_eq!(
        mixing.apply(&[&[1, 2, 3]], &mut [&mut out]),
        Err(CodeError::CellCount { cells: 1, indices: 2 })
    );
}
