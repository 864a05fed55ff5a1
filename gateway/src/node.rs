//! A node: the engine plus its background tasks (phone-book sync, renewal of ring keys, TURN logins), as one object to
//! open and to stop.
//!
//! `ringfence run` opens one, and so does every program that embeds the engine (`examples/embed.rs`). No background task runs because
//! of a call.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_book::{BookKey, NetworkSettings, Number};
use ringfence_sip::{Password, User};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::config::{Config, TurnLogin};
use crate::lines::book_updates::{follow_book, renew_due};
use crate::lines::network_updates::NetworkFollower;
use crate::lines::renew::Renewals;
use crate::lines::turn_logins::remember;
use crate::net::book::{BookClient, BookCopy, BookError, Freshness, keep_fresh};
use crate::net::outbound::Outbound;
use crate::net::phone::ListenError;
use crate::run::assemble::{AssembleError, assemble, buckets};
use crate::run::event::Event;
use crate::run::gateway::{Gateway, ReadyError};
use crate::run::handle::GatewayHandle;
use crate::softphone::Registration;
use crate::state::keystore::{Keystore, KeystoreError, LineFile};
use crate::stats::snapshot::GatewayStatus;
use crate::turn::credentials::CredentialPool;
use crate::turn::probe::{TurnProbeError, probe};
use crate::turn::servers::TurnServers;

/// How long [`Node::ready`] waits.
const READY: Duration = Duration::from_secs(10);

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The lines' keys cannot be read.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// There is no copy of the phone book, and it cannot be downloaded.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The parts do not fit together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The TURN server refuses the login.
    #[error(transparent)]
    Turn(#[from] TurnProbeError),
    /// A socket for phones cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A line, without its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Its number.
    pub number: Number,
    /// The name that its owner gave it.
    pub name: Option<String>,
    /// The user name of its SIP account; [`Node::registration`] has the password.
    pub sip_user: String,
}

/// A running engine with its background tasks. [Stop](Self::stop) it: dropping it ends calls without telling the other sides.
#[derive(Debug)]
pub struct Node {
    gateway: Arc<Gateway>,
    lines: Vec<LineFile>,
    config: Config,
    /// The settings in force, for the background tasks.
    in_force: watch::Sender<Config>,
    buckets: BTreeSet<u16>,
    network: NetworkSettings,
    logins: Option<CredentialPool>,
    fresh: watch::Receiver<Freshness>,
    background: Vec<JoinHandle<()>>,
}

impl Node {
    /// Reads the lines, renews what is due, downloads the phone book if there is no copy, checks the TURN server, and listens for
    /// phones. A TURN server that cannot be reached now is a warning in the log.
    ///
    /// # Errors
    /// [`NodeError`], which names the part; nothing runs then.
    pub async fn open(mut config: Config, mut store: Keystore) -> Result<Self, NodeError> {
        // The settings know no passphrase; the key store does.
        config.state = store.state().clone();
        let lines = store.lines()?;
        let outbound = config.outbound().map_err(BookError::from)?;
        let (client, mut copy) = open_book(&config, &lines, &outbound)?;
        let snapshot = match copy.snapshot() {
            Some(snapshot) => snapshot,
            None => {
                tracing::info!("downloading the phone book for the first time");
                copy.refresh(&client).await?
            }
        };
        let network = snapshot.network.clone();
        let mut renewals = Renewals::new(store, client.clone(), network.book_key, lines);
        let mut turn_file = renewals.turn_memory();
        let turn_pool = CredentialPool::remembered(turn_file.read());
        config.turn.memory = Some(turn_pool.clone());
        let logins = matches!(config.turn.login, TurnLogin::None).then(|| turn_pool.clone());
        // An error is in the log; the old ring keys are still good.
        drop(renew_due(&mut renewals, &snapshot, logins.as_ref()).await);
        take_logins_of(
            logins.as_ref().filter(|logins| !logins.is_hopeless()),
            &mut config,
        );
        let mut parts = assemble(&config, renewals.lines(), &snapshot, &outbound).await?;
        let mut writer = renewals.writer();
        parts.contacts = writer.contacts()?;
        parts.saved_state = writer.saved_state()?;
        parts.restart = writer.restart_state();
        parts.writer = Some(writer);
        let buckets = buckets(renewals.lines(), &network)?;
        check_turn(&parts.turn).await?;
        let gateway = Arc::new(Gateway::start(parts).await?);
        let lines = renewals.lines().to_vec();
        let (syncing, fresh) = keep_fresh(client, copy, config.phonebook.refresh);
        let (in_force, settings) = watch::channel(config.clone());
        let follower = NetworkFollower::new(settings, network.clone(), buckets.clone());
        let following = tokio::spawn({
            let (gateway, fresh, logins) = (Arc::clone(&gateway), fresh.clone(), logins.clone());
            async move { follow_book(&gateway, fresh, &mut renewals, logins.as_ref(), follower).await }
        });
        let remembering = tokio::spawn(remember(turn_pool, turn_file));
        Ok(Self {
            gateway,
            lines,
            config,
            in_force,
            buckets,
            network,
            logins,
            fresh,
            background: vec![syncing, following, remembering],
        })
    }

    /// The lines as they were when the node was opened.
    #[must_use]
    pub fn lines(&self) -> Vec<LineInfo> {
        let lines = self.lines.iter();
        lines
            .map(|line| LineInfo {
                number: Number::new(line.number),
                name: line.name.clone(),
                sip_user: line.account.user.clone(),
            })
            .collect()
    }

    /// The account with which a phone on this machine registers to a line; `None` without such a line, or without a UDP address.
    #[must_use]
    pub fn registration(&self, number: Number) -> Option<Registration> {
        let line = self
            .lines
            .iter()
            .find(|line| line.number == number.value())?;
        Some(Registration {
            user: User::new(line.account.user.clone()),
            password: Password::new(line.account.password.expose()),
            line: *self.gateway.udp().first()?,
        })
    }

    /// Waits until calls can be made and received: a relay has confirmed the subscription, and an allocation is ready. Waits for 10 s
    /// at most.
    ///
    /// # Errors
    /// [`ReadyError`], which names what is missing. The node goes on trying; the call may be repeated.
    pub async fn ready(&self) -> Result<(), ReadyError> {
        self.gateway.ready(READY).await
    }

    /// Everything that happens from here on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.gateway.events()
    }

    /// The status in figures and conditions; `None` if the engine has stopped.
    pub async fn status(&self) -> Option<GatewayStatus> {
        self.gateway.status().await
    }

    /// A handle that answers what pages ask and carries out what users decide, without keeping the engine running.
    #[must_use]
    pub fn handle(&self) -> GatewayHandle {
        self.gateway.handle()
    }

    /// Where phones register over UDP.
    #[must_use]
    pub fn udp(&self) -> &[SocketAddr] {
        self.gateway.udp()
    }

    /// Where phones register over TCP.
    #[must_use]
    pub fn tcp(&self) -> &[SocketAddr] {
        self.gateway.tcp()
    }

    /// Where phones register over TLS.
    #[must_use]
    pub fn tls(&self) -> &[SocketAddr] {
        self.gateway.tls()
    }

    /// Hangs up every call, tells the other sides, and stops: within 3 s.
    pub async fn stop(self) {
        for task in self.background {
            task.abort();
            // The task has ended, and with it its share of the gateway.
            task.await.ok();
        }
        if let Some(gateway) = Arc::into_inner(self.gateway) {
            gateway.stop().await;
        }
    }

    /// The running engine.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The lines with their keys.
    pub(crate) fn line_files(&self) -> &[LineFile] {
        &self.lines
    }

    /// The settings with which it was opened.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Other settings are in force from now on.
    pub(crate) fn note_settings(&self, config: &Config) {
        self.in_force.send_replace(config.clone());
    }

    /// The buckets to which its lines subscribe.
    pub(crate) fn buckets(&self) -> &BTreeSet<u16> {
        &self.buckets
    }

    /// The TURN logins of the phone book, if they come from there.
    pub(crate) fn logins(&self) -> Option<&CredentialPool> {
        self.logins.as_ref()
    }

    /// The network settings of the phone book's newest copy.
    pub(crate) fn network(&self) -> NetworkSettings {
        let latest = self.fresh.borrow();
        latest
            .snapshot
            .as_ref()
            .map_or_else(|| self.network.clone(), |snapshot| snapshot.network.clone())
    }
}

/// Settings without a TURN login use those of the phone book. A phone book that is away may give some later.
pub(crate) fn take_logins_of(logins: Option<&CredentialPool>, config: &mut Config) {
    if let Some(logins) = logins
        && matches!(config.turn.login, TurnLogin::None)
    {
        config.turn.login = TurnLogin::Book(logins.clone());
    }
}

fn open_book(
    config: &Config,
    lines: &[LineFile],
    outbound: &Outbound,
) -> Result<(BookClient, BookCopy), NodeError> {
    let first = lines.first().ok_or(AssembleError::NoLine)?;
    let key =
        BookKey::from_bytes(&first.book_key).map_err(|_| AssembleError::BadLine(first.number))?;
    let client = BookClient::new(&first.book_url, outbound)?;
    Ok((client, BookCopy::open(&config.state, key)?))
}

/// Wrong credentials end the start; a server that cannot be reached may come back.
async fn check_turn(servers: &TurnServers) -> Result<(), TurnProbeError> {
    match probe(servers).await {
        Ok(took) => tracing::info!(?took, "the TURN server gives relayed addresses"),
        Err(error) if error.is_final() => return Err(error),
        Err(error) => tracing::warn!(
            "calls will have no sound: {error}. To do: {}",
            error.remedy()
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
