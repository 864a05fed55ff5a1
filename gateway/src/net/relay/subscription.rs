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
#[derive(Debug)]
pub(super) struct RelaySubscription {
    tags: Arc<BTreeMap<String, u16>>,
    rings: Request,
    notes: Request,
    pages: NotePages,
    /// Names of pages that were read to their end, to be closed at the relay.
    ended: Option<String>,
    room_look: Option<Instant>,
    /// When the relay was last known to be subscribed: later notes are requested again.
    last_heard: Option<u64>,
}

/// One subscription.
#[derive(Debug)]
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
            room_look: None,
            last_heard: None,
        }
    }

    /// A connection was made: everything is asked for anew, under new names.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.rings, self.notes) = (Request::new(now), Request::new(now));
        (self.pages, self.ended) = (NotePages::default(), None);
    }

    /// Whether the relay has confirmed the subscription to rings.
    pub(super) fn is_listening(&self) -> bool {
        self.rings.state == RequestState::Confirmed
    }

    /// The next message for the relay. `room` is for how many envelopes the engine has room.
    pub(super) fn poll(&mut self, moment: Moment, room: usize) -> Option<String> {
        if let Some(name) = self.ended.take() {
            return Some(json!(["CLOSE", name]).to_string());
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
            return is_page;
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

    /// The moment since which notes are requested: when the relay was last heard, less an overlap, because the engine drops notes
    /// that it has seen; at the start, all that relays store.
    fn notes_since(&self, unix: u64) -> u64 {
        let heard = self.last_heard.map(|at| at.saturating_sub(OVERLAP));
        heard.unwrap_or_else(|| unix.saturating_sub(NOTE_LIFE))
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
mod tests {
    use proptest::prelude::*;
    use ringfence_book::nostr_event::bucket_tag;
    use ringfence_engine::time::UnixTime;
    use serde_json::Value;

    use super::super::event::{EventSigningKey, OutgoingEvent, write_event};
    use super::*;

    const UNIX: u64 = 1_795_000_000;
    const ROOM: usize = 1_000;

    struct Bench {
        subscription: RelaySubscription,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now();
            let tags = BTreeMap::from([(bucket_tag(3, 5), 5)]);
            Self {
                subscription: RelaySubscription::new(Arc::new(tags), start),
                start,
            }
        }

        fn at(&self, seconds: u64) -> Moment {
            Moment {
                now: self.start + Duration::from_secs(seconds),
                wall: UnixTime::from_seconds(UNIX + seconds),
            }
        }

        fn asked(&mut self, seconds: u64, room: usize) -> Vec<Value> {
            let moment = self.at(seconds);
            let requests = std::iter::from_fn(|| self.subscription.poll(moment, room));
            requests
                .map(|text| serde_json::from_str(&text).unwrap())
                .collect()
        }
    }

    fn event(is_note: bool, unix: u64) -> Event {
        let outgoing = OutgoingEvent {
            key: EventSigningKey::generate(),
            work_nonce: 7,
            bucket: 5,
            bytes: vec![5; 1_024],
            is_note,
        };
        write_event(&outgoing, 3, unix).unwrap()
    }

    fn name(request: &Value) -> String {
        request[1].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_connection_asks_for_a_week_of_notes_and_recent_rings_under_new_names() {
        let mut bench = Bench::new();
        let first = bench.asked(0, ROOM);
        let filters: Vec<_> = first.iter().map(|request| request[2].clone()).collect();
        assert_eq!(
            filters,
            [
                json!({"kinds": [NOTE_KIND], "#t": ["rf1-3-0005"], "since": UNIX - NOTE_LIFE, "limit": PAGE}),
                json!({"kinds": [RING_KIND], "#t": ["rf1-3-0005"], "since": UNIX - MAX_SKEW}),
            ]
        );
        assert!(bench.subscription.handle_end(&name(&first[1]), bench.at(1)));
        assert!(bench.subscription.is_listening());
        bench.subscription.note_alive(UNIX + 5_000);
        bench.subscription.begin(bench.at(9_000).now);
        assert!(!bench.subscription.is_listening());
        let second = bench.asked(9_000, ROOM);
        assert_eq!(second[0][2]["since"], UNIX + 5_000 - OVERLAP);
        assert_ne!(name(&second[1]), name(&first[1]));
        assert!(
            !bench
                .subscription
                .handle_end(&name(&first[1]), bench.at(9_000))
        );
    }

    #[test]
    fn what_is_not_confirmed_or_refused_is_asked_for_again_later_and_later() {
        for is_refused in [false, true] {
            let mut bench = Bench::new();
            let mut asked = Vec::new();
            for second in 0..400 {
                for request in bench.asked(second, ROOM) {
                    if is_refused {
                        let now = bench.at(second).now;
                        assert!(bench.subscription.handle_refusal(&name(&request), now));
                    }
                    asked.push(second);
                }
            }
            asked.dedup();
            let expected: &[u64] = if is_refused {
                &[0, 6, 30, 90, 150, 210, 270, 330, 390]
            } else {
                &[0, 3, 9, 21, 45, 93, 153, 213, 273, 333, 393]
            };
            assert_eq!(asked, expected, "refused: {is_refused}");
            assert!(!bench.subscription.is_listening());
        }
    }

    #[test]
    fn an_event_of_the_subscription_confirms_it_and_a_forged_one_does_not() {
        let mut bench = Bench::new();
        let rings = name(&bench.asked(0, ROOM)[1]);
        let (good, moment) = (event(false, UNIX), bench.at(1));
        let mut forged = good.clone();
        forged.sig = event(false, UNIX).sig;
        let subscription = &mut bench.subscription;
        assert_eq!(
            subscription.handle_event(&rings, &forged, moment).err(),
            Some(EventFault::Forged)
        );
        assert!(!subscription.is_listening());
        assert_eq!(
            subscription.handle_event("other", &good, moment).err(),
            Some(EventFault::Unasked)
        );
        assert!(matches!(
            subscription.handle_event(&rings, &good, moment),
            Ok(Some(_))
        ));
        assert!(subscription.is_listening());
        assert!(subscription.handle_refusal(&rings, moment.now));
        assert!(!subscription.is_listening());
    }

    #[test]
    fn a_forged_note_moves_no_page() {
        let mut bench = Bench::new();
        let notes = name(&bench.asked(0, ROOM)[0]);
        let good = event(true, UNIX - 1_000);
        let mut forged = good.clone();
        forged.created_at = (UNIX - 600_000).into();
        let moment = bench.at(1);
        bench
            .subscription
            .handle_event(&notes, &forged, moment)
            .unwrap_err();
        bench
            .subscription
            .handle_event(&notes, &good, moment)
            .unwrap();
        bench.subscription.handle_end(&notes, moment);
        let page = &bench.asked(1, ROOM)[0];
        assert_eq!(page[2]["until"], UNIX - 1_000);
        assert_eq!(page[2]["limit"], PAGE);
        assert!(bench.subscription.handle_end(&name(page), moment));
        assert_eq!(bench.asked(1, ROOM), [json!(["CLOSE", name(page)])]);
    }

    #[test]
    fn notes_wait_until_the_engine_has_room() {
        let mut bench = Bench::new();
        let asked = bench.asked(0, PAGE - 1);
        assert_eq!(asked.len(), 1, "the rings alone: {asked:?}");
        assert_eq!(asked[0][2]["kinds"], json!([RING_KIND]));
        let look = bench.subscription.next_timeout();
        assert_eq!(look, Some(bench.at(0).now + ROOM_LOOK));
        assert_eq!(bench.asked(1, ROOM)[0][2]["kinds"], json!([NOTE_KIND]));
    }

    proptest! {
        #[test]
        fn any_order_of_messages_keeps_the_requests_bounded(steps in proptest::collection::vec((0..5u8, 0..4usize, 0..40u64), 1..60)) {
            let mut bench = Bench::new();
            let (mut names, mut second, mut asked) = (vec!["odd".to_owned()], 0, 0);
            for (step, at, wait) in steps {
                second += wait;
                let moment = bench.at(second);
                let known = names[names.len() - 1 - at % names.len()].clone();
                match step {
                    0 => drop(bench.subscription.handle_end(&known, moment)),
                    1 => drop(bench.subscription.handle_refusal(&known, moment.now)),
                    2 => bench.subscription.begin(moment.now),
                    _ => drop(bench.subscription.handle_event(&known, &event(step == 3, moment.wall.seconds()), moment)),
                }
                let requests = bench.asked(second, ROOM);
                prop_assert!(requests.len() <= 4, "{requests:?}");
                asked += requests.len();
                names.extend(requests.iter().map(name));
            }
            prop_assert!(asked <= 200);
        }
    }
}
