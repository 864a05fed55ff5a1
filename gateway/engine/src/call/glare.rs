//! Glare: two lines ring each other at the same time, or a person dials the very number that rings or has rung.

use std::time::Instant;

use ringfence_book::IdentityKey;

use super::calls::Calls;
use super::{CallInput, CallState};
use crate::environment::Environment;
use crate::output::CallLabel;
use crate::sealed::ring::incoming::VerifiedRing;

impl Calls {
    /// Gives the ring back if the line is not calling its caller. Otherwise one of the two rings counts, and the call that is
    /// there goes on with it.
    pub(super) fn resolve_glare(
        &mut self,
        line: usize,
        ring: Box<VerifiedRing>,
        env: &mut Environment,
        now: Instant,
    ) -> Option<Box<VerifiedRing>> {
        let Some((label, ours_counts)) = self.find_glare(line, &ring, env, now) else {
            return Some(ring);
        };
        let wall = env.wall(now);
        env.saved
            .ignore_note_of(ring.caller_number(), ring.dated_id(), wall);
        if !ours_counts {
            self.handle(label, CallInput::Glare(ring), env, now);
        }
        None
    }

    /// Whether this line is calling the caller of this ring; and if so, whether our ring is the one that counts. While ours is not
    /// posted, theirs does. When both are, it is the one with the lower identity key, on both sides. Ours did if it was just answered: the other
    /// one was on its way.
    fn find_glare(
        &self,
        line: usize,
        ring: &VerifiedRing,
        env: &Environment,
        now: Instant,
    ) -> Option<(CallLabel, bool)> {
        let (ours, theirs) = (env.lines.get(line)?.identity.key(), ring.caller());
        if ours == theirs {
            // A line that rings itself is no glare: both rings are its own.
            return None;
        }
        let calls = self.calls.iter();
        let mut on_line = calls.filter(|(_, call)| call.common.line == line);
        on_line.find_map(|(label, call)| match &call.phase {
            CallState::Dialling(dialling) if dialling.callee() == theirs => Some((*label, false)),
            CallState::Calling(calling) if calling.callee() == theirs => {
                Some((*label, ours.as_bytes() < theirs.as_bytes()))
            }
            CallState::Talking(talking) if talking.was_crossed_by(theirs, now) => {
                Some((*label, true))
            }
            _ => None,
        })
    }

    /// Takes a ring that waits for this line from its phones, because one of them dials exactly the number that rings.
    pub(super) fn take_ring(
        &mut self,
        line: usize,
        caller: IdentityKey,
        env: &mut Environment,
        now: Instant,
    ) -> Option<Box<VerifiedRing>> {
        let label = self.calls.iter().find_map(|(label, call)| {
            let rings = match &call.phase {
                CallState::Ringing(ringing) => ringing.caller() == caller,
                CallState::Unheard(unheard) => unheard.caller() == caller,
                _ => false,
            };
            (rings && call.common.line == line).then_some(*label)
        })?;
        let mut call = self.calls.remove(&label)?;
        let ring = call.hand_over(&mut self.context(env, now));
        if let Some(ring) = &ring {
            let wall = env.wall(now);
            env.saved
                .ignore_note_of(ring.caller_number(), ring.dated_id(), wall);
        }
        self.forget(call, env);
        ring
    }
}
