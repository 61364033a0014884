//! Voting keys, each for one term, and the cold key of a seat (`docs/spec/ledger.md` §13; TC1, TC28).

use super::Actor;
use crate::duty;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, UseOfKey, VotingKeyRow};
use std::collections::BTreeSet;
use watt_light::NewVotingKey;
use watt_primitives::key::all_hold;
use watt_primitives::{Hash, NodeId, PublicKey, Term};

impl Ledger<'_> {
    pub(super) fn register_voting_keys(
        &mut self,
        actor: &Actor,
        first_term: Term,
        keys: &[NewVotingKey],
    ) -> Result<Done, Refused> {
        let running = self.rules.terms().of_height(self.height());
        if !duty::is_bound(&self.rows, &actor.account, running) {
            return Err(Refused::NoDuty);
        }
        let (first, last) = duty::registrable(&self.rules, self.height());
        let n_after = u64::try_from(keys.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let last_term = first_term.plus(n_after);
        if keys.is_empty() || first_term < first || last_term > last {
            return Err(Refused::VotingTerm { first, last });
        }
        let mut checks = Vec::with_capacity(keys.len());
        let mut seen: BTreeSet<NodeId> = BTreeSet::new();
        for (term, new) in (first_term.0..).map(Term).zip(keys) {
            if self.rows.has(&rows::voting_key(term, &actor.account)) {
                return Err(Refused::VotingKeyTwice { term });
            }
            if !PublicKey::from(new.key).is_registrable() {
                return Err(Refused::UnsafeKey);
            }
            if self.rows.has(&rows::used_key(&new.key)) || !seen.insert(new.key) {
                return Err(Refused::VotingKeyUsed);
            }
            checks.push(new.signature_check(&actor.account, term, self.network()));
        }
        if !all_hold(&checks) {
            return Err(Refused::Possession);
        }
        for (term, new) in (first_term.0..).map(Term).zip(keys) {
            let row = VotingKeyRow {
                key: new.key,
                onion: new.onion,
                n_peeled: 0,
                n_missed: 0,
            };
            self.rows.write(rows::voting_key(term, &actor.account), &row);
            let account = actor.account;
            self.rows
                .write(rows::used_key(&new.key), &UseOfKey { account, term });
        }
        Ok(Done::VotingKeysRegistered {
            first: first_term,
            last: last_term,
        })
    }

    pub(super) fn set_cold_key(&mut self, actor: &Actor, hash: Hash) -> Result<Done, Refused> {
        let key = rows::cold_key(&actor.account);
        if hash == Hash::ZERO {
            self.rows.remove(key);
            return Ok(Done::ColdKeySet {});
        }
        let running = self.rules.terms().of_height(self.height());
        if !duty::is_bound(&self.rows, &actor.account, running) {
            return Err(Refused::NoDuty);
        }
        self.rows.write(key, &hash);
        Ok(Done::ColdKeySet {})
    }
}
