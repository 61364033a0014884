//! Canonical DAG-CBOR: one value, one encoding (`docs/spec/encoding.md` §2).

mod encoder;

use alloc::vec::Vec;
use encoder::Encoder;
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not the canonical encoding of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEncoding {
    /// Longer than the reader's bound for this type.
    #[error("{len} bytes where at most {len_max} are allowed")]
    TooLong {
        /// Length found.
        len: usize,
        /// Length allowed.
        len_max: usize,
    },
    /// Not DAG-CBOR of this type.
    #[error("not a valid encoding of this type")]
    Malformed,
    /// Decodes, but not from its one canonical encoding.
    #[error("not the canonical encoding")]
    NotCanonical,
}

/// Encodes `value`; the same value gives the same bytes on every machine.
///
/// # Panics
/// Never for WATT's own types: they hold nothing that DAG-CBOR cannot express, and writing to memory cannot fail.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    written(value, ENCODED_BYTES_USUAL).into_bytes()
}

/// Room for most of what is encoded, and for putting its fields in order.
const ENCODED_BYTES_USUAL: usize = 256;

fn written<T: Serialize + ?Sized>(value: &T, capacity: usize) -> Encoder {
    let mut encoder = Encoder::with_capacity(capacity);
    let outcome = value.serialize(&mut encoder);
    outcome.expect("own types are encodable and memory does not fail");
    encoder
}

/// Decodes at most `len_max` bytes and refuses every encoding but the canonical one, by encoding again and comparing: the
/// decoder alone accepts indefinite-length keys and byte strings under tag 42.
///
/// # Errors
/// See [`InvalidEncoding`].
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], len_max: usize) -> Result<T, InvalidEncoding> {
    if bytes.len() > len_max {
        return Err(InvalidEncoding::TooLong {
            len: bytes.len(),
            len_max,
        });
    }
    let value: T = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| InvalidEncoding::Malformed)?;
    if written(&value, bytes.len().saturating_mul(2)).bytes() == bytes {
        Ok(value)
    } else {
        Err(InvalidEncoding::NotCanonical)
    }
}

/// Reads the known fields of something that may hold unknown ones, without the canonical rule: only to say that it is too
/// new to be judged, never to believe it.
#[must_use]
pub fn peek<T: DeserializeOwned>(bytes: &[u8], len_max: usize) -> Option<T> {
    if bytes.len() > len_max {
        return None;
    }
    serde_ipld_dagcbor::from_slice(bytes).ok()
}

/// Decodes bytes that this very program has encoded, without the proof that they are canonical, at about half the cost. Never
/// for what a peer, a file of another program or a person has made.
///
/// # Errors
/// [`InvalidEncoding::Malformed`]: the bytes were damaged.
pub fn decode_own<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidEncoding> {
    serde_ipld_dagcbor::from_slice(bytes).map_err(|_| InvalidEncoding::Malformed)
}

/// Zero or one value as a list, because signed types have no `null` and no absent fields.
pub mod zero_or_one {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeSeq as _};

    /// Writes `[]` or `[value]`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(usize::from(value.is_some())))?;
        if let Some(value) = value {
            list.serialize_element(value)?;
        }
        list.end()
    }

    /// Reads `[]` or `[value]`.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let mut list = crate::BoundedVec::<T, 1>::deserialize(deserializer)?.into_inner();
        let value = list.pop();
        if list.is_empty() {
            Ok(value)
        } else {
            Err(D::Error::custom("more than one value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        long_name: u64,
        b: Hash,
        #[serde(with = "zero_or_one")]
        maybe: Option<u8>,
    }

    #[test]
    fn keys_are_ordered_by_length_then_bytes() {
        let bytes = encode(&Sample {
            long_name: 1,
            b: Hash::ZERO,
            maybe: Some(3),
        });
        assert_eq!(bytes[..3], [0xa3, 0x61, b'b']);
        assert_eq!(decode::<Sample>(&bytes, 100).unwrap().maybe, Some(3));
    }

    #[test]
    fn indefinite_length_key_is_refused() {
        // {_ indefinite text key "a": 1}: accepted by the decoder below, refused here.
        let bytes = [0xa1, 0x7f, 0x61, b'a', 0xff, 0x01];
        assert!(decode::<BTreeMap<String, u8>>(&bytes, 100).is_err());
        assert!(decode::<BTreeMap<String, u8>>(&[0xa1, 0x61, b'a', 0x01], 100).is_ok());
    }

    #[test]
    fn length_is_bounded_before_decoding() {
        assert_eq!(
            decode::<u8>(&[0; 11], 10),
            Err(InvalidEncoding::TooLong { len: 11, len_max: 10 })
        );
    }
}
