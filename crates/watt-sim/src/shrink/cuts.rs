//! What can be cut from a scenario, and how far, the boldest first.

use crate::director::Report;
use crate::net::WeatherName;
use crate::scenario::{Act, Network, Scenario, Step};
use crate::violation::Promise;

/// Smaller scenarios than this one, which breaks a promise in this run.
type Candidates = fn(&Scenario, &Report) -> Vec<Scenario>;

/// All kinds, in the order in which they are tried: what makes later runs short comes first.
pub(super) const ALL: [(&str, Candidates); 9] = [
    ("what must be in blocks", without_transactions_goal),
    ("the end", nearer_end),
    ("steps", fewer_steps),
    ("who misbehaves", fewer_actors),
    ("traffic", less_traffic),
    ("nodes", fewer_nodes),
    ("weather", calmer),
    ("numbers", plainer),
    ("what steps do", smaller_steps),
];

fn with(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut smaller = scenario.clone();
    change(&mut smaller);
    smaller
}

/// Nothing, half, and one less of `n`; without what is no less.
fn less(n: u64) -> Vec<u64> {
    let mut less = vec![0, n / 2, n.saturating_sub(1)];
    less.dedup();
    less.retain(|fewer| *fewer < n);
    less
}

fn less_usize(n: usize) -> Vec<usize> {
    let less = less(u64::try_from(n).unwrap_or(0));
    less.into_iter()
        .map(|n| usize::try_from(n).unwrap_or(0))
        .collect()
}

/// Whether too few transactions may be what is wrong: less traffic or less help would then break the promise by itself.
fn counts_transactions(scenario: &Scenario) -> bool {
    scenario.goal.transactions > 0
}

fn without_transactions_goal(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    vec![with(scenario, |smaller| smaller.goal.transactions = 0)]
}

/// The faults end sooner: when the promise broke, or halfway.
fn nearer_end(scenario: &Scenario, report: &Report) -> Vec<Scenario> {
    let goal = scenario.goal;
    if counts_transactions(scenario) {
        return Vec::new();
    }
    let broken = report.violation.as_ref().map(|violation| violation.promise);
    // A run ends where another promise breaks: nothing nearer helps.
    let ends = if broken == Some(Promise::Liveness) {
        vec![
            (goal.height / 2, goal.seconds / 2),
            (goal.height / 2, goal.seconds),
            (goal.height, goal.seconds / 2),
            (goal.height.saturating_sub(1), goal.seconds),
        ]
    } else {
        vec![(report.height + 1, report.ms.div_ceil(1_000))]
    };
    ends.into_iter()
        .map(|(height, seconds)| (height.clamp(1, goal.height), seconds.clamp(1, goal.seconds)))
        .map(|(height, seconds)| {
            with(scenario, |smaller| {
                (smaller.goal.height, smaller.goal.seconds) = (height, seconds);
            })
        })
        .collect()
}

/// Without a run of steps: all, halves, quarters, single ones.
fn fewer_steps(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let n = scenario.steps.len();
    let is_help = |step: &Step| matches!(step.act, Act::Heal | Act::Start | Act::FreeDisk);
    let mut smaller = Vec::new();
    let mut size = n;
    while size > 0 {
        for from in (0..n).step_by(size) {
            let gone = from..(from + size).min(n);
            let helps = scenario
                .steps
                .get(gone.clone())
                .unwrap_or_default()
                .iter()
                .any(is_help);
            if !(helps && counts_transactions(scenario)) {
                smaller.push(with(scenario, |smaller| drop(smaller.steps.drain(gone))));
            }
        }
        size /= 2;
    }
    smaller
}

fn fewer_actors(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let mut smaller = Vec::new();
    for place in 0..scenario.actors.len() {
        smaller.push(with(scenario, |smaller| {
            smaller.actors.remove(place);
        }));
        smaller.push(with(scenario, |smaller| {
            let cast = &mut smaller.actors[place];
            cast.count = cast.count.saturating_sub(1).max(1);
        }));
    }
    for place in 0..scenario.trades.len() {
        smaller.push(with(scenario, |smaller| {
            smaller.trades.remove(place);
        }));
        smaller.push(with(scenario, |smaller| {
            let cast = &mut smaller.trades[place];
            cast.count = cast.count.saturating_sub(1).max(1);
            cast.paid = cast.paid.map(|paid| paid.min(cast.count));
        }));
    }
    smaller
}

fn less_traffic(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    if counts_transactions(scenario) {
        return Vec::new();
    }
    let mut smaller = Vec::new();
    for transfers in less(u64::from(scenario.people.transfers_per_s)) {
        let transfers = u32::try_from(transfers).unwrap_or(0);
        smaller.push(with(scenario, |smaller| {
            smaller.people.transfers_per_s = transfers;
        }));
    }
    smaller.push(with(scenario, |smaller| smaller.people.accounts = 0));
    smaller.push(with(scenario, |smaller| smaller.people.forgers /= 2));
    smaller.push(with(scenario, |smaller| smaller.people.through_followers = false));
    for files in less_usize(scenario.storage.files) {
        smaller.push(with(scenario, |smaller| smaller.storage.files = files));
    }
    smaller
}

fn fewer_nodes(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let network = &scenario.network;
    let mut smaller = Vec::new();
    let mut take = |counts: Vec<usize>, change: fn(&mut Network, usize)| {
        for count in counts {
            smaller.push(with(scenario, |smaller| change(&mut smaller.network, count)));
        }
    };
    take(less_usize(network.followers), |network, count| {
        network.followers = count;
        network.far_followers = network.far_followers.min(count.saturating_sub(1));
    });
    take(less_usize(network.far_followers), |network, count| {
        network.far_followers = count;
    });
    take(less_usize(network.phones), |network, count| {
        network.phones = count;
    });
    take(less_usize(network.laptops), |network, count| {
        network.laptops = count;
    });
    take(less_usize(network.homes), |network, count| {
        network.homes = count;
    });
    take(less_usize(network.servers), |network, count| {
        network.servers = count;
    });
    for validators in [1, 4, network.validators.saturating_sub(1)] {
        let fewer = with(scenario, |smaller| smaller.network.validators = validators);
        if validators < network.validators && is_bearable(&fewer, scenario) {
            smaller.push(fewer);
        }
    }
    smaller
}

/// Whether no more may go wrong among fewer validators than may fail, so that what breaks is no rightful halt.
fn is_bearable(fewer: &Scenario, scenario: &Scenario) -> bool {
    let may_fail = |scenario: &Scenario| (usize::from(scenario.network.validators).saturating_sub(1)) / 3;
    let tolerated = may_fail(fewer);
    if tolerated == may_fail(scenario) {
        return true;
    }
    let actors: usize = fewer.actors.iter().map(|cast| cast.count).sum();
    let is_small = |step: &Step| step.count.is_some_and(|count| count <= tolerated);
    actors <= tolerated && fewer.steps.iter().all(is_small)
}

fn calmer(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let now = scenario.network.weather;
    let order = [
        WeatherName::Calm,
        WeatherName::Fair,
        WeatherName::Rough,
        WeatherName::Storm,
    ];
    let calmer = order.into_iter().take_while(|weather| *weather != now);
    calmer
        .map(|weather| with(scenario, |smaller| smaller.network.weather = weather))
        .collect()
}

/// Numbers that are no size as they are by default, so that the file need not say them.
fn plainer(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let plain = Network::default();
    let changes: [fn(&mut Network, &Network); 8] = [
        |network, plain| {
            network.slot_ms = plain.slot_ms;
        },
        |network, plain| {
            network.links = plain.links;
        },
        |network, plain| {
            network.hour = plain.hour;
        },
        |network, plain| {
            network.window_slots = plain.window_slots;
        },
        |network, plain| {
            network.porep_committee = plain.porep_committee;
            network.audit_windows = plain.audit_windows;
        },
        |network, plain| {
            network.audit_windows = plain.audit_windows;
        },
        |network, plain| {
            network.checkpoint_blocks = plain.checkpoint_blocks;
        },
        |network, plain| {
            network.block_transactions_max = plain.block_transactions_max;
        },
    ];
    changes
        .into_iter()
        .map(|change| with(scenario, |smaller| change(&mut smaller.network, &plain)))
        .collect()
}

/// Steps are done to fewer nodes, last less long, and say nothing that they do not need.
fn smaller_steps(scenario: &Scenario, _: &Report) -> Vec<Scenario> {
    let changes: [fn(&mut Step); 5] = [
        |step| {
            if step.act != Act::Weather {
                step.weather = None;
            }
        },
        |step| step.amount = None,
        |step| step.count = step.count.map(|_| 1),
        |step| step.count = step.count.map(|count| count.saturating_sub(1).max(1)),
        |step| step.seconds = step.seconds.map(|seconds| (seconds / 2).max(1)),
    ];
    let mut smaller = Vec::new();
    for place in 0..scenario.steps.len() {
        for change in changes {
            smaller.push(with(scenario, |smaller| change(&mut smaller.steps[place])));
        }
    }
    smaller
}
