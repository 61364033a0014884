//! Who may call the owner's listener: the token, a known `Host`, and no foreign `Origin`, on every request (TC12).
//!
//! A page of another site can send requests to this machine, and a rebinding DNS name can make them look local; neither knows
//! the token, neither can forge `Host` and `Origin`.

use super::problem::Problem;
use crate::error::CommandError;
use crate::keyfile;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::path::Path;
use std::sync::Arc;
use watt_primitives::Hash;

/// Host names by which the owner's listener may always be called.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The owner's secret for one node; compared without leaking where it differs, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnerToken(String);

impl std::fmt::Debug for OwnerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnerToken(..)")
    }
}

impl OwnerToken {
    /// A new random token.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, CommandError> {
        Ok(Self(Hash(keyfile::random_bytes()?).to_string()))
    }

    /// Reads the token in `path`, or makes one there, readable by the owner only.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn load_or_create(path: &Path) -> Result<Self, CommandError> {
        match Self::load(path) {
            Err(_) if !path.exists() => {
                let token = Self::generate()?;
                keyfile::write_new_private(path, token.0.as_bytes())?;
                Ok(token)
            }
            result => result,
        }
    }

    /// Reads the token in `path`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn load(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| CommandError::file("read the owner's token in", path, &error))?;
        Ok(Self(text.trim().to_owned()))
    }

    /// The secret itself, to be sent to the node or written to an owner-only file.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// A token that was written before.
    #[must_use]
    pub const fn from_secret(secret: String) -> Self {
        Self(secret)
    }

    /// Whether `given` is the token; digests are compared, so time says nothing about the letters.
    fn is(&self, given: &str) -> bool {
        !self.0.is_empty() && blake3::hash(given.as_bytes()) == blake3::hash(self.0.as_bytes())
    }
}

/// What the guard of one listener knows.
#[derive(Clone, Debug)]
pub struct Guard {
    token: OwnerToken,
    /// Allowed values of `Host`, with and without the port.
    hosts: Arc<[String]>,
    /// Allowed values of `Origin`.
    origins: Arc<[String]>,
}

impl Guard {
    /// A guard of the listener on `port`, callable under `further_hosts` too.
    #[must_use]
    pub fn new(token: OwnerToken, port: u16, further_hosts: &[String]) -> Self {
        let names: Vec<String> = HOSTS
            .iter()
            .map(|name| (*name).to_owned())
            .chain(further_hosts.iter().map(|name| name.to_lowercase()))
            .collect();
        let with_port: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        let origins = with_port.iter().map(|host| format!("http://{host}")).collect();
        let hosts = if port == 80 {
            names.into_iter().chain(with_port).collect()
        } else {
            with_port.into()
        };
        Self {
            token,
            hosts,
            origins,
        }
    }

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).map(str::to_lowercase);
        if !host.is_some_and(|host| self.hosts.contains(&host)) {
            return Err(Problem::forbidden(
                "this listener is not called by that host name",
            ));
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = text(header::ORIGIN).map(str::to_lowercase);
            if !origin.is_some_and(|origin| self.origins.contains(&origin)) {
                return Err(Problem::forbidden(
                    "pages of other sites may not call this listener",
                ));
            }
        }
        let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if !given.is_some_and(|given| self.token.is(given)) {
            return Err(Problem::unauthorized());
        }
        let is_json = text(header::CONTENT_TYPE).is_some_and(|value| {
            value
                .split(';')
                .next()
                .is_some_and(|value| value.trim() == "application/json")
        });
        if *method != Method::GET && *method != Method::HEAD && !is_json {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        Ok(())
    }
}

/// Lets a request through that the guard accepts.
pub async fn only_the_owner(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
