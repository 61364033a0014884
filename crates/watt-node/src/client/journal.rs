//! What a put must not forget: one folder per put, each file replaced whole and durable before its content matters.
//!
//! The file key is drawn once; a bid is written down, signed, before it is sent. So a put that is interrupted anywhere goes on
//! with the same key and the very same transactions, and nothing is stored or paid for twice.

use super::source::Source;
use super::stored::StoredFile;
use crate::config::create_private_dir;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile::{random_bytes, replace_private};
use crate::lock::locked;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use watt_content::outboard::Outboard;
use watt_content::{FileKey, Header, SlotRoots};
use watt_light::SignedTransaction;
use watt_primitives::{AccountId, BoundedBytes, DealId, Hash, codec};

/// The most bytes of a file of the journal that are read: above the bids of the largest file.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Version of these files.
const VERSION: u8 = 1;

/// What is stored and how, fixed when the put begins.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    v: u8,
    /// The file's key.
    key: BoundedBytes<32>,
    /// Name without folder.
    pub(super) name: String,
    /// Bytes of the file.
    pub(super) len: u64,
    /// When the file was last changed, in milliseconds since the Unix epoch; zero if the system does not tell.
    pub(super) modified_ms: u64,
    /// Who pays.
    pub(super) account: AccountId,
    /// How long, in milliseconds.
    pub(super) term_ms: u64,
    /// When the put began, in milliseconds since the Unix epoch.
    pub(super) started_at: u64,
}

/// What the first pass found in one bundle.
#[derive(Serialize, Deserialize)]
struct BundleRecord {
    header: BoundedBytes<1024>,
    slot_roots: BoundedBytes<8192>,
    data_cells: Vec<Vec<Hash>>,
}

/// One bundle, ready for its second pass.
pub(super) struct KnownBundle {
    pub(super) header: Header,
    pub(super) slot_roots: SlotRoots,
    /// Of the data slots.
    pub(super) outboards: Vec<Outboard>,
}

/// A signed transaction of bids, and the deal that each bundle gets by it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BidRecord {
    pub(super) transaction: SignedTransaction,
    pub(super) deals: Vec<(u64, DealId)>,
}

/// What changes while a put runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// In the order they were signed; the newest that names a bundle counts.
    pub(super) bids: Vec<BidRecord>,
    /// Providers that failed in this run, not to be chosen again; the next one gives them another chance.
    pub(super) excluded: Vec<AccountId>,
}

impl Progress {
    /// The deal that `bundle` is to be kept by.
    pub(super) fn deal_of(&self, bundle: usize) -> Option<DealId> {
        let bundle = u64::try_from(bundle).ok()?;
        let newest_first = self.bids.iter().rev().flat_map(|bid| &bid.deals);
        newest_first
            .filter(|(index, _)| *index == bundle)
            .map(|(_, deal)| *deal)
            .next()
    }

    /// Forgets a transaction that never came to anything.
    pub(super) fn forget(&mut self, deal: DealId) {
        self.bids
            .retain(|bid| bid.deals.iter().all(|(_, other)| *other != deal));
    }
}

/// The folder of one put, held by this process alone.
pub(super) struct Journal {
    dir: PathBuf,
    plan: Plan,
    progress: Mutex<Progress>,
    is_spoiled: AtomicBool,
    _lock: File,
}

impl Journal {
    /// Opens the journal of this file, or begins one; says whether an interrupted put is gone on with.
    pub(super) fn open(
        puts: &Path,
        source: &Source,
        account: AccountId,
        term_ms: u64,
    ) -> Result<(Self, bool), CommandError> {
        let dir = puts.join(source.put_id(&account, term_ms));
        create_private_dir(&dir)?;
        let lock = lock(&dir)?;
        let plan = read::<Plan>(&dir.join("plan.cbor"))?
            .filter(|plan| plan.v == VERSION && plan.key.len() == FileKey::LEN);
        let is_resumed = plan.is_some();
        let plan = match plan {
            Some(plan) => plan,
            None => begin(&dir, source, account, term_ms)?,
        };
        let mut progress: Progress = read(&dir.join("progress.cbor"))?.unwrap_or_default();
        progress.excluded.clear();
        Ok((
            Self {
                dir,
                plan,
                progress: Mutex::new(progress),
                is_spoiled: AtomicBool::new(false),
                _lock: lock,
            },
            is_resumed,
        ))
    }

    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn key(&self) -> FileKey {
        let mut bytes = [0; FileKey::LEN];
        // The length was checked when the plan was read.
        bytes.copy_from_slice(&self.plan.key);
        FileKey::from_bytes(bytes)
    }

    /// What the first pass found in `bundle`, if it is known and whole.
    pub(super) fn bundle(&self, bundle: usize) -> Result<Option<KnownBundle>, CommandError> {
        let record: Option<BundleRecord> = read(&self.bundle_path(bundle))?;
        Ok(record.and_then(|record| {
            let header = Header::decode(&record.header).ok()?;
            let slot_roots = SlotRoots::decode(&record.slot_roots, &header).ok()?;
            let mut outboards = Vec::with_capacity(record.data_cells.len());
            for (slot, cells) in (0u8..).zip(record.data_cells) {
                outboards.push(Outboard::check(slot_roots.get(slot)?, header.rows(), cells).ok()?);
            }
            let is_whole =
                outboards.len() == usize::from(header.class().k()) && header.check_key(&self.key()).is_ok();
            is_whole.then_some(KnownBundle {
                header,
                slot_roots,
                outboards,
            })
        }))
    }

    pub(super) fn save_bundle(&self, bundle: usize, known: &KnownBundle) -> Result<(), CommandError> {
        let record = BundleRecord {
            header: BoundedBytes::new(known.header.encode()).unwrap_or_default(),
            slot_roots: BoundedBytes::new(known.slot_roots.encode()).unwrap_or_default(),
            data_cells: known
                .outboards
                .iter()
                .map(|outboard| outboard.cells().to_vec())
                .collect(),
        };
        replace_private(&self.bundle_path(bundle), &codec::encode(&record))
    }

    fn bundle_path(&self, bundle: usize) -> PathBuf {
        self.dir.join(format!("bundle-{bundle}.cbor"))
    }

    pub(super) fn deal_of(&self, bundle: usize) -> Option<DealId> {
        self.progress().deal_of(bundle)
    }

    /// The transaction by which `deal` is bid for.
    pub(super) fn bid_of(&self, deal: DealId) -> Option<BidRecord> {
        self.progress()
            .bids
            .iter()
            .find(|bid| bid.deals.iter().any(|(_, other)| *other == deal))
            .cloned()
    }

    pub(super) fn excluded(&self) -> Vec<AccountId> {
        self.progress().excluded.clone()
    }

    /// Changes what is known, durably when it returns.
    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) -> Result<(), CommandError> {
        let mut progress = self.progress();
        let mut next = progress.clone();
        change(&mut next);
        replace_private(&self.dir.join("progress.cbor"), &codec::encode(&next))?;
        *progress = next;
        Ok(())
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }

    /// The file was found to be another than in the first pass: this put's key must never seal it again.
    pub(super) fn spoil(&self) {
        self.is_spoiled.store(true, Ordering::Relaxed);
    }

    /// Ends a put that failed: one that bid for nothing leaves nothing behind, any other is to be gone on with.
    pub(super) fn close_failed(self) -> Result<(), CommandError> {
        let has_bids = !self.progress().bids.is_empty();
        if has_bids && !self.is_spoiled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.remove()
    }

    /// Ends the put: what it needed to remember is elsewhere, or worthless.
    pub(super) fn remove(self) -> Result<(), CommandError> {
        std::fs::remove_dir_all(&self.dir).map_err(|error| CommandError::file("remove", &self.dir, &error))
    }
}

fn begin(dir: &Path, source: &Source, account: AccountId, term_ms: u64) -> Result<Plan, CommandError> {
    let key: [u8; FileKey::LEN] = random_bytes()?;
    let plan = Plan {
        v: VERSION,
        key: BoundedBytes::new(key.to_vec()).unwrap_or_default(),
        name: source.name.as_str().to_owned(),
        len: source.len,
        modified_ms: source.modified_ms,
        account,
        term_ms,
        started_at: super::stored::now_ms(),
    };
    // Leftovers of another version would be sealed with another key.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "cbor")
        {
            std::fs::remove_file(entry.path())
                .map_err(|error| CommandError::file("remove", &entry.path(), &error))?;
        }
    }
    replace_private(&dir.join("plan.cbor"), &codec::encode(&plan))?;
    Ok(plan)
}

fn lock(dir: &Path) -> Result<File, CommandError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| CommandError::file("write", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(CommandError::new(
            ErrorKind::Conflict,
            "this file is being stored by another `watt put` right now",
            "wait for it to finish",
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(CommandError::file("lock", &path, &error)),
    }
}

/// A file of the journal; `None` if it is missing or not readable as what it should be.
fn read<T: Serialize + DeserializeOwned>(path: &Path) -> Result<Option<T>, CommandError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(codec::decode(&bytes, RECORD_BYTES_MAX).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::file("read", path, &error)),
    }
}

/// A put that was begun and not finished.
pub(super) struct Unfinished {
    pub(super) dir: PathBuf,
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) started_at: u64,
    pub(super) deals: Vec<DealId>,
}

/// All puts in `puts` that were begun and not finished. One whose deals are those of a file in `stored` was finished: only its
/// journal was not removed any more.
pub(super) fn unfinished(puts: &Path, stored: &[StoredFile]) -> Result<Vec<Unfinished>, CommandError> {
    let finished: BTreeSet<&str> = stored
        .iter()
        .flat_map(|file| &file.deals)
        .map(String::as_str)
        .collect();
    let entries = match std::fs::read_dir(puts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CommandError::file("read", puts, &error)),
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let dir = entry.path();
        let Some(plan) = read::<Plan>(&dir.join("plan.cbor"))? else {
            continue;
        };
        let progress: Progress = read(&dir.join("progress.cbor"))?.unwrap_or_default();
        let deals: Vec<DealId> = progress
            .bids
            .iter()
            .flat_map(|bid| bid.deals.iter().map(|(_, deal)| *deal))
            .collect();
        if deals
            .iter()
            .any(|deal| finished.contains(deal.to_string().as_str()))
        {
            continue;
        }
        all.push(Unfinished {
            dir,
            name: plan.name,
            len: plan.len,
            started_at: plan.started_at,
            deals,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_content::{FilePlan, RootsPass};
    use watt_primitives::class::Class;
    use watt_primitives::{Amount, BlockHeight, BoundedVec, NetworkId, SecretKey};

    const ACCOUNT: AccountId = AccountId([1; 20]);
    const DAY: u64 = 86_400_000;

    fn source(dir: &Path, bytes: &[u8]) -> Source {
        let path = dir.join("photo.jpg");
        std::fs::write(&path, bytes).unwrap();
        Source::open(&path).unwrap()
    }

    fn bid(nonce: u64, deals: &[(u64, u8)]) -> BidRecord {
        let key = SecretKey::from_seed([9; 32]);
        let transaction = watt_light::Transaction {
            account: ACCOUNT,
            key_index: 0,
            key: key.public(),
            nonce,
            valid_until: BlockHeight(10),
            fee: Amount::ZERO,
            operations: BoundedVec::empty(),
        };
        let transaction = transaction
            .sign(&key, &NetworkId::new([7; 32]), Vec::new())
            .unwrap();
        BidRecord {
            transaction,
            deals: deals
                .iter()
                .map(|(bundle, deal)| (*bundle, DealId([*deal; 32])))
                .collect(),
        }
    }

    /// A put that was killed goes on with the same key and the very same signed bids. Covers: A5.
    #[test]
    fn a_killed_put_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let (puts, source) = (dir.path().join("puts"), source(dir.path(), b"hello"));
        let (journal, is_resumed) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        assert!(!is_resumed);
        let key = journal.key();
        journal
            .update(|progress| progress.bids.push(bid(4, &[(0, 1), (1, 2)])))
            .unwrap();
        drop(journal);

        let (journal, is_resumed) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        assert!(is_resumed);
        assert!(journal.key() == key);
        assert_eq!(journal.deal_of(1), Some(DealId([2; 32])));
        let record = journal.bid_of(DealId([2; 32])).unwrap();
        assert_eq!(record.transaction, bid(4, &[]).transaction);
        assert_eq!(unfinished(&puts, &[]).unwrap().len(), 1);
        journal.remove().unwrap();
        assert!(unfinished(&puts, &[]).unwrap().is_empty());
    }

    /// A put that is refused before it bid for anything leaves nothing that `watt ls` would show; one with a bid can be gone on
    /// with. Covers: A5, C1.
    #[test]
    fn a_refused_put_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (puts, source) = (dir.path().join("puts"), source(dir.path(), b"hello"));
        let (journal, _) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        journal.close_failed().unwrap();
        assert!(unfinished(&puts, &[]).unwrap().is_empty());

        let (journal, is_resumed) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        assert!(!is_resumed);
        journal
            .update(|progress| progress.bids.push(bid(4, &[(0, 1)])))
            .unwrap();
        journal.close_failed().unwrap();
        assert_eq!(unfinished(&puts, &[]).unwrap().len(), 1);

        let (journal, is_resumed) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        assert!(is_resumed);
        journal.spoil();
        journal.close_failed().unwrap();
        assert!(unfinished(&puts, &[]).unwrap().is_empty());
    }

    /// A put that was killed after its file was noted as stored and before its journal was removed is listed once. Covers: A5.
    #[test]
    fn a_finished_put_is_not_listed_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (puts, source) = (dir.path().join("puts"), source(dir.path(), b"hello"));
        let (journal, _) = Journal::open(&puts, &source, ACCOUNT, DAY).unwrap();
        journal
            .update(|progress| progress.bids.push(bid(4, &[(0, 1)])))
            .unwrap();
        let stored = |deal: u8| StoredFile {
            name: "photo.jpg".to_owned(),
            link: String::new(),
            cid: String::new(),
            bytes: 5,
            stored_at: 0,
            expires_at: 0,
            deals: vec![DealId([deal; 32]).to_string()],
        };
        assert!(unfinished(&puts, &[stored(1)]).unwrap().is_empty());
        assert_eq!(unfinished(&puts, &[stored(2)]).unwrap().len(), 1);
    }

    /// Two puts of one file at once would send two bids. Covers: A5.
    #[test]
    fn one_put_of_a_file_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), b"hello");
        let held = Journal::open(dir.path(), &source, ACCOUNT, DAY).unwrap();
        let refused = Journal::open(dir.path(), &source, ACCOUNT, DAY).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        drop(held);
        assert!(Journal::open(dir.path(), &source, ACCOUNT, DAY).is_ok());
    }

    /// A file with other content never meets the key of the one before. Covers: C3.
    #[test]
    fn a_changed_file_is_another_put() {
        let dir = tempfile::tempdir().unwrap();
        let before = source(dir.path(), b"hello");
        let after = source(dir.path(), b"hello, world");
        assert_ne!(before.put_id(&ACCOUNT, DAY), after.put_id(&ACCOUNT, DAY));
        assert_ne!(before.put_id(&ACCOUNT, DAY), before.put_id(&ACCOUNT, 2 * DAY));
        assert_ne!(
            before.put_id(&ACCOUNT, DAY),
            before.put_id(&AccountId([2; 20]), DAY)
        );
        assert_eq!(before.put_id(&ACCOUNT, DAY), before.clone().put_id(&ACCOUNT, DAY));
    }

    /// The newest bid for a bundle counts; a bid that came to nothing is gone for all its bundles. Covers: A5.
    #[test]
    fn the_newest_bid_counts() {
        let mut progress = Progress::default();
        progress.bids.push(bid(1, &[(0, 1), (1, 2)]));
        progress.bids.push(bid(2, &[(1, 3)]));
        assert_eq!(progress.deal_of(0), Some(DealId([1; 32])));
        assert_eq!(progress.deal_of(1), Some(DealId([3; 32])));
        assert_eq!(progress.deal_of(2), None);
        progress.forget(DealId([3; 32]));
        assert_eq!(progress.deal_of(1), Some(DealId([2; 32])));
    }

    /// What the first pass found is used again only if it is whole and of this put's key. Covers: A5, C3.
    #[test]
    fn a_damaged_bundle_record_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), &[5; 100_000]);
        let (journal, _) = Journal::open(&dir.path().join("puts"), &source, ACCOUNT, DAY).unwrap();
        let plan = FilePlan::new(Class::Devnet, source.len).unwrap();
        let mut pass = RootsPass::new(&plan, 0, &journal.key()).unwrap();
        pass.push(&[5; 100_000]).unwrap();
        let roots = pass.finish().unwrap();
        let known = KnownBundle {
            header: roots.header,
            slot_roots: roots.slot_roots,
            outboards: roots.outboards.into_iter().take(4).collect(),
        };
        assert!(journal.bundle(0).unwrap().is_none());
        journal.save_bundle(0, &known).unwrap();
        assert_eq!(journal.bundle(0).unwrap().unwrap().header, known.header);

        let path = journal.bundle_path(0);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(journal.bundle(0).unwrap().is_none());
    }
}
