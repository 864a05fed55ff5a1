//! Session keys out of master keys (RFC 3711 section 4.3, with AES-256 RFC 6188 section 3, with
//! 96-bit salts RFC 7714 section 11).
//!
//! The key derivation rate is zero: session keys are made once.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use super::key::SrtpKey;

/// What a session key is for (RFC 3711 section 4.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
    ControlEncryption = 3,
    ControlAuthentication = 4,
    ControlSalt = 5,
}

/// Bytes of a key for HMAC-SHA1 (RFC 3711 section 5.2).
pub(super) const MAC_KEY_BYTES: usize = 20;

/// Session keys of one master key.
pub(super) struct Derived {
    pub(super) encryption: Zeroizing<Vec<u8>>,
    pub(super) authentication: Zeroizing<Vec<u8>>,
    pub(super) salt: Zeroizing<Vec<u8>>,
}

/// Those for RTP.
pub(super) fn derive(key: &SrtpKey) -> Derived {
    drawn(key, [Label::Encryption, Label::Authentication, Label::Salt])
}

/// Those for RTCP.
pub(super) fn derive_control(key: &SrtpKey) -> Derived {
    let labels = [
        Label::ControlEncryption,
        Label::ControlAuthentication,
        Label::ControlSalt,
    ];
    drawn(key, labels)
}

fn drawn(key: &SrtpKey, [encryption, authentication, salt]: [Label; 3]) -> Derived {
    let suite = key.suite();
    Derived {
        encryption: draw(key, encryption, suite.key_bytes()),
        authentication: draw(key, authentication, MAC_KEY_BYTES),
        salt: draw(key, salt, suite.salt_bytes()),
    }
}

/// A counter-mode cipher for a key of 16 or 32 bytes.
pub(super) fn counter_mode(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, key).expect("a suite's keys have 16 or 32 bytes");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

/// Encrypts, or decrypts, in place.
pub(super) fn apply(cipher: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) {
    cipher
        .less_safe_encrypt(bytes, EncryptionContext::Iv128(iv.into()))
        .expect("counter mode takes any length");
}

fn draw(key: &SrtpKey, label: Label, length: usize) -> Zeroizing<Vec<u8>> {
    let (master, salt) = key.parts();
    let mut iv = [0; 16];
    for (to, from) in iv.iter_mut().zip(salt) {
        *to = *from;
    }
    // The label stands above 48 bits of index, and 16 bits of counter are below those.
    if let Some(byte) = iv.get_mut(7) {
        *byte ^= label as u8;
    }
    let mut drawn = Zeroizing::new(vec![0; length]);
    apply(&counter_mode(master), iv, &mut drawn);
    drawn
}

#[cfg(test)]
mod tests {
    use super::super::key::SrtpSuite;
    use super::super::vector::hex;
    use super::*;

    #[test]
    fn the_key_stream_is_that_of_rfc_3711_b_2() {
        let cipher = counter_mode(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let iv = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        let mut stream = vec![0; 0xff02 * 16];
        apply(&cipher, iv, &mut stream);
        assert_eq!(stream[..16], hex("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(
            stream[0xff01 * 16..],
            hex("6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_b_3() {
        let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let key =
            SrtpKey::from_bytes(SrtpSuite::AesCm128Sha1Tag80, Zeroizing::new(master)).unwrap();
        let derived = derive(&key);
        assert_eq!(*derived.encryption, hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(*derived.salt, hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            *derived.authentication,
            hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
        );
    }
}
