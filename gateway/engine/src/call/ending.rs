//! After the person here hung up: the audio path stays for a moment, so that the hang-up
//! reaches the other side even if packets are lost. It is said over the data channel; where that is not open, or the other side does not
//! say within the slots of that channel that it has heard, from relayed address to relayed address, a few times. While the path is lost it is said in both
//! ways, until there is another or ten seconds have passed; and so it is where no answer comes in two seconds, since the path may have died
//! as the person hung up. The caller posts it too where its own way out is lost meanwhile, and not because an answer was lost: a relay would see
//! of calls over bad wires that they were answered.

use std::time::{Duration, Instant};

use ringfence_media::BridgeEvent;

use super::context::{CallContext, Datagram};
use super::{CallCommon, CallInput, CallState};
use crate::call::control::ControlFrame;
use crate::call::step::EndReason;
use crate::config::{ANSWER_AGAIN, HANG_UP_ECHO, LINGER, LINGER_IN_OUTAGE};
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
    session: Option<EndedSession>,
    until: Instant,
    /// Whether an answer is waited for longer, if none has come until then.
    goes_on: bool,
}

/// The session of a call that is over: its path may be lost as the hang-up is on its way.
#[derive(Debug)]
pub(super) struct EndedSession {
    pub(super) session: Box<CallSession>,
    /// The callee's bucket, in which the caller posts the hang-up once if its way out is lost.
    pub(super) bucket: Option<u16>,
}

impl Ending {
    /// Tells the other side over the data channel, from relayed address to relayed address too if that is not heard soon, and lingers.
    pub(super) fn start(
        end: EndReason,
        (hang_up, session): (Option<Datagram>, EndedSession),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.report_end(call, end);
        let times = (LINGER, HANG_UP_ECHO, true);
        Self::linger(hang_up, Some(session), times, call, cx)
    }

    /// Tells the other side of a call whose path is lost, and which may still say where it has gone.
    pub(super) fn start_in_outage(
        end: EndReason,
        (hang_up, session): (Option<Datagram>, EndedSession),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.report_end(call, end);
        let times = (LINGER_IN_OUTAGE, ANSWER_AGAIN, false);
        Self::linger(hang_up, Some(session), times, call, cx)
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
        Self::linger(hang_up, None, (LINGER, ANSWER_AGAIN, false), call, cx)
    }

    /// Says it on the data channel, if that is open, and waits for an answer; `pause` is the time until it is said in a datagram.
    fn linger(
        again: Option<Datagram>,
        session: Option<EndedSession>,
        (time, pause, goes_on): (Duration, Duration, bool),
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.tell_hang_up(call);
        let pause = again.as_ref().map_or(time, |_| pause);
        cx.set_deadline(call, pause, Timer::HangUp);
        CallState::Ending(Self {
            again,
            session,
            until: cx.now + time,
            goes_on,
        })
    }

    pub(super) fn handle(
        mut self,
        input: &CallInput<'_>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        let heard = match input {
            CallInput::Timeout if cx.now < self.until || self.go_on(cx.now) => {
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
            CallInput::Media(MediaEvent::Bridge(BridgeEvent::WayLost)) => {
                self.post(call, cx);
                false
            }
            CallInput::Envelope(envelope, event) => {
                self.handle_envelope(envelope, event, call, cx);
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

    /// No answer has come: whether it is waited for longer, as in an outage.
    fn go_on(&mut self, now: Instant) -> bool {
        self.until = now + LINGER_IN_OUTAGE - LINGER;
        std::mem::take(&mut self.goes_on)
    }

    /// The way out is lost: the caller says it over the relay, once.
    fn post(&mut self, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        if let Some(EndedSession { session, bucket }) = &mut self.session
            && let Some(bucket) = bucket.take()
        {
            cx.post_message(call, bucket, session, SessionMessage::HangUp);
        }
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
            .map(|ended| ended.session.open(envelope, event));
        if let (Some(Ok(SessionMessage::Moved(to))), Some(hang_up)) = (opened, &mut self.again) {
            hang_up.to = to;
            cx.media(call, MediaOrder::Meet(to));
            cx.send_datagram(call, hang_up);
        }
    }
}
