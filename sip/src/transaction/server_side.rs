//! The requests of phones, and our answers (RFC 3261 section 17.2).

use std::time::Instant;

use super::completed::Again;
use super::invite_server::InviteServer;
use super::key::Key;
use super::machine::{After, Machine};
use super::non_invite_server::Server;
use super::{Entry, TransactionId, Transactions};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};

/// What became of a request offered to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// A repeat, or the ACK of a refusal: dealt with.
    Yes,
    /// It belongs to nothing here.
    No,
}

impl<O: Copy> Transactions<O> {
    /// Offers a request to the transaction it may be a repeat of, or to the refusal it may acknowledge.
    pub(crate) fn absorb(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        now: Instant,
    ) -> Absorbed {
        let key = Key::of_request(request, essentials);
        let is_ack = request.method == Method::Ack;
        let Some(id) = self.by_key.get(&key).copied() else {
            return self.absorb_late(key, is_ack);
        };
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

    /// The same, if the transaction is over.
    fn absorb_late(&mut self, key: Key, is_ack: bool) -> Absorbed {
        let Some(kept) = self.finished.get(key) else {
            return Absorbed::No;
        };
        match &kept.again {
            Again::Bytes(bytes) => self.output.push_back((kept.flow, bytes.to_vec())),
            Again::Call if is_ack => return Absorbed::No,
            Again::Call | Again::Silence | Again::News => {}
        }
        Absorbed::Yes
    }

    /// Opens a server transaction; answers go over `flow`. `None` if the table is full, or its source has its share.
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

    /// The INVITE that a CANCEL means (section 9.2), answered or not.
    pub(crate) fn cancelled(&self, cancel: &Essentials) -> Option<TransactionId> {
        let key = Key::of_cancelled(cancel);
        let open = self.by_key.get(&key).copied();
        open.or_else(|| self.finished.get(key).map(|kept| kept.id))
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

    /// The ACK for our 2xx to an INVITE is here: nothing more will be answered.
    pub(crate) fn confirm(&mut self, id: TransactionId, now: Instant) {
        self.drive(id, now, |machine, _| match machine {
            Machine::InviteServer(server) => server.confirm(),
            Machine::Server(_) | Machine::Client(_) | Machine::InviteClient(_) => After::Stay,
        });
    }
}
