//! A promise that did not hold.

use std::fmt;

/// The promises that are checked after every block, and the one that is checked at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// No two nodes commit different blocks at one height.
    Agreement,
    /// Every statement about a slot declares one quorum set, that of the backbone of the slot's term, and its speaker has a seat in it.
    OneBackbone,
    /// Nobody comes into a seat or votes with a key but by the rules.
    Seats,
    /// Whoever buys all keys that are left of terms long over makes no other past with them.
    NoForgedPast,
    /// The state below a header is the one that it commits to, and applying a block again gives the same.
    StateRoot,
    /// No transaction counts twice.
    NoDoubleSpend,
    /// Every unit of money is somewhere, once.
    Supply,
    /// No bid stays beside offers that would serve it.
    NoCrossedBook,
    /// A slot is paid exactly for the windows that were proven in time, each once.
    ExactPay,
    /// Who keeps no replica is paid for no window that it could answer only when it was over, and who shares one or forges for none.
    NoFreeRide,
    /// What was acknowledged can be read again.
    Recoverable,
    /// Nobody honest is disconnected, convicted or fined.
    HonestUnpunished,
    /// A node contradicts nothing that it said, in this life or an earlier one.
    NoContradiction,
    /// What is said was durable before.
    PersistedBeforeSent,
    /// Queues and memories stay within their bounds.
    Bounds,
    /// Nobody takes a block of rules that their program does not know.
    KnownRules,
    /// A node that honest rules run never stops by itself.
    NoHalt,
    /// When faults have stopped, the network goes on within the stated time.
    Liveness,
}

impl Promise {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::OneBackbone => "one backbone per slot",
            Self::Seats => "seats by the rules",
            Self::NoForgedPast => "no forged past",
            Self::StateRoot => "state root",
            Self::NoDoubleSpend => "no double spend",
            Self::Supply => "supply conserved",
            Self::NoCrossedBook => "no crossed book",
            Self::ExactPay => "exact pay",
            Self::NoFreeRide => "no free ride",
            Self::Recoverable => "acknowledged data recoverable",
            Self::HonestUnpunished => "honest nodes unpunished",
            Self::NoContradiction => "no contradiction",
            Self::PersistedBeforeSent => "persisted before sent",
            Self::Bounds => "bounds",
            Self::KnownRules => "known rules",
            Self::NoHalt => "no halt",
            Self::Liveness => "liveness",
        }
    }
}

/// Which promise did not hold, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// The facts, in one sentence.
    pub facts: String,
}

impl Violation {
    /// A violation of `promise`.
    #[must_use]
    pub fn of(promise: Promise, facts: impl fmt::Display) -> Self {
        Self {
            promise,
            facts: facts.to_string(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.name(), self.facts)
    }
}

/// A check's outcome.
pub type Checked = Result<(), Violation>;
