//! The stores on a real disk: one process per folder, no copies, private keys, and all of them together.

mod folder;
mod keystore;
mod whole_node;
