//! Dispatch of received messages to a transaction, a leg or the registrar (RFC 3261 sections 8.2, 12.2.2 and 18).
//!
//! Refusals for form, challenges, OPTIONS and CANCEL are answered without state (section 8.2.7).

use std::net::SocketAddr;
use std::time::Instant;

use super::UserAgent;
use crate::dialog::{DialogId, with_tag};
use crate::flow::{Flow, Transport};
use crate::leg::context::{SUPPORTED, explain};
use crate::leg::{InDialogRequest, ReceivedResponse};
use crate::message::{
    Defect, Essentials, Headers, Host, Message, Method, Name, ParseError, Request, Response, Uri,
    Via, parse, take_sdp, with_source,
};
use crate::transaction::{Absorbed, ResponseMatch, TransactionId};

/// The port of a Via without one (section 18.2.2).
pub(super) const DEFAULT_PORT: u16 = 5060;

/// A phone's valid request.
pub(super) struct ReceivedRequest {
    pub(super) request: Request,
    pub(super) uri: Uri,
    pub(super) essentials: Essentials,
    /// Where it came from, and where our requests to this phone are sent.
    pub(super) flow: Flow,
    /// Where responses are sent.
    pub(super) reply: Flow,
}

impl UserAgent {
    pub(super) fn receive(&mut self, flow: Flow, bytes: &[u8], now: Instant) {
        match parse(bytes) {
            Ok(Message::Request(request)) => self.receive_request(request, flow, now),
            Ok(Message::Response(response)) => self.receive_response(response, now),
            Err(ParseError::KeepAlive) => {}
            Err(error) => {
                tracing::debug!(%error, "dropped bytes that are not SIP");
                self.drop_malformed(flow);
            }
        }
    }

    /// Drops what can't be answered. A stream with such bytes has lost its framing, so it is closed.
    fn drop_malformed(&mut self, flow: Flow) {
        self.counters.malformed += 1;
        if flow.transport.is_reliable() {
            self.closing.push_back(flow);
        }
    }

    fn receive_request(&mut self, mut request: Request, flow: Flow, now: Instant) {
        let checked = request.validate();
        let via = request.headers.via();
        let reply = reply_flow(via.as_ref(), flow);
        request
            .headers
            .rewrite_first(&Name::Via, |value| with_source(value, flow.peer));
        match checked {
            Ok((uri, essentials)) => {
                take_sdp(&mut request.headers, &mut request.body);
                let flow = request_flow(&request.headers, &essentials.via, flow);
                let received = ReceivedRequest {
                    request,
                    uri,
                    essentials,
                    flow,
                    reply,
                };
                self.dispatch(received, now)
            }
            Err(_) if request.headers.get(&Name::Via).is_none() => self.drop_malformed(flow),
            // Section 17.1.1.3: an ACK is never answered.
            Err(_) if request.method == Method::Ack => self.counters.malformed += 1,
            Err(defect) => self.reject(&request, reply, defect),
        }
    }

    fn reject(&mut self, request: &Request, reply: Flow, defect: Defect) {
        tracing::debug!(%defect, "refused a malformed request");
        self.counters.rejected += 1;
        self.reply_with(request, reply, defect.status(), |response| {
            response.reason = defect.to_string().into_bytes();
        });
    }

    fn dispatch(&mut self, received: ReceivedRequest, now: Instant) {
        let ReceivedRequest {
            request,
            essentials,
            ..
        } = &received;
        if self.context.transactions.absorb(request, essentials, now) == Absorbed::Yes {
            return;
        }
        match request.method {
            Method::Ack => self.receive_ack(&received, now),
            Method::Cancel => self.receive_cancel(&received, now),
            _ if self.refuse_extension(&received) => {}
            Method::Register => self.register(&received, now),
            _ => match DialogId::of_request(essentials) {
                Some(dialog) => self.receive_inside(&received, &dialog, now),
                None => self.receive_outside(received, now),
            },
        }
    }

    /// Section 8.2.2.3: refuses a request that requires an unsupported extension.
    fn refuse_extension(&mut self, received: &ReceivedRequest) -> bool {
        let is_known = |tag: &str| {
            SUPPORTED
                .split(", ")
                .any(|known| known.eq_ignore_ascii_case(tag))
        };
        let required = received.request.headers.tokens(&Name::Require);
        let unknown: Vec<&str> = required.filter(|tag| !is_known(tag)).collect();
        if unknown.is_empty() {
            return false;
        }
        let unsupported = unknown.join(", ");
        self.counters.rejected += 1;
        self.reply_with(&received.request, received.reply, 420, |response| {
            response.headers.push(Name::Unsupported, unsupported);
        });
        true
    }

    fn receive_ack(&mut self, received: &ReceivedRequest, now: Instant) {
        let dialog = DialogId::of_request(&received.essentials);
        match dialog.and_then(|dialog| self.context.dialogs.get(&dialog).copied()) {
            Some(leg) => {
                self.with_leg(leg, |leg, context| {
                    let ack = (&received.request, &received.essentials);
                    leg.handle_ack(ack, received.flow, context, now)
                });
            }
            // The ACK of a stateless refusal, or of a call that has ended.
            None => self.counters.stray += 1,
        }
    }

    fn receive_cancel(&mut self, received: &ReceivedRequest, now: Instant) {
        let invite = self.context.transactions.cancelled(&received.essentials);
        self.reply(received, if invite.is_some() { 200 } else { 481 });
        if let Some(leg) = invite.and_then(|invite| self.context.transactions.owner(invite)) {
            self.with_leg(leg, |leg, context| leg.handle_cancel(context, now));
        }
    }

    fn receive_inside(&mut self, received: &ReceivedRequest, dialog: &DialogId, now: Instant) {
        let Some(leg) = self.context.dialogs.get(dialog).copied() else {
            self.reply(received, 481);
            return;
        };
        let Some(transaction) = self.open(received, true) else {
            return;
        };
        self.with_leg(leg, |leg, context| {
            let incoming = InDialogRequest {
                request: &received.request,
                essentials: &received.essentials,
                flow: received.flow,
                transaction,
            };
            leg.handle_request(&incoming, context, now)
        });
    }

    fn receive_outside(&mut self, received: ReceivedRequest, now: Instant) {
        match received.request.method {
            Method::Invite => self.receive_invite(received, now),
            Method::Options => self.reply(&received, 200),
            Method::Message => self.receive_message(&received, now),
            Method::Subscribe => self.receive_subscribe(received, now),
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.reply(&received, 481)
            }
            // A REFER outside a dialog asks us to place a call, which is not supported.
            Method::Refer => self.reply(&received, 403),
            Method::Other(_) => self.reply(&received, 501),
            _ => self.reply(&received, 405),
        }
    }

    fn receive_response(&mut self, mut response: Response, now: Instant) {
        let Ok(essentials) = response.validate() else {
            self.counters.malformed += 1;
            return;
        };
        take_sdp(&mut response.headers, &mut response.body);
        let response = &response;
        match self
            .context
            .transactions
            .receive(response, &essentials, now)
        {
            ResponseMatch::ForOwner(transaction, leg) => {
                let received = ReceivedResponse {
                    response,
                    essentials: &essentials,
                    transaction,
                };
                self.with_leg(leg, |leg, context| {
                    leg.handle_response(&received, context, now)
                });
            }
            ResponseMatch::Absorbed => {}
            ResponseMatch::Stray => self.receive_stray(response, &essentials, now),
        }
    }

    /// Opens a server transaction. If `has_room` is false or the table is full, the phone gets 503.
    pub(super) fn open(
        &mut self,
        received: &ReceivedRequest,
        has_room: bool,
    ) -> Option<TransactionId> {
        let ReceivedRequest {
            request,
            essentials,
            reply,
            ..
        } = received;
        let transactions = &mut self.context.transactions;
        let opened = has_room
            .then(|| transactions.open(request, essentials, *reply))
            .flatten();
        if opened.is_none() {
            self.counters.overloaded += 1;
            self.reply_with(request, *reply, 503, |response| {
                response.headers.push(Name::RetryAfter, "10");
            });
        }
        opened
    }

    /// Responds without state.
    pub(super) fn reply(&mut self, received: &ReceivedRequest, status: u16) {
        self.reply_with(&received.request, received.reply, status, |_| {});
    }

    /// The same with additions to the response. Retransmissions get the same To tag (section 8.2.7).
    pub(super) fn reply_with(
        &mut self,
        request: &Request,
        reply: Flow,
        status: u16,
        add: impl FnOnce(&mut Response),
    ) {
        let mut response = Response::to(request, status);
        let untagged = request.headers.to().is_some_and(|to| to.tag().is_none());
        if let Some(to) = request.headers.get(&Name::To).filter(|_| untagged) {
            let sources = [Name::Via, Name::From, Name::CallId, Name::CSeq];
            let parts: Vec<&[u8]> = sources
                .iter()
                .filter_map(|name| request.headers.get(name))
                .collect();
            let tag = self.context.random.tag_for(&parts);
            response.headers.replace(Name::To, with_tag(to, &tag));
        }
        explain(&mut response, &request.method);
        add(&mut response);
        self.context.transactions.send(reply, response.to_bytes());
    }
}

/// Where the response is sent (section 18.2.2, RFC 3581): over the same stream; over UDP to the source address, at the port of
/// the Via unless `rport` asks for the source port. `maddr` is ignored, because it could direct responses to any address.
fn reply_flow(via: Option<&Via>, flow: Flow) -> Flow {
    match via {
        Some(via) if listens_elsewhere(via, flow) => at_port(flow, via.port),
        _ => flow,
    }
}

/// Where our requests to the phone are sent: over the flow that it opened, but over UDP to its Contact (section 12.1.1) where it does not
/// ask for `rport`. Such a phone (Cisco 79xx) sends from one port and listens at another. A request inside a dialog may have no Contact,
/// and then names that port in its Via. An address that is not the source's, as behind a NAT, is not believed.
fn request_flow(headers: &Headers, via: &Via, flow: Flow) -> Flow {
    if !listens_elsewhere(via, flow) {
        return flow;
    }
    let contacts = headers.contacts().unwrap_or_default();
    let kept = contacts
        .iter()
        .find(|contact| contact.params.get("expires").as_deref() != Some("0"));
    let (ip, port) = match kept {
        Some(contact) => (contact.uri.host().and_then(Host::ip), contact.uri.port()),
        None => (via.host.ip(), via.port),
    };
    match ip {
        Some(ip) if ip == flow.peer.ip() => at_port(flow, port),
        _ => flow,
    }
}

/// Whether a phone on a flow may listen at another port than the one it sends from.
fn listens_elsewhere(via: &Via, flow: Flow) -> bool {
    flow.transport == Transport::Udp && !via.params.has("rport")
}

/// The same host at another port. No phone listens at port 0, or where we do.
fn at_port(flow: Flow, port: Option<u16>) -> Flow {
    let port = port.unwrap_or(DEFAULT_PORT);
    let peer = SocketAddr::new(flow.peer.ip(), port);
    if port == 0 || peer == flow.local {
        return flow;
    }
    Flow { peer, ..flow }
}
