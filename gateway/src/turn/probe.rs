//! Requests an allocation from a TURN server and releases it, so that an engine knows before its first call whether calls will have
//! media.

use std::time::Duration;

use ringfence_media::far::FarLegError;
use tokio::time::timeout;

use super::allocation_io::release;
use super::race::{Race, RaceTerms, Winner};
use super::refusals;
use super::servers::TurnServers;
use crate::clock;

/// How long the servers may take to confirm the release.
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

/// What a server's error code says.
fn refusal(error: &FarLegError) -> String {
    let FarLegError::Allocation { code } = error else {
        return error.to_string();
    };
    format!(
        "the server refused with {code} ({})",
        refusals::words(*code)
    )
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

    /// For how long the servers are to be left alone (RFC 8656 section 7.4: a minute after 486 and 508).
    pub(super) fn least_pause(&self) -> Duration {
        match self {
            Self::Refused(FarLegError::Allocation { code: 486 | 508 }) => Duration::from_secs(60),
            _ => Duration::ZERO,
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
    let mut race = Race::start(servers.clone(), RaceTerms::of_slot(0));
    let outcome = race.outcome().await;
    let took = start.elapsed();
    // A server that does not answer cannot confirm a release either.
    timeout(RELEASE_LIMIT, race.end()).await.ok();
    let Winner { way, turn, .. } = *outcome?;
    timeout(RELEASE_LIMIT, release(way, turn)).await.ok();
    Ok(took)
}
