//! What ends, prevents or degrades calls is said everywhere in the same words: in the status, at `/health`, in the figures.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringfence::Node;
use ringfence::net::book::BookCopy;
use ringfence::page::{RegistrarInfo, StatusPage, client, open_monitor_page};
use ringfence::run::assemble::assemble;
use ringfence::run::gateway::Gateway;
use ringfence::stats::status::{StatusReport, StatusWarning};
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_daemon::page::Page;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::Message;

use crate::servers::{ANY_PORT, SOON, Servers, StoredEngine, TURN_SECRET, plug_in, refused, sees};
use crate::service::{figure, get};

/// A gateway with both of its pages.
struct Watched {
    gateway: Gateway,
    stored: StoredEngine,
    monitor: Page,
    _page: StatusPage,
}

impl Watched {
    async fn open(stored: StoredEngine, servers: &Servers) -> Self {
        let mut copy = BookCopy::open(&stored.config.state, servers.book.book_key()).unwrap();
        let snapshot = copy.refresh(&stored.client).await.unwrap();
        let lines = std::slice::from_ref(&stored.line);
        let outbound = stored.config.outbound().unwrap();
        let parts = assemble(&stored.config, lines, &snapshot, &outbound);
        let parts = parts.await.unwrap();
        let gateway = Gateway::start(parts).await.unwrap();
        let registrar = RegistrarInfo::of(&stored.config, lines, &gateway);
        let page = StatusPage::open(ANY_PORT, registrar, gateway.handle());
        Self {
            monitor: open_monitor_page(ANY_PORT, gateway.handle()).await.unwrap(),
            _page: page.await.unwrap(),
            gateway,
            stored,
        }
    }

    async fn status(&self) -> StatusReport {
        client::status(&self.stored.config.state).await.unwrap()
    }

    /// The warning of this kind, once there is one with these words. `/health` and the figures have it too.
    async fn shows(&self, kind: &str, words: &str) -> StatusWarning {
        for _ in 0..SOON.as_millis() / 50 {
            let status = self.status().await;
            let is_it =
                |warning: &&StatusWarning| warning.kind == kind && warning.what.contains(words);
            let found = status.warnings.iter().find(is_it);
            if let Some(found) = found {
                let (code, health) = self.get("/health");
                let expected = if status.ok { 200 } else { 503 };
                // Something else may have changed between the two answers.
                if code == expected && health.contains(&found.remedy) && self.figure(kind) == 1.0 {
                    assert!(!found.grave || code == 503, "{health}");
                    return found.clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {kind}, {words}, in {:?}", self.status().await.warnings);
    }

    /// Waits until `/health` is ok.
    async fn recovers(&self) {
        for _ in 0..SOON.as_millis() / 50 {
            if self.get("/health") == (200, "ok\n".to_owned()) {
                assert!(self.status().await.ok);
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", self.status().await.warnings);
    }

    fn get(&self, path: &str) -> (u16, String) {
        get(&self.monitor.address().to_string(), path)
    }

    fn figure(&self, kind: &str) -> f64 {
        let name = format!("ringfence_conditions{{kind=\"{kind}\"}}");
        figure(&self.get("/metrics").1, &name)
    }
}

/// A port at which nothing listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turn_servers_that_are_away_are_said_and_so_is_their_return() {
    let servers = Servers::build().await;
    let [mut stored, _] = servers.stored_engines().await;
    let address = servers.turn.local_addr();
    let urls = [closed_port(), address].map(|addr| format!("turn:{addr}?transport=tcp"));
    stored.config.turn.urls = urls.map(|url| url.parse().unwrap()).into();
    let watched = Watched::open(stored, &servers).await;
    let line = &watched.stored.line;
    let mut phone = plug_in(line, watched.gateway.udp()[0], 0).await;
    sees(&mut phone, |event| {
        *event == ringfence::softphone::PhoneEvent::Registered
    })
    .await;
    let second = watched.shows("second_turn", "Calls use server 2").await;
    assert!(!second.grave, "{second:?}");
    assert!(watched.get("/health").1.starts_with("ok\n"));
    servers.turn.stop().await;
    let none = watched
        .shows("no_turn", "none of 2 TURN servers can be reached")
        .await;
    assert!(none.grave, "{none:?}");
    phone.dial("20001").await;
    assert_eq!(refused(&mut phone).await, 503);
    let secret = TurnSecret::new(TURN_SECRET.to_owned());
    let _again = EmbeddedTurn::start(address, secret, true).await.unwrap();
    watched.shows("second_turn", "Calls use server 2").await;
    assert_eq!(watched.figure("no_turn"), 0.0);
    watched.gateway.stop().await;
}

/// A relay that sends `greeting` to each client, and to each of its messages what `answer` says.
fn relay(greeting: Option<Value>, answer: fn(&Value) -> Value) -> String {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let greeting = greeting.clone();
            std::thread::spawn(move || {
                let mut client = tungstenite::accept(stream).unwrap();
                if let Some(greeting) = greeting {
                    client.send(Message::text(greeting.to_string())).unwrap();
                }
                while let Ok(message) = client.read() {
                    let Message::Text(text) = message else {
                        continue;
                    };
                    let said = answer(&serde_json::from_str(&text).unwrap());
                    if client.send(Message::text(said.to_string())).is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_takes_no_envelope_is_shown_with_its_own_words() {
    let servers = Servers::build().await;
    let [mut stored, other] = servers.stored_engines().await;
    let refusing = relay(None, |asked| match asked[0].as_str() {
        Some("REQ") => json!(["EOSE", asked[1]]),
        _ => json!([
            "OK",
            asked[1]["id"],
            false,
            "pow: 30 bits, or pay from\n203.0.113.7"
        ]),
    });
    stored.config.relays = vec![refusing.clone()];
    let watched = Watched::open(stored, &servers).await;
    let line = &watched.stored.line;
    let mut phone = plug_in(line, watched.gateway.udp()[0], 0).await;
    watched.recovers().await;
    phone.dial(&other.line.number.to_string()).await;
    assert_eq!(refused(&mut phone).await, 503);
    let shown = watched.shows("no_publication", "pow").await;
    assert!(
        shown.grave && shown.remedy.contains("work_bits"),
        "{shown:?}"
    );
    for words in [&refusing[5..], "pow: 30 bits, or pay from 203.0.113.7"] {
        assert!(shown.what.contains(words), "{shown:?}");
    }
    let (_, health) = watched.get("/health");
    assert!(health.contains("pow: 30 bits, or pay from *"), "{health}");
    for name in [&refusing[5..], "203.0"] {
        assert!(!health.contains(name), "{health}");
    }
    let (_, figures) = watched.get("/metrics");
    let refused = "ringfence_calls_ended_total{reason=\"no_relay\"}";
    assert_eq!(figure(&figures, refused), 1.0);
    watched.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_demands_a_login_is_named_as_the_cause_and_not_the_network() {
    let servers = Servers::build().await;
    let [mut stored, _] = servers.stored_engines().await;
    stored.config.relays = vec![relay(Some(json!(["AUTH", "challenge"])), |asked| {
        json!(["CLOSED", asked[1], "auth-required: members only"])
    })];
    let watched = Watched::open(stored, &servers).await;
    let words = "demands a login (NIP-42); it says: auth-required: members only";
    let shown = watched.shows("no_subscription", words).await;
    assert!(
        shown.grave && shown.remedy.contains("demand no login"),
        "{shown:?}"
    );
    assert!(!shown.remedy.contains("network"), "{shown:?}");
    watched.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_without_a_phone_is_not_healthy_until_one_registers() {
    let servers = Servers::build().await;
    let [stored, _] = servers.stored_engines().await;
    let watched = Watched::open(stored, &servers).await;
    let shown = watched.shows("no_phone", "No phone is registered").await;
    assert!(
        shown.grave && shown.remedy.contains("ringfence lines --qr"),
        "{shown:?}"
    );
    let line = &watched.stored.line;
    let _phone = plug_in(line, watched.gateway.udp()[0], 0).await;
    watched.recovers().await;
    watched.gateway.stop().await;
}

/// A way to the phone book on which, while `is_wrong`, each answer has a date of 1994.
#[expect(clippy::disallowed_methods, reason = "the test's own wires")]
async fn book_with_a_wrong_date(book: SocketAddr, is_wrong: Arc<AtomicBool>) -> SocketAddr {
    const FIELD: &[u8] = b"\r\ndate: ";
    const WRONG: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    let front = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = front.accept().await {
            let server = tokio::net::TcpStream::connect(book).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let is_wrong = Arc::clone(&is_wrong);
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    let bytes = &mut buffer[..length];
                    let found = bytes.windows(FIELD.len()).position(|field| field == FIELD);
                    if let Some(at) = found.filter(|_| is_wrong.load(Ordering::Relaxed)) {
                        let at = at + FIELD.len();
                        bytes[at..at + WRONG.len()].copy_from_slice(WRONG);
                    }
                    if to_client.write_all(bytes).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_differs_from_the_phone_books_is_accused_until_it_is_right() {
    let servers = Servers::build().await;
    let [mut stored, _] = servers.stored_engines().await;
    let is_wrong = Arc::new(AtomicBool::new(true));
    let book = servers.book.url();
    let book = book.trim_start_matches("http://").parse().unwrap();
    let front = book_with_a_wrong_date(book, Arc::clone(&is_wrong)).await;
    stored.line.book_url = format!("http://{front}");
    stored.store.save(&stored.line).unwrap();
    stored.config.phonebook.refresh = Some(Duration::from_millis(300));
    let node = Node::open(stored.config, stored.store).await.unwrap();
    let page = open_monitor_page(ANY_PORT, node.handle()).await.unwrap();
    let address = page.address().to_string();
    let says_clock = async |expected: bool| {
        for _ in 0..SOON.as_millis() / 50 {
            let (code, health) = get(&address, "/health");
            if health.contains("This machine's clock is about") == expected {
                assert!(!expected || code == 503, "{health}");
                assert!(
                    !expected || health.contains("minutes ahead of the phone book's"),
                    "{health}"
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", get(&address, "/health"));
    };
    says_clock(true).await;
    is_wrong.store(false, Ordering::Relaxed);
    says_clock(false).await;
    node.stop().await;
}
