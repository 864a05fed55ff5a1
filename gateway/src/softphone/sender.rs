//! Writes samples as RTP packets (RFC 3550 section 5.1).

use rand::RngExt;
use ringfence_media::Codec;

use super::FRAME;
use ringfence_media::g711::compress;

/// Length of an RTP header without CSRCs and extensions.
pub(super) const HEADER: usize = 12;

/// The sequence number, timestamp and SSRC of the stream that is sent.
#[derive(Debug)]
pub(super) struct RtpSender {
    sequence: u16,
    timestamp: u32,
    source: u32,
    first: bool,
}

impl RtpSender {
    pub(super) fn new() -> Self {
        let mut rng = rand::rng();
        Self {
            sequence: rng.random(),
            timestamp: rng.random(),
            source: rng.random(),
            first: true,
        }
    }

    pub(super) fn packet(&mut self, frame: &[i16; FRAME]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + FRAME);
        let marker = if std::mem::take(&mut self.first) {
            0x80
        } else {
            0
        };
        packet.extend_from_slice(&[0x80, marker | Codec::Pcmu.far_payload_type()]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.source.to_be_bytes());
        packet.extend(frame.iter().map(|sample| compress(*sample)));
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}
