//! The model: the relay's log of the same habits, without engines.

use super::observer::RelayLog;
use super::traffic::{Dice, Habits, PlannedCall};

/// How long a caller's engine waits for an answer between the relayed addresses before the callee's posts it to the relay, in seconds.
const FALLBACK: f64 = 2.0;

/// The bucket of each engine, drawn by lot.
pub(super) fn buckets_of(habits: &Habits, dice: &mut Dice) -> Vec<usize> {
    let buckets = 1 << habits.bits;
    let drawn = (0..habits.engines).map(|_| dice.one_of(buckets));
    drawn.collect()
}

/// The relay's log of these calls among engines of these buckets. `fallback` is the share of answered calls whose answer goes over the
/// relay.
pub(super) fn log_of(
    calls: &[PlannedCall],
    subscribed: Vec<usize>,
    fallback: f64,
    dice: &mut Dice,
) -> RelayLog {
    let rings = calls
        .iter()
        .map(|call| (call.at, call.caller, subscribed[call.callee]));
    let mut others = Vec::new();
    for call in calls {
        if let Some(answered) = call.answered
            && dice.between(0.0, 1.0) < fallback
        {
            others.push((answered + FALLBACK, call.callee));
        }
    }
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    RelayLog {
        rings: rings.collect(),
        others,
        subscribed,
    }
}
