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

/// How long a ping may be unanswered: twice the round trip that was measured, within these bounds. A relay that is far away is not dead.
const SHORTEST_PONG: Duration = Duration::from_secs(5);
const LONGEST_PONG: Duration = Duration::from_secs(12);

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
    /// To the relay and back: of the opening handshake, then of pings. It rises at once, and falls by halves.
    round_trip: Duration,
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
        let (asked, metered) = (now(), Metered::new(stream));
        let opening = client_async_with_config(url, metered, Some(config));
        let (socket, _) = timeout(HANDSHAKE_LIMIT, opening).await.ok()?.ok()?;
        Some(Self {
            socket,
            next_ping: now() + PING_INTERVAL,
            pings: VecDeque::new(),
            pinged: 0,
            round_trip: now() - asked,
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
        let unanswered = self.pings.front().map(|(_, at)| *at + self.pong_limit());
        unanswered.map_or(self.next_ping, |limit| limit.min(self.next_ping))
    }

    /// Sends a ping if one is due.
    ///
    /// # Errors
    /// [`ConnectionEnd`] when one was not answered in time.
    pub(super) async fn handle_timeout(&mut self) -> Result<(), ConnectionEnd> {
        let is_late = |(_, at): &(u8, Instant)| *at + self.pong_limit() <= now();
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
        let limit = self.pong_limit();
        match timeout(limit, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| end_of(&error)),
            Err(_) => Err(ConnectionEnd::Silent),
        }
    }

    fn pong_limit(&self) -> Duration {
        (2 * self.round_trip).clamp(SHORTEST_PONG, LONGEST_PONG)
    }

    /// The moment of the ping that this payload answers. It answers those before it too: the order on a connection is fixed.
    fn answered(&mut self, payload: &[u8]) -> Option<Instant> {
        let [number] = payload else { return None };
        let position = self.pings.iter().position(|(sent, _)| sent == number)?;
        let (_, pinged) = self.pings.drain(..=position).next_back()?;
        let round_trip = now() - pinged;
        self.round_trip = round_trip.max((self.round_trip + round_trip) / 2);
        Some(pinged)
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
mod tests;
