//! The real servers start, answer and stop.

use std::{net::TcpStream, time::Duration};

use ringfence_tests::{
    coturn::CoturnServer,
    nostr_relay::NostrRelay,
    program::{installed, skipped},
};

#[test]
fn coturn_answers_and_ends_with_the_test() {
    if !installed(&["turnserver"]) {
        return;
    }
    let coturn = CoturnServer::start();
    let address = coturn.address();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    drop(coturn);
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}

#[test]
fn the_independent_relay_answers_and_ends_with_the_test() {
    if !NostrRelay::path().is_file() {
        return skipped("the relay from PyPI is not in the target folder");
    }
    let relay = NostrRelay::start();
    let address = relay.url().replace("ws://", "").parse().unwrap();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    drop(relay);
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}
