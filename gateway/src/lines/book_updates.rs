//! After each download of the phone book: the running engine gets the new copy, and the ring keys that were renewed.
//!
//! Errors go to the log, without the names of servers.

use tokio::sync::watch;

use super::network_updates::NetworkFollower;
use super::renew::{RenewalOutcome, Renewals};
use super::turn_logins::{fetch, replenish};
use crate::blocking::aside;
use crate::clock;
use crate::net::book::{BookError, BookSnapshot, Freshness};
use crate::run::assemble::directory;
use crate::run::conditions::BookOutcome;
use crate::run::gateway::Gateway;
use crate::state::keystore::Evidence;
use crate::state::writer::StateWriter;
use crate::turn::credentials::CredentialPool;

/// Gives every new copy of the book to the engine, and what was renewed after its download. Never returns: it is dropped when the
/// gateway stops.
pub async fn follow_book(
    gateway: &Gateway,
    mut fresh: watch::Receiver<Freshness>,
    renewals: &mut Renewals,
    logins: Option<&CredentialPool>,
    mut network: NetworkFollower,
) {
    while fresh.changed().await.is_ok() {
        let Freshness {
            snapshot,
            error,
            clock,
        } = fresh.borrow_and_update().clone();
        let outcome = BookOutcome {
            error: error.clone(),
            clock,
        };
        gateway.note_book(outcome).await;
        match (error, snapshot) {
            (Some(BookError::Lie(lie)), _) => keep(renewals.writer(), (*lie).into()).await,
            (Some(error @ BookError::KeyChanged), _) => {
                tracing::error!("{error}. To do: {}", error.remedy())
            }
            (Some(error), _) => tracing::warn!(
                "the phone book was not downloaded, the copy stays in use: {}",
                error.unnamed()
            ),
            (None, Some(snapshot)) => {
                gateway.renew_book(directory(&snapshot)).await;
                let renewed = renew_due(renewals, &snapshot, logins).await;
                follow_network(&mut network, gateway, renewals, &snapshot, logins).await;
                for (number, identity) in renewed.identities {
                    if let Err(error) = gateway.renew_identity(number, identity).await {
                        tracing::error!("a line keeps its old ring key: {error}");
                    }
                }
            }
            (None, None) => {}
        }
    }
    std::future::pending().await
}

/// Writes evidence in a thread that may wait for a disk.
async fn keep(writer: StateWriter, evidence: Evidence) {
    if let Err(error) = aside(move || writer.keep(&evidence)).await {
        tracing::error!(
            "evidence against the phone book could not be saved: {}. To do: {}",
            error.unnamed(),
            error.remedy()
        );
    }
}

/// Has the engine use the servers that the book names now, with logins for them.
async fn follow_network(
    follower: &mut NetworkFollower,
    gateway: &Gateway,
    renewals: &mut Renewals,
    book: &BookSnapshot,
    logins: Option<&CredentialPool>,
) {
    let network = &book.network;
    if let Some(logins) = logins.filter(|_| follower.has_other_turn(network))
        && let Err(error) = fetch(renewals, network, logins).await
    {
        tracing::debug!(%error, "no TURN logins were fetched for other servers");
    }
    if let Err(error) = follower.follow(gateway, network).await {
        tracing::warn!(
            "what the phone book names now cannot be used, and the servers of before stay in use: {error}. To do: {}",
            error.remedy()
        );
    }
}

/// Renews what is due and returns it, and fetches TURN logins when few are left. A ring key may be late, and logins are
/// fetched long before they are needed: an error is a warning.
pub async fn renew_due(
    renewals: &mut Renewals,
    book: &BookSnapshot,
    logins: Option<&CredentialPool>,
) -> RenewalOutcome {
    let mut renewed = renewals.renew_due(book, clock::now()).await;
    if let Some(error) = renewed.error.take() {
        tracing::debug!(%error, "a ring key was not renewed");
        tracing::warn!(
            "the ring key of a line could not be renewed: {}. To do: {}",
            error.unnamed(),
            error.remedy()
        );
    }
    if let Some(logins) = logins
        && let Err(error) = replenish(renewals, &book.network, logins).await
    {
        tracing::debug!(%error, "no TURN logins were fetched");
        tracing::warn!(
            "the phone book gave no TURN logins: {}. To do: {}",
            error.unnamed(),
            error.remedy()
        );
    }
    renewed
}
