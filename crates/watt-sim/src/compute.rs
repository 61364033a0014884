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
use watt_ledger::{Block, BlockOutcome, InvalidBlock, MemoryState, StateRead, UncheckedBlock, apply_block};
use watt_light::transaction::body_root;
use watt_light::{Header, Operation, SignedProposal, SignedTransaction};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{BlockHeight, Hash, NetworkId, SlotIndex, codec};

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

/// Everything that a verdict depends on.
fn signature_key(check: &SignatureCheck) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&codec::encode(&check.key))
        .update(&check.signature.0)
        .update(&check.message);
    *hasher.finalize().as_bytes()
}

/// One in this many answers from memory is computed again and compared.
const RECHECK_ONE_IN: u64 = 32;

/// A block that was tried on the state that `head` commits to.
struct Tried {
    head: Hash,
    block: UncheckedBlock,
    applied: Applied,
}

/// Computes for all nodes.
pub struct Compute {
    network: NetworkId,
    bent: Option<Rule>,
    luck: Luck,
    signatures: BTreeMap<[u8; 32], bool>,
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
    pub fn new(network: NetworkId, bent: Option<Rule>, seed: u64) -> Self {
        Self {
            network,
            bent,
            luck: Luck::new(seed, Purpose::Recheck),
            signatures: BTreeMap::new(),
            blocks: BTreeMap::new(),
            decided: BTreeMap::new(),
            states: BTreeMap::new(),
            n_applied: 0,
            n_verified: 0,
            n_asked: 0,
            disagreement: None,
        }
    }

    /// Whether each claim holds.
    pub fn verify(&mut self, checks: &[SignatureCheck]) -> Vec<bool> {
        checks
            .iter()
            .map(|check| {
                self.n_asked += 1;
                let n_verified = &mut self.n_verified;
                *self.signatures.entry(signature_key(check)).or_insert_with(|| {
                    *n_verified += 1;
                    check.holds()
                })
            })
            .collect()
    }

    /// Tries `block` on `state`, which is the one that `head` commits to.
    ///
    /// # Errors
    /// The sentence with which the real code refuses the block.
    pub fn apply(&mut self, head: &Hash, state: &MemoryState, block: &UncheckedBlock) -> Applied {
        let parts = (&block.proposal, block.is_empty, block.transactions.as_slice());
        match self.known(head, parts) {
            Some(known) => {
                if self.luck.below(RECHECK_ONE_IN) == 0 && self.really_apply(state, block) != known {
                    let height = block.proposal.proposal.slot;
                    self.disagreement = Some(format!("applying block {height} twice gave two outcomes"));
                }
                known
            }
            None => self.first_apply(head, state, block.clone()),
        }
    }

    fn known(&self, head: &Hash, parts: (&SignedProposal, bool, &[SignedTransaction])) -> Option<Applied> {
        let (proposal, is_empty, transactions) = parts;
        let tried = self.blocks.get(&proposal.proposal.slot)?;
        let is_same = |tried: &&Tried| {
            let block = &tried.block;
            tried.head == *head
                && block.is_empty == is_empty
                && block.proposal == *proposal
                && block.transactions == transactions
        };
        tried.iter().find(is_same).map(|tried| tried.applied.clone())
    }

    fn first_apply(&mut self, head: &Hash, state: &MemoryState, block: UncheckedBlock) -> Applied {
        let applied = self.really_apply(state, &block);
        let tried = Tried {
            head: *head,
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
    pub fn really_apply(&mut self, state: &MemoryState, block: &UncheckedBlock) -> Applied {
        self.n_applied += 1;
        let invalid = |invalid: InvalidBlock| ApplyFailure::Invalid(invalid.to_string());
        // Signatures that were found to hold, over the whole transaction, are not checked again.
        let is_verified = |signed: &SignedTransaction| {
            let check = signed.signature_check(&self.network);
            self.signatures.get(&signature_key(&check)) == Some(&true)
        };
        let block = block
            .clone()
            .check_except(&self.network, is_verified)
            .map_err(invalid)?;
        if block.transactions().iter().any(is_slow) {
            return Err(ApplyFailure::TooSlow);
        }
        match self.guarded(state, &block) {
            Some(outcome) => outcome.map(Arc::new).map_err(invalid),
            None => Err(ApplyFailure::Panicked {
                culprit: run::culprit(&block, |part| self.guarded(state, part).is_none()),
            }),
        }
    }

    /// Checks and applies consecutive blocks on `state`, which is the one that `head` commits to.
    pub fn apply_decided(
        &mut self,
        head: Hash,
        state: &Arc<MemoryState>,
        blocks: &[DecidedBlock],
    ) -> run::Good<Arc<BlockOutcome>> {
        let (mut head, mut above) = (head, Arc::clone(state));
        let (mut outcomes, mut failure) = (Vec::with_capacity(blocks.len()), None);
        for block in blocks {
            let parts = (&block.proposal, block.is_empty, &*block.transactions);
            let applied = match self.is_decided(&above, block).then(|| self.known(&head, parts)) {
                Some(Some(known)) => known,
                Some(None) => self.first_apply(&head, &above, block.to_block()),
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
        if self.luck.below(RECHECK_ONE_IN) == 0 {
            let (again, why) = self.really_apply_decided(state, blocks);
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
    ) -> run::Good<Arc<BlockOutcome>> {
        let (checked, unchecked) = run::check(blocks, &Backbones::in_state(state));
        self.n_applied += u64::try_from(checked.len()).unwrap_or(0);
        let (outcomes, failed) =
            run::apply(state, &checked, |state, block| match self.guarded(state, block) {
                Some(outcome) => outcome.map_err(|invalid| ApplyFailure::Invalid(invalid.to_string())),
                None => Err(ApplyFailure::Panicked { culprit: None }),
            });
        (outcomes, failed.or(unchecked))
    }

    /// `None` if applying panics.
    fn guarded(&self, state: &impl StateRead, block: &Block) -> Option<Result<BlockOutcome, InvalidBlock>> {
        quiet_panics();
        let apply = || match self.bent {
            Some(rule) => bend(rule, || apply_block(state, block)),
            None => apply_block(state, block),
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
            block.transactions.is_empty()
        } else {
            body_root(&proposal.network, &block.transactions) == proposal.body_root
        };
        let backbones = Backbones::in_state(below);
        let claims = backbones
            .of_slot(slot)
            .and_then(|deciders| block.decision_claims(deciders.voters()));
        let is_decided =
            is_the_body && claims.is_some_and(|claims| self.verify(&claims).iter().all(|holds| *holds));
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
        if self.signatures.len() > 200_000 {
            self.signatures.clear();
        }
    }
}
