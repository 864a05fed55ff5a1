//! Replacing ring keys: after a wait without memory of 28 days on average, the law by which the phone book renews its decoys
//! (`ringfence_book::rotation`), so that nobody tells by a key's age or by the time of day whether somebody has the number. The
//! private half of the key before opens rings for 7 days more and is then destroyed, so that what was rung earlier can no longer be
//! read by whoever takes this machine.
//!
//! The order is safe against a crash at any point: the next key is on the disk, and opens rings, before the phone book hears of it; it
//! becomes the current one when the book has answered; and when the answer is lost, the same key is sent again.

use ringfence_book::wire::{Base64, Rotate};
use ringfence_book::{Challenge, Day, NetworkSettings, Number};
use ringfence_engine::line::identity::Identity;

use super::{LineError, next_renewal};
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{Keystore, LineFile};

/// What came of a look at the ring keys.
#[derive(Debug, Default)]
pub(crate) struct RotationOutcome {
    /// Lines whose keys are others now, for the engine.
    pub(crate) identities: Vec<(Number, Identity)>,
    /// The first thing that went wrong.
    pub(crate) fault: Option<LineError>,
}

/// Replaces what is due, and destroys what has had its time. `now` in Unix seconds.
pub(crate) async fn rotate(
    store: &mut Keystore,
    client: &BookClient,
    network: &NetworkSettings,
    lines: &mut [LineFile],
    now: u64,
) -> RotationOutcome {
    let mut rotated = RotationOutcome::default();
    for line in lines {
        let Ok(mut identity) = Identity::from_bytes(&line.identity) else {
            continue;
        };
        let outcome = look(store, client, network, (line, &mut identity), now).await;
        match outcome {
            Ok(false) => continue,
            Ok(true) => {}
            Err(fault) => drop(rotated.fault.get_or_insert(fault)),
        }
        let number = Number::new(line.number);
        rotated.identities.push((number, identity));
    }
    rotated
}

/// Looks at one line; true if its keys are others than before.
async fn look(
    store: &mut Keystore,
    client: &BookClient,
    network: &NetworkSettings,
    (line, identity): (&mut LineFile, &mut Identity),
    now: u64,
) -> Result<bool, LineError> {
    let today = Day::of_unix(now);
    let forgotten = identity.forget_old_keys(today);
    // A line of an earlier version has drawn nothing yet. A wait without memory may begin at any time.
    let is_drawn = line.ring_key_due.is_some();
    let due = *line.ring_key_due.get_or_insert_with(|| next_renewal(now));
    let is_due = identity.is_preparing() || now >= due;
    if is_due {
        identity.prepare(network.listing_valid_until, &mut rand::rng());
    }
    if is_due || forgotten || !is_drawn {
        save(store, line, identity)?;
    }
    if is_due {
        ask(client, network, Number::new(line.number), identity).await?;
        identity.promote(today);
        line.ring_key_due = Some(next_renewal(now));
        save(store, line, identity)?;
    }
    Ok(is_due || forgotten)
}

fn save(store: &mut Keystore, line: &mut LineFile, identity: &Identity) -> Result<(), LineError> {
    line.identity = identity.to_bytes();
    Ok(store.save(line)?)
}

async fn ask(
    client: &BookClient,
    network: &NetworkSettings,
    number: Number,
    identity: &Identity,
) -> Result<(), BookError> {
    let asked = client.challenge().await?;
    let challenge = Challenge::new(network.book_key, asked.nonce.0);
    let proved = identity.prove_rotation(number, &challenge, &network.proof_key);
    let (listing, proof) = proved.ok_or(BookError::WrongBinding)?;
    let form = Rotate {
        number: number.to_string(),
        challenge_id: asked.challenge_id,
        listing: Base64(listing.encode()),
        signature: Base64(proof.signature),
        ring_key_proof: Base64(proof.ring_key_proof),
    };
    client.rotate(&form).await.map(drop)
}
