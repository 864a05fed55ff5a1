//! Reliable provisional responses (RFC 3262): ours to a phone that requires them, and a phone's to us.
//!
//! The extension is offered and never required. Our provisional responses carry no SDP, so a PRACK never answers an offer. The
//! SDP of a phone's provisional response is kept in case its 200 has none. There is no early media.

use std::time::{Duration, Instant};

use super::context::LegContext;
use super::{InDialogRequest, ReceivedResponse};
use crate::dialog::Dialog;
use crate::event::LegId;
use crate::flow::Flow;
use crate::message::{Method, Name, Request, Response, number};
use crate::timers::{T1, TRANSACTION_TIMEOUT, Timer};
use crate::transaction::TransactionId;

/// A provisional response of ours, until its PRACK (section 3).
#[derive(Debug)]
pub(crate) struct ReliableProvisional {
    response: Response,
    /// The expected RAck: our RSeq and the CSeq number of the INVITE.
    rseq: u32,
    number: u32,
    pause: Duration,
    is_acknowledged: bool,
}

impl ReliableProvisional {
    /// Sends the response, and retransmits it until the PRACK. `number` is the CSeq number of the INVITE.
    pub(crate) fn start(
        mut response: Response,
        number: u32,
        (id, invite): (LegId, TransactionId),
        context: &mut LegContext,
        now: Instant,
    ) -> Self {
        let rseq = 1;
        response.headers.push(Name::Require, "100rel");
        response.headers.push(Name::RSeq, rseq.to_string());
        context.transactions.respond(invite, &response, now);
        context
            .timers
            .set(id, Timer::ProvisionalRetransmission, now + T1);
        context
            .timers
            .set(id, Timer::NoPrack, now + TRANSACTION_TIMEOUT);
        Self {
            response,
            rseq,
            number,
            pause: T1,
            is_acknowledged: false,
        }
    }

    pub(crate) fn repeat(
        &mut self,
        (id, invite): (LegId, TransactionId),
        context: &mut LegContext,
        now: Instant,
    ) {
        context.transactions.respond(invite, &self.response, now);
        self.pause *= 2;
        context
            .timers
            .set(id, Timer::ProvisionalRetransmission, now + self.pause);
    }

    /// Responds to a PRACK: 200 if it acknowledges a response that still waits for one, else 481.
    pub(crate) fn handle_prack(
        waiting: Option<&mut Self>,
        prack: &InDialogRequest<'_>,
        id: LegId,
        context: &mut LegContext,
        now: Instant,
    ) {
        let meant = read_rack(prack.request);
        let waiting =
            waiting.filter(|each| !each.is_acknowledged && meant == Some((each.rseq, each.number)));
        let status = match waiting {
            Some(acknowledged) => {
                acknowledged.is_acknowledged = true;
                context.timers.clear(id, Timer::ProvisionalRetransmission);
                context.timers.clear(id, Timer::NoPrack);
                200
            }
            None => 481,
        };
        prack.respond(status, context, now);
    }
}

/// `RAck: 1 4 INVITE`.
fn read_rack(prack: &Request) -> Option<(u32, u32)> {
    let text = prack.headers.text(&Name::RAck)?;
    let mut words = text.split_ascii_whitespace();
    let rseq = number(words.next()?.as_bytes())?;
    let cseq = number(words.next()?.as_bytes())?;
    let is_invite = words.next() == Some("INVITE") && words.next().is_none();
    is_invite.then_some((rseq, cseq))
}

/// The early dialog of a called phone, and its early answer.
#[derive(Debug, Default)]
pub(crate) struct EarlyDialog {
    /// The dialog of the last reliable response that was acknowledged, and its RSeq (section 4).
    acknowledged: Option<(Dialog, u32)>,
    /// The highest CSeq number of our PRACKs.
    sequence: u32,
    /// The early answer to our offer.
    sdp: Vec<u8>,
    /// The dialog of the first provisional response with a tag, which a BYE may end (RFC 3261 section 15).
    ringing: Option<Dialog>,
}

impl EarlyDialog {
    /// Handles a provisional response. A reliable one is acknowledged once.
    pub(crate) fn handle_provisional(
        &mut self,
        invite: &Request,
        received: &ReceivedResponse<'_>,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) {
        let response = received.response;
        if self.ringing.is_none() && received.essentials.to.tag().is_some() {
            self.ringing = Dialog::from_response(invite, response, received.essentials, flow);
        }
        let rseq = response
            .headers
            .get(&Name::RSeq)
            .and_then(number::<u32>)
            .filter(|_| response.headers.lists(&Name::Require, "100rel"));
        if let Some(rseq) = rseq {
            let tag = received.essentials.to.tag().unwrap_or_default();
            let last = self.acknowledged.take();
            let known = last.filter(|(dialog, _)| dialog.id.remote_tag == tag);
            let is_next = known
                .as_ref()
                .is_none_or(|(_, last)| last.checked_add(1) == Some(rseq));
            if !is_next {
                self.acknowledged = known;
                return;
            }
            let dialog = match known {
                Some((dialog, _)) => Some(dialog),
                None => Dialog::from_response(invite, response, received.essentials, flow),
            };
            let Some(mut dialog) = dialog else { return };
            dialog.count_from(self.sequence);
            let number = received.essentials.cseq.number;
            self.sequence = prack(&mut dialog, (rseq, number), context, now);
            self.acknowledged = Some((dialog, rseq));
        }
        if !response.body.is_empty() {
            self.sdp.clone_from(&response.body);
        }
    }

    /// The dialog that the phone has opened by ringing.
    pub(crate) const fn dialog(&self) -> Option<&Dialog> {
        self.ringing.as_ref()
    }

    /// The highest CSeq number of our PRACKs: the dialog of the 2xx continues from it.
    pub(crate) const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The phone's answer: that of the 2xx or, without one, the early answer.
    pub(crate) fn sdp(&self, ok: &Response) -> Vec<u8> {
        if ok.body.is_empty() {
            self.sdp.clone()
        } else {
            ok.body.clone()
        }
    }
}

/// Sends a PRACK and gives its CSeq number.
fn prack(
    dialog: &mut Dialog,
    (rseq, number): (u32, u32),
    context: &mut LegContext,
    now: Instant,
) -> u32 {
    let mut prack = context.request(dialog, Method::Prack);
    prack
        .headers
        .push(Name::RAck, format!("{rseq} {number} INVITE"));
    let sequence = prack.headers.cseq().map_or(0, |cseq| cseq.number);
    context.transactions.start(prack, dialog.flow, None, now);
    sequence
}
