//! Starts and stops what the settings want of the box: relay, TURN server, or both.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ringfence_book::turn_credentials::TurnSecret;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::relay::{EmbeddedRelay, RelayError, RelayPlan};
use crate::secret;
use crate::settings::{RelayTable, TurnProgram, TurnTable};
use crate::turn::TurnPlan;
#[cfg(unix)]
use crate::turn::coturn::Coturn;
use crate::turn::service::{EmbeddedTurn, TurnStartError};

/// How long the TURN server may delay a stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why the box does not start: what failed, why, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BoxError {
    /// The relay does not start.
    #[error("{0} with relay.listen")]
    Relay(#[from] RelayError),
    /// The TURN server does not start.
    #[error(transparent)]
    Turn(#[from] TurnStartError),
    /// The TURN secret can be neither read nor kept.
    #[error(
        "the TURN secret cannot be kept in {}: {cause}. Check that this user may write there, or give one in a file", path.display()
    )]
    Secret {
        /// Where.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// What the box runs, and how.
#[derive(Clone, Debug)]
pub struct BoxPlan {
    /// The relay.
    pub relay: RelayTable,
    /// Bits of proof of work that the relay asks of a ring.
    pub work_bits: u8,
    /// The TURN server.
    pub turn_server: TurnTable,
    /// The secret of the TURN server; `None`: one is drawn.
    pub turn_secret: Option<TurnSecret>,
    /// Where a drawn secret is kept; `None`: it lasts as long as the process.
    pub secret_file: Option<PathBuf>,
    /// The DNS name of this machine; empty: its addresses.
    pub public_name: String,
}

/// The TURN server of this process.
#[derive(Debug)]
pub enum TurnServer {
    /// A child of it.
    #[cfg(unix)]
    Coturn(Coturn),
    /// A part of it.
    Embedded(EmbeddedTurn),
}

impl TurnServer {
    /// Starts the program that the settings want.
    ///
    /// # Errors
    /// [`TurnStartError`].
    pub async fn start(program: TurnProgram, plan: TurnPlan) -> Result<Self, TurnStartError> {
        #[cfg(unix)]
        {
            let coturn = match program {
                TurnProgram::Auto => Coturn::is_installed(),
                TurnProgram::Coturn => true,
                TurnProgram::Embedded => false,
            };
            if coturn {
                return Ok(Self::Coturn(Coturn::start(plan).await?));
            }
        }
        #[cfg(not(unix))]
        if program == TurnProgram::Coturn {
            return Err(TurnStartError::NoCoturn);
        }
        Ok(Self::Embedded(EmbeddedTurn::open(plan).await?))
    }

    /// Where it listens, UDP and TCP.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        match self {
            #[cfg(unix)]
            Self::Coturn(turn) => turn.local_addr(),
            Self::Embedded(turn) => turn.local_addr(),
        }
    }

    /// Ends it; it is gone when this returns.
    pub async fn stop(self) {
        match self {
            #[cfg(unix)]
            Self::Coturn(turn) => turn.stop().await,
            Self::Embedded(turn) => turn.stop().await,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            #[cfg(unix)]
            Self::Coturn(_) => "coturn",
            Self::Embedded(_) => "embedded",
        }
    }
}

/// The running box. Dropping it stops it at once.
#[derive(Debug)]
pub struct CommunityBox {
    relay: Option<(EmbeddedRelay, String)>,
    turn: Option<RunningTurn>,
}

#[derive(Debug)]
struct RunningTurn {
    server: TurnServer,
    secret: TurnSecret,
    urls: Vec<String>,
}

impl CommunityBox {
    /// Starts what the plan wants.
    ///
    /// # Errors
    /// [`BoxError`]; then nothing is left running.
    pub async fn start(plan: BoxPlan) -> Result<Self, BoxError> {
        let relay = start_relay(&plan).await?;
        let turn = start_turn(plan).await?;
        Ok(Self { relay, turn })
    }

    /// The relay, if there is one.
    #[must_use]
    pub fn relay(&self) -> Option<&EmbeddedRelay> {
        self.relay.as_ref().map(|(relay, _)| relay)
    }

    /// The URL of the relay, for engines.
    #[must_use]
    pub fn relay_url(&self) -> Option<&str> {
        self.relay.as_ref().map(|(_, url)| url.as_str())
    }

    /// The TURN server, if there is one.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnServer> {
        self.turn.as_ref().map(|turn| &turn.server)
    }

    /// The URLs of the TURN server, for engines; none if there is no such server.
    #[must_use]
    pub fn turn_urls(&self) -> &[String] {
        self.turn.as_ref().map_or(&[], |turn| &turn.urls)
    }

    /// The secret from which credentials for the TURN server are made.
    #[must_use]
    pub fn turn_secret(&self) -> Option<&TurnSecret> {
        self.turn.as_ref().map(|turn| &turn.secret)
    }

    /// What runs, a line each, for the operator.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let relay = self
            .relay
            .iter()
            .map(|(relay, _)| format!("relay at {}", relay.url()));
        let turn = self.turn.iter().map(|turn| {
            format!(
                "TURN at {}, udp and tcp ({})",
                turn.server.local_addr(),
                turn.server.name()
            )
        });
        relay.chain(turn).collect()
    }

    /// Stops both, within a second.
    pub async fn stop(self) {
        if let Some((relay, _)) = self.relay {
            relay.stop();
        }
        if let Some(turn) = self.turn
            && timeout(FAREWELL, turn.server.stop()).await.is_err()
        {
            warn!("the TURN server takes its time to end");
        }
    }
}

async fn start_relay(plan: &BoxPlan) -> Result<Option<(EmbeddedRelay, String)>, RelayError> {
    let table = &plan.relay;
    if !table.serve {
        return Ok(None);
    }
    let relay = EmbeddedRelay::open(RelayPlan {
        listen: table.listen,
        work_bits: plan.work_bits,
        limits: table.limits(),
    })
    .await?;
    let url = if !table.url.is_empty() {
        table.url.clone()
    } else if plan.public_name.is_empty() {
        relay.url()
    } else {
        // The web server in front has the certificate, and this path.
        format!("wss://{}/relay", plan.public_name)
    };
    Ok(Some((relay, url)))
}

async fn start_turn(plan: BoxPlan) -> Result<Option<RunningTurn>, BoxError> {
    if !plan.turn_server.serve {
        return Ok(None);
    }
    let secret = match plan.turn_secret {
        Some(secret) => secret,
        None => kept_secret(plan.secret_file).await?,
    };
    let table = &plan.turn_server;
    let server = TurnPlan {
        listen: table.listen,
        tls: table.tls(),
        secret: secret.clone(),
        external_ip: table.external_ip,
        ports: Some(table.ports[0]..=table.ports[1]),
        limits: table.limits(),
        allow_private: table.allow_private,
    };
    let server = TurnServer::start(table.program, server).await?;
    info!(server = server.name(), "the TURN server is open");
    let (at, name) = (server.local_addr(), &plan.public_name);
    if at.ip().is_loopback() && table.external_ip.is_none() && !name.is_empty() {
        warn!(
            "only this machine reaches the TURN server, and engines are told of {name}: set turn_server.listen to the public address"
        );
    }
    let urls = urls(table, at, name);
    Ok(Some(RunningTurn {
        server,
        secret,
        urls,
    }))
}

/// What engines are told: by name, if there is one, since an address may change.
fn urls(table: &TurnTable, addr: SocketAddr, name: &str) -> Vec<String> {
    let ip = table.external_ip.unwrap_or(addr.ip());
    let host = match ip {
        _ if !name.is_empty() => name.to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let plain = ["udp", "tcp"].map(|way| format!("turn:{host}:{}?transport={way}", addr.port()));
    let tls = table
        .tls()
        .map(|tls| format!("turns:{host}:{}", tls.listen.port()));
    plain.into_iter().chain(tls).collect()
}

async fn kept_secret(file: Option<PathBuf>) -> Result<TurnSecret, BoxError> {
    let path = file.clone().unwrap_or_default();
    let kept = spawn_blocking(move || match file {
        Some(file) => secret::keep(&file),
        None => secret::draw(),
    });
    let kept = kept
        .await
        .unwrap_or_else(|ended| Err(io::Error::other(ended)));
    kept.map_err(|cause| BoxError::Secret { path, cause })
}
