//! Any packets at a phone's SRTP socket, among them valid ones, in any order, cut, changed or repeated: decryption never panics,
//! returns only packets that were encrypted, and none of them twice. Packets are SRTP or SRTCP.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use ringfence_media::rtp::RtpPacket;
use ringfence_media::srtp::{InboundSrtcp, OutboundSrtcp, SrtpKey, InboundSrtp, OutboundSrtp, SrtpSuite};

/// How many encrypted packets the fuzzer remembers.
const KEPT: usize = 64;

/// Both ends with one key, and the packets between them.
struct Wire {
    ends: Ends,
    sequence: u16,
    /// Packets in clear and encrypted.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    opened: BTreeSet<Vec<u8>>,
}

enum Ends {
    Packets(OutboundSrtp, InboundSrtp),
    Control(OutboundSrtcp, InboundSrtcp),
}

impl Wire {
    fn new(suite: SrtpSuite, is_control: bool) -> Option<Self> {
        // A key of zeros; one of these lengths fits the suite.
        let key = (28..=62).find_map(|length| SrtpKey::from_base64(suite, &"A".repeat(length)))?;
        Some(Self {
            ends: if is_control {
                Ends::Control(OutboundSrtcp::new(&key), InboundSrtcp::new(&key))
            } else {
                Ends::Packets(OutboundSrtp::new(&key), InboundSrtp::new(&key))
            },
            sequence: 0,
            sent: Vec::new(),
            opened: BTreeSet::new(),
        })
    }

    /// The next packet after a gap; no sequence number occurs twice.
    fn seal(&mut self, gap: u8, payload: &[u8]) {
        let Some(sequence) = self.sequence.checked_add(1 + u16::from(gap)) else {
            return;
        };
        self.sequence = sequence;
        let packet = RtpPacket {
            payload_type: 8,
            marker: false,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: u32::from(gap & 3),
            payload,
        };
        let plain = match self.ends {
            Ends::Packets(..) => packet.to_bytes(),
            // No two are equal, as with packets.
            Ends::Control(..) => {
                let [high, low] = sequence.to_be_bytes();
                [&[0x80, 201, 0, 1, 0, 0, 0, gap & 3, high, low][..], payload].concat()
            }
        };
        let mut wire = plain.clone();
        let is_sealed = match &mut self.ends {
            Ends::Packets(sealer, _) => sealer.protect(&mut wire),
            Ends::Control(sealer, _) => sealer.protect(&mut wire),
        };
        assert!(is_sealed, "our own packets are RTP and RTCP");
        if self.sent.len() < KEPT {
            self.sent.push((plain, wire));
        }
    }

    fn open(&mut self, bytes: &[u8]) {
        let mut packet = bytes.to_vec();
        let opened = match &mut self.ends {
            Ends::Packets(_, opener) => opener.unprotect(&mut packet),
            Ends::Control(_, opener) => opener.unprotect(&mut packet),
        };
        if opened.is_ok() {
            let is_ours = self.sent.iter().any(|(plain, wire)| *plain == packet && wire == bytes);
            assert!(is_ours, "opened what was never sealed");
            assert!(self.opened.insert(packet), "opened twice");
        }
    }

    /// A packet that was sent, possibly with a changed bit or truncated.
    fn deliver(&mut self, which: u8, change: &[u8]) {
        let Some((_, wire)) = self.sent.get(usize::from(which) % self.sent.len().max(1)) else {
            return;
        };
        let mut wire = wire.clone();
        match change {
            [at, mask, ..] => {
                let at = usize::from(*at) % wire.len();
                wire[at] ^= mask;
            }
            [cut] => wire.truncate(wire.len().saturating_sub(usize::from(*cut))),
            [] => {}
        }
        self.open(&wire);
    }
}

fuzz_target!(|script: (u8, Vec<(u8, u8, Vec<u8>)>)| {
    let (suite, acts) = script;
    let chosen = SrtpSuite::ALL[usize::from(suite >> 1) % SrtpSuite::ALL.len()];
    let Some(mut wire) = Wire::new(chosen, suite & 1 != 0) else {
        unreachable!("every suite has a length of key");
    };
    for (act, which, bytes) in acts.iter().take(200) {
        let bytes = bytes.get(..bytes.len().min(1_200)).unwrap_or_default();
        match act % 3 {
            0 => wire.seal(*which, bytes),
            1 => wire.deliver(*which, bytes),
            _ => wire.open(bytes),
        }
    }
});
