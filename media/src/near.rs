//! The near leg: a phone's RTP, in both directions (RFC 3550, symmetric as RFC 4961 has it).
//!
//! From the phone it takes what comes from the latched source in an agreed format, renumbers it and
//! hands it on as a far packet. To the phone it gives far packets the phone's payload types and an
//! SSRC and numbers of its own. Where keys were agreed, both directions are SRTP. RTCP, extensions and
//! strangers' packets end here, counted.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rand_core::Rng;

use crate::codec::Codec;
use crate::far::RtpPacket;
use crate::figures::{Meter, Reason, Way};
use crate::keys::Keys;
use crate::latch::Latch;
use crate::overheard::{Overheard, Pressed};
use crate::rewrite::{Numbers, Rewriter, Rewritten};
use crate::rtp::{Datagram, MAX_PAYLOAD, Packet};
use crate::srtp::{KeyPair, OpenError, Opener, Sealer};

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
    /// The agreed keys; `None` for plain sound.
    pub keys: Option<KeyPair>,
}

/// What becomes of a phone's sound for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Microphone {
    /// It goes out.
    Open,
    /// Nobody may hear it yet.
    Muted,
    /// There is no far leg to carry it.
    Nowhere,
}

/// The phone's side of a call.
#[derive(Debug)]
pub(crate) struct NearLeg {
    ssrc: u32,
    phone: Option<Phone>,
    from_phone: Lane,
    to_phone: Lane,
    /// Key presses to be said to the phone.
    keys: Keys,
    /// Those that it has to be told of in another way.
    overheard: Overheard,
}

/// The phone as last agreed.
#[derive(Debug)]
struct Phone {
    codecs: Vec<(Codec, u8)>,
    hears: bool,
    latch: Latch,
    lock: Option<Lock>,
}

/// The state of SRTP under agreed keys.
struct Lock {
    keys: KeyPair,
    sealer: Sealer,
    opener: Opener,
    /// The packet that is being opened.
    packet: Vec<u8>,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    rewriter: Rewriter,
    meter: Meter,
}

impl NearLeg {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            ssrc: rng.next_u32(),
            phone: None,
            from_phone: Lane::new(rng),
            to_phone: Lane::new(rng),
            keys: Keys::default(),
            overheard: Overheard::default(),
        }
    }

    /// Says a key press to the phone within its sound, if that was agreed. False if it can't be.
    pub(crate) fn press(&mut self, event: u8, millis: u16) -> bool {
        let phone = self.phone.as_ref();
        let is_agreed = phone.is_some_and(|phone| phone.events().is_some());
        is_agreed && self.keys.press(event, millis)
    }

    /// Takes the terms agreed with the phone, for the first time or in place of those before.
    pub(crate) fn attach(&mut self, terms: NearTerms) {
        let before = self.phone.take();
        let latch = match &before {
            Some(before) => before.latch.renewed(terms.local, terms.remote),
            None => Latch::new(terms.local, terms.remote),
        };
        let lock = before.and_then(|before| before.lock);
        self.phone = Some(Phone {
            codecs: terms.codecs,
            hears: terms.hears,
            latch,
            lock: terms.keys.map(|keys| Lock::renewed(lock, keys)),
        });
    }

    /// A datagram on the near socket; what comes back is for the far leg.
    pub(crate) fn hear(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        now: Instant,
    ) -> Option<RtpPacket> {
        let heard = match &mut self.phone {
            Some(phone) => phone.hear(from, bytes, microphone, &mut self.from_phone, now),
            None => Err(Reason::Nowhere),
        };
        self.from_phone.meter.note(heard)
    }

    /// The key press that a packet of the far leg ends, if the phone can't hear of it within its sound.
    pub(crate) fn overhear(&mut self, packet: &RtpPacket) -> Option<Pressed> {
        let codec = Codec::from_far_payload_type(packet.payload_type)?;
        let phone = self.phone.as_ref().filter(|_| codec.is_events())?;
        let is_deaf = phone.hears && phone.events().is_none();
        self.overheard.hear(packet, codec).filter(|_| is_deaf)
    }

    /// A packet of the far leg; what comes back is for the phone.
    pub(crate) fn play(
        &mut self,
        packet: &RtpPacket,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let played = match &mut self.phone {
            Some(phone) => {
                let lanes = (&mut self.to_phone, &mut self.keys);
                phone.play(packet, self.ssrc, lanes, now)
            }
            None => Err(Reason::Nowhere),
        };
        self.to_phone.meter.note(played)
    }

    /// What happened so far: from the phone, and to it.
    pub(crate) fn figures(&self) -> (Way, Way) {
        (self.from_phone.meter.way(), self.to_phone.meter.way())
    }
}

impl Phone {
    fn hear(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        lane: &mut Lane,
        now: Instant,
    ) -> Result<RtpPacket, Reason> {
        let bytes = match &mut self.lock {
            Some(lock) => lock.open(bytes)?,
            None => bytes,
        };
        let Datagram::Rtp(packet) = Datagram::read(bytes).map_err(|_| Reason::Malformed)? else {
            return Err(Reason::Rtcp);
        };
        let codec = codec(&self.codecs, packet.payload_type).ok_or(Reason::Format)?;
        // Only a packet that is sound in an agreed format may fix where the phone is.
        if !self.latch.admits(from) {
            return Err(Reason::Stranger);
        }
        match microphone {
            Microphone::Open => {}
            Microphone::Muted => return Err(Reason::Muted),
            Microphone::Nowhere => return Err(Reason::Nowhere),
        }
        let numbers = Numbers {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = lane.renumber(numbers, codec, clock(&self.codecs), now)?;
        Ok(RtpPacket {
            payload_type: codec.far_payload_type(),
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            payload: packet.payload.to_vec(),
        })
    }

    fn play(
        &mut self,
        packet: &RtpPacket,
        ssrc: u32,
        (lane, keys): (&mut Lane, &mut Keys),
        now: Instant,
    ) -> Result<(SocketAddr, Vec<u8>), Reason> {
        let target = self.latch.target().ok_or(Reason::Nowhere)?;
        let codec = Codec::from_far_payload_type(packet.payload_type).ok_or(Reason::Format)?;
        let payload_type = self.payload_type(codec).ok_or(Reason::Format)?;
        if !(1..=MAX_PAYLOAD).contains(&packet.payload.len()) {
            return Err(Reason::Malformed);
        }
        if !self.hears {
            return Err(Reason::Muted);
        }
        let numbers = Numbers {
            // The far leg has one stream for the whole call, so its source never changes.
            ssrc: 0,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = lane.renumber(numbers, codec, clock(&self.codecs), now)?;
        let sound = Packet {
            payload_type,
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            ssrc,
            payload: &packet.payload,
        };
        let events = self.events().filter(|_| !codec.is_events());
        let said = events.and_then(|(_, number)| {
            let said = keys.take_place(rewritten.timestamp, clock(&self.codecs))?;
            Some((number, said))
        });
        let mut bytes = match &said {
            None => sound.to_bytes(),
            Some((number, said)) => Packet {
                payload_type: *number,
                marker: said.marker,
                timestamp: said.timestamp,
                payload: &said.payload,
                ..sound
            }
            .to_bytes(),
        };
        let lock = self.lock.as_mut();
        if lock.is_none_or(|lock| lock.sealer.seal(&mut bytes)) {
            Ok((target, bytes))
        } else {
            Err(Reason::Late)
        }
    }

    /// The format for key presses that was agreed, with the phone's number.
    fn events(&self) -> Option<(Codec, u8)> {
        self.codecs
            .iter()
            .copied()
            .find(|(codec, _)| codec.is_events())
    }

    fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.codecs
            .iter()
            .find(|(agreed, _)| *agreed == codec)
            .map(|(_, number)| *number)
    }
}

/// The format of a packet from the phone. Where a phone answered our offer with a number of its own,
/// RFC 3264 section 6.1 lets it send either under its number or, as most do not, under ours.
fn codec(codecs: &[(Codec, u8)], payload_type: u8) -> Option<Codec> {
    let by_theirs = codecs.iter().find(|(_, number)| *number == payload_type);
    let by_ours = || {
        codecs
            .iter()
            .find(|(codec, _)| codec.far_payload_type() == payload_type)
    };
    by_theirs.or_else(by_ours).map(|(codec, _)| *codec)
}

/// The clock of the sound, which is that of the stream.
fn clock(codecs: &[(Codec, u8)]) -> u32 {
    codecs
        .iter()
        .find(|(codec, _)| !codec.is_events())
        .map_or(8_000, |(codec, _)| codec.clock())
}

impl Lock {
    /// The state for these keys: a direction whose key stays the same goes on, or its packets would
    /// repeat a key stream one way, and could be replayed the other way.
    fn renewed(before: Option<Self>, keys: KeyPair) -> Self {
        let (sealer, opener) = match before {
            Some(before) => (
                Some(before.sealer).filter(|_| before.keys.ours == keys.ours),
                Some(before.opener).filter(|_| before.keys.theirs == keys.theirs),
            ),
            None => (None, None),
        };
        Self {
            sealer: sealer.unwrap_or_else(|| Sealer::new(&keys.ours)),
            opener: opener.unwrap_or_else(|| Opener::new(&keys.theirs)),
            keys,
            packet: Vec::new(),
        }
    }

    /// The packet behind a datagram. RTCP is not opened, only told apart.
    fn open(&mut self, bytes: &[u8]) -> Result<&[u8], Reason> {
        if matches!(Datagram::read(bytes), Ok(Datagram::Rtcp)) {
            return Err(Reason::Rtcp);
        }
        self.packet.clear();
        self.packet.extend_from_slice(bytes);
        match self.opener.open(&mut self.packet) {
            Ok(()) => Ok(&self.packet),
            Err(OpenError::Malformed) => Err(Reason::Malformed),
            Err(OpenError::Forged) => Err(Reason::Forged),
            Err(OpenError::Replayed) => Err(Reason::Duplicate),
            Err(OpenError::Late) => Err(Reason::Late),
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock(..)")
    }
}

impl Lane {
    fn new(rng: &mut impl Rng) -> Self {
        Self {
            rewriter: Rewriter::new(rng),
            meter: Meter::default(),
        }
    }

    fn renumber(
        &mut self,
        numbers: Numbers,
        codec: Codec,
        clock: u32,
        now: Instant,
    ) -> Result<Rewritten, Reason> {
        let rewritten = self.rewriter.rewrite(numbers, clock, now)?;
        self.meter.passed(rewritten, codec, now);
        Ok(rewritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;
    use crate::srtp::{Key, Suite};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const PHONE: &str = "127.0.0.1:7078";

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn terms() -> NearTerms {
        let codecs = vec![(Codec::Opus, 96), (Codec::Events48k, 97)];
        NearTerms {
            local: at("127.0.0.1:40000"),
            remote: at(PHONE),
            codecs,
            hears: true,
            keys: None,
        }
    }

    fn leg() -> NearLeg {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(terms());
        leg
    }

    fn sound(payload_type: u8, sequence: u16) -> Vec<u8> {
        let timestamp = u32::from(sequence) * 960;
        Packet {
            payload_type,
            marker: false,
            sequence,
            timestamp,
            ssrc: 0x1111_1111,
            payload: b"sound",
        }
        .to_bytes()
    }

    fn far(payload_type: u8, sequence: u16) -> RtpPacket {
        let timestamp = u32::from(sequence) * 960;
        RtpPacket {
            payload_type,
            marker: false,
            sequence,
            timestamp,
            payload: b"voice".to_vec(),
        }
    }

    fn speak(leg: &mut NearLeg, bytes: &[u8]) -> Option<RtpPacket> {
        leg.hear(at(PHONE), bytes, Microphone::Open, some_time())
    }

    fn dropped(leg: &NearLeg) -> crate::figures::Dropped {
        leg.figures().0.dropped
    }

    #[test]
    fn sound_crosses_with_nothing_but_its_payload() {
        let mut leg = leg();
        let mut bytes = sound(96, 500);
        // Two contributing sources and an extension that gives the loudness away.
        bytes[0] |= 0x12;
        bytes.splice(
            12..12,
            [[0xaa; 8], [0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]].concat(),
        );
        let packet = speak(&mut leg, &bytes).unwrap();
        assert_eq!(
            (packet.payload_type, packet.payload.as_slice()),
            (111, &b"sound"[..])
        );
        assert_ne!(packet.sequence, 500);
        assert_ne!(packet.timestamp, 500 * 960);
        let next = speak(&mut leg, &sound(96, 501)).unwrap();
        assert_eq!(next.sequence, packet.sequence + 1);
        assert_eq!(next.timestamp.wrapping_sub(packet.timestamp), 960);
    }

    #[test]
    fn digits_cross_under_their_own_number_and_in_the_same_count() {
        let mut leg = leg();
        let voice = speak(&mut leg, &sound(96, 500)).unwrap();
        let digit = speak(&mut leg, &sound(97, 501)).unwrap();
        assert_eq!(
            (digit.payload_type, digit.sequence),
            (110, voice.sequence + 1)
        );
    }

    #[test]
    fn a_phone_may_answer_with_its_number_and_send_with_ours() {
        assert_eq!(speak(&mut leg(), &sound(111, 1)).unwrap().payload_type, 111);
        assert_eq!(speak(&mut leg(), &sound(110, 1)).unwrap().payload_type, 110);
    }

    #[test]
    fn what_is_not_sound_is_counted_by_its_reason() {
        let mut leg = leg();
        assert_eq!(speak(&mut leg, b"hello"), None);
        assert_eq!(speak(&mut leg, &[0x80, 200, 0, 6, 0, 0, 0, 1]), None);
        assert_eq!(speak(&mut leg, &sound(0, 1)), None);
        assert!(speak(&mut leg, &sound(96, 1)).is_some());
        assert_eq!(speak(&mut leg, &sound(96, 1)), None);
        assert_eq!(
            leg.hear(
                at("127.0.0.1:9"),
                &sound(96, 2),
                Microphone::Open,
                some_time()
            ),
            None
        );
        assert_eq!(
            leg.hear(at(PHONE), &sound(96, 2), Microphone::Muted, some_time()),
            None
        );
        assert_eq!(
            leg.hear(at(PHONE), &sound(96, 2), Microphone::Nowhere, some_time()),
            None
        );
        assert_eq!(speak(&mut leg, &sound(96, 30_000)), None);
        let dropped = dropped(&leg);
        assert_eq!(
            (
                dropped.malformed,
                dropped.rtcp,
                dropped.format,
                dropped.duplicate,
                dropped.stranger
            ),
            (1, 1, 1, 1, 1)
        );
        assert_eq!((dropped.muted, dropped.nowhere, dropped.late), (1, 1, 1));
        assert_eq!(leg.figures().0.passed, 1);
    }

    #[test]
    fn a_muted_phone_is_found_all_the_same() {
        let mut leg = leg();
        leg.hear(
            at("127.0.0.1:5555"),
            &sound(96, 1),
            Microphone::Muted,
            some_time(),
        );
        assert_eq!(
            leg.play(&far(111, 1), some_time()).unwrap().0,
            at("127.0.0.1:5555")
        );
    }

    #[test]
    fn noise_does_not_latch() {
        let mut leg = leg();
        leg.hear(
            at("127.0.0.1:5555"),
            b"noise",
            Microphone::Open,
            some_time(),
        );
        leg.hear(
            at("127.0.0.1:5555"),
            &sound(3, 1),
            Microphone::Open,
            some_time(),
        );
        leg.hear(
            at("127.0.0.1:5555"),
            &[0x80, 201, 0, 1, 0, 0, 0, 1],
            Microphone::Open,
            some_time(),
        );
        assert_eq!(leg.play(&far(111, 1), some_time()).unwrap().0, at(PHONE));
    }

    #[test]
    fn the_phone_hears_under_its_own_numbers_and_one_source_of_ours() {
        let mut leg = leg();
        let (to, first) = leg.play(&far(111, 9), some_time()).unwrap();
        let (_, digit) = leg.play(&far(110, 10), some_time()).unwrap();
        assert_eq!(to, at(PHONE));
        let (Ok(Datagram::Rtp(first)), Ok(Datagram::Rtp(digit))) =
            (Datagram::read(&first), Datagram::read(&digit))
        else {
            panic!("RTP is expected");
        };
        assert_eq!((first.payload_type, digit.payload_type), (96, 97));
        assert_eq!(
            (first.ssrc, digit.sequence),
            (digit.ssrc, first.sequence + 1)
        );
        assert_eq!(first.payload, b"voice");
    }

    #[test]
    fn far_packets_that_the_phone_cannot_take_are_counted() {
        let mut leg = leg();
        assert_eq!(leg.play(&far(8, 1), some_time()), None);
        assert_eq!(leg.play(&far(55, 1), some_time()), None);
        assert_eq!(
            leg.play(
                &RtpPacket {
                    payload: Vec::new(),
                    ..far(111, 1)
                },
                some_time()
            ),
            None
        );
        leg.attach(NearTerms {
            hears: false,
            ..terms()
        });
        assert_eq!(leg.play(&far(111, 1), some_time()), None);
        leg.attach(NearTerms {
            remote: at("0.0.0.0:9"),
            ..terms()
        });
        assert_eq!(leg.play(&far(111, 1), some_time()), None);
        let dropped = leg.figures().1.dropped;
        assert_eq!(
            (
                dropped.format,
                dropped.malformed,
                dropped.muted,
                dropped.nowhere
            ),
            (2, 1, 1, 1)
        );
    }

    #[test]
    fn a_key_press_takes_the_place_of_sound_under_the_phones_number() {
        let mut leg = leg();
        leg.play(&far(111, 8), some_time()).unwrap();
        assert!(leg.press(7, 40));
        let mut play = |sequence| {
            let (_, bytes) = leg.play(&far(111, sequence), some_time()).unwrap();
            let Ok(Datagram::Rtp(packet)) = Datagram::read(&bytes) else {
                panic!("RTP is expected")
            };
            (
                packet.payload_type,
                packet.sequence,
                packet.payload.to_vec(),
            )
        };
        let (number, first, payload) = play(9);
        assert_eq!((number, payload), (97, vec![7, 10, 3, 192]));
        for (after, is_end) in [(1, true), (2, true), (3, true), (4, false)] {
            let (number, sequence, payload) = play(9 + after);
            assert_eq!(sequence, first + after);
            assert_eq!(is_end, number == 97 && payload == [7, 0x8a, 7, 128]);
        }
        leg.attach(NearTerms {
            codecs: vec![(Codec::Opus, 96)],
            ..terms()
        });
        assert!(!leg.press(7, 40));
    }

    #[test]
    fn nothing_passes_before_a_phone_is_attached() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        assert_eq!(speak(&mut leg, &sound(96, 1)), None);
        assert_eq!(leg.play(&far(111, 1), some_time()), None);
        assert_eq!(
            (
                leg.figures().0.dropped.nowhere,
                leg.figures().1.dropped.nowhere
            ),
            (1, 1)
        );
    }

    #[test]
    fn numbers_go_on_through_a_re_invite() {
        let mut leg = leg();
        let before = speak(&mut leg, &sound(96, 1)).unwrap();
        leg.attach(NearTerms {
            codecs: vec![(Codec::Opus, 121)],
            ..terms()
        });
        assert_eq!(speak(&mut leg, &sound(96, 2)), None);
        assert_eq!(
            speak(&mut leg, &sound(121, 2)).unwrap().sequence,
            before.sequence + 1
        );
    }

    fn key(number: u8) -> Key {
        Key::random(Suite::AesGcm128, &mut ChaCha20Rng::from_seed([number; 32]))
    }

    fn locked(ours: u8, theirs: u8) -> NearTerms {
        let keys = KeyPair {
            ours: key(ours),
            theirs: key(theirs),
        };
        NearTerms {
            keys: Some(keys),
            ..terms()
        }
    }

    fn sealed(sealer: &mut Sealer, sequence: u16) -> Vec<u8> {
        let mut bytes = sound(96, sequence);
        assert!(sealer.seal(&mut bytes));
        bytes
    }

    #[test]
    fn with_keys_both_ways_are_encrypted() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(locked(1, 2));
        let (mut phone, mut ears) = (Sealer::new(&key(2)), Opener::new(&key(1)));
        let heard = speak(&mut leg, &sealed(&mut phone, 1)).unwrap();
        assert_eq!(heard.payload, b"sound");
        let (_, mut bytes) = leg.play(&far(111, 1), some_time()).unwrap();
        assert!(!bytes.ends_with(b"voice"));
        ears.open(&mut bytes).unwrap();
        assert!(bytes.ends_with(b"voice"));
    }

    #[test]
    fn with_keys_a_key_press_is_encrypted_like_the_sound_whose_place_it_takes() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(locked(1, 2));
        let mut ears = Opener::new(&key(1));
        assert!(leg.press(7, 40));
        for (sequence, number) in [(1, 97), (2, 97), (3, 97), (4, 97), (5, 96)] {
            let (_, mut bytes) = leg.play(&far(111, sequence), some_time()).unwrap();
            assert_eq!(ears.open(&mut bytes), Ok(()));
            let Ok(Datagram::Rtp(packet)) = Datagram::read(&bytes) else {
                panic!("RTP is expected")
            };
            assert_eq!(packet.payload_type, number);
            assert_eq!(packet.payload[0] == 7, number == 97);
        }
    }

    #[test]
    fn with_keys_nothing_else_passes_or_latches() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(locked(1, 2));
        let (mut phone, mut stranger) = (Sealer::new(&key(2)), Sealer::new(&key(9)));
        let good = sealed(&mut phone, 1);
        let elsewhere = at("127.0.0.1:5555");
        for bytes in [
            &sound(96, 1)[..],
            &sealed(&mut stranger, 1),
            &[0x80, 201, 0, 1, 0, 0, 0, 1],
        ] {
            assert_eq!(
                leg.hear(elsewhere, bytes, Microphone::Open, some_time()),
                None
            );
        }
        assert_eq!(leg.play(&far(111, 1), some_time()).unwrap().0, at(PHONE));
        assert!(speak(&mut leg, &good).is_some());
        assert_eq!(speak(&mut leg, &good), None);
        let dropped = dropped(&leg);
        assert_eq!((dropped.forged, dropped.rtcp, dropped.duplicate), (2, 1, 1));
    }

    #[test]
    fn a_re_invite_with_the_same_keys_repeats_no_key_stream_and_allows_no_replay() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(locked(1, 2));
        let (mut phone, mut ears) = (Sealer::new(&key(2)), Opener::new(&key(1)));
        let first = sealed(&mut phone, 1);
        assert!(speak(&mut leg, &first).is_some());
        let (_, mut bytes) = leg.play(&far(111, 1), some_time()).unwrap();
        assert_eq!(ears.open(&mut bytes), Ok(()));
        leg.attach(locked(1, 2));
        assert_eq!(speak(&mut leg, &first), None);
        assert!(speak(&mut leg, &sealed(&mut phone, 2)).is_some());
        let (_, mut bytes) = leg.play(&far(111, 2), some_time()).unwrap();
        assert_eq!(ears.open(&mut bytes), Ok(()));
    }

    #[test]
    fn a_re_invite_with_another_key_of_the_phone_takes_that_one_alone() {
        let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
        leg.attach(locked(1, 2));
        leg.attach(locked(1, 4));
        assert_eq!(speak(&mut leg, &sealed(&mut Sealer::new(&key(2)), 1)), None);
        assert!(speak(&mut leg, &sealed(&mut Sealer::new(&key(4)), 1)).is_some());
        leg.attach(terms());
        assert!(speak(&mut leg, &sound(96, 2)).is_some());
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_without_panic_and_accounted_for(
            datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), any::<u16>()), 1..40),
        ) {
            let mut leg = leg();
            let count = datagrams.len() as u64;
            for (mut bytes, like_sound, port) in datagrams {
                if let Some(start) = bytes.get_mut(..2).filter(|_| like_sound) {
                    start.copy_from_slice(&[0x80, 96]);
                }
                leg.hear(SocketAddr::new([127, 0, 0, 1].into(), port % 3), &bytes, Microphone::Open, some_time());
            }
            prop_assert_eq!(leg.figures().0.arrived(), count);
        }
    }
}
