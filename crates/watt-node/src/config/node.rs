//! What a node runs with: validated, keys and genesis loaded, paths absolute.

use super::Settings;
use crate::bounded_file;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use crate::restart_file;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use watt_engine::provider::Settle;
use watt_ledger::genesis::GENESIS_BYTES_MAX;
use watt_ledger::{Genesis, Rescue, Rescues};
use watt_light::Restart;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_primitives::id::AddressKind;
use watt_primitives::terms::Device;
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedString, Hash, SecretKey, codec};

/// Whether the node votes.
#[derive(Clone, Debug)]
pub enum Role {
    /// Follows what others decide.
    Follower,
    /// Votes with this key, which stands in the network's backbone.
    Validator {
        /// The voting key.
        key: Box<SecretKey>,
    },
}

/// Where the two HTTP listeners are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAddresses {
    /// Public reading.
    pub public: SocketAddr,
    /// The owner's.
    pub owner: SocketAddr,
    /// Further host names of the owner's listener.
    pub owner_hosts: Vec<String>,
}

/// How much space is lent, and for what.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Key of the account that is paid.
    pub account_key: SecretKey,
    /// Space to lend, in bytes.
    pub capacity_bytes: u64,
    /// Price per 10^9 bytes and day.
    pub price: Amount,
    /// Whether shares are kept as they came beside their replica: twice the disk, and no wait for who reads.
    pub hot: bool,
    /// Smallest share taken, in bytes.
    pub slot_bytes_min: u64,
    /// Largest share taken, in bytes.
    pub slot_bytes_max: u64,
    /// Longest term taken, in milliseconds of ledger time.
    pub term_ms_max: u64,
    /// Within how many milliseconds everything stored is read once and put right.
    pub scrub_interval_ms: u64,
    /// How it settles its windows.
    pub settle: Settle,
    /// What it runs on.
    pub device: Device,
}

/// What a node runs with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Folder of state, blocks, replicas and network identity.
    pub data_dir: PathBuf,
    /// Whether the owner says that the folder was moved, not copied (TC3).
    pub was_moved: bool,
    /// Which network.
    pub genesis: Genesis,
    /// The restarts of the network, in their order, as far as the owner of a node without blocks names them.
    pub restarts: Vec<Restart>,
    /// Whether it votes.
    pub role: Role,
    /// Key of the account whose seat's duties it does.
    pub seat_account_key: Option<SecretKey>,
    /// Whose node it is, as far as its owner said so.
    pub owner: Option<AccountId>,
    /// Whether it stores only blocks that the owner's circle has, too.
    pub circle_in_quorum: bool,
    /// Network identity; `None` uses the one in the data folder, made at the first start.
    pub network_key: Option<keyfile::Seed>,
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses of nodes to connect to first.
    pub bootstrap: Vec<String>,
    /// Blocks from one state that is served to fresh nodes to the next.
    pub checkpoint_blocks: u64,
    /// The highest version of the rules that it knows.
    pub protocol: u32,
    /// The rescue releases that it follows.
    pub rescues: Rescues,
    /// File to record the consensus protocol's inputs and outputs in, if anywhere.
    pub record_scp: Option<PathBuf>,
    /// The two HTTP listeners.
    pub api: ApiAddresses,
    /// Lending space, if it does.
    pub provider: Option<ProviderConfig>,
}

impl NodeConfig {
    /// Whose circle confirms what this node sees, and whose power is the storage that it proves: who was named, else whoever holds its seat, or else is paid.
    #[must_use]
    pub fn owner(&self) -> Option<AccountId> {
        let of_key = |key: &SecretKey| AccountId::of_first_key(&key.public());
        let paid = || {
            self.provider
                .as_ref()
                .map(|provider| of_key(&provider.account_key))
        };
        let seated = || self.seat_account_key.as_ref().map(of_key);
        self.owner.or_else(seated).or_else(paid)
    }

    /// Loads what `settings` name. `is_provider` asks for the provider's part too.
    ///
    /// # Errors
    /// A file that is missing, unreadable or not what it should be; settings that contradict each other.
    pub fn load(settings: &Settings, is_provider: bool) -> Result<Self, CommandError> {
        let Some(genesis_path) = &settings.genesis.value else {
            return Err(CommandError::new(
                ErrorKind::Usage,
                "no network to join: there is no public network yet, and no genesis file is named",
                "name one with --genesis FILE (node.genesis), or start a whole network here: `watt devnet up`",
            ));
        };
        let genesis = read_genesis(genesis_path)?;
        let protocol = protocol(settings.highest_protocol.value, genesis.is_main)?;
        let rescues = rescues(settings.rescue.value.as_deref(), genesis.is_main)?;
        let role = match &settings.validator_key.value {
            None => Role::Follower,
            Some(path) => Role::Validator {
                key: Box::new(keyfile::read(path)?),
            },
        };
        let (public, owner) = (settings.api_public.value, settings.api_owner.value);
        if public == owner && public.port() != 0 {
            return Err(CommandError::new(
                ErrorKind::Usage,
                format!("api.public and api.owner are both {public}"),
                "give the owner's listener another port",
            ));
        }
        if !owner.ip().is_loopback() {
            return Err(CommandError::new(
                ErrorKind::Usage,
                format!("api.owner is {owner}, which other machines can reach without encryption"),
                "use an address of this machine only, for example 127.0.0.1:28475, and tunnel to it",
            ));
        }
        let provider = if is_provider {
            Some(provider(settings)?)
        } else {
            None
        };
        Ok(Self {
            data_dir: settings.data_dir.value.clone(),
            was_moved: false,
            restarts: settings
                .restart_plans
                .value
                .iter()
                .map(|file| restart_file::read(file, "signed plan"))
                .collect::<Result<_, _>>()?,
            owner: owner_of(settings, &genesis)?,
            circle_in_quorum: settings.circle_in_quorum.value,
            genesis,
            role,
            seat_account_key: settings
                .seat_account_key
                .value
                .as_deref()
                .map(keyfile::read)
                .transpose()?,
            network_key: settings
                .network_key
                .value
                .as_deref()
                .map(keyfile::read_seed)
                .transpose()?,
            listen: settings.listen.value.clone(),
            bootstrap: settings.bootstrap.value.clone(),
            checkpoint_blocks: settings.checkpoint_blocks.value,
            protocol,
            rescues,
            record_scp: settings.record_scp.value.clone(),
            api: ApiAddresses {
                public,
                owner,
                owner_hosts: settings.api_owner_hosts.value.clone(),
            },
            provider,
        })
    }
}

/// Reads and checks a genesis document.
///
/// # Errors
/// Unreadable, or not the canonical encoding of a genesis.
pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, CommandError> {
    let bytes = std::fs::read(path).map_err(|error| CommandError::file("read the genesis", path, &error))?;
    let refuse = |reason: String| {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} is no genesis document: {reason}", path.display()),
            "get the network's genesis file again",
        )
    };
    let genesis: Genesis =
        codec::decode(&bytes, GENESIS_BYTES_MAX).map_err(|error| refuse(error.to_string()))?;
    genesis.check().map_err(|error| refuse(error.to_string()))?;
    Ok(genesis)
}

/// What the program knows, or less on a test network.
fn protocol(asked: u32, is_main: bool) -> Result<u32, CommandError> {
    let is_less = (1..PROTOCOL_VERSION_MAX).contains(&asked) && !is_main;
    if is_less || asked == PROTOCOL_VERSION_MAX {
        return Ok(asked);
    }
    Err(CommandError::new(
        ErrorKind::Usage,
        format!(
            "node.highest_protocol is {asked}; this program knows the rules' versions 1 to {PROTOCOL_VERSION_MAX}"
        ),
        "leave it out; a lower one is for trying an upgrade on a test network",
    ))
}

/// A rescue release as an owner writes it down on a test network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RescueFile {
    /// Height of the last block under the old rules.
    base: u64,
    /// Hash of that block's header, in hexadecimal digits.
    header: String,
    /// Version of the rules from the next block on.
    version: u32,
    /// Why.
    reason: String,
}

/// The longest file of a rescue release, in bytes.
const RESCUE_FILE_BYTES_MAX: usize = 4_096;

/// Those of the program, and on a test network one more.
fn rescues(path: Option<&Path>, is_main: bool) -> Result<Rescues, CommandError> {
    let held = Rescues::of_program();
    let Some(path) = path else { return Ok(held) };
    let shown = path.display();
    if is_main {
        return Err(CommandError::new(
            ErrorKind::Usage,
            format!(
                "node.rescue names {shown}; on a main network only the program itself holds rescue releases"
            ),
            "leave it out, and update the program",
        ));
    }
    let bytes = bounded_file::read(path, RESCUE_FILE_BYTES_MAX)?;
    let refuse = |why: String| {
        CommandError::new(
            ErrorKind::Usage,
            format!("{shown} is no rescue release: {why}"),
            "it has the fields base, header, version and reason, as `docs/guide/en/upgrades.md` shows",
        )
    };
    if bytes.len() > RESCUE_FILE_BYTES_MAX {
        return Err(refuse(format!("it is longer than {RESCUE_FILE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| refuse(error.to_string()))?;
    let file: RescueFile = toml::from_str(text).map_err(|error| refuse(error.message().to_owned()))?;
    let header = Hash::from_hex(&file.header)
        .ok_or_else(|| refuse("its header is no hash of 64 hexadecimal digits".to_owned()))?;
    let rescue = Rescue {
        base: BlockHeight(file.base),
        header,
        version: file.version,
        reason: BoundedString::new(file.reason).map_err(|_| refuse("its reason is too long".to_owned()))?,
    };
    held.with(rescue).map_err(|why| refuse(why.to_string()))
}

fn owner_of(settings: &Settings, genesis: &Genesis) -> Result<Option<AccountId>, CommandError> {
    let kind = if genesis.is_main {
        AddressKind::Main
    } else {
        AddressKind::Test
    };
    let parse = |text: &String| {
        AccountId::parse_address(text, kind).map_err(|error| {
            let message = format!("node.owner: `{text}`: {error}");
            CommandError::new(ErrorKind::Usage, message, "copy the address again")
        })
    };
    settings.owner.value.as_ref().map(parse).transpose()
}

fn provider(settings: &Settings) -> Result<ProviderConfig, CommandError> {
    let Some(path) = &settings.provider_account_key.value else {
        return Err(CommandError::new(
            ErrorKind::Usage,
            "no account to be paid: provider.account_key is not set",
            "make one with `watt account new`, then name its key file under [provider]",
        ));
    };
    let (slot_bytes_min, slot_bytes_max) = (
        settings.provider_slot_bytes_min.value,
        settings.provider_slot_bytes_max.value,
    );
    if slot_bytes_min > slot_bytes_max {
        return Err(CommandError::new(
            ErrorKind::Usage,
            format!(
                "provider.slot_bytes_min ({slot_bytes_min}) is above provider.slot_bytes_max ({slot_bytes_max})"
            ),
            "swap them",
        ));
    }
    Ok(ProviderConfig {
        account_key: keyfile::read(path)?,
        capacity_bytes: settings.provider_capacity.value,
        price: settings.provider_price.value,
        hot: settings.provider_hot.value,
        slot_bytes_min,
        slot_bytes_max,
        term_ms_max: settings.provider_term_ms_max.value,
        scrub_interval_ms: settings.provider_scrub_interval_ms.value,
        settle: settings.provider_settle.value,
        device: settings.provider_device.value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a node of a test network may know less than its program, and none knows more. Covers: A11.
    #[test]
    fn a_node_may_know_less_on_a_test_network() {
        let newest = PROTOCOL_VERSION_MAX;
        for (asked, is_main, is_allowed) in [
            (newest, true, true),
            (newest, false, true),
            (1, false, true),
            (1, true, false),
            (0, false, false),
            (newest + 1, false, false),
        ] {
            let outcome = protocol(asked, is_main);
            assert_eq!(outcome.is_ok(), is_allowed, "{asked}: {outcome:?}");
        }
    }
}
