//! What is opened towards the world, noted where it is opened: names that are looked up, TURN servers that are dialled, requests to
//! the phone book. For whoever has to prove what an engine does not do. Without somebody who watches, nothing is noted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::clock;

/// Notes that are kept. A call makes two or three.
const MOST_NOTES: usize = 4_096;

/// One thing that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditEntry {
    /// A name server was asked for this name.
    Name(String),
    /// A TURN server at this address was dialled.
    Turn(SocketAddr),
    /// The phone book was asked for something.
    Book,
}

/// Somebody who watches, or nobody.
#[derive(Clone, Debug, Default)]
pub struct ConnectionAudit(Option<Arc<Notes>>);

type Notes = Mutex<Vec<(Instant, AuditEntry)>>;

impl ConnectionAudit {
    /// Begins to watch.
    #[must_use]
    pub fn begin() -> Self {
        Self(Some(Arc::default()))
    }

    /// Notes what is about to be opened.
    pub(crate) fn note(&self, opened: impl FnOnce() -> AuditEntry) {
        if let Some(notes) = &self.0 {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            if notes.len() < MOST_NOTES {
                notes.push((clock::now(), opened()));
            }
        }
    }

    /// What was opened from `start` on.
    #[must_use]
    pub fn since(&self, start: Instant) -> Vec<AuditEntry> {
        let Some(notes) = &self.0 else {
            return Vec::new();
        };
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let later = notes.iter().filter(|(at, _)| *at >= start);
        later.map(|(_, opened)| opened.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_later_is_told_and_nothing_to_nobody() {
        let (watch, nobody) = (ConnectionAudit::begin(), ConnectionAudit::default());
        for watch in [&watch, &nobody] {
            watch.note(|| AuditEntry::Name("early".to_owned()));
        }
        let start = clock::now();
        for watch in [&watch, &nobody] {
            watch.note(|| AuditEntry::Book);
        }
        assert_eq!(watch.since(start), [AuditEntry::Book]);
        assert!(nobody.since(start).is_empty());
    }
}
