//! One packet encrypted and authenticated, or opened, under session keys: AES in counter mode with
//! HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1), and AES-GCM (RFC 7714 section 8).
//!
//! The packet index is given by the caller (see `context`).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use super::SrtpOpenError;
use super::derive::{Derived, apply, counter_mode, derive, derive_control};
use super::key::{SrtpKey, SrtpSuite};

/// What encryption needs to know of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SrtpPacketInfo {
    /// Bytes of the header, which stay readable.
    pub(super) header: usize,
    pub(super) ssrc: u32,
    /// Roll-over counter and sequence number: 48 bits.
    pub(super) index: u64,
}

/// Session keys, ready for packets.
pub(super) enum Cipher {
    Counter {
        cipher: Box<EncryptingKey>,
        mac: Box<hmac::Key>,
        salt: [u8; 16],
        tag_bytes: usize,
    },
    Galois {
        cipher: LessSafeKey,
        salt: [u8; 12],
    },
}

/// The session keys for RTCP.
pub(super) struct ControlKeys {
    suite: SrtpSuite,
    keys: Derived,
}

impl ControlKeys {
    pub(super) fn new(key: &SrtpKey) -> Self {
        Self::from_session_keys(key.suite(), derive_control(key))
    }

    pub(super) const fn from_session_keys(suite: SrtpSuite, keys: Derived) -> Self {
        Self { suite, keys }
    }

    /// Ready for a packet, whose tag is never short (RFC 4568 section 6.2).
    pub(super) fn cipher(&self) -> Cipher {
        Cipher::from_session_keys(self.suite, &self.keys, CONTROL_TAG_BYTES)
    }

    /// Bytes behind the word with the index.
    pub(super) const fn tail(&self) -> usize {
        match self.suite {
            SrtpSuite::AesGcm128 | SrtpSuite::AesGcm256 => 0,
            _ => CONTROL_TAG_BYTES,
        }
    }
}

impl Cipher {
    pub(super) fn new(key: &SrtpKey) -> Self {
        Self::from_session_keys(key.suite(), &derive(key), key.suite().tag_bytes())
    }

    pub(super) fn from_session_keys(suite: SrtpSuite, keys: &Derived, tag_bytes: usize) -> Self {
        let galois = |algorithm| {
            let key = UnboundKey::new(algorithm, &keys.encryption)
                .expect("a suite's session key has the length of its cipher's");
            Self::Galois {
                cipher: LessSafeKey::new(key),
                salt: leading(&keys.salt),
            }
        };
        match suite {
            SrtpSuite::AesGcm128 => galois(&AES_128_GCM),
            SrtpSuite::AesGcm256 => galois(&AES_256_GCM),
            _ => Self::Counter {
                cipher: Box::new(counter_mode(&keys.encryption)),
                mac: Box::new(hmac::Key::new(
                    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    &keys.authentication,
                )),
                salt: leading(&keys.salt),
                tag_bytes,
            },
        }
    }

    /// Encrypts a packet in place and appends its tag. `info.header` must lie within it.
    pub(super) fn protect(&self, packet: &mut Vec<u8>, info: SrtpPacketInfo) {
        match self {
            Self::Counter {
                cipher,
                mac,
                salt,
                tag_bytes,
            } => {
                let payload = packet.get_mut(info.header..).unwrap_or_default();
                apply(cipher, counter_iv(salt, info), payload);
                let tag = tag_of(mac, packet, info.index);
                packet.extend(tag.as_ref().iter().take(*tag_bytes));
            }
            Self::Galois { cipher, salt } => {
                let nonce = galois_nonce(salt, info);
                if let Some((header, payload)) = packet.split_at_mut_checked(info.header) {
                    let tag = cipher
                        .seal_in_place_separate_tag(nonce, Aad::from(header), payload)
                        .expect("a datagram is shorter than the cipher's limit");
                    packet.extend_from_slice(tag.as_ref());
                }
            }
        }
    }

    /// Verifies a packet, decrypts it in place and cuts its tag off. After an error its payload may
    /// be anything.
    pub(super) fn unprotect(
        &self,
        packet: &mut Vec<u8>,
        info: SrtpPacketInfo,
    ) -> Result<(), SrtpOpenError> {
        match self {
            Self::Counter {
                cipher,
                mac,
                salt,
                tag_bytes,
            } => {
                let length = packet
                    .len()
                    .checked_sub(*tag_bytes)
                    .filter(|length| *length >= info.header)
                    .ok_or(SrtpOpenError::Malformed)?;
                let (covered, tag) = packet.split_at_mut(length);
                let expected = tag_of(mac, covered, info.index);
                let expected = expected.as_ref().get(..*tag_bytes).unwrap_or_default();
                if !bool::from(expected.ct_eq(tag)) {
                    return Err(SrtpOpenError::Forged);
                }
                let payload = covered.get_mut(info.header..).unwrap_or_default();
                apply(cipher, counter_iv(salt, info), payload);
                packet.truncate(length);
            }
            Self::Galois { cipher, salt } => {
                let nonce = galois_nonce(salt, info);
                let (header, sealed) = packet
                    .split_at_mut_checked(info.header)
                    .ok_or(SrtpOpenError::Malformed)?;
                let payload = cipher
                    .open_in_place(nonce, Aad::from(header), sealed)
                    .map_err(|_| SrtpOpenError::Forged)?
                    .len();
                packet.truncate(info.header + payload);
            }
        }
        Ok(())
    }
}

/// RFC 3711 section 4.2: the tag covers the packet and, behind it, the roll-over counter.
fn tag_of(mac: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut signing = hmac::Context::with_key(mac);
    signing.update(packet);
    signing.update(&((index >> 16) as u32).to_be_bytes());
    signing.sign()
}

/// RFC 3711 section 4.1.1: salt, SSRC and index, each in its place, above 16 bits of counter.
pub(super) fn counter_iv(salt: &[u8; 16], info: SrtpPacketInfo) -> [u8; 16] {
    let value = (u128::from(info.ssrc) << 64) | (u128::from(info.index) << 16);
    (u128::from_be_bytes(*salt) ^ value).to_be_bytes()
}

/// RFC 7714 section 8.1: two zero bytes, SSRC, roll-over counter and sequence number, over the salt; in its section 9.1
/// the index of RTCP stands in the place of the last two.
pub(super) fn galois_nonce(salt: &[u8; 12], info: SrtpPacketInfo) -> Nonce {
    let value = (u128::from(info.ssrc) << 48) | u128::from(info.index);
    let mut nonce = *salt;
    for (byte, other) in nonce
        .iter_mut()
        .zip(value.to_be_bytes().into_iter().skip(4))
    {
        *byte ^= other;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// The bytes, with zeros behind them.
fn leading<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    whole
}

/// Bytes of a tag of RTCP with HMAC-SHA1.
const CONTROL_TAG_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::super::vector::hex;
    use super::*;
    use zeroize::Zeroizing;

    /// The packet of RFC 7714 section 16, whose roll-over counter is 0.
    const PACKET: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
        696e2070 61727465 73207472 6573";
    const INFO: SrtpPacketInfo = SrtpPacketInfo {
        header: 12,
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };

    fn galois(suite: SrtpSuite, key: &str) -> Cipher {
        let derived = Derived {
            encryption: Zeroizing::new(hex(key)),
            authentication: Zeroizing::new(Vec::new()),
            salt: Zeroizing::new(hex("517569642070726f2071756f")),
        };
        Cipher::from_session_keys(suite, &derived, suite.tag_bytes())
    }

    #[test]
    fn a_packet_is_sealed_as_in_rfc_7714_16_1_1() {
        let cipher = galois(SrtpSuite::AesGcm128, "000102030405060708090a0b0c0d0e0f");
        let mut packet = hex(PACKET);
        cipher.protect(&mut packet, INFO);
        let sealed = hex(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
            42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        );
        assert_eq!(packet, sealed);
        cipher.unprotect(&mut packet, INFO).unwrap();
        assert_eq!(packet, hex(PACKET));
    }

    #[test]
    fn a_packet_is_sealed_as_in_rfc_7714_16_2_1() {
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let mut packet = hex(PACKET);
        galois(SrtpSuite::AesGcm256, key).protect(&mut packet, INFO);
        let sealed = hex(
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 \
            b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        );
        assert_eq!(packet, sealed);
    }

    #[test]
    fn the_counter_begins_where_rfc_3711_4_1_1_says() {
        let salt: [u8; 16] = leading(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let info = SrtpPacketInfo {
            header: 12,
            ssrc: 0x0102_0304,
            index: 0x0005_0607_0809,
        };
        assert_eq!(
            counter_iv(&salt, info).to_vec(),
            hex("F0F1F2F3 F5F7F5F3 F8FCFCFC F4F4 0000")
        );
    }
}
