//! Callee, after its answer was sealed: the answer goes to the caller's relayed address again and again, and after two seconds over the
//! relays too, until one of them has taken it. Relays may be away at that moment, or just start again.

use std::time::Instant;

use super::CallCommon;
use super::context::{CallContext, Datagram};
use crate::config::{
    ANSWER_AGAIN, ANSWER_DIRECT, ANSWER_POSTED_AGAIN, CONNECT, CONNECT_AFTER_LOSS,
};
use crate::output::PostId;
use crate::sealed::first_message::SealError;
use crate::sealed::session::CallSession;
use crate::time::Timer;

/// An answer that the caller has not confirmed.
#[derive(Debug)]
pub(super) struct Confirming {
    pub(super) session: CallSession,
    answer: Datagram,
    over_relay: OverRelay,
    until: Instant,
    latest: Instant,
}

/// How far the answer is on its way over the relays.
#[derive(Debug, PartialEq, Eq)]
enum OverRelay {
    /// It is posted at this instant.
    Due(Instant),
    /// Relays have been given it.
    Posted(PostId),
    Taken,
}

impl Confirming {
    pub(super) fn new(session: CallSession, answer: Datagram, now: Instant) -> Self {
        Self {
            session,
            answer,
            over_relay: OverRelay::Due(now + ANSWER_DIRECT),
            until: now + CONNECT,
            latest: now + CONNECT_AFTER_LOSS,
        }
    }

    /// The answer leaves from another relayed address from now on: its time begins anew.
    pub(super) fn handle_way_found(&mut self, now: Instant) {
        self.until = self.latest.min(now + CONNECT);
    }

    /// Sends the answer once more, and posts it if that is due. False once its time is over.
    pub(super) fn send_again(
        &mut self,
        bucket: u16,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> bool {
        if self.until <= cx.now {
            return false;
        }
        cx.send_datagram(call, &self.answer);
        if matches!(self.over_relay, OverRelay::Due(at) if at <= cx.now) {
            self.post(bucket, call, cx);
        }
        cx.set_deadline(call, ANSWER_AGAIN, Timer::Confirmation);
        true
    }

    /// An envelope that no relay took is posted again, in another event.
    pub(super) fn handle_posted(&mut self, post: PostId, relays: usize, now: Instant) {
        if self.over_relay != OverRelay::Posted(post) {
            return;
        }
        self.over_relay = match relays {
            0 => OverRelay::Due(now + ANSWER_POSTED_AGAIN),
            _ => OverRelay::Taken,
        };
    }

    fn post(&mut self, bucket: u16, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        cx.refill(call);
        let envelope = self.answer.envelope.clone();
        let posted = cx.post(call, bucket, |_, _, _| Ok::<_, SealError>(((), envelope)));
        if let Some(((), post)) = posted {
            self.over_relay = OverRelay::Posted(post);
        }
    }
}
