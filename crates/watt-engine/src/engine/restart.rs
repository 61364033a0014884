//! A plan with which people begin again is looked at for days, and followed only if its owner accepts it and nobody showed a later
//! block (`docs/spec/node.md` §12, TC1).

use super::Engine;
use crate::effect::Effect;
use crate::event::Clocks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use watt_ledger::{RefusedRestart, StateRead, restart};
use watt_light::Restart;
use watt_primitives::{BlockHeight, BoundedVec, Hash, NodeId, Timestamp};

/// Plans that were refused for a later block, of which it is remembered.
const REFUSED_MAX: usize = 16;

/// How much of the time a crash may cost: an engine asks to keep what has passed so often in the whole.
const KEPT_PER_WAIT: u64 = 64;

/// What a node keeps about plans, across restarts of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartLog {
    /// The one that it looks at.
    pub looked_at: Option<LookedAt>,
    /// Those that a later block refuted, the newest first.
    pub refuted: BoundedVec<Refuted, REFUSED_MAX>,
}

/// A plan that a node looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookedAt {
    /// The plan with its signatures.
    pub restart: Restart,
    /// For how long this node has looked at it while it ran, in milliseconds of steady time.
    pub waited_ms: u64,
    /// Whether its owner accepts it.
    pub is_accepted: bool,
}

/// A plan that a later block refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuted {
    /// Hash of the plan.
    pub plan: Hash,
    /// The block with which it began.
    pub base: BlockHeight,
    /// The later block that was decided.
    pub height: BlockHeight,
}

/// Why a node does not look at a plan, or can't accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestartable {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] RefusedRestart),
    /// A later block was shown.
    #[error(
        "block {height} was decided and proven to this node, the plan begins with {base}: it is refused for ever"
    )]
    Refuted {
        /// The later block.
        height: BlockHeight,
        /// The plan's.
        base: BlockHeight,
    },
    /// This node holds evidence against somebody who is to vote.
    #[error("this node holds evidence against {0}, which is to vote")]
    Accused(NodeId),
    /// The node looks at no such plan.
    #[error("this node looks at no such plan")]
    Unknown,
}

impl Engine {
    /// What this node keeps about plans.
    #[must_use]
    pub const fn restart_log(&self) -> &RestartLog {
        &self.restarts
    }

    /// The owner shows this node a plan: if it is one to follow it is looked at from now on, in place of another one. Its base may lie
    /// ahead: of a node that was away while the others began again nobody else would show it the blocks up to there.
    ///
    /// `accused` are those against whom the node holds evidence of earlier lives.
    ///
    /// # Errors
    /// See [`NotRestartable`].
    pub fn look_at_restart(
        &mut self,
        restart: Restart,
        accused: &BTreeSet<NodeId>,
        chain: &impl StateRead,
        now: Clocks,
        effects: &mut Vec<Effect>,
    ) -> Result<(), NotRestartable> {
        let plan = restart.plan.hash();
        if let Some(known) = self.restarts.refuted.iter().find(|known| known.plan == plan) {
            let (height, base) = (known.height, known.base);
            return Err(NotRestartable::Refuted { height, base });
        }
        if self.looks_at(&plan) {
            return Ok(());
        }
        restart::judge(chain, &restart)?;
        let evidence = self.consensus.evidence();
        let accused: BTreeSet<NodeId> = evidence
            .nodes()
            .map(|(node, _)| node)
            .chain(accused.iter().copied())
            .collect();
        let of_accounts = |node: &NodeId| {
            let entries = self.backbones.all().filter_map(|known| known.account_of(node));
            entries.collect::<BTreeSet<_>>()
        };
        for node in accused {
            let accounts = of_accounts(&node);
            let votes = |account, key| key == node || accounts.contains(&account);
            let mut entries = restart.plan.backbone.entries().iter();
            if entries.any(|entry| votes(entry.account, entry.key)) {
                return Err(NotRestartable::Accused(node));
            }
        }
        self.restarts.looked_at = Some(LookedAt {
            restart,
            waited_ms: 0,
            is_accepted: false,
        });
        (self.looked_since, self.kept_ms) = (now.steady, 0);
        effects.push(Effect::KeepRestarts(Box::new(self.restarts.clone())));
        Ok(())
    }

    /// The owner accepts the plan that this node looks at, or takes that back.
    ///
    /// # Errors
    /// [`NotRestartable::Unknown`].
    pub fn accept_restart(
        &mut self,
        plan: &Hash,
        is_accepted: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), NotRestartable> {
        let known = self.restarts.looked_at.as_mut();
        let known = known.filter(|known| known.restart.plan.hash() == *plan);
        known.ok_or(NotRestartable::Unknown)?.is_accepted = is_accepted;
        effects.push(Effect::KeepRestarts(Box::new(self.restarts.clone())));
        Ok(())
    }

    fn looks_at(&self, plan: &Hash) -> bool {
        let known = self.restarts.looked_at.as_ref();
        known.is_some_and(|known| known.restart.plan.hash() == *plan)
    }

    /// Time passes: follows the plan if it was looked at for long enough and is accepted.
    pub(super) fn look_on(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let passed_ms = now.0.saturating_sub(self.looked_since.0);
        self.looked_since = now;
        let wait_ms = self.parameters.restart_wait_ms();
        let Some(known) = &mut self.restarts.looked_at else {
            return;
        };
        known.waited_ms = known.waited_ms.saturating_add(passed_ms).min(wait_ms);
        let (base, head) = (&known.restart.plan.base, &self.head.header);
        let is_there = head == base || head.height < base.height;
        if known.is_accepted && known.waited_ms >= wait_ms && is_there {
            if let Some(known) = self.restarts.looked_at.take() {
                let (base, network) = (base_of(&known.restart), known.restart.plan.network_after());
                tracing::warn!(base = base.0, %network, "the network is restarted by its people; this node follows");
                effects.push(Effect::FollowRestart(Box::new(known.restart)));
            }
            return;
        }
        let n_kept = |ms: u64| ms.saturating_mul(KEPT_PER_WAIT).checked_div(wait_ms);
        if n_kept(known.waited_ms) > n_kept(self.kept_ms) {
            self.kept_ms = known.waited_ms;
            effects.push(Effect::KeepRestarts(Box::new(self.restarts.clone())));
        }
    }

    /// The head moved: a plan that begins below it is refuted, for ever. One that begins here is judged by the state, and no longer looked
    /// at if it does not hold.
    pub(super) fn refute_restart(&mut self, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        let height = self.head.header.height;
        let judge = |known: &LookedAt| restart::judge(chain, &known.restart);
        let begins_here = |known: &&LookedAt| base_of(&known.restart) == height;
        let known = self.restarts.looked_at.as_ref().filter(begins_here);
        if let Some(Err(why)) = known.map(judge) {
            tracing::warn!(base = height.0, %why, "the plan to restart does not hold");
            self.restarts.looked_at = None;
            effects.push(Effect::KeepRestarts(Box::new(self.restarts.clone())));
        }
        let is_refuted = |known: &mut LookedAt| base_of(&known.restart) < height;
        let Some(known) = self.restarts.looked_at.take_if(is_refuted) else {
            return;
        };
        let (base, plan) = (base_of(&known.restart), known.restart.plan.hash());
        tracing::warn!(base = base.0, height = height.0, %plan, "a later block was shown: the plan to restart is refused");
        let mut refuted = std::mem::take(&mut self.restarts.refuted).into_inner();
        refuted.truncate(REFUSED_MAX.saturating_sub(1));
        refuted.insert(0, Refuted { plan, base, height });
        self.restarts.refuted = BoundedVec::new(refuted).unwrap_or_default();
        effects.push(Effect::KeepRestarts(Box::new(self.restarts.clone())));
    }
}

const fn base_of(restart: &Restart) -> BlockHeight {
    restart.plan.base.height
}
