//! The phone's side of a call's sound: what its SDP said and what both ends agreed on.

use rand_core::Rng;
use ringfence_media::srtp::Key;
use ringfence_media::{Codec, NearTerms, OwnMedia, PhoneMedia, SdpError, sdp};
use ringfence_sip as sip;

use super::Common;
use crate::desk::Desk;
use crate::output::MediaOrder;

/// One phone's sound in a call that was answered.
#[derive(Debug)]
pub(crate) struct PhoneSide {
    media: PhoneMedia,
    own: OwnMedia,
    chosen: Vec<Codec>,
}

impl PhoneSide {
    /// `own` is what our SDP in this dialog says, an earlier offer of ours included (RFC 3264 8);
    /// `chosen` must come from [`ringfence_media::choose`] over what the phone said.
    pub(super) fn new(
        media: PhoneMedia,
        own: OwnMedia,
        chosen: Vec<Codec>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut side = Self { media, own, chosen };
        side.fit_key(rng);
        side
    }

    /// Keeps our key for as long as the phone keeps its suite, and draws one when that changes.
    fn fit_key(&mut self, rng: &mut impl Rng) {
        let suite = self.media.suite();
        let keys = &mut self.own.keys;
        keys.retain(|key| Some(key.suite()) == suite);
        if let (Some(suite), true) = (suite, keys.is_empty()) {
            keys.push(Key::random(suite, rng));
        }
    }

    /// What the bridge must know of the phone.
    pub(super) fn terms(&self) -> NearTerms {
        self.media.terms(&self.own, &self.chosen)
    }

    /// The SDP answer to the phone's offer.
    pub(super) fn answer(&self) -> Vec<u8> {
        sdp::write_answer(&self.own, &self.media, &self.chosen)
    }

    /// The codecs of this call.
    pub(super) fn chosen(&self) -> &[Codec] {
        &self.chosen
    }

    /// What the phone says of its sound in the running call: an offer, or an answer to ours.
    pub(super) fn hear(&mut self, event: &sip::Event, call: &Common, desk: &mut Desk<'_>) {
        match event {
            sip::Event::Reoffer { sdp, .. } => self.take_reoffer(sdp, call, desk),
            sip::Event::Confirmed { sdp, .. } if !sdp.is_empty() => {
                self.take_answer(sdp, call, desk);
            }
            _ => {}
        }
    }

    /// The answer, in an ACK, to an offer that the phone asked us for. One that cannot be used
    /// changes nothing: sound goes on as before.
    fn take_answer(&mut self, answer: &[u8], call: &Common, desk: &mut Desk<'_>) {
        let answer = sdp::read_answer(answer, &self.own).ok();
        if let Some(media) = answer.filter(|media| self.keeps_codec(media)) {
            self.media = media;
            desk.media(call, MediaOrder::Attach(self.terms()));
        }
    }

    fn keeps_codec(&self, media: &PhoneMedia) -> bool {
        let codec = self.chosen.first();
        codec.is_some_and(|codec| media.formats().contains(codec))
    }

    /// Takes a new offer of the phone in the running call. The codecs of the call stay as
    /// they are, so an offer without them is refused and the call goes on as before.
    fn take_reoffer(&mut self, offer: &[u8], call: &Common, desk: &mut Desk<'_>) {
        if offer.is_empty() {
            // The phone asks for our offer: what was agreed, again.
            self.own.version += 1;
            let sdp = sdp::write_reoffer(&self.own, &self.media, &self.chosen);
            return desk.answer_phone(call, sdp);
        }
        match sdp::read_offer(offer, desk.config.srtp) {
            Ok(media) if self.keeps_codec(&media) => self.media = media,
            Ok(_) => return desk.refuse_phone(call, 488),
            Err(fault) => return desk.refuse_phone(call, refusal(&fault)),
        }
        self.fit_key(desk.rng);
        self.own.version += 1;
        desk.media(call, MediaOrder::Attach(self.terms()));
        desk.answer_phone(call, self.answer());
    }
}

/// The status that refuses an offer: 400 for what is no SDP, 488 for what makes no call.
pub(crate) fn refusal(fault: &SdpError) -> u16 {
    match fault {
        SdpError::Malformed { .. } | SdpError::TooLong => 400,
        _ => 488,
    }
}

/// A session id for SDP's `o=` line: random, so that it tells neither time nor machine
/// (RFC 8866 5.2 suggests a timestamp), and 31 bits, which every phone can read.
pub(super) fn sdp_session(rng: &mut impl Rng) -> u64 {
    u64::from(rng.next_u32() >> 1)
}
