//! Seats of the backbone: keys, attendance, who comes and who goes.

use crate::world::{World, genesis, id, key, result};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::query::{self, DutyToAttend};
use watt_ledger::rows::{self, DutyWindowRow, StandingRow};
use watt_ledger::{Done, Event, Genesis, Refused};
use watt_light::duty::KEYS_AHEAD_MAX;
use watt_light::{Evidence, NewVotingKey, Onion, Operation, Proposal, SignedTransaction};
use watt_primitives::{
    AccountId, BoundedVec, Hash, NodeId, SecretKey, SlotIndex, Term, Timestamp, Window, codec,
};

pub const WINDOW_SLOTS: u64 = 4;
pub const TERM_WINDOWS: u64 = 4;
pub const TERM_SLOTS: u64 = WINDOW_SLOTS * TERM_WINDOWS;

/// Four seats, of the people 40 to 43; terms of 16 slots in four windows.
pub fn short_terms() -> Genesis {
    let mut document = genesis("seats");
    document.parameters.window_slots = WINDOW_SLOTS;
    document.parameters.term_windows = TERM_WINDOWS;
    document
}

/// Two proposals of one slot by voting key `n`.
pub fn contradiction(world: &World, n: u8) -> Evidence {
    contradiction_of(world, &key(n))
}

pub fn contradiction_of(world: &World, key: &SecretKey) -> Evidence {
    let proposal = |time| Proposal {
        network: world.network,
        slot: SlotIndex(3),
        version: 1,
        parent: Hash::ZERO,
        close_time: Timestamp(time),
        body_root: Hash::ZERO,
        n_transactions: 0,
        body_bytes: 1,
        proposer: key.node_id(),
    };
    Evidence::Proposals {
        one: proposal(1).sign(key),
        other: proposal(2).sign(key),
    }
}

fn secret(n: u8, term: Term, what: u8) -> [u8; 32] {
    Hash::of_content(&[&[what, n][..], &term.0.to_be_bytes()].concat()).0
}

pub fn voting_secret(n: u8, term: Term) -> SecretKey {
    SecretKey::from_seed(secret(n, term, 1))
}

pub fn voting_node(n: u8, term: u64) -> NodeId {
    voting_secret(n, Term(term)).node_id()
}

/// A network, and people whose nodes do what they have to.
#[derive(Clone)]
pub struct Nodes {
    pub world: World,
    /// Hashes of all headers.
    pub headers: Vec<Hash>,
    /// Everything that blocks did by themselves, with their heights.
    pub events: Vec<(u64, Event)>,
    /// Whose nodes run.
    pub there: BTreeSet<u8>,
    /// Whose nodes register keys and attend, but reveal nothing.
    pub withholding: BTreeSet<u8>,
    /// The highest version of the rules that somebody's program knows, if not 1.
    pub knows: BTreeMap<u8, u32>,
}

impl Nodes {
    pub fn new(there: impl IntoIterator<Item = u8>) -> Self {
        Self::of(&short_terms(), there)
    }

    pub fn of(document: &Genesis, there: impl IntoIterator<Item = u8>) -> Self {
        let world = World::of(document);
        Self {
            headers: vec![world.last.header.hash()],
            world,
            events: Vec::new(),
            there: there.into_iter().collect(),
            withholding: BTreeSet::new(),
            knows: BTreeMap::new(),
        }
    }

    pub fn onion(&self, n: u8, term: Term) -> Onion {
        let n_windows = query::rules(&self.world.state).unwrap().parameters.term_windows;
        Onion::new(self.world.network, Hash(secret(n, term, 2)), n_windows)
    }

    pub fn new_key(&self, n: u8, term: Term) -> NewVotingKey {
        let (key, onion) = (voting_secret(n, term), self.onion(n, term).outermost());
        NewVotingKey::sign(&key, &id(n), term, onion, &self.world.network)
    }

    pub fn register(&self, n: u8, terms: &[Term]) -> Operation {
        let keys: Vec<NewVotingKey> = terms.iter().map(|term| self.new_key(n, *term)).collect();
        Operation::RegisterVotingKeys {
            first_term: terms[0],
            keys: BoundedVec::new(keys).unwrap(),
        }
    }

    pub fn attend(&self, n: u8, duty: &DutyToAttend) -> Operation {
        let is_honest = !self.withholding.contains(&n);
        Operation::Attend {
            window: duty.window,
            header: self.headers[usize::try_from(duty.asked.0).unwrap()],
            knows: self.knows.get(&n).copied().unwrap_or(1),
            reveal: duty
                .reveal
                .filter(|_| is_honest)
                .map(|(term, at)| self.onion(n, term).layer(at)),
        }
    }

    /// What the nodes that run put into the next block: all of it is done.
    fn duties(&self) -> Vec<SignedTransaction> {
        let mut signed = Vec::new();
        for n in &self.there {
            let Some(duties) = query::duties(&self.world.state, &id(*n)) else {
                continue;
            };
            let mut operations: Vec<Operation> =
                duties.windows.iter().map(|duty| self.attend(*n, duty)).collect();
            // All that are missing are in a row, or there is none.
            if !duties.keys_missing.is_empty() {
                operations.push(self.register(*n, &duties.keys_missing));
            }
            if !operations.is_empty() {
                signed.push(self.world.sign(*n, operations));
            }
        }
        signed
    }

    /// Closes a block with these transactions after the nodes' own.
    pub fn close(&mut self, more: Vec<SignedTransaction>) {
        let mut transactions = self.duties();
        let n_duties = transactions.len();
        transactions.extend(more);
        let outcome = self.world.attempt(transactions).unwrap();
        for receipt in &outcome.receipts[..n_duties] {
            assert!(result(receipt).is_ok(), "{:?}", receipt.outcome);
        }
        self.world.state.write(&outcome.writes);
        self.headers.push(outcome.header.hash());
        let height = outcome.header.height.0;
        self.events
            .extend(outcome.events.iter().map(|event| (height, *event)));
        self.world.last = outcome;
    }

    pub fn go_to(&mut self, height: u64) {
        while self.world.height() < height {
            self.close(Vec::new());
        }
    }

    pub fn go_to_term(&mut self, term: u64) {
        self.go_to(term * TERM_SLOTS);
    }

    /// One operation of a person whose node does nothing by itself in this block.
    pub fn act(&mut self, n: u8, operation: Operation) -> Result<Done, Refused> {
        let was_there = self.there.remove(&n);
        let signed = self.world.sign(n, vec![operation]);
        self.close(vec![signed]);
        if was_there {
            self.there.insert(n);
        }
        result(self.world.last.receipts.last().unwrap())
    }

    pub fn voters(&self, term: u64) -> Vec<(AccountId, NodeId)> {
        let backbone = query::backbone_of_term(&self.world.state, Term(term)).unwrap();
        backbone
            .entries()
            .iter()
            .map(|entry| (entry.account, entry.key))
            .collect()
    }

    pub fn people(&self, term: u64) -> BTreeSet<AccountId> {
        self.voters(term)
            .into_iter()
            .map(|(account, _)| account)
            .collect()
    }

    /// As if `n` had done a validator's work in shadow for so many terms.
    pub fn set_shadow(&mut self, n: u8, shadow_terms: u64, listed_since: Option<Term>) {
        let row = query::standing(&self.world.state, &id(n)).unwrap();
        let row = StandingRow {
            shadow_terms,
            listed_since,
            ..row
        };
        let key = rows::standing(&id(n));
        self.world.state.write(&[(key, Some(codec::encode(&row)))].into());
    }
}

pub fn seated(range: std::ops::Range<u8>) -> BTreeSet<AccountId> {
    range.map(id).collect()
}

/// Nodes register fourteen terms ahead by themselves and vote with the key of each term; the genesis keys hold until then.
#[test]
fn every_term_has_its_own_keys() {
    let mut nodes = Nodes::new(40..43);
    nodes.close(Vec::new());
    nodes.go_to_term(1);
    for term in 1..4 {
        nodes.go_to_term(term);
        for (account, key) in nodes.voters(term) {
            let person = (40..44).find(|person| id(*person) == account).unwrap();
            let expected = if person == 43 {
                crate::world::key(203).node_id()
            } else {
                voting_node(person, term)
            };
            assert_eq!(key, expected, "{person} in term {term}");
        }
    }
    let ahead = query::voting_key(&nodes.world.state, Term(3 + 14), &id(40));
    assert!(ahead.is_some(), "registered fourteen terms ahead");
    assert_eq!(
        query::voting_key(&nodes.world.state, Term(1), &id(40)),
        None,
        "forgotten"
    );
    nodes.world.check_invariants();
}

/// Each reason for which keys are refused; nothing changes then.
#[test]
fn keys_that_break_a_rule_are_refused() {
    let mut nodes = Nodes::new([]);
    let register = |nodes: &Nodes, n: u8, terms: std::ops::Range<u64>| {
        nodes.register(n, &terms.map(Term).collect::<Vec<_>>())
    };
    let operation = register(&nodes, 9, 1..2);
    assert_eq!(nodes.act(9, operation), Err(Refused::NoDuty));
    let bounds = |first, last| {
        let (first, last) = (Term(first), Term(last));
        Err(Refused::VotingTerm { first, last })
    };
    let empty = Operation::RegisterVotingKeys {
        first_term: Term(1),
        keys: BoundedVec::empty(),
    };
    assert_eq!(nodes.act(40, empty), bounds(1, 14));
    for terms in [0..1, 0..14, 15..16, 2..16] {
        let operation = register(&nodes, 40, terms);
        assert_eq!(nodes.act(40, operation), bounds(1, 14));
    }
    let operation = register(&nodes, 40, 14..15);
    assert!(nodes.act(40, operation).is_ok(), "fourteen terms ahead");
    let operation = register(&nodes, 40, 13..15);
    assert_eq!(
        nodes.act(40, operation),
        Err(Refused::VotingKeyTwice { term: Term(14) })
    );
    assert!(query::voting_key(&nodes.world.state, Term(13), &id(40)).is_none());

    let one = |key: NewVotingKey, term: u64| Operation::RegisterVotingKeys {
        first_term: Term(term),
        keys: BoundedVec::new(vec![key]).unwrap(),
    };
    let network = nodes.world.network;
    let used = NewVotingKey::sign(
        &voting_secret(40, Term(14)),
        &id(41),
        Term(2),
        Hash::ZERO,
        &network,
    );
    assert_eq!(nodes.act(41, one(used, 2)), Err(Refused::VotingKeyUsed));
    let of_genesis = NewVotingKey::sign(&key(200), &id(41), Term(2), Hash::ZERO, &network);
    assert_eq!(nodes.act(41, one(of_genesis, 2)), Err(Refused::VotingKeyUsed));
    let twice = nodes.new_key(41, Term(2));
    let keys = BoundedVec::new(vec![twice, twice]).unwrap();
    let first_term = Term(2);
    let operation = Operation::RegisterVotingKeys { first_term, keys };
    assert_eq!(nodes.act(41, operation), Err(Refused::VotingKeyUsed));
    let mut small_order = twice;
    small_order.key = NodeId({
        let mut point = [0; 32];
        point[0] = 1;
        point
    });
    assert_eq!(nodes.act(41, one(small_order, 2)), Err(Refused::UnsafeKey));
    assert_eq!(
        nodes.act(41, one(twice, 3)),
        Err(Refused::Possession),
        "signed for term 2"
    );
    let of_40 = nodes.new_key(40, Term(2));
    assert_eq!(nodes.act(41, one(of_40, 2)), Err(Refused::Possession));
    assert!(nodes.act(41, one(twice, 2)).is_ok());
}

/// The key of a term can be registered until its backbone is final, and not in that block.
#[test]
fn a_term_takes_no_keys_once_it_is_final() {
    let mut nodes = Nodes::new([]);
    nodes.go_to(10);
    let next = nodes.register(40, &[Term(1)]);
    assert!(nodes.act(40, next).is_ok(), "height 11");
    let next = nodes.register(41, &[Term(1)]);
    let (first, last) = (Term(2), Term(14));
    assert_eq!(nodes.act(41, next), Err(Refused::VotingTerm { first, last }));
    nodes.go_to_term(1);
    let keys: BTreeSet<NodeId> = nodes.voters(1).into_iter().map(|(_, key)| key).collect();
    assert!(keys.contains(&voting_node(40, 1)) && keys.contains(&key(201).node_id()));
    assert_eq!(KEYS_AHEAD_MAX, 14);
}

/// Attendance counts once, for the header that was asked for, of people with a duty, from the window's end to the middle of the next
/// term.
#[test]
fn attendance_has_rules() {
    let mut nodes = Nodes::new([]);
    nodes.go_to(WINDOW_SLOTS - 2);
    let asked = |nodes: &Nodes, window: u64| {
        let row: DutyWindowRow = rows::read(&nodes.world.state, &rows::duty_window(Window(window))).unwrap();
        nodes.headers.get(usize::try_from(row.asked.0).unwrap()).copied()
    };
    let attend = |window: u64, header: Hash| Operation::Attend {
        window: Window(window),
        header,
        knows: 1,
        reveal: None,
    };
    let wrong = |window, current| {
        let (window, current) = (Window(window), Window(current));
        Err(Refused::WrongWindow { window, current })
    };
    assert_eq!(nodes.act(40, attend(0, Hash::ZERO)), wrong(0, 0), "not over");
    let header = asked(&nodes, 0).unwrap();
    let window = Window(0);
    assert_eq!(
        nodes.act(40, attend(0, Hash::ZERO)),
        Err(Refused::WrongHeader { window })
    );
    assert_eq!(nodes.act(9, attend(0, header)), Err(Refused::NoDuty));
    let is_revealed = false;
    assert_eq!(
        nodes.act(40, attend(0, header)),
        Ok(Done::Attended { window, is_revealed })
    );
    assert_eq!(
        nodes.act(40, attend(0, header)),
        Err(Refused::AttendedTwice { window })
    );
    nodes.go_to(TERM_SLOTS + TERM_SLOTS / 2 - 2);
    assert!(
        nodes.act(41, attend(0, header)).is_ok(),
        "the last block before it is counted"
    );
    assert_eq!(nodes.act(42, attend(0, header)), wrong(0, 6));
    assert!(
        nodes
            .events
            .iter()
            .all(|(_, event)| !matches!(event, Event::SeatGiven { .. }))
    );
}

/// Only an owner key stands, withdraws and sets the cold key; a device key does what a node does unattended.
#[test]
fn devices_register_and_attend() {
    let mut nodes = Nodes::new([]);
    let device = Operation::AddKey {
        key: key(100).public(),
        role: watt_light::KeyRole::Device,
    };
    nodes.act(40, device).unwrap();
    nodes.go_to(WINDOW_SLOTS);
    let signed = |nodes: &Nodes, operation: Operation| {
        let mut draft = nodes.world.draft(40, vec![operation]);
        (draft.key_index, draft.key, draft.nonce) = (1, key(100).public(), 0);
        draft.sign(&key(100), &nodes.world.network, Vec::new()).unwrap()
    };
    let duties = query::duties(&nodes.world.state, &id(40)).unwrap();
    for operation in [
        nodes.register(40, &duties.keys_missing),
        nodes.attend(40, &duties.windows[0]),
    ] {
        let outcome = nodes.world.attempt(vec![signed(&nodes, operation)]).unwrap();
        assert!(result(&outcome.receipts[0]).is_ok());
    }
    for operation in [
        Operation::StandForBackbone {
            vouchers: [id(1), id(2), id(3)],
        },
        Operation::WithdrawFromBackbone {},
        Operation::SetColdKey { hash: Hash([1; 32]) },
    ] {
        assert!(nodes.world.attempt(vec![signed(&nodes, operation)]).is_err());
    }
    let hash = Hash([1; 32]);
    assert_eq!(nodes.act(9, Operation::SetColdKey { hash }), Err(Refused::NoDuty));
    nodes.act(40, Operation::SetColdKey { hash }).unwrap();
    assert_eq!(query::cold_key(&nodes.world.state, &id(40)), Some(hash));
    nodes.act(40, Operation::SetColdKey { hash: Hash::ZERO }).unwrap();
    assert_eq!(query::cold_key(&nodes.world.state, &id(40)), None);
    assert_eq!(
        nodes.world.balance(40),
        crate::world::START,
        "duties cost nothing"
    );
}

/// Evidence against a voting key strikes off whose it is, once; what is none costs its sender.
#[test]
fn evidence_is_taken_once() {
    let mut nodes = Nodes::new([]);
    let report = |evidence: Evidence| Operation::ReportEvidence {
        evidence: Box::new(evidence),
    };
    let none = contradiction(&nodes.world, 9);
    assert_eq!(
        nodes.act(1, report(none)),
        Err(Refused::NoEvidence),
        "no voting key"
    );
    let mut forged = contradiction(&nodes.world, 200);
    if let Evidence::Proposals { other, .. } = &mut forged {
        other.proposal.close_time = Timestamp(7);
    }
    assert_eq!(nodes.act(1, report(forged)), Err(Refused::NoEvidence));
    assert!(nodes.world.balance(1) < crate::world::START);

    let culprit = id(40);
    let evidence = contradiction(&nodes.world, 200);
    assert_eq!(
        nodes.act(2, report(evidence.clone())),
        Ok(Done::EvidenceTaken { culprit })
    );
    assert_eq!(
        nodes.act(2, report(evidence)),
        Err(Refused::EvidenceKnown { culprit })
    );
    let found = query::faulty(&nodes.world.state, &culprit).unwrap();
    assert_eq!((found.since, found.slot), (Term(0), SlotIndex(3)));
    let vouchers = [id(1), id(2), id(3)];
    let again = Term(180);
    assert_eq!(
        nodes.act(40, Operation::StandForBackbone { vouchers }),
        Err(Refused::StruckOff { again })
    );
    nodes.go_to_term(4);
    assert_eq!(
        nodes.people(4),
        seated(40..44),
        "while nobody stands by, voters stay"
    );
}
