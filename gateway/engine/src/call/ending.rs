//! After the person here hung up: the audio path stays for a moment, so that the hang-up
//! reaches the other side even if packets are lost. It is said over the data channel; where that is not open, or the other side does not
//! say at once that it has heard, from relayed address to relayed address, a few times. While the path is lost it is said in both
//! ways, until there is another or ten seconds have passed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringfence_media::BridgeEvent;

use super::context::{CallContext, Datagram};
use super::{CallCommon, CallInput, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::EndReason;
use crate::config::{ANSWER_AGAIN, LINGER, LINGER_IN_OUTAGE};
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::session::{CallSession, SessionMessage};
use crate::time::Timer;

/// A hang-up on its way.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What is sent again and again.
    again: Option<Datagram>,
    /// While the path is lost: the caller may still say where it has gone.
    session: Option<Box<CallSession>>,
    until: Instant,
}

impl Ending {
    /// Tells the other side over the data channel, from relayed address to relayed address too if that is not heard soon, and lingers.
    pub(super) fn start(
        end: EndReason,
        hang_up: Option<Datagram>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.control(call, ControlFrame::HangUp);
        cx.report_end(call, end);
        Self::linger((hang_up, None), LINGER, call, cx)
    }

    /// Tells the other side of a call whose path is lost.
    pub(super) fn start_in_outage(
        end: EndReason,
        (hang_up, session): (Option<Datagram>, CallSession),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.control(call, ControlFrame::HangUp);
        cx.report_end(call, end);
        let session = Some(Box::new(session));
        Self::linger((hang_up, session), LINGER_IN_OUTAGE, call, cx)
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
        Self::linger((hang_up, None), LINGER, call, cx)
    }

    fn linger(
        (again, session): (Option<Datagram>, Option<Box<CallSession>>),
        time: Duration,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.media(call, MediaOrder::Detach);
        let until = cx.now + time;
        let pause = again.as_ref().map_or(time, |_| ANSWER_AGAIN);
        cx.set_deadline(call, pause, Timer::HangUp);
        CallState::Ending(Self {
            again,
            session,
            until,
        })
    }

    pub(super) fn handle(
        mut self,
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
            CallInput::Envelope(envelope, event) => {
                self.handle_envelope(envelope, event, call, cx);
                false
            }
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::Met(at))) => {
                self.tell_at(*at, call, cx);
                false
            }
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

    /// The caller says where it is now: it is told there.
    fn handle_envelope(
        &mut self,
        envelope: &Envelope,
        event: &EventContext,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) {
        let opened = self
            .session
            .as_mut()
            .map(|session| session.open(envelope, event));
        if let Some(Ok(SessionMessage::Moved(to))) = opened {
            cx.media(call, MediaOrder::Meet(to));
            self.tell_at(to, call, cx);
        }
    }

    /// The other side is at another relayed address now.
    fn tell_at(&mut self, at: SocketAddr, call: &CallCommon, cx: &mut CallContext<'_>) {
        if let Some(hang_up) = &mut self.again {
            hang_up.to = at;
            cx.send_datagram(call, hang_up);
        }
    }
}
