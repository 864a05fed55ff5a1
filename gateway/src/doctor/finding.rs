//! The result of one check.

use std::time::Duration;

/// The result in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// In order.
    Ok,
    /// Calls work, or may work, but the user should look at this.
    Warn,
    /// Calls do not work, or the promise of privacy is not kept.
    Fail,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A row of the doctor's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub area: String,
    /// The result in a word.
    pub verdict: Severity,
    /// What was found.
    pub says: String,
    /// What the user can do; empty if there is nothing to do.
    pub remedy: String,
    /// How long it took, if that matters.
    pub took: Option<Duration>,
}

impl Finding {
    /// The check passed.
    pub(crate) fn ok(area: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            area: area.into(),
            verdict: Severity::Ok,
            says: says.into(),
            remedy: String::new(),
            took: None,
        }
    }

    /// The user should look at this.
    pub(crate) fn warn(
        area: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Severity::Warn,
            remedy: remedy.into(),
            ..Self::ok(area, says)
        }
    }

    /// The check failed.
    pub(crate) fn fail(
        area: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Severity::Fail,
            remedy: remedy.into(),
            ..Self::ok(area, says)
        }
    }

    pub(crate) fn after(self, took: Duration) -> Self {
        Self {
            took: Some(took),
            ..self
        }
    }
}
