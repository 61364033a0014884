//! How far a provider is that settles many windows by one proof, in numbers and in words.

use super::facts::Facts;
use super::view::FoldingStatus;
use serde::{Deserialize, Serialize};
use watt_engine::provider::{PeriodEnd, SettledPeriod};
use watt_ledger::query::{self, WaitingWindows};
use watt_primitives::AccountId;

/// How far a provider is with folding its windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldingInfo {
    /// Windows that wait to be settled together, oldest first; the last may still grow.
    pub waiting: Vec<WaitingInfo>,
    /// What became of those before, since the node started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<SettledInfo>,
    /// Why windows could not be folded, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Windows that wait to be settled together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingInfo {
    /// The first in which the provider was present.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// In how many of them it was present.
    pub n_windows: u32,
    /// How many of these are folded.
    pub n_folded: u32,
    /// Whether the proof is made.
    pub is_proven: bool,
    /// The first window in which they can be settled.
    pub due_from: u64,
    /// The first in which they can't any more.
    pub lapses_at: u64,
    /// The same in a sentence.
    pub sentence: String,
}

/// What became of windows that were due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledInfo {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// In how many of them the provider was present.
    pub n_windows: u32,
    /// Whether they were settled in time.
    #[serde(default)]
    pub is_settled: bool,
    /// How many were shown to be good, if this program showed it since it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_good: Option<u32>,
    /// The same in a sentence.
    pub sentence: String,
}

impl Facts<'_> {
    /// What of `provider` waits to be settled, and how far that is.
    pub(super) fn folding(&self, provider: &AccountId, status: FoldingStatus) -> FoldingInfo {
        let now = query::head(self.state).map_or(0, |head| head.window.0);
        let waiting = query::waiting_windows(self.state, provider);
        FoldingInfo {
            waiting: waiting
                .iter()
                .map(|waiting| waiting_info(waiting, &status, now))
                .collect(),
            last: status.last.map(settled_info),
            trouble: status.trouble,
        }
    }
}

fn settled_info(of: SettledPeriod) -> SettledInfo {
    let SettledPeriod {
        first,
        last,
        n_windows,
        end,
    } = of;
    let (n_good, sentence) = match end {
        PeriodEnd::Settled { n_good } => (
            Some(n_good),
            format!("windows {first} to {last}: {n_good} of {n_windows} were good"),
        ),
        PeriodEnd::SettledBefore => (
            None,
            format!("windows {first} to {last}: settled by what was handed in before this program started"),
        ),
        PeriodEnd::Lapsed => (
            None,
            format!("windows {first} to {last}: not settled in time, so they have failed"),
        ),
    };
    SettledInfo {
        first: first.0,
        last: last.0,
        n_windows,
        is_settled: end != PeriodEnd::Lapsed,
        n_good,
        sentence,
    }
}

fn waiting_info(waiting: &WaitingWindows, status: &FoldingStatus, now: u64) -> WaitingInfo {
    let (first, last, n_windows) = (
        waiting.period.first,
        waiting.period.last,
        waiting.period.n_windows,
    );
    let is_proven = status.proven == Some(first);
    let n_folded = match status.folded {
        (of, n_folded) if of == first => n_folded.min(n_windows),
        // It was folded before those that came after it.
        (of, _) if of > first || is_proven => n_windows,
        (_, _) => 0,
    };
    let (due_from, lapses_at) = (waiting.due_from, waiting.lapses_at);
    let next = if is_proven {
        format!("proven; to be recorded before window {lapses_at}")
    } else if due_from.0 <= now {
        format!("{n_folded} of {n_windows} folded; the proof is due before window {lapses_at}")
    } else {
        format!(
            "{n_folded} of {n_windows} folded; one proof settles them from window {due_from} on, and before window {lapses_at}"
        )
    };
    WaitingInfo {
        first: first.0,
        last: last.0,
        n_windows,
        n_folded,
        is_proven,
        due_from: due_from.0,
        lapses_at: lapses_at.0,
        sentence: format!("windows {first} to {last}: {next}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_ledger::rows::Period;
    use watt_light::WindowShape;
    use watt_primitives::{BoundedVec, Window};
    use watt_proofs::Element;

    /// What waits is said with how far it is, when it is due and when it is too late. Covers: D4, I3.
    #[test]
    fn what_waits_is_said_with_its_dates() {
        let waiting = WaitingWindows {
            period: Period {
                number: 2,
                shape: WindowShape::Small,
                first: Window(10),
                last: Window(14),
                from: Element::default(),
                to: Element::default(),
                n_windows: 5,
                n_void: 0,
                n_asked: 0,
                ms: 0,
                asked_ms: 0,
                byte_windows: 0,
                faulty: BoundedVec::empty(),
            },
            due_from: Window(17),
            lapses_at: Window(25),
        };
        let status = FoldingStatus {
            folded: (Window(10), 3),
            ..FoldingStatus::default()
        };
        let said = |status: &FoldingStatus, now| waiting_info(&waiting, status, now).sentence;
        assert_eq!(
            said(&status, 16),
            "windows 10 to 14: 3 of 5 folded; one proof settles them from window 17 on, and before window 25"
        );
        assert_eq!(
            said(&FoldingStatus::default(), 17),
            "windows 10 to 14: 0 of 5 folded; the proof is due before window 25"
        );
        let newer = FoldingStatus {
            folded: (Window(18), 1),
            proven: Some(Window(10)),
            ..FoldingStatus::default()
        };
        assert_eq!(waiting_info(&waiting, &newer, 19).n_folded, 5);
        assert_eq!(
            said(&newer, 19),
            "windows 10 to 14: proven; to be recorded before window 25"
        );
    }
}
