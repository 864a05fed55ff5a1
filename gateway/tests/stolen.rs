//! `ringfence stolen` against a real phone book: what a thief has is worth less afterwards, also when the book is away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringfence::lines::activate::activate;
use ringfence::net::book::{BookClient, BookCopy};
use ringfence::net::outbound::Outbound;
use ringfence::state::keystore::{Keystore, LineFile};
use ringfence_book::{Listing, Number, NumberPlan};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use serde_json::Value;

const PHONES: [&str; 3] = ["phones-ca.json", "phones-ca.pem", "provisioning-path"];

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
    for name in PHONES {
        std::fs::write(state.join(name), "the thief has it").unwrap();
    }
    (book, client, line)
}

async fn stolen(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command
        .arg("stolen")
        .args(arguments)
        .arg("--state")
        .arg(state);
    command
        .stdin(Stdio::null())
        .env_remove("RINGFENCE_PASSPHRASE");
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// The ring key of a line in the newest book.
async fn ring_key(state: &Path, book: &PhoneBook, client: &BookClient, line: &LineFile) -> Vec<u8> {
    let mut copy = BookCopy::open(state, book.book_key()).unwrap();
    let snapshot = copy.refresh(client).await.unwrap();
    let number = Number::new(line.number);
    let listing = Listing::decode(snapshot.book.record(number).unwrap()).unwrap();
    listing.encode().to_vec()
}

#[tokio::test]
async fn after_a_theft_ring_keys_passwords_and_the_authority_are_new_and_what_is_left_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (book, client, line) = a_line(state).await;
    let before = ring_key(state, &book, &client, &line).await;
    assert_eq!(
        stolen(state, &[]).await.status.code(),
        Some(2),
        "not confirmed"
    );
    assert!(state.join("phones-ca.json").exists());
    let done = stolen(state, &["--yes"]).await;
    let says = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    for words in [
        "The ring keys are new",
        "What the thief could read",
        "ringfence deactivate",
    ] {
        assert!(says.contains(words), "{says}");
    }
    let after = Keystore::look(state, None).unwrap().remove(0);
    assert_ne!(
        after.account.password.expose(),
        line.account.password.expose()
    );
    assert_ne!(*after.identity, *line.identity);
    book.close_epoch_now().await.unwrap();
    assert_ne!(ring_key(state, &book, &client, &line).await, before);
    for name in PHONES {
        assert!(!state.join(name).exists(), "{name}");
    }
    assert!(!state.join("restored").exists());
}

#[tokio::test]
async fn without_the_phone_book_the_rest_is_done_and_the_engine_renews_the_keys_at_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (book, _, line) = a_line(state).await;
    book.stop().await;
    let done = stolen(state, &["--yes", "--json"]).await;
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(said["ring_keys"], false);
    assert!(
        said["remains"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{said}"
    );
    let after = Keystore::look(state, None).unwrap().remove(0);
    assert_ne!(
        after.account.password.expose(),
        line.account.password.expose()
    );
    assert!(state.join("restored").exists());
    let lock = Keystore::open(state, None).unwrap();
    let busy = stolen(state, &["--yes"]).await;
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&busy.stderr).contains("stop it first"));
    drop(lock);
}
