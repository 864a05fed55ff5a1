//! The embedded relay with a real Nostr client: rings pass, nothing else does, nothing stays.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::net::SocketAddr;
use std::time::Duration;

use nostr_sdk::prelude::*;
use ringfence_phonebook::EmbeddedRelay;
use ringfence_phonebook::relay::RING_KIND;
use tokio::time::timeout;

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
    let bucket = Tag::custom(TagKind::custom("t"), ["rf1-0-0000"]);
    EventBuilder::new(Kind::from(kind), "A".repeat(content))
        .tag(bucket)
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
    let ring = event(RING_KIND, 1_368);
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
        (1, 1_368),
        (1_059, 1_368),
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
    let sent = client.send_event(&event(RING_KIND, 1_368)).await.unwrap();
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
async fn a_taken_port_is_named() {
    let relay = relay().await;
    let error = EmbeddedRelay::start(relay.address())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&relay.address().to_string()), "{error}");
}
