//! The phone's own requests: credentials, repeats, ACK and CANCEL (RFC 3261 sections 8.1, 9.1, 13.2 and 22.2).

use std::time::{Duration, Instant};

use crate::digest::{Challenge, answer};
use crate::message::{CSeq, Headers, Method, Name, Request, Response, Uri};

use super::dialog::{Dialog, confirmed};
use super::{Call, FIRST_REPEAT, GIVE_UP, Pending, PhoneEvent, REGISTRATION, Say, Ua, token};

impl Ua {
    /// CANCEL has the branch and CSeq number of the INVITE (RFC 3261 section 9.1). Its INVITE is then answered with 487.
    pub(super) fn cancel(&mut self) {
        let Some(pending) = &self.pending else { return };
        let invite = &pending.request;
        let Some(uri) = Uri::parse(invite.uri.as_bytes()) else {
            return;
        };
        let mut cancel = Request::new(Method::Cancel, &uri);
        for name in [
            Name::Via,
            Name::MaxForwards,
            Name::From,
            Name::To,
            Name::CallId,
        ] {
            if let Some(value) = invite.headers.get(&name) {
                cancel.headers.push(name, value);
            }
        }
        let number = invite.headers.cseq().map_or(1, |cseq| cseq.number);
        cancel.headers.push(Name::CSeq, format!("{number} CANCEL"));
        self.says.push_back(Say::Send(cancel.to_bytes()));
    }

    pub(super) fn give_up(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.finish(pending.request.method, 408);
    }

    pub(super) fn finish(&mut self, method: Method, status: u16) {
        let event = match method {
            Method::Bye => PhoneEvent::HungUp,
            method => PhoneEvent::Refused { method, status },
        };
        if matches!(self.call, Call::Calling(_) | Call::Ending) {
            self.call = Call::None;
        }
        self.says.push_back(Say::Event(event));
    }

    pub(super) fn start(&mut self, request: Request, now: Instant) {
        self.says.push_back(Say::Send(request.to_bytes()));
        let tried = request.headers.get(&Name::Authorization).is_some();
        self.pending = Some(Pending {
            request,
            tried,
            proceeding: false,
            repeat: now + FIRST_REPEAT,
            interval: FIRST_REPEAT,
            end: now + GIVE_UP,
        });
    }

    pub(super) fn handle_response(&mut self, response: &Response, now: Instant) {
        let branch = |headers: &Headers| headers.via().and_then(|via| via.branch());
        let Some(pending) = &mut self.pending else {
            return self.acknowledge_again(response);
        };
        let method = response.headers.cseq().map(|cseq| cseq.method);
        if method.as_ref() != Some(&pending.request.method)
            || branch(&response.headers) != branch(&pending.request.headers)
        {
            return self.acknowledge_again(response);
        }
        if response.status < 200 {
            if pending.request.method == Method::Invite {
                pending.proceeding = true;
                // A person may let it ring; the line's own no-answer time ends it.
                pending.end = now + GIVE_UP * 4;
                if matches!(response.status, 180 | 183) {
                    self.says.push_back(Say::Event(PhoneEvent::RemoteRinging));
                }
            }
            return;
        }
        let Some(pending) = self.pending.take() else {
            return;
        };
        match response.status {
            200..300 => self.accepted(pending.request, response, now),
            status => {
                if pending.request.method == Method::Invite {
                    self.acknowledge_refusal(&pending.request, response);
                }
                match self
                    .authorized(&pending, response)
                    .filter(|_| status == 401 && !pending.tried)
                {
                    Some(request) if !matches!(self.call, Call::Ending) => self.start(request, now),
                    _ => self.finish(pending.request.method, status),
                }
            }
        }
    }

    fn accepted(&mut self, request: Request, response: &Response, now: Instant) {
        match request.method {
            Method::Register => {
                self.renewal = Some(now + Duration::from_secs(u64::from(REGISTRATION / 2)));
                self.says.push_back(Say::Event(PhoneEvent::Registered));
            }
            Method::Invite => {
                let ending = matches!(self.call, Call::Ending);
                let Some(dialog) = confirmed(&request, response) else {
                    return self.finish(Method::Invite, 400);
                };
                let ack = self.request(Method::Ack, &dialog);
                self.says.push_back(Say::Send(ack.to_bytes()));
                self.call = Call::Talking(Dialog {
                    count: dialog.count + 1,
                    ..dialog
                });
                if ending {
                    // The answer crossed our CANCEL.
                    self.hang_up(now);
                } else {
                    self.says.push_back(Say::Event(PhoneEvent::Answered {
                        sdp: response.body.clone(),
                    }));
                }
            }
            Method::Bye => self.finish(Method::Bye, response.status),
            _ => {}
        }
    }

    /// A repeated 200 for the INVITE: our ACK was lost (RFC 3261 section 13.2.2.4).
    fn acknowledge_again(&mut self, response: &Response) {
        let Call::Talking(dialog) = &self.call else {
            return;
        };
        let ours = response.headers.call_id() == Some(dialog.call_id.as_str());
        let invite = response
            .headers
            .cseq()
            .filter(|cseq| cseq.method == Method::Invite);
        if let Some(cseq) = invite.filter(|_| ours && (200..300).contains(&response.status)) {
            let dialog = Dialog {
                count: cseq.number,
                ..dialog.clone()
            };
            let ack = self.request(Method::Ack, &dialog);
            self.says.push_back(Say::Send(ack.to_bytes()));
        }
    }

    /// The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 section 17.1.1.3).
    fn acknowledge_refusal(&mut self, invite: &Request, response: &Response) {
        let Some(uri) = Uri::parse(invite.uri.as_bytes()) else {
            return;
        };
        let mut ack = Request::new(Method::Ack, &uri);
        for name in [Name::Via, Name::MaxForwards, Name::From, Name::CallId] {
            if let Some(value) = invite.headers.get(&name) {
                ack.headers.push(name, value);
            }
        }
        ack.headers.push(
            Name::To,
            response.headers.get(&Name::To).unwrap_or_default(),
        );
        let number = invite.headers.cseq().map_or(1, |cseq| cseq.number);
        ack.headers.push(Name::CSeq, format!("{number} ACK"));
        self.says.push_back(Say::Send(ack.to_bytes()));
    }

    /// The same request with credentials, a new branch and the next CSeq number (RFC 3261 section 22.2).
    fn authorized(&mut self, pending: &Pending, response: &Response) -> Option<Request> {
        let challenge = response
            .headers
            .all(&Name::WwwAuthenticate)
            .find_map(Challenge::parse)?;
        let mut request = pending.request.clone();
        let number = request.headers.cseq()?.number + 1;
        match (&mut self.call, &request.method) {
            (Call::Calling(dialog), Method::Invite) => dialog.count = number,
            (_, Method::Register) => self.register_count = number,
            _ => {}
        }
        let (user, password) = (self.registration.user.as_str(), &self.registration.password);
        let client_nonce = token(&mut self.rng);
        // Each challenge brings a new nonce, which is used once.
        let value = answer(
            &challenge,
            user,
            password,
            &request.method,
            &request.uri,
            &client_nonce,
            1,
        );
        request.headers.replace(Name::Via, self.via());
        request.headers.replace(
            Name::CSeq,
            CSeq {
                number,
                method: request.method.clone(),
            }
            .to_string(),
        );
        request.headers.replace(Name::Authorization, value);
        Some(request)
    }

    pub(super) fn request(&mut self, method: Method, dialog: &Dialog) -> Request {
        let mut request = Request::new(method.clone(), &dialog.target);
        request.headers.push(Name::Via, self.via());
        request.headers.push(Name::MaxForwards, "70");
        request.headers.push(Name::From, dialog.us.as_str());
        request.headers.push(Name::To, dialog.them.as_str());
        request.headers.push(Name::CallId, dialog.call_id.as_str());
        request.headers.push(
            Name::CSeq,
            CSeq {
                number: dialog.count,
                method,
            }
            .to_string(),
        );
        request
    }

    pub(super) fn via(&mut self) -> String {
        format!(
            "SIP/2.0/UDP {};rport;branch=z9hG4bK{}",
            self.local,
            token(&mut self.rng)
        )
    }

    pub(super) fn contact(&self) -> String {
        format!(
            "<{}>",
            Uri::sip(Some(self.registration.user.as_str()), self.local)
        )
    }

    pub(super) fn line_uri(&self, user: &str) -> Uri {
        Uri::sip(Some(user), self.registration.line)
    }
}
