//! Which heartbeats and transactions a proposer puts into a block (`docs/spec/ledger.md` §5). A policy, never a rule of validity.

use crate::beacon::Beacon;
use crate::check::{self, Admission, HeartbeatAdmission};
use crate::fee::{self, FeeRate, PROOFS_PER_BLOCK_MAX};
use crate::folded::FOLDED_PER_BLOCK_MAX;
use crate::ledger::window_of;
use crate::refused::Refused;
use crate::rows::{self, AccountRow, ChainRow, RulesRow};
use crate::state::StateRead;
use crate::subject::{self, Subject};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use watt_light::heartbeat::HEARTBEATS_PER_BLOCK_MAX;
use watt_light::{Heartbeats, SignedHeartbeat, SignedTransaction};
use watt_primitives::{AccountId, Amount, Hash, codec};

/// One in this many places of a block is first offered to providers' duties, so that a flood of others can't make an honest
/// provider miss its window.
const DUTY_ONE_IN: u32 = 4;

/// Bytes that a body takes for the lengths of its lists.
const LIST_BYTES: usize = 8;

/// A transaction that [`check::admit`] let in.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The transaction.
    pub transaction: &'a SignedTransaction,
    /// What was found out about it.
    pub admission: &'a Admission,
}

/// What was chosen for the next block, as places in the list of candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// In block order.
    pub block: Vec<usize>,
    /// Met on the way, and possible no more: its number is used, or its key may not act. Not all there are: a full block is not
    /// looked beyond.
    pub stale: Vec<usize>,
}

/// A heartbeat that [`check::admit_heartbeat`] let in, and whose signature holds.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatCandidate<'a> {
    /// The heartbeat.
    pub heartbeat: &'a SignedHeartbeat,
    /// What was found out about it.
    pub admission: &'a HeartbeatAdmission,
}

/// Heartbeats that were chosen for the next block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChosenHeartbeats {
    /// In block order.
    pub block: Heartbeats,
    /// Places in the list of candidates of those that can count no more. Not all there are: a full section is not looked beyond.
    pub stale: Vec<usize>,
}

/// The heartbeats for the next block: of each provider one that would count, in the order of `candidates`, which is that of numbers, as
/// long as there is room. The others have the blocks after this one.
#[must_use]
pub fn fill_heartbeats(state: &impl StateRead, candidates: &[HeartbeatCandidate<'_>]) -> ChosenHeartbeats {
    let Some(rules) = rows::read::<RulesRow>(state, rows::RULES) else {
        return ChosenHeartbeats::default();
    };
    let mut bytes_left = usize::try_from(fee::heartbeat_bytes_max(&rules.parameters)).unwrap_or(0);
    let (mut block, mut stale) = (Vec::<SignedHeartbeat>::new(), Vec::new());
    for (at, HeartbeatCandidate { heartbeat, admission }) in candidates.iter().enumerate() {
        if block.len() >= HEARTBEATS_PER_BLOCK_MAX {
            break;
        }
        // Asked again: keys may be others by now, and a signature that does not hold makes the block invalid.
        let counts = match check::admit_heartbeat(state, admission.window, heartbeat) {
            Ok(now) if now == **admission => check::heartbeat_counts(state, admission, heartbeat),
            Ok(_) => Err(Refused::UnknownKey),
            Err(why) => Err(why),
        };
        let bytes = codec::encode(heartbeat).len();
        let is_next = block.last().is_none_or(|last| last.provider < heartbeat.provider);
        match counts {
            Ok(()) if is_next && bytes <= bytes_left => {
                bytes_left = bytes_left.saturating_sub(bytes);
                block.push((*heartbeat).clone());
            }
            Ok(()) | Err(Refused::WindowNotOpen { .. }) => {}
            Err(_) => stale.push(at),
        }
    }
    ChosenHeartbeats {
        block: Heartbeats::new(block).unwrap_or_default(),
        stale,
    }
}

/// The transactions for the next block, which `heartbeats` go into as well.
///
/// Of each account's key only transactions whose numbers follow one another are taken. Duties get a quarter of the places, whatever they
/// offer: those that nobody has for nothing first, of these the first of each account, then second ones, and so on, else in an order that
/// the newest beacon of a window draws. The rest goes to the highest fee per kept byte, equal fees in an order drawn likewise. Nothing
/// with a witness is taken that the ledger does not wait for, or twice. What is returned passes [`crate::apply_block`] on top of `state`.
#[must_use]
pub fn fill_block(
    state: &impl StateRead,
    candidates: &[Candidate<'_>],
    heartbeats: &[SignedHeartbeat],
) -> Chosen {
    let taken = codec::encode(heartbeats).len().saturating_add(LIST_BYTES);
    let rules: Option<RulesRow> = rows::read(state, rows::RULES);
    let chain: Option<ChainRow> = rows::read(state, rows::CHAIN);
    let (Some(rules), Some(chain)) = (rules, chain) else {
        return Chosen::default();
    };
    let beacon = Beacon::newest(state, &rules.network, window_of(&rules, chain.height));
    let mut filling = Filling {
        state,
        rules: &rules,
        chain: chain.next(),
        beacon: beacon.map(|(_, beacon)| beacon),
        candidates,
        lanes: lanes(candidates),
        accounts: BTreeMap::new(),
        loads: BTreeMap::new(),
        subjects: BTreeSet::new(),
        chosen: Chosen::default(),
        bytes_left: usize::try_from(rules.parameters.block_bytes_max)
            .unwrap_or(0)
            .saturating_sub(taken),
        proofs_left: PROOFS_PER_BLOCK_MAX,
        folded_left: FOLDED_PER_BLOCK_MAX,
    };
    let places = rules.parameters.block_transactions_max;
    let duty_places = places.div_ceil(DUTY_ONE_IN);
    filling.take(usize::try_from(duty_places).unwrap_or(0), true);
    filling.take(usize::try_from(places).unwrap_or(0), false);
    filling.chosen.stale.sort_unstable();
    filling.chosen.stale.dedup();
    filling.chosen
}

type Lane = (AccountId, u16);

/// When the turn of a transaction is: that of a duty by whose it is, that of any other by what it offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Duty {
        is_cheap: bool,
        /// What its account has of this block if it is taken.
        load: usize,
        tie: Hash,
        at: usize,
    },
    Offer {
        rate: Reverse<FeeRate>,
        tie: Hash,
        at: usize,
    },
}

impl Order {
    const fn at(&self) -> usize {
        match self {
            Self::Duty { at, .. } | Self::Offer { at, .. } => *at,
        }
    }
}

/// Candidates by lane and number; of two with the same number the one that offers more.
fn lanes(candidates: &[Candidate<'_>]) -> BTreeMap<Lane, BTreeMap<u64, usize>> {
    let mut lanes: BTreeMap<Lane, BTreeMap<u64, usize>> = BTreeMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let admission = candidate.admission;
        let held = lanes
            .entry(admission.lane)
            .or_default()
            .entry(admission.nonce)
            .or_insert(at);
        if candidates
            .get(*held)
            .is_some_and(|held| held.admission.rate < admission.rate)
        {
            *held = at;
        }
    }
    lanes
}

struct Filling<'a, S: StateRead> {
    state: &'a S,
    rules: &'a RulesRow,
    /// With the height of the block.
    chain: ChainRow,
    beacon: Option<Beacon>,
    candidates: &'a [Candidate<'a>],
    lanes: BTreeMap<Lane, BTreeMap<u64, usize>>,
    /// Rows of accounts met so far, with the fees promised in this block already gone and nonces moved on.
    accounts: BTreeMap<AccountId, Option<AccountRow>>,
    /// What each account has of the block: its transactions, those with several witnesses counted by these.
    loads: BTreeMap<AccountId, usize>,
    /// What the witnesses chosen so far are about.
    subjects: BTreeSet<Subject>,
    chosen: Chosen,
    bytes_left: usize,
    proofs_left: usize,
    folded_left: usize,
}

impl<S: StateRead> Filling<'_, S> {
    /// Takes until `places` are taken in all, the best first; only duties if asked for.
    fn take(&mut self, places: usize, duties_only: bool) {
        let mut heads: BTreeSet<(Order, Lane)> = BTreeSet::new();
        let all: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in all {
            heads.extend(self.head(&lane, duties_only).map(|order| (order, lane)));
        }
        while self.chosen.block.len() < places
            && let Some((order, lane)) = heads.pop_first()
        {
            let now = self.head(&lane, duties_only);
            if now != Some(order) {
                // Its account has been given more since.
                heads.extend(now.map(|order| (order, lane)));
            } else if self.fits(order.at()) && self.admit(order.at()) {
                self.choose(order.at(), &lane);
                heads.extend(self.head(&lane, duties_only).map(|order| (order, lane)));
            }
        }
    }

    /// The lane's first transaction that is still to be taken, and when its turn is.
    fn head(&self, lane: &Lane, duties_only: bool) -> Option<Order> {
        let (_, at) = self.lanes.get(lane)?.first_key_value()?;
        let (at, admission) = (*at, self.candidates.get(*at)?.admission);
        let tie = |draw: &dyn Fn(&Beacon) -> Hash| self.beacon.as_ref().map_or(Hash::ZERO, draw);
        if !duties_only {
            let (rate, tie) = (
                Reverse(admission.rate),
                tie(&|beacon| beacon.fee_tie(admission.id.as_ref())),
            );
            return Some(Order::Offer { rate, tie, at });
        }
        let (account, _) = lane;
        let load = self.load(account).saturating_add(admission.n_proofs.max(1));
        admission.is_duty.then(|| Order::Duty {
            is_cheap: !admission.is_earned,
            load,
            tie: tie(&|beacon| beacon.duty_tie(account, self.chain.height)),
            at,
        })
    }

    fn load(&self, account: &AccountId) -> usize {
        self.loads.get(account).copied().unwrap_or(0)
    }

    fn fits(&self, at: usize) -> bool {
        self.candidates.get(at).is_some_and(|candidate| {
            candidate.admission.bytes <= self.bytes_left
                && candidate.admission.n_proofs <= self.proofs_left
                && candidate.admission.n_folded <= self.folded_left
        })
    }

    /// Whether the transaction may follow those taken so far.
    fn admit(&mut self, at: usize) -> bool {
        let Some(candidate) = self.candidates.get(at) else {
            return false;
        };
        let transaction = &candidate.transaction.transaction;
        let state = self.state;
        let account = self
            .accounts
            .entry(transaction.account)
            .or_insert_with(|| rows::read(state, &rows::account(&transaction.account)));
        let authority = check::authorise(account.as_ref(), transaction, self.chain.height);
        let authority = match authority {
            Ok(authority) => authority,
            // The fees of those chosen before are only promised: what is too high now need not be in the next block.
            Err(Refused::FeeTooHigh { .. }) => return false,
            Err(_) => {
                self.chosen.stale.push(at);
                return false;
            }
        };
        if authority.nonce != transaction.nonce {
            if authority.nonce > transaction.nonce {
                self.chosen.stale.push(at);
            }
            return false;
        }
        // Asked again: what the ledger waited for may have come.
        match subject::subjects(state, self.rules, &self.chain, transaction) {
            Ok(subjects) if subjects.is_disjoint(&self.subjects) => self.subjects.extend(subjects),
            Ok(_) => return false,
            Err(why) => {
                if !subject::is_early(why) {
                    self.chosen.stale.push(at);
                }
                return false;
            }
        }
        let mut row = account
            .take()
            .unwrap_or(AccountRow::new(rows::AccountKind::Keyed));
        if authority.is_first {
            check::register_first_key(&mut row, &transaction.key);
        }
        row.change_key(transaction.key_index, |key| {
            key.nonce = key.nonce.saturating_add(1);
        });
        // The most it can cost: what everyone pays is known only when the block is full.
        row.balance = row.balance.checked_sub(transaction.fee).unwrap_or(Amount::ZERO);
        *account = Some(row);
        true
    }

    fn choose(&mut self, at: usize, lane: &Lane) {
        if let Some(candidate) = self.candidates.get(at) {
            self.bytes_left = self.bytes_left.saturating_sub(candidate.admission.bytes);
            self.proofs_left = self.proofs_left.saturating_sub(candidate.admission.n_proofs);
            self.folded_left = self.folded_left.saturating_sub(candidate.admission.n_folded);
            let (account, _) = lane;
            let load = self
                .load(account)
                .saturating_add(candidate.admission.n_proofs.max(1));
            self.loads.insert(*account, load);
        }
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.pop_first();
        }
        self.chosen.block.push(at);
    }
}
