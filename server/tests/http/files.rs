//! The files of the book: the same for all clients, each with its own rule for caches.

use ringfence_book::{Delta, Root, Tile};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Config;
use sha2::{Digest, Sha256};

use crate::client::{activate, book, config, get, get_with};

const ROOT: usize = ringfence_book::root::ROOT_BYTES;

#[tokio::test]
async fn root_settings_tiles_and_delta_belong_together() {
    let book = book().await;
    activate(&book, 5).await;
    let answer = get(&book, "/api/v1/root").await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=10"));
    let root = Root::decode(&answer.body, &book.book_key()).unwrap();
    assert_eq!(root.states().epoch, 2);
    let network = get(&book, "/api/v1/network").await;
    assert_eq!(Sha256::digest(&network.body).0, root.states().network);
    let delta = get(&book, "/api/v1/deltas/2").await;
    assert_eq!(
        delta.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let delta = Delta::decode(&delta.body).unwrap();
    assert_eq!(delta.hash(), root.states().delta);
    let tile = Tile::decode(&get(&book, "/api/v1/tiles/0").await.body).unwrap();
    let tiles = ringfence_book::root::TilesHash::of_tiles(root.states().plan, &[tile]);
    assert_eq!(tiles, root.states().tiles);
    let block = get(&book, "/api/v1/roots/0").await;
    assert_eq!(block.header("cache-control"), Some("no-cache"));
    assert_eq!(block.body.len(), 2 * ROOT);
    let first = Root::decode(&block.body[..ROOT], &book.book_key()).unwrap();
    assert!(root.follows(&first));
    assert_eq!(block.body[ROOT..], answer.body);
}

#[tokio::test]
async fn what_changes_is_sent_again_only_when_it_changed() {
    let book = book().await;
    for path in [
        "/api/v1/root",
        "/api/v1/roots/0",
        "/api/v1/network",
        "/api/v1/tiles/0",
    ] {
        let first = get(&book, path).await;
        let etag = first.header("etag").unwrap();
        for known in [etag, &format!("\"x\", W/{etag}"), "*"] {
            let again = get_with(&book, path, &format!("if-none-match: {known}\r\n")).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), Some(etag));
            assert_eq!(again.header("cache-control"), first.header("cache-control"));
        }
    }
    let known = |etag: &str| format!("if-none-match: {etag}\r\n");
    let (root, network) = (
        get(&book, "/api/v1/root").await,
        get(&book, "/api/v1/network").await,
    );
    activate(&book, 5).await;
    let root = get_with(&book, "/api/v1/root", &known(root.header("etag").unwrap())).await;
    assert_eq!(root.status, 200);
    let same = known(network.header("etag").unwrap());
    assert_eq!(get_with(&book, "/api/v1/network", &same).await.status, 304);
}

#[tokio::test]
async fn a_full_block_of_roots_never_changes() {
    let config = Config {
        changes: 1,
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    for _ in 0..256 {
        book.close_epoch_now().await.unwrap();
    }
    let full = get(&book, "/api/v1/roots/0").await;
    assert_eq!(full.body.len(), 256 * ROOT);
    assert_eq!(
        full.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let last = get(&book, "/api/v1/roots/1").await;
    assert_eq!(last.body.len(), ROOT);
    assert_eq!(last.header("cache-control"), Some("no-cache"));
    for epoch in [2, 100, 257] {
        let delta = get(&book, &format!("/api/v1/deltas/{epoch}")).await;
        assert_eq!(Delta::decode(&delta.body).unwrap().epoch(), epoch);
    }
}

#[tokio::test]
async fn files_that_there_are_not_are_not_found() {
    let book = book().await;
    for path in [
        "/api/v1/roots/1",
        "/api/v1/roots/16777216",
        "/api/v1/roots/00",
        "/api/v1/roots/x",
        "/api/v1/roots/-1",
        "/api/v1/deltas/0",
        "/api/v1/deltas/1",
        "/api/v1/deltas/2",
        "/api/v1/deltas/4294967295",
        "/api/v1/deltas/4294967296",
        "/api/v1/deltas/",
        "/api/v1/tiles/1",
        "/api/v1/tiles/65536",
    ] {
        assert_eq!(get(&book, path).await.status, 404, "{path}");
    }
}
