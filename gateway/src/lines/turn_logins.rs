//! TURN logins from the phone book, in bulk, after a download of the book and never because of a call.
//!
//! The book gives them for the members' token. The token is the same for all members, and the settings that the root signs contain its
//! hash, so that the book cannot tell by it which member asks. It comes with a renewed binding and is valid for one or two months.

use ringfence_book::membership::digest;
use ringfence_book::{Day, NetworkSettings};

use super::LineError;
use super::renew::Renewals;
use crate::clock;
use crate::net::book::BookError;
use crate::state::secret::Secret;
use crate::turn::credentials::CredentialPool;

/// Fetches logins when few are left. A book that gives none is not an error.
///
/// # Errors
/// [`LineError`]; the logins that are left stay.
pub(super) async fn replenish(
    renewals: &mut Renewals,
    network: &NetworkSettings,
    logins: &CredentialPool,
) -> Result<(), LineError> {
    let now = clock::unix_seconds();
    if !logins.is_low(now) {
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
    let fetched = given.credentials.into_iter();
    logins.add(
        fetched.map(|login| (login.user, login.password)),
        given.expires,
    );
    Ok(())
}
