//! What must hold of every block, whoever committed it.

use crate::check::{AnswerCheck, PayCheck, SeatCheck};
use crate::people::PATIENCE_BLOCKS;
use crate::violation::{Checked, Promise, Violation};
use std::collections::{BTreeMap, BTreeSet};
use watt_engine::message::DecidedBlock;
use watt_ledger::query::{self, recount};
use watt_ledger::rows::{self, DealEnd, DealRow, DealStage, SlotRow};
use watt_ledger::state::Writes;
use watt_ledger::{BlockOutcome, Event, MemoryState, NetworkParameters, StateRead, tree};
use watt_light::Operation;
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, NetworkId, Timestamp, TransactionId};

/// Blocks between two computations of the whole state tree from its entries.
const WHOLE_TREE_EVERY: u64 = 16;

/// Follows the chain beside the ledger, with its own books.
pub struct ChainCheck {
    network: NetworkId,
    headers: BTreeMap<BlockHeight, (Hash, usize)>,
    nonces: BTreeMap<(AccountId, u16), u64>,
    transactions: BTreeSet<TransactionId>,
    pay: PayCheck,
    /// Who could answer for which window when.
    pub answers: AnswerCheck,
    /// Who votes when.
    pub seats: SeatCheck,
    honest_providers: BTreeSet<AccountId>,
    /// Transactions in blocks so far.
    pub n_transactions: u64,
    /// Payments by the number of blocks that they waited for, the one they are in counted.
    delays: BTreeMap<u64, u64>,
}

impl ChainCheck {
    /// Nothing seen but block 0, which has `genesis`.
    #[must_use]
    pub fn new(
        network: NetworkId,
        genesis: Hash,
        parameters: &NetworkParameters,
        genesis_state: &MemoryState,
    ) -> Self {
        Self {
            network,
            headers: BTreeMap::from([(BlockHeight(0), (genesis, 0))]),
            nonces: BTreeMap::new(),
            transactions: BTreeSet::new(),
            pay: PayCheck::new(parameters, genesis_state),
            answers: AnswerCheck::new(parameters.window_slots),
            seats: SeatCheck::new(parameters, genesis_state),
            honest_providers: BTreeSet::new(),
            n_transactions: 0,
            delays: BTreeMap::new(),
        }
    }

    /// From now on this provider must not be fined.
    pub fn trust_provider(&mut self, account: AccountId) {
        self.honest_providers.insert(account);
    }

    /// The network was restarted: transactions are signed for another one.
    pub fn restarted(&mut self, network: NetworkId) {
        self.network = network;
    }

    /// The highest block that anyone committed.
    #[must_use]
    pub fn height(&self) -> BlockHeight {
        self.headers.keys().next_back().copied().unwrap_or_default()
    }

    /// The header that the network agreed on at `height`.
    #[must_use]
    pub fn header_at(&self, height: BlockHeight) -> Option<Hash> {
        self.headers.get(&height).map(|(hash, _)| *hash)
    }

    /// A node committed a block at `now`.
    ///
    /// # Errors
    /// The first promise that the block breaks.
    pub fn committed(
        &mut self,
        node: usize,
        now: Timestamp,
        below: &MemoryState,
        state: &MemoryState,
        block: &DecidedBlock,
        outcome: &BlockOutcome,
    ) -> Checked {
        let (height, hash) = (outcome.header.height, outcome.header.hash());
        if let Some((agreed, first)) = self.headers.get(&height) {
            return if *agreed == hash {
                Ok(())
            } else {
                Err(Violation::of(
                    Promise::Agreement,
                    format_args!("block {height} of node {node} is {hash}, that of node {first} is {agreed}"),
                ))
            };
        }
        self.headers.insert(height, (hash, node));
        self.check_root(state, outcome)?;
        self.check_spending(block)?;
        check_supply(state, height)?;
        check_book(below, state, outcome)?;
        self.pay.block(below, state, block, outcome)?;
        self.answers.block(now, outcome)?;
        self.seats.block(height, state)?;
        self.check_fines(state)
    }

    fn check_root(&self, state: &MemoryState, outcome: &BlockOutcome) -> Checked {
        let (height, stated) = (outcome.header.height, outcome.header.state_root);
        let wrong = |what: &str, found: Hash| {
            let facts = format!("header {height} commits to {stated}, {what} is {found}");
            Err(Violation::of(Promise::StateRoot, facts))
        };
        match tree::root(state) {
            Ok(found) if found == stated => {}
            Ok(found) => return wrong("the top of the tree", found),
            Err(damaged) => return Err(Violation::of(Promise::StateRoot, damaged)),
        }
        if height.0.is_multiple_of(WHOLE_TREE_EVERY) {
            let found = root_of_entries(state);
            if found != stated {
                return wrong("the root of all entries", found);
            }
        }
        Ok(())
    }

    fn check_spending(&mut self, block: &DecidedBlock) -> Checked {
        for signed in &block.transactions {
            let transaction = &signed.transaction;
            let id = transaction.id(&self.network);
            self.n_transactions += 1;
            let is_payment = |operation: &Operation| matches!(operation, Operation::Transfer { .. });
            if transaction.operations.iter().all(is_payment) {
                let signed_at = transaction.valid_until.0.saturating_sub(PATIENCE_BLOCKS);
                let waited = block.proposal.proposal.slot.0.saturating_sub(signed_at);
                *self.delays.entry(waited).or_default() += 1;
            }
            let next = self
                .nonces
                .entry((transaction.account, transaction.key_index))
                .or_default();
            if !self.transactions.insert(id) || transaction.nonce != *next {
                let (found, next) = (transaction.nonce, *next);
                return Err(Violation::of(
                    Promise::NoDoubleSpend,
                    format_args!("transaction {id} has number {found} where {next} is next"),
                ));
            }
            *next += 1;
        }
        Ok(())
    }

    /// The most blocks that 99 of 100 payments waited for.
    #[must_use]
    pub fn delay_p99(&self) -> u64 {
        let all: u64 = self.delays.values().sum();
        let mut slow = all / 100;
        for (waited, n) in self.delays.iter().rev() {
            if *n > slow {
                return *waited;
            }
            slow -= n;
        }
        0
    }

    fn check_fines(&self, state: &MemoryState) -> Checked {
        for id in &self.honest_providers {
            let failed = query::provider(state, id).map_or(0, |provider| provider.row.proofs_failed);
            if failed > 0 {
                return Err(Violation::of(
                    Promise::HonestUnpunished,
                    format_args!("{failed} proofs of the honest provider {id} were refused"),
                ));
            }
        }
        Ok(())
    }

    /// Blocks whose facts will not be asked for again are forgotten.
    pub fn forget_below(&mut self, height: BlockHeight) {
        self.headers.retain(|of, _| *of >= height);
    }
}

/// The root over all entries, as if they had all been written now.
fn root_of_entries(state: &MemoryState) -> Hash {
    let entries = state.scan(&[tree::ENTRY_ROW], None, usize::MAX);
    let writes: Writes = entries.into_iter().map(|(key, row)| (key, Some(row))).collect();
    tree::update(&MemoryState::default(), &writes).map_or(Hash::ZERO, |update| update.root)
}

fn check_supply(state: &MemoryState, height: BlockHeight) -> Checked {
    let Some(head) = query::head(state) else {
        return Err(Violation::of(Promise::Supply, "the state has no head"));
    };
    let counted = recount(state);
    if head.supply.is_conserved() && counted == head.supply {
        return Ok(());
    }
    let stated = head.supply;
    Err(Violation::of(
        Promise::Supply,
        format_args!("at height {height} the ledger says {stated:?}, its rows add up to {counted:?}"),
    ))
}

/// Once the beacon of the window before is made, every bid of earlier windows is matched or refused, at no higher price than its own,
/// and only for want of offers; no bid is before, and none with an offer of this window.
fn check_book(below: &MemoryState, state: &MemoryState, outcome: &BlockOutcome) -> Checked {
    let height = outcome.header.height;
    let window_slots = query::rules(state).map_or(1, |rules| rules.parameters.window_slots);
    let first = height.0 / window_slots * window_slots;
    let is_drawn = height.0 >= first + (window_slots / 2).min(4);
    for (key, _) in state.scan(rows::PENDING_BIDS, None, usize::MAX) {
        let placed = key
            .get(rows::PENDING_BIDS.len()..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        if placed < first && is_drawn {
            return Err(Violation::of(
                Promise::NoCrossedBook,
                format_args!("a bid of block {placed} still waits after block {height}"),
            ));
        }
    }
    for event in &outcome.events {
        match event {
            Event::BidMatched { deal, .. } => check_match(below, state, deal, first)?,
            Event::DealEnded {
                deal,
                how: DealEnd::Unmatched { eligible, needed },
                ..
            } if eligible >= needed => {
                return Err(Violation::of(
                    Promise::NoCrossedBook,
                    format_args!(
                        "deal {deal} found {eligible} offers for {needed} slots and was not matched"
                    ),
                ));
            }
            Event::DealEnded { .. }
            | Event::SlotLost { .. }
            | Event::SectorAsked { .. }
            | Event::SectorLost { .. }
            | Event::SectorExpired { .. }
            | Event::HeartbeatIgnored { .. }
            | Event::WindowClosed { .. }
            | Event::TermBegan { .. }
            | Event::SeatGiven { .. }
            | Event::SeatAdded { .. }
            | Event::StandsBy { .. }
            | Event::StandsByNoMore { .. }
            | Event::UpgradeArmed { .. }
            | Event::UpgradeWaits { .. }
            | Event::UpgradeLapsed { .. }
            | Event::RulesChanged { .. }
            | Event::Rescued { .. } => {}
        }
    }
    Ok(())
}

fn check_match(below: &MemoryState, state: &MemoryState, id: &DealId, first: u64) -> Checked {
    let crossed = |facts: String| Err(Violation::of(Promise::NoCrossedBook, facts));
    let Some(deal) = query::deal(state, id) else {
        return crossed(format!("deal {id} was matched and is not there"));
    };
    let DealRow {
        price_max,
        terms,
        stage,
        bid_height,
        ..
    } = &deal.row;
    if bid_height.0 >= first {
        return crossed(format!(
            "deal {id} of block {bid_height} was matched in the same window"
        ));
    }
    if !matches!(stage, DealStage::Matched { .. }) || deal.slots.len() != usize::from(terms.class.n()) {
        return crossed(format!(
            "deal {id} was matched and has {} slots",
            deal.slots.len()
        ));
    }
    let mut holders = BTreeSet::new();
    for slot in &deal.slots {
        let SlotRow { provider, funds, .. } = &slot.row;
        let asked = query::provider(below, provider).and_then(|provider| provider.ask);
        if asked.as_ref().is_some_and(|ask| ask.since.0 >= first) {
            return crossed(format!(
                "deal {id} was matched with an offer of the same window, of {provider}"
            ));
        }
        let price = asked.map(|ask| ask.terms.price);
        if funds.price > *price_max || price != Some(funds.price) || !holders.insert(*provider) {
            return crossed(format!(
                "slot {} of deal {id} costs {}, its provider {provider} asked {price:?}, the bid is {price_max}",
                slot.index, funds.price
            ));
        }
    }
    Ok(())
}
