//! Keeps a node's records, blocks, state, pieces, replicas and keys on disk through any crash.
//!
//! It interprets nothing of what it keeps beyond keys, heights and sizes. It knows no protocol, opens no socket, and has no
//! runtime: calls block, so a node makes them from threads that may.
//!
//! What holds for all of it: what a call has acknowledged survives any crash; bytes that changed on the disk are reported and
//! never returned; a full disk spoils nothing that is there; every error says what was being done to which path; after a
//! failed durable write a store takes nothing more until it is opened again, or recovers.
//!
//! Reading order: [`Folder`] (one process, no copies), [`Journal`] (SCP's records, heartbeats), [`BlockStore`] (the truth),
//! [`StateDb`] and [`Snapshot`] (a cache of it), [`PieceStore`] and [`ReplicaStore`] (what a provider holds), [`Keystore`],
//! [`Kv`].
//!
//! Sources: `docs/spec/store.md`.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "I/O adapter")]

mod block_store;
mod disk;
mod error;
mod folder;
mod frame;
mod group_sync;
mod journal;
mod keystore;
mod kv;
mod open_files;
mod piece_store;
mod replica_store;
mod state_db;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod torture;
mod verified_file;

pub use block_store::{BLOCK_BYTES_MAX, BlockStore, BlockStoreError, StoredBlock};
pub use error::DiskError;
pub use folder::{FORMAT_VERSION, Folder, FolderError, Incarnation, Origin};
pub use journal::{APPEND_BYTES_MAX, Journal, JournalError};
pub use keystore::{KEY_NAME_LEN_MAX, KeyError, Keystore, SEED_BYTES, Seed};
pub use kv::{Kv, KvError, NAME_LEN_MAX, VALUE_BYTES_MAX};
pub use piece_store::{
    ColdPiece, METADATA_BYTES_MAX, PIECE_BYTES_MAX, PieceError, PieceInfo, PieceKey, PieceReader, PieceStore,
    PieceWriter, Space, SpaceUse,
};
pub use replica_store::{
    REPLICA_BYTES_MAX, REPLICA_EXTRA_BYTES_MAX, ReplicaError, ReplicaStore, ReplicaWriter,
};
pub use state_db::{Commit, Head, Opened, ROW_BYTES_MAX, Rows, Snapshot, StateConfig, StateDb, StateError};
