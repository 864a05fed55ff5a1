//! What becomes of a client's TURN request (RFC 8656 sections 7 to 9): served, refused with an error code, or answered as before.

use std::time::Instant;

use super::client::Work;
use super::client_packet::{CredentialState, ProvedUser, TurnMethod, TurnRequest};
use super::repetition::Repetition;
use super::{ClientFlow, TurnMachine, addresses};

/// What to do with a request of a proven user.
enum Judgement {
    Serve,
    Refuse(u16),
    Repeat(Vec<u8>),
    Wait,
}

impl TurnMachine {
    pub(super) fn handle_request(
        &mut self,
        from: ClientFlow,
        request: &TurnRequest<'_>,
        frame: &[u8],
        now: Instant,
    ) {
        if request.method != TurnMethod::Allocate && !self.clients.contains_key(&from) {
            self.counters.dropped += 1;
            return;
        }
        if !self.make_client(from, now) {
            return;
        }
        let refusal = match &request.credentials {
            CredentialState::Missing => None,
            CredentialState::Expired(proof)
                if request.method == TurnMethod::Allocate || !self.knows(from, proof) =>
            {
                Some((401, proof))
            }
            CredentialState::Expired(proof) | CredentialState::User(proof) => {
                match self.judge(from, request, proof) {
                    Judgement::Serve => None,
                    Judgement::Refuse(code) => Some((code, proof)),
                    Judgement::Repeat(reply) => {
                        self.carry_out(from, vec![Work::ToClient(reply)]);
                        return;
                    }
                    Judgement::Wait => return,
                }
            }
        };
        match refusal {
            None => self.serve(from, frame, now),
            Some((code, proof)) => {
                self.counters.refused += 1;
                let reply = request.refuse(code, proof);
                self.carry_out(from, reply.into_iter().map(Work::ToClient).collect());
            }
        }
    }

    fn judge(
        &mut self,
        from: ClientFlow,
        request: &TurnRequest<'_>,
        proof: &ProvedUser,
    ) -> Judgement {
        let room = self.has_room(from, proof);
        let Some(client) = self.clients.get_mut(&from) else {
            return Judgement::Wait;
        };
        if !client.admit(proof) {
            return Judgement::Refuse(486);
        }
        match request.method {
            TurnMethod::Refresh => Judgement::Serve,
            TurnMethod::Peers => match request.peers() {
                None => Judgement::Refuse(400),
                Some(peers)
                    if !peers
                        .iter()
                        .all(|ip| addresses::is_allowed(*ip, self.settings.allow_private)) =>
                {
                    Judgement::Refuse(403)
                }
                Some(peers) if !client.admit_peers(&peers) => Judgement::Refuse(508),
                Some(_) => Judgement::Serve,
            },
            TurnMethod::Allocate => match client.asks(request.transaction()) {
                Repetition::Answered(reply) => Judgement::Repeat(reply),
                Repetition::Pending => Judgement::Wait,
                Repetition::New if !room => {
                    client.forget_request();
                    Judgement::Refuse(486)
                }
                Repetition::New => Judgement::Serve,
            },
        }
    }

    /// Whether this user at this address may have one allocation more.
    fn has_room(&self, from: ClientFlow, proof: &ProvedUser) -> bool {
        let limits = &self.settings.limits;
        let holders = || {
            self.clients
                .iter()
                .filter(|(_, client)| client.has_allocation())
        };
        let users = holders().filter(|(_, client)| client.knows(&proof.username));
        let neighbours = holders().filter(|(flow, _)| flow.addr.ip() == from.addr.ip());
        self.allocations.len() < limits.allocations
            && users.count() < limits.allocations_per_user
            && neighbours.count() < limits.allocations_per_address
    }

    fn knows(&self, from: ClientFlow, proof: &ProvedUser) -> bool {
        self.clients
            .get(&from)
            .is_some_and(|client| client.knows(&proof.username))
    }
}
