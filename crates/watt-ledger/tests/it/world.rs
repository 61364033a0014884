//! A chain in memory: blocks go through the same door as on a real node, and all money is counted again after each.

use std::collections::BTreeMap;
use watt_ledger::Body;
use watt_ledger::query::{self, recount};
use watt_ledger::rows::AccountRow;
use watt_ledger::tree::chunk;
use watt_ledger::{
    Block, BlockOutcome, Done, Event, Genesis, InvalidBlock, MemoryState, NetworkParameters, Outcome,
    Receipt, Refused, Rescues, StateRead as _, UncheckedBlock, VerifyFolded, Writes, apply_rescued,
    genesis_block, tree,
};
use watt_light::{
    BackboneEntry, FoldedProof, Heartbeat, Heartbeats, Operation, Proposal, ProviderNumber, SignedHeartbeat,
    SignedTransaction, Transaction,
};
use watt_primitives::class::Class;
use watt_primitives::terms::{AskTerms, BundleTerms, Device, Endpoint};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, Cid, DealId, Hash, NetworkId,
    SecretKey, SectorNumber, SlotIndex, Term, Timestamp, Window,
};

pub const WATT: u64 = 100_000_000;
/// What every account of the genesis has.
pub const START: Amount = Amount(10_000 * WATT);
pub const GROUP: u64 = 16 * 1024;

/// The person with this number; 0 to 49 have an account from the start.
pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

pub fn id(n: u8) -> AccountId {
    AccountId::of_first_key(&key(n).public())
}

/// A seat of the backbone: of account 40 + `n`, voting with key 200 + `n`.
pub fn seat(n: u8) -> BackboneEntry {
    BackboneEntry {
        account: id(40 + n),
        key: key(200 + n).node_id(),
        cold_key: None,
    }
}

pub fn parameters() -> NetworkParameters {
    NetworkParameters {
        slot_ms: 1000,
        window_slots: 10,
        term_windows: 144,
        settlement_windows: 3,
        // What failing costs has tests of its own (`failures`); the others are about what is proven.
        failed_window_cost: 0,
        block_transactions_max: 200,
        block_bytes_max: 2 << 20,
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
    }
}

pub fn genesis(name: &str) -> Genesis {
    let accounts = (0..50).map(|n| watt_ledger::genesis::GenesisAccount {
        key: key(n).public(),
        balance: START,
    });
    Genesis {
        name: BoundedString::new(name.into()).unwrap(),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        parameters: parameters(),
        accounts: BoundedVec::new(accounts.collect()).unwrap(),
        protocol: 1,
        council: BoundedVec::empty(),
        council_until: Term(0),
        trust_seeds: BoundedVec::new((0..3).map(id).collect()).unwrap(),
        backbone: BoundedVec::new((0..4).map(seat).collect()).unwrap(),
    }
}

/// Takes every folded proof for a good one: what a proof shows is checked before the ledger is asked.
pub struct AnyFolded;

impl VerifyFolded for AnyFolded {
    fn first_bad(&self, _: &[FoldedProof]) -> Option<usize> {
        None
    }
}

#[derive(Clone)]
pub struct World {
    pub network: NetworkId,
    pub state: MemoryState,
    pub step_ms: u64,
    pub last: BlockOutcome,
    /// What the program holds.
    pub rescues: Rescues,
}

impl World {
    pub fn new() -> Self {
        Self::of(&genesis("test"))
    }

    pub fn of(genesis: &Genesis) -> Self {
        let last = genesis_block(genesis).unwrap();
        let mut state = MemoryState::default();
        state.write(&last.writes);
        let world = Self {
            network: genesis.network(),
            state,
            step_ms: 1000,
            last,
            rescues: Rescues::of_program(),
        };
        world.check_invariants();
        world
    }

    pub fn height(&self) -> u64 {
        self.last.header.height.0
    }

    /// A proposal for a body of these transactions on top of the chain.
    pub fn proposal(&self, transactions: &[SignedTransaction]) -> Proposal {
        self.proposal_with(transactions, &[])
    }

    /// A proposal for a body of these transactions and heartbeats on top of the chain.
    pub fn proposal_with(
        &self,
        transactions: &[SignedTransaction],
        heartbeats: &[SignedHeartbeat],
    ) -> Proposal {
        let heartbeats = Heartbeats::new(heartbeats.to_vec()).unwrap();
        let (body_root, n_transactions, body_bytes) =
            Body::new(&self.network, transactions.to_vec(), heartbeats).description();
        Proposal {
            network: self.network,
            slot: SlotIndex(self.height() + 1),
            version: query::next_version(&self.state).unwrap(),
            parent: self.last.header.hash(),
            close_time: Timestamp(self.last.header.close_time.0 + self.step_ms),
            body_root,
            n_transactions,
            body_bytes,
            proposer: key(200).node_id(),
        }
    }

    pub fn check(
        &self,
        proposal: Proposal,
        transactions: Vec<SignedTransaction>,
    ) -> Result<Block, InvalidBlock> {
        self.check_with(proposal, transactions, Vec::new())
    }

    fn check_with(
        &self,
        proposal: Proposal,
        transactions: Vec<SignedTransaction>,
        heartbeats: Vec<SignedHeartbeat>,
    ) -> Result<Block, InvalidBlock> {
        let block = UncheckedBlock {
            proposal: proposal.sign(&key(200)),
            is_empty: false,
            transactions,
            heartbeats: Heartbeats::new(heartbeats).unwrap(),
        };
        block.check(&self.network, &AnyFolded)
    }

    /// Applies without keeping.
    pub fn attempt(&self, transactions: Vec<SignedTransaction>) -> Result<BlockOutcome, InvalidBlock> {
        self.attempt_with(transactions, Vec::new())
    }

    /// Applies without keeping.
    pub fn attempt_with(
        &self,
        transactions: Vec<SignedTransaction>,
        heartbeats: Vec<SignedHeartbeat>,
    ) -> Result<BlockOutcome, InvalidBlock> {
        let proposal = self.proposal_with(&transactions, &heartbeats);
        let block = self.check_with(proposal, transactions, heartbeats)?;
        apply_rescued(&self.state, &block, &self.rescues)
    }

    /// Closes a block with these heartbeats, in the order of numbers, and says in the order given what came of each.
    pub fn beats(&mut self, heartbeats: &[SignedHeartbeat]) -> Vec<Result<(), Refused>> {
        let mut in_order = heartbeats.to_vec();
        in_order.sort_by_key(|heartbeat| heartbeat.provider);
        let outcome = self.attempt_with(Vec::new(), in_order).unwrap();
        let ignored = ignored(&outcome);
        self.keep(outcome);
        let came_of = |heartbeat: &SignedHeartbeat| {
            let provider = query::provider_of(&self.state, heartbeat.provider).unwrap();
            ignored.get(&provider).map_or(Ok(()), |why| Err(*why))
        };
        heartbeats.iter().map(came_of).collect()
    }

    /// Closes a block with this heartbeat, and says what came of it.
    pub fn beat(&mut self, heartbeat: SignedHeartbeat) -> Result<(), Refused> {
        self.beats(&[heartbeat])[0]
    }

    /// The heartbeat of person `n` for a window, with this root and these faults.
    pub fn sign_beat(&self, n: u8, window: Window, response_root: Hash, faults: &[u64]) -> SignedHeartbeat {
        let heartbeat = Heartbeat {
            account: id(n),
            window,
            response_root,
            faults: BoundedVec::new(faults.iter().copied().map(SectorNumber).collect()).unwrap(),
        };
        heartbeat.sign(self.number(n), &key(n), &self.network)
    }

    /// The number of person `n` as a provider.
    pub fn number(&self, n: u8) -> ProviderNumber {
        query::provider(&self.state, &id(n)).unwrap().row.number
    }

    /// Closes a block with these transactions.
    pub fn block(&mut self, transactions: Vec<SignedTransaction>) -> &BlockOutcome {
        let outcome = self.attempt(transactions).unwrap();
        self.keep(outcome)
    }

    pub fn keep(&mut self, outcome: BlockOutcome) -> &BlockOutcome {
        self.state.write(&outcome.writes);
        self.last = outcome;
        self.check_invariants();
        &self.last
    }

    pub fn check_invariants(&self) {
        let said = query::head(&self.state).unwrap().supply;
        assert!(said.is_conserved());
        assert_eq!(
            recount(&self.state),
            said,
            "money counted row by row at height {}",
            self.height()
        );
        assert_eq!(tree::root(&self.state), Ok(self.last.header.state_root));
        self.check_beside();
    }

    /// The rows beside the tree are those that a node makes anew that takes the state in from chunks (TC22).
    fn check_beside(&self) {
        let rows = |prefix: &[u8]| -> Writes {
            let found = self.state.scan(prefix, None, usize::MAX);
            found.into_iter().map(|(key, value)| (key, Some(value))).collect()
        };
        let mut beside = chunk::beside(&rows(b"E"));
        beside.retain(|key, _| !key.starts_with(&[tree::INDEX_ROW]));
        assert_eq!(beside, rows(b"I"));
        assert_eq!(chunk::finish(&self.last.header), rows(b"H"));
    }

    /// Closes empty blocks up to and with `height`.
    pub fn go_to_height(&mut self, height: u64) {
        while self.height() < height {
            self.block(Vec::new());
        }
    }

    pub fn skip(&mut self, n: u64) {
        self.go_to_height(self.height() + n);
    }

    /// Closes empty blocks without counting all money after each.
    pub fn blind_skip(&mut self, n: u64) {
        for _ in 0..n {
            let outcome = self.attempt(Vec::new()).unwrap();
            self.state.write(&outcome.writes);
            self.last = outcome;
        }
    }

    /// Closes blocks until the next is the first of a window.
    pub fn go_to_window_end(&mut self) {
        let slots = parameters().window_slots;
        self.go_to_height((self.height() / slots + 1) * slots - 1);
    }

    /// Closes blocks until what the window of the head asks is known, and another block is left in it.
    pub fn open_window(&mut self) {
        let (first, place) = (self.height() / 10 * 10, self.height() % 10);
        match place {
            0..=3 => self.go_to_height(first + 3),
            4..=8 => {}
            _ => self.go_to_height(first + 13),
        }
    }

    /// Closes blocks until what the next window asks is known.
    pub fn open_next_window(&mut self) {
        self.go_to_height(self.height() / 10 * 10 + 13);
    }

    pub fn account(&self, n: u8) -> AccountRow {
        query::account(&self.state, &id(n)).unwrap()
    }

    pub fn balance(&self, n: u8) -> Amount {
        query::account(&self.state, &id(n)).map_or(Amount::ZERO, |row| row.balance)
    }

    /// The next transaction of person `n`'s first key.
    pub fn draft(&self, n: u8, operations: Vec<Operation>) -> Transaction {
        let row = query::account(&self.state, &id(n));
        let nonce = row
            .and_then(|row| row.keys.first().map(|key| key.nonce))
            .unwrap_or(0);
        Transaction {
            account: id(n),
            key_index: 0,
            key: key(n).public(),
            nonce,
            valid_until: BlockHeight(self.height() + 100),
            fee: Amount::ZERO,
            operations: BoundedVec::new(operations).unwrap(),
        }
    }

    pub fn sign(&self, n: u8, operations: Vec<Operation>) -> SignedTransaction {
        self.sign_with(n, operations, Vec::new())
    }

    pub fn sign_with(&self, n: u8, operations: Vec<Operation>, witness: Vec<Vec<u8>>) -> SignedTransaction {
        self.draft(n, operations)
            .sign(&key(n), &self.network, witness)
            .unwrap()
    }

    /// Closes a block with one operation of person `n`, and says what came of it.
    pub fn act(&mut self, n: u8, operation: Operation) -> Result<Done, Refused> {
        self.act_with(n, operation, Vec::new())
    }

    pub fn act_with(&mut self, n: u8, operation: Operation, witness: Vec<Vec<u8>>) -> Result<Done, Refused> {
        let signed = self.sign_with(n, vec![operation], witness);
        self.block(vec![signed]);
        result(&self.last.receipts[0])
    }
}

/// The providers whose heartbeats counted for nothing, and why.
pub fn ignored(outcome: &BlockOutcome) -> BTreeMap<AccountId, Refused> {
    let events = outcome.events.iter();
    let ignored = events.filter_map(|event| match event {
        Event::HeartbeatIgnored { provider, why } => Some((*provider, *why)),
        _ => None,
    });
    ignored.collect()
}

/// What the first operation did, or why the transaction failed.
pub fn result(receipt: &Receipt) -> Result<Done, Refused> {
    match &receipt.outcome {
        Outcome::Done(done) => Ok(done[0]),
        Outcome::Failed { why, .. } => Err(*why),
    }
}

pub fn transfer(to: u8, amount: u64) -> Operation {
    Operation::Transfer {
        to: id(to),
        amount: Amount(amount),
        memo: BoundedBytes::new(Vec::new()).unwrap(),
    }
}

pub fn ask_terms(price: u64) -> AskTerms {
    AskTerms {
        price: Amount(price),
        slot_bytes_min: 1,
        slot_bytes_max: 1 << 30,
        term_ms_max: 365 * 86_400_000,
        hot: false,
    }
}

pub fn pledge(capacity_bytes: u64) -> Operation {
    pledge_for(capacity_bytes, 0)
}

/// A pledge whose storage is the power of person `n`.
pub fn pledge_for(capacity_bytes: u64, n: u8) -> Operation {
    Operation::Pledge {
        capacity_bytes,
        endpoint: Endpoint::default(),
        person: id(n),
        heartbeat_key: None,
        device: Device::AlwaysOn,
    }
}

/// A pledge of person 0's power on such a device.
pub fn pledge_on(capacity_bytes: u64, device: Device) -> Operation {
    Operation::Pledge {
        capacity_bytes,
        endpoint: Endpoint::default(),
        person: id(0),
        heartbeat_key: None,
        device,
    }
}

/// Persons `from..to` become providers with this much space, asking `price`.
pub fn provide(world: &mut World, range: std::ops::Range<u8>, capacity_bytes: u64, price: u64) {
    let ask = || Operation::PlaceAsk {
        terms: ask_terms(price),
    };
    let signed = range
        .map(|n| world.sign(n, vec![pledge(capacity_bytes), ask()]))
        .collect();
    world.block(signed);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
}

/// The bytes of slot `slot` of the bundle with this seed.
pub fn slot_data(seed: u8, slot: u8, bytes: u64) -> Vec<u8> {
    let mut stream = vec![0; usize::try_from(bytes).unwrap()];
    for (at, byte) in stream.iter_mut().enumerate() {
        *byte = u8::try_from((at / 7 + usize::from(seed) * 31 + usize::from(slot) * 17) % 251).unwrap();
    }
    stream
}

pub fn bundle(seed: u8, slot_bytes: u64) -> BundleTerms {
    let roots = (0..10).map(|slot| Hash::of_content(&slot_data(seed, slot, slot_bytes)));
    BundleTerms {
        class: Class::Devnet,
        header: Cid::of_block(&[seed, 1]),
        manifest: Cid::of_block(&[seed, 2]),
        slot_bytes,
        slot_roots: BoundedVec::new(roots.collect()).unwrap(),
    }
}

/// A bid for `bundle` that locks exactly what is needed.
pub fn bid(world: &World, terms: BundleTerms, price_max: u64, term_ms: u64) -> Operation {
    let rules = query::rules(&world.state).unwrap();
    let escrow = query::escrow_needed(&rules, &terms, Amount(price_max), term_ms).unwrap();
    Operation::PlaceBid {
        terms,
        price_max: Amount(price_max),
        escrow,
        term_ms,
        exclude: BoundedVec::empty(),
    }
}

/// Places a bid and lets it be matched.
pub fn place(world: &mut World, client: u8, operation: Operation) -> DealId {
    let Ok(Done::BidPlaced { deal, match_height }) = world.act(client, operation) else {
        unreachable!("the bid was refused: {:?}", world.last.receipts)
    };
    world.go_to_height(match_height.0);
    deal
}

/// Who holds which slot, by person.
pub fn holders(world: &World, deal: &DealId) -> BTreeMap<u8, u8> {
    let people: BTreeMap<AccountId, u8> = (0..=199).map(|n| (id(n), n)).collect();
    let deal = query::deal(&world.state, deal).unwrap();
    deal.slots
        .iter()
        .map(|slot| (slot.index.0, people[&slot.row.provider]))
        .collect()
}

/// The certificate by all holders.
pub fn certificate(world: &World, deal: &DealId) -> Operation {
    let row = query::deal(&world.state, deal).unwrap().row;
    let acceptances = holders(world, deal).into_iter().map(|(slot, holder)| {
        let terms = watt_light::operation::AcceptanceTerms {
            deal: *deal,
            slot: watt_primitives::SlotIndexInDeal(slot),
            root: row.terms.slot_roots[usize::from(slot)],
        };
        terms.accept(&key(holder), &world.network)
    });
    Operation::Certify {
        deal: *deal,
        acceptances: BoundedVec::new(acceptances.collect()).unwrap(),
    }
}
