//! Our forked INVITE: one branch for each phone of a line, and the first 2xx wins (RFC 3261 sections 13.2 and 16.7).

use std::collections::VecDeque;
use std::time::Instant;

use super::cancelling::Cancelling;
use super::context::{ALLOW, LegContext, SUPPORTED};
use super::established::Established;
use super::provisional::EarlyDialog;
use super::target::RequestTarget;
use super::{Leg, ReceivedResponse};
use crate::dialog::{Dialog, own_contact};
use crate::event::{CallerId, Event, HangUp, LegId, Offer};
use crate::message::{Method, Name, Request};
use crate::restart::FinalMessage;
use crate::timers::{RING_LIMIT, Timer};
use crate::transaction::{TransactionId, cancel_for};

/// The INVITE to one phone.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) invite: Request,
    /// The INVITEs that follow, one after the other, as long as the phone refuses the SDP before.
    pub(crate) fallbacks: VecDeque<Request>,
    pub(crate) target: RequestTarget,
    pub(crate) transaction: TransactionId,
    pub(crate) state: BranchState,
    pub(crate) early: EarlyDialog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchState {
    /// No response yet: a CANCEL would have to wait (section 9.1).
    Calling,
    /// A provisional response has arrived.
    Proceeding,
    /// A CANCEL has been sent.
    Cancelled,
    /// Refused with this status, or without a final response (408).
    Completed(u16),
}

impl Branch {
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.state, BranchState::Completed(_))
    }

    pub(crate) fn cancel(&self, reason: HangUp) -> Request {
        let mut cancel = cancel_for(&self.invite);
        if let Some(reason) = reason.header() {
            cancel.headers.push(Name::Reason, reason);
        }
        cancel
    }

    /// The CANCEL, written ahead.
    pub(crate) fn final_message(&self, reason: HangUp) -> FinalMessage {
        FinalMessage::new(&self.target, self.cancel(reason).to_bytes())
    }

    /// The transaction has ended without a response. (After a provisional one it waits without a limit; and with a closed stream the
    /// phone is no longer registered.)
    pub(crate) fn report_silence(&self, context: &mut LegContext) {
        context.silent_phones.push(self.target.clone());
    }
}

/// The branch whose INVITE this transaction is.
pub(super) fn branch_of(
    branches: &mut [Branch],
    transaction: TransactionId,
) -> Option<&mut Branch> {
    branches
        .iter_mut()
        .find(|branch| branch.transaction == transaction)
}

/// Whether a phone refuses the SDP and not the call (RFC 3261 sections 21.4.13, 21.4.26 and 21.6.4). 606 speaks for all of a user's phones
/// at a proxy; here each phone has an offer of its own, and another phone may take its.
const fn refuses_sdp(status: u16) -> bool {
    matches!(status, 415 | 488 | 606)
}

/// The rank of a status when all phones refused: the lowest is reported (section 16.7, step 6).
pub(super) const fn rank(status: u16) -> u16 {
    match status {
        606 => 4,
        600.. => 0,
        486 => 1,
        480 => 2,
        408 => 9,
        500..=599 => 8,
        400..=499 => 4,
        _ => 5,
    }
}

#[derive(Debug)]
pub(crate) struct OutboundInvite {
    id: LegId,
    branches: Vec<Branch>,
    has_rung: bool,
}

impl OutboundInvite {
    /// Sends the INVITEs. `None` if none could be sent.
    pub(crate) fn new(
        id: LegId,
        phones: Vec<(RequestTarget, Offer)>,
        caller: &CallerId,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let mut branches = Vec::new();
        for (phone, Offer { sdp, fallbacks }) in phones {
            let fallbacks = fallbacks.iter();
            let fallbacks = fallbacks
                .map(|sdp| invite(&phone, sdp, caller, context))
                .collect();
            let invite = invite(&phone, &sdp, caller, context);
            let started = context
                .transactions
                .start(invite.clone(), phone.flow, Some(id), now);
            if let Some(transaction) = started {
                branches.push(Branch {
                    invite,
                    fallbacks,
                    target: phone,
                    transaction,
                    state: BranchState::Calling,
                    early: EarlyDialog::default(),
                });
            }
        }
        context.timers.set(id, Timer::RingLimit, now + RING_LIMIT);
        (!branches.is_empty()).then_some(Self {
            id,
            branches,
            has_rung: false,
        })
    }

    pub(crate) fn handle_response(
        mut self,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let status = received.response.status;
        let Some(branch) = branch_of(&mut self.branches, received.transaction) else {
            return Some(Leg::OutboundInvite(self));
        };
        match status {
            ..200 => {
                branch.state = BranchState::Proceeding;
                branch.early.handle_provisional(
                    &branch.invite,
                    received,
                    branch.target.flow,
                    context,
                    now,
                );
                if matches!(status, 180..=183) && !self.has_rung {
                    self.has_rung = true;
                    context.emit(Event::Ringing { leg: self.id });
                }
                Some(Leg::OutboundInvite(self))
            }
            200..300 => self.accepted(received, context, now),
            status
                if refuses_sdp(status) && self.try_fallback(received.transaction, context, now) =>
            {
                Some(Leg::OutboundInvite(self))
            }
            _ => self.branch_failed(received.transaction, status, context, now),
        }
    }

    /// Sends the next fallback INVITE. False if the phone has had them all.
    fn try_fallback(
        &mut self,
        refused: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) -> bool {
        let branch = branch_of(&mut self.branches, refused);
        let Some((branch, invite)) = branch.and_then(|branch| {
            let invite = branch.fallbacks.pop_front()?;
            Some((branch, invite))
        }) else {
            return false;
        };
        let started =
            context
                .transactions
                .start(invite.clone(), branch.target.flow, Some(self.id), now);
        let Some(transaction) = started else {
            return false;
        };
        branch.invite = invite;
        branch.transaction = transaction;
        branch.state = BranchState::Calling;
        branch.early = EarlyDialog::default();
        true
    }

    pub(crate) fn handle_unanswered(
        mut self,
        transaction: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if let Some(branch) = branch_of(&mut self.branches, transaction) {
            branch.report_silence(context);
        }
        self.branch_failed(transaction, 408, context, now)
    }

    fn accepted(
        mut self,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let won = self
            .branches
            .iter()
            .enumerate()
            .find_map(|(index, branch)| {
                let is_it = branch.transaction == received.transaction;
                let dialog = is_it.then(|| {
                    Dialog::from_response(
                        &branch.invite,
                        received.response,
                        received.essentials,
                        branch.target.flow,
                    )
                });
                Some((index, dialog??))
            });
        let Some((index, mut dialog)) = won else {
            return self.branch_failed(received.transaction, 500, context, now);
        };
        let branch = self.branches.swap_remove(index);
        context.timers.clear_all(self.id);
        Cancelling::begin_for_losers(self.branches, HangUp::AnsweredElsewhere, context, now);
        dialog.count_from(branch.early.sequence());
        let sdp = branch.early.sdp(received.response);
        let established =
            Established::accepted(self.id, dialog, (branch, received.response), context, now);
        context.emit(Event::Answered { leg: self.id, sdp });
        Some(Leg::Established(Box::new(established)))
    }

    fn branch_failed(
        mut self,
        transaction: TransactionId,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if let Some(branch) = branch_of(&mut self.branches, transaction) {
            branch.state = BranchState::Completed(status);
        }
        let statuses = self
            .branches
            .iter()
            .filter_map(|branch| match branch.state {
                BranchState::Completed(status) => Some(status),
                _ => None,
            });
        let best = statuses
            .min_by_key(|status| rank(*status))
            .unwrap_or(status);
        let is_everywhere = status >= 600 && !refuses_sdp(status);
        if self.branches.iter().any(Branch::is_open) && !is_everywhere {
            return Some(Leg::OutboundInvite(self));
        }
        context.emit(Event::Refused {
            leg: self.id,
            status: best,
        });
        self.hang_up(HangUp::Normal, context, now)
    }

    /// The branches without a final response. Only one with a provisional response can be cancelled now (RFC 3261 section 9.1), but
    /// what is written ahead is sent when seconds have passed.
    pub(crate) fn open_branches(&self) -> impl Iterator<Item = &Branch> {
        self.branches.iter().filter(|branch| branch.is_open())
    }

    /// Decreases with each branch that rings or ends and each fallback that takes its place.
    pub(crate) fn steps_left(&self) -> usize {
        let steps = |branch: &Branch| {
            let invites = usize::from(branch.is_open()) + branch.fallbacks.len();
            (2 * invites).saturating_sub(branch.early.dialog().iter().len())
        };
        self.branches.iter().map(steps).sum()
    }

    pub(crate) fn handle_ring_limit(self, context: &mut LegContext, now: Instant) -> Option<Leg> {
        context.emit(Event::Refused {
            leg: self.id,
            status: 408,
        });
        self.hang_up(HangUp::Normal, context, now)
    }

    pub(crate) fn hang_up(
        self,
        reason: HangUp,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        context.timers.clear_all(self.id);
        Cancelling::begin(self.id, self.branches, reason, context, now).map(Leg::Cancelling)
    }
}

/// Builds the INVITE to one phone.
fn invite(
    phone: &RequestTarget,
    sdp: &[u8],
    caller: &CallerId,
    context: &mut LegContext,
) -> Request {
    let mut request = phone.request(Method::Invite, caller, context);
    let headers = &mut request.headers;
    headers.push(Name::Contact, own_contact(phone.flow, &request.uri));
    headers.push(Name::Allow, ALLOW);
    headers.push(Name::Supported, SUPPORTED);
    if !sdp.is_empty() {
        headers.push(Name::ContentType, "application/sdp");
    }
    request.body = sdp.to_vec();
    request
}
