//! The order of SRTP packets: indexes, roll-over counters and replay protection (RFC 3711 sections 3.2.1, 3.3.1 and
//! 3.3.2).
//!
//! Both contexts keep a roll-over counter and a replay window for each source. Inbound, only an authenticated packet
//! advances them; outbound, they see to it that no index of a source is used twice, whatever the caller numbers.

use std::fmt;

use super::SrtpOpenError;
use super::cipher::{Cipher, SrtpPacketInfo};
use super::key::SrtpKey;
use crate::rtp;
use crate::sequence::ahead;

/// Encrypts RTP.
pub struct OutboundSrtp {
    cipher: Cipher,
    /// Our own, each with an SSRC of its own.
    sources: Vec<SrtpSource>,
}

/// Decrypts RTP.
pub struct InboundSrtp {
    cipher: Cipher,
    sources: Vec<SrtpSource>,
}

/// One SSRC.
pub(super) struct SrtpSource {
    pub(super) ssrc: u32,
    newest: u64,
    /// Bit `n` stands for the index `newest - n`.
    seen: u128,
}

impl OutboundSrtp {
    /// A context that has sent nothing yet.
    #[must_use]
    pub fn new(key: &SrtpKey) -> Self {
        Self {
            cipher: Cipher::new(key),
            sources: Vec::new(),
        }
    }

    /// Encrypts a packet in place. False, with nothing to be sent, for what is no RTP, for an index that was used or may have been, since
    /// two packets would share a key stream (RFC 3711 section 9.1), and for what belongs before the beginning or beyond 2^48 indexes.
    pub fn protect(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some((header, ssrc, sequence)) = rtp::outline(packet) else {
            return false;
        };
        let Ok((index, source)) = place(&mut self.sources, ssrc, sequence) else {
            return false;
        };
        let info = SrtpPacketInfo {
            header,
            ssrc,
            index,
        };
        self.cipher.protect(packet, info);
        match source {
            Some(source) => source.note(index),
            None => self.sources.push(SrtpSource::starting_with(ssrc, index)),
        }
        true
    }
}

impl InboundSrtp {
    /// A context that has received nothing yet.
    #[must_use]
    pub fn new(key: &SrtpKey) -> Self {
        Self {
            cipher: Cipher::new(key),
            sources: Vec::new(),
        }
    }

    /// Verifies and decrypts a packet in place; after an error it is of no use.
    ///
    /// # Errors
    /// [`SrtpOpenError`] for what is no packet under this key, or not a new one.
    pub fn unprotect(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpOpenError> {
        let (header, ssrc, sequence) = rtp::outline(packet).ok_or(SrtpOpenError::Malformed)?;
        let (index, source) = place(&mut self.sources, ssrc, sequence)?;
        let info = SrtpPacketInfo {
            header,
            ssrc,
            index,
        };
        self.cipher.unprotect(packet, info)?;
        match source {
            Some(source) => source.note(index),
            None => self.sources.push(SrtpSource::starting_with(ssrc, index)),
        }
        Ok(())
    }
}

impl fmt::Debug for OutboundSrtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboundSrtp(..)")
    }
}

impl fmt::Debug for InboundSrtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InboundSrtp(..)")
    }
}

impl SrtpSource {
    /// A source whose first packet this is.
    pub(super) const fn starting_with(ssrc: u32, index: u64) -> Self {
        Self {
            ssrc,
            newest: index,
            seen: 1,
        }
    }

    pub(super) fn check(&self, index: u64) -> Result<(), SrtpOpenError> {
        match self.newest.checked_sub(index) {
            None => Ok(()),
            Some(behind) if behind >= WINDOW => Err(SrtpOpenError::Late),
            Some(behind) if self.seen & (1 << behind) != 0 => Err(SrtpOpenError::Replayed),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn note(&mut self, index: u64) {
        match index.checked_sub(self.newest) {
            Some(ahead) => {
                let step = u32::try_from(ahead).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
                self.newest = index;
            }
            None => self.seen |= 1 << (self.newest - index),
        }
    }
}

/// The index of a packet that may be new, and its source if there was a packet of it before.
fn place(
    sources: &mut [SrtpSource],
    ssrc: u32,
    sequence: u16,
) -> Result<(u64, Option<&mut SrtpSource>), SrtpOpenError> {
    let known = sources.iter().position(|source| source.ssrc == ssrc);
    if known.is_none() && sources.len() >= MOST_SOURCES {
        return Err(SrtpOpenError::Late);
    }
    let source = known.and_then(|at| sources.get_mut(at));
    let newest = source.as_ref().map(|source| source.newest);
    let index = index_of(newest, sequence).ok_or(SrtpOpenError::Late)?;
    if let Some(source) = &source {
        source.check(index)?;
    }
    Ok((index, source))
}

/// Section 3.3.1: the index nearest to the newest one that ends in this number. The first packet
/// of a source has a roll-over counter of zero. `None` before the beginning and behind the end.
fn index_of(newest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(newest) = newest else {
        return Some(u64::from(sequence));
    };
    newest
        .checked_add_signed(i64::from(ahead(sequence, newest as u16)))
        .filter(|index| *index < 1 << 48)
}

/// Indexes that are remembered behind the newest: two and a half seconds of sound.
const WINDOW: u64 = 128;
/// Sources of one phone under one key: a new one each time that it holds and resumes, and no more.
/// None is forgotten, since whatever it said could then be replayed.
pub(super) const MOST_SOURCES: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::key::SrtpSuite;
    use super::*;
    use crate::rtp::RtpPacket;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn key(suite: SrtpSuite) -> SrtpKey {
        SrtpKey::random(suite, &mut ChaCha20Rng::from_seed([5; 32]))
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        RtpPacket {
            payload_type: 8,
            marker: false,
            sequence,
            timestamp: 160,
            ssrc,
            payload: b"audio of one encrypted RTP packet",
        }
        .to_bytes()
    }

    fn sealed(sealer: &mut OutboundSrtp, sequence: u16) -> Vec<u8> {
        let mut bytes = packet(7, sequence);
        assert!(sealer.protect(&mut bytes));
        bytes
    }

    fn ends(suite: SrtpSuite) -> (OutboundSrtp, InboundSrtp) {
        (
            OutboundSrtp::new(&key(suite)),
            InboundSrtp::new(&key(suite)),
        )
    }

    #[test]
    fn every_suite_opens_what_it_sealed() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = ends(suite);
            let mut bytes = sealed(&mut sealer, 3);
            assert_eq!(bytes.len(), packet(7, 3).len() + suite.tag_bytes());
            assert_eq!(bytes[..12], packet(7, 3)[..12]);
            assert_ne!(bytes[12..20], packet(7, 3)[12..20]);
            opener.unprotect(&mut bytes).unwrap();
            assert_eq!(bytes, packet(7, 3), "{suite:?}");
        }
    }

    #[test]
    fn a_changed_bit_anywhere_does_not_open() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = ends(suite);
            let good = sealed(&mut sealer, 3);
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 1;
                assert!(
                    opener.unprotect(&mut bytes).is_err(),
                    "{suite:?}, byte {at}"
                );
            }
            assert_eq!(opener.unprotect(&mut good.clone()), Ok(()), "{suite:?}");
        }
    }

    #[test]
    fn another_key_does_not_open() {
        for suite in SrtpSuite::ALL {
            let mut rng = ChaCha20Rng::from_seed([6; 32]);
            let mut opener = InboundSrtp::new(&SrtpKey::random(suite, &mut rng));
            let mut bytes = sealed(&mut OutboundSrtp::new(&key(suite)), 3);
            assert_eq!(
                opener.unprotect(&mut bytes),
                Err(SrtpOpenError::Forged),
                "{suite:?}"
            );
        }
    }

    #[test]
    fn a_packet_opens_once() {
        let (mut sealer, mut opener) = ends(SrtpSuite::AesGcm128);
        let first = sealed(&mut sealer, 3);
        let second = sealed(&mut sealer, 4);
        for (bytes, outcome) in [
            (&second, Ok(())),
            (&first, Ok(())),
            (&first, Err(SrtpOpenError::Replayed)),
            (&second, Err(SrtpOpenError::Replayed)),
        ] {
            assert_eq!(opener.unprotect(&mut bytes.clone()), outcome);
        }
    }

    #[test]
    fn numbers_roll_over_with_losses_and_in_any_order() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = ends(suite);
            let wire: Vec<Vec<u8>> = [65_533, 65_535, 1, 65_534, 0, 30_000, 60_000, 20_000]
                .into_iter()
                .map(|sequence| sealed(&mut sealer, sequence))
                .collect();
            for at in [0, 2, 1, 4, 3, 5, 6, 7] {
                assert_eq!(
                    opener.unprotect(&mut wire[at].clone()),
                    Ok(()),
                    "{suite:?} {at}"
                );
            }
        }
    }

    #[test]
    fn what_is_too_old_to_be_known_does_not_open() {
        let (mut sealer, mut opener) = ends(SrtpSuite::AesCm128Sha1Tag80);
        let (old, kept) = (sealed(&mut sealer, 100), sealed(&mut sealer, 101));
        opener.unprotect(&mut sealed(&mut sealer, 228)).unwrap();
        assert_eq!(opener.unprotect(&mut old.clone()), Err(SrtpOpenError::Late));
        assert_eq!(opener.unprotect(&mut kept.clone()), Ok(()));
    }

    #[test]
    fn only_what_opens_makes_a_source_and_there_are_only_so_many() {
        let (_, mut opener) = ends(SrtpSuite::AesCm128Sha1Tag80);
        for ssrc in 0..1_000 {
            let mut noise = packet(ssrc, 1);
            noise.extend([0; 10]);
            assert_eq!(opener.unprotect(&mut noise), Err(SrtpOpenError::Forged));
        }
        assert!(opener.sources.is_empty());
        for ssrc in 0..1_000 {
            let mut bytes = packet(ssrc, 1);
            OutboundSrtp::new(&key(SrtpSuite::AesCm128Sha1Tag80)).protect(&mut bytes);
            let expected = if ssrc < 64 {
                Ok(())
            } else {
                Err(SrtpOpenError::Late)
            };
            assert_eq!(opener.unprotect(&mut bytes), expected);
        }
    }

    #[test]
    fn sources_and_an_extension_stay_readable_and_protected() {
        let (mut sealer, mut opener) = ends(SrtpSuite::AesGcm256);
        let mut bytes = packet(7, 3);
        bytes[0] |= 0x12;
        bytes.splice(
            12..12,
            [[9; 8], [0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]].concat(),
        );
        let plain = bytes.clone();
        assert!(sealer.protect(&mut bytes));
        assert_eq!(bytes[..28], plain[..28]);
        opener.unprotect(&mut bytes).unwrap();
        assert_eq!(bytes, plain);
    }

    #[test]
    fn an_index_is_sealed_once_and_each_source_has_its_own() {
        let (mut sealer, _) = ends(SrtpSuite::AesGcm256);
        for ssrc in [7, 8] {
            for sequence in [1_000, 1_002, 1_001] {
                assert!(sealer.protect(&mut packet(ssrc, sequence)));
            }
        }
        // Used; and too far behind to know whether it was.
        for sequence in [1_000, 1_001, 1_002, 1_002 - 128] {
            let mut bytes = packet(7, sequence);
            assert!(!sealer.protect(&mut bytes), "{sequence}");
            assert_eq!(bytes, packet(7, sequence), "it is not sealed");
        }
        assert!(sealer.protect(&mut packet(7, 1_002 - 127)));
    }

    #[test]
    fn sealing_ends_with_the_last_index() {
        let (mut sealer, _) = ends(SrtpSuite::AesGcm128);
        let last = (1 << 48) - 1;
        sealer.sources.push(SrtpSource::starting_with(7, last - 2));
        assert!(sealer.protect(&mut packet(7, 65_534)));
        assert!(sealer.protect(&mut packet(7, 65_535)));
        for sequence in [0, 1, 65_535, 30_000] {
            assert!(!sealer.protect(&mut packet(7, sequence)), "{sequence}");
        }
    }

    proptest! {
        #[test]
        fn no_index_is_sealed_twice(
            start: u16, steps in prop::collection::vec((-40_000i32..40_000, any::<bool>()), 1..400),
        ) {
            let (mut sealer, mut opener) = ends(SrtpSuite::AesGcm128);
            let mut sealed = std::collections::BTreeSet::new();
            let mut number = start;
            for (step, is_video) in steps {
                number = number.wrapping_add(step as u16);
                let ssrc = if is_video { 8 } else { 7 };
                let mut bytes = packet(ssrc, number);
                if sealer.protect(&mut bytes) {
                    let source = sealer.sources.iter().find(|source| source.ssrc == ssrc).unwrap();
                    let index = index_of(Some(source.newest), number).unwrap();
                    prop_assert!(sealed.insert((ssrc, index)));
                    prop_assert_eq!(opener.unprotect(&mut bytes), Ok(()), "both ends reckon alike");
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_without_panic(
            suite in prop::sample::select(SrtpSuite::ALL.to_vec()), mut bytes in prop::collection::vec(any::<u8>(), 0..60), rtp: bool,
        ) {
            if let Some(first) = bytes.first_mut().filter(|_| rtp) {
                *first = *first & 0x3f | 0x80;
            }
            prop_assert!(InboundSrtp::new(&key(suite)).unprotect(&mut bytes).is_err());
        }

        #[test]
        fn no_index_is_opened_twice(steps in prop::collection::vec(-140i32..200, 1..200)) {
            let (mut sealer, mut opener) = ends(SrtpSuite::AesCm128Sha1Tag32);
            let (mut position, mut newest) = (1_000i32, 1_000i32);
            let mut opened = std::collections::BTreeSet::new();
            sealer.protect(&mut packet(7, 1_000));
            for step in steps {
                position = (newest + step).max(0);
                let mut bytes = packet(7, position as u16);
                sealer.protect(&mut bytes);
                newest = newest.max(position);
                if opener.unprotect(&mut bytes).is_ok() {
                    prop_assert!(opened.insert(position));
                }
            }
            prop_assert!(opened.contains(&position) || position < newest);
        }
    }
}
