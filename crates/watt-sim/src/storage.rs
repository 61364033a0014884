//! What providers keep and clients ask for.

mod clients;
mod committee;
mod devices;
mod file;
mod forgers;
mod means;
mod trade;
mod vault;
mod work;

pub use clients::{Client, Clients, FIRST_CLIENT, Habits, account_of};
pub use devices::{Device, Devices};
pub use file::File;
pub use forgers::{FORGER, Forgers};
pub use means::Means;
pub use trade::{Greed, Trade};
pub use vault::{Replica, Vault};
