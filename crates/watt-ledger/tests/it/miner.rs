//! A provider that seals and proves for real, reading from the ledger only what anyone can read.

use crate::world::{World, id, result, slot_data};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use watt_ledger::query::{self, ProviderWindow};
use watt_ledger::{Done, Refused};
use watt_light::transaction::witness_hash;
use watt_light::{BatchOpenings, Operation, SignedHeartbeat, SignedTransaction};
use watt_primitives::terms::Piece;
use watt_primitives::{BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Window};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::post::{Asked, ReplicaRead, Responses, open, respond};
use watt_proofs::seal::{Sealed, seal};
use watt_proofs::verify::PorepStatement;
use watt_proofs::{PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorSize, porep};

pub const PARAMS: ProofParams = ProofParams::DEVNET;

/// A slot to be sealed: which, and the seed of its bundle's data.
pub type Load = (DealId, u8, u8, u64);

#[derive(Clone)]
pub struct Miner {
    pub person: u8,
    pub sectors: BTreeMap<u64, (Sealed, PieceTable)>,
    answered: BTreeMap<u64, Responses>,
}

impl Miner {
    pub fn new(person: u8) -> Self {
        Self {
            person,
            sectors: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    /// Seals these slots into a sector of one unit and makes its pre-commitment.
    pub fn seal(&mut self, world: &World, number: u64, slots: &[Load]) -> Operation {
        let size = SectorSize::new(&PARAMS, 1).unwrap();
        let (pieces, mut payload) = pack(size, slots);
        let table = PieceTable::check(size, pieces.clone()).unwrap();
        table.fill(&mut payload);
        let sector = SectorNumber(number);
        let (seal_window, _) = query::seal_window(&world.state).unwrap();
        let seed = query::seal_seed(&world.state, &id(self.person), sector, seal_window).unwrap();
        let comm_d = table.comm_d(&world.network);
        let replica = ReplicaId::derive(&world.network, &id(self.person), sector, &comm_d, &seed);
        let sealed = seal(&PARAMS, size, &replica, &payload, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        let operation = Operation::PreCommit {
            sector,
            units: 1,
            seal_window,
            pieces: BoundedVec::new(pieces).unwrap(),
            comm_c: sealed.comm_c,
            comm_r: Hash(sealed.comm_r.to_bytes()),
        };
        self.sectors.insert(number, (sealed, table));
        operation
    }

    /// Answers for the batch of pre-committed sectors that begins with this one.
    pub fn commit(&self, world: &World, first: u64) -> (Operation, Vec<u8>) {
        let batch = SectorNumber(first);
        let sectors = query::batch(&world.state, &id(self.person), batch)
            .unwrap()
            .sectors;
        let heavy = HeavyChallenges::of_batch(&PARAMS, sectors.len());
        let openings = sectors.iter().map(|sector| self.open(world, *sector, heavy));
        let openings = BatchOpenings::new(openings.collect()).unwrap().encode();
        let operation = Operation::CommitSectors {
            batch,
            openings: witness_hash(&world.network, &openings),
        };
        (operation, openings)
    }

    /// Opens one sector.
    fn open(&self, world: &World, sector: SectorNumber, heavy: HeavyChallenges) -> Vec<u8> {
        let row = query::sector(&world.state, &id(self.person), sector).unwrap();
        let (sealed, table) = &self.sectors[&sector.0];
        let statement = PorepStatement {
            network: &world.network,
            provider: &id(self.person),
            sector,
            pieces: table,
            comm_c: row.comm_c,
            comm_r: row.comm_r,
            seal_seed: row.seal_seed,
            challenge_seed: query::porep_seed(&world.state, &id(self.person), sector).unwrap(),
            heavy,
        };
        let go = &mut |_| ControlFlow::Continue(());
        porep::open(&PARAMS, &statement, &sealed.replica, go).unwrap()
    }

    /// Seals, waits for the challenge and answers it.
    pub fn add_sector(&mut self, world: &mut World, number: u64, slots: &[Load]) -> Result<Done, Refused> {
        let operation = self.seal(world, number, slots);
        world.act(self.person, operation)?;
        world.open_next_window();
        let (operation, openings) = self.commit(world, number);
        world.act_with(self.person, operation, vec![openings])
    }

    /// The heartbeat for the current window, or for that of the next block.
    pub fn heartbeat(&mut self, world: &World, window: u64, declared: &[u64]) -> SignedHeartbeat {
        let view = query::provider_window(&world.state, &id(self.person), Window(window)).unwrap();
        let declared: Vec<SectorNumber> = declared.iter().copied().map(SectorNumber).collect();
        let responses = respond(&asked(&view), &declared, &mut Disk(&self.sectors));
        let faults: Vec<u64> = responses.faults.iter().map(|fault| fault.0).collect();
        let root = Hash(responses.root.to_bytes());
        self.answered.insert(window, responses);
        world.sign_beat(self.person, Window(window), root, &faults)
    }

    /// The same, but it keeps to itself what it can't read.
    pub fn heartbeat_that_conceals(&mut self, world: &World, window: u64) -> SignedHeartbeat {
        let root = self.heartbeat(world, window, &[]).response_root;
        world.sign_beat(self.person, Window(window), root, &[])
    }

    pub fn proof(&self, world: &World, window: u64) -> (Operation, Vec<u8>) {
        let view = query::provider_window(&world.state, &id(self.person), Window(window)).unwrap();
        let responses = &self.answered[&window];
        let next = view.next_beacon.unwrap();
        // Whoever can't open what is sampled can still hand in something.
        let openings = open(&asked(&view), responses, next, &mut Disk(&self.sectors)).unwrap_or_default();
        let hash = witness_hash(&world.network, &openings);
        let operation = Operation::ProveWindow {
            window: Window(window),
            openings: hash,
        };
        (operation, openings)
    }

    pub fn signed_proof(&self, world: &World, window: u64) -> SignedTransaction {
        let (operation, openings) = self.proof(world, window);
        world.sign_with(self.person, vec![operation], vec![openings])
    }
}

/// Every miner sends its heartbeat in the current window, and all prove it when it is over. The world ends up in the
/// next window, open.
pub fn live_one_window(world: &mut World, miners: &mut [&mut Miner]) -> Vec<Result<Done, Refused>> {
    world.open_window();
    let window = world.height() / 10;
    let beats = miners.iter_mut().map(|miner| miner.heartbeat(world, window, &[]));
    let beats: Vec<_> = beats.collect();
    let taken = world.beats(&beats);
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    world.open_next_window();
    let proofs = miners
        .iter()
        .map(|miner| miner.signed_proof(world, window))
        .collect();
    world.block(proofs);
    world.last.receipts.iter().map(result).collect()
}

/// What a window asks, from what the ledger says of it.
pub fn asked(view: &ProviderWindow) -> Asked<'_> {
    Asked {
        sectors: &view.sectors,
        left_out: &view.left_out,
        state: view.state,
        beacon: view.beacon,
    }
}

/// A miner's replicas.
pub struct Disk<'a>(pub &'a BTreeMap<u64, (Sealed, PieceTable)>);

impl ReplicaRead for Disk<'_> {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let (sealed, _) = self.0.get(&sector.0)?;
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        let block = sealed.replica.get(from.ok()?..to.ok()?)?;
        Some((&sealed.replica_tree, block.to_vec()))
    }
}

/// Lays the slots side by side, filler behind them.
pub fn pack(size: SectorSize, slots: &[Load]) -> (Vec<Piece>, Vec<u8>) {
    let (mut pieces, mut offset) = (Vec::new(), 0u64);
    let mut payload = vec![0; usize::try_from(size.payload_bytes()).unwrap()];
    for (deal, slot, seed, len) in slots {
        let data = slot_data(*seed, *slot, *len);
        let at = usize::try_from(offset).unwrap();
        payload[at..at + data.len()].copy_from_slice(&data);
        pieces.push(Piece::Slot {
            deal: *deal,
            slot: SlotIndexInDeal(*slot),
            root: Hash::of_content(&data),
            offset,
            len: *len,
        });
        offset += len;
    }
    if offset < size.payload_bytes() {
        pieces.push(Piece::Filler {
            offset,
            len: size.payload_bytes() - offset,
        });
    }
    (pieces, payload)
}
