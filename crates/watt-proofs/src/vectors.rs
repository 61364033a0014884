//! Golden vectors (`vectors/proofs.json`): what another implementation must compute, to the byte.
//!
//! `UPDATE_VECTORS=1` rewrites the file; a change of it is a change of the protocol.

use crate::challenge;
use crate::element::F;
use crate::graph::Graph;
use crate::label::{Labeler, column_digest};
use crate::octal::{Family, Tree};
use crate::params::number;
use crate::poseidon::{Poseidon, Tag};
use crate::post::{Asked, ReplicaRead};
use crate::seal::{Sealed, seal};
use crate::sector::filler;
use crate::verify::{PorepStatement, leaf_digest};
use crate::{
    Element, PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorEntry, SectorSet, SectorSize, SetTree,
    Shape, porep, post, window,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal};

const NETWORK: NetworkId = NetworkId::new([1; 32]);
const PROVIDER: AccountId = AccountId([2; 20]);
const SECTOR: SectorNumber = SectorNumber(3);
const BEACON: Hash = Hash([4; 32]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines of a JSON object with texts as values.
#[derive(Default)]
struct Object(Vec<(String, String)>);

impl Object {
    fn add(&mut self, name: impl ToString, value: impl ToString) {
        self.0.push((name.to_string(), value.to_string()));
    }

    fn to_json(&self) -> String {
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("  \"{name}\": \"{value}\""))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

fn graph(object: &mut Object) {
    for units in [1, 3, 32] {
        let graph = Graph::new(SectorSize::new(&ProofParams::DEVNET, units).unwrap());
        for node in [0, 1, 2, 3, 1000, 32_767] {
            let parents = format!("{:?} {:?}", graph.drg_parents(node), graph.expander_parents(node));
            object.add(format!("graph units={units} node={node} drg expander"), parents);
        }
    }
    let graph = Graph::new(SectorSize::new(&ProofParams::MAIN, 64).unwrap());
    let node = (1 << 21) - 1;
    let parents = format!("{:?} {:?}", graph.drg_parents(node), graph.expander_parents(node));
    object.add(format!("graph units=64 node={node} drg expander"), parents);
}

fn hashes(object: &mut Object) {
    let mut labeler = Labeler::new(&ReplicaId(Hash([5; 32])));
    for (at, byte) in (0..14u8).enumerate() {
        labeler.set_parent(at, &[byte; 32]);
    }
    object.add(
        "label replica_id=05.. layer=2 node=7 parents=00.. to 0d..",
        hex(&labeler.label(2, 7)),
    );
    object.add(
        "column labels=01.. 02.. 03..",
        column_digest([&[1; 32], &[2; 32], &[3; 32]]),
    );
    object.add("replica leaf 06..", hex(&leaf_digest(&[6; 248]).to_bytes()));
    poseidon(object);
    for offset in [0, 16_384] {
        let mut bytes = [0; 64];
        filler(offset, &mut bytes);
        object.add(format!("filler offset={offset} len=64"), hex(&bytes));
    }
}

/// Every tag once, over small numbers, and trees by repetition.
fn poseidon(object: &mut Object) {
    let mut poseidon = Poseidon::new();
    let [one, two, three] = [1, 2, 3].map(F::from);
    let eight: Family = core::array::from_fn(|at| F::from(number(at) + 1));
    let digests = [
        ("NODE 1 to 8", poseidon.eight(Tag::Node, &eight)),
        ("LEAF 1 to 8", poseidon.eight(Tag::Leaf, &eight)),
        ("RNODE 1 to 8", poseidon.eight(Tag::ResponseNode, &eight)),
        ("CHALLENGE 1 2 3", poseidon.challenge(one, two, three)),
        ("STATE 1 2 3", poseidon.state(one, two, three)),
        ("RESPONSE 1 2 3", poseidon.response(one, two, three)),
        ("INDEX 1 2", poseidon.index(one, two)),
    ];
    for (name, digest) in digests {
        object.add(format!("poseidon {name}"), hex(&Element(digest).to_bytes()));
    }
    for n in [1, 3, 12, 16] {
        let leaves = (1..=n).map(|leaf| Element(F::from(leaf))).collect();
        let root = Tree::build(Tag::Node, 2, leaves).root();
        object.add(
            format!("tree NODE levels=2 leaves=1 to {n}"),
            hex(&root.to_bytes()),
        );
    }
}

struct Memory(Sealed);

impl ReplicaRead for Memory {
    fn read(&mut self, _: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        let block = self.0.replica.get(from.ok()?..to.ok()?)?;
        Some((&self.0.replica_tree, block.to_vec()))
    }
}

fn sector(object: &mut Object) {
    let params = ProofParams::DEVNET;
    let size = SectorSize::new(&params, 1).unwrap();
    let slot = vec![8; 32_768];
    let pieces = vec![
        Piece::Slot {
            deal: DealId([9; 32]),
            slot: SlotIndexInDeal(10),
            root: Hash::of_content(&slot),
            offset: 0,
            len: 32_768,
        },
        Piece::Filler {
            offset: 32_768,
            len: size.payload_bytes() - 32_768,
        },
    ];
    let pieces = PieceTable::check(size, pieces).unwrap();
    let mut payload = slot;
    payload.resize(usize::try_from(size.payload_bytes()).unwrap(), 0);
    pieces.fill(&mut payload);
    let mut statement = PorepStatement {
        network: &NETWORK,
        provider: &PROVIDER,
        sector: SECTOR,
        pieces: &pieces,
        comm_c: Hash::ZERO,
        comm_r: Element::default(),
        seal_seed: challenge::seal_seed(&NETWORK, &BEACON, &PROVIDER, SECTOR),
        challenge_seed: Hash::ZERO,
        heavy: challenge::HeavyChallenges::of_batch(&params, 1),
    };
    object.add("sector comm_d", pieces.comm_d(&NETWORK));
    object.add("sector seal_seed", statement.seal_seed);
    object.add("sector replica_id", statement.replica_id().0);
    let mut go = |_| ControlFlow::Continue(());
    let sealed = seal(&params, size, &statement.replica_id(), &payload, &mut go).unwrap();
    (statement.comm_c, statement.comm_r) = (sealed.comm_c, sealed.comm_r);
    let (comm_c, comm_r) = (&sealed.comm_c, &sealed.comm_r);
    statement.challenge_seed = challenge::porep_seed(&NETWORK, &BEACON, &PROVIDER, SECTOR, comm_c, comm_r);
    object.add("sector comm_c", comm_c);
    object.add("sector comm_r", hex(&comm_r.to_bytes()));
    object.add("sector challenge_seed", statement.challenge_seed);
    object.add("sector replica blake3", Hash::of_content(&sealed.replica));
    let openings = porep::open(&params, &statement, &sealed.replica, &mut go).unwrap();
    object.add("sector openings len", openings.len());
    object.add("sector openings blake3", Hash::of_content(&openings));
    windows(object, size, sealed);
}

fn windows(object: &mut Object, size: SectorSize, sealed: Sealed) {
    let entry = SectorEntry {
        number: SECTOR,
        size,
        comm_r: sealed.comm_r,
    };
    let sectors = SectorSet::check(vec![entry]).unwrap();
    let mut element = |name: &str, element: Element| {
        object.add(name, hex(&element.to_bytes()));
        element
    };
    let asked = Asked {
        sectors: &sectors,
        left_out: &[],
        state: element("window initial state", window::initial_state(&NETWORK, &PROVIDER)),
        beacon: element("window beacon", window::beacon_element(&NETWORK, &BEACON)),
    };
    let next_beacon = window::beacon_element(&NETWORK, &Hash([6; 32]));
    let mut memory = Memory(sealed);
    let responses = post::respond(&asked, &[], &mut memory);
    let set = SetTree::build(Shape::SMALL, vec![entry.comm_r]).unwrap();
    let seen = window::Window {
        set: element("window set", set.root()),
        beacon: asked.beacon,
        answers: element("window answers", responses.root),
        next_beacon: element("window next beacon", next_beacon),
    };
    element("window next state", seen.next_state(asked.state));
    let samples = window::samples(Shape::SMALL, asked.state, &seen);
    object.add("window samples (position, place)", format!("{samples:?}"));
    let openings = post::open(&asked, &responses, next_beacon, &mut memory).unwrap();
    object.add("window openings len", openings.len());
    object.add("window openings blake3", Hash::of_content(&openings));
}

/// The numbers that the specification pins are what the code computes. Covers: D1, D3.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a test may read the environment to rewrite its vectors"
)]
fn vectors() {
    let mut object = Object::default();
    graph(&mut object);
    hashes(&mut object);
    sector(&mut object);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/proofs.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors")).unwrap();
        std::fs::write(path, object.to_json()).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        golden,
        object.to_json(),
        "if the change is wanted, run again with UPDATE_VECTORS=1 and read the difference"
    );
}
