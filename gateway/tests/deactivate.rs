//! `ringfence deactivate` against a real phone book: the number is given up, and the line's keys are gone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringfence::lines::activate::activate;
use ringfence::net::book::{BookClient, BookCopy};
use ringfence::net::outbound::Outbound;
use ringfence::state::keystore::{Keystore, LineFile};
use ringfence_book::{Listing, Number, NumberPlan};
use ringfence_engine::line::identity::Identity;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};

async fn a_line(state: &Path) -> (PhoneBook, BookClient, LineFile) {
    let config = Config {
        listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 1).unwrap(),
        ..Config::default()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let client = BookClient::new(&book.url(), &Outbound::direct()).unwrap();
    let mut store = Keystore::open(state, None).unwrap();
    let code = book.issue().await.unwrap().code;
    let line = activate(&mut store, &client, &code, None).await.unwrap();
    book.close_epoch_now().await.unwrap();
    (book, client, line)
}

async fn deactivate(state: &Path, number: u32, yes: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.args(["deactivate", &number.to_string(), "--state"]);
    command.arg(state).stdin(Stdio::null());
    if yes {
        command.arg("--yes");
    }
    let run = move || command.env_remove("RINGFENCE_PASSPHRASE").output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_number_that_is_given_up_shows_another_key_and_its_line_is_gone() {
    let state = tempfile::tempdir().unwrap();
    let (book, client, line) = a_line(state.path()).await;
    let unsure = deactivate(state.path(), line.number, false).await;
    assert_eq!(unsure.status.code(), Some(2), "it was not confirmed");
    let other = deactivate(state.path(), line.number + 1, true).await;
    assert_eq!(other.status.code(), Some(2), "no such line");
    assert_eq!(Keystore::look(state.path(), None).unwrap().len(), 1);

    let done = deactivate(state.path(), line.number, true).await;
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{errors}");
    assert!(Keystore::look(state.path(), None).unwrap().is_empty());
    book.close_epoch_now().await.unwrap();
    let mut copy = BookCopy::open(state.path(), book.book_key()).unwrap();
    let snapshot = copy.refresh(&client).await.unwrap();
    let identity = Identity::from_bytes(&line.identity).unwrap();
    let record = snapshot.book.record(Number::new(line.number)).unwrap();
    assert_ne!(*Listing::decode(record).unwrap().identity(), identity.key());
}

#[tokio::test]
async fn while_the_book_is_away_nothing_is_given_up() {
    let state = tempfile::tempdir().unwrap();
    let (book, _, line) = a_line(state.path()).await;
    book.stop().await;
    let failed = deactivate(state.path(), line.number, true).await;
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(Keystore::look(state.path(), None).unwrap().len(), 1);
}
