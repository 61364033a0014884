//! Swarm mode: every seed draws its own network, its own faults and its own mix of them.

use super::{Act, Cast, Goal, Group, Mode, Network, People, Scenario, Step};
use crate::actor::ValidatorActor;
use crate::luck::{Luck, Purpose};
use crate::net::WeatherName;
use crate::storage::Habits;

/// How far a clock may be off, in milliseconds.
const SKEW_MS_MAX: u64 = 600_000;

/// Seeds in a thousand whose terms are short.
const SHORT_TERMS_PERMILLE: u64 = 250;

/// The scenario of this seed.
#[must_use]
pub fn swarm(seed: u64) -> Scenario {
    let mut luck = Luck::new(seed, Purpose::Faults);
    let validators = [4, 4, 4, 4, 5, 7][luck.index(6)];
    let faulty = (usize::from(validators) - 1) / 3;
    let mut network = Network {
        validators,
        followers: luck.index(5),
        links: 2 + luck.index(4),
        slot_ms: [500, 1_000, 1_000, 5_000][luck.index(4)],
        weather: [WeatherName::Calm, WeatherName::Fair, WeatherName::Rough][luck.index(3)],
        checkpoint_blocks: [4, 64][luck.index(2)],
        block_transactions_max: [3, 50, 500][luck.index(3)],
        ..Network::default()
    };
    let actors = if luck.permille(400) {
        let kinds = [
            ValidatorActor::Equivocator,
            ValidatorActor::BodyWithholder,
            ValidatorActor::Censor,
            ValidatorActor::SilentValidator,
            ValidatorActor::QuorumLiar,
        ];
        vec![Cast {
            actor: kinds[luck.index(kinds.len())],
            count: 1 + luck.index(faulty),
        }]
    } else {
        Vec::new()
    };
    let mut goal = Goal {
        height: 8 + luck.below(12),
        seconds: 120,
        mode: Mode::Liveness,
        recover_s: 120,
        ..Goal::default()
    };
    // Each seed has its own few kinds of fault, so that rare mixes are not drowned by all of them at once.
    let kinds: Vec<Act> = KINDS.iter().copied().filter(|_| luck.permille(350)).collect();
    let n_steps = if kinds.is_empty() { 0 } else { luck.index(9) };
    let seconds_max = goal.height * network.slot_ms / 1_000;
    let mut steps: Vec<Step> = (0..n_steps)
        .map(|_| draw(&mut luck, &kinds, usize::from(validators), seconds_max.max(10)))
        .collect();
    // What more validators than may fail do to themselves rightly stops the network: one such step, by no more than may fail,
    // and none beside validators that misbehave.
    let mut is_free = actors.is_empty();
    steps.retain(|step| !is_bounded(step.act) || std::mem::take(&mut is_free));
    steps.sort_by_key(|step| step.second);
    let transfers_per_s = [0, 1, 5, 20][luck.index(4)];
    if luck.permille(SHORT_TERMS_PERMILLE) {
        // Terms as short as can be: keys change twice, whatever happens meanwhile.
        network.term_windows = 2;
        goal.height += 2 * network.term_windows * network.window_slots;
    }
    Scenario {
        name: "swarm".to_owned(),
        about: "Every seed draws its own mix of faults.".to_owned(),
        waits_for: None,
        known_bug: None,
        is_long: false,
        regressions: Vec::new(),
        people: People {
            accounts: 0,
            forgers: 0,
            through_followers: false,
            transfers_per_s,
        },
        trades: Vec::new(),
        storage: Habits::default(),
        network,
        actors,
        steps,
        goal,
    }
}

const KINDS: [Act; 16] = [
    Act::Partition,
    Act::Deafen,
    Act::Heal,
    Act::Weather,
    Act::Stop,
    Act::PowerCut,
    Act::PowerCut,
    Act::RollingRestart,
    Act::CrashAtPersist,
    Act::Skew,
    Act::LoseBlocks,
    Act::RotBlock,
    Act::Wipe,
    Act::FullDisk,
    Act::Spam,
    Act::Poison,
];

/// Whether it takes from validators what they may have promised by, or the time.
fn is_bounded(act: Act) -> bool {
    matches!(act, Act::Skew | Act::LoseBlocks | Act::RotBlock | Act::Wipe)
}

fn draw(luck: &mut Luck, kinds: &[Act], validators: usize, seconds_max: u64) -> Step {
    let act = kinds[luck.index(kinds.len())];
    let who = [Group::All, Group::Validators, Group::Validators, Group::Followers][luck.index(4)];
    let amount = match act {
        Act::Skew => i64::try_from(luck.below(2 * SKEW_MS_MAX)).unwrap_or(0) - SKEW_MS_MAX.cast_signed(),
        Act::LoseBlocks | Act::RotBlock => i64::try_from(luck.below(5)).unwrap_or(0),
        Act::Spam => i64::try_from(luck.below(200)).unwrap_or(0),
        Act::Partition
        | Act::Deafen
        | Act::Heal
        | Act::Weather
        | Act::Stop
        | Act::PowerCut
        | Act::RollingRestart
        | Act::CrashAtPersist
        | Act::Start
        | Act::Leave
        | Act::Wipe
        | Act::FullDisk
        | Act::FreeDisk
        | Act::RotSlot
        | Act::RotReplica
        | Act::RotJournal
        | Act::Amnesia
        | Act::Program
        | Act::Rescue
        | Act::Decide
        | Act::Clone
        | Act::Poison
        | Act::GrindKeys
        | Act::ForgeProofs
        | Act::ForgePast
        | Act::Contradict
        | Act::LoseDisk
        | Act::Succeed
        | Act::RestartPlan
        | Act::PlanIsRefuted
        | Act::StandStill
        | Act::Eclipse => 0,
    };
    let count_max = if is_bounded(act) {
        (validators - 1) / 3
    } else {
        validators
    };
    Step {
        height: None,
        second: Some(luck.below(seconds_max)),
        times: None,
        every: None,
        act,
        who: if is_bounded(act) { Group::Validators } else { who },
        count: Some(1 + luck.index(count_max.max(1))),
        permille: None,
        seconds: Some(1 + luck.below(30)),
        amount: Some(amount),
        weather: Some(
            [
                WeatherName::Calm,
                WeatherName::Fair,
                WeatherName::Rough,
                WeatherName::Storm,
            ][luck.index(4)],
        ),
    }
}
