//! Replaces ring keys when their life is over. It comes from the distribution by which the phone book renews its decoys (60 days at
//! most): neither the age of a key nor the time of day tells whether a number is in use. The private half of the previous key opens rings for
//! 7 days more and is then destroyed, so that a thief of this machine cannot read older rings.
//!
//! A crash is safe at any point: the next key is on the disk, and opens rings, before it is sent to the phone book; it becomes the
//! current one when the book has answered; and when the answer is lost, the same key is sent again.

use ringfence_book::listing::LISTING_BYTES;
use ringfence_book::wire::{Base64, Rotate};
use ringfence_book::{Challenge, Day, Listing, NetworkSettings, Number, VerifiedBook};
use ringfence_engine::line::identity::Identity;

use super::renew::RenewalOutcome;
use super::{LineError, next_renewal};
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{Keystore, LineFile};

/// Replaces ring keys that are due, and destroys old ones. `book` is the copy on this machine, if there is one; `now` in Unix
/// seconds.
pub(crate) async fn rotate(
    store: &mut Keystore,
    client: &BookClient,
    (network, book): (&NetworkSettings, Option<&VerifiedBook>),
    lines: &mut [LineFile],
    now: u64,
) -> RenewalOutcome {
    let mut rotated = RenewalOutcome::default();
    for line in lines {
        let Ok(mut identity) = Identity::from_bytes(&line.identity) else {
            continue;
        };
        let listed = book.and_then(|book| book.record(Number::new(line.number)));
        let outcome =
            rotate_line(store, client, (network, listed), (line, &mut identity), now).await;
        match outcome {
            Ok(false) => continue,
            Ok(true) => {}
            Err(error) => drop(rotated.error.get_or_insert(error)),
        }
        let number = Number::new(line.number);
        rotated.identities.push((number, identity));
    }
    rotated
}

/// Checks one line; true if its keys have changed.
async fn rotate_line(
    store: &mut Keystore,
    client: &BookClient,
    (network, listed): (&NetworkSettings, Option<&[u8; LISTING_BYTES]>),
    (line, identity): (&mut LineFile, &mut Identity),
    now: u64,
) -> Result<bool, LineError> {
    let today = Day::of_unix(now);
    let forgotten = identity.forget_old_keys(today);
    // A line file of an earlier version has no date yet.
    let is_drawn = line.ring_key_due.is_some();
    let due = *line.ring_key_due.get_or_insert_with(|| next_renewal(now));
    let is_due = identity.is_preparing() || now >= due;
    if is_due {
        let listed = listed.and_then(|record| Listing::decode(record).ok());
        identity.prepare(listed.as_ref(), &mut rand::rng());
    }
    if is_due || forgotten || !is_drawn {
        save(store, line, identity).await?;
    }
    if is_due {
        send_key(client, network, Number::new(line.number), identity).await?;
        identity.promote(today);
        line.ring_key_due = Some(next_renewal(now));
        save(store, line, identity).await?;
    }
    Ok(is_due || forgotten)
}

async fn save(store: &Keystore, line: &mut LineFile, identity: &Identity) -> Result<(), LineError> {
    line.identity = identity.to_bytes();
    Ok(store.save_aside(line).await?)
}

async fn send_key(
    client: &BookClient,
    network: &NetworkSettings,
    number: Number,
    identity: &Identity,
) -> Result<(), BookError> {
    let asked = client.challenge().await?;
    let challenge = Challenge::new(network.book_key, asked.nonce.0);
    let proved = identity.prove_rotation(number, &challenge, &network.proof_key);
    let (listing, proof) = proved.ok_or(BookError::WrongLine)?;
    let form = Rotate {
        number: number.to_string(),
        challenge_id: asked.challenge_id,
        listing: Base64(listing.encode()),
        signature: Base64(proof.signature),
        ring_key_proof: Base64(proof.ring_key_proof),
    };
    client.rotate(&form).await.map(drop)
}
