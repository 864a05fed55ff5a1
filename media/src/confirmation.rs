//! What a phone hears when its user has dialled a feature code that was carried out: two beeps of 440 Hz in G.711, as RTP packets of 20 ms (RFC
//! 3551 section 4.5.14).

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use crate::codec::Codec;
use crate::g711;
use crate::negotiate::NegotiatedMedia;
use crate::rtp::RtpPacket;
use crate::srtp::OutboundSrtp;

/// Between two packets.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// Samples of a packet, at 8 kHz.
const SAMPLES: u16 = 160;

/// Packets of silence and sound in turn. A phone needs a moment until it plays, and what its jitter buffer still has at the hang-up is lost.
const PATTERN: [u16; 5] = [6, 8, 5, 8, 10];

const HERTZ: f64 = 440.0;
/// 12 dB below full scale, as loud as a voice.
const AMPLITUDE: f64 = 8_000.0;

/// The packets of one confirmation.
#[derive(Debug)]
pub struct ConfirmationTone {
    to: SocketAddr,
    codec: Codec,
    payload_type: u8,
    ssrc: u32,
    srtp: Option<OutboundSrtp>,
    sent: u16,
}

impl ConfirmationTone {
    /// The codecs in which it can be rendered.
    pub const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    /// For a phone with which this was agreed; `None` if it takes no G.711, or holds.
    #[must_use]
    pub fn new(terms: &NegotiatedMedia) -> Option<Self> {
        let mut codecs = terms.codecs.iter().copied();
        let (codec, payload_type) = codecs.find(|(codec, _)| Self::CODECS.contains(codec))?;
        let hears = terms.receives && !terms.remote.ip().is_unspecified();
        hears.then(|| Self {
            to: terms.remote,
            codec,
            payload_type,
            // Not drawn: what a phone dials must not move what is drawn for envelopes. The stream has no other source.
            ssrc: u32::from(terms.local.port()) << 16 | u32::from(terms.remote.port()),
            srtp: terms
                .keys
                .as_ref()
                .map(|keys| OutboundSrtp::new(&keys.ours)),
            sent: 0,
        })
    }

    /// Where the packets go.
    #[must_use]
    pub const fn to(&self) -> SocketAddr {
        self.to
    }

    /// The next packet; `None` when all was said.
    pub fn next_packet(&mut self) -> Option<Vec<u8>> {
        let (mut is_sound, mut ends) = (false, 0);
        let part = PATTERN.into_iter().find(|frames| {
            ends += frames;
            is_sound = !is_sound;
            self.sent < ends
        });
        part?;
        // The first part is silence.
        let payload = self.payload(!is_sound);
        let mut packet = RtpPacket {
            payload_type: self.payload_type,
            marker: self.sent == 0,
            sequence: self.sent,
            timestamp: u32::from(self.sent) * u32::from(SAMPLES),
            ssrc: self.ssrc,
            payload: &payload,
        }
        .to_bytes();
        self.sent += 1;
        let srtp = self.srtp.as_mut();
        let is_ready = srtp.is_none_or(|srtp| srtp.protect(&mut packet));
        is_ready.then_some(packet)
    }

    fn payload(&self, is_sound: bool) -> Vec<u8> {
        let first = u32::from(self.sent) * u32::from(SAMPLES);
        let samples = (first..first + u32::from(SAMPLES)).map(|at| {
            let level = (f64::from(at) * TAU * HERTZ / 8_000.0).sin() * AMPLITUDE;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a sine times 8,000 fits 16 bits"
            )]
            let sample = if is_sound { level as i16 } else { 0 };
            g711::compress_as(self.codec, sample)
        });
        samples.collect()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::negotiate::RtcpDestination;
    use crate::rtp::RtpDatagram;
    use crate::srtp::{InboundSrtp, SrtpKey, SrtpKeyPair, SrtpSuite};

    fn terms(codec: Codec, payload_type: u8, keys: Option<SrtpKeyPair>) -> NegotiatedMedia {
        NegotiatedMedia {
            local: ([127, 0, 0, 1], 16_386).into(),
            remote: ([127, 0, 0, 1], 7_078).into(),
            codecs: vec![(codec, payload_type)],
            carried: None,
            also_listed: Vec::new(),
            receives: true,
            rtcp: RtcpDestination::NextPort,
            keys,
            video: None,
        }
    }

    /// For each packet, whether it sounds.
    fn pattern(
        tone: &mut ConfirmationTone,
        (codec, payload_type): (Codec, u8),
        mut open: impl FnMut(&mut Vec<u8>),
    ) -> Vec<bool> {
        let silence = g711::compress_as(codec, 0);
        let packets = std::iter::from_fn(|| tone.next_packet());
        let loud = packets.enumerate().map(|(at, mut packet)| {
            open(&mut packet);
            let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&packet) else {
                panic!("no packet");
            };
            assert_eq!(usize::from(packet.sequence), at);
            assert_eq!(packet.timestamp, u32::from(packet.sequence) * 160);
            assert_eq!(packet.payload.len(), 160);
            assert_eq!(packet.payload_type, payload_type);
            packet.payload.iter().any(|byte| *byte != silence)
        });
        loud.collect()
    }

    #[test]
    fn two_beeps_stand_between_pauses_in_both_laws_and_under_srtp() {
        let expected: Vec<bool> = [(6, false), (8, true), (5, false), (8, true), (10, false)]
            .into_iter()
            .flat_map(|(frames, sounds)| std::iter::repeat_n(sounds, frames))
            .collect();
        for codec in ConfirmationTone::CODECS {
            let payload_type = codec.far_payload_type();
            let terms = terms(codec, payload_type, None);
            let mut tone = ConfirmationTone::new(&terms).expect("G.711");
            let heard = pattern(&mut tone, (codec, payload_type), |_| {});
            assert_eq!(heard, expected, "{codec:?}");
            assert_eq!(tone.next_packet(), None);
        }
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let keys = SrtpKeyPair {
            ours: SrtpKey::random(SrtpSuite::OFFERED[0], &mut rng),
            theirs: SrtpKey::random(SrtpSuite::OFFERED[0], &mut rng),
        };
        let mut phone = InboundSrtp::new(&keys.ours);
        let mut tone = ConfirmationTone::new(&terms(Codec::Pcmu, 0, Some(keys))).expect("G.711");
        let open = |packet: &mut Vec<u8>| phone.unprotect(packet).expect("our key");
        assert_eq!(pattern(&mut tone, (Codec::Pcmu, 0), open), expected);
    }

    #[test]
    fn a_phone_that_holds_or_has_no_g711_hears_nothing() {
        assert!(ConfirmationTone::new(&terms(Codec::Opus, 96, None)).is_none());
        let holding = NegotiatedMedia {
            receives: false,
            ..terms(Codec::Pcmu, 0, None)
        };
        assert!(ConfirmationTone::new(&holding).is_none());
    }
}
