//! Reading one bundle from whichever holders answer: `k` at a time, each cell checked, a bad or silent holder replaced and
//! named.

use super::stagger::{SILENCE, Staggered};
use super::wire::{Holder, Wire, WireError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use watt_content::BundleDecoder;
use watt_content::decoder::RowError;
use watt_engine::transfer::Refusal;
use watt_net::Net;
use watt_primitives::{AccountId, Hash, NetworkId};

/// Cells that wait per holder: enough to keep a stream busy, little enough for a phone.
const CELLS_AHEAD: usize = 32;

/// How long a holder may be silent before another takes its place.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a holder may unseal a share, from its first word of it, before another takes its place.
const UNSEALING_PATIENCE: Duration = Duration::from_secs(180);

/// The shortest pause before a holder that unseals is asked again.
const UNSEALING_PAUSE: Duration = Duration::from_millis(200);

/// Pause before holders that did not answer are asked once more.
const SECOND_CHANCE_AFTER: Duration = Duration::from_secs(1);

/// How bad a holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It sent bytes that are provably not what it signed for.
    Lied,
    /// It says itself that its copy is damaged.
    Damaged,
    /// It does not answer, or no more.
    Silent,
}

impl Fault {
    const fn of(error: &WireError) -> Self {
        match error {
            WireError::Refused {
                reason: Refusal::Damaged,
                ..
            } => Self::Damaged,
            WireError::Refused { .. }
            | WireError::Unsealing { .. }
            | WireError::Unreachable(_)
            | WireError::Broken(_)
            | WireError::Protocol
            | WireError::StrangeKey
            | WireError::BadSignature => Self::Silent,
        }
    }
}

/// What is wrong with a holder.
#[derive(Clone, Debug)]
pub(super) struct Blame {
    pub(super) holder: Holder,
    /// What it did, in words.
    pub(super) reason: String,
    pub(super) fault: Fault,
}

/// Why a bundle can't be read.
#[derive(Debug)]
pub(super) enum DownloadError {
    /// Fewer than `need` holders are of use.
    TooFew {
        reachable: usize,
        need: usize,
        missing: Vec<Holder>,
    },
    /// The bundle itself is wrong, though every holder is honest.
    Bundle(RowError),
}

/// A holder that is sending.
struct Source {
    holder: Holder,
    cells: mpsc::Receiver<Result<Vec<u8>, WireError>>,
}

/// A holder that unseals its share.
struct Unsealing {
    holder: Holder,
    ready_at: Instant,
}

/// A conversation in which a read has begun, with the slot's digests if they were not known.
type Opened = Result<(Wire, Option<Vec<Hash>>), WireError>;

/// Reads rows of one bundle, in order.
pub(super) struct BundleReader<'a> {
    net: Net,
    network: NetworkId,
    decoder: BundleDecoder,
    rows: Range<u64>,
    sources: BTreeMap<u8, Source>,
    spare: VecDeque<Holder>,
    /// Holders that keep their shares sealed, and were not asked to unseal them.
    sealed: Vec<Holder>,
    /// Holders that were asked to.
    unsealing: Vec<Unsealing>,
    /// By slot: since when its holder unseals.
    unsealing_since: BTreeMap<u8, Instant>,
    /// Told how many holders are waited for because they unseal; zero when it is over.
    on_unsealing: &'a (dyn Fn(usize) + Sync),
    has_second_chance: bool,
    tasks: JoinSet<()>,
    served: BTreeSet<u8>,
    /// By slot: the row at which a broken conversation was begun again.
    reopened: BTreeMap<u8, u64>,
    /// Providers that were asked and passed over because others answered first.
    unheard: BTreeSet<AccountId>,
    pub(super) blames: Vec<Blame>,
    pub(super) served_by: Vec<Holder>,
}

impl<'a> BundleReader<'a> {
    /// Prepares to read `rows`; data slots first, since they need no decoding, and `last` the providers that did not answer before.
    pub(super) fn new(
        net: Net,
        network: NetworkId,
        mut holders: Vec<Holder>,
        decoder: BundleDecoder,
        rows: Range<u64>,
        last: &BTreeSet<AccountId>,
        on_unsealing: &'a (dyn Fn(usize) + Sync),
    ) -> Self {
        holders.sort_by_key(|holder| (last.contains(&holder.provider), holder.slot));
        Self {
            net,
            network,
            decoder,
            rows,
            sources: BTreeMap::new(),
            spare: holders.into(),
            sealed: Vec::new(),
            unsealing: Vec::new(),
            unsealing_since: BTreeMap::new(),
            on_unsealing,
            has_second_chance: true,
            tasks: JoinSet::new(),
            served: BTreeSet::new(),
            reopened: BTreeMap::new(),
            unheard: BTreeSet::new(),
            blames: Vec::new(),
            served_by: Vec::new(),
        }
    }

    fn k(&self) -> usize {
        usize::from(self.decoder.header().class().k())
    }

    fn cell_bytes(&self) -> u64 {
        self.decoder.header().class().cell_bytes()
    }

    /// Takes the spare holders of different slots that nobody sends yet.
    fn take_spare(&mut self) -> Vec<Holder> {
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        while let Some(holder) = self.spare.pop_front() {
            let is_new = !self.sources.contains_key(&holder.slot.0)
                && (self.unsealing.iter()).all(|other| other.holder.slot != holder.slot)
                && taken.iter().all(|other: &Holder| other.slot != holder.slot);
            if is_new {
                taken.push(holder);
            } else {
                kept.push_back(holder);
            }
        }
        self.spare = kept;
        taken
    }

    /// Makes sure that `k` holders are sending from `row` on: those that answer first.
    async fn fill(&mut self, row: u64) -> Result<(), DownloadError> {
        while self.sources.len() < self.k() {
            let wanted = self.wanted();
            let mut asked = if wanted > 0 { self.take_spare() } else { Vec::new() };
            if asked.is_empty() {
                if wanted > 0 && !self.sealed.is_empty() {
                    self.unseal(wanted).await;
                } else if self.unsealing.is_empty() {
                    self.ask_again().await?;
                } else {
                    self.wait_for_unsealing().await;
                }
                continue;
            }
            let openings: Vec<_> = asked
                .iter()
                .map(|holder| self.open(holder.clone(), row))
                .collect();
            let mut answers = Staggered::new(openings, SILENCE);
            while self.wanted() > 0
                && let Some((holder, opened)) = answers.next(self.wanted()).await
            {
                asked.retain(|other| other.slot != holder.slot);
                self.take(holder, opened, row);
            }
            // Not heard of in time, or not asked: in reserve.
            let n_unheard = answers.n_unheard();
            self.unheard
                .extend(asked.iter().take(n_unheard).map(|holder| holder.provider));
            self.spare.extend(asked);
        }
        Ok(())
    }

    /// Holders that are to be asked, beside those that send and those that unseal.
    fn wanted(&self) -> usize {
        (self.k()).saturating_sub(self.sources.len() + self.unsealing.len())
    }

    fn take(&mut self, holder: Holder, opened: Opened, row: u64) {
        match opened {
            Ok((wire, outboard)) => self.admit(holder, wire, outboard, row),
            Err(WireError::Unsealing { .. }) => self.sealed.push(holder),
            Err(error) => self.give_up(holder, error.to_string(), Fault::of(&error)),
        }
    }

    /// Has `n` holders unseal their shares: nobody sends without that any more.
    async fn unseal(&mut self, n: usize) {
        let n = n.min(self.sealed.len());
        let asking = self.sealed.drain(..n).map(|holder| {
            let (net, network) = (self.net.clone(), self.network);
            async move {
                let asked = async {
                    let mut wire = Wire::open(&net, network, &holder).await?;
                    wire.unseal(holder.deal, holder.slot).await
                };
                let takes = asked.await;
                (holder, takes)
            }
        });
        for (holder, takes) in futures::future::join_all(asking.collect::<Vec<_>>()).await {
            match takes {
                Ok(takes) => self.wait_for(holder, takes),
                Err(error) => self.give_up(holder, error.to_string(), Fault::of(&error)),
            }
        }
    }

    fn wait_for(&mut self, holder: Holder, takes: Duration) {
        let now = Instant::now();
        let since = *self.unsealing_since.entry(holder.slot.0).or_insert(now);
        if now.duration_since(since) > UNSEALING_PATIENCE {
            self.give_up(holder, "it still unseals its share".to_owned(), Fault::Silent);
        } else {
            let ready_at = now + takes.max(UNSEALING_PAUSE);
            self.unsealing.push(Unsealing { holder, ready_at });
        }
    }

    /// Waits until the first of the holders that unseal can be asked again, and puts it in front of the others.
    async fn wait_for_unsealing(&mut self) {
        (self.on_unsealing)(self.unsealing.len());
        let Some(first) = self.unsealing.iter().map(|one| one.ready_at).min() else {
            return;
        };
        tokio::time::sleep_until(first).await;
        let (ready, later) = std::mem::take(&mut self.unsealing)
            .into_iter()
            .partition(|one| one.ready_at <= first);
        self.unsealing = later;
        let ready: Vec<Unsealing> = ready;
        for one in ready {
            self.spare.push_front(one.holder);
        }
        (self.on_unsealing)(self.unsealing.len());
    }

    /// Gives holders that did not answer another chance, once per bundle: a node that restarts is back within a second.
    async fn ask_again(&mut self) -> Result<(), DownloadError> {
        let silent: Vec<Holder> = self
            .blames
            .iter()
            .filter(|blame| blame.fault == Fault::Silent)
            .map(|blame| blame.holder.clone())
            .collect();
        if silent.is_empty() || !self.has_second_chance {
            let (reachable, need) = (self.sources.len(), self.k());
            return Err(DownloadError::TooFew {
                reachable,
                need,
                missing: silent,
            });
        }
        self.has_second_chance = false;
        tokio::time::sleep(SECOND_CHANCE_AFTER).await;
        self.blames.retain(|blame| blame.fault != Fault::Silent);
        self.spare.extend(silent);
        Ok(())
    }

    /// Connects, fetches the slot's digests if they are not known, and begins the read.
    fn open(&self, holder: Holder, row: u64) -> impl Future<Output = (Holder, Opened)> + use<> {
        let (net, network) = (self.net.clone(), self.network);
        let is_known = self.decoder.has_outboard(holder.slot.0);
        let cell = self.cell_bytes();
        let (offset, len) = (row * cell, (self.rows.end - row) * cell);
        async move {
            let opened = async {
                let mut wire = Wire::open(&net, network, &holder).await?;
                let outboard = if is_known {
                    None
                } else {
                    Some(wire.outboard(holder.deal, holder.slot).await?)
                };
                wire.read(holder.deal, holder.slot, offset, len).await?;
                Ok((wire, outboard))
            };
            let opened = opened.await;
            (holder, opened)
        }
    }

    fn admit(&mut self, holder: Holder, wire: Wire, outboard: Option<Vec<Hash>>, row: u64) {
        if let Some(outboard) = outboard
            && let Err(refused) = self.decoder.add_outboard(holder.slot.0, outboard)
        {
            self.give_up(holder, refused.to_string(), Fault::Lied);
            return;
        }
        self.unsealing_since.remove(&holder.slot.0);
        let (sender, cells) = mpsc::channel(CELLS_AHEAD);
        let n_cells = self.rows.end - row;
        let cell_bytes = usize::try_from(self.cell_bytes()).unwrap_or(usize::MAX);
        self.tasks.spawn(stream_cells(wire, n_cells, cell_bytes, sender));
        self.sources.insert(holder.slot.0, Source { holder, cells });
    }

    fn give_up(&mut self, holder: Holder, reason: String, fault: Fault) {
        tracing::debug!(slot = holder.slot.0, %reason, ?fault, "a holder is of no use");
        self.blames.push(Blame {
            holder,
            reason,
            fault,
        });
    }

    fn drop_source(&mut self, slot: u8, reason: String, fault: Fault) {
        if let Some(source) = self.sources.remove(&slot) {
            self.give_up(source.holder, reason, fault);
        }
    }

    /// Asks a holder whose conversation broke at `row` to go on there: it does, or says why it can't.
    async fn reopen(&mut self, slot: u8, row: u64, reason: String) {
        if self.reopened.insert(slot, row) == Some(row) {
            self.drop_source(slot, reason, Fault::Silent);
            return;
        }
        let Some(source) = self.sources.remove(&slot) else {
            return;
        };
        let (holder, opened) = self.open(source.holder, row).await;
        self.take(holder, opened, row);
    }

    /// Providers that were asked and did not answer in time, to be asked last for the next bundle.
    pub(super) fn silent(&self) -> impl Iterator<Item = AccountId> + '_ {
        let blamed = self.blames.iter().map(|blame| blame.holder.provider);
        blamed.chain(self.unheard.iter().copied())
    }

    /// Appends the ciphertext of the next row to `sealed`; false when all rows are read.
    pub(super) async fn next_row(&mut self, sealed: &mut Vec<u8>) -> Result<bool, DownloadError> {
        if self.rows.is_empty() {
            return Ok(false);
        }
        let row = self.rows.start;
        let mut cells: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        loop {
            self.collect(row, &mut cells).await?;
            let wrong = self.decode(row, &cells, sealed)?;
            if wrong.is_empty() {
                break;
            }
            for (slot, reason) in wrong {
                cells.remove(&slot);
                self.drop_source(slot, reason, Fault::Lied);
            }
        }
        for slot in cells.into_keys() {
            if self.served.insert(slot)
                && let Some(source) = self.sources.get(&slot)
            {
                self.served_by.push(source.holder.clone());
            }
        }
        self.rows.start += 1;
        Ok(true)
    }

    /// Takes cells of `row` from the senders until there are `k`.
    async fn collect(&mut self, row: u64, cells: &mut BTreeMap<u8, Vec<u8>>) -> Result<(), DownloadError> {
        while cells.len() < self.k() {
            self.fill(row).await?;
            let next = self
                .sources
                .iter_mut()
                .find(|(slot, _)| !cells.contains_key(slot));
            let Some((slot, source)) = next else { break };
            let slot = *slot;
            match timeout(SILENCE_MAX, source.cells.recv()).await {
                Ok(Some(Ok(cell))) => drop(cells.insert(slot, cell)),
                Ok(Some(Err(error))) => self.reopen(slot, row, error.to_string()).await,
                Ok(None) => self.reopen(slot, row, "the connection broke".to_owned()).await,
                Err(_) => self.drop_source(slot, "it fell silent".to_owned(), Fault::Silent),
            }
        }
        Ok(())
    }

    /// Rebuilds the row, or tells which cells are not what their slots' roots commit to.
    fn decode(
        &mut self,
        row: u64,
        cells: &BTreeMap<u8, Vec<u8>>,
        sealed: &mut Vec<u8>,
    ) -> Result<Vec<(u8, String)>, DownloadError> {
        let (mut verified, mut wrong) = (Vec::with_capacity(cells.len()), Vec::new());
        for (slot, cell) in cells {
            match self.decoder.verify_cell(*slot, row, cell) {
                Ok(cell) => verified.push(cell),
                Err(invalid) => wrong.push((*slot, invalid.to_string())),
            }
        }
        if wrong.is_empty() {
            self.decoder
                .decode_row(row, &verified, sealed)
                .map_err(DownloadError::Bundle)?;
        }
        Ok(wrong)
    }
}

async fn stream_cells(
    mut wire: Wire,
    n_cells: u64,
    cell_bytes: usize,
    cells: mpsc::Sender<Result<Vec<u8>, WireError>>,
) {
    for _ in 0..n_cells {
        let mut cell = vec![0; cell_bytes];
        let outcome = wire.receive(&mut cell).await;
        let is_over = outcome.is_err();
        if cells.send(outcome.map(|()| cell)).await.is_err() || is_over {
            return;
        }
    }
}
