//! The stamps in stock: work done ahead of calls, so that it costs no caller time.

use std::collections::VecDeque;

use crate::sealed::proof_of_work::Stamp;
use crate::time::UnixTime;

/// What an outgoing call may need: ring, then confirmation and hang-up, or cancel and missed-call note.
pub(crate) const PER_OUTGOING: usize = 3;

/// What an incoming call may need: answer, then hang-up.
pub(crate) const PER_INCOMING: usize = 2;

/// Two calls placed in the same second find their stamps ready.
const FULL: usize = 2 * PER_OUTGOING;

/// Most stamps in stock or on order: bounds what a shell is asked to mint at a time. Calls
/// beyond what they cover wait their turn.
const MOST: usize = 32;

/// Minted stamps, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    /// Zero bits that receivers ask for.
    bits: u8,
    ready: VecDeque<Stamp>,
    ordered: usize,
    stale: u64,
}

impl Stock {
    /// From now on stamps need `bits` zero bits; those with less are thrown away, also when they come later.
    pub(crate) fn ask_for(&mut self, bits: u8) {
        self.bits = bits;
        self.ready.retain(|stamp| stamp.has_work(bits));
    }

    /// Takes a newly minted stamp in.
    pub(crate) fn add(&mut self, stamp: Stamp) {
        self.ordered = self.ordered.saturating_sub(1);
        if stamp.has_work(self.bits) {
            self.ready.push_back(stamp);
        }
        self.ready.truncate(MOST);
    }

    /// Takes `count` stamps that every receiver still accepts, or none at all.
    pub(crate) fn take(&mut self, count: usize, wall: UnixTime) -> Option<Vec<Stamp>> {
        self.drop_stale(wall);
        (self.ready.len() >= count).then(|| self.ready.drain(..count).collect())
    }

    /// Puts back what a call did not use.
    pub(crate) fn put_back(&mut self, stamps: Vec<Stamp>) {
        for stamp in stamps.into_iter().filter(|stamp| stamp.has_work(self.bits)) {
            self.ready.push_front(stamp);
        }
        self.ready.truncate(MOST);
    }

    /// How many stamps to order now, when waiting calls lack `waiting` of them.
    pub(crate) fn order(&mut self, waiting: usize, wall: UnixTime) -> usize {
        self.drop_stale(wall);
        let goal = FULL.saturating_add(waiting).min(MOST);
        let lacking = goal.saturating_sub(self.ready.len().saturating_add(self.ordered));
        self.ordered += lacking;
        lacking
    }

    /// Stamps that went stale unused.
    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    fn drop_stale(&mut self, wall: UnixTime) {
        let before = self.ready.len();
        self.ready.retain(|stamp| stamp.is_fresh(wall));
        self.stale += (before - self.ready.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::envelope::EventKey;
    use std::time::Duration;
    use zeroize::Zeroizing;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_123);

    fn stamp(wall: UnixTime) -> Stamp {
        let key = EventKey([3; 32]);
        let mut mint =
            crate::sealed::proof_of_work::Mint::new(key, Zeroizing::new([4; 32]), 0, wall);
        mint.mint_some(1).expect("any nonce has zero bits enough")
    }

    #[test]
    fn a_call_gets_all_its_stamps_or_none() {
        let mut stock = Stock::default();
        stock.add(stamp(NOW));
        assert!(stock.take(2, NOW).is_none());
        stock.add(stamp(NOW));
        assert_eq!(stock.take(2, NOW).map(|taken| taken.len()), Some(2));
        assert!(stock.take(1, NOW).is_none());
    }

    #[test]
    fn what_is_on_order_is_not_ordered_again() {
        let mut stock = Stock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        assert_eq!(stock.order(0, NOW), 0);
        stock.add(stamp(NOW));
        assert_eq!(stock.order(0, NOW), 0);
        assert_eq!(stock.order(2, NOW), 2);
        assert_eq!(stock.order(1_000, NOW), MOST - FULL - 2);
    }

    #[test]
    fn stamps_that_receivers_would_refuse_are_thrown_away_and_replaced() {
        let mut stock = Stock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        for _ in 0..FULL {
            stock.add(stamp(NOW));
        }
        let later = NOW.after(Duration::from_secs(3_600));
        assert_eq!(stock.order(0, later), FULL);
        assert_eq!(stock.stale(), FULL as u64);
        assert!(stock.take(1, later).is_none());
    }

    #[test]
    fn stamps_with_too_little_work_are_thrown_away_wherever_they_were() {
        let mut stock = Stock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        stock.add(stamp(NOW));
        // No stamp that was minted for no work has this much.
        stock.ask_for(60);
        assert!(stock.take(1, NOW).is_none());
        assert_eq!(stock.order(0, NOW), 1, "the one in stock is replaced");
        stock.add(stamp(NOW));
        stock.put_back(vec![stamp(NOW)]);
        assert!(stock.take(1, NOW).is_none());
        assert_eq!(stock.order(0, NOW), 1, "the one that came late is replaced");
    }

    #[test]
    fn unused_stamps_come_back_and_the_stock_stays_bounded() {
        let mut stock = Stock::default();
        stock.put_back((0..100).map(|_| stamp(NOW)).collect());
        assert_eq!(stock.ready.len(), MOST);
    }
}
