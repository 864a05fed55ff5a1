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

/// Ends an epoch that no other process ends.
pub(crate) fn close(book: &mut Book) -> Root {
    book.close_epoch(NOW, b"{}").unwrap().unwrap()
}
