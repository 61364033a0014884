//! The file of `--record-scp`: all that goes into the consensus protocol and comes out, written beside the node's own work.

use crate::error::{CommandError, ErrorKind};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use watt_scp::replay::log::{Entry, Framer, InvalidLogFile, LOG_BYTES_MAX, MAGIC, Reader};

/// Events whose entries may wait for the disk; recording ends when there are more.
const WAITING_MAX: usize = 4_096;

/// Reads a log, or what is as long as one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let trouble = |error| CommandError::file("read the log", path, &error);
    read_from(&mut File::open(path).map_err(trouble)?).map_err(trouble)
}

/// One byte more than a log may have, so that a longer file is told from the longest.
fn read_from(file: &mut File) -> std::io::Result<Vec<u8>> {
    let bytes_max = u64::try_from(LOG_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a log on a thread of its own. Dropping it writes what waits.
///
/// Nothing is synced: an entry is the operating system's as soon as it is written, so it outlives the process, and a power cut
/// costs the log its end. Trouble ends the recording with a warning and never the node.
#[derive(Debug)]
pub(crate) struct Recorder {
    entries: Option<SyncSender<Vec<Entry>>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Opens the log at `path` to go on with it, or makes a new one. What a crash tore at its end is cut off and noted.
    ///
    /// # Errors
    /// The file can't be used, is used by another process, is damaged, or is something else.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        Self::open_bounded(path, LOG_BYTES_MAX)
    }

    fn open_bounded(path: &Path, bytes_max: usize) -> Result<Self, CommandError> {
        let trouble = |error| CommandError::file("record into", path, &error);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(trouble)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => trouble(error),
            TryLockError::WouldBlock => CommandError::new(
                ErrorKind::Conflict,
                format!("another process records into {}", path.display()),
                "name another file with --record-scp (node.record_scp)",
            ),
        })?;
        let bytes = read_from(&mut file).map_err(trouble)?;
        let (framer, end, torn_bytes) = end_of(&bytes).map_err(|invalid| {
            CommandError::new(
                ErrorKind::Conflict,
                format!("can't record into {}: {invalid}", path.display()),
                "move the file away, or name another one with --record-scp (node.record_scp)",
            )
        })?;
        let mut log = Log {
            file,
            path: path.to_owned(),
            framer,
            end,
            bytes_max,
        };
        log.cut().map_err(trouble)?;
        let mut first = Vec::new();
        if log.end == 0 {
            log.append(&MAGIC).map_err(trouble)?;
        }
        if torn_bytes > 0 {
            tracing::warn!(n_bytes = torn_bytes, path = %path.display(), "cut off a half-written entry of the SCP log");
            first.push(Entry::Torn(u64::try_from(torn_bytes).unwrap_or(u64::MAX)));
        }
        log.write(&first).map_err(trouble)?;
        let (entries, waiting) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("scp-log".to_owned())
            .spawn(move || log.run(&waiting))
            .map_err(trouble)?;
        Ok(Self {
            entries: Some(entries),
            thread: Some(thread),
        })
    }

    /// Hands entries over without waiting. `false`: the recording has ended, or ends now because the disk is too slow.
    pub(crate) fn record(&self, entries: Vec<Entry>) -> bool {
        self.entries
            .as_ref()
            .is_some_and(|sender| sender.try_send(entries).is_ok())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.entries.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Where to go on in a log, and how many torn bytes stand there.
fn end_of(bytes: &[u8]) -> Result<(Framer, usize, usize), InvalidLogFile> {
    let mut reader = Reader::new(bytes)?;
    while reader.next_payload()?.is_some() {}
    Ok((reader.framer(), reader.position(), reader.torn_bytes()))
}

struct Log {
    file: File,
    path: PathBuf,
    framer: Framer,
    /// Bytes of whole frames.
    end: usize,
    bytes_max: usize,
}

impl Log {
    fn run(mut self, waiting: &Receiver<Vec<Entry>>) {
        for entries in waiting {
            if let Err(error) = self.write(&entries) {
                tracing::warn!(%error, path = %self.path.display(), "recording of SCP's inputs ends here");
                if let Err(error) = self.cut() {
                    tracing::warn!(%error, path = %self.path.display(), "the SCP log ends with half an entry");
                }
                return;
            }
        }
    }

    fn write(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend(self.framer.frame(entry).map_err(std::io::Error::other)?);
        }
        if self.end.saturating_add(bytes.len()) > self.bytes_max {
            return Err(std::io::Error::other(InvalidLogFile::TooLong));
        }
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.end = self.end.saturating_add(bytes.len());
        Ok(())
    }

    /// Leaves whole frames only, and goes on after them.
    fn cut(&mut self) -> std::io::Result<()> {
        let end = u64::try_from(self.end).unwrap_or(u64::MAX);
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }
}

#[cfg(test)]
mod tests;
