//! What a person is told when something can't be done: one line that says what happened, one that says what to do.

use crate::network::{Network, Said};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The error of a command that must fail with `code`: exactly two lines, and nothing that could be taken for a result.
fn refused(what: &str, said: &Said, code: i32) -> (String, String) {
    assert_eq!(said.code, Some(code), "{what}: {said:?}");
    assert!(said.out.is_empty(), "{what}: {said:?}");
    let lines: Vec<&str> = said.err.lines().filter(|line| !line.starts_with("20")).collect();
    let [happened, next] = lines[..] else {
        panic!("{what}: not two lines: {said:?}");
    };
    let happened = happened
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{what}: {said:?}"));
    let next = next
        .trim_start()
        .strip_prefix("next: ")
        .unwrap_or_else(|| panic!("{what}: {said:?}"));
    assert!(happened.len() > 5 && next.len() > 5, "{what}: {said:?}");
    (happened.to_owned(), next.to_owned())
}

/// Wrong, truncated and foreign links, files that are not there or not readable, a disk that is full, ports and folders that are
/// taken, a network that is down: each is said in two lines, with the documented exit code, and changes nothing.
///
/// Covers: B10, C1.
pub(crate) fn are_two_lines_with_a_next_step(network: &Network, link: &str, bytes: &[u8]) {
    of_links(network, link);
    of_files(network, link, bytes);
    of_ports_and_folders(network);
}

fn of_links(network: &Network, link: &str) {
    let to = network.path("never");
    let to = to.to_str().unwrap();
    let get = |link: &str| network.run(&["get", link, "-o", to]);

    refused("no link", &get("watt:hello"), 2);
    let (happened, _) = refused("a truncated key", &get(&link[..link.len() - 9]), 2);
    assert!(happened.contains("cut off"), "{happened}");
    // What is left when a shell cuts the link at its first special character.
    refused("a link without its key", &get(link.split('#').next().unwrap()), 2);
    refused("a link cut at &", &get(link.split('&').next().unwrap()), 2);

    let here = format!("n={}", &network.id[..8]);
    let there = if network.id.starts_with('0') {
        "n=10000000"
    } else {
        "n=00000000"
    };
    assert!(link.contains(&here), "{link}");
    let (_, next) = refused("a link of another network", &get(&link.replace(&here, there)), 2);
    assert!(next.contains("--api"), "{next}");

    let (front, key) = link.split_once('#').unwrap();
    let other = if key.starts_with('A') { 'B' } else { 'A' };
    let (_, next) = refused(
        "another file's key",
        &get(&format!("{front}#{other}{}", &key[1..])),
        8,
    );
    assert!(next.contains("copy the whole link"), "{next}");
    assert!(!Path::new(to).exists());
}

fn of_files(network: &Network, link: &str, bytes: &[u8]) {
    let missing = network.path("nowhere/photo.jpg");
    refused(
        "a missing file",
        &network.run(&["put", missing.to_str().unwrap()]),
        3,
    );
    let folder = network.path("folder");
    std::fs::create_dir(&folder).unwrap();
    refused("a folder", &network.run(&["put", folder.to_str().unwrap()]), 2);
    let (secret, _) = network.file("secret", 5_000);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    // For the superuser there are no unreadable files.
    if std::fs::File::open(&secret).is_err() {
        refused(
            "an unreadable file",
            &network.run(&["put", secret.to_str().unwrap()]),
            5,
        );
    }

    let (taken, old) = network.file("taken", 100);
    let (_, next) = refused(
        "a file in the way",
        &network.run(&["get", link, "-o", taken.to_str().unwrap()]),
        7,
    );
    assert_eq!(std::fs::read(&taken).unwrap(), old);
    // The advice is one that works.
    assert!(next.contains("--overwrite"), "{next}");
    let said = network.run(&["get", link, "-o", taken.to_str().unwrap(), "--overwrite"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(std::fs::read(&taken).unwrap() == bytes);

    let (_, next) = refused(
        "a full disk",
        &network.run_into(Path::new("/dev/full"), &["cat", link]),
        4,
    );
    assert!(next.contains("disk space"), "{next}");
    let said = network.run(&["get", link, "-o", "/proc/nowhere/photo.jpg"]);
    refused("a folder that is not there", &said, 3);
}

fn of_ports_and_folders(network: &Network) {
    // A port that was free a moment ago is one of nobody.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    let said = network.run(&["chain", "head", "--api", &format!("http://{down}")]);
    let (happened, _) = refused("a network that is down", &said, 4);
    assert!(happened.contains(&down.to_string()), "{happened}");

    let (_, next) = refused("a second devnet", &network.run(&["devnet", "up"]), 7);
    assert!(next.contains("watt devnet stop"), "{next}");

    let folder = network.node_dir("v1");
    let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    let start = |name: &str, config: &str| {
        let path = folder.join(name);
        std::fs::write(&path, config).unwrap();
        network.run(&["node", "run", "--config", path.to_str().unwrap()])
    };
    // Each port alone is enough to stop a second node.
    let node = network.node("v1");
    let elsewhere = config.replace("data_dir = \"data\"", "data_dir = \"other\"");
    for taken in [node.api_port, node.owner_port, node.p2p_port] {
        let mut config = elsewhere.clone();
        for port in [node.api_port, node.owner_port, node.p2p_port] {
            if port != taken {
                let (old, new) = match port == node.p2p_port {
                    true => (format!("/{port}"), "/0".to_owned()),
                    false => (format!(":{port}\""), ":0\"".to_owned()),
                };
                config = config.replace(&old, &new);
            }
        }
        let (happened, _) = refused("a taken port", &start("ports.toml", &config), 10);
        assert!(happened.contains(&taken.to_string()), "{happened}");
    }
    // The bootstrap list names other ports only, so that this touches just the node's own.
    let free = config
        .replace(&format!("/{}", node.p2p_port), "/0")
        .replace(&format!(":{}\"", node.api_port), ":0\"")
        .replace(&format!(":{}\"", node.owner_port), ":0\"");
    let (happened, _) = refused("a taken data folder", &start("folder.toml", &free), 7);
    assert!(happened.contains("another watt process"), "{happened}");
    network.wait_blocks("v1", 1);
}
