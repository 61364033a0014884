//! What the API says, as JSON: written by the server, read by the client, documented in `docs/spec/api.md` §5.
//!
//! Amounts are texts in WATT (`"12.5"`), because a JSON number can't hold every unit; ids and hashes are hexadecimal; accounts
//! are addresses; times are milliseconds since the Unix epoch.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt::Display;
use std::str::FromStr;
use watt_engine::Examined;
use watt_primitives::terms::Device;
use watt_primitives::{Amount, PublicKey};

/// Writes a value as its text.
///
/// # Errors
/// Those of the serializer.
pub fn as_text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Amounts as texts in WATT.
pub mod amount_text {
    use super::{Amount, Deserialize, Deserializer, FromStr, Serializer};
    use serde::de::Error as _;

    /// Writes `"12.5"`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    /// Reads `"12.5"`.
    ///
    /// # Errors
    /// No amount.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(deserializer)?;
        Amount::from_str(&text).map_err(D::Error::custom)
    }
}

/// Byte types as hexadecimal.
fn from_hex<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("not hexadecimal of the right length"))
}

macro_rules! hex_module {
    ($name:ident, $type:ty) => {
        #[doc = concat!("`", stringify!($type), "` as hexadecimal.")]
        pub mod $name {
            use serde::{Deserializer, Serializer};

            /// Writes hexadecimal.
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(value)
            }

            /// Reads hexadecimal.
            ///
            /// # Errors
            /// Anything else.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                super::from_hex(deserializer, <$type>::from_hex)
            }
        }
    };
}

hex_module!(hash_hex, watt_primitives::Hash);
hex_module!(network_hex, watt_primitives::NetworkId);
hex_module!(node_hex, watt_primitives::NodeId);
hex_module!(transaction_hex, watt_primitives::TransactionId);
hex_module!(deal_hex, watt_primitives::DealId);

/// The newest header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadInfo {
    /// Height.
    pub height: u64,
    /// The header's hash.
    #[serde(with = "hash_hex")]
    pub hash: watt_primitives::Hash,
    /// Which network.
    #[serde(with = "network_hex")]
    pub network: watt_primitives::NetworkId,
    /// Rules in force.
    pub version: u32,
    /// Hash of the header before.
    #[serde(with = "hash_hex")]
    pub parent: watt_primitives::Hash,
    /// What was agreed on.
    #[serde(with = "hash_hex")]
    pub value: watt_primitives::Hash,
    /// Whether the fallback with an empty body was decided.
    pub is_empty: bool,
    /// When the block closed, in milliseconds since the Unix epoch.
    pub close_time: u64,
    /// Root of the state after the block.
    #[serde(with = "hash_hex")]
    pub state_root: watt_primitives::Hash,
    /// Root over the receipts.
    #[serde(with = "hash_hex")]
    pub receipts_root: watt_primitives::Hash,
    /// Root of the ranks with which the running term began.
    #[serde(with = "hash_hex")]
    pub rank_root: watt_primitives::Hash,
    /// Hash of the quorum set that decides the next block.
    #[serde(with = "hash_hex")]
    pub next_backbone: watt_primitives::Hash,
    /// Root over all headers before.
    #[serde(with = "hash_hex")]
    pub history_root: watt_primitives::Hash,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockInfo {
    /// Its header.
    #[serde(flatten)]
    pub header: HeadInfo,
    /// Whether the state after it is final.
    pub finality: Finality,
    /// The entry that proposed it.
    #[serde(with = "node_hex")]
    pub proposer: watt_primitives::NodeId,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// Entries whose statements are stored as proof of the decision, as hexadecimal.
    pub decided_by: Vec<String>,
    /// Its transactions in order.
    pub transactions: Vec<TransactionSummary>,
    /// Numbers of the providers whose heartbeats are in it, ascending.
    pub heartbeats: Vec<u32>,
}

/// A heartbeat that is handed in, with the window that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedHeartbeat {
    /// Which window.
    pub window: watt_primitives::Window,
    /// The heartbeat.
    pub heartbeat: watt_light::SignedHeartbeat,
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionSummary {
    /// Which.
    #[serde(with = "transaction_hex")]
    pub id: watt_primitives::TransactionId,
    /// Address of who acted.
    pub account: String,
    /// Most that its author pays.
    #[serde(with = "amount_text")]
    pub fee_max: Amount,
    /// What it does, one word per operation.
    pub operations: Vec<String>,
}

/// How final something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// It stands in a decided block.
    Recorded,
    /// The state after that block is decided too.
    Done,
}

impl Display for Finality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Recorded => "recorded",
            Self::Done => "done",
        })
    }
}

/// Whether a transaction happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All its operations happened.
    Applied,
    /// None of them did; only the fee was taken.
    Failed,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionInfo {
    /// Which.
    #[serde(with = "transaction_hex")]
    pub id: watt_primitives::TransactionId,
    /// Address of who acted.
    pub account: String,
    /// Height of its block.
    pub height: u64,
    /// Place in the block.
    pub index: u32,
    /// How final it is.
    pub finality: Finality,
    /// Whether it happened.
    pub outcome: Outcome,
    /// Why not, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Place of the operation that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_operation: Option<u16>,
    /// Fee taken.
    #[serde(with = "amount_text")]
    pub fee: Amount,
    /// What each operation did, in words.
    pub done: Vec<String>,
}

/// A transaction was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
    /// Which.
    #[serde(with = "transaction_hex")]
    pub id: watt_primitives::TransactionId,
    /// `pending`, or `recorded` if it stands in a block already.
    pub state: String,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Its address.
    pub address: String,
    /// `keyed`, `contract` or `protocol-wallet`.
    pub kind: String,
    /// What it can spend.
    #[serde(with = "amount_text")]
    pub balance: Amount,
    /// Bids that are neither certified nor over.
    pub open_bids: u8,
    /// Its live keys.
    pub keys: Vec<KeyInfo>,
}

/// A key of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Position.
    pub index: u16,
    /// `ed25519`, `webauthn-p256` or `secp256k1`.
    pub scheme: String,
    /// The key's bytes, as hexadecimal.
    pub key: String,
    /// `owner`, `daily` or `device`.
    pub role: String,
    /// Number of its next transaction.
    pub nonce: u64,
}

impl KeyInfo {
    /// What is said of a key at `index`.
    #[must_use]
    pub fn of(index: u16, key: &PublicKey, role: &str, nonce: u64) -> Self {
        let (scheme, bytes) = key_text(key);
        Self {
            index,
            scheme: scheme.to_owned(),
            key: bytes,
            role: role.to_owned(),
            nonce,
        }
    }

    /// Whether it is this key.
    #[must_use]
    pub fn is(&self, key: &PublicKey) -> bool {
        let (scheme, bytes) = key_text(key);
        self.scheme == scheme && self.key == bytes
    }
}

/// A key's scheme and bytes, as the API writes them.
fn key_text(key: &PublicKey) -> (&'static str, String) {
    let scheme = match key {
        PublicKey::Ed25519(_) => "ed25519",
        PublicKey::WebAuthnP256(_) => "webauthn-p256",
        PublicKey::Secp256k1(_) => "secp256k1",
    };
    let bytes = key.to_bytes();
    // The first byte is the scheme's.
    let bytes = bytes.get(1..).unwrap_or_default();
    (scheme, bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Its account's address.
    pub address: String,
    /// Its number among all providers: what its heartbeats name it by.
    pub number: u32,
    /// Bytes it is ready to hold.
    pub capacity_bytes: u64,
    /// Bytes reserved or in use.
    pub used_bytes: u64,
    /// Whose power the storage is that it proves.
    pub person: String,
    /// libp2p peer id.
    pub peer_id: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// What it runs on, as it declares: `always-on`, `daily` or `phone`.
    #[serde(default)]
    pub device: Device,
    /// Slots that it lost.
    #[serde(default)]
    pub slots_lost: u64,
    /// Disputes about its slots that are open.
    #[serde(default)]
    pub n_disputed: u32,
    /// Its standing offer, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<AskInfo>,
    /// Proven time that is paid, in all, in milliseconds.
    pub proven_ms: u64,
    /// Windows that it answered and did not prove.
    #[serde(default)]
    pub windows_failed: u64,
    /// Proven time that was withheld for them, in milliseconds.
    #[serde(default)]
    pub withheld_ms: u64,
    /// Proven time that is still to be withheld for them, in milliseconds.
    #[serde(default)]
    pub owed_ms: u64,
    /// Active sectors.
    pub n_sectors_active: u32,
    /// Proofs accepted.
    pub windows_proven: u64,
    /// Proofs that were due, void windows left out, and never came.
    pub windows_missed: u64,
    /// Proofs that did not verify.
    pub proofs_failed: u64,
    /// Newest window that was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_proven_window: Option<u64>,
    /// Ledger time of the newest accepted proof, in milliseconds; zero for none.
    pub last_proven_at: u64,
}

/// A standing offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskInfo {
    /// Price per 10^9 bytes and day.
    #[serde(with = "amount_text")]
    pub price: Amount,
    /// Smallest slot, in bytes.
    pub slot_bytes_min: u64,
    /// Largest slot, in bytes.
    pub slot_bytes_max: u64,
    /// Longest term, in milliseconds.
    pub term_ms_max: u64,
    /// Whether data is kept unsealed too.
    pub hot: bool,
}

/// A page of deals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealsPage {
    /// Up to a page of them.
    pub deals: Vec<DealInfo>,
    /// Pass it as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealInfo {
    /// Which.
    #[serde(with = "deal_hex")]
    pub id: watt_primitives::DealId,
    /// Address of who pays.
    pub client: String,
    /// How far it is.
    pub stage: DealStage,
    /// Encoding class.
    pub class: String,
    /// CID of the bundle's header.
    pub header: String,
    /// CID of the file's manifest.
    pub manifest: String,
    /// Bytes in each slot.
    pub slot_bytes: u64,
    /// Length of the term, in milliseconds of ledger time.
    pub term_ms: u64,
    /// Height of the bid.
    pub bid_height: u64,
    /// Height of the next draw of providers that it takes part in; absent once it is matched or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw_height: Option<u64>,
    /// Most paid per slot, per 10^9 bytes and day.
    #[serde(with = "amount_text")]
    pub price_max: Amount,
    /// Locked by the client.
    #[serde(with = "amount_text")]
    pub escrow: Amount,
    /// Paid to providers so far.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// The same, by what it was paid for.
    pub paid_for: PaidInfo,
    /// Returned to the client so far.
    #[serde(with = "amount_text")]
    pub refunded: Amount,
    /// Its slots in order; empty before the match and after the end.
    pub slots: Vec<SlotInfo>,
    /// Slots that their holders lost: not stored any more, and not paid.
    #[serde(default)]
    pub lost: Vec<LostInfo>,
}

/// A slot that its holder lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostInfo {
    /// Which slot.
    pub slot: u8,
    /// Address of the provider that held it.
    pub provider: String,
    /// `dispute-unanswered` or `not-proven`.
    pub why: String,
    /// Height at which it was lost.
    pub height: u64,
    /// Paid for it in all.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// Returned to the client.
    #[serde(with = "amount_text")]
    pub refunded: Amount,
}

/// Somebody wants to see a group of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeInfo {
    /// Address of who asks.
    pub by: String,
    /// For which group of 16 KiB.
    pub group: u32,
    /// Last height for the answer; later if windows are void until then.
    pub answer_by: u64,
}

/// What providers were paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidInfo {
    /// Time in which they proved that they hold their shares.
    #[serde(with = "amount_text")]
    pub proven: Amount,
    /// Space that was reserved from the match on.
    #[serde(with = "amount_text")]
    pub reserved: Amount,
    /// The client ended the deal before its term: up to 30 days of the rest.
    #[serde(with = "amount_text")]
    pub early_end: Amount,
}

impl From<watt_market::Paid> for PaidInfo {
    fn from(paid: watt_market::Paid) -> Self {
        Self {
            proven: paid.proven,
            reserved: paid.reserved,
            early_end: paid.early_end,
        }
    }
}

/// How far a deal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum DealStage {
    /// Waits for its match.
    Open,
    /// Providers are chosen, the shares travel.
    Matched {
        /// Height of the match.
        height: u64,
        /// Last height for the certificate.
        deadline: u64,
    },
    /// Certified: the term runs.
    Active {
        /// Height of the certificate.
        height: u64,
        /// Ledger time of the certificate.
        at: u64,
        /// Ledger time at which the term is over.
        ends_at: u64,
    },
    /// The term is over, the last proofs may still come.
    Ending {
        /// Ledger time at which the term was over.
        ends_at: u64,
        /// First height at which it is settled.
        settle_height: u64,
    },
    /// Over.
    Ended {
        /// `unmatched`, `not-certified`, `term-over` or `terminated`.
        how: String,
        /// Height.
        height: u64,
        /// Offers that fitted and offers needed, if it was not matched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offers: Option<(u32, u32)>,
    },
}

/// One slot of a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// Which slot.
    pub slot: u8,
    /// Its BLAKE3 root.
    #[serde(with = "hash_hex")]
    pub root: watt_primitives::Hash,
    /// Address of its provider.
    pub provider: String,
    /// libp2p peer id of the provider.
    pub peer_id: String,
    /// Where the provider is reached.
    pub addresses: Vec<String>,
    /// How far it is.
    pub state: SlotState,
    /// The sector that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<u64>,
    /// What its holder declared to run on before the match: how long it may go unproven.
    #[serde(default)]
    pub device: Device,
    /// The dispute about it that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<DisputeInfo>,
    /// Agreed price per 10^9 bytes and day.
    #[serde(with = "amount_text")]
    pub price: Amount,
    /// Paid so far, for the reservation and for proven time.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// Of this, for proven time.
    #[serde(with = "amount_text")]
    pub paid_proven: Amount,
    /// Earned and not claimed yet.
    #[serde(with = "amount_text")]
    pub due: Amount,
    /// Proven time of this slot, in milliseconds.
    pub proven_ms: u64,
    /// First window in which its sector has to be proven, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proving_from: Option<u64>,
    /// Newest window that was proven with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_proven_window: Option<u64>,
    /// Ledger time of its provider's newest proof, in milliseconds; zero for none.
    pub last_proven_at: u64,
}

/// How far one slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotState {
    /// Space is reserved; its provider has not signed that it holds the bytes.
    Reserved,
    /// Its provider has signed that it holds the bytes.
    Accepted,
    /// In a sector whose replica is committed to and not proven yet.
    Sealing,
    /// In a sector that is proven window after window.
    Proving,
    /// Its provider declared it unreadable in the newest window.
    Faulty,
}

/// How the node is, for anyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// The program's version.
    pub version: String,
    /// Version of the network's rules that the next block follows.
    pub rules_version: u32,
    /// The highest version of the rules that the program knows.
    pub rules_version_known: u32,
    /// Network's name for people.
    pub network_name: String,
    /// Which network.
    #[serde(with = "network_hex")]
    pub network: watt_primitives::NetworkId,
    /// Height of the head.
    pub height: u64,
    /// Close time of the head, in milliseconds since the Unix epoch.
    pub close_time: u64,
    /// Ledger time of the head, in milliseconds: close time less halted time.
    pub ledger_time: u64,
    /// Current proving window.
    pub window: u64,
    /// Connected peers.
    pub peers: u64,
    /// Whether this node votes.
    pub is_validator: bool,
    /// Sectors whose openings it looked at for their committees since it started.
    #[serde(default)]
    pub examined: Examined,
    /// Height that a peer is known to have, if it is ahead; zero otherwise.
    pub behind: u64,
    /// Transactions waiting.
    pub pool_transactions: u64,
    /// The most transactions in a block.
    pub block_transactions_max: u32,
    /// Where all the money is.
    pub supply: SupplyInfo,
    /// Proofs of all providers.
    pub proofs: ProofsInfo,
    /// Whether the node is ready to serve, and if not, why.
    pub ready: Readiness,
    /// How far its owner's circle confirms what it sees; absent on a node without owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circle: Option<super::circle::CircleInfo>,
}

/// Whether a node is correctly connected, and what its owner's circle says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthInfo {
    /// Whether it is correctly connected.
    #[serde(flatten)]
    pub report: watt_health::Report,
    /// How far its owner's circle confirms what it sees; absent on a node without owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circle: Option<super::circle::CircleInfo>,
}

/// Proofs of all providers since genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofsInfo {
    /// Window proofs that were accepted.
    pub accepted: u64,
    /// Window proofs that were due and never came.
    pub missed: u64,
}

/// Where all the money is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupplyInfo {
    /// All of it.
    #[serde(with = "amount_text")]
    pub total: Amount,
    /// In accounts.
    #[serde(with = "amount_text")]
    pub in_accounts: Amount,
    /// Locked for bids and deals.
    #[serde(with = "amount_text")]
    pub in_escrow: Amount,
    /// Collected fees.
    #[serde(with = "amount_text")]
    pub in_protocol_wallet: Amount,
}

/// Whether a node is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it serves and is up to date.
    pub is_ready: bool,
    /// In words.
    pub reason: String,
}

/// How the node is, for its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerStatus {
    /// What anyone may know.
    pub node: StatusInfo,
    /// Hash of the head's header.
    pub header: String,
    /// Messages and transactions refused since the start, by reason.
    pub refused: std::collections::BTreeMap<String, u64>,
}

/// How the provider of a node is, for its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderReport {
    /// Address of the account that is paid.
    pub address: String,
    /// One sentence: what it does now, or what it waits for and why.
    pub summary: String,
    /// Work in progress and recent trouble, one line each.
    pub work: Vec<String>,
    /// How what it stores is checked and put right.
    #[serde(default)]
    pub scrub: ScrubInfo,
    /// How far folding is; absent if each window is settled by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folding: Option<super::folding::FoldingInfo>,
    /// Where the shares lie on its disk.
    #[serde(default)]
    pub stored: StoredInfo,
    /// What the ledger knows of it; absent before its pledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<ProviderInfo>,
    /// What it proves, sector by sector.
    #[serde(default)]
    pub proving: super::proving::ProvingInfo,
    /// Shares it holds for deals that are not over.
    pub n_slots: u64,
    /// Paid for these shares so far.
    #[serde(with = "amount_text")]
    pub earned: Amount,
    /// Still locked for them: the most that they can still pay.
    #[serde(with = "amount_text")]
    pub outstanding: Amount,
    /// What its account can spend.
    #[serde(with = "amount_text")]
    pub balance: Amount,
}

/// Where a provider's shares lie, in bytes of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInfo {
    /// As they came, besides in a replica if they are sealed.
    pub hot_bytes: u64,
    /// In sealed replicas alone: a read of these waits until they are unsealed.
    pub cold_bytes: u64,
    /// Copies of the latter, from earlier reads.
    pub cached_bytes: u64,
}

/// How far a provider is with reading everything that it stores, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubInfo {
    /// Whether it is reading, slowly or because it was asked.
    pub is_running: bool,
    /// Bytes read since it began, or in the last pass.
    pub checked_bytes: u64,
    /// Bytes that there are to read.
    pub total_bytes: u64,
    /// When the last pass was done, in Unix milliseconds; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<u64>,
    /// Groups of 16 KiB put right since the node started.
    pub repaired_groups: u64,
    /// What can't be put right here, as each sector was found when it was read last, in sentences.
    pub lost: Vec<String>,
    /// How often the owner asked for a pass since the node started.
    pub asks: u64,
    /// How many of these were answered by a pass that began after them.
    pub answered: u64,
}

/// A node goes on where it was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// In this slot.
    pub slot: u64,
}
