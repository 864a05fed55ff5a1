//! The calls of the past: written down when a call is over, or when a note tells of a ring that never came here.

use std::time::{Duration, Instant};

use ringfence_book::Number;

use crate::call::Call;
use crate::engine::Engine;
use crate::line::saved_state::{PastCall, Way};
use crate::sealed::note::NoteId;
use crate::sealed::note::opening::Sender;
use crate::sealed::rejected::Rejected;
use crate::sealed::ring::RingId;
use crate::time::UnixTime;
use crate::trust::contacts::ShownBy;

/// What a call will be in the ledger.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) number: Number,
    pub(crate) way: Way,
    pub(crate) began: UnixTime,
    /// When sound could pass.
    pub(crate) answered: Option<UnixTime>,
    /// The person saw it ring and did not want it: no lamp.
    pub(crate) is_declined: bool,
    /// Of a ring that came here: its caller's note may follow.
    ring: Option<RingId>,
}

impl Entry {
    pub(crate) const fn dialled(number: Number, began: UnixTime) -> Self {
        Self {
            number,
            way: Way::Out,
            began,
            answered: None,
            is_declined: false,
            ring: None,
        }
    }

    pub(crate) const fn rang(number: Number, ring: RingId, began: UnixTime) -> Self {
        Self {
            ring: Some(ring),
            way: Way::In,
            ..Self::dialled(number, began)
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(..)")
    }
}

impl Engine {
    /// A call is over.
    pub(crate) fn write_down(&mut self, call: &Call, now: Instant) {
        let line = self.lines.get(call.common.line).map(|line| line.number);
        if let (Some(line), Some(entry)) = (line, call.common.entry) {
            self.write_entry(line, entry, now);
        }
    }

    /// Writes a call of a line down that is over at `now`.
    pub(crate) fn write_entry(&mut self, line: Number, entry: Entry, now: Instant) {
        let wall = self.wall(now);
        let talked = entry
            .answered
            .map(|since| Duration::from_secs(wall.seconds().saturating_sub(since.seconds())));
        let is_missed = entry.way == Way::In && talked.is_none();
        if let Some(ring) = entry.ring.filter(|_| is_missed) {
            // Without room, the caller's note writes it down once more.
            let _ = self
                .ledger
                .remember(NoteId::of_ring(ring), entry.number, wall);
        }
        if !is_missed {
            // Whoever talks with somebody, or tries to, knows of their calls.
            self.ledger.tell_missed(line, Some(entry.number));
        }
        self.ledger.write_call(PastCall {
            line,
            number: entry.number,
            way: entry.way,
            began: entry.began,
            talked,
            is_new: is_missed && !entry.is_declined,
        });
        self.ledger_changed = true;
    }

    /// A note tells of a ring that nobody answered.
    pub(crate) fn handle_missed(
        &mut self,
        line: usize,
        (ring, sender): (RingId, Sender),
        rang: UnixTime,
        now: Instant,
    ) -> Result<(), Rejected> {
        let line = self.lines.get(line).ok_or(Rejected::NotOurs)?.number;
        let id = NoteId::of_ring(ring);
        // A call whose end has not been heard of yet writes itself down.
        let rings_here = self
            .calls
            .values()
            .any(|call| call.phase.ring() == Some(ring));
        if rings_here || self.ledger.knows(id) || !self.is_welcome(line, sender, now) {
            return Ok(());
        }
        let wall = self.wall(now);
        self.ledger.remember(id, sender.number, wall)?;
        self.ledger.write_call(PastCall {
            line,
            number: sender.number,
            way: Way::In,
            began: rang,
            talked: None,
            is_new: true,
        });
        self.ledger_changed = true;
        Ok(())
    }

    /// Whether a line hears of this sender at all. To the sender it is the same.
    pub(crate) fn is_welcome(&mut self, line: Number, sender: Sender, now: Instant) -> bool {
        if self.ledger.is_blocked(line, sender.number) {
            return false;
        }
        let changed = self.has_changed(sender.number, sender.identity, ShownBy::Ring, now);
        self.counters.changed_keys += u64::from(changed);
        !changed
    }
}
