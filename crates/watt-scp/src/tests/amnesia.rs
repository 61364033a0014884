//! Model checking of nodes that forget: more than may fail lose what they said in one slot, and others hold it (TC3).
//!
//! As in [`super::model`], the nodes are the real ones. Two of four may lose their journals at any moment after somebody who remembers
//! has heard their newest word; they are told it before they speak.

use super::model::{Ballots, Event, Fate, SLOT, World, has_no_conflict};
use crate::protocol::{Input, Record, Scp};
use crate::statement::Statement;
use crate::testing::node_id;
use stateright::{Checker as _, Model, Property};
use std::hash::{Hash, Hasher};
use std::vec::Vec;

/// Nodes from this one on may forget, each once.
const FORGETTERS: usize = 2;

/// What is explored.
struct Amnesiacs {
    ballots: Ballots,
    /// Whether owners let them go on.
    do_adopt: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Forgetful {
    world: World,
    /// Whether each has forgotten.
    forgot: [bool; 4],
    /// Whether each is silent since.
    silent: [bool; 4],
}

impl Hash for Forgetful {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.world.hash(hasher);
        (self.forgot, self.silent).hash(hasher);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Of(Event),
    Forget(usize),
    Adopt(usize),
}

/// The words of `node` that those who remember hold.
fn held(world: &World, node: usize) -> Vec<Statement> {
    let of_node = |statement: &&Statement| statement.node == node_id(node);
    let holders = world.nodes.iter().take(FORGETTERS);
    holders
        .flat_map(|holder| holder.latest(SLOT).filter(of_node).cloned().collect::<Vec<_>>())
        .collect()
}

impl Amnesiacs {
    fn forget(&self, next: &mut Forgetful, node: usize) {
        let told = held(&next.world, node);
        let world = &mut next.world;
        (world.nodes[node], world.journals[node], world.timers[node]) =
            (Scp::new(self.ballots.configs[node].clone()), None, None);
        world.decided[node] = None;
        let (slot, statements, mut out) = (SLOT, told.as_slice(), Vec::new());
        world.nodes[node].step(
            Input::Receive { slot, statements },
            &self.ballots.oracle,
            &mut out,
        );
        (next.forgot[node], next.silent[node]) = (true, true);
    }

    fn adopt(&self, next: &mut Forgetful, node: usize) {
        let said = held(&next.world, node);
        let Some(record) = Record::adopted(SLOT, &said) else {
            next.world.is_broken = true;
            return;
        };
        next.world.journals[node] = Some(record.clone());
        let mut out = Vec::new();
        next.world.nodes[node].step(Input::Restore(&record), &self.ballots.oracle, &mut out);
        next.silent[node] = false;
        self.ballots.perform(&mut next.world, node, out, Fate::Lives);
    }
}

impl Model for Amnesiacs {
    type State = Forgetful;
    type Action = Act;

    fn init_states(&self) -> Vec<Forgetful> {
        let begin = |world| Forgetful {
            world,
            forgot: [false; 4],
            silent: [false; 4],
        };
        self.ballots.init_states().into_iter().map(begin).collect()
    }

    fn actions(&self, state: &Forgetful, actions: &mut Vec<Act>) {
        let mut of_ballots = Vec::new();
        self.ballots.actions(&state.world, &mut of_ballots);
        actions.extend(of_ballots.into_iter().map(|(event, _)| Act::Of(event)));
        for node in FORGETTERS..4 {
            if state.silent[node] {
                actions.extend(self.do_adopt.then_some(Act::Adopt(node)));
            } else if !state.forgot[node] {
                actions.push(Act::Forget(node));
            }
        }
    }

    fn next_state(&self, state: &Forgetful, act: Act) -> Option<Forgetful> {
        match act {
            Act::Of(event) => Some(Forgetful {
                world: self.ballots.next_state(&state.world, (event, Fate::Lives))?,
                ..state.clone()
            }),
            Act::Forget(node) => {
                let newest: Vec<Statement> = state.world.nodes[node].own(SLOT).cloned().collect();
                let is_held = newest.iter().all(|word| held(&state.world, node).contains(word));
                let mut next = state.clone();
                (is_held && !newest.is_empty()).then(|| self.forget(&mut next, node))?;
                Some(next)
            }
            Act::Adopt(node) => {
                let mut next = state.clone();
                self.adopt(&mut next, node);
                Some(next)
            }
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn both(two: &[bool; 4]) -> bool {
            two[FORGETTERS..].iter().all(|one| *one)
        }
        let mut properties = std::vec![
            Property::always("agreement", |_, state: &Forgetful| {
                let mut decided = state.world.decided.iter().flatten();
                let first = decided.next();
                decided.all(|value| Some(value) == first)
            }),
            Property::always("no conflicting accepts", |_, state: &Forgetful| {
                has_no_conflict(&state.world)
            }),
            Property::always("the rules are kept", |_, state: &Forgetful| !state
                .world
                .is_broken),
        ];
        if self.do_adopt {
            properties.push(Property::sometimes(
                "both go on, and all decide",
                |_, state: &Forgetful| both(&state.forgot) && state.world.decided.iter().all(Option::is_some),
            ));
        } else {
            properties.push(Property::sometimes(
                "nobody has decided, and two are silent",
                |_, state: &Forgetful| both(&state.silent) && state.world.decided.iter().all(Option::is_none),
            ));
            properties.push(Property::always(
                "who is silent never decides by its own word",
                |_, state: &Forgetful| {
                    let silent = state.silent.iter().zip(&state.world.nodes);
                    let mut silent = silent.filter(|(silent, _)| **silent).map(|(_, node)| node);
                    silent.all(|node| node.own(SLOT).next().is_none())
                },
            ));
        }
        properties
    }

    fn within_boundary(&self, state: &Forgetful) -> bool {
        self.ballots.within_boundary(&state.world)
    }
}

fn model(do_adopt: bool) -> Amnesiacs {
    let ballots = Ballots::new(4, &[1, 1, 2, 1]);
    Amnesiacs { ballots, do_adopt }
}

/// The rule of silence alone: two of four forget, and are silent for good before anybody has decided. Then two speak where three are
/// needed.
#[test]
fn silence_alone_stops_the_slot() {
    let checker = model(false).checker().threads(2).target_state_count(100_000);
    checker.spawn_bfs().join().assert_properties();
}

/// Those who take over what others hold of their words agree with everybody, near and along long runs, and the slot ends. Covers: A1.
#[test]
fn amnesiacs_that_adopt_agree_and_decide() {
    let near = model(true).checker().threads(2).target_state_count(200_000);
    let near = near.spawn_bfs().join();
    for always in ["agreement", "no conflicting accepts", "the rules are kept"] {
        assert!(near.discovery(always).is_none(), "{always}");
    }
    let far = model(true).checker().threads(2).target_state_count(200_000);
    far.spawn_dfs().join().assert_properties();
}
