//! The host in a URI or a Via: a name or an address literal (RFC 3261 section 25.1, RFC 5118 for IPv6).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::scan::{Scan, number};

/// The host part: a name or an address literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    text: String,
}

impl Host {
    pub(super) fn of(address: IpAddr) -> Self {
        let text = match address {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { text }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, if the host is a literal. A zone (`%eth0`) is left out.
    pub fn ip(&self) -> Option<IpAddr> {
        let Some(inside) = self
            .text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        else {
            return self.text.parse().ok();
        };
        let address = inside.split('%').next()?;
        address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    }

    /// The same host: equal addresses, or equal names without regard to case.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.ip(), other.ip()) {
            (Some(one), Some(two)) => one == two,
            _ => self.text.eq_ignore_ascii_case(&other.text),
        }
    }

    /// Reads `host [":" port]`.
    pub(crate) fn read(scan: &mut Scan<'_>) -> Option<(Self, Option<u16>)> {
        let text = if scan.eat(b'[') {
            let inside = scan.until(b']')?;
            format!("[{}]", std::str::from_utf8(inside).ok()?)
        } else {
            let name = scan.take_while(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
            });
            std::str::from_utf8(name).ok()?.to_owned()
        };
        let host = Self { text };
        if host.text.is_empty() || (host.text.starts_with('[') && host.ip().is_none()) {
            return None;
        }
        if !scan.eat_padded(b':') {
            return Some((host, None));
        }
        let port = number(scan.take_while(|byte| byte.is_ascii_digit()))?;
        Some((host, Some(port)))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
