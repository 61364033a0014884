//! Every setting with where it came from.

use super::value::settle_name;
use super::{ConfigFile, Environment, Home, LogFormat};
use crate::error::{CommandError, ErrorKind};
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use watt_engine::provider::Settle;

mod layers;

use layers::Layers;
use watt_primitives::terms::Device;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

/// What the command line says about settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--api`.
    pub api: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--genesis`.
    pub genesis: Option<PathBuf>,
    /// `--restart-plan`, if given at all.
    pub restart_plans: Vec<PathBuf>,
    /// `--listen`, if given at all.
    pub listen: Vec<String>,
    /// `--bootstrap`, if given at all.
    pub bootstrap: Vec<String>,
    /// `--record-scp`.
    pub record_scp: Option<PathBuf>,
    /// `-v`, `-vv`, `-q` as a log level.
    pub log_level: Option<&'static str>,
    /// `--capacity`.
    pub capacity: Option<String>,
    /// `--price`.
    pub price: Option<String>,
    /// `--settle`.
    pub settle: Option<String>,
    /// `--device`.
    pub device: Option<String>,
}

/// Every setting in force, typed, with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node that client commands talk to; `None` means the owner's devnet, else the node on this machine.
    pub client_api: Sourced<Option<String>>,
    /// The account that pays.
    pub client_account: Sourced<Option<String>>,
    /// Above how much a payment waits until it is done and confirmed by the circle; `None` means never.
    pub client_wait_above: Sourced<Option<watt_primitives::Amount>>,
    /// Log filter.
    pub log_level: Sourced<String>,
    /// Log format.
    pub log_format: Sourced<LogFormat>,
    /// Data folder, absolute.
    pub data_dir: Sourced<PathBuf>,
    /// Genesis document, absolute.
    pub genesis: Sourced<Option<PathBuf>>,
    /// Signed plans of the restarts by people that made the network, absolute, in their order.
    pub restart_plans: Sourced<Vec<PathBuf>>,
    /// Voting key file, absolute; `None` follows.
    pub validator_key: Sourced<Option<PathBuf>>,
    /// `node.seat_account_key`.
    pub seat_account_key: Sourced<Option<PathBuf>>,
    /// Address of whoever runs the node.
    pub owner: Sourced<Option<String>>,
    /// Whether a follower waits for its owner's circle before it stores blocks.
    pub circle_in_quorum: Sourced<bool>,
    /// Key file of the network identity, absolute; `None` makes one in the data folder.
    pub network_key: Sourced<Option<PathBuf>>,
    /// Multiaddresses to listen on.
    pub listen: Sourced<Vec<String>>,
    /// Multiaddresses to connect to first.
    pub bootstrap: Sourced<Vec<String>>,
    /// Blocks from one state that is served to the next.
    pub checkpoint_blocks: Sourced<u64>,
    /// The highest version of the rules that the node is to know.
    pub highest_protocol: Sourced<u32>,
    /// File of a rescue release beside those of the program, absolute.
    pub rescue: Sourced<Option<PathBuf>>,
    /// File of the consensus protocol's inputs and outputs, absolute; `None` records nothing.
    pub record_scp: Sourced<Option<PathBuf>>,
    /// Public listener.
    pub api_public: Sourced<SocketAddr>,
    /// Owner's listener.
    pub api_owner: Sourced<SocketAddr>,
    /// Further host names of the owner's listener.
    pub api_owner_hosts: Sourced<Vec<String>>,
    /// Key of the account that is paid, absolute.
    pub provider_account_key: Sourced<Option<PathBuf>>,
    /// Space to lend, in bytes.
    pub provider_capacity: Sourced<u64>,
    /// Price per 10^9 bytes and day.
    pub provider_price: Sourced<watt_primitives::Amount>,
    /// Whether data is kept unsealed too.
    pub provider_hot: Sourced<bool>,
    /// Smallest share, in bytes.
    pub provider_slot_bytes_min: Sourced<u64>,
    /// Largest share, in bytes.
    pub provider_slot_bytes_max: Sourced<u64>,
    /// Longest term, in milliseconds.
    pub provider_term_ms_max: Sourced<u64>,
    /// Within how long everything stored is read once, in milliseconds.
    pub provider_scrub_interval_ms: Sourced<u64>,
    /// How windows are settled.
    pub provider_settle: Sourced<Settle>,
    /// What it runs on.
    pub provider_device: Sourced<Device>,
}

impl Settings {
    /// Puts flags, environment, file and defaults together. `config` names the file (`--config`); it must exist then.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: a value that is none, with where it stands.
    pub fn resolve(
        overrides: &Overrides,
        environment: &Environment,
        home: &Home,
        config: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let named = config
            .map(Path::to_owned)
            .or_else(|| environment.get("WATT_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| home.config_file());
        let path = std::path::absolute(&path).map_err(|error| CommandError::file("use", &path, &error))?;
        let file = match (ConfigFile::read(&path)?, named) {
            (Some(file), _) => file,
            (None, None) => ConfigFile::default(),
            (None, Some(_)) => {
                let message = format!("there is no configuration file {}", path.display());
                return Err(CommandError::new(
                    ErrorKind::Usage,
                    message,
                    "check --config or WATT_CONFIG",
                ));
            }
        };
        Layers {
            path,
            environment,
            home,
        }
        .settings(overrides, &file)
    }

    /// Key, value and origin of every setting, in the file's order; `null` is "not set".
    #[must_use]
    pub fn rows(&self) -> Vec<SettingRow<'_>> {
        let bytes = |bytes: &u64| Value::from(format!("{bytes}B"));
        let path = |path: &Option<PathBuf>| path.as_ref().map_or(Value::Null, |path| text(&path.display()));
        vec![
            row("client.api", &self.client_api, |api| Value::from(api.clone())),
            row("client.account", &self.client_account, |account| {
                Value::from(account.clone())
            }),
            row("client.wait_above", &self.client_wait_above, |amount| {
                amount.map_or(Value::Null, |amount| text(&amount))
            }),
            row("log.level", &self.log_level, text),
            row("log.format", &self.log_format, text),
            row("node.data_dir", &self.data_dir, |path| text(&path.display())),
            row("node.genesis", &self.genesis, path),
            row("node.restart_plans", &self.restart_plans, |files| {
                files.iter().map(|file| text(&file.display())).collect()
            }),
            row("node.validator_key", &self.validator_key, path),
            row("node.seat_account_key", &self.seat_account_key, path),
            row("node.owner", &self.owner, |owner| Value::from(owner.clone())),
            row("node.circle_in_quorum", &self.circle_in_quorum, |is_on| {
                Value::from(*is_on)
            }),
            row("node.network_key", &self.network_key, path),
            row("node.listen", &self.listen, |list| Value::from(list.clone())),
            row("node.bootstrap", &self.bootstrap, |list| {
                Value::from(list.clone())
            }),
            row("node.checkpoint_blocks", &self.checkpoint_blocks, |blocks| {
                Value::from(*blocks)
            }),
            row("node.highest_protocol", &self.highest_protocol, |version| {
                Value::from(*version)
            }),
            row("node.rescue", &self.rescue, path),
            row("node.record_scp", &self.record_scp, path),
            row("api.public", &self.api_public, text),
            row("api.owner", &self.api_owner, text),
            row("api.owner_hosts", &self.api_owner_hosts, |list| {
                Value::from(list.clone())
            }),
            row("provider.account_key", &self.provider_account_key, path),
            row("provider.capacity", &self.provider_capacity, bytes),
            row("provider.price", &self.provider_price, text),
            row("provider.hot", &self.provider_hot, |hot| Value::from(*hot)),
            row("provider.slot_bytes_min", &self.provider_slot_bytes_min, bytes),
            row("provider.slot_bytes_max", &self.provider_slot_bytes_max, bytes),
            row("provider.term_max", &self.provider_term_ms_max, |ms| {
                Value::from(format!("{ms}ms"))
            }),
            row(
                "provider.scrub_interval",
                &self.provider_scrub_interval_ms,
                |ms| Value::from(format!("{ms}ms")),
            ),
            row("provider.settle", &self.provider_settle, |settle| {
                Value::from(settle_name(*settle))
            }),
            row("provider.device", &self.provider_device, |device| {
                Value::from(device.name())
            }),
        ]
    }
}

/// One setting as `watt config show` prints it.
pub type SettingRow<'a> = (&'static str, Value, &'a Origin);

fn text(value: &impl fmt::Display) -> Value {
    Value::from(value.to_string())
}

fn row<'a, T>(key: &'static str, setting: &'a Sourced<T>, value: impl Fn(&T) -> Value) -> SettingRow<'a> {
    (key, value(&setting.value), &setting.origin)
}
