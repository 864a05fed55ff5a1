//! Client transactions: our requests, and the responses to them (RFC 3261 section 17.1).

use std::time::Instant;

use super::completed::Retransmission;
use super::invite_client::InviteClient;
use super::key::TransactionKey;
use super::machine::{Machine, Next};
use super::non_invite_client::NonInviteClient;
use super::{OpenTransaction, TransactionId, Transactions};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};

/// The result of matching a response to the client transactions (section 17.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMatch<O> {
    /// News for the owner of the transaction.
    ForOwner(TransactionId, O),
    /// A retransmission, or a response to a request without an owner.
    Absorbed,
    /// It matches no request of ours.
    Stray,
}

impl<O: Copy> Transactions<O> {
    /// Sends a request and opens its client transaction. If the table is full, nothing is sent and the result is `None`.
    pub(crate) fn start(
        &mut self,
        request: Request,
        flow: Flow,
        owner: Option<O>,
        now: Instant,
    ) -> Option<TransactionId> {
        let key = TransactionKey::of_own(&request)?;
        let machine = match request.method {
            Method::Invite => Machine::InviteClient(InviteClient::new(request)),
            _ => Machine::NonInviteClient(NonInviteClient::new(request)),
        };
        let id = self.insert(OpenTransaction {
            key,
            flow,
            owner,
            machine,
        })?;
        self.drive(id, now, |machine, context| match machine {
            Machine::InviteClient(client) => client.start(context),
            Machine::NonInviteClient(client) => client.start(context),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => Next::Stay,
        });
        Some(id)
    }

    /// Passes a response to its transaction.
    pub(crate) fn receive(
        &mut self,
        response: &Response,
        essentials: &Essentials,
        now: Instant,
    ) -> ResponseMatch<O> {
        let key = TransactionKey::of_response(essentials);
        let Some(id) = self.by_key.get(&key).copied() else {
            return self.receive_late(response, key);
        };
        let owner = self.owner(id);
        self.drive(id, now, |machine, context| match machine {
            Machine::InviteClient(client) => client.handle_response(response, context),
            Machine::NonInviteClient(client) => client.handle_response(response, context),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => Next::Stay,
        });
        owner.map_or(ResponseMatch::Absorbed, |owner| {
            ResponseMatch::ForOwner(id, owner)
        })
    }

    /// The same for a completed transaction.
    fn receive_late(&mut self, response: &Response, key: TransactionKey) -> ResponseMatch<O> {
        let Some(kept) = self.finished.get(key) else {
            return ResponseMatch::Stray;
        };
        match (&kept.on_retransmission, kept.owner, response.status) {
            (Retransmission::PassOk, Some(owner), 200..300) => {
                ResponseMatch::ForOwner(kept.id, owner)
            }
            (Retransmission::Resend(ack), _, 300..) => {
                self.output.push_back((kept.flow, ack.to_vec()));
                ResponseMatch::Absorbed
            }
            _ => ResponseMatch::Absorbed,
        }
    }
}
