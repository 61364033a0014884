//! A provider's long work: the real sealing, opening and answering, on a disk in memory. Follows `watt-node`'s `jobs`.

use crate::node::Node;
use crate::storage::Trade;
use crate::storage::vault::{Late, Replica, Vault};
use crate::world::{Mutation, World};
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use watt_engine::effect::{AskedSector, OpenJob, SealJob, WindowJob};
use watt_engine::event::{Responded, SealedRoots};
use watt_engine::message::Message;
use watt_engine::provider::LocalSector;
use watt_engine::{Effect, Event, Priority};
use watt_ledger::query;
use watt_ledger::rows::SectorStage;
use watt_light::operation::ShownGroup;
use watt_light::{BatchOpenings, Heartbeat, SlotRef};
use watt_primitives::slot_tree::{GROUP_BYTES, SlotHasher, path};
use watt_primitives::terms::Piece;
use watt_primitives::{
    AccountId, BoundedBytes, BoundedVec, Hash, NetworkId, SectorNumber, Timestamp, Window, codec,
};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::post::{self, ReplicaRead};
use watt_proofs::seal::seal;
use watt_proofs::sector_set::{SectorEntry, SectorSet};
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
        let (trade, means) = (self.nodes[node].trade, self.nodes[node].means);
        let answers_count_late = self.mutation() == Some(Mutation::LateAnswer);
        let window_ms = self.genesis.parameters.window_slots * self.genesis.parameters.slot_ms;
        let has_committees = self.genesis.parameters.porep_committee > 0;
        let (copied, copy) = (self.copied_roots(node), self.shared_replica(node));
        let vault = &mut self.nodes[node].disk.vault;
        let (ms, event) = match effect {
            Effect::Seal(job) => {
                let sector = job.sector;
                let mut result = match copied {
                    Some(roots) => roots.map_err(sentence),
                    None => vault.seal(&network, *job).map_err(sentence),
                };
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
                let (window, responded) = (job.window, vault.respond(&job, copy.as_ref()));
                let n_sectors = u64::try_from(job.sectors.len()).unwrap_or(u64::MAX);
                // Who has no replica must make its labels again first: the time is stated, not computed.
                let again_ms = trade.map_or(0, |trade| means.ready_ms(trade, n_sectors, window_ms));
                let ms = again_ms.saturating_add(ANSWER_MS);
                if again_ms > 0 {
                    let at = self.now.plus(ms);
                    let answers = responded.clone();
                    vault.late.insert(window, Late { at, answers });
                    self.remake(node, window, n_sectors, at);
                }
                let ms = if answers_count_late { ANSWER_MS } else { ms };
                let result = Ok(responded);
                (ms, Event::Responded { window, result })
            }
            Effect::OpenWindow {
                job,
                response_root,
                next_beacon,
            } => {
                let result = vault
                    .open_window(&job, copy.as_ref(), response_root, next_beacon)
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

    /// The first provider of a person whose others, of which this is one, do without replicas of their own.
    fn first_of_person(&self, node: usize) -> Option<usize> {
        let trade = self.nodes[node].trade.filter(|trade| trade.is_one_person())?;
        let of_person = |other: &Node| other.trade == Some(trade);
        let first = self.nodes.iter().position(of_person)?;
        (first != node).then_some(first)
    }

    /// What a provider commits to that copies: the roots of the first one's replica, as soon as these are on the ledger.
    fn copied_roots(&self, node: usize) -> Option<Result<SealedRoots>> {
        let first = self.first_of_person(node)?;
        if self.nodes[node].trade != Some(Trade::RootCopier) {
            return None;
        }
        let state = &*self.nodes[node].disk.state;
        let mut replicas = self.nodes[first].disk.vault.replicas.values();
        let roots = replicas.next().map(|replica| &replica.sector).filter(|sealed| {
            let SealJob { provider, sector, .. } = &sealed.job;
            query::sector(state, provider, *sector).is_some()
        });
        Some(
            roots
                .map(|sealed| sealed.roots)
                .context("there is no replica to copy yet"),
        )
    }

    /// What a provider answers from that shares: the first one's replica.
    fn shared_replica(&self, node: usize) -> Option<Replica> {
        let first = self.first_of_person(node)?;
        let is_shared = self.nodes[node].trade == Some(Trade::ReplicaSharer);
        let mut replicas = self.nodes[first].disk.vault.replicas.values();
        replicas.next().filter(|_| is_shared).cloned()
    }

    /// A provider without replicas has its answers to a window at `at`.
    fn remake(&mut self, node: usize, window: Window, n_sectors: u64, at: Timestamp) {
        let account = self.nodes[node].offer.as_ref().map(|offer| &offer.account_key);
        let Some(account) = account.map(|key| AccountId::of_first_key(&key.public())) else {
            return;
        };
        self.chain.answers.ready(account, window, at);
        let ms = at.0 - self.now.0;
        self.trace.note(
            self.now,
            format_args!("n{node} makes {n_sectors} sectors again for window {window} in {ms} ms"),
        );
    }

    /// Whoever has its answers only now, and the window is over, says them all the same, to everybody it knows.
    pub(crate) fn say_late(&mut self, node: usize) {
        let window_slots = self.genesis.parameters.window_slots;
        let next = Window(self.nodes[node].height().next().0 / window_slots);
        let now = self.now;
        let late = &mut self.nodes[node].disk.vault.late;
        let ready = late.extract_if(.., |_, late| late.at <= now);
        let ready: Vec<(Window, Late)> = ready.filter(|(window, _)| *window < next).collect();
        let (Some(offer), true) = (self.nodes[node].offer.clone(), self.nodes[node].is_up()) else {
            return;
        };
        let account = AccountId::of_first_key(&offer.account_key.public());
        let Some(provider) = query::provider(&*self.nodes[node].disk.state, &account) else {
            return;
        };
        for (window, Late { answers, .. }) in ready {
            let heartbeat = Heartbeat {
                account,
                window,
                response_root: Hash(answers.response_root.to_bytes()),
                faults: BoundedVec::new(answers.faults).unwrap_or_default(),
            };
            let signed = heartbeat.sign(provider.row.number, &offer.account_key, &self.network_of(node));
            let heartbeats = BoundedVec::new(vec![signed]).unwrap_or_default();
            let message = Message::Heartbeats { window, heartbeats }.encode();
            self.trace.note(
                now,
                format_args!("n{node} says late that it answers window {window}"),
            );
            for link in self.net.links_of(node) {
                self.send(node, link, message.clone(), Priority::Bulk);
            }
        }
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

    fn respond(&mut self, job: &WindowJob, copy: Option<&Replica>) -> Responded {
        let job = &bent(job, copy);
        let asked = job.asked();
        let kept = self.answers.get(&job.window).filter(|kept| kept.are_to(&asked));
        let responses = match kept {
            // Answered in an earlier life: the same answers, so that nothing is said twice.
            Some(responses) => responses.clone(),
            None => post::respond(&asked, &[], &mut self.leaves(copy)),
        };
        self.answers.insert(job.window, responses.clone());
        let oldest = Window(job.window.0.saturating_sub(WINDOWS_KEPT));
        self.answers.retain(|window, _| *window >= oldest);
        Responded {
            response_root: responses.root,
            faults: responses.faults,
        }
    }

    fn open_window(
        &self,
        job: &WindowJob,
        copy: Option<&Replica>,
        response_root: Element,
        next_beacon: Element,
    ) -> Result<Vec<u8>> {
        let job = &bent(job, copy);
        let asked = job.asked();
        let responses = self
            .answers
            .get(&job.window)
            .filter(|responses| responses.root == response_root && responses.are_to(&asked))
            .context("the answers to this window are not in the log")?;
        Ok(post::open(
            &asked,
            responses,
            next_beacon,
            &mut self.leaves(copy),
        )?)
    }

    const fn leaves<'a>(&'a self, copy: Option<&'a Replica>) -> Leaves<'a> {
        Leaves {
            replicas: &self.replicas,
            copy,
        }
    }
}

/// What is asked, as whoever answers from one copy for all has it: of one sector, whose replica is the copy.
fn bent(job: &WindowJob, copy: Option<&Replica>) -> WindowJob {
    let first = copy.zip(job.sectors.iter().next());
    let entry = first.map(|(copy, first)| SectorEntry {
        comm_r: copy.tree.root(),
        ..*first
    });
    let bent = entry.and_then(|entry| SectorSet::check(vec![entry]).ok());
    bent.map_or_else(
        || job.clone(),
        |sectors| WindowJob {
            sectors,
            left_out: Vec::new(),
            ..job.clone()
        },
    )
}

/// Reads blocks of the replicas, or of one copy in place of any.
struct Leaves<'a> {
    replicas: &'a BTreeMap<SectorNumber, Replica>,
    copy: Option<&'a Replica>,
}

impl ReplicaRead for Leaves<'_> {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let replica = self.copy.or_else(|| self.replicas.get(&sector));
        let replica = replica.filter(|replica| !replica.is_rotten)?;
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        let block = replica.bytes.get(from.ok()?..to.ok()?)?;
        Some((&replica.tree, block.to_vec()))
    }
}
