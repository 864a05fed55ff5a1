//! Downloads the whole phone book, verifies it against its signed root, and looks a number up in the copy.
//!
//! ```console
//! $ cargo run --example phone_book -- https://book.example.org 20417
//! ```
//! The server sees that a client downloaded the whole book, but not which number is looked up, because that happens here. Unassigned
//! numbers look like all others. This example trusts the key that the server sends; an engine gets the key at activation and keeps it.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;

use ringfence::net::book::{BookClient, BookCopy};
use ringfence::net::outbound::Outbound;
use ringfence_book::{Listing, Number};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, number] = arguments.as_slice() else {
        return Err("usage: phone_book URL NUMBER".into());
    };
    let number = Number::new(number.parse()?);
    let client = BookClient::new(url, &Outbound::direct())?;
    let key = client.network().await?.book_key;
    let folder = tempfile::tempdir()?;
    // A copy in a permanent folder would be updated by downloading only the changes.
    let snapshot = BookCopy::open(folder.path(), key)?.refresh(&client).await?;
    let root = snapshot.book.root().states();
    println!(
        "{} numbers, epoch {}",
        snapshot.book.tiles().len() * 256,
        root.epoch
    );
    let record = snapshot
        .book
        .record(number)
        .ok_or("no number of this book")?;
    let listing = Listing::decode(record)?;
    println!(
        "identity key  {}",
        hex::encode(listing.identity().as_bytes())
    );
    println!(
        "ring key      {}",
        hex::encode(listing.ring_key().as_bytes())
    );
    Ok(())
}
