//! The supervisor's listener: how `devnet status`, `kill`, `start` and `stop` reach the process that holds the nodes.

use super::supervisor::{Devnet, DevnetStatus};
use crate::api::client::OwnerClient;
use crate::api::guard::{Guard, only_the_owner};
use crate::api::{OwnerToken, Problem};
use crate::error::{CommandError, ErrorKind, OrFail};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What may be done to one node.
const VERBS: [&str; 3] = ["kill", "start", "stop"];

/// The supervisor's listener; ends when dropped.
#[derive(Debug)]
pub struct ControlServer {
    /// Its address.
    pub url: String,
    /// What callers must know.
    pub token: OwnerToken,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Control {
    devnet: Arc<Devnet>,
    stop: Arc<Notify>,
}

impl ControlServer {
    /// Serves `devnet` on a free port of loopback.
    ///
    /// # Errors
    /// No port, or no randomness for the token.
    pub async fn start(devnet: Arc<Devnet>) -> Result<Self, CommandError> {
        let token = OwnerToken::generate()?;
        let fail = "can't open a port for the supervisor";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.or_fail(
            ErrorKind::Temporary,
            fail,
            "try again",
        )?;
        let port = listener
            .local_addr()
            .or_fail(ErrorKind::Temporary, fail, "try again")?
            .port();
        let stop = Arc::new(Notify::new());
        let guard = Guard::new(token.clone(), port, &[]);
        let app = Router::new()
            .route("/devnet/v1/status", get(status))
            .route("/devnet/v1/stop", post(stop_all))
            .route("/devnet/v1/nodes/{name}/{verb}", post(act))
            .with_state(Control {
                devnet,
                stop: Arc::clone(&stop),
            })
            .layer(middleware::from_fn_with_state(guard, only_the_owner));
        let task = tokio::spawn(async move {
            // The listener lives as long as the supervisor; an error here means that the process ends.
            drop(axum::serve(listener, app).await);
        });
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            token,
            stop,
            task,
        })
    }

    /// Resolves when somebody asked for the devnet to end.
    pub async fn stop_requested(&self) {
        self.stop.notified().await;
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn status(State(control): State<Control>) -> Json<DevnetStatus> {
    Json(control.devnet.status().await)
}

async fn stop_all(State(control): State<Control>) -> Json<Value> {
    control.stop.notify_one();
    Json(json!({ "stopping": true }))
}

async fn act(
    State(control): State<Control>,
    Path((name, verb)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let done = match verb.as_str() {
        "kill" => control.devnet.kill(&name).await,
        "start" => control.devnet.start(&name).await,
        "stop" => control.devnet.stop(&name).await,
        _ => {
            return Err(Problem::not_found(
                format!("a node can't be told to {verb}"),
                &format!("use {}", VERBS.join(", ")),
            ));
        }
    };
    done.map(|()| Json(json!({ "node": name, "done": verb })))
        .map_err(|error| Problem::of_command(&error))
}

/// A client of the supervisor.
#[derive(Clone, Debug)]
pub struct ControlClient(OwnerClient);

impl ControlClient {
    /// A client of the supervisor at `url`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(url: &str, token: OwnerToken) -> Result<Self, CommandError> {
        OwnerClient::new(url, token).map(Self)
    }

    /// How the devnet is.
    ///
    /// # Errors
    /// The supervisor does not answer.
    pub async fn status(&self) -> Result<DevnetStatus, CommandError> {
        self.0.get("/devnet/v1/status").await
    }

    /// Asks for everything to end; it may take some seconds.
    ///
    /// # Errors
    /// The supervisor does not answer.
    pub async fn stop(&self) -> Result<(), CommandError> {
        self.0.post::<Value>("/devnet/v1/stop").await.map(drop)
    }

    /// `kill`, `start` or `stop` one node.
    ///
    /// # Errors
    /// No such node, or it is not in the right state.
    pub async fn act(&self, node: &str, verb: &str) -> Result<(), CommandError> {
        let is_name = !node.is_empty() && node.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name {
            let message = format!("`{node}` is no name of a node");
            return Err(CommandError::new(
                ErrorKind::Usage,
                message,
                "names are like v1 or p3: see `watt devnet status`",
            ));
        }
        self.0
            .post::<Value>(&format!("/devnet/v1/nodes/{node}/{verb}"))
            .await
            .map(drop)
    }
}
