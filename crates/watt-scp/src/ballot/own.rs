//! What this node itself says in ballots: from state to statement, and back after a restart.

use super::{BallotProtocol, Phase};
use crate::node_set::NodeSet;
use crate::pledge::Pledge;
use crate::protocol::{Env, OWN};
use crate::roster::{Declared, Roster};
use crate::statement::{Pledges, Statement};
use crate::values::{IndexedBallot, Values};
use alloc::vec::Vec;

impl BallotProtocol {
    /// Own statement, if it is newer than what was said.
    pub(crate) fn take_statement(&mut self, env: Env<'_>, values: &Values) -> Option<Statement> {
        if !core::mem::take(&mut self.is_dirty) {
            return None;
        }
        let statement = Statement {
            node: env.config.node,
            slot: values.slot(),
            quorum_set: env.quorum_set_hash,
            pledges: self.pledges(values)?,
        };
        let is_newer = |said: &Statement| statement.pledges.is_newer_than(&said.pledges);
        if !self.said.as_ref().is_none_or(is_newer) {
            return None;
        }
        self.said = Some(statement.clone());
        Some(statement)
    }

    /// Goes on from an own statement said before (`docs/spec/scp.md` §6.3).
    pub(crate) fn restore(&mut self, statement: &Statement, pledge: Pledge) {
        let ballot = |counter: u32, value| Some(IndexedBallot { counter, value });
        let some = |counter: u32, value| (counter != 0).then_some(IndexedBallot { counter, value });
        let value = pledge.value();
        match pledge {
            Pledge::Prepare {
                ballot: current,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Prepare;
                self.current = Some(current);
                self.prepared = prepared;
                self.prepared_prime = prepared_prime;
                self.high = some(h_counter, value);
                self.commit = some(c_counter, value);
                self.value_lock = self.high.map(|high| high.value).or(self.value_lock);
            }
            Pledge::Confirm {
                ballot: current,
                prepared_counter,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Confirm;
                self.current = Some(current);
                self.prepared = ballot(prepared_counter.max(h_counter), value);
                self.prepared_prime = None;
                self.high = ballot(h_counter, value);
                self.commit = ballot(c_counter, value);
                self.value_lock = Some(value);
            }
            Pledge::Externalize { commit, h_counter } => {
                self.phase = Phase::Externalize;
                self.current = ballot(u32::MAX, value);
                self.prepared = ballot(u32::MAX, value);
                self.prepared_prime = None;
                self.high = ballot(h_counter, value);
                self.commit = Some(commit);
                self.value_lock = Some(value);
            }
        }
        self.heard_from_quorum = false;
        self.said = Some(statement.clone());
    }

    /// Makes own state count in own federated checks, as every other node's statement does.
    pub(crate) fn speak_to_self(&mut self, env: Env<'_>) {
        self.is_dirty = true;
        self.has_news = true;
        if !env.votes {
            return;
        }
        if let Some(pledge) = self.own_pledge() {
            let declared = match self.phase {
                // The own set is always the first compiled.
                Phase::Prepare | Phase::Confirm => env.roster.own_declared(),
                Phase::Externalize => Declared::Itself,
            };
            self.heard.record(OWN, pledge, declared);
        }
    }

    fn own_pledge(&self) -> Option<Pledge> {
        let counter_of = |ballot: Option<IndexedBallot>| ballot.map_or(0, |ballot| ballot.counter);
        match self.phase {
            Phase::Prepare => {
                // Accepted prepared before any own ballot: known to this node's own checks, not yet sayable.
                let unborn = self.prepared.map(|p| IndexedBallot {
                    counter: 0,
                    value: p.value,
                });
                Some(Pledge::Prepare {
                    ballot: self.current.or(unborn)?,
                    prepared: self.prepared,
                    prepared_prime: self.prepared_prime,
                    c_counter: counter_of(self.commit),
                    h_counter: counter_of(self.high),
                })
            }
            Phase::Confirm => Some(Pledge::Confirm {
                ballot: self.current?,
                prepared_counter: counter_of(self.prepared),
                c_counter: counter_of(self.commit),
                h_counter: counter_of(self.high),
            }),
            Phase::Externalize => Some(Pledge::Externalize {
                commit: self.commit?,
                h_counter: counter_of(self.high),
            }),
        }
    }

    fn pledges(&self, values: &Values) -> Option<Pledges> {
        self.current?;
        Some(match self.own_pledge()? {
            Pledge::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => Pledges::Prepare {
                ballot: values.ballot(ballot),
                prepared: prepared.map(|prepared| values.ballot(prepared)),
                prepared_prime: prepared_prime.map(|prime| values.ballot(prime)),
                c_counter,
                h_counter,
            },
            Pledge::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } => Pledges::Confirm {
                ballot: values.ballot(ballot),
                prepared_counter,
                c_counter,
                h_counter,
            },
            Pledge::Externalize { commit, h_counter } => Pledges::Externalize {
                commit: values.ballot(commit),
                h_counter,
            },
        })
    }

    /// Statements of one own slice that together prove the decision, own statement included; none while a node that came
    /// back from its journal has not heard enough of the others.
    pub(crate) fn finality_statements(&mut self, roster: &Roster) -> Option<Vec<Statement>> {
        let value = self.externalized()?;
        let heard = &self.heard;
        let accepting = |low, high| heard.nodes_where(|pledge| pledge.accepts_commit(value, low, high));
        let (_, counter) = heard.widest_interval(value, &mut self.boundaries, |low, high| {
            roster.own_set().has_slice_in(&accepting(low, high))
        })?;
        let accepting = accepting(counter, counter);
        let mut slice = NodeSet::EMPTY;
        roster.own_set().add_slice_in(&accepting, roster, &mut slice);
        if accepting.contains(OWN) {
            slice.insert(OWN);
        }
        let members = roster.indexes().filter(|node| slice.contains(*node));
        Some(
            members
                .filter_map(|node| self.statement_of(node))
                .cloned()
                .collect(),
        )
    }

    /// The invariants of §5.9.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_invariants(&self, values: &Values) -> Result<(), &'static str> {
        let check = |holds: bool, sentence| if holds { Ok(()) } else { Err(sentence) };
        let (b, p, h, c) = (self.current, self.prepared, self.high, self.commit);
        check(b.is_none_or(|b| b.counter >= 1), "b counts from 1")?;
        if let Some(prime) = self.prepared_prime {
            let is_below = p.is_some_and(|p| values.is_below_incompatible(prime, p));
            check(is_below, "p' is below p and incompatible")?;
        }
        if let Some(h) = h {
            check(b.is_some_and(|b| h.is_within(b)), "h is within b")?;
            check(p.is_some(), "h implies p")?;
        }
        if let Some(c) = c {
            check(h.is_some_and(|h| c.is_within(h)), "c is within h")?;
        }
        match self.phase {
            Phase::Prepare => Ok(()),
            Phase::Confirm | Phase::Externalize => check(c.is_some(), "commit accepted implies c"),
        }
    }
}
