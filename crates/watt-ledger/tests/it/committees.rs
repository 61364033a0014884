//! Batches of sectors whose openings a committee looks at (`docs/spec/proofs.md` 6.8 to 6.14, `docs/spec/ledger.md` 9.4 to 9.6).

use crate::miner::{Load, Miner};
use crate::sectors::SLOT;
use crate::sectors::{certified, load_of};
use crate::world::{WATT, World, genesis, id, key, provide};
use watt_ledger::genesis::InvalidGenesis;
use watt_ledger::query::{self, Shown, SlotCondition};
use watt_ledger::{Done, Event, Outcome, Refused};
use watt_light::transaction::witness_hash;
use watt_light::{Operation, PorepVerdict, SeenSector, Verdict, Verdicts};
use watt_primitives::{BoundedVec, Hash, NetworkId, SectorNumber, SlotIndexInDeal, Window};

/// How a verdict is another one than it should be, or of another network.
type Change = fn(&mut PorepVerdict, &mut NetworkId);

const FIRST: SectorNumber = SectorNumber(1);

/// Ten providers on a network of four seats with committees.
pub fn world() -> World {
    let mut genesis = genesis("committees");
    genesis.parameters.porep_committee = 15;
    let mut world = World::of(&genesis);
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    world
}

/// A sector of person 10 with a share, pre-committed and challenged.
fn challenged(world: &mut World) -> (Miner, Load) {
    let deal = certified(world, 1);
    let load = load_of(world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let operation = miner.seal(world, 1, &[load]);
    world.act(10, operation).unwrap();
    world.open_next_window();
    (miner, load)
}

pub fn shown(world: &World, batch: SectorNumber) -> Shown {
    query::shown_batch(&world.state, &id(10), batch).unwrap()
}

/// Another word about the first sector.
fn change(said: &mut PorepVerdict, change: impl Fn(&mut SeenSector)) {
    let mut sectors = said.sectors.to_vec();
    change(&mut sectors[0]);
    said.sectors = BoundedVec::new(sectors).unwrap();
}

/// The verdict of the member at `place`, as `change` makes it.
pub fn verdict_on(
    world: &World,
    (shown, openings): (&Shown, Hash),
    place: u8,
    change: impl Fn(&mut PorepVerdict, &mut NetworkId),
) -> Verdict {
    let member = shown.committee.member(place).unwrap();
    let own = (200..204).find(|n| key(*n).node_id() == member.key).unwrap();
    let (mut said, mut network) = (shown.challenged.verdict(openings), world.network);
    change(&mut said, &mut network);
    let signature = said.sign(&key(own), &network);
    Verdict {
        member: place,
        signature,
    }
}

/// What a provider hands in with these verdicts.
pub fn commit(
    world: &mut World,
    batch: SectorNumber,
    openings: Hash,
    given: Vec<Verdict>,
) -> Result<Done, Refused> {
    let witness = Verdicts {
        openings,
        given: BoundedVec::new(given).unwrap(),
    };
    commit_with(world, batch, witness.encode())
}

pub fn commit_with(world: &mut World, batch: SectorNumber, witness: Vec<u8>) -> Result<Done, Refused> {
    let operation = Operation::CommitSectors {
        batch,
        openings: witness_hash(&world.network, &witness),
    };
    world.act_with(10, operation, vec![witness])
}

/// Three of four members look at the openings and say that they hold; the sector is proven, and the ledger keeps 32 bytes of it all.
/// Covers: D1, D2 (TS4).
#[test]
fn a_committee_lets_a_sector_in() {
    let mut world = world();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[load]);
    world.act(10, operation).unwrap();
    assert!(
        query::shown_batch(&world.state, &id(10), FIRST).is_none(),
        "nobody knows the committee before the window that asks is open"
    );
    let (waiting, _) = query::waiting_batches(&world.state, None, 64);
    assert_eq!(waiting, [(id(10), FIRST)]);
    world.open_next_window();
    let shown = shown(&world, FIRST);
    assert_eq!((shown.committee.members.len(), shown.committee.needed()), (4, 3));
    let (_, openings) = miner.commit(&world, 1);
    assert!(openings.len() <= shown.challenged.openings_bytes_max());
    assert_eq!(shown.challenged.verify(&openings), Ok(()));
    assert!(shown.challenged.verify(&openings[1..]).is_err());
    let hash = witness_hash(&world.network, &openings);
    let given = [0, 2, 3].map(|place| verdict_on(&world, (&shown, hash), place, |_, _| ()));
    let done = commit(&mut world, FIRST, hash, given.to_vec());
    assert!(matches!(done, Ok(Done::SectorsCommitted { .. })), "{done:?}");
    assert!(query::shown_batch(&world.state, &id(10), FIRST).is_none());
    assert!(query::waiting_batches(&world.state, None, 64).0.is_empty());
}

/// Everything that can be wrong with verdicts is refused in its own words, costs no penalty, and the right ones are still taken.
/// Covers: D1, D2 (TS4).
#[test]
fn wrong_verdicts_are_refused() {
    let mut world = world();
    let (miner, _) = challenged(&mut world);
    let batch = FIRST;
    let seen = shown(&world, batch);
    let (_, openings) = miner.commit(&world, 1);
    let hash = witness_hash(&world.network, &openings);
    let on = (&seen, hash);
    let right: Vec<Verdict> = (0..4)
        .map(|place| verdict_on(&world, on, place, |_, _| ()))
        .collect();
    let (one, two, three) = (right[0], right[1], right[2]);

    assert_eq!(
        commit_with(&mut world, batch, openings.clone()),
        Err(Refused::Verdicts { batch })
    );
    let few = |given| {
        Err(Refused::TooFewVerdicts {
            batch,
            given,
            needed: 3,
        })
    };
    assert_eq!(commit(&mut world, batch, hash, Vec::new()), few(0));
    assert_eq!(commit(&mut world, batch, hash, vec![one, two]), few(2));
    let order = Err(Refused::VerdictOrder { batch });
    assert_eq!(
        commit(&mut world, batch, hash, vec![one, one, two]),
        order,
        "one member twice"
    );
    assert_eq!(commit(&mut world, batch, hash, vec![two, one, three]), order);
    let stranger = Verdict { member: 4, ..one };
    let none = Err(Refused::VerdictMember {
        batch,
        member: 4,
        members: 4,
    });
    assert_eq!(
        commit(&mut world, batch, hash, vec![one, two, three, stranger]),
        none
    );

    let unsigned = Err(Refused::VerdictSignature { batch });
    let mut refuse = |third: Verdict, what: &str| {
        assert_eq!(
            commit(&mut world, batch, hash, vec![one, two, third]),
            unsigned,
            "{what}"
        );
    };
    refuse(Verdict { member: 2, ..one }, "another member's");
    let said = seen.challenged.verdict(hash);
    let strange = said.sign(&key(99), &NetworkId::derive(Hash::ZERO));
    refuse(
        Verdict {
            member: 2,
            signature: strange,
        },
        "a stranger's",
    );
    let changes: [(&str, Change); 9] = [
        ("another provider", |said, _| said.provider = id(11)),
        ("another batch", |said, _| said.batch = SectorNumber(2)),
        ("another sector", |said, _| {
            change(said, |seen| seen.sector = SectorNumber(2));
        }),
        ("other columns", |said, _| {
            change(said, |seen| seen.comm_c = Hash::ZERO);
        }),
        ("another replica", |said, _| {
            change(said, |seen| seen.comm_r = Hash::ZERO);
        }),
        ("fewer sectors", |said, _| said.sectors = BoundedVec::empty()),
        ("another window", |said, _| said.window = Window(99)),
        ("other openings", |said, _| said.openings = Hash::ZERO),
        ("another network", |_, network| {
            *network = NetworkId::derive(Hash::ZERO);
        }),
    ];
    for (what, change) in changes {
        let third = verdict_on(&world, on, 2, change);
        assert_eq!(
            commit(&mut world, batch, hash, vec![one, two, third]),
            unsigned,
            "{what}"
        );
    }
    let other = Err(Refused::VerdictSignature { batch });
    assert_eq!(
        commit(&mut world, batch, Hash::ZERO, vec![one, two, three]),
        other,
        "other openings named"
    );
    let Outcome::Failed { penalty, .. } = world.last.receipts[0].outcome else {
        unreachable!()
    };
    assert_eq!(
        penalty.0, 0,
        "whoever is given a wrong verdict pays no penalty for it"
    );
    assert_eq!(
        query::provider(&world.state, &id(10)).unwrap().row.proofs_failed,
        0
    );
    assert!(commit(&mut world, batch, hash, right).is_ok());
    let over = Err(Refused::NotPreCommitted { batch });
    assert_eq!(commit(&mut world, batch, hash, vec![one, two, three]), over);
}

/// A provider that shows its openings to nobody, or to too few, gets no further than the deadline: its share is free for another sector,
/// its number and its replica are not. Covers: D1, D2, C5 (TS4).
#[test]
fn porep_openings_withheld() {
    let mut world = world();
    let (mut miner, load) = challenged(&mut world);
    let seen = shown(&world, FIRST);
    let (_, openings) = miner.commit(&world, 1);
    let hash = witness_hash(&world.network, &openings);
    let given = [0, 1, 2].map(|place| verdict_on(&world, (&seen, hash), place, |_, _| ()));
    world.go_to_height(seen.challenged.question.deadline.0);
    let late = commit(&mut world, FIRST, hash, given.to_vec());
    assert_eq!(late, Err(Refused::NotPreCommitted { batch: FIRST }));
    let expired = Event::SectorExpired {
        provider: id(10),
        sector: FIRST,
    };
    assert!(world.last.events.contains(&expired));
    let condition = |world: &World| {
        query::slot(&world.state, &load.0, SlotIndexInDeal(load.1))
            .unwrap()
            .condition
    };
    assert_eq!(condition(&world), SlotCondition::Accepted);
    let again = miner.seal(&world, 1, &[load]);
    assert_eq!(world.act(10, again), Err(Refused::SectorUsed { sector: FIRST }));

    // Under another number another committee looks, and what the first one said is worth nothing.
    let second = SectorNumber(2);
    let operation = miner.seal(&world, 2, &[load]);
    world.act(10, operation).unwrap();
    world.open_next_window();
    let seen = shown(&world, second);
    assert_eq!(
        commit(&mut world, second, hash, given.to_vec()),
        Err(Refused::VerdictSignature { batch: second })
    );
    let (_, openings) = miner.commit(&world, 2);
    let hash = witness_hash(&world.network, &openings);
    let given = [0, 1, 2].map(|place| verdict_on(&world, (&seen, hash), place, |_, _| ()));
    assert!(commit(&mut world, second, hash, given.to_vec()).is_ok());
}

/// Committees that can't be are refused with the document: too many members, or too few where proofs are secure. Covers: D1, D2.
#[test]
fn committees_of_a_genesis() {
    let of = |is_insecure: bool, members: u8| {
        let mut genesis = genesis("committees");
        genesis.parameters.insecure_proofs = is_insecure;
        genesis.parameters.porep_committee = members;
        genesis.check()
    };
    let refused = |found| Err(InvalidGenesis::Committee { found });
    assert_eq!([0, 3, 15].map(|members| of(true, members)), [Ok(()); 3]);
    assert_eq!(of(true, 16), refused(16));
    assert_eq!(of(false, 15), Ok(()));
    assert_eq!(
        [0, 14, 16].map(|members| of(false, members)),
        [0, 14, 16].map(refused)
    );
}
