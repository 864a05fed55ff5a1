//! Tests of the client against servers and proxies that close, compress, redirect or publish what no engine accepts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringfence_book::bounds::BoundsError;
use ringfence_book::{NumberPlan, Want};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::lines::LineError;
use crate::lines::activate::activate;
use crate::net::audit::{AuditEntry, ConnectionAudit};
use crate::net::outbound::Outbound;
use crate::net::test_proxy::TestProxy;
use crate::net::tls;
use crate::state::keystore::Keystore;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn book(work_bits: u8, epoch_seconds: u32) -> PhoneBook {
    let config = Config {
        listen: ANY,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 2).unwrap(),
        work_bits,
        epoch_seconds,
        ..Config::default()
    };
    PhoneBook::start(config).await.unwrap()
}

/// A server that answers the requests of each connection with these texts, in order, and then reads one more and closes. Returns its
/// URL and the number of requests that it got.
async fn server(answers: &'static [&'static str]) -> (String, &'static AtomicUsize) {
    let requests: &AtomicUsize = Box::leak(Box::default());
    let listener = TcpListener::bind(ANY).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                for answer in answers.iter().map(Some).chain([None]) {
                    if client.read(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                    requests.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = answer {
                        client.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    (url, requests)
}

fn client(url: &str) -> BookClient {
    BookClient::new(url, &Outbound::direct()).unwrap()
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_once_for_downloads_and_never_for_requests_of_a_line()
 {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nroot";
    let (url, requests) = server(&[ANSWER]).await;
    let client = client(&url);
    for _ in 0..3 {
        let got = client.get(Want::Newest, None).await;
        assert_eq!(got.unwrap().unwrap(), b"root");
    }
    // The second and the third came too late for their connections, and once more.
    assert_eq!(requests.load(Ordering::Relaxed), 5);

    let (url, requests) = server(&[]).await;
    let client = BookClient::new(&url, &Outbound::direct()).unwrap();
    let broken = |error| {
        matches!(
            error,
            BookError::Unreachable {
                why: Unreachable::Broken,
                ..
            }
        )
    };
    assert!(broken(client.challenge().await.unwrap_err()));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    let got = client.get(Want::Newest, None).await;
    assert!(broken(got.unwrap_err()));
    assert_eq!(
        requests.load(Ordering::Relaxed),
        2,
        "a new connection is not replaced"
    );
}

#[tokio::test]
async fn compression_and_redirects_are_named_and_not_followed() {
    const GZIP: &str =
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x0b\x08";
    let (url, _) = server(&[GZIP]).await;
    let error = client(&url).network().await.unwrap_err();
    assert_eq!(error, BookError::Compressed("gzip".to_owned()));
    const MOVED: &str = "HTTP/1.1 301 Moved Permanently\r\nlocation: https://new.example/api/v1/network\r\ncontent-length: 0\r\n\r\n";
    let (url, requests) = server(&[MOVED]).await;
    let error = client(&url).network().await.unwrap_err();
    assert!(error.to_string().contains("https://new.example"), "{error}");
    assert!(error.remedy().contains("https://new.example"));
    assert!(!error.unnamed().contains("new.example"));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_code_is_not_sent_to_a_server_that_only_names_the_key_of_its_book() {
    let book = book(16, 60).await;
    let settings = client(&book.url()).get(Want::Network, None).await;
    let settings = String::from_utf8(settings.unwrap().unwrap()).unwrap();
    let answers = [settings, "x".repeat(257)].map(|body| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}", body.len());
        &*Box::leak(format!("{head}\r\n\r\n{body}").into_boxed_str())
    });
    let (url, requests) = server(Box::leak(Box::new(answers))).await;
    let issued = book.issue().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = Keystore::open(folder.path(), None).unwrap();
    let refused = activate(&mut store, &client(&url), &issued.code, None).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, LineError::Book(BookError::Unfit(_))),
        "{refused}"
    );
    assert_eq!(requests.load(Ordering::Relaxed), 2, "settings and root");
}

#[tokio::test]
async fn through_a_proxy_downloads_share_a_circuit_and_each_request_of_a_line_has_its_own() {
    let book = book(16, 300).await;
    let target = book.url().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = TestProxy::start(Ok(target)).await;
    let (audit, start) = (ConnectionAudit::begin(), clock::now());
    let outbound = Outbound::new(tls::client(None).unwrap(), Some(proxy.setting()));
    let outbound = outbound.audited(audit.clone());
    let client = BookClient::new("http://abcdefgh.onion", &outbound).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut copy = BookCopy::open(folder.path(), book.book_key()).unwrap();
    copy.refresh(&client).await.unwrap();
    client.challenge().await.unwrap();
    client.challenge().await.unwrap();
    let asked = proxy.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.name.as_deref() == Some("abcdefgh.onion"))
    );
    let users: std::collections::BTreeSet<_> = asked.iter().map(|asked| &asked.user).collect();
    assert_eq!((asked.len(), users.len()), (3, 3));
    let is_name = |entry: &AuditEntry| matches!(entry, AuditEntry::Name(_));
    assert!(
        !audit.since(start).iter().any(is_name),
        "a name was looked up here"
    );
}

#[tokio::test]
async fn an_onion_book_without_a_proxy_is_refused_with_a_remedy_and_not_looked_up() {
    let (audit, start) = (ConnectionAudit::begin(), clock::now());
    let outbound = Outbound::direct().audited(audit.clone());
    let client = BookClient::new("http://abcdefgh.onion", &outbound).unwrap();
    let error = client.introduce().await.unwrap_err();
    assert!(
        error.remedy().contains("proxy = \"socks5h://"),
        "{}",
        error.remedy()
    );
    let is_name = |entry: &AuditEntry| matches!(entry, AuditEntry::Name(_));
    assert!(!audit.since(start).iter().any(is_name));
}

#[tokio::test]
async fn a_book_with_settings_outside_of_the_bounds_is_refused_and_the_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let costly = book(255, 300).await;
    let expected = BookError::Bounds(BoundsError::WorkBits(255));
    let client = client(&costly.url());
    assert_eq!(client.introduce().await.unwrap_err(), expected);
    let mut copy = BookCopy::open(folder.path(), costly.book_key()).unwrap();
    assert_eq!(copy.refresh(&client).await.unwrap_err(), expected);
    assert!(copy.snapshot().is_none());
    assert!(expected.is_urgent());

    let frozen = book(16, u32::MAX).await;
    let client = BookClient::new(&frozen.url(), &Outbound::direct()).unwrap();
    let mut copy = BookCopy::open(folder.path(), frozen.book_key()).unwrap();
    let error = copy.refresh(&client).await.unwrap_err();
    assert_eq!(
        error,
        BookError::Unfit(FetchError::Root(RootError::Period(u32::MAX)))
    );
    assert!(error.is_urgent());
}
