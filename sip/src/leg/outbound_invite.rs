//! Our call to the phones of a line: all ring, the first that answers has the call (RFC 3261 sections 13.2 and 16.7).

use std::time::Instant;

use super::cancelling::Fading;
use super::context::{ALLOW, Board, SUPPORTED};
use super::established::Talking;
use super::provisional::Early;
use super::target::Reached;
use super::{Answer, Leg};
use crate::account::User;
use crate::dialog::{Dialog, own_contact};
use crate::event::{CallerId, Event, HangUp, LegId, Offer};
use crate::flow::Flow;
use crate::message::{Method, Name, Request};
use crate::timers::{RING_LIMIT, Timer};
use crate::transaction::TransactionId;

/// One phone of a placed leg.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) invite: Request,
    /// What it is asked if it does not accept that (488).
    pub(crate) instead: Option<Box<Request>>,
    pub(crate) flow: Flow,
    pub(crate) transaction: TransactionId,
    pub(crate) state: BranchState,
    pub(crate) early: Early,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchState {
    /// No answer at all: a CANCEL would have to wait (section 9.1).
    Silent,
    /// A provisional answer is here.
    Heard,
    /// A CANCEL is on its way.
    Cancelled,
    /// Refused, or never answered.
    Done(u16),
}

impl Branch {
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.state, BranchState::Done(_))
    }
}

/// What a status says about a line whose phones all refused: the smaller, the more telling (section 16.7, step 6).
pub(super) const fn rank(status: u16) -> u16 {
    match status {
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
pub(crate) struct Placed {
    id: LegId,
    user: User,
    branches: Vec<Branch>,
    has_rung: bool,
}

/// What is told to every phone.
pub(crate) struct Call {
    pub(crate) user: User,
    pub(crate) caller: CallerId,
}

impl Placed {
    /// Sends the INVITEs. `None` if not one could be sent.
    pub(crate) fn new(
        id: LegId,
        phones: Vec<(Reached, Offer)>,
        call: &Call,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        let mut branches = Vec::new();
        for (phone, Offer { sdp, instead }) in phones {
            let instead = instead.map(|sdp| Box::new(invite(&phone, &sdp, call, board)));
            let invite = invite(&phone, &sdp, call, board);
            let started = board
                .transactions
                .start(invite.clone(), phone.flow, Some(id), now);
            if let Some(transaction) = started {
                branches.push(Branch {
                    invite,
                    instead,
                    flow: phone.flow,
                    transaction,
                    state: BranchState::Silent,
                    early: Early::default(),
                });
            }
        }
        board.timers.set(id, Timer::RingLimit, now + RING_LIMIT);
        (!branches.is_empty()).then_some(Self {
            id,
            user: call.user.clone(),
            branches,
            has_rung: false,
        })
    }

    pub(crate) fn handle_response(
        mut self,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let status = answer.response.status;
        let Some(branch) = self
            .branches
            .iter_mut()
            .find(|each| each.transaction == answer.transaction)
        else {
            return Some(Leg::Placed(self));
        };
        match status {
            ..200 => {
                branch.state = BranchState::Heard;
                branch
                    .early
                    .hear(&branch.invite, answer, branch.flow, board, now);
                if matches!(status, 180..=183) && !self.has_rung {
                    self.has_rung = true;
                    board.tell(Event::Ringing { leg: self.id });
                }
                Some(Leg::Placed(self))
            }
            200..300 => self.win(answer, board, now),
            488 if self.ask_again(answer.transaction, board, now) => Some(Leg::Placed(self)),
            _ => self.lose(answer.transaction, status, board, now),
        }
    }

    /// Makes a phone the other offer, if there is one that it has not refused.
    fn ask_again(&mut self, refused: TransactionId, board: &mut Board, now: Instant) -> bool {
        let branch = self
            .branches
            .iter_mut()
            .find(|each| each.transaction == refused);
        let Some((branch, invite)) = branch.and_then(|branch| {
            let invite = *branch.instead.take()?;
            Some((branch, invite))
        }) else {
            return false;
        };
        let started = board
            .transactions
            .start(invite.clone(), branch.flow, Some(self.id), now);
        let Some(transaction) = started else {
            return false;
        };
        branch.invite = invite;
        branch.transaction = transaction;
        branch.state = BranchState::Silent;
        branch.early = Early::default();
        true
    }

    pub(crate) fn handle_unanswered(
        self,
        transaction: TransactionId,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        self.lose(transaction, 408, board, now)
    }

    fn win(mut self, answer: &Answer<'_>, board: &mut Board, now: Instant) -> Option<Leg> {
        let won = self
            .branches
            .iter()
            .enumerate()
            .find_map(|(index, branch)| {
                let is_it = branch.transaction == answer.transaction;
                let dialog = is_it.then(|| {
                    Dialog::from_response(
                        &branch.invite,
                        answer.response,
                        answer.essentials,
                        branch.flow,
                    )
                });
                Some((index, dialog??))
            });
        let Some((index, mut dialog)) = won else {
            return self.lose(answer.transaction, 500, board, now);
        };
        let branch = self.branches.swap_remove(index);
        board.timers.clear_all(self.id);
        Fading::begin_beside(self.branches, HangUp::AnsweredElsewhere, board, now);
        dialog.count_from(branch.early.sequence());
        let sdp = branch.early.sdp(answer.response);
        let parties = (self.id, self.user);
        let talking = Talking::accepted(parties, dialog, (branch, answer.response), board, now);
        board.tell(Event::Answered { leg: self.id, sdp });
        Some(Leg::Talking(Box::new(talking)))
    }

    fn lose(
        mut self,
        transaction: TransactionId,
        status: u16,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        if let Some(branch) = self
            .branches
            .iter_mut()
            .find(|each| each.transaction == transaction)
        {
            branch.state = BranchState::Done(status);
        }
        let statuses = self
            .branches
            .iter()
            .filter_map(|branch| match branch.state {
                BranchState::Done(status) => Some(status),
                _ => None,
            });
        let best = statuses
            .min_by_key(|status| rank(*status))
            .unwrap_or(status);
        let is_everywhere = status >= 600;
        if self.branches.iter().any(Branch::is_open) && !is_everywhere {
            return Some(Leg::Placed(self));
        }
        board.tell(Event::Refused {
            leg: self.id,
            status: best,
        });
        self.hang_up(HangUp::Normal, board, now)
    }

    pub(crate) fn handle_ring_limit(self, board: &mut Board, now: Instant) -> Option<Leg> {
        board.tell(Event::Refused {
            leg: self.id,
            status: 408,
        });
        self.hang_up(HangUp::Normal, board, now)
    }

    pub(crate) fn hang_up(self, reason: HangUp, board: &mut Board, now: Instant) -> Option<Leg> {
        board.timers.clear_all(self.id);
        Fading::begin(self.id, self.branches, reason, board, now).map(Leg::Fading)
    }
}

/// The INVITE to one phone.
fn invite(phone: &Reached, sdp: &[u8], call: &Call, board: &mut Board) -> Request {
    let mut request = phone.request(Method::Invite, &call.user, &call.caller, board);
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
