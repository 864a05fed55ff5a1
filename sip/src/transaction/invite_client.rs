//! Our INVITE to a phone (RFC 3261 section 17.1.1, with the Accepted state of RFC 6026 section 7.2).
//!
//! The ACK of a refusal is sent here (section 17.1.1.3); the owner of the transaction sends the ACK of a 2xx.

use std::time::Duration;

use super::completed::Retransmission;
use super::machine::{MachineContext, Next};
use crate::message::{CSeq, Headers, Method, Name, Request, Response};
use crate::timers::{T1, TRANSACTION_TIMEOUT, Timer};

#[derive(Debug)]
enum State {
    /// No response yet.
    Calling { pause: Duration },
    /// A provisional response has arrived.
    Proceeding,
}

#[derive(Debug)]
pub(super) struct InviteClient {
    request: Request,
    state: State,
}

impl InviteClient {
    pub(super) const fn new(request: Request) -> Self {
        Self {
            request,
            state: State::Calling { pause: T1 },
        }
    }

    pub(super) fn start(&mut self, context: &mut MachineContext<'_>) -> Next {
        context.send(&self.request.to_bytes());
        if !context.is_reliable() {
            context.set(Timer::A, T1);
        }
        context.set(Timer::B, TRANSACTION_TIMEOUT);
        Next::Stay
    }

    /// Handles the responses up to the final one. After that the completed transaction passes each 2xx to the owner, since it may
    /// come from another phone, and sends the ACK of a refusal again.
    pub(super) fn handle_response(
        &mut self,
        response: &Response,
        context: &mut MachineContext<'_>,
    ) -> Next {
        match response.status {
            ..200 => {
                context.clear(Timer::A);
                context.clear(Timer::B);
                self.state = State::Proceeding;
                Next::Stay
            }
            200..300 => Next::Completed(Retransmission::PassOk),
            300.. => self.complete(response, context),
        }
    }

    fn complete(&self, refusal: &Response, context: &mut MachineContext<'_>) -> Next {
        let ack = ack_for_refusal(&self.request, refusal).to_bytes();
        context.send(&ack);
        if context.is_reliable() {
            return Next::Terminated;
        }
        Next::Completed(Retransmission::Resend(ack.into()))
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, context: &mut MachineContext<'_>) -> Next {
        match (&mut self.state, timer) {
            (State::Calling { pause }, Timer::A) => {
                *pause *= 2;
                let pause = *pause;
                context.send(&self.request.to_bytes());
                context.set(Timer::A, pause);
                Next::Stay
            }
            _ => Next::Terminated,
        }
    }
}

/// Section 17.1.1.3: the INVITE's own Via, Request-URI, From, Call-ID and Route, the refusal's To.
fn ack_for_refusal(invite: &Request, refusal: &Response) -> Request {
    let mut ack = companion(invite, Method::Ack);
    if let Some(to) = refusal.headers.get(&Name::To) {
        ack.headers.replace(Name::To, to);
    }
    ack
}

/// A CANCEL for an INVITE (section 9.1).
pub(crate) fn cancel_for(invite: &Request) -> Request {
    companion(invite, Method::Cancel)
}

fn companion(invite: &Request, method: Method) -> Request {
    let mut headers = Headers::new();
    for name in [
        Name::Via,
        Name::MaxForwards,
        Name::From,
        Name::To,
        Name::CallId,
        Name::Route,
    ] {
        for value in invite.headers.all(&name) {
            headers.push(name.clone(), value);
        }
    }
    if let Some(CSeq { number, .. }) = invite.headers.cseq() {
        headers.push(Name::CSeq, format!("{number} {method}"));
    }
    Request {
        method,
        uri: invite.uri.clone(),
        headers,
        body: Vec::new(),
        defect: None,
    }
}
