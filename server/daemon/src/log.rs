//! The log: lines of text for people, or JSON for programs, on standard error; and a dial that changes what is heard while it
//! runs.
//!
//! A journal that reads standard error puts its own time on each line, so that none is written then. What may stand in a log at
//! all is decided where it is written.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The environment variable that says what is logged, in the syntax of `RUST_LOG`.
pub const VARIABLE: &str = "RINGFENCE_LOG";

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Libraries that are never heard, whatever the filter says: they log whole messages of strangers, and of the user's servers.
const SILENT: [&str; 2] = ["tokio_tungstenite", "tungstenite"];

/// Why a filter is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Not in the syntax of `RUST_LOG`.
    #[error("it is no filter for the log: {0}")]
    Syntax(String),
    /// The environment says what is logged, and goes before the settings.
    #[error("the environment variable {0} says what is logged, and goes before the settings")]
    Environment(&'static str),
}

/// Changes what the log hears.
#[derive(Debug)]
pub struct Dial {
    handle: reload::Handle<EnvFilter, Registry>,
    environment: Option<&'static str>,
}

impl Dial {
    /// Takes another filter, in the syntax of `RUST_LOG`.
    ///
    /// # Errors
    /// [`FilterError`]; the filter stays as it was.
    pub fn turn(&self, filter: &str) -> Result<(), FilterError> {
        if let Some(variable) = self.environment {
            return Err(FilterError::Environment(variable));
        }
        // Fails only if the log is gone, and then nothing is heard anyway.
        drop(self.handle.reload(read(filter)?));
        Ok(())
    }
}

/// Starts the log. The first of the environment `variables` that holds a filter overrides `filter`. In a process that logs already,
/// nothing happens.
#[must_use]
pub fn begin(variables: &[&'static str], filter: &str, format: Format) -> Dial {
    let from_environment = variables
        .iter()
        .find_map(|variable| Some((*variable, EnvFilter::try_from_env(variable).ok()?)));
    let (environment, filter) = match from_environment {
        Some((variable, filter)) => (Some(variable), silenced(filter)),
        None => (None, silenced(EnvFilter::new(filter))),
    };
    let (filter, handle) = reload::Layer::new(filter);
    // Fails only if something in this process logs already.
    drop(
        tracing_subscriber::registry()
            .with(filter)
            .with(lines(format, !journal_reads()))
            .try_init(),
    );
    Dial {
        handle,
        environment,
    }
}

/// Checks a filter without taking it.
///
/// # Errors
/// [`FilterError::Syntax`].
pub fn check(filter: &str) -> Result<(), FilterError> {
    read(filter).map(drop)
}

fn read(filter: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(filter)
        .map(silenced)
        .map_err(|error| FilterError::Syntax(error.to_string()))
}

/// The filter without the libraries that are never heard. Below them, it may name single modules: those go too.
fn silenced(filter: EnvFilter) -> EnvFilter {
    let kept = filter.to_string();
    let is_silent = |target: &str| {
        let mut silent = SILENT.iter();
        silent.any(|name| target == *name || target.starts_with(&format!("{name}::")))
    };
    let kept = kept.split(',').filter(|directive| {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        !is_silent(target)
    });
    let silent = SILENT.iter().map(|name| format!("{name}=off"));
    let directives: Vec<_> = kept.map(str::to_owned).chain(silent).collect();
    EnvFilter::new(directives.join(","))
}

fn lines<S>(format: Format, timed: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match (format, timed) {
        (Format::Text, true) => layer.boxed(),
        (Format::Text, false) => layer.without_time().boxed(),
        (Format::Json, true) => layer.json().flatten_event(true).boxed(),
        (Format::Json, false) => layer.json().flatten_event(true).without_time().boxed(),
    }
}

/// Whether systemd's journal reads standard error: `JOURNAL_STREAM` names its file (systemd.exec(5)), and would be inherited
/// by a program whose output was sent elsewhere.
fn journal_reads() -> bool {
    let own = fs::metadata("/proc/self/fd/2").map(|file| (file.dev(), file.ino()));
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| names(&named, own.ok()))
}

fn names(stream: &str, file: Option<(u64, u64)>) -> bool {
    let parts = stream.split_once(':');
    let named = parts.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    named.is_some() && named == file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_believed_only_if_it_names_this_very_stream() {
        assert!(names("8:1234", Some((8, 1234))));
        for stranger in ["8:1235", "9:1234", "8", "", "a:b"] {
            assert!(!names(stranger, Some((8, 1234))), "{stranger}");
        }
        assert!(!names("", None));
    }

    #[test]
    fn a_library_that_quotes_strangers_is_never_heard() {
        for filter in [
            "trace",
            "tungstenite=trace",
            "tungstenite::protocol=trace,info",
            "",
        ] {
            let taken = read(filter).unwrap().to_string();
            let of_library: Vec<_> = taken
                .split(',')
                .filter(|directive| directive.contains("tungstenite"))
                .collect();
            assert_eq!(of_library.len(), 2, "{taken}");
            assert!(
                of_library
                    .iter()
                    .all(|directive| directive.ends_with("=off")),
                "{taken}"
            );
        }
        let taken = read("warn,ringfence=trace").unwrap().to_string();
        assert!(
            taken.contains("ringfence=trace") && taken.contains("warn"),
            "{taken}"
        );
    }

    #[test]
    fn what_is_no_filter_is_refused_by_name() {
        assert_eq!(check("ringfence=info,warn"), Ok(()));
        assert!(matches!(
            check("ringfence=loud"),
            Err(FilterError::Syntax(_))
        ));
    }
}
