//! How many activations a second a phone book takes, over HTTP, with each kind of database. Prints figures and asserts no speed:
//!
//! ```console
//! $ cargo test --release -p ringfence-phonebook --test load -- --ignored --nocapture
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "stores/cluster.rs"]
mod cluster;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use ringfence_phonebook::config::{Config, Database, Limits};
use ringfence_phonebook::wire::Activate;
use ringfence_phonebook::{NumberPlan, PhoneBook};
use x25519_dalek::StaticSecret;

/// Activations in a run, and connections that they come by.
const ACTIVATIONS: u64 = 2_000;
const CONNECTIONS: usize = 8;

#[test]
#[ignore = "a measurement, for a quiet machine and a release build"]
fn activations_per_second() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = Database::File(folder.path().join("book.sqlite"));
    runtime.block_on(measure("SQLite", file));
    if let Some(cluster) = cluster::running() {
        let url = cluster.new_database(&runtime);
        runtime.block_on(measure("PostgreSQL", Database::read(Path::new(&url))));
    }
}

async fn measure(name: &str, database: Database) {
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database,
        plan: NumberPlan::new(20_000, 16).unwrap(),
        limits: Limits::NONE,
        ..Config::default()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let issuing = Instant::now();
    let mut requests = Vec::new();
    for index in 0..ACTIVATIONS {
        requests.push(request(&book, index).await);
    }
    let issued = issuing.elapsed();
    let (address, begun) = (book.address(), Instant::now());
    let senders: Vec<_> = requests
        .chunks(requests.len().div_ceil(CONNECTIONS))
        .map(|part| {
            let part = part.to_vec();
            tokio::task::spawn_blocking(move || send(address, &part))
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let took = begun.elapsed().as_secs_f64();
    let mut out = std::io::stderr().lock();
    writeln!(
        out,
        "{name}: {ACTIVATIONS} activations in {took:.2} s, {:.0} a second; issued in {:.2} s",
        ACTIVATIONS as f64 / took,
        issued.as_secs_f64()
    )
    .unwrap();
    drop(out);
    book.stop().await;
}

/// An activation of a number of its own, ready to send.
async fn request(book: &PhoneBook, index: u64) -> Vec<u8> {
    let issue = book.issue().await.unwrap();
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&index.to_be_bytes());
    let (identity, ring) = (SigningKey::from_bytes(&seed), StaticSecret::from(seed));
    let form = Activate::new(&issue.code, &identity, &ring, book.network());
    let body = serde_json::to_string(&form).unwrap();
    let length = body.len();
    format!("POST /api/activate HTTP/1.1\r\nhost: book\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn send(address: SocketAddr, requests: &[Vec<u8>]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for request in requests {
        stream.write_all(request).unwrap();
        let mut answer = [0; 2048];
        // An answer is one write of the server, and far shorter than a segment of loopback.
        let count = stream.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
        assert!(answer[..count].ends_with(b"}"));
    }
}
