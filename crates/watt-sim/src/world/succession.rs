//! Disks that are lost for ever with the voting keys on them, and the cold keys that bring their seats back (`docs/spec/node.md` §11).

use super::World;
use super::life::Ending;
use super::setup::{cold_key_of, key_of};
use crate::check::Speech;
use crate::node::Down;
use crate::storage::account_of;
use std::sync::Arc;
use watt_engine::seat::TermSecrets;
use watt_light::Succession;
use watt_light::succession::Claim;
use watt_primitives::{BlockHeight, Hash};

/// Milliseconds until a node on a new disk starts.
const NEW_DISK_MS: u64 = 1_000;

impl World {
    /// A node's disk is gone for ever, with its voting keys.
    pub fn lose_disk(&mut self, node: usize) {
        self.end(node, Ending::PowerCut);
        self.wipe(node, BlockHeight(0));
        self.by_key.retain(|_, of| *of != node);
        let this = &mut self.nodes[node];
        this.down = Down::DiskLost;
        this.n_disks_lost = this.n_disks_lost.saturating_add(1);
        this.key = None;
        this.keys_of_terms.clear();
        this.disk.secrets.clear();
        this.disk.successions.clear();
        // Who comes back is another speaker: of what the lost one said nobody may have heard the end.
        this.speech = Speech::default();
        self.bereave(node);
    }

    /// The owner of a node whose disk is gone takes a new one, and the cold key of the seat names the voting key on it.
    pub fn succeed(&mut self, node: usize) {
        if self.nodes[node].down != Down::DiskLost {
            return;
        }
        let generation = self.nodes[node].n_disks_lost;
        let key = key_of(&format!("successor {generation}"), node);
        let claim = Claim {
            term: self.genesis.parameters.terms().of_height(self.height().next()),
            account: account_of("holder", node),
            generation,
            key: key.node_id(),
        };
        let succession = Succession::sign(claim, &key, &cold_key_of(node), &self.network);
        if let Some(deciders) = self.deciders.get_mut(&(self.network, claim.term))
            && deciders.lacks(&succession)
        {
            Arc::make_mut(deciders).succeed(succession.clone());
        }
        self.by_key.insert(claim.key, node);
        let this = &mut self.nodes[node];
        this.disk.secrets.push(TermSecrets {
            term: claim.term,
            voting_key: key,
            onion_seed: Hash::of_content(b"onion that nobody registered"),
        });
        this.disk.successions.push(succession);
        this.down = Down::Stopped;
        let at = self.now.plus(NEW_DISK_MS);
        self.start_at(at, node);
    }
}
