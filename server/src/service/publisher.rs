//! The publisher: ends the epochs of a running book in their time, and takes over what other processes ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringfence_book::root::Root;
use ringfence_book::wire::NetworkSettings;
use ringfence_daemon::clock::unix_now;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, error};

use crate::book::Book;
use crate::config::Config;
use crate::http::Shared;
use crate::store::StoreError;

/// How often the database is checked for changes by other processes: far more often than engines download.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest pause: the epoch is over at some time in the second that the clock shows.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// How often another process may be faster before an epoch that was asked for is given up.
const MAX_RACES: usize = 16;

/// Ends epochs.
pub(crate) struct EpochPublisher {
    shared: Arc<Shared>,
    config: Config,
    /// Seconds that the book's clock was set on.
    ahead: AtomicU64,
}

impl EpochPublisher {
    pub(crate) fn new(shared: Arc<Shared>, config: Config) -> Self {
        Self {
            shared,
            config,
            ahead: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        unix_now() + self.ahead.load(Ordering::Relaxed)
    }

    /// Looks again and again, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let publisher = Arc::clone(&self);
            match spawn_blocking(move || publisher.look()).await {
                Ok(Ok(changed)) => debug!(changed, "looked for changes"),
                Ok(Err(cause)) => error!(%cause, "the store failed"),
                Err(_) => return,
            }
            sleep(self.pause()).await;
        }
    }

    /// Until the next look: the moment at which the epoch is over, if that comes first.
    fn pause(&self) -> Duration {
        let due = self.shared.with_book(|book| book.next_due());
        let due = due.map(|due| Duration::from_secs(due.saturating_sub(self.now())));
        due.map_or(CHECK_INTERVAL, |due| due.clamp(LEAST_PAUSE, CHECK_INTERVAL))
    }

    fn look(&self) -> Result<bool, StoreError> {
        self.noted(|book| {
            let changed = book.refresh()?;
            let now = self.now();
            if !book.due(now) {
                return Ok(changed);
            }
            book.close_epoch(now, &network_bytes(&self.config, book, now))?;
            Ok(true)
        })
    }

    /// Sets the clock on to the end of the epoch, and ends it. Blocks. `None`: other processes did it again and again.
    pub(crate) fn close(&self) -> Result<Option<Root>, StoreError> {
        self.noted(|book| {
            for _ in 0..MAX_RACES {
                book.refresh()?;
                let wait = book.next_due().unwrap_or(0).saturating_sub(self.now());
                self.ahead.fetch_add(wait, Ordering::Relaxed);
                let now = self.now();
                let network = network_bytes(&self.config, book, now);
                if let Some(root) = book.close_epoch(now, &network)? {
                    return Ok(Some(root));
                }
            }
            Ok(None)
        })
    }

    /// Works on the book, and remembers for the operator's monitor whether the store did what it was asked.
    fn noted<T>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = self.shared.with_book(work);
        self.shared.note_store(outcome.is_ok());
        outcome
    }
}

/// What engines are told at this moment.
pub(crate) fn network(config: &Config, book: &Book, now: u64) -> NetworkSettings {
    config.network(book.key(), book.proof_key(), &book.membership().token(now))
}

/// The same as it is served.
pub(crate) fn network_bytes(config: &Config, book: &Book, now: u64) -> Vec<u8> {
    serde_json::to_vec(&network(config, book, now))
        .expect("network settings have nothing that JSON lacks")
}
