//! How long an answer takes tells nothing about the number. Requests of two kinds are interleaved at random, so that whatever else
//! the machine does meets both alike, and their times are compared; see [`crate::statistics`]. The result is printed.
//!
//! With `RINGFENCE_TEST_LONG` it is 10 000 requests of each kind, and the test fails if chance alone would do the same in less than
//! one of a million runs; otherwise it is a tenth, and only a gross difference fails it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::wire::Base64;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Limits};
use serde_json::{Value, json};

use crate::client::{activate, config, hex};
use crate::statistics::{Comparison, compare};

/// Numbers of each kind: no single one is in every cache.
const NUMBERS: u8 = 24;

/// A connection that is kept.
struct Line(TcpStream);

impl Line {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(stream)
    }

    /// Sends a request, reads its answer, and says how long that took in nanoseconds.
    fn ask(&mut self, request: &str) -> (u64, Vec<u8>) {
        let (begun, mut answer) = (Instant::now(), Vec::new());
        self.0.write_all(request.as_bytes()).unwrap();
        loop {
            let mut bytes = [0; 2048];
            let count = self.0.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "the server closed");
            answer.extend_from_slice(&bytes[..count]);
            if is_whole(&answer) {
                return (u64::try_from(begun.elapsed().as_nanos()).unwrap(), answer);
            }
        }
    }

    fn post(&mut self, path: &str, body: &Value) -> (u64, Vec<u8>) {
        let body = body.to_string();
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: book\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn look_up(&mut self, number: &str) -> u64 {
        self.ask(&format!(
            "GET /api/keys/{number} HTTP/1.1\r\nhost: book\r\n\r\n"
        ))
        .0
    }

    /// Fails to prove that a number is one's own; only the failing is timed.
    fn fail_to_prove(&mut self, number: &str) -> u64 {
        let form = json!({
            "challengeId": self.challenge(), "number": number, "signature": hex(&SIGNATURE)
        });
        self.post("/api/auth/verify", &form).0
    }

    /// Fails to give a number up.
    fn fail_to_deactivate(&mut self, number: &str) -> u64 {
        let form = json!({
            "challengeId": self.challenge(), "number": number, "signature": Base64(SIGNATURE)
        });
        self.post("/api/v1/numbers/deactivate", &form).0
    }

    fn challenge(&mut self) -> Value {
        let (_, asked) = self.post("/api/auth/challenge", &json!({}));
        let body = &asked[asked.iter().position(|byte| *byte == b'{').unwrap()..];
        serde_json::from_slice::<Value>(body).unwrap()["challengeId"].clone()
    }
}

/// A signature that is looked at to the end: its point is on the curve, and its scalar is in its range.
const SIGNATURE: [u8; 64] = {
    let mut signature = [0; 64];
    signature[0] = 0x58;
    let mut at = 1;
    while at < 32 {
        signature[at] = 0x66;
        at += 1;
    }
    signature
};

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
    })
}

struct Scene {
    book: PhoneBook,
    existing: Vec<String>,
    unassigned: Vec<String>,
    outside: Vec<String>,
}

async fn scene() -> Scene {
    let config = Config {
        limits: Limits::NONE,
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let mut existing = Vec::new();
    for seed in 1..=NUMBERS {
        existing.push(activate(&book, seed).await);
    }
    let unassigned = (20_000..20_256)
        .map(|number| number.to_string())
        .filter(|number| !existing.contains(number))
        .take(NUMBERS.into())
        .collect();
    let outside = (0..NUMBERS).map(|n| format!("777{n:02}")).collect();
    Scene {
        book,
        existing,
        unassigned,
        outside,
    }
}

fn measure(
    line: &mut Line,
    kinds: [&[String]; 2],
    each: usize,
    mut ask: impl FnMut(&mut Line, &str) -> u64,
) -> Comparison {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..each / 10 {
        ask(line, &kinds[0][0]);
        ask(line, &kinds[1][0]);
    }
    while times.iter().any(|times| times.len() < each) {
        let draw = rng.next_u64();
        let kind = usize::from(draw & 1 == 1);
        let numbers = kinds[kind];
        let number = &numbers[usize::try_from(draw >> 1).unwrap() % numbers.len()];
        let time = ask(line, number);
        if times[kind].len() < each {
            times[kind].push(time);
        }
    }
    compare(&times[0], &times[1])
}

fn report(what: &str, each: usize, found: &Comparison) {
    let mut out = std::io::stderr().lock();
    let verdict = if found.p < 0.001 {
        "a difference"
    } else {
        "no difference"
    };
    let line = writeln!(
        out,
        "timing of {what}, {each} each: medians {} and {} ns, P(longer) {:.4}, Mann-Whitney p {:.3}, Welch t (cropped at 90 %) {:.2}: {verdict} at alpha 0.001",
        found.medians.0, found.medians.1, found.longer, found.p, found.t
    );
    line.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_and_unassigned_numbers_take_as_long() {
    let long = std::env::var_os("RINGFENCE_TEST_LONG").is_some();
    let each = if long { 10_000 } else { 1_000 };
    let scene = scene().await;
    let address = scene.book.address();
    let found = tokio::task::spawn_blocking(move || {
        let mut line = Line::open(address);
        let Scene {
            existing,
            unassigned,
            outside,
            ..
        } = &scene;
        let pairs: [(&str, [&[String]; 2]); 2] = [
            ("existing and unassigned numbers", [existing, unassigned]),
            (
                "existing numbers and texts outside the plan",
                [existing, outside],
            ),
        ];
        let mut found = Vec::new();
        for (what, kinds) in pairs {
            found.push((
                format!("look-ups, {what}"),
                measure(&mut line, kinds, each, Line::look_up),
            ));
            found.push((
                format!("failed proofs, {what}"),
                measure(&mut line, kinds, each, Line::fail_to_prove),
            ));
            found.push((
                format!("failed deactivations, {what}"),
                measure(&mut line, kinds, each, Line::fail_to_deactivate),
            ));
        }
        found
    });
    for (what, found) in found.await.unwrap() {
        report(&what, each, &found);
        let gross = (found.longer - 0.5).abs() > 0.15;
        let sure = long && found.p < 1e-6;
        assert!(!gross && !sure, "{what}: {found:?}");
    }
}
