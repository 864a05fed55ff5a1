//! A notification on this desktop for missed calls and texts, by `notify-send` (Desktop Notifications Specification 1.2), which hands it to
//! the session's notification service.
//!
//! It says that there was a call or a text, and neither of whom nor what: the arguments of a program are open to all users of the machine,
//! the service may keep what it is told, and a locked screen may show it. The program runs at most once in ten seconds, so that a flood of
//! calls starts no flood of programs; what comes within that time is in the count of the next one.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence_engine::line::saved_state::SavedState;

const PROGRAM: &str = "notify-send";
const PAUSE: Duration = Duration::from_secs(10);

/// Counts what is new, and says it.
#[derive(Debug)]
pub(super) struct DesktopNotices {
    /// Missed calls and texts that the desktop has shown.
    shown: News,
    last: Option<Instant>,
}

/// Missed calls of which no phone was told, and texts that no phone has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    missed: usize,
    texts: usize,
}

impl News {
    fn of(state: &SavedState) -> Self {
        Self {
            missed: state.calls.iter().filter(|call| call.is_new).count(),
            texts: state.texts.len(),
        }
    }
}

impl DesktopNotices {
    /// What is new already was shown in an earlier run.
    pub(super) fn new(state: &SavedState) -> Self {
        Self {
            shown: News::of(state),
            last: None,
        }
    }

    /// Shows what has come since the last notification.
    pub(super) fn look(&mut self, state: &SavedState, now: Instant) {
        let Some(words) = self.words(News::of(state), now) else {
            return;
        };
        let mut command = Command::new(PROGRAM);
        command
            .args(["--app-name=Ringfence", "--icon=call-missed-symbolic"])
            .args(["Ringfence", words])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = command.status() {
                tracing::warn!("no notification can be shown: {}", error.kind());
            }
        });
    }

    fn words(&mut self, news: News, now: Instant) -> Option<&'static str> {
        let is_more = (
            news.missed > self.shown.missed,
            news.texts > self.shown.texts,
        );
        if is_more == (false, false) {
            // What was read is no news any more; the next one is.
            self.shown = news;
            return None;
        }
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return None;
        }
        self.last = Some(now);
        self.shown = news;
        Some(match is_more {
            (true, true) => "Missed calls and new texts",
            (true, false) => "Missed call",
            (false, _) => "New text",
        })
    }
}

/// Whether this program runs in a desktop's session, with the program that shows notifications.
pub(crate) fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some()
        && std::env::split_paths(&path).any(|folder: PathBuf| folder.join(PROGRAM).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missed_call_is_said_once_and_a_flood_of_them_in_one_notification() {
        let mut notices = DesktopNotices::new(&SavedState::default());
        let now = Instant::now();
        let news = |missed, texts| News { missed, texts };
        assert_eq!(notices.words(news(1, 0), now), Some("Missed call"));
        assert_eq!(notices.words(news(1, 0), now + PAUSE), None);
        let flood = (2..200).filter_map(|missed| notices.words(news(missed, 0), now + PAUSE / 2));
        assert_eq!(flood.count(), 0);
        let after = notices.words(news(200, 1), now + PAUSE);
        assert_eq!(after, Some("Missed calls and new texts"));
        // Read, and then one more.
        assert_eq!(notices.words(news(0, 0), now + PAUSE), None);
        let next = notices.words(news(0, 1), now + 3 * PAUSE);
        assert_eq!(next, Some("New text"));
    }
}
