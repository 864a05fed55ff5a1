//! The log of a gateway at its default level contains no number, address, key, user or password, whatever happens.

use std::time::Duration;

use ringfence_box::EmbeddedRelay;

use crate::log::{Log, leaks, secrets};
use crate::servers::{RunningEngine, Servers, is_over};

/// A server whose name does not exist (RFC 6761 section 6.4).
const NOWHERE: &str = "turn:nowhere.invalid:3478";

async fn live(servers: Servers, a: &mut RunningEngine, b: &mut RunningEngine) {
    a.call(b).await;
    a.phone.hang_up().await;
    b.sees(is_over).await;
    let address = servers.relay.address();
    servers.relay.stop();
    servers.book.stop().await;
    a.phone.dial(&b.number).await;
    assert_eq!(a.refused().await, 503);
    let _again = EmbeddedRelay::start(address).await.unwrap();
    a.connected().await;
    servers.turn.stop().await;
    // The server's listening socket is closed a moment after its task.
    tokio::time::sleep(Duration::from_millis(200)).await;
    a.phone.dial(&b.number).await;
    assert_eq!(a.refused().await, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_contains_no_name_in_a_call_nor_when_everything_fails() {
    let log = Log::capture();
    let servers = Servers::build().await;
    let [mut stored_a, stored_b] = servers.stored_engines().await;
    let stream = format!("turn:{}?transport=tcp", servers.turn.local_addr());
    stored_a.config.turn.urls = vec![NOWHERE.parse().unwrap(), stream.parse().unwrap()];
    let (mut a, mut b) = (
        stored_a.open(&servers, 0).await,
        stored_b.open(&servers, 1).await,
    );
    live(servers, &mut a, &mut b).await;
    tokio::join!(a.gateway.stop(), b.gateway.stop());
    let text = log.text();
    for told in [
        "TURN server 1 of 2 is left out: its name has no address",
        "no relay carries the ring or its answer",
        "cannot be reached",
    ] {
        assert!(text.contains(told), "{told} is not in the log:\n{text}");
    }
    for stored in [&stored_a, &stored_b] {
        let mut secrets = secrets(stored);
        secrets.push("nowhere.invalid".to_owned());
        assert_eq!(leaks(&text, &secrets), Vec::<String>::new(), "{text}");
    }
}
