//! The client of Nostr relays (NIP-01, NIP-40): the only folder that knows nostr-sdk.
//!
//! Every event is signed by a key made for it alone. The library's defaults do not fit telephony in three points. It reconnects after
//! 10 s, here after 1-2 s. A relay counts as listening only once it sent EOSE, and is asked again when it did not. An event goes to
//! relays that are connected at that moment, and a relay that does not confirm it is dropped together with its queue, so that no later
//! connection delivers a ring whose caller has hung up.
//!
//! The engine opens envelopes, checks proofs of work and remembers what it has seen; nothing of that is here.

mod event;
mod note_pages;
mod subscriptions;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nostr_sdk::prelude::{Client, ClientOptions, Monitor, RelayOptions, RelayUrl, SubscriptionId};
use ringfence_book::nostr_event::{ENVELOPE_BYTES, bucket_tag};
use ringfence_engine::ReceivedEvent;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clock;
use event::write_event;
pub use event::{EventSigningKey, OutgoingEvent};
use note_pages::NotePages;
use subscriptions::{SubscriptionKeeper, SubscriptionState};
use trouble::RelayAnswers;
pub use trouble::{RelayFault, RelayTrouble, RelayWords};

/// Envelopes that wait for the engine, 7 MB. It opens one in about 0.1 ms; at the start a week of notes may come at once. More are a
/// flood, of which the newest are dropped.
const INBOX: usize = 4_096;
/// Time between attempts to reach a lost relay. Short: without a relay no ring arrives.
const RETRY: Duration = Duration::from_secs(1);
/// A relay that did not confirm an event in this time is dropped with its queue and dialled anew.
const CONFIRM_LIMIT: Duration = Duration::from_secs(4);
/// How long a redial may take until envelopes are no longer held for it. A network is back in this time after a sleep, or it is away.
const REDIAL_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks whether a relay is connected.
const REDIAL_LOOK: Duration = Duration::from_millis(20);
/// Changes of connections that wait to be read; a lost one is noticed by the next check within a second.
const MONITOR_QUEUE: usize = 256;
/// Relays of one engine. Every ring goes to all of them.
pub const MOST_RELAYS: usize = 8;

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
    #[error("{0} Nostr relays are named; at most {MOST_RELAYS} are used")]
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
    /// Every connected relay refused the event or did not answer.
    #[error("no Nostr relay confirmed the event")]
    NotConfirmed,
}

/// The relays of one engine.
#[derive(Debug)]
pub struct Relays {
    client: Client,
    bucket_bits: u8,
    urls: Vec<RelayUrl>,
    state: watch::Receiver<RelayState>,
    no_answer: mpsc::Sender<RelayUrl>,
    watching: JoinHandle<()>,
    /// Whether all connections are being made anew.
    redials: watch::Sender<bool>,
}

impl Relays {
    /// Starts connecting to `urls` and listening for `buckets` (numbers of `bucket_bits` bits). Returns at once; lost connections
    /// are made again, which [`state`](Self::state) shows. Envelopes arrive on the returned channel.
    ///
    /// # Errors
    /// [`RelayListError`] when the list of relays cannot be used.
    pub async fn connect(
        urls: &[String],
        bucket_bits: u8,
        buckets: &BTreeSet<u16>,
    ) -> Result<(Self, mpsc::Receiver<ReceivedEvent>), RelayListError> {
        let urls = read_urls(urls)?;
        crate::net::tls::install_provider();
        let monitor = Monitor::new(MONITOR_QUEUE);
        // No signer and no authentication (NIP-42), which would give this engine a lasting identity at the relay.
        let options = ClientOptions::new().automatic_authentication(false);
        let client = Client::builder()
            .opts(options)
            .monitor(monitor.clone())
            .build();
        let (to_owner, state) = watch::channel(RelayState {
            configured: urls.len(),
            ..RelayState::default()
        });
        let (inbox, incoming) = mpsc::channel(INBOX);
        let (no_answer, unanswered) = mpsc::channel(MOST_RELAYS);
        let keeper = SubscriptionKeeper {
            client: client.clone(),
            relays: urls
                .iter()
                .map(|url| (url.clone(), SubscriptionState::Disconnected))
                .collect(),
            order: urls.clone(),
            answers: RelayAnswers::default(),
            unanswered,
            last_heard: BTreeMap::new(),
            last_check: clock::unix_seconds(),
            pages: NotePages::default(),
            notes: SubscriptionId::generate(),
            subscription: SubscriptionId::generate(),
            tags: buckets
                .iter()
                .map(|bucket| (bucket_tag(bucket_bits, *bucket), *bucket))
                .collect(),
            inbox,
            state: to_owner,
        };
        let (events, changes) = (client.notifications(), monitor.subscribe());
        for url in &urls {
            dial(&client, url).await;
        }
        let watching = tokio::spawn(keeper.run(events, changes));
        Ok((
            Self {
                client,
                bucket_bits,
                urls,
                state,
                no_answer,
                watching,
                redials: watch::channel(false).0,
            },
            incoming,
        ))
    }

    /// The state of the connections, and a way to wait for its next change.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<RelayState> {
        self.state.clone()
    }

    /// Closes all connections and makes them anew, for a machine that has slept: they look alive, and the relays have closed them long
    /// ago. What is published meanwhile waits for the new ones, for 5 s at most.
    pub(crate) fn redial(self: &Arc<Self>) {
        self.redials.send_replace(true);
        let relays = Arc::clone(self);
        tokio::spawn(async move {
            for url in &relays.urls {
                forget(&relays.client, url).await;
                dial(&relays.client, url).await;
            }
            let connected = async {
                let is_up = async || {
                    let connections = relays.client.relays().await;
                    connections.values().any(|relay| relay.is_connected())
                };
                while !is_up().await {
                    sleep(REDIAL_LOOK).await;
                }
            };
            timeout(REDIAL_LIMIT, connected).await.ok();
            relays.redials.send_replace(false);
        });
    }

    /// Publishes an envelope on every relay that is connected now, and returns when the first one confirms it.
    ///
    /// # Errors
    /// [`PublishError`] when none is connected, or none confirmed within 4 s. The event is then not delivered later.
    pub async fn publish(&self, outgoing: OutgoingEvent) -> Result<(), PublishError> {
        let event = Arc::new(write_event(
            &outgoing,
            self.bucket_bits,
            clock::unix_seconds(),
        )?);
        let mut redials = self.redials.subscribe();
        // The sender is this struct's own.
        redials.wait_for(|is_redialling| !is_redialling).await.ok();
        let mut asked = 0;
        let (tell, mut answers) = mpsc::channel(MOST_RELAYS);
        for (url, relay) in self.client.relays().await {
            if !relay.is_connected() {
                continue;
            }
            asked += 1;
            let (event, client, tell) = (Arc::clone(&event), self.client.clone(), tell.clone());
            let no_answer = self.no_answer.clone();
            tokio::spawn(async move {
                let confirmed = match timeout(CONFIRM_LIMIT, relay.send_event(&event)).await {
                    Ok(answer) => answer.is_ok(),
                    Err(_) => {
                        // The event may still wait in this relay's queue. Without dropping both, it would ring after the caller has
                        // hung up.
                        // A full queue has this relay's name already, or that of others which are as bad.
                        no_answer.try_send(url.clone()).ok();
                        forget(&client, &url).await;
                        dial(&client, &url).await;
                        false
                    }
                };
                // The receiver is gone once another relay was faster.
                tell.send(confirmed).await.ok();
            });
        }
        drop(tell);
        while let Some(confirmed) = answers.recv().await {
            if confirmed {
                return Ok(());
            }
        }
        Err(if asked == 0 {
            PublishError::NotConnected
        } else {
            PublishError::NotConfirmed
        })
    }

    /// Closes all connections and waits until they are closed. Dropping closes them too, a little later.
    pub async fn close(self) {
        self.client.shutdown().await;
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        // The task holds the last other handle of the client, which closes its connections when it is dropped.
        self.watching.abort();
    }
}

fn read_urls(urls: &[String]) -> Result<Vec<RelayUrl>, RelayListError> {
    match urls.len() {
        0 => return Err(RelayListError::NoRelay),
        many if many > MOST_RELAYS => return Err(RelayListError::TooMany(many)),
        _ => {}
    }
    urls.iter()
        .map(|url| RelayUrl::parse(url).map_err(|_| RelayListError::BadUrl(url.clone())))
        .collect()
}

/// Checks a relay's URL without connecting.
///
/// # Errors
/// [`RelayListError::BadUrl`] when it is not a `ws://` or `wss://` URL.
pub fn check_url(url: &str) -> Result<(), RelayListError> {
    RelayUrl::parse(url)
        .map(drop)
        .map_err(|_| RelayListError::BadUrl(url.to_owned()))
}

async fn dial(client: &Client, url: &RelayUrl) {
    // The client's own options do not apply to relays that are added through the pool.
    let options = RelayOptions::new()
        .retry_interval(RETRY)
        .adjust_retry_interval(false)
        .verify_subscriptions(true);
    // Both fail only for a pool that is shut down or a URL that is not in it: then there is nothing to connect.
    client.pool().add_relay(url, options).await.ok();
    client.connect_relay(url).await.ok();
}

async fn forget(client: &Client, url: &RelayUrl) {
    // Fails only when it is removed already.
    client.force_remove_relay(url).await.ok();
}

#[cfg(test)]
mod tests {
    use nostr_sdk::prelude::JsonUtil;
    use ringfence_box::EmbeddedRelay;
    use ringfence_engine::sealed::envelope::EventKey;
    use serde_json::{Value, json};
    use tungstenite::Message;

    use super::*;

    fn outgoing(bucket: u16) -> OutgoingEvent {
        OutgoingEvent {
            key: EventSigningKey::generate(),
            work_nonce: 7,
            bucket,
            bytes: vec![bucket.to_be_bytes()[1]; ENVELOPE_BYTES],
            is_note: false,
        }
    }

    async fn listen(url: &str, bucket: u16) -> (Relays, mpsc::Receiver<ReceivedEvent>) {
        let buckets = BTreeSet::from([bucket]);
        let (relays, incoming) = Relays::connect(&[url.to_owned()], 3, &buckets)
            .await
            .unwrap();
        wait(&relays, |state| state.listening == 1).await;
        (relays, incoming)
    }

    async fn wait(relays: &Relays, wanted: impl FnMut(&RelayState) -> bool) {
        let mut state = relays.state();
        timeout(Duration::from_secs(20), state.wait_for(wanted))
            .await
            .unwrap()
            .unwrap();
    }

    async fn next(incoming: &mut mpsc::Receiver<ReceivedEvent>) -> ReceivedEvent {
        timeout(Duration::from_secs(5), incoming.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn any_port() -> EmbeddedRelay {
        EmbeddedRelay::start(([127, 0, 0, 1], 0).into())
            .await
            .unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_envelope_reaches_its_bucket_and_no_other() {
        let relay = any_port().await;
        let (sender, _unread) = listen(&relay.url(), 1).await;
        let (_five, mut at_five) = listen(&relay.url(), 5).await;
        let (_six, mut at_six) = listen(&relay.url(), 6).await;
        let outgoing = outgoing(5);
        let key = EventKey(outgoing.key.public());
        sender.publish(outgoing).await.unwrap();
        let got = next(&mut at_five).await;
        assert_eq!((got.event_key, got.bucket, got.nonce), (key, 5, 7));
        assert!(at_six.try_recv().is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_a_connection_nothing_is_published_then_or_later() {
        let relay = any_port().await;
        let (url, address) = (relay.url(), relay.address());
        let (sender, _unread) = listen(&url, 1).await;
        let (listener, mut incoming) = listen(&url, 5).await;
        relay.stop();
        wait(&sender, |state| state.connected == 0).await;
        assert_eq!(
            sender.publish(outgoing(5)).await,
            Err(PublishError::NotConnected)
        );
        let _again = EmbeddedRelay::start(address).await.unwrap();
        wait(&sender, |state| state.listening == 1).await;
        wait(&listener, |state| state.listening == 1).await;
        sender.publish(outgoing(5)).await.unwrap();
        next(&mut incoming).await;
        assert!(
            incoming.try_recv().is_err(),
            "the first event came after all"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_published_while_relays_are_redialled_goes_over_the_new_connections() {
        let relay = any_port().await;
        let (sender, _unread) = listen(&relay.url(), 1).await;
        let (_listener, mut incoming) = listen(&relay.url(), 5).await;
        let sender = Arc::new(sender);
        for _ in 0..5 {
            sender.redial();
            let outgoing = outgoing(5);
            let key = EventKey(outgoing.key.public());
            assert_eq!(sender.publish(outgoing).await, Ok(()));
            assert_eq!(next(&mut incoming).await.event_key, key);
        }
        wait(&sender, |state| state.listening == 1).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dropped_relays_are_not_connected_again() {
        let relay = any_port().await;
        let (relays, mut incoming) = listen(&relay.url(), 5).await;
        let mut state = relays.state();
        state.mark_unchanged();
        drop(relays);
        let end = timeout(Duration::from_secs(5), async {
            while state.changed().await.is_ok() {}
        });
        assert!(end.await.is_ok(), "the task still watches the relays");
        assert!(incoming.recv().await.is_none());
    }

    /// A relay for one client that sends what `answer` makes of each subscription. Returns its URL.
    fn scripted_relay(answer: impl Fn(&Value) -> Vec<Value> + Send + 'static) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut client = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            while let Ok(message) = client.read() {
                let Message::Text(text) = message else {
                    continue;
                };
                let request: Value = serde_json::from_str(&text).unwrap();
                if request[0] != "REQ" {
                    continue;
                }
                for reply in answer(&request) {
                    client.send(Message::text(reply.to_string())).unwrap();
                }
            }
        });
        url
    }

    /// A relay that answers a subscription with `first` under an id that was not requested, then with `second` under the right one.
    fn pushy_relay(first: OutgoingEvent, second: OutgoingEvent) -> String {
        scripted_relay(move |request| {
            let event = |outgoing: &OutgoingEvent| -> Value {
                let event = write_event(outgoing, 3, clock::unix_seconds()).unwrap();
                serde_json::from_str(&event.as_json()).unwrap()
            };
            vec![
                json!(["EOSE", request[1]]),
                json!(["EVENT", "unasked", event(&first)]),
                json!(["EVENT", request[1], event(&second)]),
            ]
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_event_outside_a_subscription_is_dropped() {
        let (unasked, asked) = (outgoing(5), outgoing(5));
        let key = EventKey(asked.key.public());
        let (_relays, mut incoming) = listen(&pushy_relay(unasked, asked), 5).await;
        assert_eq!(next(&mut incoming).await.event_key, key);
    }

    /// A relay that keeps these notes and returns the newest two of them that match.
    fn stingy_relay(notes: Vec<Value>) -> String {
        scripted_relay(move |request| {
            let bound = |name: &str| request[2][name].as_u64();
            let kind = &request[2]["kinds"][0];
            let matches = |note: &&Value| {
                let at = note["created_at"].as_u64().unwrap();
                let until = bound("until").unwrap_or(u64::MAX);
                note["kind"] == *kind && (bound("since").unwrap_or(0)..=until).contains(&at)
            };
            let found = notes.iter().filter(matches).take(2);
            let mut replies: Vec<_> = found
                .map(|note| json!(["EVENT", request[1], note]))
                .collect();
            replies.push(json!(["EOSE", request[1]]));
            replies
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_week_of_notes_comes_whole_from_a_relay_that_returns_two_at_once() {
        let now = clock::unix_seconds();
        let made = (0..7).map(|hours| {
            let mut outgoing = outgoing(5);
            outgoing.is_note = true;
            write_event(&outgoing, 3, now - hours * 3_600).unwrap()
        });
        let events: Vec<_> = made.collect();
        let notes = events
            .iter()
            .map(|event| serde_json::from_str(&event.as_json()).unwrap());
        let (_relays, mut incoming) = listen(&stingy_relay(notes.collect()), 5).await;
        let mut heard = BTreeSet::new();
        while heard.len() < events.len() {
            let got = timeout(Duration::from_secs(60), incoming.recv()).await;
            heard.insert(got.unwrap().unwrap().event_key.0);
        }
        assert_eq!(heard.len(), 7);
    }

    #[tokio::test]
    async fn lists_of_relays_that_cannot_be_used_are_refused() {
        let connect =
            async |urls: &[String]| Relays::connect(urls, 0, &BTreeSet::new()).await.map(drop);
        assert_eq!(connect(&[]).await, Err(RelayListError::NoRelay));
        assert_eq!(
            connect(&vec!["ws://a".to_owned(); 9]).await,
            Err(RelayListError::TooMany(9))
        );
        let bad = "https://a".to_owned();
        assert_eq!(
            connect(std::slice::from_ref(&bad)).await,
            Err(RelayListError::BadUrl(bad))
        );
    }
}
