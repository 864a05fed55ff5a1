//! Replay memory: what was accepted is not accepted again.
//!
//! Two memories with two answers to "full":
//!
//! - **Rings**: ephemeral key, event key and name of every ring that was verified, for
//!   [`LIFE`]. A ring is good for 60 s on either side of its own time, so [`LIFE`] covers a clock that is
//!   corrected meanwhile. When full, *new rings are refused* and nothing live is forgotten: a replay must not
//!   pass because the memory was filled. Only verified rings get in, and one caller holds at most
//!   [`PER_CALLER`] entries, so that it takes 64 activated numbers, not one, to fill it.
//! - **Proofs of work** ([`ReplayMemory::spend`]): event keys of all envelopes with enough work, for any line. When
//!   full, the *oldest goes*: this memory saves work, it proves nothing. To use one proof twice, a flooder has
//!   to make [`PROOFS`] others first.
//!
//! Cancels that came before their ring are kept like proofs of work, the oldest goes; a lost one only means that a
//! phone rings until its own time is over.
//!
//! The memory dies with the process. For [`SETTLING`] after its start an engine therefore refuses rings that
//! are dated before the start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use ringfence_book::IdentityKey;

use crate::sealed::envelope::EventKey;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::RingId;
use crate::time::{Moment, Timer, UnixTime};

/// What this engine has already accepted.
pub struct ReplayMemory {
    started: Moment,
    marks: BTreeSet<Mark>,
    /// Oldest first: all entries live equally long.
    rings: VecDeque<Admitted>,
    callers: BTreeMap<IdentityKey, usize>,
    spent: BTreeSet<EventKey>,
    spent_order: VecDeque<EventKey>,
    cancelled: VecDeque<RingId>,
}

/// A verified ring that asks to be let in.
#[derive(Clone, Copy)]
pub(crate) struct NewRing {
    pub(crate) ephemeral: [u8; 32],
    pub(crate) event_key: EventKey,
    pub(crate) id: RingId,
    pub(crate) caller: IdentityKey,
    pub(crate) dated: UnixTime,
}

struct Admitted {
    until: Instant,
    marks: [Mark; 3],
    caller: IdentityKey,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Ephemeral([u8; 32]),
    Event(EventKey),
    Ring(RingId),
}

impl ReplayMemory {
    /// Empty memory of an engine that starts.
    #[must_use]
    pub fn new(started: Moment) -> Self {
        Self {
            started,
            marks: BTreeSet::new(),
            rings: VecDeque::new(),
            callers: BTreeMap::new(),
            spent: BTreeSet::new(),
            spent_order: VecDeque::new(),
            cancelled: VecDeque::new(),
        }
    }

    /// Spends the proof of work of one event: a second envelope under the same event key is refused.
    ///
    /// Call it after the event's own signature was verified and [`crate::sealed::proof_of_work::check`] passed; otherwise
    /// a sender could spend a proof that is not its own.
    ///
    /// # Errors
    /// [`EnvelopeError::ProofSpent`].
    pub fn spend(&mut self, event_key: EventKey) -> Result<(), EnvelopeError> {
        if !self.spent.insert(event_key) {
            return Err(EnvelopeError::ProofSpent);
        }
        self.spent_order.push_back(event_key);
        if self.spent_order.len() > PROOFS
            && let Some(oldest) = self.spent_order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        Ok(())
    }

    /// Forgets what is too old to be replayed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(oldest) = self.rings.pop_front_if(|ring| ring.until <= now) {
            for mark in oldest.marks {
                self.marks.remove(&mark);
            }
            if let Some(count) = self.callers.get_mut(&oldest.caller) {
                *count -= 1;
                if *count == 0 {
                    self.callers.remove(&oldest.caller);
                }
            }
        }
    }

    /// When [`Self::handle_timeout`] has something to forget.
    #[must_use]
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        self.rings
            .front()
            .map(|oldest| (oldest.until, Timer::ReplayMemory))
    }

    /// Whether a ring with this ephemeral or event key was admitted: the cheap question before any key is tried.
    pub(crate) fn knows(&self, ephemeral: [u8; 32], event_key: EventKey) -> bool {
        self.marks.contains(&Mark::Ephemeral(ephemeral))
            || self.marks.contains(&Mark::Event(event_key))
    }

    /// Lets a verified ring in, once.
    pub(crate) fn admit(&mut self, ring: NewRing, arrival: Moment) -> Result<(), EnvelopeError> {
        self.handle_timeout(arrival.now);
        let settling = arrival.now.saturating_duration_since(self.started.now) < SETTLING;
        if settling && ring.dated < self.started.wall {
            return Err(EnvelopeError::Stale);
        }
        let marks = [
            Mark::Ephemeral(ring.ephemeral),
            Mark::Event(ring.event_key),
            Mark::Ring(ring.id),
        ];
        if self.cancelled.contains(&ring.id) || marks.iter().any(|mark| self.marks.contains(mark)) {
            return Err(EnvelopeError::Replay);
        }
        if self
            .callers
            .get(&ring.caller)
            .is_some_and(|count| *count >= PER_CALLER)
        {
            return Err(EnvelopeError::CallerQuota);
        }
        if self.rings.len() >= RINGS {
            return Err(EnvelopeError::MemoryFull);
        }
        *self.callers.entry(ring.caller).or_default() += 1;
        self.marks.extend(marks);
        self.rings.push_back(Admitted {
            until: arrival.now + LIFE,
            marks,
            caller: ring.caller,
        });
        Ok(())
    }

    /// Remembers a cancel whose ring has not come, so that the ring does not start a phone afterwards.
    pub(crate) fn cancel(&mut self, id: RingId) {
        if self.marks.contains(&Mark::Ring(id)) || self.cancelled.contains(&id) {
            return;
        }
        if self.cancelled.len() >= EARLY_CANCELS {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(id);
    }
}

impl fmt::Debug for ReplayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ReplayMemory({} rings, {} proofs)",
            self.rings.len(),
            self.spent.len()
        )
    }
}

/// How long a ring is remembered.
pub const LIFE: Duration = Duration::from_secs(600);

/// How long after its start an engine refuses rings dated before it: twice the 60 s for which a ring is good.
pub const SETTLING: Duration = Duration::from_secs(120);

/// Rings in memory: 27 a second for ten minutes, about 6 MB when it is full.
pub const RINGS: usize = 16_384;

/// Rings of one caller in memory: more than an office that shares one number dials in ten minutes.
pub const PER_CALLER: usize = 512;

/// Proofs of work in memory: a minute and a half of the 150 envelopes a second that 1 % of a core can try; about 1 MB.
pub const PROOFS: usize = 16_384;

/// Cancels that came before their ring: a relay reorders a handful, not more.
pub const EARLY_CANCELS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from nothing"
    )]
    fn start() -> Moment {
        Moment {
            wall: UnixTime::from_seconds(1_790_000_000),
            now: Instant::now(),
        }
    }

    fn after(arrival: Moment, by: Duration) -> Moment {
        Moment {
            wall: arrival.wall.after(by),
            now: arrival.now + by,
        }
    }

    fn caller(n: u16) -> IdentityKey {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        IdentityKey::from(&SigningKey::from_bytes(&seed))
    }

    fn ring(n: u32, caller: IdentityKey, dated: UnixTime) -> NewRing {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        NewRing {
            ephemeral: key,
            event_key: EventKey(key),
            id: RingId::from_hash(key),
            caller,
            dated,
        }
    }

    #[test]
    fn any_part_of_a_ring_seen_before_is_a_replay() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        let first = ring(1, caller(1), at.wall);
        let other = ring(2, caller(1), at.wall);
        assert_eq!(seen.admit(first, at), Ok(()));
        assert!(seen.knows(first.ephemeral, other.event_key));
        assert!(seen.knows(other.ephemeral, first.event_key));
        for again in [
            first,
            NewRing {
                ephemeral: first.ephemeral,
                ..other
            },
            NewRing {
                event_key: first.event_key,
                ..other
            },
            NewRing {
                id: first.id,
                ..other
            },
        ] {
            assert_eq!(seen.admit(again, at), Err(EnvelopeError::Replay));
        }
        assert_eq!(seen.admit(other, at), Ok(()));
    }

    #[test]
    fn a_ring_is_forgotten_after_ten_minutes_and_not_before() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        let first = ring(1, caller(1), at.wall);
        seen.admit(first, at).expect("new");
        assert_eq!(
            seen.next_timeout().map(|(when, _)| when),
            Some(at.now + LIFE)
        );
        let almost = after(at, LIFE - Duration::from_millis(1));
        assert_eq!(seen.admit(first, almost), Err(EnvelopeError::Replay));
        assert_eq!(seen.admit(first, after(at, LIFE)), Ok(()));
    }

    #[test]
    fn one_caller_cannot_fill_the_memory() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        for n in 0..PER_CALLER as u32 {
            assert_eq!(seen.admit(ring(n, caller(1), at.wall), at), Ok(()));
        }
        assert_eq!(
            seen.admit(ring(9999, caller(1), at.wall), at),
            Err(EnvelopeError::CallerQuota)
        );
        assert_eq!(seen.admit(ring(9999, caller(2), at.wall), at), Ok(()));
        let later = after(at, LIFE);
        assert_eq!(seen.admit(ring(5000, caller(1), later.wall), later), Ok(()));
    }

    #[test]
    fn a_full_memory_refuses_new_rings_and_forgets_no_live_one() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        let callers: Vec<_> = (0..=(RINGS / PER_CALLER) as u16).map(caller).collect();
        for n in 0..RINGS {
            let from = callers[n / PER_CALLER];
            assert_eq!(seen.admit(ring(n as u32, from, at.wall), at), Ok(()));
        }
        let fresh = callers[RINGS / PER_CALLER];
        assert_eq!(
            seen.admit(ring(999_999, fresh, at.wall), at),
            Err(EnvelopeError::MemoryFull)
        );
        assert_eq!(
            seen.admit(ring(0, callers[0], at.wall), at),
            Err(EnvelopeError::Replay)
        );
        assert_eq!(
            seen.admit(ring(999_999, fresh, at.wall), after(at, LIFE)),
            Ok(())
        );
    }

    #[test]
    fn a_stamp_buys_one_envelope_and_the_oldest_stamp_goes_first() {
        let mut seen = ReplayMemory::new(start());
        let key = |n: usize| EventKey(ring(n as u32, caller(1), UnixTime::default()).ephemeral);
        for n in 0..=PROOFS {
            assert_eq!(seen.spend(key(n)), Ok(()));
        }
        assert_eq!(seen.spend(key(PROOFS)), Err(EnvelopeError::ProofSpent));
        assert_eq!(seen.spend(key(1)), Err(EnvelopeError::ProofSpent));
        assert_eq!(seen.spend(key(0)), Ok(()));
        assert_eq!(seen.spent.len(), PROOFS);
    }

    #[test]
    fn a_cancel_that_overtook_its_ring_keeps_the_phone_silent() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        let late = ring(1, caller(1), at.wall);
        seen.cancel(late.id);
        assert_eq!(seen.admit(late, at), Err(EnvelopeError::Replay));
        for n in 0..2 * EARLY_CANCELS as u32 {
            seen.cancel(ring(n + 10, caller(1), at.wall).id);
        }
        assert_eq!(seen.cancelled.len(), EARLY_CANCELS);
    }

    #[test]
    fn a_ring_from_before_the_start_is_refused_while_the_engine_settles() {
        let at = start();
        let mut seen = ReplayMemory::new(at);
        let before = UnixTime::from_millis(at.wall.millis() - 1);
        assert_eq!(
            seen.admit(ring(1, caller(1), before), at),
            Err(EnvelopeError::Stale)
        );
        assert_eq!(seen.admit(ring(2, caller(1), at.wall), at), Ok(()));
        let settled = after(at, SETTLING);
        assert_eq!(seen.admit(ring(1, caller(1), before), settled), Ok(()));
    }
}
