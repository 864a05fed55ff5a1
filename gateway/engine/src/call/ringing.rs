//! Callee, ring verified: the line's phones ring. Nothing of this leaves the machine until a
//! person picks up: not an answer, not a refusal, not a TURN allocation.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_media::{Codec, Description, OwnMedia, OwnVideo, PhoneMedia, Srtp, TalkEvent, sdp};
use ringfence_phonebook::IdentityKey;
use ringfence_sip as sip;

use super::agreed::Agreed;
use super::answering::Answering;
use super::calling::offered;
use super::phone_side::{PhoneSide, keys_to_offer, sdp_session};
use super::unheard::Unheard;
use super::{Common, Happening, Phase};
use crate::call::context::Desk;
use crate::call::step::{End, Step};
use crate::config::RING_LIFE;
use crate::input::{MediaEvent, NearPort};
use crate::output::MediaOrder;
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;

/// A ring that sounds, or is about to.
#[derive(Debug)]
pub(crate) struct Ringing {
    ring: VerifiedRing,
    remote: Description,
    /// What each of the phones was offered: where it registered, with keys of its own. At most as
    /// many as a line has phones.
    offers: BTreeMap<sip::Flow, OwnMedia>,
}

impl Ringing {
    pub(crate) fn start(
        ring: VerifiedRing,
        mut remote: Description,
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        remote.video = remote.video.take().filter(|_| desk.config.video);
        desk.step(call, Step::RingOpened);
        let flows = desk.agent.flows(&desk.line.account.user);
        let at: BTreeSet<_> = flows.map(|flow| flow.local.ip()).collect();
        let (at, video) = (at.into_iter().collect(), remote.video.is_some());
        desk.media(call, MediaOrder::OpenNear { at, video });
        desk.patience(call, RING_LIFE, "nobody picked up");
        Phase::Ringing(Box::new(Self {
            ring,
            remote,
            offers: BTreeMap::new(),
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
            Happening::Media(MediaEvent::Near(rtp)) => self.ring_phones(&rtp, call, desk),
            Happening::Leg(sip::Event::Ringing { .. }) => {
                desk.step(call, Step::PhoneRings);
                Phase::Ringing(self)
            }
            Happening::Leg(sip::Event::Answered { sdp, .. }) => self.picked_up(&sdp, call, desk),
            Happening::Leg(event @ (sip::Event::Refused { .. } | sip::Event::HungUp { .. })) => {
                // RFC 3261 sections 21.4.24, 21.6.1 and 21.6.2: somebody was there.
                let is_person = |status| matches!(status, 486 | 600 | 603);
                if let (sip::Event::Refused { status, .. }, Some(entry)) = (event, &mut call.entry)
                {
                    entry.is_declined = is_person(status);
                }
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
        near: &[NearPort],
        call: &mut Common,
        desk: &mut Desk<'_>,
    ) -> Phase {
        let number = self.ring.caller_number();
        let contact = desk.address_book.contacts().get(number);
        let caller = sip::Caller {
            number: number.to_string(),
            name: contact.and_then(|contact| contact.name.clone()),
        };
        let Self { remote, offers, .. } = &mut *self;
        let (srtp, rng) = (desk.config.srtp, &mut *desk.rng);
        let offer = |flow: sip::Flow| {
            let near = near
                .iter()
                .find(|near| near.sound.ip() == flow.local.ip())?;
            let mut own = OwnMedia::plain(near.sound, sdp_session(rng));
            let video = near.video.zip(remote.video.as_ref());
            own.video = video.map(|(port, video)| OwnVideo {
                port,
                keys: Vec::new(),
                formats: video.formats.clone(),
            });
            if srtp != Srtp::Off {
                own.keys = keys_to_offer(rng);
                if let Some(video) = &mut own.video {
                    video.keys = keys_to_offer(rng);
                }
            }
            let offer = offer_to(flow, &own, &remote.codecs, srtp);
            offers.insert(flow, own);
            Some(offer)
        };
        let user = &desk.line.account.user;
        if let Ok(leg) = desk.agent.place_each(user, caller, offer, desk.now) {
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
        let flow = call.leg.and_then(|leg| desk.agent.flow(leg));
        let own = flow.and_then(|flow| self.offers.get(&flow));
        let answered = own.and_then(|own| read_answer(answer, own, desk.config.srtp));
        let Self { ring, remote, .. } = *self;
        let agreed = answered.and_then(|(media, own)| {
            let ours = (offered(&media, call, desk), media.pictures());
            let agreed = Agreed::by_phone(remote, ours)?;
            Some((media, own, agreed))
        });
        let Some((media, mut own, agreed)) = agreed else {
            return super::hang_up(End::NoCodec, call, desk);
        };
        let Agreed {
            remote,
            chosen,
            video,
        } = agreed;
        own.video = own.video.zip(video).map(|(own, format)| OwnVideo {
            formats: vec![format],
            ..own
        });
        let phone = PhoneSide::new(media, own, chosen, desk);
        desk.media(call, MediaOrder::OpenFar);
        Answering::start(ring, remote, phone, call, desk)
    }
}

/// What a phone is offered. SRTP is optional: keys are worth something only where the signalling
/// that carries them is encrypted (RFC 4568 section 7), so a phone that registered over TLS is
/// offered them first and another one plain sound first; a phone that refuses the one with 488 is
/// offered the other.
fn offer_to(flow: sip::Flow, own: &OwnMedia, codecs: &[Codec], srtp: Srtp) -> sip::Offer {
    let locked = || sdp::write_offer(own, codecs);
    let plain = || sdp::write_offer(&without_keys(own), codecs);
    let (sdp, instead) = match srtp {
        Srtp::Off => (plain(), None),
        Srtp::Required => (locked(), None),
        Srtp::Optional if flow.transport == sip::Transport::Tls => (locked(), Some(plain())),
        Srtp::Optional => (plain(), Some(locked())),
    };
    sip::Offer { sdp, instead }
}

/// A phone's answer to whichever of the two offers it took, and what we said of ourselves in that.
fn read_answer(answer: &[u8], own: &OwnMedia, srtp: Srtp) -> Option<(PhoneMedia, OwnMedia)> {
    let plain = (srtp != Srtp::Required).then(|| without_keys(own));
    let mut offered = [own.clone()].into_iter().chain(plain);
    offered.find_map(|own| Some((sdp::read_answer(answer, &own).ok()?, own)))
}

fn without_keys(own: &OwnMedia) -> OwnMedia {
    let video = own.video.clone().map(|video| OwnVideo {
        keys: Vec::new(),
        ..video
    });
    OwnMedia {
        video,
        ..OwnMedia::plain(own.rtp, own.session)
    }
}
