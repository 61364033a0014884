//! A provider's disk: slots, replicas, and the answers it gave.

use std::collections::{BTreeMap, BTreeSet};
use watt_engine::event::Responded;
use watt_engine::provider::LocalSector;
use watt_primitives::{DealId, SectorNumber, SlotIndexInDeal, Timestamp, Window};
use watt_proofs::ReplicaTree;
use watt_proofs::post::Responses;

/// A sealed sector.
#[derive(Clone)]
pub struct Replica {
    /// What was sealed, and what came of it.
    pub sector: LocalSector,
    /// The replica.
    pub bytes: Vec<u8>,
    /// The upper nodes of its tree.
    pub tree: ReplicaTree,
    /// Whether its bytes can't be read any more.
    pub is_rotten: bool,
}

/// Answers that take their time.
pub struct Late {
    /// When they are there.
    pub at: Timestamp,
    /// What is said then.
    pub answers: Responded,
}

/// A provider's disk.
#[derive(Default)]
pub struct Vault {
    /// Slots as the client sent them.
    pub pieces: BTreeMap<(DealId, SlotIndexInDeal), Vec<u8>>,
    /// Slots that can't be read any more.
    pub rotten_pieces: BTreeSet<(DealId, SlotIndexInDeal)>,
    /// Sealed sectors.
    pub replicas: BTreeMap<SectorNumber, Replica>,
    /// Openings of batches that committees look at; gone with a crash, and made again.
    pub shown: BTreeMap<SectorNumber, Vec<u8>>,
    /// Sectors that were committed; for the trace.
    pub committed: BTreeSet<SectorNumber>,
    /// Answers to windows, durable before their root is told.
    pub answers: BTreeMap<Window, Responses>,
    /// Answers of who has to make its labels again first, by window.
    pub late: BTreeMap<Window, Late>,
    /// Whether everything on it was destroyed once.
    pub was_wiped: bool,
    /// Bytes that fit.
    pub capacity_bytes: Option<u64>,
}

impl Vault {
    /// The sealed sectors, as the provider finds them when it starts.
    #[must_use]
    pub fn local_sectors(&self) -> Vec<LocalSector> {
        self.replicas
            .values()
            .map(|replica| replica.sector.clone())
            .collect()
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let pieces = self.pieces.values().map(Vec::len);
        let replicas = self.replicas.values().map(|replica| replica.bytes.len());
        u64::try_from(pieces.chain(replicas).sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Damages a replica, so that what it was can't be read any more.
    pub fn rot_replica(&mut self) {
        if let Some(replica) = self.replicas.values_mut().next() {
            // The tree beside it is as it was: a leaf that does not fit it counts as unreadable.
            replica.is_rotten = true;
        }
    }

    /// Whether so many further bytes fit.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        self.capacity_bytes
            .is_none_or(|capacity| self.used_bytes().saturating_add(bytes) <= capacity)
    }
}
