//! The SOCKS5 proxy of the settings (RFC 1928, RFC 1929): its URL, the circuits of the connections through it, and why it refuses one.
//!
//! The proxy resolves all names, so that none goes to this machine's resolver (`socks5h`). The protocol itself is tokio-socks's; this
//! is the only file that knows it. UDP through the proxy is not offered, so TURN is not reached through it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::RngExt;
use tokio::net::TcpStream;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;
use url::{Host, Url};

/// The port of a proxy whose URL names none (RFC 1928).
const USUAL_PORT: u16 = 1080;

/// A SOCKS5 proxy that resolves names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksProxy {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// Text that is no URL of a usable proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocksUrlError {
    /// Not a URL, or one with a path, a user or the like.
    #[error("it is not the URL of a SOCKS5 proxy")]
    BadUrl,
    /// Another kind of proxy, or one that leaves look-ups of names to this machine.
    #[error(
        "only socks5h:// proxies are used: they resolve names themselves, so that no name is looked up here"
    )]
    OtherScheme,
}

impl fmt::Display for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "socks5h://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "socks5h://{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for SocksProxy {
    type Err = SocksUrlError;

    fn from_str(text: &str) -> Result<Self, SocksUrlError> {
        let url = Url::parse(text.trim()).map_err(|_| SocksUrlError::BadUrl)?;
        if url.scheme() != "socks5h" {
            return Err(SocksUrlError::OtherScheme);
        }
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        let host = match url.host() {
            Some(Host::Domain(name)) if is_plain && !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) if is_plain => ip.to_string(),
            Some(Host::Ipv6(ip)) if is_plain => ip.to_string(),
            _ => return Err(SocksUrlError::BadUrl),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(USUAL_PORT),
        })
    }
}

/// A user name and password for the proxy, by which Tor and others separate streams (`IsolateSOCKSAuth`): connections of different
/// circuits leave the proxy over different paths, so that two servers cannot tell that one engine uses both. Random, so that it tells
/// nothing, and never kept. One is made for each relay and purpose at each start.
#[derive(Clone, PartialEq, Eq)]
pub struct Circuit(Arc<(String, String)>);

impl Circuit {
    /// A circuit that differs from all others.
    #[must_use]
    pub fn random() -> Self {
        let draw = || hex::encode(rand::rng().random::<[u8; 16]>());
        Self(Arc::new((draw(), draw())))
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Circuit(..)")
    }
}

/// Why the proxy opened no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyRefusal {
    /// It answered with another protocol, or closed the connection.
    #[error("it does not answer as a SOCKS5 proxy")]
    NotSocks,
    /// It does not take user names and passwords, or not these.
    #[error("it takes no user name and password, which keep connections apart")]
    Login,
    /// It forbids this destination.
    #[error("it does not allow this destination")]
    Forbidden,
    /// It found no way to the server.
    #[error("it does not reach the server")]
    Unreached,
}

/// Asks the proxy at the other end of `stream` for a connection to `host`, which it looks up.
pub(super) async fn ask(
    stream: TcpStream,
    (host, port): (&str, u16),
    circuit: &Circuit,
) -> Result<TcpStream, ProxyRefusal> {
    let (user, password) = circuit.0.as_ref();
    let asked =
        Socks5Stream::connect_with_password_and_socket(stream, (host, port), user, password).await;
    asked
        .map(Socks5Stream::into_inner)
        .map_err(|error| match error {
            Error::NoAcceptableAuthMethods | Error::PasswordAuthFailure(_) => ProxyRefusal::Login,
            Error::ConnectionNotAllowedByRuleset => ProxyRefusal::Forbidden,
            Error::GeneralSocksServerFailure
            | Error::NetworkUnreachable
            | Error::HostUnreachable
            | Error::ConnectionRefused
            | Error::TtlExpired
            // A name that is too long for the protocol.
            | Error::InvalidTargetAddress(_)
            // The library's name for codes that RFC 1928 does not have: Tor's own, for example of an onion service that is not there.
            | Error::UnknownAuthMethod => ProxyRefusal::Unreached,
            _ => ProxyRefusal::NotSocks,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_proxy_names_a_host_and_perhaps_a_port() {
        for (text, host, port) in [
            ("socks5h://127.0.0.1:9050", "127.0.0.1", 9050),
            ("socks5h://tor", "tor", 1080),
            (" socks5h://[::1]:9150/ ", "::1", 9150),
        ] {
            let host = host.to_owned();
            assert_eq!(text.parse(), Ok(SocksProxy { host, port }), "{text}");
        }
    }

    #[test]
    fn a_proxy_that_leaves_names_to_this_machine_is_refused() {
        for text in [
            "socks5://127.0.0.1:9050",
            "http://127.0.0.1:3128",
            "socks4a://a",
        ] {
            assert_eq!(
                text.parse::<SocksProxy>(),
                Err(SocksUrlError::OtherScheme),
                "{text}"
            );
        }
        for text in [
            "",
            "127.0.0.1:9050",
            "socks5h://",
            "socks5h://me:pw@a",
            "socks5h://a/b",
            "socks5h://a?b",
        ] {
            assert!(text.parse::<SocksProxy>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_two_circuits_are_alike_and_none_is_printed() {
        let (one, other) = (Circuit::random(), Circuit::random());
        assert_ne!(one, other);
        assert_ne!(one.0.0, other.0.0);
        assert_eq!(format!("{one:?}"), "Circuit(..)");
    }
}
