//! A Nostr relay in the same process, for demonstrations, tests and small communities. It passes rings on and keeps nothing: one
//! ephemeral kind (NIP-01: 20000 to 29999), of the size that a sealed ring has. Anything else is refused.

mod ring;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{
    PolicyResult, QueryPolicy, RateLimit, RelayBuilder, WritePolicy,
};
use nostr_relay_builder::prelude::{
    BoxedFuture, Event, Filter, MemoryDatabase, MemoryDatabaseOptions,
};
use thiserror::Error;

pub use self::ring::RING_KIND;
use self::ring::{NotARing, judge_event, judge_filter};
use crate::service::unix_now;

/// Subscriptions at a time on one connection. An engine has one.
const SUBSCRIPTIONS: usize = 16;

/// Letters of a subscription's name (NIP-01).
const SUBSCRIPTION_NAME: usize = 64;

/// How much a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at a time, about 130 kB each.
    pub connections: usize,
    /// Events a minute on one connection.
    pub events_per_minute: u32,
}

impl RelayLimits {
    /// An engine with a hundred busy lines sends a few hundred envelopes a minute; stamps cost whoever floods work long before.
    pub const DEFAULT: Self = Self {
        connections: 2_000,
        events_per_minute: 600,
    };
}

/// How a relay is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPlan {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// What a ring's stamp must be worth, in bits.
    pub work_bits: u8,
    /// How much it carries.
    pub limits: RelayLimits,
}

/// Tries to find a port that nobody takes between asking and listening.
const PORT_TRIES: usize = 8;

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
    /// The relay refuses to run.
    #[error("the relay does not start: {0}")]
    Relay(#[source] nostr_relay_builder::Error),
}

/// A relay that is running. Dropping it stops it.
pub struct EmbeddedRelay {
    relay: LocalRelay,
    address: SocketAddr,
}

impl EmbeddedRelay {
    /// Starts a relay with the usual limits, to which a stamp of any worth is good enough; port 0 is any free one.
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
        let bind = plan.listen;
        let mut tries = if bind.port() == 0 { PORT_TRIES } else { 1 };
        loop {
            // The relay wants to know its port beforehand. Asking also tells a taken port from other failures.
            let address = free_address(bind).map_err(|cause| RelayError::Listen {
                address: bind,
                cause,
            })?;
            let relay = LocalRelay::new(rules(&plan).addr(address.ip()).port(address.port()));
            tries -= 1;
            match relay.run().await {
                Ok(()) => return Ok(Self { relay, address }),
                Err(nostr_relay_builder::Error::IO(_)) if tries > 0 => {}
                Err(nostr_relay_builder::Error::IO(cause)) => {
                    return Err(RelayError::Listen { address, cause });
                }
                Err(error) => return Err(RelayError::Relay(error)),
            }
        }
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
        self.relay.shutdown();
    }
}

impl fmt::Debug for EmbeddedRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedRelay")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn rules(plan: &RelayPlan) -> RelayBuilder {
    let nothing = MemoryDatabaseOptions {
        events: false,
        max_events: Some(0),
    };
    let rings = RingsOnly {
        work_bits: plan.work_bits,
    };
    RelayBuilder::default()
        .database(MemoryDatabase::with_opts(nothing))
        .rate_limit(RateLimit {
            max_reqs: SUBSCRIPTIONS,
            notes_per_minute: plan.limits.events_per_minute,
        })
        .max_connections(plan.limits.connections)
        .max_subid_length(SUBSCRIPTION_NAME)
        .max_filter_limit(1)
        .default_filter_limit(1)
        .write_policy(rings)
        .query_policy(rings)
}

fn free_address(bind: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::bind(bind)?.local_addr()
}

/// Lets through what looks like a ring from outside, and whoever asks for rings.
#[derive(Clone, Copy, Debug)]
struct RingsOnly {
    work_bits: u8,
}

impl WritePolicy for RingsOnly {
    fn admit_event<'a>(
        &'a self,
        event: &'a Event,
        _: &'a SocketAddr,
    ) -> BoxedFuture<'a, PolicyResult> {
        let judgement = judge_event(event, self.work_bits, unix_now());
        Box::pin(std::future::ready(told(judgement)))
    }
}

impl QueryPolicy for RingsOnly {
    fn admit_query<'a>(
        &'a self,
        filter: &'a Filter,
        _: &'a SocketAddr,
    ) -> BoxedFuture<'a, PolicyResult> {
        Box::pin(std::future::ready(told(judge_filter(filter))))
    }
}

fn told(judgement: Result<(), NotARing>) -> PolicyResult {
    judgement.map_or_else(
        |cause| PolicyResult::Reject(cause.to_string()),
        |()| PolicyResult::Accept,
    )
}
