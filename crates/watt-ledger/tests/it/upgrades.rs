//! How the rules change: who decides it, when it is certain, and who can't follow.

use crate::seats::{Nodes, TERM_SLOTS, contradiction, short_terms};
use crate::world::{START, World, genesis, id, key, seat, transfer};
use watt_ledger::apply::{APPROVAL_TERMS, LAPSE_TERMS, VERSIONS_AHEAD_MAX};
use watt_ledger::genesis::{COUNCIL_TERMS_MAX, InvalidGenesis};
use watt_ledger::query::{self, Readiness};
use watt_ledger::rows::{
    self, COUNCIL_SEATS, DecisionOutcome, ELECTORATE_OF_COUNCIL_MAX, PlannedUpgrade, UpgradesRow,
};
use watt_ledger::{Done, Event, Genesis, InvalidBlock, Refused, apply_block};
use watt_light::{Operation, SignedTransaction};
use watt_primitives::{Amount, BoundedVec, Term, codec};
use watt_trust::backbone::Why;

const COUNCIL: std::ops::Range<u8> = 12..19;

/// Short terms, `seats` seats of the people from 40 on, and a council of the people 12 to 18 for 300 terms.
pub fn document(seats: u8) -> Genesis {
    let mut document = short_terms();
    document.backbone = BoundedVec::new((0..seats).map(seat).collect()).unwrap();
    document.council = BoundedVec::new(COUNCIL.map(id).collect()).unwrap();
    document.council_until = Term(300);
    document
}

fn approval(version: u32, not_before: u64) -> Operation {
    Operation::ApproveUpgrade {
        version,
        not_before: Term(not_before),
    }
}

impl Nodes {
    /// As many members of the council as it takes want this version, from this term on.
    pub fn decide(&mut self, version: u32, not_before: u64) {
        for (n, member) in (1u8..6).zip(COUNCIL) {
            let done = self.act(member, approval(version, not_before));
            let expected = Done::UpgradeApproved {
                version,
                n_agreeing: n,
                is_decided: n == 5,
            };
            assert_eq!(done, Ok(expected));
        }
    }

    pub fn upgrades(&self) -> UpgradesRow {
        query::upgrades(&self.world.state).unwrap()
    }

    pub fn version(&self) -> u32 {
        self.world.last.header.version
    }

    pub fn outcome(&self, number: u64) -> DecisionOutcome {
        query::decision(&self.world.state, number).unwrap().outcome
    }

    pub fn upgrade_events(&self) -> Vec<(u64, Event)> {
        let is_one = |event: &Event| {
            matches!(
                event,
                Event::UpgradeArmed { .. }
                    | Event::UpgradeWaits { .. }
                    | Event::UpgradeLapsed { .. }
                    | Event::RulesChanged { .. }
                    | Event::Rescued { .. }
            )
        };
        let events = self.events.iter().filter(|(_, event)| is_one(event));
        events.copied().collect()
    }

    pub fn all_know(&mut self, people: std::ops::Range<u8>, version: u32) {
        self.knows.extend(people.map(|person| (person, version)));
    }
}

/// In its first days the network changes its rules: five of seven decide, the backbone has the program, and a term later than the
/// next one begins under the new version, which the blocks name from its first on. Covers: A11.
#[test]
fn the_council_changes_the_rules_of_a_young_network() {
    let mut nodes = Nodes::of(&document(4), 40..44);
    nodes.all_know(40..44, 2);
    nodes.decide(2, 0);
    let planned = PlannedUpgrade {
        version: 2,
        not_before: Term(2),
        lapses_after: Term(2 + LAPSE_TERMS),
        armed_for: None,
    };
    assert_eq!(nodes.upgrades().planned, Some(planned));
    let decision = query::decision(&nodes.world.state, 0).unwrap();
    let mut by: Vec<_> = (12..17).map(id).collect();
    by.sort_unstable();
    assert_eq!(decision.by.to_vec(), by, "each use is recorded");
    assert_eq!(decision.outcome, DecisionOutcome::Waits {});

    let armed_at = 2 * TERM_SLOTS - TERM_SLOTS / 4;
    nodes.go_to(armed_at - 1);
    assert_eq!(
        nodes.upgrades().planned,
        Some(planned),
        "not before its backbone is final"
    );
    nodes.go_to(armed_at);
    assert_eq!(nodes.upgrades().planned.unwrap().armed_for, Some(Term(2)));
    let all_ready: Vec<Option<u32>> = query::readiness(&nodes.world.state, Term(1))
        .iter()
        .map(|one: &Readiness| one.knows)
        .collect();
    assert_eq!(all_ready, [Some(2); 4]);

    nodes.go_to(2 * TERM_SLOTS - 1);
    assert_eq!(
        (nodes.version(), query::next_version(&nodes.world.state)),
        (1, Some(2))
    );
    let mut late = nodes.world.proposal(&[]);
    late.version = 1;
    let block = nodes.world.check(late, Vec::new()).unwrap();
    assert_eq!(
        apply_block(&nodes.world.state, &block).map(|_| ()),
        Err(InvalidBlock::OtherVersion {
            found: 1,
            expected: 2
        }),
        "nobody can go on by the old rules"
    );
    nodes.go_to_term(2);
    assert_eq!(nodes.version(), 2);
    let row = nodes.upgrades();
    assert_eq!((row.version, row.since, row.planned), (2, Term(2), None));
    assert_eq!(nodes.outcome(0), DecisionOutcome::InForce { term: Term(2) });
    let (version, term) = (2, Term(2));
    assert_eq!(
        nodes.upgrade_events(),
        [
            (armed_at, Event::UpgradeArmed { version, term }),
            (2 * TERM_SLOTS, Event::RulesChanged { version, term }),
        ]
    );
    nodes.go_to_term(3);
    assert_eq!(nodes.version(), 2);
    nodes.world.check_invariants();
}

/// With one program too few the rules stay; every term it is counted again, until there are enough. Of seven entries, of which two may
/// be faulty, one may be left behind: two are one too many for it, three could stop the network. Covers: A11.
#[test]
fn too_few_programs_arm_nothing() {
    let mut nodes = Nodes::of(&document(7), 40..47);
    nodes.all_know(40..44, 2);
    nodes.all_know(44..45, 7);
    nodes.decide(2, 3);
    let waits = |n_ready| Event::UpgradeWaits {
        version: 2,
        n_ready,
        n_needed: 6,
    };
    nodes.go_to_term(4);
    assert_eq!(nodes.version(), 1);
    let counted_at = |term: u64| term * TERM_SLOTS - TERM_SLOTS / 4;
    assert_eq!(
        nodes.upgrade_events(),
        [(counted_at(3), waits(5)), (counted_at(4), waits(5))]
    );
    // What a program said in an earlier term does not count: it may have been taken back.
    nodes.all_know(44..45, 1);
    nodes.go_to_term(5);
    assert_eq!(nodes.upgrade_events().last(), Some(&(counted_at(5), waits(4))));
    nodes.all_know(44..46, 2);
    nodes.go_to_term(6);
    assert_eq!(nodes.version(), 2, "six of seven");
    assert_eq!(nodes.outcome(0), DecisionOutcome::InForce { term: Term(6) });
}

/// What the backbone never follows is given up after ninety terms, and something else can be decided. Covers: A11.
#[test]
fn what_nobody_follows_lapses() {
    let mut nodes = Nodes::of(&document(4), []);
    nodes.decide(2, 0);
    nodes.go_to((2 + LAPSE_TERMS) * TERM_SLOTS - TERM_SLOTS / 4 - 1);
    assert!(nodes.upgrades().planned.is_some());
    nodes.go_to_term(2 + LAPSE_TERMS);
    assert_eq!(nodes.upgrades().planned, None);
    assert_eq!(
        (nodes.version(), nodes.outcome(0)),
        (1, DecisionOutcome::Lapsed {})
    );
    nodes.decide(3, 0);
    assert_eq!(nodes.upgrades().planned.map(|planned| planned.version), Some(3));
}

/// Who can't follow the new rules counts as silent: the seat goes to somebody else in the term after the switch, and not to one who
/// can't follow either. Covers: A11.
#[test]
fn whoever_is_left_behind_loses_the_seat() {
    let mut nodes = Nodes::of_with_circles(&document(7), 40..47);
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.all_know(40..46, 2);
    nodes.all_know(23..24, 2);
    nodes.decide(2, 0);
    nodes.go_to_term(term + 2);
    assert_eq!(nodes.version(), 2);
    for left_behind in [46, 20, 21, 22] {
        nodes.there.remove(&left_behind);
    }
    nodes.go_to_term(term + 3);
    let given: Vec<Event> = nodes
        .events
        .iter()
        .map(|(_, event)| *event)
        .filter(|event| matches!(event, Event::SeatGiven { .. }))
        .collect();
    let expected = Event::SeatGiven {
        term: Term(term + 3),
        leaves: id(46),
        enters: id(23),
        why: Why::Silent,
    };
    assert_eq!(given, [expected]);
}

/// A decision can be taken back or replaced until it is certain, and not from then on. Covers: A11.
#[test]
fn a_decision_can_be_taken_back_until_it_is_certain() {
    let mut nodes = Nodes::of(&document(4), 40..44);
    nodes.all_know(40..44, 2);
    nodes.decide(2, 0);
    nodes.decide(1, 0);
    assert_eq!(nodes.upgrades().planned, None);
    assert_eq!(
        [nodes.outcome(0), nodes.outcome(1)],
        [DecisionOutcome::Replaced {}, DecisionOutcome::Stays {}]
    );
    nodes.go_to_term(2);
    assert_eq!((nodes.version(), nodes.upgrade_events()), (1, Vec::new()));
    nodes.decide(3, 0);
    nodes.decide(2, 0);
    assert_eq!(nodes.outcome(2), DecisionOutcome::Replaced {});
    nodes.go_to(4 * TERM_SLOTS - 2);
    let certain = Refused::UpgradeArmed {
        version: 2,
        term: Term(4),
    };
    assert_eq!(nodes.act(12, approval(2, 0)), Err(certain));
    nodes.go_to_term(4);
    assert_eq!(nodes.version(), 2);
    let range = Refused::UpgradeVersion {
        first: 2,
        last: 2 + VERSIONS_AHEAD_MAX,
    };
    assert_eq!(nodes.act(12, approval(1, 0)), Err(range), "rules don't go back");
}

/// Four of seven decide nothing, nobody has two voices, the latest of the terms that they name counts, and nothing said long ago.
/// Covers: A11.
#[test]
fn the_council_has_rules() {
    let mut nodes = Nodes::of(&document(4), []);
    assert_eq!(nodes.act(11, approval(2, 0)), Err(Refused::NotInCouncil));
    let highest = 1 + VERSIONS_AHEAD_MAX;
    let range = Refused::UpgradeVersion {
        first: 1,
        last: highest,
    };
    for version in [0, highest + 1] {
        assert_eq!(nodes.act(12, approval(version, 0)), Err(range));
    }
    let last = Refused::UpgradeTerm {
        last: Term(APPROVAL_TERMS),
    };
    assert_eq!(nodes.act(12, approval(2, APPROVAL_TERMS + 1)), Err(last));
    let said = |nodes: &mut Nodes, member, version, not_before| {
        let Ok(Done::UpgradeApproved {
            n_agreeing,
            is_decided,
            ..
        }) = nodes.act(member, approval(version, not_before))
        else {
            unreachable!("{:?}", nodes.world.last.receipts)
        };
        (n_agreeing, is_decided)
    };
    assert_eq!(said(&mut nodes, 12, highest, APPROVAL_TERMS), (1, false));
    assert_eq!(said(&mut nodes, 12, 2, 0), (1, false));
    assert_eq!(said(&mut nodes, 12, 2, 5), (1, false), "again, and still one");
    for (member, n) in [(13, 2), (14, 3), (15, 4)] {
        assert_eq!(said(&mut nodes, member, 2, 0), (n, false));
    }
    assert_eq!(nodes.upgrades().approvals.len(), 4);
    assert_eq!(said(&mut nodes, 16, 3, 0), (1, false));
    assert_eq!(said(&mut nodes, 17, 2, 0), (5, true));
    assert_eq!(
        nodes.upgrades().planned.map(|planned| planned.not_before),
        Some(Term(5))
    );
    assert!(nodes.upgrades().approvals.is_empty());

    for member in 12..16 {
        said(&mut nodes, member, 4, 0);
    }
    nodes.go_to_term(APPROVAL_TERMS + 2);
    assert_eq!(said(&mut nodes, 16, 4, 0), (1, false), "the others' time is over");
    nodes.world.check_invariants();
}

/// The council ends by itself, with its time and with the five thousand and first person who may vote. Covers: A11.
#[test]
fn the_council_ends_by_itself() {
    let mut short = document(4);
    short.council_until = Term(1);
    let mut nodes = Nodes::of(&short, []);
    nodes.go_to(TERM_SLOTS - 2);
    assert!(nodes.act(12, approval(2, 0)).is_ok());
    assert_eq!(nodes.act(13, approval(2, 0)), Err(Refused::CouncilOver));

    let mut nodes = Nodes::of(&document(4), []);
    let set = |nodes: &mut Nodes, electorate| {
        // Nobody can be certified yet, so the count is planted.
        let row = UpgradesRow {
            electorate,
            ..nodes.upgrades()
        };
        let writes = [(rows::UPGRADES.to_vec(), Some(codec::encode(&row)))];
        nodes.world.state.write(&writes.into());
    };
    set(&mut nodes, ELECTORATE_OF_COUNCIL_MAX);
    for member in 12..16 {
        assert!(nodes.act(member, approval(2, 0)).is_ok(), "five thousand");
    }
    set(&mut nodes, ELECTORATE_OF_COUNCIL_MAX + 1);
    assert_eq!(nodes.act(16, approval(2, 0)), Err(Refused::CouncilOver));
    assert_eq!(nodes.upgrades().planned, None);

    let mut nodes = Nodes::of(&short_terms(), []);
    assert_eq!(
        nodes.act(12, approval(2, 0)),
        Err(Refused::NotInCouncil),
        "a network without one"
    );
}

/// A council is whole, of different people of the document, and not for ever; a network begins with rules that exist.
#[test]
fn a_genesis_has_a_sound_council() {
    let with = |change: &dyn Fn(&mut Genesis)| {
        let mut document = document(4);
        change(&mut document);
        document.check()
    };
    let council = |members: &[u8]| BoundedVec::new(members.iter().map(|n| id(*n)).collect()).unwrap();
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|d| d.council_until = Term(COUNCIL_TERMS_MAX)), Ok(()));
    let wrong: [&dyn Fn(&mut Genesis); 6] = [
        &|d| d.council = council(&[12, 13, 14, 15, 16, 17]),
        &|d| d.council = council(&[12, 13, 14, 15, 16, 17, 17]),
        &|d| d.council = council(&[12, 13, 14, 15, 16, 17, 99]),
        &|d| d.council = BoundedVec::empty(),
        &|d| d.council_until = Term(0),
        &|d| d.council_until = Term(COUNCIL_TERMS_MAX + 1),
    ];
    for change in wrong {
        assert_eq!(with(change), Err(InvalidGenesis::Council));
    }
    let newest = watt_light::proposal::PROTOCOL_VERSION_MAX;
    assert_eq!(with(&|d| d.protocol = newest), Ok(()));
    for found in [0, newest + 1] {
        assert_eq!(
            with(&|d| d.protocol = found),
            Err(InvalidGenesis::Protocol { found })
        );
    }
    assert_eq!(COUNCIL.len(), COUNCIL_SEATS);
}

/// The rule that came with version 2: evidence has room of its own in a full block, and does not make it free for all others.
/// Covers: A11, A8.
#[test]
fn from_version_2_on_evidence_is_a_duty() {
    let paid = |protocol| {
        let mut document = genesis("crowded");
        document.parameters.block_transactions_max = 4;
        document.protocol = protocol;
        let mut world = World::of(&document);
        let with_fee = |world: &World, person: u8| -> SignedTransaction {
            let mut draft = world.draft(person, vec![transfer(9, 1)]);
            draft.fee = Amount(1_000_000);
            draft.sign(&key(person), &world.network, Vec::new()).unwrap()
        };
        let evidence = Operation::ReportEvidence {
            evidence: Box::new(contradiction(&world, 200)),
        };
        let mut transactions: Vec<SignedTransaction> =
            (1..4).map(|person| with_fee(&world, person)).collect();
        let by_a_voter = world.sign(41, vec![evidence]);
        let is_duty = watt_ledger::admit(&world.state, &by_a_voter).unwrap().is_duty;
        transactions.push(by_a_voter);
        world.block(transactions);
        let evidence = crate::world::result(&world.last.receipts[3]);
        assert_eq!(evidence, Ok(Done::EvidenceTaken { culprit: id(40) }));
        (is_duty, START.0 - world.balance(1).0 > 1)
    };
    assert_eq!(paid(1), (false, false), "its rate, zero, is that of the block");
    assert_eq!(paid(2), (true, true));
}
