//! Getting one bundle after the other from "planned" to "certified": bid, match, upload, certificate.

use super::find::holder_of;
use super::journal::{BidRecord, Journal, KnownBundle};
use super::net::ClientNet;
use super::price::Wanted;
use super::source::Source;
use super::upload::{Outcome, Upload, UploadError};
use super::wire::{Holder, WireError};
use crate::api::types::{DealInfo, DealStage, KeyInfo, Outcome as Receipt};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::lock::locked;
use crate::ui::{Progress, Ui, duration_text};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use watt_content::encoder::EncodeError;
use watt_content::{FilePlan, Manifest};
use watt_engine::transfer::Objects;
use watt_light::operation::AcceptanceTerms;
use watt_light::{Acceptance, Operation};
use watt_primitives::{Amount, BoundedBytes, BoundedVec, Cid, DealId, Hash, NetworkId, TransactionId};

/// Bundles that are worked on at once. While two travel, the bids of the next two are matched: the ledger allows four.
const BUNDLES_AT_ONCE: usize = 2;

/// Pauses before a failing holder is tried again. What may pass by itself is waited for to the last: a holder that is behind, or
/// a machine that is busy, is no reason to look for another and to pay twice.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(16),
];

/// After how many of these pauses a failure counts as one that stays.
const PAUSES_AT_ALL: usize = 3;

/// How long holders are tried again after the first failure: the pauses do not count the tries, and one that takes connections and
/// never answers would hold a put for minutes.
const PATIENCE: Duration = Duration::from_secs(48);

/// How often a bundle whose holders fail is offered to others.
const REBIDS_MAX: usize = 2;

/// Pause between two looks at a deal.
const POLL: Duration = Duration::from_millis(150);

/// A wait for a draw that is worth a line where there is no bar, in milliseconds.
const LONG_WAIT_MS: u64 = 20_000;

/// Looks at a deal that the node asked does not know, before it is taken for lost: another node may be behind.
const LOOKS_MAX: u32 = 100;

/// The most providers that a bid can exclude.
const EXCLUDED_MAX: usize = 32;

/// A put whose manifest is known.
pub(super) struct Placing<'a> {
    pub(super) context: &'a Context,
    pub(super) ui: &'a Ui,
    pub(super) net: &'a ClientNet,
    pub(super) source: &'a Source,
    pub(super) journal: &'a Journal,
    pub(super) plan: FilePlan,
    pub(super) manifest: Manifest,
    pub(super) term_ms: u64,
    pub(super) price_max: Option<Amount>,
    /// The newest answer of a provider that did not take its share, with who it was.
    pub(super) last_failure: Mutex<Option<String>>,
    /// The newest draw that was told without a terminal.
    pub(super) told: AtomicU64,
}

impl Placing<'_> {
    /// Places every bundle; what is certified already costs a look at the ledger. Returns the deals and how long nothing could be done
    /// but wait for a draw.
    pub(super) async fn run(&self) -> Result<(Vec<DealInfo>, Duration), CommandError> {
        let all: Vec<usize> = (0..self.plan.bundle_count()).collect();
        let batches: Vec<&[usize]> = all.chunks(BUNDLES_AT_ONCE).collect();
        let progress = Arc::new(self.ui.bar("storing", self.source.len));
        progress.message("waiting for providers");
        let (mut deals, mut waited) = (Vec::with_capacity(all.len()), Duration::ZERO);
        if let Some(first) = batches.first() {
            self.bid(first).await?;
        }
        for (index, batch) in batches.iter().enumerate() {
            let work = batch
                .iter()
                .map(|bundle| self.place(*bundle, Arc::clone(&progress)));
            let work: Vec<_> = work.collect();
            let next = async {
                match batches.get(index + 1) {
                    Some(next) => self.bid(next).await,
                    None => Ok(()),
                }
            };
            // Not cut short at the first failure: what the others achieve need not be done again.
            let (placed, bid) = tokio::join!(futures::future::join_all(work), next);
            let mut longest = Duration::ZERO;
            for placed in placed {
                let (deal, waited) = placed?;
                deals.push(deal);
                longest = longest.max(waited);
            }
            waited += longest;
            bid?;
        }
        Ok((deals, waited))
    }

    pub(super) fn wanted(&self, slot_bytes: u64) -> Wanted {
        Wanted {
            class: self.plan.class(),
            slot_bytes,
            term_ms: self.term_ms,
        }
    }

    /// Makes sure that every bundle of `bundles` is bid for: hands in again what was signed before, bids for the rest.
    async fn bid(&self, bundles: &[usize]) -> Result<(), CommandError> {
        let _turn = self.context.turn().await?;
        let mut open = Vec::new();
        for bundle in bundles {
            let is_bid_for = match self.journal.deal_of(*bundle) {
                Some(deal) => self.recover(deal).await?,
                None => false,
            };
            if !is_bid_for {
                open.push(*bundle);
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            self.place_bids(&open, Vec::new()).await
        }
    }

    /// Whether the transaction that bids for `deal` stands; hands it in again if nobody has seen it.
    async fn recover(&self, deal: DealId) -> Result<bool, CommandError> {
        if found(self.context.api.deal(deal).await)?.is_some() {
            return Ok(true);
        }
        let Some(bid) = self.journal.bid_of(deal) else {
            return Ok(false);
        };
        let id = bid.transaction.transaction.id(&self.context.network);
        let stands = match found(self.context.api.transaction(id).await)? {
            Some(info) => info.outcome == Receipt::Applied,
            None => self.hand_in_again(&bid, id).await?,
        };
        if !stands {
            self.journal.update(|progress| progress.forget(deal))?;
        }
        Ok(stands)
    }

    /// Hands in a bid that nobody seems to have seen; says whether it stands.
    async fn hand_in_again(&self, bid: &BidRecord, id: TransactionId) -> Result<bool, CommandError> {
        let silent = Ui::silent();
        let Err(error) = self.context.submit_and_wait(&silent, &bid.transaction).await else {
            return Ok(true);
        };
        // It may have been recorded between the look and the refusal: a second bid would be paid as well.
        if let Some(info) = found(self.context.api.transaction(id).await)? {
            return Ok(info.outcome == Receipt::Applied);
        }
        let height = self.context.api.head().await?.height;
        if error.kind == ErrorKind::Temporary && height <= bid.transaction.transaction.valid_until.0 {
            return Err(error);
        }
        // It expired, or its number was used by another transaction: it can't land any more.
        tracing::info!(%error, "a bid of the interrupted put is void");
        Ok(false)
    }

    /// Signs one transaction that ends `given_up` and bids for `bundles`, writes it down, and hands it in. The caller has the
    /// account's turn.
    async fn place_bids(&self, bundles: &[usize], given_up: Vec<DealId>) -> Result<(), CommandError> {
        let providers = self.context.api.providers().await?;
        let excluded = self.journal.excluded();
        let names: Vec<String> = excluded
            .iter()
            .map(|provider| self.context.address(provider))
            .collect();
        let mut operations: Vec<Operation> = given_up
            .into_iter()
            .map(|deal| Operation::Terminate { deal })
            .collect();
        for bundle in bundles {
            let known = self.known(*bundle)?;
            let wanted = self.wanted(known.header.slot_bytes());
            let price_max = wanted
                .price_max(&providers, &names, self.price_max)
                .map_err(|error| self.with_last_failure(error))?;
            operations.push(Operation::PlaceBid {
                terms: known.terms(self.manifest.cid()),
                price_max,
                escrow: wanted.escrow(&self.context.genesis.parameters, price_max)?,
                term_ms: self.term_ms,
                exclude: BoundedVec::new(excluded.iter().copied().take(EXCLUDED_MAX).collect())
                    .unwrap_or_default(),
            });
        }
        let transaction = self.context.prepare(operations).await?;
        let signed = &transaction.transaction;
        let deal = |index| {
            DealId::derive(
                &self.context.network,
                &signed.account,
                signed.key_index,
                signed.nonce,
                index,
            )
        };
        let deals = (0u16..)
            .zip(bundles)
            .map(|(index, bundle)| (u64::try_from(*bundle).unwrap_or(u64::MAX), deal(index)));
        let record = BidRecord {
            deals: deals.collect(),
            transaction: transaction.clone(),
        };
        let any = record.deals.first().map(|(_, deal)| *deal);
        self.journal.update(|progress| progress.bids.push(record))?;
        let outcome = self.context.submit_and_wait(&Ui::silent(), &transaction).await;
        match (outcome, any) {
            // The ledger has said no: these deals will never be.
            (Err(error), Some(deal)) if error.kind != ErrorKind::Temporary => {
                self.journal.update(|progress| progress.forget(deal))?;
                Err(error)
            }
            (outcome, _) => outcome.map(drop),
        }
    }

    fn known(&self, bundle: usize) -> Result<KnownBundle, CommandError> {
        self.journal.bundle(bundle)?.ok_or_else(|| {
            let message = "the journal of this put is damaged";
            CommandError::new(
                ErrorKind::Other,
                message,
                "run the same command again; the file is read anew",
            )
        })
    }

    /// Takes one bundle from its bid to its certificate; returns its deal and how long it waited for draws.
    async fn place(
        &self,
        bundle: usize,
        progress: Arc<Progress>,
    ) -> Result<(DealInfo, Duration), CommandError> {
        let mut counting = Some(Arc::clone(&progress));
        let (mut n_rebids, mut waited) = (0, Duration::ZERO);
        loop {
            let since = Instant::now();
            let deal = self.matched(bundle, &progress).await?;
            waited += since.elapsed();
            let given_up = match &deal.stage {
                DealStage::Active { .. } | DealStage::Ending { .. } => {
                    if let (Some(progress), Some(plan)) = (counting.take(), self.plan.bundle(bundle)) {
                        progress.add(plan.plain.end - plan.plain.start);
                    }
                    return Ok((deal, waited));
                }
                DealStage::Ended { how, offers, .. } if how == "unmatched" => {
                    self.journal.update(|progress| progress.forget(deal.id))?;
                    let providers = self.context.api.providers().await?;
                    let n_now = self.wanted(deal.slot_bytes).n_fitting(&providers, deal.price_max);
                    return Err(unmatched(*offers, self.plan.class().n(), n_now));
                }
                // Not certified in time, by this put or the one that was interrupted.
                DealStage::Ended { .. } => None,
                DealStage::Open | DealStage::Matched { .. } => {
                    let outcome = self.upload(bundle, &deal, counting.take()).await?;
                    if outcome.accepted.len() >= usize::from(self.plan.class().certify_min()) {
                        self.certify(&deal, outcome.accepted.into_values().collect())
                            .await?;
                        continue;
                    }
                    self.give_up(n_rebids, outcome.failed)?;
                    Some(deal.id)
                }
            };
            if n_rebids >= REBIDS_MAX {
                let message = "the file was not certified in time";
                return Err(CommandError::new(
                    ErrorKind::Temporary,
                    message,
                    "run the same command again",
                ));
            }
            n_rebids += 1;
            let _turn = self.context.turn().await?;
            self.place_bids(&[bundle], given_up.into_iter().collect()).await?;
        }
    }

    /// Notes who failed, or ends the put if that was the last try.
    fn give_up(
        &self,
        n_rebids: usize,
        failed: BTreeMap<u8, (Holder, WireError)>,
    ) -> Result<(), CommandError> {
        let said: Vec<String> = failed
            .values()
            .map(|(holder, why)| format!("{}: {why}", self.context.address(&holder.provider)))
            .collect();
        if n_rebids >= REBIDS_MAX {
            return Err(CommandError::new(
                ErrorKind::Temporary,
                format!(
                    "{} of {} providers did not take their share: {}",
                    failed.len(),
                    self.plan.class().n(),
                    said.join("; ")
                ),
                "bring them back, or wait; then run the same command again: it goes on where it stopped",
            ));
        }
        for one in &said {
            self.ui
                .note(&format!("another provider is asked in place of {one}"));
        }
        if let Some(last) = said.into_iter().last() {
            *locked(&self.last_failure) = Some(last);
        }
        self.journal.update(|progress| {
            for (holder, _) in failed.values() {
                if !progress.excluded.contains(&holder.provider) {
                    progress.excluded.insert(0, holder.provider);
                }
            }
            progress.excluded.truncate(EXCLUDED_MAX);
        })
    }

    /// An error about offers that are missing, with what the last provider answered that was left out.
    fn with_last_failure(&self, error: CommandError) -> CommandError {
        let last = locked(&self.last_failure);
        match &*last {
            Some(said) => {
                let message = format!("{}; the last of them, {said}", error.message);
                CommandError::new(error.kind, message, error.hint)
            }
            None => error,
        }
    }

    /// Says when providers are drawn for a bid; returns the pause before it is worth looking again.
    async fn wait_for_draw(&self, deal: &DealInfo, progress: &Progress) -> Result<Duration, CommandError> {
        let head = self.context.api.head().await?.height;
        let slot_ms = self.context.genesis.parameters.slot_ms;
        let Some(draw) = deal.draw_height.filter(|draw| *draw > head) else {
            return Ok(POLL);
        };
        let wait_ms = (draw - head).saturating_mul(slot_ms);
        let line = draw_text(draw, wait_ms);
        progress.message(line.clone());
        let is_news = self.told.fetch_max(draw, Ordering::Relaxed) < draw;
        if is_news && wait_ms >= LONG_WAIT_MS && !self.ui.has_terminal() {
            self.ui.note(&line);
        }
        Ok(if draw - head > 1 {
            Duration::from_millis(slot_ms).max(POLL)
        } else {
            POLL
        })
    }

    /// Waits until the bundle's deal has its providers, or is over.
    async fn matched(&self, bundle: usize, progress: &Progress) -> Result<DealInfo, CommandError> {
        let mut looks = 0;
        let id = self.journal.deal_of(bundle);
        loop {
            let deal = match id {
                Some(id) => found(self.context.api.deal(id).await)?,
                None => None,
            };
            let pause = match deal {
                Some(deal) if deal.stage != DealStage::Open => {
                    progress.message("sending shares to providers");
                    return Ok(deal);
                }
                Some(deal) => self.wait_for_draw(&deal, progress).await?,
                None if looks >= LOOKS_MAX => {
                    let message = "the ledger does not know the deal that it recorded";
                    return Err(CommandError::new(
                        ErrorKind::Temporary,
                        message,
                        "run the same command again",
                    ));
                }
                None => {
                    looks += 1;
                    POLL
                }
            };
            sleep(pause).await;
        }
    }

    /// Sends the shares of a bundle; holders that fail get further chances.
    async fn upload(
        &self,
        bundle: usize,
        deal: &DealInfo,
        mut counting: Option<Arc<Progress>>,
    ) -> Result<Outcome, CommandError> {
        let known = self.known(bundle)?;
        let upload = Upload {
            path: self.source.path.clone(),
            plan: self.plan,
            bundle,
            key: self.journal.key(),
            deal: deal.id,
            slot_bytes: known.header.slot_bytes(),
            slot_roots: known.slot_roots.as_slice().to_vec(),
            objects: Objects {
                header: BoundedBytes::new(known.header.encode()).unwrap_or_default(),
                slot_roots: BoundedBytes::new(known.slot_roots.encode()).unwrap_or_default(),
                manifest: BoundedBytes::new(self.manifest.encode()).unwrap_or_default(),
            },
            data_outboards: known.outboards,
        };
        let mut holders = Vec::with_capacity(deal.slots.len());
        for slot in &deal.slots {
            holders.push(holder_of(self.context, deal, slot)?);
        }
        let mut pauses = PAUSES.into_iter().enumerate();
        let mut failed_since = None;
        let mut all = Outcome::default();
        loop {
            let outcome = upload
                .run(self.net.net(), self.context.network, &holders, counting.take())
                .await;
            let outcome = outcome.map_err(|error| {
                if matches!(error, UploadError::Encode(_)) {
                    self.journal.spoil();
                }
                upload_error(&error)
            })?;
            for (slot, acceptance) in outcome.accepted {
                let Some(holder) = holders.iter().find(|holder| holder.slot.0 == slot) else {
                    continue;
                };
                // The ledger decides by the keys that the account has now.
                let keys = self.context.api.account(&holder.provider).await?.keys;
                let terms = AcceptanceTerms {
                    deal: upload.deal,
                    slot: holder.slot,
                    root: upload
                        .slot_roots
                        .get(usize::from(slot))
                        .copied()
                        .unwrap_or(Hash::ZERO),
                };
                match check_acceptance(&terms, &acceptance, &keys, &self.context.network) {
                    Ok(()) => {
                        all.failed.remove(&slot);
                        all.accepted.insert(slot, acceptance);
                    }
                    Err(why) => drop(all.failed.insert(slot, (holder.clone(), why))),
                }
            }
            all.failed.extend(outcome.failed);
            let Some((n_paused, pause)) = pauses.next() else {
                return Ok(all);
            };
            let is_early = failed_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE;
            let again = all
                .failed
                .values()
                .filter(|(_, why)| n_paused < PAUSES_AT_ALL || (is_early && why.may_pass()));
            holders = again.map(|(holder, _)| holder.clone()).collect();
            // When too few can be left, waiting for the others helps nobody.
            let hoped = all.accepted.len() + holders.len();
            if holders.is_empty() || hoped < usize::from(self.plan.class().certify_min()) {
                return Ok(all);
            }
            for (holder, why) in all.failed.values() {
                tracing::debug!(slot = holder.slot.0, %why, "a holder is tried again");
            }
            sleep(pause).await;
        }
    }

    /// Posts the acceptances; fine, too, if somebody else did.
    async fn certify(&self, deal: &DealInfo, acceptances: Vec<Acceptance>) -> Result<(), CommandError> {
        let acceptances = BoundedVec::new(acceptances).unwrap_or_default();
        let operation = Operation::Certify {
            deal: deal.id,
            acceptances,
        };
        let Err(error) = self.context.transact(&Ui::silent(), vec![operation]).await else {
            return Ok(());
        };
        match found(self.context.api.deal(deal.id).await)?.map(|deal| deal.stage) {
            Some(DealStage::Active { .. }) => Ok(()),
            Some(_) | None => Err(error),
        }
    }
}

/// Whether an acceptance may go into the certificate: one that the ledger does not take would spoil all. `keys` are the live
/// keys of the holder's account.
fn check_acceptance(
    terms: &AcceptanceTerms,
    acceptance: &Acceptance,
    keys: &[KeyInfo],
    network: &NetworkId,
) -> Result<(), WireError> {
    if acceptance.slot != terms.slot {
        return Err(WireError::Protocol);
    }
    if !keys.iter().any(|key| key.is(&acceptance.key)) {
        return Err(WireError::StrangeKey);
    }
    if terms.signature_check(acceptance, network).holds() {
        Ok(())
    } else {
        Err(WireError::BadSignature)
    }
}

impl KnownBundle {
    /// What the network is asked to store.
    pub(super) fn terms(&self, manifest: Cid) -> watt_primitives::terms::BundleTerms {
        let placed = usize::from(self.header.class().n());
        let roots = self.slot_roots.as_slice().iter().copied().take(placed).collect();
        watt_primitives::terms::BundleTerms {
            class: self.header.class(),
            header: self.header.cid(),
            manifest,
            slot_bytes: self.header.slot_bytes(),
            slot_roots: BoundedVec::new(roots).unwrap_or_default(),
        }
    }
}

/// "Not found" as an answer.
fn found<T>(answer: Result<T, CommandError>) -> Result<Option<T>, CommandError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn draw_text(draw: u64, wait_ms: u64) -> String {
    format!(
        "waiting for the draw of providers: block {draw}, in about {}",
        duration_text(wait_ms)
    )
}

/// A bid that found too few offers when providers were drawn, and how many fit now.
fn unmatched(offers: Option<(u32, u32)>, n: u8, n_now: usize) -> CommandError {
    let (fitting, needed) = offers.unwrap_or((0, u32::from(n)));
    let hint = if n_now >= usize::from(n) {
        format!(
            "run the same command again: {n_now} offers fit now; one that is new or changed takes part from the next draw on"
        )
    } else {
        "try again later, bid more with --price-max, or start more providers".to_owned()
    };
    CommandError::new(
        ErrorKind::Temporary,
        format!("{fitting} offers fit, {needed} are needed; the money locked for it came back"),
        hint,
    )
}

fn upload_error(error: &UploadError) -> CommandError {
    match error {
        UploadError::File(io) => CommandError::new(
            ErrorKind::Other,
            format!("reading the file failed: {io}"),
            "check the disk, then run the same command again",
        ),
        UploadError::Encode(error) => encode_error(error),
        UploadError::Stopped => {
            CommandError::new(ErrorKind::Other, error.to_string(), "run the same command again")
        }
    }
}

pub(super) fn encode_error(error: &EncodeError) -> CommandError {
    match error {
        EncodeError::Changed { .. } | EncodeError::TooLong { .. } | EncodeError::TooShort { .. } => {
            CommandError::new(
                ErrorKind::Conflict,
                "the file changed while it was read; it is not stored",
                "run the same command again when nothing writes to the file",
            )
        }
        EncodeError::NoBundle { .. }
        | EncodeError::NoSlot { .. }
        | EncodeError::Outboards { .. }
        | EncodeError::Code(_)
        | EncodeError::Header(_) => CommandError::new(ErrorKind::Other, error.to_string(), "report this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bid that found too few offers says how many there were. Covers: D1.
    #[test]
    fn an_unmatched_bid_is_said_in_numbers() {
        let error = unmatched(Some((7, 10)), 10, 9);
        assert_eq!(error.kind, ErrorKind::Temporary);
        assert!(error.message.starts_with("7 offers fit, 10 are needed"));
        assert!(error.hint.starts_with("try again later"));
        let error = unmatched(Some((7, 10)), 10, 12);
        assert!(error.hint.contains("12 offers fit now"), "{}", error.hint);
        assert_eq!(
            draw_text(1204, 185_000),
            "waiting for the draw of providers: block 1204, in about 3 min 5 s"
        );
    }

    /// A holder that signs with a key which is not its account's on the ledger, or signs for something else, is found out before
    /// the certificate leaves: the ledger would refuse all of it. Covers: D1.
    #[test]
    fn an_acceptance_is_compared_with_the_ledger() {
        let (network, key) = (
            NetworkId::new([7; 32]),
            watt_primitives::SecretKey::from_seed([1; 32]),
        );
        let stranger = watt_primitives::SecretKey::from_seed([2; 32]);
        let terms = AcceptanceTerms {
            deal: DealId([3; 32]),
            slot: watt_primitives::SlotIndexInDeal(4),
            root: Hash::ZERO,
        };
        let keys = [KeyInfo::of(0, &key.public(), "owner", 5)];
        let check = |acceptance: &Acceptance| check_acceptance(&terms, acceptance, &keys, &network);
        let good = terms.accept(&key, &network);
        assert!(check(&good).is_ok());
        let strange = terms.accept(&stranger, &network);
        assert!(matches!(check(&strange), Err(WireError::StrangeKey)));
        let forged = Acceptance {
            key: key.public(),
            ..strange
        };
        assert!(matches!(check(&forged), Err(WireError::BadSignature)));
        let other_slot = Acceptance {
            slot: watt_primitives::SlotIndexInDeal(5),
            ..good
        };
        assert!(matches!(check(&other_slot), Err(WireError::Protocol)));
    }

    /// A file that changes is not sealed a second time under its key, and its owner learns why. Covers: C3.
    #[test]
    fn a_changed_file_is_said() {
        assert_eq!(
            encode_error(&EncodeError::Changed { row: 3 }).kind,
            ErrorKind::Conflict
        );
        assert_eq!(
            encode_error(&EncodeError::TooShort { missing: 3 }).kind,
            ErrorKind::Conflict
        );
    }
}
