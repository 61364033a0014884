//! Names of things: accounts, nodes, transactions, deals, sectors.

use crate::bytes::byte_type;
use crate::hash::{Domain, DomainHasher};
use crate::key::PublicKey;
use crate::network::NetworkId;
use alloc::string::String;
use bech32::{Bech32m, Hrp};
use core::fmt;
use serde::{Deserialize, Serialize};

byte_type!(
    /// An account: the first 20 bytes of the hash of its first key.
    AccountId,
    20
);

byte_type!(
    /// A voting identity in SCP: an Ed25519 public key of one backbone entry, never linked to a network address.
    NodeId,
    32
);

byte_type!(
    /// Hash of a signed transaction's content, without signature and witness.
    TransactionId,
    32
);

byte_type!(
    /// A bid and the deal that comes of it, named by who bid and with which nonce.
    DealId,
    32
);

impl AccountId {
    /// The account that `key` opens as its first key (`docs/spec/encoding.md` §4).
    #[must_use]
    pub fn of_first_key(key: &PublicKey) -> Self {
        let digest = DomainHasher::without_network(Domain::Account)
            .part(&key.to_bytes())
            .finish();
        let mut id = [0; 20];
        for (to, from) in id.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(id)
    }

    /// Bech32m text: `watt1…` on the main network, `twatt1…` elsewhere.
    #[must_use]
    pub fn to_address(&self, kind: AddressKind) -> String {
        bech32::encode::<Bech32m>(kind.hrp(), &self.0).unwrap_or_default()
    }

    /// Reads an address of `kind`.
    ///
    /// # Errors
    /// See [`InvalidAddress`]; nothing is guessed.
    pub fn parse_address(text: &str, kind: AddressKind) -> Result<Self, InvalidAddress> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| InvalidAddress::NotBech32m)?;
        if checked.hrp() != kind.hrp() {
            return Err(InvalidAddress::OtherNetwork);
        }
        let mut bytes = checked.byte_iter();
        let mut id = [0; 20];
        for to in &mut id {
            *to = bytes.next().ok_or(InvalidAddress::WrongLength)?;
        }
        if bytes.next().is_some() {
            return Err(InvalidAddress::WrongLength);
        }
        Ok(Self(id))
    }
}

/// Whether addresses name accounts of the main network or of a test network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// `watt1…`
    Main,
    /// `twatt1…`
    Test,
}

impl AddressKind {
    const fn hrp(self) -> Hrp {
        match self {
            Self::Main => Hrp::parse_unchecked("watt"),
            Self::Test => Hrp::parse_unchecked("twatt"),
        }
    }
}

/// Why a text is not an address here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// A typing error, or no address at all.
    #[error("this is not an address: check each letter, the checksum does not fit")]
    NotBech32m,
    /// An address of the main network on a test network, or the other way round.
    #[error("this address belongs to another network")]
    OtherNetwork,
    /// Not 20 bytes.
    #[error("this address has the wrong length")]
    WrongLength,
}

impl DealId {
    /// The deal that `account`'s bid number `bid_index` in its transaction with `nonce` will have.
    #[must_use]
    pub fn derive(
        network: &NetworkId,
        account: &AccountId,
        key_index: u16,
        nonce: u64,
        bid_index: u16,
    ) -> Self {
        let mut hasher = DomainHasher::new(Domain::Deal, network);
        hasher
            .part(account.as_ref())
            .part(&key_index.to_be_bytes())
            .part(&nonce.to_be_bytes());
        Self(hasher.part(&bid_index.to_be_bytes()).finish().0)
    }
}

/// Number of a sector within one provider, given by the provider, used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SectorNumber(pub u64);

impl fmt::Display for SectorNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Index of a slot (one share) within its deal's bundle: the evaluation point of the erasure code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotIndexInDeal(pub u8);

impl fmt::Display for SlotIndexInDeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
