//! A client that writes and reads bytes, and books to try it on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use ringfence_book::wire::{Activate, Challenged};
use ringfence_book::{ActivationCode, Challenge, NumberPlan};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use x25519_dalek::StaticSecret;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and body, for comparisons.
    pub(crate) fn told(&self) -> (u16, Value) {
        (self.status, self.json())
    }

    /// The head without the date, which two answers may differ in.
    pub(crate) fn head_without_date(&self) -> Vec<&str> {
        self.head
            .lines()
            .filter(|line| !line.starts_with("date:"))
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(crate) async fn raw(book: &PhoneBook, request: &[u8]) -> Answer {
    talk(TcpStream::connect(book.address()).await.unwrap(), request).await
}

/// Asks from another address of this machine.
pub(crate) async fn raw_from(from: [u8; 4], book: &PhoneBook, request: &[u8]) -> Answer {
    talk(connect_from(from, book).await, request).await
}

pub(crate) async fn connect_from(from: [u8; 4], book: &PhoneBook) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(from), 0)).unwrap();
    socket.connect(book.address()).await.unwrap()
}

async fn talk(mut stream: TcpStream, request: &[u8]) -> Answer {
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    Answer::read(&read_out(&mut stream).await)
}

/// All that comes until the server closes.
pub(crate) async fn read_out(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    bytes
}

pub(crate) fn get_request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: book\r\nconnection: close\r\n{headers}\r\n")
}

pub(crate) fn post_request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: book\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) async fn get(book: &PhoneBook, path: &str) -> Answer {
    get_with(book, path, "").await
}

pub(crate) async fn get_with(book: &PhoneBook, path: &str, headers: &str) -> Answer {
    raw(book, get_request(path, headers).as_bytes()).await
}

pub(crate) async fn post_with(book: &PhoneBook, path: &str, headers: &str, body: &[u8]) -> Answer {
    raw(book, &post_request(path, headers, body)).await
}

pub(crate) async fn post(book: &PhoneBook, path: &str, body: &Value) -> Answer {
    post_with(book, path, "", body.to_string().as_bytes()).await
}

pub(crate) fn config() -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 1).unwrap(),
        relays: vec!["ws://relay.example".to_owned()],
        turn: vec!["turn:turn.example:3478".to_owned()],
        ..Config::default()
    }
}

pub(crate) async fn book() -> PhoneBook {
    PhoneBook::start(config()).await.unwrap()
}

/// The line that shows the operator's token.
pub(crate) fn operator(book: &PhoneBook) -> String {
    let token = book.first_token().unwrap().text();
    format!("authorization: Bearer {token}\r\n")
}

/// The serial of every first listing here.
pub(crate) const SERIAL: u32 = 5;

pub(crate) fn keys_of(seed: u8) -> (SigningKey, StaticSecret) {
    (
        SigningKey::from_bytes(&[seed; 32]),
        StaticSecret::from([seed; 32]),
    )
}

pub(crate) fn form(book: &PhoneBook, code: &ActivationCode, seed: u8) -> Value {
    let (identity, ring) = keys_of(seed);
    serde_json::to_value(Activate::sign(
        code,
        &identity,
        &ring,
        SERIAL,
        book.network(),
    ))
    .unwrap()
}

/// Activates a number for the keys of this seed, and publishes it.
pub(crate) async fn activate(book: &PhoneBook, seed: u8) -> String {
    let issue = book.issue().await.unwrap();
    let answer = post(book, "/api/activate", &form(book, &issue.code, seed)).await;
    assert_eq!(answer.status, 200);
    book.close_epoch_now().await.unwrap();
    issue.number.to_string()
}

/// Asks for a challenge: its name as it is to be sent back, and the challenge.
pub(crate) async fn challenge(book: &PhoneBook) -> (Value, Challenge) {
    let asked = post_with(book, "/api/auth/challenge", "", b"").await;
    let challenged: Challenged = serde_json::from_slice(&asked.body).unwrap();
    let challenge = Challenge::new(book.book_key(), challenged.nonce.0);
    (asked.json()["challengeId"].clone(), challenge)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
