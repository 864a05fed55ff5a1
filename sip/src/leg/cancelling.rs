//! Phones of a placed leg that must stop ringing: each is cancelled as soon as the RFC allows, and a 200 that crosses
//! the CANCEL is acknowledged and hung up (RFC 3261 section 9.1). No event comes from here.

use std::time::Instant;

use super::context::Board;
use super::outbound_invite::{Branch, BranchState};
use super::{Answer, Leg};
use crate::dialog::Dialog;
use crate::event::{HangUp, LegId};
use crate::flow::Flow;
use crate::message::{Name, Request};
use crate::timers::{PATIENCE, Timer};
use crate::transaction::{TransactionId, cancel_for};

#[derive(Debug)]
pub(crate) struct Fading {
    id: LegId,
    branches: Vec<Branch>,
    reason: HangUp,
}

impl Fading {
    /// Begins to cancel. `None` if nothing is left to be told or heard.
    pub(crate) fn begin(
        id: LegId,
        branches: Vec<Branch>,
        reason: HangUp,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        let branches = branches.into_iter().filter(Branch::is_open).collect();
        let mut fading = Self {
            id,
            branches,
            reason,
        };
        for branch in &mut fading.branches {
            // Without any answer yet the CANCEL has to wait for one (section 9.1).
            if branch.state == BranchState::Heard {
                cancel(branch, reason, board, now);
            }
        }
        fading.wait_or_end(board, now)
    }

    pub(crate) fn handle_response(
        mut self,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let Some(branch) = self
            .branches
            .iter_mut()
            .find(|each| each.transaction == answer.transaction)
        else {
            return Some(Leg::Fading(self));
        };
        match answer.response.status {
            ..200 if branch.state == BranchState::Silent => {
                cancel(branch, self.reason, board, now);
                self.wait_or_end(board, now).map(Leg::Fading)
            }
            ..200 => Some(Leg::Fading(self)),
            200..300 => {
                let sequence = branch.early.sequence();
                turn_away((&branch.invite, sequence), answer, branch.flow, board, now);
                self.handle_final(answer.transaction)
            }
            _ => self.handle_final(answer.transaction),
        }
    }

    pub(crate) fn handle_final(mut self, transaction: TransactionId) -> Option<Leg> {
        self.branches.retain(|each| each.transaction != transaction);
        (!self.branches.is_empty()).then_some(Leg::Fading(self))
    }

    /// Section 9.1: a cancelled phone that says nothing more for 64*T1 is taken for cancelled.
    pub(crate) fn handle_timer(self, board: &mut Board) -> Option<Leg> {
        for branch in &self.branches {
            board.transactions.forget(branch.transaction);
        }
        None
    }

    fn wait_or_end(self, board: &mut Board, now: Instant) -> Option<Self> {
        if self.branches.is_empty() {
            return None;
        }
        board
            .timers
            .set(self.id, Timer::NoFinalResponse, now + PATIENCE);
        Some(self)
    }
}

impl Fading {
    /// The same for the phones that lost to another one: their leg goes on with the winner, they get one of their own.
    pub(crate) fn begin_beside(
        mut losers: Vec<Branch>,
        reason: HangUp,
        board: &mut Board,
        now: Instant,
    ) {
        let id = board.new_leg();
        losers.retain(Branch::is_open);
        for branch in &losers {
            board.transactions.set_owner(branch.transaction, id);
        }
        if let Some(fading) = Self::begin(id, losers, reason, board, now) {
            board.newborn.push((id, Leg::Fading(fading)));
        }
    }
}

fn cancel(branch: &mut Branch, reason: HangUp, board: &mut Board, now: Instant) {
    let mut cancel = cancel_for(&branch.invite);
    if reason == HangUp::AnsweredElsewhere {
        cancel.headers.push(
            Name::Reason,
            "SIP;cause=200;text=\"Call completed elsewhere\"",
        );
    }
    branch.state = BranchState::Cancelled;
    board.transactions.start(cancel, branch.flow, None, now);
}

/// Acknowledges a 2xx that nobody wants, and hangs it up. `sequence` is the greatest CSeq number that was used in the
/// call.
pub(crate) fn turn_away(
    (invite, sequence): (&Request, u32),
    answer: &Answer<'_>,
    flow: Flow,
    board: &mut Board,
    now: Instant,
) {
    if let Some(mut dialog) =
        Dialog::from_response(invite, answer.response, answer.essentials, flow)
    {
        board.ack(&dialog, answer.essentials.cseq.number);
        dialog.count_from(sequence);
        board.bye(&mut dialog, now);
    }
}
