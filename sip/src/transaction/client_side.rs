//! Our requests, and the phones' answers (RFC 3261 section 17.1).

use std::time::Instant;

use super::completed::Retransmission;
use super::invite_client::InviteClient;
use super::key::TransactionKey;
use super::machine::{Machine, Next};
use super::non_invite_client::NonInviteClient;
use super::{OpenTransaction, TransactionId, Transactions};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMatch<O> {
    /// For this leg.
    ForOwner(TransactionId, O),
    /// A repeat, or an answer nobody waits for.
    Absorbed,
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

    /// Offers a response to its transaction. Gives the owner if the response is news to it.
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

    /// The same, if there was a final answer before.
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
