//! Server transactions: the requests of phones, and our responses (RFC 3261 section 17.2).

use std::time::Instant;

use super::completed::Retransmission;
use super::invite_server::InviteServer;
use super::key::TransactionKey;
use super::machine::{Machine, Next};
use super::non_invite_server::NonInviteServer;
use super::{OpenTransaction, TransactionId, Transactions};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Request, Response};

/// Whether a transaction has handled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// Yes: a retransmission, or the ACK of a refusal.
    Yes,
    /// No: it matches no transaction.
    No,
}

impl<O: Copy> Transactions<O> {
    /// Passes a request to the transaction that it retransmits or acknowledges.
    pub(crate) fn absorb(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        now: Instant,
    ) -> Absorbed {
        let key = TransactionKey::of_request(request, essentials);
        let is_ack = request.method == Method::Ack;
        let Some(id) = self.by_key.get(&key).copied() else {
            return self.absorb_late(key, is_ack);
        };
        let mut absorbed = Absorbed::Yes;
        self.drive(id, now, |machine, context| match machine {
            Machine::InviteServer(server) if is_ack => {
                if server.is_accepted() {
                    // Some phones send the ACK for a 2xx with the branch of the INVITE: it is for the dialog.
                    absorbed = Absorbed::No;
                }
                server.handle_ack(context)
            }
            Machine::InviteServer(server) => server.handle_retransmission(context),
            Machine::NonInviteServer(server) => server.handle_retransmission(context),
            Machine::NonInviteClient(_) | Machine::InviteClient(_) => Next::Stay,
        });
        absorbed
    }

    /// The same for a completed transaction.
    fn absorb_late(&mut self, key: TransactionKey, is_ack: bool) -> Absorbed {
        let Some(kept) = self.finished.get(key) else {
            return Absorbed::No;
        };
        match &kept.on_retransmission {
            Retransmission::Resend(bytes) => self.output.push_back((kept.flow, bytes.to_vec())),
            Retransmission::PassAck if is_ack => return Absorbed::No,
            Retransmission::PassAck | Retransmission::Absorb | Retransmission::PassOk => {}
        }
        Absorbed::Yes
    }

    /// Opens a server transaction whose responses use `flow`. `None` if the table is full, or the source has its share.
    pub(crate) fn open(
        &mut self,
        request: &Request,
        essentials: &Essentials,
        flow: Flow,
    ) -> Option<TransactionId> {
        let machine = match request.method {
            Method::Invite => Machine::InviteServer(InviteServer::new()),
            _ => Machine::NonInviteServer(NonInviteServer::new()),
        };
        self.insert(OpenTransaction {
            key: TransactionKey::of_request(request, essentials),
            flow,
            owner: None,
            machine,
        })
    }

    /// Whether a refusal of an INVITE still waits for its ACK.
    pub(crate) fn has_open_refusal(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(
            |entry| matches!(&entry.machine, Machine::InviteServer(server) if server.is_refused()),
        )
    }

    /// The INVITE that a CANCEL refers to (section 9.2), open or completed.
    pub(crate) fn cancelled(&self, cancel: &Essentials) -> Option<TransactionId> {
        let key = TransactionKey::of_cancelled(cancel);
        let open = self.by_key.get(&key).copied();
        open.or_else(|| self.finished.get(key).map(|kept| kept.id))
    }

    /// Sends a provisional response, the final one, or a 2xx to INVITE again.
    pub(crate) fn respond(&mut self, id: TransactionId, response: &Response, now: Instant) {
        let bytes = response.to_bytes();
        let status = response.status;
        self.drive(id, now, |machine, context| match machine {
            Machine::InviteServer(server) => server.respond(status, bytes, context),
            Machine::NonInviteServer(server) => server.respond(status, bytes, context),
            Machine::NonInviteClient(_) | Machine::InviteClient(_) => Next::Stay,
        });
    }

    /// The ACK for our 2xx to an INVITE has arrived: the transaction is completed.
    pub(crate) fn confirm(&mut self, id: TransactionId, now: Instant) {
        self.drive(id, now, |machine, _| match machine {
            Machine::InviteServer(server) => server.confirm(),
            Machine::NonInviteServer(_)
            | Machine::NonInviteClient(_)
            | Machine::InviteClient(_) => Next::Stay,
        });
    }
}
