//! What the four state machines have in common: their means, and the result of a step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TransactionId;
use super::completed::Retransmission;
use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use crate::flow::Flow;
use crate::timers::{Timer, Timers};

/// The result of a step.
#[derive(Debug)]
pub(super) enum Next {
    Stay,
    /// The transaction ends.
    Terminated,
    /// The transaction is completed, with this reaction to retransmissions.
    Completed(Retransmission),
}

#[derive(Debug)]
pub(super) enum Machine {
    NonInviteClient(NonInviteClient),
    InviteClient(InviteClient),
    InviteServer(InviteServer),
    NonInviteServer(NonInviteServer),
}

/// The means of a machine: its flow, its timers, the queue of bytes to send.
pub(super) struct MachineContext<'a> {
    pub(super) id: TransactionId,
    pub(super) flow: Flow,
    pub(super) now: Instant,
    pub(super) timers: &'a mut Timers<TransactionId>,
    pub(super) output: &'a mut VecDeque<(Flow, Vec<u8>)>,
}

impl MachineContext<'_> {
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.output.push_back((self.flow, bytes.to_vec()));
    }

    pub(super) fn set(&mut self, timer: Timer, after: Duration) {
        self.timers.set(self.id, timer, self.now + after);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.timers.clear(self.id, timer);
    }

    pub(super) fn is_reliable(&self) -> bool {
        self.flow.transport.is_reliable()
    }
}
