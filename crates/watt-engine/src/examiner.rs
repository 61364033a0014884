//! What a validator does for providers: it looks at the openings of batches of sectors whose committee it is in, and says that they hold
//! (`docs/spec/proofs.md` 6.8, `docs/spec/node.md` §13).
//!
//! Which batches wait, who looks at them and until when is the ledger's to say. What is remembered beside it is what was asked, what
//! came of it, and what was signed. A few providers are asked at once. Who kept a member waiting in vain comes after all others, and
//! who has proven nothing yet after who has: so a flood of accounts that show nothing takes the time of those who show nothing.

use crate::backbones::VotingKeys;
use crate::effect::{Effect, ExamineJob, HandVerdictJob};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watt_ledger::query::{self, Shown};
use watt_ledger::rows::{self, ProviderRow};
use watt_ledger::{ChallengedBatch, StateRead};
use watt_light::Verdict;
use watt_primitives::terms::Endpoint;
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, SectorNumber, Window};

/// Rows of what falls due that are looked through after each block for batches that wait.
const ROWS_PER_BLOCK: usize = 64;

/// The most batches that are remembered: beyond it what is met next is remembered once others are over.
const WAITING_MAX: usize = 1024;

/// The most of one provider.
const WAITING_PER_PROVIDER_MAX: usize = 64;

/// Providers that are asked at once: openings are large, and looked at one after the other.
const ASKED_AT_ONCE: usize = 4;

/// The most providers that are remembered for having kept this node waiting.
const IN_VAIN_MAX: usize = 4096;

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
    /// The window that asked.
    pub window: Window,
    /// Hash of the openings that held.
    pub openings: Hash,
    /// Last height for the provider to hand it in.
    pub deadline: BlockHeight,
}

/// Why nothing was seen of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExamined {
    /// The provider said at once that it does not show them now, in one sentence.
    #[error("they are not shown yet: {0}")]
    NotYet(String),
    /// It was waited for in vain, in one sentence.
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
    /// The window that asks.
    window: Window,
    deadline: BlockHeight,
    /// Whether nothing of clients lies in it.
    is_filler: bool,
    /// Not before this height is anything done about it.
    not_before: BlockHeight,
    /// The next pause after an attempt in vain, in blocks.
    pause: u64,
    n_bad: u8,
    /// Once they were seen and hold.
    openings: Option<Hash>,
}

/// What is remembered of a provider.
#[derive(Clone, Copy, Debug, Default)]
struct Provider {
    /// When it had its last turn.
    turn: u64,
    /// How often in a row it was waited for in vain.
    n_in_vain: u32,
    /// Whether the ledger counted on none of its sectors when it was last looked up.
    is_new: bool,
}

/// What comes first among batches that wait.
type Order = (u32, bool, bool, u64, BlockHeight, Key);

/// Looks at batches, of a few providers at once.
pub(crate) struct Examiner {
    network: NetworkId,
    cases: BTreeMap<Key, Case>,
    providers: BTreeMap<AccountId, Provider>,
    n_turns: u64,
    /// What is looked at or handed back now: one batch of a provider.
    under_way: BTreeMap<AccountId, SectorNumber>,
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
            providers: BTreeMap::new(),
            n_turns: 0,
            under_way: BTreeMap::new(),
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
        let (batches, cursor) = query::waiting_batches(chain, self.cursor.as_deref(), ROWS_PER_BLOCK);
        self.cursor = cursor;
        for key in batches {
            self.note(chain, keys, key, head);
        }
        self.go_on(chain, keys, head, effects);
    }

    fn forget(&mut self, head: BlockHeight) {
        let under_way = &self.under_way;
        self.cases
            .retain(|key, case| case.deadline > head || under_way.get(&key.0) == Some(&key.1));
        let cases = &self.cases;
        self.providers
            .retain(|provider, known| known.n_in_vain > 0 || of_provider(cases, provider) > 0);
        while self.providers.len() > WAITING_MAX.saturating_add(IN_VAIN_MAX) {
            let idle = self
                .providers
                .iter()
                .filter(|(id, _)| of_provider(cases, id) == 0);
            let Some(oldest) = idle.min_by_key(|(_, known)| known.turn).map(|(id, _)| *id) else {
                return;
            };
            self.providers.remove(&oldest);
        }
    }

    fn note(&mut self, chain: &impl StateRead, keys: &VotingKeys, key: Key, head: BlockHeight) {
        let is_asked_anew =
            |case: &Case| query::audit(chain, &key.0, key.1).is_some_and(|audit| audit.window != case.window);
        let is_under_way = self.under_way.get(&key.0) == Some(&key.1);
        if !is_under_way && self.cases.get(&key).is_some_and(is_asked_anew) {
            self.cases.remove(&key);
        }
        if self.cases.contains_key(&key) || of_provider(&self.cases, &key.0) >= WAITING_PER_PROVIDER_MAX {
            return;
        }
        let Some(shown) = query::shown_batch(chain, &key.0, key.1) else {
            return;
        };
        let question = shown.challenged.question;
        if question.deadline <= head || own_place(&shown, keys).is_none() {
            return;
        }
        let Some(row) = rows::read::<ProviderRow>(chain, &rows::provider(&key.0)) else {
            return;
        };
        self.providers.entry(key.0).or_default().is_new = row.n_active == 0;
        let given = self.given.get(&key);
        let given = given.filter(|given| given.window == question.window);
        let case = Case {
            window: question.window,
            deadline: question.deadline,
            is_filler: !shown.challenged.has_slots(),
            not_before: head,
            pause: 1,
            n_bad: 0,
            openings: given.map(|given| given.openings),
        };
        if self.cases.len() >= WAITING_MAX && !self.make_room(self.order(&key, &case)) {
            return;
        }
        self.cases.insert(key, case);
    }

    /// Forgets the last of what waits if it comes after `order`; whether it did.
    fn make_room(&mut self, order: Order) -> bool {
        let idle = self
            .cases
            .iter()
            .filter(|(key, _)| self.under_way.get(&key.0) != Some(&key.1));
        let last = idle.map(|(key, case)| self.order(key, case)).max();
        let Some(last) = last.filter(|last| order < *last) else {
            return false;
        };
        self.cases.remove(&last.5);
        true
    }

    /// Whoever was waited for in vain comes last, who has proven nothing yet after who has, what holds nothing of clients after what
    /// does; then those whose turn was longest ago, then what is due first.
    fn order(&self, key: &Key, case: &Case) -> Order {
        let known = self.providers.get(&key.0).copied().unwrap_or_default();
        let Provider {
            turn,
            n_in_vain,
            is_new,
        } = known;
        (n_in_vain, is_new, case.is_filler, turn, case.deadline, *key)
    }

    /// Begins the next pieces of work.
    fn go_on(
        &mut self,
        chain: &impl StateRead,
        keys: &VotingKeys,
        head: BlockHeight,
        effects: &mut Vec<Effect>,
    ) {
        while self.under_way.len() < ASKED_AT_ONCE {
            let ready = self.cases.iter().filter(|(key, case)| {
                case.not_before <= head && case.n_bad < BAD_MAX && !self.under_way.contains_key(&key.0)
            });
            let next = ready.min_by_key(|(key, case)| self.order(key, case));
            let Some((key, case)) = next.map(|(key, case)| (*key, *case)) else {
                return;
            };
            self.n_turns = self.n_turns.saturating_add(1);
            self.providers.entry(key.0).or_default().turn = self.n_turns;
            match self.work_on(chain, keys, key, &case) {
                Some(effect) => {
                    self.under_way.insert(key.0, key.1);
                    effects.push(effect);
                }
                // It has answered, or is over, or another window asks, or somebody else votes for the seat.
                None => drop(self.cases.remove(&key)),
            }
        }
    }

    /// What is to be done about a batch; nothing if it does not wait for this node any more.
    fn work_on(&self, chain: &impl StateRead, keys: &VotingKeys, key: Key, case: &Case) -> Option<Effect> {
        let shown = query::shown_batch(chain, &key.0, key.1)?;
        if shown.challenged.question.window != case.window {
            return None;
        }
        let endpoint = rows::read::<ProviderRow>(chain, &rows::provider(&key.0))?.endpoint;
        own_place(&shown, keys)?;
        Some(match case.openings {
            None => Effect::Examine(Box::new(ExamineJob {
                endpoint,
                batch: shown.challenged,
            })),
            Some(openings) => {
                Effect::HandVerdict(Box::new(self.hand_back(&shown, endpoint, openings, keys)?))
            }
        })
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
        if !self.is_over(&key) {
            return;
        }
        if let Some(case) = self.cases.get_mut(&key) {
            match result {
                Ok(openings) => {
                    self.done.held = self.done.held.saturating_add(1);
                    case.openings = Some(openings);
                    case.pause = 1;
                    let given = GivenVerdict {
                        provider: key.0,
                        batch: key.1,
                        window: case.window,
                        openings,
                        deadline: case.deadline,
                    };
                    self.keep(given, head, effects);
                    // It is handed back in the same turn.
                    self.providers.entry(key.0).and_modify(|known| {
                        (known.turn, known.n_in_vain) = (0, 0);
                    });
                }
                Err(why) => {
                    let count = match why {
                        NotExamined::NotYet(_) | NotExamined::NotShown(_) => &mut self.done.not_shown,
                        NotExamined::Bad(_) => {
                            case.n_bad = case.n_bad.saturating_add(1);
                            &mut self.done.bad
                        }
                    };
                    *count = count.saturating_add(1);
                    if !matches!(why, NotExamined::NotYet(_)) {
                        let known = self.providers.entry(key.0).or_default();
                        known.n_in_vain = known.n_in_vain.saturating_add(1);
                    }
                    tracing::debug!(provider = %key.0, batch = key.1.0, %why, "openings of a batch");
                    case.wait(head);
                }
            }
        }
        self.go_on(chain, keys, head, effects);
    }

    /// Whether this was under way; it is not any more.
    fn is_over(&mut self, key: &Key) -> bool {
        let is_over = self.under_way.get(&key.0) == Some(&key.1);
        if is_over {
            self.under_way.remove(&key.0);
        }
        is_over
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
        if !self.is_over(&key) {
            return;
        }
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
