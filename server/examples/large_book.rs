//! Measures a book of so many numbers in an SQLite file: making it, opening it again, ending epochs, activating.
//!
//! ```console
//! $ cargo run --release -p ringfence-phonebook --example large_book -- 1000000
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on should stop, and prints"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ringfence_book::{Listing, NumberPlan, Possession, RingKey};
use ringfence_phonebook::book::activation::Activation;
use ringfence_phonebook::store::sql::SqlStore;
use ringfence_phonebook::{Book, Schedule};
use tokio::runtime::Runtime;
use x25519_dalek::StaticSecret;

const NOW: u64 = 1_800_000_000;
const ROUNDS: u32 = 20;

fn main() {
    tracing_subscriber::fmt().init();
    let wanted: u32 = std::env::args()
        .nth(1)
        .map_or(10_000, |text| text.parse().unwrap());
    let tiles = u16::try_from(wanted.div_ceil(256)).unwrap();
    let terms = Schedule::of(NumberPlan::new(20_000, tiles).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.sqlite");
    let runtime = Runtime::new().unwrap();
    let open = || {
        let store = SqlStore::sqlite(&file, runtime.handle().clone()).unwrap();
        Book::open(Box::new(store), terms, [7; 32], NOW).unwrap().0
    };
    let (mut book, made) = timed(open);
    println!(
        "{} numbers made in {made:.2?}; memory {}",
        terms.plan.count(),
        memory()
    );
    let (_, first) = timed(|| book.close_epoch(NOW, b"{}").unwrap());
    println!("first epoch {first:.2?}");
    drop(book);
    let (mut book, opened) = timed(open);
    println!(
        "opened in {opened:.2?}; memory {}; file {} MB",
        memory(),
        megabytes(&file)
    );
    let (_, activated) = timed(|| (0..ROUNDS).for_each(|round| activate(&mut book, round)));
    println!(
        "{:.2?} an activation, its issuing included",
        activated / ROUNDS
    );
    let (_, ended) = timed(|| {
        for round in 1..=ROUNDS {
            let time = NOW + 60 * u64::from(round);
            assert!(book.close_epoch(time, b"{}").unwrap().is_some());
        }
    });
    println!(
        "{:.2?} to end an epoch; memory {}",
        ended / ROUNDS,
        memory()
    );
}

fn activate(book: &mut Book, round: u32) {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&round.to_be_bytes());
    let (identity, ring) = (SigningKey::from_bytes(&seed), StaticSecret::from(seed));
    let listing = Listing::sign(&identity, RingKey::from(&ring), 1);
    let code = book.issue(NOW).unwrap().code.digest();
    let (key, proof_key) = (book.key(), book.proof_key());
    let form = Activation {
        code,
        listing,
        proof: Possession::prove(&identity, &ring, &listing, &code, &key, &proof_key),
    };
    book.activate(&form, NOW).unwrap();
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}

fn megabytes(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len() / 1_000_000
}

/// What the process holds now and held at most, as Linux tells it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or("?")
            .trim()
            .to_owned()
    };
    format!("{}, at most {}", held("VmRSS:"), held("VmHWM:"))
}
