//! An established leg: a confirmed dialog with one phone, until one side hangs up (RFC 3261 sections 13.3.1.4, 14 and 15).
//!
//! This file handles the phone's requests and the end of the leg. Offers of the phone are in `remote_offer`, ours in
//! `local_offer`, transfers in `referral`, key presses in `digit`, closed streams and dead phones in `liveness`.

use std::time::Instant;

use super::cancelling::ack_and_hang_up;
use super::context::LegContext;
use super::digit::KeyPresses;
use super::line_phone::LinePhone;
use super::local_offer::{PendingRequest, Renegotiation};
use super::outbound_invite::Branch;
use super::provisional::ReliableProvisional;
use super::referral::Referral;
use super::remote_offer::Reoffer;
use super::session_timer::SessionTimer;
use super::target::RequestTarget;
use super::text::InboundText;
use super::unacknowledged::UnacknowledgedOk;
use super::{InDialogRequest, Leg, ReceivedResponse};
use crate::dialog::Dialog;
use crate::event::{Event, HangUp, LegId};
use crate::flow::Flow;
use crate::message::{Essentials, Headers, Method, Name, Request, Response};
use crate::timers::Timer;
use crate::transaction::TransactionId;

/// Our ACK to the phone's last 2xx to an INVITE of ours.
#[derive(Debug)]
pub(super) struct AcceptedInvite {
    pub(super) transaction: TransactionId,
    pub(super) invite: Request,
    pub(super) ack: Vec<u8>,
}

/// What the phone supports, from its Allow header (RFC 3261 section 20.5).
#[derive(Debug)]
pub(super) struct Capabilities {
    /// False unless listed: UPDATE is used to refresh only, and a re-INVITE does the same.
    pub(super) takes_update: bool,
    /// True unless there is an Allow header without it.
    pub(super) takes_info: bool,
    /// INFO is listed.
    pub(super) allows_info: bool,
}

/// What lasts for a moment only has a box of its own.
#[derive(Debug)]
pub(crate) struct Established {
    pub(super) id: LegId,
    pub(super) phone: LinePhone,
    pub(super) dialog: Dialog,
    /// The Call-ID is ours, which decides who waits longer after glare.
    pub(super) owns_call_id: bool,
    pub(super) capabilities: Capabilities,
    pub(super) accepted: Option<Box<AcceptedInvite>>,
    pub(super) unacknowledged: Option<Box<UnacknowledgedOk>>,
    reliable: Option<ReliableProvisional>,
    pub(super) remote_offer: Option<Box<Reoffer>>,
    /// Our latest SDP.
    pub(super) local_sdp: Vec<u8>,
    pub(super) pending: Option<Box<PendingRequest>>,
    pub(super) queued: Option<Renegotiation>,
    pub(super) session: Option<SessionTimer>,
    pub(super) referral: Option<Box<Referral>>,
    pub(super) has_referred: bool,
    /// The caller of the user agent has hung up, and the BYE waits for the ACK (section 15).
    pub(super) closing: Option<HangUp>,
    /// The phone has sent or received an ACK.
    pub(super) is_confirmed: bool,
    /// The OPTIONS that asks whether the phone is still there.
    pub(super) probe: Option<TransactionId>,
    pub(super) keys: KeyPresses,
}

impl Established {
    fn new((id, phone): (LegId, LinePhone), dialog: Dialog, owns_call_id: bool) -> Self {
        Self {
            id,
            phone,
            dialog,
            owns_call_id,
            capabilities: Capabilities {
                takes_update: false,
                takes_info: true,
                allows_info: false,
            },
            accepted: None,
            unacknowledged: None,
            reliable: None,
            remote_offer: None,
            local_sdp: Vec::new(),
            pending: None,
            queued: None,
            session: None,
            referral: None,
            has_referred: false,
            closing: None,
            is_confirmed: owns_call_id,
            probe: None,
            keys: KeyPresses::default(),
        }
    }

    /// A leg of a phone's INVITE that we accept.
    pub(crate) fn answered(
        parties: (LegId, LinePhone),
        dialog: Dialog,
        ok: UnacknowledgedOk,
        context: &mut LegContext,
        now: Instant,
    ) -> Self {
        let mut established = Self::new(parties, dialog, false);
        established.local_sdp.clone_from(&ok.response.body);
        let ok = ok.start(
            established.id,
            &mut context.transactions,
            &mut context.timers,
            now,
        );
        established.unacknowledged = Some(Box::new(ok));
        established
    }

    /// A leg of our INVITE that a phone accepted by a 2xx.
    pub(crate) fn accepted(
        id: LegId,
        dialog: Dialog,
        (branch, ok): (Branch, &Response),
        context: &mut LegContext,
        now: Instant,
    ) -> Self {
        let mut established = Self::new((id, branch.target.phone), dialog, true);
        let number = branch.invite.headers.cseq().map_or(0, |cseq| cseq.number);
        let ack = context.ack(&established.dialog, number);
        context
            .dialogs
            .insert(established.dialog.id.clone(), established.id);
        established.local_sdp.clone_from(&branch.invite.body);
        established.accepted = Some(Box::new(AcceptedInvite {
            transaction: branch.transaction,
            invite: branch.invite,
            ack,
        }));
        established.learn(&ok.headers);
        established.set_session(SessionTimer::granted(ok), context, now);
        established
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Reads the phone's Allow header from its INVITE or 2xx.
    pub(super) fn learn(&mut self, headers: &Headers) {
        if headers.get(&Name::Allow).is_some() {
            let allows_info = headers.lists(&Name::Allow, "INFO");
            self.capabilities = Capabilities {
                takes_update: headers.lists(&Name::Allow, "UPDATE"),
                takes_info: allows_info,
                allows_info,
            };
        }
    }

    pub(crate) const fn allows_info(&self) -> bool {
        self.capabilities.allows_info
    }

    pub(crate) const fn phone(&self) -> &LinePhone {
        &self.phone
    }

    /// Keeps our 180, whose PRACK may still arrive.
    pub(super) fn keep_provisional(&mut self, reliable: Option<ReliableProvisional>) {
        self.reliable = reliable;
    }

    pub(super) fn set_session(
        &mut self,
        session: Option<SessionTimer>,
        context: &mut LegContext,
        now: Instant,
    ) {
        self.session = session;
        SessionTimer::arm(session, self.id, context, now);
    }

    /// Whether an offer of the phone has no answer yet, or our answer no ACK.
    pub(super) const fn has_open_offer(&self) -> bool {
        self.remote_offer.is_some() || self.unacknowledged.is_some()
    }

    pub(crate) fn handle_request(
        mut self: Box<Self>,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        match incoming.request.method {
            Method::Bye => {
                incoming.respond(200, context, now);
                return self.end_by_phone(context, now);
            }
            Method::Invite => self.handle_offer(incoming, context, now),
            Method::Update if !incoming.request.body.is_empty() => {
                self.handle_offer(incoming, context, now)
            }
            Method::Update => self.refresh(incoming, context, now),
            Method::Options => incoming.respond(200, context, now),
            Method::Info => {
                let status = self.handle_info(incoming.request, context);
                incoming.respond(status, context, now);
            }
            Method::Refer => self.refer(incoming, context, now),
            Method::Subscribe => self.resubscribe(incoming, context, now),
            Method::Message => {
                let to = self.dialog.local_user().unwrap_or_default();
                InboundText::open(
                    self.phone.user.clone(),
                    to,
                    incoming.request,
                    incoming.transaction,
                    context,
                    now,
                );
            }
            Method::Prack => {
                let pending = self.reliable.as_mut();
                ReliableProvisional::handle_prack(pending, incoming, self.id, context, now);
            }
            // RFC 6665 section 4.1.3: we have no subscription.
            Method::Notify => incoming.respond(481, context, now),
            Method::Other(_) => incoming.respond(501, context, now),
            _ => incoming.respond(405, context, now),
        }
        Some(Leg::Established(self))
    }

    pub(crate) fn handle_ack(
        mut self: Box<Self>,
        (request, essentials): (&Request, &Essentials),
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let number = essentials.cseq.number;
        let Some(unacknowledged) = self
            .unacknowledged
            .take_if(|waiting| waiting.number == number)
        else {
            return Some(Leg::Established(self));
        };
        UnacknowledgedOk::stop(self.id, &mut context.timers);
        context
            .transactions
            .confirm(unacknowledged.transaction, now);
        self.is_confirmed = true;
        self.dialog.move_to(flow);
        if let Some(reason) = self.closing {
            context.bye(&mut self.dialog, &self.phone, reason, now);
            return self.close(context, now);
        }
        if unacknowledged.is_awaited {
            context.emit(Event::Confirmed {
                leg: self.id,
                sdp: request.body.clone(),
            });
        }
        self.send_queued(context, now);
        Some(Leg::Established(self))
    }

    /// A response to our pending request, or a retransmitted 2xx to our INVITE, whose ACK was lost. A 2xx with another tag comes
    /// from a second phone behind the same Contact and is unwanted.
    pub(crate) fn handle_response(
        self: Box<Self>,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if self.is_pending(received.transaction) {
            return self.handle_own_response(received, context, now);
        }
        if matches!(
            received.essentials.cseq.method,
            Method::Options | Method::Info
        ) {
            return self.handle_liveness(received, context, now);
        }
        let is_2xx = (200..300).contains(&received.response.status);
        if let Some(accepted) = self
            .accepted
            .as_ref()
            .filter(|each| is_2xx && each.transaction == received.transaction)
        {
            if received.essentials.to.tag().unwrap_or_default() == self.dialog.id.remote_tag {
                context
                    .transactions
                    .send(self.dialog.flow, accepted.ack.clone());
            } else {
                let invite = (&accepted.invite, 0);
                let target = RequestTarget {
                    phone: self.phone.clone(),
                    flow: self.dialog.flow,
                };
                let ok = (received.response, received.essentials);
                ack_and_hang_up(invite, ok, &target, context, now);
            }
        }
        Some(Leg::Established(self))
    }

    pub(crate) fn handle_timer(
        mut self: Box<Self>,
        timer: Timer,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        match (self.unacknowledged.as_mut(), timer) {
            (Some(unacknowledged), Timer::OkRetransmission) => {
                unacknowledged.repeat(self.id, &mut context.transactions, &mut context.timers, now)
            }
            (Some(_), Timer::NoAck) | (_, Timer::SessionEnd) => {
                return self.lose_phone(context, now);
            }
            (_, Timer::SessionRefresh) => self.refresh_session(context, now),
            (_, Timer::OfferRetry) => self.send_queued(context, now),
            _ => {}
        }
        Some(Leg::Established(self))
    }

    /// The phone does not respond any more. A BYE is sent all the same.
    pub(super) fn lose_phone(
        mut self: Box<Self>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        context.bye(&mut self.dialog, &self.phone, HangUp::Normal, now);
        self.end_by_phone(context, now)
    }

    pub(crate) fn hang_up(
        mut self: Box<Self>,
        reason: HangUp,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if self.unacknowledged.is_some() {
            self.closing = Some(reason);
            return Some(Leg::Established(self));
        }
        context.bye(&mut self.dialog, &self.phone, reason, now);
        self.close(context, now)
    }

    /// Ends the leg because of the phone.
    fn end_by_phone(self: Box<Self>, context: &mut LegContext, now: Instant) -> Option<Leg> {
        self.emit_hung_up(context);
        self.close(context, now)
    }

    /// Emits `HungUp`, unless the caller of the user agent hung up first.
    pub(super) fn emit_hung_up(&self, context: &mut LegContext) {
        if !self.is_closing() {
            context.emit(Event::HungUp { leg: self.id });
        }
    }

    pub(super) fn close(
        mut self: Box<Self>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        self.drop_referral(context, now);
        if let Some(remote_offer) = &self.remote_offer {
            context.respond(remote_offer.transaction, &remote_offer.request, 487, now);
        }
        context.dialogs.remove(&self.dialog.id);
        None
    }
}
