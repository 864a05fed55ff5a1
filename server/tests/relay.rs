//! The embedded relay with a real Nostr client: rings pass, nothing else does, nothing stays.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::net::SocketAddr;
use std::time::Duration;

use nostr_sdk::prelude::*;
use ringfence_phonebook::EmbeddedRelay;
use ringfence_phonebook::relay::{RING_KIND, RelayLimits, RelayPlan};
use tokio::time::timeout;

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
    assert!(told[0].contains("stamp"), "{told:?}");
    relay.stop();
}

#[tokio::test]
async fn a_strangers_subscription_gets_nothing() {
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

#[tokio::test]
async fn a_taken_port_is_named() {
    let relay = relay().await;
    let error = EmbeddedRelay::start(relay.address())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&relay.address().to_string()), "{error}");
}
