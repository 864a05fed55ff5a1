//! A small book for tests, and where it can be kept.

#[cfg(feature = "sql")]
pub(crate) mod cluster;

use ringfence_book::{NumberPlan, Root};
use ringfence_phonebook::{Book, Schedule, Store};

/// The time in these tests; nothing sleeps.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn plan() -> NumberPlan {
    NumberPlan::new(100, 1).unwrap()
}

/// An epoch changes four records: queues are soon longer.
pub(crate) fn terms() -> Schedule {
    Schedule {
        changes: 4,
        ..Schedule::of(plan())
    }
}

pub(crate) fn open(store: Box<dyn Store>) -> Book {
    let mut book = Book::open(store, terms(), [1; 32], NOW).unwrap().0;
    if book.due(NOW) {
        close(&mut book);
    }
    book
}

/// Ends the next epoch, when its time has come; no other process does.
pub(crate) fn close(book: &mut Book) -> Root {
    let next = next(book);
    book.close_epoch(next, b"{}").unwrap().unwrap()
}

/// When the next epoch may be ended.
pub(crate) fn next(book: &Book) -> u64 {
    book.next_due().unwrap_or(NOW)
}
