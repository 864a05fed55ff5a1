//! A TURN server and the address of its name. Names are looked up ahead of calls, because a look-up at the moment of dialling would tell
//! the name server when a call is made.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::endpoint::{TurnEndpoint, Wire};
use super::socket::{DIAL_LIMIT, TurnDialError, any_port};

/// A TURN server whose name has been looked up, ready to be dialled.
#[derive(Clone)]
pub struct TurnTarget {
    pub(super) endpoint: TurnEndpoint,
    pub(super) addr: SocketAddr,
    pub(super) tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for TurnTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnTarget")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl TurnTarget {
    /// The server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its host in small letters: targets of one host are one server.
    #[must_use]
    pub fn host(&self) -> String {
        self.endpoint.host.to_ascii_lowercase()
    }

    /// How it is reached.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.endpoint.wire
    }

    /// The own address from which it would be reached now: names the network in which this machine is. Nothing is sent.
    #[expect(
        clippy::disallowed_methods,
        reason = "the socket sends nothing; it only shows the route"
    )]
    pub(super) fn network(&self) -> Option<IpAddr> {
        let socket = std::net::UdpSocket::bind(any_port(self.addr)).ok()?;
        socket.connect(self.addr).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    }
}

impl TurnEndpoint {
    /// Looks the name up. Called ahead of calls, never at the moment of dialling.
    ///
    /// # Errors
    /// [`TurnDialError::NoSuchName`] when there is no address within 5 s.
    pub async fn resolve(&self, tls: &Arc<ClientConfig>) -> Result<TurnTarget, TurnDialError> {
        let no_name = || TurnDialError::NoSuchName(self.to_string());
        let addr = if let Ok(ip) = self.host.parse::<IpAddr>() {
            SocketAddr::new(ip, self.port)
        } else {
            let found = timeout(DIAL_LIMIT, lookup_host((self.host.as_str(), self.port)))
                .await
                .map_err(|_| no_name())?
                .map_err(|_| no_name())?;
            // IPv4 first: more TURN servers relay it, and both sides need relayed addresses of one family.
            let mut found: Vec<SocketAddr> = found.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            found.first().copied().ok_or_else(no_name)?
        };
        Ok(TurnTarget {
            endpoint: self.clone(),
            addr,
            tls: Arc::clone(tls),
        })
    }
}
