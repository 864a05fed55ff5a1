//! Transactions: one request and its answers, repeats swallowed and losses made good (RFC 3261 section 17, RFC 6026).
//!
//! This file owns the table and says which transaction a message belongs to; the four machines have a file each. It
//! does not know calls. State is only opened for requests that the agent wants to keep: challenges and refusals of
//! strangers are answered without any (section 8.2.7).

mod client;
mod invite_client;
mod invite_server;
mod key;
mod machine;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::event::LegId;
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};
use crate::timers::{Alarms, Timer};
use client::Client;
use invite_client::InviteClient;
use invite_server::InviteServer;
use key::Key;
use machine::{After, Machine, Reach};
use server::Server;

pub(crate) use invite_client::cancel_for;

/// How many transactions may be open. A call has one or two at a time and each lingers for 32 s, so this is some
/// 60 calls a second for ever; beyond it requests are answered 503 without state.
pub(crate) const MAX_TRANSACTIONS: usize = 4096;

/// One transaction. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransactionId(u64);

/// What became of a request offered to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// A repeat, or the ACK of a refusal: dealt with.
    Yes,
    /// It belongs to nothing here.
    No,
}

/// A client transaction that ended without a final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) transaction: TransactionId,
    pub(crate) owner: Option<LegId>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    flow: Flow,
    owner: Option<LegId>,
    machine: Machine,
}

/// The table of all open transactions, and the queue of bytes to send.
///
/// The queue is drained after every input; one input adds a message per phone of a line at most, and a timeout one per
/// open transaction.
#[derive(Debug)]
pub(crate) struct Transactions {
    entries: BTreeMap<TransactionId, Entry>,
    by_key: BTreeMap<Key, TransactionId>,
    alarms: Alarms<TransactionId>,
    output: VecDeque<(Flow, Vec<u8>)>,
    last: u64,
}

impl Transactions {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            by_key: BTreeMap::new(),
            alarms: Alarms::new(),
            output: VecDeque::new(),
            last: 0,
        }
    }

    /// Sends bytes that belong to no transaction.
    pub(crate) fn send(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.output.push_back((flow, bytes));
    }

    pub(crate) fn poll(&mut self) -> Option<(Flow, Vec<u8>)> {
        self.output.pop_front()
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        self.alarms.next()
    }

    /// Offers a request to the transaction it may be a repeat of, or to the refusal it may acknowledge.
    pub(crate) fn absorb(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        now: Instant,
    ) -> Absorbed {
        let Some(id) = self
            .by_key
            .get(&Key::of_request(request, essentials))
            .copied()
        else {
            return Absorbed::No;
        };
        let is_ack = request.method == Method::Ack;
        let mut absorbed = Absorbed::Yes;
        self.drive(id, now, |machine, reach| match machine {
            Machine::InviteServer(server) if is_ack => {
                if server.is_accepted() {
                    // An old phone that keeps the branch in its ACK for a 200: the call's business.
                    absorbed = Absorbed::No;
                }
                server.handle_ack(reach)
            }
            Machine::InviteServer(server) => server.handle_repeat(reach),
            Machine::Server(server) => server.handle_repeat(reach),
            Machine::Client(_) | Machine::InviteClient(_) => After::Stay,
        });
        absorbed
    }

    /// Opens a server transaction; answers go over `flow`. `None` if the table is full.
    pub(crate) fn open(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        flow: Flow,
    ) -> Option<TransactionId> {
        let machine = match request.method {
            Method::Invite => Machine::InviteServer(InviteServer::new()),
            _ => Machine::Server(Server::new()),
        };
        self.insert(Entry {
            key: Key::of_request(request, essentials),
            flow,
            owner: None,
            machine,
        })
    }

    /// Says which leg a server transaction belongs to, for CANCEL.
    pub(crate) fn set_owner(&mut self, id: TransactionId, owner: LegId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.owner = Some(owner);
        }
    }

    /// The INVITE that a CANCEL means (section 9.2).
    pub(crate) fn cancelled(&self, cancel: &Essentials) -> Option<TransactionId> {
        self.by_key.get(&Key::of_cancelled(cancel)).copied()
    }

    /// The leg that a transaction belongs to.
    pub(crate) fn owner(&self, id: TransactionId) -> Option<LegId> {
        self.entries.get(&id).and_then(|entry| entry.owner)
    }

    /// Answers. A provisional answer, the final one, or a 2xx to INVITE again.
    pub(crate) fn respond(&mut self, id: TransactionId, response: &Response, now: Instant) {
        let bytes = response.to_bytes();
        let status = response.status;
        self.drive(id, now, |machine, reach| match machine {
            Machine::InviteServer(server) => server.respond(status, bytes, reach),
            Machine::Server(server) => server.respond(status, bytes, reach),
            Machine::Client(_) | Machine::InviteClient(_) => After::Stay,
        });
    }

    /// Sends a request and opens its client transaction. `None`, and nothing sent, if the table is full.
    pub(crate) fn start(
        &mut self,
        request: Request,
        flow: Flow,
        owner: Option<LegId>,
        now: Instant,
    ) -> Option<TransactionId> {
        let key = Key::of_own(&request)?;
        let machine = match request.method {
            Method::Invite => Machine::InviteClient(InviteClient::new(request)),
            _ => Machine::Client(Client::new(request)),
        };
        let id = self.insert(Entry {
            key,
            flow,
            owner,
            machine,
        })?;
        self.drive(id, now, |machine, reach| match machine {
            Machine::InviteClient(client) => client.start(reach),
            Machine::Client(client) => client.start(reach),
            Machine::InviteServer(_) | Machine::Server(_) => After::Stay,
        });
        Some(id)
    }

    /// Offers a response to its transaction. Gives the owner if the response is news to it.
    pub(crate) fn receive(
        &mut self,
        response: &Response,
        essentials: &Essentials,
        now: Instant,
    ) -> Received {
        let Some(id) = self.by_key.get(&Key::of_response(essentials)).copied() else {
            return Received::Stray;
        };
        let owner = self.owner(id);
        let mut is_news = false;
        self.drive(id, now, |machine, reach| {
            let (news, after) = match machine {
                Machine::InviteClient(client) => client.handle_response(response, reach),
                Machine::Client(client) => client.handle_response(response, reach),
                Machine::InviteServer(_) | Machine::Server(_) => (false, After::Stay),
            };
            is_news = news;
            after
        });
        match owner {
            Some(owner) if is_news => Received::News(id, owner),
            _ => Received::Done,
        }
    }

    /// Forgets a transaction at once.
    pub(crate) fn forget(&mut self, id: TransactionId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.by_key.remove(&entry.key);
        }
        self.alarms.clear_all(id);
    }

    /// Handles the waits that have ended; gives the requests that got no final answer.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Unanswered> {
        let mut unanswered = Vec::new();
        while let Some((transaction, timer)) = self.alarms.pop(now) {
            let owner = self.owner(transaction);
            let is_given_up = matches!(timer, Timer::B | Timer::F);
            self.drive(transaction, now, |machine, reach| match machine {
                Machine::InviteServer(server) => server.handle_timer(timer, reach),
                Machine::Server(_) => After::Over,
                Machine::InviteClient(client) => client.handle_timer(timer, reach),
                Machine::Client(client) => client.handle_timer(timer, reach),
            });
            if is_given_up {
                unanswered.push(Unanswered { transaction, owner });
            }
        }
        unanswered
    }

    /// Drops everything on a closed stream; gives the requests that now stay unanswered.
    pub(crate) fn handle_flow_closed(&mut self, flow: Flow) -> Vec<Unanswered> {
        let on_flow = self.entries.iter().filter(|(_, entry)| entry.flow == flow);
        let gone: Vec<(TransactionId, bool, Option<LegId>)> = on_flow
            .map(|(id, entry)| {
                let is_client =
                    matches!(entry.machine, Machine::Client(_) | Machine::InviteClient(_));
                (*id, is_client, entry.owner)
            })
            .collect();
        for (id, ..) in &gone {
            self.forget(*id);
        }
        let clients = gone.into_iter().filter(|(_, is_client, _)| *is_client);
        clients
            .map(|(transaction, _, owner)| Unanswered { transaction, owner })
            .collect()
    }

    fn insert(&mut self, entry: Entry) -> Option<TransactionId> {
        if self.entries.len() >= MAX_TRANSACTIONS || self.by_key.contains_key(&entry.key) {
            return None;
        }
        self.last = self.last.saturating_add(1);
        let id = TransactionId(self.last);
        self.by_key.insert(entry.key.clone(), id);
        self.entries.insert(id, entry);
        Some(id)
    }

    /// The one place where a machine is moved, and taken out when it is over.
    fn drive(
        &mut self,
        id: TransactionId,
        now: Instant,
        step: impl FnOnce(&mut Machine, &mut Reach<'_>) -> After,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let flow = entry.flow;
        let mut reach = Reach {
            id,
            flow,
            now,
            alarms: &mut self.alarms,
            output: &mut self.output,
        };
        if step(&mut entry.machine, &mut reach) == After::Over {
            self.forget(id);
        }
    }
}

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// For this leg.
    News(TransactionId, LegId),
    /// A repeat, or an answer nobody waits for.
    Done,
    /// It answers no request of ours.
    Stray,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, parse};
    use crate::timers::{PATIENCE, some_instant};

    fn flow() -> Flow {
        Flow {
            transport: crate::flow::Transport::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            peer: "127.0.0.1:40001".parse().unwrap(),
            connection: 0,
        }
    }

    fn request(method: &str) -> Request {
        let text = format!(
            "{method} sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:1@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:a@h>\r\n\r\n"
        );
        match parse(text.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!("a request was written"),
        }
    }

    /// Lets all waits end; gives how often something was sent meanwhile.
    fn wait(table: &mut Transactions, now: Instant) -> usize {
        while let Some((at, _)) = table.next_alarm().filter(|(at, _)| *at <= now + PATIENCE) {
            table.handle_timeout(at);
        }
        std::iter::from_fn(|| table.poll()).count()
    }

    #[test]
    fn every_way_to_answer_a_phone_ends_with_an_empty_table() {
        for (method, status) in [("INVITE", 200), ("INVITE", 486), ("OPTIONS", 200)] {
            let (mut table, now) = (Transactions::new(), some_instant());
            let request = request(method);
            let (_, essentials) = request.validate().unwrap();
            let id = table.open(&request, &essentials, flow()).unwrap();
            assert_eq!(table.absorb(&request, &essentials, now), Absorbed::Yes);
            table.respond(id, &Response::to(&request, status), now);
            wait(&mut table, now);
            assert!(
                table.entries.is_empty() && table.by_key.is_empty(),
                "{method} {status}"
            );
            assert_eq!(table.next_alarm(), None);
        }
    }

    #[test]
    fn every_way_a_phone_answers_ends_with_an_empty_table() {
        for (method, status) in [
            ("INVITE", 200),
            ("INVITE", 486),
            ("BYE", 200),
            ("BYE", 0),
            ("INVITE", 0),
        ] {
            let (mut table, now) = (Transactions::new(), some_instant());
            let request = request(method);
            table.start(request.clone(), flow(), None, now).unwrap();
            if status > 0 {
                let response = Response::to(&request, status);
                let essentials = response.validate().unwrap();
                assert_eq!(table.receive(&response, &essentials, now), Received::Done);
            }
            wait(&mut table, now);
            assert!(
                table.entries.is_empty() && table.by_key.is_empty(),
                "{method} {status}"
            );
            assert_eq!(table.next_alarm(), None);
        }
    }

    #[test]
    fn repeats_follow_the_schedule_of_the_rfc() {
        // An INVITE doubles its pause: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s. Others stop doubling at 4 s.
        for (method, times) in [("INVITE", 7), ("BYE", 11)] {
            let (mut table, now) = (Transactions::new(), some_instant());
            table.start(request(method), flow(), None, now).unwrap();
            assert_eq!(wait(&mut table, now), times, "{method}");
        }
    }

    #[test]
    fn a_full_table_takes_nothing_more_and_forgets_nothing() {
        let mut table = Transactions::new();
        for number in 0..=MAX_TRANSACTIONS {
            let mut request = request("OPTIONS");
            let via = format!("SIP/2.0/UDP h;branch=z9hG4bK{number}");
            request.headers.replace(crate::message::Name::Via, via);
            let (_, essentials) = request.validate().unwrap();
            let is_open = table.open(&request, &essentials, flow()).is_some();
            assert_eq!(is_open, number < MAX_TRANSACTIONS);
        }
        assert_eq!(table.entries.len(), MAX_TRANSACTIONS);
    }
}
