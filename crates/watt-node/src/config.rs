//! Configuration: what was written ([`ConfigFile`]), where each value came from ([`Settings`]), and what a node runs with
//! ([`NodeConfig`]). Nothing else reads the environment or configuration files. Flag > environment > file > default.

mod environment;
mod file;
mod home;
mod node;
mod settings;
mod value;

pub use environment::Environment;
pub use file::ConfigFile;
pub use home::Home;
pub(crate) use home::create_private_dir;
pub(crate) use node::read_genesis;
pub use node::{ApiAddresses, NodeConfig, ProviderConfig, Role};
pub use settings::{Origin, Overrides, SettingRow, Settings, Sourced};
pub use value::{LogFormat, parse_bytes, parse_duration_ms};

#[cfg(test)]
mod tests;
