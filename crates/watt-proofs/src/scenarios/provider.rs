//! A provider with data, sealed sectors, and its idea of the truth.

use crate::params::number;
use crate::post::ReplicaRead;
use crate::seal::{Progress, Sealed, seal};
use crate::verify::PorepStatement;
use crate::{PieceTable, ProofParams, ReplicaId, ReplicaTree, SectorEntry, SectorSize, challenge, porep};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal};

pub(crate) const NETWORK: NetworkId = NetworkId::new([5; 32]);
pub(crate) const ALICE: AccountId = AccountId([1; 20]);
pub(crate) const BOB: AccountId = AccountId([2; 20]);
pub(crate) const GROUP: usize = 16 * 1024;

/// Whoever waits for the end.
pub(crate) fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn size(units: u32) -> SectorSize {
    SectorSize::new(&ProofParams::DEVNET, units).unwrap()
}

/// Data that no one guesses, the same for the same seed.
pub(crate) fn data(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// The table of these slots in a row with filler after them, and the payload it describes.
pub(crate) fn pack(size: SectorSize, slots: &[Vec<u8>]) -> (PieceTable, Vec<u8>) {
    let mut payload = slots.concat();
    let (mut offset, mut pieces) = (0, Vec::new());
    for (slot, bytes) in (0..).zip(slots) {
        pieces.push(Piece::Slot {
            deal: DealId([9; 32]),
            slot: SlotIndexInDeal(slot),
            root: Hash::of_content(bytes),
            offset,
            len: number(bytes.len()),
        });
        offset += number(bytes.len());
    }
    if offset < size.payload_bytes() {
        let len = size.payload_bytes() - offset;
        pieces.push(Piece::Filler { offset, len });
    }
    payload.resize(usize::try_from(size.payload_bytes()).unwrap(), 0);
    let table = PieceTable::check(size, pieces).unwrap();
    table.fill(&mut payload);
    (table, payload)
}

/// A sealed sector and what was said about it.
#[derive(Clone)]
pub(crate) struct Sector {
    pub(crate) params: ProofParams,
    pub(crate) provider: AccountId,
    pub(crate) number: SectorNumber,
    pub(crate) pieces: PieceTable,
    pub(crate) seal_seed: Hash,
    pub(crate) sealed: Sealed,
}

impl Sector {
    /// Seals `payload` as what `pieces` says, whether or not it is.
    pub(crate) fn seal(provider: AccountId, number: u64, pieces: &PieceTable, payload: &[u8]) -> Self {
        let params = ProofParams::DEVNET;
        let number = SectorNumber(number);
        let seal_seed = challenge::seal_seed(&NETWORK, &Hash([10; 32]), &provider, number);
        let comm_d = pieces.comm_d(&NETWORK);
        let id = ReplicaId::derive(&NETWORK, &provider, number, &comm_d, &seal_seed);
        let sealed = seal(&params, pieces.size(), &id, payload, &mut go).unwrap();
        Self {
            params,
            provider,
            number,
            pieces: pieces.clone(),
            seal_seed,
            sealed,
        }
    }

    /// The first sector of Alice, sealed once for all tests.
    pub(crate) fn of_alice() -> &'static Self {
        static SECTOR: LazyLock<Sector> = LazyLock::new(|| Sector::ordinary(ALICE, 1));
        &SECTOR
    }

    /// An ordinary sector: three slots of different sizes, then filler.
    pub(crate) fn ordinary(provider: AccountId, number: u64) -> Self {
        let slots = [data(1, 20 * GROUP), data(2, GROUP), data(3, 7 * GROUP)];
        let (pieces, payload) = pack(size(1), &slots);
        Self::seal(provider, number, &pieces, &payload)
    }

    pub(crate) fn statement(&self, beacon: u8) -> PorepStatement<'_> {
        let (comm_c, comm_r) = (self.sealed.comm_c, self.sealed.comm_r);
        let beacon = Hash([beacon; 32]);
        PorepStatement {
            network: &NETWORK,
            provider: &self.provider,
            sector: self.number,
            pieces: &self.pieces,
            comm_c,
            comm_r,
            seal_seed: self.seal_seed,
            challenge_seed: challenge::porep_seed(
                &NETWORK,
                &beacon,
                &self.provider,
                self.number,
                &comm_c,
                &comm_r,
            ),
            heavy: challenge::HeavyChallenges::of_batch(&self.params, 1),
        }
    }

    pub(crate) fn open(&self, statement: &PorepStatement<'_>) -> Vec<u8> {
        porep::open(&self.params, statement, &self.sealed.replica, &mut go).unwrap()
    }

    pub(crate) fn entry(&self) -> SectorEntry {
        SectorEntry {
            number: self.number,
            size: self.pieces.size(),
            comm_r: self.sealed.comm_r,
        }
    }
}

/// Replicas on a disk, some of them gone.
#[derive(Clone)]
pub(crate) struct Disk(pub(crate) BTreeMap<SectorNumber, (ReplicaTree, Vec<u8>)>);

impl Disk {
    pub(crate) fn of(sectors: &[Sector]) -> Self {
        let replica = |sector: &Sector| {
            let sealed = &sector.sealed;
            let tree = sealed.replica_tree.clone();
            (sector.number, (tree, sealed.replica.clone()))
        };
        Self(sectors.iter().map(replica).collect())
    }
}

impl ReplicaRead for Disk {
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)> {
        let (tree, replica) = self.0.get(&sector)?;
        let (from, to) = (usize::try_from(bytes.start), usize::try_from(bytes.end));
        Some((tree, replica.get(from.ok()?..to.ok()?)?.to_vec()))
    }
}
