//! Stored notes of one relay, page by page: relays return a bounded number of events for one request (here [`PAGE`]; some return fewer,
//! NIP-11 `max_limit`), the newest first. So notes are requested backwards in time, each page up to the oldest moment of the page before.
//!
//! A relay that invents pages without end is read for [`MOST_PAGES`] of them in each connection. When more events than a page holds
//! share one `created_at` (rounded to ten seconds), the rest is lost.

/// Notes that are requested at once. Some relays refuse a request for more than 300, in place of returning fewer.
pub(super) const PAGE: usize = 250;

/// Pages in one connection: more notes than an engine remembers.
const MOST_PAGES: usize = 80;

/// How far the stored notes have been read. Nothing, once all of them have.
#[derive(Clone, Debug, Default)]
pub(super) struct NotePages(Option<NotePage>);

#[derive(Clone, Debug)]
struct NotePage {
    /// The subscription that returns it.
    id: String,
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
pub(super) struct NotePageRequest {
    pub(super) id: String,
    pub(super) since: u64,
    pub(super) until: u64,
}

impl NotePages {
    /// Notes were requested under this subscription, which is the first page.
    pub(super) fn begin(&mut self, id: &str, since: u64) {
        self.0 = Some(NotePage {
            id: id.to_owned(),
            since,
            until: None,
            oldest: None,
            is_read: false,
            left: MOST_PAGES,
        });
    }

    /// Whether the page under this subscription is being read.
    pub(super) fn is_open(&self, id: &str) -> bool {
        let page = self.0.as_ref();
        page.is_some_and(|page| page.id == id && !page.is_read)
    }

    /// Notes the moment of an event that came, whose signature was verified.
    pub(super) fn handle_event(&mut self, id: &str, created_at: u64) {
        if let Some(page) = self.open(id) {
            let oldest = page
                .oldest
                .map_or(created_at, |oldest| oldest.min(created_at));
            page.oldest = Some(oldest);
        }
    }

    /// All stored events of a subscription came. An empty page is the last one.
    pub(super) fn handle_end(&mut self, id: &str) {
        let Some(page) = self.open(id) else {
            return;
        };
        page.is_read = true;
        if page.oldest.is_none() {
            self.0 = None;
        }
    }

    /// The relay refused a page: the rest is not read over this connection.
    pub(super) fn handle_refusal(&mut self, id: &str) {
        if let Some(page) = self.open(id) {
            page.id.clear();
        }
    }

    /// Whether all notes were read, or as many as are read.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a page was read to its end.
    pub(super) fn is_due(&self) -> bool {
        self.0.as_ref().is_some_and(|page| page.is_read)
    }

    /// The next page, to be requested under `id`, if the last one was read to its end.
    pub(super) fn turn(&mut self, id: String) -> Option<NotePageRequest> {
        let page = self.0.as_mut().filter(|page| page.is_read)?;
        let Some(until) = page.turn() else {
            self.0 = None;
            return None;
        };
        page.id.clone_from(&id);
        Some(NotePageRequest {
            id,
            since: page.since,
            until,
        })
    }

    fn open(&mut self, id: &str) -> Option<&mut NotePage> {
        self.0
            .as_mut()
            .filter(|page| page.id == id && !page.is_read)
    }
}

impl NotePage {
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
        self.is_read = false;
        (until >= self.since).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a relay that keeps events of these moments and returns so many at once; what was seen, and how often it was asked.
    fn read(kept: &[u64], at_once: usize, since: u64) -> (Vec<u64>, usize) {
        let (mut pages, mut until) = (NotePages::default(), u64::MAX);
        pages.begin("1", since);
        let (mut seen, mut asked) = (Vec::new(), 1);
        loop {
            let id = asked.to_string();
            assert!(pages.is_open(&id));
            let matching = kept.iter().filter(|at| (since..=until).contains(*at));
            for at in matching.take(at_once) {
                pages.handle_event(&id, *at);
                seen.push(*at);
            }
            pages.handle_end(&id);
            asked += 1;
            let Some(next) = pages.turn(asked.to_string()) else {
                seen.sort_unstable();
                seen.dedup();
                return (seen, asked - 1);
            };
            until = next.until;
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
    fn a_page_may_come_in_any_order() {
        let mut pages = NotePages::default();
        pages.begin("1", 0);
        for at in [70, 50, 60] {
            pages.handle_event("1", at);
        }
        pages.handle_end("1");
        assert_eq!(pages.turn("2".to_owned()).unwrap().until, 50);
    }

    #[test]
    fn what_comes_live_begins_no_page() {
        let mut pages = NotePages::default();
        pages.begin("1", 0);
        pages.handle_end("1");
        pages.handle_event("1", 5);
        pages.handle_end("1");
        assert!(!pages.is_due());
        assert_eq!(pages.turn("2".to_owned()), None);
    }

    #[test]
    fn a_refused_page_is_the_last_one() {
        let mut pages = NotePages::default();
        pages.begin("1", 0);
        pages.handle_event("1", 5);
        pages.handle_refusal("other");
        assert!(pages.is_open("1"));
        pages.handle_refusal("1");
        assert!(!pages.is_open("1") && !pages.is_due());
    }
}
