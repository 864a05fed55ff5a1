//! A race of several ways out: TURN servers, and the transports of one, are asked one after the other, each a little after the one
//! before, and the first allocation that stands wins (in the manner of RFC 8305 section 5, "Happy Eyeballs").
//!
//! An attempt that fails starts the next at once. One that is slow stays in the race: its server may be the only one that answers. The
//! race knows entries by their numbers only; sockets, logins and legs belong to its owner, who ends what still runs when the race is
//! decided.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Entries of one race: the eight servers that a phone book may name, each over two transports. Further ones are not asked.
pub const MAX_ENTRIES: usize = 16;

/// What the owner of a race has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RaceOutput<F> {
    /// Ask this entry.
    Begin(usize),
    /// This entry's allocation stands, and the race is over.
    Won {
        /// The winner.
        entry: usize,
        /// Entries that should not be asked first again soon: those that failed, and with `None` those that were asked before the
        /// winner and have not answered.
        beaten: Vec<(usize, Option<F>)>,
    },
    /// No entry has an allocation, and the race is over. Why the first one has none; `None` if it did not answer in time.
    Over(Option<F>),
}

#[derive(Debug)]
enum State<F> {
    Waiting,
    Running,
    Failed(F),
}

/// One race, from its first entry to a winner or its end. `F` is why an entry fails.
///
/// After [`new`](Self::new) and every `handle_*`, call [`poll`](Self::poll) until `None`, then [`next_timeout`](Self::next_timeout).
#[derive(Debug)]
pub struct WayRace<F> {
    /// In the order in which they are asked.
    entries: Vec<(usize, State<F>)>,
    stagger: Duration,
    begin_next_at: Instant,
    until: Instant,
    outputs: VecDeque<RaceOutput<F>>,
    is_over: bool,
}

impl<F> WayRace<F> {
    /// Starts a race that asks the entries in this `order`, each at the latest `stagger` after the one before, and ends after `limit`.
    /// An entry that is named again, and those beyond [`MAX_ENTRIES`], are left out.
    pub fn new(order: &[usize], stagger: Duration, limit: Duration, now: Instant) -> Self {
        let mut entries: Vec<(usize, State<F>)> = Vec::new();
        for entry in order {
            if entries.len() < MAX_ENTRIES && !entries.iter().any(|(other, _)| other == entry) {
                entries.push((*entry, State::Waiting));
            }
        }
        let mut race = Self {
            entries,
            stagger,
            begin_next_at: now,
            until: now + limit,
            outputs: VecDeque::new(),
            is_over: false,
        };
        race.begin_next(now);
        race
    }

    /// An entry that was begun has failed: the next one begins at once.
    pub fn handle_failed(&mut self, entry: usize, fault: F, now: Instant) {
        if let Some(state) = self.running(entry) {
            *state = State::Failed(fault);
            self.begin_next(now);
        }
    }

    /// The allocation of an entry that was begun stands: it has won.
    pub fn handle_standing(&mut self, entry: usize) {
        if self.running(entry).is_none() {
            return;
        }
        self.is_over = true;
        let mut is_before = true;
        let mut beaten = Vec::new();
        for (other, state) in self.entries.drain(..) {
            match state {
                _ if other == entry => is_before = false,
                State::Failed(fault) => beaten.push((other, Some(fault))),
                State::Running if is_before => beaten.push((other, None)),
                State::Running | State::Waiting => {}
            }
        }
        self.outputs.push_back(RaceOutput::Won { entry, beaten });
    }

    /// Time has passed: call at the latest at [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        if self.until <= now {
            self.end();
        } else if self.begin_next_at <= now && self.is_waiting() {
            self.begin_next(now);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<RaceOutput<F>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when the race is over.
    pub fn next_timeout(&self) -> Option<Instant> {
        let next = self.is_waiting().then_some(self.begin_next_at);
        let until = (!self.is_over).then_some(self.until);
        next.into_iter().chain(until).min()
    }

    fn running(&mut self, entry: usize) -> Option<&mut State<F>> {
        let states = self.entries.iter_mut();
        states
            .filter(|(_, state)| matches!(state, State::Running))
            .find_map(|(other, state)| (*other == entry).then_some(state))
    }

    /// Begins the next entry. Without one, and with none that runs, the race is over.
    fn begin_next(&mut self, now: Instant) {
        let mut states = self.entries.iter_mut();
        if let Some((entry, state)) = states.find(|(_, state)| matches!(state, State::Waiting)) {
            *state = State::Running;
            self.begin_next_at = now + self.stagger;
            self.outputs.push_back(RaceOutput::Begin(*entry));
        } else if !self.is_any(|state| matches!(state, State::Running)) {
            self.end();
        }
    }

    fn is_waiting(&self) -> bool {
        self.is_any(|state| matches!(state, State::Waiting))
    }

    fn is_any(&self, fits: impl Fn(&State<F>) -> bool) -> bool {
        self.entries.iter().any(|(_, state)| fits(state))
    }

    fn end(&mut self) {
        self.is_over = true;
        let first = self.entries.drain(..).next();
        let fault = first.and_then(|(_, state)| match state {
            State::Failed(fault) => Some(fault),
            State::Waiting | State::Running => None,
        });
        self.outputs.push_back(RaceOutput::Over(fault));
    }
}

#[cfg(test)]
mod tests {
    use super::RaceOutput::{Begin, Over, Won};
    use super::*;

    const STAGGER: Duration = Duration::from_millis(250);
    const LIMIT: Duration = Duration::from_secs(4);

    #[derive(Clone, Copy)]
    enum Act {
        Fail(usize, &'static str),
        Stand(usize),
        /// Nothing but the time.
        Wait,
    }

    use Act::{Fail, Stand, Wait};

    type Outputs = Vec<RaceOutput<&'static str>>;

    fn drain(race: &mut WayRace<&'static str>) -> Outputs {
        std::iter::from_fn(|| race.poll()).collect()
    }

    /// What follows from the start, and from each act at its millisecond; timeouts are handled when they are due, as an owner does.
    fn course(order: &[usize], acts: &[(u64, Act)]) -> Vec<(u64, Outputs)> {
        let start = crate::some_time();
        let mut race = WayRace::new(order, STAGGER, LIMIT, start);
        let mut found = vec![(0, drain(&mut race))];
        for (at, act) in acts {
            let now = start + Duration::from_millis(*at);
            while let Some(due) = race.next_timeout().filter(|due| *due <= now) {
                race.handle_timeout(due);
                let passed = due.saturating_duration_since(start).as_millis();
                found.push((u64::try_from(passed).unwrap(), drain(&mut race)));
            }
            match act {
                Fail(entry, fault) => race.handle_failed(*entry, fault, now),
                Stand(entry) => race.handle_standing(*entry),
                Wait => continue,
            }
            found.push((*at, drain(&mut race)));
        }
        found
    }

    fn won(entry: usize, beaten: &[(usize, Option<&'static str>)]) -> RaceOutput<&'static str> {
        let beaten = beaten.to_vec();
        Won { entry, beaten }
    }

    #[test]
    fn the_first_that_stands_wins_and_others_are_asked_only_if_it_is_slow() {
        let table = [
            // The first answers at once: no other is asked.
            (
                vec![(60, Stand(2))],
                vec![(0, vec![Begin(2)]), (60, vec![won(2, &[])])],
            ),
            // It is slow, and answers before the second: that one is not beaten.
            (
                vec![(300, Stand(2))],
                vec![
                    (0, vec![Begin(2)]),
                    (250, vec![Begin(0)]),
                    (300, vec![won(2, &[])]),
                ],
            ),
            // It is silent.
            (
                vec![(310, Stand(0))],
                vec![
                    (0, vec![Begin(2)]),
                    (250, vec![Begin(0)]),
                    (310, vec![won(0, &[(2, None)])]),
                ],
            ),
            // It refuses: the second begins at once, and the third a stagger later.
            (
                vec![(40, Fail(2, "refused")), (300, Stand(1))],
                vec![
                    (0, vec![Begin(2)]),
                    (40, vec![Begin(0)]),
                    (290, vec![Begin(1)]),
                    (300, vec![won(1, &[(2, Some("refused")), (0, None)])]),
                ],
            ),
            // One behind the winner fails: it is beaten, and one that is still asked is not.
            (
                vec![(260, Fail(0, "away")), (270, Stand(2))],
                vec![
                    (0, vec![Begin(2)]),
                    (250, vec![Begin(0)]),
                    (260, vec![Begin(1)]),
                    (270, vec![won(2, &[(0, Some("away"))])]),
                ],
            ),
        ];
        for (at, (acts, expected)) in table.into_iter().enumerate() {
            assert_eq!(course(&[2, 0, 1], &acts), expected, "row {at}");
        }
    }

    #[test]
    fn a_race_without_a_winner_says_why_the_first_has_none() {
        let fails = [(40, Fail(2, "refused")), (50, Fail(0, "away"))];
        assert_eq!(
            course(&[2, 0], &fails),
            [
                (0, vec![Begin(2)]),
                (40, vec![Begin(0)]),
                (50, vec![Over(Some("refused"))]),
            ]
        );
        // The second failed earlier, but the first is the one that was wanted.
        let late = [(300, Fail(0, "away")), (900, Fail(2, "refused"))];
        assert_eq!(
            course(&[2, 0], &late).last(),
            Some(&(900, vec![Over(Some("refused"))]))
        );
        let silent = [(300, Fail(0, "away")), (5_000, Wait)];
        assert_eq!(
            course(&[2, 0], &silent).last(),
            Some(&(4_000, vec![Over(None)]))
        );
        assert_eq!(course(&[], &[(5_000, Wait)]), [(0, vec![Over(None)])]);
    }

    #[test]
    fn what_comes_after_the_end_or_from_no_entry_that_runs_changes_nothing() {
        let strange = [
            (10, Fail(0, "not asked yet")),
            (20, Stand(0)),
            (30, Stand(7)),
            (40, Stand(2)),
            (50, Fail(2, "late")),
            (60, Stand(2)),
            (9_000, Wait),
        ];
        let outputs: Outputs = course(&[2, 0], &strange)
            .into_iter()
            .flat_map(|(_, outputs)| outputs)
            .collect();
        assert_eq!(outputs, [Begin(2), won(2, &[])]);
    }

    #[test]
    fn an_entry_runs_once_and_sixteen_at_most() {
        let order: Vec<usize> = (0..40).chain([3, 4]).collect();
        let outputs: Outputs = course(&order, &[(3_999, Wait)])
            .into_iter()
            .flat_map(|(_, outputs)| outputs)
            .collect();
        assert_eq!(outputs, (0..MAX_ENTRIES).map(Begin).collect::<Outputs>());
        let doubled = course(&[5, 5, 1], &[(3_999, Wait)]);
        assert_eq!(doubled, [(0, vec![Begin(5)]), (250, vec![Begin(1)])]);
    }
}
