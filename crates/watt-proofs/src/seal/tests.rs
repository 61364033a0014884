use super::*;
use crate::label::{column_digest, parents};
use alloc::vec;
use watt_primitives::merkle;

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn params(layers: u8) -> ProofParams {
    let mut params = ProofParams::DEVNET;
    params.layers = layers;
    params
}

fn size(units: u32) -> SectorSize {
    SectorSize::new(&ProofParams::DEVNET, units).unwrap()
}

fn payload(size: SectorSize) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size.payload_bytes()).unwrap()];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// All layers by the rule for one node at a time.
fn reference_layers(size: SectorSize, replica_id: &ReplicaId, layers: u8) -> Vec<Vec<Label>> {
    let (graph, mut labeler) = (Graph::new(size), Labeler::new(replica_id));
    let mut all: Vec<Vec<Label>> = Vec::new();
    for layer in 1..=layers {
        all.push(Vec::new());
        for node in 0..size.nodes() {
            for (at, parent) in parents(&graph, layer, node).into_iter().enumerate() {
                let label = parent.map_or(NO_PARENT, |place| {
                    all[usize::from(place.layer - 1)][index(place.node)]
                });
                labeler.set_parent(at, &label);
            }
            let label = labeler.label(layer, node);
            all[usize::from(layer - 1)].push(label);
        }
    }
    all
}

/// The fast sealer computes what the rules say, for two layers (nothing kept) and for more (digests kept), and gives the
/// payload back. Covers: D1.
#[test]
fn sealing_follows_the_rules_and_is_reversible() {
    let replica_id = ReplicaId(Hash([3; 32]));
    for (layers, units) in [(2, 1), (3, 1)] {
        let (params, size) = (params(layers), size(units));
        let payload = payload(size);
        let sealed = seal(&params, size, &replica_id, &payload, &mut go).unwrap();
        let reference = reference_layers(size, &replica_id, layers);
        let columns: Vec<Hash> = (0..index(size.nodes()))
            .map(|node| column_digest(reference.iter().map(|layer| &layer[node])))
            .collect();
        assert_eq!(sealed.comm_c, merkle::root(&columns));
        let key = reference.last().unwrap()[index(size.dropped_nodes())..].as_flattened();
        let expected: Vec<u8> = payload.iter().zip(key).map(|(data, key)| data ^ key).collect();
        assert_eq!(sealed.replica, expected);
        let leaves: Vec<Hash> = expected.chunks(LEAF_BYTES).map(leaf_digest).collect();
        assert_eq!(sealed.comm_r, merkle::root(&leaves));
        assert_eq!(sealed.replica_tree, ReplicaTree::build(&sealed.replica));
        let back = unseal(&params, size, &replica_id, &sealed.replica, &mut go).unwrap();
        assert_eq!(back, payload);
    }
}

/// The owner sees how far it is and may stop it at any report. Covers: B10, D1.
#[test]
fn progress_is_reported_and_may_stop_the_work() {
    let (params, size, id) = (params(2), size(1), ReplicaId(Hash::ZERO));
    let payload = payload(size);
    let mut seen = Vec::new();
    let mut report = |progress: Progress| {
        seen.push(progress.labels_done);
        assert_eq!(progress.labels, 2 * 32768);
        ControlFlow::Continue(())
    };
    seal(&params, size, &id, &payload, &mut report).unwrap();
    assert_eq!(seen, [16384, 32768, 49152, 65536]);
    let mut stop = |_| ControlFlow::Break(());
    assert_eq!(
        seal(&params, size, &id, &payload, &mut stop).unwrap_err(),
        SealError::Stopped
    );
}

/// Bytes that are not a whole payload are refused before any work. Covers: D1.
#[test]
fn wrong_length_is_refused() {
    let (params, size, id) = (params(2), size(1), ReplicaId(Hash::ZERO));
    let error = seal(&params, size, &id, &[0; 10], &mut go).unwrap_err();
    let expected = size.payload_bytes();
    assert_eq!(error, SealError::WrongLength { expected, found: 10 });
    assert!(unseal(&params, size, &id, &[0; 10], &mut go).is_err());
}

/// A leaf is opened from 31 KiB of the replica, for every block, and not from bytes that have changed. Covers: D3.
#[test]
fn leaves_open_from_a_block() {
    let size = size(3);
    let replica = payload(size);
    let tree = ReplicaTree::build(&replica);
    for leaf_index in [0, 127, 128, 5000, size.leaves() - 1] {
        let range = ReplicaTree::block_range(leaf_index);
        let (from, to) = (
            usize::try_from(range.start).unwrap(),
            usize::try_from(range.end).unwrap(),
        );
        let opening = tree.open(leaf_index, &replica[from..to]).unwrap();
        let digest = leaf_digest(&opening.leaf);
        let n = index(size.leaves());
        assert!(merkle::verify(
            &tree.root(),
            n,
            index(leaf_index),
            &digest,
            &opening.path
        ));
        let mut rotten = replica[from..to].to_vec();
        rotten[30_000] ^= 1;
        assert_eq!(tree.open(leaf_index, &rotten), None);
        assert_eq!(tree.open(leaf_index, &replica[from..to - 1]), None);
    }
    assert_eq!(tree.open(size.leaves(), &replica[..31744]), None);
}
