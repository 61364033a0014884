//! Rescue releases: how a network goes on whose program can't execute the next block, and which therefore can't decide anything
//! (`docs/spec/upgrades.md` §5; TC7).

use crate::rows::RESCUE_REASON_BYTES_MAX;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_primitives::{BlockHeight, BoundedString, Hash};

/// From which block on a program follows other rules than the ledger says. Whoever runs the program consents to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// Height of the last block under the old rules.
    pub base: BlockHeight,
    /// Hash of that block's header, which names the network too.
    pub header: Hash,
    /// Version of the rules that the next block follows; above the one that the ledger says.
    pub version: u32,
    /// Why, for people: it stays on the ledger.
    pub reason: BoundedString<RESCUE_REASON_BYTES_MAX>,
}

/// The rescue releases that a program holds. Whoever replays the chain needs all that ever took effect, so none is ever removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rescues(Vec<Rescue>);

/// Why something is no rescue release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRescue {
    /// Rules that the program does not have.
    #[error(
        "it asks for rules of version {found}; those of this program that can follow others are 2 to {PROTOCOL_VERSION_MAX}"
    )]
    Version {
        /// Version asked for.
        found: u32,
    },
    /// The owner of a node has to know why.
    #[error("it gives no reason")]
    NoReason,
    /// Two of them speak of the same block.
    #[error("this program has another rescue release above block {base}")]
    Twice {
        /// Height of that block.
        base: BlockHeight,
    },
}

impl Rescues {
    /// Those of this program: so far no network had to be rescued.
    #[must_use]
    pub const fn of_program() -> Self {
        Self(Vec::new())
    }

    /// One more.
    ///
    /// # Errors
    /// See [`InvalidRescue`].
    pub fn with(mut self, rescue: Rescue) -> Result<Self, InvalidRescue> {
        let (found, base) = (rescue.version, rescue.base);
        if !(2..=PROTOCOL_VERSION_MAX).contains(&found) {
            return Err(InvalidRescue::Version { found });
        }
        if rescue.reason.as_str().is_empty() {
            return Err(InvalidRescue::NoReason);
        }
        if self.above(&rescue.header).is_some() {
            return Err(InvalidRescue::Twice { base });
        }
        self.0.push(rescue);
        Ok(self)
    }

    /// The one that speaks of the block above the one with this header hash.
    #[must_use]
    pub fn above(&self, header: &Hash) -> Option<&Rescue> {
        self.0.iter().find(|rescue| rescue.header == *header)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rescue> {
        self.0.iter()
    }
}
