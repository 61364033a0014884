//! What the ranks are, on any machine and any number of threads; what hostile graphs can't do.

mod drawn;
mod graphs;
mod hostile;
mod sybils;
mod vectors;
