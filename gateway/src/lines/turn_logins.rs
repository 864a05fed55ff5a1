//! TURN logins from the phone book, in bulk, after a download of the book and never because of a call.
//!
//! They are given to whoever shows the members' token. That is the same for all members, and the settings that the root signs name its
//! hash, so that the book cannot tell by it who fetches; it comes with a renewed binding and is good for a month or two.

use ringfence_book::membership::digest;
use ringfence_book::{Day, NetworkSettings};

use super::LineError;
use super::renew::Renewals;
use crate::clock;
use crate::net::book::BookError;
use crate::state::secret::Secret;
use crate::turn::credentials::CredentialPool;

/// Fetches logins when few are left. A book that has none to give is no fault.
///
/// # Errors
/// [`LineError`]; what is left stays.
pub(crate) async fn refill(
    renewals: &mut Renewals,
    network: &NetworkSettings,
    purse: &CredentialPool,
) -> Result<(), LineError> {
    let now = clock::unix_seconds();
    if !purse.is_low(now) {
        return Ok(());
    }
    let is_common = |token: &Secret| digest(token.expose()) == network.members.0;
    let members = match renewals.members().filter(is_common) {
        Some(members) => members,
        None => renewals.new_members(Day::of_unix(now)).await?,
    };
    if !is_common(&members) {
        return Err(BookError::OwnToken.into());
    }
    let given = match renewals.client().turn_credentials(&members).await {
        Err(BookError::Status(404)) => return Ok(()),
        other => other?,
    };
    let logins = given.credentials.into_iter();
    purse.put(
        logins.map(|login| (login.user, login.password)),
        given.expires,
    );
    Ok(())
}
