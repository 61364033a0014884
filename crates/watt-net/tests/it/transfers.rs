use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use watt_net::{Event, Limits, NetConfig, TransferError};

use crate::world::{Node, QUIC, TCP, config, pair, pair_with, within};

const MIB: u64 = 1024 * 1024;
const TOTAL: u64 = 256 * MIB;

/// What a stream may hold between a writer and a reader that does nothing: the windows of spec/network.md §4.5 on both
/// sides, and the buffers of the system's sockets.
const IN_FLIGHT_MAX: u64 = 48 * MIB;

async fn slow_reader(transport: &str) {
    let (mut a, b) = pair(transport).await;
    let mut writer = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let progress = Arc::clone(&written);
    let write = tokio::spawn(async move {
        let chunk = vec![0x5A; 64 * 1024];
        while progress.load(Ordering::SeqCst) < TOTAL {
            writer.write_all(&chunk).await.unwrap();
            progress.fetch_add(64 * 1024, Ordering::SeqCst);
        }
        writer.shutdown().await.unwrap();
        writer
    });
    let mut reader = a.transfer().await;
    let (mut read, mut in_flight_max, mut buffer) = (0, 0, vec![0; 1024 * 1024]);
    while read < TOTAL {
        if read.is_multiple_of(64 * MIB) {
            // The reader is away until the writer has come to a halt.
            quiet(&written).await;
        }
        in_flight_max = in_flight_max.max(written.load(Ordering::SeqCst) - read);
        let n = within("bytes", reader.read_exact(&mut buffer)).await.unwrap();
        assert!(buffer.iter().all(|byte| *byte == 0x5A));
        read += u64::try_from(n).unwrap();
    }
    assert_eq!(reader.read(&mut buffer).await.unwrap(), 0, "the end is the end");
    write.await.unwrap();
    println!("{transport}: at most {} KiB in flight", in_flight_max / 1024);
    assert!(
        in_flight_max < IN_FLIGHT_MAX,
        "{in_flight_max} bytes between writer and reader"
    );
}

/// Returns when the writer has not moved for a while: it waits for the reader, or this machine is very slow, in which case
/// the test merely shows less.
async fn quiet(written: &AtomicU64) {
    let mut before = u64::MAX;
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    while before != written.load(Ordering::SeqCst) {
        before = written.load(Ordering::SeqCst);
        ticks.tick().await;
        ticks.tick().await;
    }
}

/// 256 MiB to a reader that often stops: the writer waits, and little is held in between (TCP). Covers: C1, C2.
#[tokio::test]
async fn a_slow_reader_holds_back_the_writer_over_tcp() {
    slow_reader(TCP).await;
}

/// 256 MiB to a reader that often stops: the writer waits, and little is held in between (QUIC). Covers: C1, C2.
#[tokio::test]
async fn a_slow_reader_holds_back_the_writer_over_quic() {
    slow_reader(QUIC).await;
}

/// The two sides talk in frames before the data flows; a frame that is too long is refused from its header. Covers: C2.
#[tokio::test]
async fn frames_then_data() {
    let (mut a, b) = pair(QUIC).await;
    let mut client = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    client.write_frame(b"get 7").await.unwrap();
    let mut server = a.transfer().await;
    assert_eq!(server.peer(), b.peer());
    assert_eq!(server.read_frame(100).await.unwrap(), "get 7");
    server.write_frame(b"ok").await.unwrap();
    server.write_all(&[3; 100_000]).await.unwrap();
    server.write_frame(&[1; 101]).await.unwrap();
    assert_eq!(client.read_frame(100).await.unwrap(), "ok");
    let mut data = vec![0; 100_000];
    client.read_exact(&mut data).await.unwrap();
    assert_eq!(data, vec![3; 100_000]);
    assert_eq!(
        client.read_frame(100).await.unwrap_err().kind(),
        ErrorKind::InvalidData
    );
}

/// A peer that accepts a transfer and then does nothing ends in an error, not in waiting for ever. Covers: C5.
#[tokio::test]
async fn no_progress_is_an_error() {
    let (mut a, b) = pair(TCP).await;
    let mut client = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    client.set_progress_timeout(Duration::from_millis(200));
    client.write_frame(b"get 7").await.unwrap();
    let silent = a.transfer().await;
    let error = within("the timeout", client.read_frame(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(silent);
    // Another stream works: only the one that stood still is given up.
    let mut client = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    client.write_frame(b"again").await.unwrap();
    assert_eq!(a.transfer().await.read_frame(100).await.unwrap(), "again");
}

/// A provider nobody is connected to is dialled for the transfer; one that is not there is an error with a reason.
/// Covers: C2.
#[tokio::test]
async fn a_provider_is_dialled_on_demand() {
    let mut provider = Node::start(config(1, &[QUIC])).await;
    let client = Node::start(config(2, &[])).await;
    let mut stream = client
        .net
        .open_transfer(provider.peer(), &[provider.address()])
        .await
        .unwrap();
    stream.write_frame(b"hello").await.unwrap();
    provider.connected(client.peer()).await;
    assert_eq!(provider.transfer().await.read_frame(5).await.unwrap(), "hello");

    let stranger = watt_net::peer_id([9; 32]);
    let unknown = client.net.open_transfer(stranger, &[]).await.unwrap_err();
    assert!(
        matches!(unknown, TransferError::Unreachable { peer, .. } if peer == stranger),
        "{unknown}"
    );
    let nobody = ["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
    let absent = client.net.open_transfer(stranger, &nobody).await.unwrap_err();
    assert!(matches!(absent, TransferError::Unreachable { .. }), "{absent}");
    let mut elsewhere = provider.address();
    elsewhere.pop();
    let impostor = client
        .net
        .open_transfer(stranger, &[elsewhere])
        .await
        .unwrap_err();
    assert!(
        matches!(impostor, TransferError::Unreachable { .. }),
        "the provider is not the stranger: {impostor}"
    );
}

/// A peer can have only so many transfers open; closing one makes room. Covers: C2.
#[tokio::test]
async fn transfers_per_peer_are_bounded() {
    let (mut a, b) = pair_with(
        TCP,
        Limits {
            transfers_per_peer_max: 2,
            ..Limits::default()
        },
    )
    .await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push((
            b.net.open_transfer(a.peer(), &[]).await.unwrap(),
            a.transfer().await,
        ));
    }
    let mut refused = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    within("the refusal", refused.read_frame(10)).await.unwrap_err();
    assert_eq!(a.net.counters().transfers_refused, 1);
    drop(streams.pop());
    let mut accepted = b.net.open_transfer(a.peer(), &[]).await.unwrap();
    accepted.write_frame(b"room again").await.unwrap();
    assert_eq!(a.transfer().await.read_frame(10).await.unwrap(), "room again");
}

/// Identities that hold as many transfers open as they get leave a place to who comes after them. Covers: C2.
#[tokio::test]
async fn transfers_held_open_shut_nobody_out() {
    const ALL: usize = 8;
    let limits = Limits {
        transfers_per_peer_max: ALL / 2,
        transfers_max: ALL,
        ..Limits::default()
    };
    let mut provider = Node::start(NetConfig {
        limits,
        ..config(1, &[TCP])
    })
    .await;
    let address = [provider.address()];
    let (first, second) = (
        Node::start(config(2, &[])).await,
        Node::start(config(3, &[])).await,
    );
    let mut held = Vec::new();
    for hoarder in [&first, &second] {
        for _ in 0..ALL {
            held.push(
                hoarder
                    .net
                    .open_transfer(provider.peer(), &address)
                    .await
                    .unwrap(),
            );
        }
    }
    within("an answer to each", async {
        loop {
            let counted = provider.net.counters();
            if counted.transfers_accepted + counted.transfers_refused == 2 * 8 {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let client = Node::start(config(4, &[])).await;
    let mut transfer = client.net.open_transfer(provider.peer(), &address).await.unwrap();
    transfer.write_frame(b"me, too").await.unwrap();
    loop {
        match provider.next().await {
            Event::Transfer {
                stream: mut served, ..
            } if served.peer() == client.peer() => {
                assert_eq!(served.read_frame(10).await.unwrap(), "me, too");
                return;
            }
            Event::Transfer { stream, .. } => held.push(stream),
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
