//! Callee, ring verified: the line's phones ring. Nothing of this leaves the machine until a
//! person picks up: not an answer, not a refusal, not a TURN allocation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringfence_book::IdentityKey;
use ringfence_media::{BridgeEvent, Codec, Description, OwnMedia, OwnVideo, PhoneMedia, Srtp, sdp};
use ringfence_sip as sip;

use super::agreed::{AgreedMedia, with_every_codec};
use super::answering::Answering;
use super::calling::offered;
use super::context::CallContext;
use super::phone_side::{PhoneSide, keys_to_offer, sdp_session};
use super::unheard::Unheard;
use super::{CallCommon, CallInput, CallState};
use crate::call::step::{CallStep, EndReason};
use crate::input::{MediaEvent, NearPort};
use crate::output::MediaOrder;
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::time::Timer;

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
        remote: Description,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let remote = taken(remote, cx);
        cx.step(call, CallStep::RingOpened);
        let line = cx.env.lines.get(call.line);
        let flows = line.map(|line| cx.env.agent.flows(&line.account.user));
        let at: BTreeSet<_> = flows
            .into_iter()
            .flatten()
            .map(|flow| flow.local.ip())
            .collect();
        let (at, video) = (at.into_iter().collect(), remote.video.is_some());
        cx.media(call, MediaOrder::OpenNear { at, video });
        cx.set_deadline(call, ring.rings_for(cx.wall), Timer::Ringing);
        CallState::Ringing(Box::new(Self {
            ring,
            remote,
            offers: BTreeMap::new(),
        }))
    }

    /// The caller, in case a person of this line dials exactly that number.
    pub(crate) fn caller(&self) -> IdentityKey {
        self.ring.caller()
    }

    /// Stops the phones and gives the ring to the call that answers it by dialling back.
    pub(crate) fn hand_over(
        self,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> Box<VerifiedRing> {
        cx.stop_phones(call);
        cx.end(call, EndReason::DialledBack);
        Box::new(self.ring)
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn id(&self) -> RingId {
        self.ring.id()
    }

    pub(super) fn handle(
        self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Media(MediaEvent::Near(rtp)) => self.ring_phones(&rtp, call, cx),
            CallInput::Leg(sip::Event::Ringing { .. }) => {
                cx.step(call, CallStep::PhoneRings);
                CallState::Ringing(self)
            }
            CallInput::Leg(sip::Event::Answered { sdp, .. }) => self.picked_up(&sdp, call, cx),
            CallInput::Leg(event @ (sip::Event::Refused { .. } | sip::Event::HungUp { .. })) => {
                // RFC 3261 sections 21.4.24, 21.6.1 and 21.6.2: a person refused.
                let is_person = |status| matches!(status, 486 | 600 | 603);
                if let (sip::Event::Refused { status, .. }, Some(record)) =
                    (event, &mut call.record)
                {
                    record.is_declined = is_person(status);
                }
                self.fall_silent(EndReason::Declined, call, cx)
            }
            CallInput::RungAgain(again) => self.rung_again(*again, call, cx),
            CallInput::Cancelled => super::hang_up(EndReason::Cancelled, call, cx),
            CallInput::Timeout => super::hang_up(EndReason::NoAnswer, call, cx),
            CallInput::HangUp => {
                cx.stop_phones(call);
                if let Some(record) = &mut call.record {
                    record.is_declined = true;
                }
                self.fall_silent(EndReason::Declined, call, cx)
            }
            CallInput::ShutDown => super::hang_up(EndReason::ShutDown, call, cx),
            CallInput::Media(
                MediaEvent::Refused(_)
                | MediaEvent::Bridge(BridgeEvent::Failed(_) | BridgeEvent::Closed),
            ) => super::hang_up(EndReason::NoMedia, call, cx),
            _ => CallState::Ringing(self),
        }
    }

    /// Of two rings the later one counts; the note of the other tells nothing new.
    fn rung_again(
        mut self: Box<Self>,
        (ring, remote): (VerifiedRing, Description),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let is_later = self.ring.dated_id().0 <= ring.dated_id().0;
        let over = if is_later {
            if let Some(record) = &mut call.record {
                record.ring = Some(ring.dated_id());
            }
            cx.set_deadline(call, ring.rings_for(cx.wall), Timer::Ringing);
            self.remote = taken(remote, cx);
            std::mem::replace(&mut self.ring, ring)
        } else {
            ring
        };
        let caller = over.caller_number();
        cx.env
            .saved
            .ignore_note_of(caller, over.dated_id(), cx.wall);
        CallState::Ringing(self)
    }

    fn ring_phones(
        mut self: Box<Self>,
        near: &[NearPort],
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let number = self.ring.caller_number();
        let contact = cx.env.trust.contacts().get(number);
        let caller = sip::CallerId {
            number: number.to_string(),
            name: contact.and_then(|contact| contact.name.clone()),
        };
        let Self { remote, offers, .. } = &mut *self;
        let (srtp, rng) = (cx.env.config.srtp, &mut cx.env.rng);
        let offer = |flow: sip::Flow| {
            let near = near
                .iter()
                .find(|near| near.audio.ip() == flow.local.ip())?;
            let mut own = OwnMedia::plain(near.audio, sdp_session(rng));
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
        let Some(line) = cx.env.lines.get(call.line) else {
            return self.fall_silent(EndReason::NoPhone, call, cx);
        };
        let (agent, user) = (&mut cx.env.agent, &line.account.user);
        if let Ok(leg) = agent.invite_each(user, caller, offer, cx.now) {
            call.leg = Some(leg);
            return CallState::Ringing(self);
        }
        self.fall_silent(EndReason::NoPhone, call, cx)
    }

    /// Not even a refusal is sent back: the caller hears ringback until it gives up.
    fn fall_silent(
        self: Box<Self>,
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        call.leg = None;
        cx.end(call, end);
        CallState::Unheard(Unheard::new(self.ring))
    }

    fn picked_up(
        self: Box<Self>,
        answer: &[u8],
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.step(call, CallStep::PickedUp);
        let flow = call.leg.and_then(|leg| cx.env.agent.flow(leg));
        let own = flow.and_then(|flow| self.offers.get(&flow));
        let answered = own.and_then(|own| read_answer(answer, own, cx.env.config.srtp));
        let Self { ring, remote, .. } = *self;
        let agreed = answered.and_then(|(media, own)| {
            let ours = (offered(&media, call, cx), media.video_formats());
            let agreed = AgreedMedia::by_phone(remote, ours)?;
            Some((media, own, agreed))
        });
        let Some((media, mut own, agreed)) = agreed else {
            return super::hang_up(EndReason::NoCodec, call, cx);
        };
        let AgreedMedia {
            remote,
            chosen,
            video,
        } = agreed;
        own.video = own.video.zip(video).map(|(own, format)| OwnVideo {
            formats: vec![format],
            ..own
        });
        let phone = PhoneSide::new(media, own, chosen, cx);
        Answering::start(ring, remote, phone, call, cx)
    }
}

/// What the caller describes, without what this engine does not take.
fn taken(mut remote: Description, cx: &CallContext<'_>) -> Description {
    remote.video = remote.video.take().filter(|_| cx.env.config.video);
    remote
}

/// What a phone is offered: the caller's codecs, and if it refuses those (with 488, 415 or 606), the others as well, which are transcoded.
/// SRTP is optional: keys are worth something only where the signalling
/// that carries them is encrypted (RFC 4568 section 7), so a phone that registered over TLS is
/// offered them first and another one plain audio first; a phone that refuses the one is offered
/// the other.
fn offer_to(flow: sip::Flow, own: &OwnMedia, codecs: &[Codec], srtp: Srtp) -> sip::Offer {
    let plain = without_keys(own);
    let ways = match srtp {
        Srtp::Off => vec![&plain],
        Srtp::Required => vec![own],
        Srtp::Optional if flow.transport == sip::Transport::Tls => vec![own, &plain],
        Srtp::Optional => vec![&plain, own],
    };
    let every = with_every_codec(codecs);
    let lists = [codecs, &every];
    let has_more = every
        .iter()
        .any(|codec| !codec.is_events() && !codecs.contains(codec));
    let lists = &lists[..if has_more { 2 } else { 1 }];
    let offers = lists
        .iter()
        .flat_map(|codecs| ways.iter().map(|own| sdp::write_offer(own, codecs)));
    let mut offers = offers.collect::<VecDeque<_>>();
    sip::Offer {
        sdp: offers.pop_front().unwrap_or_default(),
        fallbacks: offers,
    }
}

/// A phone's answer to whichever of the offers it took, and what we said of ourselves in that.
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
