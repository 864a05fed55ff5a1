//! Checks the phone book: that it answers, that its signature is valid and follows from the engine's copy, that it lists this engine's
//! keys, and that its clock agrees with this machine's.
//!
//! The check updates a copy of the engine's copy in a temporary folder, so that it does not affect a running engine.

use std::path::Path;
use std::time::Duration;

use ringfence_book::{BookKey, Listing, Number, Root};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::directory::Directory;
use tempfile::TempDir;
use tokio::time::timeout;

use super::finding::Finding;
use crate::clock;
use crate::config::Config;
use crate::net::book::skew::{ClockOffset, TOLERANCE};
use crate::net::book::{BookClient, BookCopy, BookError, BookSnapshot};
use crate::net::outbound::Outbound;
use crate::state::keystore::{LineFile, line_path};

const AREA: &str = "phone book";

/// Time for a whole book over a slow connection.
const LIMIT: Duration = Duration::from_secs(90);

/// Until then, a new line may be missing: it appears with one of the next epochs.
const NEW_LINE: Duration = Duration::from_secs(3_600);

/// The result of the check.
pub(super) struct PhoneBookCheck {
    pub(super) client: Option<BookClient>,
    pub(super) snapshot: Option<BookSnapshot>,
    pub(super) findings: Vec<Finding>,
}

/// Checks the phone book of these lines.
pub(super) async fn look(
    config: &Config,
    lines: &[LineFile],
    outbound: &Outbound,
) -> PhoneBookCheck {
    let mut check = PhoneBookCheck {
        client: None,
        snapshot: None,
        findings: Vec::new(),
    };
    let Some(line) = lines.first() else {
        let remedy = "ask a phone book's operator for an activation code and run: ringfence setup";
        check
            .findings
            .push(Finding::fail("lines", "there is no line", remedy));
        return check;
    };
    let (client, outcome) = match download(config, line, outbound).await {
        Ok(found) => found,
        Err(error) => {
            check.findings.push(failed(&error));
            return check;
        }
    };
    match outcome {
        Ok((snapshot, before)) => {
            check.findings.push(fresh(&snapshot, before));
            check.findings.extend(own_records(config, lines, &snapshot));
            check.snapshot = Some(snapshot);
        }
        Err((error, old)) => {
            check.findings.push(failed(&error));
            check.snapshot = old;
        }
    }
    let offset = client.clock_check();
    let offset = offset.map(|check| check.offset(clock::reading()));
    check.findings.extend(clock_of("phone book", offset));
    check.client = Some(client);
    check
}

fn failed(error: &BookError) -> Finding {
    Finding::fail(AREA, error.to_string(), error.remedy())
}

/// The newest book and the epoch of the engine's copy; or the error and that copy.
type DownloadOutcome = Result<(BookSnapshot, Option<u32>), (BookError, Option<BookSnapshot>)>;

async fn download(
    config: &Config,
    line: &LineFile,
    outbound: &Outbound,
) -> Result<(BookClient, DownloadOutcome), BookError> {
    let client = BookClient::new(&line.book_url, outbound)?;
    let key = BookKey::from_bytes(&line.book_key).map_err(|_| BookError::KeyChanged)?;
    let folder = TempDir::with_prefix("ringfence-doctor-").map_err(|error| disk(&error))?;
    copy_book(&config.state.join("book"), &folder.path().join("book"))
        .map_err(|error| disk(&error))?;
    let mut copy = BookCopy::open(config.state.at(folder.path()), key)?;
    let old = copy.snapshot();
    let before = old.as_ref().map(|old| old.book.root().states().epoch);
    let outcome = match timeout(LIMIT, copy.refresh(&client)).await {
        Ok(Ok(snapshot)) => Ok((snapshot, before)),
        Ok(Err(error)) => Err((error, old)),
        Err(_) => {
            let why = crate::net::book::Unreachable::Timeout;
            let url = client.url().to_owned();
            Err((BookError::Unreachable { url, why }, old))
        }
    };
    Ok((client, outcome))
}

fn disk(error: &std::io::Error) -> BookError {
    BookError::Disk(crate::state::keystore::KeystoreError::Disk {
        act: "write",
        path: std::env::temp_dir(),
        kind: error.kind(),
    })
}

/// Copies the engine's copy. Files that change meanwhile do not match and are downloaded again.
fn copy_book(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path);
    make(to)?;
    let Ok(books) = std::fs::read_dir(from) else {
        return Ok(());
    };
    for book in books.flatten().filter(|book| book.path().is_dir()) {
        let target = to.join(book.file_name());
        make(&target)?;
        for file in std::fs::read_dir(book.path())?.flatten() {
            std::fs::copy(file.path(), target.join(file.file_name()))?;
        }
    }
    Ok(())
}

fn fresh(snapshot: &BookSnapshot, before: Option<u32>) -> Finding {
    let root = snapshot.book.root().states();
    let age = clock::unix_seconds().saturating_sub(root.closed);
    let chain = before.map_or_else(
        || "downloaded for the first time".to_owned(),
        |before| format!("it follows from epoch {before}, which this engine has"),
    );
    let says = format!(
        "signature valid, epoch {} is {age} s old; {chain}",
        root.epoch
    );
    if age > u64::from(root.period).saturating_mul(4) {
        let remedy = "tell the phone book's operator: new numbers and keys do not appear";
        return Finding::warn(AREA, says, remedy);
    }
    Finding::ok(AREA, says)
}

/// Whether the book lists this engine's own keys.
fn own_records(config: &Config, lines: &[LineFile], snapshot: &BookSnapshot) -> Vec<Finding> {
    let directory = Directory::of(&snapshot.book, Vec::<Root>::new());
    lines
        .iter()
        .map(|line| {
            let area = format!("line {}", line.number);
            let Ok(identity) = Identity::from_bytes(&line.identity) else {
                let remedy = "restore it from a backup: ringfence restore FILE --replace";
                return Finding::fail(area, "its keys are damaged", remedy);
            };
            let record = directory.record(Number::new(line.number));
            let listing = record.and_then(|record| Listing::decode(record).ok());
            let is_ours = |listing: &Listing| *listing.identity() == identity.key();
            match listing {
                Some(listing) if is_ours(&listing) && identity.has_ring_key(listing.ring_key()) => {
                    Finding::ok(area, "the phone book lists it with this engine's keys")
                }
                Some(listing) if is_ours(&listing) => Finding::warn(
                    area,
                    "the phone book lists it with a ring key that this engine does not have: calls do not reach it yet",
                    "start the engine if a backup was restored; if another engine runs with this line, stop it",
                ),
                _ if is_new(config, line.number) => Finding::warn(
                    area,
                    "the phone book does not list it yet",
                    "wait: a new line appears within two minutes",
                ),
                _ => Finding::fail(
                    area,
                    "the phone book lists it with keys that are not this engine's: calls to it reach another engine",
                    "do not trust this phone book before its operator has explained it (ringfence evidence)",
                ),
            }
        })
        .collect()
}

/// Whether the line is so new that the book may not list it yet.
fn is_new(config: &Config, number: u32) -> bool {
    let path = line_path(&config.state, number).ok();
    let modified = path.and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
    let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    modified.is_some_and(|at| clock::since_epoch().saturating_sub(at) < NEW_LINE)
}

/// Compares the clock with that of a server; nothing if the server sent no time.
pub(super) fn clock_of(server: &str, offset: Option<ClockOffset>) -> Option<Finding> {
    let ClockOffset { apart, is_behind } = offset?;
    let area = format!("clock ({server})");
    let seconds = apart.as_secs();
    if apart <= TOLERANCE {
        return Some(Finding::ok(area, format!("within {} s", seconds.max(1))));
    }
    let side = if is_behind { "behind" } else { "ahead" };
    Some(Finding::fail(
        area,
        format!(
            "this machine's clock is {seconds} s {side}: phones ring for less time, and not at all when it is a minute"
        ),
        "set the clock, for example with timedatectl set-ntp true; if it is right, tell the server's operator",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_clock_that_is_an_hour_off_fails_on_either_side_and_silence_says_nothing() {
        let hour = Duration::from_secs(3_600);
        for (is_behind, word) in [(true, "3600 s behind"), (false, "3600 s ahead")] {
            let apart = hour;
            let found = clock_of("phone book", Some(ClockOffset { apart, is_behind })).unwrap();
            assert_eq!(found.verdict, Severity::Fail);
            assert!(
                found.says.contains(word) && found.remedy.contains("timedatectl"),
                "{found:?}"
            );
        }
        let offset = ClockOffset {
            apart: Duration::from_secs(2),
            is_behind: true,
        };
        let found = clock_of("a relay", Some(offset)).unwrap();
        assert_eq!(found.verdict, Severity::Ok);
        assert_eq!(clock_of("a relay", None), None);
    }
}
