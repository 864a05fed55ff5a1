//! The services around two gateways go away at bad moments: a call that is up does not notice, and a person at a phone hears
//! soon and clearly what cannot be.

use std::time::Duration;

use ringfence_box::EmbeddedRelay;

use crate::servers::{SOON, Servers, hears, is_over, is_ringing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_survives_the_death_of_relay_and_phone_book_and_is_hung_up_without_them() {
    let servers = Servers::build().await;
    let [mut a, mut b] = servers.engines().await;
    a.call(&mut b).await;
    servers.relay.stop();
    servers.book.stop().await;
    for phone in [&a.phone, &b.phone] {
        hears(phone, Duration::from_secs(1)).await;
        let gap = phone.heard().longest_gap;
        assert!(gap < Duration::from_millis(500), "{gap:?}");
    }
    b.phone.hang_up().await;
    a.sees(is_over).await;
    b.sees(is_over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_relay_the_caller_hears_503_and_calls_go_through_when_it_is_back() {
    let servers = Servers::build().await;
    let [mut a, mut b] = servers.engines().await;
    let address = servers.relay.address();
    servers.relay.stop();
    // At once, while the gateway may still believe in its connection, and when it knows.
    for known in [false, true] {
        if known {
            let lost = a.relays.wait_for(|state| state.connected == 0);
            tokio::time::timeout(SOON, lost).await.unwrap().unwrap();
        }
        a.phone.dial(&b.number).await;
        assert_eq!(a.refused().await, 503);
    }
    let _again = EmbeddedRelay::start(address).await.unwrap();
    a.connected().await;
    b.connected().await;
    a.call(&mut b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pick_up_needs_no_relay() {
    let servers = Servers::build().await;
    let [mut a, mut b] = servers.engines().await;
    a.phone.dial(&b.number).await;
    b.sees(is_ringing).await;
    servers.relay.stop();
    b.phone.pick_up().await;
    for phone in [&a.phone, &b.phone] {
        hears(phone, Duration::from_secs(1)).await;
    }
    b.phone.hang_up().await;
    a.sees(is_over).await;
    b.sees(is_over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_engine_asks_the_phone_book_when_a_call_is_made() {
    let servers = Servers::build().await;
    let [mut a, mut b] = servers.engines().await;
    servers.book.stop().await;
    a.call(&mut b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_turn_server_the_caller_hears_503_and_the_callee_never_rings() {
    let servers = Servers::build().await;
    let [mut a, mut b] = servers.engines().await;
    // Takes whatever a gateway may have kept ready for the next calls: two allocations.
    for _ in 0..2 {
        a.call(&mut b).await;
        a.phone.hang_up().await;
        a.sees(is_over).await;
        b.sees(is_over).await;
    }
    servers.turn.stop().await;
    a.phone.dial(&b.number).await;
    assert_eq!(a.refused().await, 503);
    let rang = tokio::time::timeout(Duration::from_millis(500), b.phone.event()).await;
    assert!(rang.is_err(), "{rang:?}");
}
