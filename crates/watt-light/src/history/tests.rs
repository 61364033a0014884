#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use alloc::collections::BTreeMap;
use watt_primitives::{NetworkId, Timestamp};

fn header(height: u64, history_root: Hash) -> Header {
    Header {
        version: 1,
        network: NetworkId::new([7; 32]),
        parent: Hash::ZERO,
        value: Hash::ZERO,
        height: BlockHeight(height),
        is_empty: false,
        close_time: Timestamp(height),
        state_root: Hash::ZERO,
        receipts_root: Hash::ZERO,
        rank_root: Hash::ZERO,
        next_backbone: Hash::ZERO,
        history_root,
    }
}

/// A chain of headers and every node that appending them completed.
struct Chain {
    headers: Vec<Header>,
    nodes: BTreeMap<(u32, u64), Hash>,
}

fn chain(len: u64) -> Chain {
    let mut history = History::default();
    let (mut headers, mut nodes) = (Vec::new(), BTreeMap::new());
    for height in 0..len {
        assert_eq!(history.len(), height);
        let header = header(height, history.root());
        for node in history.append(header.hash()) {
            assert_eq!(nodes.insert((node.level, node.index), node.digest), None);
        }
        headers.push(header);
    }
    Chain { headers, nodes }
}

/// The root over the peaks is that of the plain tree over all headers before.
#[test]
fn root_is_that_of_the_plain_tree() {
    let chain = chain(40);
    let hashes: Vec<Hash> = chain.headers.iter().map(Header::hash).collect();
    for (count, header) in chain.headers.iter().enumerate() {
        assert_eq!(header.history_root, merkle::root(&hashes[..count]));
    }
    assert_eq!(History::default().root(), Hash::ZERO);
}

/// Every header proves itself under every later one, at its own height only. Covers: B7.
#[test]
fn every_old_header_is_a_few_hashes_away() {
    let chain = chain(40);
    let node = |level, index| chain.nodes.get(&(level, index)).copied();
    for (count, later) in (0..).zip(&chain.headers) {
        for earlier in &chain.headers {
            let Some(proof) = HistoryProof::new(count, earlier.height, &node) else {
                assert!(earlier.height >= later.height);
                continue;
            };
            assert_eq!(proof.verify(later, earlier), Ok(()));
            assert!(proof.path.len() <= 6);
            let mut forged = earlier.clone();
            forged.state_root = Hash([1; 32]);
            assert_eq!(
                proof.verify(later, &forged),
                Err(InvalidHistory::OtherHeader {
                    earlier: earlier.height
                })
            );
            forged.network = NetworkId::new([8; 32]);
            assert_eq!(proof.verify(later, &forged), Err(InvalidHistory::OtherNetwork));
        }
    }
}

#[test]
fn no_header_proves_the_future_or_itself() {
    let chain = chain(9);
    let node = |level, index| chain.nodes.get(&(level, index)).copied();
    let proof = HistoryProof::new(8, BlockHeight(7), &node).unwrap();
    let (later, same) = (&chain.headers[8], &chain.headers[8]);
    let place = InvalidHistory::Place {
        earlier: BlockHeight(8),
        later: BlockHeight(8),
    };
    assert_eq!(proof.verify(later, same), Err(place));
    let mut longer = proof;
    longer.path.push(Hash::ZERO).unwrap();
    assert!(longer.verify(later, &chain.headers[7]).is_err());
    assert_eq!(HistoryProof::new(8, BlockHeight(7), &|_, _| None), None);
}
