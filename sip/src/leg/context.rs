//! What all legs share: transactions, dialogs, timers, the queue of events, randomness.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::Leg;
use super::final_delivery::FinalDelivery;
use super::line_phone::LinePhone;
use super::target::RequestTarget;
use crate::dialog::{Dialog, DialogId, own_contact, with_tag};
use crate::event::{Event, HangUp, LegId};
use crate::flow::Flow;
use crate::message::{Message, Method, Name, Request, Response};
use crate::random::Random;
use crate::timers::{TRANSACTION_TIMEOUT, Timers};
use crate::transaction::{TransactionId, Transactions};

/// The supported methods (RFC 3261 section 20.5).
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE, PRACK, REFER, NOTIFY, \
                                SUBSCRIBE, MESSAGE";
/// The supported extensions (section 20.37): offered to every phone, required of none.
pub(crate) const SUPPORTED: &str = "100rel, timer, replaces, norefersub";
/// The bodies of an INVITE that are read (section 20.1): SDP, alone or as a part (RFC 5621 section 3.1).
const ACCEPT: &str = "application/sdp, multipart/mixed";
/// The event packages a phone may subscribe to (RFC 6665 section 8.2.2).
pub(crate) const ALLOW_EVENTS: &str = "dialog, message-summary, presence, refer";

/// What all legs share.
#[derive(Debug)]
pub(crate) struct LegContext {
    pub(crate) transactions: Transactions<LegId>,
    pub(crate) dialogs: BTreeMap<DialogId, LegId>,
    pub(crate) timers: Timers<LegId>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) random: Random,
    /// Legs that were created while another leg changed its state.
    pub(crate) new_legs: Vec<(LegId, Leg)>,
    /// Phones that have just refused an unsolicited NOTIFY.
    pub(crate) refused_unsolicited: Vec<Flow>,
    /// Phones that did not respond to an INVITE at all.
    pub(crate) silent_phones: Vec<RequestTarget>,
    /// Checks that have just ended, and whether the phone responded.
    pub(crate) ended_checks: Vec<(LegId, bool)>,
    last_leg: u64,
}

impl LegContext {
    pub(crate) const fn new(random: Random) -> Self {
        Self {
            transactions: Transactions::new(),
            dialogs: BTreeMap::new(),
            timers: Timers::new(),
            events: VecDeque::new(),
            random,
            new_legs: Vec::new(),
            refused_unsolicited: Vec::new(),
            silent_phones: Vec::new(),
            ended_checks: Vec::new(),
            last_leg: 0,
        }
    }

    pub(crate) fn new_leg(&mut self) -> LegId {
        self.last_leg = self.last_leg.saturating_add(1);
        LegId(self.last_leg)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Responds to a request without a body.
    pub(crate) fn respond(
        &mut self,
        id: TransactionId,
        request: &Request,
        status: u16,
        now: Instant,
    ) {
        let mut response = Response::to(request, status);
        explain(&mut response, &request.method);
        self.transactions.respond(id, &response, now);
    }

    /// Our next request in a dialog.
    pub(crate) fn request(&mut self, dialog: &mut Dialog, method: Method) -> Request {
        dialog.request(method, &self.random.branch())
    }

    /// Sends a BYE. It is a leg of its own until its response; without a flow it waits for the phone's next one for as long as
    /// a transaction would take.
    pub(crate) fn bye(
        &mut self,
        dialog: &mut Dialog,
        phone: &LinePhone,
        reason: HangUp,
        now: Instant,
    ) {
        let mut bye = self.request(dialog, Method::Bye);
        if let Some(reason) = reason.header() {
            bye.headers.push(Name::Reason, reason);
        }
        let target = RequestTarget {
            phone: phone.clone(),
            flow: dialog.flow,
        };
        let bye = Message::Request(bye);
        match dialog.open_flow() {
            Some(_) => FinalDelivery::begin(target, bye, self, now),
            None => FinalDelivery::begin_waiting(target, bye, TRANSACTION_TIMEOUT, self, now),
        }
    }

    /// Sends the ACK for a 2xx once, and gives its bytes for retransmissions of the 2xx.
    pub(crate) fn ack(&mut self, dialog: &Dialog, number: u32) -> Vec<u8> {
        let branch = self.random.branch();
        let ack = dialog.ack(number, &branch).to_bytes();
        self.transactions.send(dialog.flow, ack.clone());
        ack
    }
}

/// A response that creates or changes a dialog (RFC 3261 section 12.1.1): our tag, our Contact, the Record-Route.
pub(crate) fn dialog_response(
    request: &Request,
    status: u16,
    tag: Option<&str>,
    flow: Flow,
) -> Response {
    let mut response = Response::to(request, status);
    for value in request.headers.all(&Name::RecordRoute) {
        response.headers.push(Name::RecordRoute, value);
    }
    if let (Some(tag), Some(to)) = (tag, request.headers.get(&Name::To)) {
        response.headers.replace(Name::To, with_tag(to, tag));
    }
    response
        .headers
        .push(Name::Contact, own_contact(flow, &request.uri));
    response.headers.push(Name::Allow, ALLOW);
    response.headers.push(Name::Supported, SUPPORTED);
    response
}

/// Adds the headers that a refusal must have (RFC 3261 sections 11.2, 21.4.6 and 21.4.13, RFC 4028 section 6, RFC 6086 section
/// 4.2.2, RFC 6665 section 8.2.2), and those that OPTIONS asks for.
pub(crate) fn explain(response: &mut Response, method: &Method) {
    let is_options = *method == Method::Options;
    let headers = &mut response.headers;
    if matches!(response.status, 405 | 501) || is_options {
        headers.push(Name::Allow, ALLOW);
    }
    match response.status {
        415 if *method == Method::Info => headers.push(Name::Accept, super::digit::ACCEPT),
        415 if *method == Method::Message => headers.push(Name::Accept, "text/plain"),
        422 => headers.push(Name::MinSe, super::session_timer::MIN_SE.to_string()),
        469 => headers.push(Name::RecvInfo, ""),
        489 => headers.push(Name::AllowEvents, ALLOW_EVENTS),
        415 => headers.push(Name::Accept, ACCEPT),
        _ => {}
    }
    if is_options {
        headers.push(Name::Accept, ACCEPT);
        headers.push(Name::Supported, SUPPORTED);
        headers.push(Name::AllowEvents, ALLOW_EVENTS);
    }
}

/// Writes the headers of every NOTIFY (RFC 6665 section 8.2): the package as the subscriber wrote it, and the state of the
/// subscription.
pub(crate) fn write_notify(
    notify: &mut Request,
    flow: Flow,
    event: impl Into<Vec<u8>>,
    state: &str,
) {
    let contact = own_contact(flow, &notify.uri);
    notify.headers.push(Name::Contact, contact);
    notify.headers.push(Name::Event, event);
    notify.headers.push(Name::SubscriptionState, state);
}

/// Sets SDP as the body of a response.
pub(crate) fn attach_sdp(response: &mut Response, sdp: Vec<u8>) {
    if !sdp.is_empty() {
        response.headers.push(Name::ContentType, "application/sdp");
    }
    response.body = sdp;
}
