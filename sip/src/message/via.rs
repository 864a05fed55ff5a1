//! The Via header: the sender of a message, and where the response is sent (RFC 3261 section 20.42, RFC 3581).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use super::host::Host;
use super::params::Params;
use super::scan::{Scan, trim};

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `SIP/2.0/UDP` or the like: version and transport as written.
    protocol: Cow<'static, str>,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `rport`, `received` and the rest.
    pub params: Params,
}

/// The prefix of branches that are globally unique (RFC 3261 section 8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// Reads the first value of a Via header; gives also how many bytes of `value` it takes.
    pub fn parse_first(value: &[u8]) -> Option<(Self, usize)> {
        let mut scan = Scan::new(value);
        scan.skip_space();
        if !scan.token()?.eq_ignore_ascii_case("SIP") || !scan.eat_padded(b'/') {
            return None;
        }
        let version = scan.token()?;
        if !scan.eat_padded(b'/') {
            return None;
        }
        let protocol = protocol(version, scan.token()?);
        scan.skip_space();
        let (host, port) = Host::read(&mut scan)?;
        let params = Params::read(&mut scan)?;
        scan.skip_space();
        let is_whole = scan.is_done() || scan.peek() == Some(b',');
        let used = value.len().saturating_sub(scan.rest().len());
        is_whole.then_some((
            Self {
                protocol,
                host,
                port,
                params,
            },
            used,
        ))
    }

    /// The branch, if there is one.
    pub fn branch(&self) -> Option<String> {
        self.params.get("branch").map(|branch| branch.into_owned())
    }

    /// The sent-by part as a key: lower case, the port as written (RFC 3261 section 17.2.3).
    pub(crate) fn sent_by(&self) -> String {
        let mut sent_by = self.host.as_str().to_ascii_lowercase();
        if let Some(port) = self.port {
            let _ = write!(sent_by, ":{port}");
        }
        sent_by
    }

    /// Adds the source address of the message (RFC 3261 section 18.2.1, RFC 3581 section 4).
    pub(crate) fn note_source(&mut self, source: SocketAddr) {
        let asks_for_port = self.params.get("rport").is_some();
        if asks_for_port {
            self.params.set("rport", &source.port().to_string());
        }
        if asks_for_port || self.host.ip() != Some(source.ip()) {
            self.params.set("received", &source.ip().to_string());
        }
    }
}

/// The usual protocols need no allocation.
fn protocol(version: &str, transport: &str) -> Cow<'static, str> {
    match (version, transport) {
        ("2.0", "UDP") => Cow::Borrowed("SIP/2.0/UDP"),
        ("2.0", "TCP") => Cow::Borrowed("SIP/2.0/TCP"),
        ("2.0", "TLS") => Cow::Borrowed("SIP/2.0/TLS"),
        _ => Cow::Owned(format!("SIP/{version}/{transport}")),
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

/// Rewrites the first value of a Via header, keeping whatever follows it.
pub(crate) fn with_source(value: &[u8], source: SocketAddr) -> Vec<u8> {
    let Some((mut via, used)) = Via::parse_first(value) else {
        return value.to_vec();
    };
    via.note_source(source);
    let mut noted = via.to_string().into_bytes();
    noted.extend_from_slice(trim(value.get(used..).unwrap_or_default()));
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(value: &str) -> Option<Via> {
        Via::parse_first(value.as_bytes()).map(|(via, _)| via)
    }

    #[test]
    fn odd_spacing_is_read() {
        let via =
            first("SIP  / 2.0\t/ UDP  host.example : 5070 ; branch = z9hG4bKx;rport").unwrap();
        assert_eq!(
            via.to_string(),
            "SIP/2.0/UDP host.example:5070;branch=z9hG4bKx;rport"
        );
        assert_eq!(via.sent_by(), "host.example:5070");
    }

    #[test]
    fn broken_values_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "2.0/UDP h",
            "HTTP/1.1/TCP h",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h:5x",
            "SIP/2.0/UDP [::1",
        ] {
            assert_eq!(first(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_true_source_is_noted_in_the_first_value_only() {
        let source = "192.0.2.9:4321".parse().unwrap();
        let noted = with_source(
            b"SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa , SIP/2.0/UDP h2",
            source,
        );
        let expected = "SIP/2.0/UDP 10.0.0.1:5060;rport=4321;branch=z9hG4bKa;received=192.0.2.9, SIP/2.0/UDP h2";
        assert_eq!(String::from_utf8(noted).unwrap(), expected);
        let asked = with_source(b"SIP/2.0/UDP 192.0.2.9:4321;rport", source);
        assert_eq!(
            asked,
            b"SIP/2.0/UDP 192.0.2.9:4321;rport=4321;received=192.0.2.9"
        );
        let plain = with_source(b"SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKa", source);
        assert_eq!(plain, b"SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKa");
    }
}
