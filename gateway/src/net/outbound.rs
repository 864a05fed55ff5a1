//! Connections to relays and to the phone book: look-up of the name, TCP, the SOCKS5 proxy if one is set, TLS.
//!
//! With a proxy, names are resolved there and never here. A `.onion` name is refused without one, before any look-up. This machine and
//! private networks are reached directly, because a proxy on the way to the world does not reach them. TURN has its own sockets.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::audit::{AuditEntry, ConnectionAudit};
use super::certificate_fault::CertificateFault;
use super::socks::{self, Circuit, ProxyRefusal, SocksProxy};
use super::tls;

/// The longest time from the look-up to the end of the TLS handshake.
const DIRECT_LIMIT: Duration = Duration::from_secs(10);
/// The same through a proxy, which may have to build a path to an onion service first.
const PROXY_LIMIT: Duration = Duration::from_secs(40);
/// Between attempts at the addresses of one name (the delay of RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 6;

/// A server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub is_tls: bool,
}

impl Destination {
    /// The server of a URL of one of these schemes: `http`, `https`, `ws`, `wss`.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let is_tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let port = url.port_or_known_default()?;
        Some(Self { host, port, is_tls })
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// An onion name, and no proxy that could resolve it. Nothing was looked up.
    #[error("an onion name is reached through Tor alone, and no proxy is set")]
    OnionWithoutProxy,
    /// Not a name or address.
    #[error("the host's name cannot be used")]
    BadHost,
    /// The name has no address, or the resolver does not answer.
    #[error("the host's name was not found")]
    NoAddress,
    /// No connection to any address of the host.
    #[error("no connection: {0}")]
    Connect(ErrorKind),
    /// No connection to the proxy.
    #[error("the SOCKS5 proxy does not answer: {0}")]
    Proxy(ErrorKind),
    /// The proxy opened no connection.
    #[error("the SOCKS5 proxy opened no connection: {0}")]
    Refused(#[from] ProxyRefusal),
    /// The server's certificate is refused.
    #[error(transparent)]
    Certificate(Box<CertificateFault>),
    /// No secure connection for another reason.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// Not all of it was done in time.
    #[error("no connection within {} s", .0.as_secs())]
    Timeout(Duration),
}

impl OutboundError {
    /// The error without the names of servers: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Certificate(fault) => fault.unnamed(),
            other => other.to_string(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OnionWithoutProxy => {
                "run Tor and set proxy = \"socks5h://127.0.0.1:9050\" in the settings"
            }
            Self::BadHost | Self::NoAddress => "check the host's name, and the network",
            Self::Proxy(_) | Self::Refused(ProxyRefusal::NotSocks | ProxyRefusal::Login) => {
                "check that Tor (or another SOCKS5 proxy) runs at the address of the setting proxy"
            }
            Self::Refused(_) => "check the server's name, and the proxy's log",
            Self::Certificate(fault) => fault.remedy(),
            Self::Tls(_) => "check that the port speaks TLS",
            Self::Connect(_) | Self::Timeout(_) => {
                "check the URL and the network, and that the server is running"
            }
        }
    }
}

/// How connections are made: certificates that are trusted, and the proxy.
#[derive(Clone, Debug)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    proxy: Option<SocksProxy>,
    audit: ConnectionAudit,
}

impl Outbound {
    /// Connections with the trust of `tls` (see [`super::tls::client`]), through `proxy` if there is one.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<SocksProxy>) -> Self {
        Self {
            tls,
            proxy,
            audit: ConnectionAudit::default(),
        }
    }

    /// Connections that trust the system's authorities and use no proxy.
    #[must_use]
    pub fn direct() -> Self {
        let tls = tls::client(None).expect("there is no file that could be unusable");
        Self::new(tls, None)
    }

    /// The proxy, if one is set.
    #[must_use]
    pub fn proxy(&self) -> Option<&SocksProxy> {
        self.proxy.as_ref()
    }

    /// Connects to the proxy and hangs up, to see whether it answers.
    ///
    /// # Errors
    /// [`OutboundError::Proxy`].
    pub async fn try_proxy(&self) -> Result<(), OutboundError> {
        match &self.proxy {
            None => Ok(()),
            Some(proxy) => timeout(DIRECT_LIMIT, self.dial_proxy(proxy))
                .await
                .unwrap_or(Err(OutboundError::Proxy(ErrorKind::TimedOut)))
                .map(drop),
        }
    }

    /// The same, with an audit that notes every name that is looked up here.
    #[must_use]
    pub fn audited(self, audit: ConnectionAudit) -> Self {
        Self { audit, ..self }
    }

    /// Opens a connection. `circuit` matters only through a proxy.
    ///
    /// # Errors
    /// [`OutboundError`], at the latest after 10 s, through a proxy after 40 s.
    pub async fn connect(
        &self,
        to: &Destination,
        circuit: &Circuit,
    ) -> Result<OutboundStream, OutboundError> {
        let proxy = self.proxy.as_ref().filter(|_| !is_near(&to.host));
        if proxy.is_none() && is_onion(&to.host) {
            return Err(OutboundError::OnionWithoutProxy);
        }
        let limit = proxy.map_or(DIRECT_LIMIT, |_| PROXY_LIMIT);
        timeout(limit, self.open(to, proxy, circuit))
            .await
            .unwrap_or(Err(OutboundError::Timeout(limit)))
    }

    async fn open(
        &self,
        to: &Destination,
        proxy: Option<&SocksProxy>,
        circuit: &Circuit,
    ) -> Result<OutboundStream, OutboundError> {
        let stream = match proxy {
            None => self.dial(&to.host, to.port).await?,
            Some(proxy) => {
                let stream = self.dial_proxy(proxy).await?;
                socks::ask(stream, (&to.host, to.port), circuit).await?
            }
        };
        if !to.is_tls {
            return Ok(OutboundStream::Plain(stream));
        }
        let name = ServerName::try_from(to.host.clone()).map_err(|_| OutboundError::BadHost)?;
        let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        match secured.await {
            Ok(stream) => Ok(OutboundStream::Tls(Box::new(stream))),
            Err(error) => Err(match CertificateFault::of(&error) {
                Some(fault) => OutboundError::Certificate(Box::new(fault)),
                None => OutboundError::Tls(error.to_string()),
            }),
        }
    }

    async fn dial_proxy(&self, proxy: &SocksProxy) -> Result<TcpStream, OutboundError> {
        let dialled = self.dial(&proxy.host, proxy.port).await;
        dialled.map_err(|error| match error {
            OutboundError::Connect(kind) => OutboundError::Proxy(kind),
            _ => OutboundError::Proxy(ErrorKind::NotFound),
        })
    }

    /// Connects to the first address of the name that answers.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that connects to relays, the phone book and the proxy"
    )]
    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, OutboundError> {
        if host.parse::<IpAddr>().is_err() {
            self.audit.note(|| AuditEntry::Name(host.to_owned()));
        }
        let found = lookup_host((host, port)).await;
        let mut attempts = JoinSet::new();
        for (turn, address) in (0..).zip(found.into_iter().flatten().take(MOST_ADDRESSES)) {
            attempts.spawn(async move {
                sleep(STAGGER * turn).await;
                TcpStream::connect(address).await
            });
        }
        let mut fault = OutboundError::NoAddress;
        while let Some(ended) = attempts.join_next().await {
            match ended.map_err(io::Error::from).and_then(|tried| tried) {
                Ok(stream) => {
                    // Only a delay is lost without it.
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Err(error) => fault = OutboundError::Connect(error.kind()),
            }
        }
        Err(fault)
    }
}

/// Whether a name belongs to Tor, so that it is never looked up here (RFC 7686).
#[must_use]
pub fn is_onion(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("onion")
}

/// Whether a host is this machine or an address of a private network.
#[must_use]
pub fn is_near(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// An open connection.
#[derive(Debug)]
pub enum OutboundStream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for OutboundStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for OutboundStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::test_proxy::TestProxy;

    fn outbound(proxy: Option<SocksProxy>) -> (Outbound, ConnectionAudit) {
        let audit = ConnectionAudit::begin();
        let outbound = Outbound::new(tls::client(None).unwrap(), proxy).audited(audit.clone());
        (outbound, audit)
    }

    fn plain(host: &str, port: u16) -> Destination {
        let host = host.to_owned();
        Destination {
            host,
            port,
            is_tls: false,
        }
    }

    /// A server that greets its clients.
    async fn greeter() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                client.write_all(b"hello").await.unwrap();
            }
        });
        address
    }

    async fn greeting(mut stream: OutboundStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn through_a_proxy_names_are_resolved_there_and_each_circuit_has_its_own_login() {
        let proxy = TestProxy::start(Ok(greeter().await)).await;
        let (outbound, audit) = outbound(Some(proxy.setting()));
        let start = Instant::now();
        let circuits = [Circuit::random(), Circuit::random()];
        for circuit in &circuits {
            for host in ["relay.example.org", "abcdefgh.onion"] {
                let stream = outbound.connect(&plain(host, 443), circuit).await.unwrap();
                assert_eq!(greeting(stream).await, "hello");
            }
        }
        let asked = proxy.asked();
        let names: Vec<_> = asked.iter().map(|asked| asked.name.as_deref()).collect();
        let (name, onion) = (Some("relay.example.org"), Some("abcdefgh.onion"));
        assert_eq!(names, [name, onion, name, onion]);
        assert!(asked.iter().all(|asked| asked.port == 443));
        assert_eq!(asked[0].user, asked[1].user);
        assert_ne!(asked[0].user, asked[2].user);
        assert_ne!(asked[0].password, asked[2].password);
        assert_eq!(audit.since(start), []);
    }

    #[tokio::test]
    async fn without_a_proxy_an_onion_name_is_refused_and_not_looked_up() {
        let (outbound, audit) = outbound(None);
        let start = Instant::now();
        for host in ["abcdefgh.onion", "www.abcdefgh.ONION", "abcdefgh.onion."] {
            let refused = outbound.connect(&plain(host, 80), &Circuit::random()).await;
            let error = refused.unwrap_err();
            assert_eq!(error, OutboundError::OnionWithoutProxy);
            assert!(error.remedy().contains("socks5h://"));
        }
        assert_eq!(audit.since(start), []);
        let address = greeter().await;
        let near = plain("localhost", address.port());
        let stream = outbound.connect(&near, &Circuit::random()).await.unwrap();
        assert_eq!(greeting(stream).await, "hello");
        let looked_up = AuditEntry::Name("localhost".to_owned());
        assert_eq!(audit.since(start), [looked_up]);
    }

    #[tokio::test]
    async fn this_machine_and_private_networks_are_reached_past_the_proxy() {
        let proxy = TestProxy::start(Err(1)).await;
        let (outbound, _) = outbound(Some(proxy.setting()));
        let to = plain("127.0.0.1", greeter().await.port());
        let stream = outbound.connect(&to, &Circuit::random()).await.unwrap();
        assert_eq!(greeting(stream).await, "hello");
        assert_eq!(proxy.asked(), []);
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_with_the_reason_and_one_that_is_away_too() {
        for (code, refusal) in [
            (1, ProxyRefusal::Unreached),
            (2, ProxyRefusal::Forbidden),
            (4, ProxyRefusal::Unreached),
            (0xf0, ProxyRefusal::Unreached),
        ] {
            let proxy = TestProxy::start(Err(code)).await;
            let (outbound, _) = outbound(Some(proxy.setting()));
            let to = plain("relay.example.org", 443);
            let refused = outbound.connect(&to, &Circuit::random()).await;
            assert_eq!(
                refused.unwrap_err(),
                OutboundError::Refused(refusal),
                "{code}"
            );
        }
        // The greeter speaks before it is asked, and not SOCKS.
        let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = away.local_addr().unwrap();
        drop(away);
        for (address, expected) in [
            (address, OutboundError::Proxy(ErrorKind::ConnectionRefused)),
            (
                greeter().await,
                OutboundError::Refused(ProxyRefusal::NotSocks),
            ),
        ] {
            let setting = format!("socks5h://{address}").parse().unwrap();
            let (outbound, _) = outbound(Some(setting));
            let to = plain("abcdefgh.onion", 80);
            let refused = outbound.connect(&to, &Circuit::random()).await;
            assert_eq!(refused.unwrap_err(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_accepts_and_says_nothing_is_given_up_at_the_deadline() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let (outbound, _) = outbound(None);
        let to = Destination {
            is_tls: true,
            ..plain("127.0.0.1", port)
        };
        let ended = outbound.connect(&to, &Circuit::random()).await;
        assert_eq!(ended.unwrap_err(), OutboundError::Timeout(DIRECT_LIMIT));
    }
}
