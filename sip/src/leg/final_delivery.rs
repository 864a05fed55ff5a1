//! The message that ends a phone's part in a call, until the phone has it: our BYE (RFC 3261 section 15.1.1), and what was written
//! ahead before a restart ([`crate::FinalMessage`]).
//!
//! A request goes through a client transaction; a refusal of an INVITE, whose server transaction is gone, is sent three times over
//! UDP. If the phone's stream is closed, the message waits for the phone's next one, and is dropped if none comes in time.

use std::time::{Duration, Instant};

use super::cancelling::ack_and_hang_up;
use super::context::LegContext;
use super::target::RequestTarget;
use super::{Leg, ReceivedResponse};
use crate::event::LegId;
use crate::flow::Flow;
use crate::message::{Essentials, Message, Method, Request, Response};
use crate::restart::FinalMessage;
use crate::timers::{T1, TRANSACTION_TIMEOUT, Timer};
use crate::transaction::TransactionId;

/// Messages that wait for a stream at once, and messages that are written ahead. More are dropped, calls that are not answered
/// first: each line can have so many calls that none can crowd out the others' (see [`crate::CallLimits`]).
pub(crate) const MAX_FINAL_MESSAGES: usize = 512;
/// How often a refusal is sent over UDP.
const REFUSAL_COPIES: u32 = 3;

/// How far the message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    /// The phone has no connection.
    Waiting,
    /// A request without a final response.
    Sent(TransactionId),
    /// A refusal that is to be sent so many times more.
    Refusing(u32),
    /// A CANCEL with a response. The phone may have accepted the INVITE before.
    Cancelled,
}

#[derive(Debug)]
pub(crate) struct FinalDelivery {
    id: LegId,
    target: RequestTarget,
    message: Message,
    state: DeliveryState,
}

impl FinalDelivery {
    /// Sends the message over the flow of its target.
    pub(crate) fn begin(
        target: RequestTarget,
        message: Message,
        context: &mut LegContext,
        now: Instant,
    ) {
        let delivery = Self::new(target, message, context);
        let id = delivery.id;
        if let Some(leg) = delivery.send(context, now) {
            context.new_legs.push((id, leg));
        }
    }

    /// Keeps the message until the phone has another stream, or for so long.
    pub(crate) fn begin_waiting(
        target: RequestTarget,
        message: Message,
        limit: Duration,
        context: &mut LegContext,
        now: Instant,
    ) {
        let mut delivery = Self::new(target, message, context);
        let id = delivery.id;
        delivery.wait(limit, context, now);
        context
            .new_legs
            .push((id, Leg::FinalDelivery(Box::new(delivery))));
    }

    fn new(target: RequestTarget, message: Message, context: &mut LegContext) -> Self {
        Self {
            id: context.new_leg(),
            target,
            message,
            state: DeliveryState::Waiting,
        }
    }

    fn wait(&mut self, limit: Duration, context: &mut LegContext, now: Instant) {
        self.state = DeliveryState::Waiting;
        context
            .timers
            .set(self.id, Timer::FinalMessageEnd, now + limit);
    }

    fn send(mut self, context: &mut LegContext, now: Instant) -> Option<Leg> {
        let flow = self.target.flow;
        let copies = match &self.message {
            Message::Request(request) => {
                let owner = Some(self.id);
                if let Some(transaction) =
                    context
                        .transactions
                        .start(request.clone(), flow, owner, now)
                {
                    self.state = DeliveryState::Sent(transaction);
                    return Some(Leg::FinalDelivery(Box::new(self)));
                }
                // The table is full: it is sent once.
                1
            }
            Message::Response(_) if flow.transport.is_reliable() => 1,
            Message::Response(_) => REFUSAL_COPIES,
        };
        self.send_copy(copies, context, now)
    }

    fn send_copy(mut self, copies: u32, context: &mut LegContext, now: Instant) -> Option<Leg> {
        let left = copies.saturating_sub(1);
        context
            .transactions
            .send(self.target.flow, self.message.to_bytes());
        if left == 0 {
            return None;
        }
        context
            .timers
            .set(self.id, Timer::FinalMessageRepeat, now + T1);
        self.state = DeliveryState::Refusing(left);
        Some(Leg::FinalDelivery(Box::new(self)))
    }

    /// Whether something is on its way, so that waiting for it is of use.
    pub(crate) const fn is_in_flight(&self) -> bool {
        matches!(
            self.state,
            DeliveryState::Sent(_) | DeliveryState::Refusing(_)
        )
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state == DeliveryState::Waiting
    }

    pub(crate) const fn target(&self) -> &RequestTarget {
        &self.target
    }

    pub(crate) fn handle_response(
        mut self: Box<Self>,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if received.response.status < 200 {
            return Some(Leg::FinalDelivery(self));
        }
        self.cancelled()?;
        self.state = DeliveryState::Cancelled;
        let end = now + TRANSACTION_TIMEOUT;
        context.timers.set(self.id, Timer::FinalMessageEnd, end);
        Some(Leg::FinalDelivery(self))
    }

    /// The request got no response. If that is because its stream was closed, it waits for another one.
    pub(crate) fn handle_unanswered(self: Box<Self>, transaction: TransactionId) -> Option<Leg> {
        let is_over = self.state == DeliveryState::Sent(transaction);
        (!is_over).then_some(Leg::FinalDelivery(self))
    }

    pub(crate) fn handle_timer(
        self: Box<Self>,
        timer: Timer,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        match (self.state, timer) {
            (DeliveryState::Refusing(left), Timer::FinalMessageRepeat) => {
                self.send_copy(left, context, now)
            }
            (DeliveryState::Waiting | DeliveryState::Cancelled, Timer::FinalMessageEnd) => None,
            _ => Some(Leg::FinalDelivery(self)),
        }
    }

    pub(crate) fn handle_flow_closed(
        mut self: Box<Self>,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if self.target.flow == flow && self.is_in_flight() {
            self.wait(TRANSACTION_TIMEOUT, context, now);
        }
        Some(Leg::FinalDelivery(self))
    }

    /// The phone has another flow.
    pub(crate) fn handle_moved(
        mut self: Box<Self>,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if !self.is_waiting() || !flow.transport.is_reliable() {
            return Some(Leg::FinalDelivery(self));
        }
        context.timers.clear(self.id, Timer::FinalMessageEnd);
        self.target.flow = flow;
        self.send(context, now)
    }

    /// The message again, in case that the process dies before the phone has it.
    pub(crate) fn final_message(&self) -> Option<FinalMessage> {
        (!self.is_over()).then(|| FinalMessage::new(&self.target, self.message.to_bytes()))
    }

    /// Whether the phone has responded.
    pub(crate) fn is_over(&self) -> bool {
        self.state == DeliveryState::Cancelled
    }

    /// The CANCEL, if it is one. It names the dialog and the number of its INVITE.
    fn cancelled(&self) -> Option<&Request> {
        match &self.message {
            Message::Request(request) if request.method == Method::Cancel => Some(request),
            _ => None,
        }
    }

    /// Whether this response, which matches no transaction, accepts the INVITE that was cancelled here.
    pub(crate) fn is_late_ok(&self, essentials: &Essentials) -> bool {
        let is_same = |cancel: &Request| {
            cancel.headers.call_id() == Some(&essentials.call_id)
                && cancel.headers.from().and_then(|from| from.tag()) == essentials.from.tag()
        };
        self.cancelled().is_some_and(is_same)
    }

    /// A person picked up while the process was down: the 2xx is acknowledged and its dialog ended.
    pub(crate) fn handle_late_ok(
        self: Box<Self>,
        (response, essentials): (&Response, &Essentials),
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if let Some(cancel) = self.cancelled() {
            let invite = (cancel, essentials.cseq.number);
            ack_and_hang_up(invite, (response, essentials), &self.target, context, now);
        }
        Some(Leg::FinalDelivery(self))
    }
}
