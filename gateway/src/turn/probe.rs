//! Requests an allocation from a TURN server and releases it, so that an engine knows before its first call whether calls will have
//! media.

use std::time::Duration;

use rand::RngExt;
use ringfence_media::far::{FarEvent, FarLeg, FarLegError};
use tokio::time::timeout;

use super::TurnSocket;
use super::allocation_io::{release, send, step};
use super::servers::TurnServers;
use crate::clock;

/// The far leg gives up by itself before this.
const LIMIT: Duration = Duration::from_secs(8);

/// How long the server may take to confirm the release.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);

/// Why calls would have no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnProbeError {
    /// No server accepted a connection.
    #[error("no TURN server can be reached")]
    Unreachable,
    /// A server answered, but gave no relayed address.
    #[error("no TURN server gives a relayed address: {0}")]
    Refused(FarLegError),
}

impl TurnProbeError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Refused(FarLegError::Allocation { code: 401 | 403 | 441 }) => {
                "check turn.secret (coturn: static-auth-secret), or turn.user and turn.password, and this machine's clock".to_owned()
            }
            Self::Refused(FarLegError::RelayedAddress) => {
                "the server relays at a private address; set its public one (coturn: external-ip), or turn.allow_private for a network without the internet".to_owned()
            }
            Self::Refused(FarLegError::Timeout) | Self::Unreachable => "check turn.urls and that the server runs; where UDP is blocked, use ?transport=tcp or turns:".to_owned(),
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
    let (mut socket, config) = servers.dial().await.ok_or(TurnProbeError::Unreachable)?;
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
