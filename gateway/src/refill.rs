//! TURN logins from the phone book, in bulk, after a download of the book and never because of a call.
//!
//! They are given to whoever shows the members' token. That is the same for all members, so that the book cannot tell who fetches; it
//! comes with a renewed binding and is good for a month or two.

use ringfence_phonebook::Day;

use crate::activate::ActivateFault;
use crate::clock;
use crate::io::book::BookFault;
use crate::io::purse::Purse;
use crate::renew::Renewals;
use crate::secret::Secret;

/// Fetches logins when few are left.
///
/// # Errors
/// [`ActivateFault`]; what is left stays.
pub(crate) async fn refill(renewals: &mut Renewals, purse: &Purse) -> Result<(), ActivateFault> {
    let now = clock::unix_seconds();
    if !purse.is_low(now) {
        return Ok(());
    }
    if let Some(members) = renewals.members() {
        match fetch(renewals, purse, &members).await {
            // Perhaps the token has ended.
            Err(BookFault::Status(400..=403)) => {}
            other => return Ok(other?),
        }
    }
    let members = renewals.new_members(Day::of_unix(now)).await?;
    Ok(fetch(renewals, purse, &members).await?)
}

async fn fetch(renewals: &Renewals, purse: &Purse, members: &Secret) -> Result<(), BookFault> {
    let given = renewals.client().turn_credentials(members).await?;
    let logins = given.credentials.into_iter();
    purse.put(logins.map(|login| (login.user, login.password)), given.expires);
    Ok(())
}
