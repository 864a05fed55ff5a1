//! Nostr relays (NIP-01, NIP-40): the only file that knows nostr-sdk.
//!
//! Rings travel as events of one ephemeral kind with nothing in them but a bucket tag, a stamp's nonce and 1,024 sealed bytes.
//! Every event is signed by a key made for it alone. What the library does that a telephone cannot use is undone here:
//! it reconnects after 1-2 s instead of 10; a relay counts as listening only once it sent EOSE, and is asked again when it did
//! not; an event goes to relays that are connected at that moment, and a relay that does not confirm it is dropped together
//! with its queue, so that a ring given up by its caller is not delivered by a later connection.
//!
//! It does not open envelopes, judge stamps or remember what was seen: the engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nostr_sdk::prelude::{
    Alphabet, Client, ClientOptions, Event, EventBuilder, Filter, Keys, Kind, Monitor,
    MonitorNotification, RelayMessage, RelayOptions, RelayPoolNotification, RelayStatus, RelayUrl,
    SecretKey, SingleLetterTag, SubscriptionId, Tag, Timestamp,
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use zeroize::Zeroizing;

use crate::clock;

/// The event kind of all our messages: ephemeral (20000-29999, NIP-01), so that relays pass it on and keep nothing.
pub const KIND: u16 = 20_777;
/// Size of an envelope in bytes.
pub const ENVELOPE: usize = 1_024;
/// Base64 length of an envelope; anything else is dropped before it is decoded.
const CONTENT: usize = ENVELOPE.div_ceil(3) * 4;
/// Envelopes waiting for the engine. It opens one in about 0.1 ms; when so many wait, someone floods and the newest are dropped.
const INBOX: usize = 256;
/// `created_at` is rounded down to this many seconds, so that it does not tell when a person dialled.
const ROUNDING: u64 = 10;
/// Seconds after which relays may forget an event (NIP-40).
const EXPIRY: u64 = 70;
/// Events older than this are not handed on: the seal's own limit is 60 s, rounding adds 10 and clocks differ.
const STALE: u64 = 90;
/// Time between attempts to reach a lost relay. Short: while it lasts, nobody can ring this phone.
const RETRY: Duration = Duration::from_secs(1);
/// A relay that was subscribed to and did not send EOSE is asked again after this time.
const EOSE_LIMIT: Duration = Duration::from_secs(3);
/// A relay that did not confirm an event in this time is dropped with its queue and dialled anew.
const CONFIRM_LIMIT: Duration = Duration::from_secs(4);
/// Changes of connections waiting to be read; a lost one is made good within a second.
const MONITOR_QUEUE: usize = 256;
/// Relays per engine. Every ring goes to all of them.
pub const MOST_RELAYS: usize = 8;

/// An envelope as it came from a relay. Its event's id and signature were checked, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Bucket of the event's `t` tag.
    pub bucket: u16,
    /// The event's one-time public key (x-only secp256k1).
    pub event_key: [u8; 32],
    /// Nonce of the stamp in the event's `w` tag.
    pub work_nonce: u64,
    /// The envelope, exactly 1,024 bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// An envelope to be published.
pub struct Letter {
    /// The one-time key, whose public half the envelope and the stamp are bound to.
    pub key: EventKey,
    /// Nonce of the stamp.
    pub work_nonce: u64,
    /// Bucket of the callee.
    pub bucket: u16,
    /// The envelope, exactly 1,024 bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}

/// A secp256k1 key for exactly one event.
pub struct EventKey {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl EventKey {
    /// Draws a key from the system's random source.
    #[must_use]
    pub fn generate() -> Self {
        let keys = Keys::generate();
        Self {
            secret: Zeroizing::new(keys.secret_key().to_secret_bytes()),
            public: keys.public_key().to_bytes(),
        }
    }

    /// The x-only public key, as it will stand in the event.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey(..)")
    }
}

/// How many relays are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayState {
    /// Relays in the settings.
    pub configured: usize,
    /// Relays with an open connection: rings go out through these.
    pub connected: usize,
    /// Relays that confirmed the subscription: rings come in through these.
    pub listening: usize,
}

/// Why relays cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayFault {
    /// No relay is named.
    #[error("no Nostr relay is named")]
    NoRelay,
    /// More relays than an engine talks to.
    #[error("{0} Nostr relays are named; at most {MOST_RELAYS} are used")]
    TooMany(usize),
    /// Not a `ws://` or `wss://` URL.
    #[error("{0} is not the URL of a Nostr relay")]
    BadUrl(String),
}

/// Why an envelope did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishFault {
    /// The caller of this function handed something that is not 1,024 bytes.
    #[error("the envelope is not {ENVELOPE} bytes")]
    Misuse,
    /// No relay is connected at this moment.
    #[error("no Nostr relay is connected")]
    NotConnected,
    /// Every connected relay refused the event or said nothing.
    #[error("no Nostr relay confirmed the event")]
    NotConfirmed,
}

/// The relays of one engine.
#[derive(Debug)]
pub struct Relays {
    client: Client,
    bucket_bits: u8,
    state: watch::Receiver<RelayState>,
    watching: JoinHandle<()>,
}

impl Relays {
    /// Starts connecting to `urls` and listening for `buckets` (numbers of `bucket_bits` bits). Returns at once; connections come and
    /// go by themselves and show in [`state`](Self::state). Envelopes arrive on the returned channel.
    ///
    /// # Errors
    /// [`RelayFault`] when the list of relays cannot be used.
    pub async fn connect(
        urls: &[String],
        bucket_bits: u8,
        buckets: &BTreeSet<u16>,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), RelayFault> {
        let urls = read_urls(urls)?;
        super::tls::settle_provider();
        let monitor = Monitor::new(MONITOR_QUEUE);
        // No signer and no login (NIP-42): it would give this engine one lasting name at the relay.
        let options = ClientOptions::new()
            .automatic_authentication(false)
            .verify_subscriptions(true);
        let client = Client::builder()
            .opts(options)
            .monitor(monitor.clone())
            .build();
        let (tell, state) = watch::channel(RelayState {
            configured: urls.len(),
            ..RelayState::default()
        });
        let (inbox, incoming) = mpsc::channel(INBOX);
        let desk = Desk {
            client: client.clone(),
            relays: urls.iter().map(|url| (url.clone(), Line::Lost)).collect(),
            subscription: SubscriptionId::generate(),
            tags: buckets
                .iter()
                .map(|bucket| (bucket_tag(bucket_bits, *bucket), *bucket))
                .collect(),
            inbox,
            tell,
        };
        let (events, changes) = (client.notifications(), monitor.subscribe());
        for url in &urls {
            dial(&client, url).await;
        }
        let watching = tokio::spawn(desk.run(events, changes));
        Ok((
            Self {
                client,
                bucket_bits,
                state,
                watching,
            },
            incoming,
        ))
    }

    /// The state of the connections, and a way to wait for its next change.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<RelayState> {
        self.state.clone()
    }

    /// Publishes an envelope on every relay that is connected now, and returns when the first one confirms it.
    ///
    /// # Errors
    /// [`PublishFault`] when none is connected, or none confirmed within 4 s. The event is then not delivered later.
    pub async fn publish(&self, letter: Letter) -> Result<(), PublishFault> {
        let event = Arc::new(write_event(
            &letter,
            self.bucket_bits,
            clock::unix_seconds(),
        )?);
        let mut asked = 0;
        let (tell, mut answers) = mpsc::channel(MOST_RELAYS);
        for (url, relay) in self.client.relays().await {
            if !relay.is_connected() {
                continue;
            }
            asked += 1;
            let (event, client, tell) = (Arc::clone(&event), self.client.clone(), tell.clone());
            tokio::spawn(async move {
                let confirmed = match timeout(CONFIRM_LIMIT, relay.send_event(&event)).await {
                    Ok(answer) => answer.is_ok(),
                    Err(_) => {
                        // The event may still wait in this relay's queue: away with both, or it rings when nobody waits any more.
                        forget(&client, &url).await;
                        dial(&client, &url).await;
                        false
                    }
                };
                // Nobody listens any more once another relay was faster.
                let _ = tell.send(confirmed).await;
            });
        }
        drop(tell);
        while let Some(confirmed) = answers.recv().await {
            if confirmed {
                return Ok(());
            }
        }
        Err(if asked == 0 {
            PublishFault::NotConnected
        } else {
            PublishFault::NotConfirmed
        })
    }

    /// Closes all connections.
    pub async fn close(self) {
        self.watching.abort();
        self.client.shutdown().await;
    }
}

fn read_urls(urls: &[String]) -> Result<Vec<RelayUrl>, RelayFault> {
    match urls.len() {
        0 => return Err(RelayFault::NoRelay),
        many if many > MOST_RELAYS => return Err(RelayFault::TooMany(many)),
        _ => {}
    }
    urls.iter()
        .map(|url| RelayUrl::parse(url).map_err(|_| RelayFault::BadUrl(url.clone())))
        .collect()
}

/// Checks a relay's URL without connecting.
///
/// # Errors
/// [`RelayFault::BadUrl`] when it is not a `ws://` or `wss://` URL.
pub fn check_url(url: &str) -> Result<(), RelayFault> {
    RelayUrl::parse(url)
        .map(drop)
        .map_err(|_| RelayFault::BadUrl(url.to_owned()))
}

async fn dial(client: &Client, url: &RelayUrl) {
    let options = RelayOptions::new()
        .retry_interval(RETRY)
        .adjust_retry_interval(false);
    // Both fail only for a pool that is shut down or a URL that is not in it: then there is nothing to connect.
    drop(client.pool().add_relay(url, options).await);
    drop(client.connect_relay(url).await);
}

async fn forget(client: &Client, url: &RelayUrl) {
    // Fails only when it is gone already.
    drop(client.force_remove_relay(url).await);
}

/// The `t` tag of a bucket.
fn bucket_tag(bits: u8, bucket: u16) -> String {
    format!("rf1-{bits}-{bucket:04x}")
}

fn write_event(letter: &Letter, bucket_bits: u8, now: u64) -> Result<Event, PublishFault> {
    if letter.bytes.len() != ENVELOPE {
        return Err(PublishFault::Misuse);
    }
    let created = now - now % ROUNDING;
    let secret = SecretKey::from_slice(&*letter.key.secret).map_err(|_| PublishFault::Misuse)?;
    let tags = [
        vec!["t".to_owned(), bucket_tag(bucket_bits, letter.bucket)],
        vec!["w".to_owned(), format!("{:016x}", letter.work_nonce)],
        vec!["expiration".to_owned(), (created + EXPIRY).to_string()],
    ];
    let tags: Result<Vec<Tag>, _> = tags.into_iter().map(Tag::parse).collect();
    EventBuilder::new(Kind::from(KIND), STANDARD.encode(&letter.bytes))
        .tags(tags.map_err(|_| PublishFault::Misuse)?)
        .custom_created_at(Timestamp::from(created))
        .sign_with_keys(&Keys::new(secret))
        .map_err(|_| PublishFault::Misuse)
}

/// Reads an event, or says nothing: what is not one of our envelopes is somebody else's business.
fn read_event(event: &Event, tags: &BTreeMap<String, u16>, now: u64) -> Option<Incoming> {
    let created = event.created_at.as_secs();
    if event.kind != Kind::from(KIND)
        || event.content.len() != CONTENT
        || created.abs_diff(now) > STALE
    {
        return None;
    }
    let value = |name: &str| {
        event.tags.iter().find_map(|tag| match tag.as_slice() {
            [found, value, ..] if found == name => Some(value.as_str()),
            _ => None,
        })
    };
    let bucket = *tags.get(value("t")?)?;
    let nonce = value("w").filter(|nonce| nonce.len() <= 16)?;
    let work_nonce = u64::from_str_radix(nonce, 16).ok()?;
    let bytes = STANDARD
        .decode(&event.content)
        .ok()
        .filter(|bytes| bytes.len() == ENVELOPE)?;
    Some(Incoming {
        bucket,
        event_key: event.pubkey.to_bytes(),
        work_nonce,
        bytes,
    })
}

/// What is known of one relay's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Lost,
    Asked(Instant),
    Listening,
}

/// Watches the connections and sorts what comes in.
struct Desk {
    client: Client,
    relays: BTreeMap<RelayUrl, Line>,
    subscription: SubscriptionId,
    tags: BTreeMap<String, u16>,
    inbox: mpsc::Sender<Incoming>,
    tell: watch::Sender<RelayState>,
}

impl Desk {
    async fn run(
        mut self,
        mut events: broadcast::Receiver<RelayPoolNotification>,
        mut changes: broadcast::Receiver<MonitorNotification>,
    ) {
        let mut look = interval(RETRY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = events.recv() => match note {
                    Ok(note) => if !self.hear(note) { return },
                    Err(broadcast::error::RecvError::Lagged(lost)) => tracing::debug!(lost, "relay notes came faster than they were read"),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                change = changes.recv() => match change {
                    // A lost note is made good by the next look around.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.look_around().await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = look.tick() => self.look_around().await,
            }
            self.report();
        }
    }

    /// Returns `false` when nobody wants to hear any more.
    fn hear(&mut self, note: RelayPoolNotification) -> bool {
        match note {
            RelayPoolNotification::Event { event, .. } => {
                let Some(incoming) = read_event(&event, &self.tags, clock::unix_seconds()) else {
                    return true;
                };
                match self.inbox.try_send(incoming) {
                    Ok(()) => true,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        tracing::debug!("an envelope was dropped: the engine is behind");
                        true
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => false,
                }
            }
            RelayPoolNotification::Message {
                relay_url,
                message: RelayMessage::EndOfStoredEvents(id),
            } if *id == self.subscription => {
                if let Some(line @ Line::Asked(_)) = self.relays.get_mut(&relay_url) {
                    *line = Line::Listening;
                }
                true
            }
            RelayPoolNotification::Message {
                relay_url,
                message:
                    RelayMessage::Closed {
                        subscription_id, ..
                    },
            } if *subscription_id == self.subscription => {
                // The relay ended the subscription; it is asked again after the usual time.
                if let Some(line @ Line::Listening) = self.relays.get_mut(&relay_url) {
                    *line = Line::Asked(Instant::now());
                }
                true
            }
            RelayPoolNotification::Message { .. } => true,
            RelayPoolNotification::Shutdown => false,
        }
    }

    /// Brings what is known in line with the connections, and asks relays that have not confirmed the subscription.
    async fn look_around(&mut self) {
        let connections = self.client.relays().await;
        let mut to_ask = Vec::new();
        for (url, line) in &mut self.relays {
            let connected = connections
                .get(url)
                .is_some_and(|relay| relay.status() == RelayStatus::Connected);
            *line = match *line {
                _ if !connected => Line::Lost,
                Line::Listening => Line::Listening,
                Line::Asked(since) if since.elapsed() < EOSE_LIMIT => Line::Asked(since),
                Line::Lost | Line::Asked(_) => {
                    to_ask.push(url.clone());
                    Line::Asked(Instant::now())
                }
            };
        }
        for url in to_ask {
            let id = self.subscription.clone();
            // "Done" would only mean that the request was queued; EOSE tells the rest.
            drop(
                self.client
                    .subscribe_with_id_to([url], id, self.filter(), None)
                    .await,
            );
        }
    }

    fn filter(&self) -> Filter {
        let since = clock::unix_seconds().saturating_sub(STALE);
        Filter::new()
            .kind(Kind::from(KIND))
            .custom_tags(SingleLetterTag::lowercase(Alphabet::T), self.tags.keys())
            .since(Timestamp::from(since))
    }

    fn report(&self) {
        let count =
            |wanted: fn(&Line) -> bool| self.relays.values().filter(|line| wanted(line)).count();
        let state = RelayState {
            configured: self.relays.len(),
            connected: count(|line| *line != Line::Lost),
            listening: count(|line| *line == Line::Listening),
        };
        self.tell
            .send_if_modified(|old| std::mem::replace(old, state) != state);
    }
}
