//! What proofs of storage cost at full size: sealing, answering a window, folding, compressing, and verifying beside the
//! library's own verifier in the same run; and that attacks on a sector of full size are refused.
//!
//! One JSON object per line: `bench`, `case`, `metric`, `value`, `unit`, and where there is one `baseline` with its `ratio`.
//! Times are processor time of all threads. Verification runs on one thread.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "a benchmark measures time, prints and may stop"
)]

mod attacks;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use watt_light::transaction::witness_hash;
use watt_light::{FoldedWindows, Heartbeat, Operation, ProviderNumber, Transaction, WindowShape};
use watt_post::{NovaPasta, PostBackend, Settlement, params_digest};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, SectorNumber, Window, codec,
};
use watt_proofs::element::LEAF_BYTES;
use watt_proofs::post::Answers;
use watt_proofs::seal::{PayloadRead, Progress, seal_from, unseal};
use watt_proofs::window::{Step, beacon_element, initial_state};
use watt_proofs::{Element, PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorSize, SetTree, Shape};

const NETWORK: NetworkId = NetworkId::new([1; 32]);
const PROVIDER: AccountId = AccountId([2; 20]);
const MIB: f64 = 1_048_576.0;

/// Memory that a phone leaves to one program in the background, all mapped memory counted.
const PHONE_BYTES: u64 = 512 << 20;

/// Leaves of a replica in the benches that don't seal: a 64th of a sector, repeated in its tree.
const LEAVES: u32 = 4096;

fn report(case: &str, metric: &str, value: f64, unit: &str) {
    println!(
        r#"{{"bench":"proofs","case":"{case}","metric":"{metric}","value":{value:.3},"unit":"{unit}"}}"#
    );
}

fn report_against(case: &str, metric: &str, value: f64, unit: &str, baseline: f64) {
    let ratio = value / baseline;
    println!(
        r#"{{"bench":"proofs","case":"{case}","metric":"{metric}","value":{value:.3},"unit":"{unit}","baseline":{baseline:.3},"ratio":{ratio:.4}}}"#
    );
}

/// Seconds of processor time of all threads that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begin = cpu_seconds();
    let result = work();
    (result, cpu_seconds() - begin)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Forgets the most memory that was resident so far, where the system allows it.
fn forget_peak() {
    let _unsupported = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that was resident since it was forgotten, in MiB.
fn peak_mib() -> f64 {
    status_mib("VmHWM:")
}

/// What the system says of this process under a name, in MiB.
fn status_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Bytes that look random.
fn bytes(name: &str, len: usize) -> Vec<u8> {
    let part = |part: u32| Hash::of_content(format!("{name} {part}").as_bytes()).0;
    (0..).flat_map(part).take(len).collect()
}

/// A payload in a file, read a part at a time as a provider does.
struct PayloadFile(File);

impl PayloadRead for PayloadFile {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> ControlFlow<()> {
        self.0.read_exact_at(into, offset).unwrap();
        ControlFlow::Continue(())
    }
}

impl PayloadFile {
    fn new(size: SectorSize) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("payload-{}", std::process::id()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        for part in 0..size.payload_bytes() / 16384 {
            file.write_all(&bytes(&format!("payload {part}"), 16384)).unwrap();
        }
        Self(file)
    }
}

/// How fast labels come, in seconds of processor time and labels: all that was between the first report and the last, and
/// what was within layers alone, without what is done with each when it is there.
#[derive(Default)]
struct Pace {
    last: (f64, u64),
    all: (f64, u64),
    alone: (f64, u64),
}

impl Pace {
    fn take(&mut self, labels: u64, labels_of_layer: u64) {
        let now = (cpu_seconds(), labels);
        let since_last = |sum: (f64, u64)| (sum.0 + now.0 - self.last.0, sum.1 + now.1 - self.last.1);
        if self.last.1 > 0 {
            self.all = since_last(self.all);
        }
        if !self.last.1.is_multiple_of(labels_of_layer) {
            self.alone = since_last(self.alone);
        }
        self.last = now;
    }
}

/// Seals one sector with the main network's parameters; of it, the replica's tree once more by itself.
fn sealing(case: &str) {
    let params = ProofParams::MAIN;
    let size = SectorSize::new(&params, 64).unwrap();
    let mut payload = PayloadFile::new(size);
    let comm_d = PieceTable::filler_only(size).comm_d(&NETWORK);
    let replica_id = ReplicaId::derive(&NETWORK, &PROVIDER, SectorNumber(1), &comm_d, &Hash([3; 32]));
    forget_peak();
    let mut pace = Pace::default();
    let mut progress = |progress: Progress| {
        pace.take(progress.labels_done, u64::from(size.nodes()));
        ControlFlow::Continue(())
    };
    let (sealed, seal_seconds) =
        timed(|| seal_from(&params, size, &replica_id, &mut payload, &mut progress).unwrap());
    let mib_per_s = |(seconds, labels): (f64, u64)| labels as f64 * 32.0 / MIB / seconds;
    report(case, "label_mib_per_s", mib_per_s(pace.alone), "MiB/s");
    report(case, "label_and_column_mib_per_s", mib_per_s(pace.all), "MiB/s");
    report(case, "seal_cpu_s", seal_seconds, "s");
    report(case, "seal_peak_mib", peak_mib(), "MiB");
    let (_, tree_seconds) = timed(|| ReplicaTree::build(&sealed.replica));
    report(case, "replica_tree_cpu_s", tree_seconds, "s");
    let (_, unseal_seconds) = timed(|| {
        unseal(&params, size, &replica_id, &sealed.replica, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    });
    report(case, "unseal_cpu_s", unseal_seconds, "s");
}

/// A provider whose sectors all have the same few leaves in memory.
struct Provider {
    replica: Vec<u8>,
    tree: ReplicaTree,
    set: SetTree,
    shape: Shape,
}

impl Provider {
    fn new(shape: Shape) -> Self {
        let replica = bytes("replica", LEAVES as usize * LEAF_BYTES);
        let tree = ReplicaTree::build(&replica);
        let roots = vec![tree.root(); 40];
        let set = SetTree::build(shape, roots).unwrap();
        Self {
            replica,
            tree,
            set,
            shape,
        }
    }

    fn answers(&self, state: Element, window: u32) -> Answers {
        let leaf = |_, place| self.replica.as_chunks().0.get((place % LEAVES) as usize).copied();
        Answers::compute(self.shape, state, &self.set, beacon(window), leaf)
    }

    fn steps(&self, n: u32) -> Vec<Step> {
        let mut state = initial_state(&NETWORK, &PROVIDER);
        let step = |window| {
            let open = |_, place| {
                let range = ReplicaTree::block_range(place % LEAVES);
                let block = self.replica.get(range.start as usize..range.end as usize)?;
                self.tree.open_place(place, block)
            };
            let step = self
                .answers(state, window)
                .step(beacon(window + 1), &self.set, open);
            assert!(step.is_good);
            state = step.window.next_state(state);
            step
        };
        (0..n).map(step).collect()
    }
}

fn beacon(window: u32) -> Element {
    beacon_element(&NETWORK, &Hash::of_content(&window.to_be_bytes()))
}

/// One shape from its parameters to verified proofs.
fn shape(shape: Shape, case: &str, n_distinct: usize, batches: &[usize]) {
    let provider = Provider::new(shape);
    let (_, answer_seconds) = timed(|| provider.answers(initial_state(&NETWORK, &PROVIDER), 0));
    report(case, "window_cpu_ms", answer_seconds * 1e3, "ms");

    let (backend, derive_seconds) = timed(|| NovaPasta::derive(shape).unwrap());
    report(case, "derive_cpu_s", derive_seconds, "s");
    let digest = backend.digest();
    assert_eq!(
        Some(digest),
        params_digest(shape),
        "the parameters changed: {:?}",
        digest.to_bytes()
    );
    let (constraints, variables) = backend.size();
    assert!(constraints <= 1 << 15 && variables <= 1 << 15);
    report(case, "constraints", constraints as f64, "");
    report(case, "variables", variables as f64, "");
    let saved = backend.save().unwrap();
    report(case, "params_mib", saved.len() as f64 / MIB, "MiB");
    drop(backend);
    let (backend, load_seconds) = timed(|| NovaPasta::load(shape, digest, &saved).unwrap());
    drop(saved);
    report(case, "load_cpu_s", load_seconds, "s");

    let steps = provider.steps(8);
    let from = initial_state(&NETWORK, &PROVIDER);
    let mut running = Some(backend.recover(from, &steps[..2], None).unwrap());
    forget_peak();
    let ((), fold_seconds) = timed(|| {
        for step in &steps[2..7] {
            backend.fold(from, &mut running, step).unwrap();
        }
    });
    report(case, "fold_cpu_ms", fold_seconds * 1e3 / 5.0, "ms");
    report(case, "fold_peak_mib", peak_mib(), "MiB");
    let saved = backend.save_running(&running.unwrap()).unwrap();
    report(case, "running_mib", saved.len() as f64 / MIB, "MiB");
    let (running, recover_seconds) = timed(|| backend.recover(from, &steps, Some(&saved)).unwrap());
    report(case, "recover_cpu_s", recover_seconds, "s");

    forget_peak();
    let (proofs, compress_seconds) = timed(|| {
        let proof = |_| backend.compress(&running).unwrap();
        (0..n_distinct).map(proof).collect::<Vec<_>>()
    });
    report(case, "compress_cpu_s", compress_seconds / n_distinct as f64, "s");
    report(case, "compress_peak_mib", peak_mib(), "MiB");
    report(case, "proof_bytes", proofs[0].len() as f64, "B");
    ledger_bytes(case, &backend.shown(&running), &proofs[0]);
    drop(steps);
    drop(provider);
    if batches.is_empty() {
        let proof = proofs[0].as_slice();
        assert_eq!(backend.verify(&[(backend.shown(&running), proof)], None), Ok(()));
        return;
    }
    verification(&backend, case, backend.shown(&running), &proofs, batches);
}

/// Windows of a day of a main network.
const WINDOWS_PER_DAY: u32 = 160;

/// What the design allows a device to take of the ledger in a day, in bytes: besides heartbeats, and each of these.
const DEVICE_DAY_BYTES: f64 = 12_000.0;
const HEARTBEAT_BYTES: f64 = 104.0;

/// What a device that settles daily, or weekly, takes of the ledger in a day: the transaction that settles, of which the signed part and
/// its signature are kept for ever and the proof can be pruned, and heartbeats, which can be pruned.
fn ledger_bytes(case: &str, shown: &Settlement, proof: &[u8]) {
    let key = SecretKey::from_seed([3; 32]);
    let root = Hash::of_content(b"answers");
    let heartbeat = Heartbeat {
        account: PROVIDER,
        window: Window(u64::from(u32::MAX)),
        response_root: root,
        faults: BoundedVec::empty(),
    };
    let heartbeat = heartbeat.sign(ProviderNumber(u32::from(u16::MAX)), &key, &NETWORK);
    let windows = FoldedWindows {
        shape: WindowShape::Large,
        from: Hash(shown.from.to_bytes()),
        to: Hash(shown.to.to_bytes()),
        n_windows: WINDOWS_PER_DAY,
        n_good: WINDOWS_PER_DAY,
    };
    let operation = Operation::SettleWindows {
        windows,
        proof: witness_hash(&NETWORK, proof),
    };
    let transaction = Transaction {
        account: PROVIDER,
        key_index: 0,
        key: key.public(),
        nonce: u64::from(u16::MAX),
        valid_until: BlockHeight(u64::from(u32::MAX)),
        fee: Amount::ZERO,
        operations: BoundedVec::new(vec![operation]).unwrap(),
    };
    let signed = transaction.sign(&key, &NETWORK, vec![proof.to_vec()]).unwrap();
    let kept = codec::encode(&signed.transaction).len() as f64 + 64.0;
    let prunable = codec::encode(&signed).len() as f64 - kept;
    let of_heartbeat = codec::encode(&heartbeat).len() as f64;
    for (how, days) in [("", 1.0), ("_weekly", 7.0)] {
        let metric = |what: &str| format!("ledger_bytes_per_device_day{how}{what}");
        report(case, &metric("_kept"), kept / days, "B");
        report(case, &metric("_prunable"), prunable / days, "B");
        report_against(case, &metric(""), (kept + prunable) / days, "B", DEVICE_DAY_BYTES);
    }
    report_against(case, "heartbeat_bytes", of_heartbeat, "B", HEARTBEAT_BYTES);
    report(
        case,
        "heartbeat_bytes_per_device_day",
        of_heartbeat * f64::from(WINDOWS_PER_DAY),
        "B",
    );
}

/// Batches of all sizes, on one thread.
fn verification(
    backend: &NovaPasta,
    case: &str,
    settlement: Settlement,
    proofs: &[Vec<u8>],
    batches: &[usize],
) {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // The first call makes the library's key.
    assert!(backend.verify_as_library(&settlement, &proofs[0]));
    let (_, library_seconds) = one_thread.install(|| {
        timed(|| {
            for proof in proofs {
                assert!(backend.verify_as_library(&settlement, proof));
            }
        })
    });
    let library = library_seconds * 1e3 / proofs.len() as f64;
    report(case, "verify_library_cpu_ms", library, "ms");
    for n in batches.iter().copied() {
        let batch: Vec<(Settlement, &[u8])> = proofs
            .iter()
            .cycle()
            .take(n)
            .map(|proof| (settlement, proof.as_slice()))
            .collect();
        let (verdict, seconds) = one_thread.install(|| timed(|| backend.verify(&batch, None)));
        assert_eq!(verdict, Ok(()));
        report_against(
            case,
            &format!("verify_batch_{n}_cpu_ms"),
            seconds * 1e3 / n as f64,
            "ms",
            library,
        );
        forget_peak();
        let (hint, hint_seconds) = one_thread.install(|| timed(|| backend.hint(&batch).unwrap()));
        if n == 64 {
            report(case, "hint_per_proof_cpu_ms", hint_seconds * 1e3 / n as f64, "ms");
            report(case, "hint_peak_mib", peak_mib(), "MiB");
            report(case, "hint_bytes", hint.len() as f64, "B");
        }
        let (verdict, seconds) = one_thread.install(|| timed(|| backend.verify(&batch, Some(&hint))));
        assert_eq!(verdict, Ok(()));
        let metric = format!("verify_hint_batch_{n}_cpu_ms");
        report_against(case, &metric, seconds * 1e3 / n as f64, "ms", library);
    }
    let mut batch: Vec<(Settlement, &[u8])> = proofs
        .iter()
        .cycle()
        .take(64)
        .map(|proof| (settlement, proof.as_slice()))
        .collect();
    // The last number before the outputs is what the secondary inner product comes down to.
    let mut bad = proofs[0].clone();
    let at = bad.len() - 65 - 32;
    bad[at] ^= 1;
    batch[41].1 = &bad;
    let (verdict, seconds) = one_thread.install(|| timed(|| backend.verify(&batch, None)));
    assert_eq!(verdict.map_err(|refused| refused.at), Err(41));
    report(case, "culprit_of_64_cpu_s", seconds, "s");
}

/// What a provider does, on one core and in 512 MiB of address space: whatever is asked for beyond ends the process.
fn phone() {
    let limit = Some(PHONE_BYTES);
    setrlimit(
        Resource::As,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )
    .unwrap();
    let mut core = CpuSet::new();
    core.set(0);
    sched_setaffinity(None, &core).unwrap();
    let case = "1 core, 512 MiB";
    sealing(case);
    shape(Shape::LARGE, case, 1, &[]);
    report(case, "address_space_peak_mib", status_mib("VmPeak:"), "MiB");
}

/// Each part runs in a process of its own, so that the memory of one is not counted with another's.
fn main() {
    match std::env::args()
        .find_map(|word| word.strip_prefix("part=").map(str::to_owned))
        .as_deref()
    {
        Some("seal") => sealing("64 MiB"),
        Some("large") => shape(Shape::LARGE, "4096 positions", 2, &[1, 8, 64, 256]),
        Some("small") => shape(Shape::SMALL, "64 positions", 1, &[1, 8, 64]),
        Some("attacks") => attacks::run("64 MiB"),
        Some("phone") => phone(),
        _ => {
            for part in ["seal", "attacks", "large", "small", "phone"] {
                let program = std::env::current_exe().unwrap();
                let status = std::process::Command::new(program)
                    .arg(format!("part={part}"))
                    .status();
                assert!(status.unwrap().success(), "{part}");
            }
        }
    }
}
