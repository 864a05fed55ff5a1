//! The URI of a TURN server (RFC 7065 section 3.1).

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::net::outbound::is_onion;

/// How the engine reaches the TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// Datagrams, the best choice for media.
    Udp,
    /// A TCP stream, for networks that drop UDP.
    Tcp,
    /// TLS over TCP, for networks that let only port 443 out.
    Tls,
}

/// The URI of a TURN server: `turn:host[:port][?transport=udp|tcp]` or `turns:host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEndpoint {
    /// Name or address of the server.
    pub host: String,
    /// Port; 3478 for `turn:`, 5349 for `turns:` when not given (RFC 7065 section 3.1).
    pub port: u16,
    /// How it is reached.
    pub wire: Wire,
}

/// Why a text is not a TURN URI that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnUrlError {
    /// Neither `turn:` nor `turns:`.
    #[error("it must begin with turn: or turns:")]
    Scheme,
    /// No host, or one that is neither a name nor an address.
    #[error("the host is missing or malformed")]
    Host,
    /// An onion name: media is UDP, which no proxy to it carries, and the name must not be looked up.
    #[error("an onion service cannot carry media; name a server with a public address")]
    Onion,
    /// A port that is not 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Something other than `?transport=udp` or `?transport=tcp` after the host.
    #[error(
        "after the port only ?transport=udp or ?transport=tcp may follow (turns: is always TCP)"
    )]
    Transport,
}

impl FromStr for TurnEndpoint {
    type Err = TurnUrlError;

    fn from_str(text: &str) -> Result<Self, TurnUrlError> {
        let (scheme, rest) = text.trim().split_once(':').ok_or(TurnUrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "turn" => false,
            "turns" => true,
            _ => return Err(TurnUrlError::Scheme),
        };
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let wire = match (secure, query.map(str::to_ascii_lowercase).as_deref()) {
            (false, None | Some("transport=udp")) => Wire::Udp,
            (false, Some("transport=tcp")) => Wire::Tcp,
            (true, None | Some("transport=tcp")) => Wire::Tls,
            _ => return Err(TurnUrlError::Transport),
        };
        let (host, port) = split_port(place)?;
        if is_onion(host) {
            return Err(TurnUrlError::Onion);
        }
        let port = port.unwrap_or(if secure { 5349 } else { 3478 });
        Ok(Self {
            host: host.to_owned(),
            port,
            wire,
        })
    }
}

impl std::fmt::Display for TurnEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, query) = match self.wire {
            Wire::Udp => ("turn", "?transport=udp"),
            Wire::Tcp => ("turn", "?transport=tcp"),
            Wire::Tls => ("turns", ""),
        };
        if self.host.contains(':') {
            write!(f, "{scheme}:[{}]:{}{query}", self.host, self.port)
        } else {
            write!(f, "{scheme}:{}:{}{query}", self.host, self.port)
        }
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(place: &str) -> Result<(&str, Option<u16>), TurnUrlError> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(TurnUrlError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| TurnUrlError::Host)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(TurnUrlError::Port),
        };
        (host, port)
    } else {
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        if host.is_empty() || host.len() > 253 || !host.chars().all(fits) {
            return Err(TurnUrlError::Host);
        }
        (host, port)
    };
    let port = match port {
        None => None,
        Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
            let port = digits.parse::<u16>().map_err(|_| TurnUrlError::Port)?;
            Some(port)
                .filter(|port| *port != 0)
                .ok_or(TurnUrlError::Port)?
                .into()
        }
        Some(_) => return Err(TurnUrlError::Port),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(text: &str) -> Result<(String, u16, Wire), TurnUrlError> {
        text.parse::<TurnEndpoint>()
            .map(|found| (found.host, found.port, found.wire))
    }

    #[test]
    fn uris_of_rfc_7065_are_read() {
        assert_eq!(
            endpoint("turn:example.org"),
            Ok(("example.org".to_owned(), 3478, Wire::Udp))
        );
        assert_eq!(
            endpoint("turns:example.org"),
            Ok(("example.org".to_owned(), 5349, Wire::Tls))
        );
        assert_eq!(
            endpoint("TURN:192.0.2.7:99?transport=TCP"),
            Ok(("192.0.2.7".to_owned(), 99, Wire::Tcp))
        );
        assert_eq!(
            endpoint("turn:[2001:db8::1]:3478?transport=udp"),
            Ok(("2001:db8::1".to_owned(), 3478, Wire::Udp))
        );
        assert_eq!(
            endpoint("turn:[::1]"),
            Ok(("::1".to_owned(), 3478, Wire::Udp))
        );
    }

    #[test]
    fn what_is_wrong_with_a_uri_is_told_apart() {
        assert_eq!(endpoint("stun:a"), Err(TurnUrlError::Scheme));
        assert_eq!(endpoint("example.org"), Err(TurnUrlError::Scheme));
        assert_eq!(endpoint("turn:"), Err(TurnUrlError::Host));
        assert_eq!(endpoint("turn://a"), Err(TurnUrlError::Host));
        assert_eq!(endpoint("turn:u@a"), Err(TurnUrlError::Host));
        assert_eq!(endpoint("turn:[::1"), Err(TurnUrlError::Host));
        assert_eq!(endpoint("turns:a.Onion:443"), Err(TurnUrlError::Onion));
        assert_eq!(endpoint("turn:a:0"), Err(TurnUrlError::Port));
        assert_eq!(endpoint("turn:a:65536"), Err(TurnUrlError::Port));
        assert_eq!(endpoint("turn:a:+1"), Err(TurnUrlError::Port));
        assert_eq!(
            endpoint("turns:a?transport=udp"),
            Err(TurnUrlError::Transport)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_what_it_accepts_reads_back(text in "\\PC{0,40}|turns?:[a-z0-9.:\\[\\]?=]{0,30}") {
            if let Ok(found) = text.parse::<TurnEndpoint>() {
                prop_assert_eq!(found.to_string().parse::<TurnEndpoint>(), Ok(found));
            }
        }
    }
}
