//! Envelopes that no running call expects, and that have no tag of a contact. Every own ring key has to be tried on such a one, which
//! costs more than its stamp costs a flooder with a graphics card; so they are opened under a budget, the newest first. What is left
//! over waits: a ring until it is too old to sound, a note for as long as there is room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringfence_book::Number;

use super::Engine;
use crate::line::Lines;
use crate::line::identity::Identity;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::note::opening::{self, OpenedNote};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::incoming::{GOOD_FOR, OpenedMessage, open};
use crate::time::{Moment, Timer, UnixTime};

/// What one trial of a key counts: at 75 us each, a quarter of a core is left for what strangers send.
const TRIAL: Duration = Duration::from_micros(300);

/// How much of the budget may be saved up, so that a handful that come together wait for nothing.
const SAVED: Duration = Duration::from_millis(100);

/// Envelopes that wait; with all of them 4 MB.
const MOST: usize = 4_096;

/// Envelopes that wait to be opened.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// In the order of their arrival.
    waiting: VecDeque<Waiting>,
    /// Until when the budget is used up.
    spent_until: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) envelope: Envelope,
    pub(super) event: EventContext,
    /// When it was made, if it is a note.
    pub(super) made: Option<UnixTime>,
    pub(super) arrived: Instant,
}

impl Strangers {
    /// Lets one more wait; gives back the one that finds no room: the oldest ring, or else the oldest note.
    pub(super) fn add(&mut self, new: Waiting) -> Option<Waiting> {
        self.waiting.push_back(new);
        if self.waiting.len() <= MOST {
            return None;
        }
        let oldest = self.waiting.iter().position(|other| other.made.is_none());
        self.waiting.remove(oldest.unwrap_or(0))
    }

    /// The newest one, if the budget allows to try that many keys on it. Rings that waited for too long are left out.
    fn take(&mut self, keys: usize, now: Instant) -> Option<Waiting> {
        if self.spent_until.is_some_and(|until| now < until) {
            return None;
        }
        let is_over = |one: &Waiting| one.made.is_none() && one.arrived + GOOD_FOR + GOOD_FOR < now;
        while self.waiting.back().is_some_and(is_over) {
            self.waiting.pop_back();
        }
        let newest = self.waiting.pop_back()?;
        let saved = now.checked_sub(SAVED);
        let from = self.spent_until.max(saved).unwrap_or(now);
        let cost = TRIAL.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX));
        self.spent_until = Some(from + cost);
        Some(newest)
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let until = self.spent_until.filter(|_| !self.waiting.is_empty())?;
        Some((until, Timer::Strangers))
    }
}

impl Engine {
    /// Opens what waits, as far as the budget goes.
    pub(super) fn open_strangers(&mut self, now: Instant) {
        let today = self.env.wall(now).day();
        let lines = self.env.lines.iter();
        let keys = lines.map(|line| line.identity.opening_secrets(today).count());
        let keys = keys.sum();
        while let Some(next) = self.strangers.take(keys, now) {
            if let Err(rejected) = self.open_waiting(&next, None, now) {
                tracing::trace!(%rejected, "envelope dropped");
                self.env.counters.count(rejected);
            }
        }
    }

    /// Opens an envelope with the keys of one line, or of all; who has proved to be its sender, if it is of a kind that tells.
    pub(super) fn open_waiting(
        &mut self,
        next: &Waiting,
        only: Option<usize>,
        now: Instant,
    ) -> Result<Option<Number>, EnvelopeError> {
        let (envelope, event) = (&next.envelope, &next.event);
        if let Some(made) = next.made {
            return self.open_note((envelope, event), only, made, now);
        }
        let env = &mut self.env;
        let wall = env.wall(now);
        let ((first, listeners), callers) = (listeners(&env.lines, only), env.trust.callers());
        let arrival = Moment { wall, now };
        let replay = &mut self.replay;
        match open(&listeners, callers, envelope, event, replay, arrival)? {
            OpenedMessage::Ring { line, ring } => {
                let sender = ring.caller_number();
                self.calls.handle_ring(first + line, ring, env, now);
                Ok(Some(sender))
            }
            OpenedMessage::Cancel { id, .. } => {
                self.calls.handle_cancel(id, env, now);
                Ok(None)
            }
            OpenedMessage::Presence { line, word } => {
                let sender = word.sender().number;
                self.presence.handle_report(first + line, &word, env, now);
                Ok(Some(sender))
            }
        }
    }

    /// What relays keep: only verified texts and missed-call notes have a meaning there.
    fn open_note(
        &mut self,
        (envelope, event): (&Envelope, &EventContext),
        only: Option<usize>,
        made: UnixTime,
        now: Instant,
    ) -> Result<Option<Number>, EnvelopeError> {
        let env = &mut self.env;
        let wall = env.wall(now);
        let ((first, listeners), callers) = (listeners(&env.lines, only), env.trust.callers());
        match opening::open(&listeners, callers, envelope, event, (made, wall))? {
            OpenedNote::Text {
                line,
                id,
                sender,
                body,
            } => {
                self.messages
                    .handle_piece(first + line, (id, sender), *body, env, now)?;
                Ok(Some(sender.number))
            }
            OpenedNote::Missed {
                line,
                ring,
                sender,
                rang,
            } => {
                self.handle_missed(first + line, (ring, sender), rang, now)?;
                Ok(Some(sender.number))
            }
        }
    }
}

/// Lines as envelopes are tried on them, all or one, and the index of the first.
fn listeners(lines: &Lines, only: Option<usize>) -> (usize, Vec<&Identity>) {
    let all = lines.as_slice();
    let first = only.unwrap_or(0);
    let tried = only.map_or(all, |line| all.get(line..=line).unwrap_or_default());
    (first, tried.iter().map(|line| &line.identity).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::envelope::EventKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from nothing"
    )]
    fn start() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn waiting(n: usize, is_note: bool, arrived: Instant) -> Waiting {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        Waiting {
            envelope: Envelope::cover(&mut ChaCha20Rng::from_seed([1; 32])),
            event: EventContext {
                bucket: 0,
                event_key: EventKey(key),
            },
            made: is_note.then_some(UnixTime::default()),
            arrived,
        }
    }

    fn name(one: &Waiting) -> usize {
        u64::from_be_bytes(one.event.event_key.0[..8].try_into().unwrap()) as usize
    }

    #[test]
    fn the_newest_is_next_and_a_second_has_so_many_trials_whatever_arrives() {
        let now = start();
        let mut strangers = Strangers::default();
        for n in 0..MOST {
            assert!(strangers.add(waiting(n, false, now)).is_none());
        }
        let mut opened = 0;
        for millis in 0..1_000 {
            let at = now + Duration::from_millis(millis);
            while let Some(next) = strangers.take(16, at) {
                opened += 1;
                assert_eq!(name(&next), MOST - opened);
            }
        }
        // 1.1 s of budget at 4.8 ms each.
        assert!((225..=231).contains(&opened), "{opened}");
        assert!(strangers.next_timeout().is_some_and(|(at, _)| at > now));
    }

    #[test]
    fn without_room_the_oldest_ring_goes_before_any_note() {
        let now = start();
        let mut strangers = Strangers::default();
        for n in 0..MOST {
            assert!(strangers.add(waiting(n, n != 7, now)).is_none());
        }
        let gone: Vec<_> = (MOST..MOST + 2)
            .map(|n| strangers.add(waiting(n, true, now)).map(|gone| name(&gone)))
            .collect();
        assert_eq!(gone, [Some(7), Some(0)]);
    }

    #[test]
    fn a_ring_that_waited_until_it_can_not_sound_costs_nothing() {
        let now = start();
        let mut strangers = Strangers::default();
        strangers.add(waiting(1, true, now));
        strangers.add(waiting(2, false, now));
        let later = now + GOOD_FOR + GOOD_FOR + Duration::from_millis(1);
        assert_eq!(strangers.take(1, later).map(|next| name(&next)), Some(1));
        assert!(strangers.take(1, later).is_none());
    }
}
