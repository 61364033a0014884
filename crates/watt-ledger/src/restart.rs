//! People begin again where too much is lost (`docs/spec/ledger.md` §17, TC1): what makes a plan one to follow, and what it does to
//! the state.
//!
//! A node that follows a plan keeps it in a row beside the entries; the first block above its base does the rest.

use crate::duty;
use crate::ledger::Ledger;
use crate::query;
use crate::rows::{self, AccountKind, AccountRow, ChainRow, RestartRow, SeatsRow, SuccessionRow, UseOfKey};
use crate::state::{StateRead, Writes};
use std::collections::BTreeSet;
use watt_light::restart::{Assent, RESTARTS_MAX};
use watt_light::{Backbone, BackboneEntry, Header, KeyRole, Restart, RestartPlan};
use watt_primitives::key::all_hold;
use watt_primitives::{AccountId, BlockHeight, BoundedString, BoundedVec, NodeId, PublicKey, Term};

/// The share of people who have to agree, in thirds.
const THIRDS: usize = 2;

/// Why nobody should follow a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRestart {
    /// The state is no ledger.
    #[error("there is no chain here")]
    NoChain,
    /// It is about another network, or about this one before an earlier restart.
    #[error("the plan is for another network, or not for its next restart, which is number {next}")]
    OtherNetwork {
        /// The next number.
        next: u64,
    },
    /// A later block was decided: nothing that was decided may be lost.
    #[error("block {height} is decided and proven, the plan begins with {base}")]
    LaterBlock {
        /// The newest block here.
        height: BlockHeight,
        /// The plan's.
        base: BlockHeight,
    },
    /// Another block.
    #[error("the plan begins with another block {base} than the one that was decided")]
    OtherBase {
        /// Its height.
        base: BlockHeight,
    },
    /// A network with seats has three more than a multiple of three, and one.
    #[error("{found} seats: a network that elects needs 1, 4, 7 or another of 3 f + 1")]
    Size {
        /// Seats of the plan.
        found: usize,
    },
    /// There is evidence against somebody who is to vote.
    #[error("there is evidence against {account}, who is to vote")]
    Faulty {
        /// Who.
        account: AccountId,
    },
    /// An account that does not exist, a key that is unsafe or another's, or another cold key than on the ledger.
    #[error("the seat of {account} has a key that can't be used, or not that account's cold key")]
    Seat {
        /// Whose.
        account: AccountId,
    },
    /// Somebody is to vote with another key than before, and did not agree.
    #[error("{account} is to vote with a new key and did not sign the plan")]
    NoConsent {
        /// Who.
        account: AccountId,
    },
    /// Signatures are missing, out of order, or not by an owner key of the account.
    #[error("a signature is missing, out of order, or not by a key that may sign")]
    Signers,
    /// A signature is not valid.
    #[error("a signature is not valid")]
    Signature,
    /// Too few agree.
    #[error("{found} of {asked} people who are asked agree; it takes {needed}")]
    TooFew {
        /// Who agree.
        found: usize,
        /// Who are asked.
        asked: usize,
        /// How many it takes.
        needed: usize,
    },
}

/// The restart that the block after `head`, the newest, begins with, if this node follows one.
#[must_use]
pub fn after(state: &(impl StateRead + ?Sized), head: BlockHeight) -> Option<Restart> {
    rows::read(state, &rows::followed(head))
}

/// The height of the newest block that the next restart keeps that this node follows, not below `head`.
#[must_use]
pub fn next_base(state: &(impl StateRead + ?Sized), head: BlockHeight) -> Option<BlockHeight> {
    let before = head.0.checked_sub(1).map(BlockHeight);
    let after = before.map(rows::followed);
    let next = state.scan(rows::FOLLOWED, after.as_deref(), 1).into_iter().next();
    let (key, _) = next?;
    let height = key.strip_prefix(rows::FOLLOWED)?.try_into().ok()?;
    Some(BlockHeight(u64::from_be_bytes(height)))
}

/// The row with which a node follows a restart.
#[must_use]
pub fn follow(restart: &Restart) -> Writes {
    let key = rows::followed(restart.plan.base.height);
    Writes::from([(key, Some(rows::encode(restart)))])
}

/// Who is asked about a plan: those who stand by, or where they are fewer than the seats, the people in whom trust begins; nobody
/// against whom there is evidence.
#[must_use]
pub fn asked(state: &impl StateRead) -> BTreeSet<AccountId> {
    let Some(chain) = rows::read::<ChainRow>(state, rows::CHAIN) else {
        return BTreeSet::new();
    };
    let term = query::rules(state).map(|rules| rules.terms().of_height(chain.height.next()));
    let is_struck =
        |person: &AccountId| term.is_some_and(|term| query::struck_off_until(state, person, term).is_some());
    let listed = query::all_standing(state)
        .into_iter()
        .filter(|(_, row)| row.listed_since.is_some());
    let listed: BTreeSet<AccountId> = listed
        .map(|(person, _)| person)
        .filter(|person| !is_struck(person))
        .collect();
    let n_seats = query::deciders(state).map_or(1, |backbone| backbone.entries().len());
    if listed.len() >= n_seats {
        return listed;
    }
    let seeds: Vec<AccountId> = rows::read(state, rows::TRUST_SEEDS).unwrap_or_default();
    seeds.into_iter().filter(|person| !is_struck(person)).collect()
}

/// How many of those who are asked have to agree.
#[must_use]
pub const fn needed(asked: usize) -> usize {
    asked.saturating_mul(THIRDS).div_ceil(3)
}

/// The plan by which these would vote from the block after `head` on; `None` if there is no chain, or no such backbone.
#[must_use]
pub fn draft(state: &impl StateRead, seats: Vec<(AccountId, NodeId)>, reason: &str) -> Option<RestartPlan> {
    let entry = |(account, key): (AccountId, NodeId)| BackboneEntry {
        account,
        key,
        cold_key: query::cold_key(state, &account),
    };
    Some(RestartPlan {
        network: query::rules(state)?.network,
        restart_no: next_number(state),
        base: rows::read(state, rows::HEAD)?,
        backbone: Backbone::new(seats.into_iter().map(entry).collect()).ok()?,
        reason: BoundedString::new(reason.to_owned()).ok()?,
    })
}

fn next_number(state: &impl StateRead) -> u64 {
    let last: Option<RestartRow> = rows::read(state, rows::RESTARTED);
    last.map_or(1, |last| last.restart_no.saturating_add(1))
}

/// The restarts that this node follows, that it has not come to, and that begin below `base`.
fn ahead_of(state: &impl StateRead, base: BlockHeight) -> Vec<Restart> {
    let rows = state.scan(rows::FOLLOWED, None, RESTARTS_MAX);
    let ahead = rows
        .iter()
        .filter_map(|(key, _)| rows::read::<Restart>(state, key));
    ahead.filter(|known| known.plan.base.height < base).collect()
}

/// Whether a plan is one to follow from the block after `state`: by who agreed to it, and by the rules.
///
/// Of one whose base lies ahead this says only that it was signed, for the network as it will be there: the state of its base says the
/// rest, and no block is applied above it before.
///
/// # Errors
/// See [`RefusedRestart`].
pub fn judge(state: &impl StateRead, restart: &Restart) -> Result<(), RefusedRestart> {
    let plan = &restart.plan;
    let head: Header = rows::read(state, rows::HEAD).ok_or(RefusedRestart::NoChain)?;
    let rules = query::rules(state).ok_or(RefusedRestart::NoChain)?;
    let (height, base) = (head.height, plan.base.height);
    let ahead = ahead_of(state, base);
    let n_ahead = u64::try_from(ahead.len()).unwrap_or(u64::MAX);
    let next = next_number(state).saturating_add(n_ahead);
    let network = ahead
        .last()
        .map_or(rules.network, |last| last.plan.network_after());
    if plan.network != network || plan.restart_no != next {
        return Err(RefusedRestart::OtherNetwork { next });
    }
    if height > base {
        return Err(RefusedRestart::LaterBlock { height, base });
    }
    if height == base {
        if plan.base != head {
            return Err(RefusedRestart::OtherBase { base });
        }
        check_seats(state, plan)?;
        check_people(state, restart)?;
    }
    check_signed(restart)
}

/// Whether everybody who votes by a plan signed it, and those who are named as people; who these are is another question.
///
/// # Errors
/// [`RefusedRestart::Signers`], [`RefusedRestart::Signature`].
pub fn check_signed(restart: &Restart) -> Result<(), RefusedRestart> {
    let backbone = &restart.plan.backbone;
    if Backbone::new(backbone.entries().to_vec()).as_ref() != Ok(backbone) {
        return Err(RefusedRestart::Signers);
    }
    let checks = restart.signature_checks().ok_or(RefusedRestart::Signers)?;
    if all_hold(&checks) {
        Ok(())
    } else {
        Err(RefusedRestart::Signature)
    }
}

fn check_seats(state: &impl StateRead, plan: &RestartPlan) -> Result<(), RefusedRestart> {
    let term = query::rules(state).map(|rules| plan.term(&rules.terms()));
    let term = term.ok_or(RefusedRestart::NoChain)?;
    let entries = plan.backbone.entries();
    let elects = query::seats(state).is_some();
    if elects && entries.len().checked_rem(3) != Some(1) {
        return Err(RefusedRestart::Size { found: entries.len() });
    }
    for entry in entries {
        let account = entry.account;
        if query::struck_off_until(state, &account, term).is_some() {
            return Err(RefusedRestart::Faulty { account });
        }
        let row: Option<AccountRow> = rows::read(state, &rows::account(&account));
        let user: Option<UseOfKey> = rows::read(state, &rows::used_key(&entry.key));
        let is_anothers = user.is_some_and(|user| user.account != account);
        let is_keyed = row.is_some_and(|row| row.kind == AccountKind::Keyed);
        let is_safe = PublicKey::from(entry.key).is_registrable();
        let is_committed = entry.cold_key == query::cold_key(state, &account);
        if is_anothers || !is_keyed || !is_safe || !is_committed {
            return Err(RefusedRestart::Seat { account });
        }
    }
    Ok(())
}

/// The key that votes for somebody now.
fn voting_now(state: &impl StateRead, plan: &RestartPlan, account: &AccountId) -> Option<NodeId> {
    let term = plan.term(&query::rules(state)?.terms());
    let succeeded = query::succession(state, term, account).map(|row| row.key);
    let in_backbone = || Some(query::backbone_of_term(state, term)?.of_account(account)?.key);
    succeeded.or_else(in_backbone)
}

fn check_people(state: &impl StateRead, restart: &Restart) -> Result<(), RefusedRestart> {
    let (plan, people) = (&restart.plan, &restart.people);
    if !people.iter().all(|assent| is_owner(state, assent)) {
        return Err(RefusedRestart::Signers);
    }
    let agree: BTreeSet<AccountId> = people.iter().map(|assent| assent.account).collect();
    for entry in plan.backbone.entries() {
        let account = entry.account;
        if voting_now(state, plan, &account) != Some(entry.key) && !agree.contains(&account) {
            return Err(RefusedRestart::NoConsent { account });
        }
    }
    let asked = asked(state);
    let found = asked.intersection(&agree).count();
    let (asked, needed) = (asked.len(), needed(asked.len()));
    if found < needed || asked == 0 {
        return Err(RefusedRestart::TooFew { found, asked, needed });
    }
    Ok(())
}

/// Whether somebody signed with an owner key of theirs.
fn is_owner(state: &impl StateRead, assent: &Assent) -> bool {
    let Some(row) = rows::read::<AccountRow>(state, &rows::account(&assent.account)) else {
        return false;
    };
    let key = row.keys.get(usize::from(assent.key_index));
    key.is_some_and(|key| key.key == assent.key && key.role == KeyRole::Owner && !key.is_removed)
}

impl Ledger<'_> {
    /// The first block above the base of a restart: another network, in which others vote from here on.
    pub(crate) fn restart(&mut self, restart: &Restart) {
        let plan = &restart.plan;
        let (terms, height) = (self.rules.terms(), self.height());
        let (term, hash) = (terms.of_height(height), plan.hash());
        self.rules.network = plan.network_after();
        let rules = self.rules.clone();
        self.rows.write(rows::RULES.to_vec(), &rules);
        self.rows.remove(rows::followed(plan.base.height));
        self.rows.write(
            rows::RESTARTED.to_vec(),
            &RestartRow {
                restart_no: plan.restart_no,
                plan: hash,
                base: plan.base.height,
            },
        );
        for entry in plan.backbone.entries() {
            self.take_seat(entry, term);
        }
        self.forget_successions(term);
        self.forget_successions(term.next());
        self.rows.write(rows::backbone(term), &plan.backbone);
        if self.rows.has(&rows::backbone(term.next())) {
            self.rows.write(rows::backbone(term.next()), &plan.backbone);
        }
        if self.rows.has(rows::SEATS) {
            let is_settled = height > terms.final_from(term.next());
            let people = plan.backbone.entries().iter().map(|entry| entry.account);
            if let Ok(backbone) = watt_trust::Backbone::new(people.collect(), term) {
                let row = SeatsRow {
                    term: if is_settled { term.next() } else { term },
                    backbone,
                    leaving: BoundedVec::empty(),
                    plan: None,
                };
                self.rows.write(rows::SEATS.to_vec(), &row);
            }
        }
    }

    /// The key is its account's from now on. Who votes with another one than before has lost those that were registered ahead, too.
    fn take_seat(&mut self, entry: &BackboneEntry, term: Term) {
        let account = entry.account;
        let succeeded: Option<SuccessionRow> = self.rows.read(&rows::succession(term, &account));
        let before: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let in_backbone = before.and_then(|before| Some(before.of_account(&account)?.key));
        if succeeded.map(|row| row.key).or(in_backbone) != Some(entry.key) {
            let (_, last) = duty::registrable(&self.rules, self.height());
            for later in (term.next().0..=last.0).map(Term) {
                self.rows.remove(rows::voting_key(later, &account));
            }
        }
        if !self.rows.has(&rows::used_key(&entry.key)) {
            self.rows
                .write(rows::used_key(&entry.key), &UseOfKey { account, term });
        }
    }
}
