//! After the person here hung up: the audio path stays for a moment, so that the hang-up
//! reaches the other side even if a packet is lost.

use ringfence_media::BridgeEvent;

use super::context::CallContext;
use super::{CallCommon, CallInput, CallState, PartnerNews};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::config::LINGER;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::time::Timer;

/// A hang-up on its way over the data channel.
#[derive(Debug)]
pub(crate) struct Ending;

impl Ending {
    /// Tells the other side over the data channel and lingers.
    pub(super) fn start(
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.notify_partner(call, PartnerNews::Over(480));
        cx.step(call, CallStep::Ended(end));
        cx.media(
            call,
            MediaOrder::Control(ControlFrame::HangUp.encode().to_vec()),
        );
        cx.set_deadline(call, LINGER, Timer::HangUp);
        CallState::Ending(Self)
    }

    pub(super) fn handle(
        self,
        input: &CallInput<'_>,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let heard = match input {
            CallInput::Timeout
            | CallInput::Media(
                MediaEvent::Refused(_)
                | MediaEvent::Bridge(BridgeEvent::Failed(_) | BridgeEvent::Closed),
            ) => true,
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::Control(frame))) => {
                ControlFrame::decode(frame) == Ok(ControlFrame::HangUp)
            }
            _ => false,
        };
        if !heard {
            return CallState::Ending(self);
        }
        cx.media(call, MediaOrder::Close);
        CallState::Over
    }
}
