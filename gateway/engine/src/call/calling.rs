//! Caller, ring posted: the phone hears ringback that was made here, and learns nothing but
//! an answer or, after 30 s, that there was none.

use ringfence_media::{Codec, Description, PhoneMedia, TalkEvent, far::FarLocal, far::Role};
use ringfence_sip as sip;

use super::agreed::Agreed;
use super::answering::Answering;
use super::phone_side::PhoneSide;
use super::talking::Talking;
use super::{Common, Happening, News, Peer, Phase};
use crate::call::context::Desk;
use crate::call::step::{End, Step};
use crate::input::{MediaEvent, NearPort};
use crate::output::{MediaOrder, PostId};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::ring::outgoing::{Caller, OutgoingRing};
use crate::sealed::ring::{CancelReason, SealError};
use crate::sealed::session::Say;
use crate::trust::directory::CalleeKeys;

/// A ring that may be answered.
#[derive(Debug)]
pub(crate) struct Calling {
    ring: OutgoingRing,
    post: PostId,
    offer: PhoneMedia,
    peer: Peer,
    near: NearPort,
    far: FarLocal,
}

impl Calling {
    /// Seals and posts the ring; the phone hears that it rings.
    pub(super) fn start(
        offer: PhoneMedia,
        callee: &CalleeKeys,
        (near, far): (NearPort, FarLocal),
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        let peer = Peer::new(callee.number, callee.identity, desk.config.bucket_bits);
        let pictures = near.video.map(|_| offer.pictures());
        let media = Description::of(&far, offered(&offer, call, desk));
        let media = media
            .with_video(&far, pictures.unwrap_or_default())
            .encode();
        let caller = caller(desk);
        let wall = desk.wall;
        let sealed = desk.post(call, peer.bucket, |outside, rng| {
            OutgoingRing::seal(caller, callee, &media, outside, wall, rng)
        });
        let Some((ring, post)) = sealed else {
            // The phone hears what it hears of a number that nobody answers.
            return super::refuse(480, End::NoAnswer, call, desk);
        };
        desk.step(call, Step::RingPosted);
        desk.expect(call, [ring.answer_hint()]);
        desk.ring_back(call);
        desk.patience(call, desk.config.no_answer, "nobody answered");
        Phase::Calling(Box::new(Self {
            ring,
            post,
            offer,
            peer,
            near,
            far,
        }))
    }

    /// The identity that was rung, for glare.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn on(
        self: Box<Self>,
        happening: Happening<'_>,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        match happening {
            Happening::Envelope(envelope, outside) => {
                self.open_answer(envelope, &outside, call, desk)
            }
            // No relay said yes, but one may have taken it all the same: take the ring back too.
            Happening::Posted(post, 0) if post == self.post => {
                self.withdraw_and_refuse(503, End::NoRelay, call, desk)
            }
            Happening::Posted(post, _) if post == self.post => {
                desk.step(call, Step::RingAccepted);
                Phase::Calling(self)
            }
            Happening::Leg(sip::Event::Cancelled { .. } | sip::Event::HungUp { .. })
            | Happening::News(News::Over(_)) => {
                self.give_up(call, desk);
                desk.end(call, End::Cancelled);
                Phase::Over
            }
            Happening::Media(
                MediaEvent::Refused(_) | MediaEvent::Talk(TalkEvent::Failed(_) | TalkEvent::Closed),
            ) => self.withdraw_and_refuse(503, End::NoMedia, call, desk),
            Happening::Alarm => {
                self.give_up(call, desk);
                super::refuse(480, End::NoAnswer, call, desk)
            }
            Happening::ShutDown => self.withdraw_and_refuse(503, End::ShutDown, call, desk),
            Happening::Glare(ring) => {
                let Self {
                    offer, near, far, ..
                } = *self;
                Answering::by_glare(*ring, offer, (near, far), call, desk)
            }
            _ => Phase::Calling(self),
        }
    }

    /// Tells the callee's engine to stop its phones, and leaves a note in case it is off.
    fn give_up(&self, call: &mut Common, desk: &mut Desk<'_>) {
        self.withdraw(call, desk);
        let caller = caller(desk);
        let wall = desk.wall;
        desk.post_note(call, self.peer.bucket, |outside, rng| {
            self.ring.seal_missed(&caller, outside, wall, rng)
        });
    }

    /// Tells the callee's engine to stop its phones.
    fn withdraw(&self, call: &mut Common, desk: &mut Desk<'_>) {
        let wall = desk.wall;
        desk.post(call, self.peer.bucket, |outside, rng| {
            self.ring
                .seal_cancel(CancelReason::GaveUp, outside, wall, rng)
                .map(|envelope| ((), envelope))
        });
    }

    fn withdraw_and_refuse(
        self: Box<Self>,
        status: u16,
        end: End,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        self.withdraw(call, desk);
        super::refuse(status, end, call, desk)
    }

    /// An envelope under the answer's hint: forged ones change nothing.
    fn open_answer(
        self: Box<Self>,
        envelope: &Envelope,
        outside: &Outside,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        let Ok((answer, mut session)) = self.ring.open_answer(envelope, outside) else {
            return Phase::Calling(self);
        };
        let remote = Description::decode(&answer.media).ok();
        let offered = (offered(&self.offer, call, desk), self.offer.pictures());
        let agreed = remote.and_then(|remote| Agreed::by_callee(offered, remote));
        desk.step(call, Step::AnswerOpened);
        desk.pin(&self.peer);
        desk.compare(&answer.book);
        let Self {
            offer, peer, near, ..
        } = *self;
        let Some(agreed) = agreed else {
            say(&mut session, Say::HangUp, &peer, call, desk);
            return super::refuse(488, End::NoCodec, call, desk);
        };
        say(&mut session, Say::Confirm, &peer, call, desk);
        let own = agreed.own(near, desk.rng);
        let Agreed { remote, chosen, .. } = agreed;
        let phone = PhoneSide::new(offer, own, chosen, desk);
        desk.media(call, MediaOrder::Attach(phone.terms()));
        desk.media(
            call,
            MediaOrder::Connect {
                remote,
                role: Role::Caller,
            },
        );
        // The answer itself proved the callee's key: only the callee waits for a confirmation.
        desk.media(call, MediaOrder::OpenMicrophone);
        phone.greet(call, desk);
        Talking::start(session, peer, phone, call, desk)
    }
}

/// The line that rings, as it introduces itself.
fn caller<'a>(desk: &Desk<'a>) -> Caller<'a> {
    Caller {
        identity: &desk.line.identity,
        binding: &desk.line.binding,
        book: desk.book_view(),
    }
}

/// Posts one session message.
pub(super) fn say(
    session: &mut crate::sealed::session::Session,
    what: Say,
    peer: &Peer,
    call: &mut Common,
    desk: &mut Desk<'_>,
) {
    desk.post(call, peer.bucket, |outside, rng| {
        Ok::<_, SealError>(((), session.seal(what, outside, rng)))
    });
}

/// What the other side may send for a phone: the codecs that it named, in its order. A phone that hears of key presses beside its sound
/// only (INFO) gets them translated.
pub(super) fn offered(offer: &PhoneMedia, call: &Common, desk: &Desk<'_>) -> Vec<Codec> {
    let mut codecs = offer.formats();
    let takes_info = call.leg.is_some_and(|leg| desk.agent.lists_info(leg));
    if takes_info && !codecs.iter().any(|codec| codec.is_events()) {
        codecs.extend([Codec::Events8k, Codec::Events48k]);
    }
    codecs
}
