//! Since when each condition holds, and what the log is to be told: one line when a condition has lasted for its patience, one when
//! such a condition is over. A condition whose texts change meanwhile stays the same one, so that a relay cannot fill the log with its
//! words.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringfence_engine::time::UnixTime;

use super::{Condition, ConditionKind};

/// A condition that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveCondition {
    /// What is wrong.
    pub condition: Condition,
    /// Since when.
    pub since: UnixTime,
}

/// What the log is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// A condition holds.
    Began(Condition),
    /// One that was logged is over, after so long.
    Ended(Condition, Duration),
}

#[derive(Debug)]
struct Entry {
    condition: Condition,
    since: Instant,
    is_logged: bool,
}

/// The conditions that hold.
#[derive(Debug, Default)]
pub(crate) struct ConditionBoard(BTreeMap<(ConditionKind, u32), Entry>);

impl ConditionBoard {
    /// Takes the conditions of this moment and returns what the log is to be told.
    pub(crate) fn update(&mut self, found: Vec<Condition>, now: Instant) -> Vec<Transition> {
        let mut before = std::mem::take(&mut self.0);
        let mut told = Vec::new();
        for condition in found {
            let key = (condition.kind(), condition.subject());
            let mut entry = before.remove(&key).unwrap_or_else(|| Entry {
                condition: condition.clone(),
                since: now,
                is_logged: false,
            });
            let lasted = now.saturating_duration_since(entry.since);
            let is_due = key.0.patience().is_some_and(|patience| lasted >= patience);
            if is_due && !std::mem::replace(&mut entry.is_logged, true) {
                told.push(Transition::Began(condition.clone()));
            }
            entry.condition = condition;
            self.0.insert(key, entry);
        }
        for entry in before.into_values().filter(|entry| entry.is_logged) {
            let lasted = now.saturating_duration_since(entry.since);
            told.push(Transition::Ended(entry.condition, lasted));
        }
        told
    }

    /// The conditions that hold, grave ones first; `wall` is the wall time at `now`, by which a corrected clock corrects all of them.
    pub(crate) fn active(&self, (now, wall): (Instant, UnixTime)) -> Vec<ActiveCondition> {
        let active = |entry: &Entry| {
            let lasted = now.saturating_duration_since(entry.since).as_secs();
            ActiveCondition {
                condition: entry.condition.clone(),
                since: UnixTime::from_seconds(wall.seconds().saturating_sub(lasted)),
            }
        };
        let mut all: Vec<_> = self.0.values().map(active).collect();
        all.sort_by_key(|active| !active.condition.is_grave());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::net::book::ClockOffset;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_log_is_told_once_when_a_condition_has_lasted_and_once_when_it_is_over() {
        let (mut board, start) = (ConditionBoard::default(), clock::now());
        let at = |seconds: u32| start + SECOND * seconds;
        assert_eq!(board.update(vec![Condition::NoRelay], at(0)), []);
        assert_eq!(board.update(vec![], at(3)), [], "it was short");
        assert_eq!(board.update(vec![Condition::NoRelay], at(5)), []);
        let told = board.update(vec![Condition::NoRelay], at(15));
        assert_eq!(told, [Transition::Began(Condition::NoRelay)]);
        assert_eq!(board.update(vec![Condition::NoRelay], at(16)), []);
        let over = Transition::Ended(Condition::NoRelay, SECOND * 15);
        assert_eq!(board.update(vec![], at(20)), [over]);
        assert_eq!(board.update(vec![], at(21)), []);
    }

    #[test]
    fn a_condition_keeps_its_beginning_while_its_figures_change() {
        let (mut board, start) = (ConditionBoard::default(), clock::now());
        let clock = |seconds| {
            Condition::Clock(ClockOffset {
                apart: SECOND * seconds,
                is_behind: true,
            })
        };
        assert_eq!(board.update(vec![clock(50)], start).len(), 1);
        let later = start + SECOND * 20;
        assert_eq!(
            board
                .update(vec![Condition::BookOld(SECOND), clock(70)], later)
                .len(),
            1
        );
        let wall = UnixTime::from_seconds(1_000);
        let shown: Vec<_> = board
            .active((later, wall))
            .into_iter()
            .map(|active| (active.condition, active.since.seconds()))
            .collect();
        assert_eq!(
            shown,
            [(clock(70), 980), (Condition::BookOld(SECOND), 1_000)]
        );
    }
}
