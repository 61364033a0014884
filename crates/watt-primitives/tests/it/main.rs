//! What hostile bytes, keys and texts must not achieve.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

mod address;
mod codec;
mod key;
