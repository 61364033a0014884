//! What a person can check alone: that a block is final, and an account after it (`docs/spec/light.md` §6).

use super::problem::Problem;
use super::public::state_answer;
use super::view::NodeView;
use std::sync::Arc;
use std::time::Duration;
use watt_ledger::{rows, tree};
use watt_light::{FinalityProof, Header, Shown, ShownEntry};
use watt_primitives::{AccountId, BlockHeight, BoundedBytes};

/// How long the block after the newest is waited for, in milliseconds; below what a request may take.
const NEXT_BLOCK_MS_MAX: u64 = 15_000;

/// That the block at `height` is final.
pub(super) async fn of_block(node: Arc<dyn NodeView>, height: BlockHeight) -> Result<Shown, Problem> {
    let newest = node.head().height;
    if height > newest {
        return Err(Problem::not_found(
            format!("there is no block {height}"),
            &format!("the newest is {newest}"),
        ));
    }
    let reading = Arc::clone(&node);
    let found = tokio::task::spawn_blocking(move || reading.block(height));
    let (_, header) = state_answer(found.await)?.ok_or_else(|| {
        Problem::not_found(
            format!("block {height} is not kept here"),
            "ask a node that keeps all blocks, or for a newer one",
        )
    })?;
    let finality = finality(node, header).await?;
    Ok(Shown {
        finality,
        entry: None,
    })
}

/// What the account is after the newest block, once that is final.
pub(super) async fn of_account(node: Arc<dyn NodeView>, account: AccountId) -> Result<Shown, Problem> {
    let key = rows::account(&account);
    let reading = Arc::clone(&node);
    let entry_key = key.clone();
    let found = tokio::task::spawn_blocking(move || {
        reading.state().read(|state| {
            let header: Option<Header> = rows::read(state, rows::HEAD);
            let value = watt_ledger::StateRead::get(state, &entry_key);
            (header, value, tree::prove(state, &entry_key))
        })
    });
    let damaged = || Problem::internal("the state can't be proven");
    let (Some(header), value, Ok(proof)) = state_answer(found.await)? else {
        return Err(damaged());
    };
    let value = value.map(BoundedBytes::new).transpose().map_err(|_| damaged())?;
    let entry = ShownEntry {
        key: BoundedBytes::new(key).map_err(|_| damaged())?,
        value,
        proof,
    };
    let finality = finality(node, header).await?;
    Ok(Shown {
        finality,
        entry: Some(entry),
    })
}

/// The proof that `header` is final: from the block after it, which is waited for if it is the newest.
async fn finality(node: Arc<dyn NodeView>, header: Header) -> Result<FinalityProof, Problem> {
    let height = header.height;
    let mut heads = node.subscribe();
    let next = async { heads.wait_for(|head| head.height > height).await.is_ok() };
    let is_there = tokio::time::timeout(Duration::from_millis(NEXT_BLOCK_MS_MAX), next).await;
    if is_there != Ok(true) {
        let detail = format!("block {height} is not final yet: the network has closed none after it");
        return Err(Problem::busy(&detail));
    }
    let quorum_set = node.genesis().quorum_set();
    let found = tokio::task::spawn_blocking(move || node.block(height.next()));
    let proof = state_answer(found.await)?.and_then(|(block, _)| block.proves(header, &quorum_set));
    proof.ok_or_else(|| {
        Problem::not_found(
            format!("this node keeps no proof for block {height}"),
            "ask another node, or for a newer block",
        )
    })
}
