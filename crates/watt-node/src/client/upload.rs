//! Sending one bundle's slots to their holders: one pass over the file feeds all of them, a slow or failing one does not stop
//! the others, and what is durable already is not sent again.

use super::wire::{Holder, Wire, WireError};
use crate::ui::Progress;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use watt_content::encoder::EncodeError;
use watt_content::{CellsPass, FileKey, FilePlan, Outboard};
use watt_engine::transfer::Objects;
use watt_light::Acceptance;
use watt_net::Net;
use watt_primitives::{DealId, Hash, NetworkId};

/// Cells that wait per holder: the slowest holder holds the pass back when its queue is full.
const CELLS_AHEAD: usize = 64;

/// Bytes read from the file at once.
const READ_BYTES: usize = 256 * 1024;

/// Everything needed to send a bundle.
pub(super) struct Upload {
    pub(super) path: PathBuf,
    pub(super) plan: FilePlan,
    pub(super) bundle: usize,
    pub(super) key: FileKey,
    pub(super) data_outboards: Vec<Outboard>,
    pub(super) deal: DealId,
    pub(super) slot_bytes: u64,
    pub(super) slot_roots: Vec<Hash>,
    pub(super) objects: Objects,
}

/// What came of a pass.
#[derive(Default)]
pub(super) struct Outcome {
    /// By slot.
    pub(super) accepted: BTreeMap<u8, Acceptance>,
    /// By slot: who failed and why.
    pub(super) failed: BTreeMap<u8, (Holder, WireError)>,
}

/// Why a pass could not be made at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// The file can't be read.
    #[error("reading the file failed: {0}")]
    File(#[from] std::io::Error),
    /// The file changed, or can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The encoder stopped unexpectedly.
    #[error("the encoder stopped unexpectedly")]
    Stopped,
}

impl Upload {
    /// Sends the slots of `holders` that they have not yet, all in one pass. `progress` counts bytes of the file, if this
    /// is the pass to count.
    pub(super) async fn run(
        &self,
        net: &Net,
        network: NetworkId,
        holders: &[Holder],
        progress: Option<Arc<Progress>>,
    ) -> Result<Outcome, UploadError> {
        let mut outcome = Outcome::default();
        let mut senders: BTreeMap<u8, Sender> = BTreeMap::new();
        let mut tasks: JoinSet<(Holder, Result<Acceptance, WireError>)> = JoinSet::new();
        let openings: Vec<_> = holders
            .iter()
            .map(|holder| self.begin(net, network, holder))
            .collect();
        for (holder, begun) in holders.iter().zip(futures::future::join_all(openings).await) {
            match begun {
                Ok((_, Err(acceptance))) => {
                    outcome.accepted.insert(holder.slot.0, acceptance);
                }
                Ok((wire, Ok(from))) => {
                    let (sender, cells) = mpsc::channel(CELLS_AHEAD);
                    senders.insert(holder.slot.0, Sender { from, cells: sender });
                    tasks.spawn(send_slot(holder.clone(), wire, cells));
                }
                Err(error) => {
                    outcome.failed.insert(holder.slot.0, (holder.clone(), error));
                }
            }
        }
        if senders.is_empty() {
            if let Some(progress) = progress {
                let plain = self.plain();
                progress.add(plain.end - plain.start);
            }
        } else {
            self.feed(senders, progress).await?;
        }
        while let Some(done) = tasks.join_next().await {
            let Ok((holder, result)) = done else {
                return Err(UploadError::Stopped);
            };
            match result {
                Ok(acceptance) => drop(outcome.accepted.insert(holder.slot.0, acceptance)),
                Err(error) => drop(outcome.failed.insert(holder.slot.0, (holder, error))),
            }
        }
        Ok(outcome)
    }

    /// The part of the file that makes this bundle.
    fn plain(&self) -> Range<u64> {
        self.plan
            .bundle(self.bundle)
            .map(|bundle| bundle.plain)
            .unwrap_or_default()
    }

    async fn begin(
        &self,
        net: &Net,
        network: NetworkId,
        holder: &Holder,
    ) -> Result<(Wire, Result<u64, Acceptance>), WireError> {
        let mut wire = Wire::open(net, network, holder).await?;
        let root = self
            .slot_roots
            .get(usize::from(holder.slot.0))
            .copied()
            .unwrap_or(Hash::ZERO);
        let answer = wire
            .put(
                self.deal,
                holder.slot,
                self.slot_bytes,
                root,
                self.objects.clone(),
            )
            .await?;
        Ok((wire, answer))
    }

    /// Encodes the bundle on a thread of its own and gives each cell to its slot's sender.
    async fn feed(
        &self,
        senders: BTreeMap<u8, Sender>,
        progress: Option<Arc<Progress>>,
    ) -> Result<(), UploadError> {
        let slots: Vec<u8> = senders.keys().copied().collect();
        let pass = CellsPass::new(&self.plan, self.bundle, &self.key, &slots, &self.data_outboards)?;
        let (path, plain) = (self.path.clone(), self.plain());
        // The senders end with the thread, which tells the holders' tasks that all is given.
        tokio::task::spawn_blocking(move || encode(&path, plain, pass, &senders, progress.as_deref()))
            .await
            .map_err(|_| UploadError::Stopped)?
    }
}

/// Where a slot's cells go, and from which byte on they are wanted.
struct Sender {
    from: u64,
    cells: mpsc::Sender<Vec<u8>>,
}

fn encode(
    path: &Path,
    plain: Range<u64>,
    mut pass: CellsPass,
    senders: &BTreeMap<u8, Sender>,
    progress: Option<&Progress>,
) -> Result<(), UploadError> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(plain.start))?;
    let mut left = plain.end - plain.start;
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let chunk = &mut buffer[..want];
        file.read_exact(chunk)?;
        left -= u64::try_from(want).unwrap_or(left);
        let mut rest: &[u8] = chunk;
        while !rest.is_empty() {
            let taken = pass.push(rest)?;
            rest = &rest[taken..];
            give_rows(&mut pass, senders)?;
        }
        if senders.values().all(|sender| sender.cells.is_closed()) {
            // Nobody listens any more: why, their tasks know.
            return Ok(());
        }
        if let Some(progress) = progress {
            progress.add(u64::try_from(want).unwrap_or(0));
        }
    }
    give_rows(&mut pass, senders)?;
    Ok(pass.finish()?)
}

/// Gives complete rows away; a sender that has stopped listening is skipped.
fn give_rows(pass: &mut CellsPass, senders: &BTreeMap<u8, Sender>) -> Result<(), UploadError> {
    while let Some(row) = pass.next_row()? {
        let index = row.index();
        for (slot, cell) in row.cells() {
            let Some(sender) = senders.get(&slot) else {
                continue;
            };
            let start = index * u64::try_from(cell.len()).unwrap_or(0);
            // Resumed in the middle of a slot: what is durable there already is not sent again.
            let skip = usize::try_from(sender.from.saturating_sub(start))
                .unwrap_or(usize::MAX)
                .min(cell.len());
            if skip < cell.len() {
                drop(sender.cells.blocking_send(cell[skip..].to_vec()));
            }
        }
    }
    Ok(())
}

async fn send_slot(
    holder: Holder,
    mut wire: Wire,
    mut cells: mpsc::Receiver<Vec<u8>>,
) -> (Holder, Result<Acceptance, WireError>) {
    while let Some(cell) = cells.recv().await {
        if let Err(error) = wire.send(&cell).await {
            // The holder may have said why before it stopped listening.
            let why = wire
                .accepted()
                .await
                .err()
                .filter(|why| matches!(why, WireError::Refused { .. }));
            return (holder, Err(why.unwrap_or(error)));
        }
    }
    let outcome = wire.accepted().await;
    (holder, outcome)
}
