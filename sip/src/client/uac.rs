//! The phone's own requests: REGISTER, INVITE, CANCEL and BYE, and the responses to them (RFC 3261 sections 8.1, 9.1, 13.2,
//! 15.1.1 and 22.2).

use std::time::{Duration, Instant};

use super::{Call, PhoneClient, PhoneEvent, Purpose};
use crate::dialog::{Dialog, RequestHead, via};
use crate::digest::{DigestChallenge, answer};
use crate::leg::unacknowledged::UnacknowledgedOk;
use crate::message::{CSeq, Essentials, Method, Name, Request, Response, Uri};
use crate::timers::{TRANSACTION_TIMEOUT, Timer};
use crate::transaction::{TransactionId, Unanswered, cancel_for};

/// The lifetime of a registration in seconds; refreshed at half of it.
const EXPIRES: u32 = 300;
/// How long the called side may ring after its last provisional response. Longer than any line rings: the line ends a call
/// that is not answered.
const RING_LIMIT: Duration = TRANSACTION_TIMEOUT.saturating_mul(4);

impl PhoneClient {
    /// Registers to the line, and keeps registered.
    pub fn register(&mut self, now: Instant) {
        self.registering.number += 1;
        let own = format!("<{}>", self.line_uri(self.registration.user.as_str()));
        let from = format!("{own};tag={}", self.registering.tag);
        let branch = self.random.branch();
        let head = RequestHead {
            flow: self.flow,
            branch: &branch,
            routes: &[],
            from: from.as_bytes(),
            to: own.as_bytes(),
            call_id: &self.registering.call_id,
            number: self.registering.number,
        };
        let registrar = Uri::sip(None, self.registration.line);
        let mut request = head.request(Method::Register, &registrar);
        request.headers.push(Name::Contact, self.contact());
        request.headers.push(Name::Expires, EXPIRES.to_string());
        self.start_register(request, now);
    }

    /// Calls a number. Only while there is no call.
    pub fn call(&mut self, number: &str, sdp: Vec<u8>, now: Instant) {
        let (tag, call_id) = (self.random.tag(), self.random.call_id());
        let own = self.line_uri(self.registration.user.as_str());
        let target = self.line_uri(number);
        let (from, to) = (format!("<{own}>;tag={tag}"), format!("<{target}>"));
        let branch = self.random.branch();
        let head = RequestHead {
            flow: self.flow,
            branch: &branch,
            routes: &[],
            from: from.as_bytes(),
            to: to.as_bytes(),
            call_id: &call_id,
            number: 1,
        };
        let mut invite = head.request(Method::Invite, &target);
        invite.headers.push(Name::Contact, self.contact());
        invite.headers.push(Name::ContentType, "application/sdp");
        invite.body = sdp;
        self.start_invite(invite, now);
    }

    /// Hangs up, whatever the state of the call: CANCEL, 486 or BYE.
    pub fn hang_up(&mut self, now: Instant) {
        self.call = match std::mem::replace(&mut self.call, Call::None) {
            Call::Answered { dialog, .. } | Call::Established { dialog, .. } => {
                UnacknowledgedOk::stop(Purpose::Call, &mut self.timers);
                self.bye(dialog, now)
            }
            Call::Outgoing {
                invite,
                transaction,
                is_cancelled,
            } => {
                if !is_cancelled {
                    let cancel = cancel_for(&invite);
                    self.transactions.start(cancel, self.flow, None, now);
                }
                Call::Outgoing {
                    invite,
                    transaction,
                    is_cancelled: true,
                }
            }
            Call::Incoming {
                invite,
                transaction,
                dialog,
            } => {
                self.respond_in(&dialog, transaction, &invite, 486, now);
                Call::None
            }
            ended @ (Call::None | Call::Ending(_)) => ended,
        };
    }

    fn bye(&mut self, mut dialog: Dialog, now: Instant) -> Call {
        let bye = dialog.request(Method::Bye, &self.random.branch());
        let started = self
            .transactions
            .start(bye, self.flow, Some(Purpose::Call), now);
        started.map_or(Call::None, Call::Ending)
    }

    pub(super) fn handle_register_response(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        now: Instant,
    ) {
        let pending = &mut self.registering.pending;
        let is_final = response.status >= 200;
        let Some((_, request)) = pending.take_if(|(id, _)| is_final && *id == transaction) else {
            return;
        };
        if response.status < 300 {
            let refresh = now + Duration::from_secs(u64::from(EXPIRES / 2));
            let timer = Timer::RegistrationRefresh;
            self.timers.set(Purpose::Registration, timer, refresh);
            return self.events.push_back(PhoneEvent::Registered);
        }
        match self.authorized(&request, response) {
            Some((request, number)) => {
                self.registering.number = number;
                self.start_register(request, now);
            }
            None => self.refused(Method::Register, response.status),
        }
    }

    /// A response to the INVITE or the BYE of the call.
    pub(super) fn handle_call_response(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        essentials: &Essentials,
        now: Instant,
    ) {
        let status = response.status;
        match &self.call {
            Call::Outgoing {
                transaction: invited,
                ..
            } if *invited == transaction => match status {
                ..200 => {
                    let limit = now + RING_LIMIT;
                    self.timers.set(Purpose::Call, Timer::RingLimit, limit);
                    if matches!(status, 180 | 183) {
                        self.events.push_back(PhoneEvent::RemoteRinging);
                    }
                }
                200..300 => self.establish(response, essentials, now),
                300.. => self.invite_refused(response, now),
            },
            // A 2xx again: our ACK was lost (section 13.2.2.4).
            Call::Established {
                ack: Some((invited, ack)),
                ..
            } if *invited == transaction => self.transactions.send(self.flow, ack.clone()),
            Call::Ending(bye) if *bye == transaction && status >= 200 => {
                self.finish_call(Method::Bye, status);
            }
            _ => {}
        }
    }

    fn establish(&mut self, ok: &Response, essentials: &Essentials, now: Instant) {
        let Call::Outgoing {
            invite,
            transaction,
            is_cancelled,
        } = std::mem::replace(&mut self.call, Call::None)
        else {
            return;
        };
        self.timers.clear(Purpose::Call, Timer::RingLimit);
        let Some(dialog) = Dialog::from_response(&invite, ok, essentials, self.flow) else {
            return self.refused(Method::Invite, 400);
        };
        let ack = dialog.ack(essentials.cseq.number, &self.random.branch());
        let ack = ack.to_bytes();
        self.transactions.send(self.flow, ack.clone());
        self.call = Call::Established {
            dialog,
            ack: Some((transaction, ack)),
        };
        if is_cancelled {
            // The answer crossed our CANCEL.
            self.hang_up(now);
        } else {
            let sdp = ok.body.clone();
            self.events.push_back(PhoneEvent::Answered { sdp });
        }
    }

    fn invite_refused(&mut self, response: &Response, now: Instant) {
        let Call::Outgoing {
            invite,
            is_cancelled,
            ..
        } = &self.call
        else {
            return;
        };
        let invite = (!is_cancelled).then(|| invite.clone());
        self.timers.clear(Purpose::Call, Timer::RingLimit);
        match invite.and_then(|invite| self.authorized(&invite, response)) {
            Some((invite, _)) => self.start_invite(invite, now),
            None => self.finish_call(Method::Invite, response.status),
        }
    }

    pub(super) fn handle_unanswered(&mut self, unanswered: &Unanswered<Purpose>) {
        let id = unanswered.transaction;
        let pending = &mut self.registering.pending;
        match (unanswered.owner, &self.call) {
            (Some(Purpose::Registration), _)
                if pending.take_if(|(pending, _)| *pending == id).is_some() =>
            {
                self.refused(Method::Register, 408);
            }
            (Some(Purpose::Call), Call::Outgoing { transaction, .. }) if *transaction == id => {
                self.finish_call(Method::Invite, 408);
            }
            (Some(Purpose::Call), Call::Ending(bye)) if *bye == id => {
                self.finish_call(Method::Bye, 408);
            }
            _ => {}
        }
    }

    /// The call is over: its INVITE was refused, or its BYE was confirmed or remained without an answer.
    pub(super) fn finish_call(&mut self, method: Method, status: u16) {
        self.call = Call::None;
        match method {
            Method::Bye => self.events.push_back(PhoneEvent::HungUp),
            method => self.refused(method, status),
        }
    }

    fn refused(&mut self, method: Method, status: u16) {
        self.events
            .push_back(PhoneEvent::Refused { method, status });
    }

    fn start_register(&mut self, request: Request, now: Instant) {
        let owner = Some(Purpose::Registration);
        let started = self
            .transactions
            .start(request.clone(), self.flow, owner, now);
        self.registering.pending = started.map(|transaction| (transaction, request));
    }

    fn start_invite(&mut self, invite: Request, now: Instant) {
        let owner = Some(Purpose::Call);
        let started = self
            .transactions
            .start(invite.clone(), self.flow, owner, now);
        if let Some(transaction) = started {
            self.call = Call::Outgoing {
                invite,
                transaction,
                is_cancelled: false,
            };
        }
    }

    /// The same request with credentials, a new branch and the next CSeq number, which comes with it (section 22.2). `None`
    /// if the response is no challenge, or if the request had credentials already.
    fn authorized(&mut self, request: &Request, response: &Response) -> Option<(Request, u32)> {
        if response.status != 401 || request.headers.get(&Name::Authorization).is_some() {
            return None;
        }
        let challenge = response
            .headers
            .all(&Name::WwwAuthenticate)
            .find_map(DigestChallenge::parse)?;
        let mut request = request.clone();
        let cseq = CSeq {
            number: request.headers.cseq()?.number + 1,
            method: request.method.clone(),
        };
        // Each challenge brings a new nonce, which is used once.
        let value = answer(
            &challenge,
            self.registration.user.as_str(),
            &self.registration.password,
            &request.method,
            &request.uri,
            &self.random.tag(),
            1,
        );
        let headers = &mut request.headers;
        headers.replace(Name::Via, via(self.flow, &self.random.branch()));
        headers.replace(Name::CSeq, cseq.to_string());
        headers.replace(Name::Authorization, value);
        Some((request, cseq.number))
    }

    fn contact(&self) -> String {
        let user = self.registration.user.as_str();
        format!("<{}>", Uri::sip(Some(user), self.flow.local))
    }

    fn line_uri(&self, user: &str) -> Uri {
        Uri::sip(Some(user), self.registration.line)
    }
}
