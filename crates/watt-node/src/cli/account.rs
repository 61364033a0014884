//! `watt account`.

use super::session::Session;
use crate::config::Overrides;
use crate::context::Known;
use crate::devnet::Registry;
use crate::error::{CommandError, ErrorKind};
use crate::ui::Table;
use crate::wallet::{Account, Wallet};
use clap::Subcommand;
use serde_json::json;
use watt_light::Operation;
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, Amount, BoundedBytes};

/// Accounts: make, list, balance, send
#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account with a new key on this machine
    #[command(after_help = "Examples:\n  watt account new\n  watt account new savings")]
    New {
        /// Its name on this machine
        #[arg(default_value = "main")]
        name: String,
    },
    /// List the accounts of this machine
    #[command(after_help = "Examples:\n  watt account list")]
    List,
    /// Show what an account can spend
    #[command(
        after_help = "Examples:\n  watt account balance\n  watt account balance savings\n  watt account balance twatt1…"
    )]
    Balance {
        /// An address, or a name of `watt account list` [default: the account in use]
        account: Option<String>,
    },
    /// Send WATT
    #[command(
        after_help = "Examples:\n  watt account send savings 12.5\n  watt account send twatt1… 0.001 --account savings"
    )]
    Send {
        /// An address, or a name of `watt account list`
        to: String,
        /// How many WATT, for example 12.5
        amount: Amount,
        /// A note of at most 64 bytes that everyone can read
        #[arg(long, default_value = "", value_name = "TEXT")]
        memo: String,
        /// Wait until it is done, and confirmed by the circle of your node's owner if that has people to ask; Ctrl-C ends the waiting
        /// and takes nothing back [config: client.wait_above]
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn run(session: &Session, command: AccountCommand) -> Result<(), CommandError> {
    match command {
        AccountCommand::New { name } => new(session, &name),
        AccountCommand::List => list(session),
        AccountCommand::Balance { account } => balance(session, account.as_deref()).await,
        AccountCommand::Send {
            to,
            amount,
            memo,
            wait,
        } => send(session, &to, amount, memo, wait).await,
    }
}

fn new(session: &Session, name: &str) -> Result<(), CommandError> {
    if name == Registry::ACCOUNT_NAME {
        let message = format!("the name {name} is that of the devnet's own account");
        return Err(CommandError::new(
            ErrorKind::Conflict,
            message,
            "choose another name",
        ));
    }
    let (account, path) = Wallet::of(&session.home).create(name)?;
    session.ui.note(&format!(
        "its key is in {}: keep a copy in a safe place, nobody can replace it",
        path.display()
    ));
    let address = address(&account.id);
    session.ui.result(
        &json!({ "name": name, "address": address, "key_file": path }),
        || address.clone(),
    )
}

/// There is no main network yet, so addresses are those of test networks.
fn address(id: &AccountId) -> String {
    id.to_address(AddressKind::Test)
}

fn list(session: &Session) -> Result<(), CommandError> {
    let wallet = Wallet::of(&session.home);
    let settings = session.settings(Overrides::default())?;
    let mut accounts: Vec<Account> = wallet
        .names()?
        .iter()
        .map(|name| wallet.load(name))
        .collect::<Result<_, _>>()?;
    if let Some(registry) = Registry::read(&session.home)?
        && registry.client_key.exists()
    {
        accounts.push(Account::read(Registry::ACCOUNT_NAME, &registry.client_key)?);
    }
    let chosen = settings.client_account.value.as_deref();
    let objects: Vec<_> = accounts
        .iter()
        .map(|account| {
            json!({
                "name": account.name,
                "address": address(&account.id),
                "chosen": chosen == Some(account.name.as_str()),
            })
        })
        .collect();
    session.ui.result(&json!({ "accounts": objects }), || {
        if accounts.is_empty() {
            return "no account on this machine yet: watt account new".to_owned();
        }
        let mut table = Table::new(&["NAME", "ADDRESS"]);
        for account in &accounts {
            table.row([account.name.clone(), address(&account.id)]);
        }
        table.to_string()
    })
}

async fn balance(session: &Session, account: Option<&str>) -> Result<(), CommandError> {
    let context = session.context().await?;
    let id = match account {
        None => context.account()?.id,
        Some(text) => resolve(session, &context, text)?,
    };
    let (balance, exists) = match context.api.account(&id).await {
        Ok(info) => (info.balance, true),
        // An account that never received anything has no row, and nothing to spend.
        Err(error) if error.kind == ErrorKind::NotFound => (Amount::ZERO, false),
        Err(error) => return Err(error),
    };
    let object = json!({ "address": context.address(&id), "balance": balance.to_string(), "exists": exists });
    session.ui.result(&object, || format!("{balance} WATT"))
}

async fn send(
    session: &Session,
    to: &str,
    amount: Amount,
    memo: String,
    wait: bool,
) -> Result<(), CommandError> {
    let limit = session.settings(Overrides::default())?.client_wait_above.value;
    let wait = wait || limit.is_some_and(|limit| amount > limit);
    let context = session.context().await?;
    let to = resolve(session, &context, to)?;
    let memo = BoundedBytes::new(memo.into_bytes()).map_err(|error| {
        CommandError::new(
            ErrorKind::Usage,
            format!("the memo has {} bytes, 64 are allowed", error.len),
            "shorten it",
        )
    })?;
    let recorded = context
        .transact(&session.ui, vec![Operation::Transfer { to, amount, memo }])
        .await?;
    let known = if wait {
        context.wait_confirmed(&session.ui, recorded.height).await?
    } else {
        Known::Recorded
    };
    let address = context.address(&to);
    let object = json!({
        "to": address,
        "amount": amount.to_string(),
        "transaction": recorded.id.to_string(),
        "height": recorded.height,
        "fee": recorded.fee.to_string(),
        "known": known,
    });
    session.ui.result(&object, || {
        let known = match known {
            Known::Recorded => "recorded",
            Known::Done => "done",
            Known::Confirmed => "done and confirmed by your circle",
        };
        format!(
            "sent {amount} WATT to {address} ({known} in block {})",
            recorded.height
        )
    })
}

/// An address, or the name of an account on this machine.
pub(super) fn resolve(
    session: &Session,
    context: &crate::context::Context,
    text: &str,
) -> Result<AccountId, CommandError> {
    if text.contains('1') && text.contains("watt") {
        return context.parse_address(text);
    }
    if let Some(registry) = Registry::read(&session.home)?
        && text == Registry::ACCOUNT_NAME
    {
        return Account::read(text, &registry.client_key).map(|account| account.id);
    }
    Wallet::of(&session.home).load(text).map(|account| account.id)
}
