//! Reads roots and deltas: from memory where they are new, else from the store by a connection of its
//! own. A reader waits for no writer.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use ringfence_book::blocks::{BLOCK_ROOTS, block_of, first_of_block};
use tokio::task::spawn_blocking;

use crate::book::published::Published;
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
            return Ok(Some(Bytes::copy_from_slice(last)));
        }
        let last = published.root().map_or(0, |root| root.states().epoch);
        if block >= block_of(last) {
            return Ok(None);
        }
        let first = first_of_block(block);
        let roots = self.fetch(move |archive| archive.roots(first, BLOCK_ROOTS));
        Ok(Some(roots.await?.into_flattened().into()))
    }

    /// The delta that leads to an epoch. `None`: it is yet to come, or no longer kept.
    pub(crate) async fn delta(
        &self,
        published: &Published,
        epoch: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        if let Some(recent) = published.delta(epoch) {
            return Ok(Some(Bytes::from_owner(Arc::clone(recent))));
        }
        let last = published.root().map_or(0, |root| root.states().epoch);
        if epoch >= last {
            return Ok(None);
        }
        let delta = self.fetch(move |archive| archive.delta(epoch)).await?;
        Ok(delta.map(Bytes::from))
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
