//! Both sides, both keys proved: audio passes. Hang-up travels on the call's own data channel, and as a datagram while that is not
//! open yet.

use std::time::Instant;

use ringfence_media::BridgeEvent;
use ringfence_sip as sip;

use super::context::{CallContext, Datagram};
use super::ending::Ending;
use super::phone_side::PhoneSide;
use super::phone_watch::PhoneVerdict;
use super::{CallCommon, CallInput, CallPeer, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::config::CONNECT;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::routing_tag::RoutingTag;
use crate::sealed::session::{CallSession, SessionMessage};
use crate::time::Timer;

/// A running call.
#[derive(Debug)]
pub(crate) struct Talking {
    session: CallSession,
    peer: CallPeer,
    pub(super) phone: PhoneSide,
    /// The caller's side: what proves its key to the other, sent again whenever the answer comes again, under this routing tag.
    confirm: Option<(RoutingTag, Datagram)>,
    /// Whether this is the caller's side.
    is_caller: bool,
    /// Whether the data channel can carry the hang-up.
    control: bool,
    /// When the two engines have to be connected, until they are.
    connect_by: Option<Instant>,
}

impl Talking {
    /// The caller's side, not yet connected.
    pub(super) fn start(
        session: CallSession,
        peer: CallPeer,
        phone: PhoneSide,
        confirm: Option<(RoutingTag, Datagram)>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let mut state = Self {
            session,
            peer,
            phone,
            confirm,
            is_caller: true,
            control: false,
            connect_by: Some(cx.now + CONNECT),
        };
        let (session, bucket) = (&mut state.session, state.peer.bucket);
        cx.seal_ending(call, bucket, |event, rng| {
            Some(session.seal(SessionMessage::HangUp, event, rng))
        });
        state.begin(call, cx)
    }

    /// The callee's side, whose media may already be connected, and its data channel open.
    pub(super) fn resume(
        session: CallSession,
        peer: CallPeer,
        phone: PhoneSide,
        (connected, control): (bool, bool),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let state = Self {
            session,
            peer,
            phone,
            confirm: None,
            is_caller: false,
            control,
            connect_by: Some(cx.now + CONNECT).filter(|_| !connected),
        };
        state.begin(call, cx)
    }

    fn begin(self, call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
        cx.expect(call, self.session.expected_tags());
        if let Some(record) = &mut call.record {
            record.answered = Some(cx.wall);
            if let Some(ring) = record.ring {
                cx.env.saved.ignore_note_of(record.number, ring, cx.wall);
            }
        }
        self.set_alarm(call);
        CallState::Talking(Box::new(self))
    }

    /// The next moment at which this state has to look: at the connection, or at the phone.
    fn set_alarm(&self, call: &mut CallCommon) {
        let connection = self.connect_by.map(|at| (at, Timer::Connection));
        let watch = self.phone.watch.next(self.phone.holds());
        let watch = watch.filter(|_| call.leg.is_some());
        let watch = watch.map(|at| (at, Timer::PhoneWatch));
        call.deadline = connection.into_iter().chain(watch).min();
    }

    pub(super) fn handle(
        mut self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Media(MediaEvent::Bridge(event)) => self.handle_bridge(&event, call, cx),
            CallInput::Media(MediaEvent::Refused(_)) => self.leave(EndReason::NoMedia, call, cx),
            CallInput::Envelope(envelope, event) => {
                self.handle_envelope(envelope, &event, call, cx)
            }
            CallInput::Leg(
                event @ (sip::Event::Reoffer { .. }
                | sip::Event::OfferAnswered { .. }
                | sip::Event::Confirmed { .. }),
            ) => {
                self.phone.watch.handle_signalling(cx.now);
                self.phone.handle_sip(&event, call, cx);
                if self.phone.has_spoken() {
                    // A phone that resumes has to send again.
                    return self.look_after_phone(call, cx);
                }
                // It called without an offer, and its answer to ours is of no use.
                self.leave(EndReason::NoCodec, call, cx)
            }
            CallInput::Leg(sip::Event::Digit { digit, .. }) => {
                self.phone.watch.handle_signalling(cx.now);
                self.handle_local_digit(digit, call, cx);
                CallState::Talking(self)
            }
            CallInput::Leg(sip::Event::HungUp { .. }) => self.lose_phone(call, cx),
            CallInput::Handed(partner) => self.hand_to(partner, call),
            CallInput::Joined(joint) => self.join(joint, call, cx),
            CallInput::News(news) => self.handle_partner(news, call, cx),
            CallInput::TakenOver(leg, offer) => self.take_over(leg, &offer, call, cx),
            CallInput::Leg(sip::Event::Probed { alive, .. }) => {
                self.phone.watch.handle_probed(alive, cx.now);
                self.look_after_phone(call, cx)
            }
            CallInput::RegisteredAnew => {
                self.phone.watch.handle_registered_anew(cx.now);
                self.look_after_phone(call, cx)
            }
            CallInput::Timeout if self.connect_by.is_some_and(|at| at <= cx.now) => {
                self.leave(EndReason::NotConfirmed, call, cx)
            }
            CallInput::Timeout => self.look_after_phone(call, cx),
            CallInput::ShutDown => self.leave(EndReason::ShutDown, call, cx),
            _ => CallState::Talking(self),
        }
    }

    fn handle_bridge(
        mut self: Box<Self>,
        event: &BridgeEvent,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match event {
            BridgeEvent::Connected => {
                cx.step(call, CallStep::Connected);
                self.connect_by = None;
                self.set_alarm(call);
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, CallStep::ControlOpen);
                self.control = true;
                if self.is_caller {
                    let frame = ControlFrame::Confirm(self.session.proof()).encode();
                    cx.media(call, MediaOrder::Control(frame.to_vec()));
                }
            }
            BridgeEvent::Dtmf { event, millis } => {
                self.handle_remote_digit(*event, *millis, call, cx);
            }
            BridgeEvent::FirstAudio => cx.step(call, CallStep::FirstAudio),
            BridgeEvent::FormatNotCarried => self.phone.offer_agreed(call, cx),
            BridgeEvent::Control(frame) => match ControlFrame::decode(frame) {
                Ok(ControlFrame::HangUp) => return super::hung_up_there(call, cx),
                Ok(ControlFrame::Digit { event, millis }) => {
                    self.handle_remote_digit(event, millis, call, cx);
                }
                Ok(ControlFrame::Confirm(_)) | Err(_) => {}
            },
            BridgeEvent::PhoneSilent => {
                self.phone.watch.handle_silent(cx.now);
                return self.look_after_phone(call, cx);
            }
            BridgeEvent::PhoneHeard => {
                self.phone.watch.handle_heard();
                self.set_alarm(call);
            }
            BridgeEvent::Closed => return super::hang_up(EndReason::HungUpThere, call, cx),
            BridgeEvent::Failed(_) => return self.leave(EndReason::NoMedia, call, cx),
            _ => {}
        }
        CallState::Talking(self)
    }

    fn handle_envelope(
        mut self: Box<Self>,
        envelope: &Envelope,
        event: &EventContext,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some((_, confirm)) = self
            .confirm
            .as_ref()
            .filter(|(answer, _)| *answer == envelope.routing_tag())
        {
            cx.send_datagram(call, confirm);
            return CallState::Talking(self);
        }
        match self.session.open(envelope, event) {
            Ok(SessionMessage::HangUp) => super::hang_up(EndReason::HungUpThere, call, cx),
            Ok(_) | Err(_) => CallState::Talking(self),
        }
    }

    /// Sends OPTIONS to a silent phone, or ends the call of one that is gone. A call that was handed over has no phone.
    fn look_after_phone(
        mut self: Box<Self>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some(leg) = call.leg {
            match self.phone.watch.verdict(self.phone.holds(), cx.now) {
                PhoneVerdict::Wait => {}
                PhoneVerdict::Probe => cx.env.agent.probe(leg, cx.now),
                PhoneVerdict::Gone => return self.leave(EndReason::PhoneGone, call, cx),
            }
        }
        self.set_alarm(call);
        CallState::Talking(self)
    }

    /// The phone's side.
    pub(crate) fn phone(&self) -> &PhoneSide {
        &self.phone
    }

    /// Whether the other engine can be told something.
    pub(super) const fn can_tell(&self) -> bool {
        self.control
    }

    /// Ends the call from this side: the phone, if it is still there, and the other engine.
    pub(super) fn leave(
        mut self: Box<Self>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let reason = match end {
            EndReason::PhoneGone => sip::HangUp::NoSound,
            _ => sip::HangUp::Normal,
        };
        cx.hang_up_phone_with(reason, call);
        if self.control {
            return Ending::start(end, call, cx);
        }
        let hang_up = cx.seal_datagram(&mut self.session, SessionMessage::HangUp, &self.peer);
        Ending::start_with(end, hang_up, call, cx)
    }
}
