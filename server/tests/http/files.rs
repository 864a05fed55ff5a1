//! The files of the book: the same for all clients, each with its own rule for caches.

use ringfence_book::{Root, Step, Tile};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Config;
use sha2::{Digest, Sha256};

use crate::client::{activate, book, config, get, get_with};

const ROOT: usize = ringfence_book::root::ROOT_BYTES;

#[tokio::test]
async fn root_settings_tiles_and_delta_belong_together() {
    let book = book().await;
    activate(&book, 5).await;
    let answer = get(&book, "/api/v1/newest").await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=10"));
    let newest = Step::decode(&answer.body, &book.book_key()).unwrap();
    let root = newest.root;
    assert_eq!(root.states().epoch, 2);
    let network = get(&book, "/api/v1/network").await;
    assert_eq!(Sha256::digest(&network.body).0, root.states().network);
    assert_eq!(newest.delta.unwrap().hash(), root.states().delta);
    let steps = get(&book, "/api/v1/steps/0").await;
    assert_eq!(steps.header("cache-control"), Some("no-cache"));
    assert!(steps.body.ends_with(&answer.body));
    let tile = Tile::decode(&get(&book, "/api/v1/tiles/0").await.body).unwrap();
    let tiles = ringfence_book::root::TilesHash::of_tiles(root.states().plan, &[tile]);
    assert_eq!(tiles, root.states().tiles);
    let block = get(&book, "/api/v1/roots/0").await;
    assert_eq!(block.header("cache-control"), Some("no-cache"));
    assert_eq!(block.body.len(), 2 * ROOT);
    let first = Root::decode(&block.body[..ROOT], &book.book_key()).unwrap();
    assert!(root.follows(&first));
    assert_eq!(block.body[ROOT..], answer.body[..ROOT]);
}

#[tokio::test]
async fn what_changes_is_sent_again_only_when_it_changed() {
    let book = book().await;
    for path in [
        "/api/v1/newest",
        "/api/v1/steps/0",
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
        get(&book, "/api/v1/newest").await,
        get(&book, "/api/v1/network").await,
    );
    activate(&book, 5).await;
    let root = get_with(
        &book,
        "/api/v1/newest",
        &known(root.header("etag").unwrap()),
    )
    .await;
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
    let full = get(&book, "/api/v1/steps/0").await;
    assert_eq!(
        full.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    // Some from the archive, the last from memory.
    for (block, steps) in [(0, 16), (7, 16), (15, 16), (16, 1)] {
        let answer = get(&book, &format!("/api/v1/steps/{block}")).await;
        let (mut rest, mut epoch) = (answer.body.as_slice(), block * 16);
        while !rest.is_empty() {
            let (step, after) = Step::decode_first(rest, &book.book_key()).unwrap();
            (rest, epoch) = (after, epoch + 1);
            assert_eq!(step.root.states().epoch, epoch);
            assert_eq!(step.delta.is_some(), epoch > 1);
        }
        assert_eq!(epoch, block * 16 + steps);
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
        "/api/v1/steps/1",
        "/api/v1/steps/4294967295",
        "/api/v1/steps/4294967296",
        "/api/v1/steps/",
        "/api/v1/tiles/1",
        "/api/v1/tiles/65536",
    ] {
        assert_eq!(get(&book, path).await.status, 404, "{path}");
    }
}
