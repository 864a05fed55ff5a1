use std::time::Instant;

use super::*;

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

fn id(n: u32) -> RingId {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    RingId::from_hash(hash)
}

const FRIEND: Number = Number::new(1);

#[test]
fn a_ring_is_admitted_once_however_long_ago_it_was() {
    let at = start();
    let mut seen = ReplayMemory::new(at);
    assert_eq!(seen.admit(FRIEND, (at.wall, id(1)), at), Ok(()));
    for later in [0, 59, 3_600] {
        let at = after(at, Duration::from_secs(later));
        let again = seen.admit(FRIEND, (at.wall, id(1)), at);
        assert_eq!(again, Err(EnvelopeError::Replay));
    }
    assert_eq!(seen.admit(FRIEND, (at.wall, id(2)), at), Ok(()));
}

#[test]
fn what_is_as_old_as_a_forgotten_ring_counts_as_seen() {
    let at = start();
    let mut seen = ReplayMemory::new(at);
    let dated = |n: u32| at.wall.after(Duration::from_secs(n.into()));
    for n in 0..=RINGS as u32 {
        assert_eq!(seen.admit(FRIEND, (dated(n), id(n)), at), Ok(()));
    }
    for n in 0..=RINGS as u32 {
        let again = seen.admit(FRIEND, (dated(n), id(n)), at);
        assert_eq!(again, Err(EnvelopeError::Replay), "{n}");
    }
    let old = seen.admit(FRIEND, (dated(0), id(99)), at);
    assert_eq!(old, Err(EnvelopeError::Replay));
    // One that overtook others is no replay.
    let late = UnixTime::from_millis(dated(1).millis() + 500);
    assert_eq!(seen.admit(FRIEND, (late, id(98)), at), Ok(()));
}

#[test]
fn no_number_of_other_rings_makes_a_friend_s_ring_a_replay_or_a_replay_new() {
    let at = start();
    let mut seen = ReplayMemory::new(at);
    assert_eq!(seen.admit(FRIEND, (at.wall, id(0)), at), Ok(()));
    for n in 1..40_000_u32 {
        let dated = at.wall.after(Duration::from_millis(n.into()));
        let from = Number::new(2 + n % 32);
        assert_eq!(seen.admit(from, (dated, id(n)), at), Ok(()));
    }
    let again = seen.admit(FRIEND, (at.wall, id(0)), at);
    assert_eq!(again, Err(EnvelopeError::Replay));
    let later = at.wall.after(Duration::from_millis(1));
    assert_eq!(seen.admit(FRIEND, (later, id(40_000)), at), Ok(()));
}

#[test]
fn more_senders_than_the_memory_holds_refuse_no_new_message_and_let_no_replay_pass() {
    let wall = start().wall;
    let dated = |n: usize| wall.after(Duration::from_millis(n as u64));
    let sender = |n: usize| Number::new(n as u32);
    let mut records: Records<RingId, 2> = Records::default();
    for n in 0..=SENDERS {
        assert!(!records.knows(sender(n), (dated(n), id(0))), "{n}");
        records.add(sender(n), (dated(n), id(0)));
    }
    assert_eq!(records.iter().count(), SENDERS);
    assert_eq!(records.forgotten(), dated(0));
    for n in [0, 1, SENDERS] {
        assert!(records.knows(sender(n), (dated(n), id(0))), "{n}");
    }
}

#[test]
fn a_record_is_dropped_when_all_of_it_is_too_old_for_anything() {
    let wall = start().wall;
    let mut records: Records<RingId, 2> = Records::default();
    records.add(FRIEND, (wall, id(1)));
    records.forget_before(wall);
    assert!(records.knows(FRIEND, (wall, id(1))));
    records.forget_before(wall.after(Duration::from_millis(1)));
    assert_eq!(records.iter().count(), 0);
}

#[test]
fn a_stamp_buys_one_envelope_and_the_oldest_stamp_goes_first() {
    let mut seen = ReplayMemory::new(start());
    let key = |n: usize| EventKey(*id(n as u32).as_bytes());
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
    seen.cancel(id(1));
    let late = seen.admit(FRIEND, (at.wall, id(1)), at);
    assert_eq!(late, Err(EnvelopeError::Replay));
    for n in 0..2 * EARLY_CANCELS as u32 {
        seen.cancel(id(n + 10));
    }
    assert_eq!(seen.cancelled.len(), EARLY_CANCELS);
}

#[test]
fn a_ring_from_before_the_start_is_refused_while_the_engine_settles() {
    let at = start();
    let mut seen = ReplayMemory::new(at);
    let before = UnixTime::from_millis(at.wall.millis() - 1);
    let early = seen.admit(FRIEND, (before, id(1)), at);
    assert_eq!(early, Err(EnvelopeError::Stale));
    assert_eq!(seen.admit(FRIEND, (at.wall, id(2)), at), Ok(()));
    let settled = after(at, SETTLING);
    assert_eq!(seen.admit(FRIEND, (before, id(1)), settled), Ok(()));
}
