//! Proofs of work in stock: made ahead of calls, so that no caller waits for one.

use std::collections::VecDeque;

use crate::sealed::proof_of_work::ProofOfWork;
use crate::time::UnixTime;

/// What an outgoing call needs before it rings: for the ring, the note, and what ends it if this process dies.
pub(crate) const PER_OUTGOING: usize = 3;

/// What an incoming call may need: answer, then hang-up.
pub(crate) const PER_INCOMING: usize = 2;

/// Two calls placed in the same second find their proofs ready.
const FULL: usize = 2 * PER_OUTGOING;

/// Most proofs in stock or on order: bounds what a shell is asked to make at a time. Calls
/// beyond what they cover wait their turn.
const MOST: usize = 64;

/// Unused proofs, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ProofStock {
    /// Zero bits that receivers ask for.
    bits: u8,
    ready: VecDeque<ProofOfWork>,
    ordered: usize,
    stale: u64,
}

impl ProofStock {
    /// From now on proofs need `bits` zero bits; those with less are dropped, also when they arrive later.
    pub(crate) fn ask_for(&mut self, bits: u8) {
        self.bits = bits;
        self.ready.retain(|proof| proof.has_work(bits));
    }

    /// Takes a new proof in.
    pub(crate) fn add(&mut self, proof: ProofOfWork) {
        self.ordered = self.ordered.saturating_sub(1);
        if proof.has_work(self.bits) {
            self.ready.push_back(proof);
        }
        self.ready.truncate(MOST);
    }

    /// Takes `count` proofs that every receiver still accepts, or none at all.
    pub(crate) fn take(&mut self, count: usize, wall: UnixTime) -> Option<Vec<ProofOfWork>> {
        self.drop_stale(wall);
        (self.ready.len() >= count).then(|| self.ready.drain(..count).collect())
    }

    /// Puts back what a call did not use.
    pub(crate) fn put_back(&mut self, proofs: Vec<ProofOfWork>) {
        for proof in proofs.into_iter().filter(|proof| proof.has_work(self.bits)) {
            self.ready.push_front(proof);
        }
        self.ready.truncate(MOST);
    }

    /// How many proofs to order now, when calls and texts wait for `waiting` of them.
    pub(crate) fn order(&mut self, waiting: usize, wall: UnixTime) -> usize {
        self.drop_stale(wall);
        let goal = FULL.saturating_add(waiting).min(MOST);
        let lacking = goal.saturating_sub(self.ready.len().saturating_add(self.ordered));
        self.ordered += lacking;
        lacking
    }

    /// Proofs that went stale unused.
    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    fn drop_stale(&mut self, wall: UnixTime) {
        let before = self.ready.len();
        self.ready.retain(|proof| proof.is_fresh(wall));
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

    fn proof(wall: UnixTime) -> ProofOfWork {
        let key = EventKey([3; 32]);
        let mut mint =
            crate::sealed::proof_of_work::ProofSearch::new(key, Zeroizing::new([4; 32]), 0, wall);
        mint.search(1).expect("any nonce has zero bits enough")
    }

    #[test]
    fn a_call_gets_all_its_stamps_or_none() {
        let mut stock = ProofStock::default();
        stock.add(proof(NOW));
        assert!(stock.take(2, NOW).is_none());
        stock.add(proof(NOW));
        assert_eq!(stock.take(2, NOW).map(|taken| taken.len()), Some(2));
        assert!(stock.take(1, NOW).is_none());
    }

    #[test]
    fn what_is_on_order_is_not_ordered_again() {
        let mut stock = ProofStock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        assert_eq!(stock.order(0, NOW), 0);
        stock.add(proof(NOW));
        assert_eq!(stock.order(0, NOW), 0);
        assert_eq!(stock.order(2, NOW), 2);
        assert_eq!(stock.order(1_000, NOW), MOST - FULL - 2);
    }

    #[test]
    fn proofs_that_receivers_would_refuse_are_dropped_and_replaced() {
        let mut stock = ProofStock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        for _ in 0..FULL {
            stock.add(proof(NOW));
        }
        let later = NOW.after(Duration::from_secs(3_600));
        assert_eq!(stock.order(0, later), FULL);
        assert_eq!(stock.stale(), FULL as u64);
        assert!(stock.take(1, later).is_none());
    }

    #[test]
    fn proofs_with_too_little_work_are_dropped_whether_in_stock_or_new() {
        let mut stock = ProofStock::default();
        assert_eq!(stock.order(0, NOW), FULL);
        stock.add(proof(NOW));
        // No proof that was made for no work has this much.
        stock.ask_for(60);
        assert!(stock.take(1, NOW).is_none());
        assert_eq!(stock.order(0, NOW), 1, "the one in stock is replaced");
        stock.add(proof(NOW));
        stock.put_back(vec![proof(NOW)]);
        assert!(stock.take(1, NOW).is_none());
        assert_eq!(stock.order(0, NOW), 1, "the one that came late is replaced");
    }

    #[test]
    fn unused_stamps_come_back_and_the_stock_stays_bounded() {
        let mut stock = ProofStock::default();
        stock.put_back((0..100).map(|_| proof(NOW)).collect());
        assert_eq!(stock.ready.len(), MOST);
    }
}
