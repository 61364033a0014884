//! A provider's long work: the real sealing, opening and answering, on a disk in memory. Follows `watt-node`'s `jobs`.

use crate::storage::Trade;
use crate::storage::vault::{Replica, Vault};
use crate::world::World;
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use watt_engine::effect::{AskedSector, OpenJob, SealJob, WindowJob};
use watt_engine::event::{Responded, SealedRoots};
use watt_engine::provider::LocalSector;
use watt_engine::{Effect, Event};
use watt_ledger::query;
use watt_ledger::rows::SectorStage;
use watt_light::operation::ShownGroup;
use watt_light::{BatchOpenings, SlotRef};
use watt_primitives::slot_tree::{GROUP_BYTES, SlotHasher, path};
use watt_primitives::terms::Piece;
use watt_primitives::{BoundedBytes, BoundedVec, NetworkId, SectorNumber, Window, codec};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::post::{self, ReplicaRead};
use watt_proofs::seal::seal;
use watt_proofs::verify::PorepStatement;
use watt_proofs::{Element, PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorSize, porep};

/// Windows whose answers are kept.
const WINDOWS_KEPT: u64 = 4;

/// The parameters of every network without value.
const PARAMS: ProofParams = ProofParams::DEVNET;

/// Milliseconds to seal a sector or to open its challenge, one after the other.
const SEAL_MS: u64 = 2_000;

/// Bytes that a forger shows in place of openings.
const FORGED_BYTES: usize = 100_000;

/// Milliseconds to answer or open a window.
const ANSWER_MS: u64 = 50;

impl World {
    /// Does what a provider's engine asks of its disk.
    pub(crate) fn provide(&mut self, node: usize, effect: Effect) {
        let network = self.network;
        let trade = self.nodes[node].trade;
        let window_ms = self.genesis.parameters.window_slots * self.genesis.parameters.slot_ms;
        let has_committees = self.genesis.parameters.porep_committee > 0;
        let vault = &mut self.nodes[node].disk.vault;
        let (ms, event) = match effect {
            Effect::Seal(job) => {
                let sector = job.sector;
                let mut result = vault.seal(&network, *job).map_err(sentence);
                if trade.is_some_and(Trade::forges) {
                    result = result.map(|roots| vault.forge(sector, roots));
                }
                (SEAL_MS, Event::Sealed { sector, result })
            }
            Effect::OpenBatch(job) => {
                let batch = job.batch;
                let mut result = vault.open_batch(&network, &job).map_err(sentence);
                if trade.is_some_and(Trade::forges) && has_committees {
                    // Nothing opens what was never sealed.
                    result = Ok(vec![7; FORGED_BYTES]);
                }
                if let Ok(openings) = &result {
                    vault.shown.insert(batch, openings.clone());
                }
                let n_sectors = u64::try_from(job.sectors.len()).unwrap_or(1);
                (SEAL_MS * n_sectors, Event::BatchOpened { batch, result })
            }
            Effect::HideOpenings { batch } => {
                vault.shown.remove(&batch);
                let provider = vault.replicas.get(&batch).map(|replica| replica.sector.job.provider);
                let state = &*self.nodes[node].disk.state;
                let row = provider.and_then(|provider| query::sector(state, &provider, batch));
                if row.is_some_and(|row| matches!(row.stage, SectorStage::Active { .. })) {
                    let is_new = self.nodes[node].disk.vault.committed.insert(batch);
                    let what = if is_new {
                        format!("the batch of sector {batch} committed")
                    } else {
                        format!("sector {batch} looked at again")
                    };
                    self.trace
                        .note(self.now, format_args!("n{node} has {what}"));
                }
                (ANSWER_MS, Event::Looked)
            }
            Effect::ShowGroup { slot, group } => {
                let result = vault.show_group(slot, group).map_err(sentence);
                (ANSWER_MS, Event::GroupShown { slot, group, result })
            }
            Effect::Respond(job) => {
                let result = Ok(vault.respond(&job));
                // Who has no replica must seal again first. With the parameters of the main network that takes longer than a
                // window; here the time is stated, not computed.
                let is_ready = trade.is_none_or(Trade::has_replica);
                let ms = if is_ready {
                    ANSWER_MS
                } else {
                    window_ms + ANSWER_MS
                };
                (
                    ms,
                    Event::Responded {
                        window: job.window,
                        result,
                    },
                )
            }
            Effect::OpenWindow {
                job,
                response_root,
                next_beacon,
            } => {
                let result = vault
                    .open_window(&job, response_root, next_beacon)
                    .map_err(sentence);
                (
                    ANSWER_MS,
                    Event::WindowOpened {
                        window: job.window,
                        result,
                    },
                )
            }
            Effect::RemoveSector { sector, pieces } => {
                vault.replicas.remove(&sector);
                for piece in pieces {
                    if let Piece::Slot { deal, slot, .. } = piece {
                        vault.pieces.remove(&(deal, slot));
                    }
                }
                (ANSWER_MS, Event::Looked)
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
            // Providers settle window by window here.
            | Effect::LogWindow { .. }
            | Effect::FoldAhead(_)
            | Effect::FoldWindows(_)
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
            | Effect::Halt(_) => return,
        };
        self.later(node, ms, event);
    }
}

fn sentence(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn table(job: &SealJob) -> Result<PieceTable> {
    let size = SectorSize::new(&PARAMS, u32::from(job.units))?;
    Ok(PieceTable::check(size, job.pieces.clone())?)
}

impl Vault {
    fn seal(&mut self, network: &NetworkId, job: SealJob) -> Result<SealedRoots> {
        let table = table(&job)?;
        if !self.has_room(table.size().payload_bytes()) {
            bail!("the disk is full");
        }
        let mut payload = vec![0; usize::try_from(table.size().payload_bytes())?];
        for piece in table.pieces() {
            if let Piece::Slot {
                deal, slot, offset, ..
            } = piece
            {
                let held = self.pieces.get(&(*deal, *slot)).context("the slot is not here")?;
                if self.rotten_pieces.contains(&(*deal, *slot)) {
                    bail!("the slot is damaged");
                }
                let start = usize::try_from(*offset)?;
                payload
                    .get_mut(start..start + held.len())
                    .context("a piece lies outside its sector")?
                    .copy_from_slice(held);
            }
        }
        table.fill(&mut payload);
        let comm_d = table.comm_d(network);
        let replica_id = ReplicaId::derive(network, &job.provider, job.sector, &comm_d, &job.seal_seed);
        let sealed = seal(&PARAMS, table.size(), &replica_id, &payload, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let roots = SealedRoots {
            comm_c: sealed.comm_c,
            comm_r: sealed.comm_r,
        };
        let replica = Replica {
            sector: LocalSector { job, roots },
            bytes: sealed.replica,
            tree: sealed.replica_tree,
            is_rotten: false,
        };
        self.replicas.insert(replica.sector.job.sector, replica);
        Ok(roots)
    }

    fn show_group(&self, slot: SlotRef, group: u32) -> Result<Vec<u8>> {
        let held = (slot.deal, slot.slot);
        let bytes = self.pieces.get(&held).context("the slot is not here")?;
        if self.rotten_pieces.contains(&held) {
            bail!("the slot is damaged");
        }
        let mut hasher = SlotHasher::new();
        hasher.update(bytes);
        let index = usize::try_from(group)?;
        let path = path(&hasher.finish(), index).context("the slot has no such group")?;
        let bytes = bytes.chunks(GROUP_BYTES).nth(index).unwrap_or_default();
        let shown = ShownGroup {
            bytes: BoundedBytes::new(bytes.to_vec()).map_err(|_| anyhow!("a group is too long"))?,
            path: BoundedVec::new(path).map_err(|_| anyhow!("a slot has too many groups"))?,
        };
        Ok(codec::encode(&shown))
    }

    /// Puts other bytes in the replica's place and commits to them.
    fn forge(&mut self, sector: SectorNumber, roots: SealedRoots) -> SealedRoots {
        let Some(replica) = self.replicas.get_mut(&sector) else {
            return roots;
        };
        replica.bytes.fill(7);
        replica.tree = ReplicaTree::build(&replica.bytes);
        replica.sector.roots.comm_r = replica.tree.root();
        replica.sector.roots
    }

    fn open_batch(&self, network: &NetworkId, batch: &OpenJob) -> Result<Vec<u8>> {
        let sectors = batch.sectors.iter();
        let openings = sectors.map(|asked| self.open_porep(network, asked, batch.heavy));
        let openings = BatchOpenings::new(openings.collect::<Result<_>>()?);
        Ok(openings.context("the openings are too long")?.encode())
    }

    fn open_porep(
        &self,
        network: &NetworkId,
        asked: &AskedSector,
        heavy: HeavyChallenges,
    ) -> Result<Vec<u8>> {
        let AskedSector { job, roots, seed } = asked;
        let table = table(job)?;
        let replica = self
            .replicas
            .get(&job.sector)
            .context("the replica is not here")?;
        let statement = PorepStatement {
            network,
            provider: &job.provider,
            sector: job.sector,
            pieces: &table,
            comm_c: roots.comm_c,
            comm_r: roots.comm_r,
            seal_seed: job.seal_seed,
            challenge_seed: *seed,
            heavy,
        };
        Ok(porep::open(&PARAMS, &statement, &replica.bytes, &mut |_| {
            ControlFlow::Continue(())
        })?)
    }

    fn respond(&mut self, job: &WindowJob) -> Responded {
        let asked = job.asked();
        let kept = self.answers.get(&job.window).filter(|kept| kept.are_to(&asked));
        let responses = match kept {
            // Answered in an earlier life: the same answers, so that nothing is said twice.
            Some(responses) => responses.clone(),
            None => post::respond(&asked, &[], &mut Leaves(&self.replicas)),
        };
        self.answers.insert(job.window, responses.clone());
        let oldest = Window(job.window.0.saturating_sub(WINDOWS_KEPT));
        self.answers.retain(|window, _| *window >= oldest);
        Responded {
            response_root: responses.root,
            faults: responses.faults,
        }
    }

    fn open_window(&self, job: &WindowJob, response_root: Element, next_beacon: Element) -> Result<Vec<u8>> {
        let asked = job.asked();
        let responses = self
            .answers
            .get(&job.window)
            .filter(|responses| responses.root == response_root && responses.are_to(&asked))
            .context("the answers to this window are not in the log")?;
        let mut leaves = Leaves(&self.replicas);
        Ok(post::open(&asked, responses, next_beacon, &mut leaves)?)
    }
}

/// Reads blocks of the replicas.
struct Leaves<'a>(&'a BTreeMap<SectorNumber, Replica>);

impl ReplicaRead for Leaves<'_> {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let replica = self.0.get(&sector).filter(|replica| !replica.is_rotten)?;
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        let block = replica.bytes.get(from.ok()?..to.ok()?)?;
        Some((&replica.tree, block.to_vec()))
    }
}
