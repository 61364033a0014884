//! One folded proof for many windows.

use super::proving::n_verified;
use super::story::POLL_MS;
use crate::api::types::Outcome;
use crate::context::Context;
use crate::devnet::Devnet;
use crate::error::{CommandError, ErrorKind};
use crate::ui::Ui;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use watt_primitives::{BlockHeight, Hash};

/// How long the first folded proof may take, in milliseconds: two periods of a minute, and some compressing on a small machine.
const SETTLE_MS_MAX: u64 = 480_000;

/// Windows that a provider has settled by then: the first period may have begun just before its end.
const WINDOWS_SETTLED_MIN: u64 = 4;

/// A settlement as it stands in a block.
pub(super) struct Settled {
    /// Who.
    pub(super) provider: String,
    /// What the ledger made of it.
    pub(super) done: String,
    /// How many validators verified it.
    pub(super) n_verified: usize,
}

/// Waits until a provider that folds its windows has settled enough of them, looking through all blocks.
pub(super) async fn wait_settled(
    ui: &Ui,
    devnet: &Devnet,
    context: &Context,
) -> Result<Settled, CommandError> {
    let folding: BTreeMap<&str, &str> = devnet
        .plan()
        .folding()
        .map(|node| (node.account.as_str(), node.name.as_str()))
        .collect();
    let deadline = Instant::now() + Duration::from_millis(SETTLE_MS_MAX);
    let progress = ui.spinner("folding");
    let mut height = 0;
    loop {
        let head = context.api.head().await?.height;
        progress.message(format!(
            "height {head}, no window is settled by a folded proof yet"
        ));
        while height < head {
            height += 1;
            let block = context.api.block(BlockHeight(height)).await?;
            let settling = block.transactions.iter().filter(|transaction| {
                let is_settlement = |operation: &String| operation == "settle-windows";
                transaction.operations.iter().any(is_settlement)
            });
            for transaction in settling {
                let info = context.api.transaction(transaction.id).await?;
                let Some(name) = folding.get(info.account.as_str()) else {
                    continue;
                };
                let providers = context.api.providers().await?;
                let is_enough = providers.iter().any(|provider| {
                    provider.address == info.account && provider.windows_proven >= WINDOWS_SETTLED_MIN
                });
                if info.outcome == Outcome::Applied && is_enough {
                    return Ok(Settled {
                        provider: (*name).to_owned(),
                        done: info.done.first().cloned().unwrap_or_default(),
                        n_verified: wait_verified(devnet, height, block.header.hash, deadline).await?,
                    });
                }
            }
        }
        if Instant::now() >= deadline {
            return Err(CommandError::new(
                ErrorKind::Temporary,
                format!("after {} s no folded proof was recorded", SETTLE_MS_MAX / 1000),
                "run it again with --keep and look at the providers' logs",
            ));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

/// Waits until every validator has taken the block, and with it the proof; how many have.
async fn wait_verified(
    devnet: &Devnet,
    height: u64,
    hash: Hash,
    deadline: Instant,
) -> Result<usize, CommandError> {
    let all = usize::try_from(devnet.plan().size().validators).unwrap_or(usize::MAX);
    loop {
        let n_verified = n_verified(devnet, height, hash).await?;
        if n_verified >= all || Instant::now() >= deadline {
            return Ok(n_verified);
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}
