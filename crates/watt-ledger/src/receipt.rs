//! What came of a block: one receipt per transaction, and what the block did by itself.

use crate::refused::Refused;
use crate::rows::{DealEnd, Loss};
use serde::{Deserialize, Serialize};
use watt_market::Paid;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, DealId, Hash, LedgerTime, NetworkId, SectorNumber,
    SlotIndexInDeal, Term, TransactionId, Window, codec, merkle,
};
use watt_trust::backbone::Why;

/// What came of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Which.
    pub transaction: TransactionId,
    /// Who acted.
    pub account: AccountId,
    /// Fee taken, whether it succeeded or not.
    pub fee: Amount,
    /// What happened.
    pub outcome: Outcome,
}

/// Whether a transaction happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All its operations happened; one entry for each.
    #[serde(rename = "done")]
    Done(BoundedVec<Done, { watt_light::transaction::OPERATIONS_MAX }>),
    /// None of its operations happened.
    #[serde(rename = "failed")]
    Failed {
        /// Index of the operation that could not.
        operation: u16,
        /// Why.
        why: Refused,
        /// Taken besides the fee, for a proof that does not verify (TC14).
        penalty: Amount,
    },
}

/// What one operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// Money arrived.
    Transferred {},
    /// The key has this position.
    KeyAdded {
        /// Position.
        key_index: u16,
    },
    /// The key is gone.
    KeyRemoved {},
    /// The account is a provider.
    Pledged {},
    /// The offer stands.
    AskPlaced {},
    /// The offer is gone.
    AskWithdrawn {},
    /// The bid is matched in the next block.
    BidPlaced {
        /// The deal it becomes.
        deal: DealId,
        /// Height of the match.
        match_height: BlockHeight,
    },
    /// The term runs.
    Certified {
        /// Which deal.
        deal: DealId,
        /// Ledger time at which the term is over.
        ends_at: LedgerTime,
        /// Paid for reservations.
        paid: Amount,
    },
    /// The sector waits for its challenge.
    PreCommitted {
        /// Which.
        sector: SectorNumber,
        /// With which others it is asked: the number of their first.
        batch: SectorNumber,
        /// The window that asks.
        challenge_window: Window,
        /// Last height for the answer; later if another joins the batch.
        deadline: BlockHeight,
    },
    /// The sectors of a batch are proven.
    SectorsCommitted {
        /// Number of their first.
        batch: SectorNumber,
        /// How many.
        n_sectors: u8,
        /// First window in which they are in the set.
        from: Window,
    },
    /// The window is proven.
    WindowProven {
        /// Which.
        window: Window,
        /// Ledger time that it proves, in milliseconds.
        proven_ms: u64,
        /// How much of that is withheld for windows that failed.
        withheld_ms: u64,
    },
    /// The windows of a period are settled.
    WindowsSettled {
        /// The first in which the provider was present.
        first: Window,
        /// The last.
        last: Window,
        /// In how many it was present.
        n_windows: u32,
        /// In how many of these everything that was sampled was opened.
        n_good: u32,
        /// Ledger time that they prove, in milliseconds.
        proven_ms: u64,
        /// How much of that is withheld for windows that failed, of these or before.
        withheld_ms: u64,
    },
    /// Pay arrived.
    Claimed {
        /// How much.
        amount: Amount,
    },
    /// The deal is over.
    DealEnded {
        /// Which.
        deal: DealId,
        /// Paid to providers in all, by what it was paid for.
        paid: Paid,
        /// Returned to the client in all.
        refunded: Amount,
    },
    /// The holder has to show a group.
    Disputed {
        /// Whose slot it is.
        provider: AccountId,
        /// Last height for the answer; later if windows are void until then.
        answer_by: BlockHeight,
        /// Locked until the dispute is closed.
        fee: Amount,
    },
    /// The group was shown.
    DisputeAnswered {
        /// What the holder has for it.
        fee: Amount,
    },
    /// The sector was looked at again, and holds.
    AuditAnswered {
        /// Which.
        sector: SectorNumber,
    },
    /// The person is in the circle.
    TrustAdded {
        /// Ledger time, in milliseconds, at which the trust ends unless it is renewed.
        expires_at: LedgerTime,
    },
    /// The person is no longer in the circle.
    TrustRemoved {},
    /// The account offers to hold a seat.
    StandingForBackbone {},
    /// The offer is taken back.
    WithdrawnFromBackbone {},
    /// The cold key is committed to.
    ColdKeySet {},
    /// The keys vote in these terms.
    VotingKeysRegistered {
        /// First term.
        first: Term,
        /// Last term.
        last: Term,
    },
    /// The attendance counts.
    Attended {
        /// Which window.
        window: Window,
        /// Whether the layer is in the window's beacon.
        is_revealed: bool,
    },
    /// The evidence holds.
    EvidenceTaken {
        /// Against whom.
        culprit: AccountId,
    },
    /// The member of the council is heard.
    UpgradeApproved {
        /// Which version.
        version: u32,
        /// Members who want it, this one included.
        n_agreeing: u8,
        /// Whether these are enough.
        is_decided: bool,
    },
    /// Another key votes for the seat.
    Succeeded {
        /// Whose seat it is.
        seat: AccountId,
        /// Which successor it is, from 1.
        generation: u8,
    },
}

/// What a block did without a transaction asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A bid found its providers.
    BidMatched {
        /// The deal.
        deal: DealId,
        /// Its client.
        client: AccountId,
        /// Last height for the certificate.
        deadline: BlockHeight,
        /// Returned at once: more was locked than the deal can cost.
        returned: Amount,
    },
    /// A deal is over.
    DealEnded {
        /// The deal.
        deal: DealId,
        /// Its client.
        client: AccountId,
        /// Why.
        how: DealEnd,
        /// Paid to providers in all, by what it was paid for.
        paid: Paid,
        /// Returned to the client in all.
        refunded: Amount,
    },
    /// A slot is lost: not stored any more, and not paid.
    SlotLost {
        /// The deal.
        deal: DealId,
        /// Which slot of it.
        slot: SlotIndexInDeal,
        /// Its client.
        client: AccountId,
        /// Who held it.
        provider: AccountId,
        /// Why.
        why: Loss,
        /// Returned to the client.
        refunded: Amount,
    },
    /// A live sector is asked again.
    SectorAsked {
        /// Whose.
        provider: AccountId,
        /// Which.
        sector: SectorNumber,
        /// The window that asks.
        window: Window,
        /// Last height for the answer; later if windows are void until then.
        answer_by: BlockHeight,
    },
    /// A sector without slots was not proven for its provider's whole grace, or one was asked again and not shown.
    SectorLost {
        /// Whose.
        provider: AccountId,
        /// Which.
        sector: SectorNumber,
        /// Why.
        why: Loss,
    },
    /// A pre-committed sector was never proven.
    SectorExpired {
        /// Whose.
        provider: AccountId,
        /// Which.
        sector: SectorNumber,
    },
    /// A heartbeat in the block counts for nothing.
    HeartbeatIgnored {
        /// Whose.
        provider: AccountId,
        /// Why.
        why: Refused,
    },
    /// A proving window is over.
    WindowClosed {
        /// Which.
        window: Window,
        /// Heartbeats expected.
        n_expected: u64,
        /// Heartbeats that came.
        n_heartbeats: u64,
        /// Whether nobody is at fault for missing it.
        is_void: bool,
    },
    /// A term began, and people were ranked.
    TermBegan {
        /// Which.
        term: Term,
        /// People who have a rank.
        n_ranked: u64,
        /// Trust between them that counts.
        n_edges: u64,
        /// Root of the ranks.
        rank_root: Hash,
    },
    /// A seat changes hands.
    SeatGiven {
        /// With which term.
        term: Term,
        /// Who votes no more.
        leaves: AccountId,
        /// Who votes instead.
        enters: AccountId,
        /// Why.
        why: Why,
    },
    /// The backbone grows by this seat among others.
    SeatAdded {
        /// With which term.
        term: Term,
        /// Who votes.
        enters: AccountId,
    },
    /// Somebody may be drawn for a seat, 14 terms from now.
    StandsBy {
        /// Who.
        person: AccountId,
    },
    /// Somebody may be drawn no more.
    StandsByNoMore {
        /// Who.
        person: AccountId,
    },
    /// Enough of a term's backbone know a version that was decided: the term follows it.
    UpgradeArmed {
        /// Which version.
        version: u32,
        /// First term that follows it.
        term: Term,
    },
    /// Too few of the next term's backbone know a version that was decided, so that term does not follow it.
    UpgradeWaits {
        /// Which version.
        version: u32,
        /// Entries that know it.
        n_ready: u8,
        /// Entries that have to.
        n_needed: u8,
    },
    /// A decided version is given up: too few ever knew it.
    UpgradeLapsed {
        /// Which version.
        version: u32,
    },
    /// From this block on the rules are others.
    RulesChanged {
        /// Which version.
        version: u32,
        /// The term that began.
        term: Term,
    },
    /// From this block on the rules are those of a rescue release.
    Rescued {
        /// Which version.
        version: u32,
        /// First term that follows the rules before it again, unless it is ratified.
        lapses: Term,
    },
}

/// The root over receipts, then events.
#[must_use]
pub fn receipts_root(network: &NetworkId, receipts: &[Receipt], events: &[Event]) -> Hash {
    let leaf = |kind: &[u8], bytes: Vec<u8>| hash::hash(Domain::Receipt, network, &[kind, &bytes]);
    let receipts = receipts
        .iter()
        .map(|receipt| leaf(b"transaction", codec::encode(receipt)));
    let events = events.iter().map(|event| leaf(b"event", codec::encode(event)));
    merkle::root(&receipts.chain(events).collect::<Vec<_>>())
}
