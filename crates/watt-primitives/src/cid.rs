//! Content identifiers: CIDv1 of a DAG-CBOR block under BLAKE3-256, the only kind private objects use.

use crate::Hash;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Multicodec of DAG-CBOR.
const DAG_CBOR: u64 = 0x71;
/// Multicodec of BLAKE3.
const BLAKE3: u64 = 0x1e;

/// CIDv1, DAG-CBOR, BLAKE3-256: names a header, a manifest or another DAG block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cid(pub Hash);

impl Cid {
    /// The CID of a DAG block with these bytes.
    #[must_use]
    pub fn of_block(bytes: &[u8]) -> Self {
        Self(Hash::of_content(bytes))
    }

    fn to_general(self) -> cid::Cid {
        let digest = cid::multihash::Multihash::wrap(BLAKE3, self.0.as_ref())
            .expect("32 bytes fit a 64-byte multihash");
        cid::Cid::new_v1(DAG_CBOR, digest)
    }

    fn from_general(general: &cid::Cid) -> Option<Self> {
        let digest = general.hash();
        let is_ours =
            general.version() == cid::Version::V1 && general.codec() == DAG_CBOR && digest.code() == BLAKE3;
        if is_ours {
            digest.digest().try_into().ok().map(|bytes| Self(Hash(bytes)))
        } else {
            None
        }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_general().to_string())
    }
}

/// The text is no CID, or one of a kind that names no WATT object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a CID of a WATT object (CIDv1, dag-cbor, blake3)")]
pub struct InvalidCid;

impl FromStr for Cid {
    type Err = InvalidCid;

    fn from_str(text: &str) -> Result<Self, InvalidCid> {
        let general = cid::Cid::from_str(text).map_err(|_| InvalidCid)?;
        // One object, one spelling: other bases of the same CID are refused.
        Self::from_general(&general)
            .filter(|cid| Self::is_spelled(*cid, text))
            .ok_or(InvalidCid)
    }
}

impl Cid {
    fn is_spelled(self, text: &str) -> bool {
        let spelled: String = self.to_string();
        spelled == text
    }
}

impl Serialize for Cid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_general().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let general = cid::Cid::deserialize(deserializer)?;
        Self::from_general(&general).ok_or_else(|| D::Error::custom(InvalidCid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let cid = Cid::of_block(b"hello");
        assert_eq!(cid.to_string().parse(), Ok(cid));
        assert!(cid.to_string().starts_with("bafyr4i"));
        let bytes = crate::codec::encode(&cid);
        assert_eq!(bytes[..2], [0xd8, 0x2a]);
        assert_eq!(crate::codec::decode(&bytes, 64), Ok(cid));
    }

    #[test]
    fn other_kinds_are_refused() {
        for text in [
            "",
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        ] {
            assert_eq!(text.parse::<Cid>(), Err(InvalidCid));
        }
    }
}
