//! Relays, TURN servers and the proof of work that the phone book names, followed while the engine runs. What the settings name goes
//! before; changed bits of buckets wait for the next start, since lines subscribe to their buckets then.
//!
//! All engines of a book make these connections anew within one epoch, each at its own random moment, whether or not they have calls.

use std::collections::BTreeSet;

use ringfence_book::NetworkSettings;
use tokio::sync::watch;

use crate::config::Config;
use crate::run::assemble::{AssembleError, change};
use crate::run::gateway::Gateway;
use crate::run::reload::overlap;

/// The network settings in force.
#[derive(Debug)]
pub struct NetworkFollower {
    settings: watch::Receiver<Config>,
    network: NetworkSettings,
    buckets: BTreeSet<u16>,
}

impl NetworkFollower {
    /// Follows from `network` on, for lines in these buckets. `settings`: those in force.
    pub(crate) fn new(
        settings: watch::Receiver<Config>,
        network: NetworkSettings,
        buckets: BTreeSet<u16>,
    ) -> Self {
        Self {
            settings,
            network,
            buckets,
        }
    }

    /// Whether the book names other TURN servers than those in force.
    pub(super) fn has_other_turn(&self, network: &NetworkSettings) -> bool {
        self.network.turn != network.turn
    }

    /// Has the engine use what the book names now. On an error it goes on as before, and tries again after the next download.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub(super) async fn follow(
        &mut self,
        gateway: &Gateway,
        network: &NetworkSettings,
    ) -> Result<(), AssembleError> {
        let network = NetworkSettings {
            bucket_bits: self.network.bucket_bits,
            ..network.clone()
        };
        if network == self.network {
            return Ok(());
        }
        let settings = self.settings.borrow().clone();
        let (before, after) = ((&settings, &self.network), (&settings, &network));
        let change = change(before, after, &self.buckets, gateway.outbound()).await?;
        if change.relays.is_some() || change.turn.is_some() {
            tracing::info!(
                "the phone book names other relays or TURN servers, which are used from now on"
            );
            overlap(&change).await;
        }
        gateway.change(change).await;
        self.network = network;
        Ok(())
    }
}
