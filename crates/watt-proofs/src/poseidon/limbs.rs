//! Elements of the field as four numbers of 64 bits, in Montgomery form, so that sums of products are reduced once.
//!
//! `halo2curves` reduces after every multiplication. A hash of eight elements is mostly sums of nine products: there one
//! reduction does for all nine, which is nearly half of the work. Nothing here is secret, so times may depend on values.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "arrays of fixed length, walked by loops that the compiler unrolls and checks"
)]

use crate::element::F;
use ff::{Field, PrimeField};

/// A number below 2^256, lowest limb first. As an element `x` it is `x * 2^256` modulo the modulus.
pub(crate) type Limbs = [u64; 4];

/// The modulus, 2^254 and a number of 126 bits.
const MODULUS: Limbs = [0x8c46_eb21_0000_0001, 0x2246_98fc_0994_a8dd, 0, 1 << 62];

/// `-1 / MODULUS` modulo 2^64.
const INVERSE: u64 = 0x8c46_eb20_ffff_ffff;

/// 2^512 modulo the modulus: brings a number into Montgomery form.
const SQUARED: Limbs = [
    0xfc96_78ff_0000_000f,
    0x67bb_433d_891a_16e3,
    0x7fae_2310_04cc_f590,
    0x096d_41af_7ccf_daa9,
];

/// A sum of at most nine products of elements below the modulus, which is below 2^512.
#[derive(Clone, Copy)]
pub(crate) struct Sum([u64; 8]);

impl Sum {
    /// One product.
    #[inline(always)]
    pub(crate) fn of(a: &Limbs, b: &Limbs) -> Self {
        let mut product = [0; 8];
        for i in 0..4 {
            let mut carry = 0;
            for j in 0..4 {
                (product[i + j], carry) = a[i].carrying_mul_add(b[j], product[i + j], carry);
            }
            product[i + 4] = carry;
        }
        Self(product)
    }

    /// One more product.
    #[inline(always)]
    pub(crate) fn add(&mut self, a: &Limbs, b: &Limbs) {
        let mut carry = false;
        for (sum, more) in self.0.iter_mut().zip(Self::of(a, b).0) {
            (*sum, carry) = sum.carrying_add(more, carry);
        }
    }

    /// The sum divided by 2^256, modulo the modulus: below `sum / 2^256 + MODULUS`, which nine products leave below 2^256.
    #[inline(always)]
    pub(crate) fn reduce(self) -> Limbs {
        let mut sum = self.0;
        let mut above = false;
        for i in 0..4 {
            let factor = sum[i].wrapping_mul(INVERSE);
            let mut carry = 0;
            for j in 0..4 {
                (sum[i + j], carry) = factor.carrying_mul_add(MODULUS[j], sum[i + j], carry);
            }
            (sum[i + 4], above) = sum[i + 4].carrying_add(carry, above);
        }
        [sum[4], sum[5], sum[6], sum[7]]
    }
}

/// The same element below the modulus.
#[inline(always)]
pub(crate) fn normal(limbs: Limbs) -> Limbs {
    // As many times the modulus as 2^254 is in it. That is too much only if what is left is below 2^128.
    let times = limbs[3] >> 62;
    let (low, carry) = times.carrying_mul(MODULUS[0], 0);
    let (high, _) = times.carrying_mul(MODULUS[1], carry);
    let mut left = [limbs[0], limbs[1], limbs[2], limbs[3] & ((1 << 62) - 1)];
    let mut borrow = false;
    for (limb, less) in left.iter_mut().zip([low, high, 0, 0]) {
        (*limb, borrow) = limb.borrowing_sub(less, borrow);
    }
    if borrow { add(&left, &MODULUS) } else { left }
}

/// The sum of two numbers, modulo 2^256.
#[inline(always)]
pub(crate) fn add(a: &Limbs, b: &Limbs) -> Limbs {
    let mut sum = *a;
    let mut carry = false;
    for (limb, more) in sum.iter_mut().zip(b) {
        (*limb, carry) = limb.carrying_add(*more, carry);
    }
    sum
}

/// The product of two elements. With both below 1.4 times the modulus it is below 1.5 times.
#[inline(always)]
pub(crate) fn multiply(a: &Limbs, b: &Limbs) -> Limbs {
    Sum::of(a, b).reduce()
}

/// From the library's form.
pub(crate) fn of_element(element: &F) -> Limbs {
    let bytes: [u8; 32] = element.to_repr().into();
    let mut number = [0; 4];
    for (limb, bytes) in number.iter_mut().zip(bytes.as_chunks().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    normal(multiply(&number, &SQUARED))
}

/// To the library's form.
pub(crate) fn to_element(limbs: &Limbs) -> F {
    let number = normal(multiply(limbs, &[1, 0, 0, 0]));
    let mut bytes = [0; 32];
    for (bytes, limb) in bytes.as_chunks_mut().0.iter_mut().zip(number) {
        *bytes = limb.to_le_bytes();
    }
    Option::from(F::from_repr(bytes.into())).unwrap_or(F::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;
    use alloc::{vec, vec::Vec};
    use watt_primitives::Hash;

    /// Elements around every edge, and some that look random.
    fn elements() -> Vec<F> {
        let two_to_254 = F::from(2).pow([254]);
        let mut elements = vec![
            F::ZERO,
            F::ONE,
            -F::ONE,
            -F::from(2),
            two_to_254,
            two_to_254 - F::ONE,
        ];
        elements.extend((0..20u8).map(|at| Element::of_hash(&Hash::of_content(&[at])).0));
        elements
    }

    /// Sums of products are the library's, up to nine of the largest.
    #[test]
    fn sums_of_products_are_those_of_the_field() {
        for a in elements() {
            assert_eq!(to_element(&of_element(&a)), a);
            for b in elements() {
                let (x, y) = (of_element(&a), of_element(&b));
                assert_eq!(to_element(&multiply(&x, &y)), a * b);
                assert_eq!(to_element(&normal(add(&x, &y))), a + b);
                let mut sum = Sum::of(&x, &y);
                for _ in 1..9 {
                    sum.add(&x, &y);
                }
                assert_eq!(to_element(&normal(sum.reduce())), a * b * F::from(9));
            }
        }
        let largest = [u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1];
        let mut sum = Sum::of(&largest, &largest);
        for _ in 1..9 {
            sum.add(&largest, &largest);
        }
        let expected = to_element(&largest).square() * F::from(9);
        assert_eq!(to_element(&normal(sum.reduce())), expected);
    }

    /// The form below the modulus is found for every number below 2^256, also at multiples of the modulus and of 2^254.
    #[test]
    fn normal_form_is_below_the_modulus() {
        let modulus = |times: u64| {
            let mut number = [0; 4];
            for _ in 0..times {
                number = add(&number, &MODULUS);
            }
            number
        };
        let is_below = |limbs: &Limbs| limbs.iter().rev().lt(MODULUS.iter().rev());
        for times in 0..4 {
            assert_eq!(normal(modulus(times)), [0; 4]);
            assert_eq!(normal(add(&modulus(times), &[1, 0, 0, 0])), [1, 0, 0, 0]);
            let below = add(&modulus(times), &[u64::MAX; 4]);
            let round = [0, 0, 0, times << 62];
            for number in [below, round, add(&round, &[u64::MAX; 4])] {
                let normal = normal(number);
                assert!(is_below(&normal), "{number:x?}");
                assert_eq!(to_element(&normal), to_element(&number));
            }
        }
    }
}
