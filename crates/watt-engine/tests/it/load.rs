//! What peers can cost a node: transactions by the thousand, questions with long answers, forged statements.

use crate::agreement::transfer;
use crate::world::{World, key};
use watt_engine::message::{BLOCKS_BYTES_MAX, Message};
use watt_engine::{Clocks, Effect, Engine, EngineConfig, Event, PeerId, VotingKeys};
use watt_ledger::{Genesis, MemoryState, genesis_block};
use watt_light::Proposal;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_primitives::{BlockHeight, BoundedVec, Hash, NetworkId, SharedBytes, SlotIndex, Timestamp};
use watt_scp::{Envelope, Pledges, Statement, Value};

/// Transactions of one burst: more than a peer may send messages, and no more than keys may have waiting.
const BURST: u64 = 640;

/// A node hands on more transactions than it may send messages, and none is lost: they travel in batches. Covers: A5.
#[test]
fn more_transactions_than_messages_reach_everybody() {
    let mut world = World::new(4, 1, 101);
    assert!(world.reach(&[0, 1, 2, 3, 4], 2, 20_000));
    for n in 0..BURST {
        let from = 100 + u8::try_from(n % 10).unwrap();
        let signed = transfer(&world, from, n / 10, b"");
        world.submit(4, signed);
        if n % 100 == 99 {
            world.run_for(5);
        }
    }
    let landed = |world: &World| -> usize {
        let blocks = world.disk(0).blocks.iter();
        blocks.map(|(block, _)| block.transactions.len()).sum()
    };
    let end = world.now.plus(20_000);
    let all_landed = world.run_until(end, |world| landed(world) == BURST as usize);
    assert!(all_landed, "{} landed", landed(&world));
    for node in 0..5 {
        let refused = world.engine(node).refused();
        assert!(!refused.contains_key("over quota"), "node {node}: {refused:?}");
    }
}

/// One engine without a world: what it wants done is looked at and not done.
struct Alone {
    engine: Engine,
    network: NetworkId,
    genesis: Genesis,
    head: Hash,
    state: MemoryState,
    now: Timestamp,
}

impl Alone {
    /// Validator 1 of four, with peers `1..=n_peers`.
    fn new(n_peers: u64) -> Self {
        let world = World::new(4, 0, 1);
        let first = genesis_block(&world.genesis).unwrap();
        let mut state = MemoryState::default();
        state.write(&first.writes);
        let config = EngineConfig {
            network: world.network,
            parameters: world.genesis.parameters.clone(),
            protocol: PROTOCOL_VERSION_MAX,
            walk: world.genesis.walk().unwrap(),
            voting_keys: VotingKeys::fixed(key(1)),
            successions: Vec::new(),
            voted_to: BlockHeight(0),
            checkpoint_gap: 720,
            incoming: None,
            provider: None,
            seat: None,
            verdicts: Vec::new(),
            restarts: watt_engine::RestartLog::default(),
            logs_scp: false,
        };
        let mut alone = Self {
            engine: Engine::new(config, first.header.clone(), &state, Vec::new()),
            network: world.network,
            head: first.header.hash(),
            state,
            now: world.now,
            genesis: world.genesis,
        };
        alone.handle(Event::Started);
        (1..=n_peers).for_each(|peer| drop(alone.handle(Event::Connected(PeerId(peer)))));
        // The quiet at the start is over.
        alone.now = alone.now.plus(2_000);
        alone
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let clocks = Clocks {
            steady: self.now,
            wall: self.now,
        };
        self.engine.handle(clocks, event, &self.state, &mut effects);
        effects
    }

    fn hear(&mut self, from: u64, message: &Message) -> Vec<Effect> {
        let bytes = message.encode();
        self.handle(Event::Received {
            from: PeerId(from),
            bytes,
        })
    }

    /// Entry `seed` nominates a proposal of its own with this close time after the parent's.
    fn nomination(&self, seed: u8, after_ms: u64) -> Message {
        self.nomination_in(SlotIndex(1), seed, after_ms)
    }

    fn nomination_in(&self, slot: SlotIndex, seed: u8, after_ms: u64) -> Message {
        let proposal = Proposal {
            network: self.network,
            slot,
            version: 1,
            parent: self.head,
            close_time: self.genesis.time.plus(after_ms),
            body_root: watt_light::transaction::body_root(&self.network, &[], &[]),
            n_transactions: 0,
            body_bytes: 0,
            proposer: key(seed).node_id(),
        };
        let statement = Statement {
            node: key(seed).node_id(),
            slot,
            quorum_set: self.genesis.quorum_set().hash(&self.network),
            pledges: Pledges::Nominate {
                votes: BoundedVec::new(vec![proposal.value()]).unwrap(),
                accepted: BoundedVec::empty(),
            },
        };
        Message::Statement {
            envelope: Box::new(Envelope::sign(statement, &key(seed), &self.network)),
            proposals: BoundedVec::new(vec![proposal.sign(&key(seed))]).unwrap(),
        }
    }
}

fn verifies(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Verify { .. }))
}

/// Short questions do not buy long answers without end: a peer gets its part of the upload, then empty answers until time has paid,
/// and others still get theirs. Covers: A5.
#[test]
fn a_question_for_blocks_does_not_amplify() {
    let mut alone = Alone::new(2);
    let question = Message::GetBlocks {
        from: BlockHeight(1),
        count: 256,
    };
    // Every answer is as long as it can be.
    let ask = |alone: &mut Alone, from: u64| -> usize {
        let effects = alone.hear(from, &question);
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::SendBlocks { .. }))
        {
            alone.handle(Event::Uploaded {
                to: PeerId(from),
                bytes: BLOCKS_BYTES_MAX,
            });
            return BLOCKS_BYTES_MAX;
        }
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Send { message, .. } => message.len(),
                _ => 0,
            })
            .sum()
    };
    let at_once: usize = (0..600).map(|_| ask(&mut alone, 1)).sum();
    assert!(at_once <= (32 << 20) + 600 * 64, "{at_once} bytes at once");
    let mut sustained = 0;
    for _ in 0..10_000 {
        alone.now = alone.now.plus(1);
        sustained += ask(&mut alone, 1);
    }
    assert!(
        sustained <= (80 << 20) + 10_000 * 64,
        "{sustained} bytes in ten seconds"
    );
    assert!(alone.engine.refused().contains_key("over upload quota"));
    assert_eq!(
        ask(&mut alone, 2),
        BLOCKS_BYTES_MAX,
        "another peer has its own part"
    );
}

/// A peer that sends statements nobody signed fills only its own places: an honest statement of another is looked at (TC36).
/// Covers: A1, A5.
#[test]
fn forged_statements_take_nobodys_place() {
    let mut alone = Alone::new(22);
    for peer in 1..=20u64 {
        for n in 0..300u64 {
            let statement = Statement {
                node: key(2).node_id(),
                slot: SlotIndex(1),
                quorum_set: Hash::ZERO,
                pledges: Pledges::Nominate {
                    votes: BoundedVec::new(vec![Value(Hash::of_content(&(1_000 * peer + n).to_be_bytes()))])
                        .unwrap(),
                    accepted: BoundedVec::empty(),
                },
            };
            let forged = Envelope {
                statement,
                signature: watt_primitives::Signature([7; 64]),
            };
            let message = Message::Statement {
                envelope: Box::new(forged),
                proposals: BoundedVec::empty(),
            };
            alone.hear(peer, &message);
        }
    }
    assert!(
        alone.engine.refused().contains_key("too busy"),
        "the flood was too small"
    );
    let honest = alone.nomination(3, 1_000);
    assert!(verifies(&alone.hear(21, &honest)));
}

/// An entry that proposes again and again has one proposal admitted, whatever it signs, and those of others after it
/// (TC36). Covers: A1.
#[test]
fn an_entry_has_one_proposal_in_a_slot() {
    let mut alone = Alone::new(3);
    // A proposal that was admitted is asked for its body when it is due.
    let admits = |alone: &mut Alone, from: u64, message: &Message| {
        let effects = alone.hear(from, message);
        let ticket = effects.iter().find_map(|effect| match effect {
            Effect::Verify { ticket, checks } => Some((*ticket, checks.len())),
            _ => None,
        });
        let Some((ticket, n)) = ticket else { return false };
        let holds = vec![true; n];
        let effects = alone.handle(Event::Verified { ticket, holds });
        effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::SetTimer {
                    timer: watt_engine::Timer::Body { .. },
                    ..
                }
            )
        })
    };
    let greedy: Vec<bool> = (0..40)
        .map(|n| {
            let message = alone.nomination(2, 1_000 + n);
            admits(&mut alone, 1, &message)
        })
        .collect();
    assert_eq!(greedy.iter().filter(|is_admitted| **is_admitted).count(), 1);
    for honest in [3, 4] {
        let message = alone.nomination(honest, 1_000);
        assert!(admits(&mut alone, 2, &message), "entry {honest}");
    }
}

/// A proposal for the next slot that comes again and again, each time signed otherwise, is looked at once (TC36): an Ed25519 key can
/// sign the same in any number of ways. Covers: A5.
#[test]
fn one_proposal_signed_in_many_ways_is_one() {
    let mut alone = Alone::new(2);
    let message = alone.nomination_in(SlotIndex(2), 2, 1_000);
    let Message::Statement { envelope, proposals } = message else {
        unreachable!("a nomination is a statement")
    };
    let again = |n: u8| {
        let mut signed = proposals.first().unwrap().clone();
        signed.signature.0[0] ^= n;
        signed
    };
    let copies = BoundedVec::new((0..32).map(again).collect()).unwrap();
    let effects = alone.hear(
        1,
        &Message::Statement {
            envelope: envelope.clone(),
            proposals: copies,
        },
    );
    let (ticket, n) = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Verify { ticket, checks } => Some((*ticket, checks.len())),
            _ => None,
        })
        .unwrap();
    assert_eq!(n, 2, "the statement and one proposal");
    let holds = vec![true; n];
    alone.handle(Event::Verified { ticket, holds });
    let proposals = BoundedVec::new(vec![again(77)]).unwrap();
    let effects = alone.hear(1, &Message::Statement { envelope, proposals });
    assert!(!verifies(&effects), "known, however it is signed");
}

/// A statement about `slot` that the validator in whose name it stands never made.
fn forged(world: &World, slot: SlotIndex, n: usize) -> Vec<u8> {
    let value = Value(Hash::of_content(&n.to_be_bytes()));
    let statement = Statement {
        node: key(1 + (n % 4) as u8).node_id(),
        slot,
        quorum_set: world.genesis.quorum_set().hash(&world.network),
        pledges: Pledges::Nominate {
            votes: BoundedVec::new(vec![value]).unwrap(),
            accepted: BoundedVec::empty(),
        },
    };
    let envelope = Envelope {
        statement,
        signature: watt_primitives::Signature([n as u8; 64]),
    };
    Message::Statement {
        envelope: Box::new(envelope),
        proposals: BoundedVec::empty(),
    }
    .encode()
}

/// A hundred peers send four validators a million statements a second of validators that never said them: slots take no fifth longer
/// than before, every honest proposal is admitted, and next to nothing of the flood is even read (TC36). Covers: A1, A5.
#[test]
fn a_flood_of_statements_delays_no_slot() {
    const PEERS: usize = 100;
    const PER_MS: usize = 1_000;
    /// Different ones for a slot.
    const MADE: usize = 5_000;
    const ALL: [usize; 4] = [0, 1, 2, 3];
    let mut world = World::new(4, 0, 416);
    let slots_to = |world: &World, from: u64| -> Vec<u64> {
        let closed = world.disk(0).blocks.iter().map(|(_, header)| header.close_time.0);
        let closed: Vec<u64> = closed.skip(from as usize).collect();
        closed.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    assert!(world.reach(&ALL, 12, 60_000));
    let quiet = slots_to(&world, 1).into_iter().max().unwrap();
    for stranger in 100..100 + PEERS {
        ALL.iter().for_each(|node| world.meet(stranger, *node));
    }
    let (began, end) = (world.height(0), world.height(0) + 4);
    let (mut sent, mut made) = (0, (SlotIndex(0), Vec::new()));
    let since = world.now;
    while world.height(0) < end {
        assert!(world.now.0 - since.0 < 60_000, "height {}", world.height(0));
        world.run_for(1);
        let slot = SlotIndex(world.height(0) + 1);
        if made.0 != slot {
            made = (slot, (0..MADE).map(|n| forged(&world, slot, n)).collect());
        }
        for (n, bytes) in (0..PER_MS).zip(made.1.iter().cycle().skip(sent % MADE)) {
            world.inject(100 + n % PEERS, (sent / PEERS + n) % ALL.len(), bytes.clone());
        }
        sent += PER_MS;
    }
    let flooded = slots_to(&world, began).into_iter().max().unwrap();
    assert!(
        sent as u64 / (world.now.0 - since.0) >= 1_000,
        "a million a second: {sent}"
    );
    assert!(
        flooded * 5 <= quiet * 6,
        "slots of {flooded} ms, before {quiet} ms"
    );
    let empty = |(block, _): &&(watt_engine::message::DecidedBlock, watt_light::Header)| block.is_empty;
    assert_eq!(
        world.disk(0).blocks.iter().filter(empty).count(),
        0,
        "a proposal was given up"
    );
    for node in ALL {
        assert!(world.engine(node).refused()["over quota"] > sent as u64 / 4 / 10 * 9);
    }
}

/// What a message costs its sender is known from its first bytes, whatever follows. Covers: A5.
#[test]
fn the_beginning_of_a_message_tells_its_lane() {
    let value = Value(Hash::ZERO);
    let bulk = [
        Message::Transactions {
            transactions: BoundedVec::empty(),
        },
        Message::Body {
            value,
            body: SharedBytes::new([].into()).unwrap(),
        },
        Message::Blocks {
            blocks: BoundedVec::empty(),
        },
        Message::Checkpoint { proof: None },
        Message::State {
            height: BlockHeight(1),
            at: Hash::ZERO,
            chunk: None,
        },
    ];
    let urgent = [
        Message::GetBody { value },
        Message::GetCheckpoint,
        Message::GetBlocks {
            from: BlockHeight(1),
            count: 1,
        },
        Message::GetState {
            height: BlockHeight(1),
            at: Hash::ZERO,
        },
        Message::NewBlock {
            height: BlockHeight(1),
            header: Hash::ZERO,
        },
        Message::Squelch {
            nodes: BoundedVec::empty(),
        },
    ];
    for message in &bulk {
        let mut bytes = message.encode();
        assert!(Message::is_bulk(&bytes), "{message:?}");
        bytes.truncate(16);
        assert!(Message::is_bulk(&bytes), "{message:?}");
    }
    for message in &urgent {
        assert!(!Message::is_bulk(&message.encode()), "{message:?}");
    }
    for noise in [&[][..], &[0xa1], &[0xa1, 0x64], &[0xa1, 0x64, b'b'], &[0xff; 40]] {
        assert!(!Message::is_bulk(noise));
    }
}
