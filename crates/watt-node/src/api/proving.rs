//! What a provider proves, in words: each sector with its state and deadline, what is due next, and what was not earned and why.

use super::facts::Facts;
use super::types::amount_text;
use crate::ui::duration_text;
use serde::{Deserialize, Serialize};
use watt_ledger::StateRead;
use watt_ledger::query::{self, SectorGrace};
use watt_ledger::rows::{AuditRow, BatchRow, Loss, ProviderRow, SectorRow, SectorStage};
use watt_primitives::{AccountId, Amount, BlockHeight, SectorNumber, Window};

/// Bytes in a unit of a sector's size.
const UNIT_BYTES: u64 = 1 << 20;

/// Shares that are looked at.
const SHARES_MAX: usize = 65_536;

/// Lost shares that are told.
const LOST_SHOWN_MAX: usize = 64;

/// A sealed sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectorInfo {
    /// Its number.
    pub sector: u64,
    /// How far it is.
    pub state: SectorState,
    /// Its size, sealed.
    pub bytes: u64,
    /// Shares in it of deals that are not over.
    pub n_slots: u64,
    /// Milliseconds of ledger time for which it was proven and is paid.
    pub proven_ms: u64,
    /// Milliseconds of proven windows in which it could not be read, which nobody pays for.
    pub faulty_ms: u64,
    /// Last height for what it has to do next, if that has a deadline of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// About how long its shares are still kept if it goes on not being proven, in milliseconds; absent while it is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_for_ms: Option<u64>,
    /// Its state, deadline and reason in a sentence.
    pub sentence: String,
}

/// How far a sector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SectorState {
    /// Committed to; its challenge has not come yet.
    Waiting,
    /// Its challenge has come and is not answered yet.
    Challenged,
    /// Proven; it answers every window from the next on.
    Starting,
    /// It answers every window.
    Proving,
    /// It could not be read in this window or the one before.
    Faulty,
    /// Its shares are over.
    Ending,
}

/// What a provider has to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyInfo {
    /// The running window.
    pub window: u64,
    /// Whether this window's heartbeat is on the ledger; absent if none is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_answered: Option<bool>,
    /// Whether the window before is proven; absent if no proof of it alone is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_proven: Option<bool>,
    /// The last height of the window: until then both have to be done.
    pub deadline: u64,
    /// About how long that is, in milliseconds.
    pub left_ms: u64,
    /// The same in a sentence.
    pub sentence: String,
}

/// What a provider proves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvingInfo {
    /// What has to be done next; absent while no sector is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duty: Option<DutyInfo>,
    /// Its sectors, ascending.
    pub sectors: Vec<SectorInfo>,
    /// About what it would have been paid for the windows that it missed, at what it stores now.
    #[serde(with = "amount_text")]
    pub lost: Amount,
    /// Why it was not paid for everything: one sentence each.
    pub losses: Vec<String>,
    /// What somebody wants to see of its shares, and until when: one sentence each, what is due first in front.
    #[serde(default)]
    pub disputes: Vec<String>,
    /// Shares that it lost, and why: one sentence each.
    #[serde(default)]
    pub lost_shares: Vec<String>,
}

/// When it is, as far as deadlines need it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    height: BlockHeight,
    window: Window,
    slot_ms: u64,
}

impl Clock {
    /// About how long until block `height` is there.
    const fn left_ms(&self, height: BlockHeight) -> u64 {
        height
            .0
            .saturating_sub(self.height.0)
            .saturating_mul(self.slot_ms)
    }
}

impl Facts<'_> {
    /// What `provider` proves. `proves_each` if it settles each window by itself; `pay_of` is what so many milliseconds of proven time
    /// pay for all shares that it holds.
    pub(super) fn proving(
        &self,
        provider: &AccountId,
        proves_each: bool,
        pay_of: impl Fn(u64) -> Amount,
    ) -> ProvingInfo {
        let (Some(head), Some(row)) = (query::head(self.state), query::provider(self.state, provider)) else {
            return ProvingInfo::default();
        };
        let parameters = &head.rules.parameters;
        let clock = Clock {
            height: head.chain.height,
            window: head.window,
            slot_ms: parameters.slot_ms,
        };
        let sectors = query::sectors(self.state, provider);
        let window_ms = parameters.window_slots.saturating_mul(parameters.slot_ms);
        let infos: Vec<SectorInfo> = sectors
            .iter()
            .map(|(number, sector)| {
                let batch = batch_of(self.state, provider, sector);
                let info = sector_info(*number, sector, batch.as_ref(), row.row.proven_ms, clock);
                let info = info.with_grace(query::sector_grace(self.state, provider, *number), window_ms);
                info.with_audit(query::audit(self.state, provider, *number), clock)
            })
            .collect();
        let lost = pay_of(row.proofs_missed.saturating_mul(window_ms));
        let mut losses = Vec::new();
        if row.proofs_missed > 0 {
            losses.push(format!(
                "{} of {} windows were not proven in time, about {lost} WATT at what it stores now: the node was off, not connected, or too slow",
                row.proofs_missed, row.proofs_due
            ));
        }
        if row.row.proofs_failed > 0 {
            losses.push(format!(
                "{} proofs did not verify: its data was not what it committed to",
                row.row.proofs_failed
            ));
        }
        losses.extend(failed_text(&row.row));
        let n_faulty = infos.iter().filter(|info| info.faulty_ms > 0).count();
        if n_faulty > 0 {
            let ms = infos.iter().map(|info| info.faulty_ms).sum();
            losses.push(format!(
                "{n_faulty} sectors could not be read for {} in all, and were declared so",
                duration_text(ms)
            ));
        }
        ProvingInfo {
            duty: self.duty(provider, proves_each, &sectors, clock, parameters.window_slots),
            sectors: infos,
            lost,
            losses,
            disputes: self.disputes(provider, clock),
            lost_shares: self.lost_shares(provider),
        }
    }

    fn disputes(&self, provider: &AccountId, clock: Clock) -> Vec<String> {
        let held = query::slots_of_provider(self.state, provider, None, SHARES_MAX);
        let mut open: Vec<_> = held
            .into_iter()
            .filter_map(|(deal, index)| {
                let dispute = query::slot(self.state, &deal, index)?.row.dispute?;
                Some((dispute.answer_by, deal, index, dispute.group))
            })
            .collect();
        open.sort_unstable();
        let told = open.into_iter().map(|(answer_by, deal, slot, group)| {
            let left = duration_text(clock.left_ms(answer_by));
            format!(
                "group {group} of share {slot} of deal {deal} is asked for; to be shown up to block {answer_by}, about {left} from now, or the share is lost; the node does it by itself"
            )
        });
        told.collect()
    }

    fn lost_shares(&self, provider: &AccountId) -> Vec<String> {
        let lost = query::lost_slots_of_provider(self.state, provider, LOST_SHOWN_MAX);
        let told = lost.into_iter().map(|(deal, lost)| {
            let why = match lost.why {
                Loss::Unanswered { group, .. } => format!("group {group} of it was asked for and not shown in time"),
                Loss::NotProven {} => "it was not proven for its whole grace".to_owned(),
                Loss::AuditUnanswered {} => {
                    "its sector was asked again, and not shown to its committee in time".to_owned()
                }
            };
            format!(
                "share {} of deal {deal}, at block {}: {why}; {} WATT paid for it in all, {} WATT went back to the client",
                lost.slot,
                lost.height,
                lost.paid.total(),
                lost.refunded
            )
        });
        told.collect()
    }

    fn duty(
        &self,
        provider: &AccountId,
        proves_each: bool,
        sectors: &[(SectorNumber, SectorRow)],
        clock: Clock,
        window_slots: u64,
    ) -> Option<DutyInfo> {
        let is_in = |window: Window| sectors.iter().any(|(_, sector)| sector.is_in_set(window));
        let heartbeat = |window| query::heartbeat(self.state, provider, window);
        let (now, before) = (clock.window, clock.window.previous());
        let is_answered = is_in(now).then(|| heartbeat(now).is_some());
        // Without a heartbeat in it there is nothing left to prove of the window before.
        let is_proven = heartbeat(before)
            .filter(|_| proves_each && now != before)
            .map(|row| row.is_proven);
        is_answered.or(is_proven)?;
        let deadline = BlockHeight(
            now.0
                .saturating_add(1)
                .saturating_mul(window_slots)
                .saturating_sub(1),
        );
        let left_ms = clock.left_ms(deadline);
        let due = format!(
            "up to block {deadline}, about {} from now",
            duration_text(left_ms)
        );
        let sentence = match (is_answered, is_proven) {
            (Some(false), Some(false)) => {
                format!("window {now} is to be answered and window {before} to be proven, both {due}")
            }
            (Some(false), _) => format!("window {now} is to be answered, {due}"),
            (_, Some(false)) => format!("window {before} is to be proven, {due}"),
            (_, _) => format!(
                "window {now} is answered; the next one begins after block {deadline}, about {} from now",
                duration_text(left_ms)
            ),
        };
        Some(DutyInfo {
            window: now.0,
            is_answered,
            is_proven,
            deadline: deadline.0,
            left_ms,
            sentence,
        })
    }
}

/// What windows that were answered and not proven cost, in a sentence.
fn failed_text(row: &ProviderRow) -> Option<String> {
    if row.windows_failed == 0 {
        return None;
    }
    let (withheld, owed) = (duration_text(row.withheld_ms), duration_text(row.owed_ms));
    let owed = match row.owed_ms {
        0 => "nothing more is owed".to_owned(),
        _ => format!("{owed} more is owed, which what is proven next pays first"),
    };
    Some(format!(
        "{} windows were answered and then not proven; besides their own pay that cost {withheld} of proven time, and {owed}: the machine slept, was too slow, or data is gone",
        row.windows_failed
    ))
}

/// With which others a sector waits to be answered for.
fn batch_of(state: &impl StateRead, provider: &AccountId, sector: &SectorRow) -> Option<BatchRow> {
    match sector.stage {
        SectorStage::PreCommitted { batch } => query::batch(state, provider, batch),
        SectorStage::Active { .. } | SectorStage::Ended { .. } => None,
    }
}

fn sector_info(
    number: SectorNumber,
    sector: &SectorRow,
    batch: Option<&BatchRow>,
    proven_ms: u64,
    clock: Clock,
) -> SectorInfo {
    let proven = sector.proven_ms(proven_ms);
    let mut end = None;
    let (state, sentence) = match sector.stage {
        SectorStage::PreCommitted { .. } => match batch {
            Some(batch) if batch.challenge_window <= clock.window => {
                let deadline = batch.deadline;
                end = Some(deadline.0);
                let left = duration_text(clock.left_ms(deadline));
                let others = match batch.sectors.len() {
                    0 | 1 => String::new(),
                    n => format!(" together with {} others", n.saturating_sub(1)),
                };
                let sentence = format!(
                    "challenged{others}; to be proven up to block {deadline}, about {left} from now, or its shares have to be sealed anew"
                );
                (SectorState::Challenged, sentence)
            }
            batch => {
                end = batch.map(|batch| batch.deadline.0);
                let window = batch.map_or(clock.window.next(), |batch| batch.challenge_window);
                let sentence = format!("sealed; its challenge comes with window {window}");
                (SectorState::Waiting, sentence)
            }
        },
        SectorStage::Active { .. } if is_faulty(sector, clock.window) => {
            let window = sector.last_fault.unwrap_or_default();
            let sentence = format!(
                "could not be read in window {window}: not paid until it can be again; look at the disk"
            );
            (SectorState::Faulty, sentence)
        }
        SectorStage::Active { from } if from > clock.window => {
            let sentence = format!("proven; answers every window from {from} on");
            (SectorState::Starting, sentence)
        }
        SectorStage::Active { from } => {
            let sentence = format!("proving since window {from}, {} so far", duration_text(proven));
            (SectorState::Proving, sentence)
        }
        SectorStage::Ended { last, .. } => {
            let sentence = format!("its shares are over; it is deleted once window {last} is proven");
            (SectorState::Ending, sentence)
        }
    };
    SectorInfo {
        sector: number.0,
        state,
        bytes: u64::from(sector.units).saturating_mul(UNIT_BYTES),
        n_slots: sector.n_slots.into(),
        proven_ms: proven,
        faulty_ms: sector.faulty_ms,
        deadline: end,
        kept_for_ms: None,
        sentence,
    }
}

impl SectorInfo {
    /// Says until when a sector that is not proven is kept.
    fn with_grace(mut self, grace: Option<SectorGrace>, window_ms: u64) -> Self {
        if let Some(grace) = grace.filter(|grace| grace.idle_windows > 0) {
            let left = grace.grace_windows.saturating_sub(grace.idle_windows);
            let left_ms = left.saturating_mul(window_ms);
            self.kept_for_ms = Some(left_ms);
            self.sentence.push_str(&format!(
                "; not proven for {} windows: its shares are lost if it is not for {left} more, about {}",
                grace.idle_windows,
                duration_text(left_ms)
            ));
        }
        self
    }
}

impl SectorInfo {
    /// Says until when a sector that is asked again has to be shown.
    fn with_audit(mut self, audit: Option<AuditRow>, clock: Clock) -> Self {
        if let Some(AuditRow { answer_by, .. }) = audit {
            self.deadline = Some(answer_by.0);
            self.sentence.push_str(&format!(
                "; looked at again by another committee up to block {answer_by}, about {} from now: its shares are lost unless that says that it holds; the node shows it by itself",
                duration_text(clock.left_ms(answer_by))
            ));
        }
        self
    }
}

/// Whether it was declared faulty in the running window or the one before.
fn is_faulty(sector: &SectorRow, window: Window) -> bool {
    sector.last_fault.is_some_and(|fault| fault >= window.previous())
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_primitives::{BoundedVec, Hash};

    const NOW: Clock = Clock {
        height: BlockHeight(83),
        window: Window(10),
        slot_ms: 1_000,
    };

    fn told(stage: SectorStage, last_fault: Option<Window>) -> (SectorState, Option<u64>, String) {
        told_of(stage, None, last_fault)
    }

    fn told_of(
        stage: SectorStage,
        batch: Option<&BatchRow>,
        last_fault: Option<Window>,
    ) -> (SectorState, Option<u64>, String) {
        let row = SectorRow {
            units: 32,
            comm_d: Hash::ZERO,
            comm_c: Hash::ZERO,
            comm_r: watt_proofs::Element::default(),
            seal_seed: Hash::ZERO,
            stage,
            n_slots: 3,
            proven_ms_start: Some(1_000),
            faulty_ms: 0,
            last_fault,
            unpaid: None,
        };
        let info = sector_info(SectorNumber(4), &row, batch, 61_000, NOW);
        assert_eq!((info.bytes, info.n_slots, info.proven_ms), (32 << 20, 3, 60_000));
        (info.state, info.deadline, info.sentence)
    }

    /// What failures cost is told, and whether anything is still owed. Covers: D3, E4.
    #[test]
    fn failures_are_told() {
        let mut row = ProviderRow::new(AccountId([1; 20]), BlockHeight(0));
        assert_eq!(failed_text(&row), None);
        (row.windows_failed, row.withheld_ms, row.owed_ms) = (2, 90_000, 61_000);
        let told = failed_text(&row).unwrap();
        let owed = "2 windows were answered and then not proven; besides their own pay that cost 1 min 30 s of proven time, and 1 min 1 s more is owed, which what is proven next pays first";
        assert!(told.starts_with(owed), "{told}");
        row.owed_ms = 0;
        let told = failed_text(&row).unwrap();
        assert!(told.contains("and nothing more is owed"), "{told}");
    }

    /// Each state of a sector is told with its deadline and reason. Covers: D3.
    #[test]
    fn a_sectors_state_is_told() {
        let committed = |window, n_sectors: u64| {
            let batch = SectorNumber(4);
            let row = BatchRow {
                sectors: BoundedVec::new((4..4 + n_sectors).map(SectorNumber).collect()).unwrap(),
                challenge_window: Window(window),
                deadline: BlockHeight(143),
            };
            told_of(SectorStage::PreCommitted { batch }, Some(&row), None)
        };
        let (state, deadline, _) = committed(11, 1);
        assert_eq!((state, deadline), (SectorState::Waiting, Some(143)));
        let (state, _, sentence) = committed(10, 1);
        assert_eq!(state, SectorState::Challenged);
        assert!(
            sentence.contains("challenged; to be proven up to block 143, about 1 min 0 s from now"),
            "{sentence}"
        );
        let (.., sentence) = committed(10, 3);
        assert!(
            sentence.contains("challenged together with 2 others;"),
            "{sentence}"
        );
        let active = |from| SectorStage::Active { from: Window(from) };
        assert_eq!(told(active(11), None).0, SectorState::Starting);
        let (state, deadline, sentence) = told(active(7), Some(Window(8)));
        assert_eq!(
            (state, deadline),
            (SectorState::Proving, None),
            "a fault of long ago"
        );
        assert_eq!(sentence, "proving since window 7, 1 min 0 s so far");
        let (state, _, sentence) = told(active(7), Some(Window(9)));
        assert_eq!(state, SectorState::Faulty);
        assert!(sentence.contains("in window 9"), "{sentence}");
        let ended = SectorStage::Ended {
            from: Window(7),
            last: Window(10),
        };
        assert_eq!(told(ended, None).0, SectorState::Ending);
    }

    /// A sector that is not proven says for how long its shares are still kept, and one that is says nothing of it. Covers: C5.
    #[test]
    fn the_grace_of_a_sector_is_told() {
        let info = || SectorInfo {
            sector: 4,
            state: SectorState::Proving,
            bytes: 1 << 20,
            n_slots: 3,
            proven_ms: 0,
            faulty_ms: 0,
            deadline: None,
            kept_for_ms: None,
            sentence: "proving".to_owned(),
        };
        let grace = |idle_windows| SectorGrace {
            idle_windows,
            grace_windows: 45,
        };
        assert_eq!(info().with_grace(Some(grace(0)), 8_000), info());
        assert_eq!(info().with_grace(None, 8_000), info());
        let told = info().with_grace(Some(grace(30)), 8_000);
        assert_eq!(told.kept_for_ms, Some(120_000));
        assert_eq!(
            told.sentence,
            "proving; not proven for 30 windows: its shares are lost if it is not for 15 more, about 2 min 0 s"
        );
    }
}
