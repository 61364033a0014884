//! `watt chain`.

use super::session::Session;
use crate::api::EvidenceInfo;
use crate::api::types::{BlockInfo, Outcome, TransactionInfo};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::proof_file::{self, Verified};
use crate::ui::{Table, bytes_text, time_text};
use clap::Subcommand;
use std::path::PathBuf;
use watt_primitives::{AccountId, BlockHeight, TransactionId};

/// Look into the ledger
#[derive(Debug, Subcommand)]
pub(super) enum ChainCommand {
    /// Show the newest block's header
    #[command(after_help = "Examples:\n  watt chain head\n  watt chain head --json | jq .height")]
    Head,
    /// Show a block: who proposed it, who decided it, its transactions
    #[command(after_help = "Examples:\n  watt chain block 42")]
    Block {
        /// Its height
        height: u64,
    },
    /// Show validators that contradicted themselves, with the proofs
    #[command(
        after_help = "Examples:\n  watt chain evidence\n  watt chain evidence --json | jq '.evidence[0].signed'"
    )]
    Evidence,
    /// Prove that a block is final, or what an account has, to somebody who trusts no node
    ///
    /// Writes a file that `watt verify` checks with nothing but the network's id. An account is proven after the newest block, once the
    /// next one has made it final.
    #[command(
        after_help = "Examples:\n  watt chain proof 42\n  watt chain proof wattt1qyq3s… -o mine.proof\n  watt verify mine.proof"
    )]
    Proof {
        /// A block's height, or an account's address
        of: String,
        /// Where to write it [default: block-HEIGHT.proof or ADDRESS.proof in this folder]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what became of a transaction
    #[command(
        after_help = "Examples:\n  watt chain tx 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Tx {
        /// Its id: 64 hexadecimal digits
        #[arg(value_parser = transaction_id)]
        id: TransactionId,
    },
}

pub(super) async fn run(session: &Session, command: ChainCommand) -> Result<(), CommandError> {
    let context = session.context().await?;
    match command {
        ChainCommand::Head => {
            let head = context.api.head().await?;
            session.ui.result(&head, || {
                let mut table = Table::plain();
                table.row(["height".into(), head.height.to_string()]);
                table.row(["closed".into(), time_text(head.close_time)]);
                table.row(["hash".into(), head.hash.to_string()]);
                table.row(["state".into(), head.state_root.to_string()]);
                table.row(["network".into(), head.network.to_string()]);
                table.to_string()
            })
        }
        ChainCommand::Block { height } => {
            let block = context.api.block(BlockHeight(height)).await?;
            session.ui.result(&block, || block_text(&block))
        }
        ChainCommand::Evidence => {
            let evidence = context.api.evidence().await?;
            session.ui.result(&evidence, || evidence_text(&evidence))
        }
        ChainCommand::Proof { of, output } => prove(session, &context, &of, output).await,
        ChainCommand::Tx { id } => {
            let transaction = context.api.transaction(id).await?;
            session.ui.result(&transaction, || transaction_text(&transaction))
        }
    }
}

/// What a proof is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Block(BlockHeight),
    Account(AccountId),
}

impl Asked {
    /// What a proof is about.
    fn of(verified: &Verified) -> Self {
        match &verified.account {
            Some((account, _)) => Self::Account(*account),
            None => Self::Block(verified.header.height),
        }
    }
}

/// Fetches a proof, checks it, and writes it.
async fn prove(
    session: &Session,
    context: &Context,
    of: &str,
    output: Option<PathBuf>,
) -> Result<(), CommandError> {
    let (shown, asked) = match of.parse().map(BlockHeight) {
        Ok(height) => (context.api.shown_block(height).await?, Asked::Block(height)),
        Err(_) => {
            let account = context.parse_address(of)?;
            (
                context.api.shown_account(&account).await?,
                Asked::Account(account),
            )
        }
    };
    let name = match asked {
        Asked::Block(height) => format!("block-{height}.proof"),
        Asked::Account(_) => format!("{of}.proof"),
    };
    let path = output.unwrap_or_else(|| PathBuf::from(name));
    let bytes = proof_file::encode(context.genesis.clone(), shown);
    let refuse = |reason: String| {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} gave {reason}", context.api.base()),
            "ask another node with --api URL",
        )
    };
    let verified = proof_file::verify(&bytes, &context.network)
        .map_err(|invalid| refuse(format!("a proof that is none: {invalid}")))?;
    if Asked::of(&verified) != asked {
        return Err(refuse(
            "a proof of something else than it was asked for".to_owned(),
        ));
    }
    let write = || -> std::io::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create_new(&path)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a proof proves nothing, and would stand in the way of the next try.
            drop(std::fs::remove_file(&path));
        }
        written
    };
    write().map_err(|error| CommandError::file("write", &path, &error))?;
    let mut object = super::verify::object(&verified);
    object["file"] = path.display().to_string().into();
    object["bytes"] = bytes.len().into();
    session.ui.result(&object, || {
        let size = bytes_text(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        format!(
            "{}\nwritten to {} ({size}); anybody checks it with `watt verify {}`",
            super::verify::text(&verified),
            path.display(),
            path.display()
        )
    })
}

fn evidence_text(info: &EvidenceInfo) -> String {
    if info.nodes.is_empty() {
        return "no validator has contradicted itself, as far as this node knows".to_owned();
    }
    let mut table = Table::new(&["VALIDATOR", "SLOT", "SIGNED", "ONE VALUE", "ANOTHER VALUE"]);
    for piece in &info.evidence {
        let [one, other] = piece.values.clone();
        let words = piece.kind.replace('-', " ");
        table.row([piece.node.to_string(), piece.slot.to_string(), words, one, other]);
    }
    let mut text = table.to_string();
    for accused in &info.nodes {
        text.push_str(&format!("\n{}: {} in all", accused.node, accused.total));
    }
    text
}

fn block_text(block: &BlockInfo) -> String {
    let mut table = Table::plain();
    table.row([
        "height".into(),
        format!("{} ({})", block.header.height, block.finality),
    ]);
    table.row(["closed".into(), time_text(block.header.close_time)]);
    table.row(["hash".into(), block.header.hash.to_string()]);
    table.row(["parent".into(), block.header.parent.to_string()]);
    table.row(["proposed by".into(), block.proposer.to_string()]);
    table.row(["decided by".into(), format!("{} entries", block.decided_by.len())]);
    let body = if block.header.is_empty {
        "empty: the proposal's body was missing or bad".to_owned()
    } else {
        bytes_text(block.body_bytes)
    };
    table.row(["body".into(), body]);
    table.row(["heartbeats".into(), block.heartbeats.len().to_string()]);
    let mut text = table.to_string();
    for transaction in &block.transactions {
        text.push_str(&format!(
            "\n  {}  {}  {}",
            transaction.id,
            transaction.account,
            transaction.operations.join(", ")
        ));
    }
    text
}

fn transaction_text(transaction: &TransactionInfo) -> String {
    let outcome = match (transaction.outcome, &transaction.reason) {
        (Outcome::Applied, _) => transaction.done.join(", "),
        (Outcome::Failed, Some(reason)) => format!("failed: {reason}"),
        (Outcome::Failed, None) => "failed".to_owned(),
    };
    let mut table = Table::plain();
    table.row([
        "state".into(),
        format!(
            "{} in block {}, place {}",
            transaction.finality, transaction.height, transaction.index
        ),
    ]);
    table.row(["by".into(), transaction.account.clone()]);
    table.row(["outcome".into(), outcome]);
    table.row(["fee".into(), format!("{} WATT", transaction.fee)]);
    table.to_string()
}

fn transaction_id(text: &str) -> Result<TransactionId, String> {
    TransactionId::from_hex(text).ok_or_else(|| "a transaction's id has 64 hexadecimal digits".to_owned())
}
