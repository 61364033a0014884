//! How many transfers a second a block can hold: from bytes that just arrived to rows, receipts and a state root.
//!
//! 10,000 transfers between distinct accounts in one block, above a state of 100,000 accounts, signatures included. Beside it,
//! in the same run, the batch verification of the same signatures alone: no ledger can be faster than that.
//!
//! Prints one JSON object per line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it"
)]

use std::time::Instant;
use watt_ledger::Body;
use watt_ledger::block::BODY_BYTES_MAX;
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{
    BlockOutcome, Genesis, MemoryState, NetworkParameters, NoFolded, Outcome, StateRead, UncheckedBlock,
    apply_block, genesis_block, query,
};
use watt_light::{BackboneEntry, Heartbeats, Operation, Proposal, SignedTransaction, Transaction};
use watt_primitives::key::all_hold;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, SecretKey, SlotIndex, Term,
    Timestamp,
};

const ACCOUNTS: u32 = 100_000;
const TRANSFERS: u32 = 10_000;
const ROUNDS: u64 = 5;
/// Accounts that one funding transaction opens.
const FUNDED_AT_ONCE: u32 = 16;

fn key(n: u32) -> SecretKey {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    SecretKey::from_seed(seed)
}

fn id(n: u32) -> AccountId {
    AccountId::of_first_key(&key(n).public())
}

struct Chain {
    genesis: Genesis,
    state: MemoryState,
    last: BlockOutcome,
}

impl Chain {
    fn start() -> Self {
        let rich = GenesisAccount {
            key: key(0).public(),
            balance: Amount(1_000_000_000_000_000),
        };
        let genesis = Genesis {
            name: BoundedString::new("bench".into()).unwrap(),
            is_main: false,
            time: Timestamp(1_700_000_000_000),
            parameters: NetworkParameters {
                slot_ms: 1000,
                window_slots: 10,
                term_windows: 144,
                settlement_windows: 144,
                failed_window_cost: 9,
                block_transactions_max: TRANSFERS,
                block_bytes_max: u32::try_from(BODY_BYTES_MAX).unwrap(),
                certify_slots: 20,
                certify_slots_per_gb: 10,
                commit_slots: 30,
                dispute_slots: 60,
                grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
                power_unit_bytes: 1 << 20,
                standby_power_bytes: 0,
                insecure_proofs: true,
                porep_committee: 0,
                audit_windows: 0,
                restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
            },
            accounts: BoundedVec::new(vec![rich]).unwrap(),
            protocol: 1,
            council: BoundedVec::empty(),
            council_until: Term(0),
            trust_seeds: BoundedVec::empty(),
            backbone: BoundedVec::new(vec![BackboneEntry {
                account: id(0),
                key: key(u32::MAX).node_id(),
                cold_key: None,
            }])
            .unwrap(),
        };
        let last = genesis_block(&genesis).unwrap();
        let mut state = MemoryState::default();
        state.write(&last.writes);
        Self { genesis, state, last }
    }

    fn transfer(
        &self,
        from: u32,
        nonce: u64,
        to: impl Iterator<Item = u32>,
        amount: u64,
    ) -> SignedTransaction {
        let operations = to.map(|to| Operation::Transfer {
            to: id(to),
            amount: Amount(amount),
            memo: BoundedBytes::new(Vec::new()).unwrap(),
        });
        let transaction = Transaction {
            account: id(from),
            key_index: 0,
            key: key(from).public(),
            nonce,
            valid_until: BlockHeight(self.last.header.height.0 + 100),
            fee: Amount::ZERO,
            operations: BoundedVec::new(operations.collect()).unwrap(),
        };
        transaction
            .sign(&key(from), &self.genesis.network(), Vec::new())
            .unwrap()
    }

    fn block(&self, transactions: Vec<SignedTransaction>) -> UncheckedBlock {
        let network = self.genesis.network();
        let (body_root, n_transactions, body_bytes) =
            Body::new(&network, transactions.to_vec(), Heartbeats::empty()).description();
        let proposal = Proposal {
            network,
            slot: SlotIndex(self.last.header.height.0 + 1),
            version: 1,
            parent: self.last.header.hash(),
            close_time: Timestamp(self.last.header.close_time.0 + 1000),
            body_root,
            n_transactions,
            body_bytes,
            proposer: key(u32::MAX).node_id(),
        };
        UncheckedBlock {
            proposal: proposal.sign(&key(u32::MAX)),
            is_empty: false,
            transactions,
            heartbeats: Heartbeats::empty(),
        }
    }

    fn apply(&self, block: UncheckedBlock) -> BlockOutcome {
        apply_block(
            &self.state,
            &block.check(&self.genesis.network(), &NoFolded).unwrap(),
        )
        .unwrap()
    }

    fn keep(&mut self, outcome: BlockOutcome) {
        self.state.write(&outcome.writes);
        self.last = outcome;
    }

    /// Opens all accounts with a little money each.
    fn fund(&mut self) {
        let mut nonce = 0;
        let mut next = 1;
        while next <= ACCOUNTS {
            let mut body = Vec::new();
            while next <= ACCOUNTS && body.len() < 1000 {
                let end = (next + FUNDED_AT_ONCE).min(ACCOUNTS + 1);
                body.push(self.transfer(0, nonce, next..end, 1_000_000));
                (nonce, next) = (nonce + 1, end);
            }
            let outcome = self.apply(self.block(body));
            self.keep(outcome);
        }
    }
}

fn main() {
    let mut chain = Chain::start();
    chain.fund();
    assert!(query::account(&chain.state, &id(ACCOUNTS)).is_some());
    assert!(chain.state.get(b"nothing").is_none());
    // The accounts' first transfers also register their keys, which is measured on its own.
    let first = measure(&mut chain, 0);
    print("first-transfers", &first);
    let mut best = measure(&mut chain, 1);
    for nonce in 2..=ROUNDS {
        let round = measure(&mut chain, nonce);
        best.apply_s = best.apply_s.min(round.apply_s);
        best.verify_s = best.verify_s.min(round.verify_s);
    }
    print("transfers", &best);
}

/// How long one block took, in seconds.
struct Round {
    apply_s: f64,
    verify_s: f64,
}

/// A block in which the same accounts each send their transfer number `nonce`.
fn measure(chain: &mut Chain, nonce: u64) -> Round {
    let receiver = |from: u32| 1 + (from * 7919) % ACCOUNTS;
    let body: Vec<_> = (1..=TRANSFERS)
        .map(|from| chain.transfer(from, nonce, std::iter::once(receiver(from)), 1))
        .collect();
    let network = chain.genesis.network();
    let checks: Vec<_> = body
        .iter()
        .map(|signed| signed.signature_check(&network))
        .collect();
    let start = Instant::now();
    assert!(all_hold(&checks));
    let verify_s = start.elapsed().as_secs_f64();

    let block = chain.block(body);
    let start = Instant::now();
    let outcome = chain.apply(block);
    let apply_s = start.elapsed().as_secs_f64();
    assert!(
        outcome
            .receipts
            .iter()
            .all(|receipt| matches!(receipt.outcome, Outcome::Done(_)))
    );
    chain.keep(outcome);
    Round { apply_s, verify_s }
}

fn print(case: &str, round: &Round) {
    let value = f64::from(TRANSFERS) / round.apply_s;
    let baseline = f64::from(TRANSFERS) / round.verify_s;
    let ratio = value / baseline;
    println!(
        r#"{{"bench":"apply","case":"{case}","metric":"transactions_per_s","value":{value:.0},"unit":"1/s","baseline":{baseline:.0},"ratio":{ratio:.3}}}"#
    );
}
