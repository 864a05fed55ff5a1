//! Both sides, both keys proved: sound passes. Hang-up travels on the call's own data channel;
//! the relay is used only while that is not open yet.

use ringfence_media::BridgeEvent;
use ringfence_sip as sip;

use super::calling::say;
use super::context::CallContext;
use super::ending::Ending;
use super::phone_side::PhoneSide;
use super::{Common, Happening, Peer, Phase};
use crate::call::control::Control;
use crate::call::step::{End, Step};
use crate::config::CONNECT;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::session::{Say, Session};
use crate::time::Timer;

/// A running call.
#[derive(Debug)]
pub(crate) struct Talking {
    session: Session,
    peer: Peer,
    pub(super) phone: PhoneSide,
    /// The caller's side, which has to prove its key to the other.
    confirms: bool,
    /// Whether the data channel can carry the hang-up.
    control: bool,
}

impl Talking {
    /// The caller's side, not yet connected.
    pub(super) fn start(
        session: Session,
        peer: Peer,
        phone: PhoneSide,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
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
        session: Session,
        peer: Peer,
        phone: PhoneSide,
        (connected, control): (bool, bool),
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        let state = Self {
            session,
            peer,
            phone,
            confirms: false,
            control,
        };
        state.begin(connected, call, cx)
    }

    fn begin(self, connected: bool, call: &mut Common, cx: &mut CallContext<'_>) -> Phase {
        cx.expect(call, self.session.expected_hints());
        if let Some(record) = &mut call.record {
            record.answered = Some(cx.wall);
        }
        if connected {
            call.deadline = None;
        } else {
            cx.set_deadline(call, CONNECT, Timer::Connection);
        }
        Phase::Talking(Box::new(self))
    }

    pub(super) fn on(
        mut self: Box<Self>,
        happening: Happening<'_>,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match happening {
            Happening::Media(MediaEvent::Bridge(event)) => self.talk(&event, call, cx),
            Happening::Media(MediaEvent::Refused(_)) => self.leave(End::NoMedia, call, cx),
            Happening::Envelope(envelope, outside) => self.hear(envelope, &outside, call, cx),
            Happening::Leg(
                event @ (sip::Event::Reoffer { .. }
                | sip::Event::OfferAnswered { .. }
                | sip::Event::Confirmed { .. }),
            ) => {
                self.phone.hear(&event, call, cx);
                if self.phone.has_spoken() {
                    return Phase::Talking(self);
                }
                // It called without an offer, and its answer to ours is of no use.
                self.leave(End::NoCodec, call, cx)
            }
            Happening::Leg(sip::Event::Digit { digit, .. }) => {
                self.pressed_here(digit, call, cx);
                Phase::Talking(self)
            }
            Happening::Leg(sip::Event::HungUp { .. }) => self.lose_phone(call, cx),
            Happening::Handed(partner) => self.hand_to(partner, call),
            Happening::Joined(joint) => self.join(joint, call, cx),
            Happening::News(news) => self.hear_partner(news, call, cx),
            Happening::TakenOver(leg, offer) => self.take_over(leg, &offer, call, cx),
            Happening::Alarm => self.leave(End::NotConfirmed, call, cx),
            Happening::ShutDown => self.leave(End::ShutDown, call, cx),
            _ => Phase::Talking(self),
        }
    }

    fn talk(
        mut self: Box<Self>,
        event: &BridgeEvent,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match event {
            BridgeEvent::Connected => {
                cx.step(call, Step::Connected);
                call.deadline = None;
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, Step::ControlOpen);
                self.control = true;
                if self.confirms {
                    let frame = Control::Confirm(self.session.proof()).encode();
                    cx.media(call, MediaOrder::Control(frame.to_vec()));
                }
            }
            BridgeEvent::Dtmf { event, millis } => {
                self.pressed_there(*event, *millis, call, cx);
            }
            BridgeEvent::FirstAudio => cx.step(call, Step::FirstSound),
            BridgeEvent::Control(frame) => match Control::decode(frame) {
                Ok(Control::HangUp) => return super::hung_up_there(call, cx),
                Ok(Control::Digit { event, millis }) => {
                    self.pressed_there(event, millis, call, cx);
                }
                Ok(Control::Confirm(_)) | Err(_) => {}
            },
            BridgeEvent::Closed => return super::hang_up(End::HungUpThere, call, cx),
            BridgeEvent::Failed(_) => return self.leave(End::NoMedia, call, cx),
            _ => {}
        }
        Phase::Talking(self)
    }

    fn hear(
        mut self: Box<Self>,
        envelope: &Envelope,
        outside: &Outside,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match self.session.open(envelope, outside) {
            Ok(Say::HangUp) => super::hang_up(End::HungUpThere, call, cx),
            Ok(_) | Err(_) => Phase::Talking(self),
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
        end: End,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        cx.hang_up_phone(call);
        if self.control {
            return Ending::start(end, call, cx);
        }
        say(&mut self.session, Say::HangUp, &self.peer, call, cx);
        cx.end(call, end);
        Phase::Over
    }
}
