//! Any bytes, and good encodings with some bytes changed, as an envelope, a quorum set, a record and a logged step: refused,
//! or read and written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watt_primitives::{BoundedVec, Hash, Signature, SlotIndex, codec};
use watt_scp::replay::Step;
use watt_scp::statement::ENVELOPE_BYTES_MAX;
use watt_scp::testing::{MapOracle, NETWORK, node_id};
use watt_scp::{Ballot, Config, Envelope, Input, Pledges, QuorumSet, Record, Scp, Statement, Value};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    for mut good in samples() {
        for edit in bytes.chunks_exact(3).take(4) {
            let position = usize::from(edit[0]) * 4 + usize::from(edit[1] % 4);
            let len = good.len();
            good[position % len] = edit[2];
        }
        read(&good);
    }
});

/// One encoding of each kind.
fn samples() -> [Vec<u8>; 4] {
    let ballot = Ballot {
        counter: 3,
        value: Value(Hash([1; 32])),
    };
    let statement = Statement {
        node: node_id(1),
        slot: SlotIndex(7),
        quorum_set: Hash([2; 32]),
        pledges: Pledges::Prepare {
            ballot,
            prepared: Some(ballot),
            prepared_prime: None,
            c_counter: 1,
            h_counter: 2,
        },
    };
    let inner = QuorumSet::flat(2, (3..6).map(node_id).collect());
    let quorum_set = QuorumSet {
        inner: BoundedVec::new(vec![inner]).unwrap_or_default(),
        ..QuorumSet::flat(2, (0..3).map(node_id).collect())
    };
    let config = Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: quorum_set.clone(),
        votes: true,
    };
    let record = Record {
        slot: SlotIndex(7),
        nomination: None,
        ballot: Some(statement.clone()),
        value_lock: Some(ballot.value),
        round: 2,
        is_nominating: true,
    };
    let receive = Input::Receive {
        slot: SlotIndex(7),
        statements: std::slice::from_ref(&statement),
    };
    let step = Step::record(
        &mut Scp::new(config),
        receive,
        &MapOracle::default(),
        &mut Vec::new(),
    );
    let envelope = Envelope {
        statement,
        signature: Signature([3; 64]),
    };
    [
        codec::encode(&envelope),
        codec::encode(&quorum_set),
        codec::encode(&record),
        step.encode(),
    ]
}

fn read(bytes: &[u8]) {
    if let Ok(envelope) = codec::decode::<Envelope>(bytes, ENVELOPE_BYTES_MAX) {
        assert_eq!(codec::encode(&envelope), bytes);
        let pledges = &envelope.statement.pledges;
        assert!(!pledges.is_newer_than(pledges));
        let _ = (pledges.is_sane(), envelope.signature_check(&NETWORK).holds());
    }
    if let Ok(set) = codec::decode::<QuorumSet>(bytes, 100_000) {
        let normal = set.normalized();
        assert_eq!(normal.normalized(), normal);
        assert!(!set.is_sane() || normal.is_sane());
    }
    if let Ok(record) = codec::decode::<Record>(bytes, 100_000) {
        assert_eq!(codec::encode(&record), bytes);
    }
    if let Ok(step) = Step::decode(bytes, 100_000) {
        assert_eq!(step.encode(), bytes);
    }
}
