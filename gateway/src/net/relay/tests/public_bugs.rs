//! Faults of relays that public reports describe, each with the repository and the number of a report: what the client makes of them.
//!
//! Faults of single frames and of the opening handshake are in `connection`, those of SOCKS5 proxies in `outbound`.

use ringfence_book::nostr_event::NOTE_KIND;

use super::*;

/// What publishing says at a relay that answers each event so, and whether it comes at once.
async fn published(answer: fn(&mut Client, &Value)) -> (Result<(), PublishError>, bool) {
    let url = scripted_relay(move |client, request| {
        confirm(client, request);
        if request[0] == "EVENT" {
            answer(client, &request[1]);
        }
    });
    let (relays, _incoming) = listen(&url, 5).await;
    let began = Instant::now();
    let published = relays.publish(outgoing(5)).await;
    (published, began.elapsed() < Duration::from_millis(900))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_that_lack_something_are_understood() {
    const REFUSED: Result<(), PublishError> = Err(PublishError::NotConfirmed);
    type Answer = fn(&mut Client, &Value);
    let cases: [(&str, Answer, Result<(), PublishError>, bool); 6] = [
        (
            "coracle-social/bucket 4: OK has no words",
            |c, e| say(c, &json!(["OK", e["id"], true])),
            Ok(()),
            true,
        ),
        (
            "coracle-social/bucket 4: a refusal has no words",
            |c, e| say(c, &json!(["OK", e["id"], false])),
            REFUSED,
            true,
        ),
        (
            "a refusal's words are null",
            |c, e| say(c, &json!(["OK", e["id"], false, null])),
            REFUSED,
            true,
        ),
        (
            "UTXOnly/nostpy-relay 48: OK names no event",
            |c, _| say(c, &json!(["OK", "n0stafarian419", true, ""])),
            Ok(()),
            false,
        ),
        (
            "scsibug/nostr-rs-relay 220: no OK for ephemeral events",
            |_, _| {},
            Ok(()),
            false,
        ),
        (
            "block/buzz 2364: NOTICE in place of OK",
            |c, _| say(c, &json!(["NOTICE", "rate-limited: slow down"])),
            Ok(()),
            false,
        ),
    ];
    for (name, answer, expected, at_once) in cases {
        assert_eq!(published(answer).await, (expected, at_once), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_sends_every_event_back_is_no_relay_that_sends_junk() {
    let connections = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&connections);
    let url = relay_of(move |client| {
        opened.fetch_add(1, Ordering::Relaxed);
        loop {
            let Message::Text(text) = client.read().ok()? else {
                continue;
            };
            let request: Value = serde_json::from_str(&text).unwrap();
            confirm(client, &request);
            if request[0] == "EVENT" {
                say(client, &json!(["EVENT", "sub", request[1]]));
                ok(client, &request[1], true, "");
            }
        }
    });
    let (relays, _incoming) = listen(&url, 5).await;
    for _ in 0..100 {
        assert_eq!(relays.publish(outgoing(5)).await, Ok(()));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    assert_eq!(relays.state().borrow().troubles, []);
}

/// A relay answers the first subscription to rings so, and serves later ones: the client asks two times, and then listens.
async fn assert_asked_again(name: &'static str, first: fn(&mut Client, &Value)) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = scripted_relay(move |client, request| {
        if is_request(request, RING_KIND) && count.fetch_add(1, Ordering::Relaxed) == 0 {
            first(client, &request[1]);
        } else {
            confirm(client, request);
        }
    });
    let (relays, _incoming) = connect(&[url], &BTreeSet::from([5])).unwrap();
    wait(&relays, |state| {
        state.listening == 1 && asked.load(Ordering::Relaxed) > 1
    })
    .await;
    // It lasts.
    sleep(Duration::from_millis(500)).await;
    assert_eq!(relays.state().borrow().listening, 1, "{name}");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_a_relay_refuses_or_ends_in_its_own_way_is_asked_for_again() {
    type Answer = fn(&mut Client, &Value);
    let cases: [(&str, Answer); 6] = [
        (
            "divinevideo/divine-mobile 9007: a refusal is a NOTICE without a name",
            |c, _| {
                say(
                    c,
                    &json!(["NOTICE", "ERROR: bad req: subscription id too long"]),
                )
            },
        ),
        ("Spl0itable/nosflare 7: EOSE has no name", |c, _| {
            say(c, &json!(["EOSE"]))
        }),
        (
            "nostr-protocol/nips 1887: CLOSED has no words",
            |c, name| say(c, &json!(["CLOSED", name])),
        ),
        ("lumehq/coop 24: too many subscriptions", |c, name| {
            say(c, &json!(["EOSE", name]));
            say(
                c,
                &json!(["CLOSED", name, "ERROR: too many concurrent REQs"]),
            );
        }),
        (
            "mikedilger/gossip 197: the connection is reset without a close",
            |c, _| {
                c.get_ref().shutdown(std::net::Shutdown::Both).ok();
            },
        ),
        (
            "jiftechnify/nostr-fetch 50: closed with code 4000",
            |c, _| {
                let frame = tungstenite::protocol::CloseFrame {
                    code: 4_000.into(),
                    reason: "do not come back".into(),
                };
                c.close(Some(frame)).ok();
            },
        ),
    ];
    let mut running = JoinSet::new();
    for (name, first) in cases {
        running.spawn(assert_asked_again(name, first));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

/// So many notes, the newest first, each some seconds older.
fn notes(count: u64) -> Vec<Value> {
    let now = clock::unix_seconds();
    let note = |at| OutgoingEvent {
        is_note: true,
        work_nonce: at,
        ..outgoing(5)
    };
    let made = (0..count).map(|at| write_event(&note(at), 3, now - at * 60).unwrap());
    made.map(|event| json_of(&event)).collect()
}

/// Waits until so many different events have come.
async fn hear(incoming: &mut RelayInbox, count: usize, name: &str) {
    let mut heard = BTreeSet::new();
    while heard.len() < count {
        let got = timeout(Duration::from_secs(20), incoming.recv()).await;
        let got = got.unwrap_or_else(|_| panic!("{name}: {} came", heard.len()));
        heard.insert(got.unwrap().event_key.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_come_from_relays_with_limits_and_an_order_of_their_own() {
    let kept = notes(5);
    let early = scripted_relay(move |client, request| {
        confirm(client, request);
        if is_request(request, NOTE_KIND) {
            for note in &kept {
                say(client, &json!(["EVENT", request[1], note]));
            }
        }
    });
    let (_relays, mut incoming) = listen(&early, 5).await;
    hear(
        &mut incoming,
        5,
        "nostr-dev-kit/ndk 35: EOSE comes before what is stored",
    )
    .await;

    let kept = notes(5);
    let strict = scripted_relay(move |client, request| {
        if request[2]["limit"]
            .as_u64()
            .is_some_and(|limit| limit > 300)
        {
            let words = "invalid: limitation.max_limit 300";
            return say(client, &json!(["CLOSED", request[1], words]));
        }
        if is_request(request, NOTE_KIND) && request[2]["until"].is_null() {
            for note in &kept {
                say(client, &json!(["EVENT", request[1], note]));
            }
        }
        confirm(client, request);
    });
    let (_relays, mut incoming) = listen(&strict, 5).await;
    hear(
        &mut incoming,
        5,
        "rnostr/rnostr 27: a high limit is refused",
    )
    .await;

    let stingy = notes(130);
    let confirming = scripted_relay(move |client, request| {
        if request[0] == "CLOSE" {
            return say(client, &json!(["CLOSED", request[1], ""]));
        }
        let until = request[2]["until"].as_u64().unwrap_or(u64::MAX);
        let matches = |note: &&Value| {
            note["kind"] == request[2]["kinds"][0]
                && note["created_at"].as_u64().is_some_and(|at| at <= until)
        };
        for note in stingy.iter().filter(matches).take(3) {
            say(client, &json!(["EVENT", request[1], note]));
        }
        confirm(client, request);
    });
    let (relays, mut incoming) = listen(&confirming, 5).await;
    let name = "nostr-protocol/nips 1887 and 2317: CLOSE is confirmed, pages are short";
    hear(&mut incoming, 130, name).await;
    assert_eq!(relays.state().borrow().troubles, [], "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_fit_nothing_are_dropped_and_the_next_good_one_is_heard() {
    let good = outgoing(5);
    let key = EventKey(good.key.public());
    let good = ring(&good);
    let other_bucket = ring(&outgoing(6));
    let url = scripted_relay(move |client, request| {
        confirm(client, request);
        if !is_request(request, RING_KIND) {
            return;
        }
        let changed = |field: &str, value: Value| {
            let mut event = good.clone();
            event[field] = value;
            event
        };
        let odd = [
            // barrydeen/haven 80, cnixbtc/NostrKit 1: what the filter does not name.
            other_bucket.clone(),
            // nostr-protocol/nostr 177: times that are no whole seconds.
            changed("created_at", json!(1_795_000_000.25)),
            changed("created_at", json!("1795000000")),
            changed("kind", json!("20421")),
            changed("sig", Value::Null),
            changed("id", json!("zz")),
        ];
        for event in odd {
            say(client, &json!(["EVENT", request[1], event]));
        }
        say(client, &json!(["EVENT", 7, good]));
        say(client, &json!(["EVENT", request[1]]));
        client.send(Message::text("\u{feff}[]")).ok();
        client
            .send(Message::binary(good.to_string().into_bytes()))
            .ok();
        say(client, &json!(["EVENT", request[1], good]));
    });
    let (relays, mut incoming) = listen(&url, 5).await;
    assert_eq!(next(&mut incoming).await.event_key, key);
    assert!(is_empty(&mut incoming).await);
    assert_eq!(relays.state().borrow().troubles, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_answer_the_opening_handshake_otherwise_are_left_and_tried_again_with_pauses()
{
    for (name, answer) in [
        (
            "rustdesk/rustdesk 11688: a redirect to another scheme",
            "HTTP/1.1 301 Moved Permanently\r\nlocation: wss://relay.example/\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "a gateway's page",
            "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        ),
        (
            "snapview/tokio-tungstenite 5: 400 of a proxy",
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
        ),
        ("a site", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    ] {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", server.local_addr().unwrap());
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            while let Ok((mut stream, _)) = server.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                drop(stream.read(&mut [0; 2_000]));
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        let (relays, _incoming) = connect(&[url], &BTreeSet::from([5])).unwrap();
        trouble(&relays, RelayFault::Unreachable).await;
        sleep(Duration::from_millis(2_500)).await;
        let opened = opened.load(Ordering::Relaxed);
        // Two connections at once, after a second, and after two more.
        assert!((4..=6).contains(&opened), "{name}: {opened}");
    }
}
