//! Unsolicited NOTIFY, outside any dialog: RFC 3842 allows it, RFC 6665 does not have it, and many desk phones expect it for the
//! message-waiting lamp. A phone that refuses one gets no more.

use std::time::Instant;

use super::Leg;
use super::context::{LegContext, write_notify};
use super::target::RequestTarget;
use crate::account::User;
use crate::event::{Body, CallerId, LegId, Package};
use crate::flow::Flow;
use crate::message::{Method, Name};
use crate::transaction::TransactionId;

/// Unsolicited NOTIFYs without a response at once; one more is not sent.
pub(crate) const MAX_UNSOLICITED: usize = 256;

/// NOTIFYs to the phones of a line, until their responses.
#[derive(Debug)]
pub(crate) struct UnsolicitedNotify {
    open: Vec<(TransactionId, Flow)>,
}

impl UnsolicitedNotify {
    /// Sends the state of their own line to these phones. `None` if no NOTIFY could be sent.
    pub(crate) fn new(
        id: LegId,
        phones: &[RequestTarget],
        user: &User,
        (package, state): (Package, &Body),
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let mailbox = CallerId {
            number: user.as_str().to_owned(),
            name: None,
        };
        let mut open = Vec::new();
        for phone in phones {
            let mut notify = phone.request(Method::Notify, &mailbox, context);
            // There is no subscription, and this does not begin one.
            let none = "terminated;reason=noresource";
            write_notify(&mut notify, phone.flow, package.as_str(), none);
            let content_type = state.content_type.clone();
            notify.headers.push(Name::ContentType, content_type);
            notify.body.clone_from(&state.bytes);
            let started = context
                .transactions
                .start(notify, phone.flow, Some(id), now);
            open.extend(started.map(|transaction| (transaction, phone.flow)));
        }
        (!open.is_empty()).then_some(Self { open })
    }

    pub(crate) fn handle_final(
        mut self,
        transaction: TransactionId,
        status: u16,
        context: &mut LegContext,
    ) -> Option<Leg> {
        let is_refusal = matches!(status, 405 | 481 | 489 | 501);
        let refused = self
            .open
            .iter()
            .filter(|(each, _)| is_refusal && *each == transaction);
        context
            .refused_unsolicited
            .extend(refused.map(|(_, flow)| *flow));
        self.open.retain(|(each, _)| *each != transaction);
        (!self.open.is_empty()).then_some(Leg::UnsolicitedNotify(self))
    }
}
