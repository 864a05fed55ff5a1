//! A long call: the 16 bits of the sequence numbers roll over, and the indexes of SRTP go on (RFC 3711 section 3.3.1).

use std::collections::HashSet;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::codec::Codec;
use crate::frame::receiver::FrameReceiver;
use crate::frame::sender::FrameSender;

const MINUTES: u64 = 70;
const PACKETS: u32 = (MINUTES * 60 * 50) as u32;

/// One side of the call.
struct Side {
    sender: FrameSender,
    session: RtpSession,
    receiver: FrameReceiver,
    /// Packets that its phone has sent, and got.
    said: u32,
    heard: u32,
    /// The beginning of the key stream of each packet that left.
    key_streams: HashSet<u64>,
    sent: usize,
    newest: Option<u16>,
    roll_overs: usize,
}

impl Side {
    fn new(session: RtpSession, seed: u8, now: Instant) -> Self {
        let mut sender = FrameSender::new(&mut ChaCha20Rng::from_seed([seed; 32]));
        sender.agree(Codec::Pcmu);
        sender.start(now);
        Self {
            sender,
            session,
            receiver: FrameReceiver::default(),
            said: 0,
            heard: 0,
            key_streams: HashSet::new(),
            sent: 0,
            newest: None,
            roll_overs: 0,
        }
    }

    /// The phone says 20 ms, which are numbered.
    fn speak(&mut self, now: Instant) {
        let mut sound = packet(0, self.said as u16);
        sound.timestamp = self.said.wrapping_mul(160);
        sound.payload[..4].copy_from_slice(&self.said.to_be_bytes());
        assert!(self.sender.push(sound, now), "packet {}", self.said);
        self.said += 1;
    }

    /// What leaves now.
    fn packets(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut left: Vec<_> = self.session.poll_report(now).into_iter().collect();
        while let Some(frame) = self.sender.poll(now) {
            let sealed = self.session.write(&frame, now);
            let sealed = sealed.unwrap_or_else(|| panic!("frame {} is refused", self.sent));
            let word = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
            let key_stream = word(&sealed[12..]) ^ word(&frame.payload);
            assert!(self.key_streams.insert(key_stream), "frame {}", self.sent);
            self.sent += 1;
            let before = self.newest.replace(frame.sequence);
            self.roll_overs += usize::from(before == Some(u16::MAX));
            left.push(sealed);
        }
        left
    }

    fn hear(&mut self, wire: Vec<u8>, now: Instant) {
        match self.session.open(wire, now) {
            Some(OpenedPacket::Rtp(frame)) => {
                let lost = self.receiver.read(&frame, now);
                assert!(lost.is_none_or(|share| share == 0), "{lost:?}");
            }
            other => assert_eq!(other, Some(OpenedPacket::Other)),
        }
        while let Some(sound) = self.receiver.poll(now) {
            let number = u32::from_be_bytes(*sound.payload.first_chunk().unwrap());
            assert_eq!((number, sound.sequence), (self.heard, self.heard as u16));
            self.heard += 1;
        }
    }
}

#[test]
fn a_call_of_seventy_minutes_has_no_gap_and_no_key_and_index_twice() {
    let start = crate::some_time();
    let [one, two] = pair(start);
    let mut sides = [Side::new(one, 1, start), Side::new(two, 2, start)];
    for step in 0..u64::from(PACKETS) {
        for millis in [0, 10] {
            let now = start + MS(20 * step + millis);
            for from in [0, 1] {
                if millis == 0 {
                    sides[from].speak(now);
                }
                for wire in sides[from].packets(now) {
                    sides[1 - from].hear(wire, now);
                }
            }
        }
    }
    for side in sides {
        assert_eq!(side.heard, PACKETS);
        assert!(side.roll_overs >= 3, "{}", side.roll_overs);
        assert_eq!(side.key_streams.len(), side.sent);
    }
}
