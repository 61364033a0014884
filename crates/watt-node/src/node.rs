//! A running node as the rest of the program sees it.

use std::sync::Arc;
use watt_engine::message::DecidedBlock;
use watt_ledger::{Genesis, Receipt};
use watt_light::{Header, SignedTransaction};
use watt_primitives::{BlockHeight, TransactionId};

/// What a node is doing, for status commands and metrics.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct NodeStatus {
    /// Height of the head.
    pub height: u64,
    /// Hash of the head's header, hexadecimal.
    pub header: String,
    /// Close time of the head, in milliseconds since the Unix epoch.
    pub close_time: u64,
    /// Connected peers.
    pub peers: usize,
    /// Whether this node votes.
    pub is_validator: bool,
    /// Height that a peer is known to have, if it is ahead.
    pub behind: u64,
    /// Transactions waiting in the pool.
    pub pool_transactions: usize,
    /// Messages and transactions refused since the start, by reason.
    pub refused: std::collections::BTreeMap<String, u64>,
}

/// A running node: cheap to clone, safe to ask from anywhere.
#[derive(Clone)]
pub struct NodeHandle(/* written with the runtime */);

// Methods that the runtime will provide (do not implement; code against them):
//   pub fn genesis(&self) -> &Genesis
//   pub fn status(&self) -> NodeStatus
//   pub fn snapshot(&self) -> watt_store::Snapshot                 // StateRead of the head
//   pub fn head(&self) -> Header
//   pub fn block(&self, height: BlockHeight) -> anyhow::Result<Option<(DecidedBlock, Header)>>
//   pub fn transaction(&self, id: TransactionId) -> Option<(BlockHeight, u32, Receipt)>
//   pub async fn submit(&self, transaction: SignedTransaction) -> Result<TransactionId, String>
//   pub fn subscribe(&self) -> tokio::sync::watch::Receiver<Header> // new heads
//   pub fn provider(&self) -> Option<ProviderStatus>                // sectors, windows, earnings in words; being written
