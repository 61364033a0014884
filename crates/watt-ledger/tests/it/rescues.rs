//! A network whose program can't go on follows a rescue release, says so for ever, and goes back unless it is ratified.

use crate::seats::{Nodes, TERM_SLOTS};
use crate::upgrades::document;
use watt_ledger::apply::RESCUE_TERMS;
use watt_ledger::rescue::InvalidRescue;
use watt_ledger::rows::{DecisionOutcome, RescueRow};
use watt_ledger::{Event, InvalidBlock, Rescue, Rescues, apply_rescued, query};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_primitives::{BlockHeight, BoundedString, Hash, Term};

fn rescue(nodes: &Nodes, version: u32) -> Rescue {
    Rescue {
        base: BlockHeight(nodes.world.height()),
        header: nodes.world.last.header.hash(),
        version,
        reason: BoundedString::new("the first block of a term could not be executed".to_owned()).unwrap(),
    }
}

fn holding(rescue: Rescue) -> Rescues {
    Rescues::of_program().with(rescue).unwrap()
}

/// A stopped network of four, and the rescue release of its people.
fn stopped() -> Nodes {
    let mut nodes = Nodes::of(&document(4), 40..44);
    nodes.go_to(TERM_SLOTS - 1);
    nodes.world.rescues = holding(rescue(&nodes, 2));
    nodes
}

/// The block above the named one follows the other rules though its proposal, which may have been decided before, names those of
/// the ledger; who, when and why stays on the ledger, and all later blocks name the new version. Covers: A11.
#[test]
fn a_rescue_takes_effect_above_its_block() {
    let mut nodes = stopped();
    let stopped_at = nodes.world.height();
    let proposal = nodes.world.proposal(&[]);
    assert_eq!(proposal.version, 1);
    nodes.go_to(stopped_at + 1);
    assert_eq!(nodes.version(), 2);
    let lapses = Term(1 + RESCUE_TERMS + 1);
    let row = nodes.upgrades();
    let expected = RescueRow {
        before: 1,
        term: Term(1),
        lapses,
        decision: 0,
    };
    assert_eq!((row.version, row.since, row.rescue), (2, Term(1), Some(expected)));
    let decision = query::decision(&nodes.world.state, 0).unwrap();
    assert_eq!(decision.height.0, stopped_at + 1);
    assert_eq!(
        decision.reason.as_str(),
        "the first block of a term could not be executed"
    );
    assert!(decision.by.is_empty());
    assert_eq!(decision.outcome, DecisionOutcome::Rescued { lapses });
    let version = 2;
    let events = [(stopped_at + 1, Event::Rescued { version, lapses })];
    assert_eq!(nodes.upgrade_events(), events);
    assert_eq!(nodes.world.proposal(&[]).version, 2, "from the next block on");
    nodes.go_to_term(3);
    assert_eq!(nodes.version(), 2);
    nodes.world.check_invariants();
}

/// Without the release the same block has another header, and the next one can't stand on it: such a program can't go on unnoticed.
/// Covers: A11.
#[test]
fn who_does_not_hold_it_can_not_follow() {
    let mut nodes = stopped();
    let mut without = nodes.world.clone();
    without.rescues = Rescues::of_program();
    nodes.world.block(Vec::new());
    without.block(Vec::new());
    assert_eq!(without.last.header.version, 1);
    assert_ne!(without.last.header.hash(), nodes.world.last.header.hash());
    let next = nodes.world.check(nodes.world.proposal(&[]), Vec::new()).unwrap();
    let refused = apply_rescued(&without.state, &next, &without.rescues).map(|_| ());
    let (found, expected) = (2, 1);
    assert_eq!(refused, Err(InvalidBlock::OtherVersion { found, expected }));
}

/// A release above another block, or for rules that are in force already, changes nothing. Covers: A11.
#[test]
fn a_rescue_is_for_one_block() {
    let mut nodes = stopped();
    let here = rescue(&nodes, 2);
    let other = Rescue {
        header: Hash([9; 32]),
        ..here.clone()
    };
    nodes.world.rescues = holding(other);
    assert_eq!(nodes.world.attempt(Vec::new()).unwrap().header.version, 1);
    nodes.world.rescues = holding(here);
    nodes.close(Vec::new());
    let again = rescue(&nodes, 2);
    nodes.world.rescues = nodes.world.rescues.clone().with(again).unwrap();
    nodes.close(Vec::new());
    assert_eq!(nodes.upgrades().n_decisions, 1, "rules in force are no rescue");
}

/// What nobody ratifies ends after thirty terms, known in advance, and with it the version. Covers: A11.
#[test]
fn a_rescue_lapses() {
    let mut nodes = stopped();
    nodes.close(Vec::new());
    let lapses = nodes.upgrades().rescue.unwrap().lapses;
    nodes.go_to(lapses.0 * TERM_SLOTS - 1);
    assert_eq!(nodes.version(), 2);
    assert_eq!(query::next_version(&nodes.world.state), Some(1));
    nodes.go_to_term(lapses.0);
    assert_eq!(nodes.version(), 1);
    assert_eq!(nodes.upgrades().rescue, None);
    assert_eq!(nodes.outcome(0), DecisionOutcome::Lapsed {});
    let (version, term) = (1, lapses);
    let last = (lapses.0 * TERM_SLOTS, Event::RulesChanged { version, term });
    assert_eq!(nodes.upgrade_events().last(), Some(&last));
}

/// Five of the council decide to stay with it, and it stays. Covers: A11.
#[test]
fn a_rescue_is_ratified() {
    let mut nodes = stopped();
    nodes.close(Vec::new());
    nodes.decide(2, 0);
    assert_eq!(
        [nodes.outcome(0), nodes.outcome(1)],
        [DecisionOutcome::Ratified {}, DecisionOutcome::Stays {}]
    );
    nodes.go_to_term(RESCUE_TERMS + 4);
    assert_eq!((nodes.version(), nodes.upgrades().rescue), (2, None));
}

/// A change that was decided before does not come on top of it: nobody looked at the two together. Covers: A11.
#[test]
fn a_rescue_takes_the_place_of_what_was_planned() {
    let mut nodes = Nodes::of(&document(4), 40..44);
    nodes.all_know(40..44, 2);
    nodes.decide(2, 0);
    nodes.go_to(2 * TERM_SLOTS - 1);
    assert!(nodes.upgrades().planned.unwrap().armed_for.is_some());
    nodes.world.rescues = holding(rescue(&nodes, 2));
    // The program that the ledger is about to ask for is the rescue: then there is nothing to rescue.
    nodes.close(Vec::new());
    assert_eq!((nodes.version(), nodes.upgrades().rescue), (2, None));

    let mut nodes = Nodes::of(&document(4), 40..44);
    nodes.decide(2, 0);
    nodes.world.rescues = holding(rescue(&nodes, 2));
    nodes.close(Vec::new());
    assert_eq!(nodes.upgrades().planned, None);
    assert_eq!(nodes.outcome(0), DecisionOutcome::Replaced {});
    assert_eq!(nodes.version(), 2);
}

/// Nobody loses a seat for having run the program that there was: all updated after it. Covers: A11.
#[test]
fn a_rescue_costs_no_seat() {
    let mut nodes = Nodes::of_with_circles(&document(7), 40..47);
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    // Shortly before the seats of the next term are planned, so that nobody said before it what they know.
    nodes.go_to((term + 1) * TERM_SLOTS + TERM_SLOTS / 2 - 2);
    nodes.world.rescues = holding(rescue(&nodes, 2));
    nodes.close(Vec::new());
    nodes.all_know(40..47, 2);
    nodes.go_to_term(term + 4);
    let is_given = |event: &Event| matches!(event, Event::SeatGiven { .. });
    assert!(!nodes.events.iter().any(|(_, event)| is_given(event)));
    assert_eq!(nodes.version(), 2);
}

/// A release names rules that the program has, gives a reason, and is the only one above its block.
#[test]
fn a_rescue_is_sound() {
    let nodes = Nodes::of(&document(4), 40..44);
    let sound = rescue(&nodes, 2);
    for found in [0, 1, PROTOCOL_VERSION_MAX + 1] {
        let refused = Rescues::of_program().with(rescue(&nodes, found));
        assert_eq!(refused, Err(InvalidRescue::Version { found }));
    }
    let unsaid = Rescue {
        reason: BoundedString::default(),
        ..sound.clone()
    };
    assert_eq!(Rescues::of_program().with(unsaid), Err(InvalidRescue::NoReason));
    let base = sound.base;
    let twice = holding(sound.clone()).with(sound);
    assert_eq!(twice, Err(InvalidRescue::Twice { base }));
}
