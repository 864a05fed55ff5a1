//! Callee, picked up: a relayed address is drawn, the answer sealed and sent from there to the caller's, again and again until it
//! is confirmed, in some cases over the relay too ([`super::confirming`]). The microphone stays closed until the caller's confirmation
//! proves that the ring was no replay and its sender holds the keys it claims.

use ringfence_media::{BridgeEvent, Description, LocalEndpoint, PhoneMedia, far::Role};
use ringfence_sip as sip;

use super::agreed::AgreedMedia;
use super::allocating::Allocating;
use super::calling::offered;
use super::confirming::Confirming;
use super::context::{CallContext, Datagram};
use super::ending::Ending;
use super::outage::Outage;
use super::phone_side::PhoneSide;
use super::talking::Talking;
use super::{CallCommon, CallInput, CallPeer, CallState, PartnerNews};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::input::{MediaEvent, NearPort};
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::proof_stock::PER_INCOMING;
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::sealed::session::SessionMessage;

/// A ring that a person answered.
#[derive(Debug)]
pub(crate) struct Answering {
    /// Which ring is being answered: its caller may take it back until the confirmation.
    id: RingId,
    peer: CallPeer,
    phone: PhoneSide,
    connected: bool,
    control: bool,
    outage: Outage,
    /// What our phone offered when it dialled the number that rings; the caller is rung if it has just given up.
    dialled: Option<Box<PhoneMedia>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waits for a relayed address.
    Allocating(Allocating),
    /// The answer is out.
    Confirming(Confirming),
}

impl Answering {
    pub(super) fn start(
        ring: VerifiedRing,
        remote: Description,
        phone: PhoneSide,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        Self::allocating(ring, remote, phone, (None, None), call, cx)
    }

    /// Both sides rang each other and the other side's ring counts: our phone, which is
    /// calling, is the one that answers, with the relayed address it already has.
    pub(super) fn by_glare(
        ring: VerifiedRing,
        offer: PhoneMedia,
        (near, far): (NearPort, LocalEndpoint),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        // Our phone's offer stands for its answer; it has no video where that is switched off.
        let remote = Description::decode(ring.media()).ok();
        let ours = (offered(&offer, call, cx), offer.video_formats());
        let agreed = remote.and_then(|remote| AgreedMedia::by_phone(remote, ours));
        let Some(agreed) = agreed else {
            return super::refuse(488, EndReason::NoCodec, call, cx);
        };
        cx.step(call, CallStep::RingOpened);
        let own = agreed.own(near, &mut cx.env.rng);
        let AgreedMedia { remote, chosen, .. } = agreed;
        let dialled = Some(Box::new(offer.clone()));
        let phone = PhoneSide::new(offer, own, chosen, cx).offering(&remote.codecs);
        Self::allocating(ring, remote, phone, (Some(far), dialled), call, cx)
    }

    fn allocating(
        ring: VerifiedRing,
        remote: Description,
        phone: PhoneSide,
        (far, dialled): (Option<LocalEndpoint>, Option<Box<PhoneMedia>>),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let peer = CallPeer::new(ring.sender(), cx.env.config.bucket_bits).at(&remote);
        let id = ring.id();
        let allocating = Allocating::start((ring, remote), far, &phone, call, cx);
        let state = Box::new(Self {
            id,
            peer,
            phone,
            connected: false,
            control: false,
            outage: Outage::default(),
            dialled,
            stage: Stage::Allocating(allocating),
        });
        state.answer_when_ready(call, cx)
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn ring(&self) -> RingId {
        self.id
    }

    pub(super) fn handle(
        mut self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Media(MediaEvent::Bridge(event)) => self.handle_bridge(event, call, cx),
            CallInput::Media(MediaEvent::Refused(_)) => match &self.stage {
                Stage::Allocating(allocating) => {
                    allocating.handle_refused(call, cx);
                    CallState::Answering(self)
                }
                Stage::Confirming(_) => self.break_off(EndReason::NoMedia, call, cx),
            },
            CallInput::Proofs => {
                self.keep_ending(call, cx);
                self.answer_again(call, cx)
            }
            CallInput::Envelope(envelope, event) => {
                self.handle_envelope(envelope, &event, call, cx)
            }
            CallInput::Posted(post, relays) => {
                if let Stage::Confirming(confirming) = &mut self.stage {
                    confirming.handle_posted(post, relays, cx.now);
                }
                CallState::Answering(self)
            }
            CallInput::Leg(event @ (sip::Event::Reoffer { .. } | sip::Event::Confirmed { .. })) => {
                self.phone.handle_sip(&event, call, cx);
                CallState::Answering(self)
            }
            CallInput::News(PartnerNews::Over(_))
            | CallInput::Leg(sip::Event::HungUp { .. } | sip::Event::Cancelled { .. }) => {
                self.break_off(EndReason::HungUpHere, call, cx)
            }
            CallInput::Cancelled => self.lose_caller(EndReason::Cancelled, call, cx),
            CallInput::Timeout => self.answer_again(call, cx),
            CallInput::HangUp => self.break_off(EndReason::HungUpHere, call, cx),
            CallInput::ShutDown => self.break_off(EndReason::ShutDown, call, cx),
            _ => CallState::Answering(self),
        }
    }

    fn handle_bridge(
        mut self: Box<Self>,
        event: BridgeEvent,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match event {
            BridgeEvent::Allocated(local) => {
                cx.step(call, CallStep::AnswerAllocated);
                if let Stage::Allocating(allocating) = &mut self.stage {
                    allocating.far = Some(*local);
                }
                return self.answer_when_ready(call, cx);
            }
            BridgeEvent::Connected => {
                cx.step(call, CallStep::Connected);
                self.connected = true;
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, CallStep::ControlOpen);
                self.control = true;
            }
            BridgeEvent::FirstAudio => cx.step(call, CallStep::FirstAudio),
            BridgeEvent::WayLost | BridgeEvent::Unheard | BridgeEvent::Heard => {
                self.outage.handle_bridge(&event, call, cx);
            }
            BridgeEvent::WayFound(_) => {
                if let Stage::Confirming(confirming) = &mut self.stage {
                    confirming.handle_way_found(cx.now);
                }
            }
            BridgeEvent::PhoneSilent => self.phone.watch.handle_silent(cx.now),
            BridgeEvent::PhoneHeard => self.phone.watch.handle_heard(),
            BridgeEvent::Control(frame) => return self.handle_control(&frame, call, cx),
            BridgeEvent::GivenUp | BridgeEvent::Failed(_) | BridgeEvent::Closed => {
                return self.break_off(EndReason::NoMedia, call, cx);
            }
            _ => {}
        }
        CallState::Answering(self)
    }

    /// Seals the answer and sends it as soon as there is a relayed address.
    fn answer_when_ready(
        self: Box<Self>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let ready =
            matches!(&self.stage, Stage::Allocating(allocating) if allocating.far.is_some());
        if !ready {
            return CallState::Answering(self);
        }
        let Self {
            id,
            peer,
            phone,
            connected,
            control,
            outage,
            dialled,
            stage,
        } = *self;
        let Stage::Allocating(Allocating {
            ring,
            remote,
            far: Some(far),
            ..
        }) = stage
        else {
            return super::hang_up(EndReason::NoMedia, call, cx);
        };
        let media = Description::of(&far, phone.answered(&remote.codecs));
        let media = media.with_video(&far, phone.video_formats()).encode();
        let book = cx.env.trust.book_view();
        let sealed = ring.answer(&media, book, &EventContext::NONE, &mut cx.env.rng);
        let (Ok((session, envelope)), Some(to)) = (sealed, peer.relayed) else {
            return super::hang_up(EndReason::NotConfirmed, call, cx);
        };
        let answer = Datagram { to, envelope };
        cx.step(call, CallStep::AnswerSent);
        cx.expect(call, session.expected_tags());
        cx.media(
            call,
            MediaOrder::Connect {
                remote,
                role: Role::Callee,
            },
        );
        let mut state = Box::new(Self {
            id,
            peer,
            phone,
            connected,
            control,
            outage,
            dialled,
            stage: Stage::Confirming(Confirming::new(session, answer, cx.now)),
        });
        state.keep_ending(call, cx);
        state.answer_again(call, cx)
    }

    /// Keeps what ends the call on the other side if this process dies, once there is a proof of work for it.
    fn keep_ending(&mut self, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        let Stage::Confirming(Confirming { session, .. }) = &mut self.stage else {
            return;
        };
        if call.ending.is_none() && cx.reserve(call, PER_INCOMING) {
            cx.seal_ending(call, self.peer.bucket, |event, rng| {
                Some(session.seal(SessionMessage::HangUp, event, rng))
            });
        }
    }

    /// Sends the answer once more, until its time is over.
    fn answer_again(
        mut self: Box<Self>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let (goes_on, end) = match &mut self.stage {
            Stage::Allocating(allocating) => {
                let is_due = call.deadline.is_some_and(|(at, _)| at <= cx.now);
                let goes_on = !is_due || allocating.try_again(&self.phone, call, cx);
                (goes_on, EndReason::NoMedia)
            }
            Stage::Confirming(confirming) => {
                let goes_on = confirming.send_again(self.peer.bucket, call, cx);
                (goes_on, EndReason::NotConfirmed)
            }
        };
        match goes_on {
            true => CallState::Answering(self),
            false => self.break_off(end, call, cx),
        }
    }

    /// Opens a session envelope: the confirmation opens the microphone.
    fn handle_envelope(
        mut self: Box<Self>,
        envelope: &Envelope,
        event: &EventContext,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let Stage::Confirming(Confirming { session, .. }) = &mut self.stage else {
            return CallState::Answering(self);
        };
        match session.open(envelope, event) {
            Ok(message @ (SessionMessage::Confirm | SessionMessage::Moved(_))) => {
                let tags = session.expected_tags();
                cx.expect(call, tags);
                if let SessionMessage::Moved(to) = message {
                    self.peer.relayed = Some(to);
                    cx.media(call, MediaOrder::Meet(to));
                }
                self.confirmed(call, cx)
            }
            Ok(SessionMessage::HangUp) => self.lose_caller(EndReason::HungUpThere, call, cx),
            Err(_) => CallState::Answering(self),
        }
    }

    /// A frame on the data channel: the confirmation once more, or a hang-up before it came.
    fn handle_control(
        self: Box<Self>,
        frame: &[u8],
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let Stage::Confirming(Confirming { session, .. }) = &self.stage else {
            return CallState::Answering(self);
        };
        match ControlFrame::decode(frame) {
            Ok(ControlFrame::Confirm(proof)) if proof == session.proof() => {
                self.confirmed(call, cx)
            }
            Ok(ControlFrame::HangUp) => super::hung_up_there(call, cx),
            _ => CallState::Answering(self),
        }
    }

    fn confirmed(self: Box<Self>, call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
        let Self {
            peer,
            mut phone,
            connected,
            control,
            outage,
            dialled,
            stage,
            ..
        } = *self;
        let Stage::Confirming(Confirming { session, .. }) = stage else {
            return super::hang_up(EndReason::NotConfirmed, call, cx);
        };
        cx.step(call, CallStep::Confirmed);
        cx.pin(&peer);
        cx.share_secret(call, &peer, &session);
        if dialled.is_some() {
            phone.greet(call, cx);
        }
        cx.media(call, MediaOrder::OpenMicrophone);
        Talking::resume(session, peer, phone, (connected, control, outage), call, cx)
    }

    /// The caller gave up. Whose phone has dialled its number wants to talk all the same, and rings it.
    fn lose_caller(
        self: Box<Self>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some(offer) = self.dialled
            && call.summoned.is_none()
            && let Some(leg) = call.leg.take()
        {
            cx.dial_again(call, leg, *offer, self.peer.party.number);
        }
        super::hang_up(end, call, cx)
    }

    /// Ends the call from this side, and says so to the caller if the answer is already out.
    fn break_off(
        mut self: Box<Self>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let Stage::Confirming(Confirming { session, .. }) = &mut self.stage else {
            return super::hang_up(end, call, cx);
        };
        cx.hang_up_phone(call);
        let hang_up = cx.seal_datagram(session, SessionMessage::HangUp, &self.peer);
        Ending::start_with(end, hang_up, call, cx)
    }
}
