//! An incoming call begins: an envelope opened as a ring.

use std::time::Instant;

use ringfence_media::Description;

use super::calls::{Calls, NewCall};
use super::ringing::Ringing;
use super::unheard::Unheard;
use super::{CallInput, CallState};
use crate::config::{MAX_RINGS_PER_LINE, RINGS_FOR_CONTACTS};
use crate::environment::Environment;
use crate::line::call_record::CallRecord;
use crate::line::saved_state::CallWay;
use crate::line::settings::Reception;
use crate::output::CallLabel;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::time::Timer;
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
        if ring.rings_for(env.wall(now)).is_zero() {
            // Its caller has gone. The note that came with it tells of the call.
            env.counters.count(EnvelopeError::Stale);
            return;
        }
        let Some(ring) = self.resolve_glare(line, ring, env, now) else {
            return;
        };
        let record = CallRecord::rang(ring.caller_number(), ring.dated_id(), env.wall(now));
        match Reception::of(line, &ring, env, now) {
            Reception::Sounds => {}
            Reception::Silent { is_stranger } => {
                let record = CallRecord {
                    is_stranger,
                    ..record
                };
                return self.keep_unheard(line, ring, record, env, now);
            }
            Reception::Refused => return,
        }
        let Some((ring, remote)) = self.join_sounding(line, (ring, remote), env, now) else {
            return;
        };
        let most = match env.lines.number(line) {
            Some(own) if env.is_contact(own, ring.caller_number(), now) => MAX_RINGS_PER_LINE,
            _ => MAX_RINGS_PER_LINE - RINGS_FOR_CONTACTS,
        };
        if self.sounding(line).count() >= most || self.busy() >= env.config.max_calls {
            env.counters.flooded += 1;
            return;
        }
        self.forget_unheard(line, env, now);
        self.begin(rung(line, &ring), env, now, |common, cx| {
            common.record = Some(record);
            Ringing::start(*ring, remote, common, cx)
        });
    }

    /// No phone rings. A person of the line who dials the caller meanwhile answers it.
    fn keep_unheard(
        &mut self,
        line: usize,
        ring: Box<VerifiedRing>,
        record: CallRecord,
        env: &mut Environment,
        now: Instant,
    ) {
        self.forget_unheard(line, env, now);
        self.begin(rung(line, &ring), env, now, |common, cx| {
            common.record = Some(record);
            cx.set_deadline(common, ring.rings_for(cx.wall), Timer::Ringing);
            CallState::Unheard(Unheard::new(*ring))
        });
    }

    /// Rings of a line that sound.
    fn sounding(&self, line: usize) -> impl Iterator<Item = (CallLabel, &Ringing)> {
        let calls = self
            .calls
            .iter()
            .filter(move |(_, call)| call.common.line == line);
        calls.filter_map(|(label, call)| match &call.phase {
            CallState::Ringing(ringing) => Some((*label, &**ringing)),
            _ => None,
        })
    }

    /// A caller whose ring sounds has one ring on the line: the newer one takes the place of the other, and the phones go on ringing. That is
    /// what a person expects of a caller who hung up and dials again, and whose cancel is still on its way. Otherwise gives the ring back.
    fn join_sounding(
        &mut self,
        line: usize,
        again: (Box<VerifiedRing>, Description),
        env: &mut Environment,
        now: Instant,
    ) -> Option<(Box<VerifiedRing>, Description)> {
        let caller = again.0.caller();
        let same = |(label, other): (_, &Ringing)| (other.caller() == caller).then_some(label);
        let label = self.sounding(line).find_map(same);
        let Some(label) = label else {
            return Some(again);
        };
        let again = Box::new((*again.0, again.1));
        self.handle(label, CallInput::RungAgain(again), env, now);
        None
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

/// What is known of the call of a ring.
fn rung(line: usize, ring: &VerifiedRing) -> NewCall {
    NewCall {
        line,
        peer: Some(ring.caller_number()),
        direction: CallWay::In,
        leg: None,
    }
}
