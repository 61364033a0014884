//! What an owner says about plans to restart the network (`docs/spec/node.md` §12).

use super::NodeLoop;
use watt_engine::NotRestartable;
use watt_primitives::Hash;

/// What an owner asks of a node about a restart.
#[derive(Debug)]
pub enum RestartAsk {
    /// Look at this plan.
    LookAt(Box<watt_light::Restart>),
    /// Follow the plan that is looked at, when it is time; or do not.
    Accept {
        /// Its hash.
        plan: Hash,
        /// Whether it is accepted.
        is_accepted: bool,
    },
}

impl NodeLoop {
    /// Does what was asked, or says why not.
    pub(super) fn asked_to_restart(&mut self, ask: RestartAsk) -> Result<(), NotRestartable> {
        let (now, mut effects) = (self.clocks(), Vec::new());
        let outcome = match ask {
            RestartAsk::Accept { plan, is_accepted } => {
                self.engine.accept_restart(&plan, is_accepted, &mut effects)
            }
            RestartAsk::LookAt(restart) => {
                let accused = self.evidence.0.nodes().map(|(node, _)| node).collect();
                let state = self.storage.snapshot();
                let engine = &mut self.engine;
                let looked =
                    state.read(|rows| engine.look_at_restart(*restart, &accused, rows, now, &mut effects));
                looked.unwrap_or_else(|error| {
                    tracing::error!(%error, "the state can't be read");
                    Err(NotRestartable::Unknown)
                })
            }
        };
        self.perform_all(effects);
        outcome
    }
}
