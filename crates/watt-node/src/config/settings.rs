//! Every setting with where it came from.

use super::{ConfigFile, Environment, Home, LogFormat};
use crate::error::{CommandError, ErrorKind};
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use watt_light::proposal::PROTOCOL_VERSION_MAX;

/// Default of `api.public`, from WATT's block of ports.
const API_PUBLIC: &str = "127.0.0.1:28471";
/// Default of `api.owner`: the block's last port.
const API_OWNER: &str = "127.0.0.1:28475";
/// Default of `node.checkpoint_blocks`: an hour of blocks every five seconds (TC22).
const CHECKPOINT_BLOCKS: u64 = 720;
/// Default of `node.listen`: everything else stays on this machine, but peers come from anywhere.
const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/tcp/28470", "/ip4/0.0.0.0/udp/28470/quic-v1"];

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

/// What lies below the flags.
struct Layers<'a> {
    path: PathBuf,
    environment: &'a Environment,
    home: &'a Home,
}

impl Layers<'_> {
    fn settings(&self, overrides: &Overrides, file: &ConfigFile) -> Result<Settings, CommandError> {
        let (client, log, node, api, provider) =
            (&file.client, &file.log, &file.node, &file.api, &file.provider);
        let log_level = match overrides.log_level {
            Some(level) => Sourced {
                value: level.to_owned(),
                origin: Origin::Flag("-v/-q"),
            },
            None => self.environment_or(
                &[("WATT_LOG", "WATT_LOG"), ("RUST_LOG", "RUST_LOG")],
                log.level.as_ref(),
                "info",
            ),
        };
        Ok(Settings {
            client_api: self.optional(
                overrides.api.as_ref(),
                "--api",
                Some("WATT_API"),
                client.api.as_ref(),
            ),
            client_account: self.optional(
                overrides.account.as_ref(),
                "--account",
                Some("WATT_ACCOUNT"),
                client.account.as_ref(),
            ),
            client_wait_above: self.parsed("client.wait_above", client.wait_above.as_ref(), "", |text| {
                if text.is_empty() {
                    return Ok(None);
                }
                text.parse()
                    .map(Some)
                    .map_err(|error: watt_primitives::amount::InvalidAmount| error.to_string())
            })?,
            log_level,
            log_format: self.parsed("log.format", log.format.as_ref(), "text", str::parse)?,
            data_dir: self
                .path_or(
                    overrides.data_dir.as_deref(),
                    "--data-dir",
                    node.data_dir.as_ref(),
                )
                .unwrap_or_else(|| Sourced {
                    value: self.home.node_dir(),
                    origin: Origin::Default,
                }),
            genesis: optional_path(self.path_or(
                overrides.genesis.as_deref(),
                "--genesis",
                node.genesis.as_ref(),
            )),
            validator_key: optional_path(self.path_or(None, "", node.validator_key.as_ref())),
            seat_account_key: optional_path(self.path_or(None, "", node.seat_account_key.as_ref())),
            owner: self.optional(None, "", None, node.owner.as_ref()),
            circle_in_quorum: self.flag(node.circle_in_quorum),
            network_key: optional_path(self.path_or(None, "", node.network_key.as_ref())),
            listen: flagged(
                "--listen",
                &overrides.listen,
                self.list(node.listen.as_ref(), &LISTEN),
            ),
            bootstrap: flagged(
                "--bootstrap",
                &overrides.bootstrap,
                self.list(node.bootstrap.as_ref(), &[]),
            ),
            checkpoint_blocks: match node.checkpoint_blocks {
                Some(value) => Sourced {
                    value,
                    origin: self.file(),
                },
                None => Sourced {
                    value: CHECKPOINT_BLOCKS,
                    origin: Origin::Default,
                },
            },
            highest_protocol: match node.highest_protocol {
                Some(value) => Sourced {
                    value,
                    origin: self.file(),
                },
                None => Sourced {
                    value: PROTOCOL_VERSION_MAX,
                    origin: Origin::Default,
                },
            },
            record_scp: optional_path(self.path_or(
                overrides.record_scp.as_deref(),
                "--record-scp",
                node.record_scp.as_ref(),
            )),
            api_public: self.parsed("api.public", api.public.as_ref(), API_PUBLIC, socket_address)?,
            api_owner: self.parsed("api.owner", api.owner.as_ref(), API_OWNER, socket_address)?,
            api_owner_hosts: self.list(api.owner_hosts.as_ref(), &[]),
            provider_account_key: optional_path(self.path_or(None, "", provider.account_key.as_ref())),
            provider_capacity: self.flag_or_parsed(
                ("--capacity", overrides.capacity.as_ref()),
                ("provider.capacity", provider.capacity.as_ref()),
                "10GiB",
                super::parse_bytes,
            )?,
            provider_price: self.flag_or_parsed(
                ("--price", overrides.price.as_ref()),
                ("provider.price", provider.price.as_ref()),
                "1",
                |text| {
                    text.parse()
                        .map_err(|error: watt_primitives::amount::InvalidAmount| error.to_string())
                },
            )?,
            provider_hot: self.flag(provider.hot),
            provider_slot_bytes_min: self.parsed(
                "provider.slot_bytes_min",
                provider.slot_bytes_min.as_ref(),
                "16KiB",
                super::parse_bytes,
            )?,
            provider_slot_bytes_max: self.parsed(
                "provider.slot_bytes_max",
                provider.slot_bytes_max.as_ref(),
                "31MiB",
                super::parse_bytes,
            )?,
            provider_term_ms_max: self.parsed(
                "provider.term_max",
                provider.term_max.as_ref(),
                "90d",
                super::parse_duration_ms,
            )?,
        })
    }

    /// A switch of the file, off by default.
    fn flag(&self, value: Option<bool>) -> Sourced<bool> {
        let origin = value.map_or(Origin::Default, |_| self.file());
        let value = value.unwrap_or(false);
        Sourced { value, origin }
    }

    fn file(&self) -> Origin {
        Origin::File(self.path.clone())
    }

    fn optional(
        &self,
        flag: Option<&String>,
        flag_name: &'static str,
        variable: Option<&'static str>,
        file: Option<&String>,
    ) -> Sourced<Option<String>> {
        let in_environment = variable.and_then(|name| Some((name, self.environment.get(name)?)));
        let (value, origin) = match (flag, in_environment, file) {
            (Some(value), _, _) => (Some(value.clone()), Origin::Flag(flag_name)),
            (None, Some((name, value)), _) => (Some(value.to_owned()), Origin::Environment(name)),
            (None, None, Some(value)) => (Some(value.clone()), self.file()),
            (None, None, None) => (None, Origin::Default),
        };
        Sourced { value, origin }
    }

    fn environment_or(
        &self,
        variables: &[(&'static str, &'static str)],
        file: Option<&String>,
        default: &str,
    ) -> Sourced<String> {
        for (name, shown) in variables {
            if let Some(value) = self.environment.get(name) {
                return Sourced {
                    value: value.to_owned(),
                    origin: Origin::Environment(shown),
                };
            }
        }
        match file {
            Some(value) => Sourced {
                value: value.clone(),
                origin: self.file(),
            },
            None => Sourced {
                value: default.to_owned(),
                origin: Origin::Default,
            },
        }
    }

    /// A path on the command line is relative to the working folder, one in the file to the file's folder.
    fn path_or(
        &self,
        flag: Option<&Path>,
        flag_name: &'static str,
        file: Option<&String>,
    ) -> Option<Sourced<PathBuf>> {
        if let Some(path) = flag {
            let value = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            return Some(Sourced {
                value,
                origin: Origin::Flag(flag_name),
            });
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        file.map(|path| Sourced {
            value: folder.join(path),
            origin: self.file(),
        })
    }

    fn list(&self, file: Option<&Vec<String>>, default: &[&str]) -> Sourced<Vec<String>> {
        match file {
            Some(list) => Sourced {
                value: list.clone(),
                origin: self.file(),
            },
            None => {
                let value = default.iter().map(|text| (*text).to_owned()).collect();
                Sourced {
                    value,
                    origin: Origin::Default,
                }
            }
        }
    }

    fn parsed<T>(
        &self,
        key: &'static str,
        file: Option<&String>,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, CommandError> {
        self.flag_or_parsed(("", None), (key, file), default, parse)
    }

    fn flag_or_parsed<T>(
        &self,
        (flag_name, flag): (&'static str, Option<&String>),
        (key, file): (&'static str, Option<&String>),
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, CommandError> {
        let (text, origin) = match (flag, file) {
            (Some(text), _) => (text.as_str(), Origin::Flag(flag_name)),
            (None, Some(text)) => (text.as_str(), self.file()),
            (None, None) => (default, Origin::Default),
        };
        match parse(text) {
            Ok(value) => Ok(Sourced { value, origin }),
            Err(reason) => {
                let place = match &origin {
                    Origin::File(path) => format!("{}: {key}", path.display()),
                    Origin::Flag(name) => (*name).to_owned(),
                    Origin::Environment(_) | Origin::Default => key.to_owned(),
                };
                Err(CommandError::new(
                    ErrorKind::Usage,
                    format!("{place}: {reason}"),
                    "correct the value",
                ))
            }
        }
    }
}

/// A list given on the command line replaces the one below it.
fn flagged(flag: &'static str, given: &[String], below: Sourced<Vec<String>>) -> Sourced<Vec<String>> {
    if given.is_empty() {
        return below;
    }
    Sourced {
        value: given.to_vec(),
        origin: Origin::Flag(flag),
    }
}

fn optional_path(path: Option<Sourced<PathBuf>>) -> Sourced<Option<PathBuf>> {
    match path {
        Some(Sourced { value, origin }) => Sourced {
            value: Some(value),
            origin,
        },
        None => Sourced {
            value: None,
            origin: Origin::Default,
        },
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no address with a port; write for example 127.0.0.1:28471"))
}
