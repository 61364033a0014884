//! What a validator does for providers: it looks at the openings of batches of sectors whose committee it is in, and says that they hold
//! (`docs/spec/proofs.md` 6.8, `docs/spec/node.md` §13).
//!
//! Which batches wait, who looks at them and until when is the ledger's to say. What is remembered beside it is what was asked, what
//! came of it, and what was signed. One batch is looked at a time, and providers take turns: one that never answers costs the others
//! nothing but its own turn.

use crate::backbones::VotingKeys;
use crate::effect::{Effect, ExamineJob, HandVerdictJob};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use watt_ledger::query::{self, Shown};
use watt_ledger::rows::{self, ProviderRow};
use watt_ledger::{ChallengedBatch, StateRead};
use watt_light::Verdict;
use watt_primitives::terms::Endpoint;
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, SectorNumber};

/// Rows of what falls due that are looked through after each block for batches that wait.
const ROWS_PER_BLOCK: usize = 64;

/// The most batches that are remembered: beyond it what is met next is remembered once others are over.
const WAITING_MAX: usize = 1024;

/// The most of one provider.
const WAITING_PER_PROVIDER_MAX: usize = 64;

/// The longest pause after an attempt in vain, in blocks; the first is of one block, and each is twice as long as the one before.
const PAUSE_BLOCKS_MAX: u64 = 16;

/// Blocks after which a verdict that was handed back is handed back again, if the batch still waits: the provider may have lost it.
const AGAIN_BLOCKS: u64 = 12;

/// Openings that do not hold, after which a batch is not looked at any more: a disk may have erred once.
const BAD_MAX: u8 = 2;

/// The most verdicts that are kept, the latest due last.
pub const GIVEN_MAX: usize = 256;

/// A verdict that was given: durable before anybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenVerdict {
    /// Whose batch.
    pub provider: AccountId,
    /// Number of its first sector.
    pub batch: SectorNumber,
    /// Hash of the openings that held.
    pub openings: Hash,
    /// Last height for the provider to hand it in.
    pub deadline: BlockHeight,
}

/// Why nothing was seen of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExamined {
    /// The provider can't be reached, or does not show the openings, in one sentence.
    #[error("they were not shown: {0}")]
    NotShown(String),
    /// What it showed does not hold.
    #[error("they do not hold: {0}")]
    Bad(String),
}

/// What the examiner of a node did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Batches whose openings held.
    pub held: u64,
    /// Times that openings did not hold.
    pub bad: u64,
    /// Times that nothing was shown.
    pub not_shown: u64,
}

/// Whose batch, and the number of its first sector.
type Key = (AccountId, SectorNumber);

/// A batch whose committee this node is in.
#[derive(Clone, Copy, Debug)]
struct Case {
    deadline: BlockHeight,
    /// Not before this height is anything done about it.
    not_before: BlockHeight,
    /// The next pause after an attempt in vain, in blocks.
    pause: u64,
    n_bad: u8,
    /// Once they were seen and hold.
    openings: Option<Hash>,
}

/// Looks at batches, one at a time.
pub(crate) struct Examiner {
    network: NetworkId,
    cases: BTreeMap<Key, Case>,
    /// When each provider had its last turn.
    turns: BTreeMap<AccountId, u64>,
    n_turns: u64,
    /// What is looked at or handed back now.
    under_way: Option<Key>,
    /// Where the look through what falls due goes on.
    cursor: Option<Vec<u8>>,
    given: BTreeMap<Key, GivenVerdict>,
    done: Examined,
}

impl Examiner {
    pub(crate) fn new(network: NetworkId, given: Vec<GivenVerdict>) -> Self {
        Self {
            network,
            cases: BTreeMap::new(),
            turns: BTreeMap::new(),
            n_turns: 0,
            under_way: None,
            cursor: None,
            given: given
                .into_iter()
                .map(|one| ((one.provider, one.batch), one))
                .collect(),
            done: Examined::default(),
        }
    }

    pub(crate) const fn done(&self) -> Examined {
        self.done
    }

    /// Looks at the new head: which batches wait for this node, and what is done next.
    pub(crate) fn look(
        &mut self,
        chain: &impl StateRead,
        keys: &VotingKeys,
        head: BlockHeight,
        effects: &mut Vec<Effect>,
    ) {
        self.forget(head);
        let (batches, cursor) = query::waiting_batches(chain, head, self.cursor.as_deref(), ROWS_PER_BLOCK);
        self.cursor = cursor;
        for key in batches {
            self.note(chain, keys, key, head);
        }
        self.go_on(chain, keys, head, effects);
    }

    fn forget(&mut self, head: BlockHeight) {
        let under_way = self.under_way;
        self.cases
            .retain(|key, case| case.deadline > head || under_way == Some(*key));
        let cases = &self.cases;
        self.turns.retain(|provider, _| of_provider(cases, provider) > 0);
    }

    fn note(&mut self, chain: &impl StateRead, keys: &VotingKeys, key: Key, head: BlockHeight) {
        let has_room =
            self.cases.len() < WAITING_MAX && of_provider(&self.cases, &key.0) < WAITING_PER_PROVIDER_MAX;
        let Entry::Vacant(free) = self.cases.entry(key) else {
            return;
        };
        let Some(shown) = query::shown_batch(chain, &key.0, key.1).filter(|_| has_room) else {
            return;
        };
        if shown.challenged.deadline > head && own_place(&shown, keys).is_some() {
            free.insert(Case {
                deadline: shown.challenged.deadline,
                not_before: head,
                pause: 1,
                n_bad: 0,
                openings: self.given.get(&key).map(|given| given.openings),
            });
        }
    }

    /// Begins the next piece of work, unless one is under way: of the providers whose turn was longest ago, the batch that is due first.
    fn go_on(
        &mut self,
        chain: &impl StateRead,
        keys: &VotingKeys,
        head: BlockHeight,
        effects: &mut Vec<Effect>,
    ) {
        while self.under_way.is_none() {
            let ready = self
                .cases
                .iter()
                .filter(|(_, case)| case.not_before <= head && case.n_bad < BAD_MAX);
            let turn = |key: &Key| self.turns.get(&key.0).copied().unwrap_or(0);
            let next = ready.min_by_key(|(key, case)| (turn(key), case.deadline, **key));
            let Some((key, case)) = next.map(|(key, case)| (*key, *case)) else {
                return;
            };
            self.n_turns = self.n_turns.saturating_add(1);
            self.turns.insert(key.0, self.n_turns);
            let known = query::shown_batch(chain, &key.0, key.1).zip(endpoint_of(chain, &key.0));
            let Some((shown, endpoint)) = known.filter(|(shown, _)| own_place(shown, keys).is_some()) else {
                // It is committed, or over, or somebody else votes for the seat.
                self.cases.remove(&key);
                continue;
            };
            self.under_way = Some(key);
            match case.openings {
                None => effects.push(Effect::Examine(Box::new(ExamineJob {
                    endpoint,
                    batch: shown.challenged,
                }))),
                Some(openings) => match self.hand_back(&shown, endpoint, openings, keys) {
                    Some(job) => effects.push(Effect::HandVerdict(Box::new(job))),
                    None => {
                        self.cases.remove(&key);
                        self.under_way = None;
                    }
                },
            }
        }
    }

    fn hand_back(
        &self,
        shown: &Shown,
        endpoint: Endpoint,
        openings: Hash,
        keys: &VotingKeys,
    ) -> Option<HandVerdictJob> {
        let member = own_place(shown, keys)?;
        let key = keys.named(&shown.committee.member(member)?.key)?;
        let signature = shown.challenged.verdict(openings).sign(key, &self.network);
        Some(HandVerdictJob {
            endpoint,
            provider: shown.challenged.provider,
            batch: shown.challenged.batch,
            openings,
            verdict: Verdict { member, signature },
        })
    }

    /// A provider showed the openings of a batch, or did not.
    pub(crate) fn examined(
        &mut self,
        chain: &impl StateRead,
        keys: &VotingKeys,
        head: BlockHeight,
        key: Key,
        result: Result<Hash, NotExamined>,
        effects: &mut Vec<Effect>,
    ) {
        if self.under_way != Some(key) {
            return;
        }
        self.under_way = None;
        if let Some(case) = self.cases.get_mut(&key) {
            match result {
                Ok(openings) => {
                    self.done.held = self.done.held.saturating_add(1);
                    case.openings = Some(openings);
                    case.pause = 1;
                    let given = GivenVerdict {
                        provider: key.0,
                        batch: key.1,
                        openings,
                        deadline: case.deadline,
                    };
                    self.keep(given, head, effects);
                    // It is handed back in the same turn.
                    self.turns.insert(key.0, 0);
                }
                Err(why) => {
                    let count = match why {
                        NotExamined::NotShown(_) => &mut self.done.not_shown,
                        NotExamined::Bad(_) => {
                            case.n_bad = case.n_bad.saturating_add(1);
                            &mut self.done.bad
                        }
                    };
                    *count = count.saturating_add(1);
                    tracing::debug!(provider = %key.0, batch = key.1.0, %why, "openings of a batch");
                    case.wait(head);
                }
            }
        }
        self.go_on(chain, keys, head, effects);
    }

    fn keep(&mut self, given: GivenVerdict, head: BlockHeight, effects: &mut Vec<Effect>) {
        self.given.retain(|_, one| one.deadline > head);
        self.given.insert((given.provider, given.batch), given);
        while self.given.len() > GIVEN_MAX {
            let first = self.given.iter().min_by_key(|(_, one)| one.deadline);
            let Some(key) = first.map(|(key, _)| *key) else {
                break;
            };
            self.given.remove(&key);
        }
        effects.push(Effect::KeepVerdicts(self.given.values().copied().collect()));
    }

    /// A provider took a verdict, or did not.
    pub(crate) fn handed_back(
        &mut self,
        chain: &impl StateRead,
        keys: &VotingKeys,
        head: BlockHeight,
        key: Key,
        is_taken: bool,
        effects: &mut Vec<Effect>,
    ) {
        if self.under_way != Some(key) {
            return;
        }
        self.under_way = None;
        if let Some(case) = self.cases.get_mut(&key) {
            if is_taken {
                case.not_before = head.plus(AGAIN_BLOCKS);
            } else {
                case.wait(head);
            }
        }
        self.go_on(chain, keys, head, effects);
    }
}

impl Case {
    /// An attempt was in vain.
    fn wait(&mut self, head: BlockHeight) {
        self.not_before = head.plus(self.pause);
        self.pause = self.pause.saturating_mul(2).min(PAUSE_BLOCKS_MAX);
    }
}

/// How many batches of a provider are remembered.
fn of_provider(cases: &BTreeMap<Key, Case>, provider: &AccountId) -> usize {
    let (first, last) = (SectorNumber(0), SectorNumber(u64::MAX));
    cases.range((*provider, first)..=(*provider, last)).count()
}

fn endpoint_of(chain: &impl StateRead, provider: &AccountId) -> Option<Endpoint> {
    rows::read::<ProviderRow>(chain, &rows::provider(provider)).map(|row| row.endpoint)
}

/// This node's place in a committee.
fn own_place(shown: &Shown, keys: &VotingKeys) -> Option<u8> {
    let own = shown
        .committee
        .members
        .iter()
        .find(|member| keys.has(&member.key))?;
    shown.committee.place_of(&own.key)
}

/// Why a provider does not take a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It has no batch with this number that waits for verdicts.
    #[error("no such batch waits for verdicts")]
    NotWaiting,
    /// Nobody in the committee has that place.
    #[error("nobody in the committee has that place")]
    NotAMember,
    /// It is not signed by that member, or over other openings.
    #[error("the member did not sign this")]
    Signature,
}

/// Checks a verdict before a provider takes it: with one that does not hold its commitment would fail.
///
/// # Errors
/// See [`NotTaken`].
pub fn check_verdict(
    chain: &impl StateRead,
    provider: &AccountId,
    batch: SectorNumber,
    openings: Hash,
    verdict: &Verdict,
) -> Result<(), NotTaken> {
    let shown = query::shown_batch(chain, provider, batch).ok_or(NotTaken::NotWaiting)?;
    let check = shown
        .challenged
        .signature_check(&shown.committee, openings, verdict);
    if check.ok_or(NotTaken::NotAMember)?.holds() {
        Ok(())
    } else {
        Err(NotTaken::Signature)
    }
}

/// Looks at openings that a provider showed; returns their hash if they hold.
///
/// # Errors
/// [`NotExamined::Bad`].
pub fn look_at(batch: &ChallengedBatch, network: &NetworkId, openings: &[u8]) -> Result<Hash, NotExamined> {
    batch
        .verify(openings)
        .map_err(|why| NotExamined::Bad(why.to_string()))?;
    Ok(watt_light::transaction::witness_hash(network, openings))
}

#[cfg(test)]
mod tests;
