//! What providers and their committees do, as it shows while it happens: sealing from their owners' listeners, the rest from blocks.

use crate::api::client::{ApiClient, OwnerClient};
use crate::api::types::{Outcome, ProviderReport};
use crate::api::{OwnerRoute, OwnerToken};
use crate::context::Context;
use crate::devnet::{Devnet, NodeRole};
use crate::error::CommandError;
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::{BlockHeight, Hash};

/// What blocks say of storage proofs, read once each.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    height: u64,
    /// Providers that answered, by window.
    answered: BTreeMap<u64, BTreeSet<u32>>,
    /// Batches of sectors that committees let in.
    pub(super) n_batches: u64,
    /// Live sectors that committees looked at again.
    pub(super) n_again: u64,
}

impl Proofs {
    /// Reads the blocks since the last call.
    pub(super) async fn read(&mut self, context: &Context) -> Result<(), CommandError> {
        let head = context.api.head().await?.height;
        while self.height < head {
            self.height = self.height.saturating_add(1);
            let block = context.api.block(BlockHeight(self.height)).await?;
            let window = self.height.checked_div(context.genesis.parameters.window_slots);
            let answered = self.answered.entry(window.unwrap_or(0)).or_default();
            answered.extend(&block.heartbeats);
            for transaction in &block.transactions {
                let does = |what: &str| transaction.operations.iter().any(|operation| operation == what);
                let (is_commit, is_audit) = (does("commit-sectors"), does("answer-audit"));
                if !(is_commit || is_audit) {
                    continue;
                }
                let info = context.api.transaction(transaction.id).await?;
                if info.outcome == Outcome::Applied {
                    self.n_batches = self.n_batches.saturating_add(u64::from(is_commit));
                    self.n_again = self.n_again.saturating_add(u64::from(is_audit));
                }
            }
        }
        Ok(())
    }

    /// Windows with how many providers answered each, oldest first, the running one last.
    pub(super) fn answered(&self) -> impl DoubleEndedIterator<Item = (u64, usize)> {
        let answered = self.answered.iter().filter(|(_, who)| !who.is_empty());
        answered.map(|(window, who)| (*window, who.len()))
    }
}

/// What providers are sealing now, each in a few words.
pub(super) async fn sealing(devnet: &Devnet) -> Result<Vec<String>, CommandError> {
    let plan = devnet.plan();
    let mut lines = Vec::new();
    for node in plan.nodes.iter().filter(|node| node.role == NodeRole::Provider) {
        let token = plan.node_dir(&node.name).join("data/owner.token");
        let client = OwnerClient::new(&node.owner_api(), OwnerToken::load(&token)?)?;
        let report: ProviderReport = client.get(OwnerRoute::Provider.path()).await?;
        let sealing = report
            .work
            .into_iter()
            .filter(|line| line.starts_with("sealing "));
        lines.extend(sealing.map(|line| format!("{} {line}", node.name)));
    }
    Ok(lines)
}

/// How many validators have this very block: each verified all that is in it before it took it.
pub(super) async fn n_verified(devnet: &Devnet, height: u64, hash: Hash) -> Result<usize, CommandError> {
    let mut n_verified = 0usize;
    for node in &devnet.plan().nodes {
        if node.role == NodeRole::Validator {
            let api = ApiClient::new(&[node.api()], "run it again with --keep and report it")?;
            let is_there = api.head().await?.height >= height
                && api.block(BlockHeight(height)).await?.header.hash == hash;
            n_verified = n_verified.saturating_add(usize::from(is_there));
        }
    }
    Ok(n_verified)
}
