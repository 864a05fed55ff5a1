//! The SIP server that phones see: registrar, user agent server and user agent client in one.
//!
//! This file is the outside: commands in, outputs and timers out. What happens to a message is in `receive` (whom it is
//! for) and `admit` (strangers: REGISTER and new INVITEs), `beside` has texts and subscriptions; what happens to a call is
//! in the legs. Nothing here routes a call to another line or reads a body.

mod admit;
mod out_of_dialog;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::account::{Config, User};
use crate::digest::Verifier;
use crate::event::{CallerId, Counters, Event, HangUp, LegId, Offer, Output, RequestError};
use crate::flow::Flow;
use crate::leg::Leg;
use crate::leg::context::LegContext;
use crate::leg::digit::Digit;
use crate::leg::outbound_invite::{CallParties, OutboundInvite};
use crate::leg::target::RequestTarget;
use crate::random::Random;
use crate::registrar::Registrar;
use crate::timers::Timer;
use crate::transaction::Unanswered;

/// How many calls phones may have. A call beyond it gets 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls of all lines together.
    pub calls: usize,
    /// Calls of one line's phones, so that no line can shut the others out.
    pub calls_per_line: usize,
}

impl Default for CallLimits {
    /// More calls than a small office has.
    fn default() -> Self {
        Self {
            calls: 256,
            calls_per_line: 128,
        }
    }
}

/// The SIP server that phones see, over bytes and time.
///
/// Drive it as the crate's front page says: one input, then [`poll`](Self::poll) until `None`. A command for a leg that
/// is gone, or that does not fit its state, does nothing: the phone may always have been faster.
#[derive(Debug)]
pub struct UserAgent {
    context: LegContext,
    legs: BTreeMap<LegId, Leg>,
    registrar: Registrar,
    verifier: Verifier,
    counters: Counters,
    limits: CallLimits,
    /// Streams to close. Filled by one input with one entry at most.
    closing: VecDeque<Flow>,
}

impl UserAgent {
    /// An agent for these lines. All randomness (tags, branches, nonces) comes from `seed`.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let verifier = Verifier::new(config, &mut random);
        Self {
            context: LegContext::new(random),
            legs: BTreeMap::new(),
            registrar: Registrar::default(),
            verifier,
            counters: Counters::default(),
            limits: CallLimits::default(),
            closing: VecDeque::new(),
        }
    }

    /// The same with other limits on calls.
    #[must_use]
    pub fn with_limits(mut self, limits: CallLimits) -> Self {
        self.limits = limits;
        self
    }

    /// One datagram, or one whole message cut by [`Framer`](crate::Framer).
    pub fn handle_packet(&mut self, flow: Flow, bytes: &[u8], now: Instant) {
        self.receive(flow, bytes, now);
    }

    /// A TCP stream ended: its registrations and legs end with it.
    pub fn handle_flow_closed(&mut self, flow: Flow, now: Instant) {
        for user in self.registrar.close(flow) {
            self.emit_unregistered(user);
        }
        let unanswered = self.context.transactions.handle_flow_closed(flow);
        self.handle_unanswered(unanswered, now);
        let legs: Vec<LegId> = self.legs.keys().copied().collect();
        for leg in legs {
            self.with_leg(leg, |leg, context| leg.handle_flow_closed(flow, context));
        }
    }

    /// Time passed. Call at or after the instant of [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        let unanswered = self.context.transactions.handle_timeout(now);
        self.handle_unanswered(unanswered, now);
        while let Some((leg, timer)) = self.context.timers.pop(now) {
            self.with_leg(leg, |leg, context| leg.handle_timer(timer, context, now));
        }
        for user in self.registrar.expire(now) {
            self.emit_unregistered(user);
        }
    }

    /// Tells a calling phone that the other side rings (180).
    pub fn ring(&mut self, leg: LegId, now: Instant) {
        self.with_leg(leg, |leg, context| leg.ring(context, now));
    }

    /// Accepts a calling phone's INVITE, or a talking phone's new offer (200).
    pub fn answer(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.with_leg(leg, |leg, context| leg.answer(sdp, context, now));
    }

    /// Refuses an INVITE (the leg is gone then), or a new offer (the call goes on as it was). `status` is a final
    /// refusal: 300 to 699, anything else is moved to the nearest of these.
    pub fn refuse(&mut self, leg: LegId, status: u16, now: Instant) {
        self.with_leg(leg, |leg, context| leg.refuse(status, context, now));
    }

    /// Refuses a calling phone's INVITE with a reason phrase for the person who reads the display (RFC 3261 section
    /// 7.2), instead of the usual one. One line of text.
    pub fn refuse_with_reason(
        &mut self,
        leg: LegId,
        (status, phrase): (u16, &'static str),
        now: Instant,
    ) {
        self.with_leg(leg, |leg, context| match leg {
            Leg::InboundInvite(leg) => leg.refuse_with_reason(status, phrase, context, now),
            other => other.refuse(status, context, now),
        });
    }

    /// Ends a leg by whatever fits its state: CANCEL (at once or after the first provisional answer), BYE (at once or
    /// after the ACK), 480. The leg is gone for the caller: no event follows.
    pub fn hang_up(&mut self, leg: LegId, reason: HangUp, now: Instant) {
        self.with_leg(leg, |leg, context| leg.hang_up(reason, context, now));
    }

    /// Rings all phones registered to the line with one offer. As [`invite_each`](Self::invite_each).
    ///
    /// # Errors
    /// [`RequestError`] if nobody could be rung.
    pub fn invite(
        &mut self,
        user: &User,
        caller: CallerId,
        sdp: Vec<u8>,
        now: Instant,
    ) -> Result<LegId, RequestError> {
        let offer = Offer {
            sdp,
            fallback: None,
        };
        self.invite_each(user, caller, |_| Some(offer.clone()), now)
    }

    /// Rings all phones registered to the line, each with an offer of its own; a phone for which there is none is left
    /// alone. The first 2xx wins, the others are cancelled.
    ///
    /// # Errors
    /// [`RequestError`] if nobody could be rung.
    pub fn invite_each(
        &mut self,
        user: &User,
        caller: CallerId,
        mut offer: impl FnMut(Flow) -> Option<Offer>,
        now: Instant,
    ) -> Result<LegId, RequestError> {
        if self.count(Leg::is_call) >= self.limits.calls {
            return Err(RequestError::TooManyLegs);
        }
        let phones: Vec<(RequestTarget, Offer)> = self
            .targets(user, now)?
            .into_iter()
            .filter_map(|phone| {
                let offer = offer(phone.flow)?;
                Some((phone, offer))
            })
            .collect();
        if phones.is_empty() {
            return Err(RequestError::NoPhone);
        }
        let id = self.context.new_leg();
        let parties = CallParties {
            user: user.clone(),
            caller,
        };
        let placed = OutboundInvite::new(id, phones, &parties, &mut self.context, now)
            .ok_or(RequestError::TooManyLegs)?;
        self.legs.insert(id, Leg::OutboundInvite(placed));
        Ok(id)
    }

    /// The flow of a leg that has one phone: calling us, or talking.
    pub fn flow(&self, leg: LegId) -> Option<Flow> {
        self.legs.get(&leg).and_then(Leg::flow)
    }

    /// Whether the one phone of a leg says in Allow that it takes INFO, and so hears of key presses by [`Self::send_digit`].
    pub fn allows_info(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(Leg::allows_info)
    }

    /// The flows of the phones that are registered to the line.
    pub fn flows(&self, user: &User) -> impl Iterator<Item = Flow> {
        self.registrar
            .phones(user)
            .iter()
            .map(|binding| binding.flow)
    }

    /// Makes a talking phone an offer (re-INVITE). `OfferAnswered` or `OfferRefused` follows; one that meets an offer of the
    /// phone is made again by itself, one that still waits is replaced by a newer one.
    pub fn offer(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.with_leg(leg, |leg, context| leg.offer(sdp, context, now));
    }

    /// Tells a talking phone of a key press on the other side, by SIP INFO: for phones that agreed on no RFC 4733. One
    /// that has said it takes no INFO is told nothing.
    pub fn send_digit(&mut self, leg: LegId, digit: Digit, now: Instant) {
        self.with_leg(leg, |leg, context| leg.send_digit(digit, context, now));
    }

    /// Says how a transfer stands that the phone has asked for (RFC 3515), by a status: 100 takes it on, 180 says that
    /// the other phone rings, a final one ends it. A first word of 300 or more refuses the REFER itself.
    pub fn notify_transfer(&mut self, leg: LegId, status: u16, now: Instant) {
        self.with_leg(leg, |leg, context| {
            leg.notify_transfer(status, context, now)
        });
    }

    /// Where the phones of a line are to be targets.
    fn targets(&self, user: &User, now: Instant) -> Result<Vec<RequestTarget>, RequestError> {
        let phones = self.registrar.phones(user).iter();
        let live = phones.filter(|binding| binding.until > now);
        let targets: Vec<RequestTarget> = live.map(RequestTarget::of).collect();
        if targets.is_empty() {
            return Err(RequestError::NoPhone);
        }
        Ok(targets)
    }

    /// How many legs are of a kind.
    fn count(&self, is_of_kind: impl Fn(&Leg) -> bool) -> usize {
        self.legs.values().filter(|leg| is_of_kind(leg)).count()
    }

    /// Whether a phone is registered over this flow.
    pub fn is_registered(&self, flow: Flow) -> bool {
        self.registrar.knows(flow)
    }

    /// How many phones are registered to the line.
    pub fn phones(&self, user: &User) -> usize {
        self.registrar.phones(user).len()
    }

    /// The next thing to do; drain until `None` after every input.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some((flow, bytes)) = self.context.transactions.poll() {
            return Some(Output::Send { flow, bytes });
        }
        if let Some(event) = self.context.events.pop_front() {
            return Some(Output::Event(event));
        }
        self.closing.pop_front().map(|flow| Output::Close { flow })
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let context = &self.context;
        let timers = [
            context.transactions.next_timeout(),
            context.timers.next(),
            self.registrar.next_timeout(),
        ];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What was counted so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The one place where a leg is moved, and taken out when it is gone.
    fn with_leg(&mut self, id: LegId, step: impl FnOnce(Leg, &mut LegContext) -> Option<Leg>) {
        let Some(leg) = self.legs.remove(&id) else {
            return;
        };
        match step(leg, &mut self.context) {
            Some(next) => {
                self.legs.insert(id, next);
            }
            None => self.context.timers.clear_all(id),
        }
        self.legs.extend(self.context.new_legs.drain(..));
        for flow in self.context.refused_unsolicited.drain(..) {
            self.registrar.set_refuses_unsolicited(flow);
        }
    }

    fn handle_unanswered(&mut self, unanswered: Vec<Unanswered<LegId>>, now: Instant) {
        for Unanswered { transaction, owner } in unanswered {
            if let Some(leg) = owner {
                self.with_leg(leg, |leg, context| {
                    leg.handle_unanswered(transaction, context, now)
                });
            }
        }
    }

    fn emit_unregistered(&mut self, user: User) {
        let phones = self.phones(&user);
        self.context.emit(Event::Unregistered { user, phones });
    }
}
