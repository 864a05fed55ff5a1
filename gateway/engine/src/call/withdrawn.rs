//! Caller, after it gave up: the cancel goes with the envelopes that leave anyway ([`super::slots`]), and the relayed address is kept for
//! ten seconds, so that a person who picks up meanwhile is told at once.

use std::sync::Arc;

use ringfence_media::Description;

use super::context::CallContext;
use super::ending::Ending;
use super::{CallCommon, CallInput, CallPeer, CallState};
use crate::config::WITHDRAWN;
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::Outside;
use crate::sealed::ring::CancelReason;
use crate::sealed::ring::outgoing::OutgoingRing;
use crate::sealed::session::SessionMessage;
use crate::time::Timer;

/// A ring that its caller has taken back.
#[derive(Debug)]
pub(crate) struct Withdrawn {
    ring: Arc<OutgoingRing>,
    peer: CallPeer,
}

impl Withdrawn {
    /// The phone has been told already. What is written down of the call is known now.
    pub(super) fn start(
        ring: OutgoingRing,
        peer: CallPeer,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some(record) = call.record.take() {
            let end = (cx.wall, cx.now);
            cx.env.saved.record_call(call.number, record, end);
        }
        let ring = Arc::new(ring);
        cx.take_back(Arc::clone(&ring), peer.party, call);
        cx.set_deadline(call, WITHDRAWN, Timer::Withdrawn);
        CallState::Withdrawn(Box::new(Self { ring, peer }))
    }

    pub(super) fn handle(
        self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Envelope(envelope, _) => self.hang_up_late(envelope, call, cx),
            CallInput::ShutDown => {
                // Under the event key that was kept for it: this process posts no more of the six.
                cx.reclaim_ending(call);
                let wall = cx.wall;
                let tag = cx.tag(call, &self.peer);
                cx.post(call, self.peer.bucket, |_, event, rng| {
                    let outside = Outside::new(*event, tag);
                    let cancel = self
                        .ring
                        .seal_cancel(CancelReason::GaveUp, outside, wall, rng);
                    cancel.map(|envelope| ((), envelope))
                });
                cx.media(call, MediaOrder::Close);
                CallState::Over
            }
            CallInput::Timeout => {
                cx.media(call, MediaOrder::Close);
                CallState::Over
            }
            _ => CallState::Withdrawn(self),
        }
    }

    /// A person has picked up who could not know yet.
    fn hang_up_late(
        self: Box<Self>,
        envelope: &Envelope,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let opened = self.ring.open_answer(envelope, &EventContext::NONE);
        let Some((remote, mut session)) = opened.ok().and_then(|(answer, session)| {
            Some((Description::decode(&answer.media).ok()?, session))
        }) else {
            return CallState::Withdrawn(self);
        };
        let peer = self.peer.at(&remote);
        let hang_up = cx.seal_datagram(&mut session, SessionMessage::HangUp, &peer);
        Ending::repeat(hang_up, call, cx)
    }
}
