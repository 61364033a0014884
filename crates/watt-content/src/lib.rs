//! A file to encrypted, content-addressed, erasure-coded slots, and back.
//!
//! Pure functions and small state machines: bytes in, bytes out; randomness is an argument. It does not read files, talk
//! to providers, choose them or pay them, and it keeps no plaintext longer than one 64 KiB record.
//!
//! Reading order: [`layout`] (every length), [`cipher`] (file key, 64 KiB records), [`erasure`] (any `k` shares rebuild),
//! [`outboard`] (verified cells), [`header`] (what a bundle commits to), [`manifest`] (how to get a file back), [`link`]
//! (how a person passes it on), [`encoder`] (put), [`decoder`] (one bundle's rows), [`reader`] (get).
//!
//! Sources: `docs/spec/storage.md`; age (the STREAM construction); Reed and Solomon 1960 (evaluation view of the code).
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cipher;
pub mod decoder;
pub mod encoder;
pub mod erasure;
pub mod header;
pub mod layout;
pub mod link;
pub mod manifest;
pub mod outboard;
pub mod reader;
mod row_stream;

#[cfg(test)]
mod tests;

pub use cipher::{Cipher, FileKey, WrongKey};
pub use decoder::{BundleDecoder, VerifiedCell};
pub use encoder::{BundleRoots, CellsPass, RootsPass};
pub use header::{Header, SlotRoots};
pub use layout::{BundlePlan, FilePlan};
pub use link::ShareLink;
pub use manifest::{FileInfo, FileName, Manifest};
pub use outboard::Outboard;
pub use reader::{FileReader, RangeReader};
