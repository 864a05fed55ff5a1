//! The publisher: ends the epochs of a running book in their time, and takes over what other processes ended.

use std::sync::Arc;
use std::time::Duration;

use ringfence_book::root::Root;
use ringfence_book::wire::NetworkSettings;
use ringfence_daemon::clock::unix_now;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

use crate::book::Book;
use crate::config::Config;
use crate::http::Shared;
use crate::store::StoreError;

/// How often the database is checked for changes by other processes: far more often than engines download.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How often another process may be faster before an epoch that was asked for is given up.
const MAX_RACES: usize = 16;

/// Ends epochs.
pub(crate) struct EpochPublisher {
    shared: Arc<Shared>,
    config: Config,
}

impl EpochPublisher {
    pub(crate) fn new(shared: Arc<Shared>, config: Config) -> Self {
        Self { shared, config }
    }

    /// Looks again and again, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let period = Duration::from_secs(self.config.epoch_seconds.into());
        let mut ticks = interval(CHECK_INTERVAL.min(period));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let publisher = Arc::clone(&self);
            match spawn_blocking(move || publisher.look()).await {
                Ok(Ok(changed)) => debug!(changed, "looked for changes"),
                Ok(Err(cause)) => error!(%cause, "the store failed"),
                Err(_) => return,
            }
        }
    }

    fn look(&self) -> Result<bool, StoreError> {
        self.noted(|book| {
            let changed = book.refresh()?;
            let now = unix_now();
            if !book.due(now) {
                return Ok(changed);
            }
            book.close_epoch(now, &network_bytes(&self.config, book, now))?;
            Ok(true)
        })
    }

    /// Ends an epoch, due or not. Blocks. `None`: other processes did it again and again.
    pub(crate) fn close(&self) -> Result<Option<Root>, StoreError> {
        self.noted(|book| {
            for _ in 0..MAX_RACES {
                let now = unix_now();
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
