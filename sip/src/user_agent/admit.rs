//! REGISTER (RFC 3261 section 10.3) and INVITEs that begin a call (sections 8.2 and 13.3.1).
//!
//! Both must be authenticated by digest. The challenge is 401, since to the phone this user agent is the end of the call and
//! not a proxy (section 22.2). Unknown users are challenged like known ones.

use std::net::SocketAddr;
use std::time::Instant;

use super::UserAgent;
use super::receive::{DEFAULT_PORT, ReceivedRequest};
use crate::account::User;
use crate::dialog::{Dialog, DialogId, with_tag};
use crate::digest::DigestVerdict;
use crate::event::{Event, LegId, Package};
use crate::leg::Leg;
use crate::leg::inbound_invite::{InboundInvite, ReceivedInvite};
use crate::leg::line_phone::LinePhone;
use crate::leg::session_timer::SessionTimer;
use crate::message::{Headers, Name, Replaces, Response, Scheme, Via, is_sdp};
use crate::registrar::{MIN_EXPIRES, RegisterEffect, RegisterRefusal, RegisterRequest};
use crate::restart::RestartChange;
use crate::transaction::TransactionId;

impl UserAgent {
    /// The line that the credentials of a request prove. `None` if the request was challenged instead.
    pub(super) fn authenticate(
        &mut self,
        received: &ReceivedRequest,
        now: Instant,
    ) -> Option<User> {
        self.prove(received, now).map(|(user, _)| user)
    }

    /// The same with the serial of the nonce.
    fn prove(&mut self, received: &ReceivedRequest, now: Instant) -> Option<(User, u64)> {
        let ReceivedRequest {
            request,
            uri,
            flow,
            reply,
            ..
        } = received;
        let verdict = self.verifier.verify(request, uri, flow.peer.ip(), now);
        let is_stale = verdict == DigestVerdict::Stale;
        match verdict {
            DigestVerdict::Proved(user, nonce) => return Some((user, nonce)),
            DigestVerdict::Wrong => self.counters.wrong_password += 1,
            DigestVerdict::Absent | DigestVerdict::Stale => {}
        }
        self.counters.challenged += 1;
        let challenges = self.verifier.challenge(is_stale, now);
        self.reply_with(request, *reply, 401, |response| {
            for challenge in challenges {
                response.headers.push(Name::WwwAuthenticate, challenge);
            }
        });
        None
    }

    pub(super) fn register(&mut self, received: &ReceivedRequest, now: Instant) {
        let Some((user, nonce)) = self.prove(received, now) else {
            return;
        };
        let ReceivedRequest {
            request,
            essentials,
            flow,
            ..
        } = received;
        if essentials.to.uri.user().as_deref() != Some(user.as_str()) {
            self.reply(received, 403);
            return;
        }
        let Some(transaction) = self.open(received, true) else {
            return;
        };
        let is_new_flow = self.flows(&user).all(|known| known != *flow);
        let number = essentials.cseq.number;
        let who = RegisterRequest {
            user: &user,
            flow: *flow,
            call_id: &essentials.call_id,
            number,
            nonce,
            lists: Package::ALL
                .into_iter()
                .filter(|package| request.headers.lists(&Name::AllowEvents, package.as_str()))
                .collect(),
        };
        let done = self.registrar.register(request, &who, now);
        self.answer_register(received, transaction, &user, done, now);
        if done.is_ok() {
            self.follow_phones(received, &user, is_new_flow, now);
        }
    }

    fn answer_register(
        &mut self,
        received: &ReceivedRequest,
        transaction: TransactionId,
        user: &User,
        done: Result<RegisterEffect, RegisterRefusal>,
        now: Instant,
    ) {
        let response = self.register_response(received, user, done, now);
        self.context
            .transactions
            .respond(transaction, &response, now);
        let phones = self.phones(user);
        match done {
            Ok(RegisterEffect::Joined) => {
                self.note_change(RestartChange::Changed);
                self.context.emit(Event::Registered {
                    user: user.clone(),
                    phones,
                });
            }
            Ok(RegisterEffect::Left) => self.emit_unregistered(user.clone()),
            Ok(RegisterEffect::Refreshed) => self.note_change(RestartChange::Refreshed),
            Err(_) => {}
        }
    }

    /// Section 10.3, step 8: a 200 lists every binding of the line, with the seconds until it expires.
    fn register_response(
        &mut self,
        received: &ReceivedRequest,
        user: &User,
        done: Result<RegisterEffect, RegisterRefusal>,
        now: Instant,
    ) -> Response {
        let status = match done {
            Ok(_) => 200,
            Err(RegisterRefusal::Malformed) => 400,
            Err(RegisterRefusal::Scheme) => 416,
            Err(RegisterRefusal::IntervalTooBrief) => 423,
            Err(RegisterRefusal::OutOfOrder) => 500,
        };
        let mut response = Response::to(&received.request, status);
        let to = received.request.headers.get(&Name::To);
        if let Some(to) = to.filter(|_| received.essentials.to.tag().is_none()) {
            let tag = self.context.random.tag();
            response.headers.replace(Name::To, with_tag(to, &tag));
        }
        if status == 423 {
            response
                .headers
                .push(Name::MinExpires, MIN_EXPIRES.to_string());
        }
        if status == 200 {
            for binding in self.registrar.phones(user) {
                let left = binding.until.saturating_duration_since(now).as_secs();
                response.headers.push(
                    Name::Contact,
                    format!("<{}>;expires={left}", binding.contact),
                );
            }
        }
        response
    }

    /// An INVITE outside any dialog.
    pub(super) fn receive_invite(&mut self, received: ReceivedRequest, now: Instant) {
        if let Some(status) = refusal_for_form(&received) {
            self.counters.rejected += 1;
            self.reply(&received, status);
            return;
        }
        let Some(user) = self.authenticate(&received, now) else {
            return;
        };
        let Some(dialled) = received.uri.user() else {
            self.reply(&received, 484);
            return;
        };
        let tag = self.context.random.tag();
        let Some(dialog) =
            Dialog::from_request(&received.request, &received.essentials, &tag, received.flow)
        else {
            self.counters.rejected += 1;
            self.reply(&received, 400);
            return;
        };
        let phone = self.calling_phone(user, &received);
        if self.is_merged(&received, &dialog) {
            self.reply(&received, 482);
            return;
        }
        match self.replaced(&received) {
            Ok(replaces) => self.begin_call(received, (phone, dialled, replaces), dialog, now),
            Err(status) => self.reply(&received, status),
        }
    }

    /// The leg that a new call replaces, or the status that refuses it (RFC 3891 section 3). Only established legs can be
    /// replaced: the early dialogs of our INVITEs are not in the table.
    fn replaced(&self, received: &ReceivedRequest) -> Result<Option<LegId>, u16> {
        let mut values = received.request.headers.all(&Name::Replaces);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let replaces = Replaces::parse(value).filter(|_| values.next().is_none());
        let replaces = replaces.ok_or(400_u16)?;
        let is_early_only = replaces.is_early_only;
        let dialog = DialogId::of_replaces(replaces);
        let leg = self.context.dialogs.get(&dialog).copied().ok_or(481_u16)?;
        match self.legs.get(&leg) {
            Some(Leg::Established(_)) if is_early_only => Err(486),
            Some(Leg::Established(_)) => Ok(Some(leg)),
            _ => Err(481),
        }
    }

    fn begin_call(
        &mut self,
        received: ReceivedRequest,
        (phone, dialled, replaces): (LinePhone, String, Option<LegId>),
        dialog: Dialog,
        now: Instant,
    ) {
        let Ok(session) = SessionTimer::requested(&received.request) else {
            self.counters.rejected += 1;
            self.reply(&received, 422);
            return;
        };
        let calls = self.count(|leg| leg.phone().is_some());
        let is_of_line = |leg: &Leg| leg.phone().is_some_and(|each| each.user == phone.user);
        let calls_of_line = self.count(is_of_line);
        let has_room = calls < self.limits.calls && calls_of_line < self.limits.calls_per_line;
        let has_room = has_room || self.unlimited.contains(&dialled);
        let Some(transaction) = self.open(&received, has_room) else {
            return;
        };
        let leg = self.context.new_leg();
        let sdp = received.request.body.clone();
        let user = phone.user.clone();
        let call = ReceivedInvite {
            phone,
            invite: received.request,
            transaction,
            dialog,
            session,
        };
        let invite_leg = InboundInvite::new(leg, call, &mut self.context, now);
        self.add_leg(leg, Leg::InboundInvite(Box::new(invite_leg)));
        self.context.emit(Event::Incoming {
            leg,
            user,
            dialled,
            sdp,
            replaces,
        });
    }

    fn is_merged(&self, received: &ReceivedRequest, dialog: &Dialog) -> bool {
        let number = received.essentials.cseq.number;
        self.legs.values().any(|leg| match leg {
            Leg::InboundInvite(invite_leg) => invite_leg.is_merged(dialog, number),
            _ => false,
        })
    }
}

/// The status that refuses an INVITE because of its form: no hops left (calls are passed on, as by a proxy, section 16.3), a
/// loop (section 16.3, step 4), or an unsupported scheme or body.
fn refusal_for_form(received: &ReceivedRequest) -> Option<u16> {
    if received.essentials.max_forwards == Some(0) {
        return Some(483);
    }
    if has_been_here(&received.request.headers, received.flow.local) {
        return Some(482);
    }
    if received.uri.scheme() == Scheme::Other {
        return Some(416);
    }
    let request = &received.request;
    (!request.body.is_empty() && !is_sdp(&request.headers)).then_some(415)
}

/// Whether one of the Vias below the topmost is ours. The topmost is the sender's own: a phone on this machine that connects by TCP may
/// write our address and port into it, or no port, which means ours.
fn has_been_here(headers: &Headers, local: SocketAddr) -> bool {
    let mut is_topmost = true;
    headers.all(&Name::Via).any(|mut value| {
        // Each round consumes a Via and a comma, so the loop ends.
        while let Some((via, used)) = Via::parse_first(value) {
            let is_ours = via.host.ip() == Some(local.ip());
            let has_passed = !std::mem::take(&mut is_topmost);
            if has_passed && is_ours && via.port.unwrap_or(DEFAULT_PORT) == local.port() {
                return true;
            }
            value = value.get(used.saturating_add(1)..).unwrap_or_default();
        }
        false
    })
}
