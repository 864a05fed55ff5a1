//! A Nostr relay in the same process, for demonstrations, tests and small communities. It passes rings on, an ephemeral kind (NIP-01:
//! 20000 to 29999), and keeps notes, a regular one (1000 to 9999), both of the size that a sealed envelope has. Anything else is refused.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{PolicyResult, RateLimit, RelayBuilder, WritePolicy};
use nostr_relay_builder::prelude::{BoxedFuture, Event, MemoryDatabase, MemoryDatabaseOptions};
use thiserror::Error;

/// The kind of a sealed ring's event.
pub const RING_KIND: u16 = 20_777;

/// The kind of a sealed note's event: a text, or word of a missed call.
pub const NOTE_KIND: u16 = 2_777;

/// Notes that are kept, in memory only, about 3 kB each; then the oldest goes.
const NOTES: usize = 20_000;

/// An envelope of 1 024 bytes in base64 (RFC 4648 section 4, padded).
const RING_CONTENT: usize = 1_368;

/// A bucket, a stamp and an expiry, and room for one more.
const MAX_TAGS: usize = 4;

/// Events a minute on one connection. An engine with a hundred busy lines sends a few hundred envelopes a minute; ten times that is
/// a flood, and stamps cost the sender work long before.
const EVENTS_A_MINUTE: u32 = 3_000;

/// Subscriptions at a time on one connection. An engine has one for each bucket of its lines.
const SUBSCRIPTIONS: usize = 64;

/// Connections at a time, about 130 kB each.
const CONNECTIONS: usize = 2_000;

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
    /// Starts a relay; port 0 is any free one.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn start(bind: SocketAddr) -> Result<Self, RelayError> {
        let mut tries = if bind.port() == 0 { PORT_TRIES } else { 1 };
        loop {
            // The relay wants to know its port beforehand. Asking also tells a taken port from other failures.
            let address = free_address(bind).map_err(|cause| RelayError::Listen {
                address: bind,
                cause,
            })?;
            let relay = LocalRelay::new(limits().addr(address.ip()).port(address.port()));
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

fn limits() -> RelayBuilder {
    let notes = MemoryDatabaseOptions {
        events: true,
        max_events: Some(NOTES),
    };
    RelayBuilder::default()
        .database(MemoryDatabase::with_opts(notes))
        .rate_limit(RateLimit {
            max_reqs: SUBSCRIPTIONS,
            notes_per_minute: EVENTS_A_MINUTE,
        })
        .max_connections(CONNECTIONS)
        .max_subid_length(64)
        .max_filter_limit(NOTES)
        .default_filter_limit(NOTES)
        .write_policy(RingsOnly)
}

fn free_address(bind: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::bind(bind)?.local_addr()
}

/// Lets through what looks like a ring or a note from outside. What is in it, no relay knows.
#[derive(Debug)]
struct RingsOnly;

impl WritePolicy for RingsOnly {
    fn admit_event<'a>(
        &'a self,
        event: &'a Event,
        _: &'a SocketAddr,
    ) -> BoxedFuture<'a, PolicyResult> {
        let is_ring = matches!(event.kind.as_u16(), RING_KIND | NOTE_KIND)
            && event.content.len() == RING_CONTENT
            && event.tags.len() <= MAX_TAGS;
        Box::pin(std::future::ready(if is_ring {
            PolicyResult::Accept
        } else {
            PolicyResult::Reject(
                "this relay carries sealed rings and notes, nothing else".to_owned(),
            )
        }))
    }
}
