//! What an engine asks of one relay, and what it takes from the answers (NIP-01: REQ, EVENT, EOSE, CLOSED): messages and time in,
//! requests and envelopes out. No socket is here.
//!
//! There are two subscriptions, rings and notes, each with a name drawn for this connection, so that a name links no two connections.
//! EOSE confirms one, and so does an event of it, since some relays send no EOSE. One that is refused or not confirmed is asked for
//! again, after longer and longer waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nostr::Event;
use ringfence_book::backoff::Backoff;
use ringfence_book::nostr_event::{BUCKET_TAG, MAX_SKEW, NOTE_KIND, NOTE_LIFE, RING_KIND};
use ringfence_engine::ReceivedEvent;
use ringfence_engine::time::Moment;
use serde_json::json;

use super::event::{EventFault, read_event};
use super::note_pages::{NotePages, PAGE};

/// A subscription that is not confirmed in this time is asked for again. The wait doubles up to the limit.
const EOSE_LIMIT: Duration = Duration::from_secs(3);
const MOST_WAIT: Duration = Duration::from_secs(60);

/// After a reconnection, notes are requested from so many seconds before the relay was last heard: clocks differ, and a relay may not
/// have delivered what it accepted last.
const OVERLAP: u64 = 600;

/// Between two looks whether the engine has room for another page of notes.
const ROOM_LOOK: Duration = Duration::from_secs(1);

/// The subscriptions at one relay.
#[derive(Clone, Debug)]
pub(super) struct RelaySubscription {
    tags: Arc<BTreeMap<String, u16>>,
    rings: Request,
    notes: Request,
    pages: NotePages,
    /// The name of a page that was read to its end, to be closed at the relay.
    ended: Option<String>,
    /// The name of the page that was closed last: many relays confirm that.
    closed: Option<String>,
    room_look: Option<Instant>,
    /// When the relay was last known to be subscribed.
    last_heard: Option<u64>,
    /// That moment in the last connection over which all notes were read: later ones are requested again.
    read_until: Option<u64>,
}

/// One subscription.
#[derive(Clone, Debug)]
struct Request {
    name: String,
    state: RequestState,
    wait: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestState {
    /// To be asked for at this moment: the first time, again after a refusal, or because the relay has not confirmed it by then.
    Due(Instant),
    Confirmed,
}

impl Request {
    fn new(now: Instant) -> Self {
        Self {
            name: draw_name(),
            state: RequestState::Due(now),
            wait: Backoff::new(EOSE_LIMIT, MOST_WAIT, 2),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, RequestState::Due(at) if at <= now)
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            RequestState::Due(at) => Some(at),
            RequestState::Confirmed => None,
        }
    }

    /// It was asked for, or refused.
    fn retry_later(&mut self, now: Instant) {
        self.state = RequestState::Due(now + self.wait.next_delay());
    }

    fn confirm(&mut self) {
        self.state = RequestState::Confirmed;
        self.wait.reset();
    }
}

impl RelaySubscription {
    pub(super) fn new(tags: Arc<BTreeMap<String, u16>>, now: Instant) -> Self {
        Self {
            tags,
            rings: Request::new(now),
            notes: Request::new(now),
            pages: NotePages::default(),
            ended: None,
            closed: None,
            room_look: None,
            last_heard: None,
            read_until: None,
        }
    }

    /// A connection was made: everything is asked for anew, under new names.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.notes.state == RequestState::Confirmed && self.pages.is_done() {
            self.read_until = self.last_heard;
        }
        (self.rings, self.notes) = (Request::new(now), Request::new(now));
        (self.pages, self.ended, self.closed) = (NotePages::default(), None, None);
    }

    /// Whether the relay has confirmed the subscription to rings.
    pub(super) fn is_listening(&self) -> bool {
        self.rings.state == RequestState::Confirmed
    }

    /// The next message for the relay. `room` is for how many envelopes the engine has room.
    pub(super) fn poll(&mut self, moment: Moment, room: usize) -> Option<String> {
        if let Some(name) = self.ended.take() {
            let message = json!(["CLOSE", name]).to_string();
            self.closed = Some(name);
            return Some(message);
        }
        if self.notes.is_due(moment.now) && room >= PAGE {
            self.notes.retry_later(moment.now);
            let since = self.notes_since(moment.wall.seconds());
            self.pages.begin(&self.notes.name, since);
            return Some(self.ask_for_notes(&self.notes.name, since, None));
        }
        if self.rings.is_due(moment.now) {
            self.rings.retry_later(moment.now);
            let since = moment.wall.seconds().saturating_sub(MAX_SKEW);
            let filter =
                json!({"kinds": [RING_KIND], BUCKET_FILTER: self.buckets(), "since": since});
            return Some(json!(["REQ", self.rings.name, filter]).to_string());
        }
        self.room_look = None;
        if self.pages.is_due() || self.notes.is_due(moment.now) {
            if room < PAGE {
                self.room_look = Some(moment.now + ROOM_LOOK);
                return None;
            }
            let page = self.pages.turn(draw_name())?;
            return Some(self.ask_for_notes(&page.id, page.since, Some(page.until)));
        }
        None
    }

    /// When [`poll`](Self::poll) may have something without another input.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let notes = self.notes.due().filter(|_| self.room_look.is_none());
        let due = [self.rings.due(), notes, self.room_look];
        due.into_iter().flatten().min()
    }

    /// Takes an event that came under a subscription with this name.
    ///
    /// # Errors
    /// [`EventFault`]: an honest relay does not send it.
    pub(super) fn handle_event(
        &mut self,
        name: &str,
        event: &Event,
        moment: Moment,
    ) -> Result<Option<ReceivedEvent>, EventFault> {
        let (is_ring, is_note) = (name == self.rings.name, name == self.notes.name);
        if !is_ring && !is_note && !self.pages.is_open(name) {
            return Err(EventFault::Unasked);
        }
        let read = read_event(event, &self.tags, moment.wall.seconds())?;
        self.pages.handle_event(name, event.created_at.as_secs());
        if is_ring {
            self.hear_rings(moment);
        } else if is_note {
            self.notes.confirm();
        }
        Ok(read)
    }

    /// EOSE. Returns whether a subscription has this name.
    pub(super) fn handle_end(&mut self, name: &str, moment: Moment) -> bool {
        let is_page = self.pages.is_open(name);
        self.pages.handle_end(name);
        if name == self.rings.name {
            self.hear_rings(moment);
        } else if name == self.notes.name {
            self.notes.confirm();
        } else if is_page {
            self.ended = Some(name.to_owned());
        } else {
            return false;
        }
        true
    }

    /// CLOSED: the relay serves this subscription no longer, or never did. Returns whether one has this name.
    pub(super) fn handle_refusal(&mut self, name: &str, now: Instant) -> bool {
        let is_page = self.pages.is_open(name);
        self.pages.handle_refusal(name);
        if name == self.rings.name {
            self.rings.retry_later(now);
        } else if name == self.notes.name {
            self.notes.retry_later(now);
        } else {
            return is_page || self.closed.as_deref() == Some(name);
        }
        true
    }

    /// The connection stands at this moment: what comes later is asked for again after it is lost.
    pub(super) fn note_alive(&mut self, unix: u64) {
        if self.is_listening() {
            self.last_heard = Some(unix);
        }
    }

    fn hear_rings(&mut self, moment: Moment) {
        self.rings.confirm();
        self.last_heard = Some(moment.wall.seconds());
    }

    /// The moment since which notes are requested: until when all were read, less an overlap, because the engine drops notes that it
    /// has seen; at the start, all that relays store.
    fn notes_since(&self, unix: u64) -> u64 {
        let read = self.read_until.map(|at| at.saturating_sub(OVERLAP));
        read.unwrap_or_else(|| unix.saturating_sub(NOTE_LIFE))
    }

    fn ask_for_notes(&self, name: &str, since: u64, until: Option<u64>) -> String {
        let mut filter = json!({
            "kinds": [NOTE_KIND],
            BUCKET_FILTER: self.buckets(),
            "since": since,
            "limit": PAGE,
        });
        if let Some(until) = until {
            filter["until"] = until.into();
        }
        json!(["REQ", name, filter]).to_string()
    }

    fn buckets(&self) -> Vec<&String> {
        self.tags.keys().collect()
    }
}

/// The filter for tags of buckets: `#` and [`BUCKET_TAG`].
const BUCKET_FILTER: &str = "#t";
const _: () = assert!(BUCKET_TAG.as_bytes()[0] == b't' && BUCKET_TAG.len() == 1);

fn draw_name() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests;
