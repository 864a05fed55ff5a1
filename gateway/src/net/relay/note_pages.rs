//! Stored notes, page by page: many relays return some 500 events for one request (NIP-11 `max_limit`), the newest first. So notes are
//! requested backwards in time, each page up to the oldest moment of the page before.
//!
//! A relay that invents pages without end is read for [`MOST_PAGES`] of them in each connection. When more events than a page holds
//! share one `created_at` (rounded to ten seconds), the rest is lost.

use std::collections::BTreeMap;

use nostr_sdk::prelude::{RelayUrl, SubscriptionId};

/// NotePages for one connection: more notes than an engine remembers, at 500 a page.
const MOST_PAGES: usize = 40;

/// How far the stored notes of each relay have been read.
#[derive(Debug, Default)]
pub(super) struct NotePages(BTreeMap<RelayUrl, Page>);

#[derive(Debug)]
struct Page {
    /// The subscription that returns it.
    id: SubscriptionId,
    /// Where reading ends, in seconds since 1970.
    since: u64,
    /// The newest moment of this page; the first one goes up to now.
    until: Option<u64>,
    /// The oldest event in it so far, in seconds since 1970.
    oldest: Option<u64>,
    /// It was read to its end, and the next one is due.
    is_read: bool,
    left: usize,
}

/// A page that is to be requested.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    pub(super) url: RelayUrl,
    pub(super) id: SubscriptionId,
    pub(super) since: u64,
    pub(super) until: u64,
}

impl NotePages {
    /// Notes were requested from a relay under this subscription, which is the first page.
    pub(super) fn begin(&mut self, url: &RelayUrl, id: &SubscriptionId, since: u64) {
        let page = Page {
            id: id.clone(),
            since,
            until: None,
            oldest: None,
            is_read: false,
            left: MOST_PAGES,
        };
        self.0.insert(url.clone(), page);
    }

    /// Notes the moment of an event that came.
    pub(super) fn handle_event(&mut self, url: &RelayUrl, id: &SubscriptionId, created_at: u64) {
        if let Some(page) = self.open(url, id) {
            let oldest = page
                .oldest
                .map_or(created_at, |oldest| oldest.min(created_at));
            page.oldest = Some(oldest);
        }
    }

    /// All stored events of a subscription came. An empty page is the last one.
    pub(super) fn handle_end(&mut self, url: &RelayUrl, id: &SubscriptionId) {
        let Some(page) = self.open(url, id) else {
            return;
        };
        page.is_read = true;
        if page.oldest.is_none() {
            self.0.remove(url);
        }
    }

    /// The next page of each relay whose last page was read to its end.
    pub(super) fn due(&mut self) -> Vec<PageRequest> {
        let mut due = Vec::new();
        self.0.retain(|url, page| {
            if !page.is_read {
                return true;
            }
            let Some(next) = page.turn() else {
                return false;
            };
            due.push(PageRequest {
                url: url.clone(),
                id: page.id.clone(),
                since: page.since,
                until: next,
            });
            true
        });
        due
    }

    fn open(&mut self, url: &RelayUrl, id: &SubscriptionId) -> Option<&mut Page> {
        let page = self.0.get_mut(url)?;
        (page.id == *id && !page.is_read).then_some(page)
    }
}

impl Page {
    /// Moves on to the next older page; `None` when there can be none.
    fn turn(&mut self) -> Option<u64> {
        let oldest = self.oldest.take()?;
        // Events as old as the oldest may have been cut off, so the next page includes that moment, unless this one brought nothing
        // older.
        let until = match self.until {
            Some(until) if oldest >= until => until.checked_sub(1)?,
            _ => oldest,
        };
        self.left = self.left.checked_sub(1)?;
        self.until = Some(until);
        self.id = SubscriptionId::generate();
        self.is_read = false;
        (until >= self.since).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> RelayUrl {
        RelayUrl::parse("ws://relay.example").unwrap()
    }

    /// Reads a relay that keeps events of these moments and returns so many at once; what was seen, and how often it was asked.
    fn read(kept: &[u64], at_once: usize, since: u64) -> (Vec<u64>, usize) {
        let (mut pages, mut id, mut until) =
            (NotePages::default(), SubscriptionId::generate(), u64::MAX);
        pages.begin(&url(), &id, since);
        let (mut seen, mut asked) = (Vec::new(), 1);
        loop {
            let matching = kept.iter().filter(|at| (since..=until).contains(*at));
            for at in matching.take(at_once) {
                pages.handle_event(&url(), &id, *at);
                seen.push(*at);
            }
            pages.handle_end(&url(), &id);
            let Some(next) = pages.due().pop() else {
                seen.sort_unstable();
                seen.dedup();
                return (seen, asked);
            };
            (id, until, asked) = (next.id, next.until, asked + 1);
        }
    }

    #[test]
    fn everything_is_read_from_a_relay_that_returns_a_few_at_once() {
        let kept: Vec<u64> = (0..100).rev().map(|at| 1_000 + at / 2 * 10).collect();
        let (seen, asked) = read(&kept, 7, 1_000);
        assert_eq!(seen.len(), 50, "{seen:?}");
        assert!(asked < 40);
        // What is older than was asked for is left alone.
        assert_eq!(read(&kept, 7, 1_200).0.first(), Some(&1_200));
    }

    #[test]
    fn a_relay_with_little_is_asked_two_times_more_and_an_empty_one_never() {
        assert_eq!(read(&[1_010, 1_000], 500, 900), (vec![1_000, 1_010], 3));
        assert_eq!(read(&[], 500, 900), (vec![], 1));
    }

    #[test]
    fn a_relay_that_never_ends_is_left_after_a_bounded_number_of_pages() {
        let kept: Vec<u64> = (0..100_000).rev().collect();
        assert_eq!(read(&kept, 2, 0).1, MOST_PAGES + 1);
    }

    #[test]
    fn what_comes_live_begins_no_page() {
        let (mut pages, id) = (NotePages::default(), SubscriptionId::generate());
        pages.begin(&url(), &id, 0);
        pages.handle_end(&url(), &id);
        pages.handle_event(&url(), &id, 5);
        pages.handle_end(&url(), &id);
        assert_eq!(pages.due(), []);
    }
}
