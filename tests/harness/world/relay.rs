//! The Nostr relay of the simulated network. It sends every envelope to all engines that are subscribed to its bucket, the sender
//! included, stores notes, and can be down. JSON and signatures of events belong to the shell and are not simulated.

use std::{collections::BTreeSet, time::Duration};

use ringfence_engine::ReceivedEvent;

/// A relay that passes ephemeral events on (NIP-01) and stores notes for ever. That is longer than it should, so receivers have
/// to check their age.
#[derive(Debug, Default)]
pub struct Relay {
    /// Whether it refuses connections.
    pub is_down: bool,
    listeners: BTreeSet<(u16, usize)>,
    passed: Vec<(Duration, ReceivedEvent)>,
}

impl Relay {
    pub(crate) fn subscribe(&mut self, engine: usize, bucket: u16) {
        self.listeners.insert((bucket, engine));
    }

    /// The stored notes of an engine's buckets in their order of arrival: what a relay sends at the start of a subscription.
    pub(crate) fn kept(&self, engine: usize) -> Vec<ReceivedEvent> {
        let hears = |sealed: &ReceivedEvent| self.listeners.contains(&(sealed.bucket, engine));
        let passed = self.passed.iter().map(|(_, sealed)| sealed);
        passed
            .filter(|sealed| sealed.note_made.is_some() && hears(sealed))
            .cloned()
            .collect()
    }

    /// Ends an engine's subscriptions, and returns their buckets.
    pub(crate) fn unsubscribe(&mut self, engine: usize) -> Vec<u16> {
        let its = |(_, listener): &(u16, usize)| *listener == engine;
        let ended = self.listeners.extract_if(.., its);
        ended.map(|(bucket, _)| bucket).collect()
    }

    /// Accepts an envelope and returns the engines that receive it.
    pub(crate) fn take(&mut self, sealed: &ReceivedEvent, at: Duration) -> Vec<usize> {
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

    /// Every envelope that it accepted, with the time since the world began.
    pub fn passed(&self) -> &[(Duration, ReceivedEvent)] {
        &self.passed
    }
}
