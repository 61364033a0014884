//! The owner's listener: what only the node's owner may see and do. Every route is behind the guard.

use super::facts::Facts;
use super::guard::{Guard, only_the_owner};
use super::limits::{BODY_BYTES_MAX, Limits};
use super::problem::Problem;
use super::restart;
use super::types::{OwnerStatus, ProviderReport, Recovered, ScrubInfo};
use super::view::NodeView;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;

/// Every route of the owner's listener. A new one is a new line here; a test walks the list and sees it guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerRoute {
    /// How the node is, in detail.
    Status,
    /// What the provider does and earned.
    Provider,
    /// Reads everything that the provider stores, and puts right what it can.
    Scrub,
    /// Lets the node go on where it forgot what it said.
    Recover,
    /// What it knows of plans to restart the network.
    Restarts,
    /// Drafts such a plan.
    RestartDraft,
    /// Looks at a signed one.
    RestartLookAt,
    /// Accepts the one that it looks at, or not.
    RestartAccept,
    /// Ends the node.
    Stop,
}

impl OwnerRoute {
    /// Every route.
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Provider,
        Self::Scrub,
        Self::Recover,
        Self::Restarts,
        Self::RestartDraft,
        Self::RestartLookAt,
        Self::RestartAccept,
        Self::Stop,
    ];

    /// The route's path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Status => "/owner/v1/status",
            Self::Provider => "/owner/v1/provider",
            Self::Scrub => "/owner/v1/provider/scrub",
            Self::Recover => "/owner/v1/recover",
            Self::Restarts => "/owner/v1/restarts",
            Self::RestartDraft => "/owner/v1/restarts/draft",
            Self::RestartLookAt => "/owner/v1/restarts/look-at",
            Self::RestartAccept => "/owner/v1/restarts/accept",
            Self::Stop => "/owner/v1/stop",
        }
    }

    /// Whether it does something, so that it is called with POST.
    #[must_use]
    pub const fn is_action(self) -> bool {
        match self {
            Self::Status | Self::Provider | Self::Restarts => false,
            Self::Scrub
            | Self::Recover
            | Self::RestartDraft
            | Self::RestartLookAt
            | Self::RestartAccept
            | Self::Stop => true,
        }
    }

    fn handler(self) -> MethodRouter<Arc<dyn NodeView>> {
        match self {
            Self::Status => get(status),
            Self::Provider => get(provider),
            Self::Scrub => post(scrub),
            Self::Recover => post(recover),
            Self::Restarts => get(restart::show),
            Self::RestartDraft => post(restart::draft),
            Self::RestartLookAt => post(restart::look_at),
            Self::RestartAccept => post(restart::accept),
            Self::Stop => post(stop),
        }
    }
}

/// The owner's routes behind `guard`, within `limits`.
pub(super) fn router(node: Arc<dyn NodeView>, guard: Guard, limits: Arc<Limits>) -> Router {
    let routes = OwnerRoute::ALL.into_iter().fold(Router::new(), |router, route| {
        router.route(route.path(), route.handler())
    });
    routes
        .fallback(super::serve::no_such_route)
        .method_not_allowed_fallback(super::serve::no_such_method)
        .with_state(node)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(guard, only_the_owner))
        .layer(axum::middleware::from_fn_with_state(
            limits,
            super::limits::within_limits,
        ))
        .layer(axum::middleware::from_fn(super::limits::safe_headers))
}

async fn status(State(node): State<Arc<dyn NodeView>>) -> Result<Json<OwnerStatus>, Problem> {
    let answer = tokio::task::spawn_blocking(move || {
        let (status, circle) = (node.status(), node.circle());
        let answer = node.state().read(|state| {
            let facts = Facts {
                state,
                genesis: node.genesis(),
            };
            facts.status(&status, circle)
        });
        answer.map(|node| OwnerStatus {
            node,
            header: status.header,
            refused: status.refused,
        })
    });
    super::public::state_answer(answer.await).map(Json)
}

async fn provider(State(node): State<Arc<dyn NodeView>>) -> Result<Json<ProviderReport>, Problem> {
    let Some(status) = node.provider() else {
        return Err(no_provider());
    };
    let answer = tokio::task::spawn_blocking(move || {
        node.state().read(|state| {
            Facts {
                state,
                genesis: node.genesis(),
            }
            .provider_report(status)
        })
    });
    super::public::state_answer(answer.await).map(Json)
}

fn no_provider() -> Problem {
    Problem::not_found("this node is no provider", "start one with `watt provider run`")
}

async fn scrub(State(node): State<Arc<dyn NodeView>>) -> Result<Json<ScrubInfo>, Problem> {
    node.scrub().map(Json).ok_or_else(no_provider)
}

async fn recover(State(node): State<Arc<dyn NodeView>>) -> Result<Json<Recovered>, Problem> {
    let outcome = node.recover().await;
    let slot = outcome.map_err(|why| {
        let hint = "look at `watt node health` and the node's log; nothing was changed";
        Problem::conflict(why, hint)
    })?;
    Ok(Json(Recovered { slot: slot.0 }))
}

async fn stop(State(node): State<Arc<dyn NodeView>>) -> Json<Value> {
    node.stop();
    Json(json!({ "stopping": true }))
}
