//! From the ledger's rows to what the API says.

use super::circle::CircleInfo;
use super::types::{
    AccountInfo, AskInfo, BlockInfo, DealInfo, DealStage, DisputeInfo, Finality, HeadInfo, KeyInfo, LostInfo,
    Outcome, ProofsInfo, ProviderInfo, ProviderReport, Readiness, SlotInfo, SlotState, StatusInfo,
    SupplyInfo, TransactionInfo, TransactionSummary,
};
use super::view::{HeadRows, NodeView, ProviderStatus};
use crate::node::NodeStatus;
use watt_engine::message::DecidedBlock;
use watt_ledger::Genesis;
use watt_ledger::query::{self, SlotCondition};
use watt_ledger::receipt::{self, Done, Receipt};
use watt_ledger::rows::{self, AccountKind, DealEnd, Loss, LostSlot};
use watt_light::{Header, KeyRole, Operation};
use watt_market::Paid;
use watt_primitives::class::Class;
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, Amount, BlockHeight, DealId, Hash, TransactionId};

/// Providers read at a time.
const PROVIDERS_PER_READ: usize = 500;

/// Shares read at a time.
const SLOTS_PER_READ: usize = 1_000;

/// Reads typed facts out of one state.
pub(super) struct Facts<'a> {
    pub(super) state: &'a HeadRows<'a>,
    pub(super) genesis: &'a Genesis,
}

impl Facts<'_> {
    pub(super) fn address(&self, id: &AccountId) -> String {
        id.to_address(address_kind(self.genesis))
    }

    pub(super) fn account(&self, id: &AccountId) -> Option<AccountInfo> {
        let row = query::account(self.state, id)?;
        let live = row.keys.iter().enumerate().filter(|(_, key)| !key.is_removed);
        Some(AccountInfo {
            address: self.address(id),
            kind: match row.kind {
                AccountKind::Keyed => "keyed",
                AccountKind::Contract => "contract",
                AccountKind::ProtocolWallet => "protocol-wallet",
            }
            .to_owned(),
            balance: row.balance,
            open_bids: row.open_bids,
            keys: live
                .map(|(index, key)| {
                    let role = match key.role {
                        KeyRole::Owner => "owner",
                        KeyRole::Daily => "daily",
                        KeyRole::Device => "device",
                    };
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    KeyInfo::of(index, &key.key, role, key.nonce)
                })
                .collect(),
        })
    }

    pub(super) fn providers(&self) -> Vec<ProviderInfo> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = query::providers(self.state, after.as_ref(), PROVIDERS_PER_READ);
            all.extend(page.iter().map(|provider| self.provider_info(provider)));
            match page.last() {
                Some(last) if page.len() == PROVIDERS_PER_READ => after = Some(last.id),
                Some(_) | None => return all,
            }
        }
    }

    fn provider_info(&self, provider: &query::Provider) -> ProviderInfo {
        let row = &provider.row;
        ProviderInfo {
            address: self.address(&provider.id),
            number: row.number.0,
            capacity_bytes: row.capacity_bytes,
            used_bytes: row.used_bytes,
            person: self.address(&row.person),
            peer_id: row.endpoint.peer_id.as_str().to_owned(),
            addresses: row
                .endpoint
                .addresses
                .iter()
                .map(|address| address.as_str().to_owned())
                .collect(),
            device: row.device,
            slots_lost: row.slots_lost,
            n_disputed: row.n_disputed,
            ask: provider.ask.as_ref().map(|ask| AskInfo {
                price: ask.terms.price,
                slot_bytes_min: ask.terms.slot_bytes_min,
                slot_bytes_max: ask.terms.slot_bytes_max,
                term_ms_max: ask.terms.term_ms_max,
                hot: ask.terms.hot,
            }),
            proven_ms: row.proven_ms,
            windows_failed: row.windows_failed,
            withheld_ms: row.withheld_ms,
            owed_ms: row.owed_ms,
            n_sectors_active: row.n_active,
            windows_proven: row.windows_proven,
            windows_missed: provider.proofs_missed,
            proofs_failed: row.proofs_failed,
            last_proven_window: row.last_proven.map(|window| window.0),
            last_proven_at: row.last_proven_at.0,
        }
    }

    /// What the owner of a provider wants to know.
    pub(super) fn provider_report(&self, status: ProviderStatus) -> ProviderReport {
        let (mut n_slots, mut earned, mut outstanding) = (0u64, Amount::ZERO, Amount::ZERO);
        let (mut after, mut held) = (None, Vec::new());
        loop {
            let page = query::slots_of_provider(self.state, &status.account, after, SLOTS_PER_READ);
            for (deal, index) in &page {
                let Some(slot) = query::slot(self.state, deal, *index) else {
                    continue;
                };
                n_slots += 1;
                held.push((slot.row.funds.price, slot.row.funds.slot_bytes));
                earned = earned.checked_add(slot.row.funds.paid.total()).unwrap_or(earned);
                outstanding = outstanding
                    .checked_add(slot.row.funds.left())
                    .unwrap_or(outstanding);
            }
            match page.last() {
                Some(last) if page.len() == SLOTS_PER_READ => after = Some(*last),
                Some(_) | None => break,
            }
        }
        let account = query::account(self.state, &status.account);
        let ledger = query::provider(self.state, &status.account);
        ProviderReport {
            address: self.address(&status.account),
            summary: status.summary,
            work: status.work,
            scrub: status.scrub,
            stored: status.stored,
            proving: self.proving(&status.account, status.folding.is_none(), |ms| {
                let pay = |(price, bytes): &(Amount, u64)| watt_market::deal::pay(*price, *bytes, ms);
                Amount::checked_sum(held.iter().filter_map(pay)).unwrap_or(Amount::ZERO)
            }),
            folding: status
                .folding
                .map(|folding| self.folding(&status.account, folding)),
            ledger: ledger.map(|provider| self.provider_info(&provider)),
            n_slots,
            earned,
            outstanding,
            balance: account.map_or(Amount::ZERO, |row| row.balance),
        }
    }

    pub(super) fn deal(&self, id: DealId) -> Option<DealInfo> {
        let deal = query::deal(self.state, &id)?;
        let row = &deal.row;
        let (paid, refunded) = match row.stage {
            rows::DealStage::Ended { paid, refunded, .. } => (paid, refunded),
            rows::DealStage::Open { .. }
            | rows::DealStage::Matched { .. }
            | rows::DealStage::Active { .. }
            | rows::DealStage::Ending { .. } => {
                let paid = |sum: Paid, slot: &query::Slot| sum.plus(&slot.row.funds.paid);
                let refunded = deal.slots.iter().map(|slot| slot.row.funds.refunded);
                (
                    deal.slots.iter().fold(Paid::default(), paid),
                    Amount::checked_sum(refunded).unwrap_or(Amount::ZERO),
                )
            }
        };
        let slot = |slot: &query::Slot| {
            let root = row.terms.slot_roots.get(usize::from(slot.index.0))?;
            Some(self.slot_info(slot, *root))
        };
        Some(DealInfo {
            id,
            client: self.address(&row.client),
            stage: stage(&row.stage),
            class: match row.terms.class {
                Class::Devnet => "devnet",
            }
            .to_owned(),
            header: row.terms.header.to_string(),
            manifest: row.terms.manifest.to_string(),
            slot_bytes: row.terms.slot_bytes,
            term_ms: row.term_ms,
            bid_height: row.bid_height.0,
            draw_height: match row.stage {
                rows::DealStage::Open { .. } => query::draw_height(self.state, row.bid_height).map(|at| at.0),
                rows::DealStage::Matched { .. }
                | rows::DealStage::Active { .. }
                | rows::DealStage::Ending { .. }
                | rows::DealStage::Ended { .. } => None,
            },
            price_max: row.price_max,
            escrow: row.escrow,
            paid: paid.total(),
            paid_for: paid.into(),
            refunded,
            slots: deal.slots.iter().filter_map(slot).collect(),
            lost: row.lost.iter().map(|lost| self.lost_info(lost)).collect(),
        })
    }

    fn lost_info(&self, lost: &LostSlot) -> LostInfo {
        LostInfo {
            slot: lost.slot.0,
            provider: self.address(&lost.provider),
            why: match lost.why {
                Loss::Unanswered { .. } => "dispute-unanswered",
                Loss::NotProven {} => "not-proven",
                Loss::AuditUnanswered {} => "audit-unanswered",
            }
            .to_owned(),
            height: lost.height.0,
            paid: lost.paid.total(),
            refunded: lost.refunded,
        }
    }

    fn slot_info(&self, slot: &query::Slot, root: Hash) -> SlotInfo {
        let provider = query::provider(self.state, &slot.row.provider);
        let endpoint = provider
            .as_ref()
            .map(|provider| provider.row.endpoint.clone())
            .unwrap_or_default();
        let (state, proving_from, last_proven) = match slot.condition {
            SlotCondition::Reserved => (SlotState::Reserved, None, None),
            SlotCondition::Accepted => (SlotState::Accepted, None, None),
            SlotCondition::Sealing => (SlotState::Sealing, None, None),
            SlotCondition::Proving { from, last_proven } => (SlotState::Proving, Some(from), last_proven),
            SlotCondition::Faulty { .. } => (SlotState::Faulty, None, None),
        };
        let last_proven_at = match (&provider, last_proven) {
            (Some(provider), Some(_)) => provider.row.last_proven_at.0,
            (Some(_) | None, Some(_) | None) => 0,
        };
        SlotInfo {
            slot: slot.index.0,
            root,
            provider: self.address(&slot.row.provider),
            peer_id: endpoint.peer_id.as_str().to_owned(),
            addresses: endpoint
                .addresses
                .iter()
                .map(|address| address.as_str().to_owned())
                .collect(),
            state,
            sector: slot.row.sector.map(|number| number.0),
            device: slot.row.device,
            dispute: slot.row.dispute.map(|dispute| DisputeInfo {
                by: self.address(&dispute.by),
                group: dispute.group,
                answer_by: dispute.answer_by.0,
            }),
            price: slot.row.funds.price,
            paid: slot.row.funds.paid.total(),
            paid_proven: slot.row.funds.paid.proven,
            due: slot.due,
            proven_ms: slot.proven_ms,
            proving_from: proving_from.map(|window| window.0),
            last_proven_window: last_proven.map(|window| window.0),
            last_proven_at,
        }
    }

    pub(super) fn status(&self, status: &NodeStatus, circle: Option<CircleInfo>) -> StatusInfo {
        let head = query::head(self.state);
        let mut proofs = ProofsInfo::default();
        for provider in self.providers() {
            proofs.accepted = proofs.accepted.saturating_add(provider.windows_proven);
            proofs.missed = proofs.missed.saturating_add(provider.windows_missed);
        }
        StatusInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rules_version: query::next_version(self.state).unwrap_or(0),
            rules_version_known: status.rules_version_known,
            network_name: self.genesis.name.as_str().to_owned(),
            network: query::network(self.state).unwrap_or_else(|| self.genesis.network()),
            height: status.height,
            close_time: status.close_time,
            ledger_time: head.as_ref().map_or(0, |head| head.ledger_time.0),
            window: head.as_ref().map_or(0, |head| head.window.0),
            peers: u64::try_from(status.peers).unwrap_or(u64::MAX),
            is_validator: status.is_validator,
            examined: status.examined,
            behind: status.behind,
            pool_transactions: u64::try_from(status.pool_transactions).unwrap_or(u64::MAX),
            block_transactions_max: self.genesis.parameters.block_transactions_max,
            supply: head.map_or_else(no_supply, |head| SupplyInfo {
                total: head.supply.supply,
                in_accounts: head.supply.in_accounts,
                in_escrow: head.supply.in_escrow,
                in_protocol_wallet: head.supply.in_protocol_wallet,
            }),
            proofs,
            ready: readiness(self.genesis, status),
            circle,
        }
    }
}

const fn no_supply() -> SupplyInfo {
    let zero = Amount::ZERO;
    SupplyInfo {
        total: zero,
        in_accounts: zero,
        in_escrow: zero,
        in_protocol_wallet: zero,
    }
}

/// Which addresses a network writes.
pub(super) const fn address_kind(genesis: &Genesis) -> AddressKind {
    if genesis.is_main {
        AddressKind::Main
    } else {
        AddressKind::Test
    }
}

/// Whether a node serves and is up to date, in words.
pub(super) fn readiness(genesis: &Genesis, status: &NodeStatus) -> Readiness {
    let is_alone = genesis.backbone.len() == 1 && status.is_validator;
    let no = |reason: String| Readiness {
        is_ready: false,
        reason,
    };
    if let Some(version) = status.unknown_version {
        return no(format!(
            "stopped before version {version} of the rules, which this program does not know: update it"
        ));
    }
    if status.peers == 0 && !is_alone {
        return no("no peer is connected: check node.bootstrap and the network".to_owned());
    }
    if status.behind > status.height {
        return no(format!(
            "catching up: height {} of {}",
            status.height, status.behind
        ));
    }
    if status.height == 0 {
        return no("waiting for the first block".to_owned());
    }
    Readiness {
        is_ready: true,
        reason: "serving".to_owned(),
    }
}

pub(super) fn head(header: &Header) -> HeadInfo {
    HeadInfo {
        height: header.height.0,
        hash: header.hash(),
        network: header.network,
        version: header.version,
        parent: header.parent,
        value: header.value,
        is_empty: header.is_empty,
        close_time: header.close_time.0,
        state_root: header.state_root,
        receipts_root: header.receipts_root,
        rank_root: header.rank_root,
        next_backbone: header.next_backbone,
        history_root: header.history_root,
    }
}

pub(super) fn finality(node: &dyn NodeView, height: BlockHeight) -> Finality {
    if node.head().height > height {
        Finality::Done
    } else {
        Finality::Recorded
    }
}

pub(super) fn block(node: &dyn NodeView, block: &DecidedBlock, header: &Header) -> BlockInfo {
    let genesis = node.genesis();
    let (network, kind) = (genesis.network(), address_kind(genesis));
    let summary = |signed: &watt_light::SignedTransaction| TransactionSummary {
        id: signed.transaction.id(&network),
        account: signed.transaction.account.to_address(kind),
        fee_max: signed.transaction.fee,
        operations: signed
            .transaction
            .operations
            .iter()
            .map(|operation| operation_name(operation).to_owned())
            .collect(),
    };
    BlockInfo {
        header: head(header),
        finality: finality(node, header.height),
        proposer: block.proposal.proposal.proposer,
        body_bytes: if block.is_empty {
            0
        } else {
            u64::from(block.proposal.proposal.body_bytes)
        },
        decided_by: block
            .decision
            .iter()
            .map(|envelope| envelope.statement.node.to_string())
            .collect(),
        transactions: block.transactions.iter().map(summary).collect(),
        heartbeats: block
            .heartbeats
            .iter()
            .map(|heartbeat| heartbeat.provider.0)
            .collect(),
    }
}

pub(super) fn transaction(
    node: &dyn NodeView,
    id: TransactionId,
    height: BlockHeight,
    index: u32,
    receipt: &Receipt,
) -> TransactionInfo {
    let kind = address_kind(node.genesis());
    let (outcome, done, failed) = match &receipt.outcome {
        receipt::Outcome::Done(done) => (Outcome::Applied, done.iter().map(done_text).collect(), None),
        receipt::Outcome::Failed { operation, why, .. } => {
            (Outcome::Failed, Vec::new(), Some((why, *operation)))
        }
    };
    TransactionInfo {
        id,
        account: receipt.account.to_address(kind),
        height: height.0,
        index,
        finality: finality(node, height),
        outcome,
        reason: failed.map(|(why, _)| why.to_string()),
        next: failed.map(|(why, _)| why.next_step().to_owned()),
        failed_operation: failed.map(|(_, operation)| operation),
        fee: receipt.fee,
        done,
    }
}

fn stage(stage: &rows::DealStage) -> DealStage {
    match stage {
        rows::DealStage::Open { .. } => DealStage::Open,
        rows::DealStage::Matched { height, deadline, .. } => DealStage::Matched {
            height: height.0,
            deadline: deadline.0,
        },
        rows::DealStage::Active { height, at, ends_at } => DealStage::Active {
            height: height.0,
            at: at.0,
            ends_at: ends_at.0,
        },
        rows::DealStage::Ending {
            ends_at,
            settle_height,
            ..
        } => DealStage::Ending {
            ends_at: ends_at.0,
            settle_height: settle_height.0,
        },
        rows::DealStage::Ended { how, height, .. } => {
            let (name, offers) = match how {
                DealEnd::Unmatched { eligible, needed } => ("unmatched", Some((*eligible, *needed))),
                DealEnd::NotCertified => ("not-certified", None),
                DealEnd::TermOver => ("term-over", None),
                DealEnd::Terminated => ("terminated", None),
            };
            DealStage::Ended {
                how: name.to_owned(),
                height: height.0,
                offers,
            }
        }
    }
}

/// The name that an operation has on the wire.
pub(super) const fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Transfer { .. } => "transfer",
        Operation::AddKey { .. } => "add-key",
        Operation::RemoveKey { .. } => "remove-key",
        Operation::Pledge { .. } => "pledge",
        Operation::PlaceAsk { .. } => "place-ask",
        Operation::WithdrawAsk {} => "withdraw-ask",
        Operation::PlaceBid { .. } => "place-bid",
        Operation::Certify { .. } => "certify",
        Operation::PreCommit { .. } => "pre-commit",
        Operation::CommitSectors { .. } => "commit-sectors",
        Operation::ProveWindow { .. } => "prove-window",
        Operation::SettleWindows { .. } => "settle-windows",
        Operation::Claim { .. } => "claim",
        Operation::Terminate { .. } => "terminate",
        Operation::Settle { .. } => "settle",
        Operation::Dispute { .. } => "dispute",
        Operation::AnswerDispute { .. } => "answer-dispute",
        Operation::AnswerAudit { .. } => "answer-audit",
        Operation::AddTrust { .. } => "add-trust",
        Operation::RemoveTrust { .. } => "remove-trust",
        Operation::StandForBackbone { .. } => "stand-for-backbone",
        Operation::WithdrawFromBackbone {} => "withdraw-from-backbone",
        Operation::SetColdKey { .. } => "set-cold-key",
        Operation::RegisterVotingKeys { .. } => "register-voting-keys",
        Operation::Attend { .. } => "attend",
        Operation::ReportEvidence { .. } => "report-evidence",
        Operation::ApproveUpgrade { .. } => "approve-upgrade",
        Operation::Succeed { .. } => "succeed",
    }
}

fn withheld_text(withheld_ms: u64) -> String {
    match withheld_ms {
        0 => String::new(),
        ms => format!(", {ms} ms of it withheld for windows that failed"),
    }
}

fn done_text(done: &Done) -> String {
    match done {
        Done::Transferred {} => "the money arrived".to_owned(),
        Done::KeyAdded { key_index } => format!("the key has position {key_index}"),
        Done::KeyRemoved {} => "the key is gone".to_owned(),
        Done::Pledged {} => "the account is a provider".to_owned(),
        Done::AskPlaced {} => "the offer stands".to_owned(),
        Done::AskWithdrawn {} => "the offer is gone".to_owned(),
        Done::BidPlaced { deal, match_height } => {
            format!("providers for deal {deal} are drawn at height {match_height}")
        }
        Done::Certified { deal, paid, .. } => {
            format!("the term of deal {deal} runs; {paid} WATT paid for reservations")
        }
        Done::PreCommitted {
            sector,
            challenge_window,
            ..
        } => {
            format!("sector {sector} is challenged in window {challenge_window}")
        }
        Done::SectorsCommitted {
            batch,
            n_sectors: 1,
            from,
        } => format!("sector {batch} is proven, from window {from} on"),
        Done::SectorsCommitted {
            batch,
            n_sectors,
            from,
        } => {
            format!(
                "{n_sectors} sectors that were asked together, from {batch} on, are proven, from window {from} on"
            )
        }
        Done::WindowProven {
            window,
            proven_ms,
            withheld_ms,
        } => format!(
            "window {window} is proven, {proven_ms} ms{}",
            withheld_text(*withheld_ms)
        ),
        Done::WindowsSettled {
            first,
            last,
            n_windows,
            n_good,
            proven_ms,
            withheld_ms,
        } => format!(
            "{n_good} of {n_windows} windows from {first} to {last} are proven, {proven_ms} ms{}",
            withheld_text(*withheld_ms)
        ),
        Done::TrustAdded { expires_at } => format!("the person is in the circle until {expires_at}"),
        Done::TrustRemoved {} => "the person is no longer in the circle".to_owned(),
        Done::StandingForBackbone {} => "the account offers to hold a seat of the backbone".to_owned(),
        Done::WithdrawnFromBackbone {} => "the account no longer offers to hold a seat".to_owned(),
        Done::ColdKeySet {} => "the cold key is committed to".to_owned(),
        Done::VotingKeysRegistered { first, last } => format!("voting keys for the terms {first} to {last}"),
        Done::Attended { window, .. } => format!("window {window} was attended"),
        Done::EvidenceTaken { culprit } => format!("{culprit} is found faulty"),
        Done::UpgradeApproved {
            version,
            n_agreeing,
            is_decided,
        } => {
            let sequel = if *is_decided {
                "it is decided"
            } else {
                "that decides nothing yet"
            };
            format!("{n_agreeing} of the council want version {version} of the rules: {sequel}")
        }
        Done::Succeeded { seat, generation } => {
            format!("successor {generation} votes for the seat of {seat}")
        }
        Done::Claimed { amount } => format!("{amount} WATT paid"),
        Done::Disputed { answer_by, fee, .. } => {
            format!("{fee} WATT locked; the holder must show the group by block {answer_by}")
        }
        Done::AuditAnswered { sector } => format!("sector {sector} was looked at again, and holds"),
        Done::DisputeAnswered { fee } => format!("group shown; {fee} WATT for the holder"),
        Done::DealEnded { deal, paid, refunded } => {
            let Paid {
                reserved,
                proven,
                early_end,
            } = paid;
            format!(
                "deal {deal} is over: {} WATT paid in all ({proven} for proven time, {reserved} for reserved space, \
                 {early_end} for ending it early), {refunded} WATT returned",
                paid.total()
            )
        }
    }
}
