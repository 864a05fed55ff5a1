//! Out-of-dialog requests other than INVITE: texts (MESSAGE, RFC 3428) and subscriptions (SUBSCRIBE and NOTIFY, RFC 6665).
//!
//! Digest authenticates them as it does calls. The caller of the user agent reads and writes the bodies and decides where a
//! text goes.

use std::time::{Instant, SystemTime};

use super::UserAgent;
use super::receive::ReceivedRequest;
use crate::account::User;
use crate::dialog::Dialog;
use crate::event::{
    Body, CallerId, Event, LegId, Package, RequestError, SubscriptionId, TextId, UnsolicitedPolicy,
};
use crate::leg::Leg;
use crate::leg::context::LegContext;
use crate::leg::subscription::{MAX_SUBSCRIPTIONS, MIN_EXPIRES, Subscription, granted_expires};
use crate::leg::target::RequestTarget;
use crate::leg::text::{InboundText, MAX_TEXTS, OutboundText};
use crate::leg::unsolicited::{MAX_UNSOLICITED, UnsolicitedNotify};
use crate::message::{Name, Scheme};

impl UserAgent {
    /// Sends a text to all phones of a line, with the time at which it was written if that is known; that time must be before the
    /// year 9999. `TextAccepted` or `TextRefused` follows.
    ///
    /// # Errors
    /// [`RequestError`] if no MESSAGE could be sent.
    pub fn send_text(
        &mut self,
        user: &User,
        caller: &CallerId,
        (body, sent): (&Body, Option<SystemTime>),
        now: Instant,
    ) -> Result<TextId, RequestError> {
        if self.count(|leg| matches!(leg, Leg::OutboundText(_))) >= MAX_TEXTS {
            return Err(RequestError::TooManyLegs);
        }
        let phones = self.targets(user, now)?;
        let id = self.context.new_leg();
        let text = OutboundText::new(id, &phones, caller, (body, sent), &mut self.context, now);
        self.legs.insert(
            id,
            Leg::OutboundText(text.ok_or(RequestError::TooManyLegs)?),
        );
        Ok(TextId(id))
    }

    /// Responds to a phone's text: 202 accepts it, other statuses refuse it.
    pub fn answer_text(&mut self, text: TextId, status: u16, now: Instant) {
        self.with_leg(text.0, |leg, context| match leg {
            Leg::InboundText(text) => text.answer(status, context, now),
            other => Some(other),
        });
    }

    /// Sends the state to a subscribed phone: once after `Subscribed`, and at each change.
    pub fn notify(&mut self, subscription: SubscriptionId, state: Body, now: Instant) {
        self.with_subscription(subscription, |watch, context| {
            watch.notify(state, context, now)
        });
    }

    /// Refuses a new subscription. No event follows.
    pub fn refuse_subscription(&mut self, subscription: SubscriptionId, status: u16, now: Instant) {
        self.with_subscription(subscription, |watch, context| {
            watch.refuse(status, context, now)
        });
    }

    /// Ends a subscription from our side: the resource is gone. No event follows.
    pub fn end_subscription(&mut self, subscription: SubscriptionId, now: Instant) {
        self.with_subscription(subscription, |watch, context| {
            watch.end("noresource", context, now)
        });
    }

    /// Sends the state to phones of a line that have not subscribed to it: those that `policy` selects, without those that have
    /// refused an unsolicited NOTIFY before (405, 481, 489 or 501).
    pub fn notify_unsolicited(
        &mut self,
        user: &User,
        (package, state): (Package, &Body),
        policy: UnsolicitedPolicy,
        now: Instant,
    ) {
        if self.count(|leg| matches!(leg, Leg::UnsolicitedNotify(_))) >= MAX_UNSOLICITED {
            return;
        }
        let is_watching = |flow| {
            let mut legs = self.legs.values();
            legs.any(|leg| matches!(leg, Leg::Subscription(watch) if watch.is_of(flow, package)))
        };
        let willing = self.registrar.phones(user).iter().filter(|phone| {
            let wants = policy == UnsolicitedPolicy::All || phone.lists(package);
            wants && !phone.refuses_unsolicited && phone.until > now && !is_watching(phone.flow)
        });
        let phones: Vec<_> = willing
            .map(|phone| RequestTarget::of(user, phone))
            .collect();
        let id = self.context.new_leg();
        let word =
            UnsolicitedNotify::new(id, &phones, user, (package, state), &mut self.context, now);
        if let Some(word) = word {
            self.legs.insert(id, Leg::UnsolicitedNotify(word));
        }
    }

    fn with_subscription(
        &mut self,
        subscription: SubscriptionId,
        act: impl FnOnce(Box<Subscription>, &mut LegContext) -> Option<Leg>,
    ) {
        self.with_leg(subscription.0, |leg, context| match leg {
            Leg::Subscription(watch) => act(watch, context),
            other => Some(other),
        });
    }

    /// A MESSAGE outside any dialog.
    pub(super) fn receive_message(&mut self, received: &ReceivedRequest, now: Instant) {
        let Some((user, to)) = self.addressed(received, now) else {
            return;
        };
        let waiting = self.count(|leg| matches!(leg, Leg::InboundText(_)));
        let Some(transaction) = self.open(received, waiting < MAX_TEXTS) else {
            return;
        };
        InboundText::open(
            user,
            to,
            &received.request,
            transaction,
            &mut self.context,
            now,
        );
        self.add_new_legs();
    }

    /// A SUBSCRIBE that begins a subscription.
    pub(super) fn receive_subscribe(&mut self, received: ReceivedRequest, now: Instant) {
        let Some((user, about)) = self.addressed(&received, now) else {
            return;
        };
        let event = received.request.headers.text(&Name::Event);
        let Some(package) = event.and_then(Package::parse) else {
            return self.reply(&received, 489);
        };
        let Some(expires) = granted_expires(&received.request) else {
            return self.reply_with(&received.request, received.reply, 423, |response| {
                response
                    .headers
                    .push(Name::MinExpires, MIN_EXPIRES.to_string());
            });
        };
        let tag = self.context.random.tag();
        let dialog =
            Dialog::from_request(&received.request, &received.essentials, &tag, received.flow);
        let Some(dialog) = dialog else {
            return self.reply(&received, 400);
        };
        let subscriptions = self.count(|leg| matches!(leg, Leg::Subscription(_)));
        let Some(transaction) = self.open(&received, subscriptions < MAX_SUBSCRIPTIONS) else {
            return;
        };
        let id: LegId = self.context.new_leg();
        let terms = (transaction, expires);
        let watch = Subscription::new(id, dialog, received.request, terms, &mut self.context, now);
        self.legs.insert(id, Leg::Subscription(Box::new(watch)));
        self.context.emit(Event::Subscribed {
            subscription: SubscriptionId(id),
            user,
            package,
            about,
        });
    }

    /// The line that the credentials prove, and the user part of the Request-URI. `None` if the request was answered instead.
    fn addressed(&mut self, received: &ReceivedRequest, now: Instant) -> Option<(User, String)> {
        if received.essentials.max_forwards == Some(0) {
            self.reply(received, 483);
            return None;
        }
        if received.uri.scheme() == Scheme::Other {
            self.reply(received, 416);
            return None;
        }
        let user = self.authenticate(received, now)?;
        let Some(about) = received.uri.user() else {
            self.reply(received, 484);
            return None;
        };
        Some((user, about))
    }
}
