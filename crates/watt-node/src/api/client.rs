//! Talks to a node's public listener on behalf of a command.
//!
//! It knows several addresses if the network has several: when one refuses the connection it goes to the next, so that a
//! command outlives the death of a node. Errors arrive as [`CommandError`]s with the node's own words.

use super::evidence::EvidenceInfo;
use super::newest::NewestInfo;
use super::problem::ProblemBody;
use super::seats::{SeatInfo, SeatsInfo};
use super::trust::{NodesInfo, TrustInfo};
use super::types::{
    AccountInfo, BlockInfo, DealInfo, DealsPage, HandedHeartbeat, HeadInfo, HealthInfo, ProviderInfo,
    StatusInfo, SubmitReply, TransactionInfo,
};
use super::upgrades::UpgradesInfo;
use crate::error::{CommandError, ErrorKind};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use watt_ledger::Genesis;
use watt_ledger::genesis::GENESIS_BYTES_MAX;
use watt_light::{Shown, SignedTransaction};
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, BlockHeight, Cid, DealId, Hash, NetworkId, TransactionId, codec};

/// Times round all addresses before giving up: with the pauses between them, about three seconds.
const ROUNDS: u32 = 5;
/// Pause after the first round, in milliseconds; doubles.
const PAUSE_MS: u64 = 200;
/// How long a connection may take to be made, in milliseconds.
const CONNECT_MS_MAX: u64 = 3_000;
/// How long one answer may take, in milliseconds; above the server's own bound.
const ANSWER_MS_MAX: u64 = 25_000;
/// The most bytes of an answer: above the largest block in JSON.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The most pages of those who trust somebody that are fetched.
const TRUST_PAGES_MAX: usize = 1_000;

/// Which deals to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DealsFilter {
    /// Those that hold the file with this manifest.
    Manifest(Cid),
    /// Those that this account pays.
    Client(AccountId),
}

/// A client of one network's public listeners; cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiClient {
    http: reqwest::Client,
    bases: Arc<[String]>,
    /// Position of the address that answered last.
    preferred: Arc<AtomicUsize>,
    is_test_network: bool,
    /// What to do when nobody answers.
    hint: Arc<str>,
}

/// A request's body.
#[derive(Clone, Debug)]
enum Body {
    Nothing,
    Cbor(Vec<u8>),
    Json(serde_json::Value),
}

impl ApiClient {
    /// A client of the nodes at `bases`, for example `http://127.0.0.1:28471`; `hint` is said when none answers.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(bases: &[String], hint: &str) -> Result<Self, CommandError> {
        let bases = bases
            .iter()
            .map(|base| checked_base(base))
            .collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(CommandError::new(ErrorKind::Usage, "no node to talk to", hint));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
            .timeout(Duration::from_millis(ANSWER_MS_MAX))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| {
                CommandError::new(
                    ErrorKind::Other,
                    format!("can't speak HTTP: {error}"),
                    "report this",
                )
            })?;
        Ok(Self {
            http,
            bases: bases.into(),
            preferred: Arc::new(AtomicUsize::new(0)),
            is_test_network: true,
            hint: hint.into(),
        })
    }

    /// The same client, writing addresses of the main network if `is_main`.
    #[must_use]
    pub fn on_network(mut self, is_main: bool) -> Self {
        self.is_test_network = !is_main;
        self
    }

    /// The address that answered last.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.bases[self.preferred.load(Ordering::Relaxed) % self.bases.len()]
    }

    /// The network's genesis document.
    ///
    /// # Errors
    /// No answer, or no genesis.
    pub async fn genesis(&self) -> Result<Genesis, CommandError> {
        let bytes = self.call(Method::GET, "/api/v1/genesis", &Body::Nothing).await?;
        codec::decode(&bytes, GENESIS_BYTES_MAX).map_err(|error| self.nonsense(&error.to_string()))
    }

    /// The newest header.
    ///
    /// # Errors
    /// No answer.
    pub async fn head(&self) -> Result<HeadInfo, CommandError> {
        self.get("/api/v1/head").await
    }

    /// Which validators contradicted themselves.
    ///
    /// # Errors
    /// No answer.
    pub async fn evidence(&self) -> Result<EvidenceInfo, CommandError> {
        self.get("/api/v1/evidence").await
    }

    /// Whether the node that answers is correctly connected.
    ///
    /// # Errors
    /// No answer.
    pub async fn health(&self) -> Result<HealthInfo, CommandError> {
        self.get("/api/v1/health").await
    }

    /// The block at `height`.
    ///
    /// # Errors
    /// No answer, or no such block yet.
    pub async fn block(&self, height: BlockHeight) -> Result<BlockInfo, CommandError> {
        self.get(&format!("/api/v1/blocks/{height}")).await
    }

    /// Which block the node says is the newest, to a question with this nonce; unchecked.
    ///
    /// # Errors
    /// No answer.
    pub async fn newest(&self, nonce: &Hash) -> Result<NewestInfo, CommandError> {
        self.get(&format!("/api/v1/newest?nonce={nonce}")).await
    }

    /// A proof that the block at `height` is final.
    ///
    /// # Errors
    /// No answer, or there is no such block or proof.
    pub async fn shown_block(&self, height: BlockHeight) -> Result<Shown, CommandError> {
        self.shown(&format!("/api/v1/proofs/blocks/{height}")).await
    }

    /// A proof of what an account is after the newest block.
    ///
    /// # Errors
    /// No answer, or the network closes no block that makes the newest final.
    pub async fn shown_account(&self, id: &AccountId) -> Result<Shown, CommandError> {
        let address = id.to_address(self.address_kind());
        self.shown(&format!("/api/v1/proofs/accounts/{address}")).await
    }

    async fn shown(&self, path: &str) -> Result<Shown, CommandError> {
        let bytes = self.call(Method::GET, path, &Body::Nothing).await?;
        codec::decode(&bytes, ANSWER_BYTES_MAX).map_err(|error| self.nonsense(&error.to_string()))
    }

    /// What became of a transaction.
    ///
    /// # Errors
    /// No answer, or it is in no block yet ([`ErrorKind::NotFound`]).
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionInfo, CommandError> {
        self.get(&format!("/api/v1/transactions/{id}")).await
    }

    /// Hands in a signed transaction; handing it in again does no harm.
    ///
    /// # Errors
    /// No answer, or the node refuses it with a reason.
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<SubmitReply, CommandError> {
        let body = Body::Cbor(codec::encode(transaction));
        let bytes = self.call(Method::POST, "/api/v1/transactions", &body).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.nonsense(&error.to_string()))
    }

    /// Hands in a signed heartbeat; handing it in again does no harm.
    ///
    /// # Errors
    /// No answer, or the node refuses it with a reason.
    pub async fn submit_heartbeat(&self, handed: &HandedHeartbeat) -> Result<(), CommandError> {
        let body = Body::Cbor(codec::encode(handed));
        self.call(Method::POST, "/api/v1/heartbeats", &body)
            .await
            .map(drop)
    }

    /// Balance and keys of an account.
    ///
    /// # Errors
    /// No answer, or no such account.
    pub async fn account(&self, id: &AccountId) -> Result<AccountInfo, CommandError> {
        self.get(&format!(
            "/api/v1/accounts/{}",
            id.to_address(self.address_kind())
        ))
        .await
    }

    fn trust_path(&self, id: &AccountId) -> String {
        format!("/api/v1/accounts/{}/trust", id.to_address(self.address_kind()))
    }

    /// Somebody's circle, and a first page of those who trust them.
    ///
    /// # Errors
    /// No answer.
    pub async fn circle(&self, id: &AccountId) -> Result<TrustInfo, CommandError> {
        self.get(&self.trust_path(id)).await
    }

    /// Somebody's circle, and all who trust them, page by page.
    ///
    /// # Errors
    /// No answer.
    pub async fn trust(&self, id: &AccountId) -> Result<TrustInfo, CommandError> {
        let path = self.trust_path(id);
        let mut trust = self.circle(id).await?;
        // A node may lie, and have another page for ever.
        for _ in 0..TRUST_PAGES_MAX {
            let Some(next) = trust.next.take() else { break };
            let page: TrustInfo = self.get(&format!("{path}?after={next}")).await?;
            trust.trusted_by.extend(page.trusted_by);
            trust.next = page.next;
        }
        Ok(trust)
    }

    /// How it is about somebody's seat of the backbone.
    ///
    /// # Errors
    /// No answer.
    pub async fn seat(&self, id: &AccountId) -> Result<SeatInfo, CommandError> {
        self.get(&format!(
            "/api/v1/accounts/{}/seat",
            id.to_address(self.address_kind())
        ))
        .await
    }

    /// The seats of the backbone, and who stands for one.
    ///
    /// # Errors
    /// No answer.
    pub async fn seats(&self) -> Result<SeatsInfo, CommandError> {
        self.get("/api/v1/seats").await
    }

    /// Which rules are in force, and how they change.
    ///
    /// # Errors
    /// No answer.
    pub async fn upgrades(&self) -> Result<UpgradesInfo, CommandError> {
        self.get("/api/v1/upgrades").await
    }

    /// Nodes that anybody may ask, with the ranks of those who run them.
    ///
    /// # Errors
    /// No answer.
    pub async fn nodes(&self) -> Result<NodesInfo, CommandError> {
        self.get("/api/v1/nodes").await
    }

    /// All providers.
    ///
    /// # Errors
    /// No answer.
    pub async fn providers(&self) -> Result<Vec<ProviderInfo>, CommandError> {
        self.get("/api/v1/providers").await
    }

    /// One deal with its slots.
    ///
    /// # Errors
    /// No answer, or no such deal.
    pub async fn deal(&self, id: DealId) -> Result<DealInfo, CommandError> {
        self.get(&format!("/api/v1/deals/{id}")).await
    }

    /// All deals that `filter` selects, page by page.
    ///
    /// # Errors
    /// No answer.
    pub async fn deals(&self, filter: DealsFilter) -> Result<Vec<DealInfo>, CommandError> {
        let query = match filter {
            DealsFilter::Manifest(cid) => format!("manifest={cid}"),
            DealsFilter::Client(account) => format!("client={}", account.to_address(self.address_kind())),
        };
        let mut deals = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: DealsPage = self.get(&format!("/api/v1/deals?{query}{cursor}")).await?;
            deals.extend(page.deals);
            match page.next {
                Some(next) => cursor = format!("&after={next}"),
                None => return Ok(deals),
            }
        }
    }

    /// How the node is.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self) -> Result<StatusInfo, CommandError> {
        self.get("/api/v1/status").await
    }

    /// The network as it is in the next block, restarts included.
    ///
    /// # Errors
    /// No answer.
    pub async fn network(&self) -> Result<NetworkId, CommandError> {
        Ok(self.status().await?.network)
    }

    const fn address_kind(&self) -> AddressKind {
        if self.is_test_network {
            AddressKind::Test
        } else {
            AddressKind::Main
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        let bytes = self.call(Method::GET, path, &Body::Nothing).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.nonsense(&error.to_string()))
    }

    /// Asks one address after the other until one answers with something else than "busy".
    async fn call(&self, method: Method, path: &str, body: &Body) -> Result<Vec<u8>, CommandError> {
        let n_bases = self.bases.len();
        let mut last = None;
        for round in 0..ROUNDS {
            let first = self.preferred.load(Ordering::Relaxed);
            for offset in 0..n_bases {
                let position = first.wrapping_add(offset) % n_bases;
                let Some(base) = self.bases.get(position) else {
                    continue;
                };
                match send(&self.http, method.clone(), &format!("{base}{path}"), None, body).await {
                    Ok(bytes) => {
                        self.preferred.store(position, Ordering::Relaxed);
                        return Ok(bytes);
                    }
                    Err(failure) if failure.is_worth_another_try => last = Some(failure),
                    Err(failure) => return Err(failure.error),
                }
            }
            if round + 1 < ROUNDS {
                tokio::time::sleep(Duration::from_millis(PAUSE_MS << round)).await;
            }
        }
        Err(match last {
            Some(Failure {
                error,
                is_refused: false,
                ..
            }) => error,
            Some(_) | None => CommandError::new(
                ErrorKind::Temporary,
                format!("no node answers at {}", self.bases_text()),
                &*self.hint,
            ),
        })
    }

    /// The addresses that were tried, the first by name.
    fn bases_text(&self) -> String {
        match self.bases.as_ref() {
            [] => String::new(),
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} and {} more addresses", others.len()),
        }
    }

    fn nonsense(&self, reason: &str) -> CommandError {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("the answer of {} makes no sense: {reason}", self.base()),
            "check that --api names a WATT node of the same version",
        )
    }
}

/// A client of an owner's listener: one address, one token, no second try.
#[derive(Clone, Debug)]
pub struct OwnerClient {
    http: reqwest::Client,
    base: String,
    token: super::OwnerToken,
}

impl OwnerClient {
    /// A client of the owner's listener at `base`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(base: &str, token: super::OwnerToken) -> Result<Self, CommandError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(ANSWER_MS_MAX))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| {
                CommandError::new(
                    ErrorKind::Other,
                    format!("can't speak HTTP: {error}"),
                    "report this",
                )
            })?;
        Ok(Self {
            http,
            base: checked_base(base)?,
            token,
        })
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::GET, path, &Body::Nothing).await
    }

    /// Asks for `path` to be done.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        self.call(Method::POST, path, &Body::Json(serde_json::json!({})))
            .await
    }

    /// Asks for `path` to be done with what is said.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        said: &impl serde::Serialize,
    ) -> Result<T, CommandError> {
        let said = serde_json::to_value(said).map_err(|error| {
            CommandError::new(ErrorKind::Other, format!("can't be sent: {error}"), "report this")
        })?;
        self.call(Method::POST, path, &Body::Json(said)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Body,
    ) -> Result<T, CommandError> {
        let url = format!("{}{path}", self.base);
        let bytes = send(&self.http, method, &url, Some(&self.token), body)
            .await
            .map_err(|failure| failure.error)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("the answer of {} makes no sense: {error}", self.base);
            CommandError::new(
                ErrorKind::VerificationFailed,
                message,
                "use the same version of watt everywhere",
            )
        })
    }
}

/// Why one try failed, and whether another may help.
struct Failure {
    error: CommandError,
    is_worth_another_try: bool,
    is_refused: bool,
}

async fn send(
    http: &reqwest::Client,
    method: Method,
    url: &str,
    token: Option<&super::OwnerToken>,
    body: &Body,
) -> Result<Vec<u8>, Failure> {
    let mut request = http.request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token.secret());
    }
    request = match body {
        Body::Nothing => request,
        Body::Cbor(bytes) => request
            .header("content-type", "application/cbor")
            .body(bytes.clone()),
        Body::Json(value) => request.json(value),
    };
    let response = request
        .send()
        .await
        .map_err(|error| transport_failure(url, &error))?;
    let status = response.status();
    let bytes = read_bounded(response, url).await?;
    if status.is_success() {
        Ok(bytes)
    } else {
        Err(refusal(status, &bytes, url))
    }
}

async fn read_bounded(mut response: reqwest::Response, url: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| transport_failure(url, &error))?
    {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            let message = format!("{url} answers with more than {ANSWER_BYTES_MAX} bytes");
            let error = CommandError::new(
                ErrorKind::VerificationFailed,
                message,
                "check that this is a WATT node",
            );
            return Err(Failure {
                error,
                is_worth_another_try: false,
                is_refused: false,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn transport_failure(url: &str, error: &reqwest::Error) -> Failure {
    let is_refused = error.is_connect();
    let message = if is_refused {
        format!("no node answers at {url}")
    } else if error.is_timeout() {
        format!("{url} did not answer in time")
    } else {
        format!("the connection to {url} broke: {}", root_cause(error))
    };
    let error = CommandError::new(
        ErrorKind::Temporary,
        message,
        "check that the node runs, then try again",
    );
    Failure {
        error,
        is_worth_another_try: true,
        is_refused,
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The node's own words about a request it refused.
fn refusal(status: StatusCode, bytes: &[u8], url: &str) -> Failure {
    let problem: ProblemBody = serde_json::from_slice(bytes).unwrap_or_default();
    let named = ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == problem.kind);
    let kind = named.unwrap_or(match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::NotAllowed,
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::Usage,
        status if status.is_server_error() => ErrorKind::Temporary,
        _ => ErrorKind::Other,
    });
    let error = if problem.detail.is_empty() {
        CommandError::new(
            kind,
            format!("{url} answers {status}"),
            "check that --api names a WATT node",
        )
    } else {
        CommandError::new(kind, problem.detail, problem.hint)
    };
    Failure {
        error,
        is_worth_another_try: status == StatusCode::SERVICE_UNAVAILABLE,
        is_refused: false,
    }
}

/// A base address without a trailing slash; only `http`, which is all that nodes speak.
fn checked_base(base: &str) -> Result<String, CommandError> {
    let url = reqwest::Url::parse(base)
        .ok()
        .filter(|url| url.scheme() == "http" && url.has_host());
    match url {
        Some(url) if url.path() == "/" && url.query().is_none() && url.fragment().is_none() => {
            Ok(base.trim_end_matches('/').to_owned())
        }
        Some(_) | None => Err(CommandError::new(
            ErrorKind::Usage,
            format!("`{base}` is no address of a node"),
            "write for example --api http://127.0.0.1:28471",
        )),
    }
}
