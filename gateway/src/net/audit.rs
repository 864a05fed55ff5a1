//! Records which connections an engine opens: names that are looked up, TURN servers that are dialled, requests to the phone book. The
//! doctor uses it to prove what a call does not do. By default nothing is recorded.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::clock;

/// Entries that are kept. A call makes two or three.
const MOST_ENTRIES: usize = 4_096;

/// One connection that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditEntry {
    /// This name was looked up.
    Name(String),
    /// A TURN server at this address was dialled.
    Turn(SocketAddr),
    /// A request was sent to the phone book.
    Book,
}

/// A shared record; the default one records nothing.
#[derive(Clone, Debug, Default)]
pub struct ConnectionAudit(Option<Arc<Entries>>);

type Entries = Mutex<Vec<(Instant, AuditEntry)>>;

impl ConnectionAudit {
    /// Begins to record.
    #[must_use]
    pub fn begin() -> Self {
        Self(Some(Arc::default()))
    }

    /// Records what is about to be opened.
    pub(crate) fn note(&self, opened: impl FnOnce() -> AuditEntry) {
        if let Some(recorded) = &self.0 {
            let mut entries = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            if entries.len() < MOST_ENTRIES {
                entries.push((clock::now(), opened()));
            }
        }
    }

    /// The entries from `start` on.
    #[must_use]
    pub fn since(&self, start: Instant) -> Vec<AuditEntry> {
        let Some(recorded) = &self.0 else {
            return Vec::new();
        };
        let entries = recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let later = entries.iter().filter(|(at, _)| *at >= start);
        later.map(|(_, opened)| opened.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_later_entries_are_returned_and_by_default_none() {
        let (audit, unused) = (ConnectionAudit::begin(), ConnectionAudit::default());
        for audit in [&audit, &unused] {
            audit.note(|| AuditEntry::Name("early".to_owned()));
        }
        let start = clock::now();
        for audit in [&audit, &unused] {
            audit.note(|| AuditEntry::Book);
        }
        assert_eq!(audit.since(start), [AuditEntry::Book]);
        assert!(unused.since(start).is_empty());
    }
}
