//! The stamps in stock: work done ahead of calls, so that it costs no caller time.

use std::collections::VecDeque;

use crate::work::{Stamp, Window};

/// What an outgoing call may need: ring, then confirmation or cancel, then hang-up.
pub(crate) const PER_OUTGOING: usize = 3;

/// What an incoming call may need: answer, then hang-up.
pub(crate) const PER_INCOMING: usize = 2;

/// Two calls placed in the same second find their stamps ready.
const FULL: usize = 2 * PER_OUTGOING;

/// Stamps that calls may wait for at one time; bounds what a shell is asked to mint.
const MOST_WANTED: usize = 32;

/// Minted stamps, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    ready: VecDeque<Stamp>,
    ordered: usize,
    stale: u64,
}

impl Stock {
    /// Takes a newly minted stamp in.
    pub(crate) fn add(&mut self, stamp: Stamp) {
        self.ordered = self.ordered.saturating_sub(1);
        if self.ready.len() < MOST_WANTED {
            self.ready.push_back(stamp);
        }
    }

    /// Takes `count` stamps that every receiver still accepts, or none at all.
    pub(crate) fn take(&mut self, count: usize, window: Window) -> Option<Vec<Stamp>> {
        self.drop_stale(window);
        (self.ready.len() >= count).then(|| self.ready.drain(..count).collect())
    }

    /// Puts back what a call did not use.
    pub(crate) fn put_back(&mut self, stamps: Vec<Stamp>) {
        for stamp in stamps {
            if self.ready.len() < MOST_WANTED {
                self.ready.push_front(stamp);
            }
        }
    }

    /// How many stamps to order now, given what waiting calls lack.
    pub(crate) fn order(&mut self, waiting: usize, window: Window) -> usize {
        self.drop_stale(window);
        let goal = FULL.saturating_add(waiting).min(MOST_WANTED);
        let lacking = goal.saturating_sub(self.ready.len().saturating_add(self.ordered));
        self.ordered += lacking;
        lacking
    }

    /// Stamps that went stale unused.
    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    fn drop_stale(&mut self, window: Window) {
        let before = self.ready.len();
        self.ready.retain(|stamp| stamp.is_fresh(window));
        self.stale += (before - self.ready.len()) as u64;
    }
}
