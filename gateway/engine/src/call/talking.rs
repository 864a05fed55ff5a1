//! Both sides, both keys proved: audio passes. Hang-up travels on the call's own data channel, and as a datagram while that is not
//! open yet.

use std::net::SocketAddr;
use std::time::Instant;

use ringfence_book::IdentityKey;
use ringfence_media::BridgeEvent;
use ringfence_sip as sip;

use super::context::{CallContext, Datagram};
use super::ending::{EndedSession, Ending};
use super::outage::Outage;
use super::phone_side::PhoneSide;
use super::phone_watch::PhoneVerdict;
use super::{CallCommon, CallInput, CallPeer, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::config::{CONNECT, CONNECT_AFTER_LOSS, CROSSED};
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
    /// On the caller's side: when the answer was opened.
    called: Option<Instant>,
    /// Whether the data channel can carry the hang-up.
    control: bool,
    /// When the two engines have to be connected, until they are; and the latest that may become.
    connect_by: Option<(Instant, Instant)>,
    outage: Outage,
}

impl Talking {
    /// The caller's side, not yet connected. `moved` is its relayed address if that is another one than its ring named.
    pub(super) fn start(
        session: CallSession,
        peer: CallPeer,
        phone: PhoneSide,
        (confirm, moved): (Option<(RoutingTag, Datagram)>, Option<SocketAddr>),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let mut state = Self {
            session,
            peer,
            phone,
            confirm,
            called: Some(cx.now),
            control: false,
            connect_by: Some((cx.now + CONNECT, cx.now + CONNECT_AFTER_LOSS)),
            outage: Outage::default(),
        };
        if let Some(to) = moved {
            state.outage.handle_moved(to, cx.now);
        }
        state.keep_ending(call, cx);
        state.begin(call, cx)
    }

    /// The callee's side, whose media may already be connected, and its data channel open.
    pub(super) fn resume(
        session: CallSession,
        peer: CallPeer,
        phone: PhoneSide,
        (connected, control, outage): (bool, bool, Outage),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let state = Self {
            session,
            peer,
            phone,
            confirm: None,
            called: None,
            control,
            connect_by: (!connected).then_some((cx.now + CONNECT, cx.now + CONNECT_AFTER_LOSS)),
            outage,
        };
        state.begin(call, cx)
    }

    fn begin(self, call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
        cx.expect(call, self.session.expected_tags());
        if let Some(record) = &mut call.record {
            record.answered = Some((cx.wall, cx.now));
            if let Some(ring) = record.ring {
                cx.env.saved.ignore_note_of(record.number, ring, cx.wall);
            }
        }
        self.set_alarm(call);
        CallState::Talking(Box::new(self))
    }

    /// Seals what ends the call on the other side if this process dies, behind what was sealed before.
    fn keep_ending(&mut self, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        let session = &mut self.session;
        cx.seal_ending(call, self.peer.bucket, |event, rng| {
            Some(session.seal(SessionMessage::HangUp, event, rng))
        });
    }

    /// The next moment at which this state has to look: at the connection, the outage, or the phone.
    fn set_alarm(&self, call: &mut CallCommon) {
        let connection = self.connect_by.map(|(at, _)| (at, Timer::Connection));
        let moved = self.outage.next_timeout().map(|at| (at, Timer::Moved));
        let watch = self.phone.watch.next(self.phone.holds());
        let watch = watch.filter(|_| call.leg.is_some());
        let watch = watch.map(|at| (at, Timer::PhoneWatch));
        let key = self.phone.keys.next_timeout();
        let key = key.map(|at| (at, Timer::KeyPress));
        let all = connection.into_iter().chain(moved).chain(watch).chain(key);
        call.deadline = all.min_by_key(|(at, _)| *at);
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
                self.tell_codec(call, cx);
                if self.phone.has_spoken() {
                    // A phone that resumes has to send again.
                    return self.look_after_phone(call, cx);
                }
                // It called without an offer, and its answer to ours is of no use.
                self.leave(EndReason::NoCodec, call, cx)
            }
            CallInput::Leg(sip::Event::Digit { digit, .. }) => {
                self.phone.watch.handle_signalling(cx.now);
                if self.phone.takes_events() {
                    self.phone.keys.handle_info(digit, cx.now);
                    self.set_alarm(call);
                } else {
                    self.handle_local_digit(digit, call, cx);
                }
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
            CallInput::Posted(post, _) => {
                self.outage.handle_posted(post, cx.now);
                self.set_alarm(call);
                CallState::Talking(self)
            }
            CallInput::Timeout if self.connect_by.is_some_and(|(at, _)| at <= cx.now) => {
                self.leave(EndReason::NotConfirmed, call, cx)
            }
            CallInput::Timeout => {
                let (session, bucket) = (&mut self.session, self.peer.bucket);
                self.outage.post_moved(session, bucket, call, cx);
                while let Some(digit) = self.phone.keys.due(cx.now) {
                    self.handle_local_digit(digit, call, cx);
                }
                self.look_after_phone(call, cx)
            }
            CallInput::HangUp => self.leave(EndReason::HungUpHere, call, cx),
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
                self.outage.handle_connected();
                self.set_alarm(call);
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, CallStep::ControlOpen);
                self.control = true;
                if self.called.is_some() {
                    cx.control(call, ControlFrame::Confirm(self.session.proof()));
                }
                self.tell_codec(call, cx);
            }
            BridgeEvent::Dtmf { event, millis } => {
                self.handle_remote_digit(*event, *millis, call, cx);
            }
            BridgeEvent::WayLost | BridgeEvent::Unheard | BridgeEvent::Heard => {
                if self.outage.handle_bridge(event, call, cx) {
                    self.keep_ending(call, cx);
                }
                self.tell_codec(call, cx);
                self.set_alarm(call);
            }
            BridgeEvent::WayFound(to) => {
                if self.called.is_some() {
                    self.outage.handle_moved(*to, cx.now);
                }
                if let Some((at, latest)) = &mut self.connect_by {
                    *at = (*latest).min(cx.now + CONNECT);
                }
                self.set_alarm(call);
            }
            BridgeEvent::FirstAudio => cx.step(call, CallStep::FirstAudio),
            BridgeEvent::FormatNotCarried => self.phone.offer_agreed(call, cx),
            BridgeEvent::KeyPressed => {
                self.phone.keys.handle_in_audio();
                self.set_alarm(call);
            }
            BridgeEvent::Control(frame) => match ControlFrame::decode(frame) {
                Ok(ControlFrame::HangUp) => return super::hung_up_there(call, cx),
                Ok(ControlFrame::Digit { event, millis }) => {
                    self.handle_remote_digit(event, millis, call, cx);
                }
                Ok(ControlFrame::Codec(codec)) => self.phone.take_codec(codec, call, cx),
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
            BridgeEvent::GivenUp => return self.leave(EndReason::NoMedia, call, cx),
            BridgeEvent::Failed(_) => {
                self.outage.handle_failed();
                return self.leave(EndReason::NoMedia, call, cx);
            }
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
            Ok(SessionMessage::Moved(to)) => {
                self.peer.relayed = Some(to);
                cx.expect(call, self.session.expected_tags());
                cx.media(call, MediaOrder::Meet(to));
                CallState::Talking(self)
            }
            Ok(SessionMessage::Confirm) | Err(_) => CallState::Talking(self),
        }
    }

    /// Tells the other engine what a phone that called without an offer has chosen, once it can be told.
    fn tell_codec(&mut self, call: &CallCommon, cx: &mut CallContext<'_>) {
        if self.can_tell()
            && let Some(codec) = self.phone.untold.take()
        {
            cx.control(call, ControlFrame::Codec(codec));
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

    /// Whether a ring of this party crossed the one that it answered, and only comes now.
    pub(super) fn was_crossed_by(&self, caller: IdentityKey, now: Instant) -> bool {
        let is_new = self.called.is_some_and(|at| now < at + CROSSED);
        is_new && self.peer.party.identity == caller
    }

    /// The phone's side.
    pub(crate) fn phone(&self) -> &PhoneSide {
        &self.phone
    }

    /// Whether the other engine can be told something that is of no use later.
    pub(super) const fn can_tell(&self) -> bool {
        self.control && !self.outage.is_on()
    }

    /// Ends the call from this side: the phone, if it is still there, and the other engine.
    pub(super) fn leave(
        mut self: Box<Self>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let reason = match end {
            EndReason::PhoneGone | EndReason::NoMedia => sip::HangUp::NoSound,
            _ => sip::HangUp::Normal,
        };
        cx.hang_up_phone_with(reason, call);
        let hang_up = cx.seal_datagram(&mut self.session, SessionMessage::HangUp, &self.peer);
        let (is_lost, control) = (self.outage.is_on(), self.control);
        let Self {
            mut session,
            peer,
            called,
            ..
        } = *self;
        let bucket = called.map(|_| peer.bucket);
        if let Some(bucket) = bucket.filter(|_| is_lost) {
            cx.post_message(call, bucket, &mut session, SessionMessage::HangUp);
        }
        let ended = EndedSession {
            session: Box::new(session),
            bucket: bucket.filter(|_| !is_lost),
        };
        match (is_lost, control) {
            (true, _) => Ending::start_in_outage(end, (hang_up, ended), call, cx),
            (false, true) => Ending::start(end, (hang_up, ended), call, cx),
            // The other side has no way to say that it has heard.
            (false, false) => Ending::start_with(end, hang_up, call, cx),
        }
    }
}
