//! A running node as the rest of the program sees it.

use crate::api::types::ScrubInfo;
use crate::api::view::FoldingStatus;
use crate::api::{CircleInfo, HeadState, NodeView, ProviderStatus};
use crate::error::CommandError;
use crate::lock::locked;
use crate::runtime::hand_overs::HandOvers;
use crate::runtime::jobs::{Folds, Labelling, Scrub};
use crate::runtime::node_loop::{Command, RestartAsk, wall};
use crate::runtime::pace::Pace;
use crate::runtime::storage::{Storage, find_transaction, read_block};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot, watch};
use watt_engine::message::DecidedBlock;
use watt_engine::provider::{FoldingWork, ProviderWork, ShownToCommittee};
use watt_engine::{Event, EvidenceLog, Examined, RestartLog};
use watt_health::{Report, View};
use watt_ledger::{Asking, Genesis, Receipt, admit_heartbeat};
use watt_light::{BlockName, HandOver, Header, Restart, SignedHeartbeat, SignedNewest, SignedTransaction};
use watt_primitives::{
    AccountId, BlockHeight, Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term, TransactionId, Window,
};
use watt_scp::QuorumSet;
use watt_store::{BlockStore, Snapshot};

/// What a node is doing, for status commands and metrics.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct NodeStatus {
    /// Height of the head.
    pub height: u64,
    /// Hash of the head's header, hexadecimal.
    pub header: String,
    /// Close time of the head, in milliseconds since the Unix epoch.
    pub close_time: u64,
    /// Connected peers.
    pub peers: usize,
    /// Whether this node votes in the running term.
    pub is_validator: bool,
    /// Sectors whose openings it looked at for their committees since it started.
    pub examined: Examined,
    /// Height that a peer is known to have, if it is ahead.
    pub behind: u64,
    /// Transactions waiting in the pool.
    pub pool_transactions: usize,
    /// Messages and transactions refused since the start, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The highest version of the rules that the program knows.
    pub rules_version_known: u32,
    /// The version that the next block follows, if the program does not know it: the node has stopped before it.
    pub unknown_version: Option<u32>,
    /// What the loop took.
    pub pace: Pace,
}

/// Which validators the loop has heard, and whom it should hear.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What every validator declares.
    pub(crate) quorum_set: QuorumSet,
    /// This node's own entry, if it votes.
    pub(crate) own: Option<NodeId>,
    /// The last that was heard of each.
    pub(crate) heard: BTreeMap<NodeId, u64>,
}

/// What the loop shows to others: written by it alone.
pub(crate) struct Shared {
    genesis: Arc<Genesis>,
    /// The network identity, with which this node says what it knows.
    identity: SecretKey,
    blocks: Arc<BlockStore>,
    hand_overs: HandOvers,
    head: watch::Sender<Header>,
    snapshot: Mutex<Arc<Snapshot>>,
    status: Mutex<NodeStatus>,
    provider: Option<AccountId>,
    work: Mutex<ProviderWork>,
    scrub: Option<Scrub>,
    folds: Option<Folds>,
    labelling: Labelling,
    evidence: Mutex<Arc<EvidenceLog>>,
    circle: Mutex<Option<CircleInfo>>,
    wanted: watch::Sender<Option<BlockHeight>>,
    seen: Mutex<Arc<Seen>>,
    restarts: Mutex<RestartLog>,
    followed: Vec<Restart>,
    network: NetworkId,
    begins_anew: AtomicBool,
    /// Set once, when the node has ended: why, if it could not go on.
    ended: watch::Sender<Option<Option<CommandError>>>,
}

impl Shared {
    pub(crate) fn new(
        genesis: Arc<Genesis>,
        identity: SecretKey,
        storage: &Storage,
        provider: Option<AccountId>,
        scrub: Option<Scrub>,
        folds: Option<Folds>,
        labelling: Labelling,
    ) -> Result<Self, CommandError> {
        let seen = Seen {
            quorum_set: genesis.quorum_set(),
            own: None,
            heard: BTreeMap::new(),
        };
        let restarts = storage.restarts();
        Ok(Self {
            restarts: Mutex::new(restarts.log()?),
            followed: restarts.followed()?,
            network: restarts.network(&genesis)?,
            begins_anew: AtomicBool::new(false),
            genesis,
            identity,
            blocks: storage.blocks(),
            hand_overs: storage.hand_overs(),
            head: watch::Sender::new(storage.head().clone()),
            snapshot: Mutex::new(storage.snapshot()),
            status: Mutex::default(),
            provider,
            scrub,
            folds,
            labelling,
            work: Mutex::default(),
            evidence: Mutex::default(),
            circle: Mutex::default(),
            wanted: watch::Sender::new(None),
            seen: Mutex::new(Arc::new(seen)),
            ended: watch::Sender::new(None),
        })
    }

    pub(crate) fn show(&self, status: NodeStatus, work: Option<ProviderWork>) {
        *locked(&self.status) = status;
        if let Some(work) = work {
            *locked(&self.work) = work;
        }
    }

    pub(crate) fn show_head(&self, header: Header, snapshot: Arc<Snapshot>) {
        *locked(&self.snapshot) = snapshot;
        self.head.send_replace(header);
    }

    pub(crate) fn show_restarts(&self, log: RestartLog) {
        *locked(&self.restarts) = log;
    }

    /// The next life follows a restart.
    pub(crate) fn begin_anew(&self) {
        self.begins_anew.store(true, Ordering::SeqCst);
    }

    pub(crate) fn show_evidence(&self, log: EvidenceLog) {
        *locked(&self.evidence) = Arc::new(log);
    }

    pub(crate) fn show_seen(&self, seen: Seen) {
        *locked(&self.seen) = Arc::new(seen);
    }

    /// This node's word.
    fn says(&self, block: BlockName, nonce: &Hash) -> SignedNewest {
        SignedNewest::sign(&self.network, block, nonce, &self.identity)
    }

    /// The height about which the loop wants to hear of the circle.
    pub(crate) fn show_wanted(&self, height: Option<BlockHeight>) {
        self.wanted.send_if_modified(|shown| {
            let is_new = *shown != height;
            *shown = height;
            is_new
        });
    }

    pub(crate) fn wanted(&self) -> watch::Receiver<Option<BlockHeight>> {
        self.wanted.subscribe()
    }

    pub(crate) fn show_circle(&self, info: CircleInfo) {
        *locked(&self.circle) = Some(info);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        locked(&self.snapshot).clone()
    }

    pub(crate) fn end(&self, why: Option<CommandError>) {
        self.ended.send_replace(Some(why));
    }
}

/// A running node: cheap to clone, safe to ask from anywhere.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl NodeHandle {
    pub(crate) const fn new(shared: Arc<Shared>, commands: mpsc::Sender<Command>) -> Self {
        Self { shared, commands }
    }
}

fn shown_line(shown: &ShownToCommittee) -> String {
    let ShownToCommittee {
        batch,
        n_sectors,
        asking,
        n_given,
        n_needed,
        deadline,
    } = shown;
    let said = format!("{n_given} of {n_needed} members needed have said that what is shown holds");
    match (asking, n_sectors) {
        (Asking::ToCommit, 1) => {
            format!("sector {batch} is shown to its committee: {said}, until block {deadline}")
        }
        (Asking::ToCommit, n) => format!(
            "{n} sectors, from {batch} on, are shown together to their committee: {said}, until block {deadline}"
        ),
        (Asking::Again, _) => format!(
            "sector {batch} is looked at again, by another committee: {said}; it is lost after block {deadline} unless they do; the node does it by itself"
        ),
    }
}

impl NodeView for NodeHandle {
    fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    fn status(&self) -> NodeStatus {
        locked(&self.shared.status).clone()
    }

    fn state(&self) -> HeadState {
        let snapshot = self.shared.snapshot();
        HeadState::new(move |question| {
            snapshot
                .read(|rows| question(rows))
                .map_err(|error| anyhow::anyhow!(error.to_string()))
        })
    }

    fn head(&self) -> Header {
        self.shared.head.borrow().clone()
    }

    fn block(&self, height: BlockHeight) -> anyhow::Result<Option<(DecidedBlock, Header)>> {
        let stored =
            read_block(&self.shared.blocks, height).map_err(|error| anyhow::anyhow!(error.to_string()))?;
        Ok(stored.map(|(block, applied)| (block, applied.header)))
    }

    fn newest(&self, nonce: &Hash, at: Option<BlockHeight>) -> anyhow::Result<SignedNewest> {
        let head = self.head();
        let newest = match head.height.0.checked_sub(1) {
            // The head itself becomes final with the block above.
            Some(height) => BlockName {
                height: BlockHeight(height),
                hash: head.parent,
            },
            None => BlockName {
                height: head.height,
                hash: head.hash(),
            },
        };
        if at == Some(head.height) {
            let block = BlockName {
                height: head.height,
                hash: head.hash(),
            };
            return Ok(self.shared.says(block, nonce));
        }
        let below = at.filter(|at| *at < newest.height);
        let above = below.map(|at| self.block(at.next())).transpose()?.flatten();
        let asked = below.zip(above).map(|(height, (_, header))| BlockName {
            height,
            hash: header.parent,
        });
        Ok(self.shared.says(asked.unwrap_or(newest), nonce))
    }

    fn hand_overs(&self, term: Term) -> Vec<HandOver> {
        let n = usize::try_from(term.0).unwrap_or(usize::MAX);
        self.hand_overs_from(Term(0), n)
    }

    fn hand_overs_from(&self, first: Term, n: usize) -> Vec<HandOver> {
        self.shared.hand_overs.from(first).take(n).collect()
    }

    fn transaction(&self, id: TransactionId) -> anyhow::Result<Option<(BlockHeight, u32, Receipt)>> {
        self.shared
            .snapshot()
            .read(|rows| find_transaction(rows, &self.shared.blocks, &id))
            .map_err(|error| anyhow::anyhow!(error.to_string()))
    }

    fn submit(&self, transaction: SignedTransaction) -> BoxFuture<'static, Result<TransactionId, String>> {
        let commands = self.commands.clone();
        async move {
            let ending = || "the node is ending; try another one, or again later".to_owned();
            let (answer, answered) = oneshot::channel();
            let command = Command::Submit {
                transaction: Box::new(transaction),
                answer,
            };
            commands.send(command).await.map_err(|_| ending())?;
            answered.await.map_err(|_| ending())?
        }
        .boxed()
    }

    fn submit_heartbeat(
        &self,
        window: Window,
        heartbeat: SignedHeartbeat,
    ) -> BoxFuture<'static, Result<(), String>> {
        let (commands, network) = (self.commands.clone(), self.network());
        let judged = self.shared.snapshot().read(|rows| {
            let admission = admit_heartbeat(rows, window, &heartbeat).map_err(|why| why.to_string())?;
            let check = heartbeat.signature_check(admission.account, window, admission.key, &network);
            if check.holds() {
                Ok(())
            } else {
                Err("the heartbeat is not signed by its provider for this window".to_owned())
            }
        });
        async move {
            judged.map_err(|error| error.to_string())??;
            let heartbeat = Box::new(heartbeat);
            let event = Event::HeartbeatSubmitted { window, heartbeat };
            let ending = |_| "the node is ending; try another one, or again later".to_owned();
            commands
                .send(Command::Event(Box::new(event)))
                .await
                .map_err(ending)
        }
        .boxed()
    }

    fn evidence(&self) -> Arc<EvidenceLog> {
        Arc::clone(&locked(&self.shared.evidence))
    }

    fn health(&self) -> Report {
        let (seen, status) = (Arc::clone(&locked(&self.shared.seen)), self.status());
        Report::of(&View {
            now_ms: wall().0,
            slot_ms: self.shared.genesis.parameters.slot_ms,
            quorum_set: seen.quorum_set.clone(),
            own: seen.own,
            hears: status.is_validator,
            heard: seen.heard.clone(),
            accused: self.evidence().nodes().map(|(node, _)| node).collect(),
            height: status.height,
            closed_ms: status.close_time,
            behind: status.behind,
            unknown_version: status.unknown_version,
            peers: u64::try_from(status.peers).unwrap_or(u64::MAX),
        })
    }

    fn circle(&self) -> Option<CircleInfo> {
        locked(&self.shared.circle).clone()
    }

    fn subscribe(&self) -> watch::Receiver<Header> {
        self.shared.head.subscribe()
    }

    fn provider(&self) -> Option<ProviderStatus> {
        let account = self.shared.provider?;
        let work = locked(&self.shared.work).clone();
        let mut lines = vec![format!("{} sealed sectors on this disk", work.n_sealed)];
        lines.extend(self.shared.labelling.making().map(|making| making.to_string()));
        lines.extend(work.shown.iter().map(shown_line));
        lines.extend(work.trouble.iter().map(|trouble| format!("trouble: {trouble}")));
        let summary = match (work.n_sealing, work.n_sealed) {
            (0, 0) => "offering space; waiting for a client's data",
            (0, _) => "storing and proving",
            (_, _) => "sealing new data",
        };
        Some(ProviderStatus {
            account,
            summary: summary.to_owned(),
            work: lines,
            scrub: self.shared.scrub.as_ref().map(Scrub::info).unwrap_or_default(),
            folding: self
                .shared
                .folds
                .as_ref()
                .map(|folds| folding_status(folds, work.folding.unwrap_or_default())),
            stored: self.shared.scrub.as_ref().map(Scrub::stored).unwrap_or_default(),
        })
    }

    fn scrub(&self) -> Option<ScrubInfo> {
        self.shared.scrub.as_ref().map(Scrub::ask)
    }

    fn recover(&self) -> BoxFuture<'static, Result<SlotIndex, String>> {
        let commands = self.commands.clone();
        async move {
            let ending = || "the node is ending; start it again".to_owned();
            let (answer, answered) = oneshot::channel();
            let command = Command::Recover { answer };
            commands.send(command).await.map_err(|_| ending())?;
            let outcome = answered.await.map_err(|_| ending())?;
            outcome.map_err(|why| why.to_string())
        }
        .boxed()
    }

    fn network(&self) -> NetworkId {
        self.shared.network
    }

    fn restart_log(&self) -> RestartLog {
        locked(&self.shared.restarts).clone()
    }

    fn restarts(&self) -> Vec<Restart> {
        self.shared.followed.clone()
    }

    fn ask_restart(&self, ask: RestartAsk) -> BoxFuture<'static, Result<(), String>> {
        let commands = self.commands.clone();
        async move {
            let ending = || "the node is ending; start it again".to_owned();
            let (answer, answered) = oneshot::channel();
            let command = Command::Restart { ask, answer };
            commands.send(command).await.map_err(|_| ending())?;
            let outcome = answered.await.map_err(|_| ending())?;
            outcome.map_err(|why| why.to_string())
        }
        .boxed()
    }

    fn begins_anew(&self) -> bool {
        self.shared.begins_anew.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        let commands = self.commands.clone();
        tokio::spawn(async move { commands.send(Command::Stop).await });
    }

    fn stopped(&self) -> BoxFuture<'static, Result<(), CommandError>> {
        let mut ended = self.shared.ended.subscribe();
        async move {
            let outcome = ended
                .wait_for(Option::is_some)
                .await
                .map(|outcome| outcome.clone());
            match outcome {
                Ok(Some(Some(error))) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        }
        .boxed()
    }
}

fn folding_status(folds: &Folds, work: FoldingWork) -> FoldingStatus {
    let progress = folds.progress();
    FoldingStatus {
        folded: (progress.first, progress.n_folded),
        proven: work
            .settling
            .filter(|_| work.is_proven)
            .map(|settling| settling.first),
        last: work.last,
        trouble: progress.trouble,
    }
}
