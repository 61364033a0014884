//! Accounts that hand in proofs of what was never sealed, as many as they can.

use super::account_of;
use crate::world::World;
use watt_ledger::query;
use watt_ledger::rows::SectorStage;
use watt_light::Operation;
use watt_light::transaction::witness_hash;
use watt_primitives::terms::{Device, Endpoint, Piece};
use watt_primitives::{AccountId, BoundedString, BoundedVec, Hash, SectorNumber, Window};

/// The role of their keys.
pub const FORGER: &str = "forger";

/// Bytes that they show in place of openings.
const SHOWN_BYTES: usize = 10_000;

/// Payload bytes of a sector of one unit (`proofs.md` 1.3).
const PAYLOAD_BYTES: u64 = 1_015_808;

/// All of them. Every second one has no money.
pub struct Forgers {
    n: usize,
    n_turns: usize,
    n_sectors: u64,
}

impl Forgers {
    /// So many.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self {
            n,
            n_turns: 0,
            n_sectors: 0,
        }
    }

    /// Whose turn it is, and what that one hands in: a pledge, once; then a commitment to a sector of filler, and for each that waits
    /// to be answered for openings that are none.
    pub fn next(&mut self, world: &World) -> Option<(usize, Operation, Vec<Vec<u8>>)> {
        let number = self.n_turns.checked_rem(self.n)?;
        self.n_turns += 1;
        let account = account_of(FORGER, number);
        let state = &*world.state();
        if query::provider(state, &account).is_none() {
            return Some((number, pledge(account), Vec::new()));
        }
        let waiting = query::sectors(state, &account)
            .into_iter()
            .find_map(|(_, row)| match row.stage {
                SectorStage::PreCommitted { batch } => Some(batch),
                SectorStage::Active { .. } | SectorStage::Ended { .. } => None,
            });
        let Some(batch) = waiting else {
            return Some((number, self.pre_commit(world), Vec::new()));
        };
        let shown = vec![7; SHOWN_BYTES];
        let openings = witness_hash(&world.network, &shown);
        Some((number, Operation::CommitSectors { batch, openings }, vec![shown]))
    }

    fn pre_commit(&mut self, world: &World) -> Operation {
        self.n_sectors += 1;
        let mut root = [0; 32];
        root[8..16].copy_from_slice(&self.n_sectors.to_be_bytes());
        let pieces = vec![Piece::Filler {
            offset: 0,
            len: PAYLOAD_BYTES,
        }];
        let window = world.height().0 / world.genesis.parameters.window_slots;
        Operation::PreCommit {
            sector: SectorNumber(self.n_sectors),
            units: 1,
            seal_window: Window(window.saturating_sub(1)),
            pieces: BoundedVec::new(pieces).unwrap_or_default(),
            comm_c: Hash(root),
            comm_r: Hash(root),
        }
    }
}

fn pledge(account: AccountId) -> Operation {
    Operation::Pledge {
        capacity_bytes: 1 << 30,
        endpoint: Endpoint {
            peer_id: BoundedString::new("nowhere".to_owned()).unwrap_or_default(),
            addresses: BoundedVec::empty(),
        },
        person: account,
        heartbeat_key: None,
        device: Device::default(),
    }
}
