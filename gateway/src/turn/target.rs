//! A TURN server and the address of its name. Names are looked up ahead of calls, because a look-up at the moment of dialling would tell
//! the name server when a call is made.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::endpoint::{TurnEndpoint, Wire};
use super::socket::{DIAL_LIMIT, TurnDialError};
use crate::net::network::own_address;

/// Addresses of a name that are kept.
const MOST_ADDRESSES: usize = 8;

/// A TURN server whose name has been looked up, ready to be dialled.
#[derive(Clone)]
pub struct TurnTarget {
    pub(super) endpoint: TurnEndpoint,
    /// At least one, those of IPv4 first. Clones share them: the name is looked up again after a change of network.
    addrs: Arc<Mutex<Vec<SocketAddr>>>,
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
    /// The server's address: the first one to which this machine has a route now. A machine with IPv6 only has none to those of IPv4.
    ///
    /// # Panics
    /// Never: a target has an address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        let addrs = self.addrs();
        let mut reached = addrs.iter().filter(|addr| own_address(addr.ip()).is_some());
        let first = reached.next().or(addrs.first());
        *first.expect("a target has an address")
    }

    /// All addresses of its name.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let addrs = self.addrs.lock();
        addrs.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks the name up again, for all clones. If that fails, the addresses stay.
    pub(super) async fn look_up_again(&self) {
        if let Ok(found) = self.endpoint.look_up().await {
            *self.addrs.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    /// Its host in small letters: targets of one host are one server.
    #[must_use]
    pub fn host(&self) -> String {
        self.endpoint.host.to_ascii_lowercase()
    }

    /// Whether its host is a name, which is looked up.
    pub(super) fn has_name(&self) -> bool {
        self.endpoint.host.parse::<IpAddr>().is_err()
    }

    /// How it is reached.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.endpoint.wire
    }

    /// The own address from which it would be reached now: names the network in which this machine is. Nothing is sent.
    pub(super) fn network(&self) -> Option<IpAddr> {
        own_address(self.addr().ip())
    }
}

impl TurnEndpoint {
    /// Looks the name up. Called ahead of calls, never at the moment of dialling.
    ///
    /// # Errors
    /// [`TurnDialError::NoSuchName`] when there is no address within 5 s.
    pub async fn resolve(&self, tls: &Arc<ClientConfig>) -> Result<TurnTarget, TurnDialError> {
        Ok(TurnTarget {
            endpoint: self.clone(),
            addrs: Arc::new(Mutex::new(self.look_up().await?)),
            tls: Arc::clone(tls),
        })
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, TurnDialError> {
        let no_name = || TurnDialError::NoSuchName(self.to_string());
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let found = timeout(DIAL_LIMIT, lookup_host((self.host.as_str(), self.port)))
            .await
            .map_err(|_| no_name())?
            .map_err(|_| no_name())?;
        let mut found: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
        // The other family is for networks that lack the first.
        found.sort_by_key(SocketAddr::is_ipv6);
        match found.is_empty() {
            true => Err(no_name()),
            false => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls;

    fn target(addrs: &[&str]) -> TurnTarget {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap());
        TurnTarget {
            endpoint: "turn:turn.invalid".parse().unwrap(),
            addrs: Arc::new(Mutex::new(addrs.collect())),
            tls: tls::client(None).unwrap(),
        }
    }

    /// The system lets no datagrams leave for the first address, as for any of a family that the network lacks.
    #[test]
    fn a_server_is_reached_at_its_first_address_to_which_there_is_a_route() {
        const NO_ROUTE: &str = "255.255.255.255:3478";
        for (addrs, expected) in [
            (vec![NO_ROUTE, "[::1]:3478"], "[::1]:3478"),
            (vec!["127.0.0.1:3478", "[::1]:3478"], "127.0.0.1:3478"),
            (vec![NO_ROUTE], NO_ROUTE),
        ] {
            assert_eq!(target(&addrs).addr(), expected.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_again_keeps_its_addresses_and_clones_share_them() {
        let known = target(&["127.0.0.1:3478"]);
        known.look_up_again().await;
        assert_eq!(known.addr(), "127.0.0.1:3478".parse().unwrap());
        let numeric = TurnTarget {
            endpoint: "turn:127.0.0.2:5".parse().unwrap(),
            ..known.clone()
        };
        numeric.look_up_again().await;
        assert_eq!(known.addr(), "127.0.0.2:5".parse().unwrap());
    }
}
