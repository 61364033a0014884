//! See below.
fn main() {}
