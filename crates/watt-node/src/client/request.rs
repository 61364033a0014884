//! What is asked of the client functions and what they tell; the reports are what `--json` prints.

use crate::api::types::{DisputeInfo, LostInfo, PaidInfo, amount_text};
use serde::Serialize;
use std::path::PathBuf;
use watt_primitives::Amount;

/// How far a put waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PutWait {
    /// Until the ledger has the certificate: enough providers hold their shares.
    Certified,
    /// Until every share is sealed and its replica proven.
    Proven,
}

/// A file to store.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// The file.
    pub path: PathBuf,
    /// How long, in milliseconds of ledger time.
    pub term_ms: u64,
    /// Most to pay per 10^9 bytes of shares and day; `None` takes the offers there are, with a margin.
    pub price_max: Option<Amount>,
    /// How far to wait.
    pub wait: PutWait,
}

/// A stored file.
#[derive(Clone, Debug, Serialize)]
pub struct PutReport {
    /// What opens it: whoever has this can read the file.
    pub link: String,
    /// CID of its manifest: names it without opening it.
    pub cid: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes placed at providers.
    pub stored_bytes: u64,
    /// `stored_bytes / bytes`.
    pub expansion: f64,
    /// Shares placed, over all bundles.
    pub shares: u32,
    /// Shares of each bundle that rebuild it.
    pub shares_needed: u32,
    /// Shares of each bundle.
    pub shares_per_bundle: u32,
    /// The deals, one per bundle.
    pub deals: Vec<String>,
    /// Addresses of the providers that hold a share.
    pub holders: Vec<String>,
    /// Locked for the whole term.
    #[serde(with = "amount_text")]
    pub escrowed: Amount,
    /// Ledger time at which the term is over, in milliseconds.
    pub expires_at: u64,
    /// Whether an interrupted put of the same file was finished.
    pub resumed: bool,
    /// How long it took.
    pub seconds: f64,
    /// How much of that was waiting for providers to be drawn.
    pub draw_seconds: f64,
    /// `bytes` per second of the rest, in MiB.
    pub mib_per_s: f64,
}

/// A file to fetch.
#[derive(Clone, Debug)]
pub struct GetRequest {
    /// The link.
    pub link: String,
    /// Where to write it; `None` uses the name it was stored under, in the working folder.
    pub output: Option<PathBuf>,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

/// A fetched file.
#[derive(Clone, Debug, Serialize)]
pub struct GetReport {
    /// Where it is now.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Addresses of the providers that served it.
    pub served_by: Vec<String>,
    /// Addresses of providers that sent something else than what they are bound to.
    pub corrupt: Vec<String>,
    /// Addresses of providers that could not be reached.
    pub unreachable: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// `bytes` per second of that, in MiB.
    pub mib_per_s: f64,
}

/// A file to write to standard output.
#[derive(Clone, Debug)]
pub struct CatRequest {
    /// The link.
    pub link: String,
    /// First byte.
    pub offset: u64,
    /// At most this many bytes; `None` to the end.
    pub length: Option<u64>,
}

/// What this owner stored on this network, as this machine remembers it.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport {
    /// Newest first.
    pub files: Vec<ListEntry>,
}

/// A stored file.
#[derive(Clone, Debug, Serialize)]
pub struct ListEntry {
    /// Name it was stored under.
    pub name: String,
    /// What opens it.
    pub link: String,
    /// CID of its manifest.
    pub cid: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub stored_at: u64,
    /// Ledger time at which the term is over, in milliseconds.
    pub expires_at: u64,
    /// `stored`, `expired`, `removed` or `unfinished`.
    pub state: String,
}

/// A file to give up.
#[derive(Clone, Debug)]
pub struct RmRequest {
    /// The link, or the name of a stored file in `watt ls`.
    pub link: String,
}

/// A file given up.
#[derive(Clone, Debug, Serialize)]
pub struct RmReport {
    /// CID of its manifest.
    pub cid: String,
    /// Deals ended.
    pub deals: Vec<String>,
    /// Returned to the account.
    #[serde(with = "amount_text")]
    pub refunded: Amount,
    /// Paid to providers over its life.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// The same, by what it was paid for.
    pub paid_for: PaidInfo,
}

/// A file to look at.
#[derive(Clone, Debug)]
pub struct StatusRequest {
    /// The link.
    pub link: String,
    /// Whether shares that are kept sealed are unsealed to be looked at, too.
    pub check: bool,
    /// Whether holders that do not give what they hold are asked on the ledger; with [`Self::check`].
    pub dispute: bool,
}

/// How a stored file is.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// CID of its manifest.
    pub cid: String,
    /// Its bytes, if the link's manifest could be read.
    pub bytes: u64,
    /// In words: safe, at risk, lost, and why.
    pub summary: String,
    /// Shares of each bundle that rebuild it.
    pub shares_needed: u32,
    /// Shares whose holder answers now, of the weakest bundle.
    pub shares_alive: u32,
    /// Shares of each bundle.
    pub shares_per_bundle: u32,
    /// Shares, of all bundles, with the proof of the last window that was due.
    pub shares_proven: u32,
    /// Shares of which no proof was due yet.
    pub shares_not_proven_yet: u32,
    /// Shares whose proof was due and did not come.
    pub shares_missed: u32,
    /// Shares that their holder declared unreadable.
    pub shares_unreadable: u32,
    /// Locked by the client.
    #[serde(with = "amount_text")]
    pub escrowed: Amount,
    /// Paid so far.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// Would come back if the file were given up now.
    #[serde(with = "amount_text")]
    pub refundable: Amount,
    /// Ledger time at which the term is over, in milliseconds.
    pub expires_at: u64,
    /// Every share.
    pub shares: Vec<ShareStatus>,
    /// Shares that their holders lost.
    pub lost: Vec<LostShare>,
    /// Shares that were disputed now.
    pub disputed: Vec<DisputedShare>,
}

/// What a holder gives of its share when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A group, drawn by lot, that is what the ledger says it holds.
    Given,
    /// Its digests: it keeps the share sealed, which was not unsealed for a look.
    Sealed,
    /// Something else than what the ledger says it holds.
    Wrong,
    /// Nothing.
    None,
}

impl Answer {
    /// Whether the holder did not show that it has the share.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(self, Self::Wrong | Self::None)
    }
}

/// A share that its holder lost.
#[derive(Clone, Debug, Serialize)]
pub struct LostShare {
    /// Its deal.
    pub deal: String,
    /// Which, who, why, and what came back.
    #[serde(flatten)]
    pub lost: LostInfo,
}

/// A share that is disputed.
#[derive(Clone, Debug, Serialize)]
pub struct DisputedShare {
    /// Its deal.
    pub deal: String,
    /// Its index.
    pub slot: u8,
    /// Address of its holder.
    pub holder: String,
    /// The group of 16 KiB that it has to show.
    pub group: u32,
    /// Last height for that; later if windows are void until then.
    pub answer_by: u64,
    /// Locked until then: for the holder if it shows the group, else it comes back.
    #[serde(with = "amount_text")]
    pub locked: Amount,
}

/// How one share is.
#[derive(Clone, Debug, Serialize)]
pub struct ShareStatus {
    /// Its deal.
    pub deal: String,
    /// Its index.
    pub slot: u8,
    /// Address of its holder.
    pub holder: String,
    /// How far it is on the ledger.
    pub state: ShareState,
    /// How its proofs are.
    pub proof: ProofState,
    /// Whether the holder answers and has it now.
    pub is_alive: bool,
    /// What it gave when it was asked.
    pub answer: Answer,
    /// The group of 16 KiB that it was asked for.
    pub group: u32,
    /// The dispute about it that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispute: Option<DisputeInfo>,
    /// Newest window in which the holder proved it.
    pub last_proven_window: Option<u64>,
    /// Ledger time of that proof, in milliseconds; zero for none.
    pub last_proven_at: u64,
    /// Paid for this share so far.
    #[serde(with = "amount_text")]
    pub paid: Amount,
}

/// How the proofs of a share are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofState {
    /// None was due yet.
    NotYet,
    /// That of the last window that was due came.
    Proven,
    /// That of the last window that was due did not come.
    Missed,
    /// Its holder declared it unreadable.
    Unreadable,
}

/// How far a share is.
pub type ShareState = crate::api::types::SlotState;
