//! The Nostr relay of the simulated world: it hands every envelope to everybody who listens to its bucket, the sender
//! included, and can be down. Events themselves, their JSON and signatures are the shell's business and not simulated.

use std::{collections::BTreeSet, time::Duration};

use ringfence_engine::Sealed;

/// A relay for ephemeral events (NIP-01): nothing is kept for later.
#[derive(Debug, Default)]
pub struct Relay {
    /// Whether it refuses connections.
    pub is_down: bool,
    listeners: BTreeSet<(u16, usize)>,
    passed: Vec<(Duration, Sealed)>,
}

impl Relay {
    pub(crate) fn subscribe(&mut self, engine: usize, bucket: u16) {
        self.listeners.insert((bucket, engine));
    }

    /// An engine's connection is gone, as when its machine is switched off.
    pub(crate) fn unsubscribe(&mut self, engine: usize) {
        self.listeners.retain(|(_, listener)| *listener != engine);
    }

    /// Takes an envelope and says who gets it.
    pub(crate) fn take(&mut self, sealed: &Sealed, at: Duration) -> Vec<usize> {
        if self.is_down {
            return Vec::new();
        }
        self.passed.push((at, sealed.clone()));
        let bucket = (sealed.bucket, 0)..=(sealed.bucket, usize::MAX);
        self.listeners
            .range(bucket)
            .map(|(_, engine)| *engine)
            .collect()
    }

    /// Everything that it took, and when, since the world began.
    pub fn passed(&self) -> &[(Duration, Sealed)] {
        &self.passed
    }
}
