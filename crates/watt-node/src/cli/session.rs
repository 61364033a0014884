//! What every command is given, and the runtime it runs in.

use super::Globals;
use crate::config::{Environment, Home, Overrides, Settings};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind, OrFail};
use crate::ui::Ui;
use std::path::PathBuf;
use std::time::Duration;

/// How long the runtime may take to end after the command is done, in milliseconds.
const END_MS_MAX: u64 = 1_000;

/// Output, options, folders and environment of one call.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) ui: Ui,
    pub(super) home: Home,
    globals: Globals,
    environment: Environment,
}

impl Session {
    pub(super) fn new(ui: Ui, globals: Globals, environment: Environment) -> Result<Self, CommandError> {
        let home = Home::resolve(globals.home.as_deref(), &environment)?;
        Ok(Self {
            ui,
            home,
            globals,
            environment,
        })
    }

    /// All settings in force; `overrides` are the command's own flags.
    pub(super) fn settings(&self, overrides: Overrides) -> Result<Settings, CommandError> {
        let log_level = match (self.globals.quiet, self.globals.verbose) {
            (true, _) => Some("warn"),
            (false, 0) => None,
            (false, 1) => Some("debug"),
            (false, 2..) => Some("trace"),
        };
        let overrides = Overrides {
            api: self.globals.api.clone(),
            account: self.globals.account.clone(),
            log_level,
            ..overrides
        };
        Settings::resolve(
            &overrides,
            &self.environment,
            &self.home,
            self.globals.config.as_deref(),
        )
    }

    /// The network and the account that the command works with.
    pub(super) async fn context(&self) -> Result<Context, CommandError> {
        Context::connect(&self.settings(Overrides::default())?, &self.home).await
    }
}

/// Runs `work` to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_fail(
            ErrorKind::Temporary,
            "can't start",
            "check the limit of threads (ulimit -u)",
        )?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_millis(END_MS_MAX));
    result
}

/// Resolves on Ctrl-C or, on Unix, when the process is asked to end.
pub(crate) async fn interrupted() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the system's default ends the process; nothing to wait for here.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = ctrl_c => {}
        () = terminated => {}
    }
}

/// The path of this program, to start it again as a node.
pub(super) fn executable() -> Result<PathBuf, CommandError> {
    std::env::current_exe().or_fail(
        ErrorKind::Other,
        "can't find this program's own file",
        "call watt by its full path",
    )
}
