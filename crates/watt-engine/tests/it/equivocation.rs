//! One validator signs contradictory proposals and statements and tells different peers different ones.

use crate::world::{World, key};
use watt_engine::Evidence;
use watt_engine::message::Message;
use watt_light::{Proposal, SignedProposal};
use watt_primitives::{BoundedVec, NodeId, SharedBytes, SlotIndex};
use watt_scp::{Ballot, Envelope, Pledges, Statement, Value};

/// Position of the liar in a world of four, and the seed of its key.
const LIAR: usize = 3;
const LIAR_SEED: u8 = 4;

const HONEST: [usize; 3] = [0, 1, 2];

/// Two proposals of the liar for the slot above the head, both well made, with empty bodies.
pub(crate) fn two_proposals(world: &World) -> [SignedProposal; 2] {
    let head = world.head(0);
    let (body_root, n_transactions, body_bytes) = watt_ledger::Body::empty(&world.network).description();
    [0, 1].map(|later_ms| {
        Proposal {
            network: world.network,
            slot: SlotIndex::from(head.height).next(),
            version: 1,
            parent: head.hash(),
            close_time: world.now.max(head.close_time.next()).plus(later_ms),
            body_root,
            n_transactions,
            body_bytes,
            proposer: liar(),
        }
        .sign(&key(LIAR_SEED))
    })
}

fn liar() -> NodeId {
    key(LIAR_SEED).node_id()
}

/// The liar says `pledges` to `nodes`.
pub(crate) fn say(world: &mut World, nodes: &[usize], pledges: &Pledges, proposals: &[SignedProposal]) {
    let statement = Statement {
        node: liar(),
        slot: SlotIndex::from(world.head(0).height).next(),
        quorum_set: world.genesis.quorum_set().hash(&world.network),
        pledges: pledges.clone(),
    };
    let message = Message::Statement {
        envelope: Box::new(Envelope::sign(statement, &key(LIAR_SEED), &world.network)),
        proposals: BoundedVec::new(proposals.to_vec()).unwrap(),
    };
    for node in nodes {
        world.inject(LIAR, *node, message.encode());
    }
}

pub(crate) fn nominate(votes: &[Value], accepted: &[Value]) -> Pledges {
    let list = |values: &[Value]| BoundedVec::new(values.to_vec()).unwrap();
    Pledges::Nominate {
        votes: list(votes),
        accepted: list(accepted),
    }
}

fn confirm(value: Value) -> Pledges {
    Pledges::Confirm {
        ballot: Ballot { counter: 1, value },
        prepared_counter: 1,
        c_counter: 1,
        h_counter: 1,
    }
}

/// A world of four in which the fourth lies; all four have agreed before.
fn world_with_a_liar(seed: u64) -> World {
    let mut world = World::new(4, 0, seed);
    assert!(world.reach(&[0, 1, 2, 3], 2, 20_000));
    world.usurp(LIAR);
    assert!(world.reach(&HONEST, world.head(0).height.0 + 1, 20_000));
    world
}

/// Waits until the honest ones have the same head.
fn settle(world: &mut World, what: &str) {
    let height = HONEST.map(|node| world.height(node)).into_iter().max().unwrap();
    assert!(
        world.reach(&HONEST, height, 60_000),
        "{what}: stopped at {height}"
    );
}

/// The liar shows one node one proposal and the two others another, tells these two that it accepts theirs, and falls silent: two
/// honest ones have a candidate that the third refused as the second of its proposer. The third takes it in when enough name it,
/// and blocks go on.
///
/// Covers: A1.
#[test]
fn a_second_proposal_that_others_saw_first_does_not_stop_the_network() {
    for seed in 0..4 {
        let mut world = world_with_a_liar(9_000 + seed);
        for round in 0..16 {
            settle(&mut world, &format!("seed {seed}, round {round}"));
            let [one, other] = two_proposals(&world);
            let values = [one.proposal.value(), other.proposal.value()];
            say(&mut world, &[0], &nominate(&values[..1], &[]), &[one]);
            say(
                &mut world,
                &[1, 2],
                &nominate(&values[1..], &values[1..]),
                &[other],
            );
            world.run_for(40);
            for (node, value) in [(0, values[0]), (1, values[1]), (2, values[1])] {
                let body = SharedBytes::new(watt_ledger::block::encode_body(&[], &[]).into()).unwrap();
                world.inject(LIAR, node, Message::Body { value, body }.encode());
            }
            let target = world.height(0) + 1;
            assert!(
                world.reach(&HONEST, target, 60_000),
                "seed {seed}, round {round}: heights {:?}",
                HONEST.map(|node| world.height(node))
            );
        }
        assert!(world.halts.is_empty(), "{:?}", world.halts);
    }
}

/// Two proposals and two commits of one validator: both are kept as signed evidence that names it, by everybody, since what one
/// hears it passes on; nobody else is named, however often it happens, and the memory it takes is bounded.
///
/// Covers: A1.
#[test]
fn the_culprit_is_named_with_both_signatures() {
    let mut world = world_with_a_liar(9_100);
    for round in 0..12 {
        settle(&mut world, &format!("round {round}"));
        let [one, other] = two_proposals(&world);
        let values = [one.proposal.value(), other.proposal.value()];
        say(&mut world, &[0], &nominate(&values[..1], &[]), &[one]);
        say(&mut world, &[1, 2], &nominate(&values[1..], &[]), &[other]);
        say(&mut world, &[0], &confirm(values[0]), &[]);
        say(&mut world, &[1, 2], &confirm(values[1]), &[]);
        let target = world.height(0) + 1;
        assert!(world.reach(&HONEST, target, 60_000), "round {round}");
    }
    for node in HONEST {
        let kept = world.engine(node).evidence();
        let culprits: Vec<NodeId> = kept.nodes().map(|(culprit, _)| culprit).collect();
        assert_eq!(culprits, [liar()], "node {node}");
        let total: u64 = kept.nodes().map(|(_, total)| total).sum();
        assert!(total >= 12, "node {node} counted {total}");
        let newest: Vec<&Evidence> = kept.newest().collect();
        assert!(newest.len() <= watt_engine::evidence::KEPT_PER_NODE_MAX);
        for evidence in &newest {
            assert_eq!(evidence.node(), liar());
            assert!(
                evidence.holds(&world.network),
                "a signature does not hold: {evidence:?}"
            );
        }
        let has = |what: &str| newest.iter().any(|evidence| evidence.kind() == what);
        assert!(
            has("two-proposals") && has("two-commits"),
            "node {node}: {newest:?}"
        );
    }
}

/// One validator has the fastest links and passes on what the others say without the proposals behind it, which no signature of a
/// statement covers. The proposals are taken from the copies that come later, and blocks go on.
///
/// Covers: A1.
#[test]
fn a_statement_that_comes_first_without_its_proposals_does_not_hide_them() {
    for seed in 0..4 {
        let mut world = world_with_a_liar(9_200 + seed);
        world.stripper = Some(LIAR);
        let target = world.height(0) + 10;
        assert!(
            world.reach(&HONEST, target, 60_000),
            "seed {seed}: heights {:?}",
            HONEST.map(|node| world.height(node))
        );
    }
}

/// One validator names another's proposal and puts a signature under it that does not hold. Who knows the proposal need not look,
/// and passes on the one it has: nobody hangs up on an honest peer.
///
/// Covers: A1.
#[test]
fn a_broken_copy_of_a_known_proposal_is_not_passed_on() {
    let mut world = world_with_a_liar(9_300);
    settle(&mut world, "before");
    // Two speak with each other, and the third hears of no proposal.
    world.partition(&[2], &[0, 1]);
    world.overheard.clear();
    world.run_for(3_000);
    let slot = SlotIndex::from(world.head(0).height).next();
    let proposals = world
        .overheard
        .iter()
        .filter_map(|bytes| match Message::decode(bytes) {
            Ok(Message::Statement { proposals, .. }) => Some(proposals.into_inner()),
            _ => None,
        });
    let known = proposals.flatten().find(|signed| signed.proposal.slot == slot);
    let mut broken = known.expect("somebody proposed");
    broken.signature = broken.proposal.clone().sign(&key(LIAR_SEED)).signature;
    world.heal();
    say(
        &mut world,
        &[0],
        &nominate(&[broken.proposal.value()], &[]),
        &[broken],
    );
    world.run_for(10_000);
    let honest = |node: &usize| HONEST.contains(node);
    let between_honest = |(a, b): &&(usize, usize)| honest(a) && honest(b);
    assert_eq!(world.hang_ups.iter().find(between_honest), None);
}
