//! What becomes of connections and allocations when they may be dead: this machine has slept, it reaches the world another way than before, or
//! a relay's connection broke.

use tokio::sync::watch;

use super::event_loop::EventLoop;
use crate::net::network::NetworkWatch;

/// What was seen of the network at the last look.
#[derive(Debug)]
pub(super) struct NetworkState {
    watch: NetworkWatch,
    /// Counts the changes, for the media tasks.
    changes: watch::Sender<u64>,
    /// Connections to relays that were open or listened.
    relay_connections: usize,
    /// Whether relays are reached through a proxy.
    is_proxied: bool,
}

impl NetworkState {
    pub(super) fn new(is_proxied: bool) -> Self {
        Self {
            watch: NetworkWatch::default(),
            changes: watch::channel(0).0,
            relay_connections: 0,
            is_proxied,
        }
    }

    /// Notes how many connections to relays there are. True if one broke, which is often the first sign of a lost network. Not through a proxy:
    /// a relay could end a connection to learn, together with a TURN server that is asked at that moment, from which address it came.
    fn has_broken(&mut self, connections: usize) -> bool {
        let before = std::mem::replace(&mut self.relay_connections, connections);
        connections < before && !self.is_proxied
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
    /// again. Allocations that wait are also checked when a relay's connection broke.
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
        let is_in_doubt = self.network.has_broken(relays) || has_changed;
        if let Some(pool) = self.pool.as_ref().filter(|_| is_in_doubt) {
            pool.check_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_ends_a_connection_through_a_proxy_has_no_turn_server_asked() {
        for (is_proxied, expected) in [(false, true), (true, false)] {
            let mut state = NetworkState::new(is_proxied);
            assert!(!state.has_broken(2) && !state.has_broken(2));
            assert_eq!(state.has_broken(1), expected);
            assert!(!state.has_broken(1) && !state.has_broken(2));
        }
    }
}
