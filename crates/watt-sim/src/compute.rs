//! The arithmetic of the world: signatures and blocks, computed by the real code, once for all who ask the same.
//!
//! A verdict is remembered under everything that it depends on. Of the blocks, a share is computed again for another node and
//! compared, so that a rule whose outcome differs from run to run is found.

use crate::luck::{Luck, Purpose};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use watt_engine::event::ApplyFailure;
use watt_engine::message::DecidedBlock;
use watt_engine::{Backbones, run};
use watt_ledger::testing::{Rule, bend};
use watt_ledger::tree::chunk;
use watt_ledger::{
    Block, BlockOutcome, InvalidBlock, MemoryState, NoFolded, Rescues, StateRead, UncheckedBlock,
    apply_rescued,
};
use watt_light::transaction::body_root;
use watt_light::{Header, Operation, SignedHeartbeat, SignedProposal, SignedTransaction};
use watt_primitives::key::{PublicKey, SignatureCheck};
use watt_primitives::{BlockHeight, Hash, SlotIndex};

/// What trying a block gave.
pub type Applied = Result<Arc<BlockOutcome>, ApplyFailure>;

thread_local! {
    /// Whether this thread is trying a block: its panics are caught, and not printed.
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
}

fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_TRYING.get() {
                previous(info);
            }
        }));
    });
}

/// Whether applying it takes longer than a node waits: no real time is burnt for it here.
fn is_slow(signed: &SignedTransaction) -> bool {
    let is_marked =
        |operation: &Operation| matches!(operation, Operation::Transfer { memo, .. } if **memo == *b"slow");
    signed.transaction.operations.iter().any(is_marked)
}

/// What a claim with one signature is about, and whether it holds.
struct Verdict {
    key: PublicKey,
    message: Vec<u8>,
    holds: bool,
}

/// Verdicts under the signature, each for everything that it depends on.
#[derive(Default)]
struct Verdicts {
    of: BTreeMap<[u8; 64], Vec<Verdict>>,
    n: usize,
}

impl Verdicts {
    fn get(&self, check: &SignatureCheck) -> Option<bool> {
        let mut all = self.of.get(&check.signature.0)?.iter();
        let found = all.find(|one| one.key == check.key && one.message == check.message);
        found.map(|one| one.holds)
    }

    fn note(&mut self, check: &SignatureCheck, holds: bool) {
        if self.get(check).is_none() {
            self.n += 1;
            self.of.entry(check.signature.0).or_default().push(Verdict {
                key: check.key,
                message: check.message.clone(),
                holds,
            });
        }
    }
}

/// Verdicts that are remembered at most; then all are forgotten.
const VERDICTS_MAX: usize = 100_000;

/// One in this many answers from memory is computed again and compared.
const RECHECK_ONE_IN: u64 = 32;

/// The same for runs of blocks, of which every follower asks for each.
const RECHECK_RUNS_ONE_IN: u64 = 128;

/// A block that was tried on the state that `head` commits to.
struct Tried {
    head: Hash,
    is_rescued: bool,
    block: UncheckedBlock,
    applied: Applied,
}

/// What makes a block.
#[derive(Clone, Copy)]
struct Parts<'a> {
    proposal: &'a SignedProposal,
    is_empty: bool,
    transactions: &'a [SignedTransaction],
    heartbeats: &'a [SignedHeartbeat],
}

/// Computes for all nodes.
pub struct Compute {
    bent: Option<Rule>,
    /// The rescue releases that some programs hold.
    pub rescues: Rescues,
    luck: Luck,
    signatures: Verdicts,
    /// Blocks that were tried, by slot.
    blocks: BTreeMap<SlotIndex, Vec<Tried>>,
    /// Whether blocks with these proofs were decided, by slot.
    decided: BTreeMap<SlotIndex, Vec<(DecidedBlock, bool)>>,
    states: BTreeMap<Hash, (BlockHeight, Arc<MemoryState>)>,
    /// Blocks applied for real.
    pub n_applied: u64,
    /// Signatures checked for real.
    pub n_verified: u64,
    /// Signatures asked for.
    pub n_asked: u64,
    /// Set when the same block on the same state gave two outcomes.
    pub disagreement: Option<String>,
}

impl Compute {
    /// Computes by the rules, or by one that is bent.
    #[must_use]
    pub fn new(bent: Option<Rule>, seed: u64) -> Self {
        Self {
            bent,
            rescues: Rescues::default(),
            luck: Luck::new(seed, Purpose::Recheck),
            signatures: Verdicts::default(),
            blocks: BTreeMap::new(),
            decided: BTreeMap::new(),
            states: BTreeMap::new(),
            n_applied: 0,
            n_verified: 0,
            n_asked: 0,
            disagreement: None,
        }
    }

    /// Whether the rules of the first version are so broken that a network stops.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.bent == Some(Rule::BrokenTerms)
    }

    /// An honest node's engine has just signed this: it holds, which is checked for one in so many only.
    pub fn was_signed(&mut self, check: &SignatureCheck) {
        if self.luck.below(RECHECK_ONE_IN) == 0 && !check.holds() {
            self.disagreement = Some("an engine signed something and its signature does not hold".to_owned());
        } else {
            self.signatures.note(check, true);
        }
    }

    /// Whether each claim holds.
    pub fn verify(&mut self, checks: &[SignatureCheck]) -> Vec<bool> {
        let verdict = |check: &SignatureCheck| {
            self.n_asked += 1;
            if let Some(holds) = self.signatures.get(check) {
                return holds;
            }
            self.n_verified += 1;
            let holds = check.holds();
            self.signatures.note(check, holds);
            holds
        };
        checks.iter().map(verdict).collect()
    }

    /// Whether a program that `holds` the rescue releases follows one above `head`.
    fn is_rescued(&self, head: &Hash, holds: bool) -> bool {
        holds && self.rescues.above(head).is_some()
    }

    /// Tries `block` on `state`, which is the one that `head` commits to, with a program that `holds` the rescue releases or not.
    ///
    /// # Errors
    /// The sentence with which the real code refuses the block.
    pub fn apply(
        &mut self,
        head: &Hash,
        state: &MemoryState,
        block: &UncheckedBlock,
        holds: bool,
    ) -> Applied {
        let is_rescued = self.is_rescued(head, holds);
        let parts = Parts {
            proposal: &block.proposal,
            is_empty: block.is_empty,
            transactions: &block.transactions,
            heartbeats: &block.heartbeats,
        };
        match self.known(head, is_rescued, parts) {
            Some(known) => {
                if self.luck.below(RECHECK_ONE_IN) == 0
                    && self.really_apply(state, block, is_rescued) != known
                {
                    let height = block.proposal.proposal.slot;
                    self.disagreement = Some(format!("applying block {height} twice gave two outcomes"));
                }
                known
            }
            None => self.first_apply(head, is_rescued, state, block.clone()),
        }
    }

    fn known(&self, head: &Hash, is_rescued: bool, parts: Parts<'_>) -> Option<Applied> {
        let Parts {
            proposal,
            is_empty,
            transactions,
            heartbeats,
        } = parts;
        let tried = self.blocks.get(&proposal.proposal.slot)?;
        let is_same = |tried: &&Tried| {
            let block = &tried.block;
            tried.head == *head
                && tried.is_rescued == is_rescued
                && block.is_empty == is_empty
                && block.proposal == *proposal
                && block.transactions == transactions
                && *block.heartbeats == *heartbeats
        };
        tried.iter().find(is_same).map(|tried| tried.applied.clone())
    }

    fn first_apply(
        &mut self,
        head: &Hash,
        is_rescued: bool,
        state: &MemoryState,
        block: UncheckedBlock,
    ) -> Applied {
        let applied = self.really_apply(state, &block, is_rescued);
        let tried = Tried {
            head: *head,
            is_rescued,
            applied: applied.clone(),
            block,
        };
        let slot = tried.block.proposal.proposal.slot;
        self.blocks.entry(slot).or_default().push(tried);
        applied
    }

    /// Tries `block` on a state that nobody else has.
    ///
    /// # Errors
    /// The sentence with which the real code refuses the block.
    pub fn really_apply(&mut self, state: &MemoryState, block: &UncheckedBlock, holds: bool) -> Applied {
        self.n_applied += 1;
        let invalid = |invalid: InvalidBlock| ApplyFailure::Invalid(invalid.to_string());
        // Signatures that were found to hold, over the whole transaction, are not checked again.
        let network = block.proposal.proposal.network;
        let is_verified = |signed: &SignedTransaction| {
            let check = signed.signature_check(&network);
            self.signatures.get(&check) == Some(true)
        };
        let block = block
            .clone()
            .check_except(&network, &NoFolded, is_verified)
            .map_err(invalid)?;
        if block.transactions().iter().any(is_slow) {
            return Err(ApplyFailure::TooSlow);
        }
        match self.guarded(state, &block, holds) {
            Some(outcome) => outcome.map(Arc::new).map_err(invalid),
            None => Err(ApplyFailure::Panicked {
                culprit: run::culprit(&block, |part| self.guarded(state, part, holds).is_none()),
            }),
        }
    }

    /// Checks and applies consecutive blocks on `state`, which is the one that `head` commits to.
    pub fn apply_decided(
        &mut self,
        head: Hash,
        state: &Arc<MemoryState>,
        blocks: &[DecidedBlock],
        holds: bool,
    ) -> run::Good<Arc<BlockOutcome>> {
        let (mut head, mut above) = (head, Arc::clone(state));
        let (mut outcomes, mut failure) = (Vec::with_capacity(blocks.len()), None);
        for block in blocks {
            let parts = Parts {
                proposal: &block.proposal,
                is_empty: block.is_empty,
                transactions: &block.transactions,
                heartbeats: &block.heartbeats,
            };
            let is_rescued = self.is_rescued(&head, holds);
            let applied = match self
                .is_decided(&above, block)
                .then(|| self.known(&head, is_rescued, parts).ok_or(()))
            {
                Some(known) => {
                    let applied = known
                        .unwrap_or_else(|()| self.first_apply(&head, is_rescued, &above, block.to_block()));
                    applied.map_err(|why| ApplyFailure::NotHere(why.to_string()))
                }
                None => Err(ApplyFailure::Undecided),
            };
            match applied {
                Ok(outcome) => {
                    head = outcome.header.hash();
                    above = self.state_after(head, &above, &outcome);
                    outcomes.push(outcome);
                }
                Err(why) => {
                    failure = Some(why);
                    break;
                }
            }
        }
        if self.luck.below(RECHECK_RUNS_ONE_IN) == 0 {
            let (again, why) = self.really_apply_decided(state, blocks, holds);
            if again != outcomes || why.is_some() != failure.is_some() {
                let n = blocks.len();
                self.disagreement = Some(format!("applying a run of {n} blocks twice gave two outcomes"));
            }
        }
        (outcomes, failure)
    }

    /// The same by the released code for runs, on a state that may be nobody else's.
    pub fn really_apply_decided(
        &mut self,
        state: &MemoryState,
        blocks: &[DecidedBlock],
        holds: bool,
    ) -> run::Good<Arc<BlockOutcome>> {
        let (checked, unchecked) = run::check(blocks, &Backbones::in_state(state), &NoFolded);
        self.n_applied += u64::try_from(checked.len()).unwrap_or(0);
        let (outcomes, failed) = run::apply(state, &checked, |state, block| {
            match self.guarded(state, block, holds) {
                Some(outcome) => outcome.map_err(|invalid| ApplyFailure::Invalid(invalid.to_string())),
                None => Err(ApplyFailure::Panicked { culprit: None }),
            }
        });
        (outcomes, failed.or(unchecked))
    }

    /// `None` if applying panics.
    fn guarded(
        &self,
        state: &impl StateRead,
        block: &Block,
        holds: bool,
    ) -> Option<Result<BlockOutcome, InvalidBlock>> {
        quiet_panics();
        let none = Rescues::default();
        let rescues = if holds { &self.rescues } else { &none };
        let apply = || match self.bent {
            Some(rule) => bend(rule, || apply_rescued(state, block, rescues)),
            None => apply_rescued(state, block, rescues),
        };
        IS_TRYING.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(apply)).ok();
        IS_TRYING.set(false);
        outcome
    }

    /// Whether the block's statements prove that the backbone which `below`, the state below it, names decided it.
    pub fn is_decided(&mut self, below: &MemoryState, block: &DecidedBlock) -> bool {
        let slot = block.proposal.proposal.slot;
        let known = self.decided.get(&slot).and_then(|known| {
            let mut known = known.iter();
            known.find(|(known, _)| known == block)
        });
        if let Some((_, is_decided)) = known {
            return *is_decided;
        }
        // What `DecidedBlock::is_decided` asks, with each signature checked once for the whole world; runs that are computed
        // again ask it itself.
        let proposal = &block.proposal.proposal;
        let is_the_body = if block.is_empty {
            block.transactions.is_empty() && block.heartbeats.is_empty()
        } else {
            body_root(&proposal.network, &block.transactions, &block.heartbeats) == proposal.body_root
        };
        let backbones = Backbones::in_state(below);
        let is_here = proposal.network == *backbones.network();
        let claims = backbones
            .of_slot(slot)
            .and_then(|deciders| block.decision_claims(deciders.voters()));
        let is_decided = is_the_body
            && is_here
            && claims.is_some_and(|claims| self.verify(&claims).iter().all(|holds| *holds));
        self.decided
            .entry(slot)
            .or_default()
            .push((block.clone(), is_decided));
        is_decided
    }

    /// The state that the header of `outcome`, with this `hash`, commits to: one copy for all nodes that have it.
    pub fn state_after(
        &mut self,
        hash: Hash,
        below: &Arc<MemoryState>,
        outcome: &BlockOutcome,
    ) -> Arc<MemoryState> {
        if let Some((_, state)) = self.states.get(&hash) {
            return Arc::clone(state);
        }
        let mut state = MemoryState::clone(below);
        state.write(&outcome.writes);
        state.write(&chunk::index(&outcome.writes).collect());
        let state = Arc::new(state);
        self.states
            .insert(hash, (outcome.header.height, Arc::clone(&state)));
        state
    }

    /// The copy of `state` that everybody has who made it from blocks up to `header`; `None` if theirs is another one.
    pub fn same_state(&mut self, header: &Header, state: MemoryState) -> Option<Arc<MemoryState>> {
        match self.states.get(&header.hash()) {
            Some((_, known)) => (**known == state).then(|| Arc::clone(known)),
            None => Some(Arc::new(state)),
        }
    }

    /// Forgets what nobody will ask again: everything of blocks below `height`, and old signatures.
    pub fn forget_below(&mut self, height: BlockHeight) {
        self.blocks.retain(|slot, _| BlockHeight::from(*slot) >= height);
        self.decided.retain(|slot, _| BlockHeight::from(*slot) >= height);
        self.states.retain(|_, (of, _)| *of >= height);
        if self.signatures.n > VERDICTS_MAX {
            self.signatures = Verdicts::default();
        }
    }
}
