//! One WebSocket connection (RFC 6455) to a relay: opening, pings, and the limits on what a relay may send. It reads messages of at most
//! [`MAX_MESSAGE_BYTES`]; a relay that sends more, or messages or bytes (`metered`) faster than an engine needs them, loses the
//! connection.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use ringfence_daemon::limits::{Bucket, Rate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, error::CapacityError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::message::{MAX_MESSAGE_BYTES, RelayMessage};
use super::metered::Metered;

/// How long the opening handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Between two pings. With the limit for its answer, a dead connection is known in 17 s: until then no ring arrives.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(12);
pub(super) const PONG_LIMIT: Duration = Duration::from_secs(5);

/// Pings that are not answered yet. One follows each envelope; more would prove nothing that these do not.
const MOST_PINGS: usize = 32;

/// Messages of a relay: eight pages of notes at once, and then more a second than a busy bucket has. An engine opens as many in 60 ms.
const MESSAGES: Rate = Rate::new(2_500, Duration::from_micros(1_666));

/// Messages that no honest relay sends: texts that are none, subscriptions that were not made, forged events. Some are forgiven, since a
/// relay may answer late, and may know messages of later years.
const JUNK: Rate = Rate::new(64, Duration::from_millis(500));

const BUFFER: usize = 4 * 1_024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// It was closed, or broke.
    Closed,
    /// A ping was not answered, or nothing could be sent.
    Silent,
    /// The relay sent too much, or junk.
    Flooded,
}

/// What came from a relay.
#[derive(Debug)]
pub(super) enum FromRelay {
    Message(RelayMessage),
    /// It answered the ping that was sent at this moment.
    Pong(Instant),
    /// It pinged this engine; the library answers.
    Ping,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct RelayConnection<S> {
    socket: WebSocketStream<Metered<S>>,
    next_ping: Instant,
    /// Number and moment of each ping that is not answered yet.
    pings: VecDeque<(u8, Instant)>,
    pinged: u8,
    messages: Bucket,
    junk: Bucket,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RelayConnection<S> {
    /// The opening handshake over a stream. `None` if the other end is no relay.
    pub(super) async fn open(url: &str, stream: S) -> Option<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MAX_MESSAGE_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let opening = client_async_with_config(url, Metered::new(stream), Some(config));
        let (socket, _) = timeout(HANDSHAKE_LIMIT, opening).await.ok()?.ok()?;
        Some(Self {
            socket,
            next_ping: now() + PING_INTERVAL,
            pings: VecDeque::new(),
            pinged: 0,
            messages: Bucket::default(),
            junk: Bucket::default(),
        })
    }

    /// Waits for what the relay sends. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// [`ConnectionEnd`].
    pub(super) async fn recv(&mut self) -> Result<FromRelay, ConnectionEnd> {
        loop {
            let received = self.socket.next().await.ok_or(ConnectionEnd::Closed)?;
            self.messages
                .take(MESSAGES, now())
                .map_err(|_| ConnectionEnd::Flooded)?;
            match received.map_err(|error| end_of(&error))? {
                Message::Text(text) => match RelayMessage::parse(&text) {
                    Some(message) => return Ok(FromRelay::Message(message)),
                    None => self.note_junk()?,
                },
                Message::Ping(_) => return Ok(FromRelay::Ping),
                Message::Pong(payload) => match self.answered(&payload) {
                    Some(pinged) => return Ok(FromRelay::Pong(pinged)),
                    None => self.note_junk()?,
                },
                Message::Close(_) => return Err(ConnectionEnd::Closed),
                Message::Binary(_) | Message::Frame(_) => self.note_junk()?,
            }
        }
    }

    /// The relay sent something that no honest relay sends.
    ///
    /// # Errors
    /// [`ConnectionEnd::Flooded`] when it was too much.
    pub(super) fn note_junk(&mut self) -> Result<(), ConnectionEnd> {
        let taken = self.junk.take(JUNK, now());
        taken.map_err(|_| ConnectionEnd::Flooded)
    }

    /// Hands a message to the network.
    ///
    /// # Errors
    /// [`ConnectionEnd`], when that takes longer than the answer to a ping may.
    pub(super) async fn send(&mut self, message: String) -> Result<(), ConnectionEnd> {
        self.write(Message::text(message)).await
    }

    /// Pings now, to learn whether what was sent before has arrived.
    ///
    /// # Errors
    /// [`ConnectionEnd`].
    pub(super) async fn ping(&mut self) -> Result<(), ConnectionEnd> {
        if self.pings.len() >= MOST_PINGS {
            return Ok(());
        }
        self.pinged = self.pinged.wrapping_add(1);
        self.pings.push_back((self.pinged, now()));
        self.next_ping = now() + PING_INTERVAL;
        let payload = Bytes::copy_from_slice(&[self.pinged]);
        self.write(Message::Ping(payload)).await
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn next_timeout(&self) -> Instant {
        let unanswered = self.pings.front().map(|(_, at)| *at + PONG_LIMIT);
        unanswered.map_or(self.next_ping, |limit| limit.min(self.next_ping))
    }

    /// Sends a ping if one is due.
    ///
    /// # Errors
    /// [`ConnectionEnd`] when one was not answered in time.
    pub(super) async fn handle_timeout(&mut self) -> Result<(), ConnectionEnd> {
        let is_late = |(_, at): &(u8, Instant)| *at + PONG_LIMIT <= now();
        if self.pings.front().is_some_and(is_late) {
            return Err(ConnectionEnd::Silent);
        }
        if self.next_ping <= now() {
            self.ping().await?;
        }
        Ok(())
    }

    pub(super) fn get_ref(&self) -> &S {
        self.socket.get_ref().get_ref()
    }

    async fn write(&mut self, message: Message) -> Result<(), ConnectionEnd> {
        match timeout(PONG_LIMIT, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| end_of(&error)),
            Err(_) => Err(ConnectionEnd::Silent),
        }
    }

    /// The moment of the ping that this payload answers. It answers those before it too: the order on a connection is fixed.
    fn answered(&mut self, payload: &[u8]) -> Option<Instant> {
        let [number] = payload else { return None };
        let position = self.pings.iter().position(|(sent, _)| sent == number)?;
        self.pings.drain(..=position).next_back().map(|(_, at)| at)
    }
}

fn end_of(error: &Error) -> ConnectionEnd {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => ConnectionEnd::Flooded,
        Error::Io(error) if error.kind() == ErrorKind::QuotaExceeded => ConnectionEnd::Flooded,
        _ => ConnectionEnd::Closed,
    }
}

/// The clock that tests can move.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use nostr::JsonUtil as _;
    use ringfence_book::nostr_event::ENVELOPE_BYTES;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
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
        assert!(now() - start <= PONG_LIMIT + Duration::from_secs(1));
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
}
