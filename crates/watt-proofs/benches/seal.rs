//! How fast a sector is sealed, opened and verified, beside what the hash alone could do on the same machine.
//!
//! One JSON object per line: `bench`, `case`, `metric`, `value`, and where there is one `baseline` with its `ratio`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a benchmark measures time, prints and may stop"
)]

use sha2::block_api::compress256;
use std::ops::{ControlFlow, Range};
use std::time::Instant;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal};
use watt_proofs::challenge::{HeavyChallenges, porep_seed, seal_seed};
use watt_proofs::post::{Asked, ReplicaRead};
use watt_proofs::seal::{Progress, Sealed, seal, unseal};
use watt_proofs::verify::{self, PorepStatement};
use watt_proofs::window::{Window, initial_state};
use watt_proofs::{
    Element, PieceTable, ProofParams, ReplicaTree, SectorEntry, SectorSet, SectorSize, SetTree, Shape, porep,
    post,
};

const NETWORK: NetworkId = NetworkId::new([1; 32]);
const PROVIDER: AccountId = AccountId([2; 20]);
const SECTOR: SectorNumber = SectorNumber(1);
const GROUP: u64 = 16 * 1024;
const MIB: f64 = 1_048_576.0;

/// Compressions of SHA-256 per label.
const COMPRESSIONS: f64 = 8.0;

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn report(case: &str, metric: &str, value: f64) {
    println!(r#"{{"bench":"seal","case":"{case}","metric":"{metric}","value":{value:.3}}}"#);
}

fn report_against(case: &str, metric: &str, value: f64, baseline: f64) {
    let ratio = value / baseline;
    println!(
        r#"{{"bench":"seal","case":"{case}","metric":"{metric}","value":{value:.3},"baseline":{baseline:.3},"ratio":{ratio:.3}}}"#
    );
}

/// Seconds of processor time of this thread, where the system tells, so that a busy machine does not distort the result.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// Seconds that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let (begin, processor) = (Instant::now(), processor_seconds());
    let result = work();
    let used = processor_seconds().zip(processor).map(|(end, begin)| end - begin);
    (result, used.unwrap_or(begin.elapsed().as_secs_f64()))
}

/// Mean seconds of work that is too short to be timed alone.
fn mean_seconds(mut work: impl FnMut()) -> f64 {
    let n = 200;
    let ((), seconds) = timed(|| (0..n).for_each(|_| work()));
    seconds / f64::from(n)
}

/// Dependent SHA-256 compressions per second, eight blocks at a time: the best that labelling could reach.
fn compressions_per_second() -> f64 {
    let blocks = [[7u8; 64]; 8];
    let mut state = [1u32; 8];
    let n = 100_000;
    let ((), seconds) = timed(|| (0..n).for_each(|_| compress256(&mut state, &blocks)));
    assert_ne!(state, [1; 8]);
    f64::from(n) * COMPRESSIONS / seconds
}

/// A payload of `n_slots` slots that fill the sector, and its table.
fn packed(size: SectorSize, n_slots: u64) -> (PieceTable, Vec<u8>) {
    let mut payload = vec![0; size.payload_bytes() as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut payload);
    let whole = size.payload_bytes() / GROUP / n_slots * GROUP;
    let slot = |index: u64| {
        let offset = index * whole;
        let len = if index + 1 < n_slots {
            whole
        } else {
            size.payload_bytes() - offset
        };
        let bytes = &payload[offset as usize..][..len as usize];
        Piece::Slot {
            deal: DealId([3; 32]),
            slot: SlotIndexInDeal(u8::try_from(index).unwrap()),
            root: Hash::of_content(bytes),
            offset,
            len,
        }
    };
    let pieces = (0..n_slots).map(slot).collect();
    (PieceTable::check(size, pieces).unwrap(), payload)
}

fn sector(params: &ProofParams, units: u32, n_slots: u64) {
    let case = format!("L={} units={units} slots={n_slots}", params.layers);
    let size = SectorSize::new(params, units).unwrap();
    let (pieces, payload) = packed(size, n_slots);
    let mut statement = PorepStatement {
        network: &NETWORK,
        provider: &PROVIDER,
        sector: SECTOR,
        pieces: &pieces,
        comm_c: Hash::ZERO,
        comm_r: Element::default(),
        seal_seed: seal_seed(&NETWORK, &Hash::ZERO, &PROVIDER, SECTOR),
        challenge_seed: Hash::ZERO,
        heavy: HeavyChallenges::of_batch(params, 1),
    };
    let replica_id = statement.replica_id();
    let before = compressions_per_second();
    let (sealed, seconds) = timed(|| seal(params, size, &replica_id, &payload, &mut go).unwrap());
    let compressions = f64::midpoint(before, compressions_per_second());
    let limit = compressions / COMPRESSIONS * 32.0 / MIB;
    let sealed_mib = size.sealed_bytes() as f64 / MIB;
    let layers = f64::from(params.layers);
    report_against(&case, "mib_per_s", sealed_mib / seconds, limit / layers);
    report_against(&case, "layer_mib_per_s", sealed_mib * layers / seconds, limit);
    let (_, seconds) = timed(|| ReplicaTree::build(&sealed.replica));
    report(&case, "replica_tree_ms", seconds * 1e3);
    let (back, seconds) = timed(|| unseal(params, size, &replica_id, &sealed.replica, &mut go).unwrap());
    assert_eq!(back, payload);
    report_against(
        &case,
        "unseal_layer_mib_per_s",
        sealed_mib * layers / seconds,
        limit,
    );

    (statement.comm_c, statement.comm_r) = (sealed.comm_c, sealed.comm_r);
    statement.challenge_seed = porep_seed(
        &NETWORK,
        &Hash::ZERO,
        &PROVIDER,
        SECTOR,
        &sealed.comm_c,
        &sealed.comm_r,
    );
    let (openings, seconds) = timed(|| porep::open(params, &statement, &sealed.replica, &mut go).unwrap());
    report(&case, "porep_open_ms", seconds * 1e3);
    report(&case, "porep_bytes", openings.len() as f64);
    let verify = || verify::porep(params, &statement, &openings).unwrap();
    report(&case, "porep_verify_ms", mean_seconds(verify) * 1e3);
    window(size, &case, sealed);
}

struct Memory(Sealed);

impl ReplicaRead for Memory {
    fn read(&mut self, _: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let block = &self.0.replica[bytes.start as usize..bytes.end as usize];
        Some((&self.0.replica_tree, block.to_vec()))
    }
}

/// One sector at all 64 positions of the small shape: what 64 sectors take, too.
fn window(size: SectorSize, case: &str, sealed: Sealed) {
    let entry = SectorEntry {
        number: SECTOR,
        size,
        comm_r: sealed.comm_r,
    };
    let sectors = SectorSet::check(vec![entry]).unwrap();
    let asked = Asked {
        sectors: &sectors,
        left_out: &[],
        state: initial_state(&NETWORK, &PROVIDER),
        beacon: Element::default(),
    };
    let mut memory = Memory(sealed);
    let responses = post::respond(&asked, &[], &mut memory);
    let seconds = mean_seconds(|| {
        post::respond(&asked, &[], &mut memory);
    });
    let positions = f64::from(Shape::SMALL.positions());
    report(case, "window_respond_us_per_position", seconds * 1e6 / positions);
    let openings = post::open(&asked, &responses, Element::default(), &mut memory).unwrap();
    report(case, "window_bytes", openings.len() as f64);
    let window = Window {
        set: SetTree::build(Shape::SMALL, vec![entry.comm_r]).unwrap().root(),
        beacon: asked.beacon,
        answers: responses.root,
        next_beacon: Element::default(),
    };
    let verify = || verify::window(Shape::SMALL, asked.state, &window, &openings).unwrap();
    report(case, "window_verify_ms", mean_seconds(verify) * 1e3);
    let roots: Vec<Element> = (0..4096u64)
        .map(|root| Element::of_hash(&Hash::of_content(&root.to_be_bytes())))
        .collect();
    let build = || drop(SetTree::build(Shape::LARGE, roots.clone()));
    report(case, "set_of_4096_build_ms", mean_seconds(build) * 1e3);
}

fn main() {
    report("sha256", "compressions_per_s", compressions_per_second());
    sector(&ProofParams::DEVNET, 1, 2);
    sector(&ProofParams::DEVNET, 32, 36);
    // Minutes on a machine without SHA instructions: `cargo bench -p watt-proofs -- main`.
    if std::env::args().any(|argument| argument == "main") {
        sector(&ProofParams::MAIN, 64, 2);
    }
}
