//! A provider's work on its disk: seal, open, answer, prove, free. Runs on blocking threads; each job ends in one event.

mod answers;
mod cold;
mod folds;
mod labelling;
mod scrub;
mod show;
mod sweep;

pub(crate) use cold::{Kept, keep};
pub(crate) use folds::Folds;
pub(crate) use scrub::Scrub;

use super::node_loop::Command;
use super::payload::Payload;
use super::receiving::Receiving;
use super::storage::{Storage, trouble};
use super::transfer_server::Server;
use crate::config::ProviderConfig;
use crate::error::CommandError;
use crate::lock::locked;
use crate::node::Shared;
use answers::Log;
use anyhow::Context as _;
use cold::{Unsealing, slots};
pub(crate) use labelling::Labelling;
use labelling::Purpose;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use watt_engine::effect::{AnsweredWindow, AskedSector, OpenJob, SealJob, WindowJob};
use watt_engine::event::SealedRoots;
use watt_engine::provider::{LocalSector, Settle};
use watt_engine::{Effect, Event};
use watt_ledger::Genesis;
use watt_light::BatchOpenings;
use watt_light::transaction::witness_hash;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, Hash, NetworkId, SecretKey, SectorNumber, codec};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::post::{self, ReplicaRead};
use watt_proofs::seal::seal_from;
use watt_proofs::verify::PorepStatement;
use watt_proofs::window::Step;
use watt_proofs::{PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorSize, porep};
use watt_store::{Journal, Kv, PieceStore, ReplicaError, ReplicaStore, Space};

/// The most bytes of what is kept beside a replica.
const INFO_BYTES_MAX: usize = 1 << 20;

/// The most bytes that are kept beside a replica of its tree.
const TREE_BYTES_MAX: usize = 4 << 20;

/// Disk space that is never used, in bytes: the owner needs it.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// What is stored beside a replica: enough to go on after any crash.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealInfo {
    job: SealJob,
    roots: SealedRoots,
}

/// A provider's disk, and what is needed to work on it.
#[derive(Clone)]
pub(crate) struct Jobs {
    network: NetworkId,
    account: AccountId,
    key: SecretKey,
    params: ProofParams,
    pieces: PieceStore,
    replicas: Arc<ReplicaStore>,
    log: Arc<Mutex<Log>>,
    local: Arc<Vec<LocalSector>>,
    receiving: Arc<Receiving>,
    labelling: Labelling,
    /// If it settles by folded proofs.
    folds: Option<Folds>,
    /// Held while bytes move between pieces and replicas; taken before `labelling`.
    copies: Arc<Mutex<()>>,
    unsealing: Arc<Mutex<Unsealing>>,
    /// Openings of batches that committees look at, with their hashes; `None` on a network that has none.
    shown: Option<Arc<Mutex<BTreeMap<SectorNumber, Openings>>>>,
    values: Arc<Kv>,
}

/// The openings of a batch, with their hash.
type Openings = (Hash, Arc<Vec<u8>>);

impl Jobs {
    /// Opens the provider's part of the folder.
    pub(crate) fn open(
        storage: &Storage,
        config: &ProviderConfig,
        genesis: &Genesis,
        params: ProofParams,
    ) -> Result<Self, CommandError> {
        let space = Space {
            quota_bytes: config.capacity_bytes,
            free_bytes_min: FREE_BYTES_MIN,
        };
        let pieces =
            PieceStore::open(&storage.folder.pieces_dir(), space).map_err(|error| trouble(&error))?;
        let replicas = ReplicaStore::open(&storage.folder.replicas_dir(), FREE_BYTES_MIN)
            .map_err(|error| trouble(&error))?;
        let log = Journal::open(&storage.folder.heartbeats_dir()).map_err(|error| trouble(&error))?;
        let local = cold::local_sectors(&pieces, &replicas)?;
        let folds = match config.settle {
            Settle::Windows => None,
            Settle::Folded => Some(Folds::open(
                &storage.folder.folds_dir(),
                storage.folded(),
                genesis.parameters.settlement_windows,
            )?),
        };
        let jobs = Self {
            network: storage.restarts().network(genesis)?,
            account: AccountId::of_first_key(&config.account_key.public()),
            key: config.account_key.clone(),
            params,
            pieces,
            replicas: Arc::new(replicas),
            log: Arc::new(Mutex::new(Log::of(log))),
            local: Arc::new(local),
            receiving: Arc::default(),
            labelling: Labelling::default(),
            folds,
            copies: Arc::default(),
            unsealing: Arc::default(),
            shown: (genesis.parameters.porep_committee > 0).then(Arc::default),
            values: storage.values(),
        };
        jobs.reconcile().map_err(|error| trouble(&error))?;
        Ok(jobs)
    }

    pub(crate) const fn account(&self) -> AccountId {
        self.account
    }

    pub(crate) fn local_sectors(&self) -> Vec<LocalSector> {
        self.local.to_vec()
    }

    pub(crate) fn labelling(&self) -> Labelling {
        self.labelling.clone()
    }

    pub(crate) fn folds(&self) -> Option<Folds> {
        self.folds.clone()
    }

    /// The openings of a batch, while a committee looks at them.
    pub(crate) fn shown(&self, batch: SectorNumber) -> Option<Openings> {
        locked(self.shown.as_ref()?).get(&batch).cloned()
    }

    /// Shows the openings of a batch to whoever asks, if this network has committees.
    fn show(&self, batch: SectorNumber, openings: &[u8]) {
        if let Some(shown) = &self.shown {
            let opened = (witness_hash(&self.network, openings), Arc::new(openings.to_vec()));
            let mut shown = locked(shown);
            shown.insert(batch, opened);
        }
    }

    fn hide(&self, batch: SectorNumber) {
        if let Some(shown) = &self.shown {
            let mut shown = locked(shown);
            shown.remove(&batch);
        }
    }

    pub(crate) fn server(&self, shared: Arc<Shared>, commands: mpsc::Sender<Command>) -> Server {
        Server {
            commands,
            network: self.network,
            account: self.account,
            key: self.key.clone(),
            pieces: self.pieces.clone(),
            shared,
            receiving: Arc::clone(&self.receiving),
            jobs: self.clone(),
        }
    }

    /// Does one job; blocks.
    pub(crate) fn perform(&self, effect: Effect) -> Event {
        match effect {
            Effect::Seal(job) => Event::Sealed {
                sector: job.sector,
                result: self.seal(*job).map_err(sentence),
            },
            Effect::OpenBatch(job) => {
                let batch = job.batch;
                let result = self.open_batch(&job).map_err(sentence);
                if let Ok(openings) = &result {
                    self.show(batch, openings);
                }
                Event::BatchOpened { batch, result }
            }
            Effect::HideOpenings { batch } => {
                self.hide(batch);
                Event::Looked
            }
            Effect::Respond(job) => Event::Responded {
                window: job.window,
                result: self.respond(&job).map_err(sentence),
            },
            Effect::OpenWindow {
                job,
                response_root,
                next_beacon,
            } => {
                let result = self
                    .open_window(&job, response_root, next_beacon)
                    .map_err(sentence);
                Event::WindowOpened {
                    window: job.window,
                    result,
                }
            }
            Effect::ShowGroup { slot, group } => Event::GroupShown {
                slot,
                group,
                result: self.show_group(slot, group).map_err(sentence),
            },
            Effect::LogWindow { answered, job } => Event::WindowLogged {
                window: answered.window,
                result: self.log_window(&answered, job.as_deref()).map_err(sentence),
            },
            Effect::FoldAhead(job) => {
                if let Some(folds) = &self.folds {
                    folds.ahead(*job);
                }
                Event::Looked
            }
            Effect::FoldWindows(job) => Event::WindowsFolded {
                first: job.first,
                result: self
                    .folds_or_not()
                    .and_then(|folds| folds.prove(*job))
                    .map_err(sentence),
            },
            Effect::RemoveSector { sector, pieces } => {
                self.remove(sector, &pieces);
                Event::Looked
            }
            Effect::Send { .. }
            | Effect::Disconnect(_)
            | Effect::SetTimer { .. }
            | Effect::PersistScp { .. }
            | Effect::Encode { .. }
            | Effect::Decode { .. }
            | Effect::Discard(_)
            | Effect::MakeVotingKeys { .. }
            | Effect::ForgetVotingKeys { .. }
            | Effect::Verify { .. }
            | Effect::VerifyFolded { .. }
            | Effect::FillBody { .. }
            | Effect::ReadBody { .. }
            | Effect::Apply { .. }
            | Effect::ApplyDecided { .. }
            | Effect::Commit { .. }
            | Effect::SendBlocks { .. }
            | Effect::SendCheckpoint { .. }
            | Effect::SendState { .. }
            | Effect::SendHandOvers { .. }
            | Effect::KeepHandOvers { .. }
            | Effect::KeepSuccessions(_)
            | Effect::KeepVerdicts(_)
            | Effect::Examine(_)
            | Effect::HandVerdict(_)
            | Effect::KeepRestarts(_)
            | Effect::FollowRestart(_)
            | Effect::TakeChunk { .. }
            | Effect::AdoptState(_)
            | Effect::Reply { .. }
            | Effect::Halt(_) => Event::Looked,
        }
    }

    fn table(&self, job: &SealJob) -> anyhow::Result<PieceTable> {
        let size = SectorSize::new(&self.params, u32::from(job.units))?;
        Ok(PieceTable::check(size, job.pieces.clone())?)
    }

    fn seal(&self, job: SealJob) -> anyhow::Result<SealedRoots> {
        self.bring_back_all(&job)?;
        let table = self.table(&job)?;
        let comm_d = table.comm_d(&self.network);
        let replica_id = ReplicaId::derive(&self.network, &self.account, job.sector, &comm_d, &job.seal_seed);
        // Begun before the labels are made: a disk without space says so at once.
        let mut writer = self.replicas.begin(job.sector, table.size().payload_bytes())?;
        let mut payload = Payload::new(&self.pieces, &table);
        let sealed = self.labelling.run(job.sector, Purpose::Seal, |progress| {
            seal_from(&self.params, table.size(), &replica_id, &mut payload, progress)
        });
        let sealed = sealed.map_err(|error| payload.why(error))?;
        let roots = SealedRoots {
            comm_c: sealed.comm_c,
            comm_r: sealed.comm_r,
        };
        writer.write(&sealed.replica)?;
        let info = SealInfo { job, roots };
        writer.finish(&codec::encode(&sealed.replica_tree), &codec::encode(&info))?;
        self.pieces
            .set_sealed(info.job.sector, cold::keys(&info.job.pieces));
        Ok(roots)
    }

    /// Opens the sectors of a batch, one after the other: only one replica is in memory at a time.
    fn open_batch(&self, batch: &OpenJob) -> anyhow::Result<Vec<u8>> {
        let sectors = batch.sectors.iter();
        let openings = sectors.map(|asked| {
            self.open_porep(asked, batch.heavy)
                .with_context(|| format!("sector {}", asked.job.sector))
        });
        let openings = BatchOpenings::new(openings.collect::<anyhow::Result<_>>()?);
        Ok(openings.context("the openings are too long")?.encode())
    }

    fn open_porep(&self, asked: &AskedSector, heavy: HeavyChallenges) -> anyhow::Result<Vec<u8>> {
        let AskedSector { job, roots, seed } = asked;
        let table = self.table(job)?;
        let len = usize::try_from(table.size().payload_bytes())?;
        let statement = PorepStatement {
            network: &self.network,
            provider: &self.account,
            sector: job.sector,
            pieces: &table,
            comm_c: roots.comm_c,
            comm_r: roots.comm_r,
            seal_seed: job.seal_seed,
            challenge_seed: *seed,
            heavy,
        };
        // Read when it is this sector's turn: batches wait for each other with no replica in memory.
        self.labelling.run(job.sector, Purpose::Show, |progress| {
            let replica = self.replicas.read(job.sector, 0, len)?;
            Ok(porep::open(&self.params, &statement, &replica, progress)?)
        })
    }

    fn folds_or_not(&self) -> anyhow::Result<&Folds> {
        self.folds
            .as_ref()
            .context("this provider settles window by window")
    }

    fn log_window(&self, answered: &AnsweredWindow, job: Option<&WindowJob>) -> anyhow::Result<()> {
        let folds = self.folds_or_not()?;
        if folds.has(answered) {
            return Ok(());
        }
        let step = job.and_then(|job| self.step(answered, job)).unwrap_or_else(|| {
            tracing::warn!(
                window = answered.window.0,
                "what is sampled of a window can't be opened: it counts as failed"
            );
            Step::failed(answered.shape, answered.shown)
        });
        folds.append(answered, step)
    }

    /// The step of a window, if it shows what the ledger has of it.
    fn step(&self, answered: &AnsweredWindow, job: &WindowJob) -> Option<Step> {
        let asked = job.asked();
        let responses = locked(&self.log).answers_to(job, Some(answered.shown.answers));
        let mut leaves = Leaves::new(&self.replicas);
        let step = post::step(&asked, &responses?, answered.shown.next_beacon, &mut leaves).ok()?;
        let is_shown = step.window == answered.shown && step.check(answered.shape, answered.state).is_ok();
        is_shown.then_some(step)
    }

    /// Removes a replica and the shares in it that are over. The others, which may lie in it alone, are given back before.
    fn remove(&self, sector: SectorNumber, over: &[Piece]) {
        let _copies = self.hold_copies();
        for piece in over {
            if let Piece::Slot { deal, slot, .. } = piece
                && let Err(error) = self.pieces.remove(*deal, *slot)
            {
                tracing::warn!(%error, "a slot whose deal is over could not be deleted");
            }
        }
        if let Err(error) = self.bring_back(sector) {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                sector = sector.0,
                "a sealed sector stays: shares lie in it alone"
            );
            return;
        }
        match self.replicas.remove(sector) {
            Ok(()) => self.pieces.forget_sealed(sector),
            Err(error) => tracing::warn!(%error, sector = sector.0, "a sealed sector could not be deleted"),
        }
    }
}

fn sentence(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// Reads blocks of the replicas on disk, with the tree of the sector that was read last at hand.
struct Leaves<'a> {
    replicas: &'a ReplicaStore,
    tree: Option<(SectorNumber, ReplicaTree)>,
}

impl<'a> Leaves<'a> {
    const fn new(replicas: &'a ReplicaStore) -> Self {
        Self { replicas, tree: None }
    }
}

impl ReplicaRead for Leaves<'_> {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        if self.tree.as_ref().is_none_or(|(number, _)| *number != sector) {
            let kept = said(self.replicas.upper_tree(sector))?;
            self.tree = Some((sector, codec::decode(&kept, TREE_BYTES_MAX).ok()?));
        }
        let len = usize::try_from(bytes.end.checked_sub(bytes.start)?).ok()?;
        let block = said(self.replicas.read(sector, bytes.start, len))?;
        Some((&self.tree.as_ref()?.1, block))
    }
}

/// What was read; why it was not is said, because a sector is declared faulty for it.
fn said<T>(read: Result<T, ReplicaError>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, "a sealed sector can't be read"))
        .ok()
}
