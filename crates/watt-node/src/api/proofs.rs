//! What a person can check alone: that a block is final, and an account after it (`docs/spec/light.md` §6).

use super::problem::Problem;
use super::public::state_answer;
use super::view::NodeView;
use std::sync::Arc;
use std::time::Duration;
use watt_ledger::{query, rows, tree};
use watt_light::restart::Plans;
use watt_light::shown::HAND_OVERS_MAX;
use watt_light::{Backbone, FinalityProof, HandOver, Header, Shown, ShownEntry, Voters};
use watt_primitives::{AccountId, BlockHeight, BoundedBytes, BoundedVec, Term};

/// How long the block after the newest is waited for, in milliseconds; below what a request may take.
const NEXT_BLOCK_MS_MAX: u64 = 15_000;

/// That the block at `height` is final.
pub(crate) async fn of_block(node: Arc<dyn NodeView>, height: BlockHeight) -> Result<Shown, Problem> {
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
    let finality = finality(Arc::clone(&node), header).await?;
    let plans = plans(&*node)?;
    let hand_overs = hand_overs(node, height).await?;
    Ok(Shown {
        plans,
        hand_overs,
        finality,
        entry: None,
    })
}

/// What the account is after the newest block, once that is final.
pub(crate) async fn of_account(node: Arc<dyn NodeView>, account: AccountId) -> Result<Shown, Problem> {
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
    let height = header.height;
    let finality = finality(Arc::clone(&node), header).await?;
    let plans = plans(&*node)?;
    let hand_overs = hand_overs(node, height).await?;
    Ok(Shown {
        plans,
        hand_overs,
        finality,
        entry: Some(entry),
    })
}

/// The plans of the restarts that this node follows.
fn plans(node: &dyn NodeView) -> Result<Plans, Problem> {
    let plans = node.restarts().into_iter().map(|restart| restart.plan);
    BoundedVec::new(plans.collect()).map_err(|_| Problem::internal("too many restarts"))
}

/// The backbone that decides `height`: from the state as long as it is there, then from the hand-over to it.
fn backbone(node: &dyn NodeView, height: BlockHeight) -> anyhow::Result<Option<Backbone>> {
    let term = node.genesis().parameters.terms().of_height(height);
    let in_state = node.state().read(|state| query::backbone_of_term(state, term))?;
    Ok(in_state.or_else(|| {
        let way = node.hand_overs(term);
        let last = way.last().map(|last| last.backbone.clone());
        if term == Term(0) {
            node.genesis().first_backbone()
        } else {
            last.filter(|_| u64::try_from(way.len()) == Ok(term.0))
        }
    }))
}

/// The way to the backbone that makes the block at `height` final.
async fn hand_overs(
    node: Arc<dyn NodeView>,
    height: BlockHeight,
) -> Result<BoundedVec<HandOver, HAND_OVERS_MAX>, Problem> {
    let term = node.genesis().parameters.terms().of_height(height.next());
    let missing = || {
        Problem::not_found(
            format!("this node can't show how the backbone of term {term} came to be"),
            "ask another node",
        )
    };
    let found = tokio::task::spawn_blocking(move || node.hand_overs(term));
    let way = found
        .await
        .map_err(|_| Problem::internal("the disk can't be read"))?;
    if u64::try_from(way.len()) != Ok(term.0) {
        return Err(missing());
    }
    BoundedVec::new(way).map_err(|_| missing())
}

/// The proof that `header` is final: from the block after it, which is waited for if it is the newest.
async fn finality(node: Arc<dyn NodeView>, header: Header) -> Result<FinalityProof, Problem> {
    let height = header.height;
    let term = node.genesis().parameters.terms().of_height(height.next());
    let mut heads = node.subscribe();
    let next = async { heads.wait_for(|head| head.height > height).await.is_ok() };
    let is_there = tokio::time::timeout(Duration::from_millis(NEXT_BLOCK_MS_MAX), next).await;
    if is_there != Ok(true) {
        let detail = format!("block {height} is not final yet: the network has closed none after it");
        return Err(Problem::busy(&detail));
    }
    let found = tokio::task::spawn_blocking(move || {
        let block = node.block(height.next())?;
        let backbone = backbone(node.as_ref(), height.next())?;
        anyhow::Ok(block.zip(backbone))
    });
    let proof = state_answer(found.await)?.and_then(|((block, _), backbone)| {
        let quorum_set = backbone.quorum_set();
        block.proves(header, Voters::of_term(term, &backbone, &quorum_set))
    });
    proof.ok_or_else(|| {
        Problem::not_found(
            format!("this node keeps no proof for block {height}"),
            "ask another node, or for a newer block",
        )
    })
}
