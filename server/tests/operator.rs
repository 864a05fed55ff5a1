//! The operator's commands, beside a running server: what they print, what they refuse, and that a copy of a book is that book.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod stores;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ringfence_book::root::{ROOT_BYTES, TilesHash};
use ringfence_book::{
    Listing, NetworkSettings, Number, NumberPlan, Possession, RingKey, Step, Tile,
};
use ringfence_phonebook::config::{Config, Database};
use ringfence_phonebook::operator::{OperatorError, backup, export, issue, list, revoke};
use ringfence_phonebook::store::REST;
use ringfence_phonebook::store::sql::SqlStore;
use ringfence_phonebook::{Book, PhoneBook, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use x25519_dalek::StaticSecret;

use crate::stores::{NOW, close, cluster, open};

fn config(folder: &Path) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        database: Database::File(folder.join("book.sqlite")),
        plan: NumberPlan::new(20_000, 1).unwrap(),
        ..Config::default()
    }
}

/// A book that is served, with the settings for a command beside it.
async fn served() -> (TempDir, Config, PhoneBook) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let book = PhoneBook::start(config.clone()).await.unwrap();
    (folder, config, book)
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_issued_listed_and_revoked_beside_a_server() {
    let (_folder, config, book) = served().await;
    let issued = issue(&config, 3, false).await.unwrap();
    assert!(issued.token.is_none() && issued.stopped.is_none());
    let listed = list(&config).await.unwrap();
    assert_eq!((listed.counts.free, listed.counts.waiting), (253, 3));
    assert_eq!(listed.states.len(), 3);
    let key = book.book_key();
    assert_eq!((listed.key, issued.key), (key, key));
    let number = issued.issues[0].number;
    let revoked = revoke(&config, &number.to_string()).await.unwrap();
    assert_eq!((revoked.number, revoked.was_waiting), (number, true));
    let again = revoke(&config, &number.to_string()).await;
    assert!(matches!(again, Err(OperatorError::NotAssigned(_))));
    for text in ["19999", "020000", "x", ""] {
        let outside = revoke(&config, text).await;
        assert!(matches!(outside, Err(OperatorError::Number { .. })));
    }
    let rest = issue(&config, 300, false).await.unwrap();
    assert_eq!(rest.issues.len(), 254);
    assert!(rest.stopped.is_some());
    book.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_make_the_plan_grow() {
    let (_folder, config, book) = served().await;
    let other = Config {
        plan: NumberPlan::DEFAULT,
        ..config.clone()
    };
    issue(&other, 1, false).await.unwrap();
    let counts = list(&other).await.unwrap().counts;
    assert_eq!(counts.free + counts.waiting, 256);
    book.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_book_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let absent = |result| matches!(result, Err(OperatorError::NoBook(_)));
    assert!(absent(issue(&config, 1, false).await.map(drop)));
    assert!(absent(list(&config).await.map(drop)));
    assert!(absent(revoke(&config, "20000").await.map(drop)));
    assert!(absent(
        export::export(&config, folder.path()).await.map(drop)
    ));
    let copy = folder.path().join("copy");
    assert!(absent(backup::backup(&config, &copy).await));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_book_is_the_served_one_and_only_what_changed_is_written_again() {
    let (folder, config, book) = served().await;
    for _ in 0..3 {
        book.close_epoch_now().await.unwrap();
    }
    let files = folder.path().join("mirror");
    assert_eq!(export::export(&config, &files).await.unwrap(), 4);
    let read = |name: &str| std::fs::read(files.join("api/v1").join(name)).unwrap();
    let newest = Step::decode(&read("newest"), &book.book_key()).unwrap();
    let root = newest.root;
    let states = *root.states();
    assert_eq!(states.network, Sha256::digest(read("network")).0);
    let network: NetworkSettings = serde_json::from_slice(&read("network")).unwrap();
    assert_eq!(&network, book.network());
    let tile = Tile::decode(&read("tiles/0")).unwrap();
    assert_eq!(states.tiles, TilesHash::of_tiles(states.plan, &[tile]));
    assert_eq!(newest.delta.unwrap().hash(), states.delta);
    assert!(read("steps/0").ends_with(&read("newest")));
    assert_eq!(read("roots/0").len(), 4 * ROOT_BYTES);
    assert_eq!(&read("roots/0")[3 * ROOT_BYTES..], &root.encode());
    for _ in 0..13 {
        book.close_epoch_now().await.unwrap();
    }
    assert_eq!(export::export(&config, &files).await.unwrap(), 17);

    let written = |name: &str| {
        std::fs::metadata(files.join("api/v1").join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = ["tiles/0", "steps/0", "newest"].map(written);
    assert_eq!(export::export(&config, &files).await.unwrap(), 17);
    assert_eq!(["tiles/0", "steps/0", "newest"].map(written), before);
    book.close_epoch_now().await.unwrap();
    assert_eq!(export::export(&config, &files).await.unwrap(), 18);
    assert_eq!(written("steps/0"), before[1]);
    assert_ne!(written("newest"), before[2]);
    assert!(read("steps/1").ends_with(&read("newest")));
    book.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_one_database_end_epochs_by_themselves_and_serve_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let quick = Config {
        epoch_seconds: 1,
        ..config(folder.path())
    };
    let mut databases = vec![quick.database.clone()];
    if let Some(cluster) = cluster::running() {
        databases.push(Database::Postgres(cluster.create_database().await));
    }
    for database in databases {
        let quick = Config {
            database,
            ..quick.clone()
        };
        let first = PhoneBook::start(quick.clone()).await.unwrap();
        let second = PhoneBook::start(quick).await.unwrap();
        let waits = Instant::now();
        loop {
            let (a, b) = (
                first.roots(0).await.unwrap(),
                second.roots(0).await.unwrap(),
            );
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!(a.starts_with(&b) || b.starts_with(&a));
            if a.len().min(b.len()) >= 4 * ROOT_BYTES {
                break;
            }
            assert!(waits.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        first.stop().await;
        second.stop().await;
    }
}

#[test]
fn a_connection_that_was_lost_is_made_anew() {
    let Some(cluster) = cluster::running() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = cluster.new_database(&runtime);
    let mut store = SqlStore::postgres(&url, runtime.handle().clone()).unwrap();
    assert_eq!(store.span().unwrap(), None);
    runtime.block_on(async {
        use sqlx::{Connection, Executor};
        let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()";
        other.execute(end).await.unwrap();
        other.close().await.unwrap();
    });
    assert!(store.span().is_err());
    assert_eq!(store.span().unwrap(), None);
}

/// The keys, the root and every record of a book.
fn whole(book: &Book) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let published = book.published();
    (
        book.key().as_bytes().to_vec(),
        published.root().unwrap().encode().to_vec(),
        published.tile(0).unwrap().tile().as_bytes().to_vec(),
    )
}

#[test]
fn a_copy_of_a_store_is_the_same_book_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let handle = runtime.handle();
    let sqlite = |name: &str| SqlStore::sqlite(&folder.path().join(name), handle.clone()).unwrap();
    let mut book = open(Box::new(sqlite("first")));
    let (waiting, active) = (book.issue(NOW).unwrap(), book.issue(NOW).unwrap());
    activate(&mut book, &active.code, 5);
    close(&mut book);
    // So much later that decoys get their next identity.
    book.close_epoch(NOW + 10 * REST, b"{}").unwrap();
    activate(&mut book, &waiting.code, 6);
    book.revoke(active.number, NOW).unwrap();
    let (counts, expected) = (book.number_counts(NOW).unwrap(), whole(&book));
    let nexts = |store: &mut SqlStore| {
        let all = store.rows(Number::new(0), Number::new(u32::MAX)).unwrap();
        let of_row = all.iter().map(|row| (row.number, Some(row.next)));
        let queue = store.queue(9).unwrap();
        let of_queue = queue.iter().map(|new| (new.number, new.next));
        of_row.chain(of_queue).collect::<Vec<_>>()
    };
    let numbered = nexts(&mut sqlite("first"));
    let (of_rows, _) = numbered.split_at(256);
    assert!(
        of_rows
            .iter()
            .any(|(_, next)| next.is_some_and(|next| next.generation == 1))
    );
    let (number, next) = numbered.last().unwrap();
    assert_eq!((*number, next.unwrap().generation), (active.number, 1));
    let mut copies = vec![sqlite("second")];
    if let Some(cluster) = cluster::running() {
        let url = cluster.new_database(&runtime);
        copies.insert(0, SqlStore::postgres(&url, handle.clone()).unwrap());
    }
    let mut last = sqlite("first");
    for mut copy in copies {
        assert!(last.copy_into(&mut copy).unwrap());
        assert!(!last.copy_into(&mut copy).unwrap());
        assert_eq!(nexts(&mut copy), numbered);
        last = copy;
    }
    let mut copy = open(Box::new(last));
    assert_eq!(copy.number_counts(NOW).unwrap(), counts);
    assert_eq!(whole(&copy), expected);
    assert_eq!(counts.queued, 2);
    assert!(close(&mut copy).follows(book.published().root().unwrap()));
}

fn activate(book: &mut Book, code: &ringfence_book::ActivationCode, seed: u8) {
    let (identity, ring) = (
        ed25519_dalek::SigningKey::from_bytes(&[seed; 32]),
        StaticSecret::from([seed; 32]),
    );
    let listing = Listing::sign(&identity, RingKey::from(&ring), 1);
    let (code, key, proof_key) = (code.digest(), book.key(), book.proof_key());
    let form = ringfence_phonebook::book::activation::Activation {
        code,
        listing,
        proof: Possession::prove(&identity, &ring, &listing, &code, &key, &proof_key),
    };
    book.activate(&form, NOW).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_while_the_book_is_served_and_nothing_is_overwritten() {
    let (folder, served, book) = served().await;
    let file = folder.path().join("backup");
    backup::backup(&served, &file).await.unwrap();
    let again = backup::backup(&served, &file).await;
    assert!(matches!(again, Err(OperatorError::Exists(_))));
    let over = backup::restore(&served, &file).await;
    assert!(matches!(over, Err(OperatorError::Exists(_))));
    let elsewhere = tempfile::tempdir().unwrap();
    let restored = config(elsewhere.path());
    backup::restore(&restored, &file).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    #[cfg(unix)]
    for path in [&file, &elsewhere.path().join("book.sqlite")] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let copy = PhoneBook::start(restored).await.unwrap();
    assert_eq!(copy.book_key(), book.book_key());
    copy.stop().await;
    book.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_is_refused_and_left_as_it_is() {
    let (folder, served, book) = served().await;
    let good = folder.path().join("good");
    backup::backup(&served, &good).await.unwrap();
    book.stop().await;
    let bytes = std::fs::read(&good).unwrap();
    let half = &bytes[..bytes.len() / 2];
    for (name, content) in [
        ("text", b"hello".as_slice()),
        ("empty", b""),
        ("half", half),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let refused = backup::restore(&config(elsewhere.path()), &file).await;
        assert!(
            matches!(refused, Err(OperatorError::NoBackup { .. })),
            "{name} {refused:?}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), content, "{name}");
        assert_eq!(
            std::fs::read_dir(elsewhere.path()).unwrap().count(),
            0,
            "{name}"
        );
    }
    let absent = backup::restore(&config(folder.path()), &folder.path().join("absent")).await;
    assert!(absent.unwrap_err().to_string().contains("absent"));
}

/// What was stored is changed behind the book's back: it says so and does not stop working for other reasons.
#[test]
fn whatever_is_corrupt_in_a_database_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let whole = folder.path().join("whole");
    let store = || SqlStore::sqlite(&whole, runtime.handle().clone()).unwrap();
    let mut book = open(Box::new(store()));
    close(&mut book);
    drop(book);
    // The connection that was dropped is closed by a thread of its own, a little later.
    let begin = Instant::now();
    while let Err(error) = store().settle() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let damages = [
        "UPDATE charter SET seed = zeroblob(32)",
        "UPDATE numbers SET record = zeroblob(192) WHERE number = 100",
        "UPDATE numbers SET epoch = -7 WHERE number = 100",
        "UPDATE numbers SET number = -1 WHERE number = 100",
        "UPDATE numbers SET number = 99999999999 WHERE number = 100",
        "DELETE FROM numbers WHERE number = 177",
        "UPDATE epochs SET root = zeroblob(257)",
        "UPDATE epochs SET root = (SELECT root FROM epochs WHERE epoch = 1) WHERE epoch = 2",
        "DELETE FROM epochs WHERE epoch = 2",
        "DELETE FROM networks",
        "UPDATE networks SET settings = zeroblob(2)",
        "UPDATE deltas SET delta = zeroblob(791)",
        "UPDATE deltas SET delta = zeroblob(0)",
        "DELETE FROM deltas",
        "INSERT INTO queue SELECT number, 1, zeroblob(191), 1, NULL, NULL FROM numbers WHERE number = 100",
        "INSERT INTO queue VALUES (-5, 1, zeroblob(192), 1, NULL, NULL)",
        "INSERT INTO queue SELECT number, 1, zeroblob(192), 0, -1, 0 FROM numbers WHERE number = 100",
        "UPDATE numbers SET generation = -1 WHERE number = 100",
        "UPDATE numbers SET due = -1 WHERE number = 100",
    ];
    for (round, damage) in damages.into_iter().enumerate() {
        let path = folder.path().join(format!("damaged{round}"));
        std::fs::copy(&whole, &path).unwrap();
        runtime.block_on(harm(&path, damage));
        let store = SqlStore::sqlite(&path, runtime.handle().clone()).unwrap();
        let opened = Book::open(Box::new(store), stores::terms(), [2; 32], NOW);
        let closed = opened
            .map_err(|error| error.to_string())
            .and_then(|(mut book, _)| {
                let next = stores::next(&book);
                book.close_epoch(next, b"{}")
                    .map_err(|error| error.to_string())
            });
        assert!(closed.is_err(), "{damage}");
    }
}

/// What the first version of this program kept was published at once: it stays so.
#[test]
fn a_database_of_the_time_before_epochs_opens_with_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let path = folder.path().join("old.sqlite");
    let new = folder.path().join("new.sqlite");
    let mut book = open(Box::new(
        SqlStore::sqlite(&new, runtime.handle().clone()).unwrap(),
    ));
    let issue = book.issue(NOW).unwrap();
    activate(&mut book, &issue.code, 5);
    close(&mut book);
    runtime.block_on(first_version(&path, &new, issue.number.value()));
    let old = open(Box::new(
        SqlStore::sqlite(&path, runtime.handle().clone()).unwrap(),
    ));
    assert_eq!(old.published().root().unwrap().states().epoch, 1);
    assert_eq!(whole(&old).2, whole(&book).2);
    let mut old = old;
    let counts = old.number_counts(NOW).unwrap();
    assert_eq!((counts.active, counts.queued), (1, 0));
    for _ in 0..80 {
        close(&mut old);
    }
    let (tile, slot) = stores::plan().place(issue.number).unwrap();
    let record = |book: &Book| {
        *book
            .published()
            .tile(tile)
            .unwrap()
            .tile()
            .record(slot)
            .unwrap()
    };
    assert_eq!(record(&old), record(&book));
}

/// A database as the first migration lays it out, with the charter and the records of another, where one number is active.
async fn first_version(path: &Path, with: &Path, active: u32) {
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let mut migrator = sqlx::migrate!("./migrations/sqlite");
    migrator.migrations.to_mut().truncate(1);
    migrator.run(&mut connection).await.unwrap();
    let statements = format!(
        "ATTACH '{}' AS new; INSERT INTO charter SELECT * FROM new.charter;
         INSERT INTO numbers (number, record, change, code)
         SELECT number, record, number = {active}, code FROM new.numbers",
        with.display()
    );
    connection.execute(AssertSqlSafe(statements)).await.unwrap();
    connection.close().await.unwrap();
}

async fn harm(path: &Path, statement: &'static str) {
    use sqlx::{ConnectOptions, Connection, Executor};
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON");
    let mut connection = options.connect().await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

#[test]
fn the_commands_speak_to_people_and_to_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.success(), text(&stdout), text(&stderr))
    };
    let (done, _, said) = run(&["list"]);
    assert!(
        !done && said.contains("no phone book in phonebook.sqlite"),
        "{said}"
    );
    std::fs::write(
        folder.path().join("s.toml"),
        "plan = { first = 20000, tiles = 1 }",
    )
    .unwrap();
    let founding = ["issue", "--config", "s.toml", "--count", "2", "--json"];
    let (done, _, said) = run(&founding);
    assert!(!done && said.contains("--new-book"), "{said}");
    assert!(!folder.path().join("phonebook.sqlite").exists());
    let (done, out, _) = run(&[&founding[..], &["--new-book"]].concat());
    let numbers: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(done && numbers.len() == 2);
    let (done, out, _) = run(&["list"]);
    assert!(
        done && out.contains("\nfree 254, waiting 2, active 0, retired 0"),
        "{out}"
    );
    assert_eq!(out.lines().count(), 4);
    let key = numbers[0]["bookKey"].as_str().unwrap();
    assert!(
        out.starts_with(&format!("the book's key is {key}\n")),
        "{out}"
    );
    let number = numbers[0]["number"].as_str().unwrap();
    let (done, out, _) = run(&["revoke", number]);
    assert!(
        done && out.contains(number) && out.contains("withdrawn"),
        "{out}"
    );
    let (done, _, said) = run(&["revoke", number]);
    assert!(!done && said.contains("nothing to revoke"), "{said}");
    let (done, out, _) = run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert!(done && listed["waiting"] == 1 && listed["numbers"][0]["state"] == "waiting");
    assert!(run(&["backup", "copy"]).0);
    let (done, _, said) = run(&["restore", "copy"]);
    assert!(!done && said.contains("exists already"), "{said}");
    let (done, out, _) = run(&["restore", "copy", "--database", "new.sqlite"]);
    assert!(
        done && out.contains("end of epoch 0;") && out.contains("newest backup"),
        "{out}"
    );
    assert!(run(&["restore", "--help"]).1.contains("newest backup"));
    std::fs::write(folder.path().join("roots"), "no roots").unwrap();
    let (done, _, said) = run(&["resume", "roots"]);
    assert!(
        !done && said.contains("no roots of this phone book"),
        "{said}"
    );
    let (done, _, said) = run(&["export", "mirror"]);
    assert!(!done && said.contains("start the server once"), "{said}");
    let (done, _, said) = run(&["issue", "--count", "0"]);
    assert!(!done && said.contains("--count"), "{said}");
    for command in [
        "issue", "list", "revoke", "export", "backup", "restore", "resume",
    ] {
        let (done, out, _) = run(&[command, "--help"]);
        assert!(done && out.contains("--config"), "{command}");
    }
}
