//! What an owner asks of a node about a plan to restart the network (`docs/spec/node.md` §12).

use super::problem::Problem;
use super::public::state_answer;
use super::types::{hash_hex, network_hex, node_hex};
use super::view::NodeView;
use crate::runtime::node_loop::RestartAsk;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use watt_engine::LookedAt;
use watt_ledger::{StateRead, query, restart};
use watt_light::Restart;
use watt_light::restart::RESTART_BYTES_MAX;
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, Hash, NetworkId, NodeId, codec};

/// The next step when a plan is refused.
const HINT: &str = "nothing was changed; look at the plan with `watt node restart-plan show`";

/// A seat of a plan to draft.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeatToDraft {
    /// Whose.
    pub(crate) account: String,
    /// The key that is to vote, hexadecimal; the one that votes now if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// A plan to draft from the newest block of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToDraft {
    /// Who is to vote.
    pub(crate) seats: Vec<SeatToDraft>,
    /// For people.
    pub(crate) reason: String,
}

/// A plan, or one with signatures, in canonical encoding.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encoded {
    /// Hexadecimal.
    pub(crate) bytes: String,
}

/// Whether a plan is accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToAccept {
    /// Its hash.
    #[serde(with = "hash_hex")]
    pub(crate) plan: Hash,
    /// Whether it is accepted.
    pub(crate) accept: bool,
}

/// What a node says about restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RestartsInfo {
    /// The network as it is in the next block.
    #[serde(with = "network_hex")]
    pub(crate) network: NetworkId,
    /// How often the network was restarted.
    pub(crate) restarts: u64,
    /// The newest block here.
    pub(crate) height: u64,
    /// The plan that the node looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) looked_at: Option<PlanInfo>,
    /// Plans that a later block refuted, the newest first.
    pub(crate) refuted: Vec<RefutedInfo>,
}

/// A plan that a node looks at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlanInfo {
    /// Its hash.
    #[serde(with = "hash_hex")]
    pub(crate) plan: Hash,
    /// The network that it makes.
    #[serde(with = "network_hex")]
    pub(crate) network: NetworkId,
    /// Which restart it is, from 1.
    pub(crate) restart_no: u64,
    /// The newest block that stays.
    pub(crate) base: u64,
    /// For people.
    pub(crate) reason: String,
    /// Who is to vote.
    pub(crate) seats: Vec<PlannedSeat>,
    /// Who agreed.
    pub(crate) people: Vec<String>,
    /// How many are asked.
    pub(crate) n_asked: u64,
    /// How many of them agreed.
    pub(crate) n_agree: u64,
    /// For how long the node looked at it, in seconds.
    pub(crate) looked_at_s: u64,
    /// For how long it has to.
    pub(crate) needed_s: u64,
    /// Whether the owner accepts it.
    pub(crate) is_accepted: bool,
}

/// A seat of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlannedSeat {
    /// Whose.
    pub(crate) account: String,
    /// The key that is to vote.
    #[serde(with = "node_hex")]
    pub(crate) key: NodeId,
}

/// A plan that a later block refuted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefutedInfo {
    /// Its hash.
    #[serde(with = "hash_hex")]
    pub(crate) plan: Hash,
    /// The block with which it began.
    pub(crate) base: u64,
    /// The later block.
    pub(crate) height: u64,
}

fn kind(node: &dyn NodeView) -> AddressKind {
    if node.genesis().is_main {
        AddressKind::Main
    } else {
        AddressKind::Test
    }
}

fn info(known: &LookedAt, asked: &BTreeSet<AccountId>, kind: AddressKind, needed_ms: u64) -> PlanInfo {
    let (plan, people) = (&known.restart.plan, &known.restart.people);
    let seats = plan.backbone.entries().iter().map(|entry| PlannedSeat {
        account: entry.account.to_address(kind),
        key: entry.key,
    });
    let n_agree = people.iter().filter(|one| asked.contains(&one.account)).count();
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    PlanInfo {
        plan: plan.hash(),
        network: plan.network_after(),
        restart_no: plan.restart_no,
        base: plan.base.height.0,
        reason: plan.reason.as_str().to_owned(),
        seats: seats.collect(),
        people: people.iter().map(|one| one.account.to_address(kind)).collect(),
        n_asked: number(asked.len()),
        n_agree: number(n_agree),
        looked_at_s: known.waited_ms / 1_000,
        needed_s: needed_ms.div_ceil(1_000),
        is_accepted: known.is_accepted,
    }
}

pub(super) async fn show(State(node): State<Arc<dyn NodeView>>) -> Result<Json<RestartsInfo>, Problem> {
    let answer = tokio::task::spawn_blocking(move || {
        let (log, kind) = (node.restart_log(), kind(&*node));
        let needed_ms = node.genesis().parameters.restart_wait_ms();
        let restarts = u64::try_from(node.restarts().len()).unwrap_or(u64::MAX);
        node.state().read(|state| RestartsInfo {
            network: query::network(state).unwrap_or_else(|| node.genesis().network()),
            restarts,
            height: node.head().height.0,
            looked_at: log
                .looked_at
                .as_ref()
                .map(|known| info(known, &restart::asked(state), kind, needed_ms)),
            refuted: log
                .refuted
                .iter()
                .map(|one| RefutedInfo {
                    plan: one.plan,
                    base: one.base.0,
                    height: one.height.0,
                })
                .collect(),
        })
    });
    state_answer(answer.await).map(Json)
}

pub(super) async fn draft(
    State(node): State<Arc<dyn NodeView>>,
    asked: Result<Json<ToDraft>, JsonRejection>,
) -> Result<Json<Encoded>, Problem> {
    let asked = said(asked)?;
    let hint = "name accounts by their addresses, and keys by 64 hexadecimal digits";
    let wrong = |what: &str| Problem::bad_request(format!("`{what}` is no seat to plan"), hint);
    let mut seats = Vec::new();
    for seat in &asked.seats {
        let account = AccountId::parse_address(&seat.account, kind(&*node));
        let account = account.map_err(|_| wrong(&seat.account))?;
        let key = seat
            .key
            .as_ref()
            .map(|text| NodeId::from_hex(text).ok_or_else(|| wrong(text)));
        seats.push((account, key.transpose()?));
    }
    let answer = tokio::task::spawn_blocking(move || {
        node.state().read(|state| {
            let with_keys = seats
                .into_iter()
                .map(|(account, key)| Some((account, key.or_else(|| voting_now(state, &account))?)));
            restart::draft(state, with_keys.collect::<Option<Vec<_>>>()?, &asked.reason)
        })
    });
    let plan = state_answer(answer.await)?;
    let plan = plan.ok_or_else(|| {
        let facts =
            "who has no seat needs a key, nobody may be named twice, and the reason has at most 200 bytes";
        Problem::bad_request("these seats make no plan".to_owned(), facts)
    })?;
    Ok(Json(Encoded {
        bytes: to_hex(&codec::encode(&plan)),
    }))
}

/// What was said, or what is wrong with it.
fn said<T>(asked: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    let Json(asked) = asked.map_err(|why| {
        let hint = "say what `docs/spec/api.md` names, as JSON";
        Problem::bad_request(why.body_text(), hint)
    })?;
    Ok(asked)
}

fn voting_now(state: &impl StateRead, account: &AccountId) -> Option<NodeId> {
    Some(query::deciders(state)?.of_account(account)?.key)
}

pub(super) async fn look_at(
    State(node): State<Arc<dyn NodeView>>,
    asked: Result<Json<Encoded>, JsonRejection>,
) -> Result<Json<RestartsInfo>, Problem> {
    let asked = said(asked)?;
    let bytes = from_hex(&asked.bytes);
    let restart = bytes.and_then(|bytes| codec::decode::<Restart>(&bytes, RESTART_BYTES_MAX).ok());
    let restart =
        restart.ok_or_else(|| Problem::bad_request("this is no plan with signatures".to_owned(), HINT))?;
    let looked = node.ask_restart(RestartAsk::LookAt(Box::new(restart))).await;
    looked.map_err(|why| Problem::conflict(why, HINT))?;
    show(State(node)).await
}

pub(super) async fn accept(
    State(node): State<Arc<dyn NodeView>>,
    asked: Result<Json<ToAccept>, JsonRejection>,
) -> Result<Json<RestartsInfo>, Problem> {
    let asked = said(asked)?;
    let ask = RestartAsk::Accept {
        plan: asked.plan,
        is_accepted: asked.accept,
    };
    let done = node.ask_restart(ask).await;
    done.map_err(|why| Problem::conflict(why, HINT))?;
    show(State(node)).await
}

/// Bytes as hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of hexadecimal.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    digits
        .chunks(2)
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .filter(|_| is_hex)
}
