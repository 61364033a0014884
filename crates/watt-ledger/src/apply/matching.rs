//! Matching bids, all those of a window at once, with the beacon that the next window asks with (`docs/spec/market.md` §3; TS8, TS28).
//!
//! What is matched and whom it may be matched with is fixed before a layer of that beacon is revealed: bids and offers recorded below
//! the window's first height take part, and no others.

use super::bid::certify_slots;
use crate::beacon::Beacon;
use crate::duty::reveal_blocks;
use crate::ledger::{Ledger, Purse, window_of};
use crate::receipt::Event;
use crate::rows::{self, AskRow, DealEnd, DealRow, DealStage, ProviderRow, RulesRow, SlotRow};
use crate::state::StateRead;
use std::collections::BTreeMap;
use watt_market::{Bid, BookEntry, Pick, SlotFunds, match_bid};
use watt_primitives::{AccountId, Amount, BlockHeight, DealId, Hash, Window};

/// The most bids that one block matches; the others wait for the next, the oldest first.
pub const MATCHES_PER_BLOCK_MAX: usize = 64;

/// The most waiting bids that one block looks at.
const PENDING_SCAN_MAX: usize = 4096;

/// Rows read at a time while the order book is built.
const BOOK_PAGE: usize = 1024;

/// The first block of `window` that can match: the one after that in which the beacon is made.
pub(crate) fn first_match_in(rules: &RulesRow, window: Window) -> BlockHeight {
    let first = window.0.saturating_mul(rules.parameters.window_slots);
    BlockHeight(first).plus(reveal_blocks(rules))
}

/// The first block that can match a bid recorded at `height`.
pub(crate) fn first_match(rules: &RulesRow, height: BlockHeight) -> BlockHeight {
    first_match_in(rules, window_of(rules, height).next())
}

impl Ledger<'_> {
    pub(super) fn match_bids(&mut self) {
        let window = self.window();
        let first = self.first_height_of(window);
        let Some(beacon) = Beacon::matching(&self.rows, &self.rules, window) else {
            return;
        };
        let pending = self.pending_bids(&beacon, first);
        if pending.is_empty() {
            return;
        }
        let mut book = self.order_book(first);
        for (height, _, deal) in pending {
            self.rows.remove(rows::pending_bid(height, &deal));
            self.match_one(&beacon, &deal, &mut book);
        }
    }

    /// Bids from below `first` in the order they are matched: by height, within a height as the beacon says.
    fn pending_bids(&self, beacon: &Beacon, first: BlockHeight) -> Vec<(BlockHeight, Hash, DealId)> {
        let waiting = self.rows.scan(rows::PENDING_BIDS, None, PENDING_SCAN_MAX);
        let mut pending: Vec<(BlockHeight, Hash, DealId)> = waiting
            .iter()
            .filter_map(|(key, _)| {
                let rest = key.strip_prefix(rows::PENDING_BIDS)?;
                let (height, rest) = rows::split::<8>(rest)?;
                let deal = DealId(rest.try_into().ok()?);
                Some((BlockHeight(u64::from_be_bytes(height)), deal))
            })
            .take_while(|(height, _)| *height < first)
            .map(|(height, deal)| (height, beacon.bid_order(&deal), deal))
            .collect();
        pending.sort_unstable();
        pending.truncate(MATCHES_PER_BLOCK_MAX);
        pending
    }

    /// The offers placed below `first`.
    fn order_book(&self, first: BlockHeight) -> BTreeMap<AccountId, BookEntry> {
        let mut book = BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.rows.scan(rows::ASKS, after.as_deref(), BOOK_PAGE);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, row) in &page {
                let provider = key.strip_prefix(rows::ASKS).and_then(|id| id.try_into().ok());
                let Some(provider) = provider.map(AccountId) else {
                    continue;
                };
                let ask: AskRow = rows::decode(row);
                let Some(row_of_provider) = self.provider(&provider).filter(|_| ask.since < first) else {
                    continue;
                };
                book.insert(provider, book_entry(provider, ask, &row_of_provider));
            }
        }
        book
    }

    fn match_one(&mut self, beacon: &Beacon, deal: &DealId, book: &mut BTreeMap<AccountId, BookEntry>) {
        let Some(mut row) = self.rows.read::<DealRow>(&rows::deal(deal)) else {
            return;
        };
        let DealStage::Open { exclude } = &row.stage else {
            return;
        };
        let bid = Bid {
            deal: *deal,
            client: row.client,
            slot_bytes: row.terms.slot_bytes,
            need: row.terms.class.n(),
            price_max: row.price_max,
            term_ms: row.term_ms,
            exclude: exclude.to_vec(),
        };
        let picks = match match_bid(&beacon.match_seed(deal), &bid, book.values()) {
            Ok(picks) => picks,
            Err(too_few) => {
                let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let how = DealEnd::Unmatched {
                    eligible: count(too_few.eligible),
                    needed: count(too_few.needed),
                };
                self.end_deal_by_itself(deal, row, how);
                return;
            }
        };
        let deadline = self
            .height()
            .plus(certify_slots(&self.rules.parameters, &row.terms));
        let shares = self.open_slots(deal, &row, &picks, book);
        let returned = row.escrow.saturating_sub(shares);
        // The bid's escrow covers its own highest prices, and no pick is above them.
        if self
            .move_money(Purse::Escrow, Purse::Account(row.client), returned)
            .is_ok()
        {
            row.escrow = shares;
        }
        row.stage = DealStage::Matched {
            height: self.height(),
            at: self.now(),
            deadline,
        };
        self.rows.write(rows::deal(deal), &row);
        self.rows
            .write(rows::deal_due_at_height(deadline.next(), deal), &());
        self.events.push(Event::BidMatched {
            deal: *deal,
            client: row.client,
            deadline,
            returned,
        });
    }

    /// Makes the slots' rows and reserves the space; returns the sum of the slots' shares.
    fn open_slots(
        &mut self,
        deal: &DealId,
        row: &DealRow,
        picks: &[Pick],
        book: &mut BTreeMap<AccountId, BookEntry>,
    ) -> Amount {
        let bytes = row.terms.slot_bytes;
        let mut shares = Amount::ZERO;
        for pick in picks {
            let Some(mut provider) = self.provider(&pick.provider) else {
                continue;
            };
            let funds = SlotFunds::open(pick.price, bytes, row.term_ms, row.reservation_ms_max)
                .expect("the bid was checked with a price at least as high");
            shares = Amount(shares.0.saturating_add(funds.share.0));
            let slot = SlotRow {
                provider: pick.provider,
                funds,
                accepted_height: BlockHeight(0),
                sector: None,
                device: provider.device,
                dispute: None,
                last_claim: None,
            };
            self.rows.write(rows::slot(deal, pick.slot), &slot);
            self.rows
                .write(rows::indexed_slot(&pick.provider, deal, pick.slot), &());
            provider.used_bytes = provider.used_bytes.saturating_add(bytes);
            self.write_provider(&pick.provider, &provider);
            if let Some(entry) = book.get_mut(&pick.provider) {
                entry.free_bytes = entry.free_bytes.saturating_sub(bytes);
            }
        }
        shares
    }
}

fn book_entry(provider: AccountId, ask: AskRow, row: &ProviderRow) -> BookEntry {
    BookEntry {
        provider,
        // Until certificates of people tie accounts to owners, every account is its own.
        owner: provider,
        terms: ask.terms,
        since: ask.since,
        capacity_bytes: row.capacity_bytes,
        free_bytes: row.free_bytes(),
    }
}
