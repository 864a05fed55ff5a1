//! What becomes of connections and allocations when they may be dead: this machine has slept, it reaches the world another way than before, or
//! a relay's connection broke.

use crate::net::network::NetworkWatch;
use tokio::sync::watch;

use super::event_loop::EventLoop;

/// What was seen of the network at the last look.
#[derive(Debug)]
pub(super) struct NetworkState {
    watch: NetworkWatch,
    /// Counts the changes, for the media tasks.
    changes: watch::Sender<u64>,
    /// Connections to relays that were open or listened.
    relay_connections: usize,
}

impl NetworkState {
    pub(super) fn new() -> Self {
        Self {
            watch: NetworkWatch::default(),
            changes: watch::channel(0).0,
            relay_connections: 0,
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl EventLoop {
    /// Connections and the allocation of before are replaced: whether they live would take seconds to find out, in which a call
    /// would come to nothing.
    pub(super) fn check_connections(&mut self) {
        tracing::info!("the machine has slept, or its clock was set: connections are made anew");
        self.relays.redial();
        if self.pool.is_some() {
            self.renew_pool(self.media.turn.clone());
        }
    }

    /// Looks whether the way out has changed. Relays get new connections beside the old, running calls ask their servers, names are looked up
    /// again. Allocations that wait are also checked when a relay's connection broke: that is often the first sign of a lost network.
    pub(super) fn look_at_network(&mut self) {
        let has_changed = self.network.watch.look(self.media.turn.addresses());
        if has_changed {
            tracing::info!(
                "the network has changed: connections are made anew beside the old ones"
            );
            self.relays.handle_network_change();
            self.network.changes.send_modify(|count| *count += 1);
            let turn = self.media.turn.clone();
            tokio::spawn(async move { turn.look_up_again().await });
        }
        let relays = {
            let relays = self.relays.state();
            let relays = relays.borrow();
            relays.connected + relays.listening
        };
        let broke = relays < std::mem::replace(&mut self.network.relay_connections, relays);
        if let Some(pool) = self.pool.as_ref().filter(|_| has_changed || broke) {
            pool.check_now();
        }
    }
}
