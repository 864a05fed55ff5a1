//! Watches the connections, keeps every relay subscribed, and sorts what comes in.

use std::collections::BTreeMap;

use nostr_sdk::prelude::{
    Alphabet, Client, Filter, Kind, MonitorNotification, RelayMessage, RelayPoolNotification,
    RelayStatus, RelayUrl, ReqExitPolicy, SingleLetterTag, SubscribeAutoCloseOptions,
    SubscriptionId, Timestamp,
};
use ringfence_engine::sealed::note;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use super::event::{Incoming, KIND, NOTE_KIND, STALE, read_event};
use super::note_pages::NotePages;
use super::{INBOX, RETRY, RelayState};
use crate::clock;

/// A relay that was subscribed to and did not send EOSE is asked again after this time.
const EOSE_LIMIT: Duration = Duration::from_secs(3);

/// How far notes that are asked for again reach back before the relay was lost: clocks differ, and what a relay took at the last
/// moment it may not have passed on.
const OVERLAP: u64 = 600;

/// What is known of one relay's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionState {
    Lost,
    Asked(Instant),
    Listening,
}

/// Watches the connections and sorts what comes in.
pub(super) struct SubscriptionKeeper {
    pub(super) client: Client,
    pub(super) relays: BTreeMap<RelayUrl, SubscriptionState>,
    pub(super) subscription: SubscriptionId,
    /// The subscription to what relays keep.
    pub(super) notes: SubscriptionId,
    /// Until when each relay was certainly heard, in seconds since 1970: from there on, notes are asked for again.
    pub(super) heard: BTreeMap<RelayUrl, u64>,
    /// Notes that relays did not return at once.
    pub(super) pages: NotePages,
    pub(super) tags: BTreeMap<String, u16>,
    pub(super) inbox: mpsc::Sender<Incoming>,
    pub(super) tell: watch::Sender<RelayState>,
}

impl SubscriptionKeeper {
    pub(super) async fn run(
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
            } => {
                let line = self.relays.get_mut(&relay_url);
                if let Some(line @ SubscriptionState::Asked(_)) =
                    line.filter(|_| *id == self.subscription)
                {
                    *line = SubscriptionState::Listening;
                }
                self.pages.end(&relay_url, &id);
                true
            }
            RelayPoolNotification::Message {
                relay_url,
                message:
                    RelayMessage::Event {
                        subscription_id,
                        event,
                    },
            } => {
                let created_at = event.created_at.as_secs();
                self.pages.saw(&relay_url, &subscription_id, created_at);
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
                if let Some(line @ SubscriptionState::Listening) = self.relays.get_mut(&relay_url) {
                    *line = SubscriptionState::Asked(Instant::now());
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
                _ if !connected => SubscriptionState::Lost,
                SubscriptionState::Listening => SubscriptionState::Listening,
                SubscriptionState::Asked(since) if since.elapsed() < EOSE_LIMIT => {
                    SubscriptionState::Asked(since)
                }
                SubscriptionState::Lost | SubscriptionState::Asked(_) => {
                    to_ask.push(url.clone());
                    SubscriptionState::Asked(Instant::now())
                }
            };
        }
        for url in to_ask {
            let since = self.notes_since(&url);
            self.pages.begin(&url, &self.notes, since);
            let asks = [
                (self.notes.clone(), self.note_filter(since)),
                (self.subscription.clone(), self.filter()),
            ];
            for (id, filter) in asks {
                // "Done" would only mean that the request was queued; EOSE tells the rest.
                drop(
                    self.client
                        .subscribe_with_id_to([url.clone()], id, filter, None)
                        .await,
                );
            }
        }
        self.turn_pages().await;
        let now = clock::unix_seconds();
        let listening = self
            .relays
            .iter()
            .filter(|(_, line)| **line == SubscriptionState::Listening);
        for (url, _) in listening {
            self.heard.insert(url.clone(), now);
        }
    }

    /// Asks for older notes where a relay may have more of them than it returned, as long as the engine keeps up.
    async fn turn_pages(&mut self) {
        if self.inbox.capacity() < INBOX / 2 {
            return;
        }
        for page in self.pages.wanted() {
            let filter = self
                .note_filter(page.since)
                .until(Timestamp::from(page.until));
            let ends = SubscribeAutoCloseOptions::default().exit_policy(ReqExitPolicy::ExitOnEOSE);
            // As above.
            drop(
                self.client
                    .subscribe_with_id_to([page.url], page.id, filter, Some(ends))
                    .await,
            );
        }
    }

    /// Since this relay was last heard, and some more: the engine knows the notes that it has. At the start, all of them.
    fn notes_since(&self, url: &RelayUrl) -> u64 {
        let now = clock::unix_seconds();
        let heard = self.heard.get(url).map(|at| at.saturating_sub(OVERLAP));
        heard.unwrap_or_else(|| now.saturating_sub(note::LIFE.as_secs()))
    }

    fn note_filter(&self, since: u64) -> Filter {
        Filter::new()
            .kind(Kind::from(NOTE_KIND))
            .custom_tags(SingleLetterTag::lowercase(Alphabet::T), self.tags.keys())
            .since(Timestamp::from(since))
    }

    fn filter(&self) -> Filter {
        let since = clock::unix_seconds().saturating_sub(STALE);
        Filter::new()
            .kind(Kind::from(KIND))
            .custom_tags(SingleLetterTag::lowercase(Alphabet::T), self.tags.keys())
            .since(Timestamp::from(since))
    }

    fn report(&self) {
        let count = |wanted: fn(&SubscriptionState) -> bool| {
            self.relays.values().filter(|line| wanted(line)).count()
        };
        let state = RelayState {
            configured: self.relays.len(),
            connected: count(|line| *line != SubscriptionState::Lost),
            listening: count(|line| *line == SubscriptionState::Listening),
        };
        self.tell
            .send_if_modified(|old| std::mem::replace(old, state) != state);
    }
}
