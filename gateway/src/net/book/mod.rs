//! The client of the phone book: HTTP requests, the copy on this machine, and the moments at which the copy is refreshed.
//!
//! The whole book is downloaded once, then the changes of each epoch, at random moments that have nothing to do with calls. All of it
//! is verified against the root that the book signs. An engine that starts while the book cannot be reached works from its copy. No
//! request names a number that is to be called, so the book learns from these requests only that an engine exists.

mod client;
mod copy;
#[cfg(test)]
mod hostile_tests;
pub(crate) mod skew;

use std::time::Duration;

use rand::RngExt;
use ringfence_book::NetworkSettings;
use ringfence_book::backoff::Backoff;
use ringfence_book::bounds::{BoundsError, DownloadCost};
use ringfence_book::copy::{CopyError, Lie};
use ringfence_book::fetch::FetchError;
use ringfence_book::root::RootError;
use ringfence_book::timetable::next_look;
use ringfence_book::wire::PROTOCOL;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use client::{BookClient, clock_apart_from};
pub use copy::{BookCopy, BookSnapshot};
pub use skew::{ClockCheck, ClockOffset};

use super::outbound::OutboundError;
use super::tls::TlsFileError;
use crate::clock;
use crate::state::keystore::KeystoreError;

/// The longest pause between attempts when the epochs of the book are not known.
const USUAL: Duration = Duration::from_secs(300);

/// The mean pause after a first failed download; each further failure doubles it.
const RETRY: Duration = Duration::from_secs(30);
const LONGEST_RETRY: Duration = RETRY.saturating_mul(1 << 10);

/// Errors of the phone book and of the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Not an `http://` or `https://` URL of a host.
    #[error("{0:?} is not the URL of a phone book")]
    BadUrl(String),
    /// Plain HTTP across the internet, where every router could replace keys.
    #[error("the phone book {0} would be asked without encryption")]
    Insecure(String),
    /// The file of the setting `ca_file` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The server sends its clients elsewhere. A redirect is not followed: it could carry an activation code along.
    #[error("the phone book's server redirects to {0}")]
    Redirected(String),
    /// A proxy in front of the book compresses answers that were asked for as they are.
    #[error("the answer is compressed ({0}), although it was asked for as it is")]
    Compressed(String),
    /// A setting of the book is outside of what engines accept.
    #[error("the phone book's settings are refused: {0}")]
    Bounds(#[from] BoundsError),
    /// The download had no end in bounded time or size.
    #[error("the download of the phone book was given up: {0}")]
    Costly(#[from] DownloadCost),
    /// No answer.
    #[error("the phone book {url} cannot be reached: {why}")]
    Unreachable {
        /// Its URL.
        url: String,
        /// How the request failed.
        why: Unreachable,
    },
    /// The book does not know the activation code, or it was used or has expired. The book does not say which.
    #[error("the phone book refused the activation code")]
    CodeRefused,
    /// The book answered with an error status.
    #[error("the phone book answered with status {0}")]
    Status(u16),
    /// The answer is malformed.
    #[error("the answer of {0} is not that of a phone book")]
    NotABook(String),
    /// The book speaks a later protocol.
    #[error(
        "the phone book speaks version {0} of the protocol, and this engine version {PROTOCOL}"
    )]
    Version(u32),
    /// The book signs with another key than at activation.
    #[error("the phone book signs with another key than it did at activation")]
    KeyChanged,
    /// The book signed two roots that cannot both be true.
    #[error("the phone book contradicts itself: it signed two roots that cannot both be true")]
    Lie(Box<Lie>),
    /// The download does not match what the book signed.
    #[error("the phone book's parts do not fit together: {0}")]
    Unfit(FetchError),
    /// The members' token of this engine differs from the one that the book signed for all members: it would identify this engine.
    #[error("the phone book's token for its members is not the one that it signed for all of them")]
    OwnToken,
    /// The answer is not for the line of the request.
    #[error("the phone book's answer does not fit this line")]
    WrongLine,
    /// The copy on this machine cannot be written or read.
    #[error(transparent)]
    Disk(#[from] KeystoreError),
}

/// How a request failed without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// No connection.
    #[error(transparent)]
    Connect(OutboundError),
    /// No answer in time.
    #[error("no answer within {} s", client::LIMIT.as_secs())]
    Timeout,
    /// The connection broke off.
    #[error("the connection broke off")]
    Broken,
}

impl BookError {
    /// The error without the names of servers and files: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::BadUrl(_) | Self::Insecure(_) => "the phone book's URL cannot be used".to_owned(),
            Self::Tls(_) => "the extra certificates cannot be used".to_owned(),
            Self::Unreachable {
                why: Unreachable::Connect(error),
                ..
            } => format!("the phone book cannot be reached: {}", error.unnamed()),
            Self::Unreachable { why, .. } => format!("the phone book cannot be reached: {why}"),
            Self::Redirected(_) => "the phone book's server redirects elsewhere".to_owned(),
            Self::NotABook(_) => "the answer is not that of a phone book".to_owned(),
            Self::Disk(error) => error.unnamed(),
            Self::CodeRefused
            | Self::Bounds(_)
            | Self::Compressed(_)
            | Self::Costly(_)
            | Self::Status(_)
            | Self::Version(_)
            | Self::KeyChanged
            | Self::Lie(_)
            | Self::OwnToken
            | Self::Unfit(_)
            | Self::WrongLine => self.to_string(),
        }
    }

    /// Whether the book cannot be used until a person has acted: a further attempt changes nothing.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::KeyChanged | Self::Lie(_) | Self::Version(_))
    }

    /// Whether it is said at once, and not only when the copy has become old: the book publishes what no engine accepts, or the proxy
    /// does not answer.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        matches!(
            self,
            Self::Bounds(_)
                | Self::Unfit(FetchError::Root(RootError::Period(_)) | FetchError::Ahead)
                | Self::Unreachable {
                    why: Unreachable::Connect(OutboundError::Proxy(_) | OutboundError::Refused(_)),
                    ..
                }
        )
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::BadUrl(_) => "write for example https://book.example.org".to_owned(),
            Self::Insecure(_) => "use its https:// URL; plain http is only for this machine and private networks".to_owned(),
            Self::Tls(_) => "correct --ca-file or the setting ca_file".to_owned(),
            Self::Redirected(place) => format!("if the phone book's operator confirms it, use the URL to which it redirects ({place}) without the path /api and what follows it"),
            Self::Compressed(_) => "tell the phone book's operator to turn compression off in the proxy in front of the book".to_owned(),
            Self::Bounds(_) => "tell the phone book's operator; the settings of before stay in use".to_owned(),
            Self::Costly(_) => "check the network; if it does not pass, tell the phone book's operator; the copy of before stays in use".to_owned(),
            Self::Unreachable {
                why: Unreachable::Connect(error),
                ..
            } => error.remedy().to_owned(),
            Self::Unreachable { .. } => "check the URL and the network, and that the phone book is running".to_owned(),
            Self::CodeRefused => "check the code, or ask the phone book's operator for a new one: a code works once, for a limited time".to_owned(),
            Self::Status(_) => "try again later; if it does not pass, tell the phone book's operator".to_owned(),
            Self::NotABook(_) => "check the URL".to_owned(),
            Self::Version(_) => "update ringfence".to_owned(),
            Self::KeyChanged => "do not go on before the operator has confirmed the new key over another channel; then activate again into a fresh --state".to_owned(),
            Self::Lie(_) => "do not trust this phone book before its operator has explained it to all users; the proof is saved (ringfence evidence)".to_owned(),
            Self::OwnToken => "wait: the token changes once a month; if it does not pass, do not trust this phone book".to_owned(),
            Self::Unfit(FetchError::Ahead) => "set this machine's clock; only if it is right, tell the phone book's operator".to_owned(),
            Self::Unfit(_) => "wait: it is tried again; if it does not pass, tell the phone book's operator".to_owned(),
            Self::WrongLine => "do not trust this phone book before its operator has explained it".to_owned(),
            Self::Disk(error) => error.remedy(),
        }
    }
}

/// Checks the protocol version and the bounds of the settings.
fn check(network: NetworkSettings) -> Result<NetworkSettings, BookError> {
    if network.version != PROTOCOL {
        return Err(BookError::Version(network.version));
    }
    network.check_bounds()?;
    Ok(network)
}

/// The copy of the phone book, as [`keep_fresh`] last left it.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// The newest copy; `None` until the first download of an engine without one.
    pub snapshot: Option<BookSnapshot>,
    /// Why the last attempt failed, if it did.
    pub error: Option<BookError>,
    /// The book's time at its last answer.
    pub clock: Option<ClockCheck>,
}

/// Keeps the copy fresh until the handle is aborted: one download now, then one in each epoch of the book at a random moment
/// ([`next_look`]), or at random moments `mean` apart on average.
#[must_use]
pub fn keep_fresh(
    client: BookClient,
    mut copy: BookCopy,
    mean: Option<Duration>,
) -> (JoinHandle<()>, watch::Receiver<Freshness>) {
    let (state, receiver) = watch::channel(Freshness {
        snapshot: copy.snapshot(),
        error: None,
        clock: client.clock_check(),
    });
    let task = tokio::spawn(async move {
        let mut pauses = Pauses::new(mean.unwrap_or(USUAL));
        loop {
            let die = rand::rng().random();
            let pause = match copy.refresh(&client).await {
                Ok(snapshot) => {
                    let regular = pauses.after_success(die);
                    let pause = match mean {
                        None => next_look(snapshot.book.root(), clock::unix_seconds(), die),
                        Some(_) => regular,
                    };
                    state.send_replace(Freshness {
                        snapshot: Some(snapshot),
                        error: None,
                        clock: client.clock_check(),
                    });
                    pause
                }
                Err(error) => {
                    tracing::debug!(%error, "the phone book was not downloaded");
                    // An answer that cannot be used may have a date.
                    let clock = client.clock_check();
                    state.send_modify(|state| (state.error, state.clock) = (Some(error), clock));
                    pauses.after_failure(die)
                }
            };
            tokio::time::sleep(pause).await;
        }
    });
    (task, receiver)
}

/// The pauses between downloads: half to one and a half of `mean`, or sooner after failures. `die` is 0 to 1.
struct Pauses {
    mean: Duration,
    retry: Backoff,
}

impl Pauses {
    fn new(mean: Duration) -> Self {
        Self {
            mean,
            retry: Backoff::new(RETRY, mean.min(LONGEST_RETRY), 2),
        }
    }

    fn after_success(&mut self, die: f64) -> Duration {
        self.retry.reset();
        self.mean.mul_f64(0.5 + die)
    }

    fn after_failure(&mut self, die: f64) -> Duration {
        self.retry.next_delay().mul_f64(0.5 + die)
    }
}

impl From<FetchError> for BookError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Root(RootError::Signature) => Self::KeyChanged,
            FetchError::Copy(CopyError::Lie(lie)) => Self::Lie(lie),
            other => Self::Unfit(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_from_the_future_is_said_at_once_and_as_a_fault_of_the_clock() {
        let error = BookError::from(FetchError::Ahead);
        assert!(error.is_urgent() && !error.is_final());
        assert!(error.unnamed().contains("this machine's clock"), "{error}");
        assert!(error.remedy().starts_with("set this machine's clock"));
    }

    #[test]
    fn downloads_come_at_random_moments_around_the_mean() {
        let mut pauses = Pauses::new(Duration::from_secs(3600));
        assert_eq!(pauses.after_success(0.0), Duration::from_secs(1800));
        assert_eq!(pauses.after_success(1.0), Duration::from_secs(5400));
    }

    #[test]
    fn failures_are_retried_soon_and_then_less_and_less_but_never_less_than_usual() {
        let mean = Duration::from_secs(3600);
        let mut pauses = Pauses::new(mean);
        assert_eq!(pauses.after_failure(0.5), Duration::from_secs(30));
        assert_eq!(pauses.after_failure(0.5), Duration::from_secs(60));
        for _ in 0..100 {
            pauses.after_failure(0.5);
        }
        assert_eq!(pauses.after_failure(0.5), mean);
    }
}
