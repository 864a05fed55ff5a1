//! The user agent that phones register to: registrar, UAS and UAC in one (RFC 3261 section 6).
//!
//! This file has the interface: commands, outputs, timers. `receive` dispatches messages, `admit` handles REGISTER and new
//! INVITEs, `out_of_dialog` handles texts and subscriptions; the state of a call is in `leg`. Nothing here routes a call to
//! another line or reads a body: joining two legs to one call, as a B2BUA does, is the caller's work.

mod admit;
mod out_of_dialog;
mod phones;
mod receive;
mod restart;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::account::{Config, User};
use crate::digest::Verifier;
use crate::event::{
    CallerId, Event, HangUp, LegId, Offer, Output, Refusal, RequestError, SipCounters,
};
use crate::flow::Flow;
use crate::leg::Leg;
use crate::leg::context::LegContext;
use crate::leg::digit::Digit;
use crate::leg::final_delivery::MAX_FINAL_MESSAGES;
use crate::leg::outbound_invite::OutboundInvite;
use crate::leg::target::RequestTarget;
use crate::random::Random;
use crate::registrar::Registrar;
use crate::restart::RestartChange;
use crate::timers::Timer;
use crate::transaction::Unanswered;

/// How many calls phones may have that they begin or hold; one that only makes them ring is none. A call beyond it gets 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls of all lines together.
    pub calls: usize,
    /// Calls of one line's phones, so that no line can block the others.
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

/// The user agent that phones register to, over bytes and time.
///
/// Drive it as the crate's front page says: one input, then [`poll`](Self::poll) until `None`. A command for a leg that has
/// ended, or that does not fit its state, does nothing: a message of the phone may have come first.
#[derive(Debug)]
pub struct UserAgent {
    context: LegContext,
    legs: BTreeMap<LegId, Leg>,
    registrar: Registrar,
    verifier: Verifier,
    counters: SipCounters,
    limits: CallLimits,
    /// Numbers to which the limits do not apply.
    unlimited: Vec<String>,
    /// What has changed of the things that are kept across a restart.
    change: Option<RestartChange>,
    /// Streams to close. One input adds one at most.
    closing: VecDeque<Flow>,
}

impl UserAgent {
    /// A user agent for these lines. All randomness (tags, branches, nonces) comes from `seed`.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let verifier = Verifier::new(config, &mut random);
        Self {
            context: LegContext::new(random),
            legs: BTreeMap::new(),
            registrar: Registrar::default(),
            verifier,
            counters: SipCounters::default(),
            limits: CallLimits::default(),
            unlimited: Vec::new(),
            change: None,
            closing: VecDeque::new(),
        }
    }

    /// The same with other limits on calls.
    #[must_use]
    pub fn with_limits(mut self, limits: CallLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with numbers to which the limits do not apply: its caller refuses each call to them at once, with words that a
    /// phone would not get from a limit.
    #[must_use]
    pub fn with_unlimited(mut self, numbers: Vec<String>) -> Self {
        self.unlimited = numbers;
        self
    }

    /// One datagram, or one whole message cut by [`Framer`](crate::Framer).
    pub fn handle_packet(&mut self, flow: Flow, bytes: &[u8], now: Instant) {
        self.receive(flow, bytes, now);
    }

    /// A TCP stream ended: its registrations, subscriptions and calls that are not answered end with it. An established leg stays
    /// without a flow until its phone registers over another one, or sends a request of the call over it. Its caller decides for
    /// how long: [`hang_up`](Self::hang_up) works all the same.
    pub fn handle_flow_closed(&mut self, flow: Flow, now: Instant) {
        for user in self.registrar.close(flow) {
            self.emit_unregistered(user);
        }
        // Before the requests that fail with the stream, so that no leg takes them for the silence of its phone.
        let legs: Vec<LegId> = self.legs.keys().copied().collect();
        for leg in legs {
            self.with_leg(leg, |leg, context| {
                leg.handle_flow_closed(flow, context, now)
            });
        }
        let unanswered = self.context.transactions.handle_flow_closed(flow);
        self.handle_unanswered(unanswered, now);
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

    /// Sends 180 to a calling phone: the called side rings.
    pub fn ring(&mut self, leg: LegId, now: Instant) {
        self.with_leg(leg, |leg, context| leg.ring(context, now));
    }

    /// Accepts a phone's INVITE, or its new offer in an established leg (200).
    pub fn answer(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.with_leg(leg, |leg, context| leg.answer(sdp, context, now));
    }

    /// Refuses an INVITE (which ends the leg), or a new offer (the call continues unchanged). `status` is clamped to 300 to
    /// 699.
    pub fn refuse(&mut self, leg: LegId, status: u16, now: Instant) {
        self.with_leg(leg, |leg, context| leg.refuse(status, context, now));
    }

    /// Refuses an INVITE with words for the phone's display.
    pub fn refuse_with(&mut self, leg: LegId, refusal: Refusal, now: Instant) {
        self.with_leg(leg, |leg, context| match leg {
            Leg::InboundInvite(leg) => leg.refuse_with(refusal, context, now),
            other => other.refuse(refusal.status, context, now),
        });
    }

    /// Asks the phone of an established leg by OPTIONS whether it is still there. `Probed` follows, or `HungUp` if the phone no
    /// longer knows the call. Nothing is added while the phone is being asked.
    pub fn probe(&mut self, leg: LegId, now: Instant) {
        self.with_leg(leg, |leg, context| leg.probe(context, now));
    }

    /// Ends a leg as its state requires: CANCEL (at once or after the first provisional response), BYE (at once, after the ACK,
    /// or over the phone's next stream if that comes within 32 s), or 480. No event of the leg follows.
    pub fn hang_up(&mut self, leg: LegId, reason: HangUp, now: Instant) {
        self.with_leg(leg, |leg, context| leg.hang_up(reason, context, now));
    }

    /// Sends an INVITE with one offer to all phones registered to the line. See [`invite_each`](Self::invite_each).
    ///
    /// # Errors
    /// [`RequestError`] if no INVITE could be sent.
    pub fn invite(
        &mut self,
        user: &User,
        caller: CallerId,
        sdp: Vec<u8>,
        now: Instant,
    ) -> Result<LegId, RequestError> {
        let offer = Offer {
            sdp,
            fallbacks: VecDeque::new(),
        };
        self.invite_each(user, caller, |_| Some(offer.clone()), now)
    }

    /// Sends an INVITE to all phones registered to the line, each with an offer of its own; phones without an offer get none.
    /// The first 2xx is taken, the other INVITEs are cancelled.
    ///
    /// # Errors
    /// [`RequestError`] if no INVITE could be sent.
    pub fn invite_each(
        &mut self,
        user: &User,
        caller: CallerId,
        mut offer: impl FnMut(Flow) -> Option<Offer>,
        now: Instant,
    ) -> Result<LegId, RequestError> {
        if self.count(|leg| leg.phone().is_some()) >= self.limits.calls {
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
        let placed = OutboundInvite::new(id, phones, &caller, &mut self.context, now)
            .ok_or(RequestError::TooManyLegs)?;
        self.add_leg(id, Leg::OutboundInvite(placed));
        Ok(id)
    }

    /// The flow of a leg with one phone: an inbound INVITE, or an established leg.
    pub fn flow(&self, leg: LegId) -> Option<Flow> {
        self.legs.get(&leg).and_then(Leg::flow)
    }

    /// Whether the Allow header of the leg's one phone lists INFO, so that [`Self::send_digit`] reaches it.
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

    /// Makes an offer in an established leg (re-INVITE). `OfferAnswered` or `OfferRefused` follows. On glare (491) the offer is
    /// retried automatically; a newer offer replaces one that is not sent yet.
    pub fn offer(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.with_leg(leg, |leg, context| leg.offer(sdp, context, now));
    }

    /// Sends a key press of the remote party by SIP INFO, for phones that did not negotiate RFC 4733. Nothing is sent to a phone
    /// whose Allow header lacks INFO.
    pub fn send_digit(&mut self, leg: LegId, digit: Digit, now: Instant) {
        self.with_leg(leg, |leg, context| leg.send_digit(digit, context, now));
    }

    /// Reports a transfer that the phone asked for (RFC 3515), by a status: 100 accepts the REFER, 180 means that the target
    /// rings, a final status ends the transfer. If the first status is 300 or more, it refuses the REFER itself.
    pub fn notify_transfer(&mut self, leg: LegId, status: u16, now: Instant) {
        self.with_leg(leg, |leg, context| {
            leg.notify_transfer(status, context, now)
        });
    }

    /// The phones of a line, as targets of requests.
    fn targets(&self, user: &User, now: Instant) -> Result<Vec<RequestTarget>, RequestError> {
        let phones = self.registrar.phones(user).iter();
        let live = phones.filter(|binding| binding.until > now);
        let targets: Vec<RequestTarget> = live
            .map(|binding| RequestTarget::of(user, binding))
            .collect();
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
    pub const fn counters(&self) -> SipCounters {
        self.counters
    }

    /// The one place where a leg changes its state and is removed when it ends.
    fn with_leg(&mut self, id: LegId, step: impl FnOnce(Leg, &mut LegContext) -> Option<Leg>) {
        let Some(leg) = self.legs.remove(&id) else {
            return;
        };
        let before = leg.revision();
        let next = step(leg, &mut self.context);
        if next.as_ref().and_then(Leg::revision) != before {
            self.note_change(RestartChange::Changed);
        }
        match next {
            Some(next) => {
                self.legs.insert(id, next);
            }
            None => self.context.timers.clear_all(id),
        }
        self.add_new_legs();
        self.take_news_of_phones();
    }

    fn add_leg(&mut self, id: LegId, leg: Leg) {
        if leg.revision().is_some() {
            self.note_change(RestartChange::Changed);
        }
        self.legs.insert(id, leg);
    }

    /// Adds the legs that others have created. Messages that wait for a stream are bounded: one more is dropped.
    fn add_new_legs(&mut self) {
        for (id, leg) in std::mem::take(&mut self.context.new_legs) {
            if leg.is_waiting() && self.count(Leg::is_waiting) >= MAX_FINAL_MESSAGES {
                self.context.timers.clear_all(id);
            } else {
                self.add_leg(id, leg);
            }
        }
    }

    fn note_change(&mut self, change: RestartChange) {
        self.change = self.change.max(Some(change));
    }

    fn handle_unanswered(&mut self, unanswered: Vec<Unanswered<LegId>>, now: Instant) {
        for Unanswered { transaction, owner } in unanswered {
            if let Some(leg) = owner {
                self.with_leg(leg, |leg, context| {
                    leg.handle_unanswered(transaction, context, now)
                });
            }
        }
        for target in std::mem::take(&mut self.context.silent_phones) {
            self.check(&target, now);
        }
    }

    fn emit_unregistered(&mut self, user: User) {
        self.note_change(RestartChange::Changed);
        let phones = self.phones(&user);
        self.context.emit(Event::Unregistered { user, phones });
    }
}
