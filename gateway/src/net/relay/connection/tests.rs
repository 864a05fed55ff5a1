//! A connection against a relay at the other end of a pipe, by a clock that jumps.

use nostr::JsonUtil as _;
use ringfence_book::nostr_event::ENVELOPE_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::accept_async;

use super::super::event::{EventSigningKey, OutgoingEvent, write_event};
use super::*;
use crate::clock::until;

type Relay = WebSocketStream<DuplexStream>;

async fn pair() -> (RelayConnection<DuplexStream>, Relay) {
    let (near, far) = duplex(64 * 1_024);
    let (opened, accepted) = tokio::join!(
        RelayConnection::open("ws://relay.example/", near),
        accept_async(far)
    );
    (opened.unwrap(), accepted.unwrap())
}

/// Uses the connection until it ends; how it ended, and after what time.
async fn end(connection: &mut RelayConnection<DuplexStream>) -> (ConnectionEnd, Duration) {
    let start = now();
    loop {
        let timeout = Some(connection.next_timeout());
        let used = tokio::select! {
            received = connection.recv() => received.map(drop),
            () = until(timeout) => connection.handle_timeout().await,
        };
        if let Err(end) = used {
            return (end, now() - start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_known_in_twenty_seconds() {
    let (mut connection, _relay) = pair().await;
    let (ended, lasted) = end(&mut connection).await;
    assert_eq!(ended, ConnectionEnd::Silent);
    assert!((16..20).contains(&lasted.as_secs()), "{lasted:?}");
}

/// A wire that takes so long each way; its two ends.
fn slow_wire(delay: Duration) -> (DuplexStream, DuplexStream) {
    let (near, near_end) = duplex(64 * 1_024);
    let (far, far_end) = duplex(64 * 1_024);
    let (from_near, to_near) = tokio::io::split(near_end);
    let (from_far, to_far) = tokio::io::split(far_end);
    for (mut from, mut to) in [(from_near, to_far), (from_far, to_near)] {
        let (sent, mut sending) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut bytes = vec![0; 4_096];
            while let Ok(read @ 1..) = from.read(&mut bytes).await {
                sent.send((now() + delay, bytes[..read].to_vec())).ok();
            }
        });
        tokio::spawn(async move {
            while let Some((at, bytes)) = sending.recv().await {
                until(Some(at)).await;
                to.write_all(&bytes).await.ok();
            }
        });
    }
    (near, far)
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_far_away_is_not_silent_and_one_that_dies_is_known_all_the_same() {
    let hour = Duration::from_secs(3_600);
    for (delay, limit) in [
        (50, 5_000),
        (1_000, 5_000),
        (2_900, 11_600),
        (4_000, 12_000),
    ] {
        let delay = Duration::from_millis(delay);
        let (near, far) = slow_wire(delay);
        let (opened, accepted) = tokio::join!(
            RelayConnection::open("ws://relay.example/", near),
            accept_async(far)
        );
        let (mut connection, mut relay) = (opened.unwrap(), accepted.unwrap());
        tokio::spawn(async move {
            let lives = async { while relay.next().await.is_some() {} };
            timeout(hour, lives).await.ok();
            std::future::pending::<()>().await;
            drop(relay);
        });
        let (ended, lasted) = end(&mut connection).await;
        let known = PING_INTERVAL + Duration::from_millis(limit) + 2 * delay;
        assert_eq!(ended, ConnectionEnd::Silent, "{delay:?} each way");
        assert!(
            (hour..hour + known).contains(&lasted),
            "{delay:?} each way: {lasted:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_pings_lasts() {
    let (mut connection, mut relay) = pair().await;
    tokio::spawn(async move { while relay.next().await.is_some() {} });
    let used = timeout(Duration::from_secs(3_600), end(&mut connection)).await;
    assert!(used.is_err(), "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_takes_nothing_is_silent_and_holds_nothing_up() {
    let (mut connection, _relay) = pair().await;
    let start = now();
    let sent = loop {
        if let Err(end) = connection.send("x".repeat(8_000)).await {
            break end;
        }
    };
    assert_eq!(sent, ConnectionEnd::Silent);
    assert!(now() - start <= SHORTEST_PONG + Duration::from_secs(1));
}

/// How a connection ends over which so many of these messages come, and then nothing.
async fn end_of_flood(message: Message, count: usize) -> ConnectionEnd {
    let (mut connection, mut relay) = pair().await;
    tokio::spawn(async move {
        for _ in 0..count {
            if relay.send(message.clone()).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    end(&mut connection).await.0
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_the_connection() {
    let long = "x".repeat(MAX_MESSAGE_BYTES + 1);
    for (name, message, most) in [
        ("junk", Message::text("junk"), 64),
        ("binary", Message::binary(vec![0; 8]), 64),
        ("notices", Message::text(r#"["NOTICE","x"]"#), 2_500),
        ("pings", Message::Ping(Bytes::from_static(b"x")), 2_500),
        ("pongs", Message::Pong(Bytes::from_static(b"xx")), 64),
        ("a long message", Message::text(long), 0),
    ] {
        // The machine's own clock does not move.
        let within = end_of_flood(message.clone(), most).await;
        assert_eq!(within, ConnectionEnd::Silent, "{name}");
        let beyond = end_of_flood(message, most + 1).await;
        assert_eq!(beyond, ConnectionEnd::Flooded, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_never_become_a_message_end_the_connection() {
    let (mut connection, mut relay) = pair().await;
    tokio::spawn(async move {
        // The first frame of a text, then 16 MB of frames that continue it with nothing.
        let (first, others) = ([0x01, 0x00], [0x00; 16 * 1_024]);
        relay.get_mut().write_all(&first).await.unwrap();
        for _ in 0..1_024 {
            if relay.get_mut().write_all(&others).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    assert_eq!(end(&mut connection).await.0, ConnectionEnd::Flooded);
}

#[tokio::test(start_paused = true)]
async fn a_relay_with_eight_pages_of_notes_and_a_busy_bucket_keeps_its_connection() {
    let outgoing = OutgoingEvent {
        key: EventSigningKey::generate(),
        work_nonce: u64::MAX,
        bucket: 5,
        bytes: vec![5; ENVELOPE_BYTES],
        is_note: true,
    };
    let event = write_event(&outgoing, 8, 1_795_000_000).unwrap();
    let text = format!(r#"["EVENT","{:064}",{}]"#, 1, event.as_json());
    let (mut connection, mut relay) = pair().await;
    tokio::spawn(async move {
        for sent in 0..2_048 + 2_500 {
            if sent >= 2_048 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            relay.send(Message::text(text.clone())).await.unwrap();
        }
        relay.close(None).await.unwrap();
    });
    let mut messages = 0;
    let ended = loop {
        match connection.recv().await {
            Ok(_) => messages += 1,
            Err(end) => break end,
        }
    };
    assert_eq!((messages, ended), (4_548, ConnectionEnd::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_compressed_frame_that_was_not_agreed_on_ends_the_connection() {
    let (mut connection, mut relay) = pair().await;
    // The first reserved bit says that the text is compressed (RFC 7692).
    let frame = [0xC1, 3, 0x4A, 0x4C, 0x04];
    relay.get_mut().write_all(&frame).await.unwrap();
    assert_eq!(end(&mut connection).await.0, ConnectionEnd::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_small_pieces_is_read_though_each_wait_is_given_up() {
    let (mut connection, mut relay) = pair().await;
    let text = br#"["NOTICE","slow"]"#;
    let (head, tail) = text.split_at(5);
    let mut frames = vec![0x01, 5];
    frames.extend(head);
    frames.extend([0x80, u8::try_from(tail.len()).unwrap()]);
    frames.extend(tail);
    let relay = tokio::spawn(async move {
        for byte in frames {
            tokio::time::sleep(Duration::from_millis(7)).await;
            relay.get_mut().write_all(&[byte]).await.unwrap();
        }
        relay
    });
    let mut waits = 0;
    let received = loop {
        match timeout(Duration::from_millis(2), connection.recv()).await {
            Ok(received) => break received.unwrap(),
            Err(_) => waits += 1,
        }
    };
    assert!(matches!(
        received,
        FromRelay::Message(RelayMessage::Notice(Some(words))) if words.text() == "slow"
    ));
    assert!(waits > 20, "{waits}");
    drop(relay.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_relay_may_ping_with_a_payload_and_one_that_answers_no_ping_is_silent_whatever_it_sends()
{
    let (mut connection, mut relay) = pair().await;
    let payload = Bytes::from(vec![7; 125]);
    relay.send(Message::Ping(payload.clone())).await.unwrap();
    let received = connection.recv().await.unwrap();
    assert!(matches!(received, FromRelay::Ping));
    // The answer goes out with the next wait.
    drop(timeout(Duration::from_millis(10), connection.recv()).await);
    assert_eq!(relay.next().await.unwrap().unwrap(), Message::Pong(payload));
    tokio::spawn(async move {
        while relay.send(Message::text(r#"["NOTICE","x"]"#)).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(end(&mut connection).await.0, ConnectionEnd::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_no_websocket_is_no_relay() {
    let (near, far) = duplex(1_024);
    tokio::spawn(async move {
        let _held = far;
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let start = now();
    assert!(
        RelayConnection::open("ws://relay.example/", near)
            .await
            .is_none()
    );
    assert!(now() - start <= Duration::from_secs(11));
}
