//! What the four machines have in common: what they may do, and how a step of theirs ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TransactionId;
use super::completed::Again;
use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::non_invite_client::Client;
use super::non_invite_server::Server;
use crate::flow::Flow;
use crate::timers::{Timer, Timers};

/// Whether a machine goes on.
#[derive(Debug)]
pub(super) enum After {
    Stay,
    /// Nothing is left of it.
    Over,
    /// Only this is left of it.
    Kept(Again),
}

#[derive(Debug)]
pub(super) enum Machine {
    Client(Client),
    InviteClient(InviteClient),
    InviteServer(InviteServer),
    Server(Server),
}

/// What a machine may do to the world.
pub(super) struct Reach<'a> {
    pub(super) id: TransactionId,
    pub(super) flow: Flow,
    pub(super) now: Instant,
    pub(super) timers: &'a mut Timers<TransactionId>,
    pub(super) output: &'a mut VecDeque<(Flow, Vec<u8>)>,
}

impl Reach<'_> {
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
