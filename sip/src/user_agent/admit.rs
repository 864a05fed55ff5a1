//! Strangers at the door: REGISTER (RFC 3261 section 10.3) and INVITEs that begin a call (sections 8.2 and 13.3.1).
//!
//! Both must prove a line by digest first; 401 asks for it, since to the phone we are the end of the call and not a
//! proxy (section 22.2). Users who do not exist are asked just the same.

use std::net::SocketAddr;
use std::time::Instant;

use super::receive::{Arrival, DEFAULT_PORT};
use super::{MAX_LEGS, MAX_LEGS_OF_LINE, UserAgent};
use crate::account::User;
use crate::dialog::{Dialog, DialogId, with_tag};
use crate::digest::Verdict;
use crate::event::{Event, LegId, Package};
use crate::leg::Leg;
use crate::leg::context::is_sdp;
use crate::leg::inbound_invite::{Begun, Calling};
use crate::leg::session_timer::Session;
use crate::message::{Headers, Name, Replaces, Response, Scheme, Via};
use crate::registrar::{Effect, MIN_EXPIRES, Refusal, Registering};
use crate::transaction::TransactionId;

impl UserAgent {
    /// The line that the request proves; otherwise it has been challenged.
    pub(super) fn authenticate(&mut self, arrival: &Arrival, now: Instant) -> Option<User> {
        let Arrival {
            request,
            uri,
            flow,
            reply,
            ..
        } = arrival;
        let verdict = self.verifier.verify(request, uri, flow.peer.ip(), now);
        let is_stale = verdict == Verdict::Stale;
        match verdict {
            Verdict::Proved(user) => return Some(user),
            Verdict::Wrong => self.counters.wrong_password += 1,
            Verdict::Absent | Verdict::Stale => {}
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

    pub(super) fn register(&mut self, arrival: &Arrival, now: Instant) {
        let Some(user) = self.authenticate(arrival, now) else {
            return;
        };
        let Arrival {
            request,
            essentials,
            flow,
            reply,
            ..
        } = arrival;
        if essentials.to.uri.user().as_deref() != Some(user.as_str()) {
            self.reply(arrival, 403);
            return;
        }
        let Some(transaction) = self.board.transactions.open(request, essentials, *reply) else {
            self.overloaded(arrival);
            return;
        };
        let number = essentials.cseq.number;
        let who = Registering {
            user: &user,
            flow: *flow,
            call_id: &essentials.call_id,
            number,
            lists: Package::ALL
                .into_iter()
                .filter(|package| request.headers.lists(&Name::AllowEvents, package.as_str()))
                .collect(),
        };
        let done = self.registrar.register(request, &who, now);
        self.answer_register(arrival, transaction, &user, done, now);
    }

    fn answer_register(
        &mut self,
        arrival: &Arrival,
        transaction: TransactionId,
        user: &User,
        done: Result<Effect, Refusal>,
        now: Instant,
    ) {
        let response = self.register_response(arrival, user, done, now);
        self.board.transactions.respond(transaction, &response, now);
        let phones = self.phones(user);
        match done {
            Ok(Effect::Joined) => self.board.tell(Event::Registered {
                user: user.clone(),
                phones,
            }),
            Ok(Effect::Left) => self.board.tell(Event::Unregistered {
                user: user.clone(),
                phones,
            }),
            Ok(Effect::Refreshed) | Err(_) => {}
        }
    }

    /// Section 10.3, step 8: a 200 lists every phone of the line, with the time it has left.
    fn register_response(
        &mut self,
        arrival: &Arrival,
        user: &User,
        done: Result<Effect, Refusal>,
        now: Instant,
    ) -> Response {
        let status = match done {
            Ok(_) => 200,
            Err(Refusal::Malformed) => 400,
            Err(Refusal::Scheme) => 416,
            Err(Refusal::TooBrief) => 423,
            Err(Refusal::OutOfOrder) => 500,
        };
        let mut response = Response::to(&arrival.request, status);
        let to = arrival.request.headers.get(&Name::To);
        if let Some(to) = to.filter(|_| arrival.essentials.to.tag().is_none()) {
            let tag = self.board.random.tag();
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
    pub(super) fn admit(&mut self, arrival: Arrival, now: Instant) {
        if let Some(status) = refusal_for_form(&arrival) {
            self.counters.rejected += 1;
            self.reply(&arrival, status);
            return;
        }
        let Some(user) = self.authenticate(&arrival, now) else {
            return;
        };
        let Some(dialled) = arrival.uri.user() else {
            self.reply(&arrival, 484);
            return;
        };
        let tag = self.board.random.tag();
        let Some(dialog) =
            Dialog::from_request(&arrival.request, &arrival.essentials, &tag, arrival.flow)
        else {
            self.counters.rejected += 1;
            self.reply(&arrival, 400);
            return;
        };
        if self.is_merged(&arrival, &dialog) {
            self.reply(&arrival, 482);
            return;
        }
        match self.replaced(&arrival) {
            Ok(replaces) => self.begin(arrival, (user, dialled, replaces), dialog, now),
            Err(status) => self.reply(&arrival, status),
        }
    }

    /// The leg that a new call shall take the place of; or the status that refuses it (RFC 3891 section 3). We ring
    /// phones over dialogs that have no name yet, so only talking legs can be taken.
    fn replaced(&self, arrival: &Arrival) -> Result<Option<LegId>, u16> {
        let mut values = arrival.request.headers.all(&Name::Replaces);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let replaces = Replaces::parse(value).filter(|_| values.next().is_none());
        let replaces = replaces.ok_or(400_u16)?;
        let is_early_only = replaces.is_early_only;
        let dialog = DialogId::of_replaces(replaces);
        let leg = self.board.dialogs.get(&dialog).copied().ok_or(481_u16)?;
        match self.legs.get(&leg) {
            Some(Leg::Talking(_)) if is_early_only => Err(486),
            Some(Leg::Talking(_)) => Ok(Some(leg)),
            _ => Err(481),
        }
    }

    fn begin(
        &mut self,
        arrival: Arrival,
        (user, dialled, replaces): (User, String, Option<LegId>),
        dialog: Dialog,
        now: Instant,
    ) {
        let Ok(session) = Session::asked(&arrival.request) else {
            self.counters.rejected += 1;
            self.reply(&arrival, 422);
            return;
        };
        let is_full = self.calls() >= MAX_LEGS || self.calls_of(&user) >= MAX_LEGS_OF_LINE;
        let opened = if is_full {
            None
        } else {
            self.board
                .transactions
                .open(&arrival.request, &arrival.essentials, arrival.reply)
        };
        let Some(transaction) = opened else {
            self.overloaded(&arrival);
            return;
        };
        let leg = self.board.new_leg();
        let sdp = arrival.request.body.clone();
        let begun = Begun {
            user: user.clone(),
            invite: arrival.request,
            transaction,
            dialog,
            session,
        };
        let calling = Calling::new(leg, begun, &mut self.board, now);
        self.legs.insert(leg, Leg::Calling(Box::new(calling)));
        self.board.tell(Event::Incoming {
            leg,
            user,
            dialled,
            sdp,
            replaces,
        });
    }

    fn is_merged(&self, arrival: &Arrival, dialog: &Dialog) -> bool {
        let number = arrival.essentials.cseq.number;
        self.legs.values().any(|leg| match leg {
            Leg::Calling(calling) => calling.is_merged(dialog, number),
            _ => false,
        })
    }
}

/// What is wrong with an INVITE whoever sends it: hops used up (we pass calls on, as a proxy would, section 16.3), a call
/// of ours that came back (section 16.3, step 4), a scheme or a body that we can't take.
fn refusal_for_form(arrival: &Arrival) -> Option<u16> {
    if arrival.essentials.max_forwards == Some(0) {
        return Some(483);
    }
    if has_been_here(&arrival.request.headers, arrival.flow.local) {
        return Some(482);
    }
    if arrival.uri.scheme() == Scheme::Other {
        return Some(416);
    }
    let request = &arrival.request;
    (!request.body.is_empty() && !is_sdp(request)).then_some(415)
}

/// True if one of the Vias is ours.
fn has_been_here(headers: &Headers, local: SocketAddr) -> bool {
    headers.all(&Name::Via).any(|mut value| {
        // A comma and a Via take some bytes each, so this ends.
        while let Some((via, used)) = Via::parse_first(value) {
            let is_ours = via.host.ip() == Some(local.ip());
            if is_ours && via.port.unwrap_or(DEFAULT_PORT) == local.port() {
                return true;
            }
            value = value.get(used.saturating_add(1)..).unwrap_or_default();
        }
        false
    })
}
