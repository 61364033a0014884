//! Encoding classes (`docs/spec/storage.md` §2): how many shares rebuild, how many are placed.

use serde::{Deserialize, Serialize};

/// A named way of encoding and placing a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// 4 of 10, for a whole network on one machine. Refused on the main network.
    #[serde(rename = "devnet")]
    Devnet,
}

impl Class {
    /// Shares that rebuild a bundle.
    #[must_use]
    pub const fn k(self) -> u8 {
        match self {
            Self::Devnet => 4,
        }
    }

    /// Shares that are placed.
    #[must_use]
    pub const fn n(self) -> u8 {
        match self {
            Self::Devnet => 10,
        }
    }

    /// Further share indices whose roots the header commits to, so that a repair has fresh ones.
    #[must_use]
    pub const fn spare(self) -> u8 {
        match self {
            Self::Devnet => 4,
        }
    }

    /// Bytes in a cell; a row is `k` cells. Equals a verified group, so that a cell is checked without its neighbours.
    #[must_use]
    pub const fn cell_bytes(self) -> u64 {
        match self {
            Self::Devnet => 16 * 1024,
        }
    }

    /// The most rows a bundle may have: a slot of 31 MiB, two of which fill a 64 MiB sector's payload.
    #[must_use]
    pub const fn rows_max(self) -> u64 {
        match self {
            Self::Devnet => 31 * 64,
        }
    }

    /// The most ciphertext bytes one bundle may hold.
    #[must_use]
    pub const fn bundle_bytes_max(self) -> u64 {
        self.row_bytes() * self.rows_max()
    }

    /// Bytes of ciphertext in a row of this class.
    #[must_use]
    pub const fn row_bytes(self) -> u64 {
        match self {
            Self::Devnet => 4 * 16 * 1024,
        }
    }

    /// Shares that must be accepted before a deal may start: 95 % of `n`, rounded up.
    #[must_use]
    pub const fn certify_min(self) -> u8 {
        match self {
            Self::Devnet => 10,
        }
    }

    /// Whether the class is for test networks only.
    #[must_use]
    pub const fn is_test_only(self) -> bool {
        match self {
            Self::Devnet => true,
        }
    }
}
