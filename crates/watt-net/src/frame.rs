//! Frames: four bytes of length (big-endian), then as many bytes (spec/network.md §3).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest message, in bytes: a block body of 2 MiB, doubled (spec/network.md §3.2).
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest urgent message, in bytes; a longer one would be what the urgent stream exists to overtake.
pub const URGENT_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the length before every frame.
const HEADER_BYTES: usize = 4;

/// How much is allocated ahead of the bytes that have really come, so that an announced length costs the announcer.
const GROWTH_BYTES: usize = 64 * 1024;

/// Up to this length a frame is written as one piece with its header.
const SMALL_BYTES: usize = 16 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes was announced, at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error("a frame without content")]
    Empty,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FrameError {
    /// Whether the peer broke the protocol, rather than the connection under it.
    pub(crate) fn is_malformed(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::Empty => true,
            Self::Io(_) => false,
        }
    }
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error,
            malformed @ (FrameError::TooLong { .. } | FrameError::Empty) => {
                Self::new(io::ErrorKind::InvalidData, malformed.to_string())
            }
        }
    }
}

/// Reads the rest of a header whose first byte has come, and checks the length before anything is allocated for it.
pub(crate) async fn read_length(
    reader: &mut (impl AsyncRead + Unpin),
    first: u8,
    max: usize,
) -> Result<usize, FrameError> {
    let mut rest = [0; HEADER_BYTES - 1];
    reader.read_exact(&mut rest).await?;
    let [second, third, fourth] = rest;
    let length = u32::from_be_bytes([first, second, third, fourth]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > max {
        return Err(FrameError::TooLong { length, max });
    }
    Ok(length)
}

/// Reads a body of a length already checked; memory grows with the bytes that come, not with the announcement.
pub(crate) async fn read_body(
    reader: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> Result<Bytes, FrameError> {
    let mut body = BytesMut::with_capacity(length.min(GROWTH_BYTES));
    let mut rest = reader.take(u64::try_from(length).unwrap_or(u64::MAX));
    while body.len() < length {
        if body.len() == body.capacity() {
            // Doubling keeps copying linear; the frame's own length caps the last step.
            body.reserve(body.len().min(length.saturating_sub(body.len())));
        }
        if rest.read_buf(&mut body).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(body.freeze())
}

/// Writes one frame without flushing it.
pub(crate) async fn write(writer: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame longer than 4 GiB"))?;
    let header = length.to_be_bytes();
    if body.len() <= SMALL_BYTES {
        let mut whole = BytesMut::with_capacity(HEADER_BYTES.saturating_add(body.len()));
        whole.extend_from_slice(&header);
        whole.extend_from_slice(body);
        writer.write_all(&whole).await
    } else {
        writer.write_all(&header).await?;
        writer.write_all(body).await
    }
}

#[cfg(test)]
mod tests;
