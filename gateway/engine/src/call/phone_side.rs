//! The phone's side of a call's sound: what its SDP said and what both ends agreed on.

use std::net::SocketAddr;

use rand_core::Rng;
use ringfence_media::{Codec, NearTerms, PhoneMedia, sdp};

use super::Common;
use crate::desk::Desk;
use crate::output::MediaOrder;

/// One phone's sound in a call that was answered.
#[derive(Debug)]
pub(crate) struct PhoneSide {
    media: PhoneMedia,
    near: SocketAddr,
    chosen: Vec<Codec>,
    session: u64,
    version: u64,
}

impl PhoneSide {
    /// `near` is our RTP address for this phone; `chosen` must come from
    /// [`ringfence_media::choose`] over what the phone said.
    pub(super) fn new(
        media: PhoneMedia,
        near: SocketAddr,
        chosen: Vec<Codec>,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            media,
            near,
            chosen,
            session: sdp_session(rng),
            version: 1,
        }
    }

    /// What the bridge must know of the phone.
    pub(super) fn terms(&self) -> NearTerms {
        self.media.terms(self.near, &self.chosen)
    }

    /// The SDP answer to the phone's offer.
    pub(super) fn answer(&self) -> Vec<u8> {
        sdp::write_answer(
            self.near,
            &self.media,
            &self.chosen,
            self.session,
            self.version,
        )
    }

    /// The codecs of this call.
    pub(super) fn chosen(&self) -> &[Codec] {
        &self.chosen
    }

    /// Takes a new offer of the phone in the running call. The codecs of the call stay as
    /// they are, so an offer without them is refused and the call goes on as before.
    pub(super) fn take_reoffer(&mut self, offer: &[u8], call: &Common, desk: &mut Desk<'_>) {
        if offer.is_empty() {
            // The phone asks for our offer: what was agreed, again.
            self.version += 1;
            let sdp = sdp::write_reoffer(
                self.near,
                &self.media,
                &self.chosen,
                self.session,
                self.version,
            );
            return desk.answer_phone(call, sdp);
        }
        let agreed = sdp::read_offer(offer)
            .ok()
            .filter(|media| match self.chosen.first() {
                Some(codec) => media.formats().contains(codec),
                None => false,
            });
        let Some(media) = agreed else {
            return desk.refuse_phone(call, 488);
        };
        self.media = media;
        self.version += 1;
        desk.media(call, MediaOrder::Attach(self.terms()));
        desk.answer_phone(call, self.answer());
    }
}

/// A session id for SDP's `o=` line: random, so that it tells neither time nor machine
/// (RFC 8866 5.2 suggests a timestamp), and 31 bits, which every phone can read.
pub(super) fn sdp_session(rng: &mut impl Rng) -> u64 {
    u64::from(rng.next_u32() >> 1)
}
