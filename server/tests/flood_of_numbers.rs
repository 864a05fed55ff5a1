//! A client asks for one unassigned number after the other: nothing is written, and nothing grows. The only test of
//! its program, so that the memory which it measures is that of the phone book.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use ringfence_book::NumberPlan;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database, Limits};

/// Requests that are sent before their answers are read.
const AT_ONCE: u64 = 50;

/// What the allocator may keep for itself.
const SLACK: u64 = 6 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_unassigned_numbers_leave_no_trace() {
    flood(100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; for the long run"]
async fn a_million_unassigned_numbers_leave_no_trace() {
    flood(1_000_000).await;
}

async fn flood(count: u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::File(folder.path().join("book.sqlite")),
        plan: NumberPlan::new(20_000, 4).unwrap(),
        limits: Limits::NONE,
        ..Config::default()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let address = book.address();
    let folder_path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        ask(address, 0..10_000);
        let (stored, memory) = (files(&folder_path), resident());
        ask(address, 10_000..10_000 + count);
        let grown = resident().saturating_sub(memory);
        assert!(grown < SLACK, "{grown} bytes more");
        assert!(files(&folder_path) == stored, "something was written");
    })
    .await
    .unwrap();
    book.stop().await;
}

/// Asks for one number in and one outside the plan at a time.
fn ask(address: SocketAddr, numbers: std::ops::Range<u64>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(AT_ONCE as usize) {
        let requests: String = some
            .iter()
            .map(|number| match number % 8 {
                0 => 20_000 + number % 1_024,
                _ => 7_000_000_000 + number,
            })
            .map(|number| format!("GET /api/keys/{number} HTTP/1.1\r\nhost: book\r\n\r\n"))
            .collect();
        stream.write_all(requests.as_bytes()).unwrap();
        for _ in some {
            read_answer(&mut answers);
        }
    }
}

fn read_answer(answers: &mut impl BufRead) {
    let (mut line, mut length) = (String::new(), 0);
    answers.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        answers.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(length > 100);
    let mut body = vec![0; length];
    answers.read_exact(&mut body).unwrap();
}

/// All files of the database, with what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The memory of this process, bytes; where the system does not tell, 0.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}
