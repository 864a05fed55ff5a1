//! What one engine tells the other about its media, and its bytes.
//!
//! It travels sealed in ring and answer, in place of the SDP of RFC 3264: typed values only, so
//! that nothing that a phone wrote can cross by accident. The bytes are canonical: each description
//! has one encoding and each accepted string of bytes one description. It does not say whether a
//! relay's address may be used (public or private): that is the far leg's to judge.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use zeroize::Zeroize;

use crate::codec::Codec;
use crate::far::FarLocal;

/// What the far leg of one engine looks like to the other.
///
/// Fields may hold anything while it is being put together; only what keeps every limit survives
/// [`Description::decode`].
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// ICE user name fragment, 4 to 32 ICE characters (RFC 8839 section 5.4).
    /// Seen by the other engine, and in clear in connectivity checks by both TURN servers.
    pub ufrag: String,
    /// ICE password, 22 to 64 ICE characters (RFC 8839 section 5.4). Seen by the other engine
    /// alone; wiped on drop.
    pub pwd: String,
    /// SHA-256 of the DTLS certificate that this call uses and no other (RFC 8122 section 5). Seen
    /// by the other engine alone.
    pub fingerprint: [u8; 32],
    /// The RTP source that will carry sound (RFC 3550 section 5.1). Seen by the other engine, and
    /// in clear by both TURN servers.
    pub ssrc: u32,
    /// Relayed transport addresses of a TURN server, 1 to 4 different ones. Seen by the other
    /// engine and by both TURN servers.
    pub relays: Vec<SocketAddr>,
    /// Formats that the phone behind takes, best first, no format twice and at least one for sound.
    /// Seen by the other engine alone; payload types on the wire tell the TURN servers which one
    /// was chosen.
    pub codecs: Vec<Codec>,
}

/// Why bytes are not a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The bytes end before the description does.
    #[error("the description is cut short")]
    Truncated,
    /// Bytes follow the description.
    #[error("bytes follow the description")]
    Trailing,
    /// The first byte names a layout that we do not speak.
    #[error("unknown layout of a description")]
    Version,
    /// User name fragment or password of a wrong length or with other than ICE characters.
    #[error("not an ICE user name fragment or password")]
    Credentials,
    /// None or too many relays, one twice, or an address that cannot be a relay's.
    #[error("not a list of relays")]
    Relays,
    /// An unknown format, one twice, or none for sound.
    #[error("not a list of formats")]
    Codecs,
}

impl Description {
    /// The longest encoding, with four IPv6 relays and every format.
    pub const MAX_BYTES: usize = 1
        + (1 + MAX_UFRAG)
        + (1 + MAX_PWD)
        + 32
        + 4
        + (1 + MAX_RELAYS * 19)
        + (1 + Codec::ALL.len());

    /// Describes a far leg that has its relay, and what the phone behind it takes.
    #[must_use]
    pub fn of(local: &FarLocal, codecs: Vec<Codec>) -> Self {
        Self {
            ufrag: local.ufrag.clone(),
            pwd: local.pwd.clone(),
            fingerprint: local.fingerprint,
            ssrc: local.ssrc,
            relays: vec![local.relay],
            codecs,
        }
    }

    /// The bytes of this description.
    ///
    /// A description that breaks a limit still encodes to a bounded number of bytes, which
    /// [`Description::decode`] refuses.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::MAX_BYTES);
        out.push(VERSION);
        put_counted(&mut out, self.ufrag.bytes().take(MAX_UFRAG + 1));
        put_counted(&mut out, self.pwd.bytes().take(MAX_PWD + 1));
        out.extend_from_slice(&self.fingerprint);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        let relays = self.relays.iter().take(MAX_RELAYS + 1);
        out.push(relays.len() as u8);
        relays.for_each(|relay| put_address(&mut out, relay));
        put_counted(
            &mut out,
            self.codecs
                .iter()
                .take(Codec::ALL.len() + 1)
                .map(|codec| codec.code()),
        );
        out
    }

    /// Reads what [`Description::encode`] wrote.
    ///
    /// # Errors
    /// Whatever is not the one encoding of a description within its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return Err(DescriptionError::Version);
        }
        let ufrag = ice_text(rest.counted()?, MIN_UFRAG..=MAX_UFRAG)?;
        let pwd = ice_text(rest.counted()?, MIN_PWD..=MAX_PWD)?;
        let fingerprint = rest.array()?;
        let ssrc = u32::from_be_bytes(rest.array()?);
        let relays = relays(&mut rest)?;
        let codecs = codecs(rest.counted()?)?;
        if !rest.0.is_empty() {
            return Err(DescriptionError::Trailing);
        }
        Ok(Self {
            ufrag,
            pwd,
            fingerprint,
            ssrc,
            relays,
            codecs,
        })
    }
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("pwd", &"Secret(..)")
            .field("relays", &self.relays.len())
            .field("codecs", &self.codecs)
            .finish_non_exhaustive()
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        self.pwd.zeroize();
    }
}

fn put_counted(out: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    let at = out.len();
    out.push(0);
    out.extend(bytes);
    let count = out.len() - at - 1;
    if let Some(place) = out.get_mut(at) {
        *place = count as u8;
    }
}

fn put_address(out: &mut Vec<u8>, address: &SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(FAMILY_V4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(FAMILY_V6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DescriptionError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(DescriptionError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DescriptionError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(DescriptionError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DescriptionError> {
        self.array().map(|[byte]| byte)
    }

    fn counted(&mut self) -> Result<&'a [u8], DescriptionError> {
        let count = self.byte()?;
        self.take(usize::from(count))
    }
}

fn ice_text(bytes: &[u8], length: RangeInclusive<usize>) -> Result<String, DescriptionError> {
    let ice_character = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if !length.contains(&bytes.len()) || !bytes.iter().all(ice_character) {
        return Err(DescriptionError::Credentials);
    }
    Ok(bytes.iter().copied().map(char::from).collect())
}

fn relays(rest: &mut Rest<'_>) -> Result<Vec<SocketAddr>, DescriptionError> {
    let count = usize::from(rest.byte()?);
    if !(1..=MAX_RELAYS).contains(&count) {
        return Err(DescriptionError::Relays);
    }
    let relays = (0..count)
        .map(|_| relay(rest))
        .collect::<Result<Vec<_>, _>>()?;
    let different: BTreeSet<_> = relays.iter().collect();
    if different.len() < relays.len() {
        Err(DescriptionError::Relays)
    } else {
        Ok(relays)
    }
}

fn relay(rest: &mut Rest<'_>) -> Result<SocketAddr, DescriptionError> {
    let ip = match rest.byte()? {
        FAMILY_V4 => IpAddr::V4(Ipv4Addr::from(rest.array::<4>()?)),
        FAMILY_V6 => IpAddr::V6(Ipv6Addr::from(rest.array::<16>()?)),
        _ => return Err(DescriptionError::Relays),
    };
    let port = u16::from_be_bytes(rest.array()?);
    let impossible = match ip {
        IpAddr::V4(v4) => v4.is_broadcast(),
        // An IPv4 address in IPv6 clothes would be a second encoding of the same relay.
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    if port == 0 || ip.is_unspecified() || ip.is_multicast() || impossible {
        return Err(DescriptionError::Relays);
    }
    Ok(SocketAddr::new(ip, port))
}

fn codecs(codes: &[u8]) -> Result<Vec<Codec>, DescriptionError> {
    let different: BTreeSet<_> = codes.iter().collect();
    if different.len() < codes.len() {
        return Err(DescriptionError::Codecs);
    }
    let codecs: Vec<_> = codes
        .iter()
        .map(|code| Codec::from_code(*code).ok_or(DescriptionError::Codecs))
        .collect::<Result<_, _>>()?;
    if codecs.iter().all(|codec| codec.is_events()) {
        Err(DescriptionError::Codecs)
    } else {
        Ok(codecs)
    }
}

const VERSION: u8 = 1;
const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;
/// RFC 8839 allows up to 256 characters; ours have 8 and 24, and a ring has room for little more.
const MAX_UFRAG: usize = 32;
const MIN_UFRAG: usize = 4;
const MAX_PWD: usize = 64;
const MIN_PWD: usize = 22;
/// Each relay costs the other side a TURN permission and a connectivity check, so that a caller
/// cannot ask for many.
const MAX_RELAYS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Description {
        Description {
            ufrag: "aB3+".into(),
            pwd: "0123456789abcdefghij+/".into(),
            fingerprint: [7; 32],
            ssrc: 0xdead_beef,
            relays: vec![
                "198.51.100.7:49152".parse().unwrap(),
                "[2001:db8::7]:1".parse().unwrap(),
            ],
            codecs: vec![Codec::Opus, Codec::Pcma, Codec::Events8k],
        }
    }

    fn refused(change: impl FnOnce(&mut Description)) -> DescriptionError {
        let mut description = sample();
        change(&mut description);
        Description::decode(&description.encode()).unwrap_err()
    }

    prop_compose! {
        fn relay()(v4 in any::<bool>(), bytes in any::<[u8; 16]>(), port in 1u16..) -> SocketAddr {
            let [a, b, c, d, ..] = bytes;
            let ip = if v4 { IpAddr::from([a % 223 + 1, b, c, d]) } else { IpAddr::from([&[0x20, 1], &bytes[2..]].concat().first_chunk::<16>().copied().unwrap()) };
            SocketAddr::new(ip, port)
        }
    }

    prop_compose! {
        fn description()(
            ufrag in "[A-Za-z0-9+/]{4,32}", pwd in "[A-Za-z0-9+/]{22,64}", fingerprint: [u8; 32], ssrc: u32,
            relays in prop::collection::btree_set(relay(), 1..=4),
            audio in prop::sample::select(&Codec::ALL[..4]),
            others in prop::sample::subsequence(&Codec::ALL[..], 0..=6),
        ) -> Description {
            let mut codecs = vec![audio];
            codecs.extend(others.into_iter().filter(|codec| *codec != audio));
            Description { ufrag, pwd, fingerprint, ssrc, relays: relays.into_iter().collect(), codecs }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(description in description()) {
            let bytes = description.encode();
            prop_assert!(bytes.len() <= Description::MAX_BYTES);
            prop_assert_eq!(Description::decode(&bytes), Ok(description));
        }

        #[test]
        fn accepted_bytes_are_the_only_encoding(mut bytes in description().prop_map(|d| d.encode()), at: prop::sample::Index, to: u8) {
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(description) = Description::decode(&bytes) {
                prop_assert_eq!(description.encode(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Description::decode(&bytes);
        }

        #[test]
        fn a_description_cut_short_or_drawn_out_is_refused(description in description(), cut: prop::sample::Index) {
            let mut bytes = description.encode();
            prop_assert!(Description::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert_eq!(Description::decode(&bytes), Err(DescriptionError::Trailing));
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let mut expected = b"\x01\x04aB3+\x160123456789abcdefghij+/".to_vec();
        expected.extend([7; 32]);
        expected.extend(b"\xde\xad\xbe\xef\x02\x04\xc6\x33\x64\x07\xc0\x00");
        expected.extend(b"\x06\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x00\x01\x03\x03\x01\x04");
        assert_eq!(sample().encode(), expected);
    }

    #[test]
    fn the_longest_description_fits_the_promise() {
        const { assert!(Description::MAX_BYTES <= 400) };
        let mut longest = sample();
        longest.ufrag = "u".repeat(32);
        longest.pwd = "p".repeat(64);
        longest.relays = (1..=4)
            .map(|n| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), n))
            .collect();
        longest.codecs = Codec::ALL.to_vec();
        assert_eq!(longest.encode().len(), Description::MAX_BYTES);
    }

    #[test]
    fn credentials_outside_the_limits_are_refused() {
        for ufrag in [
            "abc",
            "abc-",
            "abc ",
            "ab\u{e9}d",
            &"u".repeat(33),
            &"u".repeat(300),
        ] {
            assert_eq!(
                refused(|d| d.ufrag = ufrag.into()),
                DescriptionError::Credentials,
                "{ufrag}"
            );
        }
        for pwd in [
            "p".repeat(21),
            "p".repeat(65),
            "p".repeat(600),
            "p".repeat(30) + "=",
        ] {
            assert_eq!(refused(|d| d.pwd = pwd), DescriptionError::Credentials);
        }
    }

    #[test]
    fn relays_that_cannot_be_are_refused() {
        let impossible = [
            "198.51.100.7:0",
            "0.0.0.0:9",
            "224.0.0.1:9",
            "255.255.255.255:9",
            "[::]:9",
            "[ff02::1]:9",
            "[::ffff:198.51.100.7]:9",
        ];
        for relay in impossible {
            assert_eq!(
                refused(|d| d.relays = vec![relay.parse().unwrap()]),
                DescriptionError::Relays,
                "{relay}"
            );
        }
        assert_eq!(refused(|d| d.relays.clear()), DescriptionError::Relays);
        assert_eq!(
            refused(|d| d.relays = vec![d.relays[0]; 2]),
            DescriptionError::Relays
        );
        assert_eq!(
            refused(|d| d.relays = (1..=5)
                .map(|n| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), n))
                .collect()),
            DescriptionError::Relays
        );
        assert_eq!(
            refused(|d| d.relays = (1..=999)
                .map(|n| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), n))
                .collect()),
            DescriptionError::Relays
        );
    }

    #[test]
    fn formats_unknown_repeated_or_soundless_are_refused() {
        assert_eq!(refused(|d| d.codecs.clear()), DescriptionError::Codecs);
        assert_eq!(
            refused(|d| d.codecs = vec![Codec::Events8k]),
            DescriptionError::Codecs
        );
        assert_eq!(
            refused(|d| d.codecs = vec![Codec::Pcmu, Codec::Opus, Codec::Pcmu]),
            DescriptionError::Codecs
        );
        let mut bytes = sample().encode();
        *bytes.last_mut().unwrap() = 6;
        assert_eq!(Description::decode(&bytes), Err(DescriptionError::Codecs));
    }

    #[test]
    fn another_layout_is_refused() {
        let mut bytes = sample().encode();
        bytes[0] = 2;
        assert_eq!(Description::decode(&bytes), Err(DescriptionError::Version));
    }

    #[test]
    fn debug_shows_neither_secrets_nor_addresses() {
        let shown = format!("{:?}", sample());
        assert!(shown.contains("Secret(..)"));
        for hidden in ["0123456789", "aB3+", "198.51", "2001:db8"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
