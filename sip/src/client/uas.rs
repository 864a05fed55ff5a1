//! The phone's responses to requests of its line (RFC 3261 sections 8.2, 9.2, 13.3 and 15.1.2).

use std::time::Instant;

use super::{Call, PhoneClient, PhoneEvent, Purpose};
use crate::dialog::{Dialog, DialogId, with_tag};
use crate::leg::unacknowledged::UnacknowledgedOk;
use crate::message::{Essentials, Method, Name, Request, Response, Uri};
use crate::timers::T1;
use crate::transaction::{Absorbed, TransactionId};

impl PhoneClient {
    /// Tells the caller that the phone rings.
    pub fn ring(&mut self, now: Instant) {
        if let Call::Incoming {
            invite,
            transaction,
            dialog,
        } = &self.call
        {
            let ringing = self.response(invite, 180, &dialog.id.local_tag);
            self.transactions.respond(*transaction, &ringing, now);
        }
    }

    /// Accepts the call that rings.
    pub fn answer(&mut self, sdp: Vec<u8>, now: Instant) {
        let (invite, transaction, dialog) = match std::mem::replace(&mut self.call, Call::None) {
            Call::Incoming {
                invite,
                transaction,
                dialog,
            } => (invite, transaction, dialog),
            other => {
                self.call = other;
                return;
            }
        };
        let mut response = self.response(&invite, 200, &dialog.id.local_tag);
        response.headers.push(Name::ContentType, "application/sdp");
        response.body = sdp;
        let ok = UnacknowledgedOk {
            transaction,
            response,
            number: invite.headers.cseq().map_or(0, |cseq| cseq.number),
            is_awaited: true,
            pause: T1,
        };
        let (transactions, timers) = (&mut self.transactions, &mut self.timers);
        let ok = ok.start(Purpose::Call, transactions, timers, now);
        self.call = Call::Answered { dialog, ok };
    }

    pub(super) fn handle_request(
        &mut self,
        request: Request,
        essentials: &Essentials,
        now: Instant,
    ) {
        if self.transactions.absorb(&request, essentials, now) == Absorbed::Yes {
            return;
        }
        if request.method == Method::Ack {
            return self.handle_ack(essentials, now);
        }
        let Some(transaction) = self.transactions.open(&request, essentials, self.flow) else {
            return;
        };
        match &request.method {
            Method::Invite => self.handle_invite(request, essentials, transaction, now),
            Method::Cancel => self.handle_cancel(&request, essentials, transaction, now),
            Method::Bye => self.handle_bye(&request, essentials, transaction, now),
            Method::Options => self.respond(transaction, &request, 200, now),
            _ => self.respond(transaction, &request, 501, now),
        }
    }

    fn handle_invite(
        &mut self,
        invite: Request,
        essentials: &Essentials,
        transaction: TransactionId,
        now: Instant,
    ) {
        match &self.call {
            Call::None => {
                let tag = self.random.tag();
                let Some(dialog) = Dialog::from_request(&invite, essentials, &tag, self.flow)
                else {
                    return self.respond(transaction, &invite, 400, now);
                };
                let from = essentials.from.uri.user().unwrap_or_default();
                let sdp = invite.body.clone();
                self.call = Call::Incoming {
                    invite,
                    transaction,
                    dialog,
                };
                self.events.push_back(PhoneEvent::Incoming { from, sdp });
            }
            // The phone can not change its media.
            Call::Established { dialog, .. } if is_in(dialog, essentials) => {
                self.respond(transaction, &invite, 488, now);
            }
            _ => self.respond(transaction, &invite, 486, now),
        }
    }

    fn handle_ack(&mut self, essentials: &Essentials, now: Instant) {
        self.call = match std::mem::replace(&mut self.call, Call::None) {
            Call::Answered { dialog, ok }
                if is_in(&dialog, essentials) && ok.number == essentials.cseq.number =>
            {
                UnacknowledgedOk::stop(Purpose::Call, &mut self.timers);
                self.transactions.confirm(ok.transaction, now);
                self.events.push_back(PhoneEvent::Confirmed);
                Call::Established { dialog, ack: None }
            }
            other => other,
        };
    }

    fn handle_cancel(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        transaction: TransactionId,
        now: Instant,
    ) {
        let meant = self.transactions.cancelled(essentials);
        self.call = match std::mem::replace(&mut self.call, Call::None) {
            Call::Incoming {
                invite,
                transaction: invited,
                dialog,
            } if meant == Some(invited) => {
                self.respond(transaction, request, 200, now);
                self.respond_in(&dialog, invited, &invite, 487, now);
                self.events.push_back(PhoneEvent::Cancelled);
                Call::None
            }
            other => {
                self.respond(transaction, request, 481, now);
                other
            }
        };
    }

    fn handle_bye(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        transaction: TransactionId,
        now: Instant,
    ) {
        let (Call::Established { dialog, .. } | Call::Answered { dialog, .. }) = &self.call else {
            return self.respond(transaction, request, 481, now);
        };
        if !is_in(dialog, essentials) {
            return self.respond(transaction, request, 481, now);
        }
        self.respond(transaction, request, 200, now);
        UnacknowledgedOk::stop(Purpose::Call, &mut self.timers);
        self.call = Call::None;
        self.events.push_back(PhoneEvent::HungUp);
    }

    /// Responds with a tag that begins no dialog.
    fn respond(
        &mut self,
        transaction: TransactionId,
        request: &Request,
        status: u16,
        now: Instant,
    ) {
        let tag = self.random.tag();
        let response = self.response(request, status, &tag);
        self.transactions.respond(transaction, &response, now);
    }

    /// Responds with the tag of a dialog that has begun.
    pub(super) fn respond_in(
        &mut self,
        dialog: &Dialog,
        transaction: TransactionId,
        request: &Request,
        status: u16,
        now: Instant,
    ) {
        let response = self.response(request, status, &dialog.id.local_tag);
        self.transactions.respond(transaction, &response, now);
    }

    fn response(&self, request: &Request, status: u16, tag: &str) -> Response {
        let mut response = Response::to(request, status);
        let untagged = request.headers.to().is_some_and(|to| to.tag().is_none());
        if let Some(to) = request.headers.get(&Name::To).filter(|_| untagged) {
            response.headers.replace(Name::To, with_tag(to, tag));
        }
        let contact = format!("<{}>", Uri::sip(None, self.flow.local));
        response.headers.push(Name::Contact, contact);
        response
    }
}

/// Whether a request is in this dialog (section 12.2.2).
fn is_in(dialog: &Dialog, essentials: &Essentials) -> bool {
    DialogId::of_request(essentials).as_ref() == Some(&dialog.id)
}
