//! The phone book as the engine uses it: activation, its copy on this machine, and the moments at which that is renewed.
//!
//! The whole book is downloaded, then what changes in each epoch, at random moments that have nothing to do with calls. All of it is
//! verified against the root that the book signs. An engine that starts while the book is
//! away works from its copy. No number is ever asked for, so the book learns nothing from these requests but that an engine exists.

mod client;
mod copy;
mod skew;

use std::time::Duration;

use rand::RngExt;
use ringfence_book::NetworkSettings;
use ringfence_book::copy::{CopyError, Lie};
use ringfence_book::fetch::FetchError;
use ringfence_book::root::RootError;
use ringfence_book::timetable::next_look;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use client::{BookClient, clock_apart_from};
pub use copy::{BookCopy, BookSnapshot};
pub(crate) use skew::TOLERANCE;

use super::tls::TlsFileError;
use crate::clock;
use crate::state::keystore::KeystoreError;

/// Between downloads of a book that cannot be reached for long: its epochs are not known then.
const USUAL: Duration = Duration::from_secs(300);

/// After a failed download the next attempt comes in 30 to 60 s, then later and later.
const RETRY: Duration = Duration::from_secs(30);

/// What went wrong with the phone book, by whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Not an `http://` or `https://` URL of a host.
    #[error("{0:?} is not the URL of a phone book")]
    BadUrl(String),
    /// Plain HTTP across the internet: anyone on the way could hand out keys of their own.
    #[error("the phone book {0} would be asked without encryption")]
    Insecure(String),
    /// The extra certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// Nobody answered.
    #[error("the phone book {url} cannot be reached: {why}")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// How it failed.
        why: Unreachable,
    },
    /// The book does not know the activation code, or it was used or has expired. The book does not say which.
    #[error("the phone book refused the activation code")]
    CodeRefused,
    /// The book answered with a failure of its own.
    #[error("the phone book answered with status {0}")]
    Status(u16),
    /// The answer is not what a phone book says.
    #[error("the answer of {0} is not that of a phone book")]
    NotABook(String),
    /// The book speaks a later protocol.
    #[error("the phone book speaks version {0} of the protocol, and this engine version 1")]
    Version(u32),
    /// The book signs with another key than at activation.
    #[error("the phone book signs with another key than it did at activation")]
    KeyChanged,
    /// The book signed two things that cannot both be true.
    #[error("the phone book contradicts itself: it signed two roots that cannot both be true")]
    Lie(Box<Lie>),
    /// What was downloaded is not what the book signed.
    #[error("the phone book's parts do not fit together: {0}")]
    Unfit(FetchError),
    /// The book gave this engine another members' token than it signed for everybody: it could tell by it who asks.
    #[error("the phone book's token for its members is not the one that it signed for all of them")]
    OwnToken,
    /// The book signed something else than it was asked for.
    #[error("the phone book's signed word does not fit this line")]
    WrongBinding,
    /// The copy on this machine cannot be kept.
    #[error(transparent)]
    Disk(#[from] KeystoreError),
}

/// How a request failed before there was an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// No connection: wrong name or address, nothing listening, a certificate that is not trusted.
    #[error("no connection")]
    Connect,
    /// No answer in time.
    #[error("no answer within {} s", client::LIMIT.as_secs())]
    Timeout,
    /// The connection broke off.
    #[error("the connection broke off")]
    Broken,
}

impl BookError {
    /// What failed and why without naming a server or a file: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::BadUrl(_) | Self::Insecure(_) => "the phone book's URL cannot be used".to_owned(),
            Self::Tls(_) => "the extra certificates cannot be used".to_owned(),
            Self::Unreachable { why, .. } => format!("the phone book cannot be reached: {why}"),
            Self::NotABook(_) => "the answer is not that of a phone book".to_owned(),
            Self::Disk(fault) => fault.unnamed(),
            Self::CodeRefused
            | Self::Status(_)
            | Self::Version(_)
            | Self::KeyChanged
            | Self::Lie(_)
            | Self::OwnToken
            | Self::Unfit(_)
            | Self::WrongBinding => self.to_string(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::BadUrl(_) => "write for example https://book.example.org".to_owned(),
            Self::Insecure(_) => "use its https:// URL; plain http is only for this machine and private networks".to_owned(),
            Self::Tls(_) => "correct phonebook.ca_file".to_owned(),
            Self::Unreachable { .. } => "check the URL and the network, and that the phone book is running; if it has a certificate authority of its own, set phonebook.ca_file".to_owned(),
            Self::CodeRefused => "check the code, or ask the phone book's operator for a new one: a code works once and not for ever".to_owned(),
            Self::Status(_) => "try again later; if it stays so, tell the phone book's operator".to_owned(),
            Self::NotABook(_) => "check the URL".to_owned(),
            Self::Version(_) => "update ringfence".to_owned(),
            Self::KeyChanged => "do not go on before the operator has confirmed the new key by another way; then activate again into a fresh --state".to_owned(),
            Self::Lie(_) => "do not trust this phone book before its operator has explained it to all who use it; the proof is kept (ringfence evidence)".to_owned(),
            Self::OwnToken => "nothing, if it passes: the token changes once a month; if it stays so, do not trust this phone book".to_owned(),
            Self::Unfit(_) => "nothing, if it passes: it is tried again; if it stays so, tell the phone book's operator".to_owned(),
            Self::WrongBinding => "do not trust this phone book before its operator has explained it".to_owned(),
            Self::Disk(fault) => fault.remedy(),
        }
    }
}

/// Checks what every phone book must say.
fn check(network: NetworkSettings) -> Result<NetworkSettings, BookError> {
    match network.version {
        1 => Ok(network),
        other => Err(BookError::Version(other)),
    }
}

/// What the keeping of the copy looks like from outside.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// The newest state; `None` until the first download of an engine without a copy.
    pub snapshot: Option<BookSnapshot>,
    /// Why the last attempt failed, if it did.
    pub fault: Option<BookError>,
}

/// Keeps the copy fresh until the handle is aborted: one download now, then one in each epoch of the book at a random moment
/// ([`next_look`]), or at random moments `mean` apart on average.
#[must_use]
pub fn keep_fresh(
    client: BookClient,
    mut copy: BookCopy,
    mean: Option<Duration>,
) -> (JoinHandle<()>, watch::Receiver<Freshness>) {
    let (tell, hear) = watch::channel(Freshness {
        snapshot: copy.snapshot(),
        fault: None,
    });
    let task = tokio::spawn(async move {
        let mut failures = 0;
        loop {
            let outcome = copy.refresh(&client).await;
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            let root = outcome.as_ref().ok().map(|fresh| *fresh.book.root());
            match outcome {
                Ok(snapshot) => drop(tell.send_replace(Freshness {
                    snapshot: Some(snapshot),
                    fault: None,
                })),
                Err(fault) => {
                    tracing::debug!(%fault, "the phone book was not downloaded");
                    tell.send_modify(|state| state.fault = Some(fault));
                }
            }
            let die = rand::rng().random();
            let pause = match (mean, root) {
                (None, Some(root)) => next_look(&root, clock::unix_seconds(), die),
                (None, None) => pause(USUAL, failures, die),
                (Some(mean), _) => pause(mean, failures, die),
            };
            tokio::time::sleep(pause).await;
        }
    });
    (task, hear)
}

/// Time to the next download: half to one and a half of `mean`, or sooner after failures. `die` is 0 to 1.
fn pause(mean: Duration, failures: u32, die: f64) -> Duration {
    let base = match failures {
        0 => mean,
        many => mean.min(RETRY.saturating_mul(1 << (many - 1).min(10))),
    };
    base.mul_f64(0.5 + die)
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
    fn downloads_come_at_random_moments_around_the_mean() {
        let mean = Duration::from_secs(3600);
        assert_eq!(pause(mean, 0, 0.0), Duration::from_secs(1800));
        assert_eq!(pause(mean, 0, 1.0), Duration::from_secs(5400));
    }

    #[test]
    fn failures_are_retried_soon_and_then_less_and_less_but_never_less_than_usual() {
        let mean = Duration::from_secs(3600);
        assert_eq!(pause(mean, 1, 0.5), Duration::from_secs(30));
        assert_eq!(pause(mean, 2, 0.5), Duration::from_secs(60));
        assert_eq!(pause(mean, u32::MAX, 0.5), mean);
    }
}
