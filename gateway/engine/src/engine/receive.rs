//! An envelope from the relays: a ring, an answer or a session message of a running call, a cancel, a presence report, a note, or
//! nothing.

use std::time::Instant;

use super::Engine;
use crate::input::ReceivedEvent;
use crate::line::Lines;
use crate::line::identity::Identity;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::note::opening::{self, OpenedNote};
use crate::sealed::proof_of_work;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::incoming::{OpenedMessage, open};
use crate::time::{Moment, UnixTime};

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

    /// Cheap checks first: length, proof of work, event key, routing tag; only then a Diffie-Hellman.
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
        if let Some(made) = sealed.note_made {
            return self.try_note(&envelope, &event, made, now);
        }
        let env = &mut self.env;
        if let Some(call) = self.calls.of_tag(&envelope.routing_tag()) {
            self.calls
                .handle_envelope(call, (&envelope, event), env, now);
            return Ok(());
        }
        let (listeners, callers) = (listeners(&env.lines), env.trust.callers());
        let arrival = Moment { wall, now };
        let replay = &mut self.replay;
        match open(&listeners, callers, &envelope, &event, replay, arrival)? {
            OpenedMessage::Ring { line, ring } => self.calls.handle_ring(line, ring, env, now),
            OpenedMessage::Cancel { id, .. } => self.calls.handle_cancel(id, env, now),
            OpenedMessage::Presence { line, word } => {
                self.presence.handle_report(line, &word, env, now);
            }
        }
        Ok(())
    }

    /// What relays keep: only verified texts and missed-call notes have a meaning there.
    fn try_note(
        &mut self,
        envelope: &Envelope,
        event: &EventContext,
        made: UnixTime,
        now: Instant,
    ) -> Result<(), EnvelopeError> {
        let env = &mut self.env;
        let wall = env.wall(now);
        let (listeners, callers) = (listeners(&env.lines), env.trust.callers());
        match opening::open(&listeners, callers, envelope, event, (made, wall))? {
            OpenedNote::Text {
                line,
                id,
                sender,
                body,
            } => self
                .messages
                .handle_piece(line, (id, sender), *body, env, now),
            OpenedNote::Missed {
                line,
                ring,
                sender,
                rang,
            } => self.handle_missed(line, (ring, sender), rang, now),
        }
    }
}

/// All lines, as envelopes are tried on them.
fn listeners(lines: &Lines) -> Vec<&Identity> {
    lines.iter().map(|line| &line.identity).collect()
}
