//! Elements of the field that the proofs are over: the scalar field of Pallas.

use crate::params::index;
use ff::{Field, PrimeField};
use halo2curves::pasta::Fq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watt_primitives::Hash;

/// The field, in the type that the proof system has for it.
pub type F = Fq;

/// Bytes of data in an element: any 31 bytes are below the modulus.
pub const CHUNK_BYTES: usize = 31;

/// Elements in a leaf of a replica's tree, and children of a node.
pub const ARITY: usize = 8;

/// Bytes in a leaf of a replica's tree.
pub const LEAF_BYTES: usize = ARITY * CHUNK_BYTES;

/// An element of the field. As bytes: 32, little-endian, below the modulus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element(pub F);

impl Element {
    /// Bytes of an element.
    pub const LEN: usize = 32;

    /// The element of 31 bytes, little-endian.
    #[must_use]
    pub fn from_chunk(chunk: &[u8; CHUNK_BYTES]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(chunk) {
            *to = *from;
        }
        Self(from_canonical(bytes).unwrap_or(F::ZERO))
    }

    /// The element of the first 31 bytes of a digest.
    #[must_use]
    pub fn of_hash(hash: &Hash) -> Self {
        let mut bytes = hash.0;
        bytes[CHUNK_BYTES] = 0;
        Self(from_canonical(bytes).unwrap_or(F::ZERO))
    }

    /// The element as 32 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_repr().into()
    }

    /// The element of 32 bytes; `None` if they are not below the modulus.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        from_canonical(bytes).map(Self)
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: [u8; 32] = serde_bytes::deserialize(deserializer)?;
        Self::from_bytes(bytes).ok_or_else(|| serde::de::Error::custom("an element at or above the modulus"))
    }
}

fn from_canonical(bytes: [u8; 32]) -> Option<F> {
    Option::from(F::from_repr(bytes.into()))
}

/// The elements of a leaf.
#[must_use]
pub fn leaf_elements(leaf: &[u8; LEAF_BYTES]) -> [F; ARITY] {
    let mut elements = [F::ZERO; ARITY];
    for (element, chunk) in elements.iter_mut().zip(leaf.as_chunks::<CHUNK_BYTES>().0) {
        *element = Element::from_chunk(chunk).0;
    }
    elements
}

/// Bits `skipped` to `skipped + n - 1` of an element, counted from the lowest, as a number; `n` is at most 32.
#[must_use]
pub fn low_bits(element: &F, skipped: u32, n: u32) -> u32 {
    Element(*element)
        .to_bytes()
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| (byte >> bit) & 1))
        .skip(index(skipped))
        .take(index(n))
        .zip(0u32..)
        .fold(0, |number, (bit, place)| number | (u32::from(bit) << place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any 31 bytes are an element of their own, and bytes at or above the modulus are none.
    #[test]
    fn bytes_and_elements() {
        assert_eq!(Element::from_chunk(&[0xff; 31]).to_bytes()[..31], [0xff; 31]);
        assert_eq!(Element::from_bytes([0xff; 32]), None);
        let largest = Element(-F::ONE);
        assert_eq!(Element::from_bytes(largest.to_bytes()), Some(largest));
        let mut modulus = largest.to_bytes();
        modulus[0] += 1;
        assert_eq!(Element::from_bytes(modulus), None);
    }

    /// Bits are counted from the lowest.
    #[test]
    fn bits_of_an_element() {
        let element = F::from(0b1101_0110_1001);
        assert_eq!(low_bits(&element, 0, 4), 0b1001);
        assert_eq!(low_bits(&element, 4, 8), 0b1101_0110);
        assert_eq!(low_bits(&-F::ONE, 0, 1), 0);
    }
}
