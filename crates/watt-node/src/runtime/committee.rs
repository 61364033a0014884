//! A committee's work on the wire (`docs/spec/node.md` §13): a member asks a provider for the openings of a batch, looks at them, and
//! hands its verdict back. What is done when is the engine's to say.

use super::jobs::Jobs;
use super::node_loop::{Command, background};
use crate::client::wire::{Wire, WireError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use watt_engine::effect::{ExamineJob, HandVerdictJob};
use watt_engine::examiner::{check_verdict, look_at};
use watt_engine::{Event, NotExamined};
use watt_light::verdict::OPENINGS_BYTES_MAX;
use watt_net::Net;
use watt_primitives::{Hash, NetworkId};
use watt_store::Snapshot;

/// How long it has to take a verdict.
const TAKE_PATIENCE: Duration = Duration::from_secs(15);

/// A node that may sit in committees, and may be a provider itself.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) network: NetworkId,
    pub(crate) net: Net,
    pub(crate) jobs: Option<Jobs>,
    pub(crate) state: Arc<Snapshot>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// One sector is looked at at a time, however many are fetched.
    pub(crate) looking: Arc<Mutex<()>>,
}

impl Member {
    /// What this node's own provider shows, if the batch is its own: nobody can dial himself.
    fn own(&self, provider: &watt_primitives::AccountId) -> Option<&Jobs> {
        self.jobs.as_ref().filter(|jobs| jobs.account() == *provider)
    }

    /// Gets the openings of a batch and looks at them, behind everything else.
    pub(crate) async fn examine(self, job: ExamineJob) -> Event {
        let (provider, batch) = (job.batch.provider, job.batch.batch);
        let result = match self.openings(&job).await {
            Ok(openings) => {
                let network = self.network;
                let _one = self.looking.lock().await;
                let seen = background(move || look_at(&job.batch, &network, &openings)).await;
                seen.unwrap_or_else(|| Err(NotExamined::NotYet("looking at them failed".to_owned())))
            }
            Err(why) => Err(why),
        };
        Event::Examined {
            provider,
            batch,
            result,
        }
    }

    async fn openings(&self, job: &ExamineJob) -> Result<Arc<Vec<u8>>, NotExamined> {
        let batch = job.batch.batch;
        if let Some(own) = self.own(&job.batch.provider) {
            let shown = own.shown(batch).map(|(_, openings)| openings);
            return shown.ok_or_else(|| NotExamined::NotYet("they are not made".to_owned()));
        }
        let max = job.batch.openings_bytes_max().min(OPENINGS_BYTES_MAX);
        let asking = async {
            let mut wire = Wire::at(&self.net, self.network, &job.endpoint).await?;
            wire.openings(batch, max).await
        };
        asking.await.map(Arc::new).map_err(|why| match why {
            WireError::Refused { .. } => NotExamined::NotYet(why.to_string()),
            _ => NotExamined::NotShown(why.to_string()),
        })
    }

    /// Hands a verdict back.
    pub(crate) async fn hand_back(self, job: HandVerdictJob) -> Event {
        let (provider, batch) = (job.provider, job.batch);
        let is_taken = match self.own(&provider) {
            Some(own) => {
                let own = own.clone();
                take(&own, Arc::clone(&self.state), &self.commands, &job).await
            }
            None => {
                let handing = async {
                    let mut wire = Wire::at(&self.net, self.network, &job.endpoint).await?;
                    wire.verdict(batch, job.openings, job.verdict).await
                };
                let outcome = timeout(TAKE_PATIENCE, handing).await;
                if let Ok(Err(why)) = &outcome {
                    tracing::debug!(%why, %provider, batch = batch.0, "a verdict was not taken");
                }
                matches!(outcome, Ok(Ok::<(), WireError>(())))
            }
        };
        Event::VerdictHanded {
            provider,
            batch,
            is_taken,
        }
    }
}

/// A provider's end: checks a verdict beside the loop, and lets the loop count it. Whether it did.
pub(crate) async fn take(
    own: &Jobs,
    state: Arc<Snapshot>,
    commands: &mpsc::Sender<Command>,
    job: &HandVerdictJob,
) -> bool {
    let (batch, openings, verdict) = (job.batch, job.openings, job.verdict);
    let is_shown = |shown: Option<(Hash, _)>| shown.is_some_and(|(hash, _)| hash == openings);
    if !is_shown(own.shown(batch)) {
        return false;
    }
    let provider = own.account();
    let checking = tokio::task::spawn_blocking(move || {
        state.read(|rows| check_verdict(rows, &provider, batch, openings, &verdict))
    });
    if !matches!(checking.await, Ok(Ok(Ok(())))) {
        return false;
    }
    let given = Event::VerdictGiven {
        batch,
        openings,
        verdict,
    };
    commands.send(Command::Event(Box::new(given))).await.is_ok()
}
