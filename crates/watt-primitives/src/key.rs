//! Keys and signatures, tagged by scheme (`docs/spec/encoding.md` §4). Ed25519 works today, by ZIP-215 rules, so that single and
//! batch verification agree on every platform; the encoding has the other schemes from the start.

use crate::bytes::{byte_type, deserialize_exact};
use crate::hash::Domain;
use crate::id::NodeId;
use crate::network::NetworkId;
use alloc::vec::Vec;
use core::fmt;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

byte_type!(
    /// An Ed25519 public key as 32 bytes, not yet known to be a point.
    Ed25519Key,
    32
);

byte_type!(
    /// A compressed SEC1 point.
    CompressedPoint,
    33
);

/// A public key and its scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PublicKey {
    /// Ed25519, ZIP-215 verification, strict registration.
    #[serde(rename = "ed25519")]
    Ed25519(Ed25519Key),
    /// A passkey: P-256 behind WebAuthn. Encoded, not yet accepted.
    #[serde(rename = "webauthn-p256")]
    WebAuthnP256(CompressedPoint),
    /// secp256k1, for the Ethereum view. Encoded, not yet accepted.
    #[serde(rename = "secp256k1")]
    Secp256k1(CompressedPoint),
}

impl PublicKey {
    /// Scheme byte followed by the key's bytes: the preimage of account ids.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (scheme, key): (u8, &[u8]) = match self {
            Self::Ed25519(key) => (0, key.as_ref()),
            Self::WebAuthnP256(key) => (1, key.as_ref()),
            Self::Secp256k1(key) => (2, key.as_ref()),
        };
        let mut bytes = Vec::with_capacity(key.len().saturating_add(1));
        bytes.push(scheme);
        bytes.extend_from_slice(key);
        bytes
    }

    /// Whether this key may be registered: a supported scheme, canonical encoding, not of small order (TC18). A small-order
    /// key "signs" everything, so its owner could deny a vote.
    #[must_use]
    pub fn is_registrable(&self) -> bool {
        match self {
            Self::Ed25519(key) => is_strict_ed25519(key),
            Self::WebAuthnP256(_) | Self::Secp256k1(_) => false,
        }
    }
}

impl From<NodeId> for PublicKey {
    fn from(node: NodeId) -> Self {
        Self::Ed25519(Ed25519Key(node.0))
    }
}

/// A signature; its scheme is that of the key it is checked with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}..)")
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_exact::<D, 64>(deserializer).map(Self)
    }
}

/// What is signed: `len(domain) || domain || network || message`, so that a signature says where and about what.
#[must_use]
pub fn signing_bytes(domain: Domain, network: &NetworkId, message: &[u8]) -> Vec<u8> {
    let name = domain.as_str().as_bytes();
    let name_len = u64::try_from(name.len()).unwrap_or(u64::MAX);
    [&name_len.to_be_bytes(), name, network.in_signatures(), message].concat()
}

/// A signing key. Printed never, wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed; the caller brings the luck.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = Self(SigningKey::from(seed));
        seed.zeroize();
        key
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::Ed25519(Ed25519Key(VerificationKeyBytes::from(&self.0).into()))
    }

    /// The public half as a voting identity.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(VerificationKeyBytes::from(&self.0).into())
    }

    /// Signs `message` in `domain` on `network`; the same input gives the same signature (RFC 8032 §5.1.6).
    #[must_use]
    pub fn sign(&self, domain: Domain, network: &NetworkId, message: &[u8]) -> Signature {
        Signature(self.0.sign(&signing_bytes(domain, network, message)).into())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A claim that `key` signed `message`, to be checked alone or with many others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureCheck {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// The signed bytes, as [`signing_bytes`] makes them.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

impl SignatureCheck {
    /// A claim about `message` in `domain` on `network`.
    #[must_use]
    pub fn new(
        key: PublicKey,
        domain: Domain,
        network: &NetworkId,
        message: &[u8],
        signature: Signature,
    ) -> Self {
        Self {
            key,
            message: signing_bytes(domain, network, message),
            signature,
        }
    }

    /// Whether the claim holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        let PublicKey::Ed25519(key) = self.key else {
            return false;
        };
        VerificationKey::try_from(key.0)
            .and_then(|key| key.verify(&ed25519_zebra::Signature::from(self.signature.0), &self.message))
            .is_ok()
    }
}

/// Checks many claims at about half the cost each; with ZIP-215 rules the answer equals that of checking one by one.
///
/// The blinding factors are drawn from a hash of everything checked, so the same claims give the same work on every machine
/// and whoever made the signatures can't choose them afterwards.
#[must_use]
pub fn all_hold(checks: &[SignatureCheck]) -> bool {
    let mut transcript = blake3::Hasher::new();
    let mut verifier = batch::Verifier::new();
    for check in checks {
        let PublicKey::Ed25519(key) = check.key else {
            return false;
        };
        transcript
            .update(key.as_ref())
            .update(&check.signature.0)
            .update(blake3::hash(&check.message).as_bytes());
        let signature = ed25519_zebra::Signature::from(check.signature.0);
        verifier.queue((VerificationKeyBytes::from(key.0), signature, &check.message));
    }
    verifier.verify(TranscriptRng(transcript.finalize_xof())).is_ok()
}

/// Blinding factors of a batch: the extended output of the transcript's hash.
struct TranscriptRng(blake3::OutputReader);

impl RngCore for TranscriptRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for TranscriptRng {}

/// Canonical encoding of a point of the curve that is not one of the eight small-order points.
fn is_strict_ed25519(key: &Ed25519Key) -> bool {
    let compressed = CompressedEdwardsY(key.0);
    compressed
        .decompress()
        .is_some_and(|point| !point.is_small_order() && point.compress() == compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId::new([1; 32]);

    fn check(seed: u8, message: &[u8]) -> SignatureCheck {
        let key = SecretKey::from_seed([seed; 32]);
        let signature = key.sign(Domain::Transaction, &NETWORK, message);
        SignatureCheck::new(key.public(), Domain::Transaction, &NETWORK, message, signature)
    }

    #[test]
    fn signature_holds_only_for_its_message_domain_and_network() {
        let good = check(1, b"pay");
        assert!(good.holds());
        let with = |domain, network: &NetworkId, message: &[u8]| {
            SignatureCheck::new(good.key, domain, network, message, good.signature).holds()
        };
        assert!(with(Domain::Transaction, &NETWORK, b"pay"));
        assert!(!with(Domain::Transaction, &NETWORK, b"pay more"));
        assert!(!with(Domain::Transaction, &NetworkId::new([2; 32]), b"pay"));
        for domain in Domain::ALL
            .into_iter()
            .filter(|domain| *domain != Domain::Transaction)
        {
            assert!(!with(domain, &NETWORK, b"pay"), "{domain:?}");
        }
    }

    #[test]
    fn batch_agrees_with_single() {
        let mut checks: Vec<_> = (0..40).map(|seed| check(seed, &[seed])).collect();
        assert!(all_hold(&checks));
        assert!(all_hold(&[]));
        checks[17].message.push(0);
        assert!(!checks[17].holds());
        assert!(!all_hold(&checks));
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_not_registrable() {
        assert!(SecretKey::from_seed([3; 32]).public().is_registrable());
        let mut identity = [0; 32];
        identity[0] = 1;
        // y = p + 1: the identity again, written non-canonically.
        let mut non_canonical = [0xff; 32];
        non_canonical[0] = 0xee;
        non_canonical[31] = 0x7f;
        for bytes in [[0; 32], identity, non_canonical, [0xff; 32]] {
            assert!(
                !PublicKey::Ed25519(Ed25519Key(bytes)).is_registrable(),
                "{bytes:?}"
            );
        }
        assert!(!PublicKey::Secp256k1(CompressedPoint([2; 33])).is_registrable());
    }
}
