//! An incoming call begins: an envelope opened as a ring.

use std::time::Instant;

use ringfence_media::Description;

use super::CallState;
use super::calls::{Calls, NewCall};
use super::ringing::Ringing;
use crate::config::MAX_RINGS_PER_LINE;
use crate::environment::Environment;
use crate::line::call_record::CallRecord;
use crate::line::saved_state::CallWay;
use crate::line::settings::is_unwanted;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::trust::contacts::ShownBy;

impl Calls {
    /// A verified ring for a line. Whatever prevents that it sounds, its caller gets what every caller gets who is not answered.
    pub(crate) fn handle_ring(
        &mut self,
        line: usize,
        ring: Box<VerifiedRing>,
        env: &mut Environment,
        now: Instant,
    ) {
        if env.closing {
            return;
        }
        env.trust.compare(&ring.book(), &mut env.out);
        if env.has_changed(ring.sender(), ShownBy::Ring, now) {
            env.counters.changed_keys += 1;
            return;
        }
        let Ok(remote) = Description::decode(ring.media()) else {
            env.counters.forged += 1;
            return;
        };
        let Some(ring) = self.resolve_glare(line, ring, env, now) else {
            return;
        };
        if is_unwanted(line, &ring, env, now) {
            return;
        }
        let calls = self.calls.values();
        let sounding = calls
            .filter(|call| call.common.line == line && matches!(call.phase, CallState::Ringing(_)));
        if sounding.count() >= MAX_RINGS_PER_LINE || self.busy() >= env.config.max_calls {
            env.counters.flooded += 1;
            return;
        }
        self.forget_unheard(line, env, now);
        let record = CallRecord::rang(ring.caller_number(), ring.id(), env.wall(now));
        let new = NewCall {
            line,
            peer: Some(ring.caller_number()),
            direction: CallWay::In,
            leg: None,
        };
        self.begin(new, env, now, |common, cx| {
            common.record = Some(record);
            Ringing::start(*ring, remote, common, cx)
        });
    }

    /// Makes room for one more ring that may stay unheard: the oldest of the line goes.
    fn forget_unheard(&mut self, line: usize, env: &mut Environment, now: Instant) {
        let unheard = self
            .calls
            .values()
            .filter(|call| call.common.line == line && call.is_unheard());
        let mut oldest: Vec<_> = unheard
            .map(|call| (call.common.deadline, call.common.label))
            .collect();
        oldest.sort_unstable();
        let many = oldest.len().saturating_sub(MAX_RINGS_PER_LINE - 1);
        for (_, label) in oldest.into_iter().take(many) {
            if let Some(call) = self.calls.remove(&label) {
                self.end(call, env, now);
            }
        }
    }
}
