//! Notes that wait for engines that are off (NIP-01 regular events, NIP-40 expiry): in memory, so a restart of the relay loses them.
//!
//! When it is full, new notes are refused, and their senders are told so; none that was taken is dropped before its time. One address
//! may fill a part of it only. Told the time; it has no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nostr::filter::MatchEventOptions;
use nostr::{Event, EventId, Filter};

use super::RelayLimits;

/// A note, and until when it is kept, in seconds since 1970.
#[derive(Debug)]
struct Note {
    event: Arc<Event>,
    until: u64,
    from: IpAddr,
}

/// The notes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    notes: BTreeMap<u64, Note>,
    ids: BTreeSet<EventId>,
    ends: BTreeSet<(u64, u64)>,
    addresses: BTreeMap<IpAddr, usize>,
    count: u64,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is kept now.
    Kept,
    /// It was kept before.
    Known,
    /// There is no room, at all or for this address.
    Full,
}

impl Shelf {
    /// Takes a note that ends at `until`. Loopback has no limit of its own: a web server in front is there.
    pub(super) fn put(
        &mut self,
        event: &Arc<Event>,
        (from, until): (IpAddr, u64),
        limits: &RelayLimits,
        unix: u64,
    ) -> Taken {
        self.forget(unix);
        if self.ids.contains(&event.id) {
            return Taken::Known;
        }
        let theirs = self.addresses.get(&from).copied().unwrap_or_default();
        let is_many = !from.is_loopback() && theirs >= limits.notes_per_address;
        if is_many || self.notes.len() >= limits.notes {
            return Taken::Full;
        }
        self.count += 1;
        self.ids.insert(event.id);
        self.ends.insert((until, self.count));
        *self.addresses.entry(from).or_default() += 1;
        let event = Arc::clone(event);
        self.notes.insert(self.count, Note { event, until, from });
        Taken::Kept
    }

    /// What a subscription to notes begins with.
    pub(super) fn find(&mut self, filters: &[Filter], unix: u64) -> Vec<Arc<Event>> {
        self.forget(unix);
        let is_asked = |event: &Event| {
            filters
                .iter()
                .any(|filter| filter.match_event(event, MatchEventOptions::new()))
        };
        let events = self.notes.values().map(|note| &note.event);
        events.filter(|event| is_asked(event)).cloned().collect()
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
            if let Some(count) = self.addresses.get_mut(&note.from) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(&note.from);
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
        let mut shelf = Shelf::default();
        let note = note("rf1-3-0005");
        let mut put = || shelf.put(&note, (HERE, NOW + 10), &LIMITS, NOW);
        assert_eq!((put(), put()), (Taken::Kept, Taken::Known));
        assert_eq!(shelf.find(&filter("rf1-3-0005"), NOW + 9), [note]);
        assert!(shelf.find(&filter("rf1-3-0006"), NOW).is_empty());
        assert!(shelf.find(&filter("rf1-3-0005"), NOW + 10).is_empty());
        assert!(shelf.ids.is_empty() && shelf.addresses.is_empty() && shelf.ends.is_empty());
    }

    #[test]
    fn a_full_shelf_and_a_greedy_address_are_refused_and_nothing_is_dropped() {
        let mut shelf = Shelf::default();
        let mut put = |from| shelf.put(&note("rf1-3-0005"), (from, NOW + 10), &LIMITS, NOW);
        assert_eq!(
            [put(THERE), put(THERE), put(THERE)],
            [Taken::Kept, Taken::Kept, Taken::Full]
        );
        assert_eq!([put(HERE), put(HERE)], [Taken::Kept, Taken::Full]);
        assert_eq!(shelf.find(&filter("rf1-3-0005"), NOW).len(), 3);
        let later = shelf.put(&note("rf1-3-0005"), (THERE, NOW + 99), &LIMITS, NOW + 10);
        assert_eq!(later, Taken::Kept);
    }
}
