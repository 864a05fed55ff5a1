//! What a handset does about what it is told: requests of the engine, and answers to its own.

use std::time::Instant;

use ringfence_sip::{
    digest::{Challenge, answer},
    message::{CSeq, Message, Method, Name, Request, Response, Uri, parse},
};

use super::super::audio::Ear;
use super::{
    Asked, Call, Handset, HandsetOutput, Notice, Stage,
    send::{branch, contact, copy, cseq, remote},
};

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
        match request.method {
            Method::Invite if !is_ours => self.ring(request, now),
            // Again, because an answer was lost.
            Method::Invite => self.say_again(),
            Method::Ack => {
                self.repeats.stop(&format!("final {id}"));
            }
            Method::Cancel if self.aside.as_ref().is_some_and(|call| call.id == id) => {
                self.send(&Response::to(&request, 200));
                let call = std::mem::replace(&mut self.call, self.aside.take());
                self.say_final(487, now);
                self.call = call;
                let reason = request.headers.text(&Name::Reason).map(str::to_owned);
                self.notice(Notice::Stopped { reason }, now);
            }
            Method::Cancel => {
                self.send(&Response::to(&request, 200));
                if is_ours && self.is_ringing() {
                    self.say_final(487, now);
                    let reason = request.headers.text(&Name::Reason).map(str::to_owned);
                    self.notice(Notice::Stopped { reason }, now);
                    self.over();
                }
            }
            Method::Bye => {
                self.send(&Response::to(&request, if is_ours { 200 } else { 481 }));
                if is_ours && self.is_talking() {
                    self.repeats.stop(&format!("final {id}"));
                    self.notice(Notice::HungUp, now);
                    self.over();
                }
            }
            Method::Message => self.hear_text(&request, now),
            Method::Options => self.send(&Response::to(&request, 200)),
            Method::Notify | Method::Info if is_ours => {
                self.send(&Response::to(&request, 200));
                self.notice_word(&request.method, &request.body, now);
            }
            Method::Notify => self.hear_lamp(&request, now),
            _ => self.send(&Response::to(&request, 501)),
        }
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
        if is_busy {
            let mut busy = Response::to(&request, 486);
            busy.headers.replace(Name::To, call.us);
            return self.send(&busy);
        }
        self.call = Some(call);
        self.say(180, Vec::new());
        self.notice(Notice::Rings { caller }, now);
    }

    fn handle_response(&mut self, response: &Response, now: Instant) {
        let Some(CSeq { method, .. }) = response.headers.cseq() else {
            return;
        };
        let name = branch(&response.headers);
        if method == Method::Cancel {
            self.repeats.stop(&format!("{name} CANCEL"));
            return;
        }
        if response.status >= 200 || method == Method::Invite {
            self.repeats.stop(&name);
        }
        if response.status < 200 {
            if response.status == 180 && self.stage() == Some(Stage::Dialling) {
                self.notice(Notice::HearsRingback, now);
            }
            return;
        }
        let asked = self.asked.remove(&name);
        if method == Method::Invite {
            self.acknowledge(response, asked.as_ref());
        }
        let Some(asked) = asked else { return };
        if response.status == 401 && !asked.is_proved {
            return self.prove(asked.request, response, now);
        }
        match method {
            Method::Register if response.status == 200 => self.notice(Notice::Registered, now),
            Method::Register => self.notice(Notice::NotRegistered(response.status), now),
            Method::Invite | Method::Update => self.hear_outcome(response, now),
            Method::Message => self.notice(Notice::TextDone(response.status), now),
            _ => {}
        }
    }

    /// The final answer to an INVITE of ours, the first or a later one.
    fn hear_outcome(&mut self, response: &Response, now: Instant) {
        let is_later = self.is_talking();
        let Some(call) = &mut self.call else { return };
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
            if let Some(lock) = &mut self.lock {
                remote = lock.hear_answer(&response.body);
            }
            if !is_later {
                self.ear = Ear::default();
            }
            self.talk(remote, now);
            self.show(video, now);
        } else if !is_later {
            call.stage = Stage::Over;
        }
        self.notice_outcome(response.status, is_later, now);
    }

    fn notice_outcome(&mut self, status: u16, is_later: bool, now: Instant) {
        match (is_later, status < 300) {
            (true, true) => self.notice(Notice::Renewed, now),
            (true, false) => self.notice(Notice::NotRenewed(status), now),
            (false, true) => {}
            (false, false) => self.notice(Notice::Refused(status), now),
        }
    }

    /// ACK: of a refusal in the same transaction, of a 200 in a new one (RFC 3261 sections 17.1.1.3 and 13.2.2.4).
    fn acknowledge(&mut self, response: &Response, asked: Option<&Asked>) {
        let number = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(asked) = asked else {
            // Again, because our ACK was lost.
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

    /// Asks again with digest credentials.
    fn prove(&mut self, mut request: Request, response: &Response, now: Instant) {
        let challenge = response
            .headers
            .get(&Name::WwwAuthenticate)
            .and_then(Challenge::parse);
        let Some(challenge) = challenge else { return };
        let cnonce = self.token();
        let credentials = answer(
            &challenge,
            &self.card.user,
            &self.card.password,
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
        self.ask(request, true, now);
    }
}
