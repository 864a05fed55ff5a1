//! Callee, ring verified: the line's phones ring. Nothing of this leaves the machine until a
//! person picks up: not an answer, not a refusal, not a TURN allocation.

use std::net::SocketAddr;

use ringfence_media::{Description, TalkEvent, choose, sdp};
use ringfence_phonebook::IdentityKey;
use ringfence_sip as sip;

use super::answering::Answering;
use super::calling::offered;
use super::phone_side::{PhoneSide, sdp_session};
use super::unheard::Unheard;
use super::{Common, Happening, Phase};
use crate::config::RING_LIFE;
use crate::desk::Desk;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::ring::RingId;
use crate::ring::incoming::VerifiedRing;
use crate::step::{End, Step};

/// A ring that sounds, or is about to.
#[derive(Debug)]
pub(crate) struct Ringing {
    ring: VerifiedRing,
    remote: Description,
    near: Option<SocketAddr>,
    /// Of our SDP in this dialog.
    session: u64,
}

impl Ringing {
    pub(crate) fn start(
        ring: VerifiedRing,
        remote: Description,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        desk.step(call, Step::RingOpened);
        desk.media(call, MediaOrder::OpenNear);
        desk.patience(call, RING_LIFE, "nobody picked up");
        Phase::Ringing(Box::new(Self {
            ring,
            remote,
            near: None,
            session: sdp_session(desk.rng),
        }))
    }

    /// Who rings, in case somebody of this line dials exactly them.
    pub(crate) fn caller(&self) -> IdentityKey {
        self.ring.caller()
    }

    /// Stops the phones and gives the ring to the call that answers it by dialling back.
    pub(crate) fn hand_over(self, call: &mut Common, desk: &mut Desk<'_>) -> Box<VerifiedRing> {
        desk.stop_phones(call);
        desk.end(call, End::DialledBack);
        Box::new(self.ring)
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn id(&self) -> RingId {
        self.ring.id()
    }

    pub(super) fn on(
        self: Box<Self>,
        happening: Happening<'_>,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        match happening {
            Happening::Media(MediaEvent::Near(rtp)) => self.ring_phones(rtp, call, desk),
            Happening::Leg(sip::Event::Ringing { .. }) => {
                desk.step(call, Step::PhoneRings);
                Phase::Ringing(self)
            }
            Happening::Leg(sip::Event::Answered { sdp, .. }) => self.picked_up(&sdp, call, desk),
            Happening::Leg(sip::Event::Refused { .. } | sip::Event::HungUp { .. }) => {
                self.fall_silent(End::Declined, call, desk)
            }
            Happening::Withdrawn => super::hang_up(End::Cancelled, call, desk),
            Happening::Alarm => super::hang_up(End::NoAnswer, call, desk),
            Happening::ShutDown => super::hang_up(End::ShutDown, call, desk),
            Happening::Media(
                MediaEvent::Refused(_) | MediaEvent::Talk(TalkEvent::Failed(_) | TalkEvent::Closed),
            ) => super::hang_up(End::NoMedia, call, desk),
            _ => Phase::Ringing(self),
        }
    }

    fn ring_phones(
        mut self: Box<Self>,
        rtp: SocketAddr,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        self.near = Some(rtp);
        let offer = sdp::write_offer(rtp, &self.remote.codecs, self.session);
        let number = self.ring.caller_number();
        let contact = desk.address_book.contacts().get(number);
        let caller = sip::Caller {
            number: number.to_string(),
            name: contact.and_then(|contact| contact.name.clone()),
        };
        let user = &desk.line.account.user;
        if let Ok(leg) = desk.agent.place(user, caller, offer, desk.now) {
            call.leg = Some(leg);
            return Phase::Ringing(self);
        }
        self.fall_silent(End::NoPhone, call, desk)
    }

    /// Not even a refusal goes back: the caller hears ringback until it gives up.
    fn fall_silent(self: Box<Self>, end: End, call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        call.leg = None;
        desk.end(call, end);
        Phase::Unheard(Unheard::new(self.ring))
    }

    fn picked_up(self: Box<Self>, answer: &[u8], call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        desk.step(call, Step::PickedUp);
        let agreed = sdp::read_answer(answer).ok().and_then(|media| {
            let chosen = choose(&self.remote.codecs, &offered(&media))?;
            Some((media, chosen, self.near?))
        });
        let Some((media, chosen, near)) = agreed else {
            return super::hang_up(End::NoCodec, call, desk);
        };
        let phone = PhoneSide::new(media, near, chosen, self.session);
        desk.media(call, MediaOrder::OpenFar);
        Answering::start(self.ring, self.remote, phone, call, desk)
    }
}
