//! Presence of consenting contacts (RFC 3856): what a line shows to those whom its owner has named, and what others show it.
//!
//! Off until the owner says so, contact by contact and line by line. Then the engine makes **rounds** of [`PLACES`] places: every minute
//! or three, at a random moment, one envelope leaves for the contact in the next place, or, where there is none or nothing to say,
//! one that no key opens, into the same bucket as ever. So neither the moment nor the number of envelopes tells when something
//! changed, how many contacts there are, or whether a phone is on. The price is that a contact sees what was so up to
//! a round ago ([`GOOD_FOR`] after the last word: offline).
//!
//! `body` is the bytes, `rounds` the sender's half, `received` the receiver's, `document` what phones are shown. No engine asks
//! for presence over the wire, and nothing is answered: a contact who may not see, a number that is not assigned, and an engine that
//! is off are alike.

pub(crate) mod document;
mod received;
mod rounds;

use std::time::{Duration, Instant};

use ringfence_book::Number;

use crate::call::calls::Calls;
use crate::environment::Environment;
use crate::sealed::presence::{PresenceReport, PresenceStatus};
use crate::time::Timer;
use crate::trust::contacts::KeyStanding;
use crate::trust::contacts::MOST_SHARED;
use received::ReceivedReports;
use rounds::PresenceRounds;

/// Places of a round.
pub const PLACES: usize = MOST_SHARED;

/// From one envelope to the next: drawn evenly between these.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
/// See [`SHORTEST_PAUSE`].
pub const LONGEST_PAUSE: Duration = Duration::from_secs(180);

/// How long a report is believed: the longest round and two thirds of one more, so that mostly one may be lost.
pub const GOOD_FOR: Duration = Duration::from_secs(2_400);

/// All that an engine sends and has received of presence.
#[derive(Debug, Default)]
pub(crate) struct PresenceService {
    rounds: PresenceRounds,
    heard: ReceivedReports,
}

impl PresenceService {
    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let round = self.rounds.next().map(|at| (at, Timer::PresenceRound));
        let expiry = self.heard.next_expiry();
        let expiry = expiry.map(|at| (at, Timer::PresenceExpiry));
        round.into_iter().chain(expiry).min_by_key(|(at, _)| *at)
    }

    pub(crate) fn handle_timeout(&mut self, calls: &Calls, env: &mut Environment, now: Instant) {
        self.heard.forget_expired(now);
        self.rounds.handle_timeout(calls, env, now);
    }

    /// Begins the rounds when some line is shown to a contact, and ends them when none is.
    pub(crate) fn plan_rounds(&mut self, env: &mut Environment, now: Instant) {
        self.rounds.plan(env, now);
    }

    /// A verified presence report arrived. Its sender cannot tell what becomes of it.
    pub(crate) fn handle_report(
        &mut self,
        line: usize,
        word: &PresenceReport,
        env: &mut Environment,
        now: Instant,
    ) {
        let Some(line) = env.lines.number(line) else {
            return;
        };
        let sender = word.sender();
        let contacts = env.trust.contacts();
        let standing = contacts.standing(sender.number, &sender.identity);
        if standing == KeyStanding::Unknown || !env.is_welcome(line, sender, now) {
            return;
        }
        let age = env.wall(now).millis().saturating_sub(word.dated.millis());
        let left = GOOD_FOR.saturating_sub(Duration::from_millis(age));
        self.heard.keep(line, word, now + left);
    }

    /// The presence of a number as far as a line may know it; `None`, "offline", whatever the reason.
    pub(crate) fn shown_to(
        &self,
        line: usize,
        number: Number,
        calls: &Calls,
        env: &Environment,
    ) -> Option<PresenceStatus> {
        let own = env.lines.number(line)?;
        if own == number {
            return own_presence(line, calls, env);
        }
        let (identity, presence) = self.heard.of(own, number)?;
        let contacts = env.trust.contacts();
        let is_pinned = contacts.standing(number, &identity) == KeyStanding::Pinned;
        let is_blocked = env.saved.state().is_blocked(own, number);
        (is_pinned && !is_blocked).then_some(presence)
    }
}

/// The presence of a line of this engine; `None` without a phone.
fn own_presence(index: usize, calls: &Calls, env: &Environment) -> Option<PresenceStatus> {
    let line = env.lines.get(index)?;
    if env.agent.phones(&line.account.user) == 0 {
        return None;
    }
    Some(if env.saved.state().do_not_disturb(line.number) {
        PresenceStatus::DoNotDisturb
    } else if calls.is_on_the_phone(index) {
        PresenceStatus::OnThePhone
    } else {
        PresenceStatus::Available
    })
}
