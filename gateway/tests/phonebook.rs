//! The engine's side of the phone book against the real one, over HTTP on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ringfence::activate::{ActivateFault, activate};
use ringfence::io::book::{BookClient, BookCopy, BookFault, Unreachable};
use ringfence::keystore::{Keystore, LineFile};
use ringfence::renew::{Renewals, Renewed, renew_bindings};
use ringfence_phonebook::config::{Config, Database};
use ringfence_phonebook::{ActivationCode, Binding, BookKey, Day, NumberPlan, PhoneBook};
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
        client: BookClient::new(&book.url(), None).unwrap(),
        store: Keystore::open(folder.path(), None).unwrap(),
        book,
        folder,
    }
}

async fn open(listen: SocketAddr) -> PhoneBook {
    let config = Config {
        listen,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 2).unwrap(),
        ..Config::default()
    };
    PhoneBook::start(config).await.unwrap()
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

    fn copy(&self) -> BookCopy {
        BookCopy::open(self.folder.path(), self.book.book_key()).unwrap()
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn an_activated_line_is_kept_and_stands_in_the_book() {
    let mut scene = scene().await;
    let line = scene.activate().await;
    let kept = scene.store.lines().unwrap();
    assert_eq!((kept.len(), kept[0].number), (1, line.number));
    assert_eq!(files(&scene.folder.path().join("pending")), 0);
    let binding = Binding::decode(&line.binding).unwrap();
    let snapshot = scene.copy().refresh(&scene.client).await.unwrap();
    let (tile, slot) = snapshot.network.plan.place(binding.number()).unwrap();
    let listing = snapshot.tiles[usize::from(tile)].listing(slot).unwrap();
    assert_eq!(listing.identity(), binding.identity());
}

#[tokio::test]
async fn a_code_works_once_and_an_unknown_one_never() {
    let mut scene = scene().await;
    let issued = scene.book.issue().await.unwrap();
    let unknown = ActivationCode::draw(&mut rand::rng());
    activate(&mut scene.store, &scene.client, &issued.code, None)
        .await
        .unwrap();
    for code in [issued.code, unknown] {
        let refused = activate(&mut scene.store, &scene.client, &code, None).await;
        assert_eq!(
            refused.unwrap_err(),
            ActivateFault::Book(BookFault::CodeRefused)
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
    assert_eq!((&kept.network, &kept.tiles), (&fresh.network, &fresh.tiles));
    let url = scene.client.url().to_owned();
    let fault = BookFault::Unreachable {
        url,
        why: Unreachable::Connect,
    };
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
    assert_eq!(
        copy.refresh(&scene.client).await.unwrap().tiles,
        fresh.tiles
    );
}

#[tokio::test]
async fn a_book_that_signs_with_another_key_is_not_believed() {
    let scene = scene().await;
    let other = open(ANY_PORT).await;
    let mut copy = scene.copy();
    let impostor = BookClient::new(&other.url(), None).unwrap();
    assert_eq!(
        copy.refresh(&impostor).await.unwrap_err(),
        BookFault::KeyChanged
    );
    assert!(copy.snapshot().is_none());
}

#[tokio::test]
async fn lines_of_two_books_do_not_share_a_folder() {
    let mut scene = scene().await;
    scene.activate().await;
    let other = open(ANY_PORT).await;
    let client = BookClient::new(&other.url(), None).unwrap();
    let issued = other.issue().await.unwrap();
    let refused = activate(&mut scene.store, &client, &issued.code, None)
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        ActivateFault::OtherBook(scene.client.url().to_owned())
    );
}

#[tokio::test]
async fn a_binding_that_ends_soon_is_renewed_and_saved() {
    let mut scene = scene().await;
    let mut line = scene.activate().await;
    let key: BookKey = scene.book.book_key();
    let renew = async |scene: &mut Scene, line: &mut LineFile| {
        let lines = std::slice::from_mut(line);
        renew_bindings(&mut scene.store, &scene.client, &key, lines).await
    };
    assert_eq!(renew(&mut scene, &mut line).await, Renewed::default());
    let binding = Binding::decode(&line.binding).unwrap();
    line.binding = ended(&binding);
    let renewed = Renewed {
        bindings: vec![binding],
        fault: None,
    };
    assert_eq!(renew(&mut scene, &mut line).await, renewed);
    assert_eq!(Binding::decode(&line.binding).unwrap(), binding);
    assert_eq!(scene.store.lines().unwrap()[0].binding, line.binding);
}

/// The same word, but good for a day long gone.
fn ended(binding: &Binding) -> Vec<u8> {
    let (number, identity) = (binding.number(), *binding.identity());
    Binding::from_parts(number, identity, Day::new(1), *binding.signature())
        .encode()
        .to_vec()
}

#[tokio::test]
async fn a_refused_line_keeps_no_other_from_its_binding_and_is_left_in_peace_for_an_hour() {
    let mut scene = scene().await;
    let (mut refused, mut due) = (scene.activate().await, scene.activate().await);
    refused.identity = due.identity.clone();
    for line in [&mut refused, &mut due] {
        line.binding = ended(&Binding::decode(&line.binding).unwrap());
    }
    let (key, number) = (scene.book.book_key(), due.number);
    let lines = vec![refused, due];
    let mut renewals = Renewals::new(scene.store, scene.client, key, lines);
    let now = ringfence::clock::now();
    let first = renewals.look(now).await;
    assert!(first.fault.is_some());
    let numbers: Vec<_> = first.bindings.iter().map(|b| b.number().value()).collect();
    assert_eq!(numbers, [number]);
    let early = now + Duration::from_secs(3_599);
    assert_eq!(renewals.look(early).await, Renewed::default());
    let second = renewals.look(now + Duration::from_secs(3_600)).await;
    assert_eq!((second.bindings.len(), second.fault), (0, first.fault));
}

#[tokio::test]
async fn a_book_that_is_away_is_asked_again_when_it_is_back() {
    let mut scene = scene().await;
    let mut line = scene.activate().await;
    line.binding = ended(&Binding::decode(&line.binding).unwrap());
    let key = scene.book.book_key();
    scene.book.stop().await;
    let mut renewals = Renewals::new(scene.store, scene.client, key, vec![line]);
    let now = ringfence::clock::now();
    for _ in 0..2 {
        let fault = renewals.look(now).await.fault;
        assert!(
            matches!(
                fault,
                Some(ActivateFault::Book(BookFault::Unreachable { .. }))
            ),
            "{fault:?}"
        );
    }
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
        let client = BookClient::new(&server(answer).await, None).unwrap();
        (client.network().await.unwrap_err(), client.url().to_owned())
    };
    let (fault, url) = ask(text("200 OK", "<html>hello</html>")).await;
    assert_eq!(fault, BookFault::NotABook(url));
    let (fault, url) = ask(text("200 OK", &"[".repeat(1_000_000))).await;
    assert_eq!(fault, BookFault::NotABook(url));
    let (fault, _) = ask(text("503 Service Unavailable", "")).await;
    assert_eq!(fault, BookFault::Status(503));
    let (fault, _) = ask(text("302 Found", "")).await;
    assert_eq!(fault, BookFault::Status(302));
    let (fault, url) = ask(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
    assert_eq!(
        fault,
        BookFault::Unreachable {
            url,
            why: Unreachable::Broken
        }
    );
}
