//! Who votes in which term, with which key: nothing changes but by the rules, and no key votes in two terms.

use crate::storage::account_of;
use crate::violation::{Checked, Promise, Violation};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::query;
use watt_ledger::{MemoryState, NetworkParameters, StateRead};
use watt_light::Backbone;
use watt_primitives::{AccountId, BlockHeight, NodeId, Term};

/// The most seats.
const SEATS_MAX: usize = 61;

/// Seats by which a backbone grows, and terms from one growth to the next.
const GROWTH: (usize, u64) = (3, 14);

/// Who votes, and with which key.
type Voters = BTreeMap<AccountId, NodeId>;

fn voters(backbone: &Backbone) -> Voters {
    let entries = backbone.entries().iter();
    entries.map(|entry| (entry.account, entry.key)).collect()
}

/// Follows the seats beside the ledger, with its own books.
pub struct SeatCheck {
    parameters: NetworkParameters,
    /// The backbone of the newest term of which it is known for good.
    newest: (Term, Voters),
    /// Which key voted for whom, and in which term first.
    used: BTreeMap<NodeId, (AccountId, Term)>,
    grown: Term,
    honest: BTreeSet<AccountId>,
    puppets: BTreeSet<AccountId>,
    /// Seats that somebody else came into.
    pub n_given: usize,
    is_news: bool,
}

impl SeatCheck {
    /// Term 0 of `genesis`.
    #[must_use]
    pub fn new(parameters: &NetworkParameters, genesis: &MemoryState) -> Self {
        let first = query::backbone_of_term(genesis, Term(0)).map_or_else(Voters::new, |all| voters(&all));
        let used = first.iter().map(|(account, key)| (*key, (*account, Term(0))));
        Self {
            parameters: parameters.clone(),
            used: used.collect(),
            newest: (Term(0), first),
            grown: Term(0),
            honest: BTreeSet::new(),
            puppets: BTreeSet::new(),
            n_given: 0,
            is_news: false,
        }
    }

    /// Tells whose node this is.
    pub fn know(&mut self, node: usize, is_puppet: bool, is_honest: bool) {
        let account = account_of("holder", node);
        if is_puppet {
            self.puppets.insert(account);
        } else if is_honest {
            self.honest.insert(account);
        }
    }

    /// From now on there may be evidence against this node: it has forgotten what it said, or runs twice.
    pub fn excuse(&mut self, node: usize) {
        self.honest.remove(&account_of("holder", node));
    }

    /// People began again: these vote from now on, in `term` and, if that was settled, in the one after.
    pub fn restarted(&mut self, term: Term, backbone: &Backbone) {
        let term = term.max(self.newest.0);
        self.newest = (term, voters(backbone));
        for entry in backbone.entries() {
            self.used.entry(entry.key).or_insert((entry.account, term));
        }
        self.is_news = true;
    }

    /// How many have seats in the newest term that is known.
    #[must_use]
    pub fn n_seats(&self) -> usize {
        self.newest.1.len()
    }

    /// The newest term of which it is known who votes, if nobody has asked since; and who does.
    pub fn take_news(&mut self) -> Option<(Term, BTreeSet<AccountId>)> {
        let (term, voters) = &self.newest;
        std::mem::take(&mut self.is_news).then(|| (*term, voters.keys().copied().collect()))
    }

    /// A block gave this state.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn block(&mut self, height: BlockHeight, state: &MemoryState) -> Checked {
        let struck = self
            .honest
            .iter()
            .find(|person| query::faulty(state, person).is_some());
        if let Some(person) = struck {
            let facts = format!("the honest holder {person} of a seat is struck off at height {height}");
            return Err(Violation::of(Promise::HonestUnpunished, facts));
        }
        let terms = self.parameters.terms();
        let next = terms.of_height(height).next();
        if height < terms.final_from(next) || self.newest.0 >= next {
            return Ok(());
        }
        let Some(backbone) = query::backbone_of_term(state, next) else {
            return broken(next, "has no backbone when that can't change any more");
        };
        let backbone = voters(&backbone);
        self.check_keys(state, next, &backbone)?;
        // Where backbones are planted people change as it pleases the scenario.
        if query::seats(state).is_some() {
            self.check_people(state, next, &backbone)?;
        }
        self.newest = (next, backbone);
        self.is_news = true;
        Ok(())
    }

    /// Everybody votes with the key that they registered for the term, which nobody used before; or, if there is none, with the
    /// one that they had.
    fn check_keys(&mut self, state: &impl StateRead, next: Term, now: &Voters) -> Checked {
        for (account, key) in now.iter().map(|(account, key)| (*account, *key)) {
            let registered = query::voting_key(state, next, &account).map(|row| row.key);
            let kept = self.newest.1.get(&account).copied();
            let used = self.used.get(&key).copied();
            let is_right = match registered {
                Some(registered) => key == registered && used.is_none(),
                None => used.is_none_or(|(whose, _)| whose == account && kept == Some(key)),
            };
            if !is_right {
                let facts = format!("{account} votes with {key}, of which is known {used:?}");
                return broken(next, &facts);
            }
            self.used.entry(key).or_insert((account, next));
        }
        Ok(())
    }

    /// No more change than the rules allow, and who enters may.
    fn check_people(&mut self, state: &impl StateRead, next: Term, now: &Voters) -> Checked {
        let before = &self.newest.1;
        let entered: Vec<AccountId> = now
            .keys()
            .filter(|one| !before.contains_key(one))
            .copied()
            .collect();
        let n_left = before.keys().filter(|one| !now.contains_key(one)).count();
        if now.len() > before.len() {
            let (step, pause) = GROWTH;
            let is_due = next.0 >= self.grown.0 + pause;
            if now.len() != before.len() + step || n_left > 0 || !is_due || now.len() > SEATS_MAX {
                let facts = format!(
                    "grows from {} to {} seats, {n_left} left",
                    before.len(),
                    now.len()
                );
                return broken(next, &facts);
            }
            self.grown = next;
        } else {
            let n_faulty_max = before.len().saturating_sub(1) / 3;
            let n_changes_max = (n_faulty_max / 2).max(1);
            if now.len() != before.len() || entered.len() > n_changes_max {
                let facts = format!(
                    "has {} voters after {}, {} of them new, {n_changes_max} may be",
                    now.len(),
                    before.len(),
                    entered.len()
                );
                return broken(next, &facts);
            }
        }
        let holders: BTreeSet<AccountId> = query::seats(state)
            .iter()
            .flat_map(|row| row.backbone.seats())
            .map(|seat| seat.holder)
            .collect();
        for person in &entered {
            let stands = query::standing(state, person).is_some_and(|row| row.listed_since.is_some());
            let is_struck = query::faulty(state, person).is_some();
            let is_puppet = self.puppets.contains(person);
            let is_keyless = query::voting_key(state, next, person).is_none();
            if !(stands || holders.contains(person)) || is_struck || is_puppet || is_keyless {
                let facts = format!(
                    "lets {person} in: stands by: {stands}, struck off: {is_struck}, a puppet: {is_puppet}, without key: \
                     {is_keyless}"
                );
                return broken(next, &facts);
            }
        }
        self.n_given += entered.len();
        Ok(())
    }
}

fn broken(term: Term, facts: &str) -> Checked {
    Err(Violation::of(Promise::Seats, format_args!("term {term} {facts}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::WeatherName;
    use crate::trace::Sink;
    use crate::world::{Setup, World};

    fn world() -> World {
        let setup = Setup {
            seed: 3,
            term_windows: 2,
            weather: WeatherName::Calm.weather(),
            ..Setup::default()
        };
        let mut world = setup.build(Sink::None).unwrap();
        let end = world.now.plus(60_000);
        // The last block before the backbone of term 1 is final.
        assert!(world.run_until(end, |world| world.height().0 == 10));
        world
    }

    /// Checks the block at which the backbone of term 1 becomes final, after `change` of what was known before it.
    fn checked(change: impl FnOnce(&mut SeatCheck)) -> Checked {
        let mut world = world();
        change(&mut world.chain.seats);
        let end = world.now.plus(30_000);
        world.run_until(end, |world| world.height().0 >= 12);
        world.violation.map_or(Ok(()), Err)
    }

    /// What breaks a rule is found: more new people than may enter at once, a key that voted before, a puppet.
    #[test]
    fn what_breaks_a_rule_is_found() {
        assert_eq!(checked(|_| {}), Ok(()));
        let others = |check: &mut SeatCheck, n: usize| {
            let gone: Vec<AccountId> = check.newest.1.keys().take(n).copied().collect();
            for (number, person) in gone.into_iter().enumerate() {
                let key = check.newest.1.remove(&person).unwrap();
                check.newest.1.insert(account_of("somebody", number), key);
            }
        };
        let two_new = checked(|check| others(check, 2)).unwrap_err();
        assert!(two_new.promise == Promise::Seats && two_new.facts.contains("2 of them new, 1 may be"));
        let unlisted = checked(|check| {
            // Who enters is no holder any more in this check's eyes only: it is a puppet.
            others(check, 1);
            let people: Vec<AccountId> = (0..4).map(|node| account_of("holder", node)).collect();
            check.puppets.extend(people);
        });
        assert!(unlisted.unwrap_err().facts.contains("a puppet: true"));
        let known = |check: &mut SeatCheck| {
            for node in 0..4 {
                let key = crate::world::key_of("voting key of term 1", node).node_id();
                check.used.insert(key, (account_of("holder", node), Term(0)));
            }
        };
        assert!(checked(known).unwrap_err().facts.contains("votes with"));
    }
}
