//! TURN logins from the phone book, in bulk, after a download of the book and never because of a call.
//!
//! The book gives them for the members' token. The token is the same for all members, and the settings that the root signs contain its
//! hash, so that the book cannot tell by it which member asks. A line asks for it with a proof of its identity key, and it is valid for one or two months.

use ringfence_book::NetworkSettings;
use ringfence_book::membership::digest;
use ringfence_book::wire::TurnCredentials;
use tokio::task::spawn_blocking;

use super::LineError;
use super::renew::Renewals;
use crate::clock;
use crate::net::book::BookError;
use crate::state::keystore::TurnMemoryFile;
use crate::state::secret::Secret;
use crate::turn::credentials::{CredentialPool, StrangeEnd};

/// Fetches logins when few are left. A book that gives none is not an error.
///
/// # Errors
/// [`LineError`]; the logins that are left stay.
pub(super) async fn replenish(
    renewals: &mut Renewals,
    network: &NetworkSettings,
    logins: &CredentialPool,
) -> Result<(), LineError> {
    if !logins.is_low(clock::unix_seconds()) {
        return Ok(());
    }
    fetch(renewals, network, logins).await
}

/// Fetches logins, for the servers that the book names now.
///
/// # Errors
/// As [`replenish`].
pub(super) async fn fetch(
    renewals: &mut Renewals,
    network: &NetworkSettings,
    logins: &CredentialPool,
) -> Result<(), LineError> {
    let now = clock::unix_seconds();
    let is_common = |token: &Secret| digest(token.expose()) == network.members.0;
    let members = match renewals.members().filter(is_common) {
        Some(members) => members,
        None => renewals.new_members().await?,
    };
    if !is_common(&members) {
        return Err(BookError::OwnToken.into());
    }
    let given = match renewals.client().turn_credentials(&members).await {
        Err(BookError::Status(404)) => {
            logins.note_book_gives_none();
            return Ok(());
        }
        other => other?,
    };
    Ok(keep(logins, given, now)?)
}

/// Puts a delivery into the pool; `now` in Unix seconds.
///
/// # Errors
/// [`BookError::NotABook`].
pub(crate) fn keep(
    logins: &CredentialPool,
    given: TurnCredentials,
    now: u64,
) -> Result<(), BookError> {
    let servers = given.servers.into_iter().map(|server| {
        let fetched = server.credentials.into_iter();
        let fetched = fetched.map(|login| (login.user, login.password));
        (server.host.to_ascii_lowercase(), fetched.collect())
    });
    let strange = |_: StrangeEnd| {
        BookError::NotABook("TURN logins that end at no midnight of the next days".to_owned())
    };
    logins
        .add(servers.collect(), given.expires, now)
        .map_err(strange)
}

/// Writes what is remembered of TURN servers whenever it changes. Never returns.
pub(crate) async fn remember(pool: CredentialPool, mut file: TurnMemoryFile) {
    loop {
        pool.changed().await;
        let memory = pool.memory();
        let written = spawn_blocking(move || {
            let written = file.write(&memory);
            (file, written)
        });
        let Ok((back, written)) = written.await else {
            return;
        };
        file = back;
        if let Err(error) = written {
            tracing::warn!(
                "TURN logins cannot be kept, so that no call is possible after a restart without the phone book: {}. To do: {}",
                error.unnamed(),
                error.remedy()
            );
        }
    }
}
