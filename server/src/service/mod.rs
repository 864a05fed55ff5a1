//! A running phone book, as a library call: opens the store, listens, serves, stops. With `opening`, the one place of this
//! crate where the system's randomness is asked.

mod opening;
mod publisher;

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "sql")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use ringfence_book::keys::BookKey;
use ringfence_book::root::Root;
use ringfence_book::wire::NetworkSettings;
use ringfence_daemon::clock::unix_now;
use ringfence_daemon::http_server::{self, Tls};
use ringfence_daemon::page::{Page, PageError};
use ringfence_daemon::tls::{self, ReloadedCertificate, TlsError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, error};

use self::publisher::EpochPublisher;
use crate::book::admin_token::AdminToken;
use crate::book::{Book, BookOpenError, Issue, IssueError};
use crate::config::Config;
pub use crate::http::monitor::HealthError;
use crate::http::{self, Shared, monitor};
use crate::store::StoreError;

use self::opening::open_book;
#[cfg(feature = "sql")]
pub(crate) use self::opening::{draw_seed, open_database, open_store};

/// How long requests under way may keep a stop waiting.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a phone book does not start: what failed, why, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address}: {cause}. Is another phone book running there? Choose another address with --listen"
    )]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The database file does not open.
    #[cfg(feature = "sql")]
    #[error("cannot open the database {}: {cause}. Check that its folder exists and that this user may write to it, or choose another file with --database", path.display())]
    Database {
        /// The file that was asked for.
        path: PathBuf,
        /// What the store said.
        cause: StoreError,
    },
    /// PostgreSQL does not let us in.
    #[cfg(feature = "sql")]
    #[error(
        "cannot open the PostgreSQL database: {0}. Check the URL given with --database, and that the server runs"
    )]
    Postgres(StoreError),
    /// The TLS certificate or its key cannot be used.
    #[error("no TLS: {0}. See tls_certificate and tls_key in the settings")]
    Tls(#[from] TlsError),
    /// The database opens, the book in it does not.
    #[error("cannot open the phone book: {0}")]
    Book(#[from] BookOpenError),
    /// The system gives no randomness.
    #[error("the system's random source failed; no key can be made without it")]
    Random,
    /// The task that opened the database died.
    #[error("opening the phone book was interrupted; try again")]
    Interrupted,
}

/// Why a running book issues no number.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The book said no.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other processes ended every epoch before us.
    #[error("other servers of this book ended the epochs; try again")]
    Overtaken,
    /// The task that did it died.
    #[error("the request was interrupted; try again")]
    Interrupted,
}

/// A phone book that is being served. Dropping it stops it too, without waiting for the requests under way.
pub struct PhoneBook {
    address: SocketAddr,
    key: BookKey,
    network: NetworkSettings,
    first_token: Option<AdminToken>,
    shared: Arc<Shared>,
    publisher: Arc<EpochPublisher>,
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl PhoneBook {
    /// Opens the book and begins to serve it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|cause| StartError::Listen { address, cause })?;
        let address = listener
            .local_addr()
            .map_err(|cause| StartError::Listen { address, cause })?;
        let certificate = config
            .tls
            .clone()
            .map(ReloadedCertificate::read)
            .transpose()?;
        let certificate = certificate.map(Arc::new);
        let (book, first_token) = open_book(&config).await?;
        let (key, network) = (book.key(), publisher::network(&config, &book, unix_now()));
        let shared = Arc::new(publish(book, &config).await?);
        let publisher = Arc::new(EpochPublisher::new(Arc::clone(&shared), config));
        let (stop, stopped) = oneshot::channel::<()>();
        let publishing = tokio::spawn(Arc::clone(&publisher).run());
        let renewing = certificate.clone().map(tls::renew).map(tokio::spawn);
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let tls = certificate.map_or(Tls::Off, Tls::Reloaded);
        let run = http_server::serve(
            listener,
            shared.proxies().clone(),
            http::routes(Arc::clone(&shared)),
            tls,
            async move {
                // An error is a dropped handle: stop as well.
                let _ = stopped.await;
                publishing.abort();
                renewing.inspect(JoinHandle::abort);
            },
        );
        debug!(%address, "the phone book is open");
        Ok(Self {
            address,
            key,
            network,
            first_token,
            shared,
            publisher,
            url: format!("{scheme}://{address}"),
            stop,
            serving: tokio::spawn(run),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find it, `http://address:port`, or `https` with a certificate.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The key that signs its bindings.
    #[must_use]
    pub fn book_key(&self) -> BookKey {
        self.key
    }

    /// What engines were told about the network at the start.
    #[must_use]
    pub fn network(&self) -> &NetworkSettings {
        &self.network
    }

    /// The operator's token, if this start made the book.
    #[must_use]
    pub fn first_token(&self) -> Option<&AdminToken> {
        self.first_token.as_ref()
    }

    /// Draws a number and its activation code.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn issue(&self) -> Result<Issue, ServiceError> {
        let shared = Arc::clone(&self.shared);
        let work = move || shared.with_book(|book| book.issue(unix_now()));
        Ok(spawn_blocking(work)
            .await
            .map_err(|_| ServiceError::Interrupted)??)
    }

    /// Opens a page for the operator's monitor, with `/health` and `/metrics`, at a loopback address.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn open_page(&self, address: SocketAddr) -> Result<Page, PageError> {
        Page::open(address, monitor::routes(Arc::clone(&self.shared))).await
    }

    /// Whether it does its work.
    ///
    /// # Errors
    /// What keeps it from it.
    pub async fn look(&self) -> Result<(), HealthError> {
        monitor::look(&self.shared).await
    }

    /// The roots of a block, one after the other; see [`crate::book::recent_files`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn roots(&self, block: u32) -> Result<Option<Bytes>, StoreError> {
        self.shared.roots(block).await
    }

    /// The steps of a block, one after the other, while they are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn steps(&self, block: u32) -> Result<Option<Bytes>, StoreError> {
        self.shared.steps(block).await
    }

    /// Sets this book's clock on to the next epoch and ends it: the oldest changes that wait are published when this returns, as many as
    /// an epoch has room for. For books that live for minutes: engines refuse one whose clock is a day ahead.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn close_epoch_now(&self) -> Result<Root, ServiceError> {
        let publisher = Arc::clone(&self.publisher);
        let closed = spawn_blocking(move || publisher.close()).await;
        closed
            .map_err(|_| ServiceError::Interrupted)??
            .ok_or(ServiceError::Overtaken)
    }

    /// Stops listening, finishes the requests under way within two seconds, closes the book.
    pub async fn stop(self) {
        // The receiver is gone only if serving has ended already.
        let _ = self.stop.send(());
        let mut serving = self.serving;
        match timeout(FAREWELL, &mut serving).await {
            Ok(Ok(())) => debug!("the phone book is closed"),
            Ok(ended) => error!(?ended, "the phone book had stopped serving"),
            Err(_) => {
                serving.abort();
                debug!("requests were cut off");
            }
        }
    }
}

impl fmt::Debug for PhoneBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneBook")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Ends the epoch if it is time, so that there is a root before the first request.
async fn publish(mut book: Book, config: &Config) -> Result<Shared, StartError> {
    let config = config.clone();
    let publish = move || {
        let now = unix_now();
        if book.due(now) {
            book.close_epoch(now, &publisher::network_bytes(&config, &book, now))?;
        }
        Shared::new(book, &config)
    };
    let shared = spawn_blocking(publish)
        .await
        .map_err(|_| StartError::Interrupted)?;
    shared.map_err(|cause| StartError::Book(cause.into()))
}
