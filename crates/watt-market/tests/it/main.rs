//! Rules of the market through its own doors.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod matching;
mod money;
