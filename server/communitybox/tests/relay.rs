//! The embedded relay with a real Nostr client: rings pass, notes stay for who comes later, nothing else does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr_sdk::prelude::{
    Client, Event, EventBuilder, Filter, Keys, Kind, RelayMessage, RelayPoolNotification, Tag,
    Timestamp,
};
use ringfence_book::nostr_event::{NOTE_KIND, RING_KIND};
use ringfence_box::EmbeddedRelay;
use ringfence_box::relay::{RelayLimits, RelayPlan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message as WebSocketMessage};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Letters of an envelope in base64.
const RING: usize = 1_368;

async fn relay() -> EmbeddedRelay {
    EmbeddedRelay::start(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
}

async fn client(relay: &EmbeddedRelay) -> Client {
    let client = Client::new(Keys::generate());
    client.add_relay(relay.url()).await.unwrap();
    client.connect().await;
    client.wait_for_connection(Duration::from_secs(10)).await;
    client
}

fn event(kind: u16, content: usize) -> Event {
    let end = Timestamp::now().as_secs() + 70;
    let tags = [
        ["t", "rf1-0-0000"],
        ["w", "0000000000000007"],
        ["expiration", &end.to_string()],
    ];
    let mut content = "A".repeat(content);
    if content.len() == RING {
        // Two of the last three bytes are padding.
        content.replace_range(RING - 2.., "==");
    }
    EventBuilder::new(Kind::from(kind), content)
        .tags(tags.map(|tag| Tag::parse(tag).unwrap()))
        .sign_with_keys(&Keys::generate())
        .unwrap()
}

#[tokio::test]
async fn a_browser_is_told_what_is_here() {
    let relay = relay().await;
    let address = relay.url().replace("ws://", "");
    // The second is what a web server in front passes on.
    for head in ["Connection: close", "Connection: upgrade"] {
        let mut stream = TcpStream::connect(address.trim_end_matches('/'))
            .await
            .unwrap();
        let asked = format!("GET /relay HTTP/1.1\r\nHost: relay\r\n{head}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut shown = String::new();
        stream.read_to_string(&mut shown).await.unwrap();
        assert!(shown.starts_with("HTTP/1.1 426 "), "{shown}");
        assert!(shown.contains("It runs."), "{shown}");
    }
}

#[tokio::test]
async fn a_ring_reaches_who_listens() {
    let relay = relay().await;
    let (caller, callee) = (client(&relay).await, client(&relay).await);
    let mut heard = callee.notifications();
    callee
        .subscribe(Filter::new().kind(Kind::from(RING_KIND)), None)
        .await
        .unwrap();
    let ring = event(RING_KIND, RING);
    let arrival = async {
        loop {
            match heard.recv().await.unwrap() {
                RelayPoolNotification::Message {
                    message: RelayMessage::EndOfStoredEvents(_),
                    ..
                } => {
                    caller.send_event(&ring).await.unwrap();
                }
                RelayPoolNotification::Event { event, .. } => return *event,
                _ => {}
            }
        }
    };
    assert_eq!(
        timeout(Duration::from_secs(20), arrival).await.unwrap().id,
        ring.id
    );
    relay.stop();
}

#[tokio::test]
async fn what_is_no_ring_is_refused() {
    let relay = relay().await;
    let client = client(&relay).await;
    for (kind, content) in [
        (1, RING),
        (1_059, RING),
        (RING_KIND, 0),
        (RING_KIND, 1_367),
        (RING_KIND, 1_369),
    ] {
        let sent = client.send_event(&event(kind, content)).await.unwrap();
        assert!(
            sent.success.is_empty() && !sent.failed.is_empty(),
            "{kind} {content}"
        );
    }
    relay.stop();
}

#[tokio::test]
async fn a_ring_is_gone_for_who_comes_later() {
    let relay = relay().await;
    let client = client(&relay).await;
    let sent = client.send_event(&event(RING_KIND, RING)).await.unwrap();
    assert!(!sent.success.is_empty());
    let stored = client
        .fetch_events(
            Filter::new().kind(Kind::from(RING_KIND)),
            Duration::from_secs(10),
        )
        .await
        .unwrap();
    assert!(stored.is_empty());
    relay.stop();
}

#[tokio::test]
async fn a_note_waits_for_who_comes_later_and_one_too_many_is_refused() {
    let plan = RelayPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        work_bits: 0,
        limits: RelayLimits {
            notes: 1,
            ..RelayLimits::DEFAULT
        },
    };
    let relay = EmbeddedRelay::open(plan).await.unwrap();
    let sender = client(&relay).await;
    let note = event(NOTE_KIND, RING);
    let sent = sender.send_event(&note).await.unwrap();
    assert!(!sent.success.is_empty());
    let more = sender.send_event(&event(NOTE_KIND, RING)).await.unwrap();
    assert!(more.success.is_empty());
    let receiver = client(&relay).await;
    let notes = Filter::new()
        .kind(Kind::from(NOTE_KIND))
        .hashtag("rf1-0-0000");
    let stored = receiver.fetch_events(notes, Duration::from_secs(10)).await;
    let stored = stored.unwrap();
    assert_eq!(
        stored.iter().map(|event| event.id).collect::<Vec<_>>(),
        [note.id]
    );
    relay.stop();
}

#[tokio::test]
async fn work_that_is_not_enough_is_refused() {
    let plan = RelayPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        work_bits: 28,
        limits: RelayLimits::DEFAULT,
    };
    let relay = EmbeddedRelay::open(plan).await.unwrap();
    let client = client(&relay).await;
    let sent = client.send_event(&event(RING_KIND, RING)).await.unwrap();
    let told: Vec<&String> = sent.failed.values().collect();
    assert!(told[0].contains("proof of work"), "{told:?}");
    relay.stop();
}

#[tokio::test]
async fn a_subscription_of_another_kind_gets_nothing() {
    let relay = relay().await;
    let (stranger, caller) = (client(&relay).await, client(&relay).await);
    let mut heard = stranger.notifications();
    let everything = [Filter::new(), Filter::new().kind(Kind::from(1))];
    for filter in everything {
        stranger.subscribe(filter, None).await.unwrap();
    }
    let mut closed = 0;
    let refusals = async {
        while closed < 2 {
            if let RelayPoolNotification::Message {
                message: RelayMessage::Closed { .. },
                ..
            } = heard.recv().await.unwrap()
            {
                closed += 1;
            }
        }
    };
    timeout(Duration::from_secs(20), refusals).await.unwrap();
    let sent = caller.send_event(&event(RING_KIND, RING)).await.unwrap();
    assert!(!sent.success.is_empty());
    let arrival = async {
        loop {
            if let RelayPoolNotification::Event { event, .. } = heard.recv().await.unwrap() {
                return event;
            }
        }
    };
    let arrival = timeout(Duration::from_secs(1), arrival).await;
    assert!(arrival.is_err(), "{arrival:?}");
    relay.stop();
}

#[tokio::test]
async fn a_flood_on_one_connection_is_slowed_down() {
    let limits = RelayLimits {
        events_per_minute: 5,
        ..RelayLimits::DEFAULT
    };
    let plan = RelayPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        work_bits: 0,
        limits,
    };
    let relay = EmbeddedRelay::open(plan).await.unwrap();
    let client = client(&relay).await;
    let mut passed = 0;
    for _ in 0..10 {
        let sent = client.send_event(&event(RING_KIND, RING)).await.unwrap();
        passed += usize::from(!sent.success.is_empty());
    }
    assert_eq!(passed, 5);
    relay.stop();
}

type Raw = WebSocketStream<TcpStream>;

async fn raw(relay: &EmbeddedRelay) -> Result<Raw, WebSocketError> {
    let stream = TcpStream::connect(relay.address()).await?;
    Ok(client_async(relay.url(), stream).await?.0)
}

/// Whether the relay ends the connection, after whatever it says.
async fn is_shown_the_door(socket: &mut Raw) -> bool {
    let ending = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(Duration::from_secs(10), ending).await.is_ok()
}

#[tokio::test]
async fn who_says_what_this_relay_does_not_know_is_shown_the_door() {
    let relay = relay().await;
    let long = format!("[\"REQ\",\"a\",{{\"kinds\":[{}1]}}]", "1,".repeat(5_000));
    for text in [
        "hello",
        "[]",
        r#"["COUNT","a",{"kinds":[20777]}]"#,
        r#"["NEG-OPEN","a",{"kinds":[20777]},"6100"]"#,
        &long,
    ] {
        let mut socket = raw(&relay).await.unwrap();
        // It may be gone before all of it is said.
        drop(socket.send(WebSocketMessage::text(text)).await);
        assert!(is_shown_the_door(&mut socket).await, "{text:.40}");
    }
    let mut socket = raw(&relay).await.unwrap();
    let binary = WebSocketMessage::binary(vec![0; 10]);
    socket.send(binary).await.unwrap();
    assert!(is_shown_the_door(&mut socket).await);
    relay.stop();
}

#[tokio::test]
async fn subscriptions_and_their_filters_are_counted() {
    let relay = relay().await;
    let mut socket = raw(&relay).await.unwrap();
    let filter = r##"{"kinds":[20777],"#t":["rf1-0-0000"]}"##;
    let mut answers = Vec::new();
    for index in 0..17 {
        let text = format!("[\"REQ\",\"{index}\",{filter}]");
        socket.send(WebSocketMessage::text(text)).await.unwrap();
        answers.push(socket.next().await.unwrap().unwrap().into_text().unwrap());
    }
    assert!(answers[..16].iter().all(|answer| answer.contains("EOSE")));
    assert!(answers[16].contains("CLOSED"), "{}", answers[16]);
    let many = format!("[\"REQ\",\"0\",{}]", [filter; 5].join(","));
    socket.send(WebSocketMessage::text(many)).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(answer.contains("CLOSED"), "{answer}");
    relay.stop();
}

#[tokio::test]
async fn a_full_relay_accepts_no_client_until_one_leaves() {
    let limits = RelayLimits {
        connections: 2,
        ..RelayLimits::DEFAULT
    };
    let plan = RelayPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        work_bits: 0,
        limits,
    };
    let relay = EmbeddedRelay::open(plan).await.unwrap();
    let inside = [raw(&relay).await.unwrap(), raw(&relay).await.unwrap()];
    assert!(raw(&relay).await.is_err());
    drop(inside);
    let coming = async { while raw(&relay).await.is_err() {} };
    timeout(Duration::from_secs(10), coming).await.unwrap();
    relay.stop();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let relay = relay().await;
    let error = EmbeddedRelay::start(relay.address())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&relay.address().to_string()), "{error}");
}
