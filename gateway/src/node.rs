//! A household: an engine with all that keeps it going, as one thing to open and to stop.
//!
//! `ringfence run` opens one, and so does any program that embeds the engine (`examples/embed.rs`). What is around a
//! [`Gateway`]: the lines' keys, the copy of the phone book, which is kept fresh, bindings and ring keys, which are renewed, and
//! logins for the TURN server. Nothing here is done at the time of a call.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_book::{BookKey, NetworkSettings};
use ringfence_sip::{Password, User};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, TurnLogin};
use crate::lines::book_updates::{pass_on, renew};
use crate::lines::renew::Renewals;
use crate::net::book::{BookClient, BookCopy, BookError, Freshness, keep_fresh};
use crate::net::phone::ListenError;
use crate::run::assemble::{AssembleError, assemble, buckets};
use crate::run::gateway::Gateway;
use crate::softphone::Registration;
use crate::state::keystore::{Keystore, KeystoreError, LineFile};
use crate::turn::credentials::CredentialPool;
use crate::turn::probe::{TurnProbeError, probe};
use crate::turn::servers::TurnServers;

/// Why a household cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The lines' keys cannot be read.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// There is no copy of the phone book, and none can be had.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The parts do not fit together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The TURN server refuses the login.
    #[error(transparent)]
    Turn(#[from] TurnProbeError),
    /// Phones cannot be listened to.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A running household. To be [stopped](Self::stop): dropping it ends calls without a word to the other sides.
#[derive(Debug)]
pub struct Node {
    gateway: Arc<Gateway>,
    lines: Vec<LineFile>,
    config: Config,
    buckets: BTreeSet<u16>,
    network: NetworkSettings,
    purse: Option<CredentialPool>,
    fresh: watch::Receiver<Freshness>,
    chores: Vec<JoinHandle<()>>,
}

impl Node {
    /// Opens everything: reads the lines, renews what is due, downloads the phone book if there is no copy, tries the TURN
    /// server, and listens for phones. A TURN server that is away for now is a warning in the log.
    ///
    /// # Errors
    /// [`NodeError`], which names the part; nothing runs then.
    pub async fn open(mut config: Config, mut store: Keystore) -> Result<Self, NodeError> {
        let lines = store.lines()?;
        let (client, mut copy) = open_book(&config, &lines)?;
        let snapshot = match copy.snapshot() {
            Some(snapshot) => snapshot,
            None => {
                tracing::info!("downloading the phone book for the first time");
                copy.refresh(&client).await?
            }
        };
        let network = snapshot.network.clone();
        let mut renewals = Renewals::new(store, client.clone(), network.book_key, lines);
        let purse = matches!(config.turn.login, TurnLogin::None).then(CredentialPool::default);
        // A fault was told; the old bindings may still be good.
        drop(renew(&mut renewals, &network, purse.as_ref()).await);
        take_logins_of(
            purse.as_ref().filter(|purse| !purse.is_empty()),
            &mut config,
        );
        let mut parts = assemble(&config, renewals.lines(), &snapshot).await?;
        let mut diary = renewals.diary();
        parts.contacts = diary.contacts()?;
        parts.ledger = diary.ledger()?;
        parts.diary = Some(diary);
        let buckets = buckets(renewals.lines(), &network)?;
        check_turn(&parts.lobby).await?;
        let gateway = Arc::new(Gateway::start(parts).await?);
        let lines = renewals.lines().to_vec();
        let (keeping, fresh) = keep_fresh(client, copy, config.phonebook.refresh);
        let passing = tokio::spawn({
            let (gateway, fresh, purse) = (Arc::clone(&gateway), fresh.clone(), purse.clone());
            async move { pass_on(&gateway, fresh, &mut renewals, purse.as_ref()).await }
        });
        Ok(Self {
            gateway,
            lines,
            config,
            buckets,
            network,
            purse,
            fresh,
            chores: vec![keeping, passing],
        })
    }

    /// The running engine.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The lines as they were when the household was opened.
    #[must_use]
    pub fn lines(&self) -> &[LineFile] {
        &self.lines
    }

    /// How a phone of this machine registers to a line; `None` when there is no such line, or phones register by UDP nowhere.
    #[must_use]
    pub fn registration(&self, number: u32) -> Option<Registration> {
        let line = self.lines.iter().find(|line| line.number == number)?;
        Some(Registration {
            user: User::new(line.account.user.clone()),
            password: Password::new(line.account.password.expose()),
            line: *self.gateway.udp().first()?,
        })
    }

    /// The settings that it was opened with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Where its lines look for rings.
    pub(crate) fn buckets(&self) -> &BTreeSet<u16> {
        &self.buckets
    }

    /// Logins from the phone book, if they come from there.
    pub(crate) fn purse(&self) -> Option<&CredentialPool> {
        self.purse.as_ref()
    }

    /// What the phone book says of its network now.
    pub(crate) fn network(&self) -> NetworkSettings {
        let latest = self.fresh.borrow();
        latest
            .snapshot
            .as_ref()
            .map_or_else(|| self.network.clone(), |snapshot| snapshot.network.clone())
    }

    /// Hangs up every call, tells the other sides, and stops: within 3 s.
    pub async fn stop(self) {
        for chore in self.chores {
            chore.abort();
            // Cancelled, and with it its hold on the gateway is gone.
            drop(chore.await);
        }
        if let Some(gateway) = Arc::into_inner(self.gateway) {
            gateway.stop().await;
        }
    }
}

/// Settings that name no login use those of the phone book.
pub(crate) fn take_logins_of(purse: Option<&CredentialPool>, config: &mut Config) {
    if let Some(purse) = purse
        && matches!(config.turn.login, TurnLogin::None)
    {
        config.turn.login = TurnLogin::Book(purse.clone());
    }
}

fn open_book(config: &Config, lines: &[LineFile]) -> Result<(BookClient, BookCopy), NodeError> {
    let first = lines.first().ok_or(AssembleError::NoLine)?;
    let key =
        BookKey::from_bytes(&first.book_key).map_err(|_| AssembleError::BadLine(first.number))?;
    let client = BookClient::new(&first.book_url, config.phonebook.ca_file.as_deref())?;
    Ok((client, BookCopy::open(&config.state, key)?))
}

/// Wrong credentials end the start; a server that is away may come back.
async fn check_turn(lobby: &TurnServers) -> Result<(), TurnProbeError> {
    match probe(lobby).await {
        Ok(took) => tracing::info!(?took, "the TURN server relays"),
        Err(fault) if fault.is_final() => return Err(fault),
        Err(fault) => tracing::warn!(
            "calls will have no sound: {fault}. To do: {}",
            fault.remedy()
        ),
    }
    Ok(())
}
