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

/// A proxy that takes this method, says this, in one piece with the server's first words or byte by byte, and then waits.
async fn scripted_proxy(method: u8, reply: &[u8], is_slow: bool) -> SocksProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5h://{}", listener.local_addr().unwrap());
    let said: Vec<u8> = [reply, b"hello"].concat();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = [0; 600];
        client.read_exact(&mut asked[..4]).await.unwrap();
        client.write_all(&[5, method]).await.unwrap();
        if method == 2 {
            client.read_exact(&mut asked[..67]).await.unwrap();
            client.write_all(&[1, 0]).await.unwrap();
        }
        // The rest is the request, in one piece on loopback.
        assert!(client.read(&mut asked).await.unwrap() > 0);
        let pieces = said.chunks(if is_slow { 1 } else { said.len() });
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    });
    url.parse().unwrap()
}

#[tokio::test]
async fn replies_of_proxies_in_every_form_lead_to_the_server_and_its_first_words_are_kept() {
    let domain = [&[5, 0, 0, 3, 9][..], b"localhost", &[0, 80]].concat();
    let ipv6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
    for (name, reply) in [
        ("an IPv4 address", &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..]),
        ("xroche/httrack 570: an IPv6 address", &ipv6),
        ("nmap/nmap 2365: a name", &domain),
        (
            "telegramdesktop/tdesktop 3574: an empty name",
            &[5, 0, 0, 3, 0, 0, 0],
        ),
    ] {
        for method in [0, 2] {
            for is_slow in [false, true] {
                let proxy = scripted_proxy(method, reply, is_slow).await;
                let (outbound, _) = outbound(Some(proxy));
                let to = plain("relay.example.org", 443);
                let stream = outbound.connect(&to, &Circuit::random()).await;
                let said = greeting(stream.unwrap()).await;
                assert_eq!(said, "hello", "{name}, method {method}, slow: {is_slow}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_for_a_proxy_is_not_the_proxys_fault() {
    let proxy = TestProxy::start(Ok(greeter().await)).await;
    let (outbound, _) = outbound(Some(proxy.setting()));
    // vacp2p/nim-libp2p 3055: its length was cut to a byte.
    let long = plain(&format!("{}.example", "a".repeat(300)), 443);
    let refused = outbound.connect(&long, &Circuit::random()).await;
    let expected = OutboundError::Refused(ProxyRefusal::Unreached);
    assert_eq!(refused.unwrap_err(), expected);
    assert_eq!(proxy.asked(), []);
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
        (3, ProxyRefusal::Unreached),
        (4, ProxyRefusal::Unreached),
        (5, ProxyRefusal::Unreached),
        // WalletWasabi 5819: Tor's word for an onion service that is away.
        (6, ProxyRefusal::Unreached),
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
