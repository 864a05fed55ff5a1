//! Phones that are summoned: their user began a call at a screen, the phones of the line ring, and who picks up has dialled. That phone has
//! not said what it hears, and is offered that when the other side answers (the third flow of RFC 3725: offer, no media, then a re-INVITE).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use ringfence_book::Number;
use ringfence_sip as sip;

use super::CallInput;
use super::calls::Calls;
use super::phone_side::{FirstOffer, silent_phone};
use crate::environment::Environment;
use crate::line::command::LineCommandError;
use crate::line::emergency_numbers;
use crate::output::CallLabel;
use crate::time::Timer;
use crate::trust::contacts::ShownBy;
use crate::trust::directory::LookupError;

/// The legs. There are no more than the user agent has legs.
#[derive(Debug, Default)]
pub(super) struct Summons {
    summoned: BTreeMap<sip::LegId, Summoned>,
}

/// The phones of a line that ring, so that one of them calls a number.
#[derive(Debug)]
struct Summoned {
    line: usize,
    number: Number,
    first: FirstOffer,
    until: Instant,
}

impl Summons {
    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let ends = self.summoned.values().map(|summoned| summoned.until);
        ends.min().map(|at| (at, Timer::Ringing))
    }

    /// Phones that no person picks up stop to ring.
    pub(super) fn handle_timeout(&mut self, env: &mut Environment, now: Instant) {
        self.summoned.retain(|leg, summoned| {
            let is_late = summoned.until <= now;
            if is_late {
                env.agent.hang_up(*leg, sip::HangUp::Normal, now);
            }
            !is_late
        });
    }
}

impl Calls {
    /// Rings the phones of a line; the one that is picked up calls `number`.
    pub(crate) fn summon(
        &mut self,
        line: usize,
        number: Number,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), LineCommandError> {
        let digits = number.to_string();
        if emergency_numbers::is_emergency(&digits, &env.config.emergency_numbers) {
            return Err(LineCommandError::Emergency);
        }
        let callee = env.callee(&digits).map_err(|error| match error {
            LookupError::NoTile => LineCommandError::Unavailable,
            _ => LineCommandError::NoSuchNumber,
        })?;
        if env.has_changed(callee.peer(), ShownBy::Book, now) {
            return Err(LineCommandError::KeyChanged);
        }
        if !self.has_room(env) {
            return Err(LineCommandError::Unavailable);
        }
        let user = env.lines.get(line).map(|line| line.account.user.clone());
        let user = user.ok_or(LineCommandError::NoSuchLine)?;
        let contact = env.trust.contacts().get(number);
        let caller = sip::CallerId {
            number: digits,
            name: contact.and_then(|contact| contact.name.clone()),
        };
        let first = FirstOffer::draw(env);
        let at: BTreeSet<_> = env.agent.flows(&user).map(|flow| flow.local.ip()).collect();
        let offers = at.into_iter().map(|ip| (ip, first.sdp(ip)));
        let offers: BTreeMap<_, _> = offers.collect();
        let offer = |flow: sip::Flow| {
            let sdp = offers.get(&flow.local.ip())?.clone();
            let fallbacks = VecDeque::new();
            Some(sip::Offer { sdp, fallbacks })
        };
        let leg = env.agent.invite_each(&user, caller, offer, now);
        let leg = leg.map_err(|_| LineCommandError::NoPhone)?;
        let summoned = Summoned {
            line,
            number,
            first,
            until: now + env.config.no_answer,
        };
        self.summons.summoned.insert(leg, summoned);
        Ok(())
    }

    fn has_room(&self, env: &Environment) -> bool {
        let has_network = env.is_listening && env.reaches_turn;
        !env.closing && has_network && self.busy() < env.config.max_calls
    }

    /// An event of a leg that belongs to no call.
    pub(super) fn handle_summoned(
        &mut self,
        leg: sip::LegId,
        event: &sip::Event,
        env: &mut Environment,
        now: Instant,
    ) {
        if matches!(event, sip::Event::Ringing { .. }) {
            return;
        }
        let Some(summoned) = self.summons.summoned.remove(&leg) else {
            return;
        };
        if let sip::Event::Answered { .. } = event {
            self.call_from((leg, summoned), env, now);
        }
    }

    /// The phone that was picked up calls.
    fn call_from(
        &mut self,
        (leg, summoned): (sip::LegId, Summoned),
        env: &mut Environment,
        now: Instant,
    ) {
        let Summoned {
            line,
            number,
            first,
            ..
        } = summoned;
        let callee = env.callee(&number.to_string()).ok();
        let callee = callee.filter(|_| self.has_room(env));
        let Some(callee) =
            callee.filter(|callee| !env.has_changed(callee.peer(), ShownBy::Book, now))
        else {
            return env.agent.hang_up(leg, sip::HangUp::Normal, now);
        };
        let media = (silent_phone(), Some(first));
        self.place((line, leg), media, callee, env, now);
    }

    /// The user ends a call at the screen.
    pub(crate) fn hang_up(
        &mut self,
        line: usize,
        call: CallLabel,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), LineCommandError> {
        let number = env.lines.number(line);
        let mut live = self.live().into_iter();
        if !live.any(|live| live.label == call && Some(live.line) == number) {
            return Err(LineCommandError::NoSuchCall);
        }
        self.handle(call, CallInput::HangUp, env, now);
        Ok(())
    }
}
