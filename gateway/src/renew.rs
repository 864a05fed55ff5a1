//! Renewing the phone book's word for a line (its binding) before it ends.
//!
//! The engine proves by a challenge that it still holds the identity key. This happens at the start and at random moments, never
//! because of a call.

use ringfence_engine::identity::Identity;
use ringfence_phonebook::wire::{Hex, Verify};
use ringfence_phonebook::{Binding, BookKey, Challenge, Day};

use crate::activate::ActivateFault;
use crate::clock;
use crate::io::book::{BookClient, BookFault};
use crate::keystore::{Keystore, LineFile};

/// Bindings are renewed when fewer days are left: half of the 30 for which the book gives them.
const DAYS_LEFT: u32 = 15;

/// Renews the bindings that end soon and saves their lines. Returns how many were renewed.
///
/// # Errors
/// The first [`ActivateFault`]; lines renewed before it are saved.
pub async fn renew_bindings(
    store: &mut Keystore,
    client: &BookClient,
    key: &BookKey,
    lines: &mut [LineFile],
) -> Result<usize, ActivateFault> {
    let today = Day::of_unix(clock::unix_seconds());
    let mut renewed = 0;
    for line in lines {
        if ends_soon(line, today) {
            line.binding = renew(client, key, line, today).await?.encode().to_vec();
            store.save(line)?;
            renewed += 1;
        }
    }
    Ok(renewed)
}

fn ends_soon(line: &LineFile, today: Day) -> bool {
    Binding::decode(&line.binding).is_ok_and(|binding| binding.expires() < today.plus(DAYS_LEFT))
}

async fn renew(
    client: &BookClient,
    key: &BookKey,
    line: &LineFile,
    today: Day,
) -> Result<Binding, BookFault> {
    let identity = Identity::from_bytes(&line.identity).map_err(|_| BookFault::WrongBinding)?;
    let asked = client.challenge().await?;
    // The text is made here from the book's key and nonce: nothing else is ever signed.
    let challenge = Challenge::new(*key, asked.nonce.0);
    let number = line.number.to_string();
    let signature = Hex(identity.answer_challenge(&challenge));
    let answer = client
        .verify(&Verify {
            challenge_id: asked.challenge_id,
            number,
            signature,
        })
        .await?;
    let binding = Binding::decode(&answer.binding.0).map_err(|_| BookFault::WrongBinding)?;
    let fits = binding.number().value() == line.number && *binding.identity() == identity.key();
    match binding.verify(key, today) {
        Ok(()) if fits => Ok(binding),
        _ => Err(BookFault::WrongBinding),
    }
}
