//! The client of Nostr relays (NIP-01, NIP-40).
//!
//! Each relay has two tasks, `listener` and `poster`, each over a `connection` of its own (WebSocket, pings, limits): a fault of one
//! purpose leaves the other alone, and a proxy can lead them over different circuits. What is
//! asked of a relay and taken from it is in `subscription` and `note_pages`, what is posted in `posting`, how messages and events look in
//! `message` and `event`: those have no socket. `inbox` leads envelopes to the engine in turns, so that a relay that floods spoils no
//! other; `board` collects the state.
//!
//! Every event is signed by a key made for it alone, and nothing of an event counts before its id and its signature are verified. A relay
//! is never logged in to (NIP-42), which would give this engine a lasting identity there.
//!
//! The engine opens envelopes, checks proofs of work and remembers what it has seen; nothing of that is here.

mod board;
mod connection;
mod event;
mod inbox;
mod link;
mod listener;
mod listening;
pub mod message;
mod metered;
mod note_pages;
mod poster;
mod posting;
mod subscription;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nostr::{ClientMessage, JsonUtil, Url};
use ringfence_book::bounds::MAX_SERVERS;
use ringfence_book::nostr_event::{ENVELOPE_BYTES, bucket_tag};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::board::{LinkPurpose, RelayBoard, RelayRecord};
use self::event::write_event;
pub use self::event::{EventSigningKey, OutgoingEvent};
pub use self::inbox::RelayInbox;
use self::link::{LinkSignals, RelayLink, Waits};
pub use self::listening::ListeningWatch;
use self::posting::{PostOrder, PostOutcome};
use self::subscription::RelaySubscription;
pub use self::trouble::{RelayFault, RelayTrouble, RelayWords};
use super::outbound::{Destination, Outbound};
use super::socks::Circuit;
use crate::clock;

/// Envelopes on their way to the task of one relay, which takes them at once.
const ORDERS: usize = 64;

/// How many relays are in which state, and what each of the others does not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayState {
    /// Relays in the settings.
    pub configured: usize,
    /// Relays with an open connection: rings are published on these.
    pub connected: usize,
    /// Relays that confirmed the subscription: rings are received from these.
    pub listening: usize,
    /// Relays with an open connection that did not refuse the last envelope.
    pub taking: usize,
    /// The relays that do not do their part, in the order of the settings.
    pub troubles: Vec<RelayTrouble>,
}

/// Why relays cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayListError {
    /// No relay is named.
    #[error("no Nostr relay is named")]
    NoRelay,
    /// More relays than an engine talks to.
    #[error("{0} Nostr relays are named; at most {MAX_SERVERS} are used")]
    TooMany(usize),
    /// Not a `ws://` or `wss://` URL.
    #[error("{0} is not the URL of a Nostr relay")]
    BadUrl(String),
}

/// Why an envelope was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The envelope does not have 1,024 bytes.
    #[error("the envelope is not {ENVELOPE_BYTES} bytes")]
    Misuse,
    /// No relay is connected at this moment.
    #[error("no Nostr relay is connected")]
    NotConnected,
    /// Every connected relay refused the event, or is not known to have it.
    #[error("no Nostr relay confirmed the event")]
    NotConfirmed,
}

/// The relays of one engine. Dropping it closes all connections.
#[derive(Debug)]
pub struct Relays {
    board: Arc<RelayBoard>,
    bucket_bits: u8,
    /// The way to the posting task of each relay.
    orders: Vec<mpsc::Sender<PostOrder>>,
    redials: watch::Sender<u64>,
    networks: watch::Sender<u64>,
    tasks: JoinSet<()>,
}

impl Relays {
    /// Starts connecting to `urls` and listening for `buckets` (numbers of `bucket_bits` bits). Returns at once; lost connections
    /// are made again, which [`state`](Self::state) shows. To be called in a runtime.
    ///
    /// # Errors
    /// [`RelayListError`] when the list of relays cannot be used.
    pub fn connect(
        urls: &[String],
        bucket_bits: u8,
        buckets: &BTreeSet<u16>,
        outbound: &Outbound,
    ) -> Result<(Self, RelayInbox), RelayListError> {
        let relays = read_urls(urls)?;
        let board = Arc::new(RelayBoard::new(relays.iter().map(|(url, _)| url.as_str())));
        let tags = buckets
            .iter()
            .map(|bucket| (bucket_tag(bucket_bits, *bucket), *bucket));
        let tags: Arc<BTreeMap<_, _>> = Arc::new(tags.collect());
        let (redials, networks) = (watch::channel(0).0, watch::channel(0).0);
        let (to_engine, inbox) = RelayInbox::new(relays.len());
        let (mut tasks, mut orders) = (JoinSet::new(), Vec::new());
        for ((relay, (url, destination)), inbox) in relays.into_iter().enumerate().zip(to_engine) {
            let link = |purpose| RelayLink {
                relay,
                purpose,
                url: url.to_string(),
                destination: destination.clone(),
                outbound: outbound.clone(),
                circuit: Circuit::random(),
                board: Arc::clone(&board),
                waits: Waits::new(),
            };
            let signals = LinkSignals {
                redial: redials.subscribe(),
                network: networks.subscribe(),
            };
            let subscription = RelaySubscription::new(Arc::clone(&tags), connection::now());
            tasks.spawn(listener::listen(
                link(LinkPurpose::Listen),
                signals.clone(),
                subscription,
                inbox,
            ));
            let (order, ordered) = mpsc::channel(ORDERS);
            tasks.spawn(poster::post(link(LinkPurpose::Post), signals, ordered));
            orders.push(order);
        }
        let relays = Self {
            board,
            bucket_bits,
            orders,
            redials,
            networks,
            tasks,
        };
        Ok((relays, inbox))
    }

    /// The state of the connections, and a way to wait for its next change.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<RelayState> {
        self.board.state()
    }

    /// Closes all connections and makes them anew, for a machine that has slept: they look alive, and the relays have closed them long
    /// ago. What is published meanwhile waits for the new ones.
    pub(crate) fn redial(&self) {
        for relay in 0..self.orders.len() {
            self.board.update(relay, RelayRecord::wake);
        }
        self.redials.send_modify(|count| *count += 1);
    }

    /// This machine reaches the world another way than before. Each connection gets another one beside it, which takes its place when it is
    /// open, or listens. The relay sees that this engine has another address, which it would see a little later in any case.
    pub(crate) fn handle_network_change(&self) {
        self.networks.send_modify(|count| *count += 1);
    }

    /// Publishes an envelope on every relay that has a connection, or whose connection is just being made, and returns when the first
    /// one has it.
    ///
    /// # Errors
    /// [`PublishError`] when none is connected, or none is known to have it within 10 s. The event is then not delivered later.
    pub async fn publish(&self, outgoing: OutgoingEvent) -> Result<(), PublishError> {
        let event = write_event(&outgoing, self.bucket_bits, clock::unix_seconds())?;
        let id = event.id;
        let message = ClientMessage::event(event).as_json();
        let (outcome, mut outcomes) = mpsc::channel(MAX_SERVERS);
        for (relay, orders) in self.orders.iter().enumerate() {
            if !self.board.may_post(relay) {
                continue;
            }
            let order = PostOrder {
                id,
                message: message.clone(),
                outcome: outcome.clone(),
                ordered: connection::now(),
            };
            if let Err(mpsc::error::TrySendError::Full(order)) = orders.try_send(order) {
                order.tell(PostOutcome::NotTaken);
            }
        }
        drop(outcome);
        let mut is_connected = false;
        // A relay's queue has an order, and its sender, until it has told the outcome.
        while let Some(told) = outcomes.recv().await {
            match told {
                PostOutcome::Taken => return Ok(()),
                PostOutcome::NotTaken => is_connected = true,
                PostOutcome::Unconnected => {}
            }
        }
        Err(if is_connected {
            PublishError::NotConfirmed
        } else {
            PublishError::NotConnected
        })
    }

    /// Closes all connections and waits until they are closed. Dropping closes them too, a little later.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

fn read_urls(urls: &[String]) -> Result<Vec<(Url, Destination)>, RelayListError> {
    match urls.len() {
        0 => return Err(RelayListError::NoRelay),
        many if many > MAX_SERVERS => return Err(RelayListError::TooMany(many)),
        _ => {}
    }
    let read = |url: &String| read_url(url).ok_or_else(|| RelayListError::BadUrl(url.clone()));
    urls.iter().map(read).collect()
}

fn read_url(url: &str) -> Option<(Url, Destination)> {
    let url = Url::parse(url).ok()?;
    let is_tls = match url.scheme() {
        "ws" => false,
        "wss" => true,
        _ => return None,
    };
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    Some((url, Destination { host, port, is_tls }))
}

/// Checks a relay's URL without connecting.
///
/// # Errors
/// [`RelayListError::BadUrl`] when it is not a `ws://` or `wss://` URL.
pub fn check_url(url: &str) -> Result<(), RelayListError> {
    read_url(url)
        .map(drop)
        .ok_or_else(|| RelayListError::BadUrl(url.to_owned()))
}

#[cfg(test)]
#[expect(
    clippy::print_stdout,
    reason = "the figures of each mood and each attack"
)]
mod tests;
