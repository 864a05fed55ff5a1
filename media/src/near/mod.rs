//! The near leg: the phone side of a call, RTP in both directions (RFC 3550, symmetric as in RFC 4961).
//!
//! From the phone it takes packets that come from the latched source in an agreed format, renumbers them and returns them
//! as packets for the far leg. Far packets get the phone's payload types and an SSRC and numbers of this leg. Where keys
//! were agreed, both directions are SRTP. Audio is one stream; video is another on a socket of its own, if both phones
//! have it. RTCP, header extensions and packets from other sources end here, counted.

mod agreed;
mod direction;
mod dtmf_receiver;
mod dtmf_sender;
mod formats;
mod latch;
mod meter;
mod reports;
mod rewrite;
mod silence;
mod srtp_context;
mod stream;

use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::MediaTimer;
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::negotiate::{KeyframeFeedback, NegotiatedMedia};
use crate::stats::StreamStats;
use agreed::{StreamKind, StreamTerms};
use dtmf_receiver::DtmfReceiver;
pub(crate) use dtmf_receiver::{KeyPress, PressWatch};
use formats::StreamFormats;
use stream::PhoneStream;

/// What happens for now to the packets that a phone sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Microphone {
    /// They pass.
    Open,
    /// They are dropped: the other side must not hear or see anything yet.
    Muted,
    /// They are dropped: no far leg is connected.
    Nowhere,
}

/// The phone's side of a call.
#[derive(Debug)]
pub(crate) struct NearLeg {
    pub(crate) audio: PhoneStream,
    /// Most calls do without.
    video: Option<Box<PhoneStream>>,
    /// What its SSRC and first numbers are drawn from.
    video_seed: [u8; 32],
    /// Whether a keyframe was asked for before there was video.
    needs_keyframe: bool,
    feedback: KeyframeFeedback,
    dtmf: DtmfReceiver,
}

impl NearLeg {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        let audio = PhoneStream::new(rng);
        let mut video_seed = [0; 32];
        rng.fill_bytes(&mut video_seed);
        Self {
            audio,
            video: None,
            video_seed,
            needs_keyframe: false,
            feedback: KeyframeFeedback::default(),
            dtmf: DtmfReceiver::default(),
        }
    }

    /// Takes what was agreed with the phone, for the first time or in place of the terms before.
    pub(crate) fn attach(&mut self, media: NegotiatedMedia, now: Instant) {
        let feedback = media.video.as_ref().map(|video| video.feedback);
        self.feedback = feedback.unwrap_or_default();
        let video = media.video.map(|video| StreamTerms {
            kind: StreamKind::Video,
            local: video.local,
            remote: video.remote,
            formats: StreamFormats::video(video.format.0, video.format.1),
            receives: video.receives,
            rtcp: video.rtcp,
            keys: video.keys,
        });
        if video.is_some() || self.video.is_some() {
            self.video().attach(video, now);
        }
        let audio = StreamTerms {
            kind: StreamKind::Audio,
            local: media.local,
            remote: media.remote,
            formats: StreamFormats::audio(media.codecs, media.also_listed),
            receives: media.receives,
            rtcp: media.rtcp,
            keys: media.keys,
        };
        self.audio.attach(Some(audio), now);
    }

    /// The key press that a far packet ends, if the phone does not take telephone events itself.
    pub(crate) fn receive_dtmf(&mut self, packet: &FarPacket) -> Option<KeyPress> {
        let codec = Codec::from_far_payload_type(packet.payload_type);
        let codec = codec.filter(|codec| codec.is_events())?;
        let lacks_events = self.audio.lacks_events()?;
        let press = self.dtmf.receive(packet, codec);
        press.filter(|_| lacks_events)
    }

    /// The RTCP that is due to the phone about its video now, and its destination.
    pub(crate) fn poll_video_rtcp(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let video = self.video.as_mut()?;
        let request = video.poll_keyframe_request(self.feedback, now);
        request.or_else(|| video.poll_report(now))
    }

    /// The stream of video, from now on in use.
    pub(crate) fn video(&mut self) -> &mut PhoneStream {
        self.video.get_or_insert_with(|| {
            let mut rng = ChaCha20Rng::from_seed(self.video_seed);
            let mut stream = PhoneStream::new(&mut rng);
            if self.needs_keyframe {
                stream.request_keyframe();
            }
            Box::new(stream)
        })
    }

    /// The other side needs a keyframe of the phone, if there is video, or once there is.
    pub(crate) fn request_keyframe(&mut self) {
        match &mut self.video {
            None => self.needs_keyframe = true,
            Some(video) => video.request_keyframe(),
        }
    }

    /// Whether the other side must be asked for a keyframe now.
    pub(crate) fn takes_keyframe_request(&mut self, now: Instant) -> bool {
        let video = self.video.as_mut();
        video.is_some_and(|video| video.takes_keyframe_request(now))
    }

    /// The statistics of video so far: from the phone, and to it.
    pub(crate) fn video_stats(&self) -> (StreamStats, StreamStats) {
        let video = self.video.as_ref();
        video.map(|video| video.stats()).unwrap_or_default()
    }

    /// When RTCP is due, or the phone will be silent.
    pub(crate) fn next_timeout(&self) -> Option<(Instant, MediaTimer)> {
        let video = self.video.as_ref();
        let video = video.and_then(|video| video.next_timeout());
        let reports = [self.audio.next_timeout(), video];
        let reports = reports.map(|at| Some((at?, MediaTimer::RtcpReport)));
        let silence = self.audio.silence_due();
        let silence = silence.map(|at| (at, MediaTimer::PhoneSilence));
        let times = reports.into_iter().chain([silence]);
        times.flatten().min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
