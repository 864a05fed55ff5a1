//! The time of day and the monotonic clock, for shells. Cores are told the time instead.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Unix time in seconds; a clock before 1970 is at 0.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Waits until a moment; for ever, if there is none.
pub async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
