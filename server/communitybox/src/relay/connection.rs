//! One connection to the relay (NIP-01: EVENT, REQ and CLOSE; nothing else is read). A client that is too slow to take what it asked for
//! is disconnected: it connects again, instead of missing rings without knowing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use nostr::filter::MatchEventOptions;
use nostr::{ClientMessage, Event, Filter, JsonUtil, RelayMessage, SubscriptionId};
use ringfence_daemon::clock::unix_now;
use ringfence_daemon::limits::{Bucket, Rate};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::event_check::{check_event, check_filter};
use super::server::RelayShared;

/// How long the opening of a connection may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may say nothing. Engines ping every 12 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a client may take for what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest message: a ring has 2 kB, a subscription to 256 buckets 4 kB.
const MESSAGE: usize = 8 * 1024;

/// Buffers of a connection.
const BUFFER: usize = 4 * 1024;

/// Subscriptions at a time. An engine has one.
const SUBSCRIPTIONS: usize = 16;

/// Filters in one subscription, and letters of its name (NIP-01).
const FILTERS: usize = 4;
const NAME: usize = 64;

/// What a browser is shown that asks for a page (RFC 9110 section 15.5.22): a person who tests the relay sees that it runs.
const PAGE: &str = "This is a Nostr relay for the rings of Ringfence. It runs. There is no page here: engines connect to it by WebSocket.\n";

type Out<'a> = SplitSink<WebSocketStream<&'a mut TcpStream>, Message>;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Disconnect {
    #[error("the other side left: {0}")]
    Left(#[from] WebSocketError),
    #[error("it was too slow")]
    Slow,
    #[error("it does not speak Nostr")]
    NotNostr,
}

impl From<io::Error> for Disconnect {
    fn from(error: io::Error) -> Self {
        Self::Left(error.into())
    }
}

struct Connection<'a> {
    relay: Arc<RelayShared>,
    ip: IpAddr,
    out: Out<'a>,
    /// `None`: messages are not limited.
    rate: Option<Rate>,
    messages: Bucket,
    subscriptions: BTreeMap<SubscriptionId, Vec<Filter>>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    relay: Arc<RelayShared>,
    mut stream: TcpStream,
    ip: IpAddr,
) -> Result<(), Disconnect> {
    // A ring must not wait for the next packet.
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(8 * MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let opening = accept_async_with_config(&mut stream, Some(config));
    let socket = match timeout(HANDSHAKE_TIMEOUT, opening).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(WebSocketError::Protocol(_))) => return show_page(stream).await,
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Disconnect::Slow),
    };
    let (out, mut messages) = socket.split();
    let mut published = relay.subscribe();
    let mut connection = Connection {
        rate: Rate::per_minute(relay.limits().events_per_minute),
        messages: Bucket::default(),
        relay,
        ip,
        out,
        subscriptions: BTreeMap::new(),
    };
    loop {
        tokio::select! {
            message = timeout(IDLE_TIMEOUT, messages.next()) => match message {
                Ok(Some(Ok(Message::Text(text)))) => connection.handle_message(&text).await?,
                // The library answers pings.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(_))) => return Err(Disconnect::NotNostr),
                Ok(Some(Err(error))) => return Err(error.into()),
                Ok(None) => return Ok(()),
                Err(_) => return Err(Disconnect::Slow),
            },
            event = next(&mut published) => connection.pass_on(&*event?).await?,
        }
    }
}

async fn show_page(mut stream: TcpStream) -> Result<(), Disconnect> {
    let answer = format!(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{PAGE}",
        PAGE.len()
    );
    let sending = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let sent = timeout(SEND_TIMEOUT, sending).await;
    Ok(sent.map_err(|_| Disconnect::Slow)??)
}

async fn next(published: &mut Receiver<Arc<Event>>) -> Result<Arc<Event>, Disconnect> {
    // It lagged behind, or the relay is closed.
    published.recv().await.map_err(|_| Disconnect::Slow)
}

impl Connection<'_> {
    async fn handle_message(&mut self, text: &str) -> Result<(), Disconnect> {
        let is_admitted = self
            .rate
            .is_none_or(|rate| self.messages.take(rate, Instant::now()).is_ok());
        match ClientMessage::from_json(text).map_err(|_| Disconnect::NotNostr)? {
            ClientMessage::Event(event) => {
                let answer = self.publish(is_admitted, event.into_owned());
                self.send(&answer).await
            }
            ClientMessage::Req {
                subscription_id,
                filters,
            } => {
                let filters = filters.into_iter().map(|filter| filter.into_owned());
                let id = subscription_id.into_owned();
                let answer = self.subscribe(is_admitted, id.clone(), filters.collect());
                let is_open = matches!(answer, RelayMessage::EndOfStoredEvents(_));
                let filters = self.subscriptions.get(&id).filter(|_| is_open);
                for note in filters
                    .map(|filters| self.relay.find(filters))
                    .unwrap_or_default()
                {
                    self.send(&event_for(&id, &note)).await?;
                }
                self.send(&answer).await
            }
            ClientMessage::Close(id) => {
                self.subscriptions.remove(id.as_ref());
                Ok(())
            }
            _ => Err(Disconnect::NotNostr),
        }
    }

    /// Takes an event, and carries it if it is a ring or a note. Cheap looks come before the signature.
    fn publish(&self, is_admitted: bool, event: Event) -> RelayMessage<'static> {
        let id = event.id;
        let refused = |cause: String| RelayMessage::ok(id, false, cause);
        if !is_admitted || !self.relay.admit_event(self.ip) {
            return refused("rate-limited: slow down".to_owned());
        }
        let carried = match check_event(&event, self.relay.work_bits(), unix_now()) {
            Ok(carried) => carried,
            Err(cause) => return refused(format!("blocked: {cause}")),
        };
        if event.verify().is_err() {
            return refused("invalid: the id or the signature is wrong".to_owned());
        }
        if !self.relay.publish(event, carried, self.ip) {
            return refused("blocked: there is no room for more notes".to_owned());
        }
        RelayMessage::ok(id, true, String::new())
    }

    fn subscribe(
        &mut self,
        is_admitted: bool,
        id: SubscriptionId,
        filters: Vec<Filter>,
    ) -> RelayMessage<'static> {
        let many =
            self.subscriptions.len() >= SUBSCRIPTIONS && !self.subscriptions.contains_key(&id);
        let long = id.as_str().len() > NAME || filters.len() > FILTERS;
        let strange = filters.iter().find_map(|filter| check_filter(filter).err());
        let refusal = if !is_admitted {
            "rate-limited: slow down".to_owned()
        } else if many || long {
            "blocked: too many subscriptions or filters, or too long a name".to_owned()
        } else if let Some(cause) = strange {
            format!("blocked: {cause}")
        } else {
            self.subscriptions.insert(id.clone(), filters);
            return RelayMessage::eose(id);
        };
        RelayMessage::closed(id, refusal)
    }

    async fn pass_on(&mut self, event: &Event) -> Result<(), Disconnect> {
        let wanted = |filters: &Vec<Filter>| {
            filters
                .iter()
                .any(|filter| filter.match_event(event, MatchEventOptions::new()))
        };
        let names: Vec<SubscriptionId> = self
            .subscriptions
            .iter()
            .filter(|(_, filters)| wanted(filters))
            .map(|(id, _)| id.clone())
            .collect();
        for id in names {
            self.send(&event_for(&id, event)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &RelayMessage<'_>) -> Result<(), Disconnect> {
        let sending = self.out.send(Message::text(message.as_json()));
        timeout(SEND_TIMEOUT, sending)
            .await
            .map_err(|_| Disconnect::Slow)??;
        Ok(())
    }
}

fn event_for<'a>(id: &'a SubscriptionId, event: &'a Event) -> RelayMessage<'a> {
    RelayMessage::Event {
        subscription_id: Cow::Borrowed(id),
        event: Cow::Borrowed(event),
    }
}
