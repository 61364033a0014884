//! A provider's life: offer space, seal what was accepted, answer every window, claim what was proven (`docs/spec/node.md` §5).
//!
//! Nothing is remembered that the ledger knows. After every block the provider looks at its rows and asks what is missing; so
//! a restart, a lost transaction and a changed plan all end in the same question. What it does remember is what it has asked
//! for and not seen yet: work under way, and transactions on their way.

mod disputes;
mod fold;
mod pack;
mod view;

pub use fold::{FoldingWork, SettledPeriod};

use crate::effect::{Effect, SealJob, WindowJob};
use crate::event::{Responded, SealedRoots};
use crate::mempool::Place;
use crate::submitter::{Purpose, Submitter};
use disputes::Answers;
use fold::Folding;
use pack::pack;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use view::View;
use watt_ledger::StateRead;
use watt_ledger::rows::SectorStage;
use watt_light::transaction::witness_hash;
use watt_light::{Operation, SignedTransaction};
use watt_primitives::terms::{AskTerms, Device, Endpoint, PIECES_MAX, Piece};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, SectorNumber, Window};
use watt_proofs::ProofParams;

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
    /// How far folding is, if it settles by folded proofs.
    pub folding: Option<FoldingWork>,
    /// What went wrong last, in one sentence.
    pub trouble: Option<String>,
}

/// Sectors sealed at once: each costs a few times its size in memory.
const SEALING_MAX: usize = 1;

/// Windows whose answers are remembered.
const WINDOWS_REMEMBERED: usize = 4;

/// A provider.
pub(crate) struct Provider {
    config: ProviderConfig,
    account: AccountId,
    network: NetworkId,
    submitter: Submitter,
    /// Sealed and on disk.
    local: BTreeMap<SectorNumber, LocalSector>,
    /// Being sealed.
    sealing: BTreeMap<SectorNumber, SealJob>,
    /// Being opened, and opened.
    opening: BTreeSet<SectorNumber>,
    openings: BTreeMap<SectorNumber, Vec<u8>>,
    answered: BTreeMap<Window, Answered>,
    folding: Folding,
    answers: Answers,
    trouble: Option<String>,
}

impl Provider {
    pub(crate) fn new(config: ProviderConfig, network: NetworkId, local: Vec<LocalSector>) -> Self {
        Self {
            account: AccountId::of_first_key(&config.account_key.public()),
            submitter: Submitter::new(config.account_key.clone(), network),
            config,
            network,
            local: local
                .into_iter()
                .map(|sector| (sector.job.sector, sector))
                .collect(),
            sealing: BTreeMap::new(),
            opening: BTreeSet::new(),
            openings: BTreeMap::new(),
            answered: BTreeMap::new(),
            folding: Folding::default(),
            answers: Answers::default(),
            trouble: None,
        }
    }

    pub(crate) fn work(&self) -> ProviderWork {
        ProviderWork {
            n_sealing: self.sealing.len(),
            n_sealed: self.local.len(),
            folding: (self.config.settle == Settle::Folded).then(|| self.folding.work()),
            trouble: self.trouble.clone(),
        }
    }

    /// Looks at the new head; returns the transactions to hand in.
    pub(crate) fn look(
        &mut self,
        chain: &impl StateRead,
        head: BlockHeight,
        is_pooled: impl Fn(&Place) -> bool,
        effects: &mut Vec<Effect>,
    ) -> Vec<SignedTransaction> {
        self.submitter.settle(chain, head, is_pooled);
        let Some(view) = View::read(chain, self.network, self.account) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        self.answer_disputes(&view, effects, &mut out);
        self.offer(&view, &mut out);
        self.drop_dead(&view, effects);
        self.seal_next(&view, effects);
        self.commit_sectors(&view, effects, &mut out);
        self.answer_window(&view, effects, &mut out);
        match self.config.settle {
            Settle::Windows => self.prove_window(&view, effects, &mut out),
            Settle::Folded => self.fold_windows(&view, effects, &mut out),
        }
        out
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
                && row.device == self.config.device
        });
        if !is_pledged {
            let (capacity_bytes, endpoint) = (self.config.capacity_bytes, self.config.endpoint.clone());
            operations.push(Operation::Pledge {
                capacity_bytes,
                endpoint,
                person,
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
                self.openings.remove(&number);
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
        if self.sealing.len() >= SEALING_MAX {
            return;
        }
        let busy: BTreeSet<_> = self
            .sealing
            .values()
            .chain(self.local.values().map(|sector| &sector.job))
            .flat_map(|job| &job.pieces)
            .filter_map(|piece| match piece {
                Piece::Slot { deal, slot, .. } => Some((*deal, *slot)),
                Piece::Filler { .. } => None,
            })
            .collect();
        let loose: Vec<_> = view
            .loose_slots()
            .into_iter()
            .filter(|loose| !busy.contains(&(loose.deal, loose.slot)))
            .collect();
        let (units_min, units_max) = self.config.units;
        let Some((units, pieces)) = pack(&loose, units_min, units_max, PIECES_MAX) else {
            return;
        };
        let taken = self.local.keys().chain(self.sealing.keys()).copied();
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
            Err(trouble) => self.trouble = Some(format!("sealing sector {sector} failed: {trouble}")),
        }
    }

    /// Commits to sealed sectors and answers their challenges.
    fn commit_sectors(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let sectors: Vec<LocalSector> = self.local.values().cloned().collect();
        for LocalSector { job, roots } in sectors {
            let number = job.sector;
            match view.sector(number).map(|row| row.stage) {
                None => {
                    if let Ok(pieces) = BoundedVec::new(job.pieces.clone()) {
                        let operation = Operation::PreCommit {
                            sector: number,
                            units: job.units,
                            seal_window: job.seal_window,
                            pieces,
                            comm_c: roots.comm_c,
                            comm_r: Hash(roots.comm_r.to_bytes()),
                        };
                        self.submit(Purpose::PreCommit(number), vec![operation], Vec::new(), view, out);
                    }
                }
                Some(SectorStage::PreCommitted { challenge_window, .. }) => {
                    if let Some(witness) = self.openings.get(&number).cloned() {
                        let openings = witness_hash(&self.network, &witness);
                        let operation = Operation::CommitSector {
                            sector: number,
                            openings,
                        };
                        self.submit(Purpose::Commit(number), vec![operation], vec![witness], view, out);
                    } else if !self.opening.contains(&number)
                        && let Some(seed) = view.porep_seed(number, challenge_window, &roots)
                    {
                        self.opening.insert(number);
                        effects.push(Effect::OpenPorep {
                            job: Box::new(job),
                            roots,
                            seed,
                        });
                    }
                }
                Some(SectorStage::Active { .. } | SectorStage::Ended { .. }) => {
                    self.openings.remove(&number);
                }
            }
        }
    }

    pub(crate) fn porep_opened(&mut self, sector: SectorNumber, result: Result<Vec<u8>, String>) {
        self.opening.remove(&sector);
        match result {
            Ok(openings) => drop(self.openings.insert(sector, openings)),
            Err(trouble) => {
                self.trouble = Some(format!(
                    "answering the challenge of sector {sector} failed: {trouble}"
                ));
            }
        }
    }

    /// Answers the current window, then says so on the ledger.
    fn answer_window(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let window = view.window;
        if view.heartbeat(window).is_some() {
            return;
        }
        match self.answered.get(&window) {
            None => {
                let Some(job) = view.window_job(window) else {
                    return;
                };
                while self.answered.len() >= WINDOWS_REMEMBERED {
                    self.answered.pop_first();
                }
                let job = Box::new(job);
                let answered = Answered {
                    job: job.clone(),
                    responded: None,
                    is_opening: false,
                    openings: None,
                };
                self.answered.insert(window, answered);
                effects.push(Effect::Respond(job));
            }
            Some(Answered {
                responded: Some(responded),
                ..
            }) => {
                let Ok(faults) = BoundedVec::new(responded.faults.clone()) else {
                    return;
                };
                let response_root = Hash(responded.response_root.to_bytes());
                let operation = Operation::Heartbeat {
                    window,
                    response_root,
                    faults,
                };
                self.submit(Purpose::Heartbeat(window), vec![operation], Vec::new(), view, out);
            }
            Some(Answered { responded: None, .. }) => {}
        }
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
                self.trouble = Some(format!("answering window {window} failed: {trouble}"));
            }
        }
    }

    /// Opens what the ledger samples of the window before, and claims what that earns.
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
            let mut operations = vec![Operation::ProveWindow { window, openings }];
            if let Ok(slots) = BoundedVec::new(view.claimable())
                && !slots.is_empty()
            {
                operations.push(Operation::Claim { slots });
            }
            self.submit(Purpose::Prove(window), operations, vec![witness], view, out);
        } else if !answered.is_opening
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
            Err(trouble) => self.trouble = Some(format!("proving window {window} failed: {trouble}")),
        }
    }
}
