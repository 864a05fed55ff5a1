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
use tokio::sync::watch;
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

/// How connections are made: certificates that are trusted, and the proxy. Copies share what is known of the proxy.
#[derive(Clone, Debug)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    proxy: Option<Arc<Proxy>>,
    audit: ConnectionAudit,
}

#[derive(Debug)]
struct Proxy {
    setting: SocksProxy,
    /// Whether it answered when it was last asked for a connection.
    answers: watch::Sender<Option<bool>>,
}

impl Outbound {
    /// Connections with the trust of `tls` (see [`super::tls::client`]), through `proxy` if there is one.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<SocksProxy>) -> Self {
        Self {
            tls,
            proxy: proxy.map(|setting| {
                let answers = watch::channel(None).0;
                Arc::new(Proxy { setting, answers })
            }),
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
        self.proxy.as_ref().map(|proxy| &proxy.setting)
    }

    /// Whether the proxy answered when it was last asked for a connection; `None` without a proxy, and before its first answer.
    #[must_use]
    pub fn proxy_answers(&self) -> Option<bool> {
        *self.proxy.as_ref()?.answers.borrow()
    }

    /// What connections that are secured elsewhere trust: those to TURN servers.
    pub(crate) const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// The record of what is opened.
    pub(crate) const fn audit(&self) -> &ConnectionAudit {
        &self.audit
    }

    /// Connects to the proxy and hangs up, to see whether it answers.
    ///
    /// # Errors
    /// [`OutboundError::Proxy`].
    pub async fn try_proxy(&self) -> Result<(), OutboundError> {
        match &self.proxy {
            None => Ok(()),
            Some(proxy) => timeout(DIRECT_LIMIT, self.dial_proxy(&proxy.setting))
                .await
                .unwrap_or(Err(OutboundError::Proxy(ErrorKind::TimedOut)))
                .map(drop),
        }
    }

    /// The same, with an audit that notes every name that is looked up here, and what its users open.
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
        proxy: Option<&Arc<Proxy>>,
        circuit: &Circuit,
    ) -> Result<OutboundStream, OutboundError> {
        let stream = match proxy {
            None => self.dial(&to.host, to.port).await?,
            Some(proxy) => {
                let asked = self.ask_proxy(proxy, to, circuit).await;
                proxy.answers.send_replace(Some(is_answer(&asked)));
                asked?
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

    async fn ask_proxy(
        &self,
        proxy: &Proxy,
        to: &Destination,
        circuit: &Circuit,
    ) -> Result<TcpStream, OutboundError> {
        let stream = self.dial_proxy(&proxy.setting).await?;
        Ok(socks::ask(stream, (&to.host, to.port), circuit).await?)
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

/// Whether a proxy that was asked for a connection works as one, though it may not reach the server.
fn is_answer(asked: &Result<TcpStream, OutboundError>) -> bool {
    use ProxyRefusal::{Forbidden, Unreached};
    matches!(
        asked,
        Ok(_) | Err(OutboundError::Refused(Forbidden | Unreached))
    )
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
mod tests;
