//! A handset's video: RTP (RFC 3550) with fake frames, and keyframe requests (PLI, RFC 4585 section 6.3.1).
//!
//! A frame is five packets every 40 ms. Payloads of a keyframe begin with `W`, those of other frames with `p`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(40);
const PACKETS: u16 = 5;
const HEADER: usize = 12;
const PAYLOAD: usize = 900;
const TICKS: u32 = 3_600;

/// A source of video, and what the handset received.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Its RTP address.
    pub rtp: SocketAddr,
    /// Its payload type for VP8.
    pub payload_type: u8,
    pub(super) is_on: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    keyframe_is_wanted: bool,
    live: Option<(Instant, SocketAddr)>,
    received_video: ReceivedVideo,
}

/// The video that the handset received.
#[derive(Clone, Debug, Default)]
pub struct ReceivedVideo {
    /// Received RTP packets with their headers.
    pub packets: Vec<Vec<u8>>,
    /// Keyframe requests of the other side.
    pub keyframe_requests: usize,
}

impl ReceivedVideo {
    /// Received packets that belong to keyframes.
    pub fn keyframe_packets(&self) -> usize {
        let is_keyframe = |packet: &&Vec<u8>| packet.get(HEADER) == Some(&b'W');
        self.packets.iter().filter(is_keyframe).count()
    }
}

impl Camera {
    pub(crate) fn new(rtp: SocketAddr, payload_type: u8, ssrc: u32) -> Self {
        Self {
            rtp,
            payload_type,
            is_on: true,
            sequence: 9_000,
            timestamp: 55_000,
            ssrc,
            keyframe_is_wanted: true,
            live: None,
            received_video: ReceivedVideo::default(),
        }
    }

    /// The video that the handset received.
    pub fn received_video(&self) -> &ReceivedVideo {
        &self.received_video
    }

    /// The SSRC of its packets.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn open(&mut self, to: Option<SocketAddr>, now: Instant) {
        let next = self.live.map_or(now, |(next, _)| next);
        self.live = to.map(|to| (next, to));
    }

    pub(super) fn close(&mut self) {
        self.live = None;
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.live.map(|(next, _)| next)
    }

    /// The packets of the frame that is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let Some((next, to)) = self.live.filter(|(next, _)| *next <= now) else {
            return Vec::new();
        };
        self.live = Some((next + PAUSE, to));
        self.timestamp = self.timestamp.wrapping_add(TICKS);
        let kind = if self.keyframe_is_wanted { b'W' } else { b'p' };
        self.keyframe_is_wanted = false;
        (1..=PACKETS)
            .map(|packet| (to, self.packet(kind, packet == PACKETS)))
            .collect()
    }

    fn packet(&mut self, kind: u8, is_last: bool) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let marker = if is_last { 0x80 } else { 0 };
        let mut bytes = vec![0x80, self.payload_type | marker];
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.resize(HEADER + PAYLOAD, kind);
        bytes
    }

    /// A keyframe request, with a CNAME that must not leave the LAN.
    pub(super) fn keyframe_request(&self) -> Option<(SocketAddr, Vec<u8>)> {
        let (_, to) = self.live?;
        let ssrc = self.ssrc.to_be_bytes();
        let mut bytes = [&[0x80, 201, 0, 1][..], &ssrc].concat();
        bytes.extend([&[0x81, 202, 0, 4][..], &ssrc, b"\x01\x09anna@desk\0"].concat());
        bytes.extend([&[0x81, 206, 0, 2][..], &ssrc, &[0; 4]].concat());
        Some((to, bytes))
    }

    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let is_rtcp = bytes.get(1).is_some_and(|kind| (192..=223).contains(kind));
        let is_keyframe_request = bytes.windows(4).any(|part| part == [0x81, 206, 0, 2]);
        if !is_rtcp {
            self.received_video.packets.push(bytes.to_vec());
        } else if is_keyframe_request {
            self.received_video.keyframe_requests += 1;
            self.keyframe_is_wanted = true;
        }
    }
}
