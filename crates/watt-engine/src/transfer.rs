//! What is said on a transfer stream (`docs/spec/node.md` §6): between a client and a provider control frames around raw bytes, and
//! what anybody may ask any node about the newest block.
//!
//! A stream carries one upload, or any number of reads one after the other. Every frame is canonical and bounded; raw bytes
//! follow only where a frame announced their exact number.

use serde::{Deserialize, Serialize};
use watt_light::restart::{Plans, are_none};
use watt_light::{Acceptance, FinalityProof, HandOver, ShownEntry, SignedNewest, Verdict};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{
    AccountId, BlockHeight, BoundedBytes, BoundedString, BoundedVec, DealId, Hash, NetworkId, SectorNumber,
    SlotIndexInDeal, Term,
};

/// The most bytes of a control frame: the objects of a bundle, or the outboard of its largest slot.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The most bytes of one object (header, slot roots, manifest).
pub const OBJECT_BYTES_MAX: usize = 768 * 1024;

/// The most groups of 16 KiB in a slot of any class: 31 MiB.
pub const GROUPS_MAX: usize = 31 * 64;

/// The objects that let whoever has the link read a bundle; every holder keeps them beside its slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// The bundle's header block.
    pub header: BoundedBytes<OBJECT_BYTES_MAX>,
    /// The list of slot roots that the header commits to.
    pub slot_roots: BoundedBytes<OBJECT_BYTES_MAX>,
    /// The manifest block of the file.
    pub manifest: BoundedBytes<OBJECT_BYTES_MAX>,
}

/// The most hand-overs in one answer.
pub const HAND_OVERS_PER_REPLY_MAX: usize = 16;

/// What a proof is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProofOf {
    /// That the block is final.
    Block {
        /// Its height.
        height: BlockHeight,
    },
    /// What an account is after the newest block, once that is final.
    Account {
        /// Which.
        account: AccountId,
    },
}

/// What is shown (`docs/spec/light.md` §6), the hand-overs left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofPart {
    /// The plans of the network's restarts, in their order; left out if there are none.
    #[serde(default, skip_serializing_if = "are_none")]
    pub plans: Plans,
    /// That its header is final.
    pub finality: FinalityProof,
    /// The account's entry, if it was asked for.
    pub entry: Option<ShownEntry>,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// "Keep this slot of my deal." The answer is [`Reply::Ready`] (send from there), then [`Reply::Accepted`].
    Put {
        /// Which network.
        network: NetworkId,
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
        /// Its length in bytes.
        len: u64,
        /// Its root.
        root: Hash,
        /// What to keep beside it.
        objects: Box<Objects>,
    },
    /// "Send me these bytes of a slot." The answer is [`Reply::Ready`], then exactly `len` raw bytes; or [`Reply::Unsealing`] if
    /// they lie in a sealed replica alone, which asking does not change.
    Read {
        /// Which network.
        network: NetworkId,
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// "Make the slot readable." The answer is [`Reply::Unsealing`].
    Unseal {
        /// Which network.
        network: NetworkId,
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
    },
    /// "Send me the digests of the slot's groups." The answer is [`Reply::Outboard`].
    Outboard {
        /// Which network.
        network: NetworkId,
        /// Which deal.
        deal: DealId,
        /// Which slot.
        slot: SlotIndexInDeal,
    },
    /// "Send me the bundle's objects." The answer is [`Reply::Objects`].
    Objects {
        /// Which network.
        network: NetworkId,
        /// Which deal.
        deal: DealId,
    },
    /// "Show me the openings of your batch." The answer is [`Reply::Openings`], then exactly as many raw bytes as it says.
    Openings {
        /// Which network.
        network: NetworkId,
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// "They hold." The answer is [`Reply::Taken`].
    Verdict {
        /// Which network.
        network: NetworkId,
        /// On which batch: the number of its first sector.
        batch: SectorNumber,
        /// Hash of the openings.
        openings: Hash,
        /// By a member of its committee.
        verdict: Verdict,
    },
    /// "Which block is the newest that is final with you?" Every node answers with [`Reply::Newest`].
    Newest {
        /// Which network.
        network: NetworkId,
        /// Chosen by whoever asks, so that an old answer is none.
        nonce: Hash,
        /// None above this height, if it is given.
        at: Option<BlockHeight>,
    },
    /// "Prove it." Every node answers with [`Reply::Proof`].
    Proof {
        /// Which network.
        network: NetworkId,
        /// What.
        of: ProofOf,
    },
    /// "How did the backbones after this term come to be?" Every node answers with [`Reply::HandOvers`].
    HandOvers {
        /// Which network.
        network: NetworkId,
        /// The first term whose hand-over is asked for.
        from: Term,
    },
}

/// Why a provider does not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The request names another network.
    #[error("the provider belongs to another network")]
    OtherNetwork,
    /// The ledger does not (or not yet) name this provider for that slot.
    #[error("the ledger does not name this provider for the slot")]
    NotMatched,
    /// Length, root or objects are not the deal's.
    #[error("what was sent is not what the deal names")]
    NotTheDeal,
    /// The slot is not (or no longer) here.
    #[error("the provider does not hold the slot")]
    NotHeld,
    /// Outside the slot.
    #[error("the range lies outside the slot")]
    OutOfRange,
    /// The bytes sent have another root.
    #[error("the bytes arrived damaged")]
    WrongRoot,
    /// No room on the provider's disk.
    #[error("the provider's disk is full")]
    NoSpace,
    /// The provider's copy of these bytes is damaged, and it knows.
    #[error("the provider's copy is damaged")]
    Damaged,
    /// The provider's disk does not do its work.
    #[error("the provider has trouble with its disk")]
    Trouble,
    /// No such batch waits for verdicts, or its openings are not made yet.
    #[error("the batch waits for no verdicts, or is not opened yet")]
    NotShown,
    /// The verdict is not by a member of the batch's committee over what is shown.
    #[error("the verdict is not by a member of the committee over what is shown")]
    NotAVerdict,
    /// Too many transfers at once.
    #[error("the provider is busy")]
    Busy,
    /// The node can't prove it now.
    #[error("the node can't prove it now")]
    NotProven,
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// Upload: send from byte `from` on; what lies before is already durable here. Read: `from` is the offset asked for.
    Ready {
        /// First byte.
        from: u64,
    },
    /// The slot is durable; this is the provider's signature for the certificate.
    Accepted {
        /// The signature.
        acceptance: Acceptance,
    },
    /// The slot can be read after some time, if it was asked to be made readable: its bytes lie in a sealed replica.
    Unsealing {
        /// How long that takes or still takes, in seconds; zero if it can be read now.
        seconds: u32,
    },
    /// Digests of the slot's groups.
    Outboard {
        /// One per 16 KiB.
        groups: BoundedVec<Hash, GROUPS_MAX>,
    },
    /// The bundle's objects.
    Objects(Box<Objects>),
    /// The openings of a batch follow.
    Openings {
        /// Their length in bytes.
        len: u32,
    },
    /// The verdict is counted.
    Taken {},
    /// The newest block that is final there.
    Newest(SignedNewest),
    /// What was to be proven.
    Proof(Box<ProofPart>),
    /// Hand-overs of consecutive terms; none if the node has none of the first.
    HandOvers {
        /// The hand-overs.
        hand_overs: BoundedVec<HandOver, HAND_OVERS_PER_REPLY_MAX>,
    },
    /// Not done, and why.
    Refused {
        /// For programs.
        reason: Refusal,
        /// For people; may be empty.
        detail: BoundedString<200>,
    },
}

macro_rules! frame {
    ($type:ty) => {
        impl $type {
            /// The frame's bytes.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                codec::encode(self)
            }

            /// Reads a frame.
            ///
            /// # Errors
            /// Anything but a canonical frame within [`FRAME_BYTES_MAX`].
            pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEncoding> {
                codec::decode(bytes, FRAME_BYTES_MAX)
            }
        }
    };
}
frame!(Request);
frame!(Reply);
