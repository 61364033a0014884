//! Which devnet this owner runs: what client commands read when no `--api` is given.

use super::control::ControlClient;
use crate::api::OwnerToken;
use crate::config::{Home, create_private_dir};
use crate::error::{CommandError, ErrorKind, OrFail};
use crate::keyfile;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The running devnet, readable by its owner only: it holds the supervisor's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// The devnet's folder.
    pub dir: PathBuf,
    /// The network, as hexadecimal.
    pub network: String,
    /// Public listeners, in the order in which a client tries them.
    pub apis: Vec<String>,
    /// Key file of the funded account.
    pub client_key: PathBuf,
    /// Address of the supervisor's listener.
    pub control: String,
    /// The supervisor's token.
    pub token: String,
    /// The supervisor's process, for people to see.
    pub pid: u32,
}

impl Registry {
    /// Name under which the devnet's funded account is used.
    pub const ACCOUNT_NAME: &str = "devnet";

    /// The devnet that this owner started, if any; it may have died since.
    ///
    /// # Errors
    /// The file can't be read. A damaged one counts as none.
    pub fn read(home: &Home) -> Result<Option<Self>, CommandError> {
        let path = home.devnet_registry();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CommandError::file("read", &path, &error)),
        }
    }

    /// The running devnet's supervisor.
    ///
    /// # Errors
    /// None runs.
    pub async fn supervisor(home: &Home) -> Result<(Self, ControlClient), CommandError> {
        let none = || {
            CommandError::new(
                ErrorKind::NotFound,
                "no devnet runs",
                "start one with `watt devnet up`",
            )
        };
        let registry = Self::read(home)?.ok_or_else(none)?;
        let control = ControlClient::new(&registry.control, OwnerToken::from_secret(registry.token.clone()))?;
        if control.status().await.is_err() {
            return Err(none());
        }
        Ok((registry, control))
    }

    /// Makes this the devnet that the owner's commands use, until the answer is dropped.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn register(self, home: &Home) -> Result<Registered, CommandError> {
        let path = home.devnet_registry();
        if let Some(folder) = path.parent() {
            create_private_dir(folder)?;
        }
        let text = serde_json::to_string_pretty(&self).or_fail(
            ErrorKind::Other,
            "can't write the registry",
            "report this",
        )?;
        keyfile::replace_private(&path, text.as_bytes())?;
        Ok(Registered {
            entry: self,
            home: home.clone(),
        })
    }
}

/// An entry in the registry; it goes when this is dropped.
#[derive(Debug)]
pub struct Registered {
    entry: Registry,
    home: Home,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if Registry::read(&self.home).is_ok_and(|found| found.as_ref() == Some(&self.entry)) {
            // An entry that stays behind is recognised by a supervisor that does not answer.
            drop(std::fs::remove_file(self.home.devnet_registry()));
        }
    }
}
