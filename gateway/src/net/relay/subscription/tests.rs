//! The requests of one relay, with every answer that it may give.

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
    for request in &first {
        assert!(bench.subscription.handle_end(&name(request), bench.at(1)));
    }
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
fn notes_that_a_lost_connection_left_unread_are_asked_for_again() {
    let mut bench = Bench::new();
    for (second, is_refused) in [(0, false), (100, true), (200, false)] {
        let moment = bench.at(second);
        bench.subscription.begin(moment.now);
        let asked = bench.asked(second, ROOM);
        let since = asked[0][2]["since"].as_u64().unwrap();
        assert_eq!(since, UNIX + second - NOTE_LIFE, "at {second} s");
        let (notes, rings) = (name(&asked[0]), name(&asked[1]));
        bench.subscription.handle_end(&rings, moment);
        let note = event(true, UNIX - 1_000);
        bench
            .subscription
            .handle_event(&notes, &note, moment)
            .unwrap();
        bench.subscription.handle_end(&notes, moment);
        if is_refused {
            let page = name(&bench.asked(second, ROOM)[0]);
            assert!(bench.subscription.handle_refusal(&page, moment.now));
        }
    }
    // Now they are read to their end; the engine has no room for a while after the next loss.
    bench.subscription.begin(bench.at(300).now);
    for request in bench.asked(300, ROOM) {
        bench
            .subscription
            .handle_end(&name(&request), bench.at(300));
    }
    bench.subscription.begin(bench.at(9_000).now);
    let rings = name(&bench.asked(9_000, 0)[0]);
    bench.subscription.handle_end(&rings, bench.at(9_000));
    let notes = &bench.asked(9_001, ROOM)[0];
    assert_eq!(notes[2]["since"], UNIX + 300 - OVERLAP);
}

#[test]
fn a_relay_may_confirm_that_a_page_was_closed() {
    let mut bench = Bench::new();
    let moment = bench.at(0);
    let notes = name(&bench.asked(0, ROOM)[0]);
    let note = event(true, UNIX - 1_000);
    bench
        .subscription
        .handle_event(&notes, &note, moment)
        .unwrap();
    bench.subscription.handle_end(&notes, moment);
    let page = name(&bench.asked(0, ROOM)[0]);
    bench.subscription.handle_end(&page, moment);
    assert_eq!(bench.asked(0, ROOM), [json!(["CLOSE", page])]);
    assert!(bench.subscription.handle_refusal(&page, moment.now));
    assert!(!bench.subscription.handle_refusal("other", moment.now));
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
