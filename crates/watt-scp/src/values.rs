//! The values of one slot by number, with what the oracle last said of them.

use crate::node_set::NodeIndex;
use crate::protocol::{Oracle, Validity};
use crate::statement::{Ballot, Value};
use alloc::vec::Vec;
use core::cmp::Ordering;
use watt_primitives::{Hash, SlotIndex};

/// The most distinct values that peers can bring into one slot (`docs/spec/scp.md` §8).
pub const VALUES_PER_SLOT_MAX: usize = 256;

/// Room beyond [`VALUES_PER_SLOT_MAX`] that only this node's own values, composites and fallbacks use: one composite and one
/// fallback for each of the 32 values that can become candidates, one proposal, and as much again.
const OWN_VALUES_MAX: usize = 128;

/// Every node may bring this many values, however large the network.
const INTRODUCED_MIN: usize = 4;

/// A value's number within its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueIndex(u16);

impl ValueIndex {
    pub(crate) fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// A ballot whose value is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexedBallot {
    pub(crate) counter: u32,
    pub(crate) value: ValueIndex,
}

impl IndexedBallot {
    /// `self ≲ other`: less than or equal, and compatible.
    pub(crate) fn is_within(self, other: Self) -> bool {
        self.value == other.value && self.counter <= other.counter
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    validity: Validity,
    is_body_overdue: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Values {
    slot: SlotIndex,
    entries: Vec<Entry>,
    /// How many values each node brought in, by node position.
    introduced: Vec<u16>,
}

impl Values {
    pub(crate) const fn new(slot: SlotIndex) -> Self {
        Self {
            slot,
            entries: Vec::new(),
            introduced: Vec::new(),
        }
    }

    pub(crate) fn slot(&self) -> SlotIndex {
        self.slot
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn find(&self, value: &Value) -> Option<ValueIndex> {
        let position = self.entries.iter().position(|entry| entry.value == *value)?;
        u16::try_from(position).ok().map(ValueIndex)
    }

    pub(crate) fn indexes(&self) -> impl Iterator<Item = ValueIndex> + use<> {
        self.indexes_from(0)
    }

    /// Values that got their numbers when there were already `len` values.
    pub(crate) fn indexes_from(&self, len: usize) -> impl Iterator<Item = ValueIndex> + use<> {
        (len..self.entries.len()).filter_map(|position| u16::try_from(position).ok().map(ValueIndex))
    }

    pub(crate) fn get(&self, index: ValueIndex) -> Value {
        let entry = self.entries.get(index.position());
        entry.map_or(Value(Hash::ZERO), |entry| entry.value)
    }

    pub(crate) fn ballot(&self, ballot: IndexedBallot) -> Ballot {
        Ballot {
            counter: ballot.counter,
            value: self.get(ballot.value),
        }
    }

    pub(crate) fn validity(&self, index: ValueIndex) -> Validity {
        let entry = self.entries.get(index.position());
        entry.map_or(Validity::Invalid, |entry| entry.validity)
    }

    /// Whether ballots on the value are not worth going on with: it is invalid, or its body is overdue.
    pub(crate) fn is_given_up(&self, index: ValueIndex) -> bool {
        self.entries
            .get(index.position())
            .is_some_and(|entry| match entry.validity {
                Validity::Invalid => true,
                Validity::Structural => entry.is_body_overdue,
                Validity::Full => false,
            })
    }

    pub(crate) fn set_body_overdue(&mut self, index: ValueIndex) {
        if let Some(entry) = self.entries.get_mut(index.position()) {
            entry.is_body_overdue = true;
        }
    }

    /// Asks the oracle again; values it has judged for good keep that judgement.
    pub(crate) fn refresh(&mut self, index: ValueIndex, oracle: &dyn Oracle) {
        let slot = self.slot;
        if let Some(entry) = self.entries.get_mut(index.position())
            && entry.validity != Validity::Full
        {
            entry.validity = oracle.validity(slot, &entry.value);
        }
    }

    /// The number of a value this node itself brings in.
    pub(crate) fn intern_own(&mut self, value: &Value, oracle: &dyn Oracle) -> Option<ValueIndex> {
        if let Some(index) = self.find(value) {
            return Some(index);
        }
        let validity = oracle.validity(self.slot, value);
        self.push(
            *value,
            validity,
            VALUES_PER_SLOT_MAX.saturating_add(OWN_VALUES_MAX),
        )
    }

    /// The number of a value that `node` names in a ballot; `None` if there is no room for it.
    pub(crate) fn intern_from(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
        value: &Value,
        oracle: &dyn Oracle,
    ) -> Option<ValueIndex> {
        if let Some(index) = self.find(value) {
            return Some(index);
        }
        let validity = oracle.validity(self.slot, value);
        self.introduce(node, n_nodes, *value, validity)
    }

    /// As [`Self::intern_from`] for a nomination: values that are invalid, now at least, take no room.
    pub(crate) fn intern_nominated(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
        value: &Value,
        oracle: &dyn Oracle,
    ) -> Option<ValueIndex> {
        if let Some(index) = self.find(value) {
            return Some(index);
        }
        match oracle.validity(self.slot, value) {
            Validity::Invalid => None,
            validity @ (Validity::Structural | Validity::Full) => {
                self.introduce(node, n_nodes, *value, validity)
            }
        }
    }

    /// Order of ballots: counter, then value.
    pub(crate) fn compare(&self, a: IndexedBallot, b: IndexedBallot) -> Ordering {
        let by_value = || {
            if a.value == b.value {
                Ordering::Equal
            } else {
                self.get(a.value).cmp(&self.get(b.value))
            }
        };
        a.counter.cmp(&b.counter).then_with(by_value)
    }

    /// `a ⋦ b`: less, and incompatible.
    pub(crate) fn is_below_incompatible(&self, a: IndexedBallot, b: IndexedBallot) -> bool {
        a.value != b.value && self.compare(a, b) == Ordering::Less
    }

    fn introduce(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
        value: Value,
        validity: Validity,
    ) -> Option<ValueIndex> {
        if self.introduced.len() <= node.position() {
            self.introduced.resize(node.position().saturating_add(1), 0);
        }
        // A third of the nodes, lying together, must not fill the slot before the others have spoken.
        let half_the_nodes = n_nodes.div_ceil(2).max(1);
        let share = VALUES_PER_SLOT_MAX.checked_div(half_the_nodes).unwrap_or(0);
        let share = share.max(INTRODUCED_MIN);
        let n_introduced = self.introduced.get(node.position()).copied().unwrap_or(u16::MAX);
        if usize::from(n_introduced) >= share {
            return None;
        }
        let index = self.push(value, validity, VALUES_PER_SLOT_MAX)?;
        if let Some(count) = self.introduced.get_mut(node.position()) {
            *count = count.saturating_add(1);
        }
        Some(index)
    }

    fn push(&mut self, value: Value, validity: Validity, len_max: usize) -> Option<ValueIndex> {
        if self.entries.len() >= len_max {
            return None;
        }
        let index = u16::try_from(self.entries.len()).ok().map(ValueIndex)?;
        self.entries.push(Entry {
            value,
            validity,
            is_body_overdue: false,
        });
        Some(index)
    }
}
