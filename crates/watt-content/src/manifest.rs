//! How to get a file back: its bundles for everyone, its name and true length for whoever has the key
//! (`docs/spec/storage.md` §1.3).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::{self, FileKey, WrongKey};
use crate::header::Header;
use crate::layout::{BUNDLES_MAX, FILE_BYTES_MAX, StreamLen};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding, zero_or_one};
use watt_primitives::{BoundedBytes, BoundedString, BoundedVec, Cid};
use zeroize::Zeroizing;

/// The longest encoding of a manifest, in bytes: at most 88 per bundle and 1 KiB for the rest.
pub const MANIFEST_BYTES_MAX: usize = 88 * BUNDLES_MAX + 1024;
/// The longest file name, in bytes of UTF-8, as on common file systems.
pub const NAME_BYTES_MAX: usize = 255;
/// The version this program writes and reads.
const VERSION: u8 = 1;
/// Sealed file infos all have this length, so that the length of a name does not show.
const SEALED_INFO_BYTES: usize = 24 + INFO_BYTES + 16;
/// Plaintext of a sealed info: two bytes of length, the encoding, zeros.
const INFO_BYTES: usize = 512;

/// What a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// One file.
    #[serde(rename = "file")]
    File,
}

/// One bundle of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// CID of its header.
    pub header: Cid,
    /// First ciphertext byte of the file that it holds.
    pub offset: u64,
    /// Ciphertext bytes that it holds.
    pub len: u64,
}

/// A manifest as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UncheckedManifest {
    /// Version of this structure.
    pub v: u8,
    /// What it describes.
    pub kind: Kind,
    /// Bundles in file order, without gap or overlap.
    pub bundles: BoundedVec<BundleRef, BUNDLES_MAX>,
    /// Name, true length and time, sealed with the file key.
    pub sealed: BoundedBytes<SEALED_INFO_BYTES>,
}

/// The part of a manifest to which its sealed part is bound.
#[derive(Serialize)]
struct Public<'a> {
    v: u8,
    kind: Kind,
    bundles: &'a BoundedVec<BundleRef, BUNDLES_MAX>,
}

/// Why a manifest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Not the canonical encoding of a manifest.
    #[error("manifest: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// Written by a later program.
    #[error("manifest version {found} is not known to this program; update it")]
    Version {
        /// Version found.
        found: u8,
    },
    /// More bundles than a file may have.
    #[error("{found} bundles where at most {BUNDLES_MAX} are allowed")]
    TooManyBundles {
        /// Bundles given.
        found: usize,
    },
    /// A bundle that does not begin where the one before ends, or is empty.
    #[error("bundle {bundle} is empty or does not begin where the one before it ends")]
    NotContiguous {
        /// Its position.
        bundle: usize,
    },
    /// No file gives that much ciphertext.
    #[error("{len} bytes of ciphertext are not a whole file")]
    Length {
        /// Ciphertext bytes of all bundles.
        len: u64,
    },
    /// The sealed part has one length only.
    #[error("the sealed part has {len} bytes instead of {SEALED_INFO_BYTES}")]
    SealedLength {
        /// Length found.
        len: usize,
    },
}

impl UncheckedManifest {
    /// Checks that the bundles make one whole file.
    ///
    /// # Errors
    /// See [`InvalidManifest`].
    pub fn check(self) -> Result<Manifest, InvalidManifest> {
        if self.v != VERSION {
            return Err(InvalidManifest::Version { found: self.v });
        }
        let stream = whole_stream(&self.bundles)?;
        if self.sealed.len() != SEALED_INFO_BYTES {
            return Err(InvalidManifest::SealedLength {
                len: self.sealed.len(),
            });
        }
        Ok(Manifest { fields: self, stream })
    }
}

fn whole_stream(bundles: &[BundleRef]) -> Result<StreamLen, InvalidManifest> {
    let mut len = 0u64;
    for (bundle, entry) in bundles.iter().enumerate() {
        let end = len
            .checked_add(entry.len)
            .filter(|_| entry.offset == len && entry.len > 0);
        len = end.ok_or(InvalidManifest::NotContiguous { bundle })?;
    }
    StreamLen::of_sealed(len).ok_or(InvalidManifest::Length { len })
}

/// A file's manifest: well-formed, its bundles contiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    fields: UncheckedManifest,
    stream: StreamLen,
}

impl Manifest {
    /// Writes the manifest of the file whose bundles have these headers, in file order.
    ///
    /// # Errors
    /// [`InvalidManifest`] if the headers do not make one whole file.
    pub fn new(headers: &[Header], info: &FileInfo, key: &FileKey) -> Result<Self, InvalidManifest> {
        let mut offset = 0u64;
        let mut bundles = Vec::with_capacity(headers.len());
        for header in headers {
            bundles.push(BundleRef {
                header: header.cid(),
                offset,
                len: header.sealed_len(),
            });
            offset = offset.saturating_add(header.sealed_len());
        }
        let found = bundles.len();
        let bundles = BoundedVec::new(bundles).map_err(|_| InvalidManifest::TooManyBundles { found })?;
        let sealed = cipher::seal_info(key, &public_part(VERSION, Kind::File, &bundles), &info.to_bytes());
        let len = sealed.len();
        let sealed = BoundedBytes::new(sealed).map_err(|_| InvalidManifest::SealedLength { len })?;
        let unchecked = UncheckedManifest {
            v: VERSION,
            kind: Kind::File,
            bundles,
            sealed,
        };
        unchecked.check()
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// See [`InvalidManifest`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        codec::decode::<UncheckedManifest>(bytes, MANIFEST_BYTES_MAX)?.check()
    }

    /// The canonical encoding: the block that [`Manifest::cid`] names.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.fields)
    }

    /// CID of the manifest: what a share link names.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid::of_block(&self.encode())
    }

    /// Bundles in file order.
    #[must_use]
    pub fn bundles(&self) -> &[BundleRef] {
        &self.fields.bundles
    }

    /// Lengths of the file's ciphertext.
    #[must_use]
    pub const fn stream(&self) -> StreamLen {
        self.stream
    }

    /// Opens the sealed part.
    ///
    /// # Errors
    /// [`InvalidInfo::WrongKey`] also if the sealed part or the bundle list was changed.
    pub fn open(&self, key: &FileKey) -> Result<FileInfo, InvalidInfo> {
        let fields = &self.fields;
        let public = public_part(fields.v, fields.kind, &fields.bundles);
        let bytes = cipher::open_info(key, &public, &fields.sealed).ok_or(WrongKey)?;
        let info = FileInfo::from_bytes(&bytes)?;
        if StreamLen::of_file(info.len) == Some(self.stream) {
            Ok(info)
        } else {
            Err(InvalidInfo::Length { len: info.len })
        }
    }
}

fn public_part(v: u8, kind: Kind, bundles: &BoundedVec<BundleRef, BUNDLES_MAX>) -> Vec<u8> {
    codec::encode(&Public { v, kind, bundles })
}

/// What only whoever has the key learns about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInfo {
    /// Name without folder.
    pub name: FileName,
    /// True length in bytes, at most [`FILE_BYTES_MAX`].
    pub len: u64,
    /// When it was last changed, in milliseconds since the Unix epoch, if the writer tells.
    #[serde(with = "zero_or_one")]
    pub mtime: Option<i64>,
}

/// Why the sealed part of a manifest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInfo {
    /// The key does not fit, or the manifest was changed after it was sealed.
    #[error(transparent)]
    WrongKey(#[from] WrongKey),
    /// Not what a WATT program seals.
    #[error("file info: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// The bundles do not hold a file of this length.
    #[error("a file of {len} bytes does not give the ciphertext that the manifest lists")]
    Length {
        /// Length claimed, in bytes.
        len: u64,
    },
}

impl FileInfo {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let encoding = Zeroizing::new(codec::encode(self));
        let len = u16::try_from(encoding.len()).unwrap_or(u16::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(INFO_BYTES));
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&encoding);
        // A name of 255 bytes and the rest take about 310.
        bytes.resize(INFO_BYTES, 0);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidInfo> {
        let malformed = InvalidInfo::Encoding(InvalidEncoding::Malformed);
        let (len, rest) = bytes.split_first_chunk::<2>().ok_or(malformed)?;
        let (encoding, zeros) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(malformed)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(InvalidInfo::Encoding(InvalidEncoding::NotCanonical));
        }
        let info: Self = codec::decode(encoding, INFO_BYTES)?;
        if info.len > FILE_BYTES_MAX {
            return Err(InvalidInfo::Length { len: info.len });
        }
        Ok(info)
    }
}

/// The name of a file, which cannot lead out of the folder it is written to nor play tricks on a terminal.
///
/// Not every system takes every such name (Windows refuses `a:b`); whoever writes the file sees to that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct FileName(BoundedString<NAME_BYTES_MAX>);

/// A text that is no safe file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file name has 1 to 255 bytes, no slash, no control characters, and is not . or ..")]
pub struct InvalidFileName;

impl FileName {
    /// Takes `text` if it is a safe name.
    ///
    /// # Errors
    /// [`InvalidFileName`].
    pub fn new(text: &str) -> Result<Self, InvalidFileName> {
        if text.is_empty() || text == "." || text == ".." || text.chars().any(is_refused) {
            return Err(InvalidFileName);
        }
        BoundedString::new(String::from(text))
            .map(Self)
            .map_err(|_| InvalidFileName)
    }

    /// Makes a safe name of any text: refused characters become `_`, the end is cut, nothing becomes `file`.
    #[must_use]
    pub fn from_lossy(text: &str) -> Self {
        let mut name: String = text
            .chars()
            .map(|c| if is_refused(c) { '_' } else { c })
            .collect();
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        if name.is_empty() || name == "." || name == ".." {
            name = String::from("file");
        }
        Self(BoundedString::new(name).unwrap_or_default())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Separators of both families, control characters, and characters that reverse the reading direction, with which
/// `gpj.exe` can be made to look like `exe.jpg`.
fn is_refused(c: char) -> bool {
    matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') || c.is_control()
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = BoundedString::<NAME_BYTES_MAX>::deserialize(deserializer)?;
        Self::new(text.as_str()).map_err(serde::de::Error::custom)
    }
}
