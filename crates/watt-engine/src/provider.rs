//! A provider's life: offer space, seal what was accepted, answer every window, claim what was proven (`docs/spec/node.md` §5).
//!
//! Nothing is remembered that the ledger knows. After every block the provider looks at its rows and asks what is missing; so
//! a restart, a lost transaction and a changed plan all end in the same question. What it does remember is what it has asked
//! for and not seen yet: work under way, and transactions on their way.

mod audits;
mod disputes;
mod fold;
mod pack;
mod pauses;
mod view;

pub use fold::{FoldingWork, PeriodEnd, SettledPeriod};

use crate::effect::{AskedSector, Effect, OpenJob, SealJob, WindowJob};
use crate::event::{Responded, SealedRoots};
use crate::mempool::Place;
use crate::submitter::{OWN_KEY, Purpose, Submitter};
use audits::Audits;
use disputes::Answers;
use fold::Folding;
use pack::{LooseSlot, pack};
use pauses::{Job, Pauses};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use view::View;
use watt_ledger::rows::BatchRow;
use watt_ledger::{Asking, NetworkParameters, StateRead};
use watt_light::transaction::witness_hash;
use watt_light::verdict::COMMITTEE_MAX;
use watt_light::{BATCH_MAX, Heartbeat, Operation, SignedHeartbeat, SignedTransaction, Verdict, Verdicts};
use watt_primitives::terms::{AskTerms, Device, Endpoint, PIECES_MAX, Piece};
use watt_primitives::{
    AccountId, BlockHeight, BoundedVec, DealId, Hash, NetworkId, SecretKey, SectorNumber, Signature,
    SlotIndexInDeal, Window,
};
use watt_proofs::ProofParams;
use watt_proofs::challenge::HeavyChallenges;

/// How a provider settles its windows (`docs/spec/proofs.md` §10): the ledger takes either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settle {
    /// Each by itself, in the window after it.
    #[default]
    Windows,
    /// All of a period together, by one folded proof.
    Folded,
}

/// What a provider offers.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Key of the account that is paid; signs everything a provider says.
    pub account_key: SecretKey,
    /// Bytes it is ready to hold.
    pub capacity_bytes: u64,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// Whose power its storage is; the account's own if nobody is named.
    pub person: Option<AccountId>,
    /// What it runs on.
    pub device: Device,
    /// Its standing offer.
    pub ask: AskTerms,
    /// Smallest and largest sector it seals, in units of 1 MiB.
    pub units: (u16, u16),
    /// How it settles its windows.
    pub settle: Settle,
}

impl ProviderConfig {
    /// The sector sizes of `params` that this program uses: any the parameters allow.
    #[must_use]
    pub fn units_of(params: &ProofParams) -> (u16, u16) {
        let bound = |units: u32| u16::try_from(units).unwrap_or(u16::MAX);
        (bound(params.units_min), bound(params.units_max))
    }
}

/// A sealed sector found on disk when the node starts.
#[derive(Clone, Debug)]
pub struct LocalSector {
    /// What was sealed.
    pub job: SealJob,
    /// What came of it.
    pub roots: SealedRoots,
}

/// The answers to one window.
#[derive(Clone, Debug)]
struct Answered {
    job: Box<WindowJob>,
    responded: Option<Responded>,
    is_opening: bool,
    openings: Option<Vec<u8>>,
}

/// What an owner wants to know of the provider's work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderWork {
    /// Sectors being sealed.
    pub n_sealing: usize,
    /// Sealed sectors on this disk.
    pub n_sealed: usize,
    /// Batches that wait for the verdicts of their committees, and live sectors that are asked again.
    pub shown: Vec<ShownToCommittee>,
    /// How far folding is, if it settles by folded proofs.
    pub folding: Option<FoldingWork>,
    /// What went wrong last, in one sentence.
    pub trouble: Option<String>,
}

/// Sealed sectors that are shown to their committee together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownToCommittee {
    /// Number of the first.
    pub batch: SectorNumber,
    /// How many.
    pub n_sectors: usize,
    /// Why.
    pub asking: Asking,
    /// Members who said that it holds.
    pub n_given: usize,
    /// Members who have to.
    pub n_needed: usize,
    /// Last height for that.
    pub deadline: BlockHeight,
}

/// The openings of a batch, once they are made.
#[derive(Clone, Debug)]
enum Opened {
    /// They go into a block.
    Whole(Vec<u8>),
    /// They are shown to a committee, which gives verdicts, by member.
    Shown {
        openings: Hash,
        /// Of a live sector, which a block takes if its committee does not do.
        whole: Option<Vec<u8>>,
        given: BTreeMap<u8, Signature>,
    },
}

/// Sectors sealed at once: each costs a few times its size in memory.
const SEALING_MAX: usize = 1;

/// Windows whose answers are remembered.
const WINDOWS_REMEMBERED: usize = 4;

/// What a provider hands in after a block.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) transactions: Vec<SignedTransaction>,
    /// Of the window of the head, until it is on the ledger.
    pub(crate) heartbeat: Option<(Window, SignedHeartbeat)>,
}

/// A provider.
pub(crate) struct Provider {
    config: ProviderConfig,
    account: AccountId,
    network: NetworkId,
    /// Whether openings are shown to committees, and not in blocks.
    has_committees: bool,
    submitter: Submitter,
    /// Sealed and on disk.
    local: BTreeMap<SectorNumber, LocalSector>,
    /// Being sealed.
    sealing: BTreeMap<SectorNumber, SealJob>,
    /// Of which a pre-commitment was sent before.
    tried: BTreeSet<SectorNumber>,
    /// Batches that are being opened, and opened.
    opening: BTreeSet<SectorNumber>,
    openings: BTreeMap<SectorNumber, Opened>,
    /// Those that wait for verdicts, as of the newest block.
    waiting: Vec<ShownToCommittee>,
    answered: BTreeMap<Window, Answered>,
    folding: Folding,
    answers: Answers,
    audits: Audits,
    pauses: Pauses,
    /// How often sealing failed with this slot in the sector.
    not_sealed: BTreeMap<(DealId, SlotIndexInDeal), u32>,
    /// The sector that could not be sealed last: a replica that can't be opened may stand in the way of its number.
    failed: Option<SectorNumber>,
    trouble: Option<String>,
}

impl Provider {
    pub(crate) fn new(
        config: ProviderConfig,
        network: NetworkId,
        parameters: &NetworkParameters,
        local: Vec<LocalSector>,
    ) -> Self {
        Self {
            has_committees: parameters.porep_committee > 0,
            account: AccountId::of_first_key(&config.account_key.public()),
            submitter: Submitter::new(config.account_key.clone(), network),
            config,
            network,
            local: local
                .into_iter()
                .map(|sector| (sector.job.sector, sector))
                .collect(),
            sealing: BTreeMap::new(),
            tried: BTreeSet::new(),
            opening: BTreeSet::new(),
            openings: BTreeMap::new(),
            waiting: Vec::new(),
            answered: BTreeMap::new(),
            folding: Folding::default(),
            answers: Answers::default(),
            audits: Audits::default(),
            pauses: Pauses::default(),
            not_sealed: BTreeMap::new(),
            failed: None,
            trouble: None,
        }
    }

    pub(crate) fn work(&self) -> ProviderWork {
        ProviderWork {
            n_sealing: self.sealing.len(),
            n_sealed: self.local.len(),
            shown: self.waiting.clone(),
            folding: (self.config.settle == Settle::Folded).then(|| self.folding.work()),
            trouble: self.trouble.clone(),
        }
    }

    /// Looks at the new head; returns what to hand in.
    pub(crate) fn look(
        &mut self,
        chain: &impl StateRead,
        head: BlockHeight,
        is_pooled: impl Fn(&Place) -> bool,
        effects: &mut Vec<Effect>,
    ) -> Said {
        self.submitter.settle(chain, head, is_pooled);
        self.pauses.enter(head);
        let Some(view) = View::read(chain, self.network, self.account) else {
            return Said::default();
        };
        let mut out = Vec::new();
        self.answer_disputes(&view, effects, &mut out);
        self.offer(&view, &mut out);
        if self.log_windows(&view, effects) {
            self.drop_dead(&view, effects);
        }
        self.seal_next(&view, effects);
        self.commit_sectors(&view, effects, &mut out);
        self.answer_audits(&view, effects, &mut out);
        let heartbeat = self.answer_window(&view, effects);
        match self.config.settle {
            Settle::Windows => self.prove_window(&view, effects, &mut out),
            Settle::Folded => self.fold_windows(&view, effects, &mut out),
        }
        self.claim(&view, &mut out);
        Said {
            transactions: out,
            heartbeat,
        }
    }

    fn submit(
        &mut self,
        purpose: Purpose,
        operations: Vec<Operation>,
        witness: Vec<Vec<u8>>,
        view: &View<'_, impl StateRead>,
        out: &mut Vec<SignedTransaction>,
    ) {
        out.extend(self.submitter.make(purpose, operations, witness, view.height));
    }

    /// Pledges and offers, if the ledger does not say yet what the owner wants.
    fn offer(&mut self, view: &View<'_, impl StateRead>, out: &mut Vec<SignedTransaction>) {
        let mut operations = Vec::new();
        let person = self.config.person.unwrap_or(self.account);
        let is_pledged = view.provider.as_ref().is_some_and(|row| {
            row.capacity_bytes == self.config.capacity_bytes
                && row.endpoint == self.config.endpoint
                && row.person == person
                && row.heartbeat_key == OWN_KEY
                && row.device == self.config.device
        });
        if !is_pledged {
            let (capacity_bytes, endpoint) = (self.config.capacity_bytes, self.config.endpoint.clone());
            operations.push(Operation::Pledge {
                capacity_bytes,
                endpoint,
                person,
                heartbeat_key: None,
                device: self.config.device,
            });
        }
        if view.ask.as_ref().is_none_or(|row| row.terms != self.config.ask) {
            operations.push(Operation::PlaceAsk {
                terms: self.config.ask.clone(),
            });
        }
        if !operations.is_empty() {
            self.submit(Purpose::Pledge, operations, Vec::new(), view, out);
        }
    }

    /// Frees the disk from sectors whose life on the ledger is over, and from those that can't be committed any more.
    fn drop_dead(&mut self, view: &View<'_, impl StateRead>, effects: &mut Vec<Effect>) {
        let dead: Vec<SectorNumber> = self
            .local
            .values()
            .filter(|sector| {
                view.is_dead(&sector.job)
                    && !self
                        .submitter
                        .is_on_its_way(Purpose::PreCommit(sector.job.sector))
            })
            .map(|sector| sector.job.sector)
            .collect();
        for number in dead {
            if let Some(sector) = self.local.remove(&number) {
                let pieces = sector
                    .job
                    .pieces
                    .into_iter()
                    .filter(|piece| view.is_over(piece))
                    .collect();
                effects.push(Effect::RemoveSector {
                    sector: number,
                    pieces,
                });
            }
        }
    }

    /// Begins to seal certified slots that lie in no sector.
    fn seal_next(&mut self, view: &View<'_, impl StateRead>, effects: &mut Vec<Effect>) {
        if self.sealing.len() >= SEALING_MAX || self.pauses.has(Job::Seal) {
            return;
        }
        let local = self.local.values().map(|sector| &sector.job);
        let busy: BTreeSet<_> = self.sealing.values().chain(local).flat_map(slots_of).collect();
        let all = view.loose_slots();
        self.not_sealed
            .retain(|slot, _| all.iter().any(|loose| loose.name() == *slot));
        let mut loose: Vec<_> = all
            .into_iter()
            .filter(|loose| !busy.contains(&loose.name()))
            .collect();
        // One that can't be read keeps no other back: those that were in a sector that failed are tried after the rest, and alone.
        let n_failed = |loose: &LooseSlot| self.not_sealed.get(&loose.name()).copied().unwrap_or(0);
        loose.sort_by_key(n_failed);
        let n_new = loose.iter().take_while(|loose| n_failed(loose) == 0).count();
        loose.truncate(n_new.max(1));
        let (units_min, units_max) = self.config.units;
        let Some((units, pieces)) = pack(&loose, units_min, units_max, PIECES_MAX) else {
            return;
        };
        let taken = self
            .local
            .keys()
            .chain(self.sealing.keys())
            .chain(&self.failed)
            .copied();
        let sector = view.next_sector_number(taken);
        if let Some(job) = view.seal_job(sector, units, pieces) {
            self.sealing.insert(sector, job.clone());
            effects.push(Effect::Seal(Box::new(job)));
        }
    }

    pub(crate) fn sealed(&mut self, sector: SectorNumber, result: Result<SealedRoots, String>) {
        let Some(job) = self.sealing.remove(&sector) else {
            return;
        };
        match result {
            Ok(roots) => {
                self.local.insert(sector, LocalSector { job, roots });
            }
            Err(trouble) => {
                for slot in slots_of(&job) {
                    let n_failed = self.not_sealed.entry(slot).or_default();
                    *n_failed = n_failed.saturating_add(1);
                }
                self.failed = Some(sector);
                self.pauses.begin(Job::Seal);
                self.trouble = Some(format!("sealing sector {sector} failed: {trouble}"));
            }
        }
    }

    /// Commits to sealed sectors and answers for their batches.
    fn commit_sectors(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        self.pre_commit(view, out);
        self.hide_others(view, effects);
        self.waiting.clear();
        for (batch, row) in &view.batches {
            if self.openings.contains_key(batch) {
                let purpose = Purpose::Commit(*batch);
                if let Some(witness) = self.witness_of(*batch, purpose, view) {
                    let openings = witness_hash(&self.network, &witness);
                    let operation = Operation::CommitSectors {
                        batch: *batch,
                        openings,
                    };
                    self.submit(purpose, vec![operation], vec![witness], view, out);
                }
            } else if !self.opening.contains(batch)
                && !self.pauses.has(Job::Open(*batch))
                && let Some(job) = self.open_job(*batch, row, view)
            {
                self.opening.insert(*batch);
                effects.push(Effect::OpenBatch(Box::new(job)));
            }
        }
    }

    /// Commits to sealed sectors: to all that are ready in one transaction, and to each in its own if that came to nothing, since one
    /// that is refused fails the others.
    fn pre_commit(&mut self, view: &View<'_, impl StateRead>, out: &mut Vec<SignedTransaction>) {
        let local = &self.local;
        self.tried.retain(|sector| local.contains_key(sector));
        let ready = local.values().filter(|LocalSector { job, .. }| {
            let purpose = Purpose::PreCommit(job.sector);
            view.sector(job.sector).is_none() && !view.is_dead(job) && !self.submitter.is_on_its_way(purpose)
        });
        let ready = ready.filter_map(|LocalSector { job, roots }| {
            let operation = Operation::PreCommit {
                sector: job.sector,
                units: job.units,
                seal_window: job.seal_window,
                pieces: BoundedVec::new(job.pieces.clone()).ok()?,
                comm_c: roots.comm_c,
                comm_r: Hash(roots.comm_r.to_bytes()),
            };
            Some((job.sector, operation))
        });
        let (again, new): (Vec<_>, Vec<_>) = ready.partition(|(sector, _)| self.tried.contains(sector));
        for together in new.chunks(BATCH_MAX).chain(again.chunks(1)) {
            let purposes: Vec<_> = together
                .iter()
                .map(|(sector, _)| Purpose::PreCommit(*sector))
                .collect();
            let operations = together.iter().map(|(_, operation)| operation.clone()).collect();
            self.tried.extend(together.iter().map(|(sector, _)| *sector));
            out.extend(
                self.submitter
                    .make_for(&purposes, operations, Vec::new(), view.height),
            );
        }
    }

    /// What opening a batch takes, once its beacon is known.
    fn open_job(
        &mut self,
        batch: SectorNumber,
        row: &BatchRow,
        view: &View<'_, impl StateRead>,
    ) -> Option<OpenJob> {
        let mut sectors = Vec::with_capacity(row.sectors.len());
        for number in &row.sectors {
            let Some(LocalSector { job, roots }) = self.local.get(number).cloned() else {
                self.trouble = Some(format!(
                    "sector {number} is not on this disk; those that are asked with it, from {batch} on, have to be sealed anew"
                ));
                return None;
            };
            let seed = view.porep_seed(*number, row.challenge_window, &roots)?;
            sectors.push(AskedSector { job, roots, seed });
        }
        Some(OpenJob {
            batch,
            heavy: HeavyChallenges::of_batch(&view.params(), sectors.len()),
            sectors,
        })
    }

    /// Lets go of the openings of what is not asked any more.
    fn hide_others(&mut self, view: &View<'_, impl StateRead>, effects: &mut Vec<Effect>) {
        let is_asked = |batch| view.batches.contains_key(batch) || view.audit(*batch).is_some();
        let over = self.openings.keys().filter(|batch| !is_asked(batch));
        for batch in over.copied().collect::<Vec<_>>() {
            self.hide(batch, effects);
        }
    }

    /// Lets go of the openings of a batch.
    fn hide(&mut self, batch: SectorNumber, effects: &mut Vec<Effect>) {
        if let Some(Opened::Shown { .. }) = self.openings.remove(&batch) {
            effects.push(Effect::HideOpenings { batch });
        }
    }

    /// What shows that the openings of a batch hold: themselves, or enough verdicts on them. Notes how many are missing.
    fn witness_of(
        &mut self,
        batch: SectorNumber,
        purpose: Purpose,
        view: &View<'_, impl StateRead>,
    ) -> Option<Vec<u8>> {
        let is_on_its_way = self.submitter.is_on_its_way(purpose);
        match self.openings.get_mut(&batch)? {
            Opened::Whole(openings) => (!is_on_its_way).then(|| openings.clone()),
            Opened::Shown { openings, given, .. } => {
                let shown = view.shown(batch)?;
                let n_needed = shown.committee.needed();
                if given.len() >= n_needed && !is_on_its_way {
                    // One that does not hold would fail them all, and who votes for a seat can change while a batch waits.
                    given.retain(|member, signature| {
                        let (member, signature) = (*member, *signature);
                        let verdict = Verdict { member, signature };
                        let check = shown
                            .challenged
                            .signature_check(&shown.committee, *openings, &verdict);
                        check.is_some_and(|check| check.holds())
                    });
                }
                self.waiting.push(ShownToCommittee {
                    batch,
                    n_sectors: shown.challenged.sectors.len(),
                    asking: shown.challenged.question.asking,
                    n_given: given.len(),
                    n_needed,
                    deadline: shown.challenged.question.deadline,
                });
                let verdicts = given.iter().take(n_needed).map(|(member, signature)| Verdict {
                    member: *member,
                    signature: *signature,
                });
                let verdicts = Verdicts {
                    openings: *openings,
                    given: BoundedVec::new(verdicts.collect()).ok()?,
                };
                (given.len() >= n_needed && !is_on_its_way).then(|| verdicts.encode())
            }
        }
    }

    /// A member of a committee looked at a batch and says that it holds.
    pub(crate) fn verdict_given(&mut self, batch: SectorNumber, of: Hash, verdict: Verdict) {
        if let Some(Opened::Shown { openings, given, .. }) = self.openings.get_mut(&batch)
            && *openings == of
            && usize::from(verdict.member) < COMMITTEE_MAX
        {
            given.insert(verdict.member, verdict.signature);
        }
    }

    pub(crate) fn batch_opened(&mut self, batch: SectorNumber, result: Result<Vec<u8>, String>) {
        self.opening.remove(&batch);
        match result {
            Ok(openings) => {
                let opened = if self.has_committees {
                    Opened::Shown {
                        openings: witness_hash(&self.network, &openings),
                        whole: self.audits.is_asked(batch).then_some(openings),
                        given: BTreeMap::new(),
                    }
                } else {
                    Opened::Whole(openings)
                };
                self.openings.insert(batch, opened);
            }
            Err(trouble) => {
                self.pauses.begin(Job::Open(batch));
                self.trouble = Some(format!(
                    "answering for the sectors from {batch} on failed: {trouble}"
                ));
            }
        }
    }

    /// Answers the current window, then says so until it is on the ledger. The answers are durable before they come here, and another
    /// life of this program gets the same for the window: so it never says two things of it.
    fn answer_window(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
    ) -> Option<(Window, SignedHeartbeat)> {
        let window = view.window;
        if view.heartbeat(window).is_some() {
            return None;
        }
        let Some(answered) = self.answered.get(&window) else {
            if self.pauses.has(Job::Respond(window)) {
                return None;
            }
            let job = Box::new(view.window_job(window)?);
            while self.answered.len() >= WINDOWS_REMEMBERED {
                self.answered.pop_first();
            }
            let answered = Answered {
                job: job.clone(),
                responded: None,
                is_opening: false,
                openings: None,
            };
            self.answered.insert(window, answered);
            effects.push(Effect::Respond(job));
            return None;
        };
        let responded = answered.responded.as_ref()?;
        let heartbeat = Heartbeat {
            account: self.account,
            window,
            response_root: Hash(responded.response_root.to_bytes()),
            faults: BoundedVec::new(responded.faults.clone()).ok()?,
        };
        let number = view.provider.as_ref()?.number;
        let signed = heartbeat.sign(number, &self.config.account_key, &self.network);
        Some((window, signed))
    }

    pub(crate) fn responded(&mut self, window: Window, result: Result<Responded, String>) {
        match result {
            Ok(responded) => {
                if let Some(answered) = self.answered.get_mut(&window) {
                    answered.responded = Some(responded);
                }
            }
            Err(trouble) => {
                self.answered.remove(&window);
                self.pauses.begin(Job::Respond(window));
                self.trouble = Some(format!("answering window {window} failed: {trouble}"));
            }
        }
    }

    /// Claims what was proven, by itself and when nothing else is on its way: a claim has no deadline and no room of its own in
    /// blocks, and would keep back what has.
    fn claim(&mut self, view: &View<'_, impl StateRead>, out: &mut Vec<SignedTransaction>) {
        if !self.submitter.is_idle() {
            return;
        }
        if let Ok(slots) = BoundedVec::new(view.claimable())
            && !slots.is_empty()
        {
            let claim = Operation::Claim { slots };
            self.submit(Purpose::Claim, vec![claim], Vec::new(), view, out);
        }
    }

    /// Opens what the ledger samples of the window before.
    fn prove_window(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let window = view.window.previous();
        let Some(heartbeat) = view.heartbeat(window).filter(|row| !row.is_proven) else {
            return;
        };
        if let Entry::Vacant(unanswered) = self.answered.entry(window) {
            // An earlier life of this program answered; the job is the ledger's to tell, the answers are in the durable log.
            let Some(job) = view.window_job(window) else {
                return;
            };
            unanswered.insert(Answered {
                job: Box::new(job),
                responded: None,
                is_opening: false,
                openings: None,
            });
        }
        let Some(answered) = self.answered.get_mut(&window) else {
            return;
        };
        if let Some(witness) = answered.openings.clone() {
            let openings = witness_hash(&self.network, &witness);
            let operation = Operation::ProveWindow { window, openings };
            self.submit(Purpose::Prove(window), vec![operation], vec![witness], view, out);
        } else if !answered.is_opening
            && !self.pauses.has(Job::OpenWindow(window))
            && heartbeat.left_out.len() < answered.job.sectors.len()
            && let Some(next_beacon) = view.window_beacon(view.window)
        {
            answered.is_opening = true;
            effects.push(Effect::OpenWindow {
                job: answered.job.clone(),
                response_root: heartbeat.answers,
                next_beacon,
            });
        }
    }

    pub(crate) fn window_opened(&mut self, window: Window, result: Result<Vec<u8>, String>) {
        let Some(answered) = self.answered.get_mut(&window) else {
            return;
        };
        answered.is_opening = false;
        match result {
            Ok(openings) => answered.openings = Some(openings),
            Err(trouble) => {
                self.pauses.begin(Job::OpenWindow(window));
                self.trouble = Some(format!("proving window {window} failed: {trouble}"));
            }
        }
    }
}

/// Slots in a sector.
fn slots_of(job: &SealJob) -> impl Iterator<Item = (DealId, SlotIndexInDeal)> {
    job.pieces.iter().filter_map(|piece| match piece {
        Piece::Slot { deal, slot, .. } => Some((*deal, *slot)),
        Piece::Filler { .. } => None,
    })
}

#[cfg(test)]
mod tests;
