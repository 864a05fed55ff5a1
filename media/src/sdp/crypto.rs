//! `a=crypto` lines: SRTP keys in SDP (RFC 4568 section 9.1).
//!
//! A line that this engine does not support (another suite, several keys, an MKI, a session parameter that changes the
//! packets) is skipped: a phone offers several lines.

use crate::srtp::{SrtpKey, SrtpSuite};

/// One `a=crypto` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CryptoAttribute {
    pub(super) tag: u32,
    pub(super) key: SrtpKey,
}

/// Reads the value of a line; `None` if it is not supported.
pub(super) fn read(value: &str) -> Option<CryptoAttribute> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next()?.parse().ok()?;
    let suite = SrtpSuite::from_name(words.next()?)?;
    let (method, parameters) = words.next()?.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || parameters.contains(';') {
        return None;
    }
    let mut parameters = parameters.split('|');
    let key = SrtpKey::from_base64(suite, parameters.next()?)?;
    // Next is a lifetime, which no call reaches, or an MKI, which has a colon.
    if parameters.any(|parameter| parameter.contains(':')) {
        return None;
    }
    words
        .all(is_harmless)
        .then_some(CryptoAttribute { tag, key })
}

/// The line for a key, with its line end.
pub(super) fn line(tag: u32, key: &SrtpKey) -> String {
    let (suite, inline) = (key.suite().name(), key.to_base64());
    format!("a=crypto:{tag} {suite} inline:{}\r\n", *inline)
}

/// Section 6.3: the size of the sender's replay window is a hint, and a parameter that begins with a hyphen may be
/// ignored. Every other one would have to be obeyed.
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0";

    #[test]
    fn lines_of_phones_are_read() {
        for rest in ["", "|2^20", "|1048576", "|2^31 WSH=128", " -X=1"] {
            let line = format!("2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{rest}");
            let crypto = read(&line).unwrap();
            assert_eq!(
                (crypto.tag, crypto.key.suite()),
                (2, SrtpSuite::AesCm128Sha1Tag80)
            );
            assert_eq!(*crypto.key.to_base64(), *KEY);
        }
    }

    #[test]
    fn lines_that_we_cannot_follow_are_none() {
        for line in [
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 other:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&line), None, "{line}");
        }
    }

    #[test]
    fn a_line_is_read_back() {
        let crypto = read(&format!("7 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")).unwrap();
        let written = line(crypto.tag, &crypto.key);
        assert_eq!(
            read(written.trim().strip_prefix("a=crypto:").unwrap()),
            Some(crypto)
        );
    }
}
