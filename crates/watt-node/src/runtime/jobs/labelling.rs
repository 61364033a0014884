//! Making the labels of a sector: one sector at a time, because it takes up to 200 MiB, which a phone has once, and with its progress for
//! whoever asks, because it takes half a minute.

use crate::lock::locked;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use watt_primitives::SectorNumber;
use watt_proofs::seal::Progress;

/// What labels are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To seal new data.
    Seal,
    /// To show what a committee asks for.
    Show,
    /// To get data back out of a replica.
    Unseal,
}

/// Labels that are being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Making {
    sector: SectorNumber,
    purpose: Purpose,
    percent: u64,
}

impl fmt::Display for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sector,
            purpose,
            percent,
        } = self;
        match purpose {
            Purpose::Seal => write!(f, "sealing sector {sector}: {percent} %"),
            Purpose::Show => write!(
                f,
                "making what the committee of sector {sector} asks for: {percent} %"
            ),
            Purpose::Unseal => write!(f, "unsealing sector {sector}: {percent} %"),
        }
    }
}

/// Lets one at a time make labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelling {
    turn: Arc<Mutex<()>>,
    making: Arc<Mutex<Option<Making>>>,
}

impl Labelling {
    /// Does `work`, which makes labels and tells its progress, when it is its turn; blocks.
    pub(super) fn run<T>(
        &self,
        sector: SectorNumber,
        purpose: Purpose,
        work: impl FnOnce(&mut dyn FnMut(Progress) -> ControlFlow<()>) -> T,
    ) -> T {
        let _turn = locked(&self.turn);
        let say = |percent| {
            *locked(&self.making) = Some(Making {
                sector,
                purpose,
                percent,
            });
        };
        say(0);
        let done = work(&mut |progress| {
            let hundredths = progress.labels_done.saturating_mul(100);
            say(hundredths.checked_div(progress.labels).unwrap_or(0));
            ControlFlow::Continue(())
        });
        *locked(&self.making) = None;
        done
    }

    /// Whose labels are being made.
    pub(crate) fn making(&self) -> Option<Making> {
        *locked(&self.making)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While labels are made it says whose, what for and how far; then nothing. Covers: D1.
    #[test]
    fn progress_is_said() {
        let labelling = Labelling::default();
        assert_eq!(labelling.making(), None);
        let said = labelling.run(SectorNumber(7), Purpose::Seal, |progress| {
            let mut said = vec![labelling.making().map(|making| making.to_string())];
            let to_do = Progress {
                labels_done: 1 << 20,
                labels: 1 << 24,
            };
            assert_eq!(progress(to_do), ControlFlow::Continue(()));
            said.push(labelling.making().map(|making| making.to_string()));
            said
        });
        let said: Vec<String> = said.into_iter().flatten().collect();
        assert_eq!(said, ["sealing sector 7: 0 %", "sealing sector 7: 6 %"]);
        assert_eq!(labelling.making(), None);
    }
}
