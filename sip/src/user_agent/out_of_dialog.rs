//! What phones and lines have to do with each other beside calls: texts (RFC 3428) and subscriptions (RFC 6665).
//!
//! Who may send or watch is settled by digest, as for a call. What is said, to whom it goes on, and what there is to be
//! seen is the caller's.

use std::time::{Instant, SystemTime};

use super::UserAgent;
use super::receive::Arrival;
use crate::account::User;
use crate::dialog::Dialog;
use crate::event::{
    Body, CallerId, Event, LegId, Package, RequestError, SubscriptionId, TextId, UnsolicitedPolicy,
};
use crate::leg::Leg;
use crate::leg::context::Board;
use crate::leg::subscription::{MAX_WATCHES, MIN_EXPIRES, Watch, granted};
use crate::leg::target::Reached;
use crate::leg::text::{MAX_TEXTS, TextIn, TextOut};
use crate::leg::unsolicited::{MAX_UNASKED, Unasked};
use crate::message::{Name, Scheme};

impl UserAgent {
    /// Sends a text to all phones of a line, with the moment at which it was written if that is known; whoever gives one sees to it that
    /// it is before the year 9999. `TextAccepted` or `TextRefused` follows.
    ///
    /// # Errors
    /// [`RequestError`] if it could be sent to nobody.
    pub fn send_text(
        &mut self,
        user: &User,
        caller: &CallerId,
        (body, sent): (&Body, Option<SystemTime>),
        now: Instant,
    ) -> Result<TextId, RequestError> {
        let is_text = |leg: &&Leg| matches!(leg, Leg::TextOut(_));
        if self.legs.values().filter(is_text).count() >= MAX_TEXTS {
            return Err(RequestError::TooManyLegs);
        }
        let phones = self.reach(user, now)?;
        let id = self.board.new_leg();
        let text = TextOut::new(
            id,
            &phones,
            (user, caller),
            (body, sent),
            &mut self.board,
            now,
        );
        self.legs
            .insert(id, Leg::TextOut(text.ok_or(RequestError::TooManyLegs)?));
        Ok(TextId(id))
    }

    /// Answers a phone's text: 202 if it was taken, or a refusal.
    pub fn answer_text(&mut self, text: TextId, status: u16, now: Instant) {
        self.step(text.0, |leg, board| match leg {
            Leg::TextIn(text) => text.answer(status, board, now),
            other => Some(other),
        });
    }

    /// Tells a watching phone how it stands: once after `Subscribed`, and whenever that changes.
    pub fn notify(&mut self, subscription: SubscriptionId, state: Body, now: Instant) {
        self.with_watch(subscription, |watch, board| watch.notify(state, board, now));
    }

    /// Refuses a subscription that was just asked for. It is gone for the caller: no event follows.
    pub fn refuse_subscription(&mut self, subscription: SubscriptionId, status: u16, now: Instant) {
        self.with_watch(subscription, |watch, board| {
            watch.refuse(status, board, now)
        });
    }

    /// Ends a subscription from our side: there is nothing more to see. No event follows.
    pub fn end_subscription(&mut self, subscription: SubscriptionId, now: Instant) {
        self.with_watch(subscription, |watch, board| {
            watch.end("noresource", board, now)
        });
    }

    /// Tells phones of a line how it stands that have not subscribed to that: those that want to hear it, as `policy` says, and
    /// have not refused it before (405, 481, 489 or 501).
    pub fn notify_unsolicited(
        &mut self,
        user: &User,
        (package, state): (Package, &Body),
        policy: UnsolicitedPolicy,
        now: Instant,
    ) {
        let is_word = |leg: &&Leg| matches!(leg, Leg::Unasked(_));
        if self.legs.values().filter(is_word).count() >= MAX_UNASKED {
            return;
        }
        let is_watching = |flow| {
            let mut legs = self.legs.values();
            legs.any(|leg| matches!(leg, Leg::Watch(watch) if watch.is_of(flow, package)))
        };
        let willing = self.registrar.phones(user).iter().filter(|phone| {
            let wants = policy == UnsolicitedPolicy::All || phone.lists(package);
            wants && !phone.is_deaf && phone.until > now && !is_watching(phone.flow)
        });
        let phones: Vec<_> = willing.map(Reached::of).collect();
        let id = self.board.new_leg();
        let word = Unasked::new(id, &phones, user, (package, state), &mut self.board, now);
        if let Some(word) = word {
            self.legs.insert(id, Leg::Unasked(word));
        }
    }

    fn with_watch(
        &mut self,
        subscription: SubscriptionId,
        act: impl FnOnce(Box<Watch>, &mut Board) -> Option<Leg>,
    ) {
        self.step(subscription.0, |leg, board| match leg {
            Leg::Watch(watch) => act(watch, board),
            other => Some(other),
        });
    }

    /// A MESSAGE outside any call.
    pub(super) fn receive_text(&mut self, arrival: &Arrival, now: Instant) {
        let Some((user, to)) = self.addressed(arrival, now) else {
            return;
        };
        let waiting = self
            .legs
            .values()
            .filter(|leg| matches!(leg, Leg::TextIn(_)));
        let has_room = waiting.count() < MAX_TEXTS;
        let Arrival {
            request,
            essentials,
            reply,
            ..
        } = arrival;
        let transactions = &mut self.board.transactions;
        let opened = has_room.then(|| transactions.open(request, essentials, *reply));
        let Some(transaction) = opened.flatten() else {
            return self.overloaded(arrival);
        };
        TextIn::open(user, to, request, transaction, &mut self.board, now);
        self.legs.extend(self.board.newborn.drain(..));
    }

    /// A SUBSCRIBE that begins a subscription.
    pub(super) fn receive_subscribe(&mut self, arrival: Arrival, now: Instant) {
        let Some((user, about)) = self.addressed(&arrival, now) else {
            return;
        };
        let Some(package) = package(&arrival) else {
            return self.reply(&arrival, 489);
        };
        let Some(expires) = granted(&arrival.request) else {
            return self.reply_with(&arrival.request, arrival.reply, 423, |response| {
                response
                    .headers
                    .push(Name::MinExpires, MIN_EXPIRES.to_string());
            });
        };
        let tag = self.board.random.tag();
        let dialog =
            Dialog::from_request(&arrival.request, &arrival.essentials, &tag, arrival.flow);
        let Some(dialog) = dialog else {
            return self.reply(&arrival, 400);
        };
        let watches = self
            .legs
            .values()
            .filter(|leg| matches!(leg, Leg::Watch(_)));
        let has_room = watches.count() < MAX_WATCHES;
        let Arrival {
            request,
            essentials,
            reply,
            ..
        } = &arrival;
        let transactions = &mut self.board.transactions;
        let opened = has_room.then(|| transactions.open(request, essentials, *reply));
        let Some(transaction) = opened.flatten() else {
            return self.overloaded(&arrival);
        };
        let id: LegId = self.board.new_leg();
        let terms = (transaction, expires);
        let watch = Watch::new(id, dialog, arrival.request, terms, &mut self.board, now);
        self.legs.insert(id, Leg::Watch(Box::new(watch)));
        self.board.tell(Event::Subscribed {
            subscription: SubscriptionId(id),
            user,
            package,
            about,
        });
    }

    /// The line that the request proves, and whom it is about; otherwise it was answered.
    fn addressed(&mut self, arrival: &Arrival, now: Instant) -> Option<(User, String)> {
        if arrival.essentials.max_forwards == Some(0) {
            self.reply(arrival, 483);
            return None;
        }
        if arrival.uri.scheme() == Scheme::Other {
            self.reply(arrival, 416);
            return None;
        }
        let user = self.authenticate(arrival, now)?;
        let Some(about) = arrival.uri.user() else {
            self.reply(arrival, 484);
            return None;
        };
        Some((user, about))
    }
}

/// The package of an Event header that we know.
fn package(arrival: &Arrival) -> Option<Package> {
    let event = arrival.request.headers.text(&Name::Event)?;
    let name = event.split(';').next()?.trim();
    Package::ALL
        .into_iter()
        .find(|package| package.as_str().eq_ignore_ascii_case(name))
}
