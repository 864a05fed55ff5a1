//! Callee, picked up: a relayed address is drawn, the answer sealed and posted. The microphone
//! stays closed until the caller's confirmation proves that the ring was no replay and its
//! sender holds the keys it claims.

use ringfence_media::{Description, PhoneMedia, TalkEvent, far::FarLocal, far::Role};
use ringfence_sip as sip;

use super::agreed::Agreed;
use super::calling::{offered, say};
use super::phone_side::PhoneSide;
use super::talking::Talking;
use super::{Common, Happening, News, Peer, Phase};
use crate::call::context::Desk;
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
        far: Option<FarLocal>,
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
        desk: &mut Desk<'_>,
    ) -> Phase {
        Self::allocating(ring, remote, phone, None, call, desk)
    }

    /// Both sides rang each other and the other side's ring counts: our phone, which is
    /// calling, is the one that answers, with the relayed address it already has.
    pub(super) fn by_glare(
        ring: VerifiedRing,
        offer: PhoneMedia,
        (near, far): (NearPort, FarLocal),
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        // Our phone's offer stands for its answer; it has no pictures where they are switched off.
        let remote = Description::decode(ring.media()).ok();
        let ours = (offered(&offer, call, desk), offer.pictures());
        let agreed = remote.and_then(|remote| Agreed::by_phone(remote, ours));
        let Some(agreed) = agreed else {
            return super::refuse(488, End::NoCodec, call, desk);
        };
        desk.step(call, Step::RingOpened);
        let own = agreed.own(near, desk.rng);
        let Agreed { remote, chosen, .. } = agreed;
        let phone = PhoneSide::new(offer, own, chosen, desk);
        phone.greet(call, desk);
        Self::allocating(ring, remote, phone, Some(far), call, desk)
    }

    fn allocating(
        ring: VerifiedRing,
        remote: Description,
        phone: PhoneSide,
        far: Option<FarLocal>,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        let peer = Peer::new(ring.caller_number(), ring.caller(), desk.config.bucket_bits);
        desk.media(call, MediaOrder::Attach(phone.terms()));
        desk.patience(call, CONNECT, "the caller did not confirm");
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
        state.answer_when_ready(call, desk)
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn ring(&self) -> RingId {
        self.id
    }

    pub(super) fn on(
        mut self: Box<Self>,
        happening: Happening<'_>,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        match happening {
            Happening::Media(MediaEvent::Talk(event)) => self.talk(event, call, desk),
            Happening::Media(MediaEvent::Refused(_)) => self.break_off(End::NoMedia, call, desk),
            Happening::Stamps => self.answer_when_ready(call, desk),
            Happening::Envelope(envelope, outside) => self.hear(envelope, &outside, call, desk),
            Happening::Posted(post, 0) if self.is_answer(post) => {
                self.break_off(End::NoRelay, call, desk)
            }
            Happening::Leg(event @ (sip::Event::Reoffer { .. } | sip::Event::Confirmed { .. })) => {
                self.phone.hear(&event, call, desk);
                Phase::Answering(self)
            }
            Happening::News(News::Over(_)) => self.break_off(End::HungUpHere, call, desk),
            Happening::Leg(sip::Event::HungUp { .. }) => {
                self.tell(call, desk);
                desk.end(call, End::HungUpHere);
                Phase::Over
            }
            Happening::Withdrawn => super::hang_up(End::Cancelled, call, desk),
            Happening::Alarm => self.break_off(End::NotConfirmed, call, desk),
            Happening::ShutDown => self.break_off(End::ShutDown, call, desk),
            _ => Phase::Answering(self),
        }
    }

    fn talk(
        mut self: Box<Self>,
        event: TalkEvent,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        match event {
            TalkEvent::Allocated(local) => {
                desk.step(call, Step::AnswerAllocated);
                if let Stage::Allocating { far, .. } = &mut self.stage {
                    *far = Some(local);
                }
                return self.answer_when_ready(call, desk);
            }
            TalkEvent::Connected => {
                desk.step(call, Step::Connected);
                self.connected = true;
            }
            TalkEvent::ControlOpen => {
                desk.step(call, Step::ControlOpen);
                self.control = true;
            }
            TalkEvent::FirstSound => desk.step(call, Step::FirstSound),
            TalkEvent::Control(frame) => return self.hear_control(&frame, call, desk),
            TalkEvent::Failed(_) | TalkEvent::Closed => {
                return self.break_off(End::NoMedia, call, desk);
            }
            _ => {}
        }
        Phase::Answering(self)
    }

    /// Seals and posts the answer as soon as there is an address to name and stamps to pay.
    fn answer_when_ready(self: Box<Self>, call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        let ready = matches!(self.stage, Stage::Allocating { far: Some(_), .. });
        if !ready || !desk.reserve(call, PER_INCOMING) {
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
            return super::hang_up(End::NoMedia, call, desk);
        };
        let media = Description::of(&far, phone.chosen().to_vec());
        let media = media.with_video(&far, phone.pictures()).encode();
        let view = desk.book_view();
        let sealed = desk.post(call, peer.bucket, |outside, rng| {
            ring.answer(&media, view, outside, rng)
        });
        let Some((session, post)) = sealed else {
            return super::hang_up(End::NotConfirmed, call, desk);
        };
        desk.step(call, Step::AnswerPosted);
        desk.expect(call, session.expected_hints());
        desk.media(
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
        desk: &mut Desk<'_>,
    ) -> Phase {
        let Stage::Confirming { session, .. } = &mut self.stage else {
            return Phase::Answering(self);
        };
        match session.open(envelope, outside) {
            Ok(Say::Confirm) => {
                let hints = session.expected_hints();
                desk.expect(call, hints);
                self.confirmed(call, desk)
            }
            Ok(Say::HangUp) => super::hang_up(End::HungUpThere, call, desk),
            Err(_) => Phase::Answering(self),
        }
    }

    /// A frame on the data channel: the confirmation once more, or a hang-up before it came.
    fn hear_control(
        self: Box<Self>,
        frame: &[u8],
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        let Stage::Confirming { session, .. } = &self.stage else {
            return Phase::Answering(self);
        };
        match Control::decode(frame) {
            Ok(Control::Confirm(proof)) if proof == session.proof() => self.confirmed(call, desk),
            Ok(Control::HangUp) => super::hung_up_there(call, desk),
            _ => Phase::Answering(self),
        }
    }

    fn is_answer(&self, sent: PostId) -> bool {
        matches!(self.stage, Stage::Confirming { post, .. } if post == sent)
    }

    fn confirmed(self: Box<Self>, call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        let Self {
            peer,
            phone,
            connected,
            control,
            stage,
            ..
        } = *self;
        let Stage::Confirming { session, .. } = stage else {
            return super::hang_up(End::NotConfirmed, call, desk);
        };
        desk.step(call, Step::Confirmed);
        desk.pin(&peer);
        desk.media(call, MediaOrder::OpenMicrophone);
        Talking::resume(session, peer, phone, (connected, control), call, desk)
    }

    /// Says hang-up over the relay, if the answer is already out.
    fn tell(&mut self, call: &mut Common, desk: &mut Desk<'_>) {
        if let Stage::Confirming { session, .. } = &mut self.stage {
            say(session, Say::HangUp, &self.peer, call, desk);
        }
    }

    fn break_off(mut self: Box<Self>, end: End, call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        self.tell(call, desk);
        super::hang_up(end, call, desk)
    }
}
