//! A running phone book, as a library call: opens the store, listens, serves, stops. The one place of this crate where the time
//! and the system's randomness are asked.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::TryRng;
use rand::rngs::SysRng;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use crate::admin::AdminToken;
use crate::book::{Book, Issue, IssueError, OpenError};
use crate::config::{Config, Database};
use crate::duty::page::{Page, PageError};
pub use crate::http::monitor::Complaint;
use crate::http::{self, Shared, monitor};
use crate::keys::BookKey;
use crate::store::sqlite::SqliteStore;
use crate::store::{MemoryStore, Store, StoreError};
use crate::wire::NetworkSettings;

/// How often the book looks for what other processes changed in its database. Far below the minutes in which engines come for it.
const REFRESH: Duration = Duration::from_secs(5);

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
    #[error("cannot open the database {}: {cause}. Check that its folder exists and that this user may write to it, or choose another file with --database", path.display())]
    Database {
        /// The file that was asked for.
        path: PathBuf,
        /// What the store said.
        cause: StoreError,
    },
    /// The database opens, the book in it does not.
    #[error("cannot open the phone book: {0}")]
    Book(#[from] OpenError),
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
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
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
        let (book, first_token) = open_book(&config).await?;
        let (key, network) = (book.key(), config.network(book.key(), book.proof_key()));
        let json =
            serde_json::to_vec(&network).expect("network settings have nothing that JSON lacks");
        let shared = Arc::new(Shared::new(book, json));
        let (stop, stopped) = oneshot::channel::<()>();
        let refreshing = tokio::spawn(refresh_now_and_then(Arc::clone(&shared)));
        let run = http::run(listener, Arc::clone(&shared), async move {
            // An error is a dropped handle: stop as well.
            let _ = stopped.await;
            refreshing.abort();
        });
        debug!(%address, "the phone book is open");
        Ok(Self {
            address,
            key,
            network,
            first_token,
            shared,
            stop,
            serving: tokio::spawn(run),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find it, `http://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key that signs its bindings.
    #[must_use]
    pub fn book_key(&self) -> BookKey {
        self.key
    }

    /// What engines are told about the network.
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
    pub async fn look(&self) -> Result<(), Complaint> {
        monitor::look(&self.shared).await
    }

    /// Stops listening, finishes the requests under way within two seconds, closes the book.
    pub async fn stop(self) {
        // The receiver is gone only if serving has ended already.
        let _ = self.stop.send(());
        let mut serving = self.serving;
        match timeout(FAREWELL, &mut serving).await {
            Ok(Ok(Ok(()))) => debug!("the phone book is closed"),
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

/// Issues a number from the database of a book, which may be running in another process. The token comes with it if this made
/// the book.
///
/// # Errors
/// [`IssueBesideError`].
pub async fn issue_beside(
    config: &Config,
) -> Result<(Issue, Option<AdminToken>), IssueBesideError> {
    let (mut book, first_token) = open_book(config).await?;
    let issue = spawn_blocking(move || book.issue(unix_now()))
        .await
        .map_err(|_| ServiceError::Interrupted)?;
    Ok((issue.map_err(ServiceError::Issue)?, first_token))
}

/// Why no number came from the database.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueBesideError {
    /// The book does not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The book says no.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

async fn open_book(
    config: &Config,
) -> Result<(Book<Box<dyn Store>>, Option<AdminToken>), StartError> {
    let (database, plan, runtime) = (config.database.clone(), config.plan, Handle::current());
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|_| StartError::Random)?;
    let open = move || -> Result<_, StartError> {
        let store: Box<dyn Store> = match database {
            Database::Memory => Box::new(MemoryStore::new()),
            Database::File(path) => match SqliteStore::open(&path, runtime) {
                Ok(store) => Box::new(store),
                Err(cause) => return Err(StartError::Database { path, cause }),
            },
        };
        Ok(Book::open(store, plan, seed)?)
    };
    spawn_blocking(open)
        .await
        .map_err(|_| StartError::Interrupted)?
}

async fn refresh_now_and_then(shared: Arc<Shared>) {
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shared = Arc::clone(&shared);
        match spawn_blocking(move || shared.refresh()).await {
            Ok(Ok(changed)) => debug!(changed, "looked for changes"),
            Ok(Err(cause)) => error!(%cause, "the store failed"),
            Err(_) => return,
        }
    }
}

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Unix time in seconds; a clock before 1970 is at 0.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
