//! Share links: `watt:<manifest-cid>?v=1&n=<network>#<key>` (`docs/spec/storage.md` §5).
//!
//! The key stands behind `#`, which no browser sends to a server.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::FileKey;
use alloc::format;
use alloc::string::String;
use core::fmt;
use watt_primitives::{Cid, NetworkId};
use zeroize::Zeroize;

/// The longest link that is looked at, in bytes: what it needs is 130.
pub const LINK_BYTES_MAX: usize = 512;
/// The version this program writes and reads.
const VERSION: &str = "1";
/// Scheme, without the colon.
const SCHEME: &str = "watt";
/// Digits of a key in base64url without padding.
const KEY_DIGITS: usize = 43;
/// Length of a CIDv1 of 32 bytes in base32.
const CID_DIGITS: usize = 59;
/// Base64url, RFC 4648 §5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a person passes on: where a file is found and the key that opens it.
///
/// It has no `Display`, and its `Debug` hides the key: a link in a log is a file given away.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareLink {
    /// CID of the file's manifest.
    pub manifest: Cid,
    /// Which network holds it, if the link tells.
    pub network: Option<NetworkHint>,
    /// The file key.
    pub key: FileKey,
}

impl fmt::Debug for ShareLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareLink")
            .field("manifest", &self.manifest)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// The first four bytes of a network id: enough to tell networks apart, not to name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkHint(pub [u8; 4]);

impl NetworkHint {
    /// The hint of `network`.
    #[must_use]
    pub const fn of(network: &NetworkId) -> Self {
        let [a, b, c, d, ..] = *network.in_hashes();
        Self([a, b, c, d])
    }

    fn parse(text: &str) -> Option<Self> {
        let is_hint = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| is_hint)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for NetworkHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is not a usable link, in words for the person who pasted it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    /// Something else altogether.
    #[error("this is not a WATT link: a link begins with watt:")]
    NotALink,
    /// It ends within the name of the file.
    #[error("this link is cut off: copy it again, to its last letter")]
    Truncated,
    /// The name of the file is not one.
    #[error("this link is damaged: the part before ? does not name a file")]
    Manifest,
    /// No `v=`.
    #[error("this link is damaged: it does not say its version (v=1)")]
    VersionMissing,
    /// Made by a later program.
    #[error("this link has version {found}, which this program does not know; update it")]
    WrongVersion {
        /// Version found, shortened.
        found: String,
    },
    /// `n=` is not eight hexadecimal digits.
    #[error("this link is damaged: n= is not a network")]
    Network,
    /// No `#`, or nothing behind it.
    #[error("the key of this link is missing: the part behind # was lost in copying, ask for the link again")]
    KeyMissing,
    /// Fewer digits than a key has.
    #[error("the key of this link is cut off: {digits} of 43 letters are there")]
    KeyTruncated {
        /// Digits found.
        digits: usize,
    },
    /// The right length or more, but not a key.
    #[error("the key of this link is damaged: copy it again")]
    KeyDamaged,
}

/// The link belongs to another network than the one asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this link belongs to network {link}, this program is on network {here}")]
pub struct OtherNetwork {
    /// Network of the link.
    pub link: NetworkHint,
    /// Network of the program.
    pub here: NetworkHint,
}

impl ShareLink {
    /// A link to a file on `network`.
    #[must_use]
    pub const fn new(manifest: Cid, network: &NetworkId, key: FileKey) -> Self {
        Self {
            manifest,
            network: Some(NetworkHint::of(network)),
            key,
        }
    }

    /// Reads a link; white space around it is ignored.
    ///
    /// # Errors
    /// See [`InvalidLink`].
    pub fn parse(text: &str) -> Result<Self, InvalidLink> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(InvalidLink::NotALink)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || text.len() > LINK_BYTES_MAX {
            return Err(InvalidLink::NotALink);
        }
        let (place, key) = match rest.split_once('#') {
            Some((place, key)) => (place, Some(key)),
            None => (rest, None),
        };
        let (name, query) = place.split_once('?').unwrap_or((place, ""));
        let manifest = parse_manifest(name)?;
        let network = parse_query(query, key.is_some())?;
        let key = parse_key(key.filter(|key| !key.is_empty()).ok_or(InvalidLink::KeyMissing)?)?;
        Ok(Self {
            manifest,
            network,
            key,
        })
    }

    /// The text of the link on `network`. It contains the key: show it to the owner, never log it.
    #[must_use]
    pub fn to_text(&self, network: &NetworkId) -> String {
        let hint = NetworkHint::of(network);
        let key = key_digits(&self.key);
        format!("{SCHEME}:{}?v={VERSION}&n={hint}#{key}", self.manifest)
    }

    /// Refuses a link that says it belongs elsewhere. A link that does not say passes.
    ///
    /// # Errors
    /// [`OtherNetwork`].
    pub fn check_network(&self, network: &NetworkId) -> Result<(), OtherNetwork> {
        let here = NetworkHint::of(network);
        match self.network {
            Some(link) if link != here => Err(OtherNetwork { link, here }),
            Some(_) | None => Ok(()),
        }
    }
}

fn parse_manifest(name: &str) -> Result<Cid, InvalidLink> {
    if name.len() < CID_DIGITS && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(InvalidLink::Truncated);
    }
    name.parse().map_err(|_| InvalidLink::Manifest)
}

/// Reads `v` and `n`; parameters that a later program of the same version may add are passed over.
fn parse_query(query: &str, has_key: bool) -> Result<Option<NetworkHint>, InvalidLink> {
    let mut version = None;
    let mut network = None;
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("v", value)) => version = Some(value),
            Some(("n", value)) => network = Some(value),
            Some(_) | None => {}
        }
    }
    match version {
        Some(VERSION) => {}
        // Without `#` the text may have been cut anywhere before it.
        Some("") | None if !has_key => return Err(InvalidLink::KeyMissing),
        None => return Err(InvalidLink::VersionMissing),
        Some(other) => {
            let found = other.chars().take(8).collect();
            return Err(InvalidLink::WrongVersion { found });
        }
    }
    match network {
        None => Ok(None),
        Some(text) if !has_key && text.len() < 8 => Err(InvalidLink::KeyMissing),
        Some(text) => NetworkHint::parse(text).map(Some).ok_or(InvalidLink::Network),
    }
}

fn parse_key(text: &str) -> Result<FileKey, InvalidLink> {
    let is_digits = text.bytes().all(|byte| ALPHABET.contains(&byte));
    if text.len() < KEY_DIGITS && is_digits {
        return Err(InvalidLink::KeyTruncated { digits: text.len() });
    }
    if text.len() != KEY_DIGITS {
        return Err(InvalidLink::KeyDamaged);
    }
    let mut bytes = [0u8; FileKey::LEN];
    let mut to = bytes.iter_mut();
    let (mut pending, mut bits) = (0u32, 0u32);
    for digit in text.bytes() {
        let value = ALPHABET
            .iter()
            .position(|byte| *byte == digit)
            .ok_or(InvalidLink::KeyDamaged)?;
        // At most 7 bits wait, so 13 are in use.
        pending = (pending & 0x7f) << 6 | u32::try_from(value).unwrap_or(0);
        bits = bits.saturating_add(6);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            let [.., byte] = (pending >> bits).to_be_bytes();
            if let Some(to) = to.next() {
                *to = byte;
            }
        }
    }
    let key = FileKey::from_bytes(bytes);
    bytes.zeroize();
    // 43 digits carry two bits more than a key; one key, one spelling.
    if pending & 0b11 == 0 {
        Ok(key)
    } else {
        Err(InvalidLink::KeyDamaged)
    }
}

fn key_digits(key: &FileKey) -> String {
    let mut text = String::with_capacity(KEY_DIGITS);
    for three in key.expose().chunks(3) {
        let mut bytes = [0u8; 4];
        for (to, byte) in bytes.iter_mut().skip(1).zip(three) {
            *to = *byte;
        }
        let group = u32::from_be_bytes(bytes);
        let digits = [18u32, 12, 6, 0].into_iter().take(three.len().saturating_add(1));
        text.extend(digits.filter_map(|shift| {
            let value = usize::try_from((group >> shift) & 0x3f).unwrap_or(0);
            ALPHABET.get(value).map(|digit| char::from(*digit))
        }));
    }
    text
}
