//! From more dead disks than may fail to blocks again, with the commands of the guide.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_calm};
use std::path::Path;
use std::time::Duration;
use watt_node::keyfile;
use watt_primitives::AccountId;
use watt_primitives::id::AddressKind;

/// Block times without a block, after which the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(8);

/// Two of four disks are gone, with the voting keys on them. One cold key is enough: a new key votes for the seat, from an empty folder,
/// and blocks close again; a phone can check them. Then a node forgets the slot in which the network stands, and is let go on.
///
/// Covers: A1.
#[test]
fn dead_disks_and_lost_memory_are_recovered_from() {
    let network = Network::up(4, 0);
    let stood_at = lose_two_disks(&network);
    take_over(&network, "v4");
    network.start("v4");
    until("blocks resume", PATIENCE, || network.height("v1") > stood_at + 3);
    until("v4 has caught up", PATIENCE, || {
        network.height("v4") > stood_at + 3
    });
    network.wait_blocks("v2", 2);
    check_offline(&network, stood_at + 2);
    who_forgot_goes_on(&network);
    network.check_supply("v1");
}

/// The height at which the rest stands still.
fn lose_two_disks(network: &Network) -> u64 {
    network.wait_blocks("v1", 3);
    for name in ["v3", "v4"] {
        network.kill(name);
        std::fs::remove_dir_all(network.node_dir(name).join("data")).unwrap();
        std::fs::remove_file(network.node_dir(name).join("voting.key")).unwrap();
    }
    let halted = until_calm("blocks stop", STANDSTILL, || {
        (network.height("v1"), network.height("v2"))
    });
    halted.0.max(halted.1)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the owner of `name` does with the cold key.
fn take_over(network: &Network, name: &str) {
    let dir = network.node_dir(name);
    let (genesis, data) = (network.path("net/genesis.cbor"), dir.join("data"));
    let (request, succession) = (network.path("request"), network.path("succession"));
    let seat = keyfile::read(&dir.join("seat.key")).unwrap();
    let seat = AccountId::of_first_key(&seat.public()).to_address(AddressKind::Test);
    let node = ["--genesis", text(&genesis), "--data-dir", text(&data)];
    let of_node = |arguments: &[&str]| network.run(&[arguments, &node[..]].concat());

    let made = of_node(&[
        "seat",
        "succession",
        "request",
        "--seat",
        &seat,
        "--term",
        "0",
        "-o",
        text(&request),
    ]);
    assert_eq!(made.code, Some(0), "{made:?}");
    // Any other key's signature is of no use.
    let wrong = network.path("wrong.key");
    let other = network.path("other");
    network.ask(&["seat", "cold-key", "new", text(&wrong)]);
    network.ask(&[
        "seat",
        "succession",
        "sign",
        text(&request),
        "--cold-key",
        text(&wrong),
        "-o",
        text(&other),
    ]);
    let cold_key = dir.join("cold.key");
    let signed = network.ask(&[
        "seat",
        "succession",
        "sign",
        text(&request),
        "--cold-key",
        text(&cold_key),
        "-o",
        text(&succession),
    ]);
    assert_eq!(signed["term"], 0);
    // A damaged one is not taken.
    let mut bytes = std::fs::read(&succession).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = network.path("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let refused = of_node(&["seat", "succession", "take", text(&damaged)]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let taken = of_node(&["seat", "succession", "take", text(&succession)]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    without_voting_key(network, name);
}

/// The lost key is no longer in the configuration, which is given back as it was.
fn without_voting_key(network: &Network, name: &str) -> String {
    let path = network.node_dir(name).join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("validator_key"));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    config
}

/// A block that the successor voted for is shown to be final to somebody who has nothing but the network's id.
fn check_offline(network: &Network, height: u64) {
    let proof = network.path("block.proof");
    network.ask(&["chain", "proof", &height.to_string(), "-o", text(&proof)]);
    let verified = network.ask(&["verify", text(&proof), "--network", &network.id]);
    assert_eq!(verified["height"], height, "{verified}");
}

/// With v3 gone all others are needed. v4 is down when v2, which has spoken in the slot, loses its journal: it is silent, and the
/// network stands still with three nodes that run, until its owner lets it go on.
fn who_forgot_goes_on(network: &Network) {
    network.kill("v4");
    let stood = until_calm("blocks stop", STANDSTILL, || network.height("v1"));
    network.kill("v2");
    std::fs::remove_dir_all(network.node_dir("v2").join("data/scp")).unwrap();
    network.start("v2");
    network.start("v4");
    until("v2 knows that it forgot", PATIENCE, || {
        network.log("v2").contains("a forgotten own statement was met")
    });
    let early = network.run(&["node", "recover", "v2"]);
    assert_eq!(early.code, Some(7), "an hour has not passed: {early:?}");
    assert!(early.err.contains("has stood still for"), "{early:?}");
    let not_silent = network.run(&["node", "recover", "v1"]);
    assert!(not_silent.err.contains("is not silent"), "{not_silent:?}");
    until("v2 may go on", PATIENCE, || {
        network.run(&["node", "recover", "v2"]).code == Some(0)
    });
    until("blocks resume", PATIENCE, || network.height("v1") > stood + 3);
    until("v2 follows", PATIENCE, || network.height("v2") > stood + 3);
}

/// Two of four disks are lost for ever, and so are the cold keys: four people plan to vote from the newest block on, two of them with new
/// keys, and those in whom trust begins agree. Nodes look at the plan for as long as the genesis says, then the network goes on under
/// another id, which proofs name.
///
/// Covers: A1.
#[test]
fn people_begin_again() {
    let network = Network::up(4, 0);
    lose_two_disks(&network);
    until("both have the newest block", PATIENCE, || {
        network.height("v1") == network.height("v2")
    });
    let base = network.height("v1");
    let new_key = |name: &str| {
        let file = network.node_dir(name).join("voting.key");
        let made = network.ask(&["node", "restart-plan", "key", text(&file)]);
        made["key"].as_str().unwrap().to_owned()
    };
    let seat_of = |name: &str| {
        let key = keyfile::read(&network.node_dir(name).join("seat.key")).unwrap();
        AccountId::of_first_key(&key.public()).to_address(AddressKind::Test)
    };
    let with_new_key = |name: &str| format!("{}={}", seat_of(name), new_key(name));
    let seats = [
        seat_of("v1"),
        seat_of("v2"),
        with_new_key("v3"),
        with_new_key("v4"),
    ];
    // One machine is replaced; the other seat's key votes later, or never.
    let with_key = without_voting_key(&network, "v4");
    network.start("v4");
    until("v4 has caught up", PATIENCE, || network.height("v4") == base);

    let plan = network.path("plan");
    let [one, two, three, four] = &seats;
    let reason = [
        "--reason",
        "two disks are lost",
        "-o",
        text(&plan),
        "--node",
        "v1",
    ];
    let draft = ["node", "restart-plan", "draft", one, two, three, four];
    let drafted = network.ask(&[&draft[..], &reason[..]].concat());
    assert_eq!(drafted["base"], base, "{drafted}");
    // Trust begins in the accounts of who runs the network.
    let of_people = ["v1", "v2", "v3", "v4"].map(|name| {
        let (key, file) = (
            network.node_dir(name).join("account.key"),
            network.path(&format!("agreed-{name}")),
        );
        let sign = [
            "node",
            "restart-plan",
            "sign",
            text(&plan),
            "--account-key",
            text(&key),
        ];
        network.ask(&[&sign[..], &["-o", text(&file)]].concat());
        file
    });
    let files: Vec<_> = ["v1", "v2", "v3", "v4"]
        .iter()
        .map(|name| {
            let (dir, file) = (network.node_dir(name), network.path(&format!("signed-{name}")));
            let (voting, seat) = (dir.join("voting.key"), dir.join("seat.key"));
            let sign = [
                "node",
                "restart-plan",
                "sign",
                text(&plan),
                "--voting-key",
                text(&voting),
            ];
            let more = ["--account-key", text(&seat), "-o", text(&file)];
            network.ask(&[&sign[..], &more[..]].concat());
            file
        })
        .collect();
    // Without a voter's signature there is nothing to take.
    let (few, signed) = (network.path("few"), network.path("signed"));
    let collect = |files: &[std::path::PathBuf], output: &Path| {
        let names = files.iter().map(|file| text(file));
        let head = ["node", "restart-plan", "collect", text(&plan)];
        let all: Vec<&str> = head
            .into_iter()
            .chain(names)
            .chain(["-o", text(output)])
            .collect();
        network.run(&all)
    };
    let missing = collect(&files[..3], &few);
    assert_ne!(missing.code, Some(0), "{missing:?}");
    // Nor with too few of the people who are asked.
    let unwanted = network.path("unwanted");
    assert_eq!(collect(&files, &unwanted).code, Some(0));
    let refused = network.run(&["node", "restart-plan", "take", text(&unwanted), "--node", "v1"]);
    assert!(
        refused
            .err
            .contains("0 of 5 people who are asked agree; it takes 4"),
        "{refused:?}"
    );
    let collected = collect(&[&files[..], &of_people[..]].concat(), &signed);
    assert_eq!(collected.code, Some(0), "{collected:?}");
    for name in ["v1", "v2", "v4"] {
        let taken = network.ask(&[
            "node",
            "restart-plan",
            "take",
            text(&signed),
            "--accept",
            "--node",
            name,
        ]);
        assert_eq!(taken["looked_at"]["is_accepted"], true, "{taken}");
        assert_eq!(taken["looked_at"]["base"], base, "{taken}");
    }
    // Killed in the middle, a node remembers for how long it looked; and the new machine may vote from now on.
    for name in ["v2", "v4"] {
        network.kill(name);
    }
    std::fs::write(network.node_dir("v4").join("config.toml"), with_key).unwrap();
    for name in ["v2", "v4"] {
        network.start(name);
    }

    until("blocks resume", PATIENCE, || network.height("v1") > base + 3);
    until("v4 votes with its new key", PATIENCE, || {
        network.height("v4") > base + 3
    });
    let known = network.ask(&["node", "restart-plan", "show", "--node", "v1"]);
    assert_eq!(known["restarts"], 1, "{known}");
    let id = known["network"].as_str().unwrap();
    assert_ne!(id, network.id);
    assert!(id.starts_with(&network.id), "{id}");
    let proof = network.path("restarted.proof");
    let height = base + 2;
    network.ask(&["chain", "proof", &height.to_string(), "-o", text(&proof)]);
    let verified = network.ask(&["verify", text(&proof), "--network", id]);
    assert_eq!(verified["height"], height, "{verified}");
    let before = network.run(&["verify", text(&proof), "--network", &network.id]);
    assert_eq!(before.code, Some(8), "another network: {before:?}");
    begin_after_it(&network, &signed, base);
    check_over_the_wire(&network, id);
    network.check_supply("v1");
}

/// The other machine is replaced after the restart: whoever sets it up names the plan beside the genesis, and it votes with its new key.
fn begin_after_it(network: &Network, signed: &Path, base: u64) {
    let path = network.node_dir("v3").join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let lines = config.lines().map(|line| {
        if line.starts_with("genesis") {
            format!("{line}\nrestart_plans = [{:?}]", text(signed))
        } else {
            line.to_owned()
        }
    });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    network.start("v3");
    until("v3 has caught up", PATIENCE, || network.height("v3") > base + 3);
    // Without the other new machine it is needed.
    network.kill("v4");
    network.wait_blocks("v1", 3);
}

/// Nodes of the network prove what they say, restart included, to whoever knows its id; who knows the one before is told why not.
fn check_over_the_wire(network: &Network, id: &str) {
    let dialled = |name: &str| {
        let node = network.node(name);
        format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", node.p2p_port, node.peer_id)
    };
    let (one, other) = (dialled("v1"), dialled("v3"));
    for known in [&["--network", id][..], &[]] {
        let checked = network.ask(&[&["peers", "check", &one, &other], known].concat());
        assert_eq!(
            (&checked["light"], &checked["agreeing"]),
            (&"green".into(), &2.into()),
            "{checked}"
        );
    }
    let before = network.run(&["peers", "check", &one, "--network", &network.id]);
    assert_eq!(before.code, Some(4), "another network: {before:?}");
}
