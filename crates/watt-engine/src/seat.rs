//! What a node does for a seat of the backbone, without being asked: it registers voting keys ahead, attends windows, and reveals
//! the layers of which the beacon is made (`docs/spec/ledger.md` §13, §14), and hands in evidence.

use crate::effect::Effect;
use crate::evidence::{Evidence, EvidenceLog};
use crate::mempool::Place;
use crate::submitter::{Purpose, Submitter};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::StateRead;
use watt_ledger::query::{self, Duties, DutyToAttend};
use watt_ledger::rows::{self, DutyWindowRow, RulesRow};
use watt_light::duty::{KEYS_AHEAD_MAX, NewVotingKey, Onion};
use watt_light::{Operation, SignedTransaction, Succession};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, Term};

/// Blocks from one look at the duties to the next, but for the blocks in which a layer counts.
const LOOK_EVERY: u64 = 8;

/// The first blocks of a window, in which the layers of the one before count.
const REVEAL_BLOCKS: u64 = 4;

/// The most windows that are attended in one block: what was missed while the node was away comes in by and by.
const ATTENDED_AT_ONCE: usize = 4;

/// Whose seat it is, and the secrets that are stored for its terms.
#[derive(Clone, Debug)]
pub struct SeatConfig {
    /// The first key of the account that holds the seat, or wants one.
    pub account_key: SecretKey,
    /// Secrets of the terms that are not over.
    pub secrets: Vec<TermSecrets>,
}

/// What a node keeps secret for one term, and forgets after it (TC28).
#[derive(Clone, Debug)]
pub struct TermSecrets {
    /// Which term.
    pub term: Term,
    /// The key with which it votes.
    pub voting_key: SecretKey,
    /// From which its hash onion is made.
    pub onion_seed: Hash,
}

/// The duties of one seat.
pub(crate) struct Seat {
    account: AccountId,
    network: NetworkId,
    submitter: Submitter,
    /// The highest version of the rules that this program knows.
    protocol: u32,
    secrets: BTreeMap<Term, TermSecrets>,
    /// Terms for which secrets are being made.
    making: BTreeSet<Term>,
}

impl Seat {
    pub(crate) fn new(config: SeatConfig, network: NetworkId, protocol: u32) -> Self {
        Self {
            account: AccountId::of_first_key(&config.account_key.public()),
            network,
            protocol,
            submitter: Submitter::new(config.account_key, network),
            secrets: config
                .secrets
                .into_iter()
                .map(|secrets| (secrets.term, secrets))
                .collect(),
            making: BTreeSet::new(),
        }
    }

    /// Secrets were made, and are stored.
    pub(crate) fn made(&mut self, secrets: Vec<TermSecrets>) {
        for secrets in secrets {
            self.making.remove(&secrets.term);
            self.secrets.insert(secrets.term, secrets);
        }
    }

    /// What the state of the head asks for: transactions to hand in.
    pub(crate) fn look<'a>(
        &mut self,
        chain: &impl StateRead,
        head: BlockHeight,
        evidence: &EvidenceLog,
        successions: impl Iterator<Item = &'a Succession>,
        is_pooled: impl Fn(&Place) -> bool,
        effects: &mut Vec<Effect>,
    ) -> Vec<SignedTransaction> {
        let Some(rules) = query::rules(chain) else {
            return Vec::new();
        };
        let place = head
            .next()
            .0
            .checked_rem(rules.parameters.window_slots)
            .unwrap_or(0);
        if place >= REVEAL_BLOCKS && !head.0.is_multiple_of(LOOK_EVERY) {
            return Vec::new();
        }
        let Some(duties) = query::duties(chain, &self.account) else {
            return Vec::new();
        };
        self.submitter.settle(chain, head, is_pooled);
        self.forget(query::term_of_height(&rules, head.next()), effects);
        self.make_missing(&duties, effects);
        let mut transactions = Vec::new();
        let of_seat = successions.filter(|succession| succession.account == self.account);
        for succession in of_seat.cloned().collect::<Vec<_>>() {
            transactions.extend(self.succeed(chain, succession, head));
        }
        transactions.extend(self.register(&rules, &duties, head));
        // The newest first: its layer counts only now.
        for duty in duties.windows.iter().rev().take(ATTENDED_AT_ONCE) {
            transactions.extend(self.attend(&rules, chain, duty, head));
        }
        transactions.extend(self.report(&rules, chain, evidence, head));
        transactions
    }

    /// Hands in what proves that somebody signed two contradicting things. Voters do it in turns, so that all but the first see that it
    /// is done.
    fn report(
        &mut self,
        rules: &RulesRow,
        chain: &impl StateRead,
        evidence: &EvidenceLog,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        let voters = query::backbone_of_term(chain, query::term_of_height(rules, head))?;
        let turn = head.0 / LOOK_EVERY;
        let n_voters = u64::try_from(voters.entries().len()).ok()?;
        let at_turn = usize::try_from(turn.checked_rem(n_voters)?).ok()?;
        if voters.entries().get(at_turn)?.account != self.account {
            return None;
        }
        let is_news = |piece: &&Evidence| query::can_accuse(chain, &piece.node());
        let piece = evidence.newest().find(is_news)?;
        let operation = Operation::ReportEvidence {
            evidence: Box::new(piece.for_ledger()),
        };
        self.submitter
            .make(Purpose::Report(piece.node()), vec![operation], Vec::new(), head)
    }

    /// Secrets of terms that are over are of no use to their owner, and of much to whoever finds them.
    fn forget(&mut self, running: Term, effects: &mut Vec<Effect>) {
        let oldest = running.previous();
        if self.secrets.keys().next().is_some_and(|term| *term < oldest) {
            self.secrets = self.secrets.split_off(&oldest);
            effects.push(Effect::ForgetVotingKeys { before: oldest });
        }
    }

    fn make_missing(&mut self, duties: &Duties, effects: &mut Vec<Effect>) {
        let missing = duties
            .keys_missing
            .iter()
            .filter(|term| !self.secrets.contains_key(term) && !self.making.contains(term));
        let terms: Vec<Term> = missing.copied().collect();
        if !terms.is_empty() {
            self.making.extend(terms.iter().copied());
            effects.push(Effect::MakeVotingKeys { terms });
        }
    }

    /// Registers the keys of the first terms in a row for which they are missing.
    fn register(
        &mut self,
        rules: &RulesRow,
        duties: &Duties,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        let first = duties
            .keys_missing
            .iter()
            .find(|term| self.secrets.contains_key(term))
            .copied()?;
        let mut keys = Vec::new();
        for term in (first.0..).map(Term).take(KEYS_AHEAD_MAX) {
            let Some(secrets) = self
                .secrets
                .get(&term)
                .filter(|_| duties.keys_missing.contains(&term))
            else {
                break;
            };
            let onion = Onion::new(self.network, secrets.onion_seed, rules.parameters.term_windows);
            let key = &secrets.voting_key;
            keys.push(NewVotingKey::sign(
                key,
                &self.account,
                term,
                onion.outermost(),
                &self.network,
            ));
        }
        let operation = Operation::RegisterVotingKeys {
            first_term: first,
            keys: BoundedVec::new(keys).ok()?,
        };
        self.submitter
            .make(Purpose::RegisterKeys, vec![operation], Vec::new(), head)
    }

    /// Hands in that another key votes for the seat, unless the ledger knows.
    fn succeed(
        &mut self,
        chain: &impl StateRead,
        succession: Succession,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        let (term, generation) = (succession.term, succession.generation);
        let known = query::succession(chain, term, &self.account);
        if known.is_some_and(|known| known.generation >= generation) {
            return None;
        }
        let operation = Operation::Succeed {
            succession: Box::new(succession),
        };
        self.submitter.make(
            Purpose::Succeed(term, generation),
            vec![operation],
            Vec::new(),
            head,
        )
    }

    fn attend(
        &mut self,
        rules: &RulesRow,
        chain: &impl StateRead,
        duty: &DutyToAttend,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        let row: DutyWindowRow = rows::read(chain, &rows::duty_window(duty.window))?;
        let reveal = duty.reveal.and_then(|(term, at)| {
            let secrets = self.secrets.get(&term)?;
            let onion = Onion::new(self.network, secrets.onion_seed, rules.parameters.term_windows);
            Some(onion.layer(at))
        });
        let operation = Operation::Attend {
            window: duty.window,
            header: row.header?,
            knows: self.protocol,
            reveal,
        };
        self.submitter
            .make(Purpose::Attend(duty.window), vec![operation], Vec::new(), head)
    }
}
