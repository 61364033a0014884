//! What a committee says of the openings of sectors that are asked together, which fit in no block (`docs/spec/proofs.md` 6.8, TS4).

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    AccountId, BoundedBytes, BoundedVec, Domain, Hash, NetworkId, NodeId, SecretKey, SectorNumber, Signature,
    Window,
};

/// The most sectors of a provider that are asked together: a batch (`docs/spec/ledger.md` 9.5).
pub const BATCH_MAX: usize = 8;

/// The most bytes of the openings of one sector; those of a main sector that is asked alone have up to 2.1 MB.
pub const SECTOR_OPENINGS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of the openings of a batch; those of eight main sectors have up to 5.7 MB.
pub const OPENINGS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most members of a committee: with eleven verdicts of fifteen, 30 % of all seats get a fake sector through once in 1,500 draws.
pub const COMMITTEE_MAX: usize = 15;

/// The most bytes of encoded [`Verdicts`].
pub const VERDICTS_BYTES_MAX: usize = 2048;

/// Who looks at the openings of a live sector that is asked again (`docs/spec/ledger.md` 9.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownTo {
    /// Its committee.
    Committee,
    /// Everybody, in the block.
    Everybody,
}

/// The openings of a batch: those of each of its sectors, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchOpenings(pub BoundedVec<BoundedBytes<SECTOR_OPENINGS_BYTES_MAX>, BATCH_MAX>);

/// A sector of a batch, as a member has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenSector {
    /// Which of its provider's sectors.
    pub sector: SectorNumber,
    /// Root over the label columns.
    pub comm_c: Hash,
    /// Root over the replica's leaves, as its 32 bytes.
    pub comm_r: Hash,
}

/// What a member signs: "these openings hold for all sectors of this batch". That they don't is never signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PorepVerdict {
    /// Whose batch.
    pub provider: AccountId,
    /// Number of its first sector.
    pub batch: SectorNumber,
    /// Its sectors, in their order.
    pub sectors: BoundedVec<SeenSector, BATCH_MAX>,
    /// The window that asked.
    pub window: Window,
    /// [`witness_hash`](crate::transaction::witness_hash) of the openings.
    pub openings: Hash,
}

/// One member's signature over a [`PorepVerdict`], which is known from context; encoded as the list of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u8, Signature)", into = "(u8, Signature)")]
pub struct Verdict {
    /// The member's place in the committee, from 0.
    pub member: u8,
    /// By its voting key in [`Domain::PorepVerdict`].
    pub signature: Signature,
}

impl From<(u8, Signature)> for Verdict {
    fn from((member, signature): (u8, Signature)) -> Self {
        Self { member, signature }
    }
}

impl From<Verdict> for (u8, Signature) {
    fn from(verdict: Verdict) -> Self {
        (verdict.member, verdict.signature)
    }
}

/// The witness of `CommitSectors` on a network with committees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Hash of the openings that were shown.
    pub openings: Hash,
    /// Ascending by member, one of each.
    pub given: BoundedVec<Verdict, COMMITTEE_MAX>,
}

impl BatchOpenings {
    /// Puts the openings of the sectors of a batch together; `None` if these are too many or too long.
    #[must_use]
    pub fn new(sectors: Vec<Vec<u8>>) -> Option<Self> {
        let sectors = sectors.into_iter().map(BoundedBytes::new);
        let sectors = sectors.collect::<Result<Vec<_>, _>>().ok()?;
        BoundedVec::new(sectors).map(Self).ok()
    }

    /// Their bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads at most `max` bytes of openings.
    ///
    /// # Errors
    /// Anything but a canonical encoding within `max`.
    pub fn decode(bytes: &[u8], max: usize) -> Result<Self, InvalidEncoding> {
        codec::decode(bytes, max)
    }
}

impl PorepVerdict {
    /// Signs with a member's voting key.
    #[must_use]
    pub fn sign(&self, key: &SecretKey, network: &NetworkId) -> Signature {
        key.sign(Domain::PorepVerdict, network, &codec::encode(self))
    }

    /// The claim that `signature` over this is by `key`.
    #[must_use]
    pub fn signature_check(&self, key: &NodeId, signature: Signature, network: &NetworkId) -> SignatureCheck {
        let message = codec::encode(self);
        SignatureCheck::new((*key).into(), Domain::PorepVerdict, network, &message, signature)
    }
}

impl Verdicts {
    /// The witness.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a witness.
    ///
    /// # Errors
    /// Anything but a canonical encoding within [`VERDICTS_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEncoding> {
        codec::decode(bytes, VERDICTS_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// As [`Verdicts`], without its bound.
    #[derive(Serialize)]
    struct Longer {
        openings: Hash,
        given: Vec<Verdict>,
    }

    /// The verdicts of the largest committee fit in the bound, one more is refused, and each adds little more than its signature.
    /// Covers: D2.
    #[test]
    fn verdicts_are_small_and_bounded() {
        let one = Verdict {
            member: 14,
            signature: Signature([7; 64]),
        };
        let verdicts = |n: usize| Verdicts {
            openings: Hash([1; 32]),
            given: BoundedVec::new(vec![one; n]).unwrap_or_default(),
        };
        let bytes = verdicts(15).encode();
        assert!(bytes.len() <= VERDICTS_BYTES_MAX);
        assert_eq!(Verdicts::decode(&bytes), Ok(verdicts(COMMITTEE_MAX)));
        assert_eq!(bytes.len().checked_sub(verdicts(14).encode().len()), Some(68));
        let longer = Longer {
            openings: Hash([1; 32]),
            given: vec![one; 16],
        };
        assert!(Verdicts::decode(&codec::encode(&longer)).is_err());
    }
}
