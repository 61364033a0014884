//! Networks of seven and thirteen validators in bad weather: they agree always, and go on whenever a quorum is connected.

use crate::agreement::{all_go_on, check_agreement, check_logs, names};
use crate::network::Network;
use crate::wait::until_calm;
use crate::weather::{Conditions, Weather};
use std::time::Duration;

/// Blocks that must close in each weather.
const BLOCKS: u64 = 4;

/// Without a block for so long, the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(6);

/// Seven validators: long links and lossy links.
#[test]
fn seven_validators_in_bad_weather() {
    let network = Network::up(7, 0);
    let weather = Weather::over(&network);
    links_are_long_and_lossy(&network, &weather);
    check_logs(&network);
    network.check_supply("v1");
}

/// 50, 150 and 300 ms each way, so that an answer takes up to 600, and 5 % of the datagrams lost, also both at once: all seven close
/// blocks.
///
/// Covers: A1, A6.
fn links_are_long_and_lossy(network: &Network, weather: &Weather) {
    let all = names(network);
    for (delay_ms, loss_permille) in [(50, 0), (150, 0), (300, 0), (50, 50), (300, 50)] {
        weather.set(Conditions {
            delay: Duration::from_millis(delay_ms),
            loss_permille,
        });
        all_go_on(network, &all, BLOCKS);
    }
    weather.set(Conditions {
        delay: Duration::from_millis(50),
        loss_permille: 0,
    });
    check_agreement(network, &all);
}

/// Thirteen validators: the network falls apart in two ways, heals, and is restarted one by one.
#[test]
fn thirteen_validators_come_apart_and_together() {
    let network = Network::up(13, 0);
    let weather = Weather::over(&network);
    weather.set(Conditions {
        delay: Duration::from_millis(20),
        loss_permille: 0,
    });
    let all = names(&network);
    all_go_on(&network, &all, 2);
    six_and_seven_both_stop(&network, &weather);
    nine_go_on_without_four(&network, &weather);
    one_after_the_other_restarts(&network);
    check_agreement(&network, &all);
    check_logs(&network);
    network.check_supply("v1");
}

/// A quorum of thirteen is nine: of a network cut into six and seven no side closes a block. When it heals, all agree and go on.
///
/// Covers: A1.
fn six_and_seven_both_stop(network: &Network, weather: &Weather) {
    let all = names(network);
    let heights = || -> Vec<u64> { all.iter().map(|name| network.height(name)).collect() };
    weather.cut(&all[..6], &all[6..]);
    let at_cut = heights().into_iter().max().unwrap();
    let standing = until_calm("both sides stop", STANDSTILL, heights);
    // The slot that was under way may have been decided; one that nobody had begun can't be.
    let highest = standing.into_iter().max().unwrap();
    assert!(
        highest <= at_cut + 1,
        "from {at_cut} to {highest} without a quorum"
    );
    weather.heal();
    all_go_on(network, &all, 2);
    check_agreement(network, &all);
}

/// Nine of thirteen are a quorum and go on; the four others stop, and catch up when they are back.
///
/// Covers: A1, A6.
fn nine_go_on_without_four(network: &Network, weather: &Weather) {
    let all = names(network);
    let (nine, four) = all.split_at(9);
    weather.cut(nine, four);
    let at_cut = all.iter().map(|name| network.height(name)).max().unwrap();
    all_go_on(network, nine, BLOCKS);
    for name in four {
        assert!(
            network.height(name) <= at_cut + 1,
            "{name} went on without a quorum"
        );
    }
    weather.heal();
    all_go_on(network, &all, 2);
}

/// All thirteen are killed and started again, one after the other: the others never stop.
///
/// Covers: A1, A6.
fn one_after_the_other_restarts(network: &Network) {
    let all = names(network);
    for (position, name) in all.iter().enumerate() {
        let other = &all[(position + 1) % all.len()];
        network.kill(name);
        network.wait_blocks(other, 1);
        network.start_ready(name);
    }
    all_go_on(network, &all, 2);
}
