//! The public listener: reading, and one POST of signed transactions. It tells nothing that is not on the ledger.

use super::client::DealsFilter;
use super::evidence::EvidenceInfo;
use super::facts::{self, Facts};
use super::limits::{BODY_BYTES_MAX, Limits, STREAMS_MAX};
use super::metrics;
use super::newest::NewestInfo;
use super::problem::Problem;
use super::proofs;
use super::seats::{SeatInfo, SeatsInfo};
use super::trust::{NodesInfo, Ranks, TrustInfo};
use super::types::{
    AccountInfo, BlockInfo, DealInfo, DealsPage, HandedHeartbeat, HeadInfo, HealthInfo, ProviderInfo,
    StatusInfo, SubmitReply, TransactionInfo,
};
use super::upgrades::UpgradesInfo;
use super::view::NodeView;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use futures::stream::{self, Stream};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watt_ledger::query;
use watt_light::SignedTransaction;
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, TransactionId, codec};

/// Deals of a client in one answer.
const DEALS_PER_PAGE: usize = 50;

/// The most deals of one file that are told: 1,024 bundles are about a tebibyte.
const MANIFEST_DEALS_MAX: usize = 1_024;

/// Every route of the public listener. A new one is a new line here; the tests walk the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicRoute {
    /// The newest header.
    Head,
    /// A block.
    Block,
    /// What became of a transaction.
    Transaction,
    /// Hands in a signed transaction.
    Submit,
    /// Hands in a signed heartbeat.
    SubmitHeartbeat,
    /// An account.
    Account,
    /// Whom an account's owner trusts, and who trusts them.
    Trust,
    /// How it is about somebody's seat of the backbone.
    Seat,
    /// The seats of the backbone, and who stands for one.
    Seats,
    /// Which rules are in force, and how they change.
    Upgrades,
    /// Nodes that anybody may ask, with the ranks of those who run them.
    Nodes,
    /// All providers.
    Providers,
    /// Deals of a file or a client.
    Deals,
    /// One deal.
    Deal,
    /// Validators that contradicted themselves.
    Evidence,
    /// Whether the node is correctly connected.
    Health,
    /// Which block is the newest that is final, signed.
    Newest,
    /// A proof that a block is final.
    BlockProof,
    /// A proof of what an account is.
    AccountProof,
    /// How the node is.
    Status,
    /// The genesis document.
    Genesis,
    /// New heads, as server-sent events.
    Events,
    /// The process lives.
    Live,
    /// The node serves and is up to date.
    Ready,
    /// Prometheus metrics.
    Metrics,
}

impl PublicRoute {
    /// Every route.
    pub const ALL: [Self; 25] = [
        Self::Head,
        Self::Block,
        Self::Transaction,
        Self::Submit,
        Self::SubmitHeartbeat,
        Self::Account,
        Self::Trust,
        Self::Seat,
        Self::Seats,
        Self::Upgrades,
        Self::Nodes,
        Self::Providers,
        Self::Deals,
        Self::Deal,
        Self::Evidence,
        Self::Health,
        Self::Newest,
        Self::BlockProof,
        Self::AccountProof,
        Self::Status,
        Self::Genesis,
        Self::Events,
        Self::Live,
        Self::Ready,
        Self::Metrics,
    ];

    /// The route's path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Head => "/api/v1/head",
            Self::Block => "/api/v1/blocks/{height}",
            Self::Transaction => "/api/v1/transactions/{id}",
            Self::Submit => "/api/v1/transactions",
            Self::SubmitHeartbeat => "/api/v1/heartbeats",
            Self::Account => "/api/v1/accounts/{address}",
            Self::Trust => "/api/v1/accounts/{address}/trust",
            Self::Seat => "/api/v1/accounts/{address}/seat",
            Self::Seats => "/api/v1/seats",
            Self::Upgrades => "/api/v1/upgrades",
            Self::Nodes => "/api/v1/nodes",
            Self::Providers => "/api/v1/providers",
            Self::Deals => "/api/v1/deals",
            Self::Deal => "/api/v1/deals/{id}",
            Self::Evidence => "/api/v1/evidence",
            Self::Health => "/api/v1/health",
            Self::Newest => "/api/v1/newest",
            Self::BlockProof => "/api/v1/proofs/blocks/{height}",
            Self::AccountProof => "/api/v1/proofs/accounts/{address}",
            Self::Status => "/api/v1/status",
            Self::Genesis => "/api/v1/genesis",
            Self::Events => "/api/v1/events",
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
        }
    }

    fn handler(self) -> MethodRouter<PublicState> {
        match self {
            Self::Head => get(head),
            Self::Block => get(block),
            Self::Transaction => get(transaction),
            Self::Submit => post(submit),
            Self::SubmitHeartbeat => post(submit_heartbeat),
            Self::Account => get(account),
            Self::Trust => get(trust),
            Self::Seat => get(seat),
            Self::Seats => get(seats),
            Self::Upgrades => get(upgrades),
            Self::Nodes => get(nodes),
            Self::Providers => get(providers),
            Self::Deals => get(deals),
            Self::Deal => get(deal),
            Self::Evidence => get(evidence),
            Self::Health => get(health),
            Self::Newest => get(newest),
            Self::BlockProof => get(block_proof),
            Self::AccountProof => get(account_proof),
            Self::Status => get(status),
            Self::Genesis => get(genesis),
            Self::Events => get(events),
            Self::Live => get(live),
            Self::Ready => get(ready),
            Self::Metrics => get(prometheus),
        }
    }
}

#[derive(Clone)]
struct PublicState {
    node: Arc<dyn NodeView>,
    limits: Arc<Limits>,
    streams: Arc<Semaphore>,
    ranks: Arc<Ranks>,
}

/// The public listener's routes, within `limits`.
pub(super) fn router(node: Arc<dyn NodeView>, limits: Arc<Limits>) -> Router {
    let state = PublicState {
        node,
        limits: Arc::clone(&limits),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        ranks: Arc::default(),
    };
    let routes = PublicRoute::ALL.into_iter().fold(Router::new(), |router, route| {
        router.route(route.path(), route.handler())
    });
    routes
        .fallback(super::serve::no_such_route)
        .method_not_allowed_fallback(super::serve::no_such_method)
        .with_state(state)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(
            limits,
            super::limits::within_limits,
        ))
        .layer(axum::middleware::from_fn(super::limits::safe_headers))
        .layer(axum::middleware::from_fn(super::limits::readable_from_any_page))
}

impl PublicState {
    /// Asks the state; disk reads stay off the threads that serve connections.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Facts<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let node = Arc::clone(&self.node);
        let answer = tokio::task::spawn_blocking(move || {
            node.state().read(|state| {
                question(&Facts {
                    state,
                    genesis: node.genesis(),
                })
            })
        });
        state_answer(answer.await)
    }
}

/// What a question to the state came to.
pub(super) fn state_answer<T>(
    answer: Result<anyhow::Result<T>, tokio::task::JoinError>,
) -> Result<T, Problem> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Problem::internal(error.to_string())),
        Err(_) => Err(Problem::internal("reading the state failed")),
    }
}

async fn head(State(api): State<PublicState>) -> Json<HeadInfo> {
    Json(facts::head(&api.node.head()))
}

async fn block(
    State(api): State<PublicState>,
    Path(height): Path<String>,
) -> Result<Json<BlockInfo>, Problem> {
    let height = block_height(&height)?;
    let node = Arc::clone(&api.node);
    let found = tokio::task::spawn_blocking(move || {
        node.block(height)
            .map(|found| found.map(|(block, header)| facts::block(&*node, &block, &header)))
    });
    match found.await {
        Ok(Ok(Some(info))) => Ok(Json(info)),
        Ok(Ok(None)) => {
            let head = api.node.head().height;
            Err(Problem::not_found(
                format!("there is no block {height}"),
                &format!("the newest is {head}, the first is 1"),
            ))
        }
        Ok(Err(error)) => Err(Problem::internal(format!(
            "reading block {height} failed: {error}"
        ))),
        Err(_) => Err(Problem::internal(format!("reading block {height} failed"))),
    }
}

fn block_height(text: &str) -> Result<BlockHeight, Problem> {
    text.parse().map(BlockHeight).map_err(|_| {
        Problem::bad_request(
            format!("`{text}` is no height"),
            "use a number, for example /api/v1/blocks/42",
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewestQuery {
    nonce: String,
    at: Option<u64>,
}

async fn newest(
    State(api): State<PublicState>,
    asked: Result<Query<NewestQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<NewestInfo>, Problem> {
    let hint = "ask with ?nonce= and 64 hexadecimal digits of your own, and &at=HEIGHT for none above it";
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text(), hint))?;
    let nonce =
        Hash::from_hex(&asked.nonce).ok_or_else(|| Problem::bad_request("the nonce is none", hint))?;
    let at = asked.at.map(BlockHeight);
    let node = Arc::clone(&api.node);
    let word = tokio::task::spawn_blocking(move || node.newest(&nonce, at)).await;
    let word = state_answer(word)?;
    Ok(Json(NewestInfo::of(&word, nonce)))
}

async fn block_proof(
    State(api): State<PublicState>,
    Path(height): Path<String>,
) -> Result<Response, Problem> {
    let (height, _waiting) = (block_height(&height)?, wait_place(&api)?);
    Ok(cbor(&proofs::of_block(api.node, height).await?))
}

async fn account_proof(
    State(api): State<PublicState>,
    Path(address): Path<String>,
) -> Result<Response, Problem> {
    let (id, _waiting) = (account_id(&api, &address)?, wait_place(&api)?);
    Ok(cbor(&proofs::of_account(api.node, id).await?))
}

/// A place among those that may hold a request open: event streams, and proofs that wait for the next block.
fn wait_place(api: &PublicState) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = |_| Problem::busy("too many others wait for the next block");
    Arc::clone(&api.streams).try_acquire_owned().map_err(busy)
}

fn cbor<T: serde::Serialize>(value: &T) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], codec::encode(value)).into_response()
}

async fn transaction(
    State(api): State<PublicState>,
    Path(id): Path<String>,
) -> Result<Json<TransactionInfo>, Problem> {
    let id = TransactionId::from_hex(&id).ok_or_else(|| {
        Problem::bad_request(
            format!("`{id}` is no transaction"),
            "an id has 64 hexadecimal digits",
        )
    })?;
    let node = Arc::clone(&api.node);
    let found = tokio::task::spawn_blocking(move || {
        let found = node.transaction(id)?;
        Ok(found.map(|(height, index, receipt)| facts::transaction(&*node, id, height, index, &receipt)))
    });
    state_answer(found.await)?.map(Json).ok_or_else(|| {
        Problem::not_found(
            format!("transaction {id} is in no block"),
            "if it was just handed in, ask again in some seconds",
        )
    })
}

/// A transaction in JSON: its canonical encoding as hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitBody {
    transaction: String,
}

async fn submit(
    State(api): State<PublicState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(BODY_BYTES_MAX),
        _ => Problem::bad_request(error.body_text(), "send the whole body"),
    })?;
    let network = api.node.genesis().network();
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let bytes = match media.split(';').next().map(str::trim) {
        Some("application/cbor") => body.to_vec(),
        Some("application/json") => {
            let hint = "send {\"transaction\": \"<hexadecimal>\"}";
            let body: SubmitBody = serde_json::from_slice(&body).map_err(|error| {
                Problem::bad_request(format!("the body is not what it should be: {error}"), hint)
            })?;
            decode_hex(&body.transaction)
                .ok_or_else(|| Problem::bad_request("the transaction is not hexadecimal", hint))?
        }
        Some(_) | None => {
            return Err(Problem::unsupported_media_type(
                "application/cbor or application/json",
            ));
        }
    };
    let signed = SignedTransaction::decode(&bytes, &network).map_err(|error| {
        Problem::bad_request(
            error.to_string(),
            "encode it as canonical DAG-CBOR: docs/spec/encoding.md",
        )
    })?;
    let id = signed.transaction.id(&network);
    let node = Arc::clone(&api.node);
    let known = tokio::task::spawn_blocking(move || node.transaction(id));
    if state_answer(known.await)?.is_some() {
        return Ok(Json(SubmitReply {
            id,
            state: "recorded".to_owned(),
        })
        .into_response());
    }
    match api.node.submit(signed).await {
        Ok(id) => {
            let reply = Json(SubmitReply {
                id,
                state: "pending".to_owned(),
            });
            Ok((StatusCode::ACCEPTED, reply).into_response())
        }
        Err(reason) => Err(Problem::refused(reason, "nothing was paid")),
    }
}

/// The most bytes of a heartbeat that is handed in: one that declares as many sectors as there can be.
const HEARTBEAT_BYTES_MAX: usize = 64 * 1024;

async fn submit_heartbeat(
    State(api): State<PublicState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let body = body.map_err(|error| Problem::bad_request(error.body_text(), "send the whole body"))?;
    let handed: HandedHeartbeat = codec::decode(&body, HEARTBEAT_BYTES_MAX).map_err(|error| {
        Problem::bad_request(
            error.to_string(),
            "encode window and heartbeat as canonical DAG-CBOR: docs/spec/api.md",
        )
    })?;
    match api.node.submit_heartbeat(handed.window, handed.heartbeat).await {
        Ok(()) => Ok(StatusCode::ACCEPTED),
        Err(reason) => Err(Problem::refused(
            reason,
            "answer the running window, and send it again",
        )),
    }
}

async fn account(
    State(api): State<PublicState>,
    Path(address): Path<String>,
) -> Result<Json<AccountInfo>, Problem> {
    let id = account_id(&api, &address)?;
    let found = api.ask(move |facts| facts.account(&id)).await?;
    found.map(Json).ok_or_else(|| {
        Problem::not_found(
            format!("the account {address} has received nothing yet"),
            "send some WATT to it first",
        )
    })
}

fn account_id(api: &PublicState, address: &str) -> Result<AccountId, Problem> {
    AccountId::parse_address(address, facts::address_kind(api.node.genesis()))
        .map_err(|error| Problem::bad_request(format!("`{address}`: {error}"), "copy the address again"))
}

#[derive(Debug, Deserialize)]
struct TrustQuery {
    after: Option<String>,
}

async fn trust(
    State(api): State<PublicState>,
    Path(address): Path<String>,
    asked: Result<Query<TrustQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<TrustInfo>, Problem> {
    let hint = "ask with ?after=ADDRESS for the next page";
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text(), hint))?;
    let person = account_id(&api, &address)?;
    let after = asked.after.map(|after| account_id(&api, &after)).transpose()?;
    api.ask(move |facts| facts.trust(&person, after.as_ref()))
        .await
        .map(Json)
}

fn no_ledger() -> Problem {
    Problem::internal("the state is damaged")
}

async fn seat(
    State(api): State<PublicState>,
    Path(address): Path<String>,
) -> Result<Json<SeatInfo>, Problem> {
    let person = account_id(&api, &address)?;
    let found = api.ask(move |facts| facts.seat(&person)).await?;
    found.map(Json).ok_or_else(no_ledger)
}

async fn seats(State(api): State<PublicState>) -> Result<Json<SeatsInfo>, Problem> {
    let found = api.ask(|facts| facts.seats()).await?;
    found.map(Json).ok_or_else(no_ledger)
}

async fn upgrades(State(api): State<PublicState>) -> Result<Json<UpgradesInfo>, Problem> {
    let known = api.node.status().rules_version_known;
    let found = api.ask(move |facts| facts.upgrades(known)).await?;
    found.map(Json).ok_or_else(no_ledger)
}

async fn nodes(State(api): State<PublicState>) -> Result<Json<NodesInfo>, Problem> {
    let ranks = Arc::clone(&api.ranks);
    api.ask(move |facts| facts.nodes(&ranks)).await.map(Json)
}

async fn providers(State(api): State<PublicState>) -> Result<Json<Vec<ProviderInfo>>, Problem> {
    api.ask(|facts| facts.providers()).await.map(Json)
}

async fn deal(State(api): State<PublicState>, Path(id): Path<String>) -> Result<Json<DealInfo>, Problem> {
    let id = deal_id(&id)?;
    let found = api.ask(move |facts| facts.deal(id)).await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no deal {id}"), "check the id and the network"))
}

/// Exactly one of `manifest` and `client`; `after` continues a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DealsQuery {
    manifest: Option<String>,
    client: Option<String>,
    after: Option<String>,
}

async fn deals(
    State(api): State<PublicState>,
    asked: Result<Query<DealsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<DealsPage>, Problem> {
    let hint = "ask with ?manifest=CID or ?client=ADDRESS, and &after=DEAL for the next page";
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text(), hint))?;
    let after = asked.after.as_deref().map(deal_id).transpose()?;
    let which = match (&asked.manifest, &asked.client) {
        (Some(cid), None) => DealsFilter::Manifest(
            cid.parse()
                .map_err(|error| Problem::bad_request(format!("`{cid}`: {error}"), hint))?,
        ),
        (None, Some(client)) => {
            let kind = facts::address_kind(api.node.genesis());
            let client = AccountId::parse_address(client, kind)
                .map_err(|error| Problem::bad_request(format!("`{client}`: {error}"), hint))?;
            DealsFilter::Client(client)
        }
        (None, None) | (Some(_), Some(_)) => return Err(Problem::bad_request("which deals?", hint)),
    };
    let page = api.ask(move |facts| {
        let ids = match which {
            DealsFilter::Manifest(cid) => query::deals_of_manifest(facts.state, &cid, MANIFEST_DEALS_MAX),
            DealsFilter::Client(client) => {
                query::deals_of_client(facts.state, &client, after.as_ref(), DEALS_PER_PAGE)
            }
        };
        let is_full = matches!(which, DealsFilter::Client(_)) && ids.len() == DEALS_PER_PAGE;
        let next = if is_full {
            ids.last().map(ToString::to_string)
        } else {
            None
        };
        DealsPage {
            deals: ids.into_iter().filter_map(|id| facts.deal(id)).collect(),
            next,
        }
    });
    page.await.map(Json)
}

async fn status(State(api): State<PublicState>) -> Result<Json<StatusInfo>, Problem> {
    let (status, circle) = (api.node.status(), api.node.circle());
    api.ask(move |facts| facts.status(&status, circle))
        .await
        .map(Json)
}

async fn evidence(State(api): State<PublicState>) -> Json<EvidenceInfo> {
    Json(EvidenceInfo::of(&api.node.evidence()))
}

async fn health(State(api): State<PublicState>) -> Json<HealthInfo> {
    Json(HealthInfo {
        report: api.node.health().for_anyone(),
        circle: api.node.circle(),
    })
}

async fn genesis(State(api): State<PublicState>) -> Response {
    cbor(api.node.genesis())
}

async fn live() -> &'static str {
    "alive\n"
}

async fn ready(State(api): State<PublicState>) -> Response {
    let readiness = facts::readiness(api.node.genesis(), &api.node.status());
    let status = if readiness.is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn prometheus(State(api): State<PublicState>) -> Response {
    let text = metrics::text(&api.node.status(), &api.node.evidence(), &api.limits);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// New heads: one event each, the present one first.
async fn events(
    State(api): State<PublicState>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit = Arc::clone(&api.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::busy("this node serves as many event streams as it can"))?;
    let mut heads = api.node.subscribe();
    heads.mark_changed();
    let next = |(mut heads, permit): (
        tokio::sync::watch::Receiver<watt_light::Header>,
        OwnedSemaphorePermit,
    )| async move {
        heads.changed().await.ok()?;
        let info = facts::head(&heads.borrow_and_update());
        let data = serde_json::to_string(&info).unwrap_or_default();
        let event = Event::default()
            .event("head")
            .id(info.height.to_string())
            .data(data);
        Some((Ok(event), (heads, permit)))
    };
    Ok(Sse::new(stream::unfold((heads, permit), next)).keep_alive(KeepAlive::default()))
}

fn deal_id(text: &str) -> Result<DealId, Problem> {
    DealId::from_hex(text).ok_or_else(|| {
        Problem::bad_request(format!("`{text}` is no deal"), "an id has 64 hexadecimal digits")
    })
}

pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
