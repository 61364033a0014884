//! The rows of the state and the keys they stand under (`docs/spec/ledger.md` §1).
//!
//! Keys beginning with `E` are entries: they are in the state tree and provable. Keys beginning with `I` or `H` are derived
//! from entries (indexes, the newest header): every node has the same, but no root commits to them.

mod account;
mod audit;
mod chain;
mod deal;
mod duty;
mod period;
mod provider;
mod upgrade;

pub use account::{ACCOUNT_KEYS_MAX, AccountKey, AccountKind, AccountRow, DaySpending};
pub use audit::{AuditRow, LotRow, LotsRow};
pub use chain::{ChainRow, LeadersRow, RestartRow, RulesRow, SupplyRow, WindowRow, WithheldRow};
pub use deal::{DealEnd, DealRow, DealStage, DisputeRow, Loss, LostSlot, SlotRow};
pub use duty::{
    ATTENDANCE_BYTES_MAX, AttendanceRow, DutyCountsRow, DutyWindowRow, FaultyRow, Revealed, RevealsRow,
    SeatsRow, StandingRow, SuccessionRow, UseOfKey, VotingKeyRow,
};
pub use period::{PERIODS_MAX, Period, PeriodsRow};
pub use provider::{
    AskRow, BatchRow, HeartbeatRow, KeptSet, PieceTableRow, PowerRow, ProviderRow, SectorRow, SectorStage,
    Unpaid, UseOfReplica,
};
pub use upgrade::{
    ApprovalRow, COUNCIL_QUORUM, COUNCIL_SEATS, DecisionOutcome, DecisionRow, ELECTORATE_OF_COUNCIL_MAX,
    PlannedUpgrade, RESCUE_REASON_BYTES_MAX, RescueRow, UpgradesRow,
};

use crate::state::{StateRead, Writes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use watt_light::ProviderNumber;
use watt_light::backbone::backbone_key;
use watt_primitives::{
    AccountId, BlockHeight, Cid, DealId, LedgerTime, NodeId, SectorNumber, SlotIndexInDeal, Term, Window,
    codec,
};
use watt_proofs::Element;
use watt_trust::Circle;

/// Key of the newest header.
pub const HEAD: &[u8] = b"H";
/// Key of [`ChainRow`].
pub const CHAIN: &[u8] = b"Ec";
/// Key of [`RulesRow`].
pub const RULES: &[u8] = b"Eg";
/// Key of [`RestartRow`]; absent in a network that nobody restarted.
pub const RESTARTED: &[u8] = b"EG";
/// Prefix of the restarts that this node follows, by the height with which they begin; beside the entries, and no other node's matter.
pub const FOLLOWED: &[u8] = b"P";
/// Key of [`SupplyRow`].
pub const SUPPLY: &[u8] = b"Eu";
/// Key of [`LeadersRow`]; absent until a first block came out empty.
pub const LEADERS: &[u8] = b"El";
/// Prefix of all providers.
pub const PROVIDERS: &[u8] = b"Ep";
/// Prefix of all asks.
pub const ASKS: &[u8] = b"Eo";
/// Prefix of bids that wait for the next block.
pub const PENDING_BIDS: &[u8] = b"Eq";
/// Prefix of all windows that wait to be settled together.
pub const PERIODS: &[u8] = b"EP";
/// Prefix of all security circles.
pub const CIRCLES: &[u8] = b"Ef";
/// Key of the accounts in whom trust begins, ascending.
pub const TRUST_SEEDS: &[u8] = b"Ei";
/// Prefix of everybody who offers to hold a seat.
pub const STANDING: &[u8] = b"Ey";
/// Key of [`SeatsRow`]; absent in a network whose backbone is not `3f + 1`.
pub const SEATS: &[u8] = b"Evs";
/// Key of [`DutyCountsRow`].
pub const DUTY_COUNTS: &[u8] = b"Evc";
/// Key of [`RevealsRow`]; there while a window's beacon is being made.
pub const REVEALS: &[u8] = b"Evr";
/// Key of `V` of the newest block that ended a window, once there was one: the filler of that window's beacon, if it needs one.
pub const FILLER: &[u8] = b"Eb";
/// Key of [`UpgradesRow`].
pub const UPGRADES: &[u8] = b"Ee";
/// Key of [`LotsRow`]; absent until there is a first lot.
pub const LOTS: &[u8] = b"EAc";
/// Prefix of the live sectors that are asked again and have not answered; account and sector follow.
pub const AUDITS: &[u8] = b"EAq";
/// Prefix of what falls due at a height; a letter for the kind, the height and what it is follow.
const DUE_AT_HEIGHT: &[u8] = b"Exh";
/// Prefix of what falls due at a ledger time.
pub const DUE_AT_TIME: &[u8] = b"Ext";

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Key of an account.
#[must_use]
pub fn account(id: &AccountId) -> Vec<u8> {
    join(&[b"Ea", id.as_ref()])
}

/// The account that stands under a key; `None` if it is not the key of an account.
#[must_use]
pub fn account_of(key: &[u8]) -> Option<AccountId> {
    match key.strip_prefix(b"Ea").and_then(split::<20>) {
        Some((id, [])) => Some(AccountId(id)),
        Some(_) | None => None,
    }
}

/// Key of a provider.
#[must_use]
pub fn provider(id: &AccountId) -> Vec<u8> {
    join(&[PROVIDERS, id.as_ref()])
}

/// Key of a provider's standing offer.
#[must_use]
pub fn ask(provider: &AccountId) -> Vec<u8> {
    join(&[ASKS, provider.as_ref()])
}

/// Key of a person's security circle.
#[must_use]
pub fn circle(person: &AccountId) -> Vec<u8> {
    join(&[CIRCLES, person.as_ref()])
}

/// Key of a deal.
#[must_use]
pub fn deal(id: &DealId) -> Vec<u8> {
    join(&[b"Ed", id.as_ref()])
}

/// Key of one slot of a deal.
#[must_use]
pub fn slot(deal: &DealId, slot: SlotIndexInDeal) -> Vec<u8> {
    join(&[b"Es", deal.as_ref(), &[slot.0]])
}

/// Prefix of all live sectors of a provider.
#[must_use]
pub fn sectors(provider: &AccountId) -> Vec<u8> {
    join(&[b"Ek", provider.as_ref()])
}

/// Key of a live sector.
#[must_use]
pub fn sector(provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    join(&[b"Ek", provider.as_ref(), &number.0.to_be_bytes()])
}

/// Prefix of all batches of a provider that wait to be answered for.
#[must_use]
pub fn batches(provider: &AccountId) -> Vec<u8> {
    join(&[b"EB", provider.as_ref()])
}

/// Key of a batch that waits to be answered for.
#[must_use]
pub fn batch(provider: &AccountId, first: SectorNumber) -> Vec<u8> {
    join(&[&batches(provider), &first.0.to_be_bytes()])
}

/// Key of the mark that a sector number was used.
#[must_use]
pub fn used_sector(provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    join(&[b"Ez", provider.as_ref(), &number.0.to_be_bytes()])
}

/// Key of a live sector's piece table.
#[must_use]
pub fn piece_table(provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    join(&[b"Et", provider.as_ref(), &number.0.to_be_bytes()])
}

/// Key of the mark that a sector was accepted with this replica.
#[must_use]
pub fn used_replica(comm_r: &Element) -> Vec<u8> {
    join(&[b"Er", &comm_r.to_bytes()])
}

/// Key of the [`LotRow`] with this number.
#[must_use]
pub fn lot(number: u64) -> Vec<u8> {
    join(&[b"EAn", &number.to_be_bytes()])
}

/// Key of the number of a live sector's lot.
#[must_use]
pub fn lot_of(provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    join(&[b"EAs", provider.as_ref(), &number.0.to_be_bytes()])
}

/// Key of the [`AuditRow`] of a live sector that is asked again.
#[must_use]
pub fn audit(provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    join(&[AUDITS, provider.as_ref(), &number.0.to_be_bytes()])
}

/// The sector that the key of an audit names.
pub(crate) fn audit_of(key: &[u8]) -> Option<(AccountId, SectorNumber)> {
    let (provider, number) = split::<20>(key.strip_prefix(AUDITS)?)?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some((AccountId(provider), SectorNumber(number)))
}

/// Key of a provider's heartbeat in a window.
#[must_use]
pub fn heartbeat(provider: &AccountId, window: Window) -> Vec<u8> {
    join(&[b"Eh", provider.as_ref(), &window.0.to_be_bytes()])
}

/// Key of the windows of a provider that wait to be settled together; absent if there are none.
#[must_use]
pub fn periods(provider: &AccountId) -> Vec<u8> {
    join(&[PERIODS, provider.as_ref()])
}

/// Key of a window.
#[must_use]
pub fn window(window: Window) -> Vec<u8> {
    join(&[b"Ew", &window.0.to_be_bytes()])
}

/// Key of a term's [`watt_light::Backbone`].
#[must_use]
pub fn backbone(term: Term) -> Vec<u8> {
    backbone_key(term)
}

/// Key of what a window asks of those who attend.
#[must_use]
pub fn duty_window(window: Window) -> Vec<u8> {
    join(&[b"Evw", &window.0.to_be_bytes()])
}

/// Prefix of the attendances of a term; the account follows.
#[must_use]
pub fn attendances(term: Term) -> Vec<u8> {
    join(&[b"Eva", &term.0.to_be_bytes()])
}

/// Key of somebody's attendance in a term.
#[must_use]
pub fn attendance(term: Term, person: &AccountId) -> Vec<u8> {
    join(&[&attendances(term), person.as_ref()])
}

/// Prefix of the voting keys registered for a term; the account follows.
#[must_use]
pub fn voting_keys(term: Term) -> Vec<u8> {
    join(&[b"Evk", &term.0.to_be_bytes()])
}

/// Key of somebody's voting key for a term.
#[must_use]
pub fn voting_key(term: Term, person: &AccountId) -> Vec<u8> {
    join(&[&voting_keys(term), person.as_ref()])
}

/// Key of the mark whose a voting key is.
#[must_use]
pub fn used_key(key: &NodeId) -> Vec<u8> {
    join(&[b"Evu", key.as_ref()])
}

/// Key of somebody's offer to hold a seat.
#[must_use]
pub fn standing(person: &AccountId) -> Vec<u8> {
    join(&[STANDING, person.as_ref()])
}

/// Key of the hash of somebody's cold key.
#[must_use]
pub fn cold_key(person: &AccountId) -> Vec<u8> {
    join(&[b"Em", person.as_ref()])
}

/// Prefix of the successors of a term's voting keys; the account follows.
#[must_use]
pub fn successions(term: Term) -> Vec<u8> {
    join(&[b"Evx", &term.0.to_be_bytes()])
}

/// Key of the successor of somebody's voting key in a term.
#[must_use]
pub fn succession(term: Term, person: &AccountId) -> Vec<u8> {
    join(&[&successions(term), person.as_ref()])
}

/// Key of the evidence against somebody.
#[must_use]
pub fn faulty(person: &AccountId) -> Vec<u8> {
    join(&[b"Ej", person.as_ref()])
}

/// Key of a decision about rules.
#[must_use]
pub fn decision(number: u64) -> Vec<u8> {
    join(&[b"Eed", &number.to_be_bytes()])
}

/// The account at the end of a key that begins with `prefix`.
#[must_use]
pub fn account_after(key: &[u8], prefix: &[u8]) -> Option<AccountId> {
    key.strip_prefix(prefix)?.try_into().ok().map(AccountId)
}

/// Key of the storage that somebody's providers proved.
#[must_use]
pub fn power(person: &AccountId) -> Vec<u8> {
    join(&[b"Evp", person.as_ref()])
}

/// Key of the restart that begins with the block of this height, if this node follows one.
#[must_use]
pub fn followed(base: BlockHeight) -> Vec<u8> {
    join(&[FOLLOWED, &base.0.to_be_bytes()])
}

/// Key of a bid that waits for its match.
#[must_use]
pub fn pending_bid(height: BlockHeight, deal: &DealId) -> Vec<u8> {
    join(&[PENDING_BIDS, &height.0.to_be_bytes(), deal.as_ref()])
}

/// What falls due at a height. Each kind has a queue of its own, so that a flood of one delays no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueKind {
    /// A live sector's audit.
    Audit,
    /// The end of a batch.
    Batch,
    /// A deal's end.
    Deal,
    /// A look at a sector.
    Sector,
    /// The end of a dispute about a slot.
    Slot,
}

impl DueKind {
    /// All of them, in the order of their keys.
    pub(crate) const ALL: [Self; 5] = [Self::Audit, Self::Batch, Self::Deal, Self::Sector, Self::Slot];

    /// Prefix of what of this kind falls due, the earliest first.
    pub(crate) fn queue(self) -> Vec<u8> {
        let letter = match self {
            Self::Audit => b"a",
            Self::Batch => b"b",
            Self::Deal => b"d",
            Self::Sector => b"k",
            Self::Slot => b"s",
        };
        join(&[DUE_AT_HEIGHT, letter])
    }

    fn key(self, height: BlockHeight, what: &[&[u8]]) -> Vec<u8> {
        join(&[&self.queue(), &height.0.to_be_bytes(), &what.concat()])
    }
}

/// Key of a deal that has something due at `height`.
#[must_use]
pub fn deal_due_at_height(height: BlockHeight, deal: &DealId) -> Vec<u8> {
    DueKind::Deal.key(height, &[deal.as_ref()])
}

/// Key of a sector that is looked at at `height`.
#[must_use]
pub fn sector_due_at_height(height: BlockHeight, provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    DueKind::Sector.key(height, &[provider.as_ref(), &number.0.to_be_bytes()])
}

/// Key of a batch that expires at `height`.
#[must_use]
pub fn batch_due_at_height(height: BlockHeight, provider: &AccountId, first: SectorNumber) -> Vec<u8> {
    DueKind::Batch.key(height, &[provider.as_ref(), &first.0.to_be_bytes()])
}

/// Key of a slot whose dispute has to be answered below `height`.
#[must_use]
pub fn slot_due_at_height(height: BlockHeight, deal: &DealId, slot: SlotIndexInDeal) -> Vec<u8> {
    DueKind::Slot.key(height, &[deal.as_ref(), &[slot.0]])
}

/// Key of a live sector whose audit has something due at `height`.
#[must_use]
pub fn audit_due_at_height(height: BlockHeight, provider: &AccountId, number: SectorNumber) -> Vec<u8> {
    DueKind::Audit.key(height, &[provider.as_ref(), &number.0.to_be_bytes()])
}

/// What has something due at a height.
pub(crate) enum Due {
    Deal(DealId),
    Batch(AccountId, SectorNumber),
    Sector(AccountId, SectorNumber),
    Slot(DealId, SlotIndexInDeal),
    Audit(AccountId, SectorNumber),
}

/// The height that a key in the queue of this kind names, and what is due.
pub(crate) fn due_at_height(kind: DueKind, key: &[u8]) -> Option<(BlockHeight, Due)> {
    let (height, rest) = split::<8>(key.strip_prefix(kind.queue().as_slice())?)?;
    let of_sector = |due: fn(AccountId, SectorNumber) -> Due| {
        let (provider, number) = split::<20>(rest)?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some(due(AccountId(provider), SectorNumber(number)))
    };
    let due = match kind {
        DueKind::Audit => of_sector(Due::Audit)?,
        DueKind::Batch => of_sector(Due::Batch)?,
        DueKind::Deal => Due::Deal(DealId(rest.try_into().ok()?)),
        DueKind::Sector => of_sector(Due::Sector)?,
        DueKind::Slot => {
            let (deal, slot) = split::<32>(rest)?;
            let [slot] = slot else { return None };
            Due::Slot(DealId(deal), SlotIndexInDeal(*slot))
        }
    };
    Some((BlockHeight(u64::from_be_bytes(height)), due))
}

/// Key of a deal whose term is over at `time`.
#[must_use]
pub fn deal_due_at_time(time: LedgerTime, deal: &DealId) -> Vec<u8> {
    join(&[DUE_AT_TIME, &time.0.to_be_bytes(), deal.as_ref()])
}

/// Prefix of the index of deals by client; the deal's id follows.
#[must_use]
pub fn deals_of_client(client: &AccountId) -> Vec<u8> {
    join(&[b"Ic", client.as_ref()])
}

/// Prefix of the index of deals by manifest; the deal's id follows.
#[must_use]
pub fn deals_of_manifest(manifest: &Cid) -> Vec<u8> {
    join(&[b"Im", manifest.0.as_ref()])
}

/// Prefix of the index of slots by provider; deal and slot follow.
#[must_use]
pub fn slots_of_provider(provider: &AccountId) -> Vec<u8> {
    join(&[b"Ip", provider.as_ref()])
}

/// Key of an index row: whose this provider's number is.
#[must_use]
pub fn provider_number(number: ProviderNumber) -> Vec<u8> {
    join(&[b"In", &number.0.to_be_bytes()])
}

/// Prefix of the index of slots that a provider lost; deal and slot follow.
#[must_use]
pub fn lost_slots_of_provider(provider: &AccountId) -> Vec<u8> {
    join(&[b"Il", provider.as_ref()])
}

/// Prefix of the index of those in whose circles a person is; their ids follow.
#[must_use]
pub fn trusters_of(person: &AccountId) -> Vec<u8> {
    join(&[b"If", person.as_ref()])
}

/// Key of an index row: `truster` has `person` in their circle.
#[must_use]
pub fn truster(person: &AccountId, truster: &AccountId) -> Vec<u8> {
    join(&[b"If", person.as_ref(), truster.as_ref()])
}

/// Key of an index row: `prefix`, then the deal.
#[must_use]
pub fn indexed_deal(prefix: &[u8], deal: &DealId) -> Vec<u8> {
    join(&[prefix, deal.as_ref()])
}

/// Key of an index row: the provider's prefix, deal, slot.
#[must_use]
pub fn indexed_slot(provider: &AccountId, deal: &DealId, slot: SlotIndexInDeal) -> Vec<u8> {
    join(&[b"Ip", provider.as_ref(), deal.as_ref(), &[slot.0]])
}

/// Key of an index row: a slot that the provider lost.
#[must_use]
pub fn indexed_lost_slot(provider: &AccountId, deal: &DealId, slot: SlotIndexInDeal) -> Vec<u8> {
    join(&[b"Il", provider.as_ref(), deal.as_ref(), &[slot.0]])
}

/// The rows of the indexes that follow from these entries: those that the ledger keeps while it writes the entries.
pub(crate) fn indexes_of(entries: &Writes) -> Writes {
    let mut indexes = Writes::new();
    for (key, value) in entries {
        let Some(value) = value else { continue };
        if let Some((deal, [])) = key.strip_prefix(b"Ed").and_then(split::<32>) {
            let (deal, row): (_, DealRow) = (DealId(deal), decode(value));
            indexes.insert(
                indexed_deal(&deals_of_client(&row.client), &deal),
                Some(encode(&())),
            );
            for lost in &row.lost {
                let key = indexed_lost_slot(&lost.provider, &deal, lost.slot);
                indexes.insert(key, Some(encode(&())));
            }
            if !matches!(row.stage, DealStage::Ended { .. }) {
                let of_manifest = deals_of_manifest(&row.terms.manifest);
                indexes.insert(indexed_deal(&of_manifest, &deal), Some(encode(&())));
            }
        } else if let Some((deal, [slot])) = key.strip_prefix(b"Es").and_then(split::<32>) {
            let row: SlotRow = decode(value);
            let key = indexed_slot(&row.provider, &DealId(deal), SlotIndexInDeal(*slot));
            indexes.insert(key, Some(encode(&())));
        } else if let Some((account, [])) = key.strip_prefix(PROVIDERS).and_then(split::<20>) {
            let row: ProviderRow = decode(value);
            indexes.insert(provider_number(row.number), Some(encode(&AccountId(account))));
        } else if let Some((person, [])) = key.strip_prefix(CIRCLES).and_then(split::<20>) {
            let circle: Circle = decode(value);
            let marks = circle.edges.iter();
            indexes.extend(marks.map(|edge| (truster(&edge.to, &AccountId(person)), Some(encode(&())))));
        }
    }
    indexes
}

/// Splits `N` bytes off the front of a key's rest.
pub(crate) fn split<const N: usize>(rest: &[u8]) -> Option<([u8; N], &[u8])> {
    let (head, tail) = rest.split_at_checked(N)?;
    Some((head.try_into().ok()?, tail))
}

/// Encodes a row.
pub(crate) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    codec::encode(row)
}

/// Decodes a row that this crate has written.
///
/// # Panics
/// If the row is damaged: the state can't be trusted then, and going on would spread the damage.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode_own(bytes).expect("a row of the state is damaged; rebuild it from a checkpoint")
}

/// Reads the row under `key`.
#[must_use]
pub fn read<T: DeserializeOwned>(state: &(impl StateRead + ?Sized), key: &[u8]) -> Option<T> {
    state.get(key).map(|bytes| decode(&bytes))
}
