//! What a slot costs one node in memory: bytes asked of the allocator and not given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use watt_primitives::{BoundedVec, Hash, SlotIndex};
use watt_scp::testing::{MapOracle, NETWORK, Protocol, flat_sets, node_id, throughput};
use watt_scp::{Ballot, Config, Input, Output, Pledges, Scp, Statement, Value};

/// Nodes of the network.
const N: usize = 61;

thread_local! {
    /// Bytes that this thread holds.
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// What the first node held when each slot began.
    static AT_BEGINNING: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// The system's allocator, counting.
struct Counting;

fn count(more: usize, less: usize) {
    let change = i64::try_from(more).unwrap_or(0) - i64::try_from(less).unwrap_or(0);
    HELD.set(HELD.get() + change);
}

#[expect(
    unsafe_code,
    reason = "counting what is allocated needs an allocator, which is an unsafe trait"
)]
// SAFETY: every call is handed on to the system's allocator as it came; counting touches nothing but a thread's own number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise, handed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A node and the bytes it holds.
struct Weighed {
    scp: Scp,
    is_first: bool,
    held: i64,
}

impl Protocol for Weighed {
    fn begin(config: Config) -> Self {
        let is_first = config.node == node_id(0);
        let before = HELD.get();
        let scp = Scp::new(config);
        let held = HELD.get() - before;
        Self { scp, is_first, held }
    }

    fn take(&mut self, input: Input<'_>, oracle: &MapOracle, out: &mut Vec<Output>) {
        if self.is_first && matches!(input, Input::Purge { .. }) {
            AT_BEGINNING.with_borrow_mut(|all| all.push(self.held));
        }
        let before = HELD.get();
        let mut own = Vec::new();
        self.scp.step(input, oracle, &mut own);
        let kept = HELD.get() - before;
        out.extend(own.iter().cloned());
        // What was said is the caller's: only what is left without it is held.
        let before = HELD.get();
        drop(own);
        self.held += kept + HELD.get() - before;
    }

    fn decided(&self, slot: SlotIndex) -> Option<Value> {
        self.scp.externalized(slot)
    }
}

pub(crate) fn run() {
    // The first slot also pays for what all later ones share; the second for itself alone.
    if throughput::<Weighed>(N, 3).n_slots == 3 {
        let held = AT_BEGINNING.take();
        if let [_, one, two] = held[..] {
            show(&format!("n={N}"), two - one);
        }
    }
    show(
        &format!("n={N}, four leaders and no agreement"),
        unfinished(&BUSY),
    );
    show(&format!("n={N}, liars at every bound"), unfinished(&FULLEST));
}

/// A slot in which every node says something and nothing is agreed on.
struct Unfinished {
    /// Values that each node accepts as nominated; it votes for as many, the same or others.
    n_accepted: usize,
    /// Whether each node names values of its own.
    is_diverse: bool,
    /// Different ballots that nodes are at, each with two more prepared.
    n_ballots: usize,
}

/// Four leaders, one after the other, and no agreement yet.
const BUSY: Unfinished = Unfinished {
    n_accepted: 4,
    is_diverse: false,
    n_ballots: 4,
};

/// Everybody says as much as the bounds allow, each something else.
const FULLEST: Unfinished = Unfinished {
    n_accepted: 32,
    is_diverse: true,
    n_ballots: N,
};

fn show(case: &str, bytes: i64) {
    let bytes = i32::try_from(bytes).map(f64::from).unwrap_or(f64::NAN);
    let kib = bytes / 1024.0;
    println!(r#"{{"bench":"scp","case":"{case}","metric":"slot_kib","value":{kib:.1},"unit":"KiB"}}"#);
}

/// What one node holds of a slot that the others made so.
fn unfinished(kind: &Unfinished) -> i64 {
    let Some(set) = flat_sets(N).pop() else { return 0 };
    let hash = set.hash(&NETWORK);
    let mut oracle = MapOracle::default();
    oracle.quorum_sets.insert(hash, set.clone());
    let mut node = Weighed::begin(Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: set,
        votes: true,
    });
    let idle = node.held;
    let slot = SlotIndex(1);
    let value = |n: usize| Value(Hash(node_id(n % 256).0));
    let mut out = Vec::new();
    let begin = Input::Nominate {
        slot,
        value: value(0),
        previous: Value(Hash::ZERO),
    };
    node.take(begin, &oracle, &mut out);
    for n in 1..N {
        let named = |from: usize| {
            let mut list: Vec<Value> = (from..from + kind.n_accepted).map(value).collect();
            list.sort_unstable();
            BoundedVec::new(list).unwrap_or_default()
        };
        let (votes, accepted) = if kind.is_diverse {
            (n * 4, n * 4 + kind.n_accepted)
        } else {
            (0, 0)
        };
        let ballot = |counter: u32, n: usize| Ballot {
            counter,
            value: value(n % kind.n_ballots),
        };
        let pledges = [
            Pledges::Nominate {
                votes: named(votes),
                accepted: named(accepted),
            },
            Pledges::Prepare {
                ballot: ballot(4, n),
                prepared: Some(ballot(3, n + 1)),
                prepared_prime: Some(ballot(2, n + 2)),
                c_counter: 0,
                h_counter: 0,
            },
        ];
        for pledges in pledges {
            let statement = Statement {
                node: node_id(n),
                slot,
                quorum_set: hash,
                pledges,
            };
            let statements = core::slice::from_ref(&statement);
            node.take(Input::Receive { slot, statements }, &oracle, &mut out);
            out.clear();
        }
    }
    node.held - idle
}
