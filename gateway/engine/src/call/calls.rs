//! All calls of an engine: which call a leg, an envelope, a posted event or a timer concerns, and how a call begins and is
//! forgotten. What happens in a call is in its state's file.

use std::collections::BTreeMap;
use std::time::Instant;

use rand_core::Rng;
use ringfence_book::Number;
use ringfence_media::BridgeEvent;
use ringfence_sip as sip;

use super::code_tone::CodeCalls;
use super::context::{CallContext, Routes};
use super::slots::DueSlot;
use super::step::{CallStep, EndReason};
use super::summoned::Summons;
use super::{Call, CallCommon, CallInput, CallState};
use crate::environment::Environment;
use crate::input::MediaEvent;
use crate::line::call_quality::CallQuality;
use crate::line::saved_state::CallWay;
use crate::output::{CallLabel, CallParties, Output, PostId};
use crate::restart::SealedEnding;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::RingId;
use crate::sealed::routing_tag::RoutingTag;
use crate::time::{Timer, UnixTime};

/// The calls, and the tables by which an input finds its call.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(super) calls: BTreeMap<CallLabel, Call>,
    pub(super) legs: BTreeMap<sip::LegId, CallLabel>,
    pub(super) summons: Summons,
    pub(super) code_calls: CodeCalls,
    routes: Routes,
}

/// What is known of a call before it begins.
pub(super) struct NewCall {
    pub(super) line: usize,
    pub(super) peer: Option<Number>,
    pub(super) direction: CallWay,
    pub(super) leg: Option<sip::LegId>,
}

impl Calls {
    /// No call but those that were given up before an answer.
    pub(crate) fn is_idle(&self) -> bool {
        let mut calls = self.calls.values();
        calls.all(|call| matches!(call.phase, CallState::Withdrawn(_)))
    }

    /// The next envelope of those that follow a ring, if it is due.
    pub(super) fn take_slot(&mut self, env: &mut Environment, now: Instant) -> Option<DueSlot> {
        self.routes.slots.take_due(env, now)
    }

    /// The call that waits for an envelope with this routing tag.
    pub(crate) fn of_tag(&self, tag: &RoutingTag) -> Option<CallLabel> {
        self.routes.of_tag(tag)
    }

    /// The call that posted this event.
    pub(crate) fn of_post(&self, post: PostId) -> Option<CallLabel> {
        self.routes.of_post(post)
    }

    /// Whether a call of this engine is about this ring: its end writes itself down.
    pub(crate) fn knows_ring(&self, ring: RingId) -> bool {
        let mut calls = self.calls.values();
        calls.any(|call| {
            let heard = call.common.record.and_then(|record| record.ring);
            call.phase.ring() == Some(ring) || heard.is_some_and(|(_, heard)| heard == ring)
        })
    }

    pub(crate) fn handle_media(
        &mut self,
        call: CallLabel,
        event: MediaEvent,
        env: &mut Environment,
        now: Instant,
    ) {
        match event {
            MediaEvent::Bridge(BridgeEvent::Datagram(bytes)) => {
                self.handle_datagram(call, &bytes, env, now);
            }
            event if self.calls.contains_key(&call) => {
                self.handle(call, CallInput::Media(event), env, now);
            }
            event => self.code_calls.handle_media(call, &event, env, now),
        }
    }

    /// How a call has sounded so far.
    pub(crate) fn note_quality(&mut self, call: CallLabel, quality: Option<CallQuality>) {
        let call = self.calls.get_mut(&call);
        if let Some(record) = call.and_then(|call| call.common.record.as_mut()) {
            record.quality = quality;
        }
    }

    /// A datagram at a call's relayed address, from any sender: it is looked at if it carries a routing tag that this call expects.
    fn handle_datagram(
        &mut self,
        call: CallLabel,
        bytes: &[u8],
        env: &mut Environment,
        now: Instant,
    ) {
        let envelope = Envelope::from_datagram(bytes);
        match envelope.map(|envelope| (self.of_tag(&envelope.routing_tag()), envelope)) {
            Ok((Some(of), envelope)) if of == call => {
                self.handle_envelope(call, (&envelope, EventContext::NONE), env, now);
            }
            Ok(_) => env.counters.count(EnvelopeError::Hint),
            Err(rejected) => env.counters.count(rejected),
        }
    }

    pub(crate) fn handle_envelope(
        &mut self,
        call: CallLabel,
        (envelope, event): (&Envelope, EventContext),
        env: &mut Environment,
        now: Instant,
    ) {
        self.handle(call, CallInput::Envelope(envelope, event), env, now);
    }

    pub(crate) fn handle_posted(
        &mut self,
        call: CallLabel,
        (post, relays): (PostId, usize),
        env: &mut Environment,
        now: Instant,
    ) {
        self.handle(call, CallInput::Posted(post, relays), env, now);
    }

    /// A proof of work is in stock: the calls that wait for some may go on.
    pub(crate) fn handle_proofs(&mut self, env: &mut Environment, now: Instant) {
        let waiting = self.calls.iter().filter(|(_, call)| call.lacks() > 0);
        let waiting: Vec<_> = waiting.map(|(label, _)| *label).collect();
        for label in waiting {
            self.handle(label, CallInput::Proofs, env, now);
        }
    }

    /// An event of a leg that belongs to a call.
    pub(crate) fn handle_leg(
        &mut self,
        leg: sip::LegId,
        event: sip::Event,
        env: &mut Environment,
        now: Instant,
    ) {
        match self.legs.get(&leg).copied() {
            Some(call) => self.handle(call, CallInput::Leg(event), env, now),
            None if self.code_calls.handle_leg(leg, &event, env, now) => {}
            None => self.handle_summoned(leg, &event, env, now),
        }
    }

    /// The phone of these legs registered as one does that has just started.
    pub(crate) fn handle_registered_anew(
        &mut self,
        legs: &[sip::LegId],
        env: &mut Environment,
        now: Instant,
    ) {
        for leg in legs {
            if let Some(call) = self.legs.get(leg).copied() {
                self.handle(call, CallInput::RegisteredAnew, env, now);
            }
        }
    }

    /// The caller took a ring back.
    pub(crate) fn handle_cancel(&mut self, id: RingId, env: &mut Environment, now: Instant) {
        let mut calls = self.calls.iter();
        let label =
            calls.find_map(|(label, call)| (call.phase.ring() == Some(id)).then_some(*label));
        if let Some(label) = label {
            self.handle(label, CallInput::Cancelled, env, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, env: &mut Environment, now: Instant) {
        self.post_slots(env, now);
        self.summons.handle_timeout(env, now);
        self.code_calls.handle_timeout(env, now);
        for label in self.labels() {
            let due = self.calls.get(&label).and_then(|call| call.common.deadline);
            if due.is_some_and(|(at, _)| at <= now) {
                self.handle(label, CallInput::Timeout, env, now);
            }
        }
    }

    pub(crate) fn shut_down(&mut self, env: &mut Environment, now: Instant) {
        for label in self.labels() {
            self.handle(label, CallInput::ShutDown, env, now);
        }
        self.code_calls.end_all(env, now);
    }

    /// Delivers one thing that a call has to tell the one it is joined with; false if there is none.
    pub(crate) fn deliver_partner_news(&mut self, env: &mut Environment, now: Instant) -> bool {
        if let Some(again) = self.routes.next_dialled() {
            self.place_again(again, env, now);
            return true;
        }
        let Some((call, news)) = self.routes.next_news() else {
            return false;
        };
        self.handle(call, CallInput::News(news), env, now);
        true
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let deadlines = self.calls.values().filter_map(|call| call.common.deadline);
        let slots = self.routes.slots.next_timeout().into_iter();
        let summons = self.summons.next_timeout().into_iter();
        let codes = self.code_calls.next_timeout().into_iter();
        deadlines
            .chain(slots)
            .chain(summons)
            .chain(codes)
            .min_by_key(|(at, _)| *at)
    }

    /// Proofs of work that calls wait for.
    pub(crate) fn lacks(&self) -> usize {
        let waiting: usize = self.calls.values().map(Call::lacks).sum();
        waiting + self.routes.slots.lacks()
    }

    /// What ends the calls on their other sides, if this process dies after `wall`.
    pub(crate) fn endings(&self, wall: UnixTime) -> impl Iterator<Item = SealedEnding> {
        let calls = self.calls.values();
        calls.filter_map(move |call| Some(call.common.ending.as_ref()?.saved(wall)))
    }

    /// Whether a call has one.
    pub(crate) fn has_ending(&self) -> bool {
        let mut calls = self.calls.values();
        calls.any(|call| call.common.ending.is_some())
    }

    /// Calls that phones here began or answered.
    pub(super) fn busy(&self) -> usize {
        let rings =
            |call: &&Call| matches!(call.phase, CallState::Ringing(_) | CallState::Unheard(_));
        self.calls.values().filter(|call| !rings(call)).count()
    }

    /// A label that no call has. Random, so that it says nothing about the order of calls.
    pub(super) fn new_label(&self, env: &mut Environment) -> CallLabel {
        loop {
            let label = CallLabel(env.rng.next_u32());
            if !self.calls.contains_key(&label) {
                return label;
            }
        }
    }

    /// Begins a call in the state that `start` gives.
    pub(super) fn begin(
        &mut self,
        new: NewCall,
        env: &mut Environment,
        now: Instant,
        start: impl FnOnce(&mut CallCommon, &mut CallContext<'_>) -> CallState,
    ) -> CallLabel {
        let label = self.new_label(env);
        let Some(number) = env.lines.number(new.line) else {
            return label;
        };
        let mut call = Call {
            common: CallCommon {
                label,
                line: new.line,
                number,
                peer: new.peer,
                direction: new.direction,
                leg: new.leg,
                summoned: None,
                partner: None,
                proofs: None,
                ending: None,
                record: None,
                deadline: None,
            },
            phase: CallState::Over,
        };
        call.phase = start(&mut call.common, &mut self.context(env, now));
        self.keep(call);
        label
    }

    /// Reports a call that ends before it begins, as a call that was dialled.
    pub(super) fn report_refused(
        &self,
        parties: CallParties,
        end: EndReason,
        env: &mut Environment,
        refuse: impl FnOnce(&mut Environment),
    ) {
        let call = self.new_label(env);
        let step = |step| Output::Step {
            call,
            parties,
            step,
        };
        env.out.push(step(CallStep::Dialled));
        refuse(env);
        env.out.push(step(CallStep::Ended(end)));
    }

    /// Lets one call handle one input, and forgets the call if that was its last.
    pub(super) fn handle(
        &mut self,
        label: CallLabel,
        input: CallInput<'_>,
        env: &mut Environment,
        now: Instant,
    ) {
        let Some(mut call) = self.calls.remove(&label) else {
            return;
        };
        if call.handle(input, &mut self.context(env, now)) {
            self.end(call, env, now);
        } else {
            self.keep(call);
        }
    }

    pub(super) fn context<'a>(
        &'a mut self,
        env: &'a mut Environment,
        now: Instant,
    ) -> CallContext<'a> {
        let wall = env.wall(now);
        CallContext {
            env,
            routes: &mut self.routes,
            wall,
            now,
        }
    }

    /// Writes a call down that is over, and forgets it.
    pub(super) fn end(&mut self, call: Call, env: &mut Environment, now: Instant) {
        if let Some(record) = call.common.record {
            let wall = env.wall(now);
            env.saved
                .record_call(call.common.number, record, (wall, now));
        }
        self.forget(call, env);
    }

    pub(super) fn forget(&mut self, mut call: Call, env: &mut Environment) {
        let label = call.common.label;
        env.proofs
            .put_back(call.common.proofs.take().unwrap_or_default());
        if call.common.ending.is_some() {
            env.restart.note_change();
        }
        self.legs.retain(|_, of| *of != label);
        self.routes.forget(label);
    }

    fn keep(&mut self, call: Call) {
        if let Some(leg) = call.common.leg {
            self.legs.insert(leg, call.common.label);
        }
        self.calls.insert(call.common.label, call);
    }

    fn labels(&self) -> Vec<CallLabel> {
        self.calls.keys().copied().collect()
    }
}
