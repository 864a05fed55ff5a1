//! Whose request it is when a reverse proxy passes it on: reads `X-Forwarded-For`, or `Forwarded` (RFC 7239 section 5.2), from its
//! end to its beginning, as far as the hops are proxies of ours. What stands further left was written by an untrusted party and says
//! nothing. The address serves the limits and nothing more; it is neither kept nor logged.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Proxies in a row. With more of them, the limits count the nearest that is left.
const MAX_HOPS: usize = 8;

/// Which header the proxies write. The other one is not looked at: they would pass on what a client made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: 192.0.2.1, 198.51.100.2`
    #[default]
    XForwardedFor,
    /// `Forwarded: for=192.0.2.1, for="[2001:db8::1]:4711";proto=https`
    Forwarded,
}

impl ForwardedHeader {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The address that the request comes from: the peer's, if that is no proxy of ours; else the last one in the header's lines that
    /// is none. A hop that hides itself, or that cannot be read, leaves the proxy which told of it.
    pub fn visitor<'a>(
        self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'a str>,
        trusted: impl Fn(IpAddr) -> bool,
    ) -> IpAddr {
        let mut visitor = peer.to_canonical();
        let hops = lines.rev().flat_map(|line| self.hops(line));
        for hop in hops.take(MAX_HOPS) {
            match hop {
                Some(address) if trusted(visitor) => visitor = address,
                Some(_) | None => break,
            }
        }
        visitor
    }

    /// The hops of one line, the last one first.
    fn hops(self, line: &str) -> Vec<Option<IpAddr>> {
        let elements = split(line, ',');
        let last = elements.into_iter().rev().take(MAX_HOPS);
        match self {
            Self::XForwardedFor => last.map(address).collect(),
            Self::Forwarded => last.map(forwarded_for).collect(),
        }
    }
}

/// The reverse proxies whose word about a request's origin is taken, and the header in which they give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Programs on this machine.
    pub const LOCAL: [&'static str; 2] = ["127.0.0.0/8", "::1"];

    /// From texts like `127.0.0.1` and `10.0.0.0/8`.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn new(networks: &[String], header: ForwardedHeader) -> Result<Self, ProxyError> {
        let read = |text: &String| {
            let network = text.parse::<IpNet>();
            network
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| ProxyError(text.clone()))
        };
        let networks = networks.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { networks, header })
    }

    /// Whether the address is that of a proxy of ours.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The address that a request comes from.
    #[must_use]
    pub fn visitor(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<&str> = headers
            .get_all(self.header.name())
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        self.header
            .visitor(peer, lines.into_iter(), |address| self.trust(address))
    }
}

impl Default for Proxies {
    /// Programs on this machine, in the header that most proxies write.
    fn default() -> Self {
        let networks = Self::LOCAL.map(str::to_owned);
        Self::new(&networks, ForwardedHeader::default()).expect("these are networks")
    }
}

/// A trusted proxy that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a trusted proxy is written 127.0.0.1 or 10.0.0.0/8, not {0}")]
pub struct ProxyError(pub String);

/// The `for` of one element.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    split(element, ';').into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            return None;
        }
        let value = value.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        address(unquoted.unwrap_or(value))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text
            .parse()
            .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}

/// Splits at separators outside quoted strings (RFC 9110 section 5.6.4).
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.extend(text.get(start..at));
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Proxies of ours are in 10.0.0.0/8 and at ::1.
    fn visitor(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let ours =
            |address: IpAddr| address.to_string().starts_with("10.") || address.is_loopback();
        let visitor = header.visitor(peer.parse().unwrap(), lines.iter().copied(), ours);
        visitor.to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_counts() {
        let seen = |peer, lines: &[&str]| visitor(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(seen("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["192.0.2.9, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1", "10.0.0.2"]), "192.0.2.1");
        assert_eq!(seen("::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(
            seen("::ffff:10.0.0.1", &["[2001:db8::1]:80"]),
            "2001:db8::1"
        );
        assert_eq!(seen("10.0.0.1", &["192.0.2.1:1234"]), "192.0.2.1");
    }

    #[test]
    fn a_client_that_is_no_proxy_is_not_believed() {
        let seen = |peer, lines: &[&str]| visitor(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(seen("192.0.2.7", &["192.0.2.1"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["10.0.0.9, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_proxy_that_told_of_it() {
        let seen = |lines: &[&str]| visitor(ForwardedHeader::XForwardedFor, "10.0.0.1", lines);
        for line in [
            "unknown",
            "",
            "192.0.2.1,",
            "192.0.2.256",
            "[192.0.2.1]",
            "\"192.0.2.1",
        ] {
            assert_eq!(seen(&[line]), "10.0.0.1", "{line}");
        }
        assert_eq!(seen(&["192.0.2.1, _hidden, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn a_long_row_of_proxies_ends_somewhere() {
        let line = format!("192.0.2.1{}", ", 10.0.0.2".repeat(100));
        let seen = visitor(ForwardedHeader::XForwardedFor, "10.0.0.1", &[&line]);
        assert_eq!(seen, "10.0.0.2");
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        let seen = |lines: &[&str]| visitor(ForwardedHeader::Forwarded, "10.0.0.1", lines);
        assert_eq!(
            seen(&["for=192.0.2.1;proto=https;by=10.0.0.1"]),
            "192.0.2.1"
        );
        assert_eq!(
            seen(&["proto=http; For=\"[2001:db8::1]:4711\""]),
            "2001:db8::1"
        );
        assert_eq!(seen(&["for=192.0.2.9, for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            seen(&["for=192.0.2.1;host=\"a, for=192.0.2.9\""]),
            "192.0.2.1"
        );
        assert_eq!(
            seen(&["for=192.0.2.1;host=\"\\\"\", for=10.0.0.2"]),
            "192.0.2.1"
        );
        for line in [
            "for=_SEVKISEK",
            "for=unknown",
            "by=192.0.2.1",
            "192.0.2.1",
            "for=\"\"",
        ] {
            assert_eq!(seen(&[line]), "10.0.0.1", "{line}");
        }
    }

    #[test]
    fn the_header_is_named_as_it_is_written() {
        assert_eq!(ForwardedHeader::XForwardedFor.name(), "x-forwarded-for");
        assert_eq!(ForwardedHeader::Forwarded.name(), "forwarded");
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(line in "\\PC*", listed in "[0-9a-f:.,;=\"\\\\ for\\[\\]]*") {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let peer = IpAddr::from([10, 0, 0, 1]);
                prop_assert_eq!(header.visitor(peer, [line.as_str(), &listed].into_iter(), |_| false), peer);
                let _ = header.visitor(peer, [line.as_str(), &listed].into_iter(), |_| true);
            }
        }
    }
}
