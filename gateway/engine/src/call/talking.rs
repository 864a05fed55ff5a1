//! Both sides, both keys proved: audio passes. Hang-up travels on the call's own data channel;
//! the relay is used only while that is not open yet.

use ringfence_media::BridgeEvent;
use ringfence_sip as sip;

use super::calling::say;
use super::context::CallContext;
use super::ending::Ending;
use super::phone_side::PhoneSide;
use super::{CallCommon, CallInput, CallPeer, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::config::CONNECT;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::session::{CallSession, SessionMessage};
use crate::time::Timer;

/// A running call.
#[derive(Debug)]
pub(crate) struct Talking {
    session: CallSession,
    peer: CallPeer,
    pub(super) phone: PhoneSide,
    /// The caller's side, which has to prove its key to the other.
    confirms: bool,
    /// Whether the data channel can carry the hang-up.
    control: bool,
}

impl Talking {
    /// The caller's side, not yet connected.
    pub(super) fn start(
        session: CallSession,
        peer: CallPeer,
        phone: PhoneSide,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let state = Self {
            session,
            peer,
            phone,
            confirms: true,
            control: false,
        };
        state.begin(false, call, cx)
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
            confirms: false,
            control,
        };
        state.begin(connected, call, cx)
    }

    fn begin(self, connected: bool, call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
        cx.expect(call, self.session.expected_tags());
        if let Some(record) = &mut call.record {
            record.answered = Some(cx.wall);
        }
        if connected {
            call.deadline = None;
        } else {
            cx.set_deadline(call, CONNECT, Timer::Connection);
        }
        CallState::Talking(Box::new(self))
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
                self.phone.handle_sip(&event, call, cx);
                if self.phone.has_spoken() {
                    return CallState::Talking(self);
                }
                // It called without an offer, and its answer to ours is of no use.
                self.leave(EndReason::NoCodec, call, cx)
            }
            CallInput::Leg(sip::Event::Digit { digit, .. }) => {
                self.handle_local_digit(digit, call, cx);
                CallState::Talking(self)
            }
            CallInput::Leg(sip::Event::HungUp { .. }) => self.lose_phone(call, cx),
            CallInput::Handed(partner) => self.hand_to(partner, call),
            CallInput::Joined(joint) => self.join(joint, call, cx),
            CallInput::News(news) => self.handle_partner(news, call, cx),
            CallInput::TakenOver(leg, offer) => self.take_over(leg, &offer, call, cx),
            CallInput::Timeout => self.leave(EndReason::NotConfirmed, call, cx),
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
                call.deadline = None;
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, CallStep::ControlOpen);
                self.control = true;
                if self.confirms {
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
        match self.session.open(envelope, event) {
            Ok(SessionMessage::HangUp) => super::hang_up(EndReason::HungUpThere, call, cx),
            Ok(_) | Err(_) => CallState::Talking(self),
        }
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
        cx.hang_up_phone(call);
        if self.control {
            return Ending::start(end, call, cx);
        }
        say(
            &mut self.session,
            SessionMessage::HangUp,
            &self.peer,
            call,
            cx,
        );
        cx.end(call, end);
        CallState::Over
    }
}
