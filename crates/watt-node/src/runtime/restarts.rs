//! Restarts by people, as a node keeps them: those that it follows, and what it knows of plans (`docs/spec/node.md` §12).

use super::hand_overs::HandOvers;
use super::storage::trouble;
use crate::error::{CommandError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use watt_engine::RestartLog;
use watt_ledger::{Genesis, restart};
use watt_light::Restart;
use watt_light::restart::{RESTART_BYTES_MAX, RESTARTS_MAX, Restarts, network_after};
use watt_primitives::{BlockHeight, BoundedVec, NetworkId, codec};
use watt_store::{Head, Kv, StateDb, StateError};

/// Name of the restarts that are followed among the small values.
const FOLLOWED: &str = "restarts";

/// Name of what is known of plans.
const LOG: &str = "restart-log";

/// The most bytes of both.
const BYTES_MAX: usize = RESTARTS_MAX * RESTART_BYTES_MAX + 64 * 1024;

/// What a node follows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Followed {
    restarts: Restarts,
    /// Whether what was said in the network before the last one is out of the way.
    is_settled: bool,
}

/// The restarts that a node follows.
#[derive(Clone)]
pub(crate) struct RestartStore {
    values: Arc<Kv>,
}

impl RestartStore {
    pub(crate) const fn new(values: Arc<Kv>) -> Self {
        Self { values }
    }

    /// The restarts in their order. A node that can't read which network it is in must not start.
    fn read(&self) -> Result<Followed, CommandError> {
        let bytes = self.values.get(FOLLOWED).map_err(|error| trouble(&error))?;
        let decode = |bytes: Vec<u8>| codec::decode(&bytes, BYTES_MAX);
        let followed = bytes.map(decode).transpose().map_err(|error| trouble(&error))?;
        Ok(followed.unwrap_or_default())
    }

    fn write(&self, followed: &Followed) -> Result<(), CommandError> {
        let bytes = codec::encode(followed);
        self.values.put(FOLLOWED, &bytes).map_err(|error| trouble(&error))
    }

    /// The restarts that are followed.
    pub(crate) fn followed(&self) -> Result<Vec<Restart>, CommandError> {
        Ok(self.read()?.restarts.into_inner())
    }

    /// The network as this node sees it.
    pub(crate) fn network(&self, genesis: &Genesis) -> Result<NetworkId, CommandError> {
        let network = network_after(
            genesis.network(),
            self.followed()?.iter().map(|known| &known.plan),
        );
        network.ok_or_else(|| trouble(&"the restarts on the disk do not follow one another"))
    }

    /// The owner of a node without blocks names the restarts of the network that it joins, as they name its genesis: they are followed from
    /// here on. What was named at an earlier start may be named again.
    pub(crate) fn begin(
        &self,
        genesis: &Genesis,
        named: &[Restart],
        reached: Option<BlockHeight>,
    ) -> Result<(), CommandError> {
        let followed = self.followed()?;
        let is_followed = |one: &Restart| followed.iter().any(|known| known.plan == one.plan);
        if named.iter().all(is_followed) {
            return Ok(());
        }
        if let Some(height) = reached.filter(|height| *height > BlockHeight(0)) {
            return Err(CommandError::new(
                ErrorKind::NotAllowed,
                format!("this node has block {height}: it looks at a plan for a while before it follows it"),
                "start it without --restart-plan, then `watt node restart-plan take FILE --accept`",
            ));
        }
        let refused = |why: String| {
            let hint = "ask whoever gave you the plans for them again, and name all of them in their order";
            CommandError::new(ErrorKind::VerificationFailed, why, hint)
        };
        for restart in named {
            let plan = restart.plan.hash();
            let signed = restart::check_signed(restart);
            signed.map_err(|why| refused(format!("plan {plan}: {why}")))?;
            if let Some(known) = self.log()?.refuted.iter().find(|known| known.plan == plan) {
                let (base, height) = (known.base, known.height);
                return Err(refused(format!(
                    "plan {plan} is refused for ever: it begins with block {base}, and block {height} is decided and proven"
                )));
            }
        }
        let plans = named.iter().map(|restart| &restart.plan);
        if network_after(genesis.network(), plans).is_none() {
            let why = "the plans are of another network than the genesis, or do not follow one another";
            return Err(refused(why.to_owned()));
        }
        let restarts = BoundedVec::new(named.to_vec()).map_err(|error| refused(error.to_string()))?;
        self.write(&Followed {
            restarts,
            is_settled: false,
        })
    }

    /// From the next start on this restart is followed.
    pub(crate) fn follow(&self, restart: Restart) -> Result<(), CommandError> {
        let mut restarts = self.followed()?;
        if restarts.contains(&restart) {
            return Ok(());
        }
        // One in which nothing was decided is over.
        restarts.retain(|known| known.plan.base.height < restart.plan.base.height);
        restarts.push(restart);
        let restarts = BoundedVec::new(restarts).map_err(|error| trouble(&error))?;
        self.write(&Followed {
            restarts,
            is_settled: false,
        })
    }

    /// Whether what was said before the last restart is still to be put out of the way.
    pub(crate) fn is_new(&self) -> Result<bool, CommandError> {
        let followed = self.read()?;
        Ok(!followed.is_settled && !followed.restarts.is_empty())
    }

    /// Forgets the hand-overs that the last restart takes the place of, and notes that all of its past is out of the way.
    pub(crate) fn settle(&self, genesis: &Genesis, hand_overs: &HandOvers) -> Result<(), CommandError> {
        let followed = self.read()?;
        if let Some(last) = followed.restarts.last() {
            let term = last.plan.term(&genesis.parameters.terms());
            hand_overs.forget_from(term).map_err(|error| trouble(&error))?;
        }
        self.write(&Followed {
            is_settled: true,
            ..followed
        })
    }

    /// What earlier lives kept about plans; without one that is followed by now.
    pub(crate) fn log(&self) -> Result<RestartLog, CommandError> {
        let bytes = self.values.get(LOG).map_err(|error| trouble(&error))?;
        let decode = |bytes: Vec<u8>| codec::decode(&bytes, BYTES_MAX);
        let log: Option<RestartLog> = bytes.map(decode).transpose().map_err(|error| trouble(&error))?;
        let (mut log, followed) = (log.unwrap_or_default(), self.followed()?);
        log.looked_at.take_if(|known| followed.contains(&known.restart));
        Ok(log)
    }

    /// Makes it durable, in place of what was kept before.
    pub(crate) fn keep_log(&self, log: &RestartLog) -> Result<(), CommandError> {
        self.values
            .put(LOG, &codec::encode(log))
            .map_err(|error| trouble(&error))
    }

    /// Puts those beside the state that it has not come to.
    pub(crate) fn mark(&self, state: &StateDb) -> Result<(), CommandError> {
        let Some(head) = state.head() else {
            return Ok(());
        };
        mark(state, &head, &self.followed()?).map_err(|error| trouble(&error))
    }

    /// Whether one of them lies ahead of a state.
    pub(crate) fn is_ahead_of(&self, height: BlockHeight) -> Result<bool, CommandError> {
        let mut followed = self.followed()?.into_iter();
        Ok(followed.any(|restart| restart.plan.base.height >= height))
    }
}

fn mark(state: &StateDb, head: &Head, followed: &[Restart]) -> Result<(), StateError> {
    let ahead = followed
        .iter()
        .filter(|restart| restart.plan.base.height >= head.height);
    for restart in ahead {
        state.receive(head, &restart::follow(restart))?;
    }
    state.flush()
}
