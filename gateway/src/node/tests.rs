//! An engine whose relays can be reached through a SOCKS5 proxy alone, with a certificate of an authority of their own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use ringfence_book::NumberPlan;
use ringfence_box::EmbeddedRelay;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Database;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::*;
use crate::lines::activate::activate;
use crate::net::test_proxy::TestProxy;
use crate::net::test_tls::self_signed;
use crate::run::assemble::change;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// TLS in front of a relay, with a certificate for these names, which is written to `file`.
#[expect(
    clippy::disallowed_methods,
    reason = "the relay's end of a connection, not the engine's"
)]
async fn secured(relay: SocketAddr, names: &[&str], file: &Path) -> SocketAddr {
    let (acceptor, pem) = self_signed(names);
    std::fs::write(file, pem).unwrap();
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await.ok()?;
                let mut relay = TcpStream::connect(relay).await.ok()?;
                copy_bidirectional(&mut client, &mut relay).await.ok()
            });
        }
    });
    address
}

/// Settings with a line of this book. There is no TURN server.
async fn settings(folder: &Path, book: &PhoneBook, more: &str) -> Config {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join("ringfence.toml");
    let state = folder.join("state");
    let text = format!(
        "state = {state:?}\n{more}\n[sip]\nlisten = [\"127.0.0.1\"]\nudp_port = 0\ntcp_port = 0\ntls_port = 0\n\
         [page]\nlisten = \"\"\n[turn]\nurls = [\"turn:127.0.0.1:1?transport=tcp\"]\nsecret = \"s\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::read(&file).unwrap();
    let client = BookClient::new(&book.url(), &Outbound::direct()).unwrap();
    let mut store = Keystore::open(&config.state, None).unwrap();
    let code = book.issue().await.unwrap().code;
    activate(&mut store, &client, &code, None).await.unwrap();
    book.close_epoch_now().await.unwrap();
    config
}

async fn wait_until(holds: impl AsyncFn() -> bool) {
    let look = async {
        while !holds().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), look).await.unwrap();
}

#[tokio::test]
async fn relays_are_reached_through_the_proxy_with_the_trust_of_ca_file_and_a_circuit_for_each_purpose()
 {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let relay = EmbeddedRelay::start(ANY_PORT).await.unwrap();
    let names = ["one.example", "two.example"];
    let proxy = TestProxy::start(Ok(secured(relay.address(), &names, &ca_file).await)).await;
    let book = PhoneBook::start(ringfence_phonebook::config::Config {
        listen: ANY_PORT,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 1).unwrap(),
        ..Default::default()
    });
    let book = book.await.unwrap();
    let more = format!(
        "relays = [\"wss://one.example\", \"wss://two.example\"]\nca_file = {ca_file:?}\nproxy = \"{}\"",
        proxy.url
    );
    let config = settings(folder.path(), &book, &more).await;
    let store = Keystore::open(&config.state, None).unwrap();
    let node = Node::open(config, store).await.unwrap();
    wait_until(async || {
        let relays = node.status().await.unwrap().relays;
        (relays.listening, relays.connected) == (2, 2)
    })
    .await;
    let asked = proxy.asked();
    let named = |asked: &crate::net::test_proxy::Asked| (asked.name.clone().unwrap(), asked.port);
    let mut servers: Vec<_> = asked.iter().map(named).collect();
    servers.sort();
    let expected = [names[0], names[0], names[1], names[1]].map(|name| (name.to_owned(), 443));
    assert_eq!(servers, expected, "listening and posting at each");
    let circuits: BTreeSet<_> = asked.iter().map(|asked| &asked.user).collect();
    assert_eq!(circuits.len(), 4, "{asked:?}");
    assert_eq!(node.gateway().outbound().proxy_answers(), Some(true));

    // Until the next start, new settings of the way change nothing, and new relays are reached by the old way.
    let old = node.config();
    let mut new = Config {
        proxy: Some("socks5h://127.0.0.1:1".parse().unwrap()),
        ca_file: None,
        ..old.clone()
    };
    let (outbound, network) = (node.gateway().outbound(), node.network());
    let changed = change((old, &network), (&new, &network), node.buckets(), outbound);
    let changed = changed.await.unwrap();
    assert!(changed.relays.is_none() && changed.turn.is_none());
    new.relays.truncate(1);
    let changed = change((old, &network), (&new, &network), node.buckets(), outbound);
    let (relays, _inbox) = changed.await.unwrap().relays.unwrap();
    wait_until(async || {
        let relays = relays.state().borrow().clone();
        (relays.listening, relays.connected) == (1, 1)
    })
    .await;
    assert_eq!(proxy.asked().len(), 6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_engine_uses_the_relays_that_the_book_names_now_unless_its_settings_name_some() {
    let folder = tempfile::tempdir().unwrap();
    let relays = [
        EmbeddedRelay::start(ANY_PORT).await.unwrap(),
        EmbeddedRelay::start(ANY_PORT).await.unwrap(),
    ];
    let of_book = |listen, relay: &EmbeddedRelay| ringfence_phonebook::config::Config {
        listen,
        database: Database::File(folder.path().join("book.sqlite")),
        plan: NumberPlan::new(20_000, 1).unwrap(),
        relays: vec![relay.url()],
        epoch_seconds: 1,
        ..Default::default()
    };
    let book = PhoneBook::start(of_book(ANY_PORT, &relays[0]))
        .await
        .unwrap();
    let listen = book.address();
    let follows = settings(&folder.path().join("a"), &book, "").await;
    let own = format!("relays = [{:?}]", relays[0].url());
    let stays = settings(&folder.path().join("b"), &book, &own).await;
    let open = async |config: &Config| {
        let store = Keystore::open(&config.state, None).unwrap();
        Node::open(config.clone(), store).await.unwrap()
    };
    let nodes = [open(&follows).await, open(&stays).await];
    let listens = async |node: &Node| node.status().await.unwrap().relays.listening == 1;
    for node in &nodes {
        wait_until(async || listens(node).await).await;
    }
    book.stop().await;
    let book = PhoneBook::start(of_book(listen, &relays[1])).await.unwrap();
    wait_until(async || nodes[0].network().relays == [relays[1].url()]).await;
    wait_until(async || nodes[1].network().relays == [relays[1].url()]).await;
    // The relay of before goes: who has followed does not need it.
    let [first, second] = relays;
    sleep(Duration::from_secs(2)).await;
    first.stop();
    wait_until(async || !listens(&nodes[1]).await).await;
    wait_until(async || listens(&nodes[0]).await).await;
    for node in nodes {
        node.stop().await;
    }
    book.stop().await;
    second.stop();
}
