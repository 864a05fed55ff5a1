//! Work that computes for long or waits for a disk, in a thread of its own: the engine runs in one thread, and its calls must not wait.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// Does it, and waits for it; a panic in it is the caller's.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}
