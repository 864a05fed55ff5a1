//! The client against relays of this process: the community box's, scripted ones with the moods of public relays, hostile ones.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nostr::Event;
use ringfence_book::nostr_event::{CONTENT_CHARS, RING_KIND};
use ringfence_box::EmbeddedRelay;
use ringfence_engine::ReceivedEvent;
use ringfence_engine::sealed::envelope::EventKey;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tungstenite::{Message, WebSocket};

use super::*;

mod network_change;
mod public_bugs;

fn outgoing(bucket: u16) -> OutgoingEvent {
    OutgoingEvent {
        key: EventSigningKey::generate(),
        work_nonce: 7,
        bucket,
        bytes: vec![bucket.to_be_bytes()[1]; ENVELOPE_BYTES],
        is_note: false,
    }
}

fn connect(
    urls: &[String],
    buckets: &BTreeSet<u16>,
) -> Result<(Relays, RelayInbox), RelayListError> {
    let trusted = crate::net::tls::client(None).unwrap();
    Relays::connect(urls, 3, buckets, &Outbound::new(trusted, None))
}

async fn listen(url: &str, bucket: u16) -> (Relays, RelayInbox) {
    let buckets = BTreeSet::from([bucket]);
    let (relays, incoming) = connect(&[url.to_owned()], &buckets).unwrap();
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

async fn next(incoming: &mut RelayInbox) -> ReceivedEvent {
    timeout(Duration::from_secs(5), incoming.recv())
        .await
        .unwrap()
        .unwrap()
}

async fn is_empty(incoming: &mut RelayInbox) -> bool {
    timeout(Duration::from_millis(200), incoming.recv())
        .await
        .is_err()
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
    assert!(is_empty(&mut at_six).await);
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
        is_empty(&mut incoming).await,
        "the first event came after all"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_waits_for_a_relay_that_starts_again() {
    let relay = any_port().await;
    let (url, address) = (relay.url(), relay.address());
    let (sender, _unread) = listen(&url, 1).await;
    let (_listener, mut incoming) = listen(&url, 5).await;
    // So long that the connections were good ones.
    sleep(Duration::from_millis(10_500)).await;
    relay.stop();
    wait(&sender, |state| state.connected == 0).await;
    let (away, outgoing) = (Duration::from_secs(4), outgoing(5));
    let key = EventKey(outgoing.key.public());
    let start_again = async {
        sleep(away).await;
        EmbeddedRelay::start(address).await.unwrap()
    };
    let began = Instant::now();
    let publish = async {
        sleep(Duration::from_secs(1)).await;
        (sender.publish(outgoing).await, began.elapsed())
    };
    let (_again, (published, took)) = tokio::join!(start_again, publish);
    assert_eq!(published, Ok(()));
    println!("away for {away:?}, taken after {took:?}");
    assert!(took < away + Duration::from_secs(2), "{took:?}");
    assert_eq!(next(&mut incoming).await.event_key, key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_relays_are_redialled_goes_over_the_new_connections() {
    let relay = any_port().await;
    let (sender, _unread) = listen(&relay.url(), 1).await;
    let (_listener, mut incoming) = listen(&relay.url(), 5).await;
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

type Client = WebSocket<TcpStream>;

/// A relay that serves each connection in a thread with `serve`.
fn relay_of(serve: impl Fn(&mut Client) -> Option<()> + Send + Sync + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                let mut client = tungstenite::accept(stream).ok()?;
                serve(&mut client)
            });
        }
    });
    url
}

/// A relay that answers each message of a client with what `answer` says.
fn scripted_relay(answer: impl Fn(&mut Client, &Value) + Send + Sync + 'static) -> String {
    relay_of(move |client| {
        loop {
            let Message::Text(text) = client.read().ok()? else {
                continue;
            };
            answer(client, &serde_json::from_str(&text).unwrap());
        }
    })
}

fn say(client: &mut Client, reply: &Value) {
    // The client may be gone.
    client.send(Message::text(reply.to_string())).ok();
}

fn is_request(request: &Value, kind: u16) -> bool {
    request[0] == "REQ" && request[2]["kinds"][0] == kind
}

fn json_of(event: &Event) -> Value {
    serde_json::from_str(&event.as_json()).unwrap()
}

fn ring(outgoing: &OutgoingEvent) -> Value {
    json_of(&write_event(outgoing, 3, clock::unix_seconds()).unwrap())
}

/// Confirms subscriptions.
fn confirm(client: &mut Client, request: &Value) {
    if request[0] == "REQ" {
        say(client, &json!(["EOSE", request[1]]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_outside_a_subscription_is_dropped() {
    let (unasked, asked) = (outgoing(5), outgoing(5));
    let key = EventKey(asked.key.public());
    let (unasked, asked) = (ring(&unasked), ring(&asked));
    let url = scripted_relay(move |client, request| {
        confirm(client, request);
        if is_request(request, RING_KIND) {
            say(client, &json!(["EVENT", "unasked", unasked]));
            say(client, &json!(["EVENT", request[1], asked]));
        }
    });
    let (_relays, mut incoming) = listen(&url, 5).await;
    assert_eq!(next(&mut incoming).await.event_key, key);
}

/// A relay that keeps these notes and returns the newest two of them that match.
fn stingy_relay(notes: Vec<Value>) -> String {
    scripted_relay(move |client, request| {
        let bound = |name: &str| request[2][name].as_u64();
        let matches = |note: &&Value| {
            let at = note["created_at"].as_u64().unwrap();
            let until = bound("until").unwrap_or(u64::MAX);
            note["kind"] == request[2]["kinds"][0]
                && (bound("since").unwrap_or(0)..=until).contains(&at)
        };
        for note in notes.iter().filter(matches).take(2) {
            say(client, &json!(["EVENT", request[1], note]));
        }
        confirm(client, request);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_notes_comes_whole_from_a_relay_that_returns_two_at_once() {
    let now = clock::unix_seconds();
    let made = (0..7).map(|hours| {
        let mut outgoing = outgoing(5);
        outgoing.is_note = true;
        json_of(&write_event(&outgoing, 3, now - hours * 3_600).unwrap())
    });
    let (_relays, mut incoming) = listen(&stingy_relay(made.collect()), 5).await;
    let mut heard = BTreeSet::new();
    while heard.len() < 7 {
        let got = timeout(Duration::from_secs(60), incoming.recv()).await;
        heard.insert(got.unwrap().unwrap().event_key.0);
    }
}

/// What a relay does with each event, told by how often it saw one and the event.
type Mood = fn(&mut Client, usize, &Value);

fn ok(client: &mut Client, event: &Value, is_taken: bool, words: &str) {
    say(client, &json!(["OK", event["id"], is_taken, words]));
}

/// The mood of a public relay, what publishing says, within so many seconds, and what the relay does not do afterwards.
struct MoodCase {
    name: &'static str,
    mood: Mood,
    published: Result<(), PublishError>,
    seconds: std::ops::Range<f64>,
    fault: Option<RelayFault>,
}

impl MoodCase {
    async fn run(self) {
        let (seen, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, opened, mood) = (Arc::clone(&seen), Arc::clone(&connections), self.mood);
        let url = relay_of(move |client| {
            opened.fetch_add(1, Ordering::Relaxed);
            loop {
                let Message::Text(text) = client.read().ok()? else {
                    continue;
                };
                let request: Value = serde_json::from_str(&text).unwrap();
                confirm(client, &request);
                if request[0] == "EVENT" {
                    mood(client, count.fetch_add(1, Ordering::Relaxed), &request[1]);
                }
            }
        });
        let (relays, mut incoming) = listen(&url, 5).await;
        let began = Instant::now();
        let published = relays.publish(outgoing(5)).await;
        let took = began.elapsed().as_secs_f64();
        println!(
            "{:<40} {published:?} after {took:.2} s, sent {} times",
            self.name,
            seen.load(Ordering::Relaxed)
        );
        assert_eq!(published, self.published, "{}", self.name);
        assert!(self.seconds.contains(&took), "{}: {took}", self.name);
        // What comes late is harmless too.
        sleep(Duration::from_secs(3)).await;
        let state = relays.state().borrow().clone();
        let fault = state.troubles.first().map(|trouble| trouble.fault);
        assert_eq!(fault, self.fault, "{}", self.name);
        assert_eq!(state.listening, 1, "{}", self.name);
        assert!(is_empty(&mut incoming).await, "{}", self.name);
        if !self.name.contains("closes") {
            assert_eq!(connections.load(Ordering::Relaxed), 2, "{}", self.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_relays_of_every_mood_are_understood() {
    use PublishError::NotConfirmed;
    let case = |name, mood: Mood, published, seconds, fault| MoodCase {
        name,
        mood,
        published,
        seconds,
        fault,
    };
    let cases = [
        case(
            "takes it",
            |c, _, e| ok(c, e, true, ""),
            Ok(()),
            0.0..1.0,
            None,
        ),
        case("never confirms", |_, _, _| {}, Ok(()), 0.9..3.0, None),
        case(
            "answers with a notice alone",
            |c, _, _| say(c, &json!(["NOTICE", "hello"])),
            Ok(()),
            0.9..3.0,
            None,
        ),
        case(
            "duplicate",
            |c, _, e| ok(c, e, false, "duplicate: have it"),
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "mute",
            |c, _, e| ok(c, e, false, "mute: no client listens"),
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "rate-limited once",
            |c, n, e| ok(c, e, n > 0, "rate-limited: slow down"),
            Ok(()),
            0.9..3.0,
            None,
        ),
        case(
            "pow twice",
            |c, n, e| ok(c, e, n > 1, "pow: 20 bits now"),
            Ok(()),
            2.9..5.0,
            None,
        ),
        case(
            "rate-limited for ever",
            |c, _, e| ok(c, e, false, "rate-limited: no"),
            Err(NotConfirmed),
            9.9..11.5,
            Some(RelayFault::Refuses),
        ),
        case(
            "blocked",
            |c, _, e| ok(c, e, false, "blocked: no"),
            Err(NotConfirmed),
            0.0..1.0,
            Some(RelayFault::Refuses),
        ),
        case(
            "auth-required",
            |c, _, e| ok(c, e, false, "auth-required: who?"),
            Err(NotConfirmed),
            0.0..1.0,
            Some(RelayFault::WantsLogin),
        ),
        case(
            "offers a login and takes it",
            |c, _, e| {
                say(c, &json!(["AUTH", "x"]));
                ok(c, e, true, "");
            },
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "takes it late",
            |c, _, e| {
                c.flush().ok();
                std::thread::sleep(Duration::from_secs(2));
                ok(c, e, true, "");
            },
            Ok(()),
            0.9..4.0,
            None,
        ),
        case(
            "sends it back to its sender",
            |c, _, e| {
                say(c, &json!(["EVENT", "x", e]));
                ok(c, e, true, "");
            },
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "confirms another event first",
            |c, _, e| {
                say(c, &json!(["OK", "00".repeat(32), false, "blocked: no"]));
                ok(c, e, true, "");
            },
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "takes it and closes",
            |c, _, e| {
                ok(c, e, true, "");
                c.close(None).ok();
            },
            Ok(()),
            0.0..1.0,
            None,
        ),
        case(
            "closes once, then takes it",
            |c, n, e| {
                if n == 0 {
                    c.close(None).ok();
                } else {
                    ok(c, e, true, "")
                }
            },
            Ok(()),
            0.7..3.0,
            None,
        ),
    ];
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(case.run());
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

/// Waits until a relay has this trouble, and returns its words.
async fn trouble(relays: &Relays, fault: RelayFault) -> String {
    wait(relays, |state| {
        state.troubles.iter().any(|trouble| trouble.fault == fault)
    })
    .await;
    let state = relays.state().borrow().clone();
    let words = state
        .troubles
        .iter()
        .find_map(|trouble| trouble.words.clone());
    words
        .map(|words| words.text().to_owned())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_subscription_is_asked_for_again_and_its_reason_shown() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = scripted_relay(move |client, request| {
        if is_request(request, RING_KIND) && count.fetch_add(1, Ordering::Relaxed) < 1 {
            say(
                client,
                &json!(["CLOSED", request[1], "rate-limited: too many subscriptions"]),
            );
        } else {
            confirm(client, request);
        }
    });
    let (relays, _incoming) = connect(&[url], &BTreeSet::from([5])).unwrap();
    let words = trouble(&relays, RelayFault::NotListening).await;
    // The words come with the refusal; before it, the relay has only not confirmed yet.
    if !words.is_empty() {
        assert_eq!(words, "rate-limited: too many subscriptions");
    }
    wait(&relays, |state| {
        state.listening == 1 && state.troubles.is_empty()
    })
    .await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_never_made_and_a_relay_that_demands_one_is_named() {
    let url = relay_of(|client| {
        say(client, &json!(["AUTH", "challenge"]));
        loop {
            let Message::Text(text) = client.read().ok()? else {
                continue;
            };
            let request: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(request[0], "AUTH");
            say(
                client,
                &json!(["CLOSED", request[1], "auth-required: members"]),
            );
        }
    });
    let (relays, _incoming) = connect(&[url], &BTreeSet::from([5])).unwrap();
    trouble(&relays, RelayFault::WantsLogin).await;
    assert_eq!(relays.state().borrow().listening, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_never_says_eose_listens_once_it_delivers() {
    let event = ring(&outgoing(5));
    let url = scripted_relay(move |client, request| {
        if is_request(request, RING_KIND) {
            std::thread::sleep(Duration::from_millis(500));
            say(client, &json!(["EVENT", request[1], event]));
        }
    });
    let (relays, mut incoming) = connect(&[url], &BTreeSet::from([5])).unwrap();
    trouble(&relays, RelayFault::NotListening).await;
    next(&mut incoming).await;
    wait(&relays, |state| state.listening == 1).await;
}

/// A relay that, once asked for rings, sends what `make` says of the subscription's name, as fast as the client takes it; again on each
/// connection. Returns its URL, and a count of what it sent.
fn flooding_relay(
    make: impl Fn(&Value, u64) -> String + Send + Sync + 'static,
) -> (String, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let url = scripted_relay(move |client, request| {
        confirm(client, request);
        while is_request(request, RING_KIND) {
            let text = make(&request[1], count.fetch_add(1, Ordering::Relaxed));
            if client.send(Message::text(text)).is_err() {
                return;
            }
        }
    });
    (url, sent)
}

/// Twenty rings go over the honest one of two relays while the other floods: all arrive, each soon.
async fn assert_no_ring_is_lost(
    name: &str,
    make: impl Fn(&Value, u64) -> String + Send + Sync + 'static,
) {
    let honest = any_port().await;
    let (hostile, sent) = flooding_relay(make);
    let (relays, mut incoming) = connect(&[hostile, honest.url()], &BTreeSet::from([5])).unwrap();
    let (sender, _unread) = listen(&honest.url(), 1).await;
    wait(&relays, |state| {
        state.troubles.iter().all(|trouble| trouble.position == 1)
    })
    .await;
    let before = sent.load(Ordering::Relaxed);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let outgoing = outgoing(5);
        let (key, began) = (EventKey(outgoing.key.public()), Instant::now());
        sender.publish(outgoing).await.unwrap();
        while next(&mut incoming).await.event_key != key {}
        slowest = slowest.max(began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    // A busy machine reads so slowly that the rings may come before the bound is reached.
    trouble(&relays, RelayFault::Floods).await;
    let (during, state) = (
        sent.load(Ordering::Relaxed),
        relays.state().borrow().clone(),
    );
    println!(
        "{name:<20} hostile messages {before} before, {during} in all; slowest ring {slowest:.1?}; {state:?}"
    );
    assert!(slowest < Duration::from_secs(2), "{name}: {slowest:?}");
    assert_eq!(state.troubles.len(), 1, "{name}: {state:?}");
    assert_eq!(
        (state.troubles[0].position, state.troubles[0].fault),
        (1, RelayFault::Floods),
        "{name}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ring_of_an_honest_relay_is_lost_while_another_relay_floods() {
    assert_no_ring_is_lost("NOTICE", |_, _| json!(["NOTICE", "x"]).to_string()).await;
    assert_no_ring_is_lost("EOSE", |name, _| json!(["EOSE", name]).to_string()).await;
    assert_no_ring_is_lost("CLOSED", |name, _| json!(["CLOSED", name, "x"]).to_string()).await;
    assert_no_ring_is_lost("junk of 5 MB", |_, _| "x".repeat(5_000_000)).await;
    let same = ring(&outgoing(5));
    assert_no_ring_is_lost("one event", move |name, _| {
        json!(["EVENT", name, same]).to_string()
    })
    .await;
    let signed: Vec<Value> = (0..3_000).map(|_| ring(&outgoing(5))).collect();
    assert_no_ring_is_lost("signed events", move |name, at| {
        let at = usize::try_from(at).unwrap() % signed.len();
        json!(["EVENT", name, signed[at]]).to_string()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_signed_never_reaches_the_engine_and_its_relay_is_left_alone() {
    let (victim, other) = (outgoing(5), outgoing(5));
    let public = victim.key.public();
    let (true_ring, first) = (ring(&victim), ring(&other));
    let (copy, signature) = (true_ring.clone(), first["sig"].clone());
    let (url, _) = flooding_relay(move |name, at| {
        // The first event is good; the others have its id, or the victim's key and id with another content, or another signature.
        let mut event = if at % 2 == 0 {
            first.clone()
        } else {
            copy.clone()
        };
        match at % 4 {
            _ if at == 0 => {}
            0 => event["pubkey"] = copy["pubkey"].clone(),
            1 => event["content"] = json!("A".repeat(CONTENT_CHARS)),
            2 => event["created_at"] = json!(first["created_at"].as_u64().unwrap() + 1),
            _ => event["sig"] = signature.clone(),
        }
        json!(["EVENT", name, event]).to_string()
    });
    let honest = any_port().await;
    let (relays, mut incoming) = connect(&[url, honest.url()], &BTreeSet::from([5])).unwrap();
    wait(&relays, |state| {
        let faults = state.troubles.iter().map(|trouble| trouble.fault);
        state.listening >= 1 && faults.eq([RelayFault::Floods])
    })
    .await;
    let (sender, _unread) = listen(&honest.url(), 1).await;
    let bytes = victim.bytes.clone();
    sender.publish(victim).await.unwrap();
    let mut heard = 0;
    loop {
        let got = next(&mut incoming).await;
        heard += 1;
        if got.event_key == EventKey(public) {
            assert_eq!(got.bytes, bytes, "a forged event came before the true one");
            break;
        }
    }
    assert_eq!(heard, 2, "the one good event, and the true ring");
}

#[tokio::test]
async fn lists_of_relays_that_cannot_be_used_are_refused() {
    let connect = |urls: &[String]| connect(urls, &BTreeSet::new()).map(drop);
    assert_eq!(connect(&[]), Err(RelayListError::NoRelay));
    assert_eq!(
        connect(&vec!["ws://a".to_owned(); 9]),
        Err(RelayListError::TooMany(9))
    );
    let bad = "https://a".to_owned();
    assert_eq!(
        connect(std::slice::from_ref(&bad)),
        Err(RelayListError::BadUrl(bad))
    );
}
