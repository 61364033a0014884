//! Any bytes as an envelope, a quorum set, a record and a logged step: refused, or read and written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watt_primitives::codec;
use watt_scp::replay::Step;
use watt_scp::statement::ENVELOPE_BYTES_MAX;
use watt_scp::testing::NETWORK;
use watt_scp::{Envelope, QuorumSet, Record};

fuzz_target!(|bytes: &[u8]| {
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
});
