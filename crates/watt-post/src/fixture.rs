//! A small provider for tests: replicas of chosen numbers of leaves, kept in memory.

use watt_primitives::{AccountId, Hash, NetworkId};
use watt_proofs::element::{Element, F, LEAF_BYTES};
use watt_proofs::octal::{Tree, leaf_digests};
use watt_proofs::poseidon::Tag;
use watt_proofs::post::Answers;
use watt_proofs::window::{Step, beacon_element, initial_state};
use watt_proofs::{PlacedLeaf, SetTree, Shape};

pub(crate) const NETWORK: NetworkId = NetworkId::new([7; 32]);
pub(crate) const PROVIDER: AccountId = AccountId([9; 20]);

/// Bytes that look random, the same for the same name.
pub(crate) fn bytes(name: &str, len: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|part| Hash::of_content(format!("{name} {part}").as_bytes()).0)
        .take(len)
        .collect()
}

/// An element that looks random.
pub(crate) fn element(name: &str) -> F {
    Element::of_hash(&Hash::of_content(name.as_bytes())).0
}

/// The beacon of a window.
pub(crate) fn beacon(window: u32) -> Element {
    beacon_element(&NETWORK, &Hash::of_content(format!("beacon {window}").as_bytes()))
}

pub(crate) struct Provider {
    pub(crate) shape: Shape,
    pub(crate) state: Element,
    pub(crate) replicas: Vec<Vec<u8>>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) set: SetTree,
}

impl Provider {
    /// A provider with one sector for each number of leaves.
    pub(crate) fn new(shape: Shape, leaves: &[usize]) -> Self {
        let replica = |(at, leaves): (usize, &usize)| bytes(&format!("replica {at}"), leaves * LEAF_BYTES);
        let replicas: Vec<_> = leaves.iter().enumerate().map(replica).collect();
        let trees: Vec<_> = replicas
            .iter()
            .map(|bytes| Tree::build(Tag::Node, shape.leaf_levels(), leaf_digests(bytes)))
            .collect();
        let roots = trees.iter().map(Tree::root).collect();
        Self {
            shape,
            state: initial_state(&NETWORK, &PROVIDER),
            replicas,
            trees,
            set: SetTree::build(shape, roots).unwrap(),
        }
    }

    pub(crate) fn answers(&self, window: u32) -> Answers {
        let leaf = |sector, place| self.leaf(sector, place);
        Answers::compute(self.shape, self.state, &self.set, beacon(window), leaf)
    }

    /// The record of a window, and the state after it.
    pub(crate) fn step(&mut self, window: u32) -> Step {
        let step = self
            .answers(window)
            .step(beacon(window + 1), &self.set, |sector, place| {
                let tree = self.trees.get(usize::try_from(sector).unwrap())?;
                Some(PlacedLeaf {
                    leaf: self.leaf(sector, place)?,
                    path: tree.path(place),
                })
            });
        self.state = step.window.next_state(self.state);
        step
    }

    fn leaf(&self, sector: u32, place: u32) -> Option<[u8; LEAF_BYTES]> {
        let leaves = self.replicas.get(usize::try_from(sector).ok()?)?.as_chunks().0;
        let leaf = usize::try_from(place).ok()?.checked_rem(leaves.len())?;
        leaves.get(leaf).copied()
    }
}
