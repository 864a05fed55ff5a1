//! Redeems an activation code: draws keys, has the phone book list a number with them, saves the line.
//!
//! The keys are on the disk before the code is sent. When the answer is lost, repeating the command sends the same keys again.

use rand::Rng;
use ringfence_book::wire::Activate;
use ringfence_book::{ActivationCode, CodeDigest, NetworkSettings};
use ringfence_engine::line::identity::Identity;
use zeroize::Zeroizing;

use super::{LineError, next_renewal};
use crate::clock;
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{Keystore, KeystoreError, LineFile, SipAccount};
use crate::state::secret::Secret;

/// Bytes of the code's hash that name the pending keys.
const PENDING_NAME: usize = 8;
/// Characters of a SIP password: none that look alike, because people type it into desk phones.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
/// 20 letters of 5 bits: 100 bits.
const PASSWORD: usize = 20;

/// Redeems `code` at the phone book and saves the new line.
///
/// # Errors
/// [`LineError`]. Unless the code was refused, the call may be repeated. After a success it returns the same line again.
pub async fn activate(
    store: &mut Keystore,
    client: &BookClient,
    code: &ActivationCode,
    name: Option<String>,
) -> Result<LineFile, LineError> {
    // Signed by the book: an answer that only names its key gets no code.
    let (network, _) = client.introduce().await?;
    if !code.is_of(&network.book_key) {
        return Err(LineError::CodeOfOtherBook(client.url().to_owned()));
    }
    // Reading them also finds a wrong passphrase before the code is spent.
    let lines = store.lines()?;
    if let Some(other) = lines
        .iter()
        .find(|line| line.book_key != *network.book_key.as_bytes())
    {
        return Err(LineError::OtherBook(other.book_url.clone()));
    }
    let digest = code.digest();
    // An earlier attempt succeeded, but the program ended before it printed the line.
    if let Some(number) = store.redeemed(pending_name(&digest))?
        && let Some(line) = lines.into_iter().find(|line| line.number == number)
    {
        return Ok(line);
    }
    let identity = identity_for(store, &digest)?;
    let answer = client.activate(&form(code, &identity, &network)).await?;
    let number = network.plan.read(&answer.number);
    let number = number.map_err(|_| BookError::WrongLine)?;
    let line = LineFile {
        number: number.value(),
        identity: identity.to_bytes(),
        book_url: client.url().to_owned(),
        book_key: *network.book_key.as_bytes(),
        account: SipAccount {
            user: number.to_string(),
            password: draw_password(),
        },
        name,
        ring_key_due: Some(next_renewal(clock::unix_seconds())),
        members: Some(Secret::new(answer.members)),
    };
    store.save(&line)?;
    store.mark_redeemed(pending_name(&digest), line.number)?;
    store.forget_pending(pending_name(&digest))?;
    Ok(line)
}

/// The keys of an earlier attempt with this code, or new ones, which are saved first.
fn identity_for(store: &mut Keystore, code: &CodeDigest) -> Result<Identity, KeystoreError> {
    let name = pending_name(code);
    let earlier = store
        .pending(name)?
        .and_then(|bytes| Identity::from_bytes(&bytes).ok());
    if let Some(identity) = earlier {
        return Ok(identity);
    }
    let identity = Identity::generate(&mut rand::rng());
    store.keep_pending(name, &identity.to_bytes())?;
    Ok(identity)
}

fn pending_name(code: &CodeDigest) -> &[u8] {
    code.as_bytes().get(..PENDING_NAME).unwrap_or_default()
}

fn form(code: &ActivationCode, identity: &Identity, network: &NetworkSettings) -> Activate {
    let proof = identity.prove_possession(&code.digest(), &network.book_key, &network.proof_key);
    Activate::new(code, &identity.listing(), &proof)
}

pub(super) fn draw_password() -> Secret {
    let mut dice = Zeroizing::new([0; PASSWORD]);
    rand::rng().fill_bytes(&mut *dice);
    let letter = |die: &u8| char::from(LETTERS.get(usize::from(die % 32)).copied().unwrap_or(b'a'));
    Secret::new(dice.iter().map(letter).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ringfence_book::BookKey;

    use super::*;

    #[test]
    fn passwords_differ_and_can_be_typed() {
        let drawn: BTreeSet<String> = (0..100)
            .map(|_| draw_password().expose().to_owned())
            .collect();
        assert_eq!(drawn.len(), 100);
        for password in drawn {
            assert!(
                password.len() == PASSWORD && password.bytes().all(|byte| LETTERS.contains(&byte))
            );
        }
    }

    #[test]
    fn a_repeated_attempt_sends_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Keystore::open(folder.path(), None).unwrap();
        let key = Identity::generate(&mut rand::rng()).key();
        let book = BookKey::from_bytes(key.as_bytes()).unwrap();
        let draw = || ActivationCode::draw(&book, &mut rand::rng()).digest();
        let code = draw();
        let first = identity_for(&mut store, &code).unwrap();
        let second = identity_for(&mut store, &code).unwrap();
        assert_eq!(first.key(), second.key());
        assert_ne!(
            identity_for(&mut store, &draw()).unwrap().key(),
            first.key()
        );
    }
}
