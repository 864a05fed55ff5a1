//! Notifications of the service manager: ready, reloading, stopping, alive, and one line of how it is (systemd, sd_notify(3)).
//!
//! Everything here is silent where no service manager listens (`NOTIFY_SOCKET` is not set). A manager that cannot be told is
//! no reason to stop serving.

use std::future::pending;
use std::time::Duration;

use sd_notify::{NotifyState, notify};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

/// How often the line of status is renewed when no watchdog asks for more.
const LEISURE: Duration = Duration::from_secs(10);

/// The program serves from here on; `status` is one line for a person and identifies no user.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The settings are being read again; to be followed by [`ready`].
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(kind = ?error.kind(), "there is no monotonic clock to name"),
    }
}

/// The program is on its way out.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the manager again and again that the program is alive, but only as long as `ask` answers, with one line of status.
/// A program that does not answer is ended by its watchdog (`WatchdogSec=`) and started anew. Never returns.
pub async fn stay_in_touch(ask: impl AsyncFn() -> Option<String>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return pending().await;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = pace(watchdog);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout(every, ask()).await {
            Ok(Some(status)) if watchdog.is_some() => {
                tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
            }
            Ok(Some(status)) => tell(&[NotifyState::Status(&status)]),
            Ok(None) | Err(_) => {
                error!("this program does not answer itself; its watchdog is not fed")
            }
        }
    }
}

/// Twice in the time that the watchdog gives, as sd_watchdog_enabled(3) asks, and at least every ten seconds.
fn pace(watchdog: Option<Duration>) -> Duration {
    let half = watchdog.map_or(LEISURE, |limit| limit / 2);
    half.clamp(Duration::from_millis(1), LEISURE)
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = notify(words) {
        debug!(kind = ?error.kind(), "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_and_the_status_is_never_old() {
        assert_eq!(pace(None), LEISURE);
        assert_eq!(pace(Some(Duration::from_secs(4))), Duration::from_secs(2));
        assert_eq!(pace(Some(Duration::from_secs(3_600))), LEISURE);
        assert!(
            pace(Some(Duration::ZERO)) > Duration::ZERO,
            "an interval of 0 would panic"
        );
    }
}
