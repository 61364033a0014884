//! What will happen, in order of time, and of asking where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use watt_primitives::Timestamp;

struct Entry<T> {
    at: Timestamp,
    number: u64,
    what: T,
}

impl<T> Entry<T> {
    const fn key(&self) -> (u64, u64) {
        (self.at.0, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A queue of events keyed by time and number: no two have the same key, so there is one order.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Lets `what` happen at `at`; returns its number.
    pub fn push(&mut self, at: Timestamp, what: T) -> u64 {
        let number = self.next;
        self.next += 1;
        self.heap.push(Reverse(Entry { at, number, what }));
        number
    }

    /// The number that the next event will have.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// When the next one happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<(Timestamp, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing will happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Earlier first; what was asked for first among equals.
    #[test]
    fn order_is_time_then_asking() {
        let mut queue = Queue::default();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(Timestamp(at), what);
        }
        let order: Vec<char> = std::iter::from_fn(|| queue.pop().map(|(_, what)| what)).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }
}
