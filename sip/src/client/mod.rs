//! The phone's side of SIP, over bytes and time: the built-in phone registers to a line and calls through it (RFC 3261
//! sections 10, 13 and 15).
//!
//! One registration and one call at a time, over UDP. Transactions, dialogs, timers and digest are those of the core; this
//! module adds what a phone decides. Transfer, hold, several lines and TCP are not here, and neither are sockets and audio.
//!
//! Driven as the agent is: one input or command, then [`PhoneClient::poll`] until `None`, then sleep until
//! [`PhoneClient::next_timeout`].

mod uac;
mod uas;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::dialog::Dialog;
use crate::flow::{Flow, Transport};
use crate::leg::unacknowledged::UnacknowledgedOk;
use crate::message::{Message, Method, Request, parse};
use crate::random::Random;
use crate::timers::{Timer, Timers};
use crate::transaction::{ResponseMatch, TransactionId, Transactions};
use crate::{Password, User};

/// What happened at the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// The line accepted the registration.
    Registered,
    /// The line refused a request for good, or gave no final response to it (408).
    Refused {
        /// The request.
        method: Method,
        /// The status.
        status: u16,
    },
    /// The called side rings.
    RemoteRinging,
    /// A call comes in.
    Incoming {
        /// The number that calls.
        from: String,
        /// The caller's offer.
        sdp: Vec<u8>,
    },
    /// The called side answered.
    Answered {
        /// Its answer.
        sdp: Vec<u8>,
    },
    /// The ACK for our answer arrived.
    Confirmed,
    /// The caller gave up before there was an answer.
    Cancelled,
    /// The other side hung up, or our own BYE was confirmed.
    HungUp,
}

/// What the caller of the client has to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send this datagram to the line.
    Send(Vec<u8>),
    /// Something happened.
    Event(PhoneEvent),
}

/// Where a phone registers and as which user.
#[derive(Clone, Debug)]
pub struct Registration {
    /// User name of the line.
    pub user: User,
    /// Password of the line.
    pub password: Password,
    /// The line's UDP address.
    pub line: SocketAddr,
}

/// What a transaction or a timer of the phone belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Registration,
    Call,
}

/// The SIP side of one phone.
#[derive(Debug)]
pub struct PhoneClient {
    registration: Registration,
    flow: Flow,
    random: Random,
    transactions: Transactions<Purpose>,
    timers: Timers<Purpose>,
    registering: RegisterState,
    call: Call,
    events: VecDeque<PhoneEvent>,
}

/// What all REGISTERs of the phone have in common (section 10.2), and the one that waits for its final response.
#[derive(Debug)]
struct RegisterState {
    call_id: String,
    tag: String,
    number: u32,
    pending: Option<(TransactionId, Request)>,
}

/// The one call.
#[derive(Debug)]
enum Call {
    None,
    /// Our INVITE has no final response yet.
    Outgoing {
        invite: Request,
        transaction: TransactionId,
        is_cancelled: bool,
    },
    /// The line's INVITE has no final response yet.
    Incoming {
        invite: Request,
        transaction: TransactionId,
        dialog: Dialog,
    },
    /// The line's INVITE is accepted, and the ACK has not come.
    Answered {
        dialog: Dialog,
        ok: UnacknowledgedOk,
    },
    Established {
        dialog: Dialog,
        /// Our INVITE's transaction and its ACK, which is sent again whenever the 2xx comes again.
        ack: Option<(TransactionId, Vec<u8>)>,
    },
    /// Our BYE has no final response yet.
    Ending(TransactionId),
}

impl PhoneClient {
    /// A phone at `local` for one line. All randomness (tags, branches, Call-IDs) comes from `seed`.
    #[must_use]
    pub fn new(registration: Registration, local: SocketAddr, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let registering = RegisterState {
            call_id: random.call_id(),
            tag: random.tag(),
            number: 0,
            pending: None,
        };
        let flow = Flow {
            transport: Transport::Udp,
            local,
            peer: registration.line,
            connection: 0,
        };
        Self {
            registration,
            flow,
            random,
            transactions: Transactions::new(),
            timers: Timers::new(),
            registering,
            call: Call::None,
            events: VecDeque::new(),
        }
    }

    /// A datagram from the line. What is not SIP, or breaks the RFC, is dropped.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Instant) {
        match parse(bytes) {
            Ok(Message::Request(request)) => {
                if let Ok((_, essentials)) = request.validate() {
                    self.handle_request(request, &essentials, now);
                }
            }
            Ok(Message::Response(response)) => {
                let Ok(essentials) = response.validate() else {
                    return;
                };
                match self.transactions.receive(&response, &essentials, now) {
                    ResponseMatch::ForOwner(transaction, Purpose::Registration) => {
                        self.handle_register_response(transaction, &response, now);
                    }
                    ResponseMatch::ForOwner(transaction, Purpose::Call) => {
                        self.handle_call_response(transaction, &response, &essentials, now);
                    }
                    ResponseMatch::Absorbed | ResponseMatch::Stray => {}
                }
            }
            Err(_) => {}
        }
    }

    /// Time passed. Call at or after the instant of [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        for unanswered in self.transactions.handle_timeout(now) {
            self.handle_unanswered(&unanswered);
        }
        while let Some((key, timer)) = self.timers.pop(now) {
            match (timer, &mut self.call) {
                (Timer::RegistrationRefresh, _) => self.register(now),
                (Timer::RingLimit, Call::Outgoing { transaction, .. }) => {
                    self.transactions.forget(*transaction);
                    self.finish_call(Method::Invite, 408);
                }
                (Timer::OkRetransmission, Call::Answered { ok, .. }) => {
                    ok.repeat(key, &mut self.transactions, &mut self.timers, now);
                }
                (Timer::NoAck, Call::Answered { .. }) => self.hang_up(now),
                _ => {}
            }
        }
    }

    /// The next thing to do; drain until `None` after every input.
    pub fn poll(&mut self) -> Option<ClientOutput> {
        if let Some((_, bytes)) = self.transactions.poll() {
            return Some(ClientOutput::Send(bytes));
        }
        self.events.pop_front().map(ClientOutput::Event)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. Completed transactions wake no phone:
    /// they are forgotten when something else does.
    #[must_use]
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let timers = [self.transactions.next_retransmission(), self.timers.next()];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
