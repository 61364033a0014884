//! Why a transaction is refused or fails, with what its author can do about it.

use serde::{Deserialize, Serialize};
use watt_light::KeyRole;
use watt_market::{InvalidAsk, InvalidBid};
use watt_primitives::{
    AccountId, Amount, BlockHeight, DealId, LedgerTime, SectorNumber, SlotIndexInDeal, Term, Window,
};
use watt_trust::InvalidTrust;

/// Why a transaction is not admitted, or which of its operations failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    // Before any operation: such a transaction is in no block.
    /// Malformed, or its witness does not fit.
    #[error("the transaction is malformed")]
    Malformed,
    /// Not signed by its key on this network.
    #[error("the signature is not valid on this network")]
    Signature,
    /// Last height for it has passed.
    #[error("valid until height {valid_until}, the chain is at {height}")]
    Expired {
        /// Last height.
        valid_until: BlockHeight,
        /// Height of the block it would be in.
        height: BlockHeight,
    },
    /// Valid for longer than is allowed.
    #[error("valid until height {valid_until}, at most {valid_until_max} is allowed now")]
    ValidTooLong {
        /// Last height asked for.
        valid_until: BlockHeight,
        /// Last height allowed.
        valid_until_max: BlockHeight,
    },
    /// The account has no such key, or it was removed.
    #[error("the account has no such key")]
    UnknownKey,
    /// The account is none that keys act for.
    #[error("no key can act for this account")]
    NotKeyed,
    /// The key is not one that can be registered.
    #[error("this key can't be registered: unsupported scheme or unsafe encoding")]
    UnsafeKey,
    /// This number was used.
    #[error("number {nonce} of this key was used; the next is {expected}")]
    NonceUsed {
        /// Number given.
        nonce: u64,
        /// Number expected.
        expected: u64,
    },
    /// A number before it is missing.
    #[error("number {nonce} of this key comes too early; the next is {expected}")]
    NonceAhead {
        /// Number given.
        nonce: u64,
        /// Number expected.
        expected: u64,
    },
    /// The key may not do this.
    #[error("a key with this role may not do operation {operation}")]
    Role {
        /// The key's role.
        role: KeyRole,
        /// Index of the operation.
        operation: u16,
    },
    /// The account can't pay the fee it offers.
    #[error("the fee is {fee} WATT, the account has {balance}")]
    FeeTooHigh {
        /// Offered.
        fee: Amount,
        /// Spendable.
        balance: Amount,
    },
    // Money and accounts.
    /// Not enough money.
    #[error("{needed} WATT needed, the account has {balance}")]
    Balance {
        /// Needed.
        needed: Amount,
        /// Spendable.
        balance: Amount,
    },
    /// The day's limit of a daily key.
    #[error("this key may spend {limit} WATT a day and {spent} are spent")]
    DailyLimit {
        /// Limit.
        limit: Amount,
        /// Spent today.
        spent: Amount,
    },
    /// Only the protocol puts money there.
    #[error("nothing can be sent to the protocol wallet")]
    ToProtocolWallet,
    /// The account had this key before.
    #[error("the account has or had this key; a removed key never comes back")]
    KeyKnown,
    /// No room for another key.
    #[error("an account has at most 32 keys in its life")]
    TooManyKeys,
    /// The account would be without an owner.
    #[error("the last owner key can't be removed")]
    LastOwner,
    // Market.
    /// The account has not pledged.
    #[error("the account is no provider")]
    NotAProvider,
    /// Less than is in use.
    #[error("{capacity_bytes} bytes pledged, {used_bytes} are in use")]
    CapacityInUse {
        /// Pledged.
        capacity_bytes: u64,
        /// In use.
        used_bytes: u64,
    },
    /// The offer makes no sense.
    #[error("the offer is not valid")]
    Ask(AskRefused),
    /// There is no offer to withdraw.
    #[error("there is no standing offer")]
    NoAsk,
    /// The bid makes no sense.
    #[error("the bid is not valid")]
    Bid(BidRefused),
    /// Too many open bids.
    #[error("at most {max} bids may be open at a time")]
    TooManyBids {
        /// Most allowed.
        max: u8,
    },
    /// No such deal.
    #[error("there is no deal {deal}")]
    UnknownDeal {
        /// Asked for.
        deal: DealId,
    },
    /// The deal is not at the stage that this needs.
    #[error("the deal is not at the stage that this needs")]
    WrongStage {
        /// Which deal.
        deal: DealId,
    },
    /// The certificate came too late.
    #[error("the certificate was due by height {deadline}")]
    CertificateLate {
        /// Last height.
        deadline: BlockHeight,
    },
    /// Acceptances are not in order, or name a slot that the deal has not.
    #[error("the acceptances are not one per slot, in order")]
    AcceptanceOrder,
    /// Too few acceptances.
    #[error("{given} providers accepted, {needed} are needed")]
    TooFewAcceptances {
        /// Given.
        given: u32,
        /// Needed.
        needed: u32,
    },
    /// An acceptance is not by a key of the slot's provider.
    #[error("the acceptance of slot {slot} is not by a key of its provider")]
    AcceptanceKey {
        /// Which slot.
        slot: SlotIndexInDeal,
    },
    /// An acceptance's signature is wrong.
    #[error("the acceptances are not all signed for this deal")]
    AcceptanceSignature,
    /// Only the client may do this.
    #[error("only the deal's client may end it")]
    NotTheClient,
    /// Only the slot's provider may do this.
    #[error("slot {slot} is held by {provider}")]
    NotTheHolder {
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Its provider.
        provider: AccountId,
    },
    /// No such slot.
    #[error("the deal has no slot {slot}")]
    UnknownSlot {
        /// Which slot.
        slot: SlotIndexInDeal,
    },
    /// Not yet.
    #[error("the deal can't be settled before height {height}")]
    TooEarly {
        /// First height.
        height: BlockHeight,
    },
    // Sectors and proofs.
    /// Sector size that the network has not.
    #[error("no sector of this network has {units} units")]
    SectorSize {
        /// Asked for.
        units: u16,
    },
    /// This number was used.
    #[error("sector number {sector} was used before")]
    SectorUsed {
        /// Which.
        sector: SectorNumber,
    },
    /// No room for another sector.
    #[error("a provider has at most 4096 sectors at a time")]
    TooManySectors,
    /// The seal's window is in the future or too far back.
    #[error("what window {window} asks with is not known any more or not yet")]
    SealWindow {
        /// Asked for.
        window: Window,
    },
    /// The pieces don't cover the payload exactly.
    #[error("the pieces don't cover the sector's payload exactly")]
    PieceTable,
    /// A piece is not a certified slot of this provider with this root and length.
    #[error("slot {slot} of deal {deal} is not a certified slot of this provider with this root and length")]
    PieceNotHeld {
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
    },
    /// The slot is in another sector.
    #[error("slot {slot} of deal {deal} is in sector {sector} already")]
    PieceTaken {
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Where it is.
        sector: SectorNumber,
    },
    /// The 32 bytes of `comm_r` are at or above the modulus: no replica has such a root.
    #[error("comm_r is no element of the field, so it is the root of no replica")]
    NotAReplica,
    /// A sector was accepted with this replica root.
    #[error("a sector was accepted with this replica before")]
    ReplicaUsed,
    /// No such batch: it is answered for, or over, or no sector with this number was the first of one.
    #[error("no batch of sectors that begins with sector {batch} waits for an answer")]
    NotPreCommitted {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// The challenge is not known yet.
    #[error(
        "the challenge of the batch of sector {batch} is known after the first blocks of window {window}"
    )]
    ChallengeUnknown {
        /// Number of its first sector.
        batch: SectorNumber,
        /// Window that asks.
        window: Window,
    },
    /// The answer came too late.
    #[error("the batch of sector {batch} was due by height {deadline}")]
    CommitLate {
        /// Number of its first sector.
        batch: SectorNumber,
        /// Last height.
        deadline: BlockHeight,
    },
    /// The proof of the batch does not verify.
    #[error("the proof of the batch of sector {batch} does not verify")]
    Porep {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// What should be the verdicts of a committee is none.
    #[error("the verdicts on the batch of sector {batch} can't be read")]
    Verdicts {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// Fewer verdicts than the committee has to give.
    #[error("the batch of sector {batch} has {given} verdicts of its committee, {needed} are needed")]
    TooFewVerdicts {
        /// Number of its first sector.
        batch: SectorNumber,
        /// Given.
        given: u32,
        /// Needed.
        needed: u32,
    },
    /// Verdicts out of order, or two of one member.
    #[error("the verdicts on the batch of sector {batch} must ascend by member, one of each")]
    VerdictOrder {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// Somebody who is not in the committee.
    #[error(
        "the committee of the batch of sector {batch} has {members} members, and none with number {member}"
    )]
    VerdictMember {
        /// Number of its first sector.
        batch: SectorNumber,
        /// Number given, from 0.
        member: u8,
        /// How many there are.
        members: u32,
    },
    /// A signature that is not by the member's voting key over this batch's verdict.
    #[error("a verdict on the batch of sector {batch} is not signed by the member that it names")]
    VerdictSignature {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// Not the window that this belongs to.
    #[error("window {window} is not the one this belongs to; the chain is in window {current}")]
    WrongWindow {
        /// Given.
        window: Window,
        /// Current.
        current: Window,
    },
    /// What the window asks with is not made yet.
    #[error("window {window} is not open yet: what it asks is drawn in its first blocks")]
    WindowNotOpen {
        /// Which.
        window: Window,
    },
    /// The provider had no sectors in that window.
    #[error("the provider has no sectors in window {window}")]
    NoSectors {
        /// Which.
        window: Window,
    },
    /// The first heartbeat of a window counts.
    #[error("window {window} has a heartbeat of this provider already")]
    HeartbeatTwice {
        /// Which.
        window: Window,
    },
    /// Declared faults are not an ascending list of sectors in the set.
    #[error("the declared faults are not an ascending list of the provider's sectors")]
    Faults,
    /// The answers' root is no element of the field.
    #[error("the root of the answers is no element of the field, so it is the root of no answers")]
    NotARoot,
    /// Building the provider's set of sectors again would be more than a block does.
    #[error("this block has built as many sets of sectors as a block may")]
    SetsFull,
    /// No heartbeat to prove.
    #[error("there is no heartbeat of this provider in window {window}")]
    NoHeartbeat {
        /// Which.
        window: Window,
    },
    /// The window was proven.
    #[error("window {window} is proven already")]
    ProvenTwice {
        /// Which.
        window: Window,
    },
    /// There was nothing left to prove.
    #[error("all sectors were declared faulty in window {window}")]
    AllFaulty {
        /// Which.
        window: Window,
    },
    /// The window's proof does not verify.
    #[error("the proof of window {window} does not verify")]
    WindowProof {
        /// Which.
        window: Window,
    },
    /// Nothing of the provider's is over and unsettled, or its time has passed.
    #[error("no windows of this provider wait to be settled")]
    NothingToSettle,
    /// A proof about other windows than those that the ledger has.
    #[error("the proof is about other windows than those that wait to be settled")]
    OtherWindows,
    // Audits.
    /// The sector is not asked again.
    #[error("nobody asks for sector {sector} again")]
    NotAudited {
        /// Which.
        sector: SectorNumber,
    },
    /// Its committee has not had its time yet.
    #[error("sector {sector} is shown to its committee first, and in a block from height {from} on")]
    CommitteeFirst {
        /// Which.
        sector: SectorNumber,
        /// From when on.
        from: BlockHeight,
    },
    // Disputes.
    /// The slot is in no proven sector.
    #[error("slot {slot} is in no sector that was proven yet")]
    SlotNotProven {
        /// Which.
        slot: SlotIndexInDeal,
    },
    /// No such group.
    #[error("the slot has {n_groups} groups, the first of which is number 0")]
    NoSuchGroup {
        /// Groups of the slot.
        n_groups: u64,
    },
    /// One dispute at a time.
    #[error("there is a dispute about slot {slot} already; its holder must answer by height {answer_by}")]
    DisputedAlready {
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Last height for the answer.
        answer_by: BlockHeight,
    },
    /// Too many at a time about one provider.
    #[error("there are {max} disputes about this provider already; only the deal's client can add one")]
    TooManyDisputes {
        /// The most.
        max: u32,
    },
    /// Nothing to answer.
    #[error("nobody disputes group {group} of slot {slot}")]
    NotDisputed {
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Which group.
        group: u32,
    },
    /// The answer to a dispute or an audit came too late.
    #[error("the answer was due by height {answer_by}")]
    AnswerLate {
        /// Last height.
        answer_by: BlockHeight,
    },
    /// What is shown is not the group of the slot that was asked for.
    #[error("what is shown is not group {group} of slot {slot}")]
    WrongGroup {
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Which group.
        group: u32,
    },
    // Trust.
    /// Everybody trusts themselves already.
    #[error("nobody is in their own circle")]
    OwnCircle,
    /// There is no such person on the ledger.
    #[error("there is no account {account} that a person has")]
    UnknownPerson {
        /// Asked for.
        account: AccountId,
    },
    /// All places of the circle are taken.
    #[error("a circle has at most 5 people")]
    CircleFull,
    /// Too many new people at once.
    #[error("at most 2 new people may come into a circle in seven days")]
    NewTrustTooSoon {
        /// Ledger time, in milliseconds, at which there is room for the next.
        next_at: LedgerTime,
    },
    /// The person is not in the circle.
    #[error("this person is not in the circle")]
    NotInCircle,
    // Seats of the backbone.
    /// Neither a seat nor a place among those who stand for one.
    #[error("the account has no seat and does not stand for one with a rank among the best")]
    NoDuty,
    /// Not a term that keys can be registered for.
    #[error("voting keys can be registered for the terms {first} to {last}")]
    VotingTerm {
        /// First term.
        first: Term,
        /// Last term.
        last: Term,
    },
    /// One key per account and term.
    #[error("the account has a voting key for term {term} already")]
    VotingKeyTwice {
        /// Which term.
        term: Term,
    },
    /// Somebody has registered this key.
    #[error("this voting key was registered before")]
    VotingKeyUsed,
    /// The key did not sign for this account and term.
    #[error("a voting key has not signed for this account and term")]
    Possession,
    /// The vouchers are not three different people who trust the account.
    #[error("the vouchers are not three different people who have the account in their circles")]
    Vouchers,
    /// No room on the list.
    #[error("as many as can stand for the backbone do so")]
    TooManyStanding,
    /// There is evidence against the account.
    #[error("there is evidence against the account; it can stand again from term {again} on")]
    StruckOff {
        /// First term.
        again: Term,
    },
    /// There is nothing to take back.
    #[error("the account has no seat and stands for none")]
    NotStanding,
    /// Attendance counts once.
    #[error("window {window} was attended already")]
    AttendedTwice {
        /// Which.
        window: Window,
    },
    /// Not the header that was asked for.
    #[error("this is not the header that window {window} asks for")]
    WrongHeader {
        /// Which window.
        window: Window,
    },
    /// Not the layer of the registered onion.
    #[error("this is not the layer of window {window} of the registered onion")]
    WrongLayer {
        /// Which window.
        window: Window,
    },
    /// A correct node may have signed both, or nobody here did.
    #[error("these are not two contradicting statements or proposals of one voting key")]
    NoEvidence,
    /// Not by the cold key of a seat of a term that is settled and not over, or not by the new key.
    #[error("this is no succession by the cold key of a seat in a term that is settled and not over")]
    NoSuccession,
    /// This successor of the seat, or a later one, is known.
    #[error("a successor of generation {generation} votes for this seat already")]
    SuccessionKnown {
        /// The one that is known.
        generation: u8,
    },
    /// It is known.
    #[error("there is evidence against {culprit} already")]
    EvidenceKnown {
        /// Against whom.
        culprit: AccountId,
    },
    // Rules.
    /// Others decide about rules.
    #[error("the account is not in the council that decides about rules")]
    NotInCouncil,
    /// There are enough people who may vote, or its time is over.
    #[error(
        "the council decides nothing any more: its time is over, or more than 5000 people may vote on rules"
    )]
    CouncilOver,
    /// Rules don't go back, and don't leap.
    #[error("version {first} of the rules is in force, {last} is the highest that can be decided")]
    UpgradeVersion {
        /// The one in force.
        first: u32,
        /// Highest allowed.
        last: u32,
    },
    /// Too far away.
    #[error("rules can be put off to term {last} at the latest")]
    UpgradeTerm {
        /// Last term.
        last: Term,
    },
    /// The change is certain.
    #[error(
        "it is certain that term {term} follows version {version}; nothing else can be decided until then"
    )]
    UpgradeArmed {
        /// Which version.
        version: u32,
        /// First term that follows it.
        term: Term,
    },
    /// An invariant of the ledger would have been broken: a bug in the rules, contained in this transaction.
    #[error("the ledger protected itself from an error of its own; nothing was changed")]
    Invariant,
}

impl Refused {
    /// What the author can do about it, in a sentence.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Signature => "build and sign the transaction again, for this network",
            Self::Expired { .. } | Self::ValidTooLong { .. } => {
                "sign it again with a last height at most 720 above the newest block"
            }
            Self::UnknownKey | Self::NotKeyed | Self::Role { .. } => {
                "sign with a key of this account that may do this"
            }
            Self::UnsafeKey | Self::KeyKnown | Self::TooManyKeys => {
                "make a new Ed25519 key, or use another account"
            }
            Self::NonceUsed { .. } | Self::NonceAhead { .. } => {
                "ask for the key's next number and sign again"
            }
            Self::FeeTooHigh { .. } | Self::Balance { .. } => {
                "offer less, or receive some WATT first; nothing was taken"
            }
            Self::DailyLimit { .. } => "use an owner key, or wait until tomorrow",
            Self::ToProtocolWallet => "send it to somebody's account",
            Self::LastOwner => "add another owner key first",
            Self::NotAProvider => "pledge space first",
            Self::CapacityInUse { .. } => "pledge at least what is in use",
            Self::Ask(_) | Self::NoAsk => "place an offer with terms within the market's bounds",
            Self::Bid(_) => "lock more, or change the terms; nothing was taken",
            Self::TooManyBids { .. } => "wait until one of the open bids is certified or over",
            Self::UnknownDeal { .. } | Self::WrongStage { .. } | Self::UnknownSlot { .. } => {
                "look up the deal's present stage"
            }
            Self::CertificateLate { .. } => "bid again; what was not earned comes back",
            Self::AcceptanceOrder | Self::TooFewAcceptances { .. } => {
                "collect one acceptance of every holder, by slot"
            }
            Self::AcceptanceKey { .. } | Self::AcceptanceSignature => {
                "ask that holder for its acceptance again"
            }
            Self::NotTheClient | Self::NotTheHolder { .. } => "only its owner can do this",
            Self::TooEarly { .. } => "wait for that height; the ledger does it by itself then",
            Self::SectorSize { .. } | Self::PieceTable => "pack the sector again for this network's sizes",
            Self::SectorUsed { .. } | Self::NotAReplica | Self::ReplicaUsed => {
                "seal it again under a new sector number"
            }
            Self::TooManySectors => "let old sectors end first, or use larger ones",
            Self::SealWindow { .. } | Self::CommitLate { .. } => "seal it again after a newer block",
            Self::PieceNotHeld { .. } | Self::PieceTaken { .. } => {
                "seal only slots of running deals, each once"
            }
            Self::NotPreCommitted { .. } => "look up the sector's present stage, and its batch",
            Self::ChallengeUnknown { .. } | Self::WindowNotOpen { .. } => {
                "send it again after the first blocks of that window"
            }
            Self::Porep { .. } => "check the replicas and open them again before the deadline",
            Self::Verdicts { .. } | Self::TooFewVerdicts { .. } | Self::VerdictOrder { .. } => {
                "collect the verdicts of the committee, by member"
            }
            Self::VerdictMember { .. } | Self::VerdictSignature { .. } => {
                "look up the committee, and leave out what does not hold"
            }
            Self::WrongWindow { .. } => "send it in its own window; a missed one is lost",
            Self::NoSectors { .. } => "commit a sector; it counts from the next window",
            Self::HeartbeatTwice { .. } | Self::ProvenTwice { .. } => "nothing: it is on the ledger already",
            Self::Faults => "declare sectors of the current set, in ascending order",
            Self::NotARoot => "answer the window from the sectors of the ledger",
            Self::SetsFull => "send it again in the next block",
            Self::AllFaulty { .. } => "repair the disk, or let the deals end",
            Self::NoHeartbeat { .. } => "send the heartbeat in time; this window is lost",
            Self::NothingToSettle => {
                "nothing: they are settled already, or were not in time; the next period counts"
            }
            Self::OtherWindows => "prove the windows that the ledger lists",
            Self::WindowProof { .. } => "scrub the sectors and declare the damaged ones",
            Self::SlotNotProven { .. } => {
                "wait until its sector is proven; until then its holder is not paid for it"
            }
            Self::NoSuchGroup { .. } => "name a group that the slot has",
            Self::DisputedAlready { .. } => "wait until it is answered, or the slot is lost",
            Self::TooManyDisputes { .. } => {
                "wait until some of them are closed, or leave it to the deal's client"
            }
            Self::NotDisputed { .. } | Self::NotAudited { .. } => "nothing: nobody asks for it any more",
            Self::AnswerLate { .. } => "nothing: what was not shown in time is lost",
            Self::CommitteeFirst { .. } => "show it to its committee, or wait until then",
            Self::WrongGroup { .. } => {
                "scrub the sectors; show the group that the dispute names, with its way to the slot's root"
            }
            Self::OwnCircle | Self::UnknownPerson { .. } => {
                "name the account of somebody you know; they have one once they have received or sent anything"
            }
            Self::CircleFull => "take somebody out of the circle first",
            Self::NewTrustTooSoon { .. } => "add them when seven days have passed since the last but one",
            Self::NotInCircle => "look up who is in the circle",
            Self::NoDuty => "stand for the backbone; the rank is looked at when the next term begins",
            Self::VotingTerm { .. } | Self::VotingKeyTwice { .. } => {
                "look up for which terms keys are missing"
            }
            Self::VotingKeyUsed | Self::Possession => {
                "make new voting keys, and sign with each for its own term"
            }
            Self::Vouchers => "ask three people who trust you to take you into their circles",
            Self::TooManyStanding => "try again when the next term has begun",
            Self::StruckOff { .. } => "wait for that term",
            Self::NotStanding => "nothing: there is nothing to take back",
            Self::AttendedTwice { .. } | Self::EvidenceKnown { .. } | Self::SuccessionKnown { .. } => {
                "nothing: it is on the ledger already"
            }
            Self::NoSuccession => {
                "sign with the cold key that the seat committed to, and for the running term"
            }
            Self::WrongHeader { .. } => "follow the chain to its head, and look up which header is asked for",
            Self::WrongLayer { .. } => "check the secret from which the term's onion was made",
            Self::NoEvidence => "hand in two that were signed by one key for one slot and exclude each other",
            Self::NotInCouncil => "look up the council in `watt upgrade status`",
            Self::CouncilOver => "nothing: the network has outgrown its council",
            Self::UpgradeVersion { .. } => "name the version in force, to stay with it, or a later one",
            Self::UpgradeTerm { .. } => "name an earlier term",
            Self::UpgradeArmed { .. } => "wait until that term has begun",
            Self::Invariant => "report it: this is a bug of the ledger",
        }
    }
}

/// Why an offer is refused; the market's reasons as the ledger records them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskRefused {
    /// The price is more than all money.
    Price,
    /// No slot size fits.
    SlotBytes,
    /// The term is out of bounds.
    Term,
}

/// Why a bid is refused; the market's reasons as the ledger records them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BidRefused {
    /// The class is for test networks.
    Class,
    /// No slot size of the class.
    SlotBytes {
        /// Given.
        slot_bytes: u64,
    },
    /// Not one root per slot.
    SlotRoots,
    /// The term is out of bounds.
    Term,
    /// Less is locked than the deal can cost.
    Escrow {
        /// Locked.
        escrow: Amount,
        /// Needed.
        needed: Amount,
    },
    /// More than all money.
    TooExpensive,
}

impl From<InvalidAsk> for Refused {
    fn from(invalid: InvalidAsk) -> Self {
        Self::Ask(match invalid {
            InvalidAsk::Price => AskRefused::Price,
            InvalidAsk::SlotBytes => AskRefused::SlotBytes,
            InvalidAsk::Term => AskRefused::Term,
        })
    }
}

impl From<InvalidBid> for Refused {
    fn from(invalid: InvalidBid) -> Self {
        Self::Bid(match invalid {
            InvalidBid::Class => BidRefused::Class,
            InvalidBid::SlotBytes { slot_bytes } => BidRefused::SlotBytes { slot_bytes },
            InvalidBid::SlotRoots { .. } => BidRefused::SlotRoots,
            InvalidBid::Term => BidRefused::Term,
            InvalidBid::Escrow { escrow, needed } => BidRefused::Escrow { escrow, needed },
            InvalidBid::TooExpensive => BidRefused::TooExpensive,
        })
    }
}

impl From<InvalidTrust> for Refused {
    fn from(why: InvalidTrust) -> Self {
        match why {
            InvalidTrust::Oneself => Self::OwnCircle,
            InvalidTrust::Full => Self::CircleFull,
            InvalidTrust::TooSoon { next_at } => Self::NewTrustTooSoon { next_at },
            InvalidTrust::NotInCircle => Self::NotInCircle,
        }
    }
}
