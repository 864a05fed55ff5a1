//! The branches of an outbound INVITE that are cancelled: each CANCEL is sent as soon as the RFC allows, and a 200 that crosses
//! it is acknowledged and ended by BYE (RFC 3261 section 9.1). This state emits no event.

use std::time::Instant;

use super::context::LegContext;
use super::outbound_invite::{Branch, BranchState, branch_of};
use super::target::RequestTarget;
use super::{Leg, ReceivedResponse};
use crate::dialog::Dialog;
use crate::event::{HangUp, LegId};
use crate::message::{Essentials, Request, Response};
use crate::restart::FinalMessage;
use crate::timers::{TRANSACTION_TIMEOUT, Timer};
use crate::transaction::TransactionId;

#[derive(Debug)]
pub(crate) struct Cancelling {
    id: LegId,
    branches: Vec<Branch>,
    reason: HangUp,
}

impl Cancelling {
    /// Begins to cancel. `None` if no branch is open.
    pub(crate) fn begin(
        id: LegId,
        branches: Vec<Branch>,
        reason: HangUp,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let branches = branches.into_iter().filter(Branch::is_open).collect();
        let mut cancelling = Self {
            id,
            branches,
            reason,
        };
        for branch in &mut cancelling.branches {
            // Before the first response no CANCEL may be sent (section 9.1).
            if branch.state == BranchState::Proceeding {
                cancel(branch, reason, context, now);
            }
        }
        cancelling.wait_or_end(context, now)
    }

    pub(crate) fn handle_response(
        mut self,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let Some(branch) = branch_of(&mut self.branches, received.transaction) else {
            return Some(Leg::Cancelling(self));
        };
        match received.response.status {
            ..200 if branch.state == BranchState::Calling => {
                cancel(branch, self.reason, context, now);
                self.wait_or_end(context, now).map(Leg::Cancelling)
            }
            ..200 => Some(Leg::Cancelling(self)),
            200..300 => {
                let sequence = branch.early.sequence();
                ack_and_hang_up(
                    (&branch.invite, sequence),
                    (received.response, received.essentials),
                    &branch.target,
                    context,
                    now,
                );
                self.handle_final(received.transaction)
            }
            _ => self.handle_final(received.transaction),
        }
    }

    /// A branch got no final response. A phone without any response may be gone.
    pub(crate) fn handle_unanswered(
        mut self,
        transaction: TransactionId,
        context: &mut LegContext,
    ) -> Option<Leg> {
        if let Some(branch) = branch_of(&mut self.branches, transaction) {
            branch.report_silence(context);
        }
        self.handle_final(transaction)
    }

    pub(crate) fn handle_final(mut self, transaction: TransactionId) -> Option<Leg> {
        self.branches.retain(|each| each.transaction != transaction);
        (!self.branches.is_empty()).then_some(Leg::Cancelling(self))
    }

    /// Section 9.1: without a final response for 64*T1 the INVITE counts as cancelled.
    pub(crate) fn handle_timer(self, context: &mut LegContext) -> Option<Leg> {
        for branch in &self.branches {
            context.transactions.forget(branch.transaction);
        }
        None
    }

    /// Each branch is cancelled, or still to be.
    pub(crate) fn final_messages(&self) -> impl Iterator<Item = FinalMessage> {
        let cancels = self.branches.iter();
        cancels.map(|branch| branch.final_message(self.reason))
    }

    /// How many branches are open.
    pub(crate) const fn len(&self) -> usize {
        self.branches.len()
    }

    fn wait_or_end(self, context: &mut LegContext, now: Instant) -> Option<Self> {
        if self.branches.is_empty() {
            return None;
        }
        context
            .timers
            .set(self.id, Timer::NoFinalResponse, now + TRANSACTION_TIMEOUT);
        Some(self)
    }
}

impl Cancelling {
    /// Cancels the branches that another phone won against. They get a leg of their own, as their leg continues with the winner.
    pub(crate) fn begin_for_losers(
        mut losers: Vec<Branch>,
        reason: HangUp,
        context: &mut LegContext,
        now: Instant,
    ) {
        let id = context.new_leg();
        losers.retain(Branch::is_open);
        for branch in &losers {
            context.transactions.set_owner(branch.transaction, id);
        }
        if let Some(cancelling) = Self::begin(id, losers, reason, context, now) {
            context.new_legs.push((id, Leg::Cancelling(cancelling)));
        }
    }
}

fn cancel(branch: &mut Branch, reason: HangUp, context: &mut LegContext, now: Instant) {
    let cancel = branch.cancel(reason);
    branch.state = BranchState::Cancelled;
    context
        .transactions
        .start(cancel, branch.target.flow, None, now);
}

/// Acknowledges an unwanted 2xx and ends its dialog by BYE. `sequence` is the highest CSeq number that was used in the call.
pub(crate) fn ack_and_hang_up(
    (invite, sequence): (&Request, u32),
    (response, essentials): (&Response, &Essentials),
    target: &RequestTarget,
    context: &mut LegContext,
    now: Instant,
) {
    if let Some(mut dialog) = Dialog::from_response(invite, response, essentials, target.flow) {
        context.ack(&dialog, essentials.cseq.number);
        dialog.count_from(sequence);
        context.bye(&mut dialog, &target.phone, HangUp::Normal, now);
    }
}
