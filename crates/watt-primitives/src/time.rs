//! Words for time (`docs/spec/ledger.md` §2): slot, window, term, close time, ledger time. The core has no clock; these are arguments.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! number_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one, saturating at the end of the number range.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The one before, zero at zero.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// This many later, saturating.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0.saturating_add(n))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_type!(
    /// One instance of agreement; equals the height of the block it decides.
    SlotIndex
);
number_type!(
    /// Number of a block; genesis is 0.
    BlockHeight
);
number_type!(
    /// A proving window: a fixed number of slots (a network parameter), counted from genesis.
    Window
);
number_type!(
    /// A term: a fixed number of windows (a network parameter), counted from genesis. People are ranked at the beginning of each,
    /// and the backbone changes there.
    Term
);
number_type!(
    /// Milliseconds since the Unix epoch, as a clock tells them (close times, timers).
    Timestamp
);
number_type!(
    /// Milliseconds of close time minus halted time: what deadlines, faults, locks and pay count, so that an outage of the
    /// network punishes nobody.
    LedgerTime
);

impl From<BlockHeight> for SlotIndex {
    fn from(height: BlockHeight) -> Self {
        Self(height.0)
    }
}

impl From<SlotIndex> for BlockHeight {
    fn from(slot: SlotIndex) -> Self {
        Self(slot.0)
    }
}

/// Milliseconds in a day: prices are per 10⁹ bytes and day.
pub const DAY_MS: u64 = 86_400_000;
