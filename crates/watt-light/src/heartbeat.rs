//! Heartbeats: that a provider answered a window, before anybody knows what is sampled of it (`docs/spec/ledger.md` §7, TS3, TS9).
//!
//! They are no transactions: a provider's one heartbeat of a window needs no number and no fee, and once the window is settled nobody
//! needs its signature any more. So they stand in a section of the block's body of their own, of which one hash stays when it is
//! pruned.

use alloc::vec::Vec;
use core::fmt;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watt_primitives::hash;
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    AccountId, BoundedVec, Domain, Hash, NetworkId, PublicKey, SecretKey, SectorNumber, Signature, Window,
    codec,
};

/// The most sectors one provider may declare faulty in one heartbeat.
pub const FAULTS_MAX: usize = 4096;

/// The most heartbeats in one block: what is verified in a tenth of a second.
pub const HEARTBEATS_PER_BLOCK_MAX: usize = 4096;

/// The heartbeats of a block.
pub type Heartbeats = BoundedVec<SignedHeartbeat, HEARTBEATS_PER_BLOCK_MAX>;

/// A provider's number: given to it with its first pledge, in their order from 0, and for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderNumber(pub u32);

impl fmt::Display for ProviderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is signed: it commits to the responses of all sectors in a window, before the sample exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Whose.
    pub account: AccountId,
    /// The window that is answered.
    pub window: Window,
    /// `R_w`.
    pub response_root: Hash,
    /// Sectors declared faulty, ascending.
    pub faults: BoundedVec<SectorNumber, FAULTS_MAX>,
}

/// A heartbeat as it travels: who reads it knows the window, and by the number whose it is. Encoded as the list of its fields, without
/// the faults if there are none: 104 bytes then, up to number 65,535.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeartbeat {
    /// Whose.
    pub provider: ProviderNumber,
    /// `R_w`.
    pub response_root: Hash,
    /// Sectors declared faulty, ascending.
    pub faults: BoundedVec<SectorNumber, FAULTS_MAX>,
    /// By the provider's key for heartbeats, over a [`Heartbeat`] in [`Domain::Heartbeat`].
    pub signature: Signature,
}

impl Heartbeat {
    /// Signs; `number` is that of the account.
    #[must_use]
    pub fn sign(self, number: ProviderNumber, key: &SecretKey, network: &NetworkId) -> SignedHeartbeat {
        let signature = key.sign(Domain::Heartbeat, network, &codec::encode(&self));
        SignedHeartbeat {
            provider: number,
            response_root: self.response_root,
            faults: self.faults,
            signature,
        }
    }
}

impl SignedHeartbeat {
    /// What is signed, if it is the heartbeat of `account` for `window`.
    #[must_use]
    pub fn of(&self, account: AccountId, window: Window) -> Heartbeat {
        Heartbeat {
            account,
            window,
            response_root: self.response_root,
            faults: self.faults.clone(),
        }
    }

    /// The claim that `key` signed it as the heartbeat of `account` for `window`.
    #[must_use]
    pub fn signature_check(
        &self,
        account: AccountId,
        window: Window,
        key: PublicKey,
        network: &NetworkId,
    ) -> SignatureCheck {
        let message = codec::encode(&self.of(account, window));
        SignatureCheck::new(key, Domain::Heartbeat, network, &message, self.signature)
    }
}

/// Whether each provider is there once at most, ascending by number.
#[must_use]
pub fn are_in_order(heartbeats: &[SignedHeartbeat]) -> bool {
    heartbeats.is_sorted_by(|before, after| before.provider < after.provider)
}

/// The hash of the heartbeats of a block: what stays when they are pruned.
#[must_use]
pub fn section_hash(network: &NetworkId, heartbeats: &[SignedHeartbeat]) -> Hash {
    hash::hash(Domain::HeartbeatSection, network, &[&codec::encode(heartbeats)])
}

impl Serialize for SignedHeartbeat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            provider,
            response_root,
            faults,
            signature,
        } = self;
        if faults.is_empty() {
            (provider, response_root, signature).serialize(serializer)
        } else {
            (provider, response_root, faults, signature).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for SignedHeartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FieldsVisitor)
    }
}

/// What follows the root: a signature, or faults and then the signature.
enum FaultsOrSignature {
    Faults(BoundedVec<SectorNumber, FAULTS_MAX>),
    Signature(Signature),
}

impl<'de> Deserialize<'de> for FaultsOrSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherVisitor;

        impl<'de> Visitor<'de> for EitherVisitor {
            type Value = FaultsOrSignature;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of sectors, or a signature")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                let signature = bytes.try_into().map(Signature);
                signature
                    .map(FaultsOrSignature::Signature)
                    .map_err(|_| E::invalid_length(bytes.len(), &"64 bytes"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sectors: A) -> Result<Self::Value, A::Error> {
                let mut faults: Vec<SectorNumber> = Vec::new();
                while let Some(sector) = sectors.next_element()? {
                    if faults.len() >= FAULTS_MAX {
                        return Err(A::Error::custom("too many faults"));
                    }
                    faults.push(sector);
                }
                if faults.is_empty() {
                    return Err(A::Error::custom("a list of no faults is left out"));
                }
                let faults = BoundedVec::new(faults).map_err(|_| A::Error::custom("too many faults"))?;
                Ok(FaultsOrSignature::Faults(faults))
            }
        }

        deserializer.deserialize_any(EitherVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = SignedHeartbeat;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("a provider's number, a root, the faulty sectors if there are any, and a signature")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<SignedHeartbeat, A::Error> {
        let missing = |at| A::Error::invalid_length(at, &"three or four fields");
        let provider = fields.next_element()?.ok_or_else(|| missing(0))?;
        let response_root = fields.next_element()?.ok_or_else(|| missing(1))?;
        let (faults, signature) = match fields.next_element()?.ok_or_else(|| missing(2))? {
            FaultsOrSignature::Signature(signature) => (BoundedVec::empty(), signature),
            FaultsOrSignature::Faults(faults) => (faults, fields.next_element()?.ok_or_else(|| missing(3))?),
        };
        Ok(SignedHeartbeat {
            provider,
            response_root,
            faults,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(number: u32, faults: &[u64]) -> SignedHeartbeat {
        let heartbeat = Heartbeat {
            account: AccountId([1; 20]),
            window: Window(7),
            response_root: Hash([2; 32]),
            faults: BoundedVec::new(faults.iter().copied().map(SectorNumber).collect()).unwrap(),
        };
        let key = SecretKey::from_seed([3; 32]);
        heartbeat.sign(ProviderNumber(number), &key, &NetworkId::new([4; 32]))
    }

    /// A heartbeat of any of the first 65,536 providers has at most 104 bytes, is read back as it was, and declares faults at their
    /// own cost. Covers: D3.
    #[test]
    fn a_heartbeat_has_104_bytes() {
        for (number, faults, bytes) in [
            (0, &[][..], 102),
            (65_535, &[], 104),
            (u32::MAX, &[], 106),
            (65_535, &[3, 300], 109),
        ] {
            let signed = signed(number, faults);
            let encoding = codec::encode(&signed);
            assert_eq!(encoding.len(), bytes);
            assert_eq!(codec::decode(&encoding, 200), Ok(signed));
        }
    }

    /// Nothing but the canonical encoding is read: no empty list of faults, nothing behind the signature. Covers: D3.
    #[test]
    fn only_the_canonical_list_is_read() {
        let beat = signed(1, &[]);
        let no_faults: [SectorNumber; 0] = [];
        let with_empty = codec::encode(&(beat.provider, beat.response_root, no_faults, beat.signature));
        assert!(codec::decode::<SignedHeartbeat>(&with_empty, 200).is_err());
        let longer = codec::encode(&(beat.provider, beat.response_root, beat.signature, 1));
        assert!(codec::decode::<SignedHeartbeat>(&longer, 200).is_err());
        let shorter = codec::encode(&(beat.provider, beat.response_root));
        assert!(codec::decode::<SignedHeartbeat>(&shorter, 200).is_err());
    }

    /// A heartbeat is good for one account, one window and one network (TS36). Covers: D3.
    #[test]
    fn a_signature_binds_account_window_and_network() {
        let (beat, key) = (signed(1, &[5]), SecretKey::from_seed([3; 32]).public());
        let holds = |account, window, network| {
            let network = NetworkId::new([network; 32]);
            beat.signature_check(AccountId([account; 20]), Window(window), key, &network)
                .holds()
        };
        assert!(holds(1, 7, 4));
        assert!(!holds(2, 7, 4) && !holds(1, 8, 4) && !holds(1, 7, 5));
    }
}
