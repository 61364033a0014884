//! Why a piece can't be stored or read.

use super::PieceKey;
use crate::error::DiskError;
use crate::verified_file::VerifiedFileError;
use std::path::PathBuf;
use watt_primitives::Hash;

/// Why a piece can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The quota or the free space would be exceeded. Everything stored stays as it is.
    #[error(
        "no space for {needed_bytes} bytes and {replica_bytes} of their replica in {}: {quota_left_bytes} bytes of the quota are left, \
         and the disk has {available_bytes} bytes free of which {free_bytes_min} stay free", path.display()
    )]
    NoSpace {
        /// The folder of the pieces.
        path: PathBuf,
        /// Bytes to be stored.
        needed_bytes: u64,
        /// Bytes that its replica takes; none for a copy, which lies in one.
        replica_bytes: u64,
        /// Bytes of the quota that are not taken.
        quota_left_bytes: u64,
        /// Bytes free on the disk, without those promised to transfers under way and to the replicas of pieces that lie in none.
        available_bytes: u64,
        /// Bytes that always stay free.
        free_bytes_min: u64,
    },
    /// It is stored already.
    #[error("piece {key} is stored already")]
    Exists {
        /// Which piece.
        key: PieceKey,
    },
    /// Another transfer of it is under way.
    #[error("piece {key} is being received already")]
    Busy {
        /// Which piece.
        key: PieceKey,
    },
    /// It is not stored.
    #[error("piece {key} is not stored here")]
    Unknown {
        /// Which piece.
        key: PieceKey,
    },
    /// Its bytes lie in a sealed replica, and no copy of them is here.
    #[error("the bytes of piece {key} lie in a sealed replica")]
    Cold {
        /// Which piece.
        key: PieceKey,
    },
    /// Longer than the store takes.
    #[error("piece {key} has {len} bytes, where at most {len_max} are taken")]
    TooLong {
        /// Which piece.
        key: PieceKey,
        /// Bytes of data or of metadata.
        len: u64,
        /// Bytes allowed.
        len_max: u64,
    },
    /// More or fewer bytes than were announced.
    #[error("piece {key} was announced with {expected} bytes, and {found} came")]
    WrongLength {
        /// Which piece.
        key: PieceKey,
        /// Bytes announced.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// The bytes are not those of this root; they were removed.
    #[error("piece {key} has root {found}, where {expected} was announced")]
    WrongRoot {
        /// Which piece.
        key: PieceKey,
        /// Root announced.
        expected: Hash,
        /// Root of what came.
        found: Hash,
    },
    /// Part of the data is not as it was stored. The rest is, and [`PieceStore::repair_group`](super::PieceStore::repair_group) heals the part.
    #[error("piece {key} is damaged on this disk in its 16 KiB group {group}")]
    DamagedGroup {
        /// Which piece.
        key: PieceKey,
        /// Which group of 16 KiB.
        group: u64,
    },
    /// The outboard or the metadata are not as they were stored: the whole piece is lost.
    #[error("piece {key} is damaged on this disk as a whole")]
    Damaged {
        /// Which piece.
        key: PieceKey,
    },
    /// The bytes are not what belongs in this group.
    #[error("these are not the bytes of group {group} of piece {key}")]
    WrongGroup {
        /// Which piece.
        key: PieceKey,
        /// Which group of 16 KiB.
        group: u64,
    },
}

impl PieceError {
    pub(super) fn of_file(key: PieceKey) -> impl Fn(VerifiedFileError) -> Self {
        move |error| match error {
            VerifiedFileError::Disk(error) => Self::Disk(error),
            VerifiedFileError::DamagedTail { .. } => Self::Damaged { key },
            VerifiedFileError::DamagedGroup { group, .. } => Self::DamagedGroup { key, group },
        }
    }
}
