//! A large file on small devices.

use crate::network::{Network, resident_peak_kib};
use crate::wait::until;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

/// Bytes of the file: 1 GiB.
const FILE_BYTES: u64 = 1 << 30;

/// Bytes that this test handles at once; divides the file.
const BUFFER_BYTES: usize = 1 << 20;

/// The most that one process may ever hold in memory, in KiB: 256 MiB.
const RESIDENT_KIB_MAX: u64 = 256 << 10;

/// How long moving the file may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// A file of 1 GiB is stored and fetched, and none of those who take part, the client, the providers that receive, seal and
/// serve it, and the validators, ever holds 256 MiB.
///
/// Covers: C1.
#[test]
fn a_file_of_1_gib_passes_through_little_memory() {
    let network = Network::up(4, 10);
    let path = network.path("large.bin");
    write_noise(&path);

    let put = watched(&network, &["put", path.to_str().unwrap(), "--json"]);
    assert_eq!(put["bytes"], FILE_BYTES);
    let to = network.path("fetched.bin");
    let link = put["link"].as_str().unwrap();
    watched(&network, &["get", link, "-o", to.to_str().unwrap(), "--json"]);
    assert!(is_same(&to, &path), "the file came back changed");

    for node in &network.nodes {
        let peak = resident_peak_kib(network.pid(&node.name)).unwrap();
        assert!(peak < RESIDENT_KIB_MAX, "{} has held {peak} KiB", node.name);
    }
}

/// Runs a command to its end, which must be a good one; it may not hold too much on the way. Returns what it printed.
fn watched(network: &Network, arguments: &[&str]) -> serde_json::Value {
    let mut command = network.spawn(arguments);
    let mut peak = 0;
    until(&format!("`watt {}` has ended", arguments[0]), PATIENCE, || {
        peak = resident_peak_kib(command.id()).unwrap_or(peak);
        command.has_ended()
    });
    let said = command.end(arguments[0]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        (1..RESIDENT_KIB_MAX).contains(&peak),
        "`watt {}` has held {peak} KiB",
        arguments[0]
    );
    said.json()
}

/// Writes bytes that look random, piece by piece.
fn write_noise(path: &Path) {
    let mut source = blake3::Hasher::new().update(b"large.bin").finalize_xof();
    let mut file = File::create(path).unwrap();
    let mut buffer = vec![0; BUFFER_BYTES];
    for _ in 0..FILE_BYTES / (BUFFER_BYTES as u64) {
        source.fill(&mut buffer);
        file.write_all(&buffer).unwrap();
    }
}

/// Whether two files hold the same, read piece by piece.
fn is_same(one: &Path, other: &Path) -> bool {
    let len = |path: &Path| std::fs::metadata(path).unwrap().len();
    let (mut a, mut b) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut of_a, mut of_b) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    len(one) == len(other)
        && (0..len(one) / (BUFFER_BYTES as u64)).all(|_| {
            a.read_exact(&mut of_a).unwrap();
            b.read_exact(&mut of_b).unwrap();
            of_a == of_b
        })
}
