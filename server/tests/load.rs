//! How many activations a second a phone book takes, over HTTP, with each kind of database, and what of a core one takes. Prints
//! figures and asserts no speed:
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

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use ringfence_book::wire::{Activate, Issued, NetworkSettings};
use x25519_dalek::StaticSecret;

/// Activations in a run, and connections that they come by.
const ACTIVATIONS: u64 = 2_000;
const CONNECTIONS: usize = 8;

#[test]
#[ignore = "a measurement, for a release build"]
fn activations_per_second() {
    let folder = tempfile::tempdir().unwrap();
    measure(
        "SQLite",
        folder.path().join("book.sqlite").to_str().unwrap(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(cluster) = cluster::running() {
        measure("PostgreSQL", &cluster.new_database(&runtime));
    }
}

fn measure(name: &str, database: &str) {
    let book = Serving::start(database);
    let requests: Vec<Vec<u8>> = (0..ACTIVATIONS).map(|index| book.request(index)).collect();
    let (begun, before) = (Instant::now(), book.processor_time());
    thread::scope(|scope| {
        for part in requests.chunks(requests.len().div_ceil(CONNECTIONS)) {
            let mut line = Line::open(&book.host);
            scope.spawn(move || {
                for request in part {
                    assert!(line.ask(request).starts_with(b"{\"number\":"));
                }
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let processor = book.processor_time() - before;
    let mut out = std::io::stderr().lock();
    let count = ACTIVATIONS as f64;
    writeln!(
        out,
        "{name}: {:.0} activations a second, {:.2} ms of a core each in the phone book",
        count / took,
        processor * 1_000.0 / count
    )
    .unwrap();
}

/// The program, on any free port.
struct Serving {
    child: Child,
    host: String,
    token: String,
    network: NetworkSettings,
}

impl Serving {
    fn start(database: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("book.toml");
        let text = "listen = \"127.0.0.1:0\"\nplan = { first = 20000, tiles = 16 }\nreads_per_minute = 0\nasks_per_minute = 0\n";
        fs::write(&settings, text).unwrap();
        let errors = folder.path().join("errors");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"))
            .args(["serve", "--database", database, "--config"])
            .arg(&settings)
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let host = line.trim().rsplit("http://").next().unwrap().to_owned();
        let said = fs::read_to_string(&errors).unwrap();
        let token = said.trim().rsplit(' ').next().unwrap().to_owned();
        let asked = Line::open(&host).ask(b"GET /api/v1/network HTTP/1.1\r\nhost: x\r\n\r\n");
        Self {
            child,
            host,
            token,
            network: serde_json::from_slice(&asked).unwrap(),
        }
    }

    /// An activation of a number of its own, ready to send.
    fn request(&self, index: u64) -> Vec<u8> {
        let issue = format!(
            "POST /api/admin/issue-number HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
            self.token
        );
        let issued = Line::open(&self.host).ask(issue.as_bytes());
        let issued: Issued = serde_json::from_slice(&issued).unwrap();
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&index.to_be_bytes());
        let (identity, ring) = (SigningKey::from_bytes(&seed), StaticSecret::from(seed));
        let code = issued.activation_code.parse().unwrap();
        let form = Activate::sign(&code, &identity, &ring, 1, &self.network);
        let body = serde_json::to_string(&form).unwrap();
        let length = body.len();
        format!("POST /api/activate HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// Seconds of a core that the program took so far; where the system does not tell, 0.
    fn processor_time(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // After the name, which is in parentheses: user and system time are the 12th and 13th field, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        let ticks = fields.iter().skip(12).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(host: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request and reads the body of its answer.
    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.0.get_mut().write_all(request).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        body
    }
}
