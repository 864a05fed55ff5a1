//! Missed-call notes that came while their ring may still sound: a note goes out with its ring, and which of the two is here first is
//! the relays' affair. After a ring's time a note is believed, unless the ring was heard.

use std::time::{Duration, Instant};

use super::Engine;
use crate::environment::Environment;
use crate::sealed::note::NoteId;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::RingId;
use crate::time::{Timer, UnixTime};
use crate::trust::contacts::PeerIdentity;
use crate::trust::shares::Shares;

/// How long after its ring a note is believed: a ring sounds for half a minute, and its copies take a while.
const WAIT: Duration = Duration::from_secs(60);

/// Notes that wait. One that finds no room comes again at the next start.
const NOTES: Shares = Shares {
    all: 256,
    strangers: 128,
    each_contact: 32,
    each_stranger: 8,
};

/// Notes that are not believed yet, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct MissedNotes(Vec<MissedNote>);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct MissedNote {
    pub(super) line: usize,
    pub(super) ring: RingId,
    pub(super) sender: PeerIdentity,
    pub(super) rang: UnixTime,
    /// When it is believed.
    pub(super) due: Instant,
}

impl MissedNotes {
    /// Keeps a note; a second one of the same ring says nothing new.
    fn keep(
        &mut self,
        note: MissedNote,
        env: &Environment,
        now: Instant,
    ) -> Result<(), EnvelopeError> {
        if self.0.iter().any(|kept| kept.ring == note.ring) {
            return Ok(());
        }
        let owner = |note: &MissedNote| {
            let line = env.lines.number(note.line).unwrap_or(note.sender.number);
            env.owner(line, note.sender.number, now)
        };
        let gone = NOTES.make_room(self.0.iter().map(owner), owner(&note))?;
        gone.map(|gone| self.0.remove(gone));
        self.0.push(note);
        Ok(())
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let next = self.0.iter().map(|note| note.due).min()?;
        Some((next, Timer::MissedNote))
    }
}

impl Engine {
    /// A note tells that a ring was posted.
    pub(super) fn handle_missed(
        &mut self,
        line: usize,
        (ring, sender): (RingId, PeerIdentity),
        rang: UnixTime,
        now: Instant,
    ) -> Result<(), EnvelopeError> {
        let wall = self.env.wall(now);
        // A caller's clock that is ahead does not make it wait longer.
        let passed = if rang < wall {
            rang.distance(wall)
        } else {
            Duration::ZERO
        };
        let note = MissedNote {
            line,
            ring,
            sender,
            rang,
            due: now + WAIT.saturating_sub(passed),
        };
        self.missed.keep(note, &self.env, now)?;
        self.believe_notes(now);
        Ok(())
    }

    /// Writes the missed calls down whose rings had their time and were not heard.
    pub(super) fn believe_notes(&mut self, now: Instant) {
        let (due, waiting) = self.missed.0.drain(..).partition(|note| note.due <= now);
        self.missed.0 = waiting;
        let due: Vec<MissedNote> = due;
        for note in due {
            let env = &mut self.env;
            let Some(line) = env.lines.number(note.line) else {
                continue;
            };
            let id = NoteId::of_ring(note.ring);
            let taken = (note.sender.number, (note.rang, id));
            let is_known =
                self.calls.knows_ring(note.ring) || env.saved.state().knows(taken.0, taken.1);
            if is_known || !env.is_welcome(line, note.sender, now) {
                continue;
            }
            let wall = env.wall(now);
            let is_stranger = env.is_kept_out(line, note.sender.number, now);
            let whose = (line, note.sender.number, is_stranger);
            env.saved.record_missed(id, whose, (note.rang, wall));
        }
    }
}
