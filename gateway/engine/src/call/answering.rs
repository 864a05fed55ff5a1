//! Callee, picked up: a relayed address is drawn, the answer sealed and posted. The microphone
//! stays closed until the caller's confirmation proves that the ring was no replay and its
//! sender holds the keys it claims.

use ringfence_media::{BridgeEvent, Description, LocalEndpoint, PhoneMedia, far::Role};
use ringfence_sip as sip;

use super::agreed::Agreed;
use super::calling::{offered, say};
use super::context::CallContext;
use super::phone_side::PhoneSide;
use super::talking::Talking;
use super::{Common, Happening, News, Peer, Phase};
use crate::call::control::Control;
use crate::call::step::{End, Step};
use crate::config::CONNECT;
use crate::input::{MediaEvent, NearPort};
use crate::output::{MediaOrder, PostId};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::proof_stock::PER_INCOMING;
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::sealed::session::{Say, Session};
use crate::time::Timer;

/// A ring that a person answered.
#[derive(Debug)]
pub(crate) struct Answering {
    /// Which ring is being answered: its caller may take it back until the confirmation.
    id: RingId,
    peer: Peer,
    phone: PhoneSide,
    connected: bool,
    control: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waits for a relayed address and stamps.
    Allocating {
        ring: Box<VerifiedRing>,
        remote: Description,
        far: Option<LocalEndpoint>,
    },
    /// The answer is out.
    Confirming { session: Session, post: PostId },
}

impl Answering {
    pub(super) fn start(
        ring: VerifiedRing,
        remote: Description,
        phone: PhoneSide,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        Self::allocating(ring, remote, phone, None, call, cx)
    }

    /// Both sides rang each other and the other side's ring counts: our phone, which is
    /// calling, is the one that answers, with the relayed address it already has.
    pub(super) fn by_glare(
        ring: VerifiedRing,
        offer: PhoneMedia,
        (near, far): (NearPort, LocalEndpoint),
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        // Our phone's offer stands for its answer; it has no pictures where they are switched off.
        let remote = Description::decode(ring.media()).ok();
        let ours = (offered(&offer, call, cx), offer.video_formats());
        let agreed = remote.and_then(|remote| Agreed::by_phone(remote, ours));
        let Some(agreed) = agreed else {
            return super::refuse(488, End::NoCodec, call, cx);
        };
        cx.step(call, Step::RingOpened);
        let own = agreed.own(near, &mut cx.env.rng);
        let Agreed { remote, chosen, .. } = agreed;
        let phone = PhoneSide::new(offer, own, chosen, cx);
        phone.greet(call, cx);
        Self::allocating(ring, remote, phone, Some(far), call, cx)
    }

    fn allocating(
        ring: VerifiedRing,
        remote: Description,
        phone: PhoneSide,
        far: Option<LocalEndpoint>,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        let peer = Peer::new(ring.sender(), cx.env.config.bucket_bits);
        cx.media(call, MediaOrder::Attach(phone.terms()));
        cx.set_deadline(call, CONNECT, Timer::Confirmation);
        let id = ring.id();
        let stage = Stage::Allocating {
            ring: Box::new(ring),
            remote,
            far,
        };
        let state = Box::new(Self {
            id,
            peer,
            phone,
            connected: false,
            control: false,
            stage,
        });
        state.answer_when_ready(call, cx)
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn ring(&self) -> RingId {
        self.id
    }

    pub(super) fn on(
        mut self: Box<Self>,
        happening: Happening<'_>,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match happening {
            Happening::Media(MediaEvent::Bridge(event)) => self.talk(event, call, cx),
            Happening::Media(MediaEvent::Refused(_)) => self.break_off(End::NoMedia, call, cx),
            Happening::Stamps => self.answer_when_ready(call, cx),
            Happening::Envelope(envelope, outside) => self.hear(envelope, &outside, call, cx),
            Happening::Posted(post, 0) if self.is_answer(post) => {
                self.break_off(End::NoRelay, call, cx)
            }
            Happening::Leg(event @ (sip::Event::Reoffer { .. } | sip::Event::Confirmed { .. })) => {
                self.phone.hear(&event, call, cx);
                Phase::Answering(self)
            }
            Happening::News(News::Over(_)) => self.break_off(End::HungUpHere, call, cx),
            Happening::Leg(sip::Event::HungUp { .. }) => {
                self.tell(call, cx);
                cx.end(call, End::HungUpHere);
                Phase::Over
            }
            Happening::Withdrawn => super::hang_up(End::Cancelled, call, cx),
            Happening::Alarm => self.break_off(End::NotConfirmed, call, cx),
            Happening::ShutDown => self.break_off(End::ShutDown, call, cx),
            _ => Phase::Answering(self),
        }
    }

    fn talk(
        mut self: Box<Self>,
        event: BridgeEvent,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match event {
            BridgeEvent::Allocated(local) => {
                cx.step(call, Step::AnswerAllocated);
                if let Stage::Allocating { far, .. } = &mut self.stage {
                    *far = Some(local);
                }
                return self.answer_when_ready(call, cx);
            }
            BridgeEvent::Connected => {
                cx.step(call, Step::Connected);
                self.connected = true;
            }
            BridgeEvent::ControlOpen => {
                cx.step(call, Step::ControlOpen);
                self.control = true;
            }
            BridgeEvent::FirstAudio => cx.step(call, Step::FirstSound),
            BridgeEvent::Control(frame) => return self.hear_control(&frame, call, cx),
            BridgeEvent::Failed(_) | BridgeEvent::Closed => {
                return self.break_off(End::NoMedia, call, cx);
            }
            _ => {}
        }
        Phase::Answering(self)
    }

    /// Seals and posts the answer as soon as there is an address to name and stamps to pay.
    fn answer_when_ready(self: Box<Self>, call: &mut Common, cx: &mut CallContext<'_>) -> Phase {
        let ready = matches!(self.stage, Stage::Allocating { far: Some(_), .. });
        if !ready || !cx.reserve(call, PER_INCOMING) {
            return Phase::Answering(self);
        }
        let Self {
            id,
            peer,
            phone,
            connected,
            control,
            stage,
        } = *self;
        let Stage::Allocating {
            ring,
            remote,
            far: Some(far),
        } = stage
        else {
            return super::hang_up(End::NoMedia, call, cx);
        };
        let media = Description::of(&far, phone.chosen().to_vec());
        let media = media.with_video(&far, phone.video_formats()).encode();
        let sealed = cx.post(call, peer.bucket, |keys, outside, rng| {
            ring.answer(&media, keys.book, outside, rng)
        });
        let Some((session, post)) = sealed else {
            return super::hang_up(End::NotConfirmed, call, cx);
        };
        cx.step(call, Step::AnswerPosted);
        cx.expect(call, session.expected_hints());
        cx.media(
            call,
            MediaOrder::Connect {
                remote,
                role: Role::Callee,
            },
        );
        Phase::Answering(Box::new(Self {
            id,
            peer,
            phone,
            connected,
            control,
            stage: Stage::Confirming { session, post },
        }))
    }

    /// Opens a session envelope: the confirmation opens the microphone.
    fn hear(
        mut self: Box<Self>,
        envelope: &Envelope,
        outside: &Outside,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        let Stage::Confirming { session, .. } = &mut self.stage else {
            return Phase::Answering(self);
        };
        match session.open(envelope, outside) {
            Ok(Say::Confirm) => {
                let hints = session.expected_hints();
                cx.expect(call, hints);
                self.confirmed(call, cx)
            }
            Ok(Say::HangUp) => super::hang_up(End::HungUpThere, call, cx),
            Err(_) => Phase::Answering(self),
        }
    }

    /// A frame on the data channel: the confirmation once more, or a hang-up before it came.
    fn hear_control(
        self: Box<Self>,
        frame: &[u8],
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        let Stage::Confirming { session, .. } = &self.stage else {
            return Phase::Answering(self);
        };
        match Control::decode(frame) {
            Ok(Control::Confirm(proof)) if proof == session.proof() => self.confirmed(call, cx),
            Ok(Control::HangUp) => super::hung_up_there(call, cx),
            _ => Phase::Answering(self),
        }
    }

    fn is_answer(&self, sent: PostId) -> bool {
        matches!(self.stage, Stage::Confirming { post, .. } if post == sent)
    }

    fn confirmed(self: Box<Self>, call: &mut Common, cx: &mut CallContext<'_>) -> Phase {
        let Self {
            peer,
            phone,
            connected,
            control,
            stage,
            ..
        } = *self;
        let Stage::Confirming { session, .. } = stage else {
            return super::hang_up(End::NotConfirmed, call, cx);
        };
        cx.step(call, Step::Confirmed);
        cx.pin(&peer);
        cx.media(call, MediaOrder::OpenMicrophone);
        Talking::resume(session, peer, phone, (connected, control), call, cx)
    }

    /// Says hang-up over the relay, if the answer is already out.
    fn tell(&mut self, call: &mut Common, cx: &mut CallContext<'_>) {
        if let Stage::Confirming { session, .. } = &mut self.stage {
            say(session, Say::HangUp, &self.peer, call, cx);
        }
    }

    fn break_off(
        mut self: Box<Self>,
        end: End,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        self.tell(call, cx);
        super::hang_up(end, call, cx)
    }
}
