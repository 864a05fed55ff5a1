//! Collects what the event loop knows into conditions ([`crate::stats::condition`]), and logs each that begins or ends, and each call
//! that ends: without names, numbers and addresses.

use std::time::Duration;

use ringfence_engine::trust::callers::TRUSTED_FOR;
use ringfence_engine::{BookAge, CallLabel, CallStep, EndReason};

use super::event_loop::{EventLoop, wall};
use crate::clock;
use crate::net::book::{BookError, ClockCheck, ClockOffset};
use crate::net::relay::{RelayState, RelayTrouble};
use crate::stats::condition::board::{ActiveCondition, ConditionBoard, Transition};
use crate::stats::condition::{BookLasts, Condition};
use crate::turn::pool::PoolState;

/// How often the conditions are looked at, and the clocks compared, though nothing happens: a machine that wakes up makes its
/// connections anew at once.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// A copy of the phone book that lacks more epochs than this is old.
const LATE_EPOCHS: u32 = 3;

/// What a copy may lack besides.
const LATE: Duration = Duration::from_secs(60);

/// The outcome of the last attempt to download the phone book.
#[derive(Clone, Debug, Default)]
pub(crate) struct BookOutcome {
    /// Why it failed, if it did.
    pub(crate) error: Option<BookError>,
    /// The book's time at its last answer.
    pub(crate) clock: Option<ClockCheck>,
}

/// What conditions follow from and no other part of the event loop remembers.
#[derive(Debug, Default)]
pub(super) struct ConditionWatch {
    pub(super) book: BookOutcome,
    board: ConditionBoard,
    /// Calls that ended for want of an audio path since one was connected, and how the last of them ended.
    without_audio: Option<(u32, EndReason)>,
    is_listening: bool,
}

impl EventLoop {
    /// Looks at everything, and logs what has changed.
    pub(super) fn look_around(&mut self) {
        let relays = self.relays.state().borrow().clone();
        let is_listening = relays.listening > 0;
        if is_listening && !std::mem::replace(&mut self.watch.is_listening, is_listening) {
            let RelayState {
                listening,
                configured,
                ..
            } = relays;
            tracing::info!(listening, configured, "listening for rings");
        }
        let found = self.conditions(&relays);
        for transition in self.watch.board.update(found, clock::now()) {
            if let Transition::Began(Condition::NoRelay | Condition::NoSubscription(_)) =
                &transition
            {
                self.watch.is_listening = false;
            }
            log(&transition);
        }
    }

    /// The conditions of this moment, grave ones first.
    pub(super) fn active_conditions(&mut self) -> Vec<ActiveCondition> {
        self.look_around();
        self.watch.board.active((clock::now(), wall()))
    }

    /// Notes a step of a call: an end is logged and counted.
    pub(super) fn note_step(&mut self, call: CallLabel, step: CallStep) {
        match step {
            CallStep::Connected => self.watch.without_audio = None,
            CallStep::Ended(reason) => {
                tracing::info!(%call, "a call {step}");
                self.totals.add_end(reason);
                if matches!(reason, EndReason::NoMedia | EndReason::NotConfirmed) {
                    let before = self.watch.without_audio.map_or(0, |(calls, _)| calls);
                    self.watch.without_audio = Some((before.saturating_add(1), reason));
                }
            }
            _ => {}
        }
    }

    fn conditions(&self, relays: &RelayState) -> Vec<Condition> {
        let offset = self.watch.book.clock;
        let offset = offset.map(|check| check.offset(clock::reading()));
        let mut found = relay_conditions(relays);
        if let Some(pool) = &self.pool {
            found.extend(turn_condition(&pool.state().borrow()));
        }
        found.extend(offset.and_then(Condition::of_clock));
        let now = true_time(offset);
        let outcome = &self.watch.book.error;
        let lasts = self.book_lasts(now);
        found.extend(book_condition(
            outcome.as_ref(),
            self.engine.book_age(),
            (now, lasts),
        ));
        found.extend(self.line_conditions());
        if let Some((calls, reason)) = self.watch.without_audio {
            found.push(Condition::NoAudio { calls, reason });
        }
        let changed = self.engine.contacts().iter();
        found.extend(changed.filter_map(|contact| {
            Some(Condition::KeyChanged(
                contact.number,
                contact.other?.shown_by,
            ))
        }));
        let evidence = self
            .writer
            .as_ref()
            .map_or(0, |writer| *writer.evidence.borrow());
        if evidence > 0 {
            found.push(Condition::Evidence(evidence));
        }
        if let Some(writer) = &self.writer {
            let damaged = writer.damaged.borrow();
            found.extend(damaged.iter().cloned().map(Condition::FileDamaged));
            let unsaved = writer.unsaved.borrow();
            found.extend(unsaved.clone().map(Condition::NotSaved));
        }
        found
    }

    /// How long calls go on without the book: what the engine itself holds runs out.
    fn book_lasts(&self, now: Duration) -> BookLasts {
        let closed = self.engine.book_age().map(|age| age.closed.seconds());
        let end = Duration::from_secs(closed.unwrap_or_default()) + TRUSTED_FOR;
        BookLasts {
            callers: end.saturating_sub(now),
            logins: self.media.turn.stock(),
        }
    }

    fn line_conditions(&self) -> Vec<Condition> {
        let (engine, lines) = (&self.engine, self.engine.lines());
        let elsewhere = engine.lines_elsewhere().into_iter();
        let mut found: Vec<_> = elsewhere.map(Condition::OtherMachine).collect();
        let vacant: Vec<_> = lines
            .iter()
            .filter(|line| engine.phones(line) == 0)
            .collect();
        if vacant.len() == lines.len() {
            found.push(Condition::NoPhone);
        } else {
            let vacant = vacant.iter();
            found.extend(vacant.map(|line| Condition::LineWithoutPhone(line.number)));
        }
        for line in lines {
            let waiting = engine.saved_state().news(line.number).texts;
            if let Some(status) = engine.message_refusal(line).filter(|_| waiting > 0) {
                found.push(Condition::TextsRefused {
                    line: line.number,
                    status,
                    waiting,
                });
            }
        }
        found
    }
}

/// What follows from the relays: one grave condition that names the first trouble, or one for each relay that does not do its part.
fn relay_conditions(relays: &RelayState) -> Vec<Condition> {
    let first = |wanted: fn(&RelayTrouble) -> bool| {
        let mut troubles = relays.troubles.iter();
        troubles.find(|trouble| wanted(trouble)).cloned()
    };
    let connected = |trouble: &RelayTrouble| !trouble.is_unreachable();
    let all = relays.configured;
    if relays.connected == 0 {
        // A relay that is dialled anew because it did not answer an envelope is better named than "no relay".
        return match first(connected) {
            Some(trouble) if relays.troubles.iter().all(connected) => {
                vec![Condition::NoPublication(trouble)]
            }
            _ => vec![Condition::NoRelay],
        };
    }
    match first(connected) {
        Some(trouble) if relays.listening == 0 => return vec![Condition::NoSubscription(trouble)],
        Some(trouble) if relays.taking == 0 => return vec![Condition::NoPublication(trouble)],
        _ => {}
    }
    let troubles = relays.troubles.iter().cloned();
    troubles
        .map(|trouble| Condition::Relay(trouble, all))
        .collect()
}

fn turn_condition(pool: &PoolState) -> Option<Condition> {
    if let Some(error) = &pool.failure {
        return Some(Condition::NoTurn(error.clone()));
    }
    let choice = pool.server.as_ref().filter(|choice| choice.position > 1)?;
    Some(Condition::SecondTurn(choice.clone()))
}

/// What follows from the last attempt to download the phone book and from the copy that is in use.
fn book_condition(
    error: Option<&BookError>,
    book: Option<BookAge>,
    (now, lasts): (Duration, BookLasts),
) -> Option<Condition> {
    if let Some(error) = error.filter(|error| error.is_final()) {
        return Some(Condition::BookRefused(error.unnamed(), error.remedy()));
    }
    let Some(book) = book else {
        return Some(Condition::NoBook);
    };
    let age = now.saturating_sub(Duration::from_secs(book.closed.seconds()));
    let period = Duration::from_secs(book.period.into());
    let is_urgent = error.is_some_and(BookError::is_urgent);
    if age <= period * LATE_EPOCHS + LATE && !is_urgent {
        return None;
    }
    Some(match error {
        None => Condition::BookOld(age),
        Some(error) => Condition::BookAway {
            age,
            why: error.unnamed(),
            remedy: error.remedy(),
            lasts,
        },
    })
}

/// The time by the phone book's clock where that is known, so that a wrong clock here is not taken for an old book.
fn true_time(offset: Option<ClockOffset>) -> Duration {
    let here = clock::since_epoch();
    match offset {
        Some(ClockOffset { apart, is_behind }) if is_behind => here.saturating_add(apart),
        Some(ClockOffset { apart, .. }) => here.saturating_sub(apart),
        None => here,
    }
}

fn log(transition: &Transition) {
    match transition {
        Transition::Began(condition) if condition.is_grave() => {
            tracing::warn!("{}", condition.log_advice());
        }
        Transition::Began(condition) => {
            tracing::info!("{}", condition.log_advice());
        }
        Transition::Ended(condition, lasted) => {
            let seconds = lasted.as_secs();
            tracing::info!(seconds, "is over: {}", condition.log_line());
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_engine::time::UnixTime;

    use std::io::ErrorKind;

    use ringfence_book::bounds::BoundsError;

    use super::*;
    use crate::net::book::Unreachable;
    use crate::net::outbound::OutboundError;
    use crate::net::relay::{RelayFault, RelayWords};
    use crate::stats::condition::ConditionKind;
    use crate::turn::credentials::LoginStock;
    use crate::turn::probe::TurnProbeError;
    use crate::turn::servers::ServerChoice;

    fn trouble(position: usize, fault: RelayFault) -> RelayTrouble {
        RelayTrouble {
            position,
            url: "wss://relay.example".to_owned(),
            fault,
            words: RelayWords::new("blocked: go away"),
        }
    }

    /// So many relays that are configured, connected, listening, taking; and the troubles.
    fn kinds(counts: [usize; 4], faults: &[RelayFault]) -> Vec<ConditionKind> {
        let [configured, connected, listening, taking] = counts;
        let relays = RelayState {
            configured,
            connected,
            listening,
            taking,
            troubles: (1..)
                .zip(faults)
                .map(|(at, fault)| trouble(at, *fault))
                .collect(),
        };
        let found = relay_conditions(&relays);
        found.iter().map(Condition::kind).collect()
    }

    #[test]
    fn relays_that_are_away_deaf_or_refuse_are_told_apart() {
        use RelayFault::{NoAnswer, NotListening, Refuses, Unreachable, WantsLogin};
        assert_eq!(kinds([1, 1, 1, 1], &[]), []);
        assert_eq!(kinds([1, 0, 0, 0], &[]), [ConditionKind::NoRelay]);
        let one = |counts, fault| kinds(counts, &[fault]);
        assert_eq!(one([1, 0, 0, 0], Unreachable), [ConditionKind::NoRelay]);
        assert_eq!(one([1, 0, 0, 0], NoAnswer), [ConditionKind::NoPublication]);
        assert_eq!(
            one([1, 1, 0, 1], NotListening),
            [ConditionKind::NoSubscription]
        );
        assert_eq!(
            one([1, 1, 0, 1], WantsLogin),
            [ConditionKind::NoSubscription]
        );
        assert_eq!(one([1, 1, 1, 0], Refuses), [ConditionKind::NoPublication]);
        assert_eq!(one([2, 1, 1, 1], Unreachable), [ConditionKind::Relay]);
        assert_eq!(one([2, 2, 2, 1], Refuses), [ConditionKind::Relay]);
        let two = kinds([3, 2, 2, 1], &[Unreachable, Refuses]);
        assert_eq!(two, [ConditionKind::Relay, ConditionKind::Relay]);
    }

    #[test]
    fn a_turn_server_that_fails_is_grave_and_a_second_one_in_use_is_said() {
        let state = |position, failure| PoolState {
            is_ready: false,
            server: Some(ServerChoice {
                position,
                all: 2,
                passed_over: Some("it cannot be reached".to_owned()),
            }),
            failure,
        };
        assert_eq!(turn_condition(&PoolState::default()), None, "at the start");
        assert_eq!(turn_condition(&state(1, None)), None, "taken by a call");
        let second = turn_condition(&state(2, None)).unwrap();
        assert!(
            second.unnamed().contains("Calls use server 2"),
            "{second:?}"
        );
        let failed = turn_condition(&state(2, Some(TurnProbeError::NoLogin))).unwrap();
        assert!(failed.is_grave(), "{failed:?}");
    }

    #[test]
    fn a_book_that_is_away_says_how_long_calls_go_on() {
        let hour = Duration::from_secs(3_600);
        let book = |closed| {
            Some(BookAge {
                epoch: 1,
                closed: UnixTime::from_seconds(closed),
                period: 300,
            })
        };
        let lasts = BookLasts {
            callers: hour * 24 * 6,
            logins: Some(LoginStock {
                left: 57,
                seconds: 20 * 3_600,
            }),
        };
        let error = BookError::Unreachable {
            url: "https://book.example".to_owned(),
            why: Unreachable::Connect(OutboundError::Connect(ErrorKind::ConnectionRefused)),
        };
        let of = |error, closed| book_condition(error, book(closed), (hour * 10, lasts));
        assert_eq!(
            of(Some(&error), 36_000 - 960),
            None,
            "it may be back at once"
        );
        assert_eq!(of(None, 35_000).unwrap().kind(), ConditionKind::BookOld);
        let outside = BookError::Bounds(BoundsError::WorkBits(255));
        let refused = of(Some(&outside), 36_000 - 1).unwrap();
        assert!(refused.unnamed().contains("workBits is 255"), "{refused:?}");
        let proxy = BookError::Unreachable {
            url: "http://abcdefgh.onion".to_owned(),
            why: Unreachable::Connect(OutboundError::Proxy(ErrorKind::ConnectionRefused)),
        };
        let refused = of(Some(&proxy), 36_000 - 1).unwrap();
        assert!(refused.unnamed().contains("SOCKS5 proxy does not answer"));
        assert!(!refused.unnamed().contains("onion"), "{refused:?}");
        let away = of(Some(&error), 35_000).unwrap();
        let text = away.unnamed();
        for words in [
            "16 min old",
            "no connection",
            "at most 20 h",
            "57 TURN logins",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        assert!(!text.contains("book.example"), "{text}");
        assert!(of(Some(&BookError::KeyChanged), 36_000).unwrap().is_grave());
        let none = book_condition(Some(&error), None, (hour, lasts));
        assert_eq!(none, Some(Condition::NoBook));
    }
}
