//! What is bought and sold: the words that the market rules, the ledger and whoever builds a bundle share.

use crate::bounded::{BoundedString, BoundedVec};
use crate::class::Class;
use crate::{Amount, Cid, DealId, Hash, SlotIndexInDeal};
use serde::{Deserialize, Serialize};

/// The most slots in a bundle of any class.
pub const SLOTS_MAX: usize = 160;

/// The most pieces in one sector: keeps the openings of the largest devnet sector below 448 KiB, however it is
/// filled; a witness may have 512 KiB.
pub const PIECES_MAX: usize = 36;

/// What a client asks the network to store: one bundle, all its slots alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleTerms {
    /// How it is encoded.
    pub class: Class,
    /// CID of the bundle's header, which commits to every slot root.
    pub header: Cid,
    /// CID of the manifest that the share link names; lets whoever has the link find the holders.
    pub manifest: Cid,
    /// Bytes in each slot.
    pub slot_bytes: u64,
    /// Roots of the `n` slots to be placed, in index order: what each holder is bound to.
    pub slot_roots: BoundedVec<Hash, SLOTS_MAX>,
}

/// A provider's standing offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskTerms {
    /// Price per 10⁹ bytes and day.
    pub price: Amount,
    /// Smallest slot taken, in bytes.
    pub slot_bytes_min: u64,
    /// Largest slot taken, in bytes.
    pub slot_bytes_max: u64,
    /// Longest term taken, in milliseconds of ledger time.
    pub term_ms_max: u64,
    /// Whether data is kept unsealed beside the replica, so that a first read needs no unsealing (a priced quality).
    pub hot: bool,
}

/// What a provider runs on, as it declares itself: how long what it holds may go unproven before it counts as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// A machine that is always on.
    #[default]
    AlwaysOn,
    /// A laptop or home computer, on for some time of most days.
    Daily,
    /// A phone.
    Phone,
}

impl Device {
    /// All of them, the most reliable first.
    pub const ALL: [Self; 3] = [Self::AlwaysOn, Self::Daily, Self::Phone];

    /// Its name in encodings, settings and texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlwaysOn => "always-on",
            Self::Daily => "daily",
            Self::Phone => "phone",
        }
    }
}

/// Where a provider is reached: facts for dialling, never part of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// libp2p peer id in its text form.
    pub peer_id: BoundedString<80>,
    /// Multiaddresses, best first.
    pub addresses: BoundedVec<BoundedString<160>, 4>,
}

/// One entry of a sector's piece table: which slot lies where in the payload. The table covers the payload without gap or
/// overlap; filler is a fixed function of its place (`docs/spec/proofs.md` §2, TS1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// A client's slot.
    #[serde(rename = "slot")]
    Slot {
        /// Which deal.
        deal: DealId,
        /// Which slot of it.
        slot: SlotIndexInDeal,
        /// Its BLAKE3 root, which must be the deal's.
        root: Hash,
        /// First byte in the payload; a multiple of 16 KiB.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Filler up to the next piece or the end.
    #[serde(rename = "filler")]
    Filler {
        /// First byte in the payload.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
}
