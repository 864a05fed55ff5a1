//! Proof of work bound to a one-time event key, made ahead of the call.
//!
//! NIP-13 binds its work to the finished event, so a caller would pay at the moment of dialling. This proof is bound
//! to the key that will sign the event, and can lie ready:
//! `SHA-256("ringfence/2 work\0" | event key 32 | window u32 BE | nonce u64 BE)` begins with enough zero bits.
//! The window (unix seconds / 600) ends its life; [`crate::sealed::replay::ReplayMemory::spend`] lets it buy one envelope only.
//!
//! Not done here: the key pair itself (secp256k1) and the event are the shell's.

use std::fmt;
use std::time::Duration;

use ringfence_book::proof_of_work::{self, zero_bits};
use zeroize::Zeroizing;

pub use ringfence_book::proof_of_work::WINDOW_SECONDS;

use crate::sealed::envelope::EventKey;
use crate::time::UnixTime;

/// A one-time event key that waits for its work.
#[derive(Clone, PartialEq, Eq)]
pub struct EventKeyPair {
    /// Public half: stands in the event.
    pub public: EventKey,
    /// secp256k1 secret half: the shell signs one event with it.
    pub secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for EventKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventKeyPair(..)")
    }
}

/// A one-time event key with its work. Worth exactly one envelope.
pub struct ProofOfWork {
    /// Public half: stands in the event.
    pub event_key: EventKey,
    /// secp256k1 secret half: the shell signs one event with it.
    pub event_secret: Zeroizing<[u8; 32]>,
    /// Ten-minute window for which the work was done (unix seconds / 600).
    pub window: u32,
    /// What makes the hash begin with zero bits. Travels as tag `["w", 16 hexadecimal digits]`.
    pub nonce: u64,
}

impl ProofOfWork {
    /// Its key, for the same event at another time.
    pub(crate) fn key(&self) -> EventKeyPair {
        EventKeyPair {
            public: self.event_key,
            secret: self.event_secret.clone(),
        }
    }

    /// Whether its hash begins with so many zero bits.
    #[must_use]
    pub fn has_work(&self, bits: u8) -> bool {
        zero_bits(&self.event_key.0, self.window, self.nonce) >= u32::from(bits)
    }

    /// Whether every receiver whose clock is within a minute of ours accepts it.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        let early = UnixTime::from_millis(now.millis().saturating_sub(SKEW.as_secs() * 1000));
        accepted(window_of(early), self.window) && accepted(window_of(now.after(SKEW)), self.window)
    }
}

impl fmt::Debug for ProofOfWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofOfWork(..)")
    }
}

/// Whether the work of a received event is enough, in the window of `now` or one beside it.
#[must_use]
pub fn check(event_key: &EventKey, nonce: u64, bits: u8, now: UnixTime) -> bool {
    proof_of_work::check(&event_key.0, nonce, bits, now.seconds())
}

/// Makes one proof, a few tries at a time, so that the caller can stop in between.
pub struct ProofSearch {
    event_key: EventKey,
    event_secret: Zeroizing<[u8; 32]>,
    window: u32,
    bits: u32,
    next: Option<u64>,
}

impl ProofSearch {
    /// Starts the work for one event key: 2^`bits` tries on average.
    #[must_use]
    pub fn new(
        event_key: EventKey,
        event_secret: Zeroizing<[u8; 32]>,
        bits: u8,
        now: UnixTime,
    ) -> Self {
        Self {
            event_key,
            event_secret,
            window: window_of(now),
            bits: bits.into(),
            next: Some(0),
        }
    }

    /// Tries up to `tries` nonces. After a proof was found there is no second one: the key is used up.
    pub fn search(&mut self, tries: u32) -> Option<ProofOfWork> {
        for _ in 0..tries {
            let nonce = self.next?;
            self.next = nonce.checked_add(1);
            if zero_bits(&self.event_key.0, self.window, nonce) >= self.bits {
                self.next = None;
                return Some(ProofOfWork {
                    event_key: self.event_key,
                    event_secret: self.event_secret.clone(),
                    window: self.window,
                    nonce,
                });
            }
        }
        None
    }
}

impl fmt::Debug for ProofSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofSearch(..)")
    }
}

fn window_of(time: UnixTime) -> u32 {
    proof_of_work::window_of(time.seconds())
}

fn accepted(current: u32, window: u32) -> bool {
    current.abs_diff(window) <= 1
}

/// How far two honest clocks may be apart; the limit of a ring's own time too.
const SKEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_790_000_300);

    fn mint(bits: u8) -> ProofOfWork {
        let mut mint = ProofSearch::new(EventKey([7; 32]), Zeroizing::new([8; 32]), bits, NOW);
        (0..1000)
            .find_map(|_| mint.search(100))
            .expect("12 bits in 100,000 tries")
    }

    fn later(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(NOW.seconds() + seconds)
    }

    #[test]
    fn a_minted_stamp_passes_now_and_in_the_windows_beside() {
        let proof = mint(12);
        let passes = |at| check(&proof.event_key, proof.nonce, 12, at);
        let start = UnixTime::from_seconds(u64::from(proof.window) * WINDOW_SECONDS);
        let at =
            |seconds: i64| UnixTime::from_seconds(start.seconds().saturating_add_signed(seconds));
        assert!(passes(NOW) && passes(at(-600)) && passes(at(1199)));
        assert!(!passes(at(-601)) && !passes(at(1200)));
    }

    #[test]
    fn work_for_one_key_is_worth_nothing_under_another() {
        let proof = mint(12);
        assert!(!check(&EventKey([9; 32]), proof.nonce, 12, NOW));
        assert!(!check(&proof.event_key, proof.nonce ^ 1, 12, NOW));
    }

    #[test]
    fn a_stamp_stops_being_fresh_before_receivers_refuse_it() {
        let proof = mint(4);
        let end = (u64::from(proof.window) + 2) * WINDOW_SECONDS;
        assert!(proof.is_fresh(NOW));
        assert!(proof.is_fresh(UnixTime::from_seconds(end - 61)));
        assert!(!proof.is_fresh(UnixTime::from_seconds(end - 60)));
        assert!(check(
            &proof.event_key,
            proof.nonce,
            4,
            UnixTime::from_seconds(end - 60)
        ));
    }

    #[test]
    fn no_bits_asked_is_always_enough_and_256_never() {
        assert!(check(&EventKey([0; 32]), 0, 0, UnixTime::from_millis(0)));
        assert!(!check(&EventKey([0; 32]), 0, u8::MAX, later(1)));
    }

    #[test]
    fn one_key_gives_one_stamp() {
        let mut mint = ProofSearch::new(EventKey([7; 32]), Zeroizing::new([8; 32]), 0, NOW);
        assert!(mint.search(1).is_some());
        assert!(mint.search(100).is_none());
    }
}
