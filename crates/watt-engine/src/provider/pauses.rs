//! Jobs that the disk refused: each waits some blocks before it is tried again, since most of what is wrong with a disk is wrong again
//! at once, and a try may cost making a sector's labels.

use std::collections::BTreeMap;
use watt_light::SlotRef;
use watt_primitives::{BlockHeight, SectorNumber, Window};

/// Blocks for what takes reading a few leaves, and has a window for it.
const WINDOW_BLOCKS: u64 = 3;

/// Blocks for what may take making a sector's labels.
const LABELS_BLOCKS: u64 = 24;

/// Blocks for a share that somebody asks for.
const SHOW_BLOCKS: u64 = 12;

/// Something that reads or writes the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    Seal,
    /// Of a batch, by its first sector, or of one live sector.
    Open(SectorNumber),
    Show(SlotRef),
    Respond(Window),
    OpenWindow(Window),
    Log(Window),
}

impl Job {
    const fn pause(self) -> u64 {
        match self {
            Self::Seal | Self::Open(_) => LABELS_BLOCKS,
            Self::Show(_) => SHOW_BLOCKS,
            Self::Respond(_) | Self::OpenWindow(_) | Self::Log(_) => WINDOW_BLOCKS,
        }
    }
}

/// Jobs that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses {
    now: BlockHeight,
    until: BTreeMap<Job, BlockHeight>,
}

impl Pauses {
    /// The head is this block.
    pub(super) fn enter(&mut self, now: BlockHeight) {
        self.now = now;
        self.until.retain(|_, until| *until > now);
    }

    /// The job failed.
    pub(super) fn begin(&mut self, job: Job) {
        self.until.insert(job, self.now.plus(job.pause()));
    }

    pub(super) fn has(&self, job: Job) -> bool {
        self.until.contains_key(&job)
    }
}
