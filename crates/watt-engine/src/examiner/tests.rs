use super::*;
use watt_ledger::genesis::RESTART_WINDOWS_MAIN;
use watt_ledger::rows::{
    self, AuditRow, BatchRow, DutyWindowRow, PieceTableRow, ProviderRow, RulesRow, SectorRow, SectorStage,
};
use watt_ledger::state::Writes;
use watt_ledger::{MemoryState, NetworkParameters};
use watt_light::{Backbone, BackboneEntry};
use watt_primitives::terms::Piece;
use watt_primitives::{BoundedString, BoundedVec, DealId, SecretKey, SlotIndexInDeal, Window, codec};
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

/// A chain of four seats, voting with keys 1 to 4, on which these sectors of these providers are challenged, each alone: filler, of providers that
/// have proven nothing yet.
fn chain(sectors: &[(u8, u64)]) -> MemoryState {
    let filler: Vec<_> = sectors.iter().map(|of| (*of, Holds::Filler, 0)).collect();
    chain_of(&filler)
}

/// What lies in a sector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Filler,
    ASlot,
}

/// The same with what lies in a sector, and how many sectors its provider has proven.
fn chain_of(sectors: &[((u8, u64), Holds, u32)]) -> MemoryState {
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
            failed_window_cost: 9,
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
            audit_windows: 0,
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
    for ((provider, number), holds, n_active) in sectors {
        let (provider, number) = (account(*provider), SectorNumber(*number));
        let row = SectorRow {
            units: 1,
            comm_d: Hash::ZERO,
            comm_c: Hash::ZERO,
            comm_r: Element::default(),
            seal_seed: Hash::ZERO,
            stage: SectorStage::PreCommitted { batch: number },
            n_slots: 0,
            proven_ms_start: None,
            faulty_ms: 0,
            last_fault: None,
            unpaid: None,
        };
        let piece = match holds {
            Holds::Filler => Piece::Filler { offset: 0, len },
            Holds::ASlot => Piece::Slot {
                deal: DealId([9; 32]),
                slot: SlotIndexInDeal(0),
                root: Hash::ZERO,
                offset: 0,
                len,
            },
        };
        let pieces = PieceTableRow(BoundedVec::new(vec![piece]).unwrap());
        let batch = BatchRow {
            sectors: BoundedVec::new(vec![number]).unwrap(),
            challenge_window: Window(1),
            deadline: DEADLINE,
        };
        let due = rows::batch_due_at_height(DEADLINE.next(), &provider, number);
        let mut person = ProviderRow::new(provider, BlockHeight(1));
        person.n_active = *n_active;
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

fn not_yet() -> Result<Hash, NotExamined> {
    Err(NotExamined::NotYet("not made".to_owned()))
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
    assert!(node.asked().is_empty(), "it is under way");
    let openings = Hash([3; 32]);
    node.examined((1, 1), Ok(openings));
    let [Effect::KeepVerdicts(kept), Effect::HandVerdict(job)] = node.effects.as_slice() else {
        unreachable!("{:?}", node.effects)
    };
    let expected = GivenVerdict {
        provider: account(1),
        batch: SectorNumber(1),
        window: Window(1),
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

/// A provider that has not made its openings yet holds nobody up: the others have their turns, one sector of each at a time, and its own
/// sectors are tried again after longer and longer pauses until they are due. Covers: D2 (TS4).
#[test]
fn providers_take_turns() {
    let mut node = Node::new(chain(&[(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]), 2, Vec::new());
    node.block();
    let mut order = node.asked();
    assert_eq!(order, [(1, 1), (2, 1)], "one of each");
    for at in 0..3 {
        node.examined(order[at], not_yet());
        order.extend(node.asked());
    }
    assert_eq!(order, [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]);
    node.examined((2, 2), not_yet());
    node.examined((1, 3), not_yet());
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

/// Who kept a member waiting comes after all others, who has proven nothing yet after who has, and filler after what clients have there.
/// Covers: D2 (TS4).
#[test]
fn who_shows_something_comes_first() {
    let sectors = [
        ((1, 1), Holds::Filler, 0),
        ((2, 1), Holds::ASlot, 0),
        ((3, 1), Holds::Filler, 1),
        ((4, 1), Holds::ASlot, 1),
        ((5, 1), Holds::ASlot, 0),
        ((5, 2), Holds::ASlot, 0),
    ];
    let mut node = Node::new(chain_of(&sectors), 2, Vec::new());
    node.block();
    assert_eq!(node.asked(), [(4, 1), (3, 1), (2, 1), (5, 1)]);
    node.examined((5, 1), not_shown());
    assert_eq!(node.asked(), [(1, 1)], "before another one of who was waited for");
    node.examined((4, 1), Ok(Hash([3; 32])));
    let [Effect::KeepVerdicts(_), Effect::HandVerdict(job)] = node.effects.as_slice() else {
        unreachable!("{:?}", node.effects)
    };
    assert_eq!(job.provider, account(4), "handed back in the same turn");
    node.effects.clear();
    node.examined((1, 1), not_yet());
    assert_eq!(node.asked(), [(5, 2)]);
}

/// A hundred accounts that show nothing of what they pre-committed cost a member one wait each, four at once; a provider that has proven
/// something is asked before all of them that are not asked yet, and is done with while they wait. Covers: D2 (TS4).
#[test]
fn accounts_that_show_nothing_do_not_hold_a_committee_up() {
    let filler = |n: u8| ((n, 1), Holds::Filler, 0);
    let mut sectors: Vec<_> = (1..=100).map(filler).collect();
    let mut node = Node::new(chain_of(&sectors), 2, Vec::new());
    let mut n_waits = 0;
    while n_waits < 10 {
        node.block();
        for of in node.asked() {
            n_waits += 1;
            node.examined(of, not_shown());
        }
    }
    sectors.push(((200, 1), Holds::Filler, 1));
    node.chain = chain_of(&sectors);
    let mut asked = Vec::new();
    while !asked.contains(&(200, 1)) {
        node.block();
        asked.extend(node.asked());
        if !asked.contains(&(200, 1)) {
            node.examined(*asked.last().unwrap(), not_shown());
        }
    }
    assert!(asked.len() <= 8, "{asked:?}");

    // More sectors than are remembered: those of who has proven something take the place of others.
    let many = |n: u8| (1..=32).map(move |number| ((n, number), Holds::Filler, 0));
    let mut flood: Vec<_> = (1..=40).flat_map(many).collect();
    let mut node = Node::new(chain_of(&flood), 2, Vec::new());
    for _ in 0..20 {
        node.block();
    }
    assert_eq!(node.examiner.cases.len(), WAITING_MAX);
    flood.push(((200, 1), Holds::Filler, 1));
    node.chain = chain_of(&flood);
    for _ in 0..24 {
        node.head = BlockHeight(20);
        node.block();
    }
    let waits = (account(200), SectorNumber(1));
    assert!(node.examiner.cases.contains_key(&waits));
    assert_eq!(node.examiner.cases.len(), WAITING_MAX);
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
        window: Window(1),
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

/// The sector is live, and `window` asks it again until height 900.
fn ask_again(state: &mut MemoryState, window: u64) {
    let (provider, number) = (account(1), SectorNumber(1));
    let key = rows::sector(&provider, number);
    let mut row: SectorRow = rows::read(state, &key).unwrap();
    row.stage = SectorStage::Active { from: Window(1) };
    let audit = AuditRow {
        window: Window(window),
        since: HEAD,
        counted_before: 0,
        answer_slots: 886,
        answer_by: BlockHeight(900),
        due: BlockHeight(901),
    };
    let mut rules: RulesRow = rows::read(state, rows::RULES).unwrap();
    rules.parameters.audit_windows = 1;
    let beacon = DutyWindowRow {
        asked: BlockHeight(1),
        header: None,
        beacon: Some(Hash([6; 32])),
        is_filled: false,
    };
    let duty = rows::duty_window(Window(window - 1));
    state.write(&Writes::from([
        (key, Some(codec::encode(&row))),
        (rows::batch(&provider, number), None),
        (
            rows::batch_due_at_height(DEADLINE.next(), &provider, number),
            None,
        ),
        (rows::audit(&provider, number), Some(codec::encode(&audit))),
        (rows::RULES.to_vec(), Some(codec::encode(&rules))),
        (duty, Some(codec::encode(&beacon))),
    ]));
}

/// A live sector that is asked again is looked at anew, whatever was said of it when it came in, and again when another window asks; what
/// was said of the one question is not handed back for the other. Covers: D2 (TS4).
#[test]
fn a_live_sector_is_looked_at_again() {
    let given = GivenVerdict {
        provider: account(1),
        batch: SectorNumber(1),
        window: Window(1),
        openings: Hash([3; 32]),
        deadline: DEADLINE,
    };
    let mut state = chain(&[(1, 1)]);
    ask_again(&mut state, 2);
    let mut node = Node::new(state, 2, vec![given]);
    let blocks_until_asked = |node: &mut Node| {
        for n in 1..10 {
            node.block();
            let asks = |effect: &Effect| matches!(effect, Effect::Examine(_));
            if node.effects.iter().any(asks) {
                node.effects.clear();
                return n;
            }
        }
        unreachable!("nobody looked")
    };
    let n = blocks_until_asked(&mut node);
    assert!(n <= 2, "after what falls due come the audits");
    node.examined((1, 1), Ok(Hash([4; 32])));
    let [Effect::KeepVerdicts(kept), Effect::HandVerdict(job)] = node.effects.as_slice() else {
        unreachable!("{:?}", node.effects)
    };
    let now = kept.iter().find(|given| given.openings == Hash([4; 32])).unwrap();
    assert_eq!((now.window, now.deadline), (Window(2), BlockHeight(900)));
    let check = check_verdict(
        &node.chain,
        &account(1),
        SectorNumber(1),
        Hash([4; 32]),
        &job.verdict,
    );
    assert_eq!(check, Ok(()));
    let verdict = job.verdict;
    node.handed((1, 1), true);
    node.effects.clear();

    ask_again(&mut node.chain, 3);
    let check = check_verdict(&node.chain, &account(1), SectorNumber(1), Hash([4; 32]), &verdict);
    assert_eq!(check, Err(NotTaken::Signature));
    blocks_until_asked(&mut node);
}
