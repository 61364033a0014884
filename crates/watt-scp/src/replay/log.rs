//! Logs as files: the steps of one node, life after life, in frames that show where a crash or a rotten disk has cut them
//! (`docs/spec/scp.md` §10).
//!
//! ```text
//! file  = MAGIC, frame*
//! frame = length (u32, big-endian), its complement, checksum (16 bytes), entry in canonical encoding
//! ```
//! A checksum covers the one before it, so that frames can't be left out or change places.

use super::{InvalidLog, LoggedInput, Step};
use crate::protocol::{Config, Output, Scp};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{Hash, SlotIndex};

/// The first bytes of a log file; a format that is read differently begins differently.
pub const MAGIC: [u8; 16] = *b"watt-scp-log-1\r\n";

/// The most bytes of one encoded [`Entry`].
pub const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of a log file: some hours of a busy node.
pub const LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

const FRAME_HEADER_BYTES: usize = 24;

type Checksum = [u8; 16];

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// A node begins with nothing but this: at the start of the log, and after each restart.
    Life(Config),
    /// It takes one input.
    Step {
        /// What went in.
        step: Step,
        /// What came out, in order.
        outputs: Vec<Output>,
    },
    /// A crash had torn this many bytes here, which were cut off when the node began again.
    Torn(u64),
}

/// Why bytes are not the log of a node that follows these rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogFile {
    /// It does not begin with [`MAGIC`].
    #[error("this is no log of SCP inputs")]
    Foreign,
    /// More than [`LOG_BYTES_MAX`] bytes, or an entry of more than [`ENTRY_BYTES_MAX`].
    #[error("longer than a log may be")]
    TooLong,
    /// A frame is not as it was written, and more follows.
    #[error("the log is damaged at byte {offset}")]
    Damaged {
        /// Where the frame begins.
        offset: usize,
    },
    /// A frame is whole, but holds no entry.
    #[error("the log holds no entry at byte {offset}: {error}")]
    NoEntry {
        /// Where the frame begins.
        offset: usize,
        /// What is wrong with it.
        error: InvalidEncoding,
    },
    /// A step before the node that takes it.
    #[error("the log does not begin with a node's beginning")]
    NoBeginning,
    /// The node does something else than it did.
    #[error(transparent)]
    Differs(#[from] Box<Difference>),
}

/// The first step that came out differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Difference {
    /// Number of the step in the log, from 1.
    pub step: u64,
    /// Number of the life, from 1.
    pub life: u64,
    /// Byte of the file at which the step's frame begins.
    pub offset: usize,
    /// What went in.
    pub input: LoggedInput,
    /// What came out when it was recorded.
    pub recorded: Vec<Output>,
    /// What comes out now.
    pub replayed: Vec<Output>,
    /// Whether the oracle was asked something else as well.
    pub asks_otherwise: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} ({}", self.step, self.input.kind())?;
        if let Some(slot) = self.input.slot() {
            write!(f, " of slot {}", slot.0)?;
        }
        write!(f, ", life {}, byte {}) ", self.life, self.offset)?;
        let both = self.recorded.iter().zip(&self.replayed);
        let n_alike = both
            .take_while(|(recorded, replayed)| recorded == replayed)
            .count();
        let kind = |outputs: &[Output]| outputs.get(n_alike).map_or("nothing", Output::kind);
        if self.recorded == self.replayed {
            f.write_str("asks the oracle something that it did not ask when it was recorded")
        } else {
            write!(
                f,
                "gives other outputs: number {} was {} and is {}",
                n_alike.saturating_add(1),
                kind(&self.recorded),
                kind(&self.replayed),
            )?;
            if kind(&self.recorded) == kind(&self.replayed) {
                f.write_str(" with another content")?;
            }
            Ok(())
        }
    }
}

/// What a log that replays has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Lives of the node: one more than it was restarted.
    pub lives: u64,
    /// Steps, all with the outputs that were recorded.
    pub steps: u64,
    /// Outputs of all steps together.
    pub outputs: u64,
    /// Slots that inputs were about.
    pub slots: u64,
    /// Slots that were decided.
    pub decided: u64,
    /// Bytes of entries that crashes had torn, the end of the file included; they are not replayed.
    pub torn_bytes: u64,
}

/// Gives all steps of a log file to nodes that begin as the recorded one did, and compares what comes out.
///
/// # Errors
/// The first thing that is not as it should be; a torn end is none.
pub fn replay(bytes: &[u8]) -> Result<Replayed, InvalidLogFile> {
    let mut reader = Reader::new(bytes)?;
    let mut done = Replayed::default();
    let (mut slots, mut decided) = (BTreeSet::new(), BTreeSet::new());
    let mut node: Option<Scp> = None;
    loop {
        let offset = reader.position();
        let Some(entry) = reader.next_entry()? else {
            break;
        };
        match entry {
            Entry::Life(config) => {
                done.lives = done.lives.saturating_add(1);
                node = Some(Scp::new(config));
            }
            Entry::Torn(n_bytes) => done.torn_bytes = done.torn_bytes.saturating_add(n_bytes),
            Entry::Step { step, outputs } => {
                let scp = node.as_mut().ok_or(InvalidLogFile::NoBeginning)?;
                done.steps = done.steps.saturating_add(1);
                let mut replayed = Vec::new();
                let asked: Result<(), InvalidLog> = step.replay(scp, &mut replayed);
                if asked.is_err() || replayed != outputs {
                    return Err(InvalidLogFile::Differs(Box::new(Difference {
                        step: done.steps,
                        life: done.lives,
                        offset,
                        input: step.input,
                        recorded: outputs,
                        replayed,
                        asks_otherwise: asked.is_err(),
                    })));
                }
                done.outputs = done.outputs.saturating_add(to_u64(outputs.len()));
                slots.extend(step.input.slot());
                decided.extend(outputs.iter().filter_map(decided_slot));
            }
        }
    }
    done.slots = to_u64(slots.len());
    done.decided = to_u64(decided.len());
    done.torn_bytes = done.torn_bytes.saturating_add(to_u64(reader.torn_bytes()));
    Ok(done)
}

const fn decided_slot(output: &Output) -> Option<SlotIndex> {
    if let Output::Externalized { slot, .. } = output {
        Some(*slot)
    } else {
        None
    }
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Puts entries into frames, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framer {
    /// Checksum of the last frame; zero before the first.
    last: Checksum,
}

impl Framer {
    /// The bytes of the next frame.
    ///
    /// # Errors
    /// [`InvalidLogFile::TooLong`] for an entry of more than [`ENTRY_BYTES_MAX`]; nothing has changed then.
    pub fn frame(&mut self, entry: &Entry) -> Result<Vec<u8>, InvalidLogFile> {
        let payload = codec::encode(entry);
        let len = u32::try_from(payload.len()).map_err(|_| InvalidLogFile::TooLong)?;
        if payload.len() > ENTRY_BYTES_MAX {
            return Err(InvalidLogFile::TooLong);
        }
        self.last = checksum(&self.last, &payload);
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES.saturating_add(payload.len()));
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&(!len).to_be_bytes());
        bytes.extend_from_slice(&self.last);
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }
}

fn checksum(last: &Checksum, payload: &[u8]) -> Checksum {
    let mut bytes = Vec::with_capacity(last.len().saturating_add(payload.len()));
    bytes.extend_from_slice(last);
    bytes.extend_from_slice(payload);
    let digest = Hash::of_content(&bytes);
    let mut checksum = Checksum::default();
    for (to, from) in checksum.iter_mut().zip(digest.0) {
        *to = from;
    }
    checksum
}

/// Reads the entries of a log file in order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    framer: Framer,
}

impl<'a> Reader<'a> {
    /// Begins at the start of `bytes`, a whole file. An empty file, or one that was torn in [`MAGIC`], is an empty log.
    ///
    /// # Errors
    /// [`InvalidLogFile::Foreign`], [`InvalidLogFile::TooLong`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, InvalidLogFile> {
        if bytes.len() > LOG_BYTES_MAX {
            return Err(InvalidLogFile::TooLong);
        }
        let is_torn = MAGIC.starts_with(bytes);
        if !is_torn && !bytes.starts_with(&MAGIC) {
            return Err(InvalidLogFile::Foreign);
        }
        Ok(Self {
            bytes,
            position: if bytes.len() < MAGIC.len() { 0 } else { MAGIC.len() },
            framer: Framer::default(),
        })
    }

    /// Where the next frame begins, or once there is none, where one would: what stands there is torn.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Bytes from [`Self::position`] on: what is torn, once there is no next frame.
    #[must_use]
    pub const fn torn_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Goes on where this reader has stopped.
    #[must_use]
    pub const fn framer(&self) -> Framer {
        self.framer
    }

    /// The next entry; `None` at the end, or where a crash tore the last frame.
    ///
    /// # Errors
    /// [`InvalidLogFile::Damaged`], [`InvalidLogFile::NoEntry`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, InvalidLogFile> {
        let offset = self.position;
        let Some(payload) = self.next_payload()? else {
            return Ok(None);
        };
        codec::decode(payload, ENTRY_BYTES_MAX)
            .map(Some)
            .map_err(|error| InvalidLogFile::NoEntry { offset, error })
    }

    /// As [`Self::next_entry`], without decoding it.
    ///
    /// # Errors
    /// [`InvalidLogFile::Damaged`].
    pub fn next_payload(&mut self) -> Result<Option<&'a [u8]>, InvalidLogFile> {
        let offset = self.position;
        if offset == 0 {
            return Ok(None);
        }
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        // A crash leaves the beginning of a frame, after a power cut perhaps with zeros behind it; anything else is damage.
        let torn_before = |end: usize| {
            let behind = rest.get(end..).unwrap_or_default();
            let is_end = behind.iter().all(|byte| *byte == 0);
            is_end.then_some(None).ok_or(InvalidLogFile::Damaged { offset })
        };
        let Some((len, found)) = parse_header(header) else {
            return torn_before(0);
        };
        let Some(payload) = rest.get(..len) else {
            return Ok(None);
        };
        let last = checksum(&self.framer.last, payload);
        if last != found {
            return torn_before(len);
        }
        self.framer = Framer { last };
        self.position = offset.saturating_add(FRAME_HEADER_BYTES).saturating_add(len);
        Ok(Some(payload))
    }
}

/// Length and checksum.
fn parse_header(header: &[u8; FRAME_HEADER_BYTES]) -> Option<(usize, Checksum)> {
    let (len, rest) = header.split_first_chunk()?;
    let (complement, rest) = rest.split_first_chunk()?;
    let len = u32::from_be_bytes(*len);
    let is_whole = len == !u32::from_be_bytes(*complement);
    let len = usize::try_from(len).ok()?;
    (is_whole && len <= ENTRY_BYTES_MAX).then_some((len, *rest.first_chunk()?))
}
