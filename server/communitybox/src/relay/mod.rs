//! A Nostr relay in the same process, for demonstrations, tests and small communities. It passes rings on, one ephemeral kind (NIP-01:
//! 20000 to 29999), and keeps notes, one regular kind (1000 to 9999), both of the size that a sealed envelope has. Anything else is
//! refused.

mod admission;
mod connection;
mod event_check;
mod note_store;
mod server;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::server::RelayShared;

/// How much a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at a time, about 20 kB each.
    pub connections: usize,
    /// Connections at a time from one IP address. Loopback is not limited: a web server in front is there.
    pub connections_per_address: usize,
    /// Messages a minute on one connection.
    pub events_per_minute: u32,
    /// Events a minute from one IP address, but for loopback.
    pub events_per_minute_per_address: u32,
    /// Notes that are kept at a time, about 3 kB each. Beyond that, new ones are refused.
    pub notes: usize,
    /// Those of one IP address, but for loopback.
    pub notes_per_address: usize,
}

impl RelayLimits {
    /// An engine with a hundred busy lines sends a few hundred envelopes a minute; a flood costs its sender proof of work long before.
    pub const DEFAULT: Self = Self {
        connections: 2_000,
        connections_per_address: 50,
        events_per_minute: 3_000,
        events_per_minute_per_address: 6_000,
        notes: 20_000,
        notes_per_address: 2_000,
    };
}

/// How a relay is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPlan {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Bits of proof of work that a ring must show.
    pub work_bits: u8,
    /// How much it carries.
    pub limits: RelayLimits,
}

/// Why the relay does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The address is taken or not ours.
    #[error("the relay cannot listen on {address}: {cause}. Choose another address")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// A relay that is running. Dropping it stops it.
pub struct EmbeddedRelay {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
}

impl EmbeddedRelay {
    /// Starts a relay with the usual limits, which asks for no proof of work; port 0 is any free one.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn start(bind: SocketAddr) -> Result<Self, RelayError> {
        let plan = RelayPlan {
            listen: bind,
            work_bits: 0,
            limits: RelayLimits::DEFAULT,
        };
        Self::open(plan).await
    }

    /// Starts a relay after a plan.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn open(plan: RelayPlan) -> Result<Self, RelayError> {
        let failed = |cause| RelayError::Listen {
            address: plan.listen,
            cause,
        };
        let listener = TcpListener::bind(plan.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server::run(RelayShared::new(plan), listener, stopped));
        Ok(Self { address, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where engines find it, `ws://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Closes all connections and stops listening.
    pub fn stop(self) {
        // Its task is gone only with the runtime.
        let _ = self.stop.send(());
    }
}

impl fmt::Debug for EmbeddedRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedRelay")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
