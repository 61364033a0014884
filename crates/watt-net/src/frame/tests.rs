use tokio::io::duplex;

use super::*;

async fn read(reader: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Bytes, FrameError> {
    let first = reader.read_u8().await?;
    let length = read_length(reader, first, max).await?;
    read_body(reader, length).await
}

/// What was written comes back, whichever way it was split on the wire. Covers: A6.
#[tokio::test]
async fn frames_survive_any_split() {
    for pipe_bytes in [1, 3, 4_096, 1 << 20] {
        let (mut left, mut right) = duplex(pipe_bytes);
        let lengths = [1, 2, 255, SMALL_BYTES, SMALL_BYTES + 1, GROWTH_BYTES + 1, 200_000];
        let writer = tokio::spawn(async move {
            for length in lengths {
                write(&mut left, &vec![7; length]).await.unwrap();
            }
        });
        for length in lengths {
            assert_eq!(read(&mut right, 200_000).await.unwrap(), vec![7; length]);
        }
        writer.await.unwrap();
    }
}

/// One byte over the limit, and nothing at all, are refused from the header alone. Covers: A6.
#[tokio::test]
async fn wrong_lengths_are_refused_before_the_body() {
    for (length, max) in [(0_u32, 10), (11, 10), (u32::MAX, MESSAGE_BYTES_MAX)] {
        let (mut left, mut right) = duplex(64);
        left.write_all(&length.to_be_bytes()).await.unwrap();
        let error = read(&mut right, max).await.unwrap_err();
        assert!(error.is_malformed(), "{error}");
    }
}

/// An announced length without the bytes allocates little, and a torn frame is an error of the line, not of the peer.
#[tokio::test]
async fn a_torn_frame_is_not_malformed() {
    let (mut left, mut right) = duplex(64);
    left.write_all(&1_000_u32.to_be_bytes()).await.unwrap();
    left.write_all(b"only this").await.unwrap();
    drop(left);
    let error = read(&mut right, 1_000).await.unwrap_err();
    assert!(!error.is_malformed(), "{error}");
}
