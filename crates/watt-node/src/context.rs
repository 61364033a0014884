//! What a client command works with: the network it talks to, the account that pays, and the way a transaction goes.

use crate::api::types::{Finality, Outcome, TransactionInfo};
use crate::api::{ApiClient, CircleState};
use crate::config::{Home, Settings, create_private_dir};
use crate::devnet::{Plan, Registry};
use crate::error::{CommandError, ErrorKind};
use crate::left_out::{self, LeftOut};
use crate::ui::Ui;
use crate::wallet::{Account, Wallet};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use watt_ledger::Genesis;
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedVec, NetworkId, TransactionId};

/// Blocks within which a transaction must land, or never does: long enough for a backlog, short enough to try again.
const VALID_BLOCKS: u64 = 120;
/// Pause between two looks at whether a transaction landed, in milliseconds.
const POLL_MS: u64 = 200;
/// Pause between two looks at whether another command still acts for the account, in milliseconds.
const TURN_POLL_MS: u64 = 50;
/// Most that one transaction of the command line offers as its fee: a thousandth of a WATT.
const FEE_MAX: Amount = Amount(100_000);
/// And at most one part in this many of the balance.
const FEE_SHARE_MAX: u128 = 100;
/// Address of a node on this machine with the default configuration.
const LOCAL_API: &str = "http://127.0.0.1:28471";

/// What a client command works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The network's nodes.
    pub api: ApiClient,
    /// The owner's folders.
    pub home: Home,
    /// What the network started with.
    pub genesis: Genesis,
    /// Which network.
    pub network: NetworkId,
    account: Option<Account>,
    /// By address of their account: names of the nodes of the devnet that this is.
    nodes: BTreeMap<String, String>,
}

/// A transaction that stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Which.
    #[serde(serialize_with = "crate::api::types::as_text")]
    pub id: TransactionId,
    /// Height of its block.
    pub height: u64,
    /// Fee taken.
    #[serde(serialize_with = "crate::api::types::as_text")]
    pub fee: Amount,
}

/// How surely a recorded transaction is known to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// It stands in a decided block.
    Recorded,
    /// The state after that block is decided, too.
    Done,
    /// And the circle of the node's owner sees that block.
    Confirmed,
}

/// The right to act for an account on this machine; given back when dropped, also by a process that is killed.
#[derive(Debug)]
pub struct Turn {
    _lock: std::fs::File,
}

impl Turn {
    async fn take(dir: &Path, account: &AccountId) -> Result<Self, CommandError> {
        create_private_dir(dir)?;
        let path = dir.join(format!("account-{account}.lock"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| CommandError::file("open", &path, &error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _lock: file }),
                Err(std::fs::TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(TURN_POLL_MS)).await;
                }
                Err(std::fs::TryLockError::Error(error)) => {
                    return Err(CommandError::file("lock", &path, &error));
                }
            }
        }
    }
}

impl Context {
    /// The context that the settings describe: `--api`, else the devnet that this owner runs, else a node on this machine.
    ///
    /// # Errors
    /// No node answers, or the network is not the one expected.
    pub async fn connect(settings: &Settings, home: &Home) -> Result<Self, CommandError> {
        let registry = Registry::read(home)?;
        let (bases, hint) = match (&settings.client_api.value, &registry) {
            (Some(api), _) => (
                vec![api.clone()],
                "check the address in --api or WATT_API, and that the node runs",
            ),
            (None, Some(registry)) => (
                registry.apis.clone(),
                "the devnet is down: start it with `watt devnet up`, or name a node with --api URL",
            ),
            (None, None) => (
                vec![LOCAL_API.to_owned()],
                "start a network here with `watt devnet up`, or name a node with --api URL",
            ),
        };
        let api = ApiClient::new(&bases, hint)?;
        let genesis = api.genesis().await?;
        let network = genesis.network();
        // A devnet's key pays only on that devnet, whatever address leads there.
        let devnet = registry.filter(|registry| registry.network == network.to_string());
        let network = api.network().await?;
        if network.first() != genesis.network() {
            return Err(CommandError::new(
                ErrorKind::VerificationFailed,
                "the node that answers says another network than its genesis names",
                "ask another node with --api URL",
            ));
        }
        if settings.client_api.value.is_none() && devnet.is_none() && bases != [LOCAL_API] {
            return Err(CommandError::new(
                ErrorKind::VerificationFailed,
                "another network than the devnet of this owner answers at its addresses",
                "restart it with `watt devnet up`, or name a node with --api URL",
            ));
        }
        let account = choose_account(settings, home, devnet.as_ref())?;
        // Names only make sentences shorter: a plan that can't be read is no reason to fail.
        let plan = devnet.and_then(|devnet| Plan::load(&devnet.dir).ok());
        let nodes = plan.map(|plan| plan.names()).unwrap_or_default();
        Ok(Self {
            api: api.on_network(genesis.is_main),
            home: home.clone(),
            network,
            genesis,
            account,
            nodes,
        })
    }

    /// A context with everything given, for a network that this process runs itself.
    #[must_use]
    pub fn new(api: ApiClient, home: Home, genesis: Genesis, account: Option<Account>) -> Self {
        let network = genesis.network();
        Self {
            api: api.on_network(genesis.is_main),
            home,
            genesis,
            network,
            account,
            nodes: BTreeMap::new(),
        }
    }

    /// The same context, which knows the nodes of a devnet by their names.
    #[must_use]
    pub fn with_nodes(self, nodes: BTreeMap<String, String>) -> Self {
        Self { nodes, ..self }
    }

    /// Whether the network is a devnet whose nodes are known by name.
    #[must_use]
    pub fn is_devnet(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// What people call an account: its address, on a devnet after the name of its node.
    #[must_use]
    pub fn name_of(&self, id: &AccountId) -> String {
        let address = self.address(id);
        match self.nodes.get(&address) {
            Some(node) => format!("{node} ({address})"),
            None => address,
        }
    }

    /// The account that pays.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none on this machine.
    pub fn account(&self) -> Result<&Account, CommandError> {
        self.account.as_ref().ok_or_else(|| {
            CommandError::new(
                ErrorKind::NotFound,
                "there is no account on this machine",
                "make one with `watt account new`, or name one with --account NAME",
            )
        })
    }

    /// An account's address on this network.
    #[must_use]
    pub fn address(&self, id: &AccountId) -> String {
        id.to_address(self.address_kind())
    }

    /// Reads an address of this network.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with what is wrong with it.
    pub fn parse_address(&self, text: &str) -> Result<AccountId, CommandError> {
        AccountId::parse_address(text, self.address_kind()).map_err(|error| {
            CommandError::new(
                ErrorKind::Usage,
                format!("`{text}`: {error}"),
                "copy the address again",
            )
        })
    }

    /// Signs a transaction of the account with its next nonce; nothing is sent.
    ///
    /// # Errors
    /// No account, no answer, or too many operations.
    pub async fn prepare(&self, operations: Vec<Operation>) -> Result<SignedTransaction, CommandError> {
        self.prepare_with(operations, Vec::new()).await
    }

    /// As [`Self::prepare`], with a witness for each operation that announces one.
    ///
    /// # Errors
    /// No account, no answer, or too many operations.
    pub async fn prepare_with(
        &self,
        operations: Vec<Operation>,
        witness: Vec<Vec<u8>>,
    ) -> Result<SignedTransaction, CommandError> {
        let account = self.account()?;
        let info = self
            .api
            .account(&account.id)
            .await
            .map_err(|error| self.no_funds_yet(account, error))?;
        let nonce = info
            .keys
            .iter()
            .find(|key| key.index == account.key_index)
            .map_or(0, |key| key.nonce);
        let height = self.api.head().await?.height;
        let too_many = |_| {
            CommandError::new(
                ErrorKind::Usage,
                "too many operations for one transaction",
                "do less at once",
            )
        };
        let transaction = Transaction {
            account: account.id,
            key_index: account.key_index,
            key: account.key.public(),
            nonce,
            valid_until: BlockHeight(height + VALID_BLOCKS),
            fee: fee_max(info.balance),
            operations: BoundedVec::new(operations).map_err(too_many)?,
        };
        transaction
            .sign(&account.key, &self.network, witness)
            .map_err(|error| {
                CommandError::new(
                    ErrorKind::Other,
                    format!("can't sign the transaction: {error}"),
                    "report this",
                )
            })
    }

    /// Hands in `transaction` and waits until it is recorded. Doing it again with the same transaction is safe: it lands once.
    ///
    /// # Errors
    /// The ledger refuses it ([`ErrorKind::InsufficientFunds`] if money is missing), it expired, or nobody answers.
    pub async fn submit_and_wait(
        &self,
        ui: &Ui,
        transaction: &SignedTransaction,
    ) -> Result<Recorded, CommandError> {
        let id = transaction.transaction.id(&self.network);
        let valid_until = transaction.transaction.valid_until.0;
        self.api.submit(transaction).await?;
        let progress = ui.spinner("ledger");
        progress.message("waiting for the transaction to be recorded");
        let mut left_out = LeftOut::default();
        let mut looked_at = self.api.head().await?.height;
        loop {
            // Asked first: what is not in the blocks up to there, and expired before it, never will be.
            let height = self.api.head().await?.height;
            match self.api.transaction(id).await {
                Ok(info) => {
                    return match info.outcome {
                        Outcome::Applied => Ok(Recorded {
                            id,
                            height: info.height,
                            fee: info.fee,
                        }),
                        Outcome::Failed => Err(failed(&info)),
                    };
                }
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            looked_at = self.look_at_blocks(&mut left_out, looked_at, height).await;
            let why = left_out
                .sentence()
                .map_or_else(String::new, |sentence| format!("; {sentence}"));
            progress.message(format!(
                "waiting for the transaction to be recorded (height {height}{why})"
            ));
            if height > valid_until {
                return Err(CommandError::new(
                    ErrorKind::Temporary,
                    format!(
                        "the transaction was not recorded up to height {valid_until}{why}; it has expired, nothing was paid"
                    ),
                    "run the same command again, or through another node (--api)",
                ));
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// Counts the blocks above `looked_at` up to `height`, of which the transaction that is waited for is in none, once they are so
    /// many that it matters; returns how far it came. What the node can't show is not counted.
    async fn look_at_blocks(&self, left_out: &mut LeftOut, looked_at: u64, height: u64) -> u64 {
        if height.saturating_sub(looked_at) < left_out::PATIENCE_BLOCKS && left_out.sentence().is_none() {
            return looked_at;
        }
        let Ok(status) = self.api.status().await else {
            return looked_at;
        };
        let most = u64::from(status.block_transactions_max);
        for height in looked_at.saturating_add(1)..=height {
            if let Ok(block) = self.api.block(BlockHeight(height)).await {
                let n = u64::try_from(block.transactions.len()).unwrap_or(u64::MAX);
                left_out.add(block.proposer, n < most && !block.header.is_empty);
            }
        }
        height
    }

    /// [`Self::prepare`], then [`Self::submit_and_wait`].
    ///
    /// # Errors
    /// Those of the two.
    pub async fn transact(&self, ui: &Ui, operations: Vec<Operation>) -> Result<Recorded, CommandError> {
        let _turn = self.turn().await?;
        let transaction = self.prepare(operations).await?;
        self.submit_and_wait(ui, &transaction).await
    }

    /// Waits until no other command on this machine acts for the account. A key's transactions have consecutive numbers, so
    /// whoever prepares one keeps its turn until that one is recorded.
    ///
    /// # Errors
    /// No account, or its lock can't be used.
    pub async fn turn(&self) -> Result<Turn, CommandError> {
        let dir = self.home.client_dir(&self.network);
        Turn::take(&dir, &self.account()?.id).await
    }

    /// Waits until the state after block `height` is final: the block after it is decided.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn wait_done(&self, height: u64) -> Result<(), CommandError> {
        while self.api.head().await?.height <= height {
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
        Ok(())
    }

    /// Waits until block `height` is final, and until the circle of the node's owner confirms it, if that has enough people to ask.
    /// However long it takes, what was recorded stays.
    ///
    /// # Errors
    /// Nobody answers; somebody in the circle sees another block ([`ErrorKind::VerificationFailed`]).
    pub async fn wait_confirmed(&self, ui: &Ui, height: u64) -> Result<Known, CommandError> {
        let progress = ui.spinner("circle");
        progress.message("waiting until it is done");
        self.wait_done(height).await?;
        loop {
            let Some(circle) = self.api.status().await?.circle else {
                return Ok(Known::Done);
            };
            match (circle.state, circle.confirmed_height) {
                (CircleState::Contradicts, _) => {
                    let message = format!("recorded in block {height}, but: {}", circle.sentence);
                    return Err(CommandError::new(
                        ErrorKind::VerificationFailed,
                        message,
                        circle.next,
                    ));
                }
                (CircleState::NotAsked, _) => return Ok(Known::Done),
                (CircleState::Confirms | CircleState::Waiting, Some(confirmed)) if confirmed >= height => {
                    return Ok(Known::Confirmed);
                }
                (CircleState::Confirms | CircleState::Waiting, _) => progress.message(circle.sentence),
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// What is known about a recorded transaction in one word.
    #[must_use]
    pub const fn finality(height: u64, head: u64) -> Finality {
        if head > height {
            Finality::Done
        } else {
            Finality::Recorded
        }
    }

    const fn address_kind(&self) -> AddressKind {
        if self.genesis.is_main {
            AddressKind::Main
        } else {
            AddressKind::Test
        }
    }

    fn no_funds_yet(&self, account: &Account, error: CommandError) -> CommandError {
        if error.kind != ErrorKind::NotFound {
            return error;
        }
        let address = self.address(&account.id);
        CommandError::new(
            ErrorKind::InsufficientFunds,
            format!(
                "the account {} ({address}) has no WATT on this network",
                account.name
            ),
            format!("send some to it: watt account send {address} AMOUNT --account ANOTHER"),
        )
    }
}

/// Most that a transaction offers to pay: nothing is taken while blocks have room, and with a backlog everyone pays what the
/// least willing in the block offered.
fn fee_max(balance: Amount) -> Amount {
    let share = balance.mul_ratio_floor(1, FEE_SHARE_MAX).unwrap_or(Amount::ZERO);
    share.min(FEE_MAX)
}

fn failed(info: &TransactionInfo) -> CommandError {
    let reason = info.reason.as_deref().unwrap_or("no reason given");
    let lower = reason.to_lowercase();
    let is_about_money = ["balance", "funds", "afford", "escrow is too small"]
        .iter()
        .any(|word| lower.contains(word));
    let (kind, hint) = if is_about_money {
        (ErrorKind::InsufficientFunds, "see `watt account balance`")
    } else {
        (
            ErrorKind::Other,
            info.next.as_deref().unwrap_or("ask another node"),
        )
    };
    CommandError::new(
        kind,
        format!("the ledger refused the transaction: {reason}"),
        format!("{hint}; nothing but the fee was taken"),
    )
}

/// `--account` (of a devnet also its own account and the members of its council), else the devnet's funded account, else the only account of the wallet.
fn choose_account(
    settings: &Settings,
    home: &Home,
    devnet: Option<&Registry>,
) -> Result<Option<Account>, CommandError> {
    let wallet = Wallet::of(home);
    match (&settings.client_account.value, devnet) {
        (Some(name), Some(registry)) if name == Registry::ACCOUNT_NAME => {
            Account::read(Registry::ACCOUNT_NAME, &registry.client_key).map(Some)
        }
        (Some(name), registry) => {
            match registry.and_then(|registry| Plan::council_key(&registry.dir, name)) {
                Some(path) if !wallet.names()?.contains(name) => Account::read(name, &path).map(Some),
                Some(_) | None => wallet.load(name).map(Some),
            }
        }
        (None, Some(registry)) => Account::read(Registry::ACCOUNT_NAME, &registry.client_key).map(Some),
        (None, None) => match wallet.names()?.as_slice() {
            [] => Ok(None),
            [name] => wallet.load(name).map(Some),
            names => Err(CommandError::new(
                ErrorKind::Usage,
                format!(
                    "there are {} accounts on this machine: {}",
                    names.len(),
                    names.join(", ")
                ),
                "say which one with --account NAME or WATT_ACCOUNT",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two commands of one account take turns, so that neither signs with the number that the other is using; another account
    /// does not wait. Covers: E1.
    #[tokio::test]
    async fn commands_of_one_account_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let (alice, bob) = (AccountId([1; 20]), AccountId([2; 20]));
        let first = Turn::take(dir.path(), &alice).await.unwrap();
        drop(Turn::take(dir.path(), &bob).await.unwrap());
        let mut second = std::pin::pin!(Turn::take(dir.path(), &alice));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        second.await.unwrap();
    }
}
