//! The released program.
fn main() {}
