//! News of the phone book for a running gateway: every new copy, and the bindings and ring keys that were renewed after its download.
//!
//! What went wrong is said in the log, without the names of servers.

use ringfence_book::NetworkSettings;
use tokio::sync::watch;

use super::renew::{RenewalOutcome, Renewals};
use super::turn_logins::refill;
use crate::clock;
use crate::net::book::{BookError, Freshness};
use crate::run::assemble::directory;
use crate::run::gateway::Gateway;
use crate::turn::credentials::CredentialPool;

/// Hands every new copy of the book to the engine, and what was renewed after its download. Never returns: it is to be
/// dropped when the gateway stops.
pub async fn pass_on(
    gateway: &Gateway,
    mut fresh: watch::Receiver<Freshness>,
    renewals: &mut Renewals,
    purse: Option<&CredentialPool>,
) {
    while fresh.changed().await.is_ok() {
        let Freshness { snapshot, fault } = fresh.borrow_and_update().clone();
        match (fault, snapshot) {
            (Some(BookError::Lie(lie)), _) => renewals.diary().keep(&(*lie).into()),
            (Some(fault @ BookError::KeyChanged), _) => {
                tracing::error!("{fault}. To do: {}", fault.remedy())
            }
            (Some(fault), _) => tracing::warn!(
                "the phone book was not downloaded, the copy stays in use: {}",
                fault.unnamed()
            ),
            (None, Some(snapshot)) => {
                gateway.renew_book(directory(&snapshot)).await;
                let RenewalOutcome {
                    bindings,
                    identities,
                    ..
                } = renew(renewals, &snapshot.network, purse).await;
                for binding in bindings {
                    if let Err(fault) = gateway.renew_binding(binding).await {
                        tracing::error!("a line keeps its old binding: {fault}");
                    }
                }
                for (number, identity) in identities {
                    if let Err(fault) = gateway.renew_identity(number, identity).await {
                        tracing::error!("a line keeps its old ring key: {fault}");
                    }
                }
            }
            (None, None) => {}
        }
    }
    std::future::pending().await
}

/// Renews what is due and returns it, and fills the purse. Bindings end after weeks, and logins are fetched long before they are
/// needed: a failure is a warning and can wait.
pub async fn renew(
    renewals: &mut Renewals,
    network: &NetworkSettings,
    purse: Option<&CredentialPool>,
) -> RenewalOutcome {
    let mut renewed = renewals.look(network, clock::now()).await;
    if let Some(fault) = renewed.fault.take() {
        tracing::debug!(%fault, "a binding or a ring key was not renewed");
        tracing::warn!(
            "the phone book's word for a line, or its ring key, could not be renewed: {}. To do: {}",
            fault.unnamed(),
            fault.remedy()
        );
    }
    if let Some(purse) = purse
        && let Err(fault) = refill(renewals, network, purse).await
    {
        tracing::debug!(%fault, "no TURN logins were fetched");
        tracing::warn!(
            "the phone book gave no TURN logins: {}. To do: {}",
            fault.unnamed(),
            fault.remedy()
        );
    }
    renewed
}
