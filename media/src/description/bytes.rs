//! The parts of a description as bytes: counted lists, addresses, and their limits.
//!
//! [`Description`](crate::Description) checks what they mean together.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::{DescriptionError, MAX_RELAYED_ADDRESSES, VideoDescription};
use crate::codec::Codec;
use crate::video::{MAX_FORMATS, VideoFormat};

pub(super) fn put_counted(out: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    let at = out.len();
    out.push(0);
    out.extend(bytes);
    let count = out.len() - at - 1;
    if let Some(place) = out.get_mut(at) {
        *place = count as u8;
    }
}

/// One relayed address as a description has it: family 1 (4 or 6), address 4 or 16, port 2.
#[must_use]
pub fn encode_address(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_address(&mut bytes, address);
    bytes
}

/// Reads [`encode_address`].
///
/// # Errors
/// [`DescriptionError::RelayedAddresses`] for an address that no TURN server gives, [`DescriptionError::Truncated`] and
/// [`DescriptionError::Trailing`] for another length.
pub fn decode_address(bytes: &[u8]) -> Result<SocketAddr, DescriptionError> {
    let mut rest = Rest(bytes);
    let address = relayed_address(&mut rest)?;
    if rest.is_empty() {
        Ok(address)
    } else {
        Err(DescriptionError::Trailing)
    }
}

pub(super) fn put_address(out: &mut Vec<u8>, address: &SocketAddr) {
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
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DescriptionError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(DescriptionError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DescriptionError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(DescriptionError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DescriptionError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn counted(&mut self) -> Result<&'a [u8], DescriptionError> {
        let count = self.byte()?;
        self.take(usize::from(count))
    }
}

pub(super) fn ice_text(
    bytes: &[u8],
    length: RangeInclusive<usize>,
) -> Result<String, DescriptionError> {
    let ice_character = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if !length.contains(&bytes.len()) || !bytes.iter().all(ice_character) {
        return Err(DescriptionError::Credentials);
    }
    Ok(bytes.iter().copied().map(char::from).collect())
}

pub(super) fn relayed_addresses(rest: &mut Rest<'_>) -> Result<Vec<SocketAddr>, DescriptionError> {
    let count = usize::from(rest.byte()?);
    if !(1..=MAX_RELAYED_ADDRESSES).contains(&count) {
        return Err(DescriptionError::RelayedAddresses);
    }
    let addresses = (0..count)
        .map(|_| relayed_address(rest))
        .collect::<Result<Vec<_>, _>>()?;
    let different: BTreeSet<_> = addresses.iter().collect();
    if different.len() < addresses.len() {
        Err(DescriptionError::RelayedAddresses)
    } else {
        Ok(addresses)
    }
}

fn relayed_address(rest: &mut Rest<'_>) -> Result<SocketAddr, DescriptionError> {
    let ip = match rest.byte()? {
        FAMILY_V4 => IpAddr::V4(Ipv4Addr::from(rest.array::<4>()?)),
        FAMILY_V6 => IpAddr::V6(Ipv6Addr::from(rest.array::<16>()?)),
        _ => return Err(DescriptionError::RelayedAddresses),
    };
    let port = u16::from_be_bytes(rest.array()?);
    let impossible = match ip {
        IpAddr::V4(v4) => v4.is_broadcast(),
        // An IPv4 address in IPv6 clothes would be a second encoding of the same relay.
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    if port == 0 || ip.is_unspecified() || ip.is_multicast() || impossible {
        return Err(DescriptionError::RelayedAddresses);
    }
    Ok(SocketAddr::new(ip, port))
}

pub(super) fn codecs(codes: &[u8]) -> Result<Vec<Codec>, DescriptionError> {
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

pub(super) fn video(rest: &mut Rest<'_>) -> Result<VideoDescription, DescriptionError> {
    let ssrc = u32::from_be_bytes(rest.array()?);
    let count = usize::from(rest.byte()?);
    if !(1..=MAX_FORMATS).contains(&count) {
        return Err(DescriptionError::Video);
    }
    let mut formats: Vec<VideoFormat> = Vec::with_capacity(count);
    for _ in 0..count {
        let format = VideoFormat::from_code(rest.array()?).ok_or(DescriptionError::Video)?;
        if formats.iter().any(|other| other.is_like(format)) {
            return Err(DescriptionError::Video);
        }
        formats.push(format);
    }
    Ok(VideoDescription { ssrc, formats })
}

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;
/// RFC 8839 allows up to 256 characters; ours have 8 and 24, and a ring has room for little more.
pub(super) const MAX_UFRAG: usize = 32;
pub(super) const MIN_UFRAG: usize = 4;
pub(super) const MAX_PWD: usize = 64;
pub(super) const MIN_PWD: usize = 22;
