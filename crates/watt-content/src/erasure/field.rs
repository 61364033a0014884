//! GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1 (0x11D), and interpolation in it (`docs/spec/storage.md` §4.1).

use alloc::vec::Vec;

/// `a * x`.
#[inline]
pub(super) const fn double(a: u8) -> u8 {
    (a << 1) ^ if a > 0x7f { 0x1d } else { 0 }
}

/// Product.
pub(super) fn mul(a: u8, b: u8) -> u8 {
    let mut power = a;
    let mut product = 0;
    for bit in 0..8 {
        if (b >> bit) & 1 == 1 {
            product ^= power;
        }
        power = double(power);
    }
    product
}

/// Inverse of a nonzero element: a^254, because a^255 = 1.
pub(super) fn invert(a: u8) -> u8 {
    // 254 = 2 + 4 + ... + 128.
    let mut square = a;
    let mut inverse = 1;
    for _ in 1..8 {
        square = mul(square, square);
        inverse = mul(inverse, square);
    }
    inverse
}

/// For each point in `to`, the coefficients by which the values at the distinct points `from` give the value there.
pub(super) fn lagrange(from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let others = |skip: u8, at: u8| {
        let factors = from.iter().filter(move |point| **point != skip);
        factors.fold(1, |product, point| mul(product, at ^ point))
    };
    let weights: Vec<u8> = from.iter().map(|point| invert(others(*point, *point))).collect();
    let row = |at: &u8| {
        let terms = from.iter().zip(&weights);
        terms
            .map(|(point, weight)| mul(*weight, others(*point, *at)))
            .collect()
    };
    to.iter().map(row).collect()
}
