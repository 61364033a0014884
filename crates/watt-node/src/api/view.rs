//! What the API asks of a node. Two things answer: the running node, and the tests' node without a network.

use super::circle::CircleInfo;
use super::types::{ScrubInfo, StoredInfo};
use crate::error::CommandError;
use crate::node::NodeStatus;
use crate::runtime::node_loop::RestartAsk;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::watch;
use watt_engine::message::DecidedBlock;
use watt_engine::provider::SettledPeriod;
use watt_engine::{EvidenceLog, RestartLog};
use watt_ledger::{Genesis, Receipt, StateRead};
use watt_light::{HandOver, Header, Restart, SignedHeartbeat, SignedNewest, SignedTransaction};
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, SlotIndex, Term, TransactionId, Window};

/// What a provider is doing, as its node knows it; everything else about it stands on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// The account that is paid.
    pub account: AccountId,
    /// One sentence: what it does now, or what it waits for and why.
    pub summary: String,
    /// Work in progress and recent trouble, one line each.
    pub work: Vec<String>,
    /// How what it stores is checked and put right.
    pub scrub: ScrubInfo,
    /// Where the shares lie on its disk.
    pub stored: StoredInfo,
    /// How far folding is, if it settles many windows by one proof.
    pub folding: Option<FoldingStatus>,
}

/// How far a provider is with folding, as its node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldingStatus {
    /// Of the windows from this one on, so many are folded.
    pub folded: (Window, u32),
    /// The first of the windows of which a proof is made and not recorded yet.
    pub proven: Option<Window>,
    /// What became of those before.
    pub last: Option<SettledPeriod>,
    /// Why windows could not be folded.
    pub trouble: Option<String>,
}

/// Puts a question to the rows, and fails if they are not as they were written.
type Ask = dyn Fn(&mut dyn FnMut(&dyn StateRead)) -> anyhow::Result<()> + Send;

/// The state after the head, wherever it is kept.
pub struct HeadState(Box<Ask>);

impl HeadState {
    /// Takes hold of a state: `ask` calls what it is given with the rows, and fails if they are not as they were written.
    #[must_use]
    pub fn new(ask: impl Fn(&mut dyn FnMut(&dyn StateRead)) -> anyhow::Result<()> + Send + 'static) -> Self {
        Self(Box::new(ask))
    }

    /// Answers `question` from the rows.
    ///
    /// # Errors
    /// The rows are damaged: there is no answer.
    pub fn read<T>(&self, question: impl FnOnce(&HeadRows<'_>) -> T) -> anyhow::Result<T> {
        let (mut question, mut answer) = (Some(question), None);
        (self.0)(&mut |rows| answer = question.take().map(|question| question(&HeadRows(rows))))?;
        answer.ok_or_else(|| anyhow::anyhow!("the state was not read"))
    }
}

/// The rows of a [`HeadState`], for the length of one question.
pub struct HeadRows<'a>(&'a dyn StateRead);

impl StateRead for HeadRows<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.scan(prefix, after, limit)
    }
}

/// A running node as its API sees it: questions are answered from the head's state, actions are handed over.
pub trait NodeView: Send + Sync {
    /// What the network started with.
    fn genesis(&self) -> &Genesis;
    /// How the node is.
    fn status(&self) -> NodeStatus;
    /// The state after the head, unchanging while it is held.
    fn state(&self) -> HeadState;
    /// The newest header.
    fn head(&self) -> Header;
    /// A block with its proof, and its header.
    ///
    /// # Errors
    /// The disk failed.
    fn block(&self, height: BlockHeight) -> anyhow::Result<Option<(DecidedBlock, Header)>>;
    /// The block at `at` if it is kept here, else the newest that is final here, for whoever chose the nonce.
    ///
    /// # Errors
    /// The disk failed.
    fn newest(&self, nonce: &Hash, at: Option<BlockHeight>) -> anyhow::Result<SignedNewest>;
    /// The hand-overs of all terms before `term`, from term 0 on, as far as they are kept here without a gap.
    fn hand_overs(&self, term: Term) -> Vec<HandOver>;
    /// At most `n` hand-overs of consecutive terms from `first` on, as far as they are kept here without a gap.
    fn hand_overs_from(&self, first: Term, n: usize) -> Vec<HandOver>;
    /// Where a transaction stands and what came of it.
    ///
    /// # Errors
    /// The state is damaged.
    fn transaction(&self, id: TransactionId) -> anyhow::Result<Option<(BlockHeight, u32, Receipt)>>;
    /// Offers a transaction to the pool; an error is a sentence with a next step.
    fn submit(&self, transaction: SignedTransaction) -> BoxFuture<'static, Result<TransactionId, String>>;
    /// Offers a heartbeat to the pool, if it is one that the next block may take; an error is a sentence with a next step.
    fn submit_heartbeat(
        &self,
        window: Window,
        heartbeat: SignedHeartbeat,
    ) -> BoxFuture<'static, Result<(), String>>;
    /// Which validators contradicted themselves, with the proofs.
    fn evidence(&self) -> Arc<EvidenceLog>;
    /// Whether the node is correctly connected.
    fn health(&self) -> watt_health::Report;
    /// How far the owner's circle confirms what this node sees; `None` if it has no owner, or has just started.
    fn circle(&self) -> Option<CircleInfo>;
    /// New heads as they come.
    fn subscribe(&self) -> watch::Receiver<Header>;
    /// What the provider is doing, on a node that is one.
    fn provider(&self) -> Option<ProviderStatus>;
    /// Asks a provider to read everything that it stores and to put right what it can; `None` on a node that is none.
    fn scrub(&self) -> Option<ScrubInfo>;
    /// Lets the node go on in a slot that stands still and in which it is silent, since it may have forgotten what it said; an error says
    /// why it does not.
    fn recover(&self) -> BoxFuture<'static, Result<SlotIndex, String>>;
    /// The network as this node sees it: after all the restarts that it follows.
    fn network(&self) -> NetworkId;
    /// What the node keeps about plans to restart the network.
    fn restart_log(&self) -> RestartLog;
    /// The restarts that it follows, in their order.
    fn restarts(&self) -> Vec<Restart>;
    /// The owner shows a plan or accepts one; an error says why the node does not.
    fn ask_restart(&self, ask: RestartAsk) -> BoxFuture<'static, Result<(), String>>;
    /// Whether it ended, or is about to, because the network was restarted: its next life follows.
    fn begins_anew(&self) -> bool;
    /// Begins a clean end.
    fn stop(&self);
    /// Resolves when the node has ended; an error says why it could not go on.
    fn stopped(&self) -> BoxFuture<'static, Result<(), CommandError>>;
}
