//! After the person here hung up: the audio path stays for a moment, so that the hang-up
//! reaches the other side even if a packet is lost. It is said over the data channel; where that is not open, from relayed address
//! to relayed address, a few times.

use std::time::Instant;

use ringfence_media::BridgeEvent;

use super::context::{CallContext, Datagram};
use super::{CallCommon, CallInput, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::EndReason;
use crate::config::{ANSWER_AGAIN, LINGER};
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::time::Timer;

/// A hang-up on its way.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What is sent again, where there is no data channel.
    again: Option<Datagram>,
    until: Instant,
}

impl Ending {
    /// Tells the other side over the data channel and lingers.
    pub(super) fn start(
        end: EndReason,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.media(
            call,
            MediaOrder::Control(ControlFrame::HangUp.encode().to_vec()),
        );
        cx.report_end(call, end);
        Self::linger(None, call, cx)
    }

    /// Tells the other side without a data channel, and lingers.
    pub(super) fn start_with(
        end: EndReason,
        hang_up: Option<Datagram>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.report_end(call, end);
        Self::repeat(hang_up, call, cx)
    }

    /// Tells the other side of a call whose end was reported.
    pub(super) fn repeat(
        hang_up: Option<Datagram>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if let Some(hang_up) = &hang_up {
            cx.send_datagram(call, hang_up);
        }
        Self::linger(hang_up, call, cx)
    }

    fn linger(
        again: Option<Datagram>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let until = cx.now + LINGER;
        let pause = again.as_ref().map_or(LINGER, |_| ANSWER_AGAIN);
        cx.set_deadline(call, pause, Timer::HangUp);
        CallState::Ending(Self { again, until })
    }

    pub(super) fn handle(
        self,
        input: &CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let heard = match input {
            CallInput::Timeout if cx.now < self.until => {
                if let Some(hang_up) = &self.again {
                    cx.send_datagram(call, hang_up);
                }
                cx.set_deadline(call, ANSWER_AGAIN, Timer::HangUp);
                false
            }
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
