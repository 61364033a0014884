//! The answering end of a transfer stream: every node tells which block is the newest and proves it; a provider takes slots that the
//! ledger assigns to it, and gives bytes to whoever asks.

use super::committee::take;
use super::jobs::Jobs;
use super::node_loop::Command;
use super::receiving::Receiving;
use crate::api::{NodeView, proofs};
use crate::node::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use watt_content::{Header, SlotRoots};
use watt_engine::effect::HandVerdictJob;
use watt_engine::transfer::{
    FRAME_BYTES_MAX, HAND_OVERS_PER_REPLY_MAX, Objects, ProofOf, ProofPart, Refusal, Reply, Request,
};
use watt_ledger::query;
use watt_ledger::rows::DealStage;
use watt_light::operation::AcceptanceTerms;
use watt_net::TransferStream;
use watt_primitives::terms::Endpoint;
use watt_primitives::{
    AccountId, BoundedBytes, BoundedString, BoundedVec, Cid, DealId, Hash, NetworkId, SecretKey,
    SlotIndexInDeal,
};
use watt_store::{PieceError, PieceStore, PieceWriter};

/// Bytes moved at once between disk and stream.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that wait between stream and disk.
const CHUNKS_AHEAD: usize = 4;

/// Pause between two looks whether an older transfer of the same slot has let go of it.
const LET_GO_PAUSE: Duration = Duration::from_millis(20);

/// Looks before the client is told to try later: the older transfer may be making its slot durable.
const LET_GO_LOOKS: u32 = 100;

/// What a transfer needs to know.
pub(crate) struct Server {
    pub(crate) network: NetworkId,
    pub(crate) account: AccountId,
    pub(crate) key: SecretKey,
    pub(crate) pieces: PieceStore,
    pub(crate) shared: Arc<Shared>,
    pub(crate) receiving: Arc<Receiving>,
    pub(crate) jobs: Jobs,
    pub(crate) commands: mpsc::Sender<Command>,
}

/// Why a conversation goes no further.
enum Stop {
    /// Said to the other side.
    Refuse(Refusal, String),
    /// The stream broke; there is nobody to tell.
    Broken,
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Self::Broken
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal, String::new())
    }
}

impl From<PieceError> for Stop {
    fn from(error: PieceError) -> Self {
        let refusal = match &error {
            PieceError::NoSpace { .. } => Refusal::NoSpace,
            PieceError::DamagedGroup { .. } | PieceError::Damaged { .. } => Refusal::Damaged,
            PieceError::WrongRoot { .. } => Refusal::WrongRoot,
            PieceError::Busy { .. } | PieceError::Cold { .. } => Refusal::Busy,
            PieceError::Unknown { .. } => Refusal::NotHeld,
            PieceError::TooLong { .. } | PieceError::WrongLength { .. } => Refusal::NotTheDeal,
            PieceError::Disk(_) | PieceError::Exists { .. } | PieceError::WrongGroup { .. } => {
                Refusal::Trouble
            }
        };
        tracing::debug!(%error, "a transfer was refused");
        Self::Refuse(refusal, String::new())
    }
}

/// Serves one stream until the other side closes it or what is said makes no sense.
pub(crate) async fn serve(mut stream: TransferStream, node: Arc<dyn NodeView>, provider: Option<Server>) {
    loop {
        let Ok(bytes) = stream.read_frame(FRAME_BYTES_MAX).await else {
            return;
        };
        let Ok(request) = Request::decode(&bytes) else {
            return;
        };
        match answer(request, &mut stream, &node, provider.as_ref()).await {
            Ok(()) => {}
            Err(Stop::Broken) => return,
            Err(Stop::Refuse(reason, detail)) => {
                let detail = BoundedString::new(detail).unwrap_or_default();
                if say(&mut stream, &Reply::Refused { reason, detail })
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}

async fn answer(
    request: Request,
    stream: &mut TransferStream,
    node: &Arc<dyn NodeView>,
    provider: Option<&Server>,
) -> Result<(), Stop> {
    let is_here = |network: &NetworkId| match *network == node.network() {
        true => Ok(()),
        false => Err(Refusal::OtherNetwork),
    };
    let reply = match request {
        Request::Newest { network, nonce, at } => {
            is_here(&network)?;
            let node = Arc::clone(node);
            let said = tokio::task::spawn_blocking(move || node.newest(&nonce, at)).await;
            let said = said.map_err(|_| Refusal::Trouble)?;
            Reply::Newest(said.map_err(|_| Refusal::Trouble)?)
        }
        Request::Proof { network, of } => {
            is_here(&network)?;
            let node = Arc::clone(node);
            let shown = match of {
                ProofOf::Block { height } => proofs::of_block(node, height).await,
                ProofOf::Account { account } => proofs::of_account(node, account).await,
            };
            let shown = shown.map_err(|_| Refusal::NotProven)?;
            Reply::Proof(Box::new(ProofPart {
                plans: shown.plans,
                finality: shown.finality,
                entry: shown.entry,
            }))
        }
        Request::HandOvers { network, from } => {
            is_here(&network)?;
            let node = Arc::clone(node);
            let page =
                tokio::task::spawn_blocking(move || node.hand_overs_from(from, HAND_OVERS_PER_REPLY_MAX));
            let page = page.await.map_err(|_| Refusal::Trouble)?;
            Reply::HandOvers {
                hand_overs: BoundedVec::new(page).map_err(|_| Refusal::Trouble)?,
            }
        }
        request @ (Request::Put { .. }
        | Request::Read { .. }
        | Request::Unseal { .. }
        | Request::Outboard { .. }
        | Request::Objects { .. }
        | Request::Openings { .. }
        | Request::Verdict { .. }) => {
            let provider = provider.ok_or(Refusal::NotHeld)?;
            return provider.answer(request, stream).await;
        }
    };
    Ok(say(stream, &reply).await?)
}

async fn say(stream: &mut TransferStream, reply: &Reply) -> std::io::Result<()> {
    stream.write_frame(&reply.encode()).await?;
    stream.flush().await
}

/// Runs disk work where it may block.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PieceError> + Send + 'static,
) -> Result<T, Stop> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Refusal::Trouble.into()),
    }
}

impl Server {
    async fn answer(&self, request: Request, stream: &mut TransferStream) -> Result<(), Stop> {
        match request {
            Request::Put {
                network,
                deal,
                slot,
                len,
                root,
                objects,
            } => {
                self.check_network(&network)?;
                self.put(stream, (deal, slot), len, root, *objects).await
            }
            Request::Read {
                network,
                deal,
                slot,
                offset,
                len,
            } => {
                self.check_network(&network)?;
                self.read(stream, (deal, slot), offset, len).await
            }
            Request::Unseal { network, deal, slot } => {
                self.check_network(&network)?;
                let reply = self.unseal((deal, slot))?;
                Ok(say(stream, &reply).await?)
            }
            Request::Outboard { network, deal, slot } => {
                self.check_network(&network)?;
                let pieces = self.pieces.clone();
                let groups = on_disk(move || pieces.outboard(deal, slot)).await?;
                let groups = BoundedVec::new(groups).map_err(|_| Refusal::Trouble)?;
                Ok(say(stream, &Reply::Outboard { groups }).await?)
            }
            Request::Objects { network, deal } => {
                self.check_network(&network)?;
                let objects = self.objects(deal).await?;
                Ok(say(stream, &Reply::Objects(Box::new(objects))).await?)
            }
            Request::Openings { network, batch } => {
                self.check_network(&network)?;
                let (_, openings) = self.jobs.shown(batch).ok_or(Refusal::NotShown)?;
                let len = u32::try_from(openings.len()).map_err(|_| Refusal::Trouble)?;
                say(stream, &Reply::Openings { len }).await?;
                for chunk in openings.chunks(CHUNK_BYTES) {
                    stream.write_all(chunk).await?;
                }
                Ok(stream.flush().await?)
            }
            Request::Verdict {
                network,
                batch,
                openings,
                verdict,
            } => {
                self.check_network(&network)?;
                let given = HandVerdictJob {
                    endpoint: Endpoint::default(),
                    provider: self.account,
                    batch,
                    openings,
                    verdict,
                };
                if !take(&self.jobs, self.shared.snapshot(), &self.commands, &given).await {
                    return Err(Refusal::NotAVerdict.into());
                }
                Ok(say(stream, &Reply::Taken {}).await?)
            }
            // Every node answers them, provider or not.
            Request::Newest { .. } | Request::Proof { .. } | Request::HandOvers { .. } => {
                Err(Refusal::NotHeld.into())
            }
        }
    }

    fn check_network(&self, network: &NetworkId) -> Result<(), Stop> {
        if *network == self.network {
            Ok(())
        } else {
            Err(Refusal::OtherNetwork.into())
        }
    }

    /// Whether the ledger names this provider for the slot, and what was announced is the deal's.
    fn check_put(
        &self,
        (deal, slot): (DealId, SlotIndexInDeal),
        len: u64,
        root: &Hash,
        objects: &Objects,
    ) -> Result<(), Refusal> {
        let known = self
            .shared
            .snapshot()
            .read(|rows| (query::slot(rows, &deal, slot), query::deal(rows, &deal)));
        let (row, terms) = known.map_err(|_| Refusal::Trouble)?;
        let row = row.ok_or(Refusal::NotMatched)?;
        let terms = terms.ok_or(Refusal::NotMatched)?.row;
        if row.row.provider != self.account {
            return Err(Refusal::NotMatched);
        }
        match terms.stage {
            DealStage::Matched { .. } | DealStage::Active { .. } => {}
            DealStage::Open { .. } | DealStage::Ending { .. } | DealStage::Ended { .. } => {
                return Err(Refusal::NotMatched);
            }
        }
        let terms = terms.terms;
        let roots = Header::decode(&objects.header)
            .ok()
            .and_then(|header| SlotRoots::decode(&objects.slot_roots, &header).ok())
            .ok_or(Refusal::NotTheDeal)?;
        let is_the_deal = len == terms.slot_bytes
            && terms.slot_roots.get(usize::from(slot.0)) == Some(root)
            && Cid::of_block(&objects.header) == terms.header
            && Cid::of_block(&objects.manifest) == terms.manifest
            && terms
                .slot_roots
                .iter()
                .eq(roots.as_slice().iter().take(terms.slot_roots.len()));
        if is_the_deal {
            Ok(())
        } else {
            Err(Refusal::NotTheDeal)
        }
    }

    async fn put(
        &self,
        stream: &mut TransferStream,
        (deal, slot): (DealId, SlotIndexInDeal),
        len: u64,
        root: Hash,
        objects: Objects,
    ) -> Result<(), Stop> {
        self.check_put((deal, slot), len, &root, &objects)?;
        let turn = self.receiving.begin((deal, slot));
        if let Some(writer) = self.writer((deal, slot), len, &root).await? {
            let from = writer.resume_at();
            say(stream, &Reply::Ready { from }).await?;
            tokio::select! {
                received = receive(stream, writer, len.saturating_sub(from), root, objects) => received?,
                () = turn.is_over() => return Err(Refusal::Busy.into()),
            }
        }
        // Durable now, so it may be signed for.
        let acceptance = AcceptanceTerms { deal, slot, root }.accept(&self.key, &self.network);
        Ok(say(stream, &Reply::Accepted { acceptance }).await?)
    }

    /// Where to write the slot; `None` if it is here already.
    async fn writer(
        &self,
        (deal, slot): (DealId, SlotIndexInDeal),
        len: u64,
        root: &Hash,
    ) -> Result<Option<PieceWriter>, Stop> {
        let mut looks = 0;
        loop {
            let held = self.pieces.info(deal, slot);
            if held.is_some_and(|info| info.root == *root && info.len == len) {
                return Ok(None);
            }
            let pieces = self.pieces.clone();
            match tokio::task::spawn_blocking(move || pieces.begin(deal, slot, len)).await {
                Ok(Err(PieceError::Busy { .. })) if looks < LET_GO_LOOKS => {
                    looks += 1;
                    tokio::time::sleep(LET_GO_PAUSE).await;
                }
                Ok(begun) => return Ok(Some(begun?)),
                Err(_) => return Err(Refusal::Trouble.into()),
            }
        }
    }

    async fn read(
        &self,
        stream: &mut TransferStream,
        (deal, slot): (DealId, SlotIndexInDeal),
        offset: u64,
        len: u64,
    ) -> Result<(), Stop> {
        let info = self.pieces.info(deal, slot).ok_or(Refusal::NotHeld)?;
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= info.len)
            .ok_or(Refusal::OutOfRange)?;
        if let Some(cold) = self.pieces.cold(deal, slot)
            && !self.pieces.is_readable(deal, slot)
        {
            return Ok(say(stream, &later(self.jobs.wait_for(cold.sector))).await?);
        }
        let (chunks, mut ready) = mpsc::channel::<Result<Vec<u8>, PieceError>>(CHUNKS_AHEAD);
        let pieces = self.pieces.clone();
        let pieces = on_disk(move || pieces.reader(deal, slot)).await?;
        tokio::task::spawn_blocking(move || {
            let mut at = offset;
            while at < end {
                let take = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                let chunk = pieces.read(at, take);
                let is_over = chunk.is_err();
                if chunks.blocking_send(chunk).is_err() || is_over {
                    return;
                }
                at += u64::try_from(take).unwrap_or(0);
            }
        });
        // What is damaged at the start is said; later the stream ends early, and a reader who asks again there is told.
        let mut next = ready.recv().await.transpose()?;
        say(stream, &Reply::Ready { from: offset }).await?;
        while let Some(chunk) = next {
            stream.write_all(&chunk).await?;
            next = match ready.recv().await.transpose() {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "stored data is damaged");
                    return Err(Stop::Broken);
                }
            };
        }
        Ok(stream.flush().await?)
    }

    /// Begins to give a cold share back.
    fn unseal(&self, (deal, slot): (DealId, SlotIndexInDeal)) -> Result<Reply, Refusal> {
        let cold = self.pieces.cold(deal, slot);
        if self.pieces.is_readable(deal, slot) {
            return Ok(later(Duration::ZERO));
        }
        let wait = self.jobs.ask_for(cold.ok_or(Refusal::NotHeld)?.sector)?;
        Ok(later(wait))
    }

    async fn objects(&self, deal: DealId) -> Result<Objects, Stop> {
        let pieces = self.pieces.clone();
        let blocks = on_disk(move || {
            let held = pieces.list().into_iter().find(|(key, _)| key.deal == deal);
            held.map(|(key, _)| pieces.metadata(key.deal, key.slot))
                .transpose()
        })
        .await?
        .ok_or(Refusal::NotHeld)?;
        let mut blocks = blocks
            .into_iter()
            .map(|block| BoundedBytes::new(block).map_err(|_| Refusal::Trouble));
        let mut next = || blocks.next().unwrap_or(Err(Refusal::Trouble));
        Ok(Objects {
            header: next()?,
            slot_roots: next()?,
            manifest: next()?,
        })
    }
}

/// "Ask again."
fn later(wait: Duration) -> Reply {
    let seconds = wait.as_millis().div_ceil(1000);
    Reply::Unsealing {
        seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

/// Takes `left` raw bytes from the stream into the store and makes the slot durable.
async fn receive(
    stream: &mut TransferStream,
    mut writer: PieceWriter,
    mut left: u64,
    root: Hash,
    objects: Objects,
) -> Result<(), Stop> {
    let (chunks, mut waiting) = mpsc::channel::<Vec<u8>>(CHUNKS_AHEAD);
    let (done, is_complete) = tokio::sync::oneshot::channel::<()>();
    let storing = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = waiting.blocking_recv() {
            writer.write(&chunk)?;
        }
        if is_complete.blocking_recv().is_err() {
            // The client went away: what came is kept for its return.
            writer.save_progress()?;
            return Ok(false);
        }
        writer.finish(&root, &[&objects.header, &objects.slot_roots, &objects.manifest])?;
        Ok::<bool, PieceError>(true)
    });
    let mut outcome = Ok(());
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = vec![0; take];
        if let Err(error) = stream.read_exact(&mut chunk).await {
            outcome = Err(Stop::from(error));
            break;
        }
        if chunks.send(chunk).await.is_err() {
            break;
        }
        left -= u64::try_from(take).unwrap_or(left);
    }
    drop(chunks);
    if left == 0 {
        let _ = done.send(());
    } else {
        drop(done);
    }
    match storing.await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => outcome.and(Err(Stop::Broken)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Refusal::Trouble.into()),
    }
}
