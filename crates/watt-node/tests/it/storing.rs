//! What the network is for, and what befalls a stored file while nobody tends it.

use crate::circles;
use crate::errors;
use crate::network::{Network, amount, texts};
use crate::wait::{PATIENCE, until};
use serde_json::Value;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use watt_primitives::Amount;

/// What a digest on the disk stands for.
const GROUP_BYTES: u64 = 16 << 10;

/// One network, from the first file to the loss of most of its holders.
#[test]
fn a_stored_file_lives_through_good_and_bad_days() {
    let network = Network::up(4, 11);
    a_file_goes_its_whole_way(&network);
    circles::grow_and_shrink(&network);
    circles::lead_to_nodes(&network);
    circles::stand_for_a_seat(&network);

    let (path, bytes) = network.file("holiday.mov", 5 << 20);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    errors::are_two_lines_with_a_next_step(&network, link, &bytes);
    wait_proven(&network, link);
    let culprit = a_flipped_byte_is_found_and_its_holder_named(&network, link, &bytes);
    its_holder_puts_right_what_one_copy_still_has(&network, link, &bytes, &culprit);
    with_seven_of_ten_gone_it_says_what_is_missing(&network, link, &bytes, &culprit);
}

/// Whether every share is sealed, proven, and with its holder.
fn is_proven(status: &Value) -> bool {
    let shares = status["shares"].as_array().unwrap();
    shares.iter().all(|share| {
        share["state"] == "proving" && share["last_proven_window"].is_u64() && share["is_alive"] == true
    })
}

/// Waits until every share is sealed, proven, and with its holder.
pub(crate) fn wait_proven(network: &Network, link: &str) {
    until("every share is sealed, proven and alive", PATIENCE, || {
        is_proven(&network.status(link))
    });
}

/// A file is placed and certified; each share is sealed and proven; each proof is paid, out of the escrow, with no coin made or
/// lost; whole and in part the file comes back as it was; given up, it is gone, and every coin is accounted for.
///
/// Covers: A9, A10, C1, C3, C5, D1, D3, E1, E4.
fn a_file_goes_its_whole_way(network: &Network) {
    let before = network.balance();
    let (path, bytes) = network.file("letters.tar", (3 << 20) + 12_345);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    assert_eq!(put["bytes"], bytes.len());
    assert_eq!((&put["shares"], &put["shares_needed"]), (&10.into(), &4.into()));
    assert_eq!(put["resumed"], false);
    assert_eq!(
        texts(&put["holders"]).len(),
        10,
        "ten holders, none of them twice"
    );
    let escrowed = amount(&put["escrowed"]);
    assert_eq!(
        before.checked_sub(network.balance()),
        Some(escrowed),
        "nothing but the escrow was taken"
    );

    wait_proven(network, link);
    let first = amount(&network.status(link)["paid"]);
    until("the next proofs are paid", PATIENCE, || {
        amount(&network.status(link)["paid"]) > first
    });
    assert!(amount(&network.status(link)["paid"]) <= escrowed);
    for node in ["v1", "v4", "p1"] {
        network.check_supply(node);
    }

    let (fetched, get) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    assert!(texts(&get["served_by"]).len() >= 4, "{get}");
    assert_eq!(
        (texts(&get["corrupt"]).len(), texts(&get["unreachable"]).len()),
        (0, 0),
        "{get}"
    );
    // Beginning and end within a cell, more than a row between.
    for (from, n_bytes) in [(0, 1), (16_383, 2), (70_001, 300_000), (bytes.len() - 5, 5)] {
        let said = network.run(&[
            "cat",
            link,
            "--offset",
            &from.to_string(),
            "--length",
            &n_bytes.to_string(),
        ]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(
            said.out == bytes[from..from + n_bytes],
            "{n_bytes} bytes from {from} are others"
        );
    }

    let names = |network: &Network| -> Vec<String> {
        let files = network.ask(&["ls"])["files"].clone();
        let name = |file: &Value| {
            format!(
                "{} {}",
                file["name"].as_str().unwrap(),
                file["state"].as_str().unwrap()
            )
        };
        files.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(network), ["letters.tar stored"]);
    let rm = network.ask(&["rm", link]);
    let (refunded, paid) = (amount(&rm["refunded"]), amount(&rm["paid"]));
    assert!(refunded > Amount::ZERO && paid > Amount::ZERO, "{rm}");
    assert_eq!(Amount::checked_sum([refunded, paid]), Some(escrowed), "{rm}");
    assert_eq!(
        before.checked_sub(network.balance()),
        Some(paid),
        "the rest came back"
    );
    assert_eq!(names(network), [""; 0]);
    network.check_supply("v2");
    let said = network.run(&["get", link, "-o", network.path("gone").to_str().unwrap()]);
    assert_eq!(said.code, Some(3), "{said:?}");
}

/// One bit of a share rots on its holder's disk: the file still comes back whole, and the holder is named. Returns its account.
///
/// Covers: C1, C5.
fn a_flipped_byte_is_found_and_its_holder_named(network: &Network, link: &str, bytes: &[u8]) -> String {
    let status = network.status(link);
    // The first data share: a get that does not look would take it.
    let share = &status["shares"][0];
    let holder = share["holder"].as_str().unwrap();
    flip(&piece_of_first_share(network, &status), 400_000);

    let (fetched, get) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    assert_eq!(texts(&get["corrupt"]), [holder], "{get}");
    // A person is told as well.
    let to = network.path("for people");
    let said = network.run(&["get", link, "-o", to.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains(holder), "{said:?}");
    holder.to_owned()
}

/// The share that is read.
fn piece_of_first_share(network: &Network, status: &Value) -> PathBuf {
    let share = &status["shares"][0];
    let (deal, holder) = (share["deal"].as_str().unwrap(), share["holder"].as_str().unwrap());
    let data = network.node_dir(&network.node_of(holder).name).join("data");
    data.join("pieces").join(format!("{deal}-000.piece"))
}

pub(crate) fn replicas_of(network: &Network, node: &str) -> Vec<PathBuf> {
    let folder = network.node_dir(node).join("data/replicas");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "replica"))
        .collect()
}

/// One bit rots.
pub(crate) fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// The holder of the damaged share, whose replica has a damaged group elsewhere, puts both right, each from the other copy; where both
/// copies are damaged it says so, and the file still comes back from others.
///
/// Covers: C1, C5, D2.
fn its_holder_puts_right_what_one_copy_still_has(network: &Network, link: &str, bytes: &[u8], culprit: &str) {
    let node = network.node_of(culprit).name.clone();
    let status = network.status(link);
    let piece = piece_of_first_share(network, &status);
    let mut replicas = Vec::new();
    until("sectors of earlier files are gone", PATIENCE, || {
        replicas = replicas_of(network, &node);
        replicas.len() == 1
    });
    let replica = &replicas[0];
    let scrub = |repaired: u64| {
        let said = network.ask(&["provider", "scrub", &node]);
        assert_eq!(said["repaired_groups"], repaired, "{said}");
        said
    };
    let n_lost = |said: Value| said["lost"].as_array().unwrap().len();

    flip(replica, 0);
    assert_eq!(
        n_lost(scrub(2)),
        0,
        "a group of each copy is damaged, and none in both"
    );
    let said = scrub(0);
    let n_groups = said["checked_bytes"].as_u64().unwrap() / 2 / GROUP_BYTES;
    assert_eq!(n_lost(said), 0);
    let (fetched, get) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    assert!(texts(&get["corrupt"]).is_empty(), "{get}");

    // All of the replica rots, and a group of the share.
    (0..n_groups).for_each(|group| flip(replica, group * GROUP_BYTES));
    flip(&piece, 400_000);
    assert_eq!(n_lost(scrub(n_groups - 1)), 1);
    let said = network.run(&["provider", "status", &node]);
    let said = String::from_utf8(said.out).unwrap();
    assert!(
        said.contains("1 groups of 16 KiB are damaged and there is no other copy here"),
        "{said}"
    );
    assert!(network.get(link).0 == bytes, "the file came back changed");
}

/// Seven of ten holders are gone: the error counts what is there, names whom to bring back, and leaves no file behind; with one
/// of them back the same command works.
///
/// Covers: C1, C4.
fn with_seven_of_ten_gone_it_says_what_is_missing(
    network: &Network,
    link: &str,
    bytes: &[u8],
    culprit: &str,
) {
    let status = network.status(link);
    let mut holders: Vec<&str> = (0..10_usize)
        .map(|slot| status["shares"][slot]["holder"].as_str().unwrap())
        .collect();
    // The one with the damaged share goes too, and first.
    holders.sort_by_key(|holder| *holder != culprit);
    let gone: Vec<String> = holders[..7]
        .iter()
        .map(|holder| network.node_of(holder).name.clone())
        .collect();
    for node in &gone {
        network.kill(node);
    }
    let folder = network.path("empty");
    std::fs::create_dir(&folder).unwrap();
    let to = folder.join("holiday.mov");
    let arguments = ["get", link, "-o", to.to_str().unwrap(), "--json"];
    let said = network.run(&arguments);
    assert_eq!(said.code, Some(4), "{said:?}");
    let error = said.json()["error"].clone();
    assert_eq!(error["kind"], "temporary");
    assert_eq!(error["message"], "3 of the 4 shares needed are reachable");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.starts_with("bring back"), "{hint}");
    assert!(holders[..7].iter().any(|holder| hint.contains(holder)), "{hint}");
    assert!(!holders[7..].iter().any(|holder| hint.contains(holder)), "{hint}");
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        0,
        "a part was left behind"
    );

    network.start_ready(&gone[6]);
    let get = network.ask(&["get", link, "-o", to.to_str().unwrap()]);
    assert!(std::fs::read(&to).unwrap() == bytes, "the file came back changed");
    assert_eq!(texts(&get["served_by"]).len(), 4, "{get}");
}
