#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::*;
use crate::state::MemoryState;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use watt_primitives::hash::DomainHasher;
use watt_primitives::{Domain, codec};

/// The tree as its definition reads: no rows, no history, everything hashed anew.
mod naive {
    use super::*;

    fn hash(domain: Domain, parts: &[&[u8]]) -> Hash {
        let mut hasher = DomainHasher::without_network(domain);
        for part in parts {
            hasher.part(part);
        }
        hasher.finish()
    }

    pub(super) fn root(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Hash {
        let mut leaves: Vec<(Hash, Hash)> = entries
            .iter()
            .map(|(key, value)| (hash(Domain::StateKey, &[key]), hash(Domain::StateValue, &[value])))
            .collect();
        leaves.sort_unstable();
        let count = (leaves.len() as u64).to_be_bytes();
        hash(Domain::StateRoot, &[&count, node(&leaves, 0).as_ref()])
    }

    fn node(leaves: &[(Hash, Hash)], depth: usize) -> Hash {
        if leaves.len() <= 64 {
            return hash(
                Domain::StateBucket,
                &[&[leaves.len() as u8], list(leaves).as_ref()],
            );
        }
        let side = |one: bool| {
            let of_side = |(key, _): &&(Hash, Hash)| (key.0[depth / 8] >> (7 - depth % 8) & 1 == 1) == one;
            let leaves: Vec<_> = leaves.iter().filter(of_side).copied().collect();
            node(&leaves, depth + 1)
        };
        hash(Domain::StateNode, &[side(false).as_ref(), side(true).as_ref()])
    }

    /// The list's Merkle tree, from the top: the left side is the largest power of two that leaves something to the right.
    fn list(leaves: &[(Hash, Hash)]) -> Hash {
        match leaves {
            [] => Hash::ZERO,
            [(key, value)] => hash(Domain::StateLeaf, &[key.as_ref(), value.as_ref()]),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                merkle::node(&list(left), &list(right))
            }
        }
    }
}

/// A state, the tree in its rows and the same entries in a plain map.
#[derive(Default)]
struct World {
    state: MemoryState,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl World {
    fn of(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut world = Self::default();
        world.block(
            keys.into_iter()
                .map(|key| (key, Some(b"value".to_vec())))
                .collect(),
        );
        world
    }

    fn block(&mut self, writes: Writes) -> Hash {
        let update = update(&self.state, &writes).unwrap();
        self.state.write(&writes);
        self.state.write(&update.rows);
        for (key, value) in writes {
            match value {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
        assert_eq!(update.root, root(&self.state).unwrap());
        update.root
    }

    fn root(&self) -> Hash {
        root(&self.state).unwrap()
    }

    /// The state that one block with all entries gives.
    fn at_once(&self) -> MemoryState {
        let writes: Writes = self
            .entries
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect();
        let mut state = MemoryState::default();
        let update = update(&state, &writes).unwrap();
        state.write(&writes);
        state.write(&update.rows);
        state
    }
}

fn key(n: u32) -> Vec<u8> {
    [&[ENTRY_ROW], n.to_be_bytes().as_slice()].concat()
}

/// Keys that an attacker ground so that their tree keys share the first 12 bits.
fn ground_keys(count: usize) -> Vec<Vec<u8>> {
    (0..)
        .map(key)
        .filter(|key| matches!(tree_key(key).0, [0xab, second, ..] if second >> 4 == 0xc))
        .take(count)
        .collect()
}

fn writes() -> impl Strategy<Value = Writes> {
    // 400 keys in play, so that blocks overwrite and remove what others wrote.
    let value = prop_oneof![
        3 => any::<u8>().prop_map(|byte| Some(vec![byte])),
        2 => Just(None),
    ];
    btree_map((0..400u32).prop_map(key), value, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever blocks led to some entries, root and rows are those of the entries alone. Covers: A6.
    #[test]
    fn root_and_rows_depend_on_content_only(blocks in vec(writes(), 1..8)) {
        let mut world = World::default();
        for writes in blocks {
            let root = world.block(writes);
            prop_assert_eq!(root, naive::root(&world.entries));
            prop_assert_eq!(&world.state, &world.at_once());
        }
    }

    /// Every present entry proves its value and every absent one its absence, and nothing else. Covers: B7.
    #[test]
    fn proofs_say_what_is_so(blocks in vec(writes(), 1..4), asked in 0..500u32) {
        let mut world = World::default();
        for writes in blocks {
            world.block(writes);
        }
        let (key, root) = (key(asked), world.root());
        let proof = prove(&world.state, &key).unwrap();
        let value = world.entries.get(&key).map(Vec::as_slice);
        prop_assert_eq!(proof.verify(&root, &key, value), Ok(()));
        prop_assert!(proof.verify(&root, &key, Some(b"another value")).is_err());
        if value.is_some() {
            prop_assert!(proof.verify(&root, &key, None).is_err());
        }
        prop_assert!(proof.verify(&Hash::ZERO, &key, value).is_err());
    }

    /// A proof with any byte changed proves nothing: neither the truth nor its opposite. Covers: B7.
    #[test]
    fn changed_proof_is_refused(asked in 0..260u32, at in any::<proptest::sample::Index>(), flip in 1..=255u8) {
        let world = World::of((0..200).map(key));
        let (key, root) = (key(asked), world.root());
        let mut bytes = codec::encode(&prove(&world.state, &key).unwrap());
        *at.get_mut(&mut bytes) ^= flip;
        if let Ok(proof) = codec::decode::<StateProof>(&bytes, 1 << 20) {
            prop_assert!(proof.verify(&root, &key, Some(b"value")).is_err());
            prop_assert!(proof.verify(&root, &key, None).is_err());
        }
    }
}

#[test]
fn empty_state_has_a_root_and_proves_absence() {
    let world = World::default();
    assert_eq!(world.root(), naive::root(&BTreeMap::new()));
    let proof = prove(&world.state, b"E1").unwrap();
    assert_eq!(proof.verify(&world.root(), b"E1", None), Ok(()));
    assert!(proof.verify(&world.root(), b"E1", Some(b"")).is_err());
}

/// A bucket holds 64 leaves; the 65th splits it and its removal merges the halves again, leaving no row behind.
#[test]
fn bucket_splits_at_65_and_merges_below() {
    let mut world = World::of((0..64).map(key));
    let (root_of_64, rows_of_64) = (world.root(), world.state.clone());
    assert_eq!(world.state.scan(&[TREE_ROW], None, 100).len(), 1);
    world.block([(key(64), Some(vec![1]))].into());
    assert_eq!(world.state.scan(&[TREE_ROW], None, 100).len(), 3);
    assert_eq!(world.block([(key(64), None)].into()), root_of_64);
    assert_eq!(world.state, rows_of_64);
}

/// Ground keys make a deep path, not a fat bucket (TC21): rows stay small and a block touches one path.
#[test]
fn ground_keys_split_until_buckets_are_small() {
    let keys = ground_keys(100);
    let mut world = World::of(keys.iter().cloned());
    assert_eq!(world.root(), naive::root(&world.entries));
    for (_, row) in world.state.scan(&[TREE_ROW], None, 1_000) {
        assert!(row.len() <= 4096);
    }
    let proof = prove(&world.state, &keys[99]).unwrap();
    assert!(proof.siblings.len() > 12);
    assert_eq!(proof.verify(&world.root(), &keys[99], Some(b"value")), Ok(()));
    // An absent neighbour in the other half of the whole key space: an empty bucket at depth 1.
    let far = (0..)
        .map(|n| [b"E?", n.to_string().as_bytes()].concat())
        .find(|key| !bit(&tree_key(key), 0))
        .unwrap();
    let proof = prove(&world.state, &far).unwrap();
    assert_eq!(
        (proof.siblings.len(), proof.verify(&world.root(), &far, None)),
        (1, Ok(()))
    );
    // All gone again: the path collapses and no row of the tree is left.
    world.block(keys.into_iter().map(|key| (key, None)).collect());
    assert_eq!(world.state, MemoryState::default());
}

/// A block rewrites only the rows between its entries and the root, and none at all if it changes nothing.
#[test]
fn update_touches_changed_paths_only() {
    let mut world = World::of((0..5_000).map(key));
    let rows = world.state.scan(&[TREE_ROW], None, usize::MAX).len();
    let one = update(&world.state, &[(key(7), Some(vec![9]))].into()).unwrap();
    assert!(
        rows > 200 && one.rows.len() < 12,
        "{} of {rows} rows",
        one.rows.len()
    );
    let same = update(
        &world.state,
        &[(key(7), Some(b"value".to_vec())), (key(9_999), None)].into(),
    )
    .unwrap();
    assert_eq!((same.root, same.rows.len()), (world.root(), 0));
    let before = world.root();
    assert_ne!(world.block([(key(7), Some(vec![9]))].into()), before);
    assert_eq!(world.block([(key(7), Some(b"value".to_vec()))].into()), before);
}

/// The halves of a bucket can't pose as two buckets below an inner node, which would hide the leaves of one half; nor can a
/// leaf be shown twice, left out, or stand as a bucket (second preimage, duplicate leaf).
#[test]
fn parts_of_a_bucket_are_no_buckets() {
    let keys: Vec<_> = (0..64).map(key).collect();
    let world = World::of(keys.iter().cloned());
    let root = world.root();
    let mut leaves: Vec<Leaf> = keys
        .iter()
        .map(|key| Leaf {
            key: tree_key(key),
            value: value_hash(b"value"),
        })
        .collect();
    leaves.sort_unstable();
    let digests: Vec<Hash> = leaves.iter().map(Leaf::hash).collect();
    let absent = |siblings: Vec<Hash>, leaves: Vec<Leaf>| StateProof {
        leaf_count: 64,
        siblings: BoundedVec::new(siblings).unwrap(),
        bucket: BucketProof::Absent {
            leaves: BoundedVec::new(leaves).unwrap(),
        },
    };
    for hidden in &keys {
        let place = leaves
            .iter()
            .position(|leaf| leaf.key == tree_key(hidden))
            .unwrap();
        let without: Vec<Leaf> = leaves
            .iter()
            .copied()
            .filter(|leaf| leaf.key != tree_key(hidden))
            .collect();
        let mut twice = without.clone();
        twice.insert(place.min(62), without[place.min(62)]);
        let (left, right) = digests.split_at(32);
        let side = if place < 32 { right } else { left };
        let half = if place < 32 { &leaves[32..] } else { &leaves[..32] };
        for forged in [
            absent(vec![], without.clone()),
            absent(vec![], twice),
            absent(vec![], leaves.clone()),
            absent(vec![merkle::root(side)], half.to_vec()),
            absent(vec![merkle::root(left)], vec![]),
            absent(vec![merkle::root(right)], vec![]),
            absent(digests.clone(), vec![]),
        ] {
            assert!(forged.verify(&root, hidden, None).is_err());
        }
    }
}

/// A missing, cut or swapped row is an error, never a wrong root.
#[test]
fn damaged_rows_are_noticed() {
    let world = World::of((0..200).map(key));
    let writes: Writes = (0..200).map(|n| (key(n), Some(vec![1]))).collect();
    for (row_key, row) in world.state.scan(&[TREE_ROW], None, 100) {
        if row_key == [TREE_ROW, 0, 0] {
            continue;
        }
        for damage in [
            None,
            Some(row[1..].to_vec()),
            Some(Vec::new()),
            Some(row.repeat(70)),
        ] {
            let mut state = world.state.clone();
            state.write(&[(row_key.clone(), damage)].into());
            assert!(update(&state, &writes).is_err());
        }
    }
}
