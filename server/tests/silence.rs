//! No look-up log: what visitors ask and where they come from is not written down, at any level of ours. The only test of its
//! program, so that all lines are its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use ringfence_book::NumberPlan;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was written, but for what the book says by itself every few seconds.
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let by_itself = |line: &&str| !line.contains("looked for changes");
        text.lines().filter(by_itself).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "host: book\r\nconnection: close\r\nx-forwarded-for: 192.0.2.77\r\n";
    let (line, rest) = request.split_once("\r\n").unwrap();
    write!(stream, "{line}\r\n{head}{rest}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_are_not_written_down() {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("ringfence_phonebook=trace,sqlx=info"))
        .with_writer(lines.clone())
        .init();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 1).unwrap(),
        ..Config::default()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let address = book.address();
    assert!(lines.text().contains("the phone book is open"));
    let before = lines.text();
    let asked = tokio::task::spawn_blocking(move || {
        ["/api/keys/20077", "/api/v1/steps/20077", "/api/keys/20077x"]
            .map(|path| ask(address, &format!("GET {path} HTTP/1.1\r\n\r\n")))
    });
    let [found, missing, wrong] = asked.await.unwrap();
    assert!(found.starts_with("HTTP/1.1 200") && found.contains("20077"));
    assert!(missing.starts_with("HTTP/1.1 404") && wrong.starts_with("HTTP/1.1 400"));
    // Each failure leaves a line for the operator, and a look-up none.
    let after = lines.text();
    let new = after.strip_prefix(&before).unwrap();
    assert_eq!(new.matches("request refused").count(), 2, "{new}");
    assert_eq!(new.matches("DEBUG").count(), 2, "{new}");
    for secret in ["20077", "192.0.2.77", "127.0.0.1"] {
        assert!(!new.contains(secret), "{new}");
    }
}
