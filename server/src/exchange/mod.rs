//! The community box: phone book, Nostr relay and TURN server in one process, as a small community needs them. Which of them, and
//! how, the settings say; engines are told what runs here by themselves.
//!
//! One operator who runs all three sees more than three operators would; the README says what.

mod secret;
pub mod settings;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ringfence_book::turn_credentials::TurnSecret;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use self::settings::{TurnProgram, TurnTable};
use crate::PhoneBook;
use crate::config::{Config, Database};
use crate::relay::{EmbeddedRelay, RelayError, RelayPlan};
use crate::service::StartError;
use crate::turn::TurnPlan;
#[cfg(unix)]
use crate::turn::coturn::Coturn;
use crate::turn::service::{EmbeddedTurn, TurnStartError};

/// How long the TURN server may keep a stop waiting.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why the box does not open: what failed, why, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The phone book does not start.
    #[error(transparent)]
    Book(#[from] StartError),
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

/// What runs in this process. Dropping it stops it, without farewell.
pub struct Exchange {
    book: PhoneBook,
    relay: Option<EmbeddedRelay>,
    turn: Option<TurnServer>,
}

impl Exchange {
    /// Starts what the configuration wants: first what engines are told, then the book that tells them.
    ///
    /// # Errors
    /// [`ExchangeError`]; then nothing is left running.
    pub async fn start(mut config: Config) -> Result<Self, ExchangeError> {
        let relay = start_relay(&mut config).await?;
        let turn = start_turn(&mut config).await?;
        let book = PhoneBook::start(config).await;
        let book = match book {
            Ok(book) => book,
            Err(error) => {
                part(relay, turn).await;
                return Err(error.into());
            }
        };
        Ok(Self { book, relay, turn })
    }

    /// The phone book.
    #[must_use]
    pub fn book(&self) -> &PhoneBook {
        &self.book
    }

    /// The relay, if there is one.
    #[must_use]
    pub fn relay(&self) -> Option<&EmbeddedRelay> {
        self.relay.as_ref()
    }

    /// The TURN server, if there is one.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnServer> {
        self.turn.as_ref()
    }

    /// What runs, a line each, for the operator.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("phone book at {}", self.book.url())];
        if let Some(relay) = &self.relay {
            lines.push(format!("relay at {}", relay.url()));
        }
        if let Some(turn) = &self.turn {
            lines.push(format!(
                "TURN at {}, udp and tcp ({})",
                turn.local_addr(),
                turn.name()
            ));
        }
        lines
    }

    /// Stops all three, within three seconds.
    pub async fn stop(self) {
        let ((), ()) = tokio::join!(self.book.stop(), part(self.relay, self.turn));
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("lines", &self.lines())
            .finish()
    }
}

async fn part(relay: Option<EmbeddedRelay>, turn: Option<TurnServer>) {
    if let Some(relay) = relay {
        relay.stop();
    }
    if let Some(turn) = turn
        && timeout(FAREWELL, turn.stop()).await.is_err()
    {
        warn!("the TURN server takes its time to end");
    }
}

async fn start_relay(config: &mut Config) -> Result<Option<EmbeddedRelay>, RelayError> {
    let table = &config.relay;
    if !table.serve {
        return Ok(None);
    }
    let plan = RelayPlan {
        listen: table.listen,
        work_bits: config.work_bits,
        limits: table.limits(),
    };
    let relay = EmbeddedRelay::open(plan).await?;
    let url = if !table.url.is_empty() {
        table.url.clone()
    } else if config.public_name.is_empty() {
        relay.url()
    } else {
        // The web server in front has the certificate, and this path.
        format!("wss://{}/relay", config.public_name)
    };
    config.relays.insert(0, url);
    Ok(Some(relay))
}

async fn start_turn(config: &mut Config) -> Result<Option<TurnServer>, ExchangeError> {
    if !config.turn_server.serve {
        return Ok(None);
    }
    let secret = match config.turn_secret.take() {
        Some(secret) => secret,
        None => kept_secret(&config.database).await?,
    };
    config.turn_secret = Some(secret.clone());
    let table = &config.turn_server;
    let plan = TurnPlan {
        listen: table.listen,
        secret,
        external_ip: table.external_ip,
        ports: Some(table.ports[0]..=table.ports[1]),
        limits: table.limits(),
        allow_private: table.allow_private,
    };
    let turn = TurnServer::start(table.program, plan).await?;
    info!(server = turn.name(), "the TURN server is open");
    let urls = urls(table, turn.local_addr(), &config.public_name);
    config.turn.splice(0..0, urls);
    Ok(Some(turn))
}

/// What engines are told: by name, if there is one, since an address may change.
fn urls(table: &TurnTable, addr: SocketAddr, name: &str) -> [String; 2] {
    let ip = table.external_ip.unwrap_or(addr.ip());
    let host = match ip {
        _ if !name.is_empty() => name.to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    ["udp", "tcp"].map(|way| format!("turn:{host}:{}?transport={way}", addr.port()))
}

async fn kept_secret(database: &Database) -> Result<TurnSecret, ExchangeError> {
    let path = match database {
        Database::File(path) => secret::file_beside(path),
        // Nowhere to keep it: the secret is as old as the process.
        _ => PathBuf::new(),
    };
    let file = path.clone();
    let kept = spawn_blocking(move || {
        if file.as_os_str().is_empty() {
            secret::draw()
        } else {
            secret::keep(&file)
        }
    });
    let kept = kept
        .await
        .unwrap_or_else(|ended| Err(io::Error::other(ended)));
    kept.map_err(|cause| ExchangeError::Secret { path, cause })
}
