//! Proof-of-spacetime: windows answered honestly, lazily, late and for others.

use super::provider::{ALICE, BOB, Disk, NETWORK, Sector, data, pack, size};
use crate::element::{Element, F};
use crate::octal::REPLICA_LEVELS;
use crate::params::index;
use crate::poseidon::Tag;
use crate::post::{self, Answers, Asked, ReplicaRead, Responses};
use crate::replica::{PlacedLeaf, ReplicaTree};
use crate::verify::{self, InvalidProof, Part};
use crate::window::{self, Step, Window, WrongStep};
use crate::{PieceTable, SectorEntry, SectorSet, SetTree, Shape};
use alloc::vec;
use alloc::vec::Vec;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use watt_primitives::{Hash, NetworkId, SectorNumber, codec};

const SHAPE: Shape = Shape::SMALL;

/// Four sectors of committed capacity and client data.
fn provider() -> (&'static [Sector], SectorSet) {
    static SECTORS: LazyLock<Vec<Sector>> = LazyLock::new(|| {
        let seal = |number: u8| {
            let (pieces, payload) = pack(size(1), &[data(number, 31 * 16 * 1024)]);
            Sector::seal(ALICE, u64::from(number), &pieces, &payload)
        };
        (1..=4).map(seal).collect()
    });
    let sectors = SECTORS.as_slice();
    let set = SectorSet::check(sectors.iter().map(Sector::entry).collect()).unwrap();
    (sectors, set)
}

fn beacon(number: usize) -> Element {
    window::beacon_element(&NETWORK, &Hash::of_content(&number.to_be_bytes()))
}

fn asked(sectors: &SectorSet, state: Element, number: usize) -> Asked<'_> {
    Asked {
        sectors,
        left_out: &[],
        state,
        beacon: beacon(number),
    }
}

fn start() -> Element {
    window::initial_state(&NETWORK, &ALICE)
}

/// What the ledger knows of the window in which these responses were given.
fn seen(asked: &Asked<'_>, responses: &Responses, next: usize) -> Window {
    let sound = asked.sectors.without(&asked.left_out.iter().copied().collect());
    Window {
        set: SetTree::of(SHAPE, &sound).map_or(Element::default(), |set| set.root()),
        beacon: asked.beacon,
        answers: responses.root,
        next_beacon: beacon(next),
    }
}

fn check(asked: &Asked<'_>, window: &Window, openings: &[u8]) -> Result<(), InvalidProof> {
    verify::window(SHAPE, asked.state, window, openings)
}

const fn not_stored(sample: usize) -> Result<(), InvalidProof> {
    Err(InvalidProof::Window(WrongStep::NotStored { sample }))
}

const fn not_answered(sample: usize) -> Result<(), InvalidProof> {
    Err(InvalidProof::Window(WrongStep::NotAnswered { sample }))
}

/// An honest provider passes window after window; each challenge follows from the last answers, and the same disk gives the
/// same bytes. Covers: D3.
#[test]
fn an_honest_provider_passes_every_window() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let mut state = start();
    assert_ne!(state, window::initial_state(&NETWORK, &BOB));
    let mut roots = BTreeSet::new();
    for number in 0..10 {
        let asked = asked(&set, state, number);
        let responses = post::respond(&asked, &[], &mut disk);
        assert_eq!(responses.faults, []);
        let openings = post::open(&asked, &responses, beacon(number + 1), &mut disk).unwrap();
        let window = seen(&asked, &responses, number + 1);
        assert_eq!(check(&asked, &window, &openings), Ok(()));
        assert_eq!(responses, post::respond(&asked, &[], &mut disk));
        let restored: Responses = codec::decode(&codec::encode(&responses), 10_000).unwrap();
        assert_eq!(restored, responses);
        assert!(restored.are_to(&asked));
        assert!(roots.insert(responses.root));
        state = window.next_state(state);
    }
}

/// Answers depend on state, set, beacon and data: another of any has another root. Covers: D2, D3.
#[test]
fn answers_depend_on_everything() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let three = SectorSet::check(set.iter().take(3).copied().collect()).unwrap();
    let questions = [
        asked(&set, start(), 0),
        asked(&set, start(), 1),
        asked(&set, Element::default(), 0),
        asked(&three, start(), 0),
    ];
    let roots = questions.map(|asked| post::respond(&asked, &[], &mut disk).root);
    assert_eq!(BTreeSet::from(roots).len(), 4);
    let first = post::respond(&questions[0], &[], &mut disk);
    assert!(questions[1..3].iter().all(|asked| !first.are_to(asked)));
}

/// Answers as one who has dropped sectors and does not say so would make them, and the openings he can make of it.
struct Lazy<'a> {
    asked: Asked<'a>,
    set: SetTree,
    answers: Answers,
}

impl<'a> Lazy<'a> {
    fn respond(asked: Asked<'a>, disk: &mut Disk) -> Self {
        let set = SetTree::of(SHAPE, &asked.sectors.without(&BTreeSet::new())).unwrap();
        let answers = Answers::compute(SHAPE, asked.state, &set, asked.beacon, |at, place| {
            Some(placed(&asked, disk, at, place)?.leaf)
        });
        Self { asked, set, answers }
    }

    /// Whether something is sampled that is not there, and the step with any bytes and any way in its place.
    fn step(&self, next: usize, disk: &mut Disk) -> (Option<usize>, Step) {
        let (mut caught, mut sample) = (None, 0);
        let step = self.answers.step(beacon(next), &self.set, |at, place| {
            let opened = placed(&self.asked, disk, at, place);
            if opened.is_none() {
                caught = caught.or(Some(sample));
            }
            sample += 1;
            Some(opened.unwrap_or(PlacedLeaf {
                leaf: [0x15; 248],
                path: vec![[F::from(5); 8]; index(REPLICA_LEVELS)],
            }))
        });
        (caught, step)
    }

    fn check(&self, step: &Step) -> Result<(), InvalidProof> {
        let openings = step.to_openings(SHAPE, self.asked.state);
        check(&self.asked, &step.window, &openings)
    }
}

fn placed(asked: &Asked<'_>, disk: &mut Disk, at: u32, place: u32) -> Option<PlacedLeaf> {
    let sector = asked.sectors.iter().nth(index(at))?;
    let range = ReplicaTree::block_range(place % sector.size.leaves());
    let (tree, block) = disk.read(sector.number, range)?;
    tree.open_place(place, &block)
}

/// Who dropped one sector of four without saying so is caught whenever it is sampled, about two windows in three, and
/// never otherwise. Covers: D2, D3.
#[test]
fn a_lazy_provider_fails_the_sampled_window() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    disk.0.remove(&SectorNumber(3));
    let (mut n_caught, n_windows) = (0, 60);
    for number in 0..n_windows {
        let lazy = Lazy::respond(asked(&set, start(), number), &mut disk);
        let (caught, step) = lazy.step(1000 + number, &mut disk);
        let expected = caught.map_or(Ok(()), |sample| {
            n_caught += 1;
            not_stored(sample)
        });
        assert_eq!(lazy.check(&step), expected);
    }
    // 1 - (3/4)^4 = 68 %.
    assert!((30..=52).contains(&n_caught), "{n_caught} of {n_windows}");
}

/// Answering first and fetching the leaf from another after the sample is known does not help: the answer was fixed.
/// Covers: D2, D3.
#[test]
fn a_leaf_fetched_after_the_sample_is_too_late() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let mut partner = disk.clone();
    disk.0.remove(&SectorNumber(1));
    let lazy = Lazy::respond(asked(&set, start(), 0), &mut disk);
    let (next, caught) = (1..)
        .find_map(|next| Some((next, lazy.step(next, &mut disk).0?)))
        .unwrap();
    let (none, step) = lazy.step(next, &mut partner);
    assert_eq!(none, None);
    assert_eq!(lazy.check(&step), not_answered(caught));
}

/// A sector that can't be read is answered by zero, which fails the window if it is sampled there, and declared; the next window
/// leaves it out, and is proven. What can be read again is not declared again. Covers: C5, D3.
#[test]
fn faults_are_left_out_of_the_next_window() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    disk.0.get_mut(&SectorNumber(2)).unwrap().1.fill(0);
    let first = asked(&set, start(), 0);
    let responses = post::respond(&first, &[SectorNumber(4)], &mut disk);
    assert_eq!(responses.faults, [SectorNumber(2), SectorNumber(4)]);
    let mut n_lost = 0;
    for next in 1..40 {
        match post::open(&first, &responses, beacon(next), &mut disk) {
            Ok(openings) => assert_eq!(check(&first, &seen(&first, &responses, next), &openings), Ok(())),
            Err(post::LeafLost) => n_lost += 1,
        }
    }
    assert!((1..39).contains(&n_lost), "{n_lost}");

    let declared = responses.faults;
    let second = Asked {
        left_out: &declared,
        ..first
    };
    let responses = post::respond(&second, &[], &mut disk);
    assert_eq!(responses.faults, [SectorNumber(2)], "the other can be read");
    for next in 1..40 {
        let openings = post::open(&second, &responses, beacon(next), &mut disk).unwrap();
        assert_eq!(
            check(&second, &seen(&second, &responses, next), &openings),
            Ok(())
        );
        assert!(check(&first, &seen(&first, &responses, next), &openings).is_err());
    }

    let all = [1, 2, 3, 4].map(SectorNumber);
    let nothing = Asked {
        left_out: &all,
        ..first
    };
    let responses = post::respond(&nothing, &[], &mut disk);
    assert_eq!(responses.root, Element::default());
    assert_eq!(responses.faults, [SectorNumber(2)]);
    assert_eq!(
        post::open(&nothing, &responses, beacon(1), &mut disk),
        Err(post::LeafLost)
    );
    assert_eq!(seen(&nothing, &responses, 1).set, Element::default());
}

/// What is declared in a window changes neither its set nor what it asks for: there is no list of faults to choose by the leaves
/// that one has dropped. Covers: D3.
#[test]
fn faults_declared_now_change_nothing_now() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let question = asked(&set, start(), 0);
    let honest = post::respond(&question, &[], &mut disk);
    for list in [vec![1], vec![3], vec![1, 2], vec![1, 2, 3, 4]] {
        let list: Vec<SectorNumber> = list.into_iter().map(SectorNumber).collect();
        let responses = post::respond(&question, &list, &mut disk);
        assert_eq!((&responses.faults, responses.root), (&list, honest.root));
        let (window, as_honest) = (seen(&question, &responses, 1), seen(&question, &honest, 1));
        assert_eq!(window, as_honest);
    }
}

/// A replica whose kept nodes are those of another, or of which a block has changed since the answer, is not opened wrongly.
/// Covers: C5, D3.
#[test]
fn damage_after_the_answer_is_told() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let asked = asked(&set, start(), 0);
    let responses = post::respond(&asked, &[], &mut disk);
    for (_, replica) in disk.0.values_mut() {
        replica.fill(1);
    }
    assert_eq!(
        post::open(&asked, &responses, beacon(1), &mut disk),
        Err(post::LeafLost)
    );
    let mut mixed = Disk::of(sectors);
    let other = mixed.0[&SectorNumber(1)].clone();
    mixed.0.insert(SectorNumber(2), other);
    assert_eq!(post::respond(&asked, &[], &mut mixed).faults, [SectorNumber(2)]);
}

/// Openings are those of one window: of another beacon, state, network, set or root, or with another sample, they are refused.
/// Covers: C5, D3.
#[test]
fn openings_hold_for_one_window_only() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let question = asked(&set, start(), 0);
    let responses = post::respond(&question, &[], &mut disk);
    let openings = post::open(&question, &responses, beacon(1), &mut disk).unwrap();
    let original = seen(&question, &responses, 1);
    assert_eq!(check(&question, &original, &openings), Ok(()));

    let other = Element::of_hash(&Hash([1; 32]));
    let foreign = window::beacon_element(&NetworkId::new([6; 32]), &Hash::of_content(&0usize.to_be_bytes()));
    let mut entries: Vec<SectorEntry> = set.iter().copied().collect();
    let (a, b) = (entries[0].comm_r, entries[1].comm_r);
    (entries[0].comm_r, entries[1].comm_r) = (b, a);
    let swapped = SectorSet::check(entries).unwrap();
    let swapped = SetTree::of(SHAPE, &swapped.without(&BTreeSet::new())).unwrap();
    let changes: [&dyn Fn(&mut Window); 5] = [
        &|window| window.beacon = beacon(1),
        &|window| window.beacon = foreign,
        &|window| window.set = swapped.root(),
        &|window| window.answers = other,
        &|window| window.next_beacon = beacon(2),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut window = original;
        change(&mut window);
        assert!(check(&question, &window, &openings).is_err(), "change {at}");
    }
    let elsewhere = asked(&set, other, 0);
    assert!(check(&elsewhere, &original, &openings).is_err());
}

/// Answering a sector's challenge from another sector that one does store: the leaf is under the other's root only.
/// Covers: D2, D3.
#[test]
fn one_sector_cannot_answer_for_another() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let asked = asked(&set, start(), 0);
    // Without scruples: answers computed over the wrong leaves, then opened with them.
    let tree = SetTree::of(SHAPE, &set.without(&BTreeSet::new())).unwrap();
    let answers = Answers::compute(SHAPE, asked.state, &tree, asked.beacon, |at, place| {
        Some(placed(&asked, &mut disk, at ^ 1, place)?.leaf)
    });
    let lie = Lazy {
        asked,
        set: tree,
        answers,
    };
    let step = lie.answers.step(beacon(1), &lie.set, |at, place| {
        placed(&asked, &mut disk, at ^ 1, place)
    });
    assert_eq!(lie.check(&step), not_stored(0));
}

/// One sector in all positions is a provider with one sector, and only its own set says so: whoever has one of four and answers as
/// if the set were that one alone is refused. Covers: D2.
#[test]
fn one_sector_is_not_many() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let alone = SectorSet::check(set.iter().take(1).copied().collect()).unwrap();
    let asked = asked(&alone, start(), 0);
    let responses = post::respond(&asked, &[], &mut disk);
    let openings = post::open(&asked, &responses, beacon(1), &mut disk).unwrap();
    let own = seen(&asked, &responses, 1);
    assert_eq!(check(&asked, &own, &openings), Ok(()));
    let four = SetTree::of(SHAPE, &set.without(&BTreeSet::new())).unwrap();
    let ledgers = Window {
        set: four.root(),
        ..own
    };
    assert!(check(&asked, &ledgers, &openings).is_err());
}

/// Every byte counts, and a window's openings have the size that the shape gives. Covers: C5, D3.
#[test]
fn every_byte_of_an_opening_counts() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let asked = asked(&set, start(), 3);
    let responses = post::respond(&asked, &[], &mut disk);
    let openings = post::open(&asked, &responses, beacon(4), &mut disk).unwrap();
    let window = seen(&asked, &responses, 4);
    let content = 4 * (248 + (6 + 2 + 2) * 7 * 32);
    assert!(
        (content..content + 32).contains(&openings.len()),
        "{}",
        openings.len()
    );
    for at in (0..openings.len()).step_by(3) {
        let mut tampered = openings.clone();
        tampered[at] ^= 1;
        assert!(
            check(&asked, &window, &tampered).is_err(),
            "byte {at} of {}",
            openings.len()
        );
    }
    for len in [0, 1, openings.len() - 1] {
        assert!(check(&asked, &window, &openings[..len]).is_err());
    }
    assert!(check(&asked, &window, &[openings.as_slice(), &[0]].concat()).is_err());
    // Openings of another shape have other lengths.
    let large = verify::window(Shape::LARGE, asked.state, &window, &openings);
    assert!(matches!(
        large,
        Err(InvalidProof::WrongLength {
            part: Part::Leaves,
            ..
        })
    ));
}

/// A node at or above the modulus is refused by its name. Covers: C5, D3.
#[test]
fn nodes_beyond_the_modulus_are_refused() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let asked = asked(&set, start(), 3);
    let responses = post::respond(&asked, &[], &mut disk);
    let openings = post::open(&asked, &responses, beacon(4), &mut disk).unwrap();
    let window = seen(&asked, &responses, 4);
    // The first sibling, after the heads of the string.
    let at = openings
        .windows(8)
        .position(|bytes| bytes == b"siblings")
        .unwrap()
        + 8
        + 3;
    for bytes in super::porep::beyond_the_modulus(&openings[at..at + 32]) {
        let mut tampered = openings.clone();
        tampered[at..at + 32].copy_from_slice(&bytes);
        let part = Part::Siblings;
        assert_eq!(
            check(&asked, &window, &tampered),
            Err(InvalidProof::NotAnElement { part })
        );
    }
}

/// A provider with a single sector proves it in every window, at all positions: no sample falls on an empty place.
/// Covers: D2, D3.
#[test]
fn post_single_sector_nonzero_padding() {
    let table = PieceTable::filler_only(size(1));
    let mut payload = vec![0; usize::try_from(size(1).payload_bytes()).unwrap()];
    table.fill(&mut payload);
    let sector = Sector::seal(ALICE, 7, &table, &payload);
    let set = SectorSet::check(vec![sector.entry()]).unwrap();
    let mut disk = Disk::of(&[sector]);
    for number in 0..10 {
        let asked = asked(&set, start(), number);
        let responses = post::respond(&asked, &[], &mut disk);
        let openings = post::open(&asked, &responses, beacon(99), &mut disk).unwrap();
        assert_eq!(check(&asked, &seen(&asked, &responses, 99), &openings), Ok(()));
        // Without the sector each window fails at its first sample.
        let mut empty = Disk::of(&[]);
        let lazy = Lazy::respond(asked, &mut empty);
        let (_, step) = lazy.step(99, &mut empty);
        assert_eq!(lazy.check(&step), not_stored(0));
    }
    // Nor do zeros beside the sector make the set: the ledger's is filled by repetition.
    let [own, zero] = [sector_root(&set), Element::default()];
    let padded = SetTree::build(SHAPE, [vec![own], vec![zero; 63]].concat()).unwrap();
    assert_ne!(padded.root(), SetTree::build(SHAPE, vec![own]).unwrap().root());
}

fn sector_root(set: &SectorSet) -> Element {
    set.iter().next().unwrap().comm_r
}

/// In the large shape three of 4096 positions are sampled, and every position is answered from its sector. Covers: D2, D3.
#[test]
fn the_large_shape_is_proven_the_same_way() {
    let shape = Shape::LARGE;
    let leaf = |at: u32, place: u32| {
        let mut leaf = [0; 248];
        leaf[..4].copy_from_slice(&at.to_be_bytes());
        leaf[4..8].copy_from_slice(&(place % 8).to_be_bytes());
        leaf
    };
    let trees: Vec<crate::octal::Tree> = (0..70)
        .map(|at| {
            let bytes: Vec<u8> = (0..8).flat_map(|place| leaf(at, place)).collect();
            crate::octal::Tree::build(Tag::Node, REPLICA_LEVELS, crate::octal::leaf_digests(&bytes))
        })
        .collect();
    let set = SetTree::build(shape, trees.iter().map(crate::octal::Tree::root).collect()).unwrap();
    let answers = Answers::compute(shape, start(), &set, beacon(0), |at, place| Some(leaf(at, place)));
    let step = answers.step(beacon(1), &set, |at, place| {
        Some(PlacedLeaf {
            leaf: leaf(at, place),
            path: trees[index(at)].path(place),
        })
    });
    assert!(step.is_good);
    let openings = step.to_openings(shape, start());
    assert_eq!(verify::window(shape, start(), &step.window, &openings), Ok(()));
    let content = 3 * (248 + (6 + 4 + 4) * 7 * 32);
    assert!(
        (content..content + 32).contains(&openings.len()),
        "{}",
        openings.len()
    );
}
