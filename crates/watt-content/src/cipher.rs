//! Encryption of content: one key per file version, 64 KiB records, random access (`docs/spec/storage.md` §3).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use alloc::vec::Vec;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, XChaCha20Poly1305, XNonce};
use core::fmt;
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;
use zeroize::{Zeroize, Zeroizing};

/// Plaintext bytes in a record.
pub const RECORD_BYTES: u64 = 64 * 1024;
/// Bytes of the authentication tag behind each record.
pub const TAG_BYTES: u64 = 16;
/// Ciphertext bytes of a full record.
pub const SEALED_RECORD_BYTES: u64 = RECORD_BYTES + TAG_BYTES;

/// BLAKE3 `derive_key` contexts (§3.1): one per use, so that no two uses of a file key share a key.
const RECORD_KEY: &str = "watt/1/content record key, chacha20-poly1305";
const KEY_COMMITMENT: &str = "watt/1/content key commitment";
const INFO_KEY: &str = "watt/1/content file info key, xchacha20-poly1305";
const INFO_NONCE: &str = "watt/1/content file info nonce";

/// Length of the nonce in front of a sealed file info, in bytes.
const INFO_NONCE_BYTES: usize = 24;

/// How records are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439): fast on every device.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

/// The secret of one version of one file: whoever has it and the manifest's CID can read the file.
///
/// It must be fresh from the system's random source for every version: two plaintexts under one key break it. It has no
/// `Debug` and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey([u8; Self::LEN]);

impl FileKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes 32 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for wrapping in a vault or a link.
    #[must_use]
    pub const fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The public value that binds a header to this key and no other (§3.4).
    #[must_use]
    pub fn commitment(&self) -> Hash {
        Hash(blake3::derive_key(KEY_COMMITMENT, &self.0))
    }

    /// Refuses a key that the header does not commit to, before anything is decrypted.
    ///
    /// # Errors
    /// [`WrongKey`].
    pub fn check(&self, commitment: &Hash) -> Result<(), WrongKey> {
        if self.commitment() == *commitment {
            Ok(())
        } else {
            Err(WrongKey)
        }
    }
}

impl Drop for FileKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The key is not the one that the file was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this key does not open this file")]
pub struct WrongKey;

/// A record whose bytes are not what the writer sealed at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record} is damaged or out of place")]
pub struct DamagedRecord {
    /// Number of the record in its file.
    pub record: u64,
}

/// Seals and opens the records of one file.
#[derive(Clone)]
pub struct RecordCipher(ChaCha20Poly1305);

impl fmt::Debug for RecordCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordCipher(..)")
    }
}

impl RecordCipher {
    /// Derives the record key.
    #[must_use]
    pub fn new(cipher: Cipher, key: &FileKey) -> Self {
        match cipher {
            Cipher::ChaCha20Poly1305 => {
                let key = Zeroizing::new(blake3::derive_key(RECORD_KEY, key.expose()));
                Self(ChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
            }
        }
    }

    /// Seals `record` in place; the tag is appended.
    ///
    /// # Panics
    /// Never: a record is far below the cipher's limit of 256 GiB.
    pub fn seal(&self, record: u64, is_last: bool, bytes: &mut Vec<u8>) {
        self.0
            .encrypt_in_place(&nonce(record, is_last), &[], bytes)
            .expect("64 KiB are below the cipher's limit");
    }

    /// Opens `record` in place; the tag is removed.
    ///
    /// # Errors
    /// [`DamagedRecord`] if a bit differs, or the record stood elsewhere, or the end of the file is elsewhere.
    pub fn open(&self, record: u64, is_last: bool, bytes: &mut Vec<u8>) -> Result<(), DamagedRecord> {
        self.0
            .decrypt_in_place(&nonce(record, is_last), &[], bytes)
            .map_err(|_| DamagedRecord { record })
    }
}

/// `record` as 11 bytes big-endian, then 1 in the last record and 0 in all others (§3.2).
fn nonce(record: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    let [_, _, _, counter @ .., last] = &mut nonce;
    *counter = record.to_be_bytes();
    *last = u8::from(is_last);
    Nonce::from(nonce)
}

/// Seals the private part of a manifest, bound to `public` (§3.5).
///
/// The nonce is a keyed hash of what is sealed, so that a second manifest under the same key (a renamed file) cannot repeat
/// a nonce with other content.
pub(crate) fn seal_info(key: &FileKey, public: &[u8], info: &[u8]) -> Vec<u8> {
    let nonce_key = Zeroizing::new(blake3::derive_key(INFO_NONCE, key.expose()));
    let mut hasher = blake3::Hasher::new_keyed(&nonce_key);
    hasher
        .update(&crate::layout::to_u64(public.len()).to_be_bytes())
        .update(public)
        .update(info);
    let mut nonce = [0; INFO_NONCE_BYTES];
    hasher.finalize_xof().fill(&mut nonce);
    let mut bytes = info.to_vec();
    info_cipher(key)
        .encrypt_in_place(XNonce::from_slice(&nonce), public, &mut bytes)
        .expect("a file info is below the cipher's limit");
    [nonce.as_slice(), &bytes].concat()
}

/// Opens what [`seal_info`] sealed; `None` if the key, the public part or a bit differs.
pub(crate) fn open_info(key: &FileKey, public: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, bytes) = sealed.split_at_checked(INFO_NONCE_BYTES)?;
    let mut info = Zeroizing::new(bytes.to_vec());
    info_cipher(key)
        .decrypt_in_place(XNonce::from_slice(nonce), public, &mut *info)
        .ok()?;
    Some(info)
}

fn info_cipher(key: &FileKey) -> XChaCha20Poly1305 {
    let key = Zeroizing::new(blake3::derive_key(INFO_KEY, key.expose()));
    XChaCha20Poly1305::new(Key::from_slice(key.as_slice()))
}
