//! The roots that are kept: all of the last days, and before those the last one of each day. A root names the boundary before its day,
//! so one root of a day is enough to be compared with any other of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::day::Day;
use crate::root::Root;

/// The newest roots, which are kept whatever their day: two days at one a minute.
pub const MOST_NEWEST: usize = 2_880;

/// Days before those of which the last root is kept.
pub const MOST_DAYS: usize = 30;

/// Verified roots of one book by epoch. They are shared: an engine has them in several places, and a megabyte of them after two days.
#[derive(Clone, Debug, Default)]
pub struct RootHistory(BTreeMap<u32, Arc<Root>>);

impl RootHistory {
    /// Adds a root, unless there is one of its epoch. What is kept is bounded.
    pub fn add(&mut self, root: impl Into<Arc<Root>>) {
        let root = root.into();
        self.0.entry(root.states().epoch).or_insert(root);
        while self.0.len() > MOST_NEWEST + MOST_DAYS {
            self.drop_one();
        }
    }

    /// Drops the oldest root that has a later one of its day, or the oldest of too many days.
    fn drop_one(&mut self) {
        let pairs = self.0.values().zip(self.0.values().skip(1)).take(MOST_DAYS);
        let mut spare = pairs.filter(|(root, next)| root.states().day() == next.states().day());
        let spare = spare.next().map(|(root, _)| root.states().epoch);
        match spare {
            Some(epoch) => self.0.remove(&epoch),
            None => self.0.pop_first().map(|(_, root)| root),
        };
    }

    /// The newest root.
    #[must_use]
    pub fn newest(&self) -> Option<&Root> {
        self.0.last_key_value().map(|(_, root)| &**root)
    }

    /// The root of this epoch.
    #[must_use]
    pub fn get(&self, epoch: u32) -> Option<&Root> {
        self.0.get(&epoch).map(|root| &**root)
    }

    /// A root that was closed on this day.
    #[must_use]
    pub fn of_day(&self, day: Day) -> Option<&Root> {
        let mut roots = self.0.values().map(|root| &**root);
        roots.find(|root| root.states().day() == day)
    }

    /// The roots, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Root> {
        self.0.values().map(|root| &**root)
    }

    /// The same, to be kept elsewhere too.
    #[must_use]
    pub fn shared(&self) -> Arc<[Arc<Root>]> {
        self.0.values().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::tests::TestBook;

    #[test]
    fn two_days_are_kept_whole_and_of_thirty_before_the_last_root_of_each() {
        let mut book = TestBook::every(1, 600);
        let mut history = RootHistory::default();
        for _ in 0..60 * 144 {
            book.close(&[]);
            history.add(*book.roots.last().unwrap());
        }
        assert_eq!(history.len(), MOST_NEWEST + MOST_DAYS);
        let newest = *book.roots.last().unwrap().states();
        let days: Vec<u32> = history
            .iter()
            .map(|root| root.states().day().count())
            .collect();
        let today = newest.day().count();
        for ago in 0..20 + MOST_DAYS as u32 {
            assert!(days.contains(&(today - ago)), "{ago}");
        }
        assert!(days.len() > MOST_NEWEST);
        assert!((0..2_800).all(|ago| history.get(newest.epoch - ago).is_some()));
        assert!(history.of_day(Day::new(today - 60)).is_none());
        assert_eq!(
            history
                .of_day(Day::new(today - 40))
                .map(|root| root.states().day().count()),
            Some(today - 40)
        );
    }
}
