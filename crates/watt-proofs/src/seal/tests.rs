use super::*;
use crate::graph::Graph;
use crate::label::{Labeler, NO_PARENT, column_digest, parents};
use crate::octal::{REPLICA_LEVELS, Tree};
use crate::params::index;
use crate::poseidon::Tag;
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
        let leaves = crate::octal::leaf_digests(&expected);
        let tree = Tree::build(Tag::Node, REPLICA_LEVELS, leaves);
        assert_eq!(sealed.comm_r, tree.root());
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

/// A payload is read once, in parts and in order, and gives the same replica; a part that can't be read ends the work.
/// Covers: D1.
#[test]
fn a_payload_is_read_in_parts() {
    struct Parts<'a> {
        payload: &'a [u8],
        next: u64,
        fails_at: u64,
    }
    impl PayloadRead for Parts<'_> {
        fn read(&mut self, offset: u64, into: &mut [u8]) -> ControlFlow<()> {
            assert_eq!(offset, self.next);
            self.next += number(into.len());
            if self.next > self.fails_at {
                return ControlFlow::Break(());
            }
            self.payload.read(offset, into)
        }
    }
    let (params, size, id) = (params(2), size(2), ReplicaId(Hash::ZERO));
    let payload = payload(size);
    let mut parts = Parts {
        payload: &payload,
        next: 0,
        fails_at: u64::MAX,
    };
    let sealed = seal_from(&params, size, &id, &mut parts, &mut go).unwrap();
    assert_eq!(parts.next, size.payload_bytes());
    assert_eq!(
        sealed.replica,
        seal(&params, size, &id, &payload, &mut go).unwrap().replica
    );
    let offset = number(READ_BYTES);
    (parts.next, parts.fails_at) = (0, offset);
    let error = seal_from(&params, size, &id, &mut parts, &mut go).unwrap_err();
    assert_eq!(error, SealError::Unreadable { offset });
    let mut short = &payload[1..];
    let error = seal_from(&params, size, &id, &mut short, &mut go).unwrap_err();
    assert!(matches!(error, SealError::Unreadable { .. }));
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
