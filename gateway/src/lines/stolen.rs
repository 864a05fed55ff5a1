//! After a theft of the machine or its disk: replaces what the thief may have and what can be replaced without a new identity.
//!
//! Passwords of phones, their authority and the path of desk phones are this machine's alone and are replaced at once. Ring keys need the
//! phone book. While it cannot be reached, the folder is marked as after a restore, and the engine renews them at its next start. The
//! identity keys stay: only a new activation replaces them.

use ringfence_book::NetworkSettings;

use super::LineError;
use super::activate::draw_password;
use super::rotate::rotate;
use crate::clock;
use crate::net::book::{BookClient, BookError};
use crate::net::outbound::Outbound;
use crate::state::keystore::{Keystore, LineFile};

/// What was replaced.
#[derive(Debug)]
pub struct Replaced {
    /// The lines with their new passwords.
    pub lines: Vec<LineFile>,
    /// Why the ring keys are not renewed yet, if they are not: the engine does it at its next start.
    pub ring_keys: Result<(), LineError>,
}

/// Replaces it. The order makes a crash safe: the mark comes first and is taken away last.
///
/// # Errors
/// [`LineError`] when the key store refuses; what is done by then stays done, and the call may be repeated.
pub async fn replace(store: &mut Keystore, outbound: &Outbound) -> Result<Replaced, LineError> {
    let mut lines = store.lines()?;
    store.mark_restored()?;
    store.forget_phones_secrets()?;
    for line in &mut lines {
        line.account.password = draw_password();
        line.ring_key_due = Some(0);
        store.save(line)?;
    }
    let renewed = renew(store, &mut lines, outbound).await;
    if renewed.is_ok() {
        store.settle_restored()?;
    }
    Ok(Replaced {
        lines,
        ring_keys: renewed,
    })
}

async fn renew(
    store: &mut Keystore,
    lines: &mut [LineFile],
    outbound: &Outbound,
) -> Result<(), LineError> {
    let Some(first) = lines.first() else {
        return Ok(());
    };
    let client = BookClient::new(&first.book_url, outbound)?;
    let network: NetworkSettings = client.network().await?;
    if *network.book_key.as_bytes() != first.book_key {
        return Err(BookError::KeyChanged.into());
    }
    let known = (&network, None);
    let rotated = rotate(store, &client, known, lines, clock::unix_seconds()).await;
    rotated.error.map_or(Ok(()), Err)
}
