//! SRTCP (RFC 3711 section 3.4; with AES-GCM RFC 7714 section 9): reports and feedback.
//!
//! Each packet carries its index, so that no counter has to be guessed. Packets that are not encrypted, which the standard
//! allows, are dropped: every supported suite encrypts. A packet comes every few seconds, and its cipher is made for it: one that is ready
//! has five times the size of its key, in each direction of each call.

use std::fmt;

use aws_lc_rs::aead::Aad;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use super::SrtpOpenError;
use super::cipher::{Cipher, ControlKeys, SrtpPacketInfo, counter_iv, galois_nonce};
use super::context::{MOST_SOURCES, SrtpSource};
use super::derive::apply;
use super::key::SrtpKey;

/// Encrypts RTCP.
pub struct OutboundSrtcp {
    keys: ControlKeys,
    /// The index of the next packet.
    next: u32,
}

/// Decrypts RTCP.
pub struct InboundSrtcp {
    keys: ControlKeys,
    sources: Vec<SrtpSource>,
}

/// What stays readable: the first header and the sender's SSRC.
const HEADER: usize = 8;
/// The word with the index; its first bit says that the packet is encrypted.
const WORD: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

impl OutboundSrtcp {
    /// A context that has sent nothing yet.
    #[must_use]
    pub fn new(key: &SrtpKey) -> Self {
        Self {
            keys: ControlKeys::new(key),
            next: 1,
        }
    }

    /// Encrypts a packet in place. False, with nothing to be sent, for what is no RTCP or when all indexes are spent.
    pub fn protect(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(ssrc) = sender(packet) else {
            return false;
        };
        if self.next >= ENCRYPTED {
            return false;
        }
        let word = (ENCRYPTED | self.next).to_be_bytes();
        let info = info(ssrc, self.next);
        self.next += 1;
        match &self.keys.cipher() {
            Cipher::Counter {
                cipher,
                mac,
                salt,
                tag_bytes,
            } => {
                let body = packet.get_mut(HEADER..).unwrap_or_default();
                apply(cipher, counter_iv(salt, info), body);
                packet.extend_from_slice(&word);
                let tag = hmac::sign(mac, packet);
                packet.extend(tag.as_ref().iter().take(*tag_bytes));
            }
            Cipher::Galois { cipher, salt } => {
                let Some((header, body)) = packet.split_at_mut_checked(HEADER) else {
                    return false;
                };
                let covered = covered(header, word);
                let tag = cipher
                    .seal_in_place_separate_tag(galois_nonce(salt, info), Aad::from(covered), body)
                    .expect("a datagram is shorter than the cipher's limit");
                packet.extend_from_slice(tag.as_ref());
                packet.extend_from_slice(&word);
            }
        }
        true
    }
}

impl InboundSrtcp {
    /// A context that has received nothing yet.
    #[must_use]
    pub fn new(key: &SrtpKey) -> Self {
        Self {
            keys: ControlKeys::new(key),
            sources: Vec::new(),
        }
    }

    /// Verifies and decrypts a packet in place; after an error it is of no use.
    ///
    /// # Errors
    /// [`SrtpOpenError`].
    pub fn unprotect(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpOpenError> {
        let ssrc = sender(packet).ok_or(SrtpOpenError::Malformed)?;
        let word = word_before(packet, self.keys.tail()).ok_or(SrtpOpenError::Malformed)?;
        let number = u32::from_be_bytes(word);
        if number & ENCRYPTED == 0 {
            return Err(SrtpOpenError::Malformed);
        }
        let index = number & !ENCRYPTED;
        let known = self.sources.iter().position(|source| source.ssrc == ssrc);
        if known.is_none() && self.sources.len() >= MOST_SOURCES {
            return Err(SrtpOpenError::Late);
        }
        let source = known.and_then(|at| self.sources.get_mut(at));
        if let Some(source) = &source {
            source.check(index.into())?;
        }
        unprotect_with(&self.keys.cipher(), packet, info(ssrc, index), word)?;
        match source {
            Some(source) => source.note(index.into()),
            None => self
                .sources
                .push(SrtpSource::starting_with(ssrc, index.into())),
        }
        Ok(())
    }
}

// Keys do not print.
impl fmt::Debug for OutboundSrtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboundSrtcp(..)")
    }
}

impl fmt::Debug for InboundSrtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InboundSrtcp(..)")
    }
}

fn unprotect_with(
    cipher: &Cipher,
    packet: &mut Vec<u8>,
    info: SrtpPacketInfo,
    word: [u8; WORD],
) -> Result<(), SrtpOpenError> {
    match cipher {
        Cipher::Counter {
            cipher,
            mac,
            salt,
            tag_bytes,
        } => {
            let length = packet.len().checked_sub(*tag_bytes);
            let (covered, tag) = length
                .and_then(|length| packet.split_at_mut_checked(length))
                .ok_or(SrtpOpenError::Malformed)?;
            let expected = hmac::sign(mac, covered);
            let expected = expected.as_ref().get(..*tag_bytes).unwrap_or_default();
            if !bool::from(expected.ct_eq(tag)) {
                return Err(SrtpOpenError::Forged);
            }
            let end = covered.len() - WORD;
            let body = covered
                .get_mut(HEADER..end)
                .ok_or(SrtpOpenError::Malformed)?;
            apply(cipher, counter_iv(salt, info), body);
            packet.truncate(end);
        }
        Cipher::Galois { cipher, salt } => {
            packet.truncate(packet.len() - WORD);
            let (header, sealed) = packet
                .split_at_mut_checked(HEADER)
                .ok_or(SrtpOpenError::Malformed)?;
            let covered = covered(header, word);
            let body = cipher
                .open_in_place(galois_nonce(salt, info), Aad::from(covered), sealed)
                .map_err(|_| SrtpOpenError::Forged)?
                .len();
            packet.truncate(HEADER + body);
        }
    }
    Ok(())
}

/// RFC 7714 section 9.2: what is authenticated and not encrypted.
fn covered(header: &[u8], word: [u8; WORD]) -> [u8; HEADER + WORD] {
    let mut covered = [0; HEADER + WORD];
    for (to, from) in covered.iter_mut().zip(header.iter().chain(&word)) {
        *to = *from;
    }
    covered
}

fn info(ssrc: u32, index: u32) -> SrtpPacketInfo {
    SrtpPacketInfo {
        header: HEADER,
        ssrc,
        index: index.into(),
    }
}

/// The sender of a packet of RTCP, encrypted or not.
fn sender(packet: &[u8]) -> Option<u32> {
    let [flags, kind, _, _, s0, s1, s2, s3] = *packet.first_chunk::<HEADER>()?;
    let is_rtcp = flags >> 6 == 2 && (192..=223).contains(&kind);
    is_rtcp.then(|| u32::from_be_bytes([s0, s1, s2, s3]))
}

/// The word with the index, which has `tail` bytes behind it.
fn word_before(packet: &[u8], tail: usize) -> Option<[u8; WORD]> {
    let end = packet.len().checked_sub(tail)?;
    let start = end.checked_sub(WORD).filter(|start| *start >= HEADER)?;
    packet.get(start..end)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::super::derive::{Derived, derive};
    use super::super::key::SrtpSuite;
    use super::super::vector::hex;
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zeroize::Zeroizing;

    /// The packet of RFC 7714 section 17, whose index is 0x5d4.
    const PACKET: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
        deadbeef deadbeef deadbeef deadbeef deadbeef";

    fn galois(suite: SrtpSuite, key: &str) -> ControlKeys {
        let derived = Derived {
            encryption: Zeroizing::new(hex(key)),
            authentication: Zeroizing::new(Vec::new()),
            salt: Zeroizing::new(hex("517569642070726f2071756f")),
        };
        ControlKeys::from_session_keys(suite, derived)
    }

    fn assert_sealed(suite: SrtpSuite, key: &str, sealed: &str) {
        let mut sealer = OutboundSrtcp {
            keys: galois(suite, key),
            next: 0x5d4,
        };
        let mut packet = hex(PACKET);
        assert!(sealer.protect(&mut packet));
        assert_eq!(packet, hex(sealed));
        let mut opener = InboundSrtcp {
            keys: galois(suite, key),
            sources: Vec::new(),
        };
        opener.unprotect(&mut packet).unwrap();
        assert_eq!(packet, hex(PACKET));
    }

    #[test]
    fn a_packet_is_sealed_as_in_rfc_7714_17_1() {
        assert_sealed(
            SrtpSuite::AesGcm128,
            "000102030405060708090a0b0c0d0e0f",
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
             730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        );
    }

    #[test]
    fn a_packet_is_sealed_as_in_rfc_7714_17_2() {
        assert_sealed(
            SrtpSuite::AesGcm256,
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 \
             110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        );
    }

    #[test]
    fn with_counter_mode_a_packet_is_what_section_3_4_says() {
        // Reckoned here from the standard's words: key stream over all but eight bytes, then index, then tag.
        let key = key(SrtpSuite::AesCm128Sha1Tag32);
        let derived = super::super::derive::derive_control(&key);
        let plain = report(7);
        let mut packet = plain.clone();
        assert!(OutboundSrtcp::new(&key).protect(&mut packet));
        let mut iv = derived.salt.to_vec();
        iv.resize(16, 0);
        for (at, byte) in [(4, 0), (7, 7), (13, 1)] {
            iv[at] ^= byte;
        }
        let mut body = plain[8..].to_vec();
        let cipher = super::super::derive::counter_mode(&derived.encryption);
        apply(&cipher, iv.try_into().unwrap(), &mut body);
        let covered = [&plain[..8], &body, &[0x80, 0, 0, 1]].concat();
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &derived.authentication);
        let tag = hmac::sign(&mac, &covered);
        assert_eq!(packet, [&covered[..], &tag.as_ref()[..10]].concat());
    }

    fn key(suite: SrtpSuite) -> SrtpKey {
        SrtpKey::random(suite, &mut ChaCha20Rng::from_seed([5; 32]))
    }

    /// A receiver report without blocks, and some more bytes.
    fn report(ssrc: u32) -> Vec<u8> {
        let [a, b, c, d] = ssrc.to_be_bytes();
        [
            &[0x80, 201, 0, 1, a, b, c, d][..],
            &[0x81, 206, 0, 2],
            &[9; 8],
        ]
        .concat()
    }

    fn ends(suite: SrtpSuite) -> (OutboundSrtcp, InboundSrtcp) {
        (
            OutboundSrtcp::new(&key(suite)),
            InboundSrtcp::new(&key(suite)),
        )
    }

    #[test]
    fn every_suite_opens_what_it_sealed_once() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = ends(suite);
            for _ in 0..3 {
                let mut bytes = report(7);
                assert!(sealer.protect(&mut bytes));
                assert_ne!(bytes[8..20], report(7)[8..20]);
                let again = bytes.clone();
                opener.unprotect(&mut bytes).unwrap();
                assert_eq!(bytes, report(7), "{suite:?}");
                assert_eq!(
                    opener.unprotect(&mut again.clone()),
                    Err(SrtpOpenError::Replayed)
                );
            }
        }
    }

    #[test]
    fn sealing_ends_with_the_last_index() {
        let (mut sealer, mut opener) = ends(SrtpSuite::AesGcm256);
        sealer.next = ENCRYPTED - 1;
        let mut bytes = report(7);
        assert!(sealer.protect(&mut bytes));
        opener.unprotect(&mut bytes).unwrap();
        for _ in 0..3 {
            assert!(
                !sealer.protect(&mut report(7)),
                "2^31 packets (section 3.4)"
            );
        }
    }

    #[test]
    fn a_changed_bit_anywhere_does_not_open() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = ends(suite);
            let mut good = report(7);
            sealer.protect(&mut good);
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 1;
                assert!(
                    opener.unprotect(&mut bytes).is_err(),
                    "{suite:?}, byte {at}"
                );
            }
            assert_eq!(opener.unprotect(&mut good), Ok(()), "{suite:?}");
        }
    }

    #[test]
    fn the_keys_of_rtp_do_not_open_rtcp() {
        let suite = SrtpSuite::AesCm128Sha1Tag80;
        let mut bytes = report(7);
        OutboundSrtcp::new(&key(suite)).protect(&mut bytes);
        let mut opener = InboundSrtcp {
            keys: ControlKeys::from_session_keys(suite, derive(&key(suite))),
            sources: Vec::new(),
        };
        assert_eq!(opener.unprotect(&mut bytes), Err(SrtpOpenError::Forged));
    }

    #[test]
    fn what_is_not_encrypted_is_not_taken() {
        for suite in SrtpSuite::ALL {
            let (_, mut opener) = ends(suite);
            let mut bytes = [report(7), vec![0, 0, 0, 1], vec![0; 10]].concat();
            assert!(opener.unprotect(&mut bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_panic(
            suite in prop::sample::select(SrtpSuite::ALL.to_vec()), mut bytes in prop::collection::vec(any::<u8>(), 0..60), rtcp: bool,
        ) {
            if let Some(start) = bytes.get_mut(..2).filter(|_| rtcp) {
                start.copy_from_slice(&[0x80, 201]);
            }
            prop_assert!(InboundSrtcp::new(&key(suite)).unprotect(&mut bytes).is_err());
        }
    }
}
