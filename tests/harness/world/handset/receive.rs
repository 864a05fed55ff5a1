//! How a handset handles requests of the engine and responses to its own requests.

use std::time::{Duration, Instant};

use ringfence_sip::{
    digest::{DigestChallenge, answer},
    message::{CSeq, Message, Method, Name, Request, Response, Uri, parse},
};

use super::super::audio::ReceivedAudio;
use super::{
    Call, Handset, HandsetEvent, HandsetOutput, PendingRequest, Stage,
    send::{branch, contact, copy, cseq, lists, lists_g722, remote},
};

/// From a registration that nobody answered to the next.
const REGISTER_AGAIN: Duration = Duration::from_secs(30);

impl Handset {
    pub(crate) fn handle_sip(&mut self, bytes: &[u8], now: Instant) {
        match parse(bytes) {
            Ok(Message::Request(request)) => self.handle_request(request, now),
            Ok(Message::Response(response)) => self.handle_response(&response, now),
            // A keep-alive.
            Err(_) => {}
        }
    }

    fn handle_request(&mut self, request: Request, now: Instant) {
        let id = request.headers.call_id().unwrap_or_default();
        let is_ours = self.call.as_ref().is_some_and(|call| call.id == id);
        let waiting = self.waiting_calls.iter().position(|call| call.id == id);
        match request.method {
            Method::Invite if !is_ours => self.ring(request, now),
            // A retransmission: the response was lost.
            Method::Invite if self.is_repeated(&request) => self.repeat_response(),
            Method::Invite => self.accept_offer(request, now),
            Method::Ack => {
                self.retransmissions.stop(&format!("final {id}"));
            }
            Method::Cancel if let Some(waiting) = waiting => {
                self.send(&Response::to(&request, 200));
                let waiting = self.waiting_calls.remove(waiting);
                let call = self.call.replace(waiting);
                self.respond_finally(487, now);
                self.call = call;
                let reason = request.headers.text(&Name::Reason).map(str::to_owned);
                self.record(HandsetEvent::Cancelled { reason }, now);
            }
            Method::Cancel => {
                self.send(&Response::to(&request, 200));
                if is_ours && self.is_ringing() {
                    self.respond_finally(487, now);
                    let reason = request.headers.text(&Name::Reason).map(str::to_owned);
                    self.record(HandsetEvent::Cancelled { reason }, now);
                    self.end_call();
                }
            }
            Method::Bye => {
                self.send(&Response::to(&request, if is_ours { 200 } else { 481 }));
                if is_ours && self.is_talking() {
                    self.retransmissions.stop(&format!("final {id}"));
                    self.record(HandsetEvent::HungUp, now);
                    self.end_call();
                }
            }
            Method::Message => self.handle_message(&request, now),
            Method::Options => {
                let is_in_dialog = request.headers.to().and_then(|to| to.tag()).is_some();
                let is_known = is_ours || !is_in_dialog || self.behaviour.ignores_dialogs;
                self.send(&Response::to(&request, if is_known { 200 } else { 481 }));
            }
            Method::Notify | Method::Info if is_ours => {
                self.send(&Response::to(&request, 200));
                self.record_body(&request.method, &request.body, now);
            }
            Method::Notify => self.handle_notify(&request, now),
            _ => self.send(&Response::to(&request, 501)),
        }
    }

    fn is_repeated(&self, request: &Request) -> bool {
        let call = self.call.as_ref();
        call.is_some_and(|call| branch(&call.invite.headers) == branch(&request.headers))
    }

    /// Accepts a new offer of the other side in the call.
    fn accept_offer(&mut self, request: Request, now: Instant) {
        let Some(call) = &mut self.call else { return };
        let offer = request.body.clone();
        call.invite = request;
        self.respond_with_sdp(now);
        self.choose_codec(&offer);
        self.start_audio(remote(&offer, true).0, now);
        self.record(HandsetEvent::OfferAccepted, now);
    }

    fn ring(&mut self, request: Request, now: Instant) {
        let is_busy = self
            .call
            .as_ref()
            .is_some_and(|call| call.stage != Stage::Over);
        let (Some(from), Some(id)) = (request.headers.from(), request.headers.call_id()) else {
            return;
        };
        let caller = from.uri.user().unwrap_or_default();
        let is_foreign = match &self.only {
            Some(only) => !only.is_listed(&request.body),
            None if request.body.is_empty() => false,
            None if self.behaviour.sends_g722 && lists_g722(&request.body) => false,
            None => ![0, 8].iter().any(|number| lists(&request.body, *number)),
        };
        let tag = self.token();
        let text = |name| request.headers.text(&name).unwrap_or_default().to_owned();
        let call = Call {
            id: id.to_owned(),
            us: format!("{};tag={tag}", text(Name::To)),
            them: text(Name::From),
            target: contact(&request.headers),
            stage: Stage::Ringing,
            has_talked: false,
            invite: request.clone(),
            said: None,
            ack: None,
        };
        if self.behaviour.rings_for_several && self.is_ringing() {
            self.let_wait();
        } else if is_busy || is_foreign {
            let status = if is_busy {
                486
            } else {
                self.behaviour.refuses_by
            };
            let mut refusal = Response::to(&request, status);
            refusal.headers.replace(Name::To, call.us);
            return self.send(&refusal);
        }
        self.call = Some(call);
        self.respond(180, Vec::new());
        self.record(HandsetEvent::Ringing { caller }, now);
    }

    fn handle_response(&mut self, response: &Response, now: Instant) {
        let Some(CSeq { method, .. }) = response.headers.cseq() else {
            return;
        };
        let name = branch(&response.headers);
        if method == Method::Cancel {
            self.retransmissions.stop(&format!("{name} CANCEL"));
            if response.status == 481 && self.stage() == Some(Stage::Dialling) {
                // Its engine has started again and knows of no INVITE. A real phone waits for half a minute first (RFC 3261 section 9.1).
                self.retransmissions.stop(&name);
                self.pending.remove(&name);
                self.end_call();
            }
            return;
        }
        if response.status >= 200 || method == Method::Invite {
            self.retransmissions.stop(&name);
        }
        if response.status < 200 {
            if response.status == 180 && self.stage() == Some(Stage::Dialling) {
                self.record(HandsetEvent::Ringback, now);
            }
            return;
        }
        let asked = self.pending.remove(&name);
        if method == Method::Invite {
            self.acknowledge(response, asked.as_ref());
        }
        let Some(asked) = asked else { return };
        if response.status == 401 && !asked.is_authenticated {
            // Its person has hung up meanwhile, and the CANCEL was not answered.
            if self.retransmissions.stop(&format!("{name} CANCEL")) {
                return self.end_call();
            }
            return self.authenticate(asked.request, response, now);
        }
        match method {
            Method::Register if response.status == 200 => self.handle_registered(response, now),
            Method::Register => self.record(HandsetEvent::NotRegistered(response.status), now),
            Method::Invite | Method::Update => self.handle_outcome(response, now),
            Method::Message => self.record(HandsetEvent::TextStatus(response.status), now),
            _ => {}
        }
    }

    /// Notes for how long the registration was granted.
    fn handle_registered(&mut self, response: &Response, now: Instant) {
        let port = Some(self.config.address.port());
        let granted = response.headers.contacts().into_iter().flatten();
        let own = granted.filter(|contact| contact.uri.port() == port);
        let seconds = own.filter_map(|contact| contact.params.get("expires")?.parse().ok());
        let half = seconds
            .max()
            .map(|seconds: u64| Duration::from_secs(seconds) / 2);
        self.registration.refresh = half.map(|half| now + half);
        if !self.registration.is_refresh {
            self.record(HandsetEvent::Registered, now);
        }
    }

    /// Nobody answers a request. An INVITE that begins a call counts as refused (RFC 3261 sections 8.1.3.1 and 17.1.1.2, timer B).
    pub(super) fn give_up(&mut self, name: &str, now: Instant) {
        let asked = self.pending.remove(name);
        let is_first = self.stage() == Some(Stage::Dialling);
        match asked.map(|asked| asked.request.method) {
            Some(Method::Invite) if is_first => {
                self.end_call();
                self.record(HandsetEvent::Refused(408), now);
            }
            // RFC 5626 section 4.5: it is tried again.
            Some(Method::Register) => self.registration.refresh = Some(now + REGISTER_AGAIN),
            _ => {}
        }
        // A 200 that no ACK came for (RFC 3261 section 13.3.1.4).
        let is_answer = |call: &Call| format!("final {}", call.id) == name;
        if self.is_talking() && self.call.as_ref().is_some_and(is_answer) {
            self.hang_up(now);
        }
    }

    /// The final response to the first or a later INVITE, or to an UPDATE.
    fn handle_outcome(&mut self, response: &Response, now: Instant) {
        let is_later = self.is_talking();
        let Some(call) = &mut self.call else { return };
        // The user has hung up meanwhile.
        if call.has_talked && !is_later {
            return;
        }
        let is_ok = response.status < 300;
        if is_ok {
            call.them = response
                .headers
                .text(&Name::To)
                .unwrap_or_default()
                .to_owned();
            call.target = contact(&response.headers);
            call.stage = Stage::Talking;
            let (mut remote, video) = remote(&response.body, call.invite.body.is_empty());
            if let Some(sdes) = &mut self.sdes {
                remote = sdes.read_answer(&response.body);
            }
            if !is_later {
                self.received_audio = ReceivedAudio::default();
            }
            self.choose_codec(&response.body);
            self.start_audio(remote, now);
            self.start_video(video, now);
        } else if !is_later {
            call.stage = Stage::Over;
        }
        self.record_outcome(response.status, is_later, now);
    }

    fn record_outcome(&mut self, status: u16, is_later: bool, now: Instant) {
        match (is_later, status < 300) {
            (true, true) => self.record(HandsetEvent::ReofferAccepted, now),
            (true, false) => self.record(HandsetEvent::ReofferRefused(status), now),
            (false, true) => {}
            (false, false) => self.record(HandsetEvent::Refused(status), now),
        }
    }

    /// Sends the ACK: of a failure in the same transaction, of a 200 in a new one (RFC 3261 sections 17.1.1.3 and 13.2.2.4).
    fn acknowledge(&mut self, response: &Response, asked: Option<&PendingRequest>) {
        let number = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(asked) = asked else {
            // A retransmission: the ACK was lost.
            let ack = self.call.as_ref().and_then(|call| call.ack.clone());
            if let Some(bytes) = ack {
                self.out.push_back(HandsetOutput::Sip(bytes));
            }
            return;
        };
        let invite = &asked.request;
        let is_ok = response.status < 300;
        let target = contact(&response.headers).filter(|_| is_ok);
        let Some(uri) = target.or_else(|| Uri::parse(invite.uri.as_bytes())) else {
            return;
        };
        let mut ack = Request::new(Method::Ack, &uri);
        copy(invite, &mut ack);
        if is_ok {
            let via = self.via();
            ack.headers.replace(Name::Via, via);
        }
        let to = response.headers.text(&Name::To).unwrap_or_default();
        ack.headers.replace(Name::To, to);
        if is_ok && invite.body.is_empty() {
            self.add_sdp(&mut ack.headers, &mut ack.body, 1);
        }
        ack.headers.replace(Name::CSeq, cseq(number, Method::Ack));
        let bytes = ack.to_bytes();
        if let Some(call) = &mut self.call {
            call.ack = Some(bytes.clone());
        }
        self.out.push_back(HandsetOutput::Sip(bytes));
    }

    /// Sends the request again with digest credentials.
    fn authenticate(&mut self, mut request: Request, response: &Response, now: Instant) {
        let challenge = response
            .headers
            .get(&Name::WwwAuthenticate)
            .and_then(DigestChallenge::parse);
        let Some(challenge) = challenge else { return };
        let cnonce = self.token();
        let credentials = answer(
            &challenge,
            &self.config.user,
            &self.config.password,
            &request.method,
            &request.uri,
            &cnonce,
            1,
        );
        self.sequence += 1;
        let method = request.method.clone();
        let via = self.via();
        request.headers.replace(Name::Via, via);
        request
            .headers
            .replace(Name::CSeq, cseq(self.sequence, method));
        request.headers.replace(Name::Authorization, credentials);
        self.send_request(request, true, now);
    }
}
