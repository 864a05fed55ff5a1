//! An envelope from the relays: cheap checks, and then the call that expects it, the line whose contact sent it, or all keys of all lines
//! ([`super::strangers`]).

use std::time::Instant;

use super::Engine;
use super::strangers::Waiting;
use crate::input::ReceivedEvent;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::note::opening;
use crate::sealed::proof_of_work;
use crate::sealed::rejected::EnvelopeError;

impl Engine {
    /// Takes an envelope from a relay. Whatever is wrong with it, nothing is answered.
    pub fn handle_envelope(&mut self, sealed: &ReceivedEvent, now: Instant) {
        self.env.counters.envelopes += 1;
        if let Err(rejected) = self.try_envelope(sealed, now) {
            tracing::trace!(%rejected, "envelope dropped");
            self.env.counters.count(rejected);
        }
        self.drain(now);
    }

    /// Cheap checks first: length, proof of work, event key, routing tag.
    fn try_envelope(&mut self, sealed: &ReceivedEvent, now: Instant) -> Result<(), EnvelopeError> {
        let envelope = Envelope::from_bytes(&sealed.bytes)?;
        let event = EventContext {
            bucket: sealed.bucket,
            event_key: sealed.event_key,
        };
        let wall = self.env.wall(now);
        // A note may lie at relays for days: its proof of work belongs to the time at which it was made.
        let made = sealed.note_made.unwrap_or(wall);
        if !opening::is_alive(made, wall) {
            return Err(EnvelopeError::Stale);
        }
        let bits = self.env.config.work_bits;
        if !proof_of_work::check(&sealed.event_key, sealed.nonce, bits, made) {
            return Err(EnvelopeError::Work);
        }
        self.replay.spend(sealed.event_key)?;
        if sealed.note_made.is_none()
            && let Some(call) = self.calls.of_tag(&envelope.routing_tag())
        {
            self.calls
                .handle_envelope(call, (&envelope, event), &mut self.env, now);
            return Ok(());
        }
        let new = Waiting {
            envelope,
            event,
            made: sealed.note_made,
            arrived: now,
        };
        let tag = new.envelope.routing_tag();
        if let Some((line, sender)) = self.env.try_tag(tag, now) {
            if self.open_waiting(&new, Some(line), now)? == Some(sender) {
                self.env.tags.spend(tag);
            }
            return Ok(());
        }
        if let Some(gone) = self.strangers.add(new) {
            // Relays have a note still, and may bring it again.
            self.replay.return_proof(&gone.event.event_key);
            self.env.counters.flooded += 1;
        }
        self.open_strangers(now);
        Ok(())
    }
}
