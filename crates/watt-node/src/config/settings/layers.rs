//! Which of the flag, the variable, the file and the default a setting has.

use super::{Origin, Overrides, Settings, Sourced};
use crate::config::value::{parse_device, parse_settle, settle_name, settle_of};
use crate::config::{ConfigFile, Environment, Home, parse_bytes, parse_duration_ms};
use crate::error::{CommandError, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_primitives::terms::Device;

/// Default of `api.public`, from WATT's block of ports.
const API_PUBLIC: &str = "127.0.0.1:28471";
/// Default of `api.owner`: the block's last port.
const API_OWNER: &str = "127.0.0.1:28475";
/// Default of `node.checkpoint_blocks`: an hour of blocks every five seconds (TC22).
const CHECKPOINT_BLOCKS: u64 = 720;
/// Default of `node.listen`: everything else stays on this machine, but peers come from anywhere.
const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/tcp/28470", "/ip4/0.0.0.0/udp/28470/quic-v1"];

/// What lies below the flags.
pub(super) struct Layers<'a> {
    pub(super) path: PathBuf,
    pub(super) environment: &'a Environment,
    pub(super) home: &'a Home,
}

impl Layers<'_> {
    pub(super) fn settings(
        &self,
        overrides: &Overrides,
        file: &ConfigFile,
    ) -> Result<Settings, CommandError> {
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
        let provider_device = self.flag_or_parsed(
            ("--device", overrides.device.as_ref()),
            ("provider.device", provider.device.as_ref()),
            Device::default().name(),
            parse_device,
        )?;
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
            restart_plans: self.paths_or(
                &overrides.restart_plans,
                "--restart-plan",
                node.restart_plans.as_ref(),
            ),
            validator_key: optional_path(self.path_or(None, "", node.validator_key.as_ref())),
            seat_account_key: optional_path(self.path_or(None, "", node.seat_account_key.as_ref())),
            owner: self.optional(None, "", None, node.owner.as_ref()),
            circle_in_quorum: self.flag(node.circle_in_quorum, false),
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
            rescue: optional_path(self.path_or(None, "", node.rescue.as_ref())),
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
                parse_bytes,
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
            provider_hot: self.flag(provider.hot, true),
            provider_slot_bytes_min: self.parsed(
                "provider.slot_bytes_min",
                provider.slot_bytes_min.as_ref(),
                "16KiB",
                parse_bytes,
            )?,
            provider_slot_bytes_max: self.parsed(
                "provider.slot_bytes_max",
                provider.slot_bytes_max.as_ref(),
                "31MiB",
                parse_bytes,
            )?,
            provider_term_ms_max: self.parsed(
                "provider.term_max",
                provider.term_max.as_ref(),
                "90d",
                parse_duration_ms,
            )?,
            provider_scrub_interval_ms: self.parsed(
                "provider.scrub_interval",
                provider.scrub_interval.as_ref(),
                "7d",
                parse_duration_ms,
            )?,
            provider_settle: self.flag_or_parsed(
                ("--settle", overrides.settle.as_ref()),
                ("provider.settle", provider.settle.as_ref()),
                settle_name(settle_of(provider_device.value)),
                parse_settle,
            )?,
            provider_device,
        })
    }

    /// A switch of the file.
    fn flag(&self, value: Option<bool>, default: bool) -> Sourced<bool> {
        let origin = value.map_or(Origin::Default, |_| self.file());
        let value = value.unwrap_or(default);
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

    /// Several; none by default.
    fn paths_or(
        &self,
        flags: &[PathBuf],
        flag_name: &'static str,
        file: Option<&Vec<String>>,
    ) -> Sourced<Vec<PathBuf>> {
        let of_flags = || flags.iter().map(|path| self.path_or(Some(path), flag_name, None));
        let of_file = || {
            file.into_iter()
                .flatten()
                .map(|path| self.path_or(None, "", Some(path)))
        };
        let paths: Vec<Sourced<PathBuf>> = match flags {
            [] => of_file().flatten().collect(),
            [..] => of_flags().flatten().collect(),
        };
        let origin = paths.first().map_or(Origin::Default, |path| path.origin.clone());
        let value = paths.into_iter().map(|path| path.value).collect();
        Sourced { value, origin }
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
