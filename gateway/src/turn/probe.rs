//! Asks the TURN server for a relayed address and gives it back: whether calls will have sound is known before the first call.

use std::time::Duration;

use rand::RngExt;
use ringfence_media::far::{FarEvent, FarFault, FarLeg};
use tokio::time::timeout;

use super::TurnSocket;
use super::allocation_io::{give_back, send, step};
use super::servers::TurnServers;
use crate::clock;

/// The far leg gives up by itself before this.
const LIMIT: Duration = Duration::from_secs(8);

/// How long the server may take to hear that the address is not needed.
const RETURN_LIMIT: Duration = Duration::from_millis(500);

/// Why there would be no sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnProbeError {
    /// No server took the connection.
    #[error("no TURN server can be reached")]
    Unreachable,
    /// A server answered, but gave no relayed address.
    #[error("there is no relayed address to be had: {0}")]
    Refused(FarFault),
}

impl TurnProbeError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Refused(FarFault::Allocation { code: 401 | 403 | 441 }) => {
                "check turn.secret (coturn: static-auth-secret), or turn.user and turn.password, and this machine's clock".to_owned()
            }
            Self::Refused(FarFault::Relay) => {
                "the server relays at a private address; set its public one (coturn: external-ip), or turn.allow_private for a network without the internet".to_owned()
            }
            Self::Refused(FarFault::Timeout) | Self::Unreachable => "check turn.urls and that the server runs; where UDP is blocked, use ?transport=tcp or turns:".to_owned(),
            Self::Refused(_) => "ask the TURN server's operator".to_owned(),
        }
    }

    /// Whether waiting will not help: the settings are wrong.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Refused(FarFault::Allocation {
                code: 401 | 403 | 441
            })
        )
    }
}

/// Gets a relayed address and gives it back. Returns how long that took.
///
/// # Errors
/// [`TurnProbeError`].
pub async fn probe(lobby: &TurnServers) -> Result<Duration, TurnProbeError> {
    let start = clock::now();
    let (mut socket, config) = lobby.enter().await.ok_or(TurnProbeError::Unreachable)?;
    let mut leg = FarLeg::new(config, rand::rng().random(), start);
    let asked = timeout(LIMIT, allocate(&mut leg, &mut socket)).await;
    let took = start.elapsed();
    // A server that does not even answer cannot confirm the end.
    drop(timeout(RETURN_LIMIT, give_back(leg, socket)).await);
    asked
        .unwrap_or(Err(FarFault::Timeout))
        .map_err(TurnProbeError::Refused)?;
    Ok(took)
}

async fn allocate(leg: &mut FarLeg, socket: &mut TurnSocket) -> Result<(), FarFault> {
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
