//! Reads roots and steps: from memory where they are new, else from the store by a connection of its
//! own. A reader waits for no writer.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use ringfence_book::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of, first_of_block, last_of_block};
use tokio::task::spawn_blocking;

use crate::book::published::Published;
use crate::book::recent_files::joined;
use crate::store::{Archive, StoreError};

/// Where readers queue for what is not in memory, one at a time.
pub(crate) struct ArchiveReader(Arc<Mutex<Box<dyn Archive>>>);

impl ArchiveReader {
    pub(crate) fn new(archive: Box<dyn Archive>) -> Self {
        Self(Arc::new(Mutex::new(archive)))
    }

    /// The roots of a block, one after the other. `None`: it is yet to come.
    pub(crate) async fn roots(
        &self,
        published: &Published,
        block: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        if let Some(last) = published.roots(block) {
            return Ok(Some(last.into()));
        }
        let last = published.root().map_or(0, |root| root.states().epoch);
        if block >= block_of(last, BLOCK_ROOTS) {
            return Ok(None);
        }
        let first = first_of_block(block, BLOCK_ROOTS);
        let last = last_of_block(block, BLOCK_ROOTS);
        let roots = self.fetch(move |archive| archive.roots(first, last));
        Ok(Some(roots.await?.into_flattened().into()))
    }

    /// The steps of a block, one after the other. `None`: it is yet to come, or no longer kept.
    pub(crate) async fn steps(
        &self,
        published: &Published,
        block: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        if let Some(recent) = published.steps(block) {
            return Ok(Some(recent.into()));
        }
        let last = published.root().map_or(0, |root| root.states().epoch);
        if block > block_of(last, BLOCK_STEPS) {
            return Ok(None);
        }
        let first = first_of_block(block, BLOCK_STEPS);
        let last = last_of_block(block, BLOCK_STEPS).min(last);
        let steps = self.fetch(move |archive| archive.steps(first, last));
        Ok(joined(&steps.await?).map(Bytes::from))
    }

    async fn fetch<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Archive) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let archive = Arc::clone(&self.0);
        let fetched = spawn_blocking(move || {
            let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut **archive)
        });
        fetched
            .await
            .map_err(|lost| StoreError::Database(lost.into()))?
    }
}
