//! A phone's subscription and its NOTIFYs (RFC 6665 section 4.2): message-waiting lamps, busy lamp fields, presence.
//!
//! The SUBSCRIBE is answered once the first state is known. The latest state is kept, because a refresh requires a NOTIFY with
//! it. One NOTIFY is sent at a time; a newer state is sent after its response.

use std::time::{Duration, Instant};

use super::context::{LegContext, dialog_response, write_notify};
use super::{InDialogRequest, Leg, ReceivedResponse};
use crate::dialog::Dialog;
use crate::event::{Body, Event, LegId, Package, SubscriptionId};
use crate::flow::Flow;
use crate::message::{Method, Name, Request, Response};
use crate::timers::{ANSWER_LIMIT, Timer};
use crate::transaction::TransactionId;

/// Subscriptions at once: some thirty busy lamp fields on each of thirty desk phones. One more gets 503.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 1024;
/// Shorter subscriptions are refused with 423, in seconds; 0 fetches the state once.
pub(crate) const MIN_EXPIRES: u32 = 60;
/// Longer subscriptions are shortened to this, in seconds. It is the default too.
const MAX_EXPIRES: u32 = 3600;

#[derive(Debug)]
pub(crate) struct Subscription {
    id: LegId,
    pub(super) dialog: Dialog,
    /// The Event header, as the phone wrote it.
    event: Vec<u8>,
    /// The SUBSCRIBE, until it is answered.
    unanswered: Option<(TransactionId, Request)>,
    expires: u32,
    until: Instant,
    state: Option<Body>,
    /// The NOTIFY without a response.
    pending_notify: Option<TransactionId>,
    /// The state has changed since that NOTIFY.
    has_newer_state: bool,
}

/// The granted lifetime in seconds. `None` if the requested one is too brief.
pub(crate) fn granted_expires(request: &Request) -> Option<u32> {
    let asked = request.headers.expires().unwrap_or(MAX_EXPIRES);
    (asked == 0 || asked >= MIN_EXPIRES).then_some(asked.min(MAX_EXPIRES))
}

impl Subscription {
    pub(crate) fn new(
        id: LegId,
        dialog: Dialog,
        request: Request,
        (transaction, expires): (TransactionId, u32),
        context: &mut LegContext,
        now: Instant,
    ) -> Self {
        context.dialogs.insert(dialog.id.clone(), id);
        context.timers.set(id, Timer::NoAnswer, now + ANSWER_LIMIT);
        let event = request
            .headers
            .get(&Name::Event)
            .unwrap_or_default()
            .to_vec();
        Self {
            id,
            dialog,
            event,
            unanswered: Some((transaction, request)),
            expires,
            until: now,
            state: None,
            pending_notify: None,
            has_newer_state: false,
        }
    }

    /// Whether it is for this package and from the phone on this flow.
    pub(crate) fn is_of(&self, flow: Flow, package: Package) -> bool {
        let name = self.event.split(|byte| *byte == b';').next();
        let is_named = name.is_some_and(|name| {
            name.trim_ascii()
                .eq_ignore_ascii_case(package.as_str().as_bytes())
        });
        is_named && self.dialog.flow == flow
    }

    /// Sets the state and sends it. The first time this answers the SUBSCRIBE.
    pub(crate) fn notify(
        mut self: Box<Self>,
        state: Body,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        self.state = Some(state);
        if let Some((transaction, request)) = self.unanswered.take() {
            context.timers.clear(self.id, Timer::NoAnswer);
            let tag = self.dialog.id.local_tag.clone();
            self.grant((transaction, &request), Some(&tag), context, now);
        }
        if self.expires == 0 {
            return self.end("timeout", context, now);
        }
        self.send_state(context, now);
        Some(Leg::Subscription(self))
    }

    pub(crate) fn refuse(
        self: Box<Self>,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let Some((transaction, request)) = &self.unanswered else {
            return self.end("rejected", context, now);
        };
        context.respond(*transaction, request, status.clamp(300, 699), now);
        context.dialogs.remove(&self.dialog.id);
        None
    }

    /// Ends the subscription from our side, with a reason of RFC 6665 section 4.2.2.
    pub(crate) fn end(
        mut self: Box<Self>,
        reason: &str,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let notify = self.notification(&format!("terminated;reason={reason}"), context);
        context
            .transactions
            .start(notify, self.dialog.flow, None, now);
        context.dialogs.remove(&self.dialog.id);
        None
    }

    pub(crate) fn handle_request(
        mut self: Box<Self>,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let request = incoming.request;
        let is_refresh = request.method == Method::Subscribe && self.unanswered.is_none();
        let expires = granted_expires(request);
        let status = match expires {
            _ if !is_refresh => 405,
            None => 423,
            Some(_) => 200,
        };
        let Some(expires) = expires.filter(|_| status == 200) else {
            incoming.respond(status, context, now);
            return Some(Leg::Subscription(self));
        };
        self.expires = expires;
        self.dialog.retarget(&request.headers);
        self.grant((incoming.transaction, request), None, context, now);
        if expires == 0 {
            self.emit_ended(context);
            return self.end("timeout", context, now);
        }
        self.send_state(context, now);
        Some(Leg::Subscription(self))
    }

    fn grant(
        &mut self,
        (transaction, request): (TransactionId, &Request),
        tag: Option<&str>,
        context: &mut LegContext,
        now: Instant,
    ) {
        let mut response: Response = dialog_response(request, 200, tag, self.dialog.flow);
        response
            .headers
            .push(Name::Expires, self.expires.to_string());
        context.transactions.respond(transaction, &response, now);
        self.until = now + Duration::from_secs(self.expires.into());
        context
            .timers
            .set(self.id, Timer::SubscriptionEnd, self.until);
    }

    fn send_state(&mut self, context: &mut LegContext, now: Instant) {
        if self.pending_notify.is_some() {
            self.has_newer_state = true;
            return;
        }
        let left = self.until.saturating_duration_since(now).as_secs();
        let notify = self.notification(&format!("active;expires={left}"), context);
        self.pending_notify =
            context
                .transactions
                .start(notify, self.dialog.flow, Some(self.id), now);
        self.has_newer_state = false;
    }

    fn notification(&mut self, state: &str, context: &mut LegContext) -> Request {
        let mut notify = context.request(&mut self.dialog, Method::Notify);
        write_notify(&mut notify, self.dialog.flow, self.event.clone(), state);
        if let Some(state) = &self.state {
            let content_type = state.content_type.clone();
            notify.headers.push(Name::ContentType, content_type);
            notify.body.clone_from(&state.bytes);
        }
        notify
    }

    pub(crate) fn handle_response(
        mut self: Box<Self>,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let status = received.response.status;
        if status < 200 || self.pending_notify != Some(received.transaction) {
            return Some(Leg::Subscription(self));
        }
        self.pending_notify = None;
        // RFC 6665 section 4.2.2: a refusal without Retry-After ends the subscription.
        let is_lost = status >= 300 && received.response.headers.get(&Name::RetryAfter).is_none();
        if is_lost {
            return self.lost(context);
        }
        if self.has_newer_state {
            self.send_state(context, now);
        }
        Some(Leg::Subscription(self))
    }

    pub(crate) fn handle_unanswered(
        self: Box<Self>,
        transaction: TransactionId,
        context: &mut LegContext,
    ) -> Option<Leg> {
        if self.pending_notify == Some(transaction) {
            return self.lost(context);
        }
        Some(Leg::Subscription(self))
    }

    pub(crate) fn handle_timer(
        self: Box<Self>,
        timer: Timer,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        self.emit_ended(context);
        if timer == Timer::NoAnswer {
            return self.refuse(480, context, now);
        }
        self.end("timeout", context, now)
    }

    pub(super) fn lost(self: Box<Self>, context: &mut LegContext) -> Option<Leg> {
        self.emit_ended(context);
        context.dialogs.remove(&self.dialog.id);
        None
    }

    fn emit_ended(&self, context: &mut LegContext) {
        context.emit(Event::SubscriptionEnded {
            subscription: SubscriptionId(self.id),
        });
    }
}
