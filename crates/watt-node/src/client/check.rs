//! Asking a holder for a group of its share, drawn by lot; and having the ledger ask those who do not give it.

use super::request::{Answer, DisputedShare, ShareStatus};
use super::wire::{Holder, Wire, WireError};
use crate::api::types::{DealInfo, SlotInfo, SlotState};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use std::time::{Duration, Instant};
use watt_content::Outboard;
use watt_ledger::apply::DISPUTE_FEE;
use watt_light::Operation;
use watt_light::transaction::OPERATIONS_MAX;
use watt_net::Net;
use watt_primitives::slot_tree::{GROUP_BYTES, group_count, group_len};
use watt_primitives::{NetworkId, SlotIndexInDeal};

/// How long a share that is kept sealed may take to be given.
const UNSEALING_PATIENCE: Duration = Duration::from_secs(180);

/// What a holder was asked for, and what it gave.
pub(super) struct Asked {
    pub(super) group: u32,
    pub(super) answer: Answer,
}

/// Asks the holder of a slot for the group that `random` draws. A share that is kept sealed is unsealed only for `is_check`.
pub(super) async fn ask(
    net: &Net,
    network: NetworkId,
    (holder, deal, slot): (&Holder, &DealInfo, &SlotInfo),
    random: u64,
    is_check: bool,
) -> Asked {
    let n_groups = group_count(deal.slot_bytes);
    let group = random.checked_rem(n_groups).unwrap_or(0);
    let until = Instant::now() + UNSEALING_PATIENCE;
    let answer = loop {
        match probe(net, network, (holder, deal, slot), (group, n_groups)).await {
            Ok(true) => break Answer::Given,
            Ok(false) => break Answer::Wrong,
            // A share that is kept sealed is not unsealed for a look: the ledger has its holder prove it.
            Err(WireError::Unsealing { .. }) if !is_check => break Answer::Sealed,
            Err(WireError::Unsealing { .. }) if Instant::now() < until => {
                let takes = unseal(net, network, holder)
                    .await
                    .unwrap_or(Duration::from_secs(1));
                tokio::time::sleep(takes.clamp(Duration::from_millis(500), Duration::from_secs(10))).await;
            }
            Err(error) => {
                tracing::debug!(provider = %slot.provider, slot = slot.slot, %error, "a holder does not give its share");
                break Answer::None;
            }
        }
    };
    Asked {
        group: u32::try_from(group).unwrap_or(0),
        answer,
    }
}

async fn unseal(net: &Net, network: NetworkId, holder: &Holder) -> Result<Duration, WireError> {
    let mut wire = Wire::open(net, network, holder).await?;
    wire.unseal(holder.deal, holder.slot).await
}

/// Whether a holder sends a group that is what the ledger says it holds.
async fn probe(
    net: &Net,
    network: NetworkId,
    (holder, deal, slot): (&Holder, &DealInfo, &SlotInfo),
    (group, n_groups): (u64, u64),
) -> Result<bool, WireError> {
    let mut wire = Wire::open(net, network, holder).await?;
    let digests = wire.outboard(holder.deal, holder.slot).await?;
    let Ok(outboard) = Outboard::check(&slot.root, n_groups, digests) else {
        return Ok(false);
    };
    let group_bytes = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
    let len = group_len(deal.slot_bytes, group);
    let offset = group.saturating_mul(group_bytes);
    wire.read(holder.deal, holder.slot, offset, len).await?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    wire.receive(&mut bytes).await?;
    Ok(outboard.verify_cell(group, &bytes).is_ok())
}

/// Has the ledger ask the holders of shares that did not give what they hold. Shares that are not proven yet, or are asked for already,
/// are left out.
pub(super) async fn dispute(
    context: &Context,
    ui: &Ui,
    deals: &[DealInfo],
    shares: &mut [ShareStatus],
) -> Result<Vec<DisputedShare>, CommandError> {
    let me = context.address(&context.account()?.id);
    let wanted: Vec<(&DealInfo, u8, u32)> = shares
        .iter()
        .filter(|share| share.answer.is_missing())
        .filter_map(|share| {
            let deal = deals.iter().find(|deal| deal.id.to_string() == share.deal)?;
            let slot = deal.slots.iter().find(|slot| slot.slot == share.slot)?;
            can_dispute(deal, slot, &me).then_some((deal, share.slot, share.group))
        })
        .collect();
    for some in wanted.chunks(OPERATIONS_MAX) {
        let operations = some.iter().map(|(deal, slot, group)| Operation::Dispute {
            deal: deal.id,
            slot: SlotIndexInDeal(*slot),
            group: *group,
        });
        context.transact(ui, operations.collect()).await?;
    }
    let mut disputed = Vec::new();
    for (deal, slot, group) in wanted {
        let now = context.api.deal(deal.id).await?;
        let open = now.slots.iter().find(|one| one.slot == slot);
        let Some((held, open)) = open.and_then(|held| Some((held, held.dispute.clone()?))) else {
            continue;
        };
        for share in shares.iter_mut() {
            if share.deal == deal.id.to_string() && share.slot == slot {
                share.dispute = Some(open.clone());
            }
        }
        disputed.push(DisputedShare {
            deal: deal.id.to_string(),
            slot,
            holder: held.provider.clone(),
            group,
            answer_by: open.answer_by,
            locked: DISPUTE_FEE,
        });
    }
    Ok(disputed)
}

/// Whether the ledger would take a dispute of `me` about this slot.
fn can_dispute(deal: &DealInfo, slot: &SlotInfo, me: &str) -> bool {
    let is_proven = matches!(slot.state, SlotState::Proving | SlotState::Faulty);
    let is_free = match &slot.dispute {
        None => true,
        Some(open) => deal.client == me && open.by != me,
    };
    is_proven && is_free
}
