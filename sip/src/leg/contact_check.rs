//! Our OPTIONS outside any dialog, which asks whether a registered phone is still there (RFC 3261 section 11). Any response says
//! so, even a refusal.

use std::time::Instant;

use super::Leg;
use super::context::LegContext;
use super::target::RequestTarget;
use crate::event::{CallerId, LegId};
use crate::message::{Method, Name};

/// An OPTIONS without a response.
#[derive(Debug)]
pub(crate) struct ContactCheck {
    id: LegId,
}

impl ContactCheck {
    /// Sends OPTIONS in the name of the phone's own line. `None` if it could not be sent.
    pub(crate) fn new(
        id: LegId,
        target: &RequestTarget,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let line = CallerId {
            number: target.phone.user.as_str().to_owned(),
            name: None,
        };
        let mut options = target.request(Method::Options, &line, context);
        options.headers.push(Name::Accept, "application/sdp");
        let started = context
            .transactions
            .start(options, target.flow, Some(id), now);
        started.map(|_| Self { id })
    }

    /// The phone responded, or it did not.
    pub(crate) fn end(self, is_alive: bool, context: &mut LegContext) -> Option<Leg> {
        context.ended_checks.push((self.id, is_alive));
        None
    }
}
