//! What comes from the relays: a ring, an answer or a session message of a running call, a withdrawal, a note, or nothing.

use std::time::Instant;

use ringfence_book::BookKey;

use crate::call::Happening;
use crate::engine::Engine;
use crate::input::Sealed;
use crate::line::Line;
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::note::opening::{self, Note};
use crate::sealed::proof_of_work;
use crate::sealed::rejected::Rejected;
use crate::sealed::ring::incoming::{Listener, Opened, open};
use crate::time::{Arrival, UnixTime};

impl Engine {
    /// Takes an envelope from a relay. Whatever is wrong with it, nothing is answered.
    pub fn handle_envelope(&mut self, sealed: &Sealed, now: Instant) {
        self.counters.envelopes += 1;
        if let Err(rejected) = self.try_envelope(sealed, now) {
            tracing::trace!(%rejected, "envelope dropped");
            match rejected {
                Rejected::NotOurs => self.counters.not_ours += 1,
                Rejected::Length | Rejected::Version | Rejected::Work | Rejected::StampSpent => {
                    self.counters.unfit += 1
                }
                _ => self.counters.forged += 1,
            }
        }
        self.settle(now);
    }

    /// Cheap checks first: length, stamp, spent key, hint; only then a Diffie-Hellman.
    fn try_envelope(&mut self, sealed: &Sealed, now: Instant) -> Result<(), Rejected> {
        let envelope = Envelope::from_bytes(&sealed.bytes)?;
        let outside = Outside {
            bucket: sealed.bucket,
            event_key: sealed.event_key,
        };
        let wall = self.wall(now);
        // A note may lie at relays for days: its stamp belongs to the time at which it was made.
        let stamped = sealed.note_made.unwrap_or(wall);
        if !opening::is_alive(stamped, wall) {
            return Err(Rejected::Stale);
        }
        let bits = self.config.work_bits;
        if !proof_of_work::check(&sealed.event_key, sealed.nonce, bits, stamped) {
            return Err(Rejected::Work);
        }
        self.seen.spend(sealed.event_key)?;
        if let Some(made) = sealed.note_made {
            return self.try_note(&envelope, &outside, made, now);
        }
        if let Some(call) = self.expected(&envelope.hint()) {
            self.tell(call, Happening::Envelope(&envelope, outside), now);
            return Ok(());
        }
        let listeners = listeners(&self.lines, &self.book_key);
        let arrival = Arrival { wall, now };
        match open(&listeners, &envelope, &outside, &mut self.seen, arrival)? {
            Opened::Ring { line, ring } => self.handle_ring(line, ring, now),
            Opened::Cancel { id, .. } => self.handle_withdrawal(id, now),
            Opened::Presence { line, word } => self.handle_presence(line, word, now),
        }
        Ok(())
    }

    /// What relays keep: only verified texts and missed-call notes have a meaning there.
    fn try_note(
        &mut self,
        envelope: &Envelope,
        outside: &Outside,
        made: UnixTime,
        now: Instant,
    ) -> Result<(), Rejected> {
        let wall = self.wall(now);
        let listeners = listeners(&self.lines, &self.book_key);
        match opening::open(&listeners, envelope, outside, (made, wall))? {
            Note::Text {
                line,
                id,
                sender,
                body,
            } => self.handle_piece(line, (id, sender), *body, now),
            Note::Missed {
                line,
                ring,
                sender,
                rang,
            } => self.handle_missed(line, (ring, sender), rang, now),
        }
    }
}

/// All lines, as envelopes are tried on them.
fn listeners<'a>(lines: &'a [Line], book_key: &'a BookKey) -> Vec<Listener<'a>> {
    let listener = |line: &'a Line| Listener {
        identity: &line.identity,
        book_key,
    };
    lines.iter().map(listener).collect()
}
