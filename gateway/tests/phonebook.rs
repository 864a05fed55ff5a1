//! The engine's side of the phone book against the real one, over HTTP on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringfence::lines::LineError;
use ringfence::lines::activate::activate;
use ringfence::lines::renew::Renewals;
use ringfence::net::book::{BookClient, BookCopy, BookError, BookSnapshot, Unreachable};
use ringfence::net::outbound::{Outbound, OutboundError};
use ringfence::state::keystore::{Keystore, LineFile};
use ringfence_book::root::ROOT_BYTES;
use ringfence_book::{ActivationCode, Day, Listing, Number, NumberPlan};
use ringfence_engine::line::identity::Identity;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use ringfence_phonebook::operator;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Scene {
    book: PhoneBook,
    client: BookClient,
    store: Keystore,
    folder: TempDir,
}

async fn scene() -> Scene {
    let book = open(ANY_PORT).await;
    let folder = tempfile::tempdir().unwrap();
    Scene {
        client: BookClient::new(&book.url(), &Outbound::direct()).unwrap(),
        store: Keystore::open(folder.path(), None).unwrap(),
        book,
        folder,
    }
}

async fn open(listen: SocketAddr) -> PhoneBook {
    start(listen, Database::Memory).await
}

async fn start(listen: SocketAddr, database: Database) -> PhoneBook {
    PhoneBook::start(settings(listen, database)).await.unwrap()
}

fn settings(listen: SocketAddr, database: Database) -> Config {
    Config {
        listen,
        database,
        plan: NumberPlan::new(20_000, 2).unwrap(),
        ..Config::default()
    }
}

impl Scene {
    async fn activate(&mut self) -> LineFile {
        let issued = self.book.issue().await.unwrap();
        let line = activate(&mut self.store, &self.client, &issued.code, None)
            .await
            .unwrap();
        self.book.close_epoch_now().await.unwrap();
        line
    }

    async fn snapshot(&self) -> BookSnapshot {
        self.copy().refresh(&self.client).await.unwrap()
    }

    fn copy(&self) -> BookCopy {
        BookCopy::open(self.folder.path(), self.book.book_key()).unwrap()
    }
}

fn listed(snapshot: &BookSnapshot, number: Number) -> Listing {
    Listing::decode(snapshot.book.record(number).unwrap()).unwrap()
}

#[tokio::test]
async fn an_activated_line_is_kept_and_stands_in_the_book() {
    let mut scene = scene().await;
    let line = scene.activate().await;
    let kept = scene.store.lines().unwrap();
    assert_eq!((kept.len(), kept[0].number), (1, line.number));
    // The keys of the attempt are gone; what is left says which line the code gave.
    let left: Vec<_> = std::fs::read_dir(scene.folder.path().join("pending"))
        .unwrap()
        .map(|entry| entry.unwrap().path().extension().map(OsStr::to_owned))
        .collect();
    assert_eq!(left, [Some("done".into())]);
    let identity = Identity::from_bytes(&line.identity).unwrap();
    let snapshot = scene.copy().refresh(&scene.client).await.unwrap();
    let listing = listed(&snapshot, Number::new(line.number));
    assert_eq!(listing, identity.listing());
}

#[tokio::test]
async fn a_code_works_once_and_an_unknown_one_never() {
    let mut scene = scene().await;
    let issued = scene.book.issue().await.unwrap();
    let unknown = ActivationCode::draw(&scene.book.book_key(), &mut rand::rng());
    let line = activate(&mut scene.store, &scene.client, &issued.code, None)
        .await
        .unwrap();
    let again = activate(&mut scene.store, &scene.client, &issued.code, None).await;
    let again = again.unwrap();
    assert_eq!(
        (again.number, &again.identity),
        (line.number, &line.identity)
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let mut store = Keystore::open(elsewhere.path(), None).unwrap();
    for code in [issued.code, unknown] {
        let refused = activate(&mut store, &scene.client, &code, None).await;
        assert_eq!(
            refused.unwrap_err(),
            LineError::Book(BookError::CodeRefused)
        );
    }
}

#[tokio::test]
async fn an_activation_whose_answer_was_lost_is_repeated_with_the_same_keys() {
    let mut scene = scene().await;
    let issued = scene.book.issue().await.unwrap();
    let first = activate(&mut scene.store, &scene.client, &issued.code, None)
        .await
        .unwrap();
    // As if the power had failed between the book's answer and the saving of the line.
    std::fs::remove_dir_all(scene.folder.path().join("lines")).unwrap();
    let digest = issued.code.digest();
    let name = &digest.as_bytes()[..8];
    let folder = scene.folder.path().to_owned();
    drop(scene.store);
    let mut store = Keystore::open(&folder, None).unwrap();
    store.keep_pending(name, &first.identity).unwrap();
    let second = activate(&mut store, &scene.client, &issued.code, None)
        .await
        .unwrap();
    assert_eq!(
        (second.number, &second.identity),
        (first.number, &first.identity)
    );
}

#[tokio::test]
async fn an_engine_starts_from_its_copy_while_the_book_is_away() {
    let scene = scene().await;
    let fresh = scene.copy().refresh(&scene.client).await.unwrap();
    let key = scene.book.book_key();
    scene.book.stop().await;
    let mut copy = BookCopy::open(scene.folder.path(), key).unwrap();
    let kept = copy.snapshot().unwrap();
    assert_eq!(kept.network, fresh.network);
    assert_eq!(kept.book.tiles(), fresh.book.tiles());
    assert_eq!(kept.roots, fresh.roots);
    let url = scene.client.url().to_owned();
    let why = Unreachable::Connect(OutboundError::Connect(ErrorKind::ConnectionRefused));
    let fault = BookError::Unreachable { url, why };
    assert_eq!(copy.refresh(&scene.client).await.unwrap_err(), fault);
    assert!(copy.snapshot().is_some());
}

#[tokio::test]
async fn a_damaged_or_missing_tile_is_downloaded_again() {
    let scene = scene().await;
    let fresh = scene.copy().refresh(&scene.client).await.unwrap();
    let books = std::fs::read_dir(scene.folder.path().join("book")).unwrap();
    let folder = books.map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::write(folder.join("tile-0000"), "short").unwrap();
    std::fs::remove_file(folder.join("tile-0001")).unwrap();
    let mut copy = scene.copy();
    assert!(copy.snapshot().is_none());
    let again = copy.refresh(&scene.client).await.unwrap();
    assert_eq!(again.book.tiles(), fresh.book.tiles());
}

#[tokio::test]
async fn a_copy_that_followed_for_a_while_is_whole_when_it_is_read_again() {
    let mut scene = scene().await;
    let mut copy = scene.copy();
    copy.refresh(&scene.client).await.unwrap();
    // More epochs than are kept as deltas, some of them missed.
    for step in 0..75 {
        scene.book.close_epoch_now().await.unwrap();
        if step % 3 != 0 {
            copy.refresh(&scene.client).await.unwrap();
        }
    }
    let line = scene.activate().await;
    let fresh = copy.refresh(&scene.client).await.unwrap();
    let kept = scene.copy().snapshot().unwrap();
    assert_eq!(kept.book.root(), fresh.book.root());
    assert_eq!(kept.book.tiles(), fresh.book.tiles());
    assert_eq!(kept.roots, fresh.roots);
    let identity = Identity::from_bytes(&line.identity).unwrap();
    let number = Number::new(line.number);
    assert_eq!(listed(&kept, number), identity.listing());
    // What the line's decoy was before is remembered too.
    let replaced = kept.book.replaced();
    assert_eq!(replaced, fresh.book.replaced());
    assert_eq!(replaced.current_at(number, 0).count(), 1);
}

#[tokio::test]
async fn a_book_that_signs_with_another_key_is_not_believed() {
    let scene = scene().await;
    let other = open(ANY_PORT).await;
    let mut copy = scene.copy();
    let impostor = BookClient::new(&other.url(), &Outbound::direct()).unwrap();
    assert_eq!(
        copy.refresh(&impostor).await.unwrap_err(),
        BookError::KeyChanged
    );
    assert!(copy.snapshot().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_that_was_restored_from_an_old_backup_is_refused_and_the_copy_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name| Database::File(folder.path().join(name));
    let backup = folder.path().join("backup");
    let book = start(ANY_PORT, at("book.sqlite")).await;
    let config = settings(ANY_PORT, at("book.sqlite"));
    operator::backup::backup(&config, &backup).await.unwrap();
    for _ in 0..3 {
        book.close_epoch_now().await.unwrap();
    }
    let client = BookClient::new(&book.url(), &Outbound::direct()).unwrap();
    let mut copy = BookCopy::open(&*folder.path().join("engine"), book.book_key()).unwrap();
    let fresh = copy.refresh(&client).await.unwrap();
    book.stop().await;
    let config = settings(ANY_PORT, at("restored.sqlite"));
    operator::backup::restore(&config, &backup).await.unwrap();
    let restored = PhoneBook::start(config).await.unwrap();
    for _ in 0..5 {
        restored.close_epoch_now().await.unwrap();
    }
    let client = BookClient::new(&restored.url(), &Outbound::direct()).unwrap();
    let refused = copy.refresh(&client).await.unwrap_err();
    assert!(matches!(refused, BookError::Lie(_)), "{refused}");
    assert_eq!(copy.snapshot().unwrap().book.root(), fresh.book.root());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_book_goes_on_after_the_roots_that_an_engine_has_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name| Config {
        epoch_seconds: 1,
        ..settings(ANY_PORT, Database::File(folder.path().join(name)))
    };
    let engine = |name, book: &PhoneBook| {
        let client = BookClient::new(&book.url(), &Outbound::direct()).unwrap();
        let copy = BookCopy::open(&*folder.path().join(name), book.book_key()).unwrap();
        (client, copy)
    };
    let backup = folder.path().join("backup");
    let book = PhoneBook::start(at("book.sqlite")).await.unwrap();
    let (client, mut watcher) = engine("watcher", &book);
    watcher.refresh(&client).await.unwrap();
    operator::backup::backup(&at("book.sqlite"), &backup)
        .await
        .unwrap();
    book.close_epoch_now().await.unwrap();
    let older = engine("behind", &book).1.refresh(&client).await.unwrap();
    for _ in 0..3 {
        book.close_epoch_now().await.unwrap();
    }
    let seen = watcher.refresh(&client).await.unwrap();
    let last = *seen.book.root();
    book.stop().await;

    let config = at("restored.sqlite");
    operator::backup::restore(&config, &backup).await.unwrap();
    let file = folder.path().join("roots");
    let bytes: Vec<u8> = seen.roots.iter().flat_map(|root| root.encode()).collect();
    let mut forged = bytes.clone();
    for root in forged.chunks_mut(ROOT_BYTES) {
        root[ROOT_BYTES - 1] ^= 1;
    }
    for wrong in [&bytes[1..], &forged] {
        std::fs::write(&file, wrong).unwrap();
        let refused = operator::backup::resume(&config, &file).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("no roots of this"), "{why}");
    }
    std::fs::write(&file, bytes).unwrap();
    // The clock of the first book was set on by some seconds.
    let mut outcome = operator::backup::resume(&config, &file).await;
    for _ in 0..10 {
        let Err(early) = &outcome else { break };
        assert!(early.to_string().contains("try again later"), "{early}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        outcome = operator::backup::resume(&config, &file).await;
    }
    assert!(outcome.unwrap() > last.states().epoch);
    let restored = PhoneBook::start(config).await.unwrap();
    restored.close_epoch_now().await.unwrap();
    for (name, known) in [("watcher", last), ("behind", *older.book.root())] {
        let (client, mut copy) = engine(name, &restored);
        let followed = copy.refresh(&client).await.unwrap();
        assert!(followed.book.root().states().epoch > last.states().epoch);
        assert!(followed.roots.iter().any(|root| **root == known), "{name}");
    }
}

#[tokio::test]
async fn a_code_is_not_sent_to_another_book() {
    let scene = scene().await;
    let other = open(ANY_PORT).await;
    let client = BookClient::new(&other.url(), &Outbound::direct()).unwrap();
    let issued = scene.book.issue().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut store = Keystore::open(elsewhere.path(), None).unwrap();
    let refused = activate(&mut store, &client, &issued.code, None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused, LineError::CodeOfOtherBook(client.url().to_owned()));
    assert!(refused.remedy().contains("was not sent"), "{refused:?}");
    assert_eq!(
        store.pending(&issued.code.digest().as_bytes()[..8]),
        Ok(None)
    );
    // Where it belongs it is still good.
    let line = activate(&mut store, &scene.client, &issued.code, None).await;
    assert_eq!(line.unwrap().number, issued.number.value());
}

#[tokio::test]
async fn lines_of_two_books_do_not_share_a_folder() {
    let mut scene = scene().await;
    scene.activate().await;
    let other = open(ANY_PORT).await;
    let client = BookClient::new(&other.url(), &Outbound::direct()).unwrap();
    let issued = other.issue().await.unwrap();
    let refused = activate(&mut scene.store, &client, &issued.code, None)
        .await
        .unwrap_err();
    assert_eq!(refused, LineError::OtherBook(scene.client.url().to_owned()));
}

#[tokio::test]
async fn a_refused_line_keeps_no_other_from_its_ring_key_and_is_left_in_peace_for_an_hour() {
    let mut scene = scene().await;
    let (mut refused, mut due) = (scene.activate().await, scene.activate().await);
    refused.identity = due.identity.clone();
    for line in [&mut refused, &mut due] {
        line.ring_key_due = Some(0);
    }
    let (key, number) = (scene.book.book_key(), due.number);
    let (lines, book) = (vec![refused, due], scene.snapshot().await);
    let mut renewals = Renewals::new(scene.store, scene.client, key, lines);
    let now = ringfence::clock::now();
    let first = renewals.renew_due(&book, now).await;
    assert!(first.error.is_some());
    let promoted = renewals
        .lines()
        .iter()
        .filter(|line| line.ring_key_due > Some(0));
    let numbers: Vec<_> = promoted.map(|line| line.number).collect();
    assert_eq!(numbers, [number]);
    let early = now + Duration::from_secs(3_599);
    let nothing = renewals.renew_due(&book, early).await;
    assert!(nothing.identities.is_empty() && nothing.error.is_none());
    let second = renewals
        .renew_due(&book, now + Duration::from_secs(3_600))
        .await;
    assert_eq!(second.error, first.error);
}

#[tokio::test]
async fn a_book_that_is_away_is_asked_again_when_it_is_back() {
    let mut scene = scene().await;
    let mut line = scene.activate().await;
    line.ring_key_due = Some(0);
    let (key, network) = (scene.book.book_key(), scene.snapshot().await);
    scene.book.stop().await;
    let mut renewals = Renewals::new(scene.store, scene.client, key, vec![line]);
    let now = ringfence::clock::now();
    for _ in 0..2 {
        let fault = renewals.renew_due(&network, now).await.error;
        assert!(
            matches!(fault, Some(LineError::Book(BookError::Unreachable { .. }))),
            "{fault:?}"
        );
    }
}

/// The keys of a line as they are saved.
fn saved(scene: &Scene) -> (Identity, LineFile) {
    let line = Keystore::look(scene.folder.path(), None).unwrap().remove(0);
    (Identity::from_bytes(&line.identity).unwrap(), line)
}

#[tokio::test]
async fn a_ring_key_that_has_had_its_time_is_replaced_in_the_book() {
    let mut scene = scene().await;
    let mut line = scene.activate().await;
    let (key, network) = (scene.book.book_key(), scene.snapshot().await);
    let (first, _) = saved(&scene);
    let store = std::mem::replace(&mut scene.store, elsewhere());
    let mut renewals = Renewals::new(store, scene.client.clone(), key, vec![line.clone()]);
    let early = renewals.renew_due(&network, ringfence::clock::now()).await;
    assert!(early.identities.is_empty() && early.error.is_none());

    line.ring_key_due = Some(ringfence::clock::unix_seconds());
    let mut renewals = Renewals::new(renewals.into_store(), scene.client.clone(), key, vec![line]);
    let look = renewals.renew_due(&network, ringfence::clock::now()).await;
    assert_eq!((look.identities.len(), &look.error), (1, &None));
    let (second, line) = saved(&scene);
    assert!(line.ring_key_due > Some(ringfence::clock::unix_seconds()));
    assert_ne!(second.listing(), first.listing());
    assert!(
        second.has_ring_key(first.listing().ring_key()),
        "it opens rings for a week"
    );
    scene.book.close_epoch_now().await.unwrap();
    let snapshot = scene.copy().refresh(&scene.client).await.unwrap();
    assert_eq!(
        listed(&snapshot, Number::new(line.number)),
        second.listing()
    );
}

#[tokio::test]
async fn a_rotation_whose_answer_was_lost_is_repeated_with_the_same_key() {
    let mut scene = scene().await;
    let mut line = scene.activate().await;
    let (key, network) = (scene.book.book_key(), scene.snapshot().await);
    // As if the power had failed after the key was kept.
    let mut identity = Identity::from_bytes(&line.identity).unwrap();
    identity.prepare(None, &mut rand::rng());
    line.identity = identity.to_bytes();
    scene.store.save(&line).unwrap();
    identity.promote(Day::new(1));
    let store = std::mem::replace(&mut scene.store, elsewhere());
    for _ in 0..2 {
        // What is saved after the answer goes elsewhere: it is lost.
        let lines = Keystore::look(scene.folder.path(), None).unwrap();
        let mut renewals = Renewals::new(elsewhere(), scene.client.clone(), key, lines);
        let look = renewals.renew_due(&network, ringfence::clock::now()).await;
        assert_eq!((look.identities.len(), &look.error), (1, &None));
        assert_eq!(look.identities[0].1.listing(), identity.listing());
    }
    drop(store);
    scene.book.close_epoch_now().await.unwrap();
    let snapshot = scene.copy().refresh(&scene.client).await.unwrap();
    let number = Number::new(line.number);
    assert_eq!(listed(&snapshot, number), identity.listing());
}

/// A key store of no interest.
fn elsewhere() -> Keystore {
    Keystore::open(&tempfile::tempdir().unwrap().keep(), None).unwrap()
}

/// A server that answers every connection with the same bytes.
async fn server(answer: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn answers_that_are_not_a_books_are_told_apart_and_never_fill_the_memory() {
    let text = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let ask = async |answer: Vec<u8>| {
        let client = BookClient::new(&server(answer).await, &Outbound::direct()).unwrap();
        (client.network().await.unwrap_err(), client.url().to_owned())
    };
    let (fault, url) = ask(text("200 OK", "<html>hello</html>")).await;
    assert_eq!(fault, BookError::NotABook(url));
    let (fault, url) = ask(text("200 OK", &"[".repeat(1_000_000))).await;
    assert_eq!(fault, BookError::NotABook(url));
    let (fault, _) = ask(text("503 Service Unavailable", "")).await;
    assert_eq!(fault, BookError::Status(503));
    let (fault, _) = ask(text("302 Found", "")).await;
    assert_eq!(fault, BookError::Status(302));
    let (fault, url) = ask(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
    assert_eq!(
        fault,
        BookError::Unreachable {
            url,
            why: Unreachable::Broken
        }
    );
}
