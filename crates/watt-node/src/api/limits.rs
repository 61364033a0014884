//! What one caller can make the node do: bounded bodies, bounded time, bounded requests at once.

use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The most bytes of a request's body: the largest transaction in hexadecimal, in JSON.
pub(super) const BODY_BYTES_MAX: usize = 2 * watt_light::transaction::TRANSACTION_BYTES_MAX + 1024;

/// The most requests answered at once per listener; more are told to come back.
pub(super) const REQUESTS_MAX: usize = 256;

/// The most event streams at once.
pub(super) const STREAMS_MAX: usize = 64;

/// How long one answer may take, in milliseconds; covers slow senders too, since bodies are read within it.
pub(super) const REQUEST_MS_MAX: u64 = 20_000;

/// Bounds and counters of one listener.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Semaphore,
    /// Requests answered with a status below 400.
    pub(super) answered: AtomicU64,
    /// Requests answered with a problem.
    pub(super) refused: AtomicU64,
}

impl Limits {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: Semaphore::new(REQUESTS_MAX),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }
}

/// Answers within the bounds, or says why not.
pub(super) async fn within_limits(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let response = match limits.requests.try_acquire() {
        Err(_) => Problem::busy("this node answers as many requests as it can").into_response(),
        Ok(_permit) => {
            match tokio::time::timeout(Duration::from_millis(REQUEST_MS_MAX), next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::timeout().into_response(),
            }
        }
    };
    let counter = if response.status().as_u16() < 400 {
        &limits.answered
    } else {
        &limits.refused
    };
    counter.fetch_add(1, Ordering::Relaxed);
    response
}

/// Headers that every answer of a listener carries: never sniffed, never framed.
pub(super) async fn safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert(
        "content-security-policy",
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers
        .entry("cache-control")
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Any page may read the public listener: it tells nothing that is not public.
pub(super) async fn readable_from_any_page(request: Request, next: Next) -> Response {
    let is_preflight = *request.method() == axum::http::Method::OPTIONS;
    let mut response = if is_preflight {
        axum::http::StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    if is_preflight {
        headers.insert(
            "access-control-allow-methods",
            HeaderValue::from_static("GET, POST"),
        );
        headers.insert(
            "access-control-allow-headers",
            HeaderValue::from_static("content-type"),
        );
        headers.insert("access-control-max-age", HeaderValue::from_static("600"));
    }
    response
}
