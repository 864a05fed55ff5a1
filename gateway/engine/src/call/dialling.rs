//! Caller, before the ring: the phone has dialled; a local port, a relayed address and proofs of work
//! are on their way. Nothing has been sent but to the TURN server.

use ringfence_book::IdentityKey;
use ringfence_media::{BridgeEvent, LocalEndpoint, PhoneMedia};
use ringfence_sip as sip;

use super::answering::Answering;
use super::calling::Calling;
use super::context::CallContext;
use super::outgoing::NO_TURN;
use super::{CallCommon, CallInput, CallState, PartnerNews};
use crate::call::step::{CallStep, EndReason};
use crate::config::SET_UP;
use crate::input::{MediaEvent, MediaFailure, NearPort};
use crate::output::MediaOrder;
use crate::sealed::proof_stock::PER_OUTGOING;
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::time::Timer;
use crate::trust::directory::CalleeKeys;

/// An INVITE on its way to become a ring.
#[derive(Debug)]
pub(crate) struct Dialling {
    offer: PhoneMedia,
    callee: CalleeKeys,
    near: Option<NearPort>,
    far: Option<LocalEndpoint>,
    /// A ring of the number that is being dialled. It is answered, and none is posted.
    met: Option<Box<VerifiedRing>>,
}

impl Dialling {
    pub(crate) fn start(
        offer: PhoneMedia,
        callee: CalleeKeys,
        met: Option<Box<VerifiedRing>>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.step(call, CallStep::Dialled);
        let flow = call.leg.and_then(|leg| cx.env.agent.flow(leg));
        // A call that is to be joined with another one hears it where that one is.
        let said = offer.rtp.ip();
        let at = flow.map_or(said, |flow| {
            cx.env.config.near_address(flow.local.ip(), said)
        });
        let video = offer.video.is_some();
        cx.media(
            call,
            MediaOrder::OpenNear {
                at: vec![at],
                video,
            },
        );
        cx.media(call, MediaOrder::OpenFar { avoid: Vec::new() });
        cx.set_deadline(call, SET_UP, Timer::CallSetUp);
        CallState::Dialling(Box::new(Self {
            offer,
            callee,
            near: None,
            far: None,
            met,
        }))
    }

    /// Who is being dialled, for glare.
    pub(crate) fn callee(&self) -> IdentityKey {
        self.callee.identity
    }

    /// Which ring this call will answer instead of ringing, to match a withdrawal.
    pub(crate) fn met(&self) -> Option<RingId> {
        self.met.as_ref().map(|ring| ring.id())
    }

    pub(super) fn handle(
        mut self: Box<Self>,
        input: CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match input {
            CallInput::Media(MediaEvent::Near(rtp)) => self.near = rtp.first().copied(),
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::Allocated(local))) => {
                cx.step(call, CallStep::Allocated);
                self.far = Some(*local);
            }
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::WayFound(to))) => {
                if let Some(far) = &mut self.far {
                    far.relayed_address = to;
                }
            }
            CallInput::Proofs => {}
            CallInput::Glare(ring) => self.met = Some(ring),
            CallInput::Cancelled => self.met = None,
            CallInput::Leg(sip::Event::Cancelled { .. } | sip::Event::HungUp { .. })
            | CallInput::News(PartnerNews::Over(_)) => {
                cx.end(call, EndReason::Cancelled);
                return CallState::Over;
            }
            CallInput::Media(
                MediaEvent::Refused(MediaFailure::NoTurn)
                | MediaEvent::Bridge(BridgeEvent::Failed(_) | BridgeEvent::Closed),
            ) => return without_turn(call, cx),
            CallInput::Timeout if self.far.is_none() => return without_turn(call, cx),
            CallInput::Media(MediaEvent::Refused(_)) | CallInput::Timeout => {
                return super::refuse(503, EndReason::NoMedia, call, cx);
            }
            CallInput::HangUp => return super::refuse(480, EndReason::HungUpHere, call, cx),
            CallInput::ShutDown => return super::refuse(503, EndReason::ShutDown, call, cx),
            _ => return CallState::Dialling(self),
        }
        self.ring_when_ready(call, cx)
    }

    fn ring_when_ready(
        self: Box<Self>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let (Some(near), Some(far)) = (self.near, self.far.clone()) else {
            return CallState::Dialling(self);
        };
        if let Some(ring) = self.met {
            return Answering::by_glare(*ring, self.offer, (near, far), call, cx);
        }
        if !cx.reserve(call, PER_OUTGOING) {
            return CallState::Dialling(self);
        }
        Calling::start(self.offer, &self.callee, (near, far), call, cx)
    }
}

/// No TURN server gave a relayed address: the display says so.
fn without_turn(call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
    cx.refuse_phone_with(call, NO_TURN);
    cx.end(call, EndReason::NoMedia);
    CallState::Over
}
