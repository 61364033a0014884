//! The world: real engines over a seeded clock, network and disk.
//!
//! The same loop as `watt-node`'s runtime, with one queue of events in place of threads, sockets and files. Only this module
//! touches engines; everything else says what should happen.

mod life;
mod perform;
mod restart;
mod run;
mod seats;
mod setup;
mod store;
mod succession;

pub use life::Ending;
pub use setup::{COUNCIL, Mutation, START_BALANCE_WATT, Setup, key_of};

use crate::check::{ChainCheck, Observer};
use crate::compute::Compute;
use crate::luck::Luck;
use crate::net::Net;
use crate::node::{Down, Node, Stored};
use crate::queue::Queue;
use crate::trace::Trace;
use crate::violation::Violation;
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_engine::{Deciders, Event, PeerId, Timer};
use watt_ledger::{Genesis, MemoryState, query};
use watt_light::Header;
use watt_primitives::{BlockHeight, NetworkId, NodeId, Term, Timestamp};

/// Something that will happen.
pub enum Due {
    /// A message arrives over a link, if the link still stands.
    Deliver {
        /// The link.
        link: PeerId,
        /// At which end.
        to: usize,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Work that an engine asked for is done.
    Event {
        /// Whose.
        node: usize,
        /// In which life.
        life: u64,
        /// What.
        event: Box<Event>,
    },
    /// A timer runs out, if it was not set anew.
    Timer {
        /// Whose.
        node: usize,
        /// In which life.
        life: u64,
        /// Which.
        timer: Timer,
    },
    /// Blocks are on the disk.
    Stored {
        /// Whose.
        node: usize,
        /// In which life.
        life: u64,
    },
    /// A state that came in from peers is in its place.
    Adopted {
        /// Whose.
        node: usize,
        /// In which life.
        life: u64,
    },
    /// Two nodes try to connect.
    Dial {
        /// One.
        a: usize,
        /// The other.
        b: usize,
    },
    /// An end of a broken link notices.
    Lost {
        /// Whose end.
        node: usize,
        /// Which link.
        link: PeerId,
    },
    /// A link that a wall has cut for long is given up by both ends.
    GiveUp {
        /// Which.
        link: PeerId,
    },
    /// A node starts, if it may.
    Start {
        /// Which.
        node: usize,
    },
    /// A node is stopped.
    End {
        /// Which.
        node: usize,
    },
    /// Whoever directs the run gets the word.
    Cue(u64),
}

/// Everything.
pub struct World {
    /// What the network began with.
    pub genesis: Genesis,
    /// Its name, as it was restarted last.
    pub network: NetworkId,
    /// Who decides in which term, as far as anybody's state has said it for good.
    pub deciders: BTreeMap<(NetworkId, Term), Arc<Deciders>>,
    /// The time.
    pub now: Timestamp,
    /// When the newest block was stored first.
    pub newest_at: Timestamp,
    /// All nodes: validators first.
    pub nodes: Vec<Node>,
    /// All links.
    pub net: Net,
    /// All arithmetic.
    pub compute: Compute,
    /// Books beside the ledger.
    pub chain: ChainCheck,
    /// What happened.
    pub trace: Trace,
    /// The promise that did not hold: the run is over.
    pub violation: Option<Violation>,
    /// Cues that have come and were not taken yet.
    pub cues: Vec<u64>,
    /// Events handled by engines.
    pub n_events: u64,
    /// Blocks stored by nodes, every node's counted.
    pub n_commits: u64,
    /// Blocks stored, beginnings and ends of lives: between two of them nobody's height changes.
    pub n_changes: u64,
    /// Answers to transactions that were handed in.
    pub replies: Vec<(usize, Result<watt_primitives::TransactionId, String>)>,
    queue: Queue<Due>,
    /// One per term, and one per successor in it: evidence needs one key for both words.
    observers: BTreeMap<(Term, NetworkId, Option<NodeId>), Observer>,
    by_key: BTreeMap<NodeId, usize>,
    disk_luck: Luck,
    mutation: Option<Mutation>,
    /// Blocks between two states that nodes serve, and how far ahead peers must be for a fresh node to start from one.
    checkpoint_blocks: u64,
    genesis_header: Header,
    genesis_state: Arc<MemoryState>,
    /// Blocks as stored, by height: one copy for all nodes that have the same.
    stored: BTreeMap<BlockHeight, Vec<Arc<Stored>>>,
    /// The newest statement that was looked at, and whose: what is flooded is looked at once.
    last_said: (usize, Vec<u8>),
    /// Statements that were looked at, by hash of the message.
    looked_at: BTreeMap<[u8; 32], Option<usize>>,
    n_validators: usize,
    /// Nodes of providers.
    pub(crate) providers: BTreeMap<watt_primitives::AccountId, usize>,
    /// The last plan to restart the network.
    plan: Option<watt_primitives::Hash>,
    /// Followers whose links all lead to attackers.
    surrounded: Vec<usize>,
    /// Where memory may be given back up to.
    forgotten: BlockHeight,
    /// The most events that ever waited.
    pub queue_max: usize,
}

impl World {
    /// What is broken on purpose.
    #[must_use]
    pub const fn mutation(&self) -> Option<Mutation> {
        self.mutation
    }

    /// Number of validators: nodes `0..n`.
    #[must_use]
    pub const fn n_validators(&self) -> usize {
        self.n_validators
    }

    /// Lets a cue come at `at`.
    pub fn cue(&mut self, at: Timestamp, number: u64) {
        self.queue.push(at, Due::Cue(number));
    }

    /// Lets `node` start at `at`, if it may then.
    pub fn start_at(&mut self, at: Timestamp, node: usize) {
        self.queue.push(at, Due::Start { node });
    }

    /// Height of the highest block that any node has stored.
    #[must_use]
    pub fn height(&self) -> BlockHeight {
        self.chain.height()
    }

    /// The version of the rules that the next block follows.
    #[must_use]
    pub fn version(&self) -> u32 {
        query::next_version(&*self.state()).unwrap_or(0)
    }

    /// The lowest height among honest nodes that run.
    #[must_use]
    pub fn height_of_all(&self) -> BlockHeight {
        let running = self.nodes.iter().filter(|node| node.is_up() && node.is_honest());
        running.map(Node::height).min().unwrap_or_default()
    }

    /// The newest state of the network: that of the first honest node that is highest.
    #[must_use]
    pub fn state(&self) -> Arc<MemoryState> {
        let honest = self.nodes.iter().filter(|node| node.is_honest());
        let highest = honest.max_by_key(|node| node.height());
        highest.map_or_else(
            || Arc::clone(&self.genesis_state),
            |node| Arc::clone(&node.disk.state),
        )
    }

    /// Events that wait.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Ends the run: a promise did not hold.
    pub fn fail(&mut self, violation: Violation) {
        self.break_promise(violation);
    }

    fn break_promise(&mut self, violation: Violation) {
        if self.violation.is_none() {
            self.trace.note(self.now, format_args!("VIOLATION {violation}"));
            self.violation = Some(violation);
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, what);
    }

    /// Whether this node may be started by itself.
    fn may_start(&self, node: usize) -> bool {
        !self.nodes[node].is_up() && self.nodes[node].down == Down::Stopped
    }
}
