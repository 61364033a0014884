//! Reading one bundle from whichever holders answer: `k` at a time, each cell checked, a bad or silent holder replaced and
//! named.

use super::wire::{Holder, Wire, WireError};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use watt_content::{BundleDecoder, RowError};
use watt_net::Net;
use watt_primitives::{AccountId, DealId, NetworkId, SlotIndexInDeal};

/// Cells that wait per holder: enough to keep a stream busy, little enough for a phone.
const CELLS_AHEAD: usize = 32;

/// How long a holder may be silent before another takes its place.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What is wrong with a holder, for the owner's eyes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Blame {
    /// The provider's address.
    pub provider: String,
    /// Its slot.
    pub slot: u8,
    /// What it did, in words.
    pub reason: String,
    /// Whether it sent bytes that are provably not what it signed for.
    pub is_proven: bool,
}

/// A bundle and its holders, as the ledger names them.
pub(super) struct Placed {
    pub(super) deal: DealId,
    pub(super) holders: Vec<Holder>,
}

/// Why a bundle can't be read.
#[derive(Debug)]
pub(super) enum DownloadError {
    /// Fewer than `need` holders are of use.
    TooFew { reachable: usize, need: usize, missing: Vec<Holder> },
    /// The bundle itself is wrong, though every holder is honest.
    Bundle(RowError),
}

/// A holder that is sending.
struct Source {
    holder: Holder,
    cells: mpsc::Receiver<Result<Vec<u8>, WireError>>,
}

/// Reads rows of one bundle, in order.
pub(super) struct BundleReader<'a> {
    net: &'a Net,
    network: NetworkId,
    placed: &'a Placed,
    decoder: BundleDecoder,
    rows: Range<u64>,
    sources: BTreeMap<u8, Source>,
    spare: VecDeque<Holder>,
    given_up: Vec<Holder>,
    tasks: JoinSet<()>,
    pub(super) blames: Vec<(AccountId, u8, String, bool)>,
}

impl<'a> BundleReader<'a> {
    /// Prepares to read `rows`; data slots first, since they need no decoding.
    pub(super) fn new(
        net: &'a Net,
        network: NetworkId,
        placed: &'a Placed,
        decoder: BundleDecoder,
        rows: Range<u64>,
    ) -> Self {
        let mut holders = placed.holders.clone();
        holders.sort_by_key(|holder| holder.slot);
        Self {
            net,
            network,
            placed,
            decoder,
            rows,
            sources: BTreeMap::new(),
            spare: holders.into(),
            given_up: Vec::new(),
            tasks: JoinSet::new(),
            blames: Vec::new(),
        }
    }

    fn k(&self) -> usize {
        usize::from(self.decoder.header().class().k())
    }

    /// Makes sure that `k` holders are sending from `row` on.
    async fn fill(&mut self, row: u64) -> Result<(), DownloadError> {
        while self.sources.len() < self.k() {
            let wanted = self.k() - self.sources.len();
            let batch: Vec<Holder> = (0..wanted).filter_map(|_| self.spare.pop_front()).collect();
            if batch.is_empty() {
                let missing = std::mem::take(&mut self.given_up);
                return Err(DownloadError::TooFew { reachable: self.sources.len(), need: self.k(), missing });
            }
            let knows: Vec<bool> = batch.iter().map(|holder| self.decoder.has_outboard(holder.slot.0)).collect();
            let openings = batch.iter().zip(knows).map(|(holder, knows)| self.open(holder, knows, row));
            let opened = futures::future::join_all(openings).await;
            for (holder, opened) in batch.into_iter().zip(opened) {
                match opened {
                    Ok((wire, outboard)) => self.admit(holder, wire, outboard, row),
                    Err(error) => self.give_up(holder, error.to_string(), false),
                }
            }
        }
        Ok(())
    }

    /// Connects, fetches the slot's digests if they are not known, and begins the read.
    async fn open(
        &self,
        holder: &Holder,
        knows_outboard: bool,
        row: u64,
    ) -> Result<(Wire, Option<Vec<watt_primitives::Hash>>), WireError> {
        let mut wire = Wire::open(self.net, self.network, holder).await?;
        let deal = self.placed.deal;
        let outboard = if knows_outboard { None } else { Some(wire.outboard(deal, holder.slot).await?) };
        let cell = self.decoder.header().class().cell_bytes();
        let (offset, len) = (row * cell, (self.rows.end - row) * cell);
        wire.read(deal, holder.slot, offset, len).await?;
        Ok((wire, outboard))
    }

    fn admit(&mut self, holder: Holder, wire: Wire, outboard: Option<Vec<watt_primitives::Hash>>, row: u64) {
        if let Some(outboard) = outboard
            && let Err(refused) = self.decoder.add_outboard(holder.slot.0, outboard)
        {
            self.give_up(holder, refused.to_string(), true);
            return;
        }
        let (sender, cells) = mpsc::channel(CELLS_AHEAD);
        let n_cells = self.rows.end - row;
        let cell_bytes = usize::try_from(self.decoder.header().class().cell_bytes()).unwrap_or(usize::MAX);
        self.tasks.spawn(stream_cells(wire, n_cells, cell_bytes, sender));
        self.sources.insert(holder.slot.0, Source { holder, cells });
    }

    fn give_up(&mut self, holder: Holder, reason: String, is_proven: bool) {
        tracing::debug!(slot = holder.slot.0, %reason, "a holder is of no use");
        self.blames.push((holder.provider, holder.slot.0, reason, is_proven));
        self.given_up.push(holder);
    }

    /// Ciphertext of the next row; `None` when all rows are read.
    pub(super) async fn next_row(&mut self, sealed: &mut Vec<u8>) -> Result<bool, DownloadError> {
        if self.rows.is_empty() {
            return Ok(false);
        }
        let row = self.rows.start;
        let mut cells: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        while cells.len() < self.k() {
            self.fill(row).await?;
            let next = self.sources.keys().copied().find(|slot| !cells.contains_key(slot));
            let Some(slot) = next else { break };
            let Some(source) = self.sources.get_mut(&slot) else { break };
            let outcome = match timeout(SILENCE_MAX, source.cells.recv()).await {
                Ok(Some(Ok(cell))) => match self.decoder.verify_cell(slot, row, &cell) {
                    Ok(_) => Ok(cell),
                    Err(invalid) => Err((invalid.to_string(), true)),
                },
                Ok(Some(Err(error))) => Err((error.to_string(), false)),
                Ok(None) => Err(("the connection broke".to_owned(), false)),
                Err(_) => Err(("it fell silent".to_owned(), false)),
            };
            match outcome {
                Ok(cell) => {
                    cells.insert(slot, cell);
                }
                Err((reason, is_proven)) => {
                    if let Some(source) = self.sources.remove(&slot) {
                        self.give_up(source.holder, reason, is_proven);
                    }
                }
            }
        }
        decode(&mut self.decoder, row, &cells, sealed).map_err(DownloadError::Bundle)?;
        self.rows.start += 1;
        Ok(true)
    }
}

/// Holds the borrow of verified cells only while a row is rebuilt.
fn decode(
    decoder: &mut BundleDecoder,
    row: u64,
    cells: &BTreeMap<u8, Vec<u8>>,
    sealed: &mut Vec<u8>,
) -> Result<(), RowError> {
    let verified: Vec<_> = cells.iter().filter_map(|(slot, cell)| decoder.verify_cell(*slot, row, cell).ok()).collect();
    decoder.decode_row(row, &verified, sealed)
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

/// Names a holder for people.
pub(super) fn blame(address: String, slot: SlotIndexInDeal, reason: String, is_proven: bool) -> Blame {
    Blame { provider: address, slot: slot.0, reason, is_proven }
}
