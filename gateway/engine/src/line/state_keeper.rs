//! The saved state in use: every change of it passes through here, so that the shell is asked to save it.

use std::time::{Duration, Instant};

use ringfence_book::{Day, Number};

use super::call_record::CallRecord;
use super::saved_state::{CallWay, LineSettings, MOST_BLOCKED, PastCall, SavedState, WaitingText};
use crate::sealed::contact_secret::ContactSecret;
use crate::sealed::note::NoteId;
use crate::sealed::ring::RingId;
use crate::time::UnixTime;
use crate::trust::contacts::PeerIdentity;

/// The saved state, and whether it has changed since the shell was last asked to save it.
#[derive(Debug, Default)]
pub(crate) struct StateKeeper {
    state: SavedState,
    is_changed: bool,
}

impl StateKeeper {
    pub(crate) const fn state(&self) -> &SavedState {
        &self.state
    }

    /// Takes the state as it was saved.
    pub(crate) fn restore(&mut self, state: SavedState) {
        self.state = state;
    }

    pub(crate) const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Whether it has changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// The settings of a line, to be changed.
    pub(crate) fn settings(&mut self, line: Number) -> &mut LineSettings {
        self.is_changed = true;
        self.state.settings.entry(line).or_default()
    }

    /// Blocks a number as the latest one; false when there is no room.
    pub(crate) fn block(&mut self, line: Number, number: Number) -> bool {
        let settings = self.settings(line);
        settings.blocked.retain(|other| *other != number);
        let room = settings.blocked.len() < MOST_BLOCKED;
        if room {
            settings.blocked.push(number);
        }
        room
    }

    /// The user has seen the missed calls of a line: all, or those of one number.
    pub(crate) fn mark_missed_seen(&mut self, line: Number, of: Option<Number>) {
        self.is_changed |= self.state.mark_missed_seen(line, of);
    }

    /// Writes down a call of a line that ends now.
    pub(crate) fn record_call(
        &mut self,
        line: Number,
        record: CallRecord,
        (wall, now): (UnixTime, Instant),
    ) {
        let talked = record.answered.map(|(_, since)| {
            // Whole seconds, as they are saved.
            Duration::from_secs(now.saturating_duration_since(since).as_secs())
        });
        let is_missed = record.way == CallWay::In && talked.is_none();
        if let Some(ring) = record.ring {
            self.ignore_note_of(record.number, ring, wall);
        }
        if !is_missed {
            // A line that talks with a number, or dials it, knows of its missed calls.
            self.state.mark_missed_seen(line, Some(record.number));
        }
        self.state.write_call(PastCall {
            line,
            number: record.number,
            way: record.way,
            began: record.began,
            talked,
            is_new: is_missed && !record.is_declined && !record.is_stranger,
            is_stranger: record.is_stranger,
            quality: record.quality,
        });
        self.is_changed = true;
    }

    /// The note of this ring tells nothing new: the ring itself was heard.
    pub(crate) fn ignore_note_of(
        &mut self,
        caller: Number,
        (dated, ring): (UnixTime, RingId),
        wall: UnixTime,
    ) {
        let note = (dated, NoteId::of_ring(ring));
        self.state.remember(caller, note, wall);
        self.is_changed = true;
    }

    /// Writes down a missed call of which only the caller's note tells, or the call of a stranger who would have rung no phone.
    pub(crate) fn record_missed(
        &mut self,
        id: NoteId,
        (line, number, is_stranger): (Number, Number, bool),
        (rang, wall): (UnixTime, UnixTime),
    ) {
        self.state.remember(number, (rang, id), wall);
        self.state.write_call(PastCall {
            line,
            number,
            way: CallWay::In,
            began: rang,
            talked: None,
            is_new: !is_stranger,
            is_stranger,
            quality: None,
        });
        self.is_changed = true;
    }

    /// Keeps what a line shares with the other side of an answered call; without room, in place of the pair at `gone`.
    pub(crate) fn share(
        &mut self,
        line: Number,
        peer: PeerIdentity,
        secret: ContactSecret,
        gone: usize,
    ) {
        self.state.secrets.add(line, peer, secret, gone);
        self.is_changed = true;
    }

    /// Nothing is left of the secrets of days before this one.
    pub(crate) fn forward_secrets(&mut self, day: Day) {
        self.is_changed |= self.state.secrets.forward(day);
    }

    /// Keeps a text until a phone has taken it, in place of the one at `gone`.
    pub(crate) fn keep_text(&mut self, text: WaitingText, gone: Option<usize>, wall: UnixTime) {
        self.state.keep_text(text, gone, wall);
        self.is_changed = true;
    }

    /// A phone has taken a text.
    pub(crate) fn remove_text(&mut self, id: NoteId) {
        self.state.texts.retain(|text| text.id != id);
        self.is_changed = true;
    }

    /// The user has read a text of a line at a screen; false when there is none.
    pub(crate) fn remove_text_of(&mut self, line: Number, id: NoteId) -> bool {
        let before = self.state.texts.len();
        self.state
            .texts
            .retain(|text| text.id != id || text.line != line);
        let is_removed = self.state.texts.len() < before;
        self.is_changed |= is_removed;
        is_removed
    }
}
