//! The configuration file as written: one TOML file, every key optional, an unknown key an error.

use crate::error::{CommandError, ErrorKind};
use serde::Deserialize;
use std::path::Path;

/// What the owner wrote. The doc comment of a field is its documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Commands that talk to a node.
    #[serde(default)]
    pub client: ClientSection,
    /// Logs of `node run` and `provider run`.
    #[serde(default)]
    pub log: LogSection,
    /// The node.
    #[serde(default)]
    pub node: NodeSection,
    /// The node's two HTTP listeners.
    #[serde(default)]
    pub api: ApiSection,
    /// Lending space, for `provider run`.
    #[serde(default)]
    pub provider: ProviderSection,
}

/// `[client]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSection {
    /// The node to talk to, for example `http://127.0.0.1:28471`.
    pub api: Option<String>,
    /// The account that pays: a name of `watt account list`.
    pub account: Option<String>,
    /// Payments of more than so many WATT wait until they are done and confirmed by the circle.
    pub wait_above: Option<String>,
}

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,watt_net=debug`.
    pub level: Option<String>,
    /// `text` or `json`.
    pub format: Option<String>,
}

/// `[node]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Folder of the state, the blocks and the network identity.
    pub data_dir: Option<String>,
    /// The genesis document of the network to join.
    pub genesis: Option<String>,
    /// The signed plans by which people restarted it, in their order: for a node without blocks.
    pub restart_plans: Option<Vec<String>>,
    /// File with the voting key; without it the node follows and does not vote.
    pub validator_key: Option<String>,
    /// Key of the account that holds a seat, or wants one.
    pub seat_account_key: Option<String>,
    /// Address of the account of whoever runs this node, whose circle confirms what it sees; without it, the account that holds a seat,
    /// or else the one that is paid.
    pub owner: Option<String>,
    /// Whether this node, if it has no voting key, stores only blocks that the circle of its owner has, too.
    pub circle_in_quorum: Option<bool>,
    /// File with the key of the node's network identity; without it one is made in the data folder.
    pub network_key: Option<String>,
    /// Multiaddresses to listen on.
    pub listen: Option<Vec<String>>,
    /// Multiaddresses of nodes to connect to first, each with the node's peer id: `/ip4/…/tcp/…/p2p/…`.
    pub bootstrap: Option<Vec<String>>,
    /// Blocks from one state that is served to fresh nodes to the next, and how many blocks behind this node, if fresh, starts
    /// from such a state.
    pub checkpoint_blocks: Option<u64>,
    /// The highest version of the rules that this node is to know, below what its program knows: to try an upgrade with old
    /// programs on a test network.
    pub highest_protocol: Option<u32>,
    /// File with a rescue release that this program does not hold by itself, to try one on a test network.
    pub rescue: Option<String>,
    /// File to record the consensus protocol's inputs and outputs in, for `watt scp replay`.
    pub record_scp: Option<String>,
}

/// `[api]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSection {
    /// Address and port of the public listener: reading, and handing in signed transactions.
    pub public: Option<String>,
    /// Address and port of the owner's listener: needs the token in the data folder.
    pub owner: Option<String>,
    /// Host names, besides `localhost` and `127.0.0.1`, under which the owner's listener may be called.
    pub owner_hosts: Option<Vec<String>>,
}

/// `[provider]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSection {
    /// File with the account key that is paid.
    pub account_key: Option<String>,
    /// Space to lend, for example `10 GiB`.
    pub capacity: Option<String>,
    /// Price in WATT per 10^9 bytes and day, for example `0.5`.
    pub price: Option<String>,
    /// Whether shares are kept as they came beside their replica. If not they take half the disk, and a read can take a minute.
    pub hot: Option<bool>,
    /// Smallest share taken, for example `16 KiB`.
    pub slot_bytes_min: Option<String>,
    /// Largest share taken, for example `31 MiB`.
    pub slot_bytes_max: Option<String>,
    /// Longest term taken, for example `30d`.
    pub term_max: Option<String>,
    /// Time within which everything stored is read once and put right, for example `7d`.
    pub scrub_interval: Option<String>,
    /// How windows are settled: `windows` or `folded`.
    pub settle: Option<String>,
    /// What it runs on: `always-on`, `daily` or `phone`.
    pub device: Option<String>,
}

impl ConfigFile {
    /// Reads `path`; `Ok(None)` if there is no such file.
    ///
    /// # Errors
    /// Unreadable, or not as [`Self::parse`] wants it.
    pub fn read(path: &Path) -> Result<Option<Self>, CommandError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CommandError::file("read", path, &error)),
        }
    }

    /// Parses `text`, which was read from `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with file, line and, for an unknown key, the nearest known one.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CommandError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let (message, hint) = in_words(error.message());
            CommandError::new(
                ErrorKind::Usage,
                format!("{}:{line}: {message}", path.display()),
                hint,
            )
        })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Splits serde's "unknown field `x`, expected one of `a`, `b`" into what happened and what to do.
fn in_words(message: &str) -> (String, String) {
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return (
            message.to_owned(),
            "correct this line; docs/spec/api.md lists every key".to_owned(),
        );
    };
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let nearest = known.iter().min_by_key(|name| distance(unknown, name)).copied();
    let hint = match nearest {
        Some(name) if distance(unknown, name) <= 3 => format!("did you mean `{name}`?"),
        _ => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown key `{unknown}`"), hint)
}

/// Levenshtein distance: how many letters to insert, drop or change.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
