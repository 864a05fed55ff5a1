//! One thing that was looked at, and what was found.

use std::time::Duration;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Well.
    Ok,
    /// Calls work, or may work, and something should be looked at.
    Warn,
    /// Calls do not work, or the promise is not kept.
    Fail,
}

impl Verdict {
    /// In a word.
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
    /// What was looked at.
    pub area: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub says: String,
    /// What the person can do; empty when all is well.
    pub remedy: String,
    /// How long the thing took, where that tells something.
    pub took: Option<Duration>,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(area: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            area: area.into(),
            verdict: Verdict::Ok,
            says: says.into(),
            remedy: String::new(),
            took: None,
        }
    }

    /// Something should be looked at.
    pub(crate) fn warn(
        area: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Warn,
            remedy: remedy.into(),
            ..Self::ok(area, says)
        }
    }

    /// Something is wrong.
    pub(crate) fn fail(
        area: impl Into<String>,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Fail,
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
