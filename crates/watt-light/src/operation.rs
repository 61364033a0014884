//! What a transaction can do: one variant per operation, each executed by its own file in `watt-ledger`'s `apply`.

use crate::ShownTo;
use crate::duty::{Evidence, KEYS_AHEAD_MAX, NewVotingKey};
use crate::succession::Succession;
use alloc::boxed::Box;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, zero_or_one};
use watt_primitives::key::SignatureCheck;
use watt_primitives::slot_tree::GROUP_BYTES;
use watt_primitives::terms::{AskTerms, BundleTerms, Device, Endpoint, PIECES_MAX, Piece, SLOTS_MAX};
use watt_primitives::{
    AccountId, Amount, BoundedBytes, BoundedVec, DealId, Domain, Hash, NetworkId, PublicKey, SecretKey,
    SectorNumber, Signature, SlotIndexInDeal, Term, TrustLevel, Window,
};

/// The most slots that one claim names.
pub const CLAIM_SLOTS_MAX: usize = 256;

/// How many people vouch for somebody who offers to hold a seat.
pub const VOUCHERS: usize = 3;

/// What a key may do (TC8): the weakest key must not own the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyRole {
    /// Everything.
    #[serde(rename = "owner")]
    Owner,
    /// Spending within a daily limit, bids, votes.
    #[serde(rename = "daily")]
    Daily,
    /// A provider's own messages only: no transfer, no bid.
    #[serde(rename = "device")]
    Device,
}

/// Which of the two shapes proven windows have: it follows from the number of sectors in them (`docs/spec/proofs.md` 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WindowShape {
    /// Up to 64 sectors.
    #[serde(rename = "small")]
    Small,
    /// More.
    #[serde(rename = "large")]
    Large,
}

/// What a folded proof shows (`docs/spec/proofs.md` 11.4): a provider went from one state to another in so many windows, and opened
/// all samples in so many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldedWindows {
    /// The shape of all of them.
    pub shape: WindowShape,
    /// State before the first: an element of the field of the proofs, as its 32 bytes.
    pub from: Hash,
    /// State after the last, as `from`.
    pub to: Hash,
    /// Windows in which the provider was present.
    pub n_windows: u32,
    /// Windows in which everything that was sampled was opened.
    pub n_good: u32,
}

/// One slot of one deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRef {
    /// Which deal.
    pub deal: DealId,
    /// Which slot of it.
    pub slot: SlotIndexInDeal,
}

/// What a provider signs once a slot is durably on its disk: "I hold slot `slot` of `deal`, with this root".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceTerms {
    /// Which deal.
    pub deal: DealId,
    /// Which slot.
    pub slot: SlotIndexInDeal,
    /// The slot's BLAKE3 root.
    pub root: Hash,
}

/// A provider's signature over [`AcceptanceTerms`]; deal and root are known from context, so only this travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Which slot.
    pub slot: SlotIndexInDeal,
    /// The key of the provider's account that signed.
    pub key: PublicKey,
    /// Over the terms' encoding in [`Domain::Acceptance`].
    pub signature: Signature,
}

impl AcceptanceTerms {
    /// Signs the terms.
    #[must_use]
    pub fn accept(&self, key: &SecretKey, network: &NetworkId) -> Acceptance {
        let signature = key.sign(Domain::Acceptance, network, &codec::encode(self));
        Acceptance {
            slot: self.slot,
            key: key.public(),
            signature,
        }
    }

    /// The claim that `acceptance` is by its key over these terms.
    #[must_use]
    pub fn signature_check(&self, acceptance: &Acceptance, network: &NetworkId) -> SignatureCheck {
        let message = codec::encode(self);
        SignatureCheck::new(
            acceptance.key,
            Domain::Acceptance,
            network,
            &message,
            acceptance.signature,
        )
    }
}

/// The most hashes beside the way from a group to its slot's root: more groups than any slot has.
pub const GROUP_PATH_MAX: usize = 32;

/// The most bytes of an encoded [`ShownGroup`].
pub const SHOWN_GROUP_BYTES_MAX: usize = GROUP_BYTES + GROUP_PATH_MAX * 40 + 64;

/// A group of a slot with what shows that it is the slot's (`docs/spec/encoding.md` §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownGroup {
    /// Its bytes.
    pub bytes: BoundedBytes<GROUP_BYTES>,
    /// The hashes beside the way to the root, lowest first.
    pub path: BoundedVec<Hash, GROUP_PATH_MAX>,
}

/// One thing a transaction does. A transaction's operations happen all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Pays.
    Transfer {
        /// Receiver; its row is made if there is none.
        to: AccountId,
        /// How much.
        amount: Amount,
        /// For the receiver; opaque.
        memo: BoundedBytes<64>,
    },
    /// Adds a key to the signing account (owner keys only).
    AddKey {
        /// The key; must be registrable.
        key: PublicKey,
        /// What it may do.
        role: KeyRole,
    },
    /// Removes a key of the signing account (owner keys only; never the last owner).
    RemoveKey {
        /// Position in the account's list.
        key_index: u16,
    },
    /// Makes the account a provider, or changes what it declared.
    Pledge {
        /// Bytes it is ready to hold.
        capacity_bytes: u64,
        /// Where it is reached.
        endpoint: Endpoint,
        /// Whose power the storage is that it proves: that of the person who runs it.
        person: AccountId,
        /// Position of the account's key that signs heartbeats, which may be a device key; the one that signs this if none is named.
        #[serde(with = "zero_or_one")]
        heartbeat_key: Option<u16>,
        /// What it runs on: fixes for slots matched from now on how long they may go unproven.
        device: Device,
    },
    /// Places or replaces the provider's standing offer.
    PlaceAsk {
        /// The offer.
        terms: AskTerms,
    },
    /// Withdraws the provider's standing offer; deals go on.
    WithdrawAsk {},
    /// Asks for storage; matched in the next block.
    PlaceBid {
        /// What to store.
        terms: BundleTerms,
        /// Most the client pays, per slot: per 10⁹ bytes and day.
        price_max: Amount,
        /// Locked now; an upper bound of everything this deal can cost.
        escrow: Amount,
        /// How long, in milliseconds of ledger time from certification.
        term_ms: u64,
        /// Providers not to be chosen.
        exclude: BoundedVec<AccountId, 32>,
    },
    /// Starts the deal: the holders' acceptances. Anyone may post it.
    Certify {
        /// Which deal.
        deal: DealId,
        /// Sorted by slot, one per slot.
        acceptances: BoundedVec<Acceptance, SLOTS_MAX>,
    },
    /// Commits to a sealed sector, before its challenge exists.
    PreCommit {
        /// The provider's number for it, never used before.
        sector: SectorNumber,
        /// Sealed size in units of 2¹⁵ nodes (1 MiB).
        units: u16,
        /// Window whose question is the seal seed; recent.
        seal_window: Window,
        /// What lies where in the payload; `comm_d` is its hash.
        pieces: BoundedVec<Piece, PIECES_MAX>,
        /// Root over the label columns.
        comm_c: Hash,
        /// Root over the replica's leaves: an element of the field of the proofs, as its 32 bytes.
        comm_r: Hash,
    },
    /// Answers for all sectors of a batch together; from then on they are proven.
    CommitSectors {
        /// Number of the batch's first sector.
        batch: SectorNumber,
        /// Hash of the witness: the [`BatchOpenings`](crate::BatchOpenings), or on a network with committees the [`Verdicts`](crate::Verdicts) on them.
        openings: Hash,
    },
    /// Opens the sampled responses of the window before.
    ProveWindow {
        /// The window that is proven.
        window: Window,
        /// Hash of the openings in the witness.
        openings: Hash,
    },
    /// Shows in one folded proof how many windows of a period that is over were answered from what is stored.
    SettleWindows {
        /// What the proof shows.
        windows: FoldedWindows,
        /// Hash of the proof in the witness.
        proof: Hash,
    },
    /// Pays the provider for proven time of these slots.
    Claim {
        /// Which slots.
        slots: BoundedVec<SlotRef, CLAIM_SLOTS_MAX>,
    },
    /// Ends a deal early (by its client): pays what was proven, returns the rest by the rules of the term.
    Terminate {
        /// Which deal.
        deal: DealId,
    },
    /// Closes a deal whose term is over or which never started, and returns what was not earned. Anyone may post it.
    Settle {
        /// Which deal.
        deal: DealId,
    },
    /// Asks the holder of a slot to show one group of 16 KiB of it. Anyone may; a small sum is locked until it does.
    Dispute {
        /// Which deal.
        deal: DealId,
        /// Which slot of it.
        slot: SlotIndexInDeal,
        /// Which group of the slot, from 0.
        group: u32,
    },
    /// Shows the group that a dispute asks for (by the slot's holder).
    AnswerDispute {
        /// Which deal.
        deal: DealId,
        /// Which slot of it.
        slot: SlotIndexInDeal,
        /// Which group of it: a dispute that took the place of another may ask for another one.
        group: u32,
        /// Hash of the encoded [`ShownGroup`] in the witness.
        shown: Hash,
    },
    /// Shows once more that a live sector is sealed, when the network asks again.
    AnswerAudit {
        /// Which sector.
        sector: SectorNumber,
        /// Who looks at the openings.
        shown_to: ShownTo,
        /// Hash of the witness: the [`Verdicts`](crate::Verdicts) of the committee that was drawn for it, or the
        /// [`BatchOpenings`](crate::BatchOpenings) of the sector alone.
        openings: Hash,
    },
    /// Puts a person into the account's security circle, or renews the trust in one who is there.
    AddTrust {
        /// Who is trusted.
        to: AccountId,
        /// How well they know each other.
        level: TrustLevel,
    },
    /// Takes a person out of the account's security circle.
    RemoveTrust {
        /// Who.
        to: AccountId,
    },
    /// Offers to hold a seat of the backbone, or names other vouchers (owner keys only).
    StandForBackbone {
        /// Three people who vouch.
        vouchers: [AccountId; VOUCHERS],
    },
    /// Takes the offer back; a seat that is held is given on as soon as somebody can be drawn for it (owner keys only).
    WithdrawFromBackbone {},
    /// Commits to the key from which the seat can be taken back when its machine is lost (owner keys only).
    SetColdKey {
        /// See [`crate::duty::cold_key_hash`]; zero for none.
        hash: Hash,
    },
    /// Registers the keys with which the account votes, each for one term.
    RegisterVotingKeys {
        /// The term of the first key; the others are for the terms after it, in order.
        first_term: Term,
        /// One key per term.
        keys: BoundedVec<NewVotingKey, KEYS_AHEAD_MAX>,
    },
    /// Shows that the account's node followed a window, and reveals a layer of its onion for that window's beacon.
    Attend {
        /// A window that is over.
        window: Window,
        /// Hash of the header at the height of that window that the beacon before it asks for.
        header: Hash,
        /// The highest version of the rules that the node's program knows.
        knows: u32,
        /// The layer of that window, from entries of its term's backbone; it counts in the first blocks after the window.
        #[serde(with = "zero_or_one")]
        reveal: Option<Hash>,
    },
    /// Shows that somebody signed what no correct node signs. Anyone may post it.
    ReportEvidence {
        /// Two signed things that contradict each other.
        evidence: Box<Evidence>,
    },
    /// As a member of the council: says that the rules shall change (owner keys only). The fifth that names a version decides.
    ApproveUpgrade {
        /// Version of the rules; the one in force to stay with it.
        version: u32,
        /// First term that may follow it.
        not_before: Term,
    },
    /// Takes up that another key votes for a seat, so that later terms need not be shown it. Anyone may post it.
    Succeed {
        /// Signed by the seat's cold key and by the new one.
        succession: Box<Succession>,
    },
}

impl Operation {
    /// The hash of the witness that this operation announces, if it has one.
    #[must_use]
    pub const fn witness(&self) -> Option<&Hash> {
        match self {
            Self::CommitSectors { openings, .. }
            | Self::ProveWindow { openings, .. }
            | Self::AnswerAudit { openings, .. } => Some(openings),
            Self::SettleWindows { proof, .. } => Some(proof),
            Self::AnswerDispute { shown, .. } => Some(shown),
            Self::Transfer { .. }
            | Self::AddKey { .. }
            | Self::RemoveKey { .. }
            | Self::Pledge { .. }
            | Self::PlaceAsk { .. }
            | Self::WithdrawAsk {}
            | Self::PlaceBid { .. }
            | Self::Certify { .. }
            | Self::PreCommit { .. }
            | Self::Claim { .. }
            | Self::Terminate { .. }
            | Self::Settle { .. }
            | Self::Dispute { .. }
            | Self::AddTrust { .. }
            | Self::RemoveTrust { .. }
            | Self::StandForBackbone { .. }
            | Self::WithdrawFromBackbone {}
            | Self::SetColdKey { .. }
            | Self::RegisterVotingKeys { .. }
            | Self::Attend { .. }
            | Self::ReportEvidence { .. }
            | Self::ApproveUpgrade { .. }
            | Self::Succeed { .. } => None,
        }
    }

    /// Whether a [`KeyRole::Device`] key may sign it.
    #[must_use]
    pub const fn is_device_operation(&self) -> bool {
        match self {
            Self::PreCommit { .. }
            | Self::CommitSectors { .. }
            | Self::ProveWindow { .. }
            | Self::SettleWindows { .. }
            | Self::Claim { .. }
            | Self::Certify { .. }
            | Self::Settle { .. }
            | Self::AnswerDispute { .. }
            | Self::AnswerAudit { .. }
            | Self::RegisterVotingKeys { .. }
            | Self::Attend { .. }
            | Self::ReportEvidence { .. }
            | Self::Succeed { .. } => true,
            Self::Transfer { .. }
            | Self::AddKey { .. }
            | Self::RemoveKey { .. }
            | Self::Pledge { .. }
            | Self::PlaceAsk { .. }
            | Self::WithdrawAsk {}
            | Self::PlaceBid { .. }
            | Self::Terminate { .. }
            | Self::Dispute { .. }
            | Self::AddTrust { .. }
            | Self::RemoveTrust { .. }
            | Self::StandForBackbone { .. }
            | Self::WithdrawFromBackbone {}
            | Self::SetColdKey { .. }
            | Self::ApproveUpgrade { .. } => false,
        }
    }

    /// Whether only a [`KeyRole::Owner`] key may sign it: what decides about keys, seats and rules.
    #[must_use]
    pub const fn is_owner_operation(&self) -> bool {
        match self {
            Self::AddKey { .. }
            | Self::RemoveKey { .. }
            | Self::StandForBackbone { .. }
            | Self::WithdrawFromBackbone {}
            | Self::SetColdKey { .. }
            | Self::ApproveUpgrade { .. } => true,
            Self::Transfer { .. }
            | Self::Pledge { .. }
            | Self::PlaceAsk { .. }
            | Self::WithdrawAsk {}
            | Self::PlaceBid { .. }
            | Self::Certify { .. }
            | Self::PreCommit { .. }
            | Self::CommitSectors { .. }
            | Self::ProveWindow { .. }
            | Self::SettleWindows { .. }
            | Self::Claim { .. }
            | Self::Terminate { .. }
            | Self::Settle { .. }
            | Self::Dispute { .. }
            | Self::AnswerDispute { .. }
            | Self::AnswerAudit { .. }
            | Self::AddTrust { .. }
            | Self::RemoveTrust { .. }
            | Self::RegisterVotingKeys { .. }
            | Self::Attend { .. }
            | Self::ReportEvidence { .. }
            | Self::Succeed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with more pieces than a sector can have is refused before anything is hashed. Covers: D1.
    #[test]
    fn a_piece_table_is_bounded_when_it_is_decoded() {
        let encoding = |n: usize| {
            let piece = Piece::Filler { offset: 0, len: 1 };
            codec::encode(&alloc::vec![piece; n])
        };
        let decode = |n| codec::decode::<BoundedVec<Piece, PIECES_MAX>>(&encoding(n), 1 << 16);
        assert_eq!(decode(PIECES_MAX).map(|pieces| pieces.len()), Ok(PIECES_MAX));
        assert!(decode(PIECES_MAX + 1).is_err());
    }
}
