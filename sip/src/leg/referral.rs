//! Call transfer: a phone's REFER, and the NOTIFYs that report its progress (RFC 3515, RFC 3891, RFC 4488).
//!
//! The REFER creates a subscription within the call's dialog; each NOTIFY carries one status line. Responses to them are not
//! awaited, because some phones send none. One REFER at a time. The caller of the user agent carries the transfer out.

use std::time::Instant;

use super::InDialogRequest;
use super::context::{LegContext, dialog_response, write_notify};
use super::established::Established;
use crate::dialog::DialogId;
use crate::event::{Event, TransferTo};
use crate::message::{Method, Name, NameAddr, Replaces, Request, Response, phrase};
use crate::transaction::TransactionId;

/// The lifetime of the subscription in seconds: longer than any phone may ring.
const LIFE: u32 = 240;

/// A REFER in progress.
#[derive(Debug)]
pub(super) struct Referral {
    /// The REFER, until it is answered.
    open: Option<(TransactionId, Request)>,
    /// The Event of its NOTIFYs, with the CSeq number from the second REFER of a call on (RFC 3515 section 2.4.6).
    event: String,
    /// The phone wants no NOTIFY (RFC 4488).
    is_silent: bool,
}

impl Established {
    pub(super) fn refer(
        &mut self,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) {
        let refusal = match read_refer_to(incoming.request, context) {
            _ if self.referral.is_some() => 491,
            _ if self.is_closing() => 481,
            Ok(to) => {
                let headers = &incoming.request.headers;
                let event = match std::mem::replace(&mut self.has_referred, true) {
                    false => "refer".to_owned(),
                    true => format!("refer;id={}", incoming.essentials.cseq.number),
                };
                self.referral = Some(Box::new(Referral {
                    open: Some((incoming.transaction, incoming.request.clone())),
                    event,
                    is_silent: headers
                        .text(&Name::ReferSub)
                        .is_some_and(|value| value.trim().eq_ignore_ascii_case("false")),
                }));
                return context.emit(Event::Transfer { leg: self.id, to });
            }
            Err(status) => status,
        };
        context.respond(incoming.transaction, incoming.request, refusal, now);
    }

    /// Reports the transfer: the first status answers the REFER, a final status ends the subscription.
    pub(super) fn notify_transfer(&mut self, status: u16, context: &mut LegContext, now: Instant) {
        let Some(referral) = &mut self.referral else {
            return;
        };
        let status = status.clamp(100, 699);
        if let Some((transaction, request)) = referral.open.take() {
            if status >= 300 {
                self.referral = None;
                return context.respond(transaction, &request, status, now);
            }
            let mut accepted = dialog_response(&request, 202, None, self.dialog.flow);
            if referral.is_silent {
                accepted.headers.push(Name::ReferSub, "false");
            }
            context.transactions.respond(transaction, &accepted, now);
        }
        let (event, is_silent) = (referral.event.clone(), referral.is_silent);
        let is_over = status >= 200;
        if is_over {
            self.referral = None;
        }
        if !is_silent {
            let state = if is_over {
                "terminated;reason=noresource".to_owned()
            } else {
                format!("active;expires={LIFE}")
            };
            self.notify(status, event, &state, context, now);
        }
    }

    fn notify(
        &mut self,
        status: u16,
        event: String,
        state: &str,
        context: &mut LegContext,
        now: Instant,
    ) {
        let Some(flow) = self.dialog.open_flow() else {
            return;
        };
        let mut notify = context.request(&mut self.dialog, Method::Notify);
        write_notify(&mut notify, flow, event, state);
        let fragment = "message/sipfrag;version=2.0";
        notify.headers.push(Name::ContentType, fragment);
        notify.body = format!("SIP/2.0 {status} {}\r\n", phrase(status)).into_bytes();
        context.transactions.start(notify, flow, None, now);
    }

    /// A SUBSCRIBE within the call, which prolongs or ends the subscription of a REFER (RFC 3515 section 2.4.4).
    pub(super) fn resubscribe(
        &mut self,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) {
        let is_refer = incoming
            .request
            .headers
            .text(&Name::Event)
            .and_then(|value| value.split(';').next())
            .is_some_and(|package| package.trim().eq_ignore_ascii_case("refer"));
        let referral = self
            .referral
            .as_mut()
            .filter(|each| is_refer && each.open.is_none());
        let Some(referral) = referral else {
            let status = if is_refer { 481 } else { 489 };
            return context.respond(incoming.transaction, incoming.request, status, now);
        };
        let expires = incoming.request.headers.expires().unwrap_or(LIFE).min(LIFE);
        let event = referral.event.clone();
        let mut response: Response = dialog_response(incoming.request, 200, None, self.dialog.flow);
        response.headers.push(Name::Expires, expires.to_string());
        context
            .transactions
            .respond(incoming.transaction, &response, now);
        if expires == 0 {
            referral.is_silent = true;
            self.notify(100, event, "terminated;reason=timeout", context, now);
        }
    }

    /// The stream of a REFER without a response is closed.
    pub(super) fn forget_open_referral(&mut self) {
        self.referral.take_if(|each| each.open.is_some());
    }

    /// The leg ends: a REFER without a response gets 487.
    pub(super) fn drop_referral(&mut self, context: &mut LegContext, now: Instant) {
        if let Some((transaction, request)) = self.referral.take().and_then(|each| each.open) {
            context.respond(transaction, &request, 487, now);
        }
    }
}

/// The target of a REFER, or the status that refuses it.
fn read_refer_to(request: &Request, context: &LegContext) -> Result<TransferTo, u16> {
    let mut values = request.headers.all(&Name::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(400);
    };
    let NameAddr { uri, .. } = NameAddr::parse(value)
        .or_else(|| bare(value))
        .ok_or(400_u16)?;
    let is_call = uri
        .params()
        .get("method")
        .is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
    let dialled = uri.user().filter(|_| is_call).ok_or(403_u16)?;
    let leg = match uri.header("Replaces") {
        Some(text) => {
            let replaces = Replaces::parse(text.as_bytes()).ok_or(400_u16)?;
            let dialog = DialogId::of_replaces(replaces);
            // Without that dialog there is no target.
            Some(context.dialogs.get(&dialog).copied().ok_or(481_u16)?)
        }
        None => None,
    };
    Ok(TransferTo { dialled, leg })
}

/// Linphone omits the angle brackets even around a URI with headers, where RFC 3261 section 20 requires them.
fn bare(value: &[u8]) -> Option<NameAddr> {
    let uri = crate::message::Uri::parse(value)?;
    Some(NameAddr {
        name: None,
        uri,
        params: crate::message::Params::default(),
    })
}
