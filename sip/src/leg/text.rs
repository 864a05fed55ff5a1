//! Texts: a phone's MESSAGE to us, and ours to all phones of a line (RFC 3428).
//!
//! The caller of the user agent answers a phone's text; without an answer in time the phone gets 480.

use std::time::{Instant, SystemTime};

use httpdate::fmt_http_date;

use super::Leg;
use super::context::LegContext;
use super::outbound_invite::rank;
use super::target::RequestTarget;
use crate::account::User;
use crate::event::{Body, CallerId, Event, LegId, TextId};
use crate::message::{Method, Name, Request};
use crate::timers::{ANSWER_LIMIT, Timer};
use crate::transaction::TransactionId;

/// Phones' texts without a response at once; one more gets 503.
pub(crate) const MAX_TEXTS: usize = 256;

/// A phone's MESSAGE without a response.
#[derive(Debug)]
pub(crate) struct InboundText {
    request: Request,
    transaction: TransactionId,
}

impl InboundText {
    /// Accepts a MESSAGE into a leg and emits its event.
    pub(crate) fn open(
        user: User,
        to: String,
        request: &Request,
        transaction: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) {
        let id = context.new_leg();
        context.timers.set(id, Timer::NoAnswer, now + ANSWER_LIMIT);
        let kind = request
            .headers
            .text(&Name::ContentType)
            .unwrap_or("text/plain");
        context.emit(Event::Text {
            text: TextId(id),
            user,
            to,
            body: Body {
                content_type: kind.to_owned(),
                bytes: request.body.clone(),
            },
        });
        let text = Self {
            request: request.clone(),
            transaction,
        };
        context.new_legs.push((id, Leg::InboundText(text)));
    }

    /// Responds: 202 accepts the text, other statuses refuse it.
    pub(crate) fn answer(self, status: u16, context: &mut LegContext, now: Instant) -> Option<Leg> {
        context.respond(self.transaction, &self.request, status.clamp(200, 699), now);
        None
    }
}

/// Our MESSAGEs to the phones of a line.
#[derive(Debug)]
pub(crate) struct OutboundText {
    id: LegId,
    open: Vec<TransactionId>,
    is_taken: bool,
    /// The best refusal so far.
    status: Option<u16>,
}

impl OutboundText {
    /// Sends the text to all phones. `None` if no MESSAGE could be sent.
    pub(crate) fn new(
        id: LegId,
        phones: &[RequestTarget],
        caller: &CallerId,
        (body, sent): (&Body, Option<SystemTime>),
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let mut open = Vec::new();
        for phone in phones {
            let mut message = phone.request(Method::Message, caller, context);
            message
                .headers
                .push(Name::ContentType, body.content_type.clone());
            if let Some(sent) = sent {
                // RFC 3261 section 20.17: the time of writing, not of delivery.
                message.headers.push(Name::Date, fmt_http_date(sent));
            }
            message.body.clone_from(&body.bytes);
            open.extend(
                context
                    .transactions
                    .start(message, phone.flow, Some(id), now),
            );
        }
        (!open.is_empty()).then_some(Self {
            id,
            open,
            is_taken: false,
            status: None,
        })
    }

    pub(crate) fn handle_final(
        mut self,
        transaction: TransactionId,
        status: u16,
        context: &mut LegContext,
    ) -> Option<Leg> {
        self.open.retain(|each| *each != transaction);
        let text = TextId(self.id);
        if status >= 300 {
            let statuses = self.status.into_iter().chain([status]);
            self.status = statuses.min_by_key(|status| rank(*status));
        } else if !self.is_taken {
            self.is_taken = true;
            context.emit(Event::TextAccepted { text });
        }
        if !self.open.is_empty() {
            return Some(Leg::OutboundText(self));
        }
        if let Some(status) = self.status.filter(|_| !self.is_taken) {
            context.emit(Event::TextRefused { text, status });
        }
        None
    }
}
