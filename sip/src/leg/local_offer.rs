//! Our offers and refreshes in an established leg: re-INVITE and UPDATE (RFC 3261 section 14, RFC 3311, RFC 4028).
//!
//! One is sent at a time, and none while an offer of the phone is open. On glare both sides get 491, and ours is retried after
//! a random time that is longer if the Call-ID is ours (section 14.1).

use std::time::{Duration, Instant};

use super::context::{ALLOW, LegContext, SUPPORTED};
use super::established::{AcceptedInvite, Established};
use super::session_timer::SessionTimer;
use super::{Leg, ReceivedResponse};
use crate::dialog::own_contact;
use crate::event::Event;
use crate::message::{Method, Name, Request};
use crate::timers::Timer;
use crate::transaction::TransactionId;

/// What our next request in the dialog is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Renegotiation {
    /// To change the media, with this SDP.
    Offer(Vec<u8>),
    /// To refresh the session.
    Refresh,
}

/// A re-INVITE or UPDATE of ours without a final response.
#[derive(Debug)]
pub(super) struct PendingRequest {
    request: Request,
    transaction: TransactionId,
    pub(super) change: Renegotiation,
}

impl PendingRequest {
    /// Whether it carries an offer, so that an offer of the phone means glare.
    pub(super) fn is_offer(&self) -> bool {
        self.request.method == Method::Invite
    }
}

impl Established {
    /// Makes an offer, at once or as soon as no other is open. It replaces one that is not sent yet.
    pub(super) fn offer(
        mut self: Box<Self>,
        sdp: Vec<u8>,
        context: &mut LegContext,
        now: Instant,
    ) -> Leg {
        self.queued = Some(Renegotiation::Offer(sdp));
        self.send_queued(context, now);
        Leg::Established(self)
    }

    /// Our turn to refresh (RFC 4028 section 10). A queued offer refreshes as well.
    pub(super) fn refresh_session(&mut self, context: &mut LegContext, now: Instant) {
        self.queued.get_or_insert(Renegotiation::Refresh);
        self.send_queued(context, now);
    }

    /// Sends the queued request, if no offer is open in either direction.
    pub(super) fn send_queued(&mut self, context: &mut LegContext, now: Instant) {
        if self.is_closing() || self.pending.is_some() || self.has_open_offer() {
            return;
        }
        // Without a connection the request waits for the phone's next one.
        let Some(flow) = self.dialog.open_flow() else {
            return;
        };
        let Some(change) = self.queued.take() else {
            return;
        };
        context.timers.clear(self.id, Timer::OfferRetry);
        let by_update = change == Renegotiation::Refresh && self.capabilities.takes_update;
        let method = if by_update {
            Method::Update
        } else {
            Method::Invite
        };
        let mut request = context.request(&mut self.dialog, method);
        let headers = &mut request.headers;
        headers.push(Name::Contact, own_contact(flow, &request.uri));
        headers.push(Name::Allow, ALLOW);
        headers.push(Name::Supported, SUPPORTED);
        if let Some(session) = self.session {
            session.write_request(&mut request);
        }
        if !by_update {
            let sdp = match &change {
                Renegotiation::Offer(sdp) => sdp,
                Renegotiation::Refresh => &self.local_sdp,
            };
            request.headers.push(Name::ContentType, "application/sdp");
            request.body.clone_from(sdp);
        }
        let started = context
            .transactions
            .start(request.clone(), flow, Some(self.id), now);
        // If the table is full, the request is retried like one that met glare.
        match started {
            Some(transaction) => {
                self.pending = Some(Box::new(PendingRequest {
                    request,
                    transaction,
                    change,
                }))
            }
            None => self.retry_later(change, context, now),
        }
    }

    /// Section 14.1: 2.1 to 4 s if the Call-ID is ours, up to 2 s if it is the phone's, in steps of 10 ms.
    fn retry_later(&mut self, change: Renegotiation, context: &mut LegContext, now: Instant) {
        let (least, most) = if self.owns_call_id {
            (210, 400)
        } else {
            (0, 200)
        };
        let wait = Duration::from_millis(10 * context.random.between(least, most));
        self.queued.get_or_insert(change);
        context.timers.set(self.id, Timer::OfferRetry, now + wait);
    }

    /// A response to our pending request.
    pub(super) fn handle_own_response(
        mut self: Box<Self>,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let status = received.response.status;
        if status < 200 {
            return Some(Leg::Established(self));
        }
        let Some(pending) = self.pending.take() else {
            return Some(Leg::Established(self));
        };
        match status {
            200..300 => self.own_offer_accepted(*pending, received, context, now),
            408 | 481 => return self.lose_phone(context, now),
            491 => self.retry_later(pending.change, context, now),
            422 => match self
                .session
                .and_then(|session| session.lengthened(received.response))
            {
                Some(longer) => {
                    self.session = Some(longer);
                    self.queued.get_or_insert(pending.change);
                }
                None => self.own_offer_refused(&pending, status, context),
            },
            405 | 501 if pending.request.method == Method::Update => {
                self.capabilities.takes_update = false;
                self.queued.get_or_insert(pending.change);
            }
            _ => self.own_offer_refused(&pending, status, context),
        }
        if !context.timers.is_set(self.id, Timer::OfferRetry) {
            self.send_queued(context, now);
        }
        Some(Leg::Established(self))
    }

    /// A refused refresh is not reported: the session ends by its own timer.
    fn own_offer_refused(
        &mut self,
        pending: &PendingRequest,
        status: u16,
        context: &mut LegContext,
    ) {
        if matches!(pending.change, Renegotiation::Offer(_)) {
            context.emit(Event::OfferRefused {
                leg: self.id,
                status,
            });
        }
    }

    fn own_offer_accepted(
        &mut self,
        pending: PendingRequest,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) {
        let response = received.response;
        self.dialog.retarget(&response.headers);
        self.session = SessionTimer::granted(response);
        SessionTimer::arm(self.session, self.id, context, now);
        if pending.request.method != Method::Invite {
            return;
        }
        let ack = context.ack(&self.dialog, received.essentials.cseq.number);
        self.local_sdp.clone_from(&pending.request.body);
        self.accepted = Some(Box::new(AcceptedInvite {
            transaction: pending.transaction,
            invite: pending.request,
            ack,
        }));
        context.emit(Event::OfferAnswered {
            leg: self.id,
            sdp: response.body.clone(),
        });
    }

    /// A request of ours got no final response. If it was the pending one, the leg ends (section 14.1).
    pub(super) fn handle_unanswered(
        self: Box<Self>,
        transaction: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if self.is_pending(transaction) {
            return self.lose_phone(context, now);
        }
        Some(self.probe_unanswered(transaction, context))
    }

    pub(super) fn is_pending(&self, transaction: TransactionId) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.transaction == transaction)
    }
}
