//! The phone's side of a call's media: what its SDP said and what both ends agreed on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand_core::Rng;
use ringfence_media::srtp::{SrtpKey, SrtpSuite};
use ringfence_media::{
    ChosenCodecs, Codec, MediaDirection, NegotiatedMedia, NotAcceptableError, OwnMedia, OwnVideo,
    PhoneMedia, SdpError, Srtp, VideoFormat, choose, sdp,
};
use ringfence_sip as sip;

use super::agreed::PREFERRED;
use super::context::CallContext;
use super::phone_watch::PhoneWatch;
use super::pressed_keys::PressedKeys;
use super::{CallCommon, PartnerNews};
use crate::environment::Environment;
use crate::output::MediaOrder;

/// What the first SDP for a summoned phone said. The offer that tells it what it hears keeps both: phones take a new key within a dialog for a
/// fault.
#[derive(Debug)]
pub(crate) struct FirstOffer {
    session: u64,
    keys: Vec<SrtpKey>,
}

/// One phone's media in a call that was answered.
#[derive(Debug)]
pub(crate) struct PhoneSide {
    media: PhoneMedia,
    own: OwnMedia,
    chosen: ChosenCodecs,
    /// What both sides have, for a phone that called without an offer.
    common: Vec<Codec>,
    /// The codec that such a phone has chosen, until the other engine is told.
    pub(super) untold: Option<Codec>,
    /// The other engine has told such a codec. It does so once; more would let it have our phone called again and again.
    is_told: bool,
    /// The phone called without an offer, and has not answered ours.
    is_silent: bool,
    /// Whether it is still there.
    pub(super) watch: PhoneWatch,
    /// What is pressed on it.
    pub(super) keys: PressedKeys,
}

impl PhoneSide {
    /// `own` is what our SDP in this dialog says, an earlier offer of ours included (RFC 3264 8);
    /// `chosen` must come from what the phone said.
    pub(super) fn new(
        media: PhoneMedia,
        own: OwnMedia,
        chosen: ChosenCodecs,
        cx: &mut CallContext<'_>,
    ) -> Self {
        let is_silent = media == silent_phone();
        let mut side = Self {
            media,
            own,
            common: chosen.carried.clone(),
            chosen,
            untold: None,
            is_told: false,
            is_silent,
            watch: PhoneWatch::default(),
            keys: PressedKeys::default(),
        };
        side.fit_key(&mut cx.env.rng);
        if is_silent && cx.env.config.srtp == Srtp::Required {
            // Where SRTP is optional it is offered plain audio: it can't refuse the one and be offered the other.
            side.own.keys = keys_to_offer(&mut cx.env.rng);
        }
        side
    }

    /// The same phone, which is offered all of these if it called without an offer (RFC 3264 section 5.1).
    pub(super) fn offering(mut self, common: &[Codec]) -> Self {
        self.common = common.to_vec();
        self
    }

    /// What the answer to a ring says of this phone: the codecs of the call first, then what else the caller's may choose.
    pub(super) fn answered(&self, offered: &[Codec]) -> Vec<Codec> {
        let formats = self.media.formats().into_iter();
        let carried = &self.chosen.carried;
        let others = formats.filter(|codec| offered.contains(codec) && !carried.contains(codec));
        carried.iter().copied().chain(others).collect()
    }

    /// Keeps our key for as long as the phone keeps its suite, and draws one when that changes.
    fn fit_key(&mut self, rng: &mut impl Rng) {
        fit(&mut self.own.keys, self.media.suite(), rng);
        let suite = self.media.video.as_ref().map(|video| video.suite());
        // A phone that drops its video for a while may come back to it with the key that it had.
        if let (Some(own), Some(suite)) = (&mut self.own.video, suite) {
            fit(&mut own.keys, suite, rng);
        }
    }

    /// What the bridge must know of the phone.
    pub(super) fn terms(&self) -> Box<NegotiatedMedia> {
        let carried = self.chosen.transcoded().map(<[_]>::to_vec);
        Box::new(NegotiatedMedia {
            carried,
            ..self.media.negotiated(&self.own, &self.chosen.phone)
        })
    }

    /// The SDP answer to the phone's offer, or our offer where it made none.
    pub(super) fn answer(&self) -> Vec<u8> {
        if self.is_silent {
            return sdp::write_offer(&self.own, &self.common);
        }
        sdp::write_answer(&self.own, &self.media, &self.chosen.phone)
    }

    /// Answers the phone that has called, or the call whose other side is to hear this one's.
    pub(super) fn greet(&mut self, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        match (call.leg, call.summoned.take()) {
            (Some(leg), Some(first)) => {
                // What it was summoned with was the first SDP of this dialog.
                (self.own.session, self.own.version) = (first.session, 2);
                self.own.keys = first.keys;
                cx.env.agent.offer(leg, self.answer(), cx.now);
            }
            (Some(_), None) => cx.answer_phone(call, self.answer()),
            (None, _) => cx.notify_partner(call, PartnerNews::Answered(self.near())),
        }
    }

    /// Whether key presses reach the phone within its audio.
    pub(super) fn takes_events(&self) -> bool {
        let events = self.media.codecs.iter().map(|(codec, _)| codec);
        let mut events = events.filter(|codec| codec.is_events());
        events.any(|codec| self.chosen.phone.contains(codec))
    }

    /// From now on the audio is that of another call, whose near port this is, and which sends these codecs.
    pub(super) fn join(&mut self, near: SocketAddr, codecs: &[Codec]) {
        self.media = PhoneMedia::without_sdp(near, codecs);
        let chosen = ChosenCodecs::of(&self.chosen.carried, codecs);
        self.chosen = chosen.unwrap_or_else(|| self.chosen.clone());
    }

    /// The phone is gone; audio has no destination for now.
    pub(super) fn leave(&mut self) {
        self.chosen = ChosenCodecs::common(self.chosen.carried.clone());
        self.media = PhoneMedia::without_sdp(nowhere(self.near()), &self.chosen.phone);
    }

    /// Another phone of the line takes the call; false if it cannot, and nothing has changed.
    pub(super) fn take_over(&mut self, offer: &[u8], cx: &mut CallContext<'_>) -> bool {
        let Ok(media) = sdp::read_offer(offer, cx.env.config.srtp) else {
            return false;
        };
        let chosen = ChosenCodecs::of(self.carried(), &media.formats());
        if !self.change_media(media, chosen) {
            return false;
        }
        self.is_silent = false;
        self.keys = PressedKeys::default();
        self.watch.change_phone(cx.now);
        let video = self.own.video.take().map(|video| OwnVideo {
            keys: Vec::new(),
            ..video
        });
        self.own = OwnMedia {
            video,
            ..OwnMedia::plain(self.near(), sdp_session(&mut cx.env.rng))
        };
        self.fit_key(&mut cx.env.rng);
        true
    }

    /// Our RTP address for this phone.
    pub(crate) const fn near(&self) -> SocketAddr {
        self.own.rtp
    }

    /// Whether the phone has said where it hears; one that called without an offer says so in its ACK.
    pub(super) const fn has_spoken(&self) -> bool {
        !self.is_silent
    }

    /// Whether the phone holds the call, so that it need not send.
    pub(super) fn holds(&self) -> bool {
        self.media.direction != MediaDirection::SendRecv || self.media.rtp.ip().is_unspecified()
    }

    /// The codecs of this call, on its way between the engines.
    pub(crate) fn carried(&self) -> &[Codec] {
        &self.chosen.carried
    }

    /// The format of the call's video, if it has any.
    pub(super) fn video_formats(&self) -> Vec<VideoFormat> {
        let video = self.own.video.iter();
        video.flat_map(|video| video.formats.clone()).collect()
    }

    /// What the phone says of its audio in the running call: an offer, or an answer to ours.
    pub(super) fn handle_sip(
        &mut self,
        event: &sip::Event,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) {
        match event {
            sip::Event::Reoffer { sdp, .. } => self.take_reoffer(sdp, call, cx),
            sip::Event::Confirmed { sdp, .. } | sip::Event::OfferAnswered { sdp, .. }
                if !sdp.is_empty() =>
            {
                self.take_answer(sdp, call, cx);
            }
            _ => {}
        }
    }

    /// The answer to an offer of ours, in an ACK if the phone asked for the offer. One that cannot be used changes nothing:
    /// audio goes on as before.
    fn take_answer(&mut self, answer: &[u8], call: &CallCommon, cx: &mut CallContext<'_>) {
        let Ok(media) = sdp::read_answer(answer, &self.own) else {
            return;
        };
        let before = self.carried().first().copied();
        let offered = match self.is_silent {
            true => &self.common,
            false => &self.chosen.carried,
        };
        let chosen = ChosenCodecs::of(offered, &media.formats());
        if !self.change_media(media, chosen) {
            return;
        }
        if self.is_silent {
            let codec = self.carried().first().copied();
            self.untold = codec.filter(|_| codec != before);
        }
        self.is_silent = false;
        self.fit_key(&mut cx.env.rng);
        cx.media(call, MediaOrder::Attach(self.terms()));
    }

    /// The other side's phone, which called without an offer, has chosen another codec than the call has had. Ours is offered that alone,
    /// if it listed it; else it stays with what it has.
    pub(super) fn take_codec(&mut self, codec: Codec, call: &CallCommon, cx: &mut CallContext<'_>) {
        let is_news = self.carried().first() != Some(&codec) && !self.is_silent;
        if !is_news || std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let wanted = [codec, Codec::Events8k, Codec::Events48k];
        let common = choose(&wanted, &self.media.formats());
        let is_common = common.is_some();
        self.chosen = common.map_or_else(|| self.chosen.carrying(codec), ChosenCodecs::common);
        cx.media(call, MediaOrder::Attach(self.terms()));
        if is_common {
            self.offer_agreed(call, cx);
        }
    }

    /// Takes what the phone has from now on, if audio was `chosen` of it. The call goes on to carry what it carries.
    fn change_media(&mut self, media: PhoneMedia, chosen: Option<ChosenCodecs>) -> bool {
        let Some(ChosenCodecs { phone, carried }) = chosen else {
            return false;
        };
        if self.is_silent {
            self.chosen.carried = carried;
        }
        self.chosen.phone = phone;
        self.media = media;
        true
    }

    /// Offers the phone what was agreed and nothing else, since it sends another of the codecs that it listed (RFC 3264
    /// section 10.2). Its answer comes to [`Self::handle_sip`]; if it refuses, the call goes on as before.
    pub(super) fn offer_agreed(&mut self, call: &CallCommon, cx: &mut CallContext<'_>) {
        if let Some(leg) = call.leg {
            let sdp = self.offer_again();
            cx.env.agent.offer(leg, sdp, cx.now);
        }
    }

    /// An offer of what was agreed, again.
    fn offer_again(&mut self) -> Vec<u8> {
        self.own.version += 1;
        sdp::write_reoffer(&self.own, &self.media, &self.chosen.phone)
    }

    /// Takes a new offer of the phone in the running call. The codecs of the call stay as they are, so an offer without them is transcoded.
    fn take_reoffer(&mut self, offer: &[u8], call: &CallCommon, cx: &mut CallContext<'_>) {
        if offer.is_empty() {
            // The phone asks for our offer.
            let sdp = self.offer_again();
            return cx.answer_phone(call, sdp);
        }
        let media = match sdp::read_offer(offer, cx.env.config.srtp) {
            Ok(media) => media,
            Err(fault) => return cx.refuse_phone(call, refusal(&fault).status),
        };
        let chosen = ChosenCodecs::of(self.carried(), &media.formats());
        if !self.change_media(media, chosen) {
            return cx.refuse_phone(call, 488);
        }
        self.fit_key(&mut cx.env.rng);
        self.own.version += 1;
        cx.media(call, MediaOrder::Attach(self.terms()));
        cx.answer_phone(call, self.answer());
    }
}

/// Keeps the key for this suite alone, and draws one if there is none.
fn fit(keys: &mut Vec<SrtpKey>, suite: Option<SrtpSuite>, rng: &mut impl Rng) {
    keys.retain(|key| Some(key.suite()) == suite);
    if let (Some(suite), true) = (suite, keys.is_empty()) {
        keys.push(SrtpKey::random(suite, rng));
    }
}

/// An address that is none, beside this one.
pub(super) fn nowhere(near: SocketAddr) -> SocketAddr {
    let ip = match near.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, DISCARD)
}

/// What a phone says that called without an offer (RFC 3261 13.2.1): everything we know may be agreed with the
/// callee, and is then offered to the phone.
pub(crate) fn silent_phone() -> PhoneMedia {
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DISCARD);
    PhoneMedia::without_sdp(nowhere, &PREFERRED)
}

impl FirstOffer {
    pub(super) fn draw(env: &mut Environment) -> Self {
        Self {
            session: sdp_session(&mut env.rng),
            keys: match env.config.srtp {
                Srtp::Required => keys_to_offer(&mut env.rng),
                _ => Vec::new(),
            },
        }
    }

    /// The phone is offered every codec, and is not heard yet.
    pub(super) fn sdp(&self, at: IpAddr) -> Vec<u8> {
        let own = OwnMedia {
            keys: self.keys.clone(),
            ..OwnMedia::plain(SocketAddr::new(at, DISCARD), self.session)
        };
        sdp::write_offer(&own, &PREFERRED)
    }
}

/// Our side of a call in which nothing but a phone takes part.
pub(super) fn own_for(media: &PhoneMedia, near: SocketAddr, env: &mut Environment) -> OwnMedia {
    // Not drawn: what a phone dials must not move what is drawn for envelopes.
    let mut own = OwnMedia::plain(near, 1);
    fit(&mut own.keys, media.suite(), &mut env.rng);
    own
}

/// The discard port (RFC 863): nothing listens there.
const DISCARD: u16 = 9;

/// What refuses an offer, in words for the display: 400 for what is no SDP, 488 for what makes no call (RFC 3261 section 21.4.26).
pub(crate) fn refusal(fault: &SdpError) -> sip::Refusal {
    use NotAcceptableError::{Address, NoAudio, NoFormat, NoKey, PlainOnly, SecureOnly};
    let (status, text) = match fault {
        SdpError::Malformed { .. } | SdpError::TooLong => (400, "Unreadable SDP"),
        SdpError::NotAcceptable(NoAudio) => (488, "No audio offered"),
        SdpError::NotAcceptable(SecureOnly) => (488, "SRTP is switched off here"),
        SdpError::NotAcceptable(PlainOnly) => (488, "SRTP is required here"),
        SdpError::NotAcceptable(NoKey) => (488, "No SRTP suite in common"),
        SdpError::NotAcceptable(NoFormat) => (488, "No codec in common"),
        SdpError::NotAcceptable(Address) => (488, "Audio address is not an IP address"),
        _ => (488, "Not acceptable here"),
    };
    sip::Refusal { status, text }
}

/// A key for each suite that a phone is offered.
pub(super) fn keys_to_offer(rng: &mut impl Rng) -> Vec<SrtpKey> {
    SrtpSuite::OFFERED
        .map(|suite| SrtpKey::random(suite, rng))
        .into()
}

/// A session id for SDP's `o=` line: random, so that it tells neither time nor machine
/// (RFC 8866 5.2 suggests a timestamp), and 31 bits, which every phone can read.
pub(super) fn sdp_session(rng: &mut impl Rng) -> u64 {
    u64::from(rng.next_u32() >> 1)
}
