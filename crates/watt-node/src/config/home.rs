//! Where files live: XDG folders, or all under one folder if the owner says so.

use super::Environment;
use crate::error::{CommandError, ErrorKind};
use std::path::{Path, PathBuf};
use watt_primitives::NetworkId;

/// The owner's folders. Nothing is created until it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    config: PathBuf,
    data: PathBuf,
    state: PathBuf,
}

impl Home {
    /// `--home`, else `WATT_HOME`, else the platform's folders.
    ///
    /// # Errors
    /// Neither is set and the owner has no home folder.
    pub fn resolve(flag: Option<&Path>, environment: &Environment) -> Result<Self, CommandError> {
        if let Some(home) = flag
            .map(Path::to_owned)
            .or_else(|| environment.get("WATT_HOME").map(PathBuf::from))
        {
            let home =
                std::path::absolute(&home).map_err(|error| CommandError::file("use", &home, &error))?;
            return Ok(Self::under(home));
        }
        let Some(user) = environment.get("HOME").map(PathBuf::from) else {
            return Err(CommandError::new(
                ErrorKind::Usage,
                "there is no home folder: neither WATT_HOME nor HOME is set",
                "say where files should go: --home DIR or WATT_HOME=DIR",
            ));
        };
        if cfg!(target_os = "macos") {
            return Ok(Self::under(user.join("Library/Application Support/watt")));
        }
        let folder = |name: &str, default: &str| {
            let set = environment
                .get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            set.unwrap_or_else(|| user.join(default)).join("watt")
        };
        Ok(Self {
            config: folder("XDG_CONFIG_HOME", ".config"),
            data: folder("XDG_DATA_HOME", ".local/share"),
            state: folder("XDG_STATE_HOME", ".local/state"),
        })
    }

    /// Everything under one folder.
    #[must_use]
    pub fn under(home: PathBuf) -> Self {
        Self {
            config: home.clone(),
            state: home.join("state"),
            data: home,
        }
    }

    /// The configuration file that is read if it is there.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Folder of the owner's account keys.
    #[must_use]
    pub fn accounts_dir(&self) -> PathBuf {
        self.data.join("accounts")
    }

    /// Data folder of a node that is told no other.
    #[must_use]
    pub fn node_dir(&self) -> PathBuf {
        self.data.join("node")
    }

    /// Folder of the devnet that is told no other.
    #[must_use]
    pub fn devnet_dir(&self) -> PathBuf {
        self.data.join("devnet")
    }

    /// File that says which devnet this owner runs.
    #[must_use]
    pub fn devnet_registry(&self) -> PathBuf {
        self.state.join("devnet.json")
    }

    /// Folder of what a client remembers about one network: journals of puts, list of stored files.
    #[must_use]
    pub fn client_dir(&self, network: &NetworkId) -> PathBuf {
        let name = network.to_string();
        self.data.join("client").join(&name[..16])
    }
}

/// Makes `dir` and its parents, readable by the owner only.
///
/// # Errors
/// The system's reason, with advice.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), CommandError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(|error| CommandError::file("create the folder", dir, &error))
}
