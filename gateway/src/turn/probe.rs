//! Requests an allocation from a TURN server and releases it, so that an engine knows before its first call whether calls will have
//! media.

use std::time::Duration;

use rand::RngExt;
use ringfence_media::far::{FarEvent, FarLeg, FarLegError};
use tokio::time::timeout;

use super::TurnSocket;
use super::allocation_io::{release, send, step};
use super::servers::{DialTurn, DialledTurn, TurnServers};
use crate::clock;

/// The far leg gives up by itself before this.
const LIMIT: Duration = Duration::from_secs(8);

/// How long the server may take to confirm the release.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);

/// Why calls would have no media.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnProbeError {
    /// The phone book's logins are used up or have ended.
    #[error("no login for the TURN server is left")]
    NoLogin,
    /// No server accepted a connection.
    #[error("{}: {why}", unreachable_servers(*all))]
    Unreachable {
        /// How many were tried.
        all: usize,
        /// What happened at the first of them, without its name.
        why: String,
    },
    /// A server answered, but gave no relayed address.
    #[error("no TURN server gives a relayed address: {}", refusal(.0))]
    Refused(FarLegError),
}

fn unreachable_servers(all: usize) -> String {
    match all {
        1 => "TURN server 1 of 1 cannot be reached".to_owned(),
        _ => format!("none of {all} TURN servers can be reached, of the first"),
    }
}

/// What a server's error code says (RFC 8656 section 18, RFC 8489 section 14.8).
fn refusal(error: &FarLegError) -> String {
    let FarLegError::Allocation { code } = error else {
        return error.to_string();
    };
    let says = match code {
        300 => "it names another server, which is not used",
        401 | 441 => "wrong login",
        403 => "forbidden",
        437 => "the port is still in use by an older allocation",
        438 => "the login's nonce is stale",
        440 | 442 => "it does not relay over this kind of address or transport",
        486 => "the quota of allocations is used up",
        500..600 => "it has no capacity or an error of its own",
        _ => "the request",
    };
    format!("the server refused with {code} ({says})")
}

impl TurnProbeError {
    /// What happened at one server, without its name.
    pub(crate) fn unnamed(&self) -> String {
        match self {
            Self::Unreachable { why, .. } => why.clone(),
            Self::Refused(error) => refusal(error),
            Self::NoLogin => self.to_string(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoLogin => "wait until the phone book can be reached again, which gives new ones, or set turn.secret".to_owned(),
            Self::Refused(FarLegError::Allocation { code: 401 | 403 | 441 }) => {
                "check turn.secret (coturn: static-auth-secret), or turn.user and turn.password, and this machine's clock".to_owned()
            }
            Self::Refused(FarLegError::Allocation { code: 486 }) => {
                "wait until other calls end, or ask the TURN server's operator for a higher quota (coturn: user-quota, total-quota)".to_owned()
            }
            Self::Refused(FarLegError::Allocation { code: 508 }) => {
                "ask the TURN server's operator for more relay ports (coturn: min-port, max-port), or set turn.urls to another server".to_owned()
            }
            Self::Refused(FarLegError::RelayedAddress) => {
                "the server relays at a private address; set its public one (coturn: external-ip), or turn.allow_private for a network without the internet".to_owned()
            }
            Self::Refused(FarLegError::Timeout | FarLegError::ServerGone) | Self::Unreachable { .. } => "check turn.urls and that the server runs; where UDP is blocked, use ?transport=tcp or turns:".to_owned(),
            Self::Refused(_) => "ask the TURN server's operator".to_owned(),
        }
    }

    /// Whether the settings are wrong, so that waiting will not help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Refused(FarLegError::Allocation {
                code: 401 | 403 | 441
            })
        )
    }
}

/// Requests an allocation and releases it. Returns how long the request took.
///
/// # Errors
/// [`TurnProbeError`].
pub async fn probe(servers: &TurnServers) -> Result<Duration, TurnProbeError> {
    let start = clock::now();
    let DialledTurn {
        mut socket, config, ..
    } = servers.dial(0, &[]).await?;
    let mut leg = FarLeg::new(config, rand::rng().random(), start);
    let allocated = timeout(LIMIT, allocate(&mut leg, &mut socket)).await;
    let took = start.elapsed();
    // A server that does not answer cannot confirm the release either.
    timeout(RELEASE_LIMIT, release(leg, socket)).await.ok();
    allocated
        .unwrap_or(Err(FarLegError::Timeout))
        .map_err(TurnProbeError::Refused)?;
    Ok(took)
}

async fn allocate(leg: &mut FarLeg, socket: &mut TurnSocket) -> Result<(), FarLegError> {
    let mut buffer = Vec::new();
    loop {
        while let Some(event) = send(leg, socket) {
            match event {
                FarEvent::Allocated(_) => return Ok(()),
                FarEvent::Failed(fault) => return Err(fault),
                _ => {}
            }
        }
        step(leg, socket, &mut buffer, None).await;
    }
}
