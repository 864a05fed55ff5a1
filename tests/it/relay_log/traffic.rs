//! Who calls whom, and when: habits that the real engines and the model have in common.
//!
//! Each party has a few friends, one of whom it calls most. It calls at random moments, three times as often in eight hours of the
//! day; who did not answer calls back now and then; nobody dials while talking, or while the phone rings.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// How long a caller lets it ring, in seconds.
const PATIENCE: f64 = 25.0;

/// The share of calls that are answered when the callee is free.
const ANSWERED: f64 = 0.6;

const DAY: f64 = 86_400.0;

/// The parties, and what they do on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// Engines of one line each.
    pub(super) engines: usize,
    /// Bits of the bucket in the relay's tag.
    pub(super) bits: u8,
    /// Calls of a party a day.
    pub(super) calls: f64,
    /// Seconds of a call.
    pub(super) talk: f64,
    /// The share of unanswered calls after which the callee calls back, within five minutes on average.
    pub(super) called_back: f64,
    /// Seconds that all this goes on.
    pub(super) span: f64,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedCall {
    /// When it is dialled, seconds.
    pub(super) at: f64,
    /// Who dials.
    pub(super) caller: usize,
    /// Who is called.
    pub(super) callee: usize,
    /// When it is answered, seconds; `None`: never.
    pub(super) answered: Option<f64>,
    /// When the caller hangs up, seconds.
    pub(super) ends: f64,
}

/// Random numbers of a seed.
pub(super) struct Dice(ChaCha20Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// Between two numbers, each value as likely as any other.
    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * (f64::from(self.0.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    /// One of so many.
    pub(super) fn one_of(&mut self, count: usize) -> usize {
        let drawn = usize::try_from(self.0.next_u64() >> 32).expect("32 bits fit");
        (drawn * count) >> 32
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.between(0.0, 1.0).ln()
    }
}

/// A moment at which a party wants to dial: microseconds, the party, and whom it calls back.
type Intent = (u64, usize, Option<usize>);

/// All calls, by time.
pub(super) fn plan(habits: &Habits, dice: &mut Dice) -> Vec<PlannedCall> {
    let friends: Vec<_> = (0..habits.engines)
        .map(|own| friends_of(own, habits.engines, dice))
        .collect();
    let mut intents: BinaryHeap<Reverse<Intent>> = BinaryHeap::new();
    for own in 0..habits.engines {
        let mut at = 0.0;
        loop {
            // The rate of the busy hours, of which the other hours keep a third.
            at += dice.exponential(DAY / (habits.calls * BUSY));
            if at > habits.span {
                break;
            }
            if is_busy_hour(at, habits.span) || dice.between(0.0, 1.0) < 1.0 / 3.0 {
                intents.push(Reverse((micros(at), own, None)));
            }
        }
    }
    let mut busy_until = vec![0.0; habits.engines];
    let mut calls = Vec::new();
    while let Some(Reverse((at, caller, back))) = intents.pop() {
        let at = Duration::from_micros(at).as_secs_f64();
        if busy_until[caller] > at {
            continue;
        }
        let callee = back.unwrap_or_else(|| {
            // Of five friends the first is called five times as often as the last.
            let place = dice.one_of(15);
            friends[caller][[0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4][place]]
        });
        let is_free = busy_until[callee] <= at;
        let takes = is_free && dice.between(0.0, 1.0) < ANSWERED;
        let answered = takes.then(|| at + dice.between(3.0, 15.0));
        let ends = match answered {
            Some(answered) => answered + dice.exponential(habits.talk),
            None => at + PATIENCE,
        };
        busy_until[caller] = ends;
        if is_free {
            busy_until[callee] = ends;
        }
        if !takes && dice.between(0.0, 1.0) < habits.called_back {
            let later = ends + dice.exponential(300.0);
            if later < habits.span {
                intents.push(Reverse((micros(later), callee, Some(caller))));
            }
        }
        calls.push(PlannedCall {
            at,
            caller,
            callee,
            answered,
            ends,
        });
    }
    calls
}

/// How much busier the busy hours are than the mean of the day: 8 hours at 3 and 16 at 1 make 40 in 24.
const BUSY: f64 = 3.0 * 24.0 / 40.0;

/// Whether this is one of eight hours; where all is over within a day, every hour is.
fn is_busy_hour(at: f64, span: f64) -> bool {
    span < DAY || (8.0..16.0).contains(&(at % DAY / 3_600.0))
}

fn friends_of(own: usize, engines: usize, dice: &mut Dice) -> Vec<usize> {
    let mut friends = BTreeSet::new();
    let mut in_order = Vec::new();
    while in_order.len() < 5 {
        let friend = dice.one_of(engines);
        if friend != own && friends.insert(friend) {
            in_order.push(friend);
        }
    }
    in_order
}

fn micros(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_micros()).expect("some weeks fit")
}
