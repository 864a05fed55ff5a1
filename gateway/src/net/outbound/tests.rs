//! Connections with and without a proxy, on loopback.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::net::test_proxy::TestProxy;

fn outbound(proxy: Option<SocksProxy>) -> (Outbound, ConnectionAudit) {
    let audit = ConnectionAudit::begin();
    let outbound = Outbound::new(tls::client(None).unwrap(), proxy).audited(audit.clone());
    (outbound, audit)
}

fn plain(host: &str, port: u16) -> Destination {
    let host = host.to_owned();
    Destination {
        host,
        port,
        is_tls: false,
    }
}

/// A server that greets its clients.
async fn greeter() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            client.write_all(b"hello").await.unwrap();
        }
    });
    address
}

async fn greeting(mut stream: OutboundStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn through_a_proxy_names_are_resolved_there_and_each_circuit_has_its_own_login() {
    let proxy = TestProxy::start(Ok(greeter().await)).await;
    let (outbound, audit) = outbound(Some(proxy.setting()));
    let start = Instant::now();
    let circuits = [Circuit::random(), Circuit::random()];
    for circuit in &circuits {
        for host in ["relay.example.org", "abcdefgh.onion"] {
            let stream = outbound.connect(&plain(host, 443), circuit).await.unwrap();
            assert_eq!(greeting(stream).await, "hello");
        }
    }
    let asked = proxy.asked();
    let names: Vec<_> = asked.iter().map(|asked| asked.name.as_deref()).collect();
    let (name, onion) = (Some("relay.example.org"), Some("abcdefgh.onion"));
    assert_eq!(names, [name, onion, name, onion]);
    assert!(asked.iter().all(|asked| asked.port == 443));
    assert_eq!(asked[0].user, asked[1].user);
    assert_ne!(asked[0].user, asked[2].user);
    assert_ne!(asked[0].password, asked[2].password);
    assert_eq!(outbound.proxy_answers(), Some(true));
    assert_eq!(audit.since(start), []);
}

#[tokio::test]
async fn without_a_proxy_an_onion_name_is_refused_and_not_looked_up() {
    let (outbound, audit) = outbound(None);
    let start = Instant::now();
    for host in ["abcdefgh.onion", "www.abcdefgh.ONION", "abcdefgh.onion."] {
        let refused = outbound.connect(&plain(host, 80), &Circuit::random()).await;
        let error = refused.unwrap_err();
        assert_eq!(error, OutboundError::OnionWithoutProxy);
        assert!(error.remedy().contains("socks5h://"));
    }
    assert_eq!(audit.since(start), []);
    let address = greeter().await;
    let near = plain("localhost", address.port());
    let stream = outbound.connect(&near, &Circuit::random()).await.unwrap();
    assert_eq!(greeting(stream).await, "hello");
    let looked_up = AuditEntry::Name("localhost".to_owned());
    assert_eq!(audit.since(start), [looked_up]);
}

#[tokio::test]
async fn this_machine_and_private_networks_are_reached_past_the_proxy() {
    let proxy = TestProxy::start(Err(1)).await;
    let (outbound, _) = outbound(Some(proxy.setting()));
    let to = plain("127.0.0.1", greeter().await.port());
    let stream = outbound.connect(&to, &Circuit::random()).await.unwrap();
    assert_eq!(greeting(stream).await, "hello");
    assert_eq!(proxy.asked(), []);
    assert_eq!(outbound.proxy_answers(), None);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_the_reason_and_one_that_is_away_too() {
    for (code, refusal) in [
        (1, ProxyRefusal::Unreached),
        (2, ProxyRefusal::Forbidden),
        (4, ProxyRefusal::Unreached),
        (0xf0, ProxyRefusal::Unreached),
    ] {
        let proxy = TestProxy::start(Err(code)).await;
        let (outbound, _) = outbound(Some(proxy.setting()));
        let to = plain("relay.example.org", 443);
        let refused = outbound.connect(&to, &Circuit::random()).await;
        assert_eq!(
            refused.unwrap_err(),
            OutboundError::Refused(refusal),
            "{code}"
        );
        assert_eq!(outbound.proxy_answers(), Some(true), "{code}");
    }
    // The greeter speaks before it is asked, and not SOCKS.
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = away.local_addr().unwrap();
    drop(away);
    for (address, expected) in [
        (address, OutboundError::Proxy(ErrorKind::ConnectionRefused)),
        (
            greeter().await,
            OutboundError::Refused(ProxyRefusal::NotSocks),
        ),
    ] {
        let setting = format!("socks5h://{address}").parse().unwrap();
        let (outbound, _) = outbound(Some(setting));
        let to = plain("abcdefgh.onion", 80);
        let refused = outbound.connect(&to, &Circuit::random()).await;
        assert_eq!(refused.unwrap_err(), expected);
        assert_eq!(outbound.proxy_answers(), Some(false), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_is_given_up_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (outbound, _) = outbound(None);
    let to = Destination {
        is_tls: true,
        ..plain("127.0.0.1", port)
    };
    let ended = outbound.connect(&to, &Circuit::random()).await;
    assert_eq!(ended.unwrap_err(), OutboundError::Timeout(DIRECT_LIMIT));
}
