//! News of the phone book for a running gateway: every new copy, and the bindings that were renewed after its download.
//!
//! What went wrong is said in the log, without the names of servers.

use ringfence_phonebook::Binding;
use tokio::sync::watch;

use crate::assemble::directory;
use crate::clock;
use crate::gateway::Gateway;
use crate::io::book::{BookFault, Freshness};
use crate::renew::{Renewals, Renewed};

/// Hands every new copy of the book to the engine, and what was renewed after its download. Never returns: it is to be
/// dropped when the gateway stops.
pub async fn pass_on(
    gateway: &Gateway,
    mut fresh: watch::Receiver<Freshness>,
    renewals: &mut Renewals,
) {
    while fresh.changed().await.is_ok() {
        let Freshness { snapshot, fault } = fresh.borrow_and_update().clone();
        match (fault, snapshot) {
            (Some(fault @ BookFault::KeyChanged), _) => {
                tracing::error!("{fault}. To do: {}", fault.remedy())
            }
            (Some(fault), _) => tracing::warn!(
                "the phone book was not downloaded, the copy stays in use: {}",
                fault.unnamed()
            ),
            (None, Some(snapshot)) => {
                gateway.renew_book(directory(&snapshot)).await;
                for binding in renew(renewals).await {
                    if let Err(fault) = gateway.renew_binding(binding).await {
                        tracing::error!("a line keeps its old binding: {fault}");
                    }
                }
            }
            (None, None) => {}
        }
    }
    std::future::pending().await
}

/// Renews what is due and returns it. Bindings end after weeks; the book is asked for new ones while the old ones are still good,
/// so a failure is a warning and can wait.
pub async fn renew(renewals: &mut Renewals) -> Vec<Binding> {
    let Renewed { bindings, fault } = renewals.look(clock::now()).await;
    if let Some(fault) = fault {
        tracing::debug!(%fault, "a binding was not renewed");
        tracing::warn!(
            "the phone book's word for a line could not be renewed: {}. To do: {}",
            fault.unnamed(),
            fault.remedy()
        );
    }
    bindings
}
