//! Applying a block (`docs/spec/ledger.md` §4): one pure function.
//!
//! 1. The block fits on top of the state below and within the network's limits.
//! 2. What falls due by itself: window and term roll over, deals end, bids of earlier windows are matched.
//! 3. Heartbeats are taken.
//! 4. Every transaction is admitted and its fee taken, in the block's order.
//! 5. Every transaction is done or undone, in the block's order.
//! 6. Money is counted, the tree is brought up to date, the header is made.

mod ask;
mod attend;
pub(crate) mod audit;
mod bid;
mod certify;
mod claim;
pub(crate) mod commit_sectors;
mod deal_end;
pub(crate) mod dispute;
mod due;
mod election;
mod evidence;
pub(crate) mod failures;
pub(crate) mod grace;
pub(crate) mod heartbeat;
mod keys;
mod leaders;
mod lost;
pub(crate) mod matching;
pub(crate) mod periods;
mod pledge;
mod pre_commit;
pub(crate) mod prove_window;
pub(crate) mod sectors;
mod settle_windows;
mod standing;
mod succession;
mod term;
mod transfer;
mod trust;
mod upgrade;
mod voting_keys;
mod window;

pub use audit::AUDITS_PER_WINDOW_MAX;
pub use bid::{OPEN_BIDS_MAX, certify_slots, reservation_ms_max};
pub use dispute::{DISPUTE_FEE, DISPUTES_PER_PROVIDER_MAX};
pub use due::DUE_PER_BLOCK_MAX;
pub use evidence::FAULTY_TERMS;
pub use heartbeat::SET_HASHES_PER_BLOCK_MAX;
pub use leaders::{EMPTY_WITHIN, REDUCED_FOR};
pub use matching::MATCHES_PER_BLOCK_MAX;
pub use standing::{OUTSIDE_TERMS_MAX, STANDING_MAX};
pub use transfer::DAILY_LIMIT;
pub use upgrade::{APPROVAL_TERMS, LAPSE_TERMS, NOTICE_TERMS, RESCUE_TERMS, VERSIONS_AHEAD_MAX};
pub use window::WINDOWS_KEPT;

use crate::block::{Block, InvalidBlock};
use crate::check::{self, Authority};
use crate::fee::{self, FeeRate};
use crate::history;
use crate::ledger::{Ledger, Purse, window_of};
use crate::overlay::Overlay;
use crate::receipt::{Done, Event, Outcome, Receipt, receipts_root};
use crate::refused::Refused;
use crate::rescue::Rescues;
use crate::restart;
use crate::rows::{self, AccountKind, AccountRow, ChainRow, RulesRow, SupplyRow, UpgradesRow};
use crate::state::{StateRead, Writes};
use crate::tree;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::{Header, KeyRole, Operation, Proposal, SignedTransaction};
use watt_primitives::time::{BlockHeight, Timestamp};
use watt_primitives::{AccountId, Amount, BoundedVec, Hash, TransactionId};

/// A pause between two blocks longer than this, in milliseconds, counts as the network standing still (TC23).
pub const PAUSE_MS_MAX: u64 = 60_000;

/// A slot is late if it took longer than so many times the network's target.
pub const LATE_AFTER: u64 = 2;

/// What a block makes of the state below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutcome {
    /// The new header.
    pub header: Header,
    /// Rows to write: entries, the tree's, indexes.
    pub writes: Writes,
    /// One per transaction, in order.
    pub receipts: Vec<Receipt>,
    /// What the block did by itself, in order.
    pub events: Vec<Event>,
}

/// Applies `block` to the state below it.
///
/// Transactions that fail are part of the result; an [`InvalidBlock`] means that the block itself must be refused and nothing
/// changes. A panic in here is a bug of the rules; whoever tries a block before voting for it catches it (TC7).
///
/// # Errors
/// See [`InvalidBlock`].
pub fn apply_block(below: &impl StateRead, block: &Block) -> Result<BlockOutcome, InvalidBlock> {
    apply_rescued(below, block, &Rescues::default())
}

/// As [`apply_block`], by a program that holds rescue releases: above a block that one of them names, the block follows its rules.
/// The proposal names the rules that the ledger says even so: it may have been decided before anybody knew of the rescue.
///
/// # Errors
/// See [`InvalidBlock`].
pub fn apply_rescued(
    below: &impl StateRead,
    block: &Block,
    rescues: &Rescues,
) -> Result<BlockOutcome, InvalidBlock> {
    let proposal = block.proposal();
    let mut ledger = open(below, proposal)?;
    check_limits(&ledger.rules, block)?;
    let (window, heartbeats) = (ledger.window(), block.heartbeats());
    let providers = heartbeat::signed_by(below, &proposal.network, window, heartbeats)?;

    let rescue = rescues.above(&proposal.parent);
    if let Some(rescue) = rescue.filter(|rescue| rescue.version > ledger.version) {
        ledger.rescue(rescue)?;
    }
    ledger.start_block(proposal.parent);
    if block.is_empty() {
        ledger.note_empty(proposal.proposer);
    }
    ledger.take_heartbeats(heartbeats, &providers);
    let actors = ledger.admit_all(block)?;
    let receipts = block
        .transactions()
        .iter()
        .zip(block.ids())
        .zip(actors)
        .map(|((signed, id), actor)| ledger.execute(signed, *id, actor))
        .collect();
    let closing = Closing {
        parent: proposal.parent,
        value: proposal.value().0,
        is_empty: block.is_empty(),
    };
    close(below, ledger, &closing, receipts)
}

/// Who acts, as admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) account: AccountId,
    pub(crate) key_index: u16,
    pub(crate) nonce: u64,
    pub(crate) role: KeyRole,
    fee: Amount,
}

fn open<'a>(below: &'a impl StateRead, proposal: &Proposal) -> Result<Ledger<'a>, InvalidBlock> {
    let read_head = || {
        let head: Header = rows::read(below, rows::HEAD)?;
        let rules: RulesRow = rows::read(below, rows::RULES)?;
        let chain: ChainRow = rows::read(below, rows::CHAIN)?;
        let supply: SupplyRow = rows::read(below, rows::SUPPLY)?;
        let upgrades: UpgradesRow = rows::read(below, rows::UPGRADES)?;
        Some((head, rules, chain, supply, upgrades))
    };
    let (head, rules, mut chain, supply, upgrades) = read_head().ok_or(InvalidBlock::NoChain)?;
    let restart = restart::after(below, chain.height);
    if let Some(restart) = &restart {
        restart::judge(below, restart).map_err(InvalidBlock::Restart)?;
    }
    let network = match &restart {
        Some(restart) => restart.plan.network_after(),
        None => rules.network,
    };
    if proposal.network != network {
        return Err(InvalidBlock::OtherNetwork);
    }
    let version = upgrades.version_in(rules.terms().of_height(chain.height.next()));
    if version > PROTOCOL_VERSION_MAX {
        return Err(InvalidBlock::Version { found: version });
    }
    if proposal.version != version {
        return Err(InvalidBlock::OtherVersion {
            found: proposal.version,
            expected: version,
        });
    }
    let (found, expected) = (BlockHeight::from(proposal.slot), chain.height.next());
    if found != expected {
        return Err(InvalidBlock::Height { found, expected });
    }
    let parent = head.hash();
    if proposal.parent != parent {
        return Err(InvalidBlock::Parent);
    }
    let took_ms = move_time(&mut chain, proposal.close_time)?;
    let is_late = took_ms > rules.parameters.slot_ms.saturating_mul(LATE_AFTER);
    chain.height = found;
    history::append(&mut chain, parent);
    let mut ledger = Ledger {
        rows: Overlay::new(below),
        version,
        rules,
        chain,
        supply,
        has_removed_keys: false,
        set_hashes: 0,
        events: Vec::new(),
    };
    ledger.note_slot(is_late);
    if let Some(restart) = &restart {
        ledger.restart(restart);
    }
    if window_of(&ledger.rules, found.next()) != ledger.window() {
        ledger.rows.write(rows::FILLER.to_vec(), &proposal.value().0);
    }
    Ok(ledger)
}

/// Takes the block's close time over, and counts what is longer than a pause as halted. Returns the milliseconds since the parent's.
fn move_time(chain: &mut ChainRow, close_time: Timestamp) -> Result<u64, InvalidBlock> {
    let parent = chain.close_time;
    if close_time <= parent {
        return Err(InvalidBlock::CloseTime {
            found: close_time,
            parent,
        });
    }
    let pause = close_time.0.saturating_sub(parent.0);
    chain.halted_ms = chain.halted_ms.saturating_add(pause.saturating_sub(PAUSE_MS_MAX));
    chain.close_time = close_time;
    Ok(pause)
}

fn check_limits(rules: &RulesRow, block: &Block) -> Result<(), InvalidBlock> {
    if block.is_empty() {
        return Ok(());
    }
    let (proposal, limits) = (block.proposal(), &rules.parameters);
    if proposal.n_transactions > limits.block_transactions_max {
        return Err(InvalidBlock::TooManyTransactions {
            found: proposal.n_transactions,
            max: limits.block_transactions_max,
        });
    }
    if proposal.body_bytes > limits.block_bytes_max {
        return Err(InvalidBlock::TooManyBytes {
            found: proposal.body_bytes,
            max: limits.block_bytes_max,
        });
    }
    let proofs = block.transactions().iter().map(|signed| signed.witness.len());
    let (found, max) = (
        proofs.fold(0usize, usize::saturating_add),
        fee::PROOFS_PER_BLOCK_MAX,
    );
    if found > max {
        return Err(InvalidBlock::TooManyProofs { found, max });
    }
    Ok(())
}

impl Ledger<'_> {
    /// What happens at the beginning of every block, empty ones included.
    fn start_block(&mut self, parent: Hash) {
        self.note_header(parent);
        self.roll_window();
        self.roll_term();
        self.run_election();
        self.do_what_is_due();
        self.match_bids();
        self.rows.keep();
    }

    /// Admits every transaction and takes its fee, before any of them does anything: what may be in a block depends on nothing
    /// that other transactions in it do.
    fn admit_all(&mut self, block: &Block) -> Result<Vec<Actor>, InvalidBlock> {
        let proposal = block.proposal();
        let is_full = !block.is_empty()
            && fee::is_full(
                &self.rules.parameters,
                proposal.n_transactions,
                proposal.body_bytes,
            );
        // Weighing a transaction means encoding it, so it is left out when nobody pays.
        let weigh = |signed: &SignedTransaction| if is_full { fee::kept_bytes(signed) } else { 0 };
        let weights: Vec<u64> = block.transactions().iter().map(weigh).collect();
        let rates = block
            .transactions()
            .iter()
            .zip(&weights)
            .filter(|(signed, _)| !fee::is_duty(signed, self.version))
            .map(|(signed, bytes)| FeeRate::new(signed.transaction.fee, *bytes));
        let rate = fee::uniform_rate(is_full, rates);
        (0u32..)
            .zip(block.transactions().iter().zip(weights))
            .map(|(index, (signed, kept_bytes))| {
                let fee = rate.charge(kept_bytes, signed.transaction.fee);
                self.admit(signed, fee)
                    .map_err(|why| InvalidBlock::Transaction { index, why })
            })
            .collect()
    }

    fn admit(&mut self, signed: &SignedTransaction, fee: Amount) -> Result<Actor, Refused> {
        let transaction = &signed.transaction;
        let account = self.account(&transaction.account);
        let Authority {
            role,
            nonce,
            is_first,
        } = check::authorise(account.as_ref(), transaction, self.height())?;
        if transaction.nonce != nonce {
            return Err(Refused::NonceAhead {
                nonce: transaction.nonce,
                expected: nonce,
            });
        }
        let mut row = account.unwrap_or(AccountRow::new(AccountKind::Keyed));
        if is_first {
            check::register_first_key(&mut row, &transaction.key);
        }
        row.change_key(transaction.key_index, |key| key.nonce = nonce.saturating_add(1));
        self.write_account(&transaction.account, row);
        self.move_money(Purse::Account(transaction.account), Purse::ProtocolWallet, fee)?;
        Ok(Actor {
            account: transaction.account,
            key_index: transaction.key_index,
            nonce,
            role,
            fee,
        })
    }

    /// Does a transaction whole or not at all.
    fn execute(&mut self, signed: &SignedTransaction, id: TransactionId, actor: Actor) -> Receipt {
        self.rows.keep();
        let savepoint = self.savepoint();
        let outcome = match self.do_operations(signed, &actor) {
            Ok(done) => Outcome::Done(BoundedVec::new(done).unwrap_or_default()),
            Err((operation, why)) => {
                self.roll_back(savepoint);
                let penalty = self.punish(&actor, why);
                Outcome::Failed {
                    operation,
                    why,
                    penalty,
                }
            }
        };
        Receipt {
            transaction: id,
            account: actor.account,
            fee: actor.fee,
            outcome,
        }
    }

    fn do_operations(
        &mut self,
        signed: &SignedTransaction,
        actor: &Actor,
    ) -> Result<Vec<Done>, (u16, Refused)> {
        let is_removed = |row: AccountRow| row.live_key(actor.key_index).is_none();
        if self.has_removed_keys && self.account(&actor.account).is_some_and(is_removed) {
            return Err((0, Refused::UnknownKey));
        }
        let (mut witness, mut n_bids) = (signed.witness.iter(), 0u16);
        let mut all = Vec::with_capacity(signed.transaction.operations.len());
        for (index, operation) in (0u16..).zip(&signed.transaction.operations) {
            let opened: &[u8] = match operation.witness() {
                Some(_) => witness.next().map_or(&[], |entry| entry),
                None => &[],
            };
            let done = self
                .do_operation(operation, actor, opened, n_bids)
                .map_err(|why| (index, why))?;
            if let Operation::PlaceBid { .. } = operation {
                n_bids = n_bids.saturating_add(1);
            }
            all.push(done);
        }
        let last = u16::try_from(all.len().saturating_sub(1)).unwrap_or(u16::MAX);
        if self.supply.is_conserved() {
            Ok(all)
        } else {
            Err((last, Refused::Invariant))
        }
    }

    fn do_operation(
        &mut self,
        operation: &Operation,
        actor: &Actor,
        witness: &[u8],
        bid_index: u16,
    ) -> Result<Done, Refused> {
        match operation {
            Operation::Transfer { to, amount, memo } => self.transfer(actor, to, *amount, memo),
            Operation::AddKey { key, role } => self.add_key(actor, *key, *role),
            Operation::RemoveKey { key_index } => self.remove_key(actor, *key_index),
            Operation::Pledge {
                capacity_bytes,
                endpoint,
                person,
                heartbeat_key,
                device,
            } => self.pledge(
                actor,
                *capacity_bytes,
                endpoint,
                person,
                (*heartbeat_key, *device),
            ),
            Operation::PlaceAsk { terms } => self.place_ask(actor, terms),
            Operation::WithdrawAsk {} => self.withdraw_ask(actor),
            Operation::PlaceBid {
                terms,
                price_max,
                escrow,
                term_ms,
                exclude,
            } => self.place_bid(
                actor,
                bid_index,
                &bid::BidOrder {
                    terms,
                    price_max: *price_max,
                    escrow: *escrow,
                    term_ms: *term_ms,
                    exclude,
                },
            ),
            Operation::Certify { deal, acceptances } => self.certify(deal, acceptances),
            Operation::PreCommit {
                sector,
                units,
                seal_window,
                pieces,
                comm_c,
                comm_r,
            } => self.pre_commit(
                actor,
                &pre_commit::NewSector {
                    sector: *sector,
                    units: *units,
                    seal_window: *seal_window,
                    pieces,
                    comm_c: *comm_c,
                    comm_r: *comm_r,
                },
            ),
            Operation::CommitSectors { batch, openings: _ } => self.commit_sectors(actor, *batch, witness),
            Operation::ProveWindow { window, openings: _ } => self.prove_window(actor, *window, witness),
            Operation::SettleWindows { windows, proof: _ } => self.settle_windows(actor, windows),
            Operation::Claim { slots } => self.claim(actor, slots),
            Operation::Terminate { deal } => self.terminate(actor, deal),
            Operation::Settle { deal } => self.settle(deal),
            Operation::Dispute { deal, slot, group } => self.dispute(actor, deal, *slot, *group),
            Operation::AnswerDispute {
                deal,
                slot,
                group,
                shown: _,
            } => self.answer_dispute(actor, (deal, *slot, *group), witness),
            Operation::AnswerAudit {
                sector,
                shown_to,
                openings: _,
            } => self.answer_audit(actor, *sector, *shown_to, witness),
            Operation::AddTrust { to, level } => self.add_trust(actor, to, *level),
            Operation::RemoveTrust { to } => self.remove_trust(actor, to),
            Operation::StandForBackbone { vouchers } => self.stand_for_backbone(actor, vouchers),
            Operation::WithdrawFromBackbone {} => self.withdraw_from_backbone(actor),
            Operation::SetColdKey { hash } => self.set_cold_key(actor, *hash),
            Operation::RegisterVotingKeys { first_term, keys } => {
                self.register_voting_keys(actor, *first_term, keys)
            }
            Operation::Attend {
                window,
                header,
                knows,
                reveal,
            } => self.attend(actor, *window, *header, *knows, *reveal),
            Operation::ReportEvidence { evidence } => self.report_evidence(evidence),
            Operation::ApproveUpgrade { version, not_before } => {
                self.approve_upgrade(actor, *version, *not_before)
            }
            Operation::Succeed { succession } => self.succeed(succession),
        }
    }

    /// A proof that does not verify costs everyone's time, so it costs its sender, too (TC14).
    fn punish(&mut self, actor: &Actor, why: Refused) -> Amount {
        let is_proof = matches!(
            why,
            Refused::Porep { .. }
                | Refused::WindowProof { .. }
                | Refused::WrongGroup { .. }
                | Refused::OtherWindows
                | Refused::NothingToSettle
        );
        let is_signature = matches!(
            why,
            Refused::Possession | Refused::NoEvidence | Refused::NoSuccession
        );
        if !is_proof && !is_signature {
            return Amount::ZERO;
        }
        if let Some(mut row) = self.provider(&actor.account).filter(|_| is_proof) {
            row.proofs_failed = row.proofs_failed.saturating_add(1);
            self.write_provider(&actor.account, &row);
        }
        let balance = self
            .account(&actor.account)
            .map_or(Amount::ZERO, |row| row.balance);
        let penalty = fee::FAILED_PROOF_PENALTY.min(balance);
        match self.move_money(Purse::Account(actor.account), Purse::ProtocolWallet, penalty) {
            Ok(()) => penalty,
            Err(_) => Amount::ZERO,
        }
    }
}

/// What the header takes from the proposal.
pub(crate) struct Closing {
    pub(crate) parent: Hash,
    pub(crate) value: Hash,
    pub(crate) is_empty: bool,
}

/// Counts the money, brings the tree up to date and makes the header.
pub(crate) fn close(
    below: &impl StateRead,
    mut ledger: Ledger<'_>,
    closing: &Closing,
    receipts: Vec<Receipt>,
) -> Result<BlockOutcome, InvalidBlock> {
    ledger.note_window_time();
    ledger.make_beacon();
    ledger.draw_audits();
    if !ledger.supply.is_conserved() {
        return Err(InvalidBlock::Supply);
    }
    let (chain, supply) = (ledger.chain.clone(), ledger.supply);
    ledger.rows.write(rows::CHAIN.to_vec(), &chain);
    ledger.rows.write(rows::SUPPLY.to_vec(), &supply);

    let next_backbone = ledger.next_quorum_set();
    let (version, rules, events) = (ledger.version, ledger.rules, ledger.events);
    let mut writes = ledger.rows.into_writes();
    // Indexes begin with other letters and lie outside the tree.
    let indexes = writes.split_off([tree::ENTRY_ROW.saturating_add(1)].as_slice());
    let tree = tree::update(below, &writes)?;
    writes.extend(tree.rows);
    writes.extend(indexes);
    let header = Header {
        version,
        network: rules.network,
        parent: closing.parent,
        value: closing.value,
        height: chain.height,
        is_empty: closing.is_empty,
        close_time: chain.close_time,
        state_root: tree.root,
        receipts_root: receipts_root(&rules.network, &receipts, &events),
        rank_root: chain.rank_root,
        next_backbone,
        history_root: history::root(&chain),
    };
    writes.insert(rows::HEAD.to_vec(), Some(rows::encode(&header)));
    Ok(BlockOutcome {
        header,
        writes,
        receipts,
        events,
    })
}
