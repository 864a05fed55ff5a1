//! Our requests, and the phones' answers (RFC 3261 section 17.1).

use std::time::Instant;

use super::completed::Again;
use super::invite_client::InviteClient;
use super::key::Key;
use super::machine::{After, Machine};
use super::non_invite_client::Client;
use super::{Entry, TransactionId, Transactions};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received<O> {
    /// For this leg.
    News(TransactionId, O),
    /// A repeat, or an answer nobody waits for.
    Done,
    /// It answers no request of ours.
    Stray,
}

impl<O: Copy> Transactions<O> {
    /// Sends a request and opens its client transaction. `None`, and nothing sent, if the table is full.
    pub(crate) fn start(
        &mut self,
        request: Request,
        flow: Flow,
        owner: Option<O>,
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
    ) -> Received<O> {
        let key = Key::of_response(essentials);
        let Some(id) = self.by_key.get(&key).copied() else {
            return self.receive_late(response, key);
        };
        let owner = self.owner(id);
        self.drive(id, now, |machine, reach| match machine {
            Machine::InviteClient(client) => client.handle_response(response, reach),
            Machine::Client(client) => client.handle_response(response, reach),
            Machine::InviteServer(_) | Machine::Server(_) => After::Stay,
        });
        owner.map_or(Received::Done, |owner| Received::News(id, owner))
    }

    /// The same, if there was a final answer before.
    fn receive_late(&mut self, response: &Response, key: Key) -> Received<O> {
        let Some(kept) = self.finished.get(key) else {
            return Received::Stray;
        };
        match (&kept.again, kept.owner, response.status) {
            (Again::News, Some(owner), 200..300) => Received::News(kept.id, owner),
            (Again::Bytes(ack), _, 300..) => {
                self.output.push_back((kept.flow, ack.to_vec()));
                Received::Done
            }
            _ => Received::Done,
        }
    }
}
