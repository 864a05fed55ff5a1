//! The phone's answers to requests of its line (RFC 3261 sections 8.2, 9.2, 13.3 and 15.1.2).

use crate::message::{Method, Request};

use super::dialog::{Dialog, response};
use super::{Call, PhoneEvent, Say, Ua, token};

impl Ua {
    pub(super) fn handle_request(&mut self, request: Request) {
        match &request.method {
            Method::Invite => self.handle_invite(request),
            Method::Ack => self.handle_ack(&request),
            Method::Cancel => self.handle_cancel(&request),
            Method::Bye => self.handle_bye(&request),
            Method::Options => self.reply(&request, 200),
            _ => self.reply(&request, 501),
        }
    }

    fn handle_invite(&mut self, request: Request) {
        match &self.call {
            Call::None => {
                let from = request
                    .headers
                    .from()
                    .and_then(|from| from.uri.user())
                    .unwrap_or_default();
                let sdp = request.body.clone();
                let tag = token(&mut self.rng);
                self.call = Call::Incoming {
                    invite: request,
                    tag,
                    ringing: false,
                };
                self.says
                    .push_back(Say::Event(PhoneEvent::Incoming { from, sdp }));
            }
            // A repeat: the answer was lost, or has not been given.
            Call::Incoming {
                invite,
                tag,
                ringing,
            } if invite.headers.call_id() == request.headers.call_id() => {
                if *ringing {
                    let ringing = response(invite, 180, tag, &self.local);
                    self.says.push_back(Say::Send(ringing.to_bytes()));
                }
            }
            Call::Answered { dialog, answer, .. }
                if request.headers.call_id() == Some(&dialog.call_id) =>
            {
                let answer = answer.clone();
                self.says.push_back(Say::Send(answer));
            }
            Call::Talking(dialog) if request.headers.call_id() == Some(&dialog.call_id) => {
                self.reply(&request, 488)
            }
            _ => self.reply(&request, 486),
        }
    }

    fn handle_ack(&mut self, request: &Request) {
        let ours = |dialog: &Dialog| request.headers.call_id() == Some(&dialog.call_id);
        self.call = match std::mem::replace(&mut self.call, Call::None) {
            Call::Answered { dialog, .. } if ours(&dialog) => {
                self.says.push_back(Say::Event(PhoneEvent::Confirmed));
                Call::Talking(dialog)
            }
            other => other,
        };
    }

    fn handle_cancel(&mut self, request: &Request) {
        let Call::Incoming { invite, tag, .. } = &self.call else {
            return self.reply(request, 481);
        };
        if invite.headers.call_id() != request.headers.call_id() {
            return self.reply(request, 481);
        }
        let ended = response(invite, 487, tag, &self.local);
        self.reply(request, 200);
        self.says.push_back(Say::Send(ended.to_bytes()));
        self.call = Call::None;
        self.says.push_back(Say::Event(PhoneEvent::Cancelled));
    }

    fn handle_bye(&mut self, request: &Request) {
        let (Call::Talking(dialog) | Call::Answered { dialog, .. }) = &self.call else {
            return self.reply(request, 481);
        };
        if request.headers.call_id() != Some(&dialog.call_id) {
            return self.reply(request, 481);
        }
        self.reply(request, 200);
        self.call = Call::None;
        self.says.push_back(Say::Event(PhoneEvent::HungUp));
    }

    pub(super) fn reply(&mut self, request: &Request, status: u16) {
        let tag = token(&mut self.rng);
        self.says.push_back(Say::Send(
            response(request, status, &tag, &self.local).to_bytes(),
        ));
    }
}
