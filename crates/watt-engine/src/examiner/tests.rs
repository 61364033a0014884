use super::*;
use watt_ledger::genesis::RESTART_WINDOWS_MAIN;
use watt_ledger::rows::{
    self, BatchRow, DutyWindowRow, PieceTableRow, ProviderRow, RulesRow, SectorRow, SectorStage,
};
use watt_ledger::state::Writes;
use watt_ledger::{MemoryState, NetworkParameters};
use watt_light::{Backbone, BackboneEntry};
use watt_primitives::terms::Piece;
use watt_primitives::{BoundedString, BoundedVec, SecretKey, Window, codec};
use watt_proofs::{Element, ProofParams, SectorSize};

const HEAD: BlockHeight = BlockHeight(14);
const DEADLINE: BlockHeight = BlockHeight(40);

fn account(n: u8) -> AccountId {
    AccountId([n; 20])
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn network() -> NetworkId {
    NetworkId::derive(Hash([7; 32]))
}

/// A chain of four seats, voting with keys 1 to 4, on which these sectors of these providers are challenged, each alone.
fn chain(sectors: &[(u8, u64)]) -> MemoryState {
    let mut writes = Writes::new();
    let rules = RulesRow {
        network: network(),
        name: BoundedString::new("test".to_owned()).unwrap(),
        is_main: false,
        parameters: NetworkParameters {
            slot_ms: 1000,
            window_slots: 10,
            term_windows: 144,
            settlement_windows: 3,
            block_transactions_max: 200,
            block_bytes_max: 2 << 20,
            certify_slots: 20,
            certify_slots_per_gb: 10,
            commit_slots: 30,
            dispute_slots: watt_ledger::genesis::DISPUTE_SLOTS_MAIN,
            grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1,
            standby_power_bytes: 0,
            insecure_proofs: true,
            porep_committee: 15,
            restart_windows: RESTART_WINDOWS_MAIN,
        },
    };
    let mut put = |key: Vec<u8>, value: Vec<u8>| drop(writes.insert(key, Some(value)));
    let term = rules.terms().of_height(HEAD);
    put(rows::RULES.to_vec(), codec::encode(&rules));
    let entry = |n: u8| BackboneEntry {
        account: account(100 + n),
        key: key(n).node_id(),
        cold_key: None,
    };
    let backbone = Backbone::new((1..=4).map(entry).collect()).unwrap();
    put(rows::backbone(term), codec::encode(&backbone));
    let beacon = DutyWindowRow {
        asked: BlockHeight(1),
        header: None,
        beacon: Some(Hash([5; 32])),
        is_filled: false,
    };
    put(rows::duty_window(Window(0)), codec::encode(&beacon));
    let len = SectorSize::new(&ProofParams::DEVNET, 1).unwrap().payload_bytes();
    for (provider, number) in sectors {
        let (provider, number) = (account(*provider), SectorNumber(*number));
        let row = SectorRow {
            units: 1,
            comm_d: Hash::ZERO,
            comm_c: Hash::ZERO,
            comm_r: Element::default(),
            replica: Hash::ZERO,
            seal_seed: Hash::ZERO,
            stage: SectorStage::PreCommitted { batch: number },
            n_slots: 0,
            proven_ms_start: None,
            faulty_ms: 0,
            last_fault: None,
            unpaid: None,
        };
        let pieces = PieceTableRow(BoundedVec::new(vec![Piece::Filler { offset: 0, len }]).unwrap());
        let batch = BatchRow {
            sectors: BoundedVec::new(vec![number]).unwrap(),
            challenge_window: Window(1),
            deadline: DEADLINE,
        };
        let due = rows::batch_due_at_height(DEADLINE.next(), &provider, number);
        let person = ProviderRow::new(provider, BlockHeight(1));
        put(rows::sector(&provider, number), codec::encode(&row));
        put(rows::batch(&provider, number), codec::encode(&batch));
        put(rows::piece_table(&provider, number), codec::encode(&pieces));
        put(due, codec::encode(&()));
        put(rows::provider(&provider), codec::encode(&person));
    }
    let mut state = MemoryState::default();
    state.write(&writes);
    state
}

/// A validator on a chain.
struct Node {
    chain: MemoryState,
    keys: VotingKeys,
    examiner: Examiner,
    head: BlockHeight,
    effects: Vec<Effect>,
}

impl Node {
    fn new(chain: MemoryState, voter: u8, given: Vec<GivenVerdict>) -> Self {
        Self {
            chain,
            keys: VotingKeys::fixed(key(voter)),
            examiner: Examiner::new(network(), given),
            head: HEAD,
            effects: Vec::new(),
        }
    }

    fn block(&mut self) {
        self.head = self.head.next();
        self.examiner
            .look(&self.chain, &self.keys, self.head, &mut self.effects);
    }

    fn examined(&mut self, of: (u8, u64), result: Result<Hash, NotExamined>) {
        let key = (account(of.0), SectorNumber(of.1));
        let (chain, keys) = (&self.chain, &self.keys);
        self.examiner
            .examined(chain, keys, self.head, key, result, &mut self.effects);
    }

    fn handed(&mut self, of: (u8, u64), is_taken: bool) {
        let key = (account(of.0), SectorNumber(of.1));
        let (chain, keys) = (&self.chain, &self.keys);
        self.examiner
            .handed_back(chain, keys, self.head, key, is_taken, &mut self.effects);
    }

    /// Which batches it asks for since the last call.
    fn asked(&mut self) -> Vec<(u8, u64)> {
        let asked = self.effects.drain(..).map(|effect| {
            let Effect::Examine(job) = effect else {
                unreachable!("{effect:?}")
            };
            (job.batch.provider.0[0], job.batch.batch.0)
        });
        asked.collect()
    }
}

fn not_shown() -> Result<Hash, NotExamined> {
    Err(NotExamined::NotShown("no answer".to_owned()))
}

/// Only who is in the committee asks; a verdict is durable before it is handed back, and the provider takes it. Covers: D2 (TS4).
#[test]
fn a_member_looks_keeps_and_hands_back() {
    let mut stranger = Node::new(chain(&[(1, 1)]), 9, Vec::new());
    stranger.block();
    assert!(stranger.asked().is_empty());

    let mut node = Node::new(chain(&[(1, 1)]), 2, Vec::new());
    node.block();
    assert_eq!(node.asked(), [(1, 1)]);
    node.block();
    assert!(node.asked().is_empty(), "one at a time");
    let openings = Hash([3; 32]);
    node.examined((1, 1), Ok(openings));
    let [Effect::KeepVerdicts(kept), Effect::HandVerdict(job)] = node.effects.as_slice() else {
        unreachable!("{:?}", node.effects)
    };
    let expected = GivenVerdict {
        provider: account(1),
        batch: SectorNumber(1),
        openings,
        deadline: DEADLINE,
    };
    assert_eq!(kept, &[expected]);
    let check = |verdict: &Verdict, openings| {
        check_verdict(&node.chain, &account(1), SectorNumber(1), openings, verdict)
    };
    assert_eq!(check(&job.verdict, openings), Ok(()));
    assert_eq!(check(&job.verdict, Hash::ZERO), Err(NotTaken::Signature));
    let other = Verdict {
        member: 4,
        ..job.verdict
    };
    assert_eq!(check(&other, openings), Err(NotTaken::NotAMember));
    let nobody = check_verdict(&node.chain, &account(2), SectorNumber(1), openings, &job.verdict);
    assert_eq!(nobody, Err(NotTaken::NotWaiting));
    assert_eq!(node.examiner.done().held, 1);
}

/// A provider that never answers holds nobody up: the others have their turns, and its own batches are tried again after longer and
/// longer pauses until they are due. Covers: D2 (TS4).
#[test]
fn providers_take_turns() {
    let mut node = Node::new(chain(&[(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]), 2, Vec::new());
    node.block();
    let mut order = node.asked();
    for _ in 0..4 {
        let last = *order.last().unwrap();
        node.examined(last, not_shown());
        order.extend(node.asked());
    }
    assert_eq!(order, [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]);
    node.examined((1, 3), not_shown());
    assert!(node.asked().is_empty(), "all had their turn at this block");

    let mut node = Node::new(chain(&[(1, 1)]), 2, Vec::new());
    let mut tries = Vec::new();
    while node.head < BlockHeight(60) {
        node.block();
        for of in node.asked() {
            tries.push(node.head.0);
            node.examined(of, not_shown());
        }
    }
    assert_eq!(tries, [15, 16, 18, 22, 30], "none is left before it is due");
}

/// What does not hold is looked at once more and then left. Covers: D2 (TS4).
#[test]
fn bad_openings_are_left() {
    let mut node = Node::new(chain(&[(1, 1)]), 2, Vec::new());
    let mut n_tries = 0;
    for _ in 0..20 {
        node.block();
        for of in node.asked() {
            n_tries += 1;
            node.examined(of, Err(NotExamined::Bad("garbage".to_owned())));
        }
    }
    assert_eq!(n_tries, 2);
    assert_eq!(node.examiner.done().bad, 2);
}

/// While a batch waits its verdict is handed back again, without looking again, also by the member's next life. Covers: D2 (TS4).
#[test]
fn a_verdict_is_handed_back_again() {
    let given = GivenVerdict {
        provider: account(1),
        batch: SectorNumber(1),
        openings: Hash([3; 32]),
        deadline: DEADLINE,
    };
    let mut node = Node::new(chain(&[(1, 1)]), 2, vec![given]);
    let mut handed = Vec::new();
    while node.head < BlockHeight(60) {
        node.block();
        for effect in std::mem::take(&mut node.effects) {
            let Effect::HandVerdict(job) = effect else {
                unreachable!("{effect:?}")
            };
            assert_eq!(job.openings, given.openings);
            handed.push(node.head.0);
            // The first time the provider is not there.
            node.handed((1, 1), handed.len() > 1);
        }
    }
    assert_eq!(handed, [15, 16, 28]);
}
