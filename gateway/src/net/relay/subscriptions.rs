//! Keeps every connected relay subscribed (REQ, EOSE) and passes the envelopes of its events on.

use std::collections::BTreeMap;

use nostr_sdk::prelude::{
    Alphabet, Client, Filter, Kind, MonitorNotification, RelayMessage, RelayPoolNotification,
    RelayStatus, RelayUrl, ReqExitPolicy, SingleLetterTag, SubscribeAutoCloseOptions,
    SubscriptionId, Timestamp,
};
use ringfence_book::nostr_event::{MAX_SKEW, NOTE_KIND, NOTE_LIFE, RING_KIND};
use ringfence_engine::ReceivedEvent;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use super::event::read_event;
use super::note_pages::NotePages;
use super::trouble::RelayAnswers;
use super::{INBOX, RETRY, RelayState};
use crate::clock;

/// A relay that has not answered a subscription with EOSE is asked again after this time.
const EOSE_LIMIT: Duration = Duration::from_secs(3);

/// After a reconnection, notes are requested from so many seconds before the connection was lost: clocks differ, and a relay may not
/// have delivered what it accepted last.
const OVERLAP: u64 = 600;

/// Checks are a second apart. If the wall clock says more seconds than this, either way, the machine slept or the clock was set.
const CLOCK_JUMP: u64 = 30;

/// The subscription at one relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionState {
    Disconnected,
    Requested(Instant),
    Listening,
}

/// The connections and their subscriptions.
pub(super) struct SubscriptionKeeper {
    pub(super) client: Client,
    pub(super) relays: BTreeMap<RelayUrl, SubscriptionState>,
    /// The relays in the order of the settings.
    pub(super) order: Vec<RelayUrl>,
    pub(super) answers: RelayAnswers,
    /// Relays that did not answer an envelope in time.
    pub(super) unanswered: mpsc::Receiver<RelayUrl>,
    pub(super) subscription: SubscriptionId,
    /// The subscription to notes, which relays store.
    pub(super) notes: SubscriptionId,
    /// When each relay was last known to be subscribed, in seconds since 1970: later notes are requested again.
    pub(super) last_heard: BTreeMap<RelayUrl, u64>,
    /// When the connections were compared last, in seconds since 1970.
    pub(super) last_check: u64,
    /// Stored notes that relays have not returned yet.
    pub(super) pages: NotePages,
    pub(super) tags: BTreeMap<String, u16>,
    pub(super) inbox: mpsc::Sender<ReceivedEvent>,
    pub(super) state: watch::Sender<RelayState>,
}

impl SubscriptionKeeper {
    pub(super) async fn run(
        mut self,
        mut events: broadcast::Receiver<RelayPoolNotification>,
        mut changes: broadcast::Receiver<MonitorNotification>,
    ) {
        let mut check = interval(RETRY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = events.recv() => match note {
                    Ok(note) => if !self.handle_notification(note) { return },
                    Err(broadcast::error::RecvError::Lagged(lost)) => tracing::debug!(lost, "relay notifications came faster than they were read"),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                change = changes.recv() => match change {
                    // A lost notification is made up for by the next check.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.check_connections().await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(relay) = self.unanswered.recv() => self.answers.note_no_answer(&relay),
                _ = check.tick() => self.check_connections().await,
            }
            self.report();
        }
    }

    /// Returns `false` when the engine is gone.
    fn handle_notification(&mut self, note: RelayPoolNotification) -> bool {
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
                let subscription = self.relays.get_mut(&relay_url);
                if let Some(subscription @ SubscriptionState::Requested(_)) =
                    subscription.filter(|_| *id == self.subscription)
                {
                    *subscription = SubscriptionState::Listening;
                    self.answers.note_listening(&relay_url);
                }
                self.pages.handle_end(&relay_url, &id);
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
                self.pages
                    .handle_event(&relay_url, &subscription_id, created_at);
                true
            }
            RelayPoolNotification::Message {
                relay_url,
                message:
                    RelayMessage::Closed {
                        subscription_id,
                        message,
                    },
            } if *subscription_id == self.subscription => {
                self.answers.note_words(&relay_url, &message);
                // The relay ended the subscription; the next check after the usual time requests it again.
                if let Some(subscription @ SubscriptionState::Listening) =
                    self.relays.get_mut(&relay_url)
                {
                    *subscription = SubscriptionState::Requested(Instant::now());
                }
                true
            }
            RelayPoolNotification::Message { relay_url, message } => {
                match message {
                    RelayMessage::Ok {
                        status, message, ..
                    } => self.answers.note_ok(&relay_url, status, &message),
                    RelayMessage::Notice(text) => self.answers.note_words(&relay_url, &text),
                    RelayMessage::Auth { .. } => self.answers.note_login(&relay_url),
                    _ => {}
                }
                true
            }
            RelayPoolNotification::Shutdown => false,
        }
    }

    /// Compares the subscriptions with the connections, and requests those that are not confirmed.
    async fn check_connections(&mut self) {
        self.suspect_after_clock_jump();
        let connections = self.client.relays().await;
        let mut to_ask = Vec::new();
        for (url, subscription) in &mut self.relays {
            let connected = connections
                .get(url)
                .is_some_and(|relay| relay.status() == RelayStatus::Connected);
            *subscription = match *subscription {
                _ if !connected => SubscriptionState::Disconnected,
                SubscriptionState::Listening => SubscriptionState::Listening,
                SubscriptionState::Requested(since) if since.elapsed() < EOSE_LIMIT => {
                    SubscriptionState::Requested(since)
                }
                SubscriptionState::Disconnected | SubscriptionState::Requested(_) => {
                    to_ask.push(url.clone());
                    SubscriptionState::Requested(Instant::now())
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
                // The result only says whether the request was queued; EOSE confirms it.
                drop(
                    self.client
                        .subscribe_with_id_to([url.clone()], id, filter, None)
                        .await,
                );
            }
        }
        self.request_pages().await;
        let now = clock::unix_seconds();
        let listening = self
            .relays
            .iter()
            .filter(|(_, subscription)| **subscription == SubscriptionState::Listening);
        for (url, _) in listening {
            self.last_heard.insert(url.clone(), now);
        }
    }

    /// After a sleep, no subscription is believed until the relay confirms it again: what it stored meanwhile is asked for, since the
    /// moment before. After the clock was set back, a subscription asks for events since a moment that is still to come.
    fn suspect_after_clock_jump(&mut self) {
        let now = clock::unix_seconds();
        let before = std::mem::replace(&mut self.last_check, now);
        if now.abs_diff(before) > CLOCK_JUMP {
            for subscription in self.relays.values_mut() {
                *subscription = SubscriptionState::Disconnected;
            }
        }
    }

    /// Requests older notes where a relay may have more than it returned, as long as the engine keeps up.
    async fn request_pages(&mut self) {
        if self.inbox.capacity() < INBOX / 2 {
            return;
        }
        for page in self.pages.due() {
            let filter = self
                .note_filter(page.since)
                .until(Timestamp::from(page.until));
            let ends = SubscribeAutoCloseOptions::default().exit_policy(ReqExitPolicy::ExitOnEOSE);
            // As above: EOSE confirms it.
            drop(
                self.client
                    .subscribe_with_id_to([page.url], page.id, filter, Some(ends))
                    .await,
            );
        }
    }

    /// The moment since which notes are requested from this relay: when it was last heard, less an overlap, because the engine drops
    /// notes that it has seen; at the start, all that relays store.
    fn notes_since(&self, url: &RelayUrl) -> u64 {
        let now = clock::unix_seconds();
        let heard = self
            .last_heard
            .get(url)
            .map(|at| at.saturating_sub(OVERLAP));
        heard.unwrap_or_else(|| now.saturating_sub(NOTE_LIFE))
    }

    fn note_filter(&self, since: u64) -> Filter {
        Filter::new()
            .kind(Kind::from(NOTE_KIND))
            .custom_tags(SingleLetterTag::lowercase(Alphabet::T), self.tags.keys())
            .since(Timestamp::from(since))
    }

    fn filter(&self) -> Filter {
        let since = clock::unix_seconds().saturating_sub(MAX_SKEW);
        Filter::new()
            .kind(Kind::from(RING_KIND))
            .custom_tags(SingleLetterTag::lowercase(Alphabet::T), self.tags.keys())
            .since(Timestamp::from(since))
    }

    fn report(&self) {
        let mut state = RelayState {
            configured: self.order.len(),
            ..RelayState::default()
        };
        for (position, url) in (1..).zip(&self.order) {
            let subscription = self.relays.get(url).copied();
            let subscription = subscription.unwrap_or(SubscriptionState::Disconnected);
            let is_connected = subscription != SubscriptionState::Disconnected;
            let is_listening = subscription == SubscriptionState::Listening;
            state.connected += usize::from(is_connected);
            state.listening += usize::from(is_listening);
            state.taking += usize::from(is_connected && !self.answers.refuses(url));
            let trouble = self
                .answers
                .trouble((position, url), is_connected, is_listening);
            state.troubles.extend(trouble);
        }
        self.state.send_if_modified(|old| {
            let is_new = *old != state;
            *old = state;
            is_new
        });
    }
}
