//! Caller, ring posted: the phone hears ringback that was made here, and learns nothing but
//! an answer or, after 30 s, that there was none.

use std::time::Instant;

use ringfence_book::IdentityKey;
use ringfence_media::{BridgeEvent, Codec, Description, LocalEndpoint, PhoneMedia, far::Role};
use ringfence_sip as sip;

use super::agreed::AgreedMedia;
use super::answering::Answering;
use super::context::CallContext;
use super::ending::Ending;
use super::phone_side::PhoneSide;
use super::talking::Talking;
use super::withdrawn::Withdrawn;
use super::{CallCommon, CallInput, CallPeer, CallState, PartnerNews};
use crate::call::step::{CallStep, EndReason};
use crate::environment::Environment;
use crate::input::{MediaEvent, NearPort};
use crate::output::{MediaOrder, PostId};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::Outside;
use crate::sealed::ring::CancelReason;
use crate::sealed::ring::outgoing::OutgoingRing;
use crate::sealed::session::SessionMessage;
use crate::time::Timer;
use crate::trust::directory::CalleeKeys;

/// A ring that may be answered.
#[derive(Debug)]
pub(crate) struct Calling {
    ring: OutgoingRing,
    post: PostId,
    offer: PhoneMedia,
    peer: CallPeer,
    near: NearPort,
    far: LocalEndpoint,
    /// Whether the callee's engine may know another relayed address: it takes the first copy of a ring.
    has_moved: bool,
}

impl Calling {
    /// Seals and posts the ring; the phone hears that it rings.
    pub(super) fn start(
        offer: PhoneMedia,
        callee: &CalleeKeys,
        (near, far): (NearPort, LocalEndpoint),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let peer = CallPeer::new(callee.peer(), cx.env.config.bucket_bits);
        let media = description(&offer, (near, &far), call, cx);
        let (wall, rings_for) = (cx.wall, cx.env.config.no_answer);
        let (ring_tag, note_tag) = (cx.tag(call, &peer), cx.tag(call, &peer));
        let sealed = cx.post(call, peer.bucket, |keys, event, rng| {
            let outside = Outside::new(*event, ring_tag);
            OutgoingRing::seal(keys, callee, (&media, rings_for), outside, wall, rng)
        });
        let Some((ring, post)) = sealed else {
            // The phone gets the status of a number that does not answer.
            return super::refuse(480, EndReason::NoAnswer, call, cx);
        };
        cx.step(call, CallStep::RingPosted);
        // In case that the callee's engine is off. It goes with every ring, answered or not.
        cx.post_note(call, peer.bucket, |keys, event, rng| {
            ring.seal_missed(&keys, Outside::new(*event, note_tag), wall, rng)
        });
        cx.begin_slots(call, peer.bucket);
        cx.expect(call, [ring.answer_tag()]);
        cx.seal_ending(call, peer.bucket, |event, rng| {
            ring.seal_cancel(CancelReason::GaveUp, event, wall, rng)
                .ok()
        });
        cx.ring_back(call);
        cx.set_deadline(call, rings_for, Timer::NoAnswer);
        CallState::Calling(Box::new(Self {
            ring,
            post,
            offer,
            peer,
            near,
            far,
            has_moved: false,
        }))
    }

    /// The identity that was rung, for glare.
    pub(super) fn callee(&self) -> IdentityKey {
        self.peer.party.identity
    }

    pub(super) fn handle(
        mut self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Envelope(envelope, _) => self.open_answer(envelope, call, cx),
            // No relay said yes, but one may have taken it all the same: take the ring back too.
            CallInput::Posted(post, 0) if post == self.post => {
                self.give_up(Some(503), EndReason::NoRelay, call, cx)
            }
            CallInput::Posted(post, _) if post == self.post => {
                cx.step(call, CallStep::RingAccepted);
                CallState::Calling(self)
            }
            CallInput::Leg(sip::Event::Cancelled { .. } | sip::Event::HungUp { .. })
            | CallInput::News(PartnerNews::Over(_)) => {
                self.give_up(None, EndReason::Cancelled, call, cx)
            }
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::WayFound(to))) => {
                self.far.relayed_address = to;
                self.has_moved = true;
                let media = description(&self.offer, (self.near, &self.far), call, cx);
                self.ring.set_media(&media);
                CallState::Calling(self)
            }
            CallInput::Media(
                MediaEvent::Refused(_)
                | MediaEvent::Bridge(BridgeEvent::Failed(_) | BridgeEvent::Closed),
            ) => self.give_up(Some(503), EndReason::NoMedia, call, cx),
            CallInput::Timeout => self.give_up(Some(480), EndReason::NoAnswer, call, cx),
            CallInput::HangUp => self.give_up(Some(480), EndReason::HungUpHere, call, cx),
            CallInput::ShutDown => match self.give_up(Some(503), EndReason::ShutDown, call, cx) {
                CallState::Withdrawn(withdrawn) => withdrawn.handle(CallInput::ShutDown, call, cx),
                other => other,
            },
            CallInput::Glare(ring) => {
                let Self {
                    ring: own,
                    offer,
                    peer,
                    near,
                    far,
                    ..
                } = *self;
                cx.take_back(own.into(), peer.party, call);
                Answering::by_glare(*ring, offer, (near, far), call, cx)
            }
            _ => CallState::Calling(self),
        }
    }

    /// The phone hears it now; the callee's engine, to stop its phones, with the next envelope.
    fn give_up(
        self: Box<Self>,
        status: Option<u16>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some(status) = status {
            cx.refuse_phone(call, status);
        }
        cx.report_end(call, end);
        Withdrawn::start(self.ring, self.peer, call, cx)
    }

    /// The ring once more, for an envelope that leaves now.
    pub(super) fn ring_again(
        &mut self,
        call: &CallCommon,
        event: &EventContext,
        env: &mut Environment,
        now: Instant,
    ) -> Option<Envelope> {
        let (until, _) = call.deadline?;
        let rings_for = until.saturating_duration_since(now);
        let wall = env.wall(now);
        let outside = Outside::new(*event, env.tag(call.number, self.peer.party, wall));
        let sealed = self.ring.seal_again(rings_for, outside, wall, &mut env.rng);
        sealed.ok()
    }

    /// An envelope under the answer's routing tag: forged ones change nothing.
    fn open_answer(
        self: Box<Self>,
        envelope: &Envelope,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        // It is the same bytes over the relay, and bound to no event.
        let opened = self.ring.open_answer(envelope, &EventContext::NONE);
        let Ok((answer, mut session)) = opened else {
            return CallState::Calling(self);
        };
        let tag = envelope.routing_tag();
        let remote = Description::decode(&answer.media).ok();
        let offered = (offered(&self.offer, call, cx), self.offer.video_formats());
        cx.step(call, CallStep::AnswerOpened);
        cx.pin(&self.peer);
        cx.env.trust.compare(&answer.book, &mut cx.env.out);
        let moved = self.has_moved.then_some(self.far.relayed_address);
        let Self {
            offer, peer, near, ..
        } = *self;
        let peer = match &remote {
            Some(remote) => peer.at(remote),
            None => peer,
        };
        let agreed = remote.and_then(|remote| AgreedMedia::by_callee(offered, remote));
        let Some(agreed) = agreed else {
            cx.refuse_phone(call, 488);
            let hang_up = cx.seal_datagram(&mut session, SessionMessage::HangUp, &peer);
            return Ending::start_with(EndReason::NoCodec, hang_up, call, cx);
        };
        cx.share_secret(call, &peer, &session);
        let confirm = cx.seal_datagram(&mut session, SessionMessage::Confirm, &peer);
        let own = agreed.own(near, &mut cx.env.rng);
        let AgreedMedia { remote, chosen, .. } = agreed;
        let mut phone = PhoneSide::new(offer, own, chosen, cx).offering(&remote.codecs);
        cx.media(call, MediaOrder::Attach(phone.terms()));
        cx.media(
            call,
            MediaOrder::Connect {
                remote,
                role: Role::Caller,
            },
        );
        if let Some(confirm) = &confirm {
            cx.send_datagram(call, confirm);
        }
        // The answer itself proved the callee's key: only the callee waits for a confirmation.
        cx.media(call, MediaOrder::OpenMicrophone);
        phone.greet(call, cx);
        Talking::start(
            session,
            peer,
            phone,
            (confirm.map(|confirm| (tag, confirm)), moved),
            call,
            cx,
        )
    }
}

/// What a ring says of this side's media.
fn description(
    offer: &PhoneMedia,
    (near, far): (NearPort, &LocalEndpoint),
    call: &CallCommon,
    cx: &CallContext<'_>,
) -> Vec<u8> {
    let formats = near.video.map(|_| offer.video_formats());
    let media = Description::of(far, offered(offer, call, cx));
    media.with_video(far, formats.unwrap_or_default()).encode()
}

/// What the other side may send for a phone: the codecs that it named, in its order. A phone that hears of key presses beside its audio
/// only (INFO) gets them translated.
pub(super) fn offered(offer: &PhoneMedia, call: &CallCommon, cx: &CallContext<'_>) -> Vec<Codec> {
    let mut codecs = offer.formats();
    let takes_info = call.leg.is_some_and(|leg| cx.env.agent.allows_info(leg));
    if takes_info && !codecs.iter().any(|codec| codec.is_events()) {
        codecs.extend([Codec::Events8k, Codec::Events48k]);
    }
    codecs
}
