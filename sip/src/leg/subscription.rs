//! A phone's subscription, and what it is told (RFC 6665 section 4.2): lamps, busy keys, presence.
//!
//! The SUBSCRIBE is answered when the first state is there. The last state is kept, since a refresh has to be answered
//! with it. One NOTIFY at a time; a newer state waits for its turn and replaces one that waits already.

use std::time::{Duration, Instant};

use super::context::{Board, dialog_response};
use super::{Answer, Asked, Leg};
use crate::dialog::{Dialog, own_contact};
use crate::event::{Body, Event, LegId, Package, SubscriptionId};
use crate::flow::Flow;
use crate::message::{Method, Name, Request, Response};
use crate::timers::{ANSWER_LIMIT, Timer};
use crate::transaction::TransactionId;

/// Subscriptions at once: some thirty busy keys on each of thirty desk phones. One more is answered 503.
pub(crate) const MAX_WATCHES: usize = 1024;
/// Shorter subscriptions are refused with 423, in seconds; 0 asks once.
pub(crate) const MIN_EXPIRES: u32 = 60;
/// Longer ones are shortened to this, in seconds, which is also for who does not say.
const MAX_EXPIRES: u32 = 3600;

#[derive(Debug)]
pub(crate) struct Watch {
    id: LegId,
    dialog: Dialog,
    /// The Event header, as the phone wrote it.
    event: Vec<u8>,
    /// The SUBSCRIBE, until it is answered.
    asked: Option<(TransactionId, Request)>,
    expires: u32,
    until: Instant,
    state: Option<Body>,
    /// The NOTIFY that is on its way.
    telling: Option<TransactionId>,
    /// The state has changed since.
    is_behind: bool,
}

/// How long a subscription shall last, in seconds. `None` for one that is too brief.
pub(crate) fn granted(request: &Request) -> Option<u32> {
    let asked = request.headers.expires().unwrap_or(MAX_EXPIRES);
    (asked == 0 || asked >= MIN_EXPIRES).then_some(asked.min(MAX_EXPIRES))
}

impl Watch {
    pub(crate) fn new(
        id: LegId,
        dialog: Dialog,
        request: Request,
        (transaction, expires): (TransactionId, u32),
        board: &mut Board,
        now: Instant,
    ) -> Self {
        board.dialogs.insert(dialog.id.clone(), id);
        board.timers.set(id, Timer::NoAnswer, now + ANSWER_LIMIT);
        let event = request
            .headers
            .get(&Name::Event)
            .unwrap_or_default()
            .to_vec();
        Self {
            id,
            dialog,
            event,
            asked: Some((transaction, request)),
            expires,
            until: now,
            state: None,
            telling: None,
            is_behind: false,
        }
    }

    /// Whether it is of this package, and of the phone behind this flow.
    pub(crate) fn is_of(&self, flow: Flow, package: Package) -> bool {
        let name = self.event.split(|byte| *byte == b';').next();
        let is_named = name.is_some_and(|name| {
            name.trim_ascii()
                .eq_ignore_ascii_case(package.as_str().as_bytes())
        });
        is_named && self.dialog.flow == flow
    }

    /// How it stands now. The first time this answers the SUBSCRIBE.
    pub(crate) fn notify(
        mut self: Box<Self>,
        state: Body,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        self.state = Some(state);
        if let Some((transaction, request)) = self.asked.take() {
            board.timers.clear(self.id, Timer::NoAnswer);
            let tag = self.dialog.id.local_tag.clone();
            self.grant((transaction, &request), Some(&tag), board, now);
        }
        if self.expires == 0 {
            return self.end("timeout", board, now);
        }
        self.tell(board, now);
        Some(Leg::Watch(self))
    }

    pub(crate) fn refuse(
        self: Box<Self>,
        status: u16,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let Some((transaction, request)) = &self.asked else {
            return self.end("rejected", board, now);
        };
        board.respond(*transaction, request, status.clamp(300, 699), now);
        board.dialogs.remove(&self.dialog.id);
        None
    }

    /// Ends it from our side, with a reason of RFC 6665 section 4.2.2.
    pub(crate) fn end(
        mut self: Box<Self>,
        reason: &str,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let notify = self.notification(&format!("terminated;reason={reason}"), board);
        board
            .transactions
            .start(notify, self.dialog.flow, None, now);
        board.dialogs.remove(&self.dialog.id);
        None
    }

    pub(crate) fn handle_request(
        mut self: Box<Self>,
        asked: &Asked<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let request = asked.request;
        let is_refresh = request.method == Method::Subscribe && self.asked.is_none();
        let expires = granted(request);
        let status = match expires {
            _ if !self.dialog.advance(asked.essentials, asked.flow) => 500,
            _ if !is_refresh => 405,
            None => 423,
            Some(_) => 200,
        };
        let Some(expires) = expires.filter(|_| status == 200) else {
            board.respond(asked.transaction, request, status, now);
            return Some(Leg::Watch(self));
        };
        self.expires = expires;
        self.dialog.retarget(&request.headers);
        self.grant((asked.transaction, request), None, board, now);
        if expires == 0 {
            board.tell(Event::SubscriptionEnded {
                subscription: SubscriptionId(self.id),
            });
            return self.end("timeout", board, now);
        }
        self.tell(board, now);
        Some(Leg::Watch(self))
    }

    fn grant(
        &mut self,
        (transaction, request): (TransactionId, &Request),
        tag: Option<&str>,
        board: &mut Board,
        now: Instant,
    ) {
        let mut response: Response = dialog_response(request, 200, tag, self.dialog.flow);
        response
            .headers
            .push(Name::Expires, self.expires.to_string());
        board.transactions.respond(transaction, &response, now);
        self.until = now + Duration::from_secs(self.expires.into());
        board
            .timers
            .set(self.id, Timer::SubscriptionEnd, self.until);
    }

    fn tell(&mut self, board: &mut Board, now: Instant) {
        if self.telling.is_some() {
            self.is_behind = true;
            return;
        }
        let left = self.until.saturating_duration_since(now).as_secs();
        let notify = self.notification(&format!("active;expires={left}"), board);
        self.telling = board
            .transactions
            .start(notify, self.dialog.flow, Some(self.id), now);
        self.is_behind = false;
    }

    fn notification(&mut self, state: &str, board: &mut Board) -> Request {
        let branch = board.random.branch();
        let mut notify = self.dialog.request(Method::Notify, &branch);
        let headers = &mut notify.headers;
        headers.push(Name::Contact, own_contact(self.dialog.flow, &notify.uri));
        headers.push(Name::Event, self.event.clone());
        headers.push(Name::SubscriptionState, state);
        if let Some(state) = &self.state {
            headers.push(Name::ContentType, state.content_type.clone());
            notify.body.clone_from(&state.bytes);
        }
        notify
    }

    pub(crate) fn handle_response(
        mut self: Box<Self>,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let status = answer.response.status;
        if status < 200 || self.telling != Some(answer.transaction) {
            return Some(Leg::Watch(self));
        }
        self.telling = None;
        // RFC 6665 section 4.2.2: a refusal ends it, unless it says when to try again.
        let is_lost = status >= 300 && answer.response.headers.get(&Name::RetryAfter).is_none();
        if is_lost {
            return self.lose(board);
        }
        if self.is_behind {
            self.tell(board, now);
        }
        Some(Leg::Watch(self))
    }

    pub(crate) fn hear_nothing(
        self: Box<Self>,
        transaction: TransactionId,
        board: &mut Board,
    ) -> Option<Leg> {
        if self.telling == Some(transaction) {
            return self.lose(board);
        }
        Some(Leg::Watch(self))
    }

    pub(crate) fn handle_timer(
        self: Box<Self>,
        timer: Timer,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        board.tell(Event::SubscriptionEnded {
            subscription: SubscriptionId(self.id),
        });
        if timer == Timer::NoAnswer {
            return self.refuse(480, board, now);
        }
        self.end("timeout", board, now)
    }

    pub(crate) fn handle_flow_closed(
        self: Box<Self>,
        flow: Flow,
        board: &mut Board,
    ) -> Option<Leg> {
        if self.dialog.flow != flow {
            return Some(Leg::Watch(self));
        }
        self.lose(board)
    }

    fn lose(self: Box<Self>, board: &mut Board) -> Option<Leg> {
        board.tell(Event::SubscriptionEnded {
            subscription: SubscriptionId(self.id),
        });
        board.dialogs.remove(&self.dialog.id);
        None
    }
}
