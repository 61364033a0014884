//! How a stored file is: who holds it, who answers, what was proven and paid.

use super::check::{self, Asked};
use super::find::{self, holder_of};
use super::net::ClientNet;
use super::put::ends_at;
use super::request::{LostShare, ProofState, ShareStatus, StatusReport, StatusRequest};
use crate::api::types::{DealInfo, SlotInfo, SlotState};
use crate::context::Context;
use crate::error::CommandError;
use crate::keyfile::random_bytes;
use crate::ui::Ui;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use std::collections::BTreeMap;
use watt_ledger::NetworkParameters;
use watt_ledger::apply::reservation_ms_max;
use watt_market::deal::{TERMINATION_MS_MAX, pay, share};
use watt_net::Net;
use watt_primitives::class::Class;
use watt_primitives::terms::BundleTerms;
use watt_primitives::{Amount, BoundedVec, Cid, Hash};

/// Holders that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Tells how a stored file is, by the ledger and by asking every holder for a piece of what it holds.
///
/// # Errors
/// A bad link, no deal, or nobody answers.
pub async fn status(
    context: &Context,
    ui: &Ui,
    request: StatusRequest,
) -> Result<StatusReport, CommandError> {
    let link = find::parse_link(&request.link, &context.network)?;
    let deals = find::live_deals(context, link.manifest).await?;
    let class = deals.first().map_or(Ok(Class::Devnet), find::class_of)?;
    let node = context.api.status().await?;
    let net = ClientNet::start().await?;
    let is_check = request.check || request.dispute;
    let spinner = ui.spinner("status");
    spinner.message("asking the holders");
    let asking = deals
        .iter()
        .flat_map(|deal| deal.slots.iter().map(move |slot| (deal, slot)));
    let work: Vec<_> = asking
        .map(|(deal, slot)| share_status(context, net.net(), deal, slot, (node.window, is_check)))
        .collect();
    let mut shares: Vec<ShareStatus> = futures::stream::iter(work)
        .buffered(ASKED_AT_ONCE)
        .try_collect()
        .await?;
    // Without enough holders the length is not known, and the report says why.
    let bytes = match find::find_with(context, net.net(), &link, &deals).await {
        Ok(file) => file.reader.info().len,
        Err(error) if error.kind == crate::error::ErrorKind::Temporary => 0,
        Err(error) => return Err(error),
    };
    spinner.finish();
    net.stop().await;
    let disputed = if request.dispute {
        check::dispute(context, ui, &deals, &mut shares).await?
    } else {
        Vec::new()
    };
    let proofs = Proofs::of(&shares);
    let weakest = weakest(&deals, &shares);
    let parameters = &context.genesis.parameters;
    let lost = deals.iter().flat_map(|deal| {
        let id = deal.id.to_string();
        deal.lost.iter().map(move |lost| LostShare {
            deal: id.clone(),
            lost: lost.clone(),
        })
    });
    let refundable = deals
        .iter()
        .map(|deal| refundable(deal, class, parameters, node.ledger_time));
    Ok(StatusReport {
        cid: link.manifest.to_string(),
        bytes,
        summary: summary(weakest, class, &proofs),
        lost: lost.collect(),
        disputed,
        shares_needed: u32::from(class.k()),
        shares_alive: weakest,
        shares_per_bundle: u32::from(class.n()),
        shares_proven: proofs.proven,
        shares_not_proven_yet: proofs.not_yet,
        shares_missed: proofs.missed,
        shares_unreadable: proofs.unreadable,
        escrowed: Amount::checked_sum(deals.iter().map(|deal| deal.escrow)).unwrap_or(Amount::ZERO),
        paid: Amount::checked_sum(deals.iter().map(|deal| deal.paid)).unwrap_or(Amount::ZERO),
        refundable: Amount::checked_sum(refundable).unwrap_or(Amount::ZERO),
        expires_at: deals.iter().filter_map(ends_at).min().unwrap_or(0),
        shares,
    })
}

async fn share_status(
    context: &Context,
    net: &Net,
    deal: &DealInfo,
    slot: &SlotInfo,
    (window, is_check): (u64, bool),
) -> Result<ShareStatus, CommandError> {
    let holder = holder_of(context, deal, slot)?;
    let random: [u8; 8] = random_bytes()?;
    let Asked { group, answer } = check::ask(
        net,
        context.network,
        (&holder, deal, slot),
        u64::from_be_bytes(random),
        is_check,
    )
    .await;
    Ok(ShareStatus {
        deal: deal.id.to_string(),
        slot: slot.slot,
        holder: slot.provider.clone(),
        state: slot.state,
        proof: proof_of(slot, window),
        is_alive: !answer.is_missing(),
        answer,
        group,
        dispute: slot.dispute.clone(),
        last_proven_window: slot.last_proven_window,
        last_proven_at: slot.last_proven_at,
        paid: slot.paid,
    })
}

/// Shares alive of the bundle that has fewest.
fn weakest(deals: &[DealInfo], shares: &[ShareStatus]) -> u32 {
    let mut alive: BTreeMap<&str, BTreeMap<u8, ()>> = BTreeMap::new();
    for deal in deals {
        let of_bundle = alive.entry(&deal.header).or_default();
        let id = deal.id.to_string();
        let answering = shares.iter().filter(|share| share.deal == id && share.is_alive);
        of_bundle.extend(answering.map(|share| (share.slot, ())));
    }
    let fewest = alive.values().map(BTreeMap::len).min().unwrap_or(0);
    u32::try_from(fewest).unwrap_or(u32::MAX)
}

/// How the proofs of a share are in `window`: that of the window before it may still come, that of the one before that had to.
fn proof_of(slot: &SlotInfo, window: u64) -> ProofState {
    let due = window.checked_sub(2);
    match slot.state {
        SlotState::Reserved | SlotState::Accepted | SlotState::Sealing => ProofState::NotYet,
        SlotState::Faulty => ProofState::Unreadable,
        SlotState::Proving => match (slot.last_proven_window, slot.proving_from) {
            (Some(last), _) if due.is_none_or(|due| due <= last) => ProofState::Proven,
            (Some(_), _) => ProofState::Missed,
            (None, Some(from)) if due.is_some_and(|due| from <= due) => ProofState::Missed,
            (None, _) => ProofState::NotYet,
        },
    }
}

/// How many shares are proven and how many are not.
#[derive(Clone, Copy, Default)]
struct Proofs {
    proven: u32,
    not_yet: u32,
    missed: u32,
    unreadable: u32,
}

impl Proofs {
    fn of(shares: &[ShareStatus]) -> Self {
        let mut all = Self::default();
        for share in shares {
            let counter = match share.proof {
                ProofState::NotYet => &mut all.not_yet,
                ProofState::Proven => &mut all.proven,
                ProofState::Missed => &mut all.missed,
                ProofState::Unreadable => &mut all.unreadable,
            };
            *counter = counter.saturating_add(1);
        }
        all
    }

    /// The counts as a sentence: those that are zero are left out.
    fn in_words(self) -> String {
        let Self {
            proven,
            not_yet,
            missed,
            unreadable,
        } = self;
        let total = proven + not_yet + missed + unreadable;
        if proven == total {
            return format!("all {total} are proven");
        }
        let rest = [
            (not_yet, "not proven yet"),
            (missed, "missed the last proof"),
            (unreadable, "unreadable for their holders"),
        ];
        let rest = rest.into_iter().filter(|(n, _)| *n > 0);
        let rest: String = rest.map(|(n, what)| format!(", {n} {what}")).collect();
        format!("{proven} of {total} proven{rest}")
    }
}

/// How the file is, in words.
fn summary(alive: u32, class: Class, proofs: &Proofs) -> String {
    let (k, n) = (u32::from(class.k()), u32::from(class.n()));
    let proofs = proofs.in_words();
    match alive {
        alive if alive < k => format!("not readable now: {alive} of the {k} shares needed are reachable"),
        alive if alive == k => format!("at risk: exactly the {k} shares that are needed answer; {proofs}"),
        alive if alive <= k + n.saturating_sub(k) / 3 => {
            format!(
                "few are left: {alive} of {n} shares answer, {k} are needed; store the file again; {proofs}"
            )
        }
        alive if alive < n => format!("safe: {alive} of {n} shares answer, any {k} are enough; {proofs}"),
        _ => format!("safe: all {n} shares answer, any {k} are enough; {proofs}"),
    }
}

/// What would come back if the deal were ended now.
fn refundable(deal: &DealInfo, class: Class, parameters: &NetworkParameters, now: u64) -> Amount {
    let terms = BundleTerms {
        class,
        header: Cid(Hash::ZERO),
        manifest: Cid(Hash::ZERO),
        slot_bytes: deal.slot_bytes,
        slot_roots: BoundedVec::empty(),
    };
    let reservation_ms = reservation_ms_max(parameters, &terms);
    let remaining_ms = ends_at(deal)
        .unwrap_or(0)
        .saturating_sub(now)
        .min(TERMINATION_MS_MAX);
    let of_slots = deal.slots.iter().map(|slot| {
        let share = share(slot.price, deal.slot_bytes, deal.term_ms, reservation_ms).unwrap_or(Amount::ZERO);
        let ending = match slot.state {
            // Sealed data can't be replaced: its holder is paid for part of the rest.
            SlotState::Proving | SlotState::Faulty => {
                pay(slot.price, deal.slot_bytes, remaining_ms).unwrap_or(share)
            }
            SlotState::Reserved | SlotState::Accepted | SlotState::Sealing => Amount::ZERO,
        };
        share
            .saturating_sub(slot.paid)
            .saturating_sub(slot.due)
            .saturating_sub(ending)
    });
    Amount::checked_sum(of_slots).unwrap_or(Amount::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(state: SlotState, proving_from: Option<u64>, last_proven_window: Option<u64>) -> SlotInfo {
        SlotInfo {
            slot: 0,
            root: Hash::ZERO,
            provider: String::new(),
            peer_id: String::new(),
            addresses: Vec::new(),
            state,
            sector: None,
            device: watt_primitives::terms::Device::AlwaysOn,
            dispute: None,
            price: Amount::ZERO,
            paid: Amount::ZERO,
            paid_proven: Amount::ZERO,
            due: Amount::ZERO,
            proven_ms: 0,
            proving_from,
            last_proven_window,
            last_proven_at: 0,
        }
    }

    /// A share counts as proven only with the proof of the last window that was due. Covers: C1.
    #[test]
    fn a_share_is_proven_only_with_its_last_proof() {
        let proving = |from, last, window| proof_of(&slot(SlotState::Proving, Some(from), last), window);
        for state in [SlotState::Reserved, SlotState::Accepted, SlotState::Sealing] {
            assert_eq!(proof_of(&slot(state, None, None), 9), ProofState::NotYet);
        }
        // The proof of window 7 may come in window 8, and had come before window 9.
        assert_eq!(proving(7, None, 8), ProofState::NotYet);
        assert_eq!(proving(7, None, 9), ProofState::Missed);
        assert_eq!(proving(7, Some(7), 9), ProofState::Proven);
        assert_eq!(proving(7, Some(7), 10), ProofState::Missed);
        assert_eq!(proving(0, Some(0), 1), ProofState::Proven);
        assert_eq!(
            proof_of(&slot(SlotState::Faulty, None, None), 9),
            ProofState::Unreadable
        );
    }

    /// The one sentence that an owner reads. Covers: C1.
    #[test]
    fn the_summary_says_safe_at_risk_or_lost() {
        let all = Proofs {
            proven: 10,
            ..Proofs::default()
        };
        let words = |alive| summary(alive, Class::Devnet, &all);
        assert_eq!(
            words(10),
            "safe: all 10 shares answer, any 4 are enough; all 10 are proven"
        );
        assert!(words(7).starts_with("safe: 7 of 10 shares answer"));
        assert!(words(6).starts_with("few are left: 6 of 10 shares answer, 4 are needed"));
        assert!(words(5).starts_with("few are left: 5 of 10"));
        assert!(words(4).starts_with("at risk: exactly the 4 shares"));
        assert_eq!(
            words(3),
            "not readable now: 3 of the 4 shares needed are reachable"
        );
        let some = Proofs {
            proven: 7,
            not_yet: 2,
            missed: 1,
            unreadable: 0,
        };
        assert!(
            summary(10, Class::Devnet, &some)
                .ends_with("7 of 10 proven, 2 not proven yet, 1 missed the last proof")
        );
    }
}
