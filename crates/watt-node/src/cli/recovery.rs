//! `watt seat cold-key`, `watt seat succession`, and `watt node recover`: what brings a stopped network back
//! (`docs/spec/node.md` §11).

use super::account::resolve;
use super::provider::owner_client;
use super::session::Session;
use crate::api::OwnerRoute;
use crate::api::types::Recovered;
use crate::config::{Overrides, read_genesis};
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use crate::runtime::seat_keys::{SeatKeys, read_succession};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use watt_ledger::Genesis;
use watt_light::duty::cold_key_hash;
use watt_light::succession::Claim;
use watt_light::{Operation, Succession};
use watt_primitives::id::AddressKind;
use watt_primitives::key::SignatureCheck;
use watt_primitives::{AccountId, Domain, Hash, NetworkId, Signature, Term, codec};

/// The most bytes of a request.
const REQUEST_BYTES_MAX: usize = 1024;

/// The key, kept offline, that can name another voting key for a seat
#[derive(Debug, Subcommand)]
pub(super) enum ColdKeyCommand {
    /// Make a cold key in a new file; best on a machine that is never online
    ///
    /// It prints the hash to commit to. Keep the file away from the node: whoever has it can take the seat over.
    #[command(after_help = "Examples:\n  watt seat cold-key new cold.key")]
    New {
        /// Where the key goes; the file must not exist
        file: PathBuf,
    },
    /// Commit to a cold key on the ledger, in place of the one before
    ///
    /// It counts from the next backbone on that is written, one or two terms later.
    #[command(
        after_help = "Examples:\n  watt seat cold-key commit 3b1f…\n  watt seat cold-key commit none     take it back"
    )]
    Commit {
        /// The hash that `watt seat cold-key new` printed, or `none`
        #[arg(value_parser = committed_hash)]
        hash: Hash,
    },
}

/// Take over from a voting key that is lost
///
/// On the machine that shall vote: `request`. On the one with the cold key: `sign`. On the first again: `take`, then start
/// the node.
#[derive(Debug, Subcommand)]
pub(super) enum SuccessionCommand {
    /// Make a new voting key for a seat on this machine, and write down what the cold key has to sign
    ///
    /// Call it with the configuration of the node that shall vote, while that does not run.
    #[command(after_help = "Examples:\n  watt seat succession request --seat twatt1… --term 12 -o request")]
    Request {
        /// The account that holds the seat: an address, or a name of `watt account list`
        #[arg(long, value_name = "ADDRESS")]
        seat: String,
        /// The term in which the key shall vote: that of the slot after the newest block
        #[arg(long)]
        term: u64,
        /// Which successor it is; higher than all before it in this term
        #[arg(long, default_value_t = 1)]
        generation: u8,
        /// Where the request goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// The network [config: node.genesis]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
        /// The folder of the node that shall vote [config: node.data_dir]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Sign a request with the cold key; needs no network
    #[command(
        after_help = "Examples:\n  watt seat succession sign request --cold-key cold.key -o succession"
    )]
    Sign {
        /// What `watt seat succession request` wrote
        request: PathBuf,
        /// The cold key's file
        #[arg(long, value_name = "FILE")]
        cold_key: PathBuf,
        /// Where the succession goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Give a signed succession to the node that made the request; it counts from the node's next start
    #[command(after_help = "Examples:\n  watt seat succession take succession")]
    Take {
        /// What `watt seat succession sign` wrote
        succession: PathBuf,
        /// The network [config: node.genesis]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
        /// The folder of the node that shall vote [config: node.data_dir]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

/// Let a node go on that is silent because it forgot what it said
///
/// A node restored from an older backup says nothing in a slot in which others hold words of it that it does not know. If so many
/// forgot that the network stands still, their owners call this. The node takes over what others hold of its own words.
///
/// Never call it for a copy of a node that runs elsewhere.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt node recover\n  watt node recover v2                a node of your devnet"
)]
pub(super) struct RecoverArgs {
    /// A node of your devnet [default: the node of your configuration]
    node: Option<String>,
}

/// What travels to the cold key and back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    network: NetworkId,
    claim: Claim,
    possession: Signature,
}

fn committed_hash(text: &str) -> Result<Hash, String> {
    if text == "none" {
        return Ok(Hash::ZERO);
    }
    Hash::from_hex(text).ok_or_else(|| "a hash has 64 hexadecimal digits".to_owned())
}

pub(super) async fn cold_key(session: &Session, command: ColdKeyCommand) -> Result<(), CommandError> {
    match command {
        ColdKeyCommand::New { file } => new_cold_key(session, &file),
        ColdKeyCommand::Commit { hash } => commit(session, hash).await,
    }
}

pub(super) async fn succession(session: &Session, command: SuccessionCommand) -> Result<(), CommandError> {
    match command {
        SuccessionCommand::Request {
            seat,
            term,
            generation,
            output,
            genesis,
            data_dir,
        } => {
            let node = NodeFiles::of(session, genesis, data_dir)?;
            let account = seat_account(session, &seat).await?;
            request(session, &node, account, Term(term), generation, &output)
        }
        SuccessionCommand::Sign {
            request,
            cold_key,
            output,
        } => sign(session, &request, &cold_key, &output),
        SuccessionCommand::Take {
            succession,
            genesis,
            data_dir,
        } => take(session, &NodeFiles::of(session, genesis, data_dir)?, &succession),
    }
}

/// Genesis and folder of the node that shall vote.
struct NodeFiles {
    genesis: Genesis,
    keys: SeatKeys,
}

impl NodeFiles {
    fn of(
        session: &Session,
        genesis: Option<PathBuf>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, CommandError> {
        let settings = session.settings(Overrides {
            genesis,
            data_dir,
            ..Overrides::default()
        })?;
        let path = settings.genesis.value.as_deref().ok_or_else(|| {
            CommandError::new(
                ErrorKind::Usage,
                "which network? no genesis file is named",
                "name one with --genesis FILE, or the node's --config",
            )
        })?;
        Ok(Self {
            genesis: read_genesis(path)?,
            keys: SeatKeys::in_dir(settings.data_dir.value.join("seat")),
        })
    }
}

/// An address needs no network to be read: it may stand still.
async fn seat_account(session: &Session, text: &str) -> Result<AccountId, CommandError> {
    for kind in [AddressKind::Main, AddressKind::Test] {
        if let Ok(account) = AccountId::parse_address(text, kind) {
            return Ok(account);
        }
    }
    resolve(session, &session.context().await?, text)
}

fn new_cold_key(session: &Session, file: &Path) -> Result<(), CommandError> {
    let hash = cold_key_hash(&keyfile::create(file)?.public());
    let object = json!({ "file": file, "hash": hash.to_string() });
    session.ui.result(&object, || {
        format!(
            "{hash}\n\nKeep {} offline. Commit to it: watt seat cold-key commit {hash}",
            file.display()
        )
    })
}

async fn commit(session: &Session, hash: Hash) -> Result<(), CommandError> {
    let context = session.context().await?;
    let operation = Operation::SetColdKey { hash };
    let recorded = context.transact(&session.ui, vec![operation]).await?;
    let object = json!({
        "hash": hash.to_string(),
        "transaction": recorded.id.to_string(),
        "height": recorded.height,
        "fee": recorded.fee.to_string(),
    });
    session
        .ui
        .result(&object, || format!("recorded in block {}", recorded.height))
}

fn request(
    session: &Session,
    node: &NodeFiles,
    account: AccountId,
    term: Term,
    generation: u8,
    output: &Path,
) -> Result<(), CommandError> {
    let network = node.genesis.network();
    let made = node.keys.make(&[term])?;
    let Some(secrets) = made.first() else {
        return Err(CommandError::new(
            ErrorKind::Other,
            "no key was made",
            "report this",
        ));
    };
    let claim = Claim {
        term,
        account,
        generation,
        key: secrets.voting_key.node_id(),
    };
    let request = Request {
        network,
        claim,
        possession: claim.sign(&secrets.voting_key, &network),
    };
    keyfile::write_new_private(output, &codec::encode(&request))?;
    let object =
        json!({ "file": output, "term": term.0, "generation": generation, "key": claim.key.to_string() });
    session.ui.result(&object, || {
        format!(
            "key {} is to vote for the seat in term {}\nsign it where the cold key is: watt seat succession sign {} --cold-key FILE -o succession",
            claim.key,
            term.0,
            output.display()
        )
    })
}

fn read_request(path: &Path) -> Result<Request, CommandError> {
    let bytes = std::fs::read(path).map_err(|error| CommandError::file("read", path, &error))?;
    let holds = |request: &Request| {
        let message = codec::encode(&request.claim);
        let (key, domain) = (request.claim.key.into(), Domain::Succession);
        SignatureCheck::new(key, domain, &request.network, &message, request.possession).holds()
    };
    let request: Option<Request> = codec::decode(&bytes, REQUEST_BYTES_MAX).ok();
    request.filter(holds).ok_or_else(|| {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} holds no request for a succession", path.display()),
            "make one with `watt seat succession request`",
        )
    })
}

fn sign(session: &Session, request: &Path, cold_key: &Path, output: &Path) -> Result<(), CommandError> {
    let Request {
        network,
        claim,
        possession,
    } = read_request(request)?;
    let succession = Succession::new(claim, possession, &keyfile::read(cold_key)?, &network);
    keyfile::write_new_private(output, &codec::encode(&succession))?;
    let object = json!({
        "file": output,
        "network": network.to_string(),
        "seat": claim.account.to_string(),
        "term": claim.term.0,
        "generation": claim.generation,
        "key": claim.key.to_string(),
    });
    session.ui.result(&object, || {
        format!(
            "signed: key {} votes for the seat {} in term {} of network {network}\ngive it to the node: watt seat succession take {}",
            claim.key,
            claim.account,
            claim.term.0,
            output.display()
        )
    })
}

fn take(session: &Session, node: &NodeFiles, path: &Path) -> Result<(), CommandError> {
    let succession = read_succession(path, &node.genesis.network())?;
    let secrets = node.keys.find(succession.term)?;
    if secrets.is_none_or(|secrets| secrets.voting_key.node_id() != succession.key) {
        return Err(CommandError::new(
            ErrorKind::NotFound,
            "the key that shall vote is not in this node's folder",
            "take it on the machine, and with the configuration, with which the request was made",
        ));
    }
    let taken = node.keys.take(&succession)?;
    let object = json!({ "file": taken, "term": succession.term.0, "seat": succession.account.to_string() });
    session.ui.result(&object, || {
        "the node votes for the seat from its next start on: watt node run".to_owned()
    })
}

pub(super) async fn recover(session: &Session, args: RecoverArgs) -> Result<(), CommandError> {
    let client = owner_client(session, args.node.as_deref())?;
    let recovered: Recovered = client.post(OwnerRoute::Recover.path()).await?;
    session.ui.result(&recovered, || {
        format!("the node speaks again in slot {}", recovered.slot)
    })
}
