//! The Nostr relay of the simulated world: it hands every envelope to everybody who listens to its bucket, the sender
//! included, keeps notes for those who come later, and can be down. Events themselves, their JSON and signatures are the shell's business and not simulated.

use std::{collections::BTreeSet, time::Duration};

use ringfence_engine::Sealed;

/// A relay for ephemeral events (NIP-01), which it only passes on, and for notes, which it keeps as long as the world lasts: longer
/// than it should, so that receivers have to judge their age.
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

    /// What it kept for these buckets, in the order in which it came: what a relay gives out at the start of a subscription.
    pub(crate) fn kept(&self, engine: usize) -> Vec<Sealed> {
        let hears = |sealed: &Sealed| self.listeners.contains(&(sealed.bucket, engine));
        let passed = self.passed.iter().map(|(_, sealed)| sealed);
        passed
            .filter(|sealed| sealed.note_made.is_some() && hears(sealed))
            .cloned()
            .collect()
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
