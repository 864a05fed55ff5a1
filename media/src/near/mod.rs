//! The near leg: a phone's RTP, in both directions (RFC 3550, symmetric as RFC 4961 has it).
//!
//! From the phone it takes what comes from the latched source in an agreed format, renumbers it and
//! hands it on as a far packet. To the phone it gives far packets the phone's payload types and an
//! SSRC and numbers of its own. Where keys were agreed, both directions are SRTP. Sound is one stream; moving
//! pictures are another on a socket of their own, if both phones have them. RTCP, extensions and
//! strangers' packets end here, counted.

mod agreed;
mod direction;
pub(crate) mod dtmf_receiver;
pub(crate) mod dtmf_sender;
pub(crate) mod latch;
mod reports;
pub(crate) mod rewrite;
pub(crate) mod rtcp;
mod srtp_context;
mod stream;

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::Rng;

use crate::codec::Codec;
use crate::far::RtpPacket;
use crate::near::dtmf_receiver::{Overheard, Pressed};
use crate::sdp::Feedback;
use crate::srtp::KeyPair;
use crate::stats::Way;
use crate::video::VideoFormat;
use agreed::{Carried, Kind, Terms};
use stream::Stream;

/// What was agreed with the phone, and where it is. [`PhoneMedia::terms`](crate::PhoneMedia::terms)
/// makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearTerms {
    /// Where the near socket is bound: on loopback, any address of this machine may be the phone's.
    pub local: SocketAddr,
    /// Where the phone's SDP wants its sound.
    pub remote: SocketAddr,
    /// The agreed formats, with the phone's payload types.
    pub codecs: Vec<(Codec, u8)>,
    /// Whether the phone wants to hear anything for now; it does not while it holds the call.
    pub hears: bool,
    /// Where the phone wants RTCP.
    pub rtcp: RtcpAt,
    /// The agreed keys; `None` for plain sound.
    pub keys: Option<KeyPair>,
    /// Moving pictures, if they were agreed.
    pub video: Option<VideoTerms>,
}

/// What was agreed with the phone about moving pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTerms {
    /// Where the near socket for them is bound.
    pub local: SocketAddr,
    /// Where the phone's SDP wants them.
    pub remote: SocketAddr,
    /// Where the phone wants RTCP.
    pub rtcp: RtcpAt,
    /// The agreed format, with the phone's payload type.
    pub format: (VideoFormat, u8),
    /// Whether the phone wants to see anything for now.
    pub sees: bool,
    /// How it can be asked for a whole picture.
    pub feedback: Feedback,
    /// The agreed keys; `None` for plain pictures.
    pub keys: Option<KeyPair>,
}

/// Where a phone wants RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcpAt {
    /// At the port after that of RTP (RFC 3550 section 11).
    #[default]
    NextPort,
    /// At the port of RTP itself (RFC 5761).
    SamePort,
    /// Where its SDP says (RFC 3605).
    Elsewhere(SocketAddr),
}

impl RtcpAt {
    /// What SDP says of it.
    pub(crate) fn of(is_mux: bool, elsewhere: Option<SocketAddr>) -> Self {
        match (is_mux, elsewhere) {
            (true, _) => Self::SamePort,
            (false, Some(at)) => Self::Elsewhere(at),
            (false, None) => Self::NextPort,
        }
    }
}

/// What becomes of what a phone sends for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Microphone {
    /// It goes out.
    Open,
    /// Nobody may hear or see it yet.
    Muted,
    /// There is no far leg to carry it.
    Nowhere,
}

/// The phone's side of a call.
#[derive(Debug)]
pub(crate) struct NearLeg {
    sound: Stream,
    video: Stream,
    feedback: Feedback,
    /// Key presses that the phone has to be told of in another way than within its sound.
    overheard: Overheard,
}

impl NearLeg {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            sound: Stream::new(rng),
            video: Stream::new(rng),
            feedback: Feedback::default(),
            overheard: Overheard::default(),
        }
    }

    /// Says a key press to the phone within its sound, if that was agreed. False if it can't be.
    pub(crate) fn press(&mut self, event: u8, millis: u16) -> bool {
        self.sound.press(event, millis)
    }

    /// Takes the terms agreed with the phone, for the first time or in place of those before.
    pub(crate) fn attach(&mut self, terms: NearTerms) {
        let feedback = terms.video.as_ref().map(|video| video.feedback);
        self.feedback = feedback.unwrap_or_default();
        self.video.attach(terms.video.map(|video| Terms {
            kind: Kind::Video,
            local: video.local,
            remote: video.remote,
            formats: vec![Carried::video(video.format.0, video.format.1)],
            hears: video.sees,
            rtcp: video.rtcp,
            keys: video.keys,
        }));
        let codecs = terms.codecs.into_iter();
        self.sound.attach(Some(Terms {
            kind: Kind::Sound,
            local: terms.local,
            remote: terms.remote,
            formats: codecs
                .map(|(codec, number)| Carried::sound(codec, number))
                .collect(),
            hears: terms.hears,
            rtcp: terms.rtcp,
            keys: terms.keys,
        }));
    }

    /// A datagram on the near socket for sound; what comes back is for the far leg.
    pub(crate) fn hear(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        now: Instant,
    ) -> Option<RtpPacket> {
        self.sound.hear(from, bytes, microphone, now)
    }

    /// A datagram on the near socket for moving pictures; what comes back is for the far leg.
    pub(crate) fn see(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        now: Instant,
    ) -> Option<RtpPacket> {
        self.video.hear(from, bytes, microphone, now)
    }

    /// The key press that a packet of the far leg ends, if the phone can't hear of it within its sound.
    pub(crate) fn overhear(&mut self, packet: &RtpPacket) -> Option<Pressed> {
        let codec = Codec::from_far_payload_type(packet.payload_type);
        let codec = codec.filter(|codec| codec.is_events())?;
        let is_deaf = self.sound.is_deaf_to_events()?;
        self.overheard.hear(packet, codec).filter(|_| is_deaf)
    }

    /// A packet of the far leg's sound; what comes back is for the phone.
    pub(crate) fn play(
        &mut self,
        packet: &RtpPacket,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        self.sound.play(packet, now)
    }

    /// A packet of the far leg's moving pictures; what comes back is for the phone.
    pub(crate) fn show(
        &mut self,
        packet: &RtpPacket,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        self.video.play(packet, now)
    }

    /// The other side needs a whole picture of this phone.
    pub(crate) fn ask_picture(&mut self) {
        self.video.ask_picture();
    }

    /// Whether this phone needs a whole picture of the other side, and that is to be said now.
    pub(crate) fn takes_wish(&mut self, now: Instant) -> bool {
        self.video.takes_wish(now)
    }

    /// What the phone is to be told about its pictures now, and where.
    pub(crate) fn poll_video(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let wish = self.video.poll_wish(self.feedback, now);
        wish.or_else(|| self.video.poll_report(now))
    }

    /// What the phone is to be told about its sound now, and where.
    pub(crate) fn poll_sound(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.sound.poll_report(now)
    }

    /// When something is to be told.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let alarms = [self.sound.next_alarm(), self.video.next_alarm()];
        alarms.into_iter().flatten().min()
    }

    /// What happened so far to sound: from the phone, and to it.
    pub(crate) fn figures(&self) -> (Way, Way) {
        self.sound.figures()
    }

    /// What happened so far to moving pictures: from the phone, and to it.
    pub(crate) fn video_figures(&self) -> (Way, Way) {
        self.video.figures()
    }
}

#[cfg(test)]
mod tests;
