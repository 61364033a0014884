//! A provider's windows, folded into one proof for each period (`docs/spec/node.md` §5).
//!
//! Each answered window is one durable record, and folding reads nothing but these: so it can be stopped at any instant, done when there is
//! time, and done again. It has a thread of its own and threads of its own to compute on, behind everything else on the machine.

use crate::lock::locked;
use crate::runtime::apply::guarded;
use crate::runtime::folded::{Folded, shape_of};
use crate::runtime::node_loop::yield_to_others;
use crate::runtime::storage::trouble;
use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, Weak};
use watt_engine::effect::{AnsweredWindow, FoldJob};
use watt_ledger::VerifyFolded as _;
use watt_light::{FoldedProof, FoldedWindows, WindowShape};
use watt_post::nova::Running;
use watt_post::{NovaPasta, PostBackend as _};
use watt_primitives::{Hash, Window, codec};
use watt_proofs::window::Step;
use watt_proofs::{Element, Shape};
use watt_store::{Journal, JournalError, Kv};

use crate::error::CommandError;

/// The most bytes of a logged window: with three samples of the large shape it has some 12,000.
const LOGGED_BYTES_MAX: usize = 64 * 1024;

/// Beginning of the names of saved running proofs; the first window follows.
const RUNNING: &str = "running-";

/// One answered window, as it is folded.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logged {
    window: Window,
    shape: WindowShape,
    /// The state before it.
    state: Element,
    step: Step,
}

/// How far folding is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The first of the windows that are being folded.
    pub(crate) first: Window,
    /// How many of them are folded.
    pub(crate) n_folded: u32,
    /// Why that stopped.
    pub(crate) trouble: Option<String>,
}

/// The windows of a provider, and the thread that folds them. A clone shares both.
#[derive(Clone)]
pub(crate) struct Folds {
    log: Arc<Mutex<Log>>,
    requests: Sender<Request>,
    progress: Arc<Mutex<Progress>>,
}

struct Log {
    journal: Journal,
    windows: BTreeMap<Window, Logged>,
    /// Windows of which the log is kept.
    n_kept: u64,
}

type Proven = (FoldedWindows, Vec<u8>);

enum Request {
    Ahead(FoldJob),
    Prove(FoldJob, Sender<anyhow::Result<Proven>>),
}

impl Folds {
    /// Opens the log in `dir`, and begins to fold; `period` is the number of windows that the ledger settles together.
    pub(crate) fn open(dir: &Path, folded: Folded, period: u64) -> Result<Self, CommandError> {
        let log = Log::open(&dir.join("log"), period).map_err(|error| trouble(&error))?;
        let log = Arc::new(Mutex::new(log));
        let (requests, requested) = mpsc::channel();
        let progress: Arc<Mutex<Progress>> = Arc::default();
        let folder = Folder {
            log: Arc::downgrade(&log),
            folded,
            kept: Kv::open(&dir.join("running")).map_err(|error| trouble(&error))?,
            requested,
            running: None,
            progress: Arc::clone(&progress),
        };
        std::thread::Builder::new()
            .name("fold".to_owned())
            .spawn(move || folder.run())
            .map_err(|error| trouble(&error))?;
        Ok(Self {
            log,
            requests,
            progress,
        })
    }

    pub(crate) fn progress(&self) -> Progress {
        locked(&self.progress).clone()
    }

    /// Whether this window is logged.
    pub(super) fn has(&self, answered: &AnsweredWindow) -> bool {
        let log = locked(&self.log);
        let logged = log.windows.get(&answered.window);
        logged.is_some_and(|logged| logged.state == answered.state && logged.step.window == answered.shown)
    }

    /// Whether it is, as one that holds.
    #[cfg(test)]
    pub(super) fn has_good(&self, answered: &AnsweredWindow) -> bool {
        let is_good = |log: &Log| {
            log.windows
                .get(&answered.window)
                .is_some_and(|logged| logged.step.is_good)
        };
        self.has(answered) && is_good(&locked(&self.log))
    }

    /// Makes a step durable.
    pub(super) fn append(&self, answered: &AnsweredWindow, step: Step) -> anyhow::Result<()> {
        locked(&self.log).append(Logged {
            window: answered.window,
            shape: if answered.shape == Shape::LARGE {
                WindowShape::Large
            } else {
                WindowShape::Small
            },
            state: answered.state,
            step,
        })
    }

    /// Folds these windows when there is time.
    pub(super) fn ahead(&self, job: FoldJob) {
        if self.requests.send(Request::Ahead(job)).is_err() {
            tracing::warn!("no windows are folded any more: their thread has ended");
        }
    }

    /// Folds these windows and proves them; blocks until it is done.
    pub(super) fn prove(&self, job: FoldJob) -> anyhow::Result<Proven> {
        let (answer, answered) = mpsc::channel();
        self.requests
            .send(Request::Prove(job, answer))
            .ok()
            .and_then(|()| answered.recv().ok())
            .context("the thread that folds windows has ended; start the node again")?
    }
}

impl Log {
    fn open(dir: &Path, period: u64) -> anyhow::Result<Self> {
        let (journal, records) = match Journal::open(dir) {
            Err(error @ JournalError::Damaged { .. }) => {
                tracing::warn!(%error, "the log of folded windows is damaged and begun anew: its periods can't be settled, nothing else is lost");
                std::fs::remove_dir_all(dir)?;
                Journal::open(dir)?
            }
            opened => opened?,
        };
        let windows = records
            .iter()
            .filter_map(|bytes| codec::decode::<Logged>(bytes, LOGGED_BYTES_MAX).ok())
            .filter(|logged| logged.step.has_shape(shape_of(logged.shape)))
            .map(|logged| (logged.window, logged))
            .collect();
        Ok(Self {
            journal,
            windows,
            n_kept: period.saturating_mul(2).saturating_add(2),
        })
    }

    fn append(&mut self, logged: Logged) -> anyhow::Result<()> {
        self.journal.recover()?;
        self.journal.append(&[&codec::encode(&logged)])?;
        let (window, oldest) = (logged.window, Window(logged.window.0.saturating_sub(self.n_kept)));
        self.windows.insert(window, logged);
        let n_before = self.windows.len();
        self.windows.retain(|window, _| *window >= oldest);
        // What is forgotten is deleted now and then.
        if n_before > self.windows.len() && window.0.is_multiple_of(8) {
            self.journal.retain(|bytes| {
                codec::decode::<Logged>(bytes, LOGGED_BYTES_MAX).is_ok_and(|logged| logged.window >= oldest)
            })?;
        }
        Ok(())
    }

    /// The steps of these windows, which have to lead from the one state to the other.
    fn steps(&self, job: &FoldJob) -> anyhow::Result<Vec<Step>> {
        let (mut state, mut steps) = (job.from, Vec::new());
        for (window, logged) in self.windows.range(job.first..=job.last) {
            ensure!(
                logged.state == state && logged.shape == job.shape,
                "the log of answered windows has a gap before window {window}"
            );
            state = logged.step.window.next_state(state);
            steps.push(logged.step.clone());
        }
        if state != job.to || u32::try_from(steps.len()) != Ok(job.n_windows) {
            bail!(
                "the log holds {} of its {} windows, or others; what is not logged in time is not paid",
                steps.len(),
                job.n_windows
            );
        }
        Ok(steps)
    }
}

/// The thread that folds.
struct Folder {
    /// Gone when the node ends.
    log: Weak<Mutex<Log>>,
    folded: Folded,
    /// Running proofs, by their first window.
    kept: Kv,
    requested: Receiver<Request>,
    /// The one that was worked on last.
    running: Option<(Window, Running)>,
    progress: Arc<Mutex<Progress>>,
}

impl Folder {
    fn run(mut self) {
        let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|_| "fold".to_owned())
            .start_handler(|_| yield_to_others())
            .build();
        let threads = match threads {
            Ok(threads) => threads,
            Err(error) => {
                tracing::warn!(%error, "windows can't be folded on this machine");
                return;
            }
        };
        while let Ok(request) = self.requested.recv() {
            match request {
                Request::Ahead(job) => {
                    let folded = threads.install(|| guarded(|| self.fold(&job).map(drop)));
                    self.note(folded.unwrap_or_else(|| Err(anyhow!("folding panicked"))));
                }
                Request::Prove(job, answer) => {
                    let proven = threads.install(|| guarded(|| self.prove(&job)));
                    let proven = proven.unwrap_or_else(|| Err(anyhow!("making the proof panicked")));
                    // Whoever asked may have ended with the node.
                    drop(answer.send(proven));
                }
            }
        }
    }

    fn note(&self, outcome: anyhow::Result<()>) {
        let trouble = outcome.err().map(|error| format!("{error:#}"));
        if let Some(trouble) = &trouble {
            tracing::warn!(%trouble, "answered windows could not be folded");
        }
        locked(&self.progress).trouble = trouble;
    }

    /// Brings the running proof of these windows up to the last of them.
    fn fold(&mut self, job: &FoldJob) -> anyhow::Result<Arc<NovaPasta>> {
        let ended = "the node has ended";
        let log = self.log.upgrade().context(ended)?;
        let steps = locked(&log).steps(job)?;
        drop(log);
        let prover = self.folded.prover(job.shape)?;
        let before = self.running.take();
        let mut running = match before {
            Some((first, running)) if first == job.first => Some(running),
            Some(_) | None => self.saved(&prover, job, &steps),
        };
        let n_done = running
            .as_ref()
            .map_or(0, |running| prover.shown(running).n_windows);
        self.show(job, n_done);
        for step in steps.iter().skip(usize::try_from(n_done)?) {
            prover.fold(job.from, &mut running, step)?;
            let running = running.as_ref().context("nothing was folded")?;
            ensure!(self.log.strong_count() > 0, ended);
            self.kept.put(&name(job.first), &prover.save_running(running)?)?;
            self.show(job, prover.shown(running).n_windows);
        }
        self.running = running.map(|running| (job.first, running));
        Ok(prover)
    }

    fn show(&self, job: &FoldJob, n_folded: u32) {
        *locked(&self.progress) = Progress {
            first: job.first,
            n_folded,
            trouble: None,
        };
    }

    /// The running proof that an earlier life saved, if it is one of the first of these windows.
    fn saved(&self, prover: &NovaPasta, job: &FoldJob, steps: &[Step]) -> Option<Running> {
        let saved = self.kept.get(&name(job.first)).ok()??;
        let n_done = prover.shown(&prover.load_running(&saved).ok()?).n_windows;
        let done = steps.get(..usize::try_from(n_done).ok()?)?;
        prover.recover(job.from, done, Some(&saved)).ok()
    }

    fn prove(&mut self, job: &FoldJob) -> anyhow::Result<Proven> {
        let prover = self.fold(job)?;
        self.forget_before(job.first)?;
        let (_, running) = self.running.as_ref().context("nothing was folded")?;
        let shown = prover.shown(running);
        ensure!(
            (shown.from, shown.to, shown.n_windows) == (job.from, job.to, job.n_windows),
            "the windows folded are others than those that wait to be settled"
        );
        ensure!(shown.n_good > 0, "no window of it could be opened");
        let windows = FoldedWindows {
            shape: job.shape,
            from: Hash(shown.from.to_bytes()),
            to: Hash(shown.to.to_bytes()),
            n_windows: shown.n_windows,
            n_good: shown.n_good,
        };
        let proof = prover.compress(running)?;
        let folded = FoldedProof { windows, proof };
        ensure!(
            self.folded.first_bad(std::slice::from_ref(&folded)).is_none(),
            "the proof that was made does not hold; please report it"
        );
        Ok((folded.windows, folded.proof))
    }

    /// Deletes the running proofs of windows that can't be settled any more.
    fn forget_before(&self, first: Window) -> anyhow::Result<()> {
        let of = |name: &String| name.strip_prefix(RUNNING)?.parse::<u64>().ok();
        for old in self.kept.names()? {
            if of(&old).is_some_and(|window| window < first.0) {
                self.kept.remove(&old)?;
            }
        }
        Ok(())
    }
}

fn name(first: Window) -> String {
    format!("{RUNNING}{}", first.0)
}

#[cfg(test)]
mod tests;
