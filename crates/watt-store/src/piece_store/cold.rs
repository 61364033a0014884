//! Pieces whose bytes lie in a sealed replica: what stays here of them, and the copies that were given back from there
//! (`docs/spec/store.md` §7).

use super::{PieceError, PieceInfo, PieceKey, PieceStore, PieceWriter, Shared, State, Transfer};
use crate::disk::{self, Disk};
use crate::error::DiskError;
use crate::verified_file::{TAIL_BYTES_MAX, VerifiedWriter, decode_tail, discard_unfinished, encode_tail};
use std::io;
use std::path::Path;
use std::sync::Arc;
use watt_primitives::slot_tree::root_of_groups;
use watt_primitives::{DealId, Hash, SectorNumber, SlotIndexInDeal};

/// Copies together take at most this part of the quota, unless it takes more to hold one sector's.
const CACHE_PART: u64 = 10;

const STUB_MAGIC: &[u8; 8] = b"wattcp01";

/// Digest, magic, sector, length, root.
const STUB_HEAD_BYTES: usize = 32 + 8 + 8 + 8 + 32;

/// A piece whose bytes lie in a sealed replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdPiece {
    /// Length and root.
    pub info: PieceInfo,
    /// In whose replica.
    pub sector: SectorNumber,
}

/// All that is kept of a cold piece beside its bytes.
pub(super) struct Stub {
    pub(super) piece: ColdPiece,
    pub(super) groups: Vec<Hash>,
    pub(super) blocks: Vec<Vec<u8>>,
}

impl Stub {
    fn encode(&self, key: PieceKey) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        bytes.extend_from_slice(STUB_MAGIC);
        bytes.extend_from_slice(&self.piece.sector.0.to_be_bytes());
        bytes.extend_from_slice(&self.piece.info.len.to_be_bytes());
        bytes.extend_from_slice(self.piece.info.root.as_ref());
        let blocks: Vec<&[u8]> = self.blocks.iter().map(Vec::as_slice).collect();
        bytes.extend_from_slice(&encode_tail(&self.groups, &blocks));
        let digest = stub_digest(key, &bytes[32..]);
        bytes[..32].copy_from_slice(digest.as_ref());
        bytes
    }

    fn decode(key: PieceKey, bytes: &[u8]) -> Option<Self> {
        let (head, tail) = bytes.split_at_checked(STUB_HEAD_BYTES)?;
        let body = bytes.get(32..)?;
        let is_whole = head.get(..32)? == stub_digest(key, body).as_ref() && body.starts_with(STUB_MAGIC);
        if !is_whole {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let info = PieceInfo {
            len: number(48)?,
            root: Hash(head.get(56..88)?.try_into().ok()?),
        };
        let (groups, blocks) = decode_tail(tail, info.len)?;
        let sector = SectorNumber(number(40)?);
        (root_of_groups(&groups) == info.root).then_some(Self {
            piece: ColdPiece { info, sector },
            groups,
            blocks,
        })
    }

    /// Reads a stub; `None` if it is not as it was written.
    pub(super) fn read(disk: &dyn Disk, path: &Path, key: PieceKey) -> Result<Option<Self>, DiskError> {
        let bytes = disk::read_file(disk, path, TAIL_BYTES_MAX)?;
        Ok(Self::decode(key, &bytes))
    }
}

fn stub_digest(key: PieceKey, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.label()).update(body);
    Hash(hasher.finalize().into())
}

impl PieceStore {
    /// Lets go of a piece's bytes, which lie in the replica of `sector` from now on: the caller has made sure that they can be given
    /// back from it. Length, root, digests of the groups and metadata stay, durable before the bytes go.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn chill(&self, deal: DealId, slot: SlotIndexInDeal, sector: SectorNumber) -> Result<(), PieceError> {
        let key = PieceKey { deal, slot };
        let shared = &self.0;
        let file = shared.open_piece(key)?;
        let info = self.info(deal, slot).ok_or(PieceError::Unknown { key })?;
        let stub = Stub {
            piece: ColdPiece { info, sector },
            groups: file.groups().to_vec(),
            blocks: file.blocks().to_vec(),
        };
        disk::replace_file(&*shared.disk, &shared.stub_path(key), &stub.encode(key))?;
        let mut state = shared.lock();
        if !state.pieces.contains_key(&key) {
            // Removed meanwhile.
            remove_if_there(&*shared.disk, &shared.stub_path(key))?;
            return Err(PieceError::Unknown { key });
        }
        state.cold.insert(key, stub.piece);
        shared.evict(&mut state, key)
    }

    /// A piece whose bytes lie in a replica, whether or not a copy of them is here too.
    #[must_use]
    pub fn cold(&self, deal: DealId, slot: SlotIndexInDeal) -> Option<ColdPiece> {
        self.0.lock().cold.get(&PieceKey { deal, slot }).copied()
    }

    /// All pieces whose bytes lie in replicas, by name.
    #[must_use]
    pub fn list_cold(&self) -> Vec<(PieceKey, ColdPiece)> {
        let state = self.0.lock();
        state.cold.iter().map(|(key, piece)| (*key, *piece)).collect()
    }

    /// Whether the piece's bytes can be read here: as they came, or as a copy.
    #[must_use]
    pub fn is_readable(&self, deal: DealId, slot: SlotIndexInDeal) -> bool {
        self.0.lock().pieces.contains_key(&PieceKey { deal, slot })
    }

    /// Removes the copies that were read least recently until `len` more bytes of copies fit: into a tenth of the quota, and into what
    /// pieces leave of it. When all are gone it counts as enough: one sector's copies always have a place.
    ///
    /// # Errors
    /// [`PieceError::Disk`].
    pub fn make_room(&self, len: u64) -> Result<(), PieceError> {
        let shared = &self.0;
        let mut state = shared.lock();
        let held = state.used_bytes().saturating_sub(state.cached_bytes());
        let quota = shared.space.quota_bytes;
        let room = quota.saturating_sub(held).min(quota / CACHE_PART);
        while state.cached_bytes().saturating_add(len) > room && shared.evict_oldest(&mut state)? {}
        Ok(())
    }

    /// Begins to write a copy of a cold piece; [`PieceWriter::finish_copy`] ends it.
    ///
    /// # Errors
    /// [`PieceError::Unknown`] if the piece is not cold, [`PieceError::Exists`] if there is a copy, [`PieceError::Busy`],
    /// [`PieceError::NoSpace`], [`PieceError::Disk`].
    pub fn begin_copy(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<PieceWriter, PieceError> {
        let key = PieceKey { deal, slot };
        let shared = &self.0;
        let path = shared.path(key);
        let len = {
            let mut state = shared.lock();
            let len = state.cold.get(&key).ok_or(PieceError::Unknown { key })?.info.len;
            if state.pieces.contains_key(&key) {
                return Err(PieceError::Exists { key });
            }
            if state.writing.contains_key(&key) {
                return Err(PieceError::Busy { key });
            }
            shared.check_disk(&state, len)?;
            // What a broken attempt left.
            discard_unfinished(&*shared.disk, &path)?;
            state.unfinished.remove(&key);
            state.writing.insert(key, Transfer { len, to_write: len });
            len
        };
        match VerifiedWriter::begin(Arc::clone(&shared.disk), &path, &key.label(), len) {
            Ok(writer) => Ok(PieceWriter {
                shared: Arc::clone(shared),
                key,
                resume_at: 0,
                writer,
                is_over: false,
            }),
            Err(error) => {
                let mut state = shared.lock();
                state.writing.remove(&key);
                Err(shared.space_error(&state, len, error))
            }
        }
    }

    /// Makes the copy of a cold piece the piece again: nothing else is said to hold its bytes any more, durably. A piece that is not
    /// cold is fine.
    ///
    /// # Errors
    /// [`PieceError::Cold`] if there is no copy, [`PieceError::Disk`].
    pub fn warm(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<(), PieceError> {
        let key = PieceKey { deal, slot };
        let shared = &self.0;
        {
            let mut state = shared.lock();
            if !state.cold.contains_key(&key) {
                return Ok(());
            }
            if !state.pieces.contains_key(&key) {
                return Err(PieceError::Cold { key });
            }
            remove_if_there(&*shared.disk, &shared.stub_path(key))?;
            state.cold.remove(&key);
            state.cached.retain(|cached| *cached != key);
        }
        shared
            .sync
            .sync()
            .map_err(DiskError::not_durable("sync the pieces in", &shared.dir))?;
        Ok(())
    }
}

impl PieceWriter {
    /// Ends the copy of a cold piece: checks that its bytes have the piece's root.
    ///
    /// # Errors
    /// As [`PieceWriter::finish`].
    pub fn finish_copy(self) -> Result<(), PieceError> {
        let key = self.key;
        let stub = self.shared.stub(key)?;
        let blocks: Vec<&[u8]> = stub.blocks.iter().map(Vec::as_slice).collect();
        self.finish(&stub.piece.info.root, &blocks)
    }
}

impl Shared {
    /// What is kept of a cold piece.
    pub(super) fn stub(&self, key: PieceKey) -> Result<Stub, PieceError> {
        Stub::read(&*self.disk, &self.stub_path(key), key)?.ok_or(PieceError::Damaged { key })
    }

    /// Removes the copy that was read least recently; says whether there was one.
    pub(super) fn evict_oldest(&self, state: &mut State) -> Result<bool, PieceError> {
        match state.cached.back().copied() {
            Some(key) => self.evict(state, key).map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes the bytes of a cold piece.
    fn evict(&self, state: &mut State, key: PieceKey) -> Result<(), PieceError> {
        remove_if_there(&*self.disk, &self.path(key))?;
        state.pieces.remove(&key);
        state.cached.retain(|cached| *cached != key);
        state.open.forget(key);
        Ok(())
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::failed("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
