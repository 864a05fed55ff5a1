//! Notes that wait for engines that are off (NIP-01 regular events, NIP-40 expiry): in memory, so a restart of the relay loses them.
//!
//! When it is full, new notes are refused, and their senders are told so; none that was taken is dropped before its time. One source
//! may fill a part of it only. Told the time; it has no clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nostr::filter::MatchEventOptions;
use nostr::{Event, EventId, Filter};
use ringfence_daemon::limits::SourcePrefix;

use super::RelayLimits;
use super::admission::limited;

/// A note, and until when it is kept, in seconds since 1970.
#[derive(Debug)]
struct Note {
    event: Arc<Event>,
    until: u64,
    from: Option<SourcePrefix>,
}

/// The notes, oldest first.
#[derive(Debug, Default)]
pub(super) struct NoteStore {
    notes: BTreeMap<u64, Note>,
    ids: BTreeSet<EventId>,
    ends: BTreeSet<(u64, u64)>,
    sources: BTreeMap<SourcePrefix, usize>,
    count: u64,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is kept now.
    Kept,
    /// It was kept before.
    Known,
    /// There is no room, at all or for this source.
    Full,
}

impl NoteStore {
    /// Takes a note that ends at `until`.
    pub(super) fn insert(
        &mut self,
        event: &Arc<Event>,
        (from, until): (IpAddr, u64),
        limits: &RelayLimits,
        unix: u64,
    ) -> Stored {
        self.forget(unix);
        if self.ids.contains(&event.id) {
            return Stored::Known;
        }
        let from = limited(from);
        let theirs = from.and_then(|from| self.sources.get(&from));
        if theirs.is_some_and(|count| *count >= limits.notes_per_address)
            || self.notes.len() >= limits.notes
        {
            return Stored::Full;
        }
        self.count += 1;
        self.ids.insert(event.id);
        self.ends.insert((until, self.count));
        if let Some(from) = from {
            *self.sources.entry(from).or_default() += 1;
        }
        let event = Arc::clone(event);
        self.notes.insert(self.count, Note { event, until, from });
        Stored::Kept
    }

    /// What a subscription to notes begins with: the newest notes first, as many as its filters ask for (NIP-01, `limit`).
    pub(super) fn find(&mut self, filters: &[Filter], unix: u64) -> Vec<Arc<Event>> {
        self.forget(unix);
        let is_asked = |event: &Event| {
            filters
                .iter()
                .any(|filter| filter.match_event(event, MatchEventOptions::new()))
        };
        let events = self.notes.values().map(|note| &note.event);
        let mut found: Vec<_> = events.filter(|event| is_asked(event)).cloned().collect();
        found.sort_by_key(|event| Reverse(event.created_at));
        let mut limits = filters.iter().map(|filter| filter.limit);
        let most = limits.try_fold(0, |sum: usize, limit| Some(sum.saturating_add(limit?)));
        found.truncate(most.unwrap_or(usize::MAX));
        found
    }

    fn forget(&mut self, unix: u64) {
        while let Some((until, name)) = self.ends.first().copied() {
            if until > unix {
                return;
            }
            self.ends.pop_first();
            let Some(note) = self.notes.remove(&name) else {
                continue;
            };
            debug_assert_eq!(note.until, until, "both were written together");
            self.ids.remove(&note.event.id);
            let Some(from) = note.from else { continue };
            if let Some(count) = self.sources.get_mut(&from) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind, Tag};
    use ringfence_book::nostr_event::NOTE_KIND;

    use super::*;

    const NOW: u64 = 1_790_000_300;
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const LIMITS: RelayLimits = RelayLimits {
        notes: 3,
        notes_per_address: 2,
        ..RelayLimits::DEFAULT
    };

    fn note(bucket: &str) -> Arc<Event> {
        let event = EventBuilder::new(Kind::from(NOTE_KIND), "")
            .tags([Tag::parse(["t", bucket]).unwrap()])
            .sign_with_keys(&Keys::generate());
        Arc::new(event.unwrap())
    }

    fn filter(bucket: &str) -> [Filter; 1] {
        [Filter::new().kind(Kind::from(NOTE_KIND)).hashtag(bucket)]
    }

    #[test]
    fn a_note_is_found_by_its_bucket_until_it_ends() {
        let mut notes = NoteStore::default();
        let note = note("rf1-3-0005");
        let mut insert = || notes.insert(&note, (HERE, NOW + 10), &LIMITS, NOW);
        assert_eq!((insert(), insert()), (Stored::Kept, Stored::Known));
        assert_eq!(notes.find(&filter("rf1-3-0005"), NOW + 9), [note]);
        assert!(notes.find(&filter("rf1-3-0006"), NOW).is_empty());
        assert!(notes.find(&filter("rf1-3-0005"), NOW + 10).is_empty());
        assert!(notes.ids.is_empty() && notes.sources.is_empty() && notes.ends.is_empty());
    }

    #[test]
    fn a_limited_request_gets_the_newest_notes_first() {
        let mut notes = NoteStore::default();
        let made = [NOW - 20, NOW, NOW - 10].map(|created| {
            let event = EventBuilder::new(Kind::from(NOTE_KIND), "")
                .tags([Tag::parse(["t", "rf1-3-0005"]).unwrap()])
                .custom_created_at(created.into())
                .sign_with_keys(&Keys::generate());
            let event = Arc::new(event.unwrap());
            notes.insert(&event, (HERE, NOW + 10), &LIMITS, NOW);
            event
        });
        let [two] = filter("rf1-3-0005").map(|filter| filter.limit(2));
        let newest = [made[1].clone(), made[2].clone()];
        assert_eq!(notes.find(std::slice::from_ref(&two), NOW), newest);
        let unlimited = [two, Filter::new().kind(Kind::from(NOTE_KIND))];
        assert_eq!(notes.find(&unlimited, NOW).len(), 3);
    }

    #[test]
    fn a_full_store_and_a_greedy_address_are_refused_and_nothing_is_dropped() {
        let mut notes = NoteStore::default();
        let mut insert = |from| notes.insert(&note("rf1-3-0005"), (from, NOW + 10), &LIMITS, NOW);
        assert_eq!(
            [insert(THERE), insert(THERE), insert(THERE)],
            [Stored::Kept, Stored::Kept, Stored::Full]
        );
        assert_eq!([insert(HERE), insert(HERE)], [Stored::Kept, Stored::Full]);
        assert_eq!(notes.find(&filter("rf1-3-0005"), NOW).len(), 3);
        let later = notes.insert(&note("rf1-3-0005"), (THERE, NOW + 99), &LIMITS, NOW + 10);
        assert_eq!(later, Stored::Kept);
    }
}
